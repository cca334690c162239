"""The benchmarks' data set in memory has what loaders and models use of a real one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.evaluation.metrics import ModelScorer
from recbole_lecdsr.evaluation.ranking import rank_samples
from recbole_lecdsr.model.score_fusion.wrapper import ScoreFusionMixin


@pytest.mark.parametrize("model", ["LeCDSR", "LeCDSR-paper"])
def test_random_interactions_are_learned_and_ranked(model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.delitem(sys.modules, "synthetic", raising=False)
    import synthetic

    small = {"embedding_size": 8, "MAX_ITEM_LIST_LENGTH": 5, "eval_args": {"mode": {"valid": "uni9", "test": "uni9"}}}
    config = synthetic.settings(model, "cpu", pair_path=str(tmp_path), **small)
    dataset = synthetic.RandomDataset(
        n_users=40, n_source=120, n_target=90, llm_size=12, min_history=config["MIN_ITEM_LIST_LENGTH"]
    )
    model_class = synthetic.model_class(config)
    assert issubclass(model_class, ScoreFusionMixin) == (model == "LeCDSR"), "as a run of this name has it"
    lecdsr = model_class(config, dataset)
    collator = SequenceCollator(config, dataset)
    losses = [
        sum(lecdsr.calculate_loss(batch)) for batch in TrainLoader(config, lecdsr.training_data(dataset), collator)
    ]
    assert losses and torch.stack(losses).isfinite().all()
    loader = EvalLoader(config, dataset, collator, "test")
    ranks = rank_samples(loader, ModelScorer(lecdsr.eval(), loader.item_field))
    assert len(ranks) == len(dataset.targets("test"))
    assert (ranks >= 1).all() and (ranks <= 10).all()
