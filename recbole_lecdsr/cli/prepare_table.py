"""`run_lecdsr.py prepare table`: CSV, TSV and Parquet files to atomic files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_lecdsr.cli.domain_files import parse_domain, split_name
from recbole_lecdsr.errors import UserError

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.summary import PreparationSummary

USAGE = """\
run_lecdsr.py prepare table --source NAME=FILE … --target NAME=FILE …
                                   [--items [DOMAIN=]FILE …] [OPTION …]
       run_lecdsr.py prepare table FILE … [--items FILE …] [OPTION …]"""
DESCRIPTION = """\
Interactions in CSV, TSV or Parquet files, a table for each domain:

  run_lecdsr.py prepare table \\
    --source food=food.csv --target kitchen=kitchen.csv

or in tables with a column that says of which domain each one is:

  run_lecdsr.py prepare table events.csv --name shop

Users have the same name in both domains. Texts of items come from --items, or
from columns of the interactions with --text. Columns with common names, such
as user_id, asin or timestamp, are recognised; the summary says which were
read. docs/data.md shows a complete example.
"""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``table`` to the kinds of `prepare`."""
    parser = kinds.add_parser(
        "table", help="your own data: CSV, TSV or Parquet files with users, items and times",
        usage=USAGE, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("files", nargs="*", type=Path, help="tables of both domains, with a column of domains")
    parser.add_argument(
        "--source", nargs="+", metavar="[NAME=]FILE",
        help="name of the source domain and its tables, such as food=food.csv; more files may follow. For tables of "
        "both domains: the value of the column of domains that is the source (default: the first one)",
    )  # fmt: skip
    parser.add_argument("--target", nargs="+", metavar="[NAME=]FILE", help="name of the target domain and its tables")
    parser.add_argument(
        "--items", nargs="+", default=[], metavar="[DOMAIN=]FILE",
        help="tables of items with texts. An item is of the DOMAIN that is named, else of that in the column of "
        "domains, else of those that have interactions with it",
    )  # fmt: skip
    _add_columns(parser)
    parser.add_argument(
        "--text", nargs="*", default=[], metavar="COLUMN",
        help="text columns to keep in .item: of --items (default: all), or, without it, of the interactions",
    )  # fmt: skip
    parser.add_argument(
        "--time_format", default="auto", metavar="FORMAT",
        help="of times: s, ms, us, ns (since 1970), iso, or a format such as '%%d/%%m/%%Y %%H:%%M'. By default "
        "numbers, whose unit is recognised, or ISO 8601 dates; times without an offset are UTC",
    )  # fmt: skip
    parser.add_argument(
        "--sep", metavar="CHARACTER",
        help="between cells of text files, such as ';' or tab (default: a comma in .csv, a tab in .tsv)",
    )  # fmt: skip
    parser.add_argument(
        "--skip_bad_lines", action="store_true",
        help="leave out and count interactions that cannot be used instead of stopping at the first",
    )  # fmt: skip
    parser.add_argument("--name", help="name of the pair of domains, for --dataset (default SOURCE-TARGET)")
    parser.add_argument(
        "--output", type=Path,
        help="folder (default dataset/NAME; elsewhere it should end in NAME, and runs need --data_path=ITS_PARENT)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "columns",
        "By default those with common names. Where files name a column differently,\n"
        "give both names: --user user_id,uid",
    )
    for name, example in (("user", "user_id, reviewerID"), ("item", "item_id, asin"), ("time", "timestamp, date")):
        group.add_argument(f"--{name}", metavar="COLUMN", help=f"of {name}s, such as {example}")
    group.add_argument("--domain", metavar="COLUMN", help="of domains, in tables of both")
    group.add_argument(
        "--rating", metavar="COLUMN", help="of ratings, to be kept; prompts for language models show them"
    )
    group.add_argument("--items_id", metavar="COLUMN", help="of items, in the tables of --items")


def run(options: argparse.Namespace) -> PreparationSummary:
    """Prepare the data that the options of `add_parser` name.

    Raises:
        UserError: options that contradict one another, and whatever `recbole_lecdsr.prepare.table.convert` refuses.
    """
    from recbole_lecdsr.prepare.table import convert  # imports pandas and pyarrow
    from recbole_lecdsr.prepare.table.options import TableOptions

    table_options = TableOptions(
        user=options.user,
        item=options.item,
        time=options.time,
        domain=options.domain,
        rating=options.rating,
        items_id=options.items_id,
        text=options.text,
        time_format=options.time_format,
        separator={"tab": "\t", "\\t": "\t"}.get(options.sep, options.sep),
        skip_bad_lines=options.skip_bad_lines,
    )
    items = _parse_items(options.items)
    files, source = _choose_files(options.files, options.source, options.target)
    if files:
        return convert.prepare(files, options.output, options.name, source=source, items=items, options=table_options)
    return convert.prepare_domains(
        parse_domain(options.source, "source"),
        parse_domain(options.target, "target"),
        options.output,
        options.name,
        items=items,
        options=table_options,
    )


def _choose_files(
    files: Sequence[Path], source: Sequence[str] | None, target: Sequence[str] | None
) -> tuple[list[Path], str | None]:
    """Tables of both domains and the value that is the source; no tables if --source and --target name them.

    Raises:
        UserError: neither, or both.
    """
    if not files and source and target:
        return [], None
    if files and target:
        raise UserError(
            f"{files[0]} is a table of both domains, but --target names tables of one: give either the ones or the "
            "others"
        )
    if not files and source and not target and len(source) > 1 and not Path(source[0]).exists():
        files, source = [Path(file) for file in source[1:]], source[:1]  # --source food events.csv
    if not files:
        missing = "a table" if not source and not target else "--target" if source else "--source"
        raise UserError(
            f"{missing} is missing: give a table for each domain, --source NAME=FILE --target NAME=FILE, or tables "
            "with a column of domains before all options"
        )
    if source and len(source) > 1:
        raise UserError(f"--source {' '.join(source)}: with tables of both domains it is one value of their column")
    return list(files), source[0] if source else None


def _parse_items(values: Sequence[str]) -> dict[str | None, list[Path]]:
    """Domain -> tables of its items; None -> those of both."""
    items: dict[str | None, list[Path]] = {}
    for value in values:
        name, file = split_name(value)
        if not file:
            raise UserError(f"--items {value} names no file: write --items {name or 'DOMAIN'}=FILE")
        items.setdefault(name or None, []).append(Path(file))
    return items
