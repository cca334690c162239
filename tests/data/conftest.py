from __future__ import annotations

import pytest

from recbole_lecdsr.data.constants import DOMAINS
from tests.helpers.pairs import write_pair
from tests.helpers.token_pair import ITEMS, USERS, make_interactions, shuffled_vectors


@pytest.fixture
def token_pair(tmp_path) -> dict[str, object]:
    """Settings of a quick run on a pair with a vector of its own for each token."""
    items = {domain: shuffled_vectors(ITEMS[domain]) for domain in DOMAINS}
    return write_pair(tmp_path / "dataset", make_interactions(), items, shuffled_vectors(USERS))
