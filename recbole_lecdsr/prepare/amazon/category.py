"""A category of the shop as a domain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Category:
    """A category of the shop, which becomes a domain.

    Attributes:
        name: of the domain.
        files: of its reviews or ratings.
    """

    name: str
    files: tuple[Path, ...]
