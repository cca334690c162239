"""Searches settings of several models, as many trials of each, on validation samples; lists all trials in a CSV file.

Trial 0 of a model has the values of its property file, the others are those of `run_lecdsr.py tune` with its search
space in properties/tune/. The models take turns, a trial each, so that a search that is stopped is fair as well. The
same command resumes it, as long as the settings that are not searched and the values of trial 0 stay as they are.

    python benchmarks/trials.py --models ABXI C2DSR --trials 6 --csv trials.csv [--NAME=VALUE …]

    --train_epochs='["BOTH:20"]' --stopping_step=2   to bound the time of a trial
    --output_dir=DIR                                 where the searches are kept
    --trials 0                                       only writes the file
"""

from __future__ import annotations

import argparse
import csv
import json
import operator
import time
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_lecdsr.files import write_whole
from recbole_lecdsr.property_files import PROPERTIES

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from recbole_lecdsr.tuning.tuner import Tuner

CPU_SECONDS = "cpu_seconds"  # attribute of Optuna's study: seconds by number of the trial


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the trials that are missing and write the file after each turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL")
    parser.add_argument("--trials", type=int, required=True, help="of each model, those of earlier calls included")
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE")
    options, overrides = parser.parse_known_args(arguments)

    tuners = [make_tuner(model, overrides) for model in options.models]
    for number in range(1, options.trials + 1):
        for tuner in tuners:
            run_timed(tuner, number)
        write_trials(options.csv, tuners)
    write_trials(options.csv, tuners)


def run_timed(tuner: Tuner, n_trials: int) -> None:
    """Run the trial that is missing from ``n_trials``, if one is, and keep the processor time that it took."""
    before = len(tuner.progress().finished)
    started = time.process_time()
    finished = tuner.run(n_trials, lambda line: print(f"{tuner.name}: {line}", flush=True)).finished
    if len(finished) > before:
        earlier = tuner.study.user_attrs.get(CPU_SECONDS, {})
        tuner.study.set_user_attr(
            CPU_SECONDS, {**earlier, str(finished[-1].number): round(time.process_time() - started)}
        )


def make_tuner(model: str, overrides: Sequence[str]) -> Tuner:
    """The search of a model, whose first trial has the values of its property file."""
    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.tuning.tuner import Tuner

    command_line = [*overrides, "--state=WARNING"]
    space = PROPERTIES / "tune" / f"{model}.yaml"
    tuner = Tuner(space, model=model, command_line=command_line, pruner="none")
    if not tuner.study.get_trials(deepcopy=False):
        config = LeCDSRConfig(model, [], {}, command_line).plain()
        tuner.study.enqueue_trial({one.name: value_at(config, one.name) for one in tuner.space})
    return tuner


def value_at(values: Mapping[str, object], name: str) -> object:
    """The value of a parameter, with dots where it is nested."""
    return reduce(operator.getitem, name.split("."), values)  # type: ignore[arg-type]  # what is nested is a mapping


def write_trials(path: Path, tuners: Sequence[Tuner]) -> None:
    """Write all finished trials; `chosen` marks the best of a model."""
    with write_whole(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = [
            "model",
            "trial",
            "settings",
            f"valid_{tuners[0].metric}",
            "best_epoch",
            "epochs",
            CPU_SECONDS,
            "chosen",
        ]
        writer.writerow(columns)
        for tuner in tuners:
            progress = tuner.progress()
            best = None if progress.best is None else progress.best.number
            numbers = range(len(progress.finished))  # interrupted trials have a number of Optuna's, but are not listed
            for number, trial in zip(numbers, progress.finished, strict=True):
                writer.writerow([tuner.name, number, *row(tuner, trial), "*" if trial.number == best else ""])


def row(tuner: Tuner, trial: FrozenTrial) -> list[object]:
    """Settings, score, best epoch and number of epochs, both counted from 1, and seconds; blank where unknown."""
    values = " ".join(f"{name}={shorten(value)}" for name, value in tuner.values(trial).items())
    scores = trial.intermediate_values
    best = (max if tuner.bigger_is_better else min)(scores, key=scores.__getitem__) + 1 if scores else ""
    seconds = tuner.study.user_attrs.get(CPU_SECONDS, {}).get(str(trial.number), "")
    return [values, "" if trial.value is None else f"{trial.value:.6f}", best, max(scores, default=-1) + 1, seconds]


def shorten(value: object) -> str:
    """Numbers with four significant digits, other values as JSON."""
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


if __name__ == "__main__":
    main()
