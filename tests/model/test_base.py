"""The model contract: its defaults, and what LeCDSR makes of it."""

from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.quick_start import load_dataset
from recbole_lecdsr.schema import Parameter
from tests.helpers.pairs import PER_TARGET, random_events, write_pair
from tests.helpers.runs import loaders, train


def test_a_subclass_adds_to_the_parameters_of_its_base_and_may_redeclare_one():
    class One(CrossDomainSequentialRecommender):
        hyperparameters = (Parameter("width", int, "a width"), Parameter("depth", int, "a depth", default=1))

    class Two(One):
        hyperparameters = (Parameter("depth", int, "a depth", default=2),)

    found = {parameter.name: parameter.default for parameter in Two.declared_parameters()}
    assert found == {"depth": 2, "width": None}
    assert CrossDomainSequentialRecommender.declared_parameters() == ()


def test_a_model_that_reads_no_windows_of_domains_is_not_given_them():
    with pytest.raises(UserError, match="cannot read sequence: mixed_and_single; use mixed or single"):
        LeCDSRConfig("SASRec", config_dict={"sequence": "mixed_and_single"}, command_line=[])


def test_a_model_that_cannot_learn_from_sequences_refuses_them_before_data_are_read():
    values = {"train_samples": "sequences", "sequence": "mixed"}
    assert CrossDomainSequentialRecommender.check_parameters(values) == [
        "CrossDomainSequentialRecommender cannot learn from train_samples: sequences; use targets"
    ]
    with pytest.raises(UserError, match="SASRec cannot learn from train_samples: sequences; use targets"):
        load_dataset("SASRec", config_dict={"train_samples": "sequences", "data_path": "absent"})


@pytest.mark.parametrize("changes", [{}, {**PER_TARGET, "ema_decay": 0.5}], ids=["causal", "published"])
def test_scores_of_lecdsr_are_inner_products_of_query_and_item_vectors(tmp_path, changes):
    pair = {**write_pair(tmp_path, random_events()), **changes, "score_fusion": False}
    data = load_dataset("LeCDSR", config_dict=pair)
    model = data.config.model_class(data.config, data).eval()
    assert model.has_inner_product_scores
    batch, _, _ = next(iter(loaders(pair)[2]))
    with torch.no_grad():
        product = model.query(batch) @ model.item_vectors().T
        assert torch.allclose(model.full_sort_predict(batch), product, atol=1e-5)
        items = torch.randint(1, model.total_num_items, (len(batch), 4))
        batch.interaction["item_id"] = items
        assert torch.allclose(model.predict(batch), product.gather(1, items), atol=1e-5)


def test_a_model_names_the_features_that_it_reads():
    values = {"no_item_semantics": False, "no_user_profile": True, "network": "causal", "time_embedding_size": 4}
    assert LeCDSR.required_features(values) == {"item_text", "time"}
    assert LeCDSR.required_features({**values, "network": "published", "no_user_profile": False}) == {
        "item_text", "user_text",
    }  # fmt: skip
    assert CrossDomainSequentialRecommender.required_features({}) == set()


class Scheduled(LeCDSR):
    """Half the rate for the items' table, and a warm-up of two epochs; counts what the trainer calls."""

    calls: list[object]

    def parameter_groups(self):
        table = self.network.item_id.weight
        rest = [parameter for parameter in self.parameters() if parameter is not table]
        return [{"params": [table], "lr": 0.005}, {"params": rest}]

    def learning_rate_factor(self, epoch, epochs_without_improvement):
        self.calls.append((epoch, epochs_without_improvement >= 0))
        return min(1.0, (epoch + 1) / 2)

    def set_phase(self, phase):
        self.calls.append(phase)


def test_the_trainer_follows_groups_schedule_and_phases(pair):
    model = type("LeCDSR", (Scheduled,), {"calls": [], "phases": {"WARM": "SOURCE"}})
    train(pair, model, train_epochs=["WARM:1", "BOTH:2"], score_fusion=False)
    assert model.calls == ["WARM", (0, True), "BOTH", (0, True), (1, True)]


def test_scoring_surrounds_what_is_ranked(pair):
    class Counting(LeCDSR):
        depth, seen = 0, []

        def scoring(self):
            from contextlib import contextmanager

            @contextmanager
            def block():
                type(self).depth += 1
                yield
                type(self).depth -= 1

            return block()

        def score(self, interaction, candidates):
            self.seen.append(self.depth)
            return super().score(interaction, candidates)

    train(pair, type("LeCDSR", (Counting,), {}), train_epochs=["BOTH:1"], score_fusion=False)
    assert Counting.seen and set(Counting.seen) == {1}
