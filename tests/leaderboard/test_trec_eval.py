"""The metrics of stored ranks, judged by trec_eval (the reference implementation of ranking metrics)."""

from __future__ import annotations

from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, Success, nDCG

from recbole_lecdsr.evaluation.sample_metrics import per_sample
from recbole_lecdsr.leaderboard.run_results import read_run
from recbole_lecdsr.leaderboard.standings import ALL_METRICS, compute_standings
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.quick_start import run_lecdsr
from tests.helpers import studies
from tests.helpers.pairs import random_events, write_pair

MEASURES = {"hit": Success, "ndcg": nDCG, "mrr": RR}


def judge(rank: np.ndarray, metric: str, *, n_items: int) -> np.ndarray:
    """(S,) trec_eval's metric of each sample, whose target has the given rank among ``n_items`` items."""
    kind, _, place = metric.partition("@")
    measure = MEASURES[kind] @ int(place) if place else MEASURES[kind]
    relevant = {f"{sample:05}": {"target": 1} for sample in range(len(rank))}
    ranking = {
        f"{sample:05}": {
            ("target" if position == position_of_target else f"item {position}"): float(n_items - position)
            for position in range(1, n_items + 1)
        }
        for sample, position_of_target in enumerate(rank.tolist())
    }
    values = {row.query_id: row.value for row in ir_measures.iter_calc([measure], relevant, ranking)}
    return np.array([values[sample] for sample in sorted(values)])


@pytest.mark.parametrize("metric", [*ALL_METRICS, "mrr@10"])
def test_metrics_of_samples_are_those_of_trec_eval(metric):
    rank = np.concatenate([np.arange(1, 41), np.random.default_rng(0).integers(1, 61, size=100)])
    assert per_sample(rank, metric) == pytest.approx(judge(rank, metric, n_items=60), abs=1e-12)


def test_the_table_of_a_study_is_that_of_trec_eval(tmp_path):
    studies.write_study(tmp_path, {"LeCDSR": 2.0, "SASRec": 1.2}, seeds=(1, 2), n_users=20)
    table = compute_standings(read_study(tmp_path))
    for label, parts in table.values.items():
        for run_number, run in enumerate(table.study.finished_runs(label)):
            for part, chosen in table.study.samples.parts.items():
                for metric in ("hit@10", "ndcg@10", "mrr"):
                    expected = judge(run.rank[chosen], metric, n_items=110).mean()
                    assert parts[part][metric][run_number] == pytest.approx(expected, abs=1e-12)


def test_the_result_of_a_run_is_that_of_trec_eval(tmp_path):
    outcome = run_lecdsr("LeCDSR", config_dict=write_pair(tmp_path, random_events()), command_line=[])
    result, rank, samples = read_run(Path(outcome["run_directory"]), seed=outcome["result"]["seed"])
    metrics = [metric for metric in result.test["overall"] if metric.partition("@")[0] in MEASURES]
    assert {"hit@10", "ndcg@10", "mrr"} <= set(metrics)
    for part, chosen in samples.parts.items():
        for metric in metrics:
            expected = judge(rank[chosen], metric, n_items=rank.max() + 5).mean()
            assert result.test[part][metric] == pytest.approx(expected, abs=1e-9), (part, metric)
