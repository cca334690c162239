"""Records of a training: its epochs, those that were selected, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from recbole_lecdsr.evaluation.metrics import DomainMetrics

# What `torch.nn.Module.state_dict` returns: tensors, and extra state of modules as plain data.
StateDict = Mapping[str, Any]

# Name of the epoch with the best mean of both domains. Those of a domain have the domain's name.
MEAN = "mean"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of training.

    Attributes:
        phase: index of the phase in ``train_epochs``.
        epoch: number within the phase, from 0.
        loss: sum over the batches, of each part of the loss.
        seconds: duration of the training.
        valid: validation metrics; None where the epoch was not validated.
        valid_score: the value that epochs are selected and training is stopped by; None likewise.

    Raises:
        ValueError: validation metrics without a score, or a score without them.
    """

    phase: Annotated[int, Field(ge=0)]
    epoch: Annotated[int, Field(ge=0)]
    loss: tuple[float, ...]
    seconds: Annotated[float, Field(ge=0)]
    valid: DomainMetrics | None = None
    valid_score: float | None = None

    def __post_init__(self) -> None:
        if (self.valid is None) != (self.valid_score is None):
            raise ValueError("valid and valid_score: only one of them is given")

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``history``, plain data; without validation where there was none.

        >>> EpochRecord(phase=0, epoch=3, loss=(0.5,), seconds=1.0).to_dict()
        {'phase': 0, 'epoch': 3, 'loss': [0.5], 'seconds': 1.0}
        """
        values = {"phase": self.phase, "epoch": self.epoch, "loss": list(self.loss), "seconds": self.seconds}
        return values if self.valid is None else {**values, "valid": self.valid, "valid_score": self.valid_score}


@dataclass(frozen=True, eq=False)
class BestEpoch:
    """A selected epoch.

    Attributes:
        epoch: number within its phase.
        score: its validation score; None without validation.
        valid: its validation metrics; None likewise.
        state_dict: the weights after it.
    """

    epoch: int
    score: float | None
    valid: DomainMetrics | None
    state_dict: StateDict


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a model ranks the S test samples.

    Attributes:
        rank: (S,) int64 from 1; 0 for all samples of a domain that the model does not score.
        metrics: of these ranks.
        reference: ``popularity`` and ``random`` -> metrics of these rankings, on the same candidates.
        recommended: coverage and popularity of the top items in each domain.
    """

    rank: np.ndarray
    metrics: DomainMetrics
    reference: Mapping[str, DomainMetrics]
    recommended: DomainMetrics


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingOutcome:
    """What a trainer returns.

    Attributes:
        best: the selected epoch, as ``mean``, or those of ``source`` and ``target``; empty where none was kept.
        valid: validation metrics of the selected epochs; empty without validation.
        history: the epochs, those of resumed runs included.
        seconds: ``load``, ``train``, ``valid`` and ``test`` -> seconds.
        samples_seen: training samples in all epochs.
        trainable_parameters: how many numbers of the model are trained.
        test: evaluation on the test samples; None without any.
    """

    best: Mapping[str, BestEpoch]
    valid: DomainMetrics
    history: Sequence[EpochRecord]
    seconds: Mapping[str, float]
    samples_seen: int
    trainable_parameters: int
    test: Evaluation | None
