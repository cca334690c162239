"""RecBole's own checkpoints under torch's safe loading."""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch

from recbole_lecdsr.compat.patching import _patch, _View

logger = logging.getLogger(__name__)


_torch_load = torch.load


def load_checkpoint(path: str | Path, *args: object, **kwargs: object) -> object:
    """`torch.load` for checkpoints of RecBole, which pickle its whole configuration.

    Args:
        path: the file.
        *args: as of `torch.load`.
        **kwargs: as of `torch.load`.

    Returns:
        What was saved; read as plain tensors and values if that is possible, else, with a warning, unpickled.
    """
    if "weights_only" in kwargs:
        return _torch_load(path, *args, **kwargs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle protocol, before it refuses
            return _torch_load(path, *args, weights_only=True, **kwargs)
    except pickle.UnpicklingError:
        logger.warning(
            "%s holds Python objects, as RecBole's checkpoints do, and is unpickled in full: "
            "loading a file from a stranger this way can run any code",
            path,
        )
    return _torch_load(path, *args, weights_only=False, **kwargs)


# The modules of the frameworks that read a checkpoint, in a run or as the start of another training.
_CHECKPOINT_READERS = (
    "recbole.trainer.trainer",
    "recbole_cdr.quick_start.quick_start",
    *(f"recbole.model.general_recommender.{name}" for name in ("convncf", "nais", "neumf", "ract")),
    "recbole.model.context_aware_recommender.kd_dagfm",
    "recbole.model.sequential_recommender.s3rec",
)


def own_checkpoints() -> None:
    """torch 2.6 made ``weights_only`` the default, which refuses RecBole's checkpoints; goes when these are plain.

    ``torch.load`` itself is left alone: the few modules of the frameworks that read checkpoints see torch with
    `load_checkpoint` in its place. Safe globals would not do, as the safe loader cannot read pickle protocol 4.
    """
    buffer = io.BytesIO()
    torch.save(SimpleNamespace(), buffer)
    buffer.seek(0)
    try:
        torch.load(buffer)
        return
    except pickle.UnpicklingError:
        view = _View(torch, load=load_checkpoint)
    for name in _CHECKPOINT_READERS:
        importlib.import_module(name).torch = view
    quick_start = sys.modules["recbole.quick_start.quick_start"]

    @_patch(quick_start, "load_data_and_model")
    def load_data_and_model(stock: Callable, model_file: str) -> tuple:
        torch.load = load_checkpoint  # this function imports torch inside
        try:
            return stock(model_file)
        finally:
            torch.load = _torch_load

    sys.modules["recbole.quick_start"].load_data_and_model = quick_start.load_data_and_model
