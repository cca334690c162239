"""Which aids the rows of a table have: score fusion, averaged weights, a refit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recbole_lecdsr.leaderboard.model_names import uses_score_fusion
from recbole_lecdsr.leaderboard.study import Study

_DECAYS = ("ema_decay", "average_decay")  # version 0.1.0 called it average_decay


def averages_weights(parameters: Mapping[str, object]) -> bool:
    """Whether the parameters of a run switch weight averaging on.

    >>> averages_weights({"ema_decay": 0.99}), averages_weights({"ema_decay": 0.0}), averages_weights({})
    (True, False, False)
    """
    return any(bool(parameters.get(name)) for name in _DECAYS)


def aids(study: Study, labels: Sequence[str]) -> str:
    """The aids of the rows of a table, in a sentence for its title; none that no row has.

    Args:
        study: whose models they are.
        labels: those with a finished run.
    """
    runs = {label: study.finished_runs(label)[0].result for label in labels}
    found = [
        _rows(study, "score fusion", {label: uses_score_fusion(one.parameters) for label, one in runs.items()}),
        _rows(study, "averaged weights", {label: averages_weights(one.parameters) for label, one in runs.items()}),
        _rows(study, "refit", {label: one.refit for label, one in runs.items()}),
    ]
    return f"Aids: {'; '.join(filter(None, found)) or 'none'}."


def _rows(study: Study, aid: str, has_it: Mapping[str, bool]) -> str:
    """The rows with an aid: all of them, those with score fusion by their mark, others by name."""
    labels = [label for label, has in has_it.items() if has]
    if not labels:
        return ""
    if len(labels) == len(has_it):
        return f"{aid} in every row"
    if aid == "score fusion":
        return f"{aid} in the rows marked + fusion"
    return f"{aid} in {', '.join(study.model_name(label) for label in labels)}"
