"""Export a trained model and answer histories from the export, without the data set.

Needs faiss: pip install 'recbole_lecdsr[serving]'

    python examples/serve.py [--NAME=VALUE …]
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from small_movielens import write_small_movielens

from recbole_lecdsr import Recommender, run_lecdsr
from recbole_lecdsr.recommend.export import export_run


def main() -> None:
    """Train, export, forget the data, answer."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        result = run_lecdsr(config_dict=write_small_movielens(folder), command_line=sys.argv[1:])

        # The same on the command line: run_lecdsr.py export --run DIR --output DIR
        export = export_run(Recommender.load(result.folder), folder / "export", report=print)
        print("share of the exact top 10 that the approximate index finds:", json.dumps(export.recall))
        if export.score_fusion:
            print("the run fuses its network's scores with counts; the export has the network alone")

        # The folder of the export is all that the machine needs that serves.
        shutil.rmtree(folder / "movielens")
        shutil.rmtree(folder / "runs")
        recommender = Recommender.from_export(folder / "export")

        # A request: who has seen what, and when, in seconds as in the training data. Many histories in one call are
        # answered faster than one by one.
        histories = [
            [("action", "Star Wars (1977)", 880_000_000), ("drama", "Toy Story (1995)", 880_000_100)],
            [("drama", "Sabrina (1995)", 880_000_000)],
        ]
        print(recommender.recommend(histories=histories, k=3, domain="drama").to_string(index=False), "\n")
        print(recommender.similar_items("Star Wars (1977)", k=3).to_string(index=False))


if __name__ == "__main__":
    main()
