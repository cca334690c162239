"""Candidates of validation and test samples: drawn once, stored, the same for every model."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

logger = logging.getLogger(__name__)

_CHUNK_CELLS = 1 << 24  # candidate cells drawn at a time


@dataclass(frozen=True)
class CandidateSpec:
    """How the candidates of a test sample are chosen.

    Attributes:
        mode: ``full`` (every item of the target's domain), ``uniN`` or ``popN``.
        repeatable: False: no item the user had (sampled), or no item of the user's history (full).
        seed: of the draw.
    """

    mode: str
    repeatable: bool
    seed: int

    @property
    def num(self) -> int | None:
        """N, or None for full ranking."""
        return None if self.mode == "full" else int(self.mode[3:])


@dataclass(frozen=True)
class Candidates:
    """The negatives of each sample of a split, and a digest that two equal sets share.

    Attributes:
        items: (S, N) int32, row s the candidates of sample s beside its target; None for full ranking.
        digest: 16 hexadecimal digits of the samples and the way of drawing.
    """

    spec: CandidateSpec
    items: np.ndarray | None
    digest: str


def candidate_digest(spec: CandidateSpec, phase: str, *arrays: np.ndarray) -> str:
    """Digest of what determines a candidate set: the samples, the items of each domain, the way of drawing."""
    digest = hashlib.sha256(json.dumps([spec.mode, spec.repeatable, spec.seed, phase]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def draw_candidates(
    pool: DomainItems, own: UserItemIndex | None, user: Tensor, positive: Tensor, domain: Tensor, spec: CandidateSpec
) -> np.ndarray:
    """Draw N distinct negatives for each sample, of the target's domain and never the target.

    Args:
        pool: items of each domain, on the CPU, with popularity for ``popN``.
        own: items no candidate of their user may be, or None.
        user, positive, domain: (S,) int64.
        spec: mode and seed.

    Returns:
        (S, N) int32.

    Raises:
        UserError: fewer than N items to draw from.
    """
    num = spec.num
    _check_enough(pool, own, user, positive, domain, num)
    generator = torch.Generator().manual_seed(spec.seed)
    result = np.empty((len(user), num), dtype=np.int32)
    rows = max(1, _CHUNK_CELLS // num)
    for start in range(0, len(user), rows):
        part = slice(start, start + rows)
        drawn = _draw_distinct(pool, own, user[part], positive[part], domain[part], num, generator)
        result[part] = drawn.numpy()
    return result


def _check_enough(pool, own, user, positive, domain, num: int) -> None:
    """Every sample must have N eligible items: those of the domain less the user's own less the target."""
    eligible = pool.size[domain] - 1
    if pool.mass is not None:
        count = torch.stack([((pool.place[d] >= 0) & _has_mass(pool)).sum() for d in range(2)])
        eligible = count[domain] - _has_mass(pool)[positive].long()
    if own is not None:
        owner, item = own.keys // own.n_items, own.keys % own.n_items
        eligible_item = pool.member & (_has_mass(pool) if pool.mass is not None else True)
        for d in range(2):
            taken = torch.bincount(owner[eligible_item[d, item]], minlength=int(user.max()) + 1)
            here = domain == d
            has_target = own.contains(user[here], positive[here]) & eligible_item[d, positive[here]]
            eligible[here] -= taken[user[here]] - has_target.long()
    short = torch.nonzero(eligible < num).flatten()
    if len(short):
        worst = int(eligible.min())
        raise UserError(
            f"eval_args.mode asks for {num} candidates, but {len(short)} of {len(user)} samples have fewer items to "
            f"draw from in their {DOMAINS[int(domain[short[0]])]} domain (the worst {worst}): "
            f"use full, a number up to {worst}, or repeatable: True"
        )


def _has_mass(pool: DomainItems) -> Tensor:
    """(n_items,) bool: does the item have popularity?"""
    has = torch.zeros(pool.n_items, dtype=torch.bool)
    has[pool.flat[pool.mass > 0]] = True
    return has


def _draw_distinct(pool, own, user, positive, domain, num: int, generator) -> Tensor:
    """Draw, redraw what is repeated or owned, until every row is N distinct items; by random keys when N is
    a large part of a domain and redrawing would take long."""
    if num * 4 > int(pool.size.min()):
        return _draw_by_keys(pool, own, user, positive, domain, num, generator)
    drawn = pool.draw(domain, positive, num, generator)
    rows = torch.arange(len(user))
    for _ in range(200):
        part = drawn[rows]
        bad = _repeated(part)
        if own is not None:
            bad |= own.contains(user[rows, None], part)
        keep = bad.any(dim=1)
        if not keep.any():
            return drawn
        rows, bad = rows[keep], bad[keep]
        row, column = torch.nonzero(bad, as_tuple=True)
        row = rows[row]
        drawn[row, column] = pool.draw(domain[row], positive[row], 1, generator)[:, 0]
    drawn[rows] = _draw_by_keys(pool, own, user[rows], positive[rows], domain[rows], num, generator)
    return drawn


def _repeated(items: Tensor) -> Tensor:
    """(B, N) bool: has an earlier column of the row the same item?"""
    ordered, order = items.sort(dim=1, stable=True)
    same = torch.zeros_like(items, dtype=torch.bool)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(same).scatter_(1, order, same)


def _draw_by_keys(pool, own, user, positive, domain, num: int, generator) -> Tensor:
    """Exact draw without replacement: one exponential key per item of the domain, divided by its weight; the N
    smallest win."""
    drawn = torch.empty((len(user), num), dtype=torch.int64)
    for d in range(2):
        rows = torch.nonzero(domain == d).flatten()
        items = pool.flat[pool.start[d] : pool.start[d] + pool.size[d]]
        for part in rows.split(max(1, _CHUNK_CELLS // max(len(items), 1))):
            key = torch.empty((len(part), len(items)), dtype=torch.float64).exponential_(generator=generator)
            if pool.mass is not None:
                key /= pool.mass[pool.start[d] : pool.start[d] + pool.size[d]]
            key[items == positive[part, None]] = torch.inf
            if own is not None:
                key[own.contains(user[part, None], items)] = torch.inf
            drawn[part] = items[key.topk(num, dim=1, largest=False).indices]
    return drawn


def stored_candidates(
    folder: Path, name: str, spec: CandidateSpec, digest: str, draw: Callable[[], np.ndarray]
) -> Candidates:
    """Candidates from their file, or drawn and stored.

    Args:
        folder: where candidate files of the data set lie.
        name: phase, for the file's name.
        spec: what they are.
        digest: from `candidate_digest`; part of the file's name, so that another split never meets them.
        draw: makes the (S, N) array.
    """
    if spec.num is None:
        return Candidates(spec, None, digest)
    path = folder / f"{name}-{spec.mode}-{spec.seed}-{digest}.npy"
    if path.exists():
        try:
            return Candidates(spec, np.load(path, mmap_mode="r"), digest)
        except (ValueError, OSError):
            logger.warning("%s cannot be read and is drawn again", path)
    items = draw()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with write_whole(path, "wb") as file:
            np.save(file, items)
    except OSError as error:
        logger.warning("candidates are not stored (%s); they are drawn again each time, to the same result", error)
    return Candidates(spec, items, digest)
