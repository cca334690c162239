"""Sidecars: what a generated file was made of, and whether the file is still the one that its sidecar describes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_lecdsr.data.embeddings.paths import cache_path
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar

logger = logging.getLogger(__name__)

DIGEST = "sha256"  # of the file, in its sidecar
# Entries in which the vectors of two files must agree, so that they are comparable.
_SPACE = (
    "encoder", "encoder_dim", "encoder_dtype", "encoder_normalize", "embedding_reduction", "embedding_reduction_size",
    "reduction_sha256",
)  # fmt: skip
_ITEM_SPACE = (*_SPACE, "item_text", "encoder_prompt", "encoder_max_tokens")
_BLOCK = 1 << 20  # bytes read at a time


def read_provenance(path: Path) -> dict[str, Any]:
    """The sidecar of a file, which says what the file was made of; empty where there is none.

    Raises:
        UserError: a sidecar that cannot be read or is not a JSON object.
    """
    described = sidecar(path)
    remedy = f"delete it together with {path.name} and make both again, or delete it alone if {path.name} is your own"
    try:
        content = json.loads(described.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{described} cannot be read ({error.strerror}): check its permissions") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{described}, line {error.lineno}: not JSON ({error.msg}): {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{described}, line 1: not JSON ({error}): {remedy}") from None
    if not isinstance(content, dict):
        raise UserError(f"{described}, line 1: must be a JSON object, not {json.dumps(content)[:60]}: {remedy}")
    return content


def content_digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        UserError: a file that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None
    return digest.hexdigest()


def check_embedding_files(item_files: Sequence[Path], user_file: Path | None = None) -> None:
    """Refuse embedding files of which one was replaced without the others, as far as their sidecars say.

    Files without a sidecar, which have other origins than the ``embed`` command, are accepted as they are.

    Args:
        item_files: of the domains of a run.
        user_file: of its users; None for a run without user vectors.

    Raises:
        UserError: a file that its sidecar does not describe; item files of different encoders or texts. User vectors of
            another encoder than the items' are warned of.
    """
    existing = [path for path in (*item_files, user_file) if path is not None and path.exists()]
    made_of = {path: read_provenance(path) for path in existing}
    for path, provenance in made_of.items():
        if DIGEST in provenance and not _is_cached_since(path) and provenance[DIGEST] != content_digest(path):
            raise UserError(
                f"{path} is not the file that {sidecar(path).name} describes: `embed` was interrupted, or the file was "
                "changed since. Run `run_lecdsr.py embed` again, or delete the sidecar if the file is your own"
            )
    described_items = [path for path in item_files if "encoder" in made_of.get(path, {})]
    for path in described_items[1:]:
        first = described_items[0]
        if differing := _differing(made_of[first], made_of[path], _ITEM_SPACE):
            raise UserError(
                f"{first} and {path} were embedded in different ways ({differing}): run `run_lecdsr.py embed` again, "
                "which writes both"
            )
    if user_file is None or not described_items or "encoder" not in made_of.get(user_file, {}):
        return
    if differing := _differing(made_of[described_items[0]], made_of[user_file], _SPACE):
        logger.warning(
            "%s and %s were embedded in different ways (%s): `run_lecdsr.py embed` writes both with one encoder",
            described_items[0], user_file, differing,
        )  # fmt: skip


def _is_cached_since(path: Path) -> bool:
    """Whether the cache was made of the file after the file and its sidecar came into place.

    The file was checked before that, and the cache knows whether it has changed since; so a second start reads neither.
    """
    try:
        made = cache_path(path).stat().st_mtime_ns
        return made > max(path.stat().st_mtime_ns, sidecar(path).stat().st_mtime_ns)
    except OSError:
        return False


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str]) -> str:
    """The entries in which two sidecars differ, with both values; empty if there are none."""
    return "; ".join(
        f"{name} {one.get(name)!r} and {other.get(name)!r}" for name in names if one.get(name) != other.get(name)
    )
