"""What Tri-CDR trains on: the columns of a target-domain window with a target, and how far each may read."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class TrainingColumns(NamedTuple):
    """Three windows of B rows, and T columns of the target-domain window with an item to predict.

    Windows are left-padded and without gaps, (B, L) int64; the other attributes are (T,) int64 unless noted.

    Attributes:
        mixed, source, target: q_m, q_s and q_t; "source" is the domain other than the one that is predicted.
        row, column: of each query, in q_t.
        positive: g, the item to predict.
        mixed_last: a, the column of the mixed window whose next interaction is the positive: the last one to read.
        source_last: b, the last column of q_s that the query may read; −1 for none.
        is_viewed: (T,) bool, queries of the newest column of rows with a source interaction: they are contrasted.
    """

    mixed: Tensor
    source: Tensor
    target: Tensor
    row: Tensor
    column: Tensor
    positive: Tensor
    mixed_last: Tensor
    source_last: Tensor
    is_viewed: Tensor


def training_columns(
    mixed: Tensor,
    mixed_place: Tensor,
    item: Tensor,
    place: Tensor,
    *,
    domain: int,
    next_item: Tensor,
    next_domain: Tensor,
    trained: Tensor,
    published: bool = False,
) -> TrainingColumns:
    """Queries of a direction, for rows that are trained on as whole sequences.

    In q_t of a row whose next interaction is of the domain, the newest column predicts it. In other rows the newest
    interaction of the domain is predicted by the one before it.

    Args:
        mixed, mixed_place: (B, L) int64, the mixed window, and the place of its interactions in the history, from 1.
        item, place: (B, 2, L) int64, likewise of each domain (`recbole_lecdsr.data.domain_windows`).
        domain: the target domain of the direction.
        next_item, next_domain: (B,) int64, the interaction after the newest one of each row.
        trained: (B, L) int64, nonzero where the interaction after a position of the mixed window is trained on.
        published: a query that has no source interaction to read reads column 0, which may be later.
    """
    length = mixed.shape[1]
    next_place = mixed_place[:, -1:] + 1
    window, window_place, source = item[:, domain], place[:, domain], item[:, 1 - domain]
    is_next = (next_domain == domain).unsqueeze(1)
    target = torch.where(is_next, window, _shift_right(window))
    positive = torch.where(is_next, torch.cat([window[:, 1:], next_item.unsqueeze(1)], dim=1), window)
    positive_place = torch.where(is_next, torch.cat([window_place[:, 1:], next_place], dim=1), window_place)
    mixed_last = length - 1 - (next_place - positive_place)
    is_trained = trained.gather(1, mixed_last.clamp(min=0)).ne(0) & (mixed_last >= 0)
    # Places ascend from the padding's 0, so the count of those before the positive gives the newest column.
    source_last = torch.searchsorted(place[:, 1 - domain].contiguous(), positive_place.contiguous()) - 1
    is_found = source.gather(1, source_last.clamp(min=0)).ne(0) & (source_last >= 0)
    source_last = torch.where(is_found, source_last, 0 if published else -1)
    row, column = torch.nonzero(target.ne(0) & is_trained, as_tuple=True)
    return TrainingColumns(
        mixed=mixed,
        source=source,
        target=target,
        row=row,
        column=column,
        positive=positive[row, column],
        mixed_last=mixed_last[row, column],
        source_last=source_last[row, column],
        is_viewed=(column == length - 1) & source[row, -1].ne(0),
    )


def _shift_right(window: Tensor) -> Tensor:
    """Without the newest interaction: (B, L) -> (B, L)."""
    return torch.cat([torch.zeros_like(window[:, :1]), window[:, :-1]], dim=1)
