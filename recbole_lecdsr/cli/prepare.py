"""`run_lecdsr.py prepare`: raw data to atomic files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recbole_lecdsr.cli import prepare_c2dsr
from recbole_lecdsr.cli.console import print_summary
from recbole_lecdsr.cli.default_data import DEFAULT_DATA, prepare_movielens

# ---------------------------------------------------------------------- prepare


def prepare(arguments: Sequence[str]) -> int:
    """Raw data to atomic files."""
    from recbole_lecdsr.cli import prepare_amazon

    parser = argparse.ArgumentParser(prog="run_lecdsr.py prepare", description=prepare.__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    movielens = kinds.add_parser("movielens", help="the default data: two genre domains of ml-100k or ml-1m")
    movielens.add_argument("--source", default="ml-100k", choices=sorted(DEFAULT_DATA.values()))
    movielens.add_argument("--output", type=Path, help="folder (default dataset/movielens, or dataset/movielens-1m)")
    convert = kinds.add_parser("table", help="CSV, TSV or Parquet files with user, item, domain and time columns")
    convert.add_argument("files", nargs="+", type=Path)
    convert.add_argument("--name", required=True, help="name of the pair of domains")
    for column, default in (("user", "user_id"), ("item", "item_id"), ("domain", "domain"), ("time", "timestamp")):
        convert.add_argument(f"--{column}", default=default, help=f"its column (default {default})")
    convert.add_argument("--source", help="value of the domain column that is the source (default: the first seen)")
    convert.add_argument("--items", type=Path, help="table of items, with the item and domain columns and texts")
    convert.add_argument(
        "--text", nargs="*", default=[],
        help="text columns to keep in .item: of --items (default: all), or, without it, of the events",
    )  # fmt: skip
    convert.add_argument("--skip_bad_lines", action="store_true", help="leave out and count events that cannot be used")
    convert.add_argument(
        "--output", type=Path,
        help="folder (default dataset/NAME; elsewhere it should end in NAME, and runs need --data_path=ITS_PARENT)",
    )  # fmt: skip
    prepare_amazon.add_parser(kinds)
    prepare_c2dsr.add_parser(kinds)
    options = parser.parse_args(arguments)
    if options.kind == "amazon":
        print_summary(prepare_amazon.run(options))
    elif options.kind == "c2dsr":
        print_summary(prepare_c2dsr.run(options))
    elif options.kind == "movielens":
        name = next(key for key, source in DEFAULT_DATA.items() if source == options.source)
        print_summary(prepare_movielens(options.output or Path("dataset") / name, options.source))
    else:
        print_summary(_prepare_table(options))
    return 0


def _prepare_table(options: argparse.Namespace) -> dict:
    from recbole_lecdsr.prepare.table import convert

    return convert.prepare(
        options.files, options.output or Path("dataset") / options.name, options.name, options.user, options.item,
        options.domain, options.time, options.source, options.items, options.text, options.skip_bad_lines,
    )  # fmt: skip
