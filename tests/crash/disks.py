"""Small, full and read-only disks: file systems in memory that only this process and its children see."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Of <sched.h> and <sys/mount.h> on Linux.
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_READ_ONLY, _REMOUNT, _RECURSIVE, _PRIVATE, _DETACH = 1, 32, 1 << 14, 1 << 18, 2

BALLAST = ".ballast"
SIZE = 256 << 20  # bytes of a disk

_libc = ctypes.CDLL(None, use_errno=True)


def take_own_mounts() -> str | None:
    """Give this process mounts of its own, which end with it; must be called while it has one thread.

    Returns:
        None, or why it cannot mount: only root and users who may have a namespace of their own can.
    """
    user, group = os.getuid(), os.getgid()
    try:
        try:
            _check(_libc.unshare(_NEW_MOUNTS))
        except OSError:
            _check(_libc.unshare(_NEW_USER | _NEW_MOUNTS))
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _mount("none", "/", None, _RECURSIVE | _PRIVATE)
    except (OSError, AttributeError) as error:  # AttributeError: not Linux
        return f"no disk can be mounted here ({error})"
    return None


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """Mount an empty disk on a folder."""
    folder.mkdir(parents=True)
    _mount("none", folder, "tmpfs", 0, f"size={SIZE},mode=755")
    try:
        yield
    finally:
        _check(_libc.umount2(os.fsencode(folder), _DETACH))


@contextmanager
def full(folder: Path, room: int) -> Iterator[None]:
    """Leave only ``room`` bytes on the disk at a folder, for the duration of a with block."""
    state = os.statvfs(folder)
    with (folder / BALLAST).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, state.f_bavail * state.f_frsize - room))
    try:
        yield
    finally:
        (folder / BALLAST).unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make the disk at a folder read-only, for the duration of a with block."""
    _mount("none", folder, None, _REMOUNT | _READ_ONLY)
    try:
        yield
    finally:
        _mount("none", folder, None, _REMOUNT)


def used(folder: Path) -> int:
    """Bytes in use on the disk at a folder."""
    state = os.statvfs(folder)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def _mount(source: str, target: str | Path, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), None if data is None else data.encode()))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
