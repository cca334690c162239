"""Which parameters have an influence on the result of a run, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

# Where data and runs are, what becomes of a former run, on which device and how loudly a run is trained.
WITHOUT_INFLUENCE = frozenset({
    "data_path", "output_dir", "run_name", "resume", "overwrite", "use_gpu", "gpu_id", "worker", "eval_batch_size",
    "show_progress", "state", "log_wandb", "wandb_project",
})  # fmt: skip
_DOMAINS = ("source_domain", "target_domain")


def influential(parameters: Mapping[str, object]) -> dict[str, object]:
    """The parameters that have an influence on the result; of a domain's settings, without the place of its files.

    >>> influential({"seed": 1, "output_dir": "runs/", "source_domain": {"dataset": "food", "data_path": "/data"}})
    {'seed': 1, 'source_domain': {'dataset': 'food'}}
    """
    values = {name: value for name, value in parameters.items() if name not in WITHOUT_INFLUENCE}
    for name in _DOMAINS:
        if isinstance(settings := values.get(name), Mapping):
            values[name] = {key: value for key, value in settings.items() if key not in WITHOUT_INFLUENCE}
    return values


def parameter_digest(parameters: Mapping[str, object]) -> str:
    """16 hexadecimal digits that runs share whose parameters are the same, but for the seed and those of no influence.

    >>> one = {"seed": 1, "dropout_prob": 0, "use_gpu": True}
    >>> parameter_digest(one) == parameter_digest({"seed": 2, "dropout_prob": 0.0, "use_gpu": False})
    True
    >>> parameter_digest(one) == parameter_digest({"seed": 1, "dropout_prob": 0.2, "use_gpu": True})
    False
    """
    values = {name: value for name, value in influential(parameters).items() if name != "seed"}
    return digest_values(_with_whole_numbers(values))


def digest_values(values: object) -> str:
    """16 hexadecimal digits that equal plain data share, whatever the order of mappings."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _with_whole_numbers(value: object) -> object:
    """Plain data with 1 for 1.0, which are one value of a parameter."""
    if isinstance(value, Mapping):
        return {str(key): _with_whole_numbers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
