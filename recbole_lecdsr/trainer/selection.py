"""Which epochs of a phase are kept (docs/protocol.md, 9)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.evaluation.metrics import DomainMetrics, add_overall
from recbole_lecdsr.runs.training import MEAN, BestEpoch, StateDict


class EpochSelection:
    """The best epochs of a phase so far, with copies of their weights.

    Rule ``mean`` keeps the epoch with the best mean of the two domains' validation metric. ``per_domain_best`` keeps
    the best epoch of each domain as well, and these are evaluated, each on the samples of its domain. Of equal epochs
    the later one is kept.

    Args:
        rule: ``mean`` or ``per_domain_best``.
        bigger_is_better: whether a greater value of the metric is the better one.

    Attributes:
        best: ``mean``, ``source`` and ``target``, as far as they have been kept -> the epoch.
    """

    def __init__(self, rule: str, bigger_is_better: bool = True):
        self.per_domain = rule == "per_domain_best"
        self.bigger_is_better = bigger_is_better
        self.best: dict[str, BestEpoch] = {}

    def start(self, best: Mapping[str, BestEpoch] | None = None) -> None:
        """Begin a phase.

        Args:
            best: the best epochs so far, of a phase that is resumed.
        """
        self.best = dict(best or {})

    def improves(self, score: float, best: float) -> bool:
        """Whether a score is at least as good as the best one."""
        return score >= best if self.bigger_is_better else score <= best

    def keep_best_of_domains(
        self, epoch: int, scores: Mapping[str, float], valid: DomainMetrics, model: nn.Module
    ) -> None:
        """Keep the epoch for each domain in which it is the best so far; nothing with the rule ``mean``.

        Args:
            epoch: number of the epoch.
            scores: domain -> validation score.
            valid: validation metrics.
            model: after the epoch.
        """
        if not self.per_domain:
            return
        improved = [domain for domain, score in scores.items() if self._improves_domain(domain, score)]
        if improved:
            state_dict = copy_state(model)
            self.best.update({domain: BestEpoch(epoch, scores[domain], valid, state_dict) for domain in improved})

    def _improves_domain(self, domain: str, score: float) -> bool:
        best = self.best.get(domain)
        return best is None or best.score is None or self.improves(score, best.score)

    def keep(self, epoch: int, score: float | None, valid: DomainMetrics | None, model: nn.Module) -> None:
        """Keep the epoch as the best by the mean of the domains.

        Args:
            epoch: number of the epoch.
            score: its validation score; None without validation.
            valid: its validation metrics; None likewise.
            model: after the epoch.
        """
        self.best[MEAN] = BestEpoch(epoch, score, valid, copy_state(model))

    @property
    def selected(self) -> dict[str, BestEpoch]:
        """The epochs that the result of the run names: ``mean``, or those of the domains."""
        names = DOMAINS if self.per_domain else (MEAN,)
        return {name: self.best[name] for name in names if name in self.best}

    def evaluation_parts(self, domain: np.ndarray) -> list[tuple[StateDict, np.ndarray]]:
        """With which weights to evaluate which samples.

        Args:
            domain: (S,) 0 source, 1 target.

        Returns:
            Weights, and which samples to evaluate with them, (S,) bool: with ``per_domain_best`` the samples of each
            domain with its own epoch, if both domains have one; otherwise all samples with the epoch of the mean.
        """
        if self.per_domain and all(name in self.best for name in DOMAINS):
            return [(self.best[name].state_dict, domain == code) for code, name in enumerate(DOMAINS)]
        return [(self.best[MEAN].state_dict, np.ones(len(domain), dtype=bool))]

    def selected_valid(self, n_samples: dict[str, int]) -> DomainMetrics:
        """Validation metrics of the selected epochs; with those of each domain, ``overall`` joins them.

        Args:
            n_samples: domain -> number of validation samples.

        Returns:
            The metrics, empty without validation.
        """
        if self.per_domain:
            parts = {name: epoch.valid[name] for name, epoch in self.selected.items() if epoch.valid}
            return add_overall(parts, n_samples)
        return next((epoch.valid for epoch in self.selected.values() if epoch.valid), {})


def domain_scores(valid: DomainMetrics, metric: str) -> dict[str, float]:
    """The metric of each domain that has it.

    >>> domain_scores({"target": {"mrr": 0.25}, "overall": {"mrr": 0.25}}, "mrr")
    {'target': 0.25}
    """
    return {domain: valid[domain][metric] for domain in DOMAINS if domain in valid}


def selection_score(scores: Mapping[str, float], mode: str) -> float:
    """The value that epochs are selected and training is stopped by.

    Args:
        scores: domain -> validation score.
        mode: train mode of the phase. In SOURCE and TARGET the score of that domain decides, otherwise the mean.

    >>> selection_score({"source": 0.5, "target": 0.25}, "BOTH")
    0.375
    >>> selection_score({"source": 0.5, "target": 0.25}, "TARGET")
    0.25
    """
    own = scores.get(mode.lower())
    return float(np.mean(list(scores.values()))) if own is None else own


def copy_state(model: nn.Module) -> StateDict:
    """The state of a model as copies on the CPU."""
    return {
        key: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
        for key, value in model.state_dict().items()
    }
