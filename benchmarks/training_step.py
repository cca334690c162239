"""Training step: windows, negatives, forward, backward, optimizer. Prints JSON.

The default is the published model (LeCDSR-paper.yaml: d 512, batch 1,024, L 15, 99 negatives) on 28,095 items with
LLM embeddings of 1,024 numbers. A literal implementation of the same equations (plain.py) is measured on the same
batches, step by step in turn, so that the ratio of the two can be compared between machines.

    python benchmarks/training_step.py [--model LeCDSR-paper] [--steps 10] [--device cuda] [--amp] [--no_plain]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import synthetic
import torch
from plain import PlainLeCDSR
from recbole.data.interaction import Interaction

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.train_loader import TrainLoader

WARM_UP = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LeCDSR-paper", help="name of a file in properties/model")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--llm_size", type=int, default=1024, help="D")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--no_plain", action="store_true", help="measure only the step of the plugin, and its memory")
    options = parser.parse_args()

    config = synthetic.settings(options.model, options.device)
    dataset = synthetic.RandomDataset(
        **synthetic.FOOD_KITCHEN, llm_size=options.llm_size, min_history=config["MIN_ITEM_LIST_LENGTH"]
    )
    torch.manual_seed(0)
    model_class = synthetic.model_class(config)
    model = model_class(config, dataset).to(options.device)
    loader = TrainLoader(config, model_class.training_data(dataset), SequenceCollator(config, dataset))
    losses: dict[str, Callable[[Interaction], torch.Tensor]] = {
        "plugin": lambda batch: sum(model.calculate_loss(batch))
    }
    models: dict[str, torch.nn.Module] = {"plugin": model}
    if options.model == "LeCDSR-paper" and not options.no_plain:
        plain = PlainLeCDSR(
            copy.deepcopy(model.network), config["temperature"], config["align_temperature"], config["align_weight"]
        )
        models["plain"], losses["plain"] = plain, lambda batch: plain.loss(*_arrays(batch))
    optimizers = {
        name: torch.optim.AdamW(
            one.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"], fused=name == "plugin"
        )
        for name, one in models.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    values: dict[str, float] = {}
    samples: list[int] = []
    batches = iter(loader)
    for step in range(options.steps + WARM_UP):
        started = time.perf_counter()
        batch = next(batches)
        gathering = time.perf_counter() - started
        if step >= WARM_UP:
            learned = batch.interaction.get("target_list")
            samples.append(len(batch) if learned is None else int(learned.ne(0).sum()))
        for name, loss_of in losses.items():
            started = time.perf_counter()
            optimizers[name].zero_grad()
            with torch.autocast(torch.device(options.device).type, enabled=options.amp):
                loss = loss_of(batch)
            loss.backward()
            optimizers[name].step()
            if name == "plugin":
                model.after_step()
            if options.device != "cpu":
                torch.cuda.synchronize()
            if step == 0:
                values[name] = float(loss.detach())
            if step >= WARM_UP:
                seconds[name].append(gathering + time.perf_counter() - started)
    if "plain" in values and not options.amp and abs(values["plain"] / values["plugin"] - 1) > 1e-4:
        raise SystemExit(f"the two implementations have different losses: {values}")
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = {"ratio_to_plain": round(median["plain"] / median["plugin"], 2)} if "plain" in median else {}
    synthetic.report(
        options.device,
        benchmark="training step", model=options.model, amp=options.amp,
        embedding_size=config["embedding_size"], batch_size=config["train_batch_size"],
        window=config["MAX_ITEM_LIST_LENGTH"], negatives=config["train_neg_sample_args"]["sample_num"],
        items=dataset.num_total_item - 1, llm_size=options.llm_size, steps=options.steps,
        seconds_per_step={
            name: {"median": round(median[name], 4), "min": round(min(times), 4), "max": round(max(times), 4)}
            for name, times in seconds.items()
        },
        samples_per_step=statistics.mean(samples),
        samples_per_second={name: round(statistics.mean(samples) / value, 1) for name, value in median.items()},
        **ratio,
    )  # fmt: skip


def _arrays(batch: Interaction) -> tuple[torch.Tensor, ...]:
    """item_seq, position, user and candidates of a batch, the positive first."""
    candidates = torch.cat([batch["item_id"].unsqueeze(1), batch["neg_item_id"]], dim=1)
    return batch["item_id_list"], batch["position_id"], batch["user_id"], candidates


if __name__ == "__main__":
    main()
