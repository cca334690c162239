"""Speed of evaluation: candidates are drawn, and samples ranked among 999 of them and among all items. Prints JSON.

Sizes are those of Amazon's Food and Kitchen, and in a third case 8,000 users and 50,000 items, all of them ranked.
Samples are ranked twice: the second time, as in each validation but the first, features of sampled candidates are kept.

python benchmarks/evaluation.py [--model LeCDSR] [--device cuda]
"""

from __future__ import annotations

import argparse
import tempfile
import time

import synthetic
import torch

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.model_ranks import model_ranks


def main() -> None:
    """Measure both modes and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LeCDSR-paper", help="name of a file in properties/model")
    parser.add_argument("--llm_size", type=int, default=1024, help="D")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    figures: dict[str, object] = {}
    large = {"n_users": 8_000, "n_source": 25_000, "n_target": 25_000}
    cases = {"uni999": synthetic.FOOD_KITCHEN, "full": synthetic.FOOD_KITCHEN, "full_50000_items": large}
    for name, sizes in cases.items():
        mode = name.partition("_")[0]
        with tempfile.TemporaryDirectory() as folder:
            changes = {"pair_path": folder, "eval_args": {"mode": {"valid": mode, "test": mode}}}
            config = synthetic.settings(options.model, options.device, **changes)
            dataset = synthetic.RandomDataset(
                **sizes, llm_size=options.llm_size, min_history=config["MIN_ITEM_LIST_LENGTH"]
            )
            torch.manual_seed(0)
            model = synthetic.model_class(config)(config, dataset).to(options.device).eval()
            started = time.perf_counter()
            loader = EvalLoader(config, dataset, SequenceCollator(config, dataset), "test")
            drawn = time.perf_counter()
            seconds = []
            for _ in range(2):
                started_ranking = time.perf_counter()
                ranks = model_ranks(model, loader)
                seconds.append(time.perf_counter() - started_ranking)
            started_fit = time.perf_counter()
            model.after_epoch()
            fitted = time.perf_counter()
        figures[name] = {
            "samples": len(ranks), "items": dataset.num_total_item - 1, "seconds_drawing": round(drawn - started, 3),
            "seconds_ranking": round(seconds[0], 3), "seconds_ranking_again": round(seconds[-1], 3),
            "seconds_fitting": round(fitted - started_fit, 3),
            "samples_per_second": round(len(ranks) / seconds[0], 1),
        }  # fmt: skip
    synthetic.report(
        options.device, benchmark="evaluation", model=options.model, embedding_size=config["embedding_size"],
        **figures,
    )  # fmt: skip


if __name__ == "__main__":
    main()
