"""Training step: windows, negatives, forward, backward, optimizer. Prints JSON.

The default is the published model (LeCDSR-paper.yaml: d 512, batch 1,024, L 15, 99 negatives) on 28,095 items with
LLM embeddings of 1,024 numbers. A literal implementation of the same equations (plain.py) is measured on the same
batches, step by step in turn, so that ratios can be compared between machines: as "broadcast" with the published loss,
whose array has B × B × N numbers, and as "plain" with the hinge of each sample's own negatives.

The process has one peak memory: --only gives that of one implementation.

    python benchmarks/training_step.py [--model LeCDSR-paper] [--steps 10] [--device cuda] [--amp] [--only plugin]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import synthetic
import torch
from plain import PlainLeCDSR, broadcast_hinge
from recbole.data.interaction import Interaction

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import RANKING_LOSSES, RankingLoss, own_sample_hinge

WARM_UP = 2
PLAIN = {"plain": own_sample_hinge, "broadcast": broadcast_hinge}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LeCDSR-paper", help="name of a file in properties/model")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--llm_size", type=int, default=1024, help="D")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--only", choices=("plugin", *PLAIN), help="measure one implementation, and its memory")
    options = parser.parse_args()

    config = synthetic.settings(options.model, options.device)
    dataset = synthetic.RandomDataset(
        **synthetic.FOOD_KITCHEN, llm_size=options.llm_size, min_history=config["MIN_ITEM_LIST_LENGTH"]
    )
    torch.manual_seed(0)
    model_class = synthetic.model_class(config)
    model = model_class(config, dataset).to(options.device)
    loader = TrainLoader(config, model_class.training_data(dataset), SequenceCollator(config, dataset))
    wanted = [options.only] if options.only else ["plugin", *(PLAIN if options.model == "LeCDSR-paper" else ())]
    losses: dict[str, Callable[[Interaction], torch.Tensor]] = {}
    models: dict[str, torch.nn.Module] = {}
    for name in wanted:
        if name == "plugin":
            models[name], losses[name] = model, lambda batch: sum(model.calculate_loss(batch))
        else:
            models[name], losses[name] = _plain(copy.deepcopy(model.network), PLAIN[name], config)
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
    if len(values) == 3 and not options.amp and abs(values["broadcast"] / values["plugin"] - 1) > 1e-4:
        raise SystemExit(f"two implementations of one loss have different values: {values}")
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {
        f"ratio_to_{name}": round(median[name] / median["plugin"], 2)
        for name in PLAIN
        if {name, "plugin"} <= set(median)
    }
    if options.model == "LeCDSR-paper" and "plugin" in median:
        ratios["share_of_ranking_loss"] = round(_seconds_of_loss(config, options.device) / median["plugin"], 4)
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
        **ratios,
    )  # fmt: skip


def _plain(
    network: LeCDSRNetwork, ranking_loss: RankingLoss, config: Mapping[str, Any]
) -> tuple[PlainLeCDSR, Callable[[Interaction], torch.Tensor]]:
    """The literal implementation, and its loss of a batch."""
    plain = PlainLeCDSR(
        network, ranking_loss, config["temperature"], config["align_temperature"], config["align_weight"]
    )
    return plain, lambda batch: plain.loss(*_arrays(batch))


def _seconds_of_loss(config: Mapping[str, Any], device: str, repetitions: int = 20) -> float:
    """Median seconds of the ranking loss and its gradients, on scores that spread as widely as τ."""
    size, temperature = config["train_batch_size"], config["temperature"]
    scores = torch.randn(size, 1 + config["train_neg_sample_args"]["sample_num"], device=device) * temperature
    scores.requires_grad_()
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        RANKING_LOSSES[config["loss_type"]](scores[:, 0], scores[:, 1:], temperature).backward()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _arrays(batch: Interaction) -> tuple[torch.Tensor, ...]:
    """item_seq, position, user and candidates of a batch, the positive first."""
    candidates = torch.cat([batch["item_id"].unsqueeze(1), batch["neg_item_id"]], dim=1)
    return batch["item_id_list"], batch["position_id"], batch["user_id"], candidates


if __name__ == "__main__":
    main()
