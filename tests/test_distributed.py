"""Several processes of one run, started by torchrun, on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from recbole_lecdsr import distributed
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import PER_TARGET
from tests.helpers.runs import loaders, process, read_run, train

PROGRAM = Path(__file__).parents[1] / "run_lecdsr.py"
# Nothing random within a step, so that the shards of a batch give the gradient of the whole batch.
PLAIN = {"dropout_prob": 0.0, "profile_dropout": 0.0, "align_weight": 0.0}
SASREC = {"hidden_size": 8, "inner_size": 8, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}
ABXI = {"embedding_size": 8, "inner_size": 8, "domain_rank": 2, "invariant_rank": 2, "dropout_prob": 0.0}
MODELS = {
    "LeCDSR-paper": ("LeCDSR-paper", {"learning_rate": 1e-4}),
    "LeCDSR-paper, own samples": ("LeCDSR-paper", {"learning_rate": 1e-3, "loss_type": "own_sample_hinge"}),
    "LeCDSR": ("LeCDSR", {**PLAIN, "learning_rate": 0.1}),
    "LeCDSR, all pairs": ("LeCDSR", {**PLAIN, "learning_rate": 1e-5, "loss_type": "all_pairs_hinge"}),
    "SASRec": ("SASRec", {**SASREC, "learning_rate": 0.1}),
    "ABXI": ("ABXI", {**ABXI, "learning_rate": 0.1}),
}
# Parts of a loss that are means over something else than the targets of a batch.
CASE_R30 = {
    "alignment of items": ("LeCDSR", {**PLAIN, "learning_rate": 0.1, "align_weight": 1.0}),
    "alignment of real positions": (
        "LeCDSR-paper", {"learning_rate": 1e-3, "align_weight": 10.0, "mask_padding": True, "loss_type": "softmax"}
    ),
    "rows with a history": ("SASRec", {**SASREC, "learning_rate": 0.1, "sequence": "single"}),
}  # fmt: skip


def torchrun(number: int, *arguments: str, cwd: Path):
    """`run_lecdsr.py` in several processes."""
    start = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={number}")
    return process(*start, str(PROGRAM), *arguments, cwd=cwd)


def in_two(settings: dict[str, object], model: str, folder: Path, **changes) -> str:
    """Train in two processes; returns what they printed."""
    (folder / "mine.yaml").write_text(yaml.safe_dump({**settings, **changes}), encoding="utf-8")
    done = torchrun(2, f"--model={model}", "--config_files", "mine.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_about_the_same(one: str | Path, other: str | Path) -> None:
    """Two run directories hold the same losses and weights up to rounding, and nearly the same ranks."""
    one, other = read_run(one), read_run(other)
    losses = [[epoch["loss"] for epoch in run["result"]["history"]] for run in (one, other)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert np.mean(one["ranks"]["rank"] != other["ranks"]["rank"]) < 0.05
    for name, weight in one["weights"].items():
        if isinstance(weight, torch.Tensor):
            loose = name.startswith("score_fusion.")  # fitted by an iteration that stops near the optimum
            atol = 1e-2 if loose else 1e-5
            torch.testing.assert_close(weight, other["weights"][name], rtol=1e-3, atol=atol, msg=name)


@pytest.mark.parametrize(("model", "changes"), MODELS.values(), ids=MODELS)
def test_two_processes_learn_what_one_does(pair, tmp_path, model, changes):
    train_alone_and_in_two(pair, tmp_path, model, changes)


@pytest.mark.parametrize(("model", "changes"), CASE_R30.values(), ids=CASE_R30)
def test_case_r30_every_part_of_the_loss_weighs_by_its_own_terms(pair, tmp_path, model, changes):
    train_alone_and_in_two(pair, tmp_path, model, changes)


def train_alone_and_in_two(pair, tmp_path, model, changes) -> None:
    """Train in one process and in two, and compare the runs."""
    if not model.startswith("LeCDSR"):
        pair = {name: value for name, value in pair.items() if not name.endswith("_size") or name.startswith("train")}
    # Not Adam, whose steps do not shrink where the gradient is nothing but rounding.
    changes = {**changes, "train_epochs": ["BOTH:2"], "train_batch_size": 13, "learner": "sgd"}
    alone = train(pair, model, **changes, output_dir=str(tmp_path / "alone"))
    printed = in_two(pair, model, tmp_path, **changes, output_dir=str(tmp_path / "two"))
    (folder,) = (tmp_path / "two" / "pair").iterdir()
    assert_about_the_same(alone["run_directory"], folder)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert (alone["result"]["processes"], result["processes"]) == (1, 2)
    assert printed.count("Test samples:") == 1


def test_a_run_of_one_process_is_resumed_by_two(pair, tmp_path):
    settings = {**pair, **PLAIN, "learner": "sgd", "learning_rate": 0.1}
    long = train(settings, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "long"))
    short = train(settings, train_epochs=["BOTH:2"], output_dir=str(tmp_path / "runs"))
    in_two(settings, "LeCDSR", tmp_path, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "runs"), resume=True)
    assert_about_the_same(long["run_directory"], short["run_directory"])


def test_what_cannot_be_distributed_is_refused_with_an_alternative(pair, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(pair), encoding="utf-8")
    done = torchrun(2, "--model=Pop", "--config_files", "mine.yaml", cwd=tmp_path)
    assert done.returncode != 0
    assert "Pop trains in one process only" in done.stderr
    done = torchrun(2, "compare", "--models=Pop", cwd=tmp_path)
    assert done.returncode != 0
    assert "not compare: start it without torchrun" in done.stderr


# ------------------------------------------------------------------ sharding


@pytest.fixture
def be(monkeypatch):
    """Makes this process one of several, as far as sharding is concerned."""

    def one(rank: int, size: int) -> None:
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "world_size", lambda: size)

    return one


def batches_of(settings, be, rank: int, size: int):
    """Fields of each batch of the epoch that a process sees, and whether others have other rows of it."""
    be(rank, size)
    loader = loaders(settings)[0]
    return [
        ({name: values.clone() for name, values in batch.interaction.items()}, loader.is_sharded) for batch in loader
    ]


@pytest.mark.parametrize("network", ["causal", "published"])
def test_the_rows_of_all_processes_are_the_batch(pair, be, network):
    settings = {**pair, "train_batch_size": 7}
    if network == "published":
        own = {"sample_num": 3, "exclude_user_items": True, "shared": False}
        settings |= {**PER_TARGET, "train_neg_sample_args": own}
    whole = batches_of(settings, be, 0, 1)
    parts = [batches_of(settings, be, rank, 3) for rank in range(3)]
    assert len(whole) == len(parts[0]) > 3
    for (batch, is_sharded), *own in zip(whole, *parts, strict=True):
        assert not is_sharded
        assert {sharded for _, sharded in own} == {len(batch["item_id"]) >= 6}
        for name, values in batch.items():
            for rank, (fields, _) in enumerate(own):
                common = (network == "causal" and name == "neg_item_id") or len(batch["item_id"]) < 6
                assert torch.equal(fields[name], values if common else values[rank::3])


@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_the_samples_of_all_processes_are_the_split(pair, be, mode):
    settings = {**pair, "eval_args": {"mode": mode}}
    test = loaders(settings)[2]
    seen = np.zeros(len(test.targets), dtype=int)
    for rank in range(3):
        be(rank, 3)
        own = test.shard()
        np.testing.assert_array_equal(own.targets, test.targets[rank::3])
        np.testing.assert_array_equal(own.domain, test.domain[rank::3])
        if mode != "full":
            np.testing.assert_array_equal(own.candidates.items, test.candidates.items[rank::3])
        seen[rank::3] += 1
    assert (seen == 1).all()


def test_a_single_process_has_every_row(finished):
    assert (distributed.rank(), distributed.world_size(), distributed.is_distributed()) == (0, 1, False)
    assert distributed.shard(7) == slice(0, 7, 1)
    np.testing.assert_array_equal(distributed.gather_shards(np.arange(3), 3), np.arange(3))
    assert finished["result"]["processes"] == 1


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(UserError, match=r"4 processes on a machine of 2 GPUs: give --nproc_per_node=2"):
        distributed.local_gpu()
