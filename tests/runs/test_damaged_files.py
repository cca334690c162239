"""Files of runs and studies that were damaged: refused in one line with file and remedy, wherever they are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.row_parameters import read_parameters
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.study_description import StudyDescription, update_description
from recbole_lecdsr.property_files import read_property_file
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend.recommender import load_run
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.result import RunResult
from tests.helpers import studies
from tests.helpers.runs import assert_same_weights, train

NO_JSON = [
    "",
    " ",
    "{",
    "[]",
    "3",
    "null",
    '{"a": NaN}',
    '{"a": 1e999}',
    "[" * 100_000,
    '{"a": ' + "9" * 5000 + "}",
    "\xff",
]


def refusal(read, *remedies: str) -> str:
    """The error of reading a damaged file, which must be one line that says what to do."""
    with pytest.raises(UserError) as caught:
        read()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert any(remedy in message for remedy in remedies), message
    return message


def places(values, path: tuple = ()) -> Iterator[tuple]:
    """The keys of every value within nested mappings and lists, outermost first."""
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(values, path: tuple, value):
    """A copy with another value at a place."""
    copy = json.loads(json.dumps(values))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


# ------------------------------------------------------------------ checkpoints


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the directory of a finished run."""
    folder = tmp_path / "runs" / "pair" / finished["folder"].name
    shutil.copytree(finished["folder"], folder)
    return folder


def test_case_t2_no_flipped_bit_of_a_checkpoint_goes_unnoticed(run):
    path = run / "model.pth"
    content, good = path.read_bytes(), Checkpoint.load(path)
    noticed = 0
    for position in np.linspace(0, len(content) - 1, 60).astype(int).tolist():
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            read = Checkpoint.load(path)
        except UserError as error:
            assert "model.pth" in str(error) and len(str(error).splitlines()) == 1
            noticed += 1
            continue
        # A bit between the entries of the archive, or of their time.
        assert_same_weights(read.state_dict, good.state_dict)
        assert (read.parameters, read.history, read.seconds) == (good.parameters, good.history, good.seconds)
    assert noticed > 20


WRONG_PARTS = {
    "parameters": ["x", [], None, 3], "data_digest": [3, None], "vocabulary_digests": [{"users": 3}, []],
    "best": [[], {}, {"mean": 3}, {"mean": {"epoch": "0", "score": 0.5, "valid": None, "state_dict": None}},
             {"mean": {"epoch": 0}}, {"target": {"epoch": 0, "score": None, "valid": None, "state_dict": {}}}],
    "state_dict": [[], 3, {1: torch.ones(1)}], "last_state_dict": [3, []],
    "optimizer": [[], None, {"state": {}}, {"state": [], "param_groups": []}], "phase": [-1.5, "0", True],
    "epoch": ["1", None], "cur_step": [0.5], "best_valid_score": ["high"], "best_valid_result": [[], {"mrr": "x"}],
    "training_ended": [1, "yes"], "refitted": [None], "samples_seen": ["many"], "seconds": [{"train": "long"}, 3],
    "history": [3, [3], [{"phase": 0}], [{"phase": 0, "epoch": 0, "loss": 3, "seconds": 1.0}]],
}  # fmt: skip


@pytest.mark.parametrize("sealed", [False, True], ids=["damaged", "made so"])
@pytest.mark.parametrize("name", WRONG_PARTS)
def test_case_t2_a_checkpoint_with_a_part_of_another_type_is_refused(run, name, sealed):
    from recbole_lecdsr.runs.content_digest import content_digest

    path = run / "model.pth"
    state = torch.load(path, weights_only=True)
    for value in WRONG_PARTS[name]:
        content = {**state, name: value}
        if sealed:  # as another program might write it
            content.pop("checksum")
            content["checksum"] = content_digest(content)
        torch.save(content, path)
        assert "model.pth" in refusal(lambda: Checkpoint.load(path), "delete it and train again")


def test_case_t2_a_checkpoint_that_lacks_a_part_is_refused_by_its_name(run):
    path = run / "model.pth"
    state = torch.load(path, weights_only=True)
    for name in state.keys() - {"format", "version", "state_dict", "parameters"}:
        torch.save({key: value for key, value in state.items() if key != name}, path)
        assert f"lacks {name}" in refusal(lambda: Checkpoint.load(path), "delete it and train again")


def test_case_t2_a_damaged_checkpoint_is_refused_wherever_it_is_read(finished, run):
    path = run / "model.pth"
    state = torch.load(path, weights_only=True)
    weights = {**state["state_dict"]}
    name = next(
        name for name, value in weights.items() if isinstance(value, torch.Tensor) and value.is_floating_point()
    )
    weights[name] = weights[name] + 1e-3
    torch.save({**state, "state_dict": weights}, path)
    (run / "result.json").unlink()  # a finished run is not read to be resumed
    for read in (
        lambda: load_data_and_model(run), lambda: load_run(run),
        lambda: train(finished["settings"], output_dir=str(run.parents[1]), resume=True),
    ):  # fmt: skip
        assert "is damaged" in refusal(read, "delete it and train again")


# ------------------------------------------------------------------ result.json


@pytest.mark.parametrize("content", NO_JSON, ids=lambda content: content[:12] or "empty")
def test_case_t2_a_result_that_is_no_json_object_is_refused(run, content):
    path = run / "result.json"
    path.write_bytes(content.encode("latin-1"))
    for read in (lambda: RunResult.read(path), lambda: read_parameters(run)):
        assert "result.json" in refusal(read, "delete the run and start it again")


def test_case_t2_a_result_with_any_value_of_another_type_is_refused(run):
    path = run / "result.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for number, place in enumerate(places(values)):
        content = changed(values, place, ([], {}, "x", -7.5, None)[number % 5])
        if content != values:
            path.write_text(json.dumps(content), encoding="utf-8")
            assert "result.json" in refusal(lambda: RunResult.read(path), "start it again")


UNCHECKED = {"coverage", "parameters"}  # whose values depend on model and data


def test_case_t2_a_result_of_0_1_0_has_values_of_the_right_types_without_a_checksum(run):
    path = run / "result.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for name in ("format", "checksum", "ranks_digest"):
        values.pop(name, None)
    path.write_text(json.dumps(values), encoding="utf-8")
    assert RunResult.read(path).seed == 2022
    for place in places(values):
        if place[0] not in UNCHECKED:
            path.write_text(json.dumps(changed(values, place, [["x"]])), encoding="utf-8")
            assert "result.json" in refusal(lambda: RunResult.read(path), "start it again")
    for place in (("test", "source", "mrr"), ("epochs",), ("seconds", "train"), ("test_samples", "source")):
        path.write_text(json.dumps(changed(values, place, -3)), encoding="utf-8")
        assert ".".join(place) in refusal(lambda: RunResult.read(path), "start it again")


# ------------------------------------------------------------------ studies


@pytest.fixture
def study(tmp_path) -> Path:
    folder = tmp_path / "study"
    studies.write_study(folder, {"LeCDSR": 2.0, "SASRec": 1.5}, seeds=(1,))
    return folder


@pytest.mark.parametrize("content", NO_JSON, ids=lambda content: content[:12] or "empty")
def test_case_t2_a_study_description_that_is_no_json_object_is_refused(study, content):
    (study / "study.json").write_bytes(content.encode("latin-1"))
    for read in (
        lambda: read_study(study),
        lambda: update_description(study, StudyDescription("movielens", ("Pop",), (1,))),
    ):
        assert "study.json" in refusal(read, "run the same `compare` again")


@pytest.mark.parametrize(
    "changes",
    [{"seeds": [True]}, {"seeds": [-1]}, {"seeds": [[1]]}, {"models": [["x"]]}, {"models": 3}, {"dataset": "../x"},
     {"dataset": ""}, {"reference": "absent"}, {"reference": 3}],
    ids=str,
)  # fmt: skip
def test_case_t2_a_study_description_with_wrong_values_is_refused(study, changes):
    path = study / "study.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    assert "study.json" in refusal(lambda: read_study(study), "run the same `compare` again")


def test_case_t2_a_study_description_that_was_edited_is_refused(study):
    update_description(study, StudyDescription("movielens", ("LeCDSR",), (1,)))
    path = study / "study.json"
    assert read_study(study).models == ("LeCDSR", "SASRec")
    path.write_text(path.read_text(encoding="utf-8").replace("SASRec", "SASReb"), encoding="utf-8")
    assert "study.json is damaged" in refusal(lambda: read_study(study), "run the same `compare` again")


def wrong_ranks(arrays: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Arrays that ranks.npz cannot have."""
    yield {**arrays, "rank": arrays["rank"].astype(float)}
    yield {**arrays, "rank": -arrays["rank"]}
    yield {**arrays, "rank": arrays["rank"][:-1]}
    yield {**arrays, "rank": arrays["rank"][:, None]}
    yield {name: array[:0] for name, array in arrays.items()}
    yield {**arrays, "domain": arrays["domain"] * 2}
    yield {**arrays, "domain": arrays["domain"].astype(str)}
    yield {**arrays, "user": np.arange(len(arrays["user"]))}
    yield {**arrays, "item": arrays["item"].astype("S9")}
    yield {**arrays, "history": arrays["history"] / 2}
    yield {**arrays, "popularity": arrays["popularity"] - 10**6}
    yield {**arrays, "same_domain": arrays["same_domain"].astype(int)}
    yield {**arrays, "same_domain": arrays["same_domain"][:-1]}
    yield {"rank": arrays["rank"]}


def test_case_t2_impossible_ranks_are_refused(study):
    path = study / "runs/LeCDSR/movielens/LeCDSR-1/ranks.npz"
    with np.load(path) as file:
        arrays = dict(file)
    for content in wrong_ranks(arrays):
        np.savez_compressed(path, **content)
        assert "ranks.npz" in refusal(lambda: read_study(study), "delete the run and start it again")


def test_case_t2_ranks_beyond_the_sampled_candidates_are_refused(study):
    for path in study.glob("runs/*/*/*/result.json"):
        values = json.loads(path.read_text(encoding="utf-8"))
        values["candidates"]["mode"] = "uni9"
        path.write_text(json.dumps(values), encoding="utf-8")
    assert "9 sampled items" in refusal(lambda: read_study(study), "delete the run and start it again")


def test_case_t2_no_damaged_byte_of_ranks_is_a_traceback(study):
    path = study / "runs/LeCDSR/movielens/LeCDSR-1/ranks.npz"
    content = path.read_bytes()
    for damaged in [content[:share] for share in range(0, len(content), 301)] + [
        content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :]
        for position in range(0, len(content), 61)
    ]:
        path.write_bytes(damaged)
        try:
            read_study(study)
        except UserError as error:
            assert "ranks.npz" in str(error) and len(str(error).splitlines()) == 1


def test_case_t2_ranks_of_another_run_are_refused(run, tmp_path):
    from recbole_lecdsr.leaderboard.run_results import read_run

    assert len(read_run(run, 2022)[1])
    with np.load(run / "ranks.npz") as file:
        arrays = dict(file)
    without = {name: array for name, array in arrays.items() if name != "same_domain"}
    other = {**arrays, "same_domain": ~arrays["same_domain"]}
    for content in ({**arrays, "rank": arrays["rank"] + (arrays["rank"] == arrays["rank"][0])}, other, without):
        np.savez_compressed(run / "ranks.npz", **content)
        text = refusal(lambda: read_run(run, 2022), "delete the run and start it again")
        assert "result.json was written with" in text


# ------------------------------------------------------------------ config.yaml


@pytest.mark.parametrize("content", ["{", "[]", "3", "a: [", "\xff", "a: 1\na: 2\n", "\0"])
def test_case_t2_a_damaged_configuration_is_refused(run, content):
    (run / "config.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"config\.yaml"):
        read_property_file(run / "config.yaml")
