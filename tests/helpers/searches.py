"""Small hyper-parameter searches for the tests, in the current folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from optuna.trial import TrialState

from recbole_lecdsr.tuning.tuner import Tuner

SPACE = """\
learning_rate: {type: float, low: 1e-3, high: 1e-1, log: True}
embedding_size: {type: categorical, choices: [4, 8]}
train_neg_sample_args.sample_num: {type: int, low: 1, high: 9}
train_epochs: {type: categorical, choices: [["BOTH:1"], ["SOURCE:1", "BOTH:2"]]}
"""


def write_search_files(settings: Mapping[str, object]) -> None:
    """Write base.yaml, the settings of every trial, with results in runs/; and space.yaml."""
    Path("base.yaml").write_text(yaml.safe_dump({**settings, "output_dir": "runs"}))
    Path("space.yaml").write_text(SPACE)


def make_tuner(*overrides: str, space: str | None = None, **options) -> Tuner:
    """A tuner of LeCDSR with the files of `write_search_files`; ``space`` replaces space.yaml."""
    if space is not None:
        Path("space.yaml").write_text(space)
    return Tuner("space.yaml", model="LeCDSR", config_file_list=["base.yaml"], command_line=list(overrides), **options)


def trial_numbers(tuner: Tuner, state: TrialState = TrialState.COMPLETE) -> list[int]:
    """Numbers of the trials in a state."""
    return [trial.number for trial in tuner.study.get_trials() if trial.state == state]
