"""A data set of random interactions in memory, of the size of a real one, for the benchmarks."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import recbole_lecdsr  # isort: skip  # before torch, which reads how threads wait

import numpy as np
import torch

from recbole_lecdsr.data.constants import DOMAINS, PHASES
from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.aids import with_aids
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.property_files import PROPERTIES, merge, read_property_file
from recbole_lecdsr.runs.environment import device_name, peak_memory_bytes

# Sizes of Amazon's Food and Kitchen, as arguments of `RandomDataset`.
FOOD_KITCHEN = {"n_users": 7_144, "n_source": 11_837, "n_target": 16_258}


def settings(model: str, device: str, **changes: object) -> dict[str, object]:
    """The parameters of ``properties/`` for the name of a model file, such as LeCDSR-paper.

    Args:
        model: name of a file in ``properties/model``.
        device: of torch, such as ``cpu``.
        changes: parameters with other values.
    """
    files = [PROPERTIES / "overall.yaml", PROPERTIES / "model" / f"{model}.yaml"]
    values = merge(*map(read_property_file, files))
    domains = {f"{domain}_domain": {"NEG_PREFIX": values["NEG_PREFIX"]} for domain in DOMAINS}
    return {**values, **domains, "device": torch.device(device), "pair_path": "", **changes}


def model_class(config: Mapping[str, Any]) -> type[CrossDomainSequentialRecommender]:
    """LeCDSR with the aids that the parameters switch on, as `LeCDSRConfig` chooses it."""
    return with_aids(LeCDSR, config)


class RandomDataset:
    """The part of a data set that loaders and LeCDSR use: a random log and random LLM embeddings.

    Users have 10 to 50 interactions, 24 on average, and the popularity of items has a long tail, as in Amazon's Food
    and Kitchen: the number of distinct items in a batch determines the work of the item adapter.

    Args:
        n_users: users of the log.
        n_source, n_target: items of each domain, none of which is in both.
        llm_size: D.
        min_history: earlier interactions that a training sample needs.
    """

    splits_by_time = False

    def __init__(self, *, n_users: int, n_source: int, n_target: int, llm_size: int, min_history: int):
        rng = np.random.default_rng(0)
        self.num_total_user, self.num_total_item = n_users + 1, n_source + n_target + 1
        self.num_overlap_user, self.num_overlap_item = self.num_total_user, 1
        self.domain_items = (np.arange(n_target + 1, self.num_total_item), np.arange(1, n_target + 1))
        self.overlap_id_field = "overlap"
        sizes = {"user_id": self.num_total_user, "item_id": self.num_total_item}
        part = SimpleNamespace(uid_field="user_id", iid_field="item_id", num=sizes.get)
        self.source_domain_dataset = self.target_domain_dataset = part
        user = np.repeat(np.arange(1, n_users + 1), np.clip(10 + rng.exponential(18, n_users), 10, 50).astype(int))
        domain = rng.integers(0, 2, len(user))
        source, target = (rng.choice(items, len(user), p=_long_tail(len(items))) for items in self.domain_items)
        item = np.where(domain == 0, source, target)
        self.log = build_event_log(user, item, domain, rng.random(len(user)), split={"LS": "valid_and_test"})
        self.min_history, self.llm_size, self.rng = min_history, llm_size, rng

    def targets(self, phase: str) -> np.ndarray:
        """As `CrossDomainSequentialDataset.targets`."""
        return sample_targets(self.log, PHASES[phase], self.min_history if phase == "train" else 1)

    def with_split(self, split: np.ndarray) -> RandomDataset:
        """As `CrossDomainSequentialDataset.with_split`."""
        changed = copy(self)
        changed.log = replace(self.log, split=split)
        return changed

    def item_embedding(self) -> np.ndarray:
        """(n_items, D) float32."""
        return self.rng.standard_normal((self.num_total_item, self.llm_size), dtype=np.float32)

    def user_vectors(self) -> UserVectors:
        """A vector of each user."""
        vectors = self.rng.standard_normal((self.num_total_user, self.llm_size), dtype=np.float32)
        return UserVectors.one_per_user(vectors)


def _long_tail(n_items: int) -> np.ndarray:
    """Popularity by rank: the first item has 0.4 % of the interactions, the rarer half of the items 14 %."""
    weight = (np.arange(n_items) + 20.0) ** -0.8
    return weight / weight.sum()


def report(device: str, **figures: object) -> None:
    """Print figures as JSON, with the machine and the versions with which they were measured."""
    torch_device = torch.device(device)
    memory = {key: round(value / 1e9, 3) for key, value in peak_memory_bytes(torch_device).items()}
    machine = {
        "device": device_name(torch_device), "processor": processor(), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "recbole_lecdsr": recbole_lecdsr.__version__,
    }  # fmt: skip
    print(json.dumps({**figures, "peak_memory_gb": memory, "machine": machine}, indent=2))


def processor() -> str:
    """Name of the processor, as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
