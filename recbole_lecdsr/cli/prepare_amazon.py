"""`run_lecdsr.py prepare amazon`: reviews of two Amazon categories to atomic files."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from recbole_lecdsr.cli.domain_files import parse_domain
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.editions import EDITIONS
from recbole_lecdsr.prepare.amazon.filters import ALL, FIRST, KEEP, LAST, ONCE, REMOVE, UNTIL_STABLE, Filters
from recbole_lecdsr.prepare.amazon.presets import PRESETS

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.summary import PreparationSummary

DESCRIPTION = "Reviews of two categories of the Amazon review data as an atomic pair."


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``amazon`` to the kinds of `prepare`."""
    parser = kinds.add_parser(
        "amazon", help="Amazon reviews of 2014, 2018 or 2023: two categories, filters, texts of items",
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_epilog(),
        allow_abbrev=False,
    )  # fmt: skip
    for role, example in (("source", "toys=Toys_and_Games.csv"), ("target", "games=Video_Games.csv")):
        parser.add_argument(
            f"--{role}", nargs="+", required=True, metavar="[NAME=]FILE",
            help=f"name of the {role} domain and its reviews or ratings, such as {example}; more files may follow",
        )  # fmt: skip
    parser.add_argument(
        "--meta", nargs="+", default=[], type=Path, metavar="FILE",
        help="metadata of either domain: title, categories, brand and description become texts in .item",
    )  # fmt: skip
    parser.add_argument("--edition", choices=list(EDITIONS), help="of the data (default: the preset's)")
    parser.add_argument("--name", help="name of the pair of domains (default amazon-SOURCE-TARGET)")
    parser.add_argument(
        "--output", type=Path,
        help="folder (default dataset/NAME; elsewhere it should end in NAME, and runs need --data_path=ITS_PARENT)",
    )  # fmt: skip
    parser.add_argument(
        "--skip_bad_lines", action="store_true",
        help="leave out and count lines that cannot be read instead of stopping at the first",
    )  # fmt: skip
    parser.add_argument("--preset", choices=list(PRESETS), help="the filters of a published data set; see below")
    _add_filters(parser)
    parser.set_defaults(run=run)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("filters", "Applied in this order. Each one replaces that of the preset.")
    group.add_argument(
        "--from", dest="start", type=_parse_day, metavar="DAY", help="first day (UTC), such as 2014-01-01"
    )
    group.add_argument("--to", dest="end", type=_parse_day, metavar="DAY", help="last day (UTC)")
    group.add_argument(
        "--shared_items", choices=[KEEP, REMOVE], help="items that have interactions in both domains (default keep)"
    )
    group.add_argument(
        "--duplicates", choices=[ALL, FIRST, LAST],
        help="which of several interactions of one user with one item are kept (default all)",
    )  # fmt: skip
    group.add_argument(
        "--both_domains", type=_parse_yes_no, metavar="{yes,no}", help="keep only users of both domains (default no)"
    )
    for name, help_text in (
        ("item_core", "minimum number of interactions of an item in its domain"),
        (
            "user_core",
            "minimum number of interactions of a user in a domain; a user with fewer loses those of this domain",
        ),
        ("last_events", "keep only the last N interactions of a user, over both domains"),
        ("min_per_domain", "minimum number of interactions of a user in each of the two domains"),
        ("min_total", "minimum number of interactions of a user in all"),
    ):
        group.add_argument(f"--{name}", type=int, metavar="N", help=f"{help_text} (default 0: no filter)")
    group.add_argument(
        "--passes", choices=[ONCE, UNTIL_STABLE],
        help="apply the filters from --both_domains on once, or until nothing changes (default)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> PreparationSummary:
    """Prepare the data that the options of `add_parser` name.

    Raises:
        UserError: the edition is missing, and whatever `recbole_lecdsr.prepare.amazon.convert.prepare` refuses.
    """
    from recbole_lecdsr.prepare.amazon import convert  # imports pandas, polars and pyarrow

    preset = PRESETS.get(options.preset)
    edition = options.edition or (preset and preset.edition)
    if not edition:
        raise UserError(f"--edition is missing: {', '.join(EDITIONS)}")
    given = {field.name: getattr(options, field.name) for field in fields(Filters)}
    filters = replace(
        preset.filters if preset else Filters(), **{name: value for name, value in given.items() if value is not None}
    )
    source, target = parse_domain(options.source, "source"), parse_domain(options.target, "target")
    name = options.name or f"amazon-{source.name}-{target.name}"
    return convert.prepare(
        source,
        target,
        options.output or Path("dataset") / name,
        name,
        edition=edition,
        filters=filters,
        metadata=options.meta,
        skip_bad_lines=options.skip_bad_lines,
    )


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2014-01-01") from None


def _parse_yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def _epilog() -> str:
    editions = [
        f"  {edition.year}  {edition.json_example}; {edition.csv_example}; {edition.metadata_example}"
        for edition in EDITIONS.values()
    ]
    presets = [
        fill(f"{name} (edition {preset.edition}): {preset.note}", 110, initial_indent="  ", subsequent_indent="    ")
        for name, preset in PRESETS.items()
    ]
    return "\n".join(["files, plain or gzip:", *editions, "", "presets:", *presets])
