"""A domain as raw data give it: files, and a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RawDomain:
    """Raw files that become a domain.

    Attributes:
        name: of the domain.
        files: of its interactions.
    """

    name: str
    files: tuple[Path, ...]
