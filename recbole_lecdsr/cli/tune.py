"""`run_lecdsr.py tune`: search for good settings on validation samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import PROPERTIES
from recbole_lecdsr.tuning.search_space import shown
from recbole_lecdsr.tuning.tuner import ERROR, PRUNERS, Standing, Tuner

DESCRIPTION = """\
Search a space of settings by Optuna, on validation samples only; the test samples are not looked at.

Several processes (or machines) that are given the same study share it, and a search that was interrupted goes on. The
best settings are written to <output_dir>/<dataset>/tune-<name>/best.yaml, for --config_files of the main job.
"""
_SHOWN = 10


def main(arguments: Sequence[str]) -> int:
    """Search for good settings.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0; 130 when interrupted.

    Raises:
        UserError: a fault of the space or the settings, or no trial that came to its end.
    """

    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py tune", description=DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--model NAME] [--dataset NAME] [--space FILE] [--trials N] [--name NAME] [--storage URL] "
        "[--config_files FILE …] [--NAME=VALUE …]",
    )  # fmt: skip
    parser.add_argument("--space", metavar="FILE", help="YAML file of the space (default properties/tune/<model>.yaml)")
    parser.add_argument("--trials", type=int, default=20, help="finished trials of the study in total (default 20)")
    parser.add_argument("--name", help="of the study (default the model's)")
    parser.add_argument("--storage", metavar="URL", help="such as sqlite:///tune.db (default a journal in the folder)")
    parser.add_argument("--pruner", choices=sorted(PRUNERS), default="median", help="default median")
    options = run_options(arguments, parser)
    if options.trials < 1:
        raise UserError(f"--trials must be at least 1, not {options.trials}")
    make_default_data(options)
    console = Console(highlight=False)
    tuner = Tuner(
        options.model, options.dataset, options.config_files, _quiet(options.overrides),
        options.space or _default_space(options), options.name, options.storage, options.pruner,
    )  # fmt: skip
    console.print(f"study {tuner.study.study_name} in {tuner.folder}/", markup=False, soft_wrap=True)
    try:
        standing = tuner.run(options.trials, lambda line: console.print(line, markup=False, soft_wrap=True))
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on with the study")
        return 130
    show(console, tuner, standing)
    path = tuner.write_best()
    if path is None:
        raise UserError(
            f"no trial of {len(standing.finished)} came to its end, so there are no best settings; the errors stand "
            "above. Mend their cause and begin anew with another --name, or give more --trials"
        )
    console.print(f"the best settings are in {path}", markup=False, soft_wrap=True)
    return 0


def _quiet(overrides: Sequence[str]) -> list[str]:
    """Less of a log, unless it is asked for."""
    asked = any(text.startswith("--state=") for text in overrides)
    return [*overrides] if asked else [*overrides, "--state=WARNING"]


def _default_space(options: argparse.Namespace) -> Path:
    values = {} if options.dataset is None else {"dataset": options.dataset}
    config = LeCDSRConfig(options.model, options.config_files, values, options.overrides)
    # As for property files of models: that of the name, else of the class or of what it builds on.
    names = [config.model_name, *(base.__name__ for base in config.model_class.__mro__)]
    places = [PROPERTIES / "tune" / f"{name}.yaml" for name in names]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise UserError(
            f"there is no {places[0]}: give a space with --space FILE, in the form of {PROPERTIES / 'tune'}/LeCDSR.yaml"
        )
    return found


def show(console: Console, tuner: Tuner, standing: Standing) -> None:
    """Print the best trials, and the failed ones with their errors."""
    failed = [trial for trial in standing.finished if ERROR in trial.user_attrs]
    ended = [trial for trial in standing.finished if trial.value is not None]
    # A pruned trial's value is its last score, not its best: after the complete ones.
    ended.sort(key=lambda trial: (trial.state.name != "COMPLETE", -trial.value if tuner.bigger else trial.value))
    if ended:
        table = Table(title=f"best of {len(standing.finished)} trials, by validation", title_justify="left")
        table.add_column("trial", justify="right")
        table.add_column(tuner.metric, justify="right", no_wrap=True)
        table.add_column("epochs", justify="right")
        table.add_column("state", no_wrap=True)
        table.add_column("settings")
        for trial in ended[:_SHOWN]:
            best = standing.best is not None and trial.number == standing.best.number
            epochs = str(trial.last_step + 1) if trial.last_step is not None else ""
            table.add_row(
                str(trial.number), f"{trial.value:.4f}", epochs, trial.state.name.lower(),
                escape(shown(tuner.values(trial))), style="bold" if best else None,
            )  # fmt: skip
        console.print(table)
    for trial in failed:
        console.print(f"trial {trial.number} failed: {trial.user_attrs[ERROR]}", markup=False, soft_wrap=True)
    if standing.interrupted:
        console.print(f"trials that were interrupted and do not count: {standing.interrupted}")
    if standing.running:
        console.print(f"trials under way in other processes, so that best.yaml may change: {standing.running}")
