"""Training step: windows, negatives, forward, backward, optimizer. Prints JSON.

The default is the published model (LeCDSR-paper.yaml: d 512, batch 1,024, L 15, 99 negatives) on 28,095 items with
LLM embeddings of 1,024 numbers.

    python benchmarks/training_step.py [--model LeCDSR] [--steps 10] [--device cuda] [--amp]
"""

from __future__ import annotations

import argparse
import statistics
import time

import synthetic
import torch

from recbole_lecdsr.data.dataloader import SequenceBatches, TrainLoader
from recbole_lecdsr.model.lecdsr import LeCDSR


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LeCDSR-paper", help="name of a file in properties/model")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--llm_size", type=int, default=1024, help="D")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action="store_true")
    options = parser.parse_args()

    config = synthetic.settings(options.model, options.device)
    dataset = synthetic.RandomDataset(7_144, 11_837, 16_258, options.llm_size, config["MIN_ITEM_LIST_LENGTH"])
    torch.manual_seed(0)
    model = LeCDSR(config, dataset).to(options.device)
    loader = TrainLoader(config, dataset, SequenceBatches(config, dataset))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"], fused=True
    )
    seconds = []
    batches = iter(loader)
    for _ in range(options.steps + 2):  # two to warm up
        started = time.perf_counter()
        batch = next(batches)
        optimizer.zero_grad()
        with torch.autocast(torch.device(options.device).type, enabled=options.amp):
            loss = sum(model.calculate_loss(batch))
        loss.backward()
        optimizer.step()
        if options.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    seconds = seconds[2:]
    median = statistics.median(seconds)
    synthetic.report(
        options.device,
        benchmark="training step", model=options.model, amp=options.amp,
        embedding_size=config["embedding_size"], batch_size=config["train_batch_size"],
        window=config["MAX_ITEM_LIST_LENGTH"], negatives=config["train_neg_sample_args"]["sample_num"],
        items=dataset.num_total_item - 1, llm_size=options.llm_size, steps=options.steps,
        seconds_per_step={"median": round(median, 4), "min": round(min(seconds), 4), "max": round(max(seconds), 4)},
        samples_per_second=round(config["train_batch_size"] / median, 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
