"""A pair of domains in which each token has a vector of its own, so that a row of a wrong token is noticed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from tests.helpers.pairs import Event

USERS = [*(f"u{number}" for number in range(12)), "onlysource", "onlytarget"]
ITEMS = {
    "source": [*(f"both{number}" for number in range(4)), *(f"book{number}" for number in range(9, 0, -1))],
    "target": [*(f"film{number}" for number in range(9, 0, -1)), *(f"both{number}" for number in range(3, -1, -1))],
}


def vector(token: str) -> list[float]:
    """A vector of its own for each token, exact in float32."""
    code = zlib.crc32(token.encode())
    return [float(code & 0xFFFF), float(code >> 16), 1.0]


def make_interactions(seed: int = 3) -> list[Event]:
    """Interactions in no order; every user of both domains has at least two in each, every item has one."""
    rng = np.random.default_rng(seed)
    found: list[Event] = []
    for user in USERS:
        own = [domain for domain in DOMAINS if user.startswith("u") or user == f"only{domain}"]
        for domain in own:
            found += [(user, str(rng.choice(ITEMS[domain])), domain, float(t)) for t in rng.permutation(40)[:5]]
    for domain in DOMAINS:
        found += [(f"u{number % 12}", item, domain, 50.0 + number) for number, item in enumerate(ITEMS[domain])]
    return [found[row] for row in rng.permutation(len(found))]


def shuffled_vectors(tokens: Iterable[str], seed: int = 0) -> dict[str, list[float]]:
    """Token -> `vector`, in a random order."""
    tokens = list(tokens)
    return {tokens[row]: vector(tokens[row]) for row in np.random.default_rng(seed).permutation(len(tokens))}


def assert_aligned(dataset: CrossDomainSequentialDataset, alias: dict[str, str] | None = None) -> None:
    """Rows of both embeddings are the vectors of their ids' tokens, by the plugin's maps and by RecBole's.

    ``alias`` has the token whose vector an id must have where it is not that of the id's own token.
    """
    alias = alias or {}
    for kind, tokens, matrix in (
        ("item", dataset.item_token, dataset.item_embedding()),
        ("user", dataset.user_token, dataset.user_vectors().vectors),
    ):
        assert tokens[0] == "[PAD]"
        assert not matrix[0].any()
        assert len(tokens) == len(matrix) == getattr(dataset, f"num_total_{kind}")
        for row in range(1, len(tokens)):
            assert matrix[row].tolist() == vector(alias.get(tokens[row], tokens[row])), tokens[row]
        for domain in DOMAINS:
            data = getattr(dataset, f"{domain}_domain_dataset")
            field = data.uid_field if kind == "user" else data.iid_field
            ids = dataset.token_ids(domain, kind)
            for token, row in ids.items():
                assert tokens[row] == token
                assert data.field2id_token[field][row] == token
                assert data.token2id(field, token) == row
