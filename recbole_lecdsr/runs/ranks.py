"""ranks.npz: the rank of the target of each test sample, written whole and read back checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.run_directory import RUN_AGAIN, write_run_file

# Array -> kinds of its dtype: whole numbers, texts, or truth values. Their order is that of the digest.
_KINDS = {
    "rank": "iu", "domain": "iu", "user": "U", "item": "U", "history": "iu", "popularity": "iu", "same_domain": "b",
}  # fmt: skip
_KIND_NAMES = {"iu": "whole numbers", "U": "texts", "b": "truth values"}
_LATER = frozenset({"same_domain"})  # arrays that files of early versions lack


@dataclass(frozen=True, eq=False)
class Samples:
    """The test samples, which all runs on the same data and split share.

    Attributes:
        domain: (S,) int8, 0 source, 1 target.
        user, item: (S,) str, tokens of the user and of the target item.
        history: (S,) int64, number of earlier interactions of the user.
        popularity: (S,) int64, number of training interactions of the target item.
        same_domain: (S,) bool, whether the user's last interaction before the target is in the target's domain, False
            where there is none; None in files of before it was recorded.
    """

    domain: np.ndarray
    user: np.ndarray
    item: np.ndarray
    history: np.ndarray
    popularity: np.ndarray
    same_domain: np.ndarray | None = None

    @cached_property
    def parts(self) -> dict[str, np.ndarray]:
        """``overall``, ``source`` and ``target`` (those that have samples) -> (S,) bool."""
        domains = {name: self.domain == code for code, name in enumerate(DOMAINS) if np.any(self.domain == code)}
        return {"overall": np.ones(len(self.domain), dtype=bool), **domains}


def write_ranks(
    path: Path,
    *,
    rank: np.ndarray,
    domain: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
    history: np.ndarray,
    popularity: np.ndarray,
    same_domain: np.ndarray,
) -> str:
    """Write ranks.npz, whose arrays have an entry for each test sample.

    Args:
        path: the file.
        rank: (S,) int64 from 1; 0 for all samples of a domain that the model does not score.
        domain: (S,) 0 source, 1 target.
        user, item: (S,) str, tokens of the user and of the target item.
        history: (S,) int64, number of earlier interactions of the user.
        popularity: (S,) int64, number of training interactions of the target item.
        same_domain: (S,) bool, whether the user's last interaction before the target is in the target's domain; False
            where there is none.

    Returns:
        The digest of the arrays, which result.json holds.

    Raises:
        UserError: the file cannot be written.
    """
    arrays = {
        "rank": rank, "domain": domain.astype(np.int8), "user": user.astype(str), "item": item.astype(str),
        "history": history, "popularity": popularity, "same_domain": same_domain,
    }  # fmt: skip
    with write_run_file(path, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes them for allow_pickle
    return _digest(arrays)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the content: the file itself holds the time at which it was written."""
    digest = hashlib.sha256()
    for name in filter(arrays.__contains__, _KINDS):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_ranks(path: Path, digest: str | None = None) -> tuple[np.ndarray, Samples]:
    """Read a ranks.npz.

    Args:
        path: the file.
        digest: that result.json holds; None where it holds none, as in version 0.1.0.

    Returns:
        (S,) int64 ranks from 1, 0 for all samples of a domain that the model does not score; and the samples.

    Raises:
        UserError: a file that cannot be read, lacks an array, has arrays of another type, of different lengths or with
            impossible values, or is not the one of the result.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _KINDS if name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {RUN_AGAIN}") from None
    except Exception as error:  # zipfile, zlib and NumPy raise errors of many kinds on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read ({reason}): {RUN_AGAIN}") from None
    if problem := _problem(arrays):
        raise UserError(f"{path} {problem}: {RUN_AGAIN}")
    if digest is not None and _digest(arrays) != digest:
        raise UserError(f"{path} is not the one that result.json was written with: {RUN_AGAIN}")
    return arrays.pop("rank").astype(np.int64), Samples(**arrays)


def _problem(arrays: Mapping[str, np.ndarray]) -> str:
    """What is wrong with arrays; empty if nothing is."""
    if absent := [name for name in _KINDS if name not in arrays and name not in _LATER]:
        return f"has no {', '.join(absent)}"
    if odd := [name for name, array in arrays.items() if array.dtype.kind not in _KINDS[name]]:
        return f"has an array {odd[0]} of {arrays[odd[0]].dtype} instead of {_KIND_NAMES[_KINDS[odd[0]]]}"
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or arrays["rank"].ndim != 1 or not len(arrays["rank"]):
        return f"has arrays of the shapes {sorted(shapes)}, which must be one length of at least 1"
    rank, domain = arrays["rank"], arrays["domain"]
    if not np.isin(domain, range(len(DOMAINS))).all():
        return "has a domain other than 0 and 1"
    if min(arrays["history"].min(), arrays["popularity"].min()) < 0:
        return "has a negative history or popularity"
    by_domain = [rank[domain == code] for code in range(len(DOMAINS))]
    if not rank.any() or any(ranks.min() < 1 for ranks in by_domain if ranks.any()):
        return "has a rank that is not a whole number from 1 on, or 0 for all samples of one domain"
    return ""
