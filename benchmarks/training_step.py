"""Training step: windows, negatives, forward, backward, optimizer. Prints JSON.

The default is the published model (LeCDSR-paper.yaml: d 512, batch 1,024, L 15, 99 negatives) on 28,095 items with
LLM embeddings of 1,024 numbers. A literal implementation of the same equations (plain.py) is measured on the same
batches, so that ratios can be compared between machines: as "broadcast" with the published loss, whose array has
B × B × N numbers, and as "plain" with the hinge of each sample's own negatives. On CPUs with instructions for bfloat16
the plugin's step is measured with `enable_amp` as well: "plugin_bf16".

Each runs in a process of its own, two times in turn: the plugin with its settings of threads, the literal
implementation with those of torch. Medians are of the steps of both times, and memory is the larger peak.

    python benchmarks/training_step.py [--model LeCDSR-paper] [--steps 10] [--device cuda] [--amp] [--only plugin]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import synthetic
import torch
from plain import PlainLeCDSR, broadcast_hinge
from recbole.data.interaction import Interaction
from torch.utils.flop_counter import FlopCounterMode

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import RANKING_LOSSES, RankingLoss, own_sample_hinge
from recbole_lecdsr.threads import SLEEP

ROUNDS, WARM_UP = 2, 2
PLUGIN, BF16 = "plugin", "plugin_bf16"
PLAIN = {"plain": own_sample_hinge, "broadcast": broadcast_hinge}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LeCDSR-paper", help="name of a file in properties/model")
    parser.add_argument("--steps", type=int, default=10, help="of each time")
    parser.add_argument("--llm_size", type=int, default=1024, help="D")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--only", choices=(PLUGIN, BF16, *PLAIN), help="measure one implementation in this process")
    options = parser.parse_args()
    if options.only:
        synthetic.report(options.device, **measure(options))
        return

    half = [BF16] if options.device == "cpu" and has_bf16() and not options.amp else []
    names = [PLUGIN, *half, *(PLAIN if options.model == "LeCDSR-paper" else ())]
    rounds = [{name: measure_apart(name) for name in names} for _ in range(ROUNDS)]
    losses = {name: rounds[0][name]["loss_of_first_step"] for name in names}
    if "broadcast" in losses and not options.amp and abs(losses["broadcast"] / losses[PLUGIN] - 1) > 1e-4:
        raise SystemExit(f"two implementations of one loss have different values: {losses}")
    seconds = {name: [value for one in rounds for value in one[name]["seconds"]] for name in names}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    samples = rounds[0][PLUGIN]["samples_per_step"]
    figures: dict[str, Any] = {**rounds[0][PLUGIN]}
    for name in ("seconds", "loss_of_first_step", "peak_memory_gb", "machine", "implementation"):
        figures.pop(name)
    figures["seconds_per_step"] = {
        name: {"median": round(median[name], 4), "min": round(min(values), 4), "max": round(max(values), 4)}
        for name, values in seconds.items()
    }
    figures["samples_per_second"] = {name: round(samples / value, 1) for name, value in median.items()}
    for name in PLAIN:
        for own in (PLUGIN, BF16):
            if {name, own} <= set(median):
                figures[f"ratio_to_{name}{own.removeprefix(PLUGIN)}"] = round(median[name] / median[own], 2)
    figures["peak_memory_gb"] = {
        name: {key: max(one[name]["peak_memory_gb"][key] for one in rounds) for key in value["peak_memory_gb"]}
        for name, value in rounds[0].items()
    }
    if options.device == "cpu":
        types = {"float32": torch.float32, **({"bfloat16": torch.bfloat16} if has_bf16() else {})}
        figures["gflops_of_a_matrix_product"] = {name: product_gflops(dtype) for name, dtype in types.items()}
    print(json.dumps({**figures, "machine": rounds[0][PLUGIN]["machine"]}, indent=2))


def measure_apart(name: str) -> dict[str, Any]:
    """What `measure` finds in a process of its own, with the same options."""
    environment = {key: value for key, value in os.environ.items() if key not in SLEEP}
    if name in PLAIN:
        environment["KMP_BLOCKTIME"] = "200"  # Intel's default: as if the user had decided how threads wait
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, Any] = json.loads(output)
    return figures


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Steps of one implementation."""
    is_plugin = options.only in (PLUGIN, BF16)
    config = synthetic.settings(options.model, options.device)
    dataset = synthetic.RandomDataset(
        **synthetic.FOOD_KITCHEN, llm_size=options.llm_size, min_history=config["MIN_ITEM_LIST_LENGTH"]
    )
    torch.manual_seed(0)
    model_class = synthetic.model_class(config)
    model = model_class(config, dataset).to(options.device)
    batches = iter(TrainLoader(config, model_class.training_data(dataset), SequenceCollator(config, dataset)))
    learner, loss_of = _plugin(model) if is_plugin else _plain(model.network, PLAIN[options.only], config)
    optimizer = torch.optim.AdamW(
        learner.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"], fused=is_plugin
    )
    autocast = options.amp or options.only == BF16
    seconds: list[float] = []
    samples: list[int] = []
    for step in range(options.steps + WARM_UP):
        started = time.perf_counter()
        batch = next(batches)
        optimizer.zero_grad()
        counter = FlopCounterMode(display=False) if step == 0 else None
        with counter or nullcontext():
            with torch.autocast(torch.device(options.device).type, enabled=autocast):
                loss = loss_of(batch)
            loss.backward()
        optimizer.step()
        if is_plugin:
            model.after_step()
        if options.device != "cpu":
            torch.cuda.synchronize()
        if step == 0:
            first = float(loss.detach())
            gflop = round(counter.get_total_flops() / 1e9, 1)
        if step >= WARM_UP:
            seconds.append(time.perf_counter() - started)
            learned = batch.interaction.get("target_list")
            samples.append(len(batch) if learned is None else int(learned.ne(0).sum()))
    figures: dict[str, Any] = {
        "benchmark": "training step", "model": options.model, "implementation": options.only, "amp": autocast,
        "embedding_size": config["embedding_size"], "batch_size": config["train_batch_size"],
        "window": config["MAX_ITEM_LIST_LENGTH"], "negatives": config["train_neg_sample_args"]["sample_num"],
        "items": dataset.num_total_item - 1, "llm_size": options.llm_size, "steps": options.steps,
        "samples_per_step": statistics.mean(samples), "loss_of_first_step": first, "gflop_per_step": gflop,
        "samples_per_second": round(statistics.mean(samples) / statistics.median(seconds), 1), "seconds": seconds,
    }  # fmt: skip
    if options.only == PLUGIN and options.model == "LeCDSR-paper":
        of_loss = _seconds_of_loss(config, options.device)
        figures["share_of_ranking_loss"] = round(of_loss / statistics.median(seconds), 4)
    return figures


def has_bf16() -> bool:
    """Whether this CPU multiplies numbers of type bfloat16 by instructions of its own."""
    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))


def _plugin(
    model: CrossDomainSequentialRecommender,
) -> tuple[torch.nn.Module, Callable[[Interaction], torch.Tensor]]:
    """The plugin's model, and its loss of a batch."""
    return model, lambda batch: sum(model.calculate_loss(batch))


def product_gflops(dtype: torch.dtype, size: int = 2048) -> int:
    """10⁹ operations per second of a product of two square matrices on the CPU: what a step could reach."""
    matrix, seconds = torch.randn(size, size).to(dtype), []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return round(2 * size**3 / min(seconds) / 1e9)


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
