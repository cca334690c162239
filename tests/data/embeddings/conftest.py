from __future__ import annotations

import pytest

from recbole_lecdsr.data.embeddings import cache as embedding_cache
from recbole_lecdsr.data.embeddings import embedding_file


@pytest.fixture
def settled(monkeypatch):
    """Files count as not changed just now, as if the test had waited."""
    monkeypatch.setattr(embedding_cache, "_CLOCK_TICK", -1)


@pytest.fixture
def parsed(monkeypatch):
    """Files whose text was parsed, one entry each time."""
    calls = []
    parse = embedding_file._parse
    monkeypatch.setattr(
        embedding_file,
        "_parse",
        lambda reader, *rest, **names: calls.append(reader.path) or parse(reader, *rest, **names),
    )
    return calls


@pytest.fixture
def digested(monkeypatch):
    """How often a source was digested to find out whether its cache is valid."""
    calls = []
    digest = embedding_cache._digest
    monkeypatch.setattr(embedding_cache, "_digest", lambda source: calls.append(source.name) or digest(source))
    return calls
