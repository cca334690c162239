"""`prepare c2dsr`: the form of C2DSR's and LeCDSR's own data."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Data in the form of C2DSR and LeCDSR: a folder with traindata*.txt,
validdata*.txt and testdata*.txt and, where they exist, Alist.txt, Blist.txt,
userlist.txt, item_embeddings.npy and reasoning_user_embeddings.npy. A line is a
user, a number and events item|time, separated by tabs; items of B are numbered
after those of A.

Splits and windows stay as the files have them, row for row. Vectors become
.itememb and .useremb, so that `embed` is not needed. docs/reproduce.md tells
where the published files are.
"""


def add_parser(kinds: argparse._SubParsersAction) -> None:
    """Add ``c2dsr`` to the kinds of ``prepare``."""
    parser = kinds.add_parser(
        "c2dsr", help="the form of C2DSR's and LeCDSR's own data: numbered sequences in ready-made splits",
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, help="folder of the files")
    parser.add_argument("--name", required=True, help="name of the pair of domains")
    parser.add_argument("--source", required=True, help="name for domain A, such as food")
    parser.add_argument("--target", required=True, help="name for domain B, such as kitchen")
    parser.add_argument(
        "--tokens", default="names", choices=("names", "numbers"),
        help="call items as Alist.txt and Blist.txt do (default, where they exist) or by their numbers",
    )  # fmt: skip
    parser.add_argument("--source_items", type=int, help="how many items A has, where there is no Alist.txt")
    parser.add_argument("--variant", help="what stands behind traindata, validdata, testdata, such as _new")
    parser.add_argument(
        "--sort_by_time", action="store_true",
        help="put each line in the order of its times first, as C2DSR's code does (default: as it stands)",
    )  # fmt: skip
    for role, letter in (("source", "A"), ("target", "B")):
        parser.add_argument(
            f"--meta_{role}", nargs="+", type=Path, default=[], help=f"tables with titles of the items of {letter}"
        )
    parser.add_argument("--item", default="item_id", help="their column with the names of the lists (default item_id)")
    parser.add_argument("--text", nargs="*", default=[], help="their text columns to keep in .item (default: all)")
    parser.add_argument("--skip_bad_lines", action="store_true", help="leave out and count malformed lines")
    parser.add_argument("--output", type=Path, help="folder (default dataset/NAME)")


def run(options: argparse.Namespace) -> dict[str, object]:
    """Prepare; returns what there is to tell."""
    from recbole_lecdsr.prepare.c2dsr import convert

    return convert.prepare(
        options.folder, options.output or Path("dataset") / options.name, options.name, options.source, options.target,
        options.tokens, options.source_items, options.variant, options.sort_by_time,
        (options.meta_source, options.meta_target), options.item, options.text, options.skip_bad_lines,
    )  # fmt: skip
