"""The SHA-256 of an embedding file, from its cache where that is up to date."""

from __future__ import annotations

from pathlib import Path

from recbole_lecdsr.data.embeddings import cache
from recbole_lecdsr.data.embeddings.paths import cache_path
from recbole_lecdsr.data.embeddings.provenance import content_digest


def source_digest(path: Path) -> str:
    """The SHA-256 of an embedding file, 64 hexadecimal digits; the file itself is read only where its cache is not
    of its present size, times and inode.

    Raises:
        UserError: a file that cannot be read.
    """
    return cache.recorded_digest(cache_path(path), path) or content_digest(path)
