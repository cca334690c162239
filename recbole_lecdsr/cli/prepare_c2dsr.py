"""`run_lecdsr.py prepare c2dsr`: data in the format of C2DSR and LeCDSR to atomic files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.summary import PreparationSummary

DESCRIPTION = """\
Data in the format of C2DSR and LeCDSR: a folder with traindata*.txt,
validdata*.txt and testdata*.txt and, optionally, Alist.txt, Blist.txt,
userlist.txt, item_embeddings.npy and reasoning_user_embeddings.npy. A line is a
user, a number and interactions item|time, separated by tabs; items of B are
numbered after those of A.

Splits and windows stay as the files have them, row for row. Vectors become
.itememb and .useremb, so that `embed` is not needed. docs/reproduce.md says
where the published files are.
"""


def add_parser(kinds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``c2dsr`` to the kinds of `prepare`."""
    parser = kinds.add_parser(
        "c2dsr", help="the format of C2DSR's and LeCDSR's own data: numbered sequences in ready-made splits",
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, help="folder of the files")
    parser.add_argument("--name", required=True, help="name of the pair of domains")
    parser.add_argument("--source", required=True, help="name for domain A, such as food")
    parser.add_argument("--target", required=True, help="name for domain B, such as kitchen")
    parser.add_argument(
        "--tokens", default="names", choices=("names", "numbers"),
        help="tokens of items: their names in Alist.txt and Blist.txt (default, where these exist) or their numbers",
    )  # fmt: skip
    parser.add_argument("--source_items", type=int, help="how many items A has, if there is no Alist.txt")
    parser.add_argument("--variant", help="what follows traindata, validdata and testdata, such as _new")
    parser.add_argument(
        "--sort_by_time", action="store_true",
        help="sort each line by time first, as C2DSR's code does (default: keep its order)",
    )  # fmt: skip
    for role, letter in (("source", "A"), ("target", "B")):
        parser.add_argument(
            f"--meta_{role}", nargs="+", type=Path, default=[], help=f"tables with titles of the items of {letter}"
        )
    parser.add_argument("--item", default="item_id", help="their column with the names of the lists (default item_id)")
    parser.add_argument("--text", nargs="*", default=[], help="their text columns to keep in .item (default: all)")
    parser.add_argument(
        "--skip_bad_lines", action="store_true",
        help="leave out and count malformed lines instead of stopping at the first",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder (default dataset/NAME)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> PreparationSummary:
    """Prepare the data that the options of `add_parser` name."""
    from recbole_lecdsr.prepare.c2dsr import convert  # imports pandas and pyarrow

    return convert.prepare(
        options.folder,
        options.output or Path("dataset") / options.name,
        options.name,
        source=options.source,
        target=options.target,
        tokens=options.tokens,
        source_items=options.source_items,
        variant=options.variant,
        sort_by_time=options.sort_by_time,
        source_meta=options.meta_source,
        target_meta=options.meta_target,
        item=options.item,
        text=options.text,
        skip_bad_lines=options.skip_bad_lines,
    )
