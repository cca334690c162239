"""Stored runs and studies for the fuzzer."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import torch

from recbole_lecdsr.leaderboard.run_results import read_run
from recbole_lecdsr.leaderboard.study_description import StudyDescription, read_description, update_description
from recbole_lecdsr.recommend.exported import EXPORT, ITEMS, Export
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.ranks import write_ranks
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.training import BestEpoch, EpochRecord
from tests.fuzz.runner import Target
from tests.helpers.studies import make_ranks, make_samples, write_run

_SEED = 2022


def _plain(value: object) -> object:
    """Tensors as lists, so that values can be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return _plain(vars(value)) if isinstance(value, (BestEpoch, EpochRecord)) else value


def _write_checkpoint() -> list[str]:
    valid = {"source": {"mrr": 0.25}, "target": {"mrr": 0.5}}
    Checkpoint(
        parameters={"seed": 1, "train_epochs": ["BOTH:9"]},
        data_digest="abc",
        vocabulary_digests={"users": "u", "items": "i"},
        best={"mean": BestEpoch(0, 0.375, valid, {"weight": torch.arange(4.0)})},
        last_state_dict={"weight": torch.arange(4.0) + 1},
        optimizer={"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        phase=0,
        epoch=1,
        cur_step=1,
        best_valid_score=0.375,
        best_valid_result={"source_mrr": 0.25, "target_mrr": 0.5},
        training_ended=False,
        refitted=False,
        history=(EpochRecord(0, 0, (2.5, 1.0), 3.0, valid, 0.375),),
        seconds={"load": 1.0, "train": 6.0, "valid": 2.0, "test": 0.0},
        samples_seen=100,
    ).save(Path("model.pth"))
    return ["model.pth"]


def _read_checkpoint() -> object:
    values = vars(Checkpoint.load(Path("model.pth")))
    best = {name: _plain(epoch) for name, epoch in values["best"].items()}
    return {**_plain(dict(values)), "best": best, "history": list(map(_plain, values["history"]))}


def _write_run() -> list[str]:
    samples = make_samples(n_users=6)
    rank = make_ranks(samples, 1.0, _SEED)
    folder = Path("study") / "runs" / "LeCDSR" / "movielens" / f"LeCDSR-{_SEED}"
    write_run(Path("study"), "LeCDSR", _SEED, samples, rank)
    digest = write_ranks(folder / "ranks.npz", rank=rank, **samples)
    replace(RunResult.read(folder / "result.json"), ranks_digest=digest).write(folder / "result.json")
    folder.rename("run")
    return ["run/result.json", "run/ranks.npz"]


def _read_run() -> object:
    result, rank, samples = read_run(Path("run"), _SEED)
    return result.to_dict(), rank.tolist(), {one.name: getattr(samples, one.name).tolist() for one in fields(samples)}


def _write_description() -> list[str]:
    update_description(Path(), StudyDescription(dataset="movielens", models=("LeCDSR", "Pop"), seeds=(1, 2)))
    return ["study.json"]


def _write_export() -> list[str]:
    items = b'{"domain": "films", "item": "Heat", "id": 1}\n'
    export = Export(
        model="LeCDSR", dataset="shop", domains={"source": "films", "target": "books"},
        items={"source": 1, "target": 0},
        vector_size=2, score_fusion=True, parameters={"seed": 1, "embedding_size": 2}, index={"search_width": 128},
        recall={"source": 0.5, "target": None}, queries={"source": 4, "target": 0}, versions={"torch": "2.13.0"},
        files={ITEMS: hashlib.sha256(items).hexdigest()},
    )  # fmt: skip
    export.write(Path())
    Path(ITEMS).write_bytes(items)
    return [EXPORT, ITEMS]


def _read_export() -> object:
    export = Export.read(Path())
    return vars(export), export.read_file(Path(), ITEMS)


STORED_RUNS = (
    Target("export", _write_export, _read_export, stored=True),
    Target("checkpoint", _write_checkpoint, _read_checkpoint, stored=True),
    Target("run", _write_run, _read_run, stored=True, weight=3),
    Target("study", _write_description, lambda: vars(read_description(Path())), stored=True),
)
