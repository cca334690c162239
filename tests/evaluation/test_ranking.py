from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.domain_rows import DomainRows
from recbole_lecdsr.evaluation import ranking
from recbole_lecdsr.evaluation.ranking import rank_blocks, rank_samples, top_k


def test_ties_count_against_the_model():
    scores = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [3.0, 1.0, 0.0]])
    assert ranking.ranks_among(scores, torch.tensor([2.0, 0.0, 5.0])).tolist() == [3, 4, 1]


def dense_ranks(scores, target, allowed):
    """The definition, sample by sample: 1 + the other candidates that score at least as high."""
    return [
        1 + sum(bool(ok) and item != one and row[item] >= row[one] for item, ok in enumerate(candidates))
        for row, one, candidates in zip(scores.tolist(), target.tolist(), allowed.tolist(), strict=True)
    ]


def random_samples(size=23, n_items=17):
    """Scores with many ties, targets, candidates, and the same as parts of two domains that share an item."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 6, (size, n_items), generator=generator).float()
    domain = torch.randint(0, 2, (size,), generator=generator)
    domain_items = torch.arange(1, 9), torch.arange(8, n_items)
    hidden = torch.rand(size, n_items, generator=generator) < 0.2
    target, allowed, parts = torch.zeros(size, dtype=torch.int64), torch.zeros(size, n_items, dtype=torch.bool), []
    for code, items in enumerate(domain_items):
        rows = torch.nonzero(domain == code).flatten()
        column = torch.randint(0, len(items), (len(rows),), generator=generator)
        target[rows] = items[column]
        allowed[rows[:, None], items] = ~hidden[rows][:, items]
        parts.append(DomainRows(rows, items, column, torch.nonzero(hidden[rows][:, items], as_tuple=True)))
    return scores, target, allowed, parts


@pytest.mark.parametrize("cells", [1, 30, 40, 1 << 20])
@pytest.mark.parametrize("k", [0, 1, 4, 50])
def test_blocks_of_any_size_have_the_ranks_and_top_items_of_the_whole_table(cells, k, monkeypatch):
    monkeypatch.setattr(ranking, "_CPU_CELLS", cells)
    scores, target, allowed, parts = random_samples()
    assert (~allowed.gather(1, target[:, None])).any(), "some targets are in the history: ranking adds them"
    shapes = []

    def score_items(rows, items):
        shapes.append(len(rows) * len(items))
        return scores[rows][:, items]

    blocks = list(rank_blocks(score_items, parts, k))
    assert max(shapes) <= max(cells, 9), "no block is larger than it may be"
    rank = torch.zeros(len(scores), dtype=torch.int64)
    for rows, found, top_item, top_score in blocks:
        rank[rows] = found
        for row, items, values in zip(rows.tolist(), top_item.tolist(), top_score.tolist(), strict=True):
            candidates = torch.nonzero(allowed[row]).flatten().tolist()
            best = sorted(candidates, key=lambda item: -scores[row, item])[:k]  # stable: ties by the item
            kept = [item for item, value in zip(items, values, strict=True) if value > -torch.inf]
            assert kept == best
    assert rank.tolist() == dense_ranks(scores, target, allowed)


def test_full_and_sampled_ranks_agree_when_all_items_are_candidates():
    scores, target, _, parts = random_samples()
    parts = [part._replace(hidden=(part.rows[:0], part.rows[:0])) for part in parts]
    for part in parts:
        for block in rank_blocks(lambda rows, items: scores[rows][:, items], [part], 0):
            for row, rank in zip(block.rows.tolist(), block.rank.tolist(), strict=True):
                others = scores[row, part.items[part.items != target[row]]]
                assert ranking.ranks_among(others[None], scores[row, target[row]][None]).item() == rank


class WholeTable:
    """Scores from a table."""

    def __init__(self, scores):
        self.scores = scores

    def item_scorer(self, batch):
        return lambda rows, items: self.scores[batch][rows][:, items]


class Samples:
    """Two batches of samples, of which each has both domains."""

    phase = "test"

    def __init__(self, batches):
        self.batches, self.targets = batches, np.zeros(sum(len(rows) for rows, _ in batches))

    def __iter__(self):
        return ((rows, None, parts) for rows, parts in self.batches)


def test_ranks_are_in_the_order_of_the_samples_and_blocks_say_which_samples_they_hold():
    scores, target, allowed, parts = random_samples()
    again = torch.arange(len(scores)).flip(0)
    turned = [part._replace(rows=len(scores) - 1 - part.rows) for part in parts]
    samples = Samples([(torch.arange(len(scores)), parts), (again, turned)])
    seen = {}
    found = rank_samples(
        samples,
        WholeTable(scores),
        k=2,
        on_block=lambda index, block: seen.update(zip(index.tolist(), block.rank.tolist(), strict=True)),
    )
    expected = dense_ranks(scores, target, allowed)
    assert found.tolist() == expected + expected[::-1]
    assert [seen[sample] for sample in range(len(found))] == found.tolist()


def test_scores_that_are_not_numbers_are_refused_instead_of_ranking_first():
    with pytest.raises(ranking.InvalidScoresError, match="not numbers"):
        ranking.ranks_among(torch.tensor([[1.0]]), torch.tensor([torch.nan]))
    scores, one = torch.tensor([[0.0, torch.nan, 1.0]]), torch.tensor([0])
    for target, hidden, refused in ((0, 2, True), (1, 0, True), (1, 1, True), (0, 1, False)):
        part = DomainRows(one, torch.arange(3), torch.tensor([target]), (one, torch.tensor([hidden])))
        with pytest.raises(ranking.InvalidScoresError, match="not numbers") if refused else nullcontext():
            list(rank_blocks(lambda rows, items: scores.clone(), [part], 0))


def test_equal_scores_keep_the_order_of_the_items():
    scores = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    column, value = top_k(scores, 2)
    assert column.tolist() == [[1, 2], [0, 1], [4, 3]]
    assert value.tolist() == [[2, 2], [5, 5], [5, 4]]
