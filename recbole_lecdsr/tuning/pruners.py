"""The pruners of a search, by the names of ``--pruner``.

Imports Optuna only when a pruner is made, so that ``--help`` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recbole_lecdsr.errors import UserError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

PRUNERS = ("halving", "median", "none")


def make_pruner(name: str) -> BasePruner:
    """Optuna's successive halving, median pruner (after five trials and two epochs), or none.

    Raises:
        UserError: another name.
    """
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner()
    if name == "none":
        return pruners.NopPruner()
    raise UserError(f"pruner must be one of {', '.join(PRUNERS)}, not {name!r}")
