from __future__ import annotations

import logging
import sys

import pytest

import recbole_lecdsr  # noqa: F401  repairs the frameworks before any test imports them


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test runs in a folder of its own, since RecBole writes logs into ./log, and without pytest's arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["test"])
    yield
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler):
            logging.getLogger().removeHandler(handler)
            handler.close()
