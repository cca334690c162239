"""`run_lecdsr.py prepare`: raw data to atomic files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_lecdsr.cli import prepare_amazon, prepare_c2dsr, prepare_list, prepare_table
from recbole_lecdsr.cli.console import print_summary
from recbole_lecdsr.cli.default_data import DEFAULT_DATA, prepare_movielens

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.summary import PreparationSummary


def prepare(arguments: Sequence[str]) -> int:
    """Raw data to atomic files."""
    parser = argparse.ArgumentParser(prog="run_lecdsr.py prepare", description=prepare.__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    _add_movielens_parser(kinds)
    prepare_table.add_parser(kinds)
    prepare_amazon.add_parser(kinds)
    prepare_c2dsr.add_parser(kinds)
    prepare_list.add_parser(kinds)
    options = parser.parse_args(arguments)
    summary: PreparationSummary | None = options.run(options)
    if summary is not None:  # `list` prints by itself
        print_summary(summary.to_document())
    return 0


def _add_movielens_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = kinds.add_parser("movielens", help="the default data: ml-100k or ml-1m as two domains by genre")
    parser.add_argument("--source", default="ml-100k", choices=sorted(DEFAULT_DATA.values()))
    parser.add_argument("--output", type=Path, help="folder (default dataset/movielens, or dataset/movielens-1m)")
    parser.set_defaults(run=_run_movielens)


def _run_movielens(options: argparse.Namespace) -> PreparationSummary:
    name = next(pair for pair, source in DEFAULT_DATA.items() if source == options.source)
    return prepare_movielens(options.output or Path("dataset") / name, options.source)
