"""Whether two runs are the same run: which parameters have no influence on the result."""

from __future__ import annotations

from collections.abc import Mapping

# Where data and runs are, on which device and how loudly a run is trained.
WITHOUT_INFLUENCE = frozenset({
    "data_path", "output_dir", "resume", "use_gpu", "gpu_id", "worker", "eval_batch_size", "show_progress", "state",
    "log_wandb", "wandb_project",
})  # fmt: skip
# A run can be resumed with other values of these: they only decide when training stops.
FREE_TO_CHANGE = WITHOUT_INFLUENCE | {"train_epochs", "stopping_step"}


def differing_parameters(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Names of the parameters because of which one run cannot be resumed as the other, sorted.

    >>> differing_parameters({"seed": 1, "train_epochs": ["BOTH:5"]}, {"seed": 2, "train_epochs": ["BOTH:9"]})
    ['seed']
    """
    names = (one.keys() | other.keys()) - FREE_TO_CHANGE
    return sorted(name for name in names if one.get(name) != other.get(name))
