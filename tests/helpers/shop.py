"""A small pair with titles and profiles, a finished run on it, and its recommendations computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import train

LENGTH, WITHOUT_PROFILE = 6, "u3"
# Tokens as film titles are: with commas, colons and brackets.
EVENTS = [(user, f"{item}: the [b]{item[1:]}[/b], one", domain, time) for user, item, domain, time in random_events()]
HISTORY = {
    user: [event[1:3] for event in sorted((e for e in EVENTS if e[0] == user), key=lambda e: e[3])]
    for user in {event[0] for event in EVENTS}
}
TIMES = {user: sorted(time for owner, _, _, time in EVENTS if owner == user) for user in HISTORY}


def title(item: str) -> str:
    return f"Title of {item[:2]}" if item.startswith("s") else f"Name of {item[:2]}"


def train_shop(root: Path) -> dict[str, object]:
    """A finished run on data with titles (a column in the source, JSON lines in the target) and profiles.

    Returns:
        ``settings`` and ``folder`` of the run, ``root``, where it was started, and ``items``: domain -> tokens.
    """
    users = {user: np.random.default_rng(n).normal(size=5) for n, user in enumerate(HISTORY) if user != WITHOUT_PROFILE}
    settings = {**write_pair(root / "dataset", EVENTS, users=users), "train_epochs": ["BOTH:3"], "learning_rate": 0.02}
    pair = root / "dataset" / "pair"
    items = {domain: sorted({item for _, item, d, _ in EVENTS if d == domain}) for domain in ("source", "target")}
    rows = "".join(f"{item}\t{title(item)}\n" for item in items["source"])
    (pair / "source" / "source.item").write_text("item_id:token\ttitle:token_seq\n" + rows)
    lines = [json.dumps({"item_id": item, "name": title(item), "description": "…"}) for item in items["target"]]
    (pair / "items.jsonl").write_text("\n".join(lines))
    lines = [json.dumps({"user_id": user, "profile": f"Profile of {user}."}) for user in users]
    (pair / "profiles.jsonl").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings)
    return {"settings": settings, "folder": root / outcome["run_directory"], "root": root, "items": items}


def scores_of(model, dataset, user: str | None, history, domain: str, now: bool = False) -> dict[str, float]:
    """Scores of a domain's items, the window built by hand; ``now``: as if all had happened at the end of the data."""
    latest = history[-LENGTH:]
    log = dataset.log
    known = log.time[log.split == TRAIN]
    relative_time = [1.0 if now else float(np.mean(known <= time)) for time in TIMES.get(user, history)[-len(latest) :]]
    position = [sum(later[1] == event[1] for later in latest[n:]) for n, event in enumerate(latest)]
    ids = {name: dataset.token_ids(name, "item") for name in ("source", "target")}
    padding = [0] * (LENGTH - len(latest))
    batch = {
        "user_id": [dataset.token_ids("source", "user")[user] if user else 0],
        "item_id_list": [padding + [ids[d][item] for item, d in latest]],
        "position_id": [padding + position],
        "item_length": [len(latest)],
        "n_earlier": [len(history)],
        "domain_list": [padding + [DOMAINS.index(d) for _, d in latest]],
        "relative_time_list": [padding + relative_time],
        "domain": [DOMAINS.index(domain)],
    }
    with torch.no_grad():
        scores = model.full_sort_predict(Interaction({name: torch.tensor(value) for name, value in batch.items()}))[0]
    return {item: float(scores[number]) for item, number in ids[domain].items() if number}


def ranked(model, dataset, user, history, domain, k, without=(), now=False) -> list[tuple[str, float]]:
    scores = scores_of(model, dataset, user, history, domain, now)
    order = sorted((item for item in scores if item not in without), key=lambda item: -scores[item])
    return [(item, scores[item]) for item in order[:k]]


def listed(frame: pd.DataFrame, user: str | None, domain: str) -> list[tuple[str, float]]:
    part = frame[frame["domain"] == domain]
    part = part[part["user"].isna() if user is None else part["user"] == user]
    assert part["rank"].tolist() == list(range(1, len(part) + 1))
    return list(zip(part["item"], part["score"], strict=True))


def assert_equal_lists(found, expected):
    assert [item for item, _ in found] == [item for item, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], rtol=1e-5, atol=1e-6)
