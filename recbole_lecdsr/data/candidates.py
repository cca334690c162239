"""Candidates of validation and test samples: drawn once, stored, the same for every model (docs/protocol.md, 6)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

logger = logging.getLogger(__name__)

_CELLS_AT_A_TIME = 1 << 24  # candidates, or random keys, drawn in one piece
_MAX_REDRAWS = 200
_CHECKSUM = hashlib.sha256().digest_size  # bytes at the end of a file, after the array; np.load passes over them


@dataclass(frozen=True)
class CandidateSpec:
    """How the candidates of a validation or test sample are chosen.

    Attributes:
        mode: ``full`` (every item of the target's domain), ``uniN`` or ``popN``.
        repeatable: False: in sampled ranking no candidate is an item that the user has in any split, in full ranking
            none is an item that the user is known to have had before the target.
        seed: of the draw.

    Example:
        >>> CandidateSpec("pop99", repeatable=False, seed=2022).num
        99
    """

    mode: str
    repeatable: bool
    seed: int

    @property
    def num(self) -> int | None:
        """N, or None for full ranking."""
        return None if self.mode == "full" else int(self.mode[3:])

    @property
    def by_popularity(self) -> bool:
        """Whether candidates are drawn in proportion to their number of training interactions."""
        return self.mode.startswith("pop")


@dataclass(frozen=True)
class Candidates:
    """The negatives of each sample of a split, and a digest that two equal sets share.

    Attributes:
        spec: how they were chosen.
        items: (S, N) int32, row s holds the candidates of sample s without its target; None for full ranking.
        digest: 16 hexadecimal digits, from `candidate_digest`.
    """

    spec: CandidateSpec
    items: np.ndarray | None
    digest: str


def candidate_digest(
    spec: CandidateSpec,
    phase: str,
    *,
    log: EventLog,
    targets: np.ndarray,
    domain_items: tuple[np.ndarray, np.ndarray],
) -> str:
    """Digest of everything that determines a candidate set.

    With ``popN`` that includes which interactions are training data, since their numbers are the popularity.

    Args:
        spec: how candidates are chosen.
        phase: ``valid`` or ``test``.
        log: all interactions.
        targets: (S,) int64 indices of the samples' targets in the log.
        domain_items: ids of the items of the source and of the target domain, int64.

    Returns:
        16 hexadecimal digits.
    """
    arrays = [log.user, log.item, log.domain, targets, *domain_items]
    if spec.by_popularity:
        arrays.append(log.split == TRAIN)
    digest = hashlib.sha256(json.dumps([spec.mode, spec.repeatable, spec.seed, phase]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def draw_candidates(
    spec: CandidateSpec,
    *,
    pool: DomainItems,
    excluded: UserItemIndex | None,
    user: Tensor,
    positive: Tensor,
    domain: Tensor,
) -> np.ndarray:
    """Draw N distinct negatives for each sample, of the target's domain and never the target.

    Args:
        spec: mode (``uniN`` or ``popN``) and seed.
        pool: items of each domain, on the CPU; weighted by popularity for ``popN``.
        excluded: items that are no candidates of their user, or None.
        user, positive, domain: (S,) int64: users, targets and the targets' domains.

    Returns:
        (S, N) int32.

    Raises:
        UserError: a sample has fewer than N items to draw from.
        ValueError: the mode is ``full``.
    """
    num = spec.num
    if num is None:
        raise ValueError("full ranking draws no candidates")
    result = np.empty((len(user), num), dtype=np.int32)
    if not len(user):
        return result
    drawer = _CandidateDrawer(pool, excluded, num, torch.Generator().manual_seed(spec.seed))
    drawer.require_enough_items(spec.mode, user, positive, domain)
    rows = max(1, _CELLS_AT_A_TIME // num)
    for start in range(0, len(user), rows):
        part = slice(start, start + rows)
        result[part] = drawer.draw(user[part], positive[part], domain[part]).numpy()
    return result


@dataclass(frozen=True)
class _CandidateDrawer:
    """Draws ``num`` distinct items for each sample."""

    pool: DomainItems
    excluded: UserItemIndex | None
    num: int
    generator: torch.Generator

    def require_enough_items(self, mode: str, user: Tensor, positive: Tensor, domain: Tensor) -> None:
        """Refuse samples with fewer than N eligible items: those of the domain that can be drawn and are neither
        excluded nor the target."""
        drawable = self.pool.drawable
        eligible = drawable.sum(dim=1)[domain] - drawable[domain, positive].long()
        if self.excluded is not None:
            owner, item = self.excluded.pairs()
            for code in range(len(DOMAINS)):
                taken = torch.bincount(owner[drawable[code, item]], minlength=int(user.max()) + 1)
                here = domain == code
                has_target = self.excluded.contains(user[here], positive[here]) & drawable[code, positive[here]]
                eligible[here] -= taken[user[here]] - has_target.long()
        too_few = int((eligible < self.num).sum())
        if too_few:
            fewest, row = eligible.min(dim=0)
            remedies = ["full", *([f"a number up to {fewest}"] if fewest else [])]
            remedies += ["or repeatable: True"] if self.excluded is not None else []
            raise UserError(
                f"eval_args.mode: {mode} needs {self.num} candidates for each sample, but {too_few} of {len(user)} "
                f"samples have fewer items to draw from (one in the {DOMAINS[int(domain[row])]} domain has {fewest}): "
                f"use {', '.join(remedies)}"
            )

    def draw(self, user: Tensor, positive: Tensor, domain: Tensor) -> Tensor:
        """(B,) int64 each -> (B, N) int64.

        Repeated and excluded items are redrawn until every row is valid. Where N is a large part of a domain, that
        would take long, and random keys are drawn instead.
        """
        if self.num * 4 > int(self.pool.size.min()):
            return self._draw_by_keys(user, positive, domain)
        drawn = self.pool.draw(domain, positive, self.num, self.generator)
        rows = torch.arange(len(user))
        for _ in range(_MAX_REDRAWS):
            part = drawn[rows]
            invalid = _repeats_earlier_column(part)
            if self.excluded is not None:
                invalid |= self.excluded.contains(user[rows, None], part)
            keep = invalid.any(dim=1)
            if not keep.any():
                return drawn
            rows, invalid = rows[keep], invalid[keep]
            row, column = torch.nonzero(invalid, as_tuple=True)
            row = rows[row]
            drawn[row, column] = self.pool.draw(domain[row], positive[row], 1, self.generator)[:, 0]
        drawn[rows] = self._draw_by_keys(user[rows], positive[rows], domain[rows])
        return drawn

    def _draw_by_keys(self, user: Tensor, positive: Tensor, domain: Tensor) -> Tensor:
        """Exact draw without replacement: each item of the domain gets an exponential key divided by its weight, and
        the N smallest keys win."""
        pool = self.pool
        drawn = torch.empty((len(user), self.num), dtype=torch.int64)
        for code in range(len(DOMAINS)):
            rows = torch.nonzero(domain == code).flatten()
            if not len(rows):
                continue  # a domain without samples may have fewer than N items
            of_domain = slice(int(pool.start[code]), int(pool.start[code] + pool.size[code]))
            items = pool.flat[of_domain]
            for part in rows.split(max(1, _CELLS_AT_A_TIME // max(len(items), 1))):
                key = torch.empty((len(part), len(items)), dtype=torch.float64).exponential_(generator=self.generator)
                if pool.weight is not None:
                    key /= pool.weight[of_domain]
                key[items == positive[part, None]] = torch.inf
                if self.excluded is not None:
                    key[self.excluded.contains(user[part, None], items)] = torch.inf
                drawn[part] = items[key.topk(self.num, dim=1, largest=False).indices]
        return drawn


def _repeats_earlier_column(items: Tensor) -> Tensor:
    """(B, N) bool: does an earlier column of the row hold the same item?"""
    ordered, order = items.sort(dim=1, stable=True)
    same = torch.zeros_like(items, dtype=torch.bool)
    same[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(same).scatter_(1, order, same)


def stored_candidates(
    folder: Path, phase: str, *, spec: CandidateSpec, digest: str, draw: Callable[[], np.ndarray]
) -> Candidates:
    """Candidates from their file, or drawn and stored in it.

    The file is an array of NumPy followed by the SHA-256 of the digest and of that array's bytes. A file without it,
    or with another one, is drawn again: it is damaged, was written by something else, or holds the candidates of other
    samples. The checksum thus stands for shape, dtype, domain, distinctness and the absence of the targets. Where the
    folder cannot be written to, a warning says so.

    Args:
        folder: where the candidate files of the data set are.
        phase: ``valid`` or ``test``, for the file's name.
        spec: how candidates are chosen; for full ranking there is no file.
        digest: from `candidate_digest`; in the file's name, so that another split has another file.
        draw: makes the (S, N) int32 array.
    """
    if spec.num is None:
        return Candidates(spec, None, digest)
    path = folder / f"{phase}-{spec.mode}-{spec.seed}-{digest}.npy"
    try:
        return Candidates(spec, _read(path, digest), digest)
    except FileNotFoundError:
        pass
    except (ValueError, OSError) as error:
        logger.warning("%s cannot be read (%s); its candidates are drawn again", path, error)
    items = draw()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with write_whole(path, "w+b") as file:
            np.save(file, items)
            size = file.tell()
            file.seek(0)
            checksum = _checksum(file, size, digest)
            file.seek(size)
            file.write(checksum)
    except OSError as error:
        logger.warning("candidates are not stored (%s): each run draws the same ones again", error)
    return Candidates(spec, items, digest)


def _read(path: Path, digest: str) -> np.ndarray:
    """The array of a file, mapped read-only.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: its checksum is wrong or missing.
    """
    size = path.stat().st_size - _CHECKSUM
    with path.open("rb") as file:
        # The checksum comes first: what follows it needs no distrust, and damaged headers have no end of exceptions.
        if size <= 0 or _checksum(file, size, digest) != file.read(_CHECKSUM):
            raise ValueError("its checksum is missing or wrong")
    items: np.ndarray = np.load(path, mmap_mode="r")
    return items


def _checksum(file: IO[bytes], size: int, digest: str) -> bytes:
    """SHA-256 of a digest and of the next ``size`` bytes of a file."""
    checksum = hashlib.sha256(digest.encode())
    while size and (piece := file.read(min(size, 1 << 20))):
        checksum.update(piece)
        size -= len(piece)
    return checksum.digest()
