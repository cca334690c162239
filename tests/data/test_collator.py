from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.data.collator import SequenceCollator
from tests.helpers.event_logs import make_log
from tests.helpers.pairs import interactions_of_length, write_pair
from tests.helpers.runs import load


def collator(pair, **changes) -> SequenceCollator:
    dataset = load(pair, MAX_ITEM_LIST_LENGTH=3, **changes)
    log = make_log((1, 1, 0, 1.0), (1, 2, 1, 2.0), (1, 3, 0, 3.0), (2, 2, 1, 5.0), (2, 1, 0, 7.0))
    return SequenceCollator(dataset.config, dataset, log)


def test_a_batch_has_targets_and_their_windows(pair):
    batch = collator(pair)(torch.tensor([2, 4]))
    assert {name: values.tolist() for name, values in batch.interaction.items()} == {
        "user_id": [1, 2],
        "item_id": [3, 1],
        "domain": [0, 0],
        "n_earlier": [2, 1],
        "item_id_list": [[0, 1, 2], [0, 0, 2]],
        "position_id": [[0, 1, 1], [0, 0, 1]],
        "domain_list": [[0, 0, 1], [0, 0, 1]],
        "relative_time_list": [[0, 0.25, 0.5], [0, 0, 0.75]],
        "item_length": [2, 1],
    }


WINDOWS = {"mixed": [[1, 2, 3], [1, 2, 3]], "single": [[0, 1, 3], [0, 0, 2]]}


@pytest.mark.parametrize("sequence", WINDOWS)
def test_a_batch_of_next_interactions_has_unknown_items(pair, sequence):
    batch = collator(pair, sequence=sequence).collate_next(torch.tensor([2, 2]), torch.tensor([0, 1]))
    assert batch["item_id"].tolist() == [0, 0] and batch["domain"].tolist() == [0, 1]
    assert batch["user_id"].tolist() == [1, 1]
    assert batch["item_id_list"].tolist() == WINDOWS[sequence]


def test_windows_of_each_domain_come_beside_the_mixed_one_where_they_are_asked_for(tmp_path):
    settings = write_pair(tmp_path / "dataset", interactions_of_length([9] * 3))
    dataset = load(settings, MAX_ITEM_LIST_LENGTH=4)
    config = {**dataset.config.final_config_dict, "sequence": "mixed_and_single"}
    targets = torch.from_numpy(dataset.targets("test"))
    batch = SequenceCollator(config, dataset)(targets)
    member = torch.zeros(2, dataset.num_total_item, dtype=torch.bool)
    for domain, items in enumerate(dataset.domain_items):
        member[domain, torch.from_numpy(items)] = True
    assert batch["place_list"].tolist() == [[5, 6, 7, 8]] * 3
    for row in range(3):
        mixed = dict(zip(batch["place_list"][row].tolist(), batch["item_id_list"][row].tolist(), strict=True))
        for domain in range(2):
            items, places = batch["domain_item_list"][row, domain], batch["domain_place_list"][row, domain]
            assert member[domain, items[items > 0]].all()
            found = dict(zip(places.tolist(), items.tolist(), strict=True))
            assert {k: v for k, v in found.items() if k >= 5} == {k: v for k, v in mixed.items() if member[domain, v]}
    assert "place_list" not in SequenceCollator(dataset.config, dataset)(targets)
