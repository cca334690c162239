"""Random damage to the bytes of a file, reproducible from the generator."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from random import Random

# What files hold by accident or by malice.
TOKENS: tuple[bytes, ...] = (
    b"", b" ", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\x01", b"\x1b[31m", b"\x7f", b"\x85", b"\xc2\x85", b"\xa0",
    b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b'"\\ud800"', b"\\u0000", b"\\",
    b"\xe2\x80\xa8", b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"-NaN", b"null", b"None", b"[PAD]", b"<NA>",
    b"true", b"~", b"0", b"-1", b"1e38", b"1e-46", b"1e400", b"-1e400", b"1_000", b"0x10", b"1,5",
    b"99999999999999999999",
    b"0." + b"1" * 400, b"1e" + b"9" * 30, b"2014-02-30", b"0000-00-00", b"9999-99-99T99:99:99Z", b"300000-01-01",
    b"[", b"]", b"{", b"}", b"'", b'"', b'""', b'"""', b"|", b",", b";", b":", b": ", b"!!python/object:os.system",
    b"!!binary x", b"&a", b"*a", b"<<: *a", b"? ", b"#", b"%", b"@", b"`", b"x" * 300, b"\xe7\xbb\xbf\xe8\x8c\xb6",
    b"\xf0\x9f\x98\x80", b"../x", b"/", b"=1+1",
)  # fmt: skip
# What exceeds the limits of parsers.
LONG_TOKENS = (
    b"9" * 5000, b"[" * 3000, b"[" * 100_000, b'{"a":' * 3000, b"(" * 3000, b"- " * 1000, b"x" * 140_000,
)  # fmt: skip
_CELLS = re.compile(rb"([\t\n,;|: ]+)")


def mutate(content: bytes, random: Random) -> bytes:
    """Damage a file in one to three ways; gzip is damaged itself or in what it holds."""
    if content[:2] == b"\x1f\x8b" and random.random() < 0.6:
        return gzip.compress(mutate(gzip.decompress(content), random), 1, mtime=0)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(_MUTATIONS)(content, random)
    return content


def _choose_token(random: Random) -> bytes:
    return random.choice(LONG_TOKENS if random.random() < 0.03 else TOKENS)


def _flip_bit(content: bytes, random: Random) -> bytes:
    if not content:
        return content
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]


def _change_bytes(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(min(len(changed), 3)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _span(content: bytes, random: Random) -> slice:
    start = random.randrange(len(content) + 1)
    return slice(start, min(len(content), start + random.choice((1, 2, 8, 64))))


def _delete(content: bytes, random: Random) -> bytes:
    span = _span(content, random)
    return content[: span.start] + content[span.stop :]


def _repeat(content: bytes, random: Random) -> bytes:
    span = _span(content, random)
    return content[: span.stop] + content[span] * random.choice((1, 2, 100)) + content[span.stop :]


def _truncate(content: bytes, random: Random) -> bytes:
    return content[: random.choice((0, 1, random.randrange(len(content) + 1), max(0, len(content) - 1)))]


def _insert_token(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content) + 1)
    return content[:place] + _choose_token(random) + content[place:]


def _prepend_token(content: bytes, random: Random) -> bytes:
    return _choose_token(random) + content


def _append_token(content: bytes, random: Random) -> bytes:
    return content + _choose_token(random)


def _replace_cell(content: bytes, random: Random) -> bytes:
    cells = _CELLS.split(content)
    cells[random.randrange(0, len(cells), 2)] = _choose_token(random)
    return b"".join(cells)


def _swap_cells(content: bytes, random: Random) -> bytes:
    cells = _CELLS.split(content)
    one, other = (random.randrange(0, len(cells), 2) for _ in range(2))
    cells[one], cells[other] = cells[other], cells[one]
    return b"".join(cells)


def _change_lines(content: bytes, random: Random) -> bytes:
    lines = content.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 1:
        lines.insert(one, lines[other])
    elif kind == 2:
        del lines[one]
    else:
        lines[one] = _choose_token(random)
    return b"\n".join(lines)


def _change_separator(content: bytes, random: Random) -> bytes:
    one, other = random.choice((b"\n", b"\t", b",", b" ", b":", b"|")), random.choice((*TOKENS[:16], b",", b"|"))
    return content.replace(one, other, random.choice((1, -1)))


def _recode(content: bytes, random: Random) -> bytes:
    return content.decode("latin-1").encode(random.choice(("utf-16", "utf-8-sig", "utf-32-be")))


def _pack(content: bytes, random: Random) -> bytes:
    return random.choice((lambda data: gzip.compress(data, mtime=0), zlib.compress))(content)


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip_bit, _change_bytes, _delete, _repeat, _truncate, _insert_token, _insert_token, _prepend_token, _append_token,
    _replace_cell, _replace_cell, _replace_cell, _swap_cells, _change_lines, _change_lines, _change_separator, _recode,
    _pack,
)  # fmt: skip
