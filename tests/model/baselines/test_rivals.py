"""What holds for every rival in its default variant: training, causality, scores, resumption.

What is particular to one of them is in its own file, with the numbers of its official implementation.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole_cdr.utils import get_model
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.loaders import train_loader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.c2dsr import C2DSR
from recbole_lecdsr.model.baselines.c2dsr_rows import corrupt, training_rows
from recbole_lecdsr.model.baselines.tricdr import TriCDR
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.registration import MODELS
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import assert_same_run, read_run, train

# Rival -> what makes it small and fast to learn beside `SMALL`.
RIVALS: dict[str, dict[str, object]] = {
    "ABXI": {"inner_size": 16, "domain_rank": 2, "invariant_rank": 2},
    "C2DSR": {"dropout_prob": 0.2, "next_item_weight": 0.7},
    "TriCDR": {},
    "LLM4CDSR": {},
    "LLMESR": {},
    "UniSRec": {"inner_size": 8, "n_experts": 2},
    "AlphaFuse": {"id_size": 3},
}
SMALL = {
    "embedding_size": 8, "learning_rate": 0.01, "train_batch_size": 16, "train_epochs": ["BOTH:5"], "stopping_step": 9,
}  # fmt: skip
OF_LECDSR = ("adapter_hidden_size", "embedding_size", "train_neg_sample_args")


@dataclass
class Trained:
    """A run of a rival, its settings, and the model that it ended with.

    Attributes:
        samples: validation and test samples together, so that the batch has samples of each user at two times.
    """

    settings: dict[str, object]
    outcome: dict[str, Any]
    config: LeCDSRConfig
    model: CrossDomainSequentialRecommender
    dataset: CrossDomainSequentialDataset
    samples: Interaction


@pytest.fixture(scope="module", params=RIVALS)
def rival(request, tmp_path_factory) -> Trained:
    root = tmp_path_factory.mktemp(request.param)
    pair = write_pair(root / "dataset", random_events(), size=10)
    pair = {name: value for name, value in pair.items() if name not in OF_LECDSR}
    settings = {**pair, **SMALL, **RIVALS[request.param], "model": request.param}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings)
        config, model, dataset, *_ = load_data_and_model(outcome["run_directory"])
    targets = np.concatenate([dataset.targets(phase) for phase in ("valid", "test")])
    samples = SequenceCollator(config, dataset)(torch.from_numpy(targets))
    return Trained(settings, outcome, config, model.eval(), dataset, samples)


def test_every_rival_is_tried():
    assert {name for name, module in MODELS.items() if ".baselines." in module} == RIVALS.keys()


def test_it_is_found_by_name(rival):
    assert get_model(rival.config["model"]) is type(rival.model)


# ------------------------------------------------------------------ training


def test_training_lowers_the_loss_and_ranks_both_domains(rival):
    result = rival.outcome["result"]
    losses = [sum(epoch["loss"]) for epoch in result["history"]]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.92 * losses[0], "further than by chance"
    assert all(0 < result["test"][domain]["mrr"] <= 1 for domain in ("source", "target"))


def test_a_checkpoint_has_what_is_trained_and_no_frozen_vectors(rival):
    weights = read_run(rival.outcome["run_directory"])["weights"]
    assert weights.keys() - {"_extra_state"} == {name for name, _ in rival.model.named_parameters()}


def test_a_resumed_run_is_the_unbroken_one(rival, tmp_path):
    settings = {**rival.settings, "output_dir": str(tmp_path)}
    train(settings, train_epochs=["BOTH:2"])
    assert_same_run(rival.outcome["run_directory"], train(settings, resume=True)["run_directory"])


@pytest.mark.parametrize("name", ["C2DSR", "TriCDR", "LLM4CDSR", "LLMESR"])
def test_several_processes_are_refused_in_one_line_where_losses_compare_rows(pair, name, monkeypatch):
    settings = {key: value for key, value in pair.items() if key not in OF_LECDSR}
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    with pytest.raises(UserError, match=rf"^{name} trains in one process only.*$"):
        LeCDSRConfig(name, config_dict=settings, command_line=[])


# ------------------------------------------------------------------ scores


def full_scores(model: CrossDomainSequentialRecommender, samples: Interaction) -> Tensor:
    with torch.no_grad(), model.scoring():
        return model.full_sort_predict(samples)


def test_scores_of_both_domains_are_finite_and_differ_from_item_to_item(rival):
    domain, items = rival.samples["domain"], rival.dataset.domain_items
    assert set(domain.tolist()) == {0, 1}
    scores = full_scores(rival.model, rival.samples)
    assert scores.shape == (len(domain), rival.dataset.num_total_item)
    for code in (0, 1):
        of_domain = scores[domain == code][:, items[code]]
        assert of_domain.isfinite().all() and (of_domain.std(dim=1) > 1e-4).all()


def test_scores_of_candidates_are_those_among_all_items(rival):
    """Of items of either domain, whatever that of the target."""
    model, samples = rival.model, rival.samples
    every = full_scores(model, samples)
    torch.manual_seed(0)
    items = torch.from_numpy(np.concatenate(rival.dataset.domain_items))
    candidates = items[torch.stack([torch.randperm(len(items))[:9] for _ in range(len(samples))])]
    own = torch.stack([torch.from_numpy(rival.dataset.domain_items[code])[:3] for code in samples["domain"].tolist()])
    with torch.no_grad():
        for chosen in (candidates, own):
            expected = every.gather(1, chosen)
            torch.testing.assert_close(model.score(samples, chosen), expected)
            torch.testing.assert_close(model.predict(with_items(samples, chosen)), expected)
        torch.testing.assert_close(model.predict(with_items(samples, own[:, 0])), every.gather(1, own[:, :1])[:, 0])
        torch.testing.assert_close(model.score_items(samples, items[:7]), every[:, items[:7]])
        torch.testing.assert_close(model.full_sort_predict(samples), every)
        if model.has_inner_product_scores:
            torch.testing.assert_close((model.query(samples) @ model.item_vectors().T)[:, items], every[:, items])


def with_items(samples: Interaction, items: Tensor) -> Interaction:
    return Interaction({**samples.interaction, "item_id": items})


# ------------------------------------------------------------------ causality


def perturbed(model: CrossDomainSequentialRecommender) -> CrossDomainSequentialRecommender:
    """A copy with weights that are large enough for every term to matter."""
    model = copy.deepcopy(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def other_items(rival: Trained) -> Tensor:
    """(n_items,) another item of the same domain for each item."""
    other = torch.zeros(rival.dataset.num_total_item, dtype=torch.int64)
    for items in rival.dataset.domain_items:
        other[torch.from_numpy(items)] = torch.from_numpy(np.roll(items, 1))
    return other


def test_a_score_depends_on_the_history_and_not_on_the_target(rival):
    model, samples = perturbed(rival.model), rival.samples
    scores, other = full_scores(model, samples), other_items(rival)
    torch.testing.assert_close(
        full_scores(model, with_items(samples, other[samples["item_id"]])), scores, rtol=0, atol=0
    )
    changed = full_scores(model, with_later_items(samples, other, column=-1))
    assert not torch.isclose(changed, scores, rtol=1e-3, atol=1e-3).all(dim=1).any(), "every sample has a history"


def test_a_score_does_not_depend_on_the_other_samples_such_as_later_ones_of_the_same_user(rival):
    model, samples = perturbed(rival.model), rival.samples
    assert (torch.bincount(samples["user_id"])[1:] == 2).all()
    scores, early = full_scores(model, samples), torch.arange(len(samples)) < len(samples) // 2
    torch.testing.assert_close(full_scores(model, samples[early]), scores[early], rtol=1e-4, atol=1e-4)


def with_later_items(batch: Interaction, other: Tensor, column: int) -> Interaction:
    """The same batch with other items in its windows from a column of the mixed window on."""
    fields = dict(batch.interaction)
    item = fields["item_id_list"].clone()
    item[:, column:] = other[item[:, column:]]
    fields["item_id_list"] = item
    if "domain_item_list" in fields:
        own, first = fields["domain_item_list"], fields["place_list"][:, column]
        is_later = fields["domain_place_list"] >= first[:, None, None]
        fields["domain_item_list"] = torch.where(is_later, other[own], own)
    return Interaction(fields)


def only_targets(batch: Interaction, kept: Tensor) -> Interaction:
    """The same batch, trained on some columns (L,) bool of its windows only."""
    return Interaction({**batch.interaction, "target_list": batch["target_list"] * kept})


# How many of the first parts of `calculate_loss`, where it has parts, are losses of next items.
_PARTS = {"ABXI": 2, "LLM4CDSR": 2, "LLMESR": 1}


def next_item_loss(model: CrossDomainSequentialRecommender, batch: Interaction, read: Interaction) -> Tensor:
    """Sum of the losses of next items.

    Args:
        model: in evaluation mode.
        batch: gives the targets and their negatives.
        read: gives the histories.
    """
    if isinstance(model, C2DSR):
        return _c2dsr_loss(model, batch, read)
    if isinstance(model, TriCDR):
        return _tricdr_loss(model, batch, read)
    histories = {name: read[name] for name in ("item_id_list", "domain_item_list") if name in read}
    losses = model.calculate_loss(Interaction({**batch.interaction, **histories}))
    return sum(losses[: _PARTS[type(model).__name__]]) if isinstance(losses, tuple) else losses


def _c2dsr_loss(model: C2DSR, batch: Interaction, read: Interaction) -> Tensor:
    """C2DSR takes targets from the window."""
    rows, histories = (
        training_rows(one["item_id_list"], one["domain_list"], one["item_id"], one["domain"], one["target_list"])
        for one in (batch, read)
    )
    corrupted = corrupt(histories.mixed, batch["domain_list"], model.domain_items)
    losses = model.network.losses(rows._replace(mixed=histories.mixed, own=histories.own), corrupted, 99)
    return (losses.mixed + losses.own).sum()


def _tricdr_loss(model: TriCDR, batch: Interaction, read: Interaction) -> Tensor:
    """Tri-CDR takes targets from the windows."""
    total = torch.zeros(())
    for domain in (0, 1):
        (columns, negative), (histories, _) = (model.queries(one, domain) for one in (batch, read))
        columns = columns._replace(mixed=histories.mixed, source=histories.source, target=histories.target)
        total = total + model.direction(domain).losses(columns, negative).rec
    return total


def leaks(rival: Trained) -> bool:
    """Whether the loss of a target depends on the target's own place in the window, or on a later one."""
    model = perturbed(rival.model)
    batch = next(iter(train_loader(rival.config, rival.dataset, SequenceCollator(rival.config, rival.dataset))))
    length = batch["item_id_list"].shape[1]
    column = length - 2  # its item is the target of the column before it
    later = torch.arange(length) >= column
    read = with_later_items(batch, other_items(rival), column)
    losses = []
    for kept in (~later, later):
        targets = only_targets(batch, kept)
        assert targets["target_list"].ne(0).sum() > 9
        with torch.no_grad():
            losses.append([next_item_loss(model, targets, only_targets(one, kept)) for one in (batch, read)])
    (early, early_changed), (late, late_changed) = losses
    assert early > 0 and not torch.isclose(late, late_changed, rtol=1e-3), "a change is seen where it may be"
    return not torch.isclose(early, early_changed, rtol=1e-5)


@pytest.mark.parametrize("rival", [name for name in RIVALS if name != "AlphaFuse"], indirect=True)
def test_the_loss_of_a_target_does_not_depend_on_it_as_an_input_or_on_later_interactions(rival):
    """AlphaFuse learns one target from a window, which is not in it."""
    assert not leaks(rival)


@pytest.mark.parametrize("rival", [name for name in RIVALS if name != "AlphaFuse"], indirect=True)
def test_a_mask_that_shows_one_column_too_many_is_noticed(rival, monkeypatch):
    """The test above would see a leak."""
    if rival.config["model"] == "ABXI":  # as published, padding has the share of all that the mask hides
        monkeypatch.setattr(rival.model.network, "mask_padding", True)
    original = Tensor.tril
    monkeypatch.setattr(Tensor, "tril", lambda mask, diagonal=0: original(mask, diagonal + 1))
    assert leaks(rival)
