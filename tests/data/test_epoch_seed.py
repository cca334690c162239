from __future__ import annotations

from recbole_lecdsr.data.epoch_seed import epoch_seed


def test_seeds_and_epochs_share_no_number_nor_the_one_after_it():
    seeds = [epoch_seed(seed, epoch) for seed in range(2020, 2026) for epoch in range(500)]
    assert len({number for seed in seeds for number in (seed, seed + 1)}) == 2 * len(seeds)


def test_the_numbers_are_those_of_runs_that_have_been_recorded():
    assert epoch_seed(2022, 7) == (2022 * 1_000_003 + 7) * 2
