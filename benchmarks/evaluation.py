"""Speed of evaluation: candidates are drawn, and samples ranked among 999 of them and among all items. Prints JSON.

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
    for mode in ("uni999", "full"):
        with tempfile.TemporaryDirectory() as folder:
            changes = {"pair_path": folder, "eval_args": {"mode": {"valid": mode, "test": mode}}}
            config = synthetic.settings(options.model, options.device, **changes)
            dataset = synthetic.RandomDataset(
                **synthetic.FOOD_KITCHEN, llm_size=options.llm_size, min_history=config["MIN_ITEM_LIST_LENGTH"]
            )
            torch.manual_seed(0)
            model = synthetic.model_class(config)(config, dataset).to(options.device).eval()
            started = time.perf_counter()
            loader = EvalLoader(config, dataset, SequenceCollator(config, dataset), "test")
            drawn = time.perf_counter()
            ranks = model_ranks(model, loader)
            ranked = time.perf_counter()
        figures[mode] = {
            "samples": len(ranks), "seconds_drawing": round(drawn - started, 3),
            "seconds_ranking": round(ranked - drawn, 3), "samples_per_second": round(len(ranks) / (ranked - drawn), 1),
        }  # fmt: skip
    synthetic.report(
        options.device, benchmark="evaluation", model=options.model, embedding_size=config["embedding_size"],
        items=dataset.num_total_item - 1, **figures,
    )  # fmt: skip


if __name__ == "__main__":
    main()
