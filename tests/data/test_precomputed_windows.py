"""Ready-made splits that give the window of each row: what the file says is what the model sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.constants import CONTEXT, DOMAINS, PHASES
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.precomputed_windows import PrecomputedWindows, event_log_from_windows
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.windows import SingleDomainGatherer, WindowGatherer
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend.recommender import recommend
from tests.helpers.pairs import write_pair
from tests.helpers.runs import load, loaders, train

SPLITS = ("train", "valid", "test")
# domain, split -> rows of user, item, time, window
ROWS = {
    ("source", "train"): [("u1", "a", 1, ""), ("u1", "b", 3, "a x"), ("u2", "a", 1, "x a")],
    ("target", "train"): [("u1", "x", 2, "a"), ("u1", "x", 2, "a"), ("u2", "y", 9, "x y a")],
    ("source", "valid"): [("u2", "b", 4, "x a a"), ("u1", "c", 8, "y")],
    ("target", "valid"): [],
    ("source", "test"): [("u1", "a", 9, "b x a b")],
    ("target", "test"): [("u2", "z", 5, "z b  y ")],
}


def test_cells_are_parsed_and_empty_ones_are_empty_windows():
    windows = PrecomputedWindows.parse(["b a", "", " b  c ", "a"])
    assert windows.length.tolist() == [2, 0, 2, 1]
    assert windows.tokens[windows.code].tolist() == ["b", "a", "b", "c", "a"]
    kept = windows.keep(np.array([False, True, True, False]))
    assert (kept.length.tolist(), kept.tokens[kept.code].tolist()) == ([0, 2], ["b", "c"])
    assert PrecomputedWindows.parse(["1,2", "3"], ",").length.tolist() == [2, 1]
    assert PrecomputedWindows.parse(["", ""]).length.tolist() == [0, 0]


def test_an_item_counts_for_the_rows_own_domain_and_an_unknown_one_is_marked():
    ids, is_own = PrecomputedWindows.parse(["both own other none"]).lookup(
        {"both": 1, "own": 2}, {"both": 1, "other": 3}
    )
    assert ids.tolist() == [1, 2, 3, -1]
    assert is_own.tolist() == [True, True, False, False]


def test_each_row_is_a_sequence_of_its_own():
    log = event_log_from_windows(
        user=np.array([2, 1, 1]), item=np.array([10, 11, 12]), domain=np.array([0, 1, 0]), time=np.array([1.0, 9, 5]),
        split=np.array([0, 2, 0]), length=np.array([1, 3, 0]), window_item=np.array([20, 31, 32, 33]),
        window_domain=np.array([1, 0, 1, 0]),
    )  # fmt: skip
    assert log.user.tolist() == [1, 1, 1, 1, 1, 2, 2]
    assert log.item.tolist() == [12, 31, 32, 33, 11, 20, 10]
    assert log.split.tolist() == [0, CONTEXT, CONTEXT, CONTEXT, 2, CONTEXT, 0]
    assert log.first.tolist() == [0, 1, 1, 1, 1, 5, 5]
    assert log.source_before.tolist() == [0, 0, 1, 1, 2, 0, 0]
    assert [sample_targets(log, phase).tolist() for phase in (0, 1, 2)] == [[6], [], [4]]
    item_seq, position, domain_seq, relative_time = WindowGatherer(log, 4)(torch.tensor([4, 0]))
    assert item_seq.tolist() == [[0, 31, 32, 33], [0, 0, 0, 0]]
    assert position.tolist() == [[0, 2, 1, 1], [0, 0, 0, 0]]
    assert domain_seq.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert relative_time.unique().tolist() == [0, 1], "the events of a given window have no time but one"
    assert SingleDomainGatherer(log, 4)(torch.tensor([4, 6]))[0].tolist() == [[0, 0, 0, 32], [0, 0, 0, 0]]


def given_pair(tmp_path, rows=ROWS, **changes) -> dict[str, object]:
    settings = write_pair(tmp_path / "dataset", [("u1", "a", "source", 1.0), ("u1", "x", "target", 1.0)])
    for (domain, split), lines in rows.items():
        folder = tmp_path / "dataset" / "pair" / domain
        (folder / f"{domain}.inter").unlink(missing_ok=True)
        text = "".join("\t".join(map(str, line)) + "\n" for line in lines or [("u1", "x", 1, "")])
        header = "user_id:token\titem_id:token\ttimestamp:float\titem_id_list:token_seq\n"
        (folder / f"{domain}.{split}.inter").write_text(header + text)
        items = "".join(f"{item}\n" for item in ("abcd" if domain == "source" else "xyzw"))
        (folder / f"{domain}.item").write_text(f"item_id:token\n{items}")
    return {
        **settings, "benchmark_filename": list(SPLITS), "load_col": {"item": ["item_id"]}, "no_item_semantics": True,
        "no_user_profile": True, **changes,
    }  # fmt: skip


def samples(dataset: CrossDomainSequentialDataset, phase: str) -> list[tuple[str, str, str, str]]:
    """(user, item, domain, window) of each sample with a window of any length, sorted."""
    log, items = dataset.log, dataset.item_token
    found = []
    for target in np.flatnonzero(log.split == PHASES[phase]):
        window = " ".join(items[log.item[log.first[target] : target]])
        user, domain = dataset.user_token[log.user[target]], DOMAINS[log.domain[target]]
        found.append((user, items[log.item[target]], domain, window))
    return sorted(found)


def given(phase: str, rows=ROWS) -> list[tuple[str, str, str, str]]:
    lines = [(domain, line) for (domain, split), part in rows.items() if split == phase
             for line in part or [("u1", "x", 1, "")]]  # fmt: skip
    return sorted((user, item, domain, " ".join(window.split())) for domain, (user, item, _, window) in lines)


def test_every_row_has_the_window_of_its_file(tmp_path):
    dataset = load(given_pair(tmp_path))
    for phase in SPLITS:
        assert samples(dataset, phase) == given(phase)
    assert set(dataset.item_token) == {"[PAD]", *"abcdxyzw"}
    assert [len(part) for part in dataset.domain_items] == [4, 4]


def test_batches_have_the_windows_of_the_files_and_only_targets_are_ranked(tmp_path):
    _, valid, test = loaders(given_pair(tmp_path, MAX_ITEM_LIST_LENGTH=3))
    data, found = valid.dataset, []
    for batch, candidates, _ in test:
        assert candidates is None
        found += [
            [str(data.item_token[item]) for item in (*window, target)]
            for window, target in zip(batch["item_id_list"], batch["item_id"], strict=True)
        ]
    assert sorted(found) == sorted([["x", "a", "b", "a"], ["z", "b", "y", "z"]])
    assert len(valid.targets) == 2
    assert len(data.targets("train")) == 5  # the row with an empty window is training data, but no sample
    assert (data.log.split == 0).sum() == 6


def test_windows_stay_with_their_rows_when_users_are_dropped(tmp_path):
    rows = {**ROWS, ("source", "valid"): [("only", "a", 1, "b b"), *ROWS["source", "valid"]]}
    dataset = load(given_pair(tmp_path, rows), overlap_users_only=True)
    assert samples(dataset, "valid") == given("valid")


def masked(loader) -> dict[tuple[str, str], set[str]]:
    """(user, target) of each sample -> items of the target's domain that full ranking leaves out."""
    data, found = loader.dataset, {}
    for batch, _, parts in loader:
        for part in parts:
            hidden = [set() for _ in part.rows]
            for row, column in zip(*map(torch.Tensor.tolist, part.hidden), strict=True):
                hidden[row].add(data.item_token[int(part.items[column])])
            for row, items in zip(part.rows.tolist(), hidden, strict=True):
                user, target = int(batch["user_id"][row]), int(batch["item_id"][row])
                found[data.user_token[user], data.item_token[target]] = items
    return found


TWO_TESTS = {**ROWS, ("target", "test"): [*ROWS["target", "test"], ("u1", "w", 9, "x"), ("u1", "z", 8, "y x")]}


@pytest.mark.parametrize("sequence", ["mixed", "single"])
def test_case_r27_full_ranking_leaves_out_what_all_earlier_rows_of_the_user_say(tmp_path, sequence):
    """Of earlier splits: other rows of the same split, here of u1, may be later than the target."""
    _, valid, test = loaders(given_pair(tmp_path, TWO_TESTS, sequence=sequence))
    assert masked(valid) == {("u2", "b"): {"a"}, ("u1", "c"): {"a", "b"}}
    assert masked(test) == {
        ("u1", "a"): {"a", "b", "c"},
        ("u2", "z"): {"x", "y", "z"},
        ("u1", "w"): {"x", "y"},
        ("u1", "z"): {"x", "y"},
    }
    _, _, test = loaders(given_pair(tmp_path, TWO_TESTS, sequence=sequence, repeatable=True))
    assert not any(masked(test).values())


def test_case_r27_an_item_that_only_a_later_row_has_is_ranked(tmp_path):
    rows = {**TWO_TESTS, ("source", "test"): [("u1", "a", 9, "b x a b d"), ("u1", "d", 9, "c")]}
    _, valid, test = loaders(given_pair(tmp_path, rows))
    assert "d" not in masked(valid)["u1", "c"], "a test row's window"
    assert masked(test)["u1", "d"] == {"a", "b", "c"}, "the other test row's window says d, which is the target here"
    assert masked(test)["u1", "a"] == {"a", "b", "c", "d"}, "its own window"


@pytest.mark.parametrize("sequence", ["mixed", "single"])
def test_case_r27_nothing_that_a_user_has_had_in_any_row_is_recommended(tmp_path, sequence):
    settings = given_pair(tmp_path, TWO_TESTS, sequence=sequence, train_epochs=["BOTH:1"])
    outcome = train(settings)
    _, model, data, *_ = load_data_and_model(outcome["run_directory"])
    had: dict[str, set[str]] = {}
    for lines in TWO_TESTS.values():
        for user, item, _, window in lines:
            had.setdefault(user, set()).update([item, *window.split()])
    found = recommend(model, data, ["u1", "u2"], k=8)
    for user, items in found.groupby("user")["item"]:
        assert sorted(items) == sorted(set("abcdxyzw") - had[user]) != []
    everything = recommend(model, data, ["u1", "u2"], k=8, include_history=True)
    assert len(everything) == 16


def test_a_model_trains_on_given_windows(tmp_path):
    for sequence in ("mixed", "single"):
        outcome = train(given_pair(tmp_path, sequence=sequence, train_epochs=["BOTH:1"]), saved=False)
        assert 0 <= outcome["test_result"]["overall_ndcg@10"] <= 1


def test_columns_of_windows_count_in_ready_made_splits_only(tmp_path):
    settings = given_pair(tmp_path)
    for domain in DOMAINS:
        folder = tmp_path / "dataset" / "pair" / domain
        (folder / f"{domain}.train.inter").rename(folder / f"{domain}.inter")
    dataset = load({**settings, "benchmark_filename": None})
    assert not dataset.precomputed_windows and (dataset.log.split != CONTEXT).all()


def test_files_some_of_which_have_windows_are_an_error(tmp_path):
    settings = given_pair(tmp_path)
    path = tmp_path / "dataset" / "pair" / "target" / "target.valid.inter"
    text = path.read_text()
    path.write_text(text.replace("item_id_list", "history"))
    with pytest.raises(UserError, match=r"target\.train\.inter has the windows .*target\.valid\.inter has no such col"):
        load(settings)
    for split in ("train", "test"):
        other = path.with_name(f"target.{split}.inter")
        other.write_text(other.read_text().replace("item_id_list", "history"))
    with pytest.raises(UserError, match=r"files of source give the windows .*give them in both or in neither"):
        load(settings)


def test_an_item_of_a_window_that_no_domain_has_is_an_error_with_a_remedy(tmp_path):
    rows = {**ROWS, ("source", "test"): [("u1", "a", 9, "b q")]}
    with pytest.raises(UserError, match=r"source\.test\.inter, line 2: the window holds the item 'q', .*load_col"):
        load(given_pair(tmp_path, rows))


@pytest.mark.parametrize("token", ["[PAD]", "NA", "a\x00", "x" * 300])
@pytest.mark.parametrize(("domain", "split", "line"), [("source", "test", 2), ("target", "train", 4)])
def test_case_r13_an_item_of_a_window_that_cannot_be_one_is_refused_with_its_line(tmp_path, token, domain, split, line):
    rows = {key: list(lines) for key, lines in ROWS.items()}
    *row, window = rows[domain, split][-1]
    rows[domain, split][-1] = (*row, f"{window} {token} a")
    with pytest.raises(
        UserError, match=rf"{domain}\.{split}\.inter, line {line}: an item of item_id_list is "
    ) as caught:
        load(given_pair(tmp_path, rows))
    assert repr(token)[:20] in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ITEM_ID_FIELD": "p_id"}, "p_id_list"),
        ({"LIST_SUFFIX": "_history"}, "item_id_history"),
        ({"ITEM_ID_FIELD": "p_id", "LIST_SUFFIX": "_seq"}, "p_id_seq"),
    ],
)
def test_case_r14_windows_in_a_column_of_another_name_are_refused_naming_the_right_one(tmp_path, changes, expected):
    item = changes.get("ITEM_ID_FIELD", "item_id")
    settings = given_pair(tmp_path, **changes)
    for path in (tmp_path / "dataset" / "pair").glob("*/*.i*"):
        path.write_text(path.read_text().replace("item_id:token", f"{item}:token"))
    settings["load_col"] = {"inter": ["user_id", item, "timestamp"], "item": [item]}
    with pytest.raises(UserError, match=rf"inter, line 1: there is a column 'item_id_list'.*'{expected}'; rename"):
        load(settings)
    for path in (tmp_path / "dataset" / "pair").glob("*/*.inter"):
        path.write_text(path.read_text().replace("item_id_list", expected))
    assert samples(load(settings), "test") == given("test")


def test_case_r31_score_fusion_on_windows_without_times_is_warned_of(tmp_path, caplog):
    settings = given_pair(tmp_path)
    load(settings, score_fusion=False)
    assert "score_fusion:" not in caplog.text
    load(settings, score_fusion=True)
    (message,) = (record.getMessage() for record in caplog.records if "score_fusion:" in record.getMessage())
    assert "counts of recent interactions are counts of all training interactions" in message
    assert "2 of 6 training rows have the same time as another row of their user" in message
    caplog.clear()
    rows = {**ROWS, ("target", "train"): [("u1", "x", 2, "a"), ("u2", "y", 9, "x y a")]}
    load(given_pair(tmp_path, rows), score_fusion=True)
    assert "no times" in caplog.text and "calibration" not in caplog.text
