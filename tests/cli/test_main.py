from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole_lecdsr import quick_start
from recbole_lecdsr.cli import main
from recbole_lecdsr.cli.main import COMMANDS
from recbole_lecdsr.data.embeddings.embedding_file import read_embedding
from recbole_lecdsr.llm.encoders import embed as embedding
from recbole_lecdsr.prepare import movielens
from tests.helpers.encoders import write_tiny_encoder
from tests.helpers.pairs import random_events, write_events, write_pair
from tests.helpers.runs import process

CHECKOUT = Path(__file__).parents[2]
STATISTICS = ("statistics.md", "statistics.json", "statistics.svg")
SMALL = ["--use_gpu=False", "--show_progress=False", "--embedding_size=4", "--epochs=1", "--output_dir=dataset/runs"]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    """A pair of the domains book and film, known by a property file ``run.yaml`` in the folder of the test."""
    settings = {**write_pair(tmp_path / "dataset", random_events(10)), "train_epochs": ["BOTH:1"]}
    folder = tmp_path / "dataset" / "pair"
    for domain, name in (("source", "book"), ("target", "film")):
        for path in (folder / domain).iterdir():
            path.rename(path.with_name(path.name.replace(domain, name)))
        (folder / domain).rename(folder / name)
        settings[f"{domain}_domain"] = {"dataset": name}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    return settings


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    return status, *capsys.readouterr()


def result(**where) -> dict:
    (path,) = Path("dataset").glob(f"runs/{where.get('dataset', 'pair')}/{where.get('run', '*')}/result.json")
    return json.loads(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------ the main job


def test_a_run_prints_a_table_with_the_domains_names_and_the_metrics(pair, capsys):
    status, printed, _ = run(capsys, "--config_files", "run.yaml")
    assert status == 0
    test = result()["test"]
    header = next(line for line in printed.splitlines() if "Hit@10" in line)
    assert header.index("Hit@10") < header.index("NDCG@10") < header.index("MRR")
    for name, part in (("book", "source"), ("film", "target"), ("both", "overall")):
        (row,) = (line for line in printed.splitlines() if f" {name} " in line and "LeCDSR" in line)
        assert [f"{test[part][metric]:.4f}" in row for metric in ("hit@10", "ndcg@10", "mrr")] == [True] * 3
    assert printed.count("popularity") >= 3 and printed.count("random") >= 3
    assert "all items of the target's domain, without the user's history" in printed
    assert "LeCDSR + fusion on pair, test" in printed
    assert "runs/pair/LeCDSR-2022" in printed


def test_names_with_brackets_are_printed_as_they_are(tmp_path, capsys):
    settings = write_pair(tmp_path / "dataset", random_events(6))
    source, name = tmp_path / "dataset" / "pair" / "source", "[bold]books[_]"
    settings["source_domain"] = {"dataset": name}
    for path in source.iterdir():
        path.rename(path.with_name(path.name.replace("source", name)))
    source.rename(source.with_name(name))
    Path("run.yaml").write_text(yaml.safe_dump({**settings, "train_epochs": ["BOTH:1"]}))
    status, printed, _ = run(capsys, "--config_files", "run.yaml")
    assert status == 0 and name in printed


def test_later_files_beat_earlier_ones_and_the_command_line_beats_all(pair, capsys):
    Path("first.yaml").write_text("embedding_size: 3\nseed: 1\nlearning_rate: 0.5\n")
    Path("second.yaml").write_text("embedding_size: 6\nseed: 2\n")
    status, *_ = run(capsys, "--config_files", "run.yaml", "first.yaml", "second.yaml", "--seed=3")
    assert status == 0
    parameters = result(run="LeCDSR-3-*")["parameters"]
    assert (parameters["learning_rate"], parameters["embedding_size"], parameters["seed"]) == (0.5, 6, 3)


def test_files_may_be_separated_by_commas_or_in_one_argument_as_recbole_takes_them(pair, capsys):
    Path("first.yaml").write_text("seed: 1\n")
    assert run(capsys, "--config_files", "run.yaml,first.yaml")[0] == 0
    assert run(capsys, "--config_files=run.yaml first.yaml", "--learning_rate=0.1", "--run_name=second")[0] == 0
    assert result(run="second")["parameters"]["learning_rate"] == 0.1


def test_nested_values_can_be_given_one_by_one(pair, capsys):
    status, printed, _ = run(
        capsys, "--config_files", "run.yaml", "--eval_args.mode=uni3", "--train_neg_sample_args.sample_num=2",
        "--eval_args.split={'RS': [0.6, 0.2, 0.2]}", "--repeatable=True",
    )  # fmt: skip
    assert status == 0
    found = result()
    assert found["candidates"]["mode"] == "uni3"
    assert found["parameters"]["eval_args"]["split"] == {"RS": [0.6, 0.2, 0.2]}
    assert found["parameters"]["eval_args"]["order"] == "TO"
    assert found["parameters"]["train_neg_sample_args"]["sample_num"] == 2
    assert "sampled items (uni3) of the target's domain, including the user's history" in printed


@pytest.mark.parametrize("given", [["--model", "LeCDSR-paper"], ["--model=LeCDSR-paper"]])
def test_a_variant_can_be_named(pair, capsys, given):
    assert run(capsys, "--config_files", "run.yaml", *given)[0] == 0
    found = result(run="LeCDSR-paper-2022-*")
    assert found["model"] == "LeCDSR-paper" and found["parameters"]["mask_padding"] is False


def test_an_unknown_model_is_an_error_with_the_nearest(pair, capsys):
    status, _, printed = run(capsys, "--config_files", "run.yaml", "--model", "LeCDR")
    assert status == 1
    assert printed.startswith("error: ") and "did you mean LeCDSR" in printed


def test_stray_arguments_are_all_reported(pair, capsys):
    status, _, printed = run(capsys, "--config_files=run.yaml", "--learning_rate", "0.1", "mend it", "-v")
    assert status == 1
    assert printed.splitlines() == [
        "error: --learning_rate 0.1 must be written with an equals sign: --learning_rate=0.1",
        "error: 'mend it' is not an option of the form --NAME=VALUE, see run_lecdsr.py --help",
        "error: '-v' is not an option of the form --NAME=VALUE, see run_lecdsr.py --help",
    ]


def test_a_value_given_twice_is_an_error(pair, capsys):
    status, _, printed = run(capsys, "--config_files=run.yaml", "--seed=1", "--seed=2")
    assert status == 1 and "--seed is given twice" in printed


def test_an_interval_can_be_given_as_recbole_writes_it(pair, capsys):
    status, _, printed = run(capsys, "--config_files", "run.yaml", "--user_inter_num_interval=[2,inf)")
    assert status == 0, printed
    assert result()["parameters"]["user_inter_num_interval"] == "[2,inf)"


def test_an_interruption_says_how_to_go_on(pair, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(quick_start, "run_lecdsr", interrupted)
    status, _, printed = run(capsys, "--config_files=run.yaml")
    assert status == 130 and "--resume=True" in printed


def test_a_fault_of_the_program_keeps_its_traceback(pair, capsys, monkeypatch):
    monkeypatch.setattr(quick_start, "run_lecdsr", lambda *args, **kwargs: {}["absent"])
    with pytest.raises(KeyError):
        run(capsys, "--config_files=run.yaml")


def test_the_default_data_are_prepared_and_embedded_once_and_then_run(tmp_path, capsys, monkeypatch):
    calls = []

    def prepare(folder, source):
        calls.append(f"prepare {source}")
        events = random_events(8)
        for domain, name in (("source", "action"), ("target", "drama")):
            (folder / name).mkdir(parents=True)
            write_events(folder / name / f"{name}.inter", [event for event in events if event[2] == domain])

    def encode(dataset, show_progress):
        calls.append("embed")
        for domain, name in (("source", "action"), ("target", "drama")):
            tokens = [token for token in dataset.token_ids(domain, "item") if token != "[PAD]"]
            path = tmp_path / "dataset" / "movielens" / name / f"{name}.itememb"
            vectors = embedding.TokenVectors(tokens, np.ones((len(tokens), 3)))
            embedding.write_vectors(path, "item_id", vectors, {})
        users = dataset.user_token[1:].tolist()
        path = tmp_path / "dataset" / "movielens" / "movielens.useremb"
        embedding.write_vectors(path, "user_id", embedding.TokenVectors(users, np.ones((len(users), 3))), {})
        return embedding.EmbedReport({}, len(users), len(users))

    monkeypatch.setattr(movielens, "prepare", prepare)
    monkeypatch.setattr(embedding, "embed", encode)
    status, printed, _ = run(capsys, *SMALL)
    assert status == 0 and "action" in printed and "drama" in printed
    assert calls == ["prepare ml-100k", "embed"]
    assert run(capsys, "--dataset", "movielens", *SMALL)[0] == 0
    assert calls == ["prepare ml-100k", "embed"]
    assert result(dataset="movielens")["model"] == "LeCDSR"
    usual = tmp_path / "dataset" / "movielens" / "movielens.useremb"
    own = usual.rename(usual.with_name("facets.useremb"))
    usual.with_name("movielens.useremb.json").rename(own.with_name("facets.useremb.json"))
    content = own.read_bytes()
    assert run(capsys, *SMALL, "--user_embedding_file=facets.useremb")[0] == 0
    assert calls == ["prepare ml-100k", "embed"] and own.read_bytes() == content, "the usual file is not needed"


# ------------------------------------------------------------------ help


def test_help_tells_of_commands_and_parameters(capsys):
    status, printed, _ = run(capsys, "--help")
    assert status == 0
    for word in ("prepare", "embed", "doctor", "--config_files", "--model", "--NAME=VALUE", "docs/configuration.md"):
        assert word in printed


@pytest.mark.parametrize("command", ["prepare", "profile", "embed", "doctor"])
def test_each_command_has_its_help(capsys, command):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"run_lecdsr.py {command}" in capsys.readouterr().out


def test_preparing_a_table_elsewhere_says_what_a_run_then_needs(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "table", "--help"])
    assert "--data_path=ITS_PARENT" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "start", [[str(CHECKOUT / "run_lecdsr.py")], ["-m", "recbole_lecdsr"]], ids=["script", "module"]
)
def test_the_command_line_runs_from_any_folder(tmp_path, start):
    done = process(*start, "--help", cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: run_lecdsr.py")
    assert not list(tmp_path.iterdir())


HELP = """
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code
print(*{name.partition(".")[0] for name in sys.modules})
"""
KINDS = ["movielens", "amazon", "table", "c2dsr", "list"]


@pytest.mark.parametrize("command", ["", *COMMANDS, *(f"prepare {kind}" for kind in KINDS)])
def test_help_comes_without_waiting_for_torch_and_the_frameworks(tmp_path, command):
    program = f"import sys; sys.argv = {[str(CHECKOUT / 'run_lecdsr.py'), *command.split(), '--help']}{HELP}"
    done = process("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert command in done.stdout
    imported = set(done.stdout.splitlines()[-1].split())
    assert "recbole_lecdsr" in imported
    heavy = {"torch", "recbole", "recbole_cdr", "transformers", "sentence_transformers"}
    assert sorted(imported & heavy) == []


# ------------------------------------------------------------------ prepare


TABLE = "user_id,item_id,domain,timestamp\n" + "".join(
    f"u{user},{domain[0]}{(user + time) % 4},{domain},{time}\n"
    for user in range(6)
    for time in range(6)
    for domain in [("book", "film")[time % 2]]
)
TEXTS = "item_id\tdomain\ttitle\n" + "".join(
    f"{domain[0]}{number}\t{domain}\tthe {color} {domain}\n"
    for domain in ("book", "film")
    for number, color in enumerate(("red", "blue", "red cup", "tea"))
)


@pytest.fixture
def prepared(tmp_path, capsys) -> Path:
    """The folder of a pair prepared from a table, in dataset/mine."""
    Path("events.csv").write_text(TABLE)
    Path("items.tsv").write_text(TEXTS)
    status, printed, _ = run(capsys, "prepare", "table", "events.csv", "--name", "mine", "--items", "items.tsv")
    assert status == 0
    assert "book (source)" in printed and "users: 6" in printed
    return Path("dataset") / "mine"


def test_a_table_is_prepared(prepared):
    files = {str(path.relative_to(prepared)) for path in prepared.rglob("*") if path.is_file()}
    assert files == {
        "mine.yaml", "book/book.inter", "book/book.item", "film/film.inter", "film/film.item", *STATISTICS,
    }  # fmt: skip


def test_a_table_that_is_wrong_is_an_error_with_its_line(tmp_path, capsys):
    Path("events.csv").write_text(TABLE.replace("u0,b0,book,0", "u0,,book,0"))
    status, _, printed = run(capsys, "prepare", "table", "events.csv", "--name", "mine")
    assert status == 1 and printed.startswith("error: events.csv, line 2")
    assert not Path("dataset").exists()


def test_movielens_is_prepared_from_the_installed_framework(tmp_path, capsys):
    status, printed, _ = run(capsys, "prepare", "movielens", "--output", "films")
    assert status == 0
    assert "action (source):" in printed and "drama (target):" in printed and "100,000" in printed
    assert {path.name for path in Path("films").rglob("*.*")} == {
        "action.inter", "action.item", "drama.inter", "drama.item", *STATISTICS,
    }  # fmt: skip


# ------------------------------------------------------------------ embed


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"))


def embed(capsys, tiny, *arguments: str) -> tuple[int, str, str]:
    common = ["--dataset", "mine", "--show_progress=False", "--use_gpu=False"]
    return run(capsys, "embed", *common, f"--encoder={tiny}", *arguments)


def test_items_and_histories_are_embedded_and_a_run_uses_them(prepared, capsys, tiny):
    status, printed, _ = embed(capsys, tiny, "--user_text=history")
    assert status == 0
    assert "book: 4 items" in printed and "users: 6 of 6" in printed
    items = read_embedding(prepared / "book" / "book.itememb")
    users = read_embedding(prepared / "mine.useremb", "user_id")
    assert items.matrix.shape == (4, 8) and sorted(items.tokens) == ["b0", "b1", "b2", "b3"]
    assert users.matrix.shape == (6, 8) and sorted(users.tokens) == [f"u{number}" for number in range(6)]
    np.testing.assert_allclose(np.linalg.norm(users.matrix, axis=1), 1, rtol=1e-5)
    origin = json.loads((prepared / "mine.useremb.json").read_text())
    assert origin["encoder"] == str(tiny) and origin["user_text"] == "history"
    assert origin["split"] == {"LS": "valid_and_test"}
    assert run(capsys, "--dataset", "mine", *SMALL)[0] == 0
    assert result(dataset="mine")["coverage"]["users"] == {"with_embedding": 6, "total": 6, "file": "mine.useremb"}


def test_other_files_are_written_by_name_beside_the_usual_ones_and_compared(prepared, capsys, tiny):
    assert embed(capsys, tiny, "--user_text=history")[0] == 0
    usual = (prepared / "mine.useremb").read_bytes()
    names = ["--item_embedding_file=new.itememb", "--user_embedding_file=new.useremb"]
    assert embed(capsys, tiny, "--user_text=history", "--item_text=[title]", *names)[0] == 0
    assert (prepared / "mine.useremb").read_bytes() == usual
    assert (prepared / "book" / "new.itememb").exists() and (prepared / "film" / "new.itememb").exists()
    status, *_ = run(
        capsys, "ablate", "--dataset", "mine", "--seeds", "1", "--profiles", "new", "--encoders", "new", *SMALL
    )
    assert status == 0
    written = {
        path.parts[-4]: json.loads(path.read_text())["coverage"] for path in Path("dataset/runs").rglob("result.json")
    }
    assert written["LeCDSR"]["users"]["file"] == "mine.useremb"
    other = written["LeCDSR_user_embedding_file=new.useremb"]
    assert (other["users"]["file"], other["source items"]["file"]) == ("new.useremb", "book.itememb")
    both = written["LeCDSR_item_embedding_file=new.itememb_user_embedding_file=new.useremb"]
    assert (both["users"]["file"], both["target items"]["file"]) == ("new.useremb", "new.itememb")
    assert "user_embedding_file=new.useremb" in Path("dataset/runs/mine/ablate/report/leaderboard.csv").read_text()


def test_vectors_that_are_not_there_are_reported_before_anything_runs(prepared, capsys, tiny):
    assert embed(capsys, tiny, "--user_text=history")[0] == 0
    status, _, printed = run(capsys, "ablate", "--dataset", "mine", "--encoders", "e5", *SMALL)
    assert status == 1
    errors = printed.splitlines()
    assert len(errors) == 3
    for line, name in zip(errors, ("book/e5.itememb", "film/e5.itememb", "e5.useremb"), strict=True):
        assert f"{name} does not exist" in line
        assert "embed --dataset mine --item_embedding_file=e5.itememb --user_embedding_file=e5.useremb" in line
    assert not Path("dataset/runs").exists()


def test_profiles_are_embedded(prepared, capsys, tiny):
    profiles = {f"u{number}": f"user likes {color}" for number, color in enumerate(("red", "blue", "tea", "two"))}
    lines = [json.dumps({"user_id": user, "profile": text}) for user, text in profiles.items()]
    (prepared / "profiles.jsonl").write_text("\n".join(lines) + "\n")
    status, printed, _ = embed(capsys, tiny)
    assert status == 0 and "users: 4 of 6" in printed
    assert sorted(read_embedding(prepared / "mine.useremb", "user_id").tokens) == sorted(profiles)


def test_texts_of_items_may_stand_in_json_lines(prepared, capsys, tiny):
    assert embed(capsys, tiny, "--user_text=history")[0] == 0
    before = np.array(read_embedding(prepared / "book" / "book.itememb").matrix)
    lines = [json.dumps({"item_id": f"b{number}", "description": "a film of tea"}) for number in range(2)]
    (prepared / "items.jsonl").write_text("\n".join(lines) + "\n")
    assert embed(capsys, tiny, "--user_text=history")[0] == 0
    after = read_embedding(prepared / "book" / "book.itememb").matrix
    assert not np.allclose(before[0], after[0]) and np.allclose(before[2], after[2], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "content", "told"),
    [
        ([], None, ["profiles.jsonl does not exist", "--user_text=history"]),
        ([], '{"user_id": "u0", "profile": "x"}\n{"user_id"\n', ["profiles.jsonl, line 2", "not JSON"]),
        ([], '{"user_id": "who", "profile": "x"}\n', ["profiles.jsonl", "'who'", "delete"]),
        (["--user_text=history", "--item_text=[plot]"], None, ["no item of book has one of the texts", "title"]),
        (["unknown encoder"], None, ["'no/such-encoder' cannot be loaded"]),
    ],
)
def test_texts_that_are_wrong_are_errors_with_a_remedy_and_leave_no_user_vectors(
    prepared, capsys, tiny, monkeypatch, arguments, content, told
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if content:
        (prepared / "profiles.jsonl").write_text(content)
    encoder = "no/such-encoder" if "unknown encoder" in arguments else tiny
    status, _, printed = embed(capsys, encoder, *(argument for argument in arguments if argument.startswith("--")))
    assert status == 1
    error = next(line for line in printed.splitlines() if line.startswith("error: "))
    for part in told:
        assert part in error
    assert not (prepared / "mine.useremb").exists()
    assert not list(prepared.rglob("*.tmp"))


# ------------------------------------------------------------------ doctor


def test_the_doctor_tells_versions_device_and_data(prepared, capsys):
    status, printed, _ = run(capsys, "doctor")
    assert status == 0
    for word in ("recbole 1.2.1", "recbole-cdr 0.1.0", "torch", "device: ", "dataset/mine", "embed --dataset mine"):
        assert word in printed, word


def test_the_doctor_names_what_is_missing_and_the_remedy(capsys, monkeypatch):
    from importlib import metadata

    version = metadata.version

    def without_scipy(name):
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return "0.9" if name == "numpy" else version(name)

    monkeypatch.setattr(metadata, "version", without_scipy)
    status, printed, _ = run(capsys, "doctor")
    assert status == 1
    assert "scipy is not installed" in printed and "pip install 'scipy>=1.11'" in printed
    assert "numpy 0.9 is too old" in printed
    assert "no data set in dataset/" in printed


# ------------------------------------------------------------------ compare


def test_models_that_are_not_there_are_left_out_of_a_comparison_with_the_remedy(tmp_path, capsys):
    settings = write_pair(tmp_path / "dataset", random_events(8))
    own = {"embedding_size", "adapter_hidden_size", "train_neg_sample_args", "train_epochs"}
    kept = {key: value for key, value in settings.items() if key not in own}
    Path("pair.yaml").write_text(yaml.safe_dump(kept))
    models = "Pop,EMCDR,CMF:alpha=0.3"
    arguments = ["compare", "--models", models, "--seeds", "1", "--config_files", "pair.yaml", "--epochs=1"]
    status, printed, told = run(capsys, *arguments)
    assert status == 0 and "Pop" in printed
    (line,) = (line for line in told.splitlines() if line.startswith("left out: "))
    assert line.startswith("left out: EMCDR, CMF:alpha=0.3. EMCDR is a model of RecBole-CDR")
    assert line.endswith("PYTHONPATH=RecBole-CDR)")
    study = json.loads(next(Path(settings["output_dir"]).rglob("study.json")).read_text())
    assert study["models"] == ["Pop"]
    arguments[2] = "EMCDR"
    status, _, told = run(capsys, *arguments)
    assert status == 1 and told.splitlines()[-1] == "error: no model is left to run: give --models"
