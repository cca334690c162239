from __future__ import annotations

import numpy as np
import pytest
from recbole.evaluator import Evaluator

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.evaluation.coverage import TopItems
from recbole_lecdsr.evaluation.metrics import RankCollector, add_overall, rank_metrics, training_popularity
from recbole_lecdsr.evaluation.sample_metrics import per_sample
from recbole_lecdsr.quick_start import load_data_and_model

RANK, DOMAIN = np.array([1, 2, 17, 30, 4]), np.array([0, 1, 1, 0, 1])


@pytest.fixture
def measure(pair):
    config = LeCDSRConfig(
        "LeCDSR", config_dict={**pair, "metrics": ["Hit", "NDCG", "MRR"], "topk": [10]}, command_line=[]
    )
    return lambda rank: rank_metrics(RankCollector(config), Evaluator(config), rank, DOMAIN)


def test_the_evaluators_metrics_are_means_of_those_of_samples(measure):
    found = measure(RANK)
    parts = {"source": DOMAIN == 0, "target": DOMAIN == 1, "overall": DOMAIN >= 0}
    assert found.keys() == parts.keys()
    for part, chosen in parts.items():
        expected = {name: per_sample(RANK[chosen], name).mean() for name in ("hit@10", "ndcg@10", "mrr@10", "mrr")}
        assert found[part] == pytest.approx(expected, abs=1e-9)


def test_a_domain_that_is_not_scored_has_no_metrics_and_neither_have_both_together(measure):
    assert measure(np.where(DOMAIN == 0, 0, RANK)).keys() == {"target"}
    assert measure(np.zeros_like(RANK)) == {}


def test_nothing_has_no_overall():
    assert add_overall({}, {"source": 1, "target": 1}) == {}


def test_top_items_are_counted_for_the_chosen_samples_only(finished):
    _, model, dataset, *_, test_data = load_data_and_model(finished["folder"] / "model.pth")
    source = test_data.domain == 0
    top = TopItems(test_data, k=3)
    top.add(model, source)
    assert top.counts[0].sum() == 3 * source.sum() and not top.counts[1].any()
    assert set(np.flatnonzero(top.counts[0])) <= set(dataset.domain_items[0].tolist())
    (shown,) = top.summary().values()
    counts, popularity = top.counts[0], training_popularity(dataset)
    assert shown == {
        "coverage@3": np.count_nonzero(counts) / len(dataset.domain_items[0]),
        "average_popularity@3": pytest.approx(np.average(popularity, weights=counts)),
    }
