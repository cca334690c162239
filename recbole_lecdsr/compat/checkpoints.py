"""RecBole's checkpoints under torch's safe loading."""

from __future__ import annotations

import importlib
import io
import logging
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from recbole_lecdsr.compat.patching import ModuleView, patch

logger = logging.getLogger(__name__)

stock_torch_load = torch.load


def load_checkpoint(path: str | Path, *args: Any, **kwargs: Any) -> Any:
    """`torch.load` for RecBole's checkpoints, which contain its pickled configuration.

    The file is read safely (``weights_only=True``) if it holds only tensors and plain values. Otherwise it is unpickled
    in full and a warning is logged.

    Args:
        path: the checkpoint file.
        *args: further arguments of `torch.load`.
        **kwargs: the same; an explicit ``weights_only`` is obeyed.
    """
    if "weights_only" in kwargs:
        return stock_torch_load(path, *args, **kwargs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol, before it refuses
            return stock_torch_load(path, *args, weights_only=True, **kwargs)
    except pickle.UnpicklingError:
        logger.warning(
            "%s holds Python objects, as RecBole's checkpoints do, and is unpickled in full: "
            "a file from an untrusted source can run any code this way",
            path,
        )
    return stock_torch_load(path, *args, weights_only=False, **kwargs)


# The modules of the frameworks that read a checkpoint, to resume a run or as the start of another training.
_CHECKPOINT_READERS = (
    "recbole.trainer.trainer",
    "recbole_cdr.quick_start.quick_start",
    *(f"recbole.model.general_recommender.{name}" for name in ("convncf", "nais", "neumf", "ract")),
    "recbole.model.context_aware_recommender.kd_dagfm",
    "recbole.model.sequential_recommender.s3rec",
)


def recbole_checkpoints() -> None:
    """torch 2.6 loads ``weights_only`` by default, which refuses RecBole's checkpoints. Remove when these are plain.

    ``torch.load`` itself is unchanged: the few modules of the frameworks that read checkpoints see a torch whose
    ``load`` is `load_checkpoint`. Safe globals are no alternative, since safe loading cannot read pickle protocol 4.
    """
    buffer = io.BytesIO()
    torch.save(SimpleNamespace(), buffer)
    buffer.seek(0)
    try:
        torch.load(buffer)
        return
    except pickle.UnpicklingError:
        view = ModuleView(torch, load=load_checkpoint)
    for name in _CHECKPOINT_READERS:
        vars(importlib.import_module(name))["torch"] = view
    quick_start = sys.modules["recbole.quick_start.quick_start"]

    @patch(quick_start, "load_data_and_model")
    def load_data_and_model(stock: Callable, model_file: str) -> tuple:
        torch.load = load_checkpoint  # type: ignore[assignment]  # the stock function imports torch inside
        try:
            return stock(model_file)
        finally:
            torch.load = stock_torch_load

    vars(sys.modules["recbole.quick_start"])["load_data_and_model"] = vars(quick_start)["load_data_and_model"]
