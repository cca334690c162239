"""Train LeCDSR for a few epochs on a part of MovieLens, recommend films, and find similar ones.

python examples/quickstart.py [--epochs=10] [--NAME=VALUE …]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from small_movielens import write_small_movielens

from recbole_lecdsr import Recommender, run_lecdsr


def main() -> None:
    """Train, recommend, compare."""
    with TemporaryDirectory() as folder:
        settings = write_small_movielens(Path(folder))

        # One call trains, validates after each epoch, and tests the best epoch in both domains.
        result = run_lecdsr(config_dict=settings, command_line=sys.argv[1:])
        for domain in ("source", "target"):  # action and drama
            print(f"{result.domains[domain]}: NDCG@10 {result.test[domain]['ndcg@10']:.4f}")
        print(f"best epoch {result.best_epoch}, run directory {result.folder}\n")

        # A run directory is all that it takes to recommend.
        recommender = Recommender.load(result.folder)
        users = recommender.user_vectors().loc["action"].index[:2].tolist()
        print(recommender.recommend(users, k=3).to_string(index=False), "\n")

        # Users whom the model has never seen: their histories as (domain, item), oldest first.
        history = [("action", "Star Wars (1977)"), ("drama", "Toy Story (1995)")]
        print(recommender.recommend(histories=[history], k=3).to_string(index=False), "\n")

        print(recommender.similar_items("Star Wars (1977)", k=5).to_string(index=False))


if __name__ == "__main__":
    main()
