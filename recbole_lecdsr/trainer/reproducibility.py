"""Seeds and deterministic algorithms."""

from __future__ import annotations

import os
import random

import numpy as np
import torch
from recbole.utils import init_seed

from recbole_lecdsr import distributed
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.epoch_seed import epoch_seed


def seed(config: LeCDSRConfig) -> None:
    """Seed all random number generators as RecBole does, and make the device compute the same each time.

    With ``reproducibility``, torch uses deterministic algorithms only: on a CPU too, where several threads would add up
    the gradients of a table's rows in any order. Some models of RecBole's have operations without one on a GPU
    (`CrossDomainSequentialRecommender.deterministic_on_gpu`); for these torch warns.
    """
    init_seed(config["seed"], config["reproducibility"])
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    exact, warn_only = config["reproducibility"], not config.model_class.deterministic_on_gpu
    torch.use_deterministic_algorithms(exact, warn_only=warn_only)
    # A debugging aid that costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch declares no such attribute


# In place of an epoch's number where a model scores, so that what it draws does not depend on what was drawn before.
SCORING = 999_999_999


def epoch_number(phase: int, epoch: int) -> int:
    """The number that the seed of an epoch follows from: different for the epochs of all phases.

    Args:
        phase: index of the phase in ``train_epochs``.
        epoch: number within the phase, from 0, below 1,000,000.

    >>> epoch_number(0, 3), epoch_number(1, 3)
    (3, 1000003)
    """
    return phase * 1_000_000 + epoch


def seed_model(seed: int, number: int) -> None:
    """Seed what a model draws in an epoch, such as dropout or masked items: in each process something else.

    All three generators are seeded, since models of RecBole draw from Python's and NumPy's too. What an epoch draws
    then depends on its number alone, and a resumed run draws what the uninterrupted one would have drawn. Some models
    draw when they score, too: noise against equal scores, or the steps of a diffusion.

    Args:
        seed: the run's ``seed``.
        number: of the epoch (`epoch_number`), or `SCORING`.
    """
    # Half of the loaders' seed: the numbers that runs have been recorded with.
    value = epoch_seed(seed, number) // 2 + distributed.rank() * 100_000_007
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)
