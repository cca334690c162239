from __future__ import annotations

from tests.helpers.pairs import interactions_of_length, write_pair
from tests.helpers.runs import load, loaders


def array_bytes(owner: object) -> int:
    return sum(value.nbytes for value in vars(owner).values() if hasattr(value, "nbytes"))


def test_memory_of_the_log_grows_with_interactions_and_not_with_the_length_of_windows(tmp_path):
    small = write_pair(tmp_path / "small", interactions_of_length([50] * 20))
    large = write_pair(tmp_path / "large", interactions_of_length([50] * 80))
    logs = [load(settings, MAX_ITEM_LIST_LENGTH=length).log for settings in (small, large) for length in (5, 500)]
    assert array_bytes(logs[0]) == array_bytes(logs[1])
    assert array_bytes(logs[2]) == array_bytes(logs[3]) == 4 * array_bytes(logs[0])
    assert array_bytes(logs[0]) <= 38 * len(logs[0])


def test_loaders_keep_no_windows(tmp_path):
    settings = write_pair(tmp_path / "dataset", interactions_of_length([50] * 20))
    for length in (5, 500):
        train, valid, test = loaders(settings, MAX_ITEM_LIST_LENGTH=length)
        size = len(train.dataset.log)
        assert array_bytes(train.collator.gatherer) <= 38 * size + 8 * length
        assert array_bytes(train) + array_bytes(train._windows) <= 32 * size
        assert all(array_bytes(loader) <= 32 * size for loader in (valid, test))
