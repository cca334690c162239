"""A pair of domains, food and kitchen, with profiles that consist of facets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from recbole_lecdsr.llm.encoders.base import Encoder
from tests.helpers.pairs import random_events, write_pair

DOMAINS = {"source": "food", "target": "kitchen"}
FACETS = ["food", "kitchen", "both", "next_food", "next_kitchen"]
EARLY, FULL = 5, 8  # 70 % and all of the training interactions of a user


def write_facet_pair(root: Path, n_users: int = 6) -> dict[str, object]:
    """Write ``root/pair/{food,kitchen}/`` with titles; returns a ``config_dict`` for a quick run on it."""
    settings = write_pair(root, random_events(n_users))
    for old, name in DOMAINS.items():
        folder = (root / "pair" / old).rename(root / "pair" / name)
        for path in folder.glob(f"{old}.*"):
            path.rename(folder / f"{name}{path.suffix}")
        rows = [f"{old[0]}{number}\tthe {name} of {number}" for number in range(12)]
        path = folder / f"{name}.item"
        path.write_text("\n".join(["item_id:token\ttitle:token", *rows]) + "\n", encoding="utf-8")
    domains = {f"{old}_domain": {"dataset": name} for old, name in DOMAINS.items()}
    return {**settings, **domains, "item_text": ["title"]}


def facets_of(user: str, events: int | None, **changes: object) -> dict[str, object]:
    """A line of a file of profiles; a change to None leaves a field out."""
    about = f"{user} {events}"
    line = {
        "user_id": user, "events": events, "food": f"teas of {about}", "kitchen": f"pots of {about}",
        "both": f"calm of {about}", "next_food": ["green tea", about], "next_kitchen": ["teapot", "cup"], **changes,
    }  # fmt: skip
    return {name: value for name, value in line.items() if value is not None}


def write_lines(path: Path, lines: Iterable[Mapping[str, object]]) -> Path:
    """Write JSON lines; returns the path."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


class HashEncoder(Encoder):
    """A vector of 6 numbers that follows from the text alone; ``texts`` are those that it has encoded."""

    def __init__(self):
        self.texts: list[str] = []

    def encode(self, texts, show_progress=False, kind="item"):
        self.texts += texts
        return np.stack([self.vector(text) for text in texts])

    @staticmethod
    def vector(text: str) -> np.ndarray:
        """(6,) float32 of length 1."""
        vector = np.random.default_rng(list(text.encode())).normal(size=6).astype(np.float32)
        return vector / np.linalg.norm(vector)
