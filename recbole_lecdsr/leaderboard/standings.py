"""A study as numbers: the metrics of each model per domain, and its comparison with the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_lecdsr.evaluation.sample_metrics import per_sample
from recbole_lecdsr.leaderboard.model_names import name_change
from recbole_lecdsr.leaderboard.significance import Comparison, NoiseFloor, compare, mean_and_sd, noise_floor
from recbole_lecdsr.leaderboard.slices import Bins, Group, sample_groups
from recbole_lecdsr.leaderboard.study import Study

TABLE_METRICS = ("ndcg@10", "hit@10", "mrr")  # columns of the tables
TESTED_METRIC = "ndcg@10"  # of comparisons, noise floor and slices
ALL_METRICS = ("hit@1", "hit@5", "hit@10", "hit@20", "ndcg@5", "ndcg@10", "ndcg@20", "mrr")


@dataclass(frozen=True, eq=False)
class Standings:
    """Metrics and comparisons of a study.

    Attributes:
        study: what they were computed from.
        labels: the models with a finished run, best overall first.
        values: label -> part -> metric -> (n,) its mean over the samples with each finished seed; without the parts
            that the model does not score.
        comparisons: part -> label -> comparison with the reference of the study, on NDCG@10; empty when the reference
            has no finished run; without the models that share no finished seed with it.
        noise: part -> noise floor of NDCG@10, or None where it is unknown.
    """

    study: Study
    labels: tuple[str, ...]
    values: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    noise: Mapping[str, NoiseFloor | None]

    @property
    def reference(self) -> str:
        """Label of the model that the others are compared with."""
        return self.study.reference

    @property
    def reference_name(self) -> str:
        """Its name to show."""
        return self.study.model_name(self.reference)

    def mean_and_sd(self, label: str, part: str, metric: str) -> tuple[float, float]:
        """Over the finished seeds; the sd is nan with one seed, both are where the model does not score the part."""
        return mean_and_sd(self.values[label].get(part, {}).get(metric, np.zeros(0)))

    def best(self, part: str, metric: str) -> float:
        """The highest mean of a column."""
        means = [self.mean_and_sd(label, part, metric)[0] for label in self.labels_scoring(part)]
        return max(means, default=np.nan)

    def labels_scoring(self, part: str) -> list[str]:
        """The models that score a part, in the order of the table."""
        return [label for label in self.labels if part in self.values[label]]

    def verdict(self, label: str, part: str) -> int:
        """1 for better than the reference, -1 for worse, 0 for no significant difference or no test."""
        comparison = self.comparisons[part].get(label)
        return comparison.verdict() if comparison else 0

    def variants(self) -> dict[str, str]:
        """The finished variants of the reference: ``LeCDSR:align_weight=0`` -> ``without alignment``."""
        prefix = self.reference + ":"
        return {
            label: name_change(label.removeprefix(prefix))
            for label in self.study.models
            if label.startswith(prefix) and label in self.values
        }


def compute_standings(study: Study, metrics: Sequence[str] = ALL_METRICS) -> Standings:
    """Means, comparisons and noise floor of a study."""
    labels = [label for label in study.models if study.finished_runs(label)]
    values = {
        label: {
            part: {
                metric: np.array([per_sample(run.rank[chosen], metric).mean() for run in study.finished_runs(label)])
                for metric in metrics
            }
            for part, chosen in study.scored_parts(label).items()
        }
        for label in labels
    }

    def order(label: str) -> tuple[bool, float]:
        """Models without an overall metric come after the others, by what they have."""
        parts = values[label]
        values_of_part = parts["overall"] if "overall" in parts else next(iter(parts.values()))
        return "overall" not in parts, -values_of_part[TESTED_METRIC].mean()

    noise = {
        part: noise_floor({label: values[label][part][TESTED_METRIC] for label in labels if part in values[label]})
        for part in study.samples.parts
    }
    return Standings(study, tuple(sorted(labels, key=order)), values, _compare_with_reference(study, labels), noise)


def _compare_with_reference(study: Study, labels: Sequence[str]) -> dict[str, dict[str, Comparison]]:
    """Part -> label -> comparison, for the models that share a finished seed with the reference."""
    reference = study.reference
    seeds_of_reference = {run.seed for run in study.finished_runs(reference)}
    differences, seeds = {}, {}
    for label in labels:
        common = sorted(seeds_of_reference & {run.seed for run in study.finished_runs(label)})
        if label != reference and common:
            differences[label] = sample_means(study, label, common) - sample_means(study, reference, common)
            seeds[label] = tuple(common)
    return {
        part: compare(
            {label: row[chosen] for label, row in differences.items() if not np.isnan(row[chosen]).any()},
            study.samples.user[chosen],
            seeds=seeds,
        )
        for part, chosen in study.samples.parts.items()
    }


def sample_means(study: Study, label: str, seeds: Sequence[int], metric: str = TESTED_METRIC) -> np.ndarray:
    """(S,) a model's metric of each test sample, averaged over the given seeds; nan where it does not score."""
    ranks = [run.rank for run in study.finished_runs(label) if run.seed in seeds]
    rows = [np.where(rank > 0, per_sample(np.maximum(rank, 1), metric), np.nan) for rank in ranks]
    return np.mean(rows, axis=0)


def slice_means(study: Study, label: str, part: str, bins: Bins) -> np.ndarray:
    """`TESTED_METRIC` of a model in each bin of the samples of a part: (seeds, n), a row for each finished seed."""
    chosen = study.samples.parts[part]
    return np.array([bins.means(per_sample(run.rank[chosen], TESTED_METRIC)) for run in study.finished_runs(label)])


def groups_of_part(study: Study, part: str) -> list[Group]:
    """The kinds of test samples of a part, ``chosen`` being over the samples of that part."""
    samples, chosen = study.samples, study.samples.parts[part]
    same_domain = None if samples.same_domain is None else samples.same_domain[chosen]
    return sample_groups(samples.history[chosen], samples.popularity[chosen], samples.item[chosen], same_domain)


def group_means(study: Study, label: str, part: str, groups: Sequence[Group]) -> np.ndarray:
    """`TESTED_METRIC` of a model in each group of the samples of a part: (seeds, n), a row for each finished seed."""
    chosen = study.samples.parts[part]
    values = [per_sample(run.rank[chosen], TESTED_METRIC) for run in study.finished_runs(label)]
    return np.array([[row[group.chosen].mean() for group in groups] for row in values])
