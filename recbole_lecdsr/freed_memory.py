"""Memory that a training step frees, kept for the next one."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# Parameters of glibc's mallopt, as malloc.h has them, and the values they start with.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGEST = 2**31 - 1
_DEFAULTS = {_TRIM_THRESHOLD: 128 << 10, _MMAP_MAX: 65_536}


@contextmanager
def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> Iterator[bool]:
    """Have this process reuse memory that it has freed, instead of returning it to the system, within the block.

    glibc returns every large block at once. Steps allocate the same large blocks again and again, and the system clears
    their pages each time: up to a fifth of a step on a CPU. It is for work that allocates the same blocks in turn, such
    as training: with ever new sizes the memory that is kept would break into pieces. After the block it is returned.

    Args:
        environment: a user who has set one of glibc's own variables for this has decided.

    Yields:
        Whether it is done: not without glibc, nor where the user has decided.
    """
    library = None if _has_decided(environment) or sys.platform != "linux" else ctypes.CDLL(None)
    if library is None or not hasattr(library, "mallopt"):  # other C libraries have none
        yield False
        return
    done = bool(library.mallopt(_MMAP_MAX, 0)) and bool(library.mallopt(_TRIM_THRESHOLD, _LARGEST))
    try:
        yield done
    finally:
        for parameter, value in _DEFAULTS.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _has_decided(environment: Mapping[str, str]) -> bool:
    tunables = environment.get("GLIBC_TUNABLES", "")
    return "malloc" in tunables or any(name.startswith("MALLOC_") for name in environment)
