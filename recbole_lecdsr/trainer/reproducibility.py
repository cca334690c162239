"""Seeds and deterministic algorithms."""

from __future__ import annotations

import os

import torch
from recbole.utils import init_seed

from recbole_lecdsr.config import LeCDSRConfig


def seed(config: LeCDSRConfig) -> None:
    """Seed everything as RecBole does, and see to it that a GPU computes the same each time (``reproducibility``).

    This plugin's models then use nothing else. Some of RecBole's need operations for which torch has no such algorithm;
    torch warns of those.
    """
    init_seed(config["seed"], config["reproducibility"])
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    exact = config["reproducibility"] and config["device"].type == "cuda"  # a CPU computes the same anyway
    torch.use_deterministic_algorithms(exact, warn_only=not config.model_class.deterministic_on_gpu)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a search for mistakes, which costs time
