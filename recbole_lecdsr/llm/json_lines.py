"""Lines of JSON, the format of the text files, answer stores and batch files."""

from __future__ import annotations

import json
from collections.abc import Mapping


def encode_json_line(record: Mapping[str, object]) -> bytes:
    """A record as one line of JSON in UTF-8; lone surrogates, which UTF-8 cannot encode, are escaped.

    Example:
        >>> encode_json_line({"item_id": "B01", "title": "Tea"})
        b'{"item_id": "B01", "title": "Tea"}\\n'
    """
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def replace_half_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which a model can write and no encoder accepts.

    Example:
        >>> replace_half_surrogates("tea \\ud83c")
        'tea \ufffd'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
