"""Checks of a configuration: values of the right type that make no sense, settings that the plugin does not support."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from recbole_cdr.utils import train_mode2state

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES
from recbole_lecdsr.data.splitting import split_counts
from recbole_lecdsr.llm import settings as llm
from recbole_lecdsr.llm.encoders.reduction import REDUCTIONS
from recbole_lecdsr.model.ranking_losses import RANKING_LOSSES

SELECTIONS = ("mean", "per_domain_best")
USER_TEXTS = ("profiles", "history")
DTYPES = ("float32", "float16", "bfloat16")
SEQUENCES = ("mixed", "single")
TRAIN_SAMPLES = ("targets", "sequences")
NETWORKS = ("published", "causal")
METRICS = ("hit", "ndcg", "mrr", "recall", "precision", "map")
_MODE = re.compile(r"full|(uni|pop)[1-9]\d*")


class _Faults(list):
    """Messages of what is wrong."""

    def need(self, good: bool, message: str) -> None:
        if not good:
            self.append(message)


def faults(values: Mapping[str, object]) -> list[str]:
    """What is wrong with the values of a configuration, a message with a remedy each; empty where nothing is."""
    return [part for check in (_data, _features, _model, _training, _evaluation) for part in check(values)]


def _data(values: Mapping[str, object]) -> list[str]:
    """Domains and windows."""
    found = _Faults()
    need = found.need
    for domain in DOMAINS:
        name = (values.get(f"{domain}_domain") or {}).get("dataset")
        need(
            bool(name),
            f"data set {values['dataset']!r} has no property file that names its {domain} domain: "
            f"give --{domain}_domain.dataset=NAME, or a file with it in --config_files",
        )
    for key in ("MAX_ITEM_LIST_LENGTH", "MIN_ITEM_LIST_LENGTH", "train_batch_size", "eval_batch_size", "eval_step"):
        need(not isinstance(values[key], int) or values[key] >= 1, f"{key} must be at least 1, not {values[key]}")
    need(
        values["sequence"] in SEQUENCES,
        f"sequence must be {' or '.join(SEQUENCES)}, not {values['sequence']!r}",
    )
    return found


def _features(values: Mapping[str, object]) -> list[str]:
    """LLM, encoder, embedding files."""
    found = _Faults()
    need = found.need
    if isinstance(values["llm"], Mapping):
        found.extend(llm.faults({name: value for name, value in values["llm"].items() if name in llm.NAMES}))
    for key in ("encoder_batch_size", "encoder_dim", "encoder_max_tokens", "embedding_reduction_size"):
        number = values[key]
        good = isinstance(number, int) and not isinstance(number, bool) and number >= 1
        need(number is None or good, f"{key} must be a whole number from 1 on, not {number!r}")
    for key in ("encoder_prompt", "encoder_user_prompt"):
        need(values[key] is None or isinstance(values[key], str), f"{key} must be a text, not {values[key]!r}")
    need(
        values["encoder_dtype"] in DTYPES,
        f"encoder_dtype must be one of {', '.join(DTYPES)}, not {values['encoder_dtype']!r}",
    )
    devices = values["encoder_devices"]
    need(
        devices is None or (isinstance(devices, list) and all(isinstance(device, str) for device in devices)),
        f"encoder_devices must be a list such as ['cuda:0', 'cuda:1'], not {devices!r}",
    )
    reduction = values["embedding_reduction"]
    need(
        reduction in (None, *REDUCTIONS),
        f"embedding_reduction must be {' or '.join(REDUCTIONS)}, or left out; not {reduction!r}",
    )
    need(
        values["user_text"] in USER_TEXTS,
        f"user_text must be {' or '.join(USER_TEXTS)}, not {values['user_text']!r}",
    )
    for key, ending in EMBEDDING_FILES.items():
        name = values[key]
        need(
            name is None or (isinstance(name, str) and name.endswith(ending) and Path(name).name == name),
            f"{key} must be the name of a file beside the usual one that ends in {ending}, such as other{ending}, "
            f"not {name!r}",
        )
    return found


def _model(values: Mapping[str, object]) -> list[str]:
    """Settings of LeCDSR, where a model has them."""
    found = _Faults()
    need = found.need
    if "network" in values:
        need(
            values["network"] in NETWORKS,
            f"network must be {' or '.join(NETWORKS)}, not {values['network']!r}",
        )
    if "time_embedding_size" in values:
        size = values["time_embedding_size"]
        good = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        need(good, f"time_embedding_size must be a whole number, 0 for events without time, not {size!r}")
    if "loss_type" in values and "network" in values:
        losses = sorted(RANKING_LOSSES)
        need(
            values["loss_type"] in losses,
            f"loss_type must be one of {', '.join(losses)}, not {values['loss_type']!r}",
        )
    return found


def _training(values: Mapping[str, object]) -> list[str]:
    """Samples, negatives, phases, selection."""
    found = _Faults()
    need = found.need
    need(
        values["train_samples"] in TRAIN_SAMPLES,
        f"train_samples must be {' or '.join(TRAIN_SAMPLES)}, not {values['train_samples']!r}",
    )
    negatives = values["train_neg_sample_args"] if isinstance(values["train_neg_sample_args"], Mapping) else {}
    distribution, number = negatives.get("distribution"), negatives.get("sample_num")
    need(
        distribution in ("uniform", "popularity"),
        f"train_neg_sample_args.distribution must be uniform or popularity, not {distribution!r}",
    )
    need(
        isinstance(number, int) and number >= 1,
        f"train_neg_sample_args.sample_num must be at least 1, not {number!r}",
    )
    need(
        not negatives.get("shared") or (distribution == "uniform" and not negatives.get("exclude_user_items")),
        "train_neg_sample_args.shared: True draws uniformly for a whole batch: it needs distribution: uniform and "
        "exclude_user_items: False",
    )
    for phase in values["train_epochs"]:
        mode, _, count = str(phase).partition(":")
        need(
            mode in train_mode2state and count.isdigit() and int(count) >= 1,
            f"train_epochs: {phase!r} must be MODE:NUMBER, such as BOTH:30, with a mode of "
            f"{', '.join(train_mode2state)}",
        )
    need(
        values["selection"] in SELECTIONS,
        f"selection must be {' or '.join(SELECTIONS)}, not {values['selection']!r}",
    )
    need(
        not values["refit"] or (values["selection"] == "mean" and len(values["train_epochs"]) == 1),
        "refit: True trains one model anew for the epochs that validation chose: it needs selection: mean and a "
        "single phase in train_epochs",
    )
    return found


def _evaluation(values: Mapping[str, object]) -> list[str]:
    """Split, candidates, metrics."""
    found = _Faults()
    need = found.need
    arguments = values["eval_args"] if isinstance(values["eval_args"], Mapping) else {}
    if not values["benchmark_filename"]:
        try:
            split_counts(torch.ones(1).numpy(), arguments.get("split"))
        except (ValueError, TypeError) as error:
            found.append(f"eval_args.split: {error}")
    else:
        names = values["benchmark_filename"]
        need(isinstance(names, list) and len(names) == 3, f"benchmark_filename needs three names, not {names!r}")
    need(
        arguments.get("order") == "TO",
        f"eval_args.order must be TO (sequences are by time), not {arguments.get('order')!r}",
    )
    need(arguments.get("group_by") == "user", f"eval_args.group_by must be user, not {arguments.get('group_by')!r}")
    mode = arguments.get("mode")
    modes = mode.values() if isinstance(mode, Mapping) else [mode]
    for one in modes:
        need(
            bool(_MODE.fullmatch(str(one))),
            f"eval_args.mode must be full, uniN or popN (such as uni999), not {one!r}",
        )
    metrics = [values["metrics"]] if isinstance(values["metrics"], str) else values["metrics"]
    for name in metrics:
        need(str(name).lower() in METRICS, f"metrics: {name!r} is not one of {', '.join(METRICS)}")
    topk = [values["topk"]] if isinstance(values["topk"], int) else values["topk"]
    need(all(isinstance(k, int) and k >= 1 for k in topk), f"topk must be whole numbers from 1 on, not {topk!r}")
    metric, _, k = str(values["valid_metric"]).partition("@")
    need(
        metric.lower() in [str(name).lower() for name in metrics] and k.isdigit() and int(k) in topk,
        f"valid_metric {values['valid_metric']!r} must be one of metrics {list(metrics)} at one of "
        f"topk {list(topk)}, such as NDCG@10",
    )
    return found
