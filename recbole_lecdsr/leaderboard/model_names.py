"""The name under which a report shows a model."""

from __future__ import annotations

from collections.abc import Mapping

_FUSION_PARAMETERS = ("score_fusion", "evidence")  # version 0.1.0 called it evidence


def model_name(label: str, *, score_fusion: bool | None) -> str:
    """Name of a model for tables, pages and the terminal: one with score fusion is shown as ``… + fusion``.

    Only for display: ``study.json``, the folders of runs, ``leaderboard.csv`` and ``--models`` have the label.

    Args:
        label: the model's label in a study, such as ``SASRec:sequence=single``.
        score_fusion: whether the model was run with score fusion; None where no run has finished.

    Returns:
        The label without the part that sets ``score_fusion``, followed by ``+ fusion`` if it was on; the whole label
        where it is unknown.

    >>> model_name("LeCDSR", score_fusion=True)
    'LeCDSR + fusion'
    >>> model_name("LeCDSR:score_fusion=False", score_fusion=False)
    'LeCDSR'
    >>> model_name("SASRec:sequence=single:score_fusion=True", score_fusion=True)
    'SASRec:sequence=single + fusion'
    """
    if score_fusion is None:
        return label
    parts = [part for part in label.split(":") if part.partition("=")[0] not in _FUSION_PARAMETERS]
    return ":".join(parts) + (" + fusion" if score_fusion else "")


def uses_score_fusion(parameters: Mapping[str, object]) -> bool:
    """Whether the parameters of a run switch score fusion on.

    >>> uses_score_fusion({"score_fusion": True}), uses_score_fusion({"learning_rate": 0.001})
    (True, False)
    """
    return any(parameters.get(name) is True for name in _FUSION_PARAMETERS)
