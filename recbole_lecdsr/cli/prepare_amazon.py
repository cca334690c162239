"""`run_lecdsr.py prepare amazon`: reviews of two Amazon categories to atomic files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from textwrap import fill

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import convert
from recbole_lecdsr.prepare.amazon.convert import Category
from recbole_lecdsr.prepare.amazon.editions import EDITIONS
from recbole_lecdsr.prepare.amazon.filters import PRESETS, Filters

DESCRIPTION = "Reviews of two categories of the Amazon review data as an atomic pair."


def add_parser(kinds: argparse._SubParsersAction) -> None:
    """Add the command to those of `prepare`."""
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
        help="metadata of either domain: title, categories, brand and description go to .item",
    )  # fmt: skip
    parser.add_argument("--edition", choices=list(EDITIONS), help="of the data (default: the preset's)")
    parser.add_argument("--name", help="name of the pair of domains (default amazon-SOURCE-TARGET)")
    parser.add_argument(
        "--output", type=Path,
        help="folder (default dataset/NAME; elsewhere it should end in NAME, and runs need --data_path=ITS_PARENT)",
    )  # fmt: skip
    parser.add_argument(
        "--skip_bad_lines", action="store_true",
        help="leave out lines that cannot be read, and count them, instead of ending at the first",
    )  # fmt: skip
    parser.add_argument("--preset", choices=list(PRESETS), help="the filters of a published data set; see below")
    group = parser.add_argument_group("filters", "They take effect in this order; each changes a preset's.")
    group.add_argument("--from", dest="start", type=_day, metavar="DAY", help="first day, such as 2014-01-01 (UTC)")
    group.add_argument("--to", dest="end", type=_day, metavar="DAY", help="last day")
    group.add_argument(
        "--shared_items", choices=["keep", "remove"], help="items with events in both domains (default keep)"
    )
    group.add_argument(
        "--duplicates", choices=["all", "first", "last"],
        help="which events of one user and item are kept (default all)",
    )  # fmt: skip
    group.add_argument("--both_domains", type=_yes, metavar="{yes,no}", help="only users of both domains (default no)")
    for setting, what in (
        ("item_core", "events that an item needs in its domain"),
        ("user_core", "events that a user needs in a domain, to keep those of this domain"),
        ("last_events", "keep so many events of a user, the last of both domains together"),
        ("min_per_domain", "events that a user needs in each of the two domains"),
        ("min_total", "events that a user needs in all"),
    ):
        group.add_argument(f"--{setting}", type=int, metavar="N", help=f"{what} (default 0: no filter)")
    group.add_argument(
        "--passes", choices=["once", "until_stable"],
        help="go through the filters from --both_domains on once, or until nothing changes (default)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> dict:
    """Prepare the data that the options of `add_parser` name; returns the summary."""
    preset = PRESETS.get(options.preset)
    edition = options.edition or (preset and preset.edition)
    if not edition:
        raise UserError(f"--edition is missing: {', '.join(EDITIONS)}")
    given = {name: getattr(options, name) for name in (field.name for field in fields(Filters))}
    filters = replace(
        preset.filters if preset else Filters(), **{name: value for name, value in given.items() if value is not None}
    )
    source, target = (category(getattr(options, role), role) for role in ("source", "target"))
    name = options.name or f"amazon-{source.name}-{target.name}"
    return convert.prepare(
        source, target, options.output or Path("dataset") / name, name, edition, filters, options.meta,
        options.skip_bad_lines,
    )  # fmt: skip


def category(values: Sequence[str], role: str) -> Category:
    """A domain from the values of its option: files, the first with or without the name before it.

    Without a name it is that of the first file, in small letters: reviews_Video_Games_5.json.gz is video_games.

    Raises:
        UserError: a name without a file.

    Example:
        >>> category(["games=Video_Games.csv", "more.csv"], "target").name
        'games'
    """
    name, equals, first = values[0].partition("=")
    if not equals or Path(values[0]).exists():
        first, name = values[0], ""
    files = [Path(value) for value in (first, *values[1:]) if value]
    if not files:
        raise UserError(f"--{role} {values[0]} names no file: write --{role} {name or 'NAME'}=FILE")
    return Category(name or _name_of(files[0]), tuple(files))


def _name_of(path: Path) -> str:
    name = path.name.partition(".")[0].lower()
    for prefix in ("reviews_", "ratings_"):
        name = name.removeprefix(prefix)
    return name.removesuffix("_5")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2014-01-01") from None


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def _epilog() -> str:
    editions = [
        f"  {edition.year}  {edition.json_like}; {edition.csv_like}; {edition.meta_like}"
        for edition in EDITIONS.values()
    ]
    presets = [
        fill(f"{name} (edition {preset.edition}): {preset.note}", 110, initial_indent="  ", subsequent_indent="    ")
        for name, preset in PRESETS.items()
    ]
    return "\n".join(["files, plain or gzip:", *editions, "", "presets:", *presets])
