from __future__ import annotations

import io

import pytest
from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.cli import default_data, main
from recbole_lecdsr.cli.console import show
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.terminal import Console, PrintableFile, printable


def test_control_characters_are_written_as_escapes():
    assert printable("a\tb\nc é —") == "a\tb\nc é —"
    assert printable("\x1b]0;x\x07\r\x7f\x9b") == r"\u001b]0;x\u0007\u000d\u007f\u009b"
    file = io.StringIO()
    assert PrintableFile(file).write("\x1bx") == 2
    assert file.getvalue() == r"\u001bx"


@pytest.mark.parametrize("text", [":smile:", "/x[/]y", "[b]x[/b]", "\x1b[b]x", "x\\", "a\x1b"])
def test_case_t6_texts_are_printed_as_they_are_wherever_they_stand(text):
    file = io.StringIO()
    console = Console(file=file, width=100)
    table = Table(title=escape(text), caption=escape(text))
    table.add_column(escape(text))
    table.add_row(escape(text))
    console.print(table)
    console.print(text, markup=False)
    console.print(f"[bold]{escape(text)}[/]")
    assert file.getvalue().count(printable(text)) == 6
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("name", [":zzz:", ":smile:", "/x[/]y", "\x1b[31mred"])
def test_case_t6_an_error_prints_paths_as_they_are(capsys, name):
    assert main(["--config_files", name]) == 1
    assert f"property file {printable(name)} does not exist" in capsys.readouterr().err


def test_case_t6_paths_of_a_result_are_printed_as_they_are(finished, tmp_path, capsys):
    result = {**finished["result"], "dataset": ":smile:[/]"}
    show(result, tmp_path / ":smile:" / "x[")
    printed = capsys.readouterr().out
    assert "on :smile:[/], test" in printed and ":smile:/x[/" in printed


def test_case_t6_a_path_with_brackets_is_no_markup(capsys, monkeypatch):
    def fail(folder, edition):
        raise UserError("no network")

    monkeypatch.setattr(default_data, "prepare_movielens", fail)
    assert main(["--dataset=movielens", "--data_path=x[/]y"]) == 1
    assert "preparing movielens in x[/]y/movielens/" in capsys.readouterr().out
