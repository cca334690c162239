"""`run_lecdsr.py prepare table`: CSV, TSV and Parquet files to atomic files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.summary import PreparationSummary


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``table`` to the kinds of `prepare`."""
    parser = kinds.add_parser("table", help="CSV, TSV or Parquet files with user, item, domain and time columns")
    parser.add_argument("files", nargs="+", type=Path, help="tables of interactions")
    parser.add_argument("--name", required=True, help="name of the pair of domains")
    for column, default in (("user", "user_id"), ("item", "item_id"), ("domain", "domain"), ("time", "timestamp")):
        parser.add_argument(f"--{column}", default=default, help=f"column of {column}s (default {default})")
    parser.add_argument(
        "--source", help="value of the domain column that is the source domain (default: the first one in the table)"
    )
    parser.add_argument("--items", type=Path, help="table of items, with the item and domain columns and texts")
    parser.add_argument(
        "--text", nargs="*", default=[],
        help="text columns to keep in .item: of --items (default: all), or, without it, of the interactions",
    )  # fmt: skip
    parser.add_argument(
        "--skip_bad_lines", action="store_true",
        help="leave out and count interactions that cannot be used instead of stopping at the first",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path,
        help="folder (default dataset/NAME; elsewhere it should end in NAME, and runs need --data_path=ITS_PARENT)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> PreparationSummary:
    """Prepare the data that the options of `add_parser` name."""
    from recbole_lecdsr.prepare.table import convert  # imports pandas and pyarrow

    return convert.prepare(
        options.files,
        options.output or Path("dataset") / options.name,
        options.name,
        user=options.user,
        item=options.item,
        domain=options.domain,
        time=options.time,
        source=options.source,
        items=options.items,
        text=options.text,
        skip_bad_lines=options.skip_bad_lines,
    )
