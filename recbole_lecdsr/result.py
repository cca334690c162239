"""What a run comes to: metrics of ranks, what is recommended, what knows nothing reaches, and the files that say so.

A rank counts from 1; 0 is that of a sample in whose domain the model scores nothing, and such a domain has no metrics.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.evaluator import Collector, Evaluator
from recbole.model.abstract_recommender import AbstractRecommender
from torch import Tensor

from recbole_lecdsr import processes, run
from recbole_lecdsr.data.dataloader import EvalLoader
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.sequence import DOMAINS
from recbole_lecdsr.evaluation import rank_samples

Result = dict[str, dict[str, float]]


class RankCollector(Collector):
    """RecBole's collector, fed with ranks: one positive per sample at a known place."""

    def collect_ranks(self, rank: Tensor) -> None:
        """(S,) int64 ranks from 1 -> RecBole's ``rec.topk``: hit or not at each place, and one positive each."""
        places = torch.arange(1, max(self.topk) + 1)
        hits = (rank.unsqueeze(1) == places).int()
        self.data_struct.set("rec.topk", torch.cat([hits, torch.ones_like(hits[:, :1])], dim=1))


def metrics(collector: RankCollector, evaluator: Evaluator, rank: np.ndarray, domain: np.ndarray) -> Result:
    """RecBole's metrics of the ranks, and ``mrr``, over the whole list of candidates.

    Args:
        collector, evaluator: of the run.
        rank: (S,) int64.
        domain: (S,) 0 source, 1 target.

    Returns:
        ``source``, ``target`` and ``overall`` -> metric -> value; without a part that has no sample, or a sample whose
        domain the model does not score.
    """
    parts = {name: domain == code for code, name in enumerate(DOMAINS)}
    parts["overall"] = np.ones(len(rank), dtype=bool)
    result: Result = {}
    for name, chosen in parts.items():
        if not chosen.any() or not rank[chosen].all():
            continue
        collector.collect_ranks(torch.from_numpy(rank[chosen]))
        values = evaluator.evaluate(collector.get_data_struct())
        values = {key: float(value) for key, value in values.items()}
        result[name] = {**values, "mrr": float(np.mean(1.0 / rank[chosen]))}
    return result


def flat(result: Result) -> OrderedDict[str, float]:
    """``{"source": {"hit@10": …}}`` -> ``{"source_hit@10": …}``, as RecBole's results are."""
    return OrderedDict((f"{part}_{name}", value) for part, values in result.items() for name, value in values.items())


def joined(valid: Result, dataset: CrossDomainSequentialDataset) -> Result:
    """Validation metrics of each domain, of epochs apart, and those of all samples together."""
    if not valid:
        return {}
    domain = dataset.log.domain[dataset.targets("valid")]
    weights = [np.sum(domain == DOMAINS.index(name)) for name in valid]
    names = next(iter(valid.values()))
    overall = {key: float(np.average([part[key] for part in valid.values()], weights=weights)) for key in names}
    return {**valid, "overall": overall}


def scored_domains(model: AbstractRecommender) -> tuple[str, ...]:
    """The domains whose items a model can score as it is: both, unless it says otherwise."""
    return getattr(model, "scored_domains", DOMAINS)


def model_scores(model: AbstractRecommender, item_field: str, interaction: Interaction, items: Tensor | None) -> Tensor:
    """Scores by RecBole's ``predict`` of items (B, C), or by its ``full_sort_predict`` of all, (B, n_items)."""
    if items is None:
        return model.full_sort_predict(interaction).view(len(interaction), -1)
    return model.predict(Interaction({**interaction.interaction, item_field: items}))


def training_popularity(dataset: CrossDomainSequentialDataset) -> np.ndarray:
    """(n_items,) int64, events of each item in training."""
    log = dataset.log
    return np.bincount(log.item[log.split == 0], minlength=dataset.num_total_item)


class TopItems:
    """What stands in the top k of samples, whatever candidates they are ranked among: how often each item.

    Args:
        eval_data: the samples.
        k: items of each.
    """

    def __init__(self, eval_data: EvalLoader, k: int = 10):
        self.eval_data, self.k = eval_data, k
        self.shown = np.zeros((len(DOMAINS), eval_data.dataset.num_total_item), dtype=np.int64)

    @torch.no_grad()
    def add(self, model: AbstractRecommender, chosen: np.ndarray) -> None:
        """Count the lists of the chosen samples, (S,) bool, by a model in evaluation mode."""
        data = self.eval_data
        places = np.flatnonzero(chosen)
        for start in range(0, len(places), data.batch_size):
            part = places[start : start + data.batch_size]
            target = torch.from_numpy(data.targets[part]).to(data.device)
            scores = model_scores(model, data.item_field, data.batches(target), None)
            scores = scores.masked_fill(~data.allowed(target), -torch.inf)
            best, top = scores.topk(min(self.k, scores.shape[1]), dim=1)
            real = best.isfinite().cpu().numpy()
            domain = np.broadcast_to(data.domain[part, None], real.shape)
            np.add.at(self.shown, (domain[real], top.cpu().numpy()[real]), 1)

    def summary(self) -> Result:
        """For each domain ``coverage@k``, the share of its items that are recommended at all, and
        ``average_popularity@k``, the mean number of training events of what is."""
        popularity = training_popularity(self.eval_data.dataset)
        return {
            name: {
                f"coverage@{self.k}": float(np.mean(self.shown[code, self.eval_data.dataset.domain_items[code]] > 0)),
                f"average_popularity@{self.k}": float(self.shown[code] @ popularity / self.shown[code].sum()),
            }
            for code, name in enumerate(DOMAINS)
            if self.shown[code].any()
        }


def reference_ranks(eval_data: EvalLoader, seed: int) -> dict[str, np.ndarray]:
    """Ranks by what knows nothing, on the same candidates: items by training ``popularity``, and at ``random``."""
    device = eval_data.device
    popularity = torch.from_numpy(training_popularity(eval_data.dataset)).float().to(device)
    generator = torch.Generator(device).manual_seed(seed)

    def popular(interaction: Interaction, items: Tensor | None) -> Tensor:
        return popularity.expand(len(interaction), -1) if items is None else popularity[items]

    def random(interaction: Interaction, items: Tensor | None) -> Tensor:
        shape = (len(interaction), len(popularity)) if items is None else items.shape
        return torch.rand(shape, generator=generator, device=device)

    return {name: rank_samples(eval_data, scorer) for name, scorer in (("popularity", popular), ("random", random))}


@dataclass(frozen=True)
class Training:
    """What a trainer knows of its training.

    Attributes:
        best: the selected epochs, ``mean`` or each domain -> {"epoch", "score", "valid", "state_dict"}.
        valid: validation metrics of the selection.
        history: an entry for each epoch.
        seconds: phase -> seconds.
        samples_seen: in all epochs.
        parameters: trainable numbers of the model.
    """

    best: Mapping[str, Mapping[str, object]]
    valid: Result
    history: list[dict[str, object]]
    seconds: Mapping[str, float]
    samples_seen: int
    parameters: int


def write(
    config, test_data: EvalLoader, rank: np.ndarray, test: Result, reference: Mapping[str, Result], recommended: Result,
    training: Training,
) -> None:
    """Write ranks.npz and then result.json of a tested run."""
    dataset = test_data.dataset
    folder = config.run_directory
    popularity = training_popularity(dataset)
    run.write_ranks(
        folder, rank, test_data.domain, dataset.user_token[test_data.user], dataset.item_token[test_data.item],
        dataset.log.history_length[test_data.targets], popularity[test_data.item],
    )  # fmt: skip
    seconds = training.seconds
    run.write_result(
        folder,
        {
            "model": config.model_name,
            "dataset": config["dataset"],
            "domains": {name: config[f"{name}_domain"]["dataset"] for name in DOMAINS},
            "seed": config["seed"],
            "versions": run.versions(),
            "git_revision": run.git_revision(),
            "device": run.device_name(config["device"]),
            "processes": processes.size(),
            "trainable_parameters": training.parameters,
            "seconds": {key: round(value, 3) for key, value in seconds.items()},
            "samples_per_second": round(training.samples_seen / max(seconds["train"], 1e-9), 1),
            "peak_memory_bytes": run.peak_memory_bytes(config["device"]),
            "selection": config["selection"],
            "best_epoch": {name: entry["epoch"] for name, entry in training.best.items()} or None,
            "epochs": len(training.history),
            "valid": training.valid,
            "test": test,
            "test_samples": {name: int((test_data.domain == code).sum()) for code, name in enumerate(DOMAINS)},
            "candidates": {
                "mode": test_data.candidates.spec.mode,
                "history_masked": not test_data.candidates.spec.repeatable,
                "digest": test_data.candidates.digest,
            },
            "reference": reference,
            "recommended": recommended,
            "coverage": dataset.coverage,
            "history": training.history,
            "parameters": config.plain(),
        },
    )
