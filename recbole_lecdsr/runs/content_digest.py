"""A digest of tensors and plain data, independent of how a file stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def content_digest(value: object) -> str:
    """SHA-256 of nested mappings and sequences of tensors, numbers and texts: types, values, order, shapes and dtypes.

    A gigabyte takes about a second. The device of a tensor plays no part.

    Raises:
        TypeError: a value of another kind.

    Example:
        >>> content_digest({"a": torch.ones(2)}) == content_digest({"a": torch.ones(2, dtype=torch.float64)})
        False
    """
    digest = hashlib.sha256()
    _update(digest, value)
    return digest.hexdigest()


def _update(digest: Any, value: object) -> None:
    # The length before what has parts keeps different nestings apart.
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key, item in value.items():
            _update(digest, key)
            _update(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(f"sequence {len(value)} ".encode())
        for item in value:
            _update(digest, item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        text = repr(value).encode("utf-8", "surrogatepass")
        digest.update(f"{type(value).__name__} {len(text)} ".encode() + text)
    else:
        raise TypeError(f"a checkpoint holds tensors and plain data only, not {type(value).__name__}")
