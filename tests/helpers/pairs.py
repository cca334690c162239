"""Small pairs of domains for the tests, written as atomic files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

# An interaction: user, item, domain ("source" or "target"), time.
Event = tuple[str, str, str, float]

QUICK = {
    "use_gpu": False,
    "show_progress": False,
    "embedding_size": 8,
    "adapter_hidden_size": 8,
    "train_batch_size": 64,
    "train_epochs": ["BOTH:2"],
    "train_neg_sample_args": {"sample_num": 5},
    "MAX_ITEM_LIST_LENGTH": 6,
}

# LeCDSR as published: a batch has a row for each target, with negatives of its own.
PER_TARGET = {"network": "published", "train_samples": "targets", "ema_decay": 0.0}


def write_vectors(path: Path, kind: str, vectors: Mapping[str, Sequence[float]]) -> None:
    """Write an .itememb or .useremb file of token -> numbers; ``kind`` is ``item`` or ``user``."""
    lines = [f"{kind}_id:token\t{kind}_emb:float_seq"]
    lines += [f"{token}\t{' '.join(map(repr, map(float, vector)))}" for token, vector in vectors.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_profiles(path: Path, profiles: Mapping[tuple[str, int], Sequence[float]]) -> None:
    """Write a .useremb file of (user token, number of the user's first events) -> numbers."""
    lines = ["user_id:token\tevents:float\tuser_emb:float_seq"]
    lines += [f"{user}\t{k}\t{' '.join(map(repr, map(float, vector)))}" for (user, k), vector in profiles.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Write an .inter file."""
    lines = ["user_id:token\titem_id:token\ttimestamp:float", *(f"{u}\t{i}\t{t}" for u, i, _, t in events)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pair(
    root: Path,
    events: Sequence[Event],
    items: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    users: Mapping[str, Sequence[float]] | None = None,
    name: str = "pair",
    size: int = 5,
) -> dict[str, object]:
    """Write ``root/<name>/{source,target}/`` with the given LLM embeddings, else with random ones.

    Args:
        root: the folder of all data sets.
        events: interactions of both domains.
        items: domain -> item token -> vector.
        users: user token -> vector.
        name: of the pair.
        size: of random vectors.

    Returns:
        a ``config_dict`` for a quick run on it.
    """
    rng = np.random.default_rng(7)
    for domain in ("source", "target"):
        folder = root / name / domain
        folder.mkdir(parents=True, exist_ok=True)
        rows = [event for event in events if event[2] == domain]
        write_events(folder / f"{domain}.inter", rows)
        tokens = sorted({item for _, item, _, _ in rows})
        vectors = items[domain] if items else {token: rng.normal(size=size) for token in tokens}
        write_vectors(folder / f"{domain}.itememb", "item", vectors)
    tokens = sorted({user for user, *_ in events})
    write_vectors(root / name / f"{name}.useremb", "user", users or {t: rng.normal(size=size) for t in tokens})
    return {
        **QUICK,
        "dataset": name,
        "data_path": str(root),
        "output_dir": str(root / "runs"),
        "source_domain": {"dataset": "source"},
        "target_domain": {"dataset": "target"},
    }


def random_events(n_users: int = 30, n_items: int = 12, n_events: int = 10, seed: int = 0) -> list[Event]:
    """Users of both domains with ``n_events`` interactions each, at distinct times and in no order."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(n_users):
        for time in rng.permutation(n_events):
            domain = ("source", "target")[int(rng.integers(2))] if time > 1 else ("source", "target")[int(time)]
            events.append((f"u{user}", f"{domain[0]}{rng.integers(n_items)}", domain, float(time)))
    return events


def interactions_of_length(lengths: list[int]) -> list[Event]:
    """Users of the given numbers of interactions, in both domains by turns."""
    domains = ("source", "target")
    return [
        (f"u{user}", f"{domains[time % 2]}{time % 5}", domains[time % 2], float(time))
        for user, length in enumerate(lengths)
        for time in range(length)
    ]
