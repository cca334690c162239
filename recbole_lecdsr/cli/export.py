"""`run_lecdsr.py export`: vectors, indexes and the query network of a run, for serving without its data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recbole_lecdsr.cli.console import out
from recbole_lecdsr.cli.options import explain_strays
from recbole_lecdsr.errors import UserError

DESCRIPTION = """\
Write what it takes to serve a trained run without its data set: the items' vectors, tokens and titles, an exact and an
approximate faiss index of each domain, and the network that makes a query of a history.

    from recbole_lecdsr import Recommender
    recommender = Recommender.from_export("DIR")
    recommender.recommend(histories=[[("films", "Heat"), ("books", "Emma")]], k=10)

Needs faiss: pip install 'recbole_lecdsr[serving]'. --NAME=VALUE changes a parameter of the run, such as --data_path=….
"""


def main(arguments: Sequence[str]) -> int:
    """Export a run.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0.

    Raises:
        UserError: an unknown run, a model whose scores are no inner products, a folder that cannot be written to.
    """
    from recbole_lecdsr.property_files import split_command_line

    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py export", description=DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --run DIR [--output DIR] [--NAME=VALUE …]",
    )  # fmt: skip
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="such as runs/movielens/LeCDSR-2022")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: the folder export in that of the run")
    options, others = parser.parse_known_args(arguments)
    overrides, strays = split_command_line(others)
    if strays:
        raise UserError("\n".join(explain_strays(strays, "run_lecdsr.py export")))
    from recbole_lecdsr.recommend.export import export_run
    from recbole_lecdsr.recommend.recommender import Recommender

    folder = options.output or options.run / "export"
    run = Recommender.load(options.run, {**overrides, "show_progress": False})
    export = export_run(run, folder, report=lambda line: out.print(line, markup=False, soft_wrap=True))
    if export.score_fusion:
        out.print(
            "The run fuses the scores of its network with counts and text similarities. An export has the network "
            "alone, so its recommendations differ from those of the run.",
            soft_wrap=True,
        )
    for domain, recall in export.recall.items():
        if recall is not None:
            out.print(
                f"{export.domains[domain]}: the approximate index finds {recall:.1%} of the exact top 10 "
                f"({export.queries[domain]:,} histories of test samples)",
                markup=False, soft_wrap=True, highlight=False,
            )  # fmt: skip
    out.print(f"Export: {folder}/", markup=False, soft_wrap=True)
    return 0
