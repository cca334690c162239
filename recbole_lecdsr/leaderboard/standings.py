"""What the table says: each model's metrics per domain, and how it compares with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_lecdsr.evaluation.sample_metrics import per_sample
from recbole_lecdsr.leaderboard.significance import Comparison, NoiseFloor, compare, mean_and_sd, noise_floor
from recbole_lecdsr.leaderboard.slices import Bins
from recbole_lecdsr.leaderboard.study import Study

SHOWN = ("ndcg@10", "hit@10", "mrr")
TESTED = "ndcg@10"
ALL = ("hit@1", "hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr")


@dataclass(frozen=True, eq=False)
class Standings:
    """A study as numbers.

    Attributes:
        study: what it was read from.
        labels: the models with a finished run, best overall first.
        values: label -> part -> metric -> (n,) its mean over the samples with each finished seed; without the parts
            that the model does not score.
        comparisons: part -> label -> comparison with the first model of the study, on NDCG@10; empty when that has no
            finished run, or the two no seed in common.
        noise: part -> noise floor of NDCG@10, or None.
    """

    study: Study
    labels: tuple[str, ...]
    values: dict[str, dict[str, dict[str, np.ndarray]]]
    comparisons: dict[str, dict[str, Comparison]]
    noise: dict[str, NoiseFloor | None]

    @property
    def first(self) -> str:
        """The model that the others are compared with."""
        return self.study.models[0]

    def mean_and_sd(self, label: str, part: str, metric: str) -> tuple[float, float]:
        """Over the finished seeds; sd is nan with one, both where the model does not score the part."""
        return mean_and_sd(self.values[label].get(part, {}).get(metric, np.zeros(0)))

    def best(self, part: str, metric: str) -> float:
        """The highest mean of a column."""
        return max((self.mean_and_sd(label, part, metric)[0] for label in self.scoring(part)), default=np.nan)

    def scoring(self, part: str) -> list[str]:
        """The models that score a part, in the order of the table."""
        return [label for label in self.labels if part in self.values[label]]

    def verdict(self, label: str, part: str) -> int:
        """1 better than the first model, -1 worse, 0 not told apart or not tested."""
        comparison = self.comparisons[part].get(label)
        return comparison.verdict() if comparison else 0

    def variants(self) -> dict[str, str]:
        """Label -> what is changed, of the finished variants of the first model (``LeCDSR:no_user_profile=True``)."""
        start = self.first + ":"
        return {
            label: label.removeprefix(start)
            for label in self.study.models
            if label.startswith(start) and label in self.values
        }


def standings(study: Study, metrics: Sequence[str] = ALL) -> Standings:
    """Means, comparisons and noise floor of a study."""
    labels = [label for label in study.models if study.finished(label)]
    values = {
        label: {
            part: {
                metric: np.array([per_sample(run.rank[chosen], metric).mean() for run in study.finished(label)])
                for metric in metrics
            }
            for part, chosen in study.scored_parts(label).items()
        }
        for label in labels
    }

    def place(label: str) -> tuple[bool, float]:
        """Those without an overall metric behind the others, by what they have."""
        parts = values[label]
        return "overall" not in parts, -parts.get("overall", next(iter(parts.values())))[TESTED].mean()

    order = sorted(labels, key=place)
    noise = {
        part: noise_floor({label: values[label][part][TESTED] for label in labels if part in values[label]})
        for part in study.samples.parts
    }
    return Standings(study, tuple(order), values, _comparisons(study, labels), noise)


def _comparisons(study: Study, labels: Sequence[str]) -> dict[str, dict[str, Comparison]]:
    first, *others = study.models
    differences, seeds = {}, {}
    for label in others:
        if label in labels:
            common = sorted({run.seed for run in study.finished(first)} & {run.seed for run in study.finished(label)})
            if common:
                differences[label] = sample_means(study, label, common) - sample_means(study, first, common)
                seeds[label] = tuple(common)
    return {
        part: compare(
            {label: row[chosen] for label, row in differences.items() if not np.isnan(row[chosen]).any()},
            study.samples.user[chosen],
            seeds,
        )
        for part, chosen in study.samples.parts.items()
    }


def sample_means(study: Study, label: str, seeds: Sequence[int], metric: str = TESTED) -> np.ndarray:
    """(S,) a model's metric of each test sample, averaged over the given seeds; nan where it does not score."""
    ranks = [run.rank for run in study.finished(label) if run.seed in seeds]
    rows = [np.where(rank > 0, per_sample(np.maximum(rank, 1), metric), np.nan) for rank in ranks]
    return np.mean(rows, axis=0)


def slice_means(study: Study, label: str, part: str, bins: Bins) -> np.ndarray:
    """TESTED of a model in each of n bins of the samples of a part, (seeds, n), a row for each finished seed."""
    chosen = study.samples.parts[part]
    return np.array([bins.means(per_sample(run.rank[chosen], TESTED)) for run in study.finished(label)])
