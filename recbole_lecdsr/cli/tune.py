"""`run_lecdsr.py tune`: search for good settings on validation samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import PROPERTIES
from recbole_lecdsr.terminal import Console
from recbole_lecdsr.tuning.pruners import PRUNERS

if TYPE_CHECKING:
    from recbole_lecdsr.tuning.tuner import Progress, Tuner

DESCRIPTION = """\
Search for good settings with Optuna, on validation samples only; the test samples are not used.

Several processes or machines that are given the same --name share a search, and an interrupted search resumes. The
best settings are written to <output_dir>/<dataset>/tune-<name>/best.yaml, a file for --config_files of the main job.
"""
_MAX_ROWS = 10  # of the table of the best trials


def main(arguments: Sequence[str]) -> int:
    """Search for good settings.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0; 130 when interrupted.

    Raises:
        UserError: a wrong search space or settings, or no complete trial.
    """
    options = _options(arguments)
    if options.trials < 1:
        raise UserError(f"--trials must be at least 1, not {options.trials}")
    make_default_data(options)
    from recbole_lecdsr.tuning.tuner import Tuner

    console = Console()
    tuner = Tuner(
        options.space or _default_space(options),
        model=options.model,
        dataset=options.dataset,
        config_file_list=options.config_files,
        command_line=_with_short_log(options.overrides),
        name=options.name,
        storage=options.storage,
        pruner=options.pruner,
    )
    console.print(f"search {tuner.study.study_name} in {tuner.folder}/", markup=False, soft_wrap=True)
    try:
        progress = tuner.run(options.trials, lambda line: console.print(line, markup=False, soft_wrap=True))
    except KeyboardInterrupt:
        console.print("interrupted; the same command resumes the search")
        return 130
    print_trials(console, tuner, progress)
    path = tuner.write_best()
    if path is None:
        raise UserError(
            f"none of {len(progress.finished)} trials is complete, so there are no best settings; the errors are "
            "listed above. Remove their cause and start again with another --name, or give more --trials"
        )
    console.print(f"the best settings are in {path}", markup=False, soft_wrap=True)
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py tune", description=DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--model NAME] [--dataset NAME] [--space FILE] [--trials N] [--name NAME] [--storage URL] "
        "[--pruner NAME] [--config_files FILE …] [--NAME=VALUE …]",
    )  # fmt: skip
    parser.add_argument(
        "--space", metavar="FILE", help="YAML file of the search space (default properties/tune/<model>.yaml)"
    )
    parser.add_argument(
        "--trials", type=int, default=20, help="finished trials in total, of all processes (default 20)"
    )
    parser.add_argument("--name", help="name of the search (default the model's)")
    parser.add_argument("--storage", metavar="URL", help="such as sqlite:///tune.db (default a journal in the folder)")
    parser.add_argument("--pruner", choices=PRUNERS, default="median", help="when to stop poor trials (default median)")
    return run_options(arguments, parser)


def _with_short_log(overrides: Sequence[str]) -> list[str]:
    """The overrides, and a log of warnings only unless they set another level."""
    is_given = any(text.startswith("--state=") for text in overrides)
    return [*overrides] if is_given else [*overrides, "--state=WARNING"]


def _default_space(options: argparse.Namespace) -> Path:
    """The search space of the model, or of the class that it derives from.

    Raises:
        UserError: there is none.
    """
    from recbole_lecdsr.config import LeCDSRConfig

    values = {} if options.dataset is None else {"dataset": options.dataset}
    config = LeCDSRConfig(options.model, options.config_files, values, options.overrides)
    names = [config.model_name, *(base.__name__ for base in config.model_class.__mro__)]
    paths = [PROPERTIES / "tune" / f"{name}.yaml" for name in names]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise UserError(
            f"there is no {paths[0]}: give a search space with --space FILE, in the form of "
            f"{PROPERTIES / 'tune'}/LeCDSR.yaml"
        )
    return found


def print_trials(console: Console, tuner: Tuner, progress: Progress) -> None:
    """Print the best trials, and the failed ones with their errors."""
    from recbole_lecdsr.tuning.search_space import format_values
    from recbole_lecdsr.tuning.tuner import ERROR

    ranked = tuner.ranked(progress.finished)
    if ranked:
        table = Table(title=f"best of {len(progress.finished)} trials, by validation", title_justify="left")
        table.add_column("trial", justify="right")
        table.add_column(tuner.metric, justify="right", no_wrap=True)
        table.add_column("epochs", justify="right")
        table.add_column("state", no_wrap=True)
        table.add_column("settings")
        for trial in ranked[:_MAX_ROWS]:
            is_best = progress.best is not None and trial.number == progress.best.number
            table.add_row(
                str(trial.number),
                f"{trial.value:.4f}",
                str(trial.last_step + 1) if trial.last_step is not None else "",
                trial.state.name.lower(),
                escape(format_values(tuner.values(trial))),
                style="bold" if is_best else None,
            )
        console.print(table)
    for trial in progress.finished:
        if ERROR in trial.user_attrs:
            console.print(f"trial {trial.number} failed: {trial.user_attrs[ERROR]}", markup=False, soft_wrap=True)
    if progress.interrupted:
        console.print(f"interrupted trials, which do not count: {progress.interrupted}")
    if progress.running:
        console.print(f"trials still running in other processes, which may change best.yaml: {progress.running}")
