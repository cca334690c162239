"""A full or read-only disk, at whatever is written: one line with path and remedy, and what was there stays."""

from __future__ import annotations

import builtins
import errno
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import pytest

from recbole_lecdsr.cli.main import main
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard import runner
from recbole_lecdsr.leaderboard.study import ERROR_FILE
from recbole_lecdsr.leaderboard.study_description import StudyDescription, update_description
from recbole_lecdsr.runs.run_directory import LOG
from recbole_lecdsr.runs.run_log import start_log, write_log_to
from tests.helpers.runs import full_disk, process, train


@pytest.fixture
def refuse(monkeypatch):
    """Makes the file system refuse to open, create or make what is below a folder."""

    def start(folder: Path, number: int = errno.EROFS, only: str = "") -> None:
        folder = folder.resolve()

        def guard(function, writes):
            def guarded(path, *arguments, **options):
                inside = isinstance(path, (str, os.PathLike)) and folder in (
                    place := Path(path).absolute(),
                    *place.parents,
                )
                if inside and only in os.fspath(path) and writes(arguments, options):
                    raise OSError(number, os.strerror(number), os.fspath(path))
                return function(path, *arguments, **options)

            return guarded

        def is_written(arguments, options) -> bool:
            return set("wax+") & set(str(arguments[0] if arguments else options.get("mode", "r"))) != set()

        def makes_temporary(*arguments, **options):
            place = Path(options.get("dir") or tempfile.gettempdir()).absolute()
            if folder in (place, *place.parents) and only in str(options.get("prefix", "")):
                raise OSError(number, os.strerror(number), str(place))
            return make_temporary(*arguments, **options)

        make_temporary = tempfile.mkstemp
        opened = guard(builtins.open, is_written)
        monkeypatch.setattr(builtins, "open", opened)
        monkeypatch.setattr("io.open", opened)
        monkeypatch.setattr(tempfile, "mkstemp", makes_temporary)
        monkeypatch.setattr(os, "mkdir", guard(os.mkdir, lambda *_: True))

    return start


def single_line(caught) -> str:
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_case_t3_a_study_in_a_folder_that_cannot_be_made_is_one_error(tmp_path, refuse):
    refuse(tmp_path)
    with pytest.raises(UserError, match=r"study cannot be written \(Read-only .*give another --study") as caught:
        update_description(tmp_path / "study", StudyDescription("pair", ("LeCDSR",), (1,)))
    single_line(caught)


def test_case_t3_a_study_description_on_a_full_disk_stays_as_it_was(tmp_path, refuse):
    update_description(tmp_path, StudyDescription("pair", ("LeCDSR",), (1,)))
    before = (tmp_path / "study.json").read_bytes()
    refuse(tmp_path, errno.ENOSPC, only="study.json")
    with pytest.raises(UserError, match=r"study\.json cannot be written \(No space left.*make room") as caught:
        update_description(tmp_path, StudyDescription("pair", ("Pop",), (1,)))
    single_line(caught)
    assert (tmp_path / "study.json").read_bytes() == before


def test_case_t3_a_study_ends_where_not_even_the_error_of_a_run_can_be_written(pair, tmp_path, refuse, monkeypatch):
    shared = {name: value for name, value in pair.items() if name not in ("embedding_size", "adapter_hidden_size")}
    plan = runner.make_plan(tmp_path / "study", ["SASRec", "GRU4Rec"], [1], overrides=shared)
    begun = []

    def fail(config_dict, **_):
        begun.append(config_dict["model"])
        refuse(tmp_path / "study", errno.ENOSPC, only=ERROR_FILE)
        raise UserError("the disk is full")

    monkeypatch.setattr(runner, "run_lecdsr", fail)
    with pytest.raises(UserError, match=r"error\.txt cannot be written \(No space left.*make room") as caught:
        runner.run_tasks(plan.tasks)
    single_line(caught)
    assert begun == ["SASRec"]


def test_case_t3_a_training_on_a_full_disk_is_one_error_and_resumes(pair):
    with (
        pytest.raises(UserError, match=r"model\.pth cannot be written .*make room .*--resume=True") as caught,
        full_disk(),
    ):
        train(pair, embedding_size=64)
    single_line(caught)
    assert train(pair, embedding_size=64, resume=True)["result"]


@pytest.mark.parametrize("only", [LOG, "config.yaml", "model.pth", "ranks.npz", "result.json"])
def test_case_t3_a_training_whose_file_cannot_be_written_is_one_error(pair, tmp_path, refuse, only):
    refuse(tmp_path / "runs", errno.EROFS, only=only)
    with pytest.raises(UserError, match=r"cannot be written .*(output_dir|get permission)") as caught:
        train(pair, output_dir=str(tmp_path / "runs"), train_epochs=["BOTH:1"])
    assert "runs" in single_line(caught)


def test_case_t3_a_run_writes_nothing_into_the_working_directory(pair, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    outcome = train(pair, output_dir=str(tmp_path / "runs"), train_epochs=["BOTH:1"])
    assert list(elsewhere.iterdir()) == []
    assert (Path(outcome["run_directory"]) / LOG).exists()


def test_case_t3_an_error_of_the_disk_that_nobody_expects_is_one_line(monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/else")

    monkeypatch.setitem(vars(sys.modules[main.__module__]), "train", fail)
    assert main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: /somewhere/else cannot be written (No space left on device): make room")


# ------------------------------------------------------------------ the log of a run


PROGRAM = """
import json, sys
from recbole_lecdsr.quick_start import run_lecdsr
for rate in (0.01, 0.02):
    settings = json.loads(sys.argv[1])
    settings.update(learning_rate=rate, output_dir=f"{settings['output_dir']}/{rate}")
    run_lecdsr(config_dict=settings, command_line=[])
"""


def test_each_run_of_a_process_has_its_own_log_from_the_loading_of_the_data_on(pair, tmp_path):
    settings = {**pair, "output_dir": str(tmp_path / "runs"), "train_epochs": ["BOTH:2"]}
    done = process("-c", PROGRAM, json.dumps(settings), cwd=tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    assert done.returncode == 0, done.stderr
    logs = sorted((tmp_path / "runs").glob(f"*/pair/*/{LOG}"))
    assert len(logs) == 2
    for path in logs:
        text = path.read_text(encoding="utf-8")
        assert text.count("epoch   0") == text.count("epoch   1") == 1
        assert "\x1b" not in text
    assert not (tmp_path / "log").exists()
    assert done.stderr.count("epoch   0") == 2


def test_a_log_that_cannot_be_written_any_more_ends_with_one_warning(tmp_path, caplog):
    start_log("INFO")
    logger = logging.getLogger("tests.log")
    logger.warning("before the folder exists")
    write_log_to(tmp_path / LOG, append=False)
    with full_disk():
        for _ in range(30):
            logger.warning("x" * 1000)
    assert (tmp_path / LOG).read_text().count("before the folder exists") == 1
    assert sum("the log ends there" in message for message in caplog.messages) == 1
    write_log_to(tmp_path / LOG, append=True)  # nothing waits for a file: nothing happens
