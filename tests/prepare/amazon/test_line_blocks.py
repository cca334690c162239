from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import line_blocks
from recbole_lecdsr.prepare.amazon.line_blocks import read_blocks

TEXT = b"".join(b"line %d\n" % number for number in range(1, 1001))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 100)


def write(folder: Path, data: bytes, name: str = "f.json") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(
    "data", [TEXT, TEXT[:-1], gzip.compress(TEXT), gzip.compress(TEXT[:99]) + gzip.compress(TEXT[99:])]
)
def test_blocks_hold_whole_lines_and_know_their_numbers(tmp_path, data):
    read = []
    found = list(read_blocks(write(tmp_path, data), read.append))
    assert len(found) > 50
    lines = [line for block in found for line in block.lines()]
    assert lines == [(number, b"line %d" % number) for number in range(1, 1001)]
    assert sum(read) == len(data)


def test_a_line_longer_than_a_block_is_whole_and_blank_lines_count(tmp_path):
    (block, *_) = read_blocks(write(tmp_path, b"\xef\xbb\xbf" + b"a" * 350 + b"\n\n \r\nb\r\n"))
    assert block.data.startswith(b"a" * 350)
    lines = [line for block in read_blocks(tmp_path / "f.json") for line in block.lines()]
    assert lines == [(1, b"a" * 350), (4, b"b")]


@pytest.mark.parametrize("cut", [5, 200, -4])
def test_gzip_that_is_cut_short_is_an_error_with_a_remedy(tmp_path, cut):
    path = write(tmp_path, gzip.compress(TEXT)[:cut], "f.json.gz")
    with pytest.raises(UserError, match=r"f\.json\.gz ends in the middle of its gzip data.*get it again"):
        list(read_blocks(path))


def test_damaged_gzip_is_an_error(tmp_path):
    data = bytearray(gzip.compress(TEXT))
    data[-6] ^= 255
    with pytest.raises(UserError, match=r"f\.json cannot be read \(.*data check.*get it again"):
        list(read_blocks(write(tmp_path, bytes(data))))


def test_what_is_no_text_file_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="does not exist"):
        list(read_blocks(tmp_path / "none.json"))
    with pytest.raises(UserError, match="is not a file"):
        list(read_blocks(tmp_path))
    with pytest.raises(UserError, match="is empty"):
        list(read_blocks(write(tmp_path, b"")))
    monkeypatch.setattr(line_blocks, "_LONGEST_LINE", 1000)
    with pytest.raises(UserError, match=r"line 1: no line break"):
        list(read_blocks(write(tmp_path, b"x" * 5000)))


def test_case_t5_gzip_within_gzip_is_named(tmp_path):
    packed = gzip.compress(gzip.compress(TEXT))
    with pytest.raises(UserError, match=r"f\.json\.gz is gzip within gzip: unpack it once"):
        list(read_blocks(write(tmp_path, packed, "f.json.gz")))
