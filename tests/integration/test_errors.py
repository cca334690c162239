"""Bad input: an error that names file, line and remedy, exit status 1, and no half-written file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.cli import main
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import train

PAIR = Path("dataset") / "pair"
INTER, ITEMS, USERS = PAIR / "source" / "source.inter", PAIR / "target" / "target.itememb", PAIR / "pair.useremb"
RUN = Path("dataset") / "runs" / "pair" / "mine"


@pytest.fixture
def settings(tmp_path) -> dict[str, object]:
    """A pair in the folder of the test."""
    return {**write_pair(tmp_path / "dataset", random_events(6)), "train_epochs": ["BOTH:1"], "run_name": RUN.name}


def run(settings, capsys, *arguments: str) -> tuple[int, str]:
    """Exit status and standard error of the command line."""
    Path("run.yaml").write_text(yaml.safe_dump(settings))
    status = main(["--config_files", "run.yaml", *arguments])
    return status, capsys.readouterr().err


def refused(settings, capsys, *arguments: str) -> str:
    """The errors that the command line prints; nothing half-written must be left."""
    before = {path for path in Path("dataset").rglob("*") if path.is_file()}
    status, printed = run(settings, capsys, *arguments)
    assert status == 1, printed
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert errors, printed
    assert "Traceback" not in printed
    left = {path for path in Path("dataset").rglob("*") if path.is_file()} - before
    # Embeddings that were read and candidates that were drawn stay for the next run; so does what the run is of.
    assert not [path for path in left if path.suffix not in (".cache", ".npy", ".yaml") and "tfevents" not in path.name]
    return "\n".join(errors)


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def replace_line(number: int, text: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[: number - 1], text, *lines[number:]]


# ------------------------------------------------------------------ interactions


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [line.rpartition("\t")[0] for line in lines], ["source.inter, line 1", "timestamp"]),
        (replace_line(1, "user_id:token\titem:token\ttimestamp:float"), ["source.inter, line 1", "item_id"]),
        (replace_line(4, "u1\ts1\tyesterday"), ["source.inter, line 4", "'yesterday'", "correct or delete the line"]),
        (replace_line(4, "u1\ts1\tnan"), ["source.inter, line 4", "'nan'", "correct or delete the line"]),
        (replace_line(5, "u1\ts1"), ["source.inter, line 5", "2"]),
        (replace_line(5, "\ts1\t3"), ["source.inter, line 5", "user_id is empty"]),
        (lambda lines: lines[:1], ["source.inter, line 2", "no rows"]),
        (lambda lines: [], ["source.inter"]),
    ],
    ids=["no time", "no item", "time in words", "time nan", "short row", "empty token", "header only", "empty"],
)
def test_interactions_that_are_wrong_are_reported_with_file_and_line(settings, capsys, change, told):
    edit(INTER, change)
    error = refused(settings, capsys)
    for part in told:
        assert part in error


def test_an_empty_file_of_interactions_is_reported(settings, capsys):
    INTER.write_bytes(b"")
    assert "source.inter" in refused(settings, capsys)


def test_a_missing_file_of_interactions_is_reported_with_a_remedy(settings, capsys):
    INTER.unlink()
    error = refused(settings, capsys)
    assert "source.inter" in error and "does not exist" in error


def test_a_missing_folder_of_a_domain_is_reported_with_a_remedy(settings, capsys):
    settings["source_domain"] = {"dataset": "books"}
    error = refused(settings, capsys)
    assert "'books' is not in" in error and "prepare --help" in error and "data_path" in error


def test_domains_without_a_common_user_are_reported(settings, capsys):
    edit(INTER, lambda lines: [lines[0], *(f"x{line}" for line in lines[1:])])
    error = refused(settings, capsys)
    assert "source and target have no common user" in error and "user_link_file_path" in error


def test_users_with_too_few_events_for_any_sample_are_reported(settings, capsys):
    error = refused(settings, capsys, "--MIN_ITEM_LIST_LENGTH=9")
    assert "no training sample is left" in error


def test_a_filter_that_leaves_nothing_is_reported_with_a_remedy(settings, capsys):
    error = refused({**settings, "user_inter_num_interval": "[99,inf)"}, capsys)
    assert "no interaction is left" in error and "user_inter_num_interval" in error


# ------------------------------------------------------------------ embeddings


@pytest.mark.parametrize(
    ("path", "change", "told"),
    [
        (ITEMS, lambda lines: replace_line(3, lines[2] + " 1.0")(lines), ["target.itememb, line 3", "6"]),
        (ITEMS, lambda lines: replace_line(3, lines[2].rpartition(" ")[0])(lines), ["target.itememb, line 3", "4"]),
        (USERS, lambda lines: replace_line(4, "u3\t0.5 nan 1 2 3")(lines), ["pair.useremb, line 4", "nan"]),
        (USERS, lambda lines: replace_line(4, "u3\t0.5 inf 1 2 3")(lines), ["pair.useremb, line 4", "inf"]),
        (USERS, lambda lines: replace_line(4, "u3\t0.5 x 1 2 3")(lines), ["pair.useremb, line 4", "'x'"]),
        (USERS, lambda lines: [*lines, "u33\t1 2 3 4 5"], ["pair.useremb, line 8", "'u33'", "nearest: 'u3'", "delete"]),
        (ITEMS, lambda lines: [*lines, "s0\t1 2 3 4 5"], ["target.itememb, line", "'s0'", "delete the line"]),
        (ITEMS, lambda lines: [*lines, lines[1]], ["target.itememb, line", "delete one of the lines"]),
        (ITEMS, lambda lines: lines[:1], ["target.itememb, line 2", "no rows"]),
        (ITEMS, lambda lines: ["item_id:token\titem_emb:token", *lines[1:]], ["target.itememb, line 1", "float_seq"]),
    ],
    ids=["too long", "too short", "NaN", "infinite", "no number", "unknown user", "item of the other domain", "twice",
         "no rows", "no vectors"],
)  # fmt: skip
def test_embeddings_that_are_wrong_are_reported_with_file_and_line(settings, capsys, path, change, told):
    edit(path, change)
    error = refused(settings, capsys)
    for part in told:
        assert part in error


@pytest.mark.parametrize(("path", "flag"), [(ITEMS, "no_item_semantics"), (USERS, "no_user_profile")])
def test_a_missing_embedding_is_reported_with_both_remedies(settings, capsys, path, flag):
    path.unlink()
    error = refused(settings, capsys)
    assert f"{path.name} does not exist" in error
    assert "embed --dataset pair" in error and f"--{flag}=True" in error
    assert run(settings, capsys, f"--{flag}=True")[0] == 0


# ------------------------------------------------------------------ settings


def test_all_misspelt_parameters_are_reported_with_the_nearest_names(settings, capsys):
    error = refused({**settings, "embeding_size": 3}, capsys, "--learnin_rate=0.1", "--eval_args.mdoe=full")
    assert "unknown parameter 'embeding_size': did you mean embedding_size" in error
    assert "unknown parameter 'learnin_rate': did you mean learning_rate" in error
    assert "unknown parameter 'eval_args.mdoe': did you mean eval_args.mode" in error
    assert len(error.splitlines()) == 3


def test_more_candidates_than_items_are_reported_with_the_number_that_works(settings, capsys):
    error = refused(settings, capsys, "--eval_args.mode=uni500")
    assert "needs 500 candidates" in error and "a number up to" in error
    number = error.partition("a number up to ")[2].partition(",")[0]
    assert run(settings, capsys, f"--eval_args.mode=uni{number}")[0] == 0


@pytest.mark.parametrize("content", ["seed: [1\n", "- seed\n", "seed: !!python/name:os.system\n"])
def test_a_property_file_that_cannot_be_read_is_reported(settings, capsys, content):
    Path("mine.yaml").write_text(content)
    assert "mine.yaml" in refused(settings, capsys, "mine.yaml")


def test_a_missing_property_file_is_reported(settings, capsys):
    assert "absent.yaml does not exist" in refused(settings, capsys, "absent.yaml")


# ------------------------------------------------------------------ checkpoints


def test_a_truncated_checkpoint_is_reported_with_a_remedy_and_stays(settings, capsys):
    assert run(settings, capsys)[0] == 0
    (RUN / "result.json").unlink()
    path = RUN / "model.pth"
    path.write_bytes(path.read_bytes()[:1000])
    error = refused(settings, capsys, "--resume=True")
    assert f"{path.name} (1000 bytes)" in error and "truncated" in error and "delete it" in error
    assert path.stat().st_size == 1000
    path.unlink()  # the remedy
    assert run(settings, capsys, "--resume=True")[0] == 0


def test_a_run_of_other_settings_is_reported_with_the_names(settings, capsys):
    assert run(settings, capsys)[0] == 0
    error = refused(settings, capsys, "--resume=True", "--embedding_size=4")
    assert "different parameters (embedding_size 8 and 4)" in error and "--run_name" in error


def test_a_folder_for_runs_that_cannot_be_made_is_reported(settings, capsys):
    Path("taken").write_text("")
    error = refused(settings, capsys, "--output_dir=taken")
    assert "taken" in error and "output_dir" in error


# ------------------------------------------------------------------ as a library


def test_the_library_raises_what_the_command_line_prints(settings, capsys):
    edit(INTER, replace_line(4, "u1\ts1\tyesterday"))
    with pytest.raises(UserError) as caught:
        train(settings)
    assert str(caught.value) in refused(settings, capsys)
