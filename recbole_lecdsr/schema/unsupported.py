"""Parameters of RecBole, RecBole-CDR and earlier versions that have no effect here, and what to use instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unsupported:
    """A parameter without effect.

    Attributes:
        remedy: what to use instead.
        neutral: values that are accepted and dropped, since they ask for nothing.
    """

    remedy: str
    neutral: tuple[object, ...] = ()


_STORED = Unsupported("embeddings and candidates are stored in any case", neutral=(False, None))
_FROM_SEED = Unsupported("loaders follow from the seed and need no file", neutral=(False, None))
_DYNAMIC = Unsupported("negatives are drawn independently of the model; leave it out", neutral=(False, 0, None))

UNSUPPORTED = {
    "neg_sampling": Unsupported("use train_neg_sample_args", neutral=(None,)),
    "checkpoint_dir": Unsupported("use output_dir"),
    "config_file": Unsupported("use config_files"),
    "valid_metric_bigger": Unsupported("it follows from valid_metric", neutral=(True,)),
    "save_dataset": _STORED,
    "dataset_save_path": _STORED,
    "save_dataloaders": _FROM_SEED,
    "dataloaders_save_path": _FROM_SEED,
    "preload_weight": Unsupported("use .itememb and .useremb files", neutral=(None,)),
    "api_key": Unsupported("keys come from the environment: export OPENAI_API_KEY=…"),
    "base_url": Unsupported("it comes from the environment: export OPENAI_BASE_URL=…"),
    "threshold": Unsupported("every row is an interaction; filter rows with val_interval", neutral=(None,)),
    "eval_args.split_valid": Unsupported("both domains are split by eval_args.split"),
    "train_neg_sample_args.dynamic": _DYNAMIC,
    "train_neg_sample_args.candidate_num": _DYNAMIC,
}
# Names of version 0.1.0 -> names of today.
RENAMED = {"evidence": "score_fusion", "average_decay": "ema_decay", "calendar_size": "time_embedding_size"}


def refusal(name: str) -> str | None:
    """Why a parameter is refused and what to use instead, or None for one that neither table has.

    Example:
        >>> refusal("checkpoint_dir"), refusal("evidence"), refusal("seed")
        ('checkpoint_dir has no effect here: use output_dir', 'evidence is now called score_fusion', None)
    """
    if name in RENAMED:
        return f"{name} is now called {RENAMED[name]}"
    return f"{name} has no effect here: {UNSUPPORTED[name].remedy}" if name in UNSUPPORTED else None
