from __future__ import annotations

import logging
import sys

import pytest
import torch

import recbole_lecdsr  # noqa: F401  repairs the frameworks before any test imports them

torch.set_num_threads(1)  # the tests' tensors are tiny: more threads would wait for one another


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> dict[str, object]:
    """A finished run for tests that only read: ``settings``, ``folder`` (of the run) and what `run_lecdsr` returned."""
    from tests.helpers.pairs import random_events, write_pair
    from tests.helpers.runs import train

    root = tmp_path_factory.mktemp("finished")
    settings = {**write_pair(root / "dataset", random_events()), "train_epochs": ["BOTH:3"], "learning_rate": 0.01}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings)
    return {**outcome, "settings": settings, "folder": root / outcome["run_directory"]}


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    """Settings of a quick run of its own."""
    from tests.helpers.pairs import random_events, write_pair

    return {**write_pair(tmp_path / "dataset", random_events()), "learning_rate": 0.01}


@pytest.fixture
def recorder() -> type:
    """A fresh `tests.helpers.runs.Recorder` that has LeCDSR's name and thus its properties."""
    from tests.helpers.runs import Recorder

    return type("LeCDSR", (Recorder,), {"batches": []})


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Each test runs in a folder of its own, since runs are written below it, and without pytest's arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["test"])
    yield
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler):
            logging.getLogger().removeHandler(handler)
            handler.close()
