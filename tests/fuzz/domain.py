"""A domain read by the plugin and, as a second opinion, by pandas in the way of RecBole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.domain_files import check_domain_files
from recbole_lecdsr.data.embeddings.embedding_file import read_embedding

_TYPES = {"token": str, "token_seq": str, "float": np.float64, "float_seq": str}


def read_domain(
    suffixes: Sequence[str] = (),
    field_separator: str = "\t",
    seq_separator: str = " ",
    encoding: str = "utf-8",
    *,
    parts: Sequence[str] | None = None,
    folder: Path = Path(),
    name: str = "book",
) -> object:
    """Check the files of a domain, read its interactions, and compare with what RecBole's reader finds.

    Raises:
        AssertionError: RecBole reads something else.
    """
    loaded = {"inter": ["user_id", "item_id", "timestamp", "item_id_list"], **dict.fromkeys(suffixes, "*")}
    settings = {
        "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "TIME_FIELD": "timestamp", "LIST_SUFFIX": "_list",
        "field_separator": field_separator, "seq_separator": seq_separator, "encoding": encoding,
        "benchmark_filename": list(parts) if parts else None, "load_col": loaded,
    }  # fmt: skip
    found = check_domain_files(folder, name, settings)
    meaning: list[object] = [sorted(found.tokens.users), sorted(found.tokens.items)]
    for path in [folder / f"{name}.{part}.inter" for part in parts] if parts else [folder / f"{name}.inter"]:
        ours = atomic_file.read(
            path, {"user_id": "token", "item_id": "token", "timestamp": "float"}, field_separator, encoding
        )
        recbole = _read_as_recbole(path, loaded["inter"], field_separator, encoding)
        for field in ("user_id", "item_id"):
            assert recbole[field].tolist() == ours[field].tolist(), f"{field} differs for RecBole"
        np.testing.assert_allclose(recbole["timestamp"], ours["timestamp"], rtol=1e-12)
        meaning.append(ours.to_dict("list"))
        if "item_id_list" in recbole:
            texts = recbole["item_id_list"].fillna("")
            items = [item for text in texts for item in text.split(seq_separator) if item]
            meaning.append(items)
    if parts and found.windows is not None:
        items = [item for part in meaning[3::2] for item in part]
        assert items == found.windows.tokens[found.windows.code].tolist(), "windows differ for RecBole"
    for suffix in suffixes:
        if (path := folder / f"{name}.{suffix}").exists():
            frame = _read_as_recbole(path, "*", field_separator, encoding)
            field = f"{suffix}_id"
            ours = atomic_file.read(path, {field: "token"}, field_separator, encoding)
            assert frame[field].tolist() == ours[field].tolist(), f"{field} of .{suffix} differs for RecBole"
            for column in frame:
                if column.endswith("vector") and not pd.api.types.is_numeric_dtype(frame[column]):
                    [
                        float(number)
                        for text in frame[column].fillna("")
                        for number in text.split(seq_separator)
                        if number
                    ]
            meaning.append(len(frame))
    return meaning


def _read_as_recbole(path: Path, fields: Sequence[str], separator: str, encoding: str) -> pd.DataFrame:
    """As `recbole.data.dataset.Dataset._load_feat` reads a file."""
    with path.open(encoding=encoding) as file:
        header = file.readline()[:-1].split(separator)
    columns = [column for column in header if fields == "*" or column.split(":")[0] in fields]
    types = {column: _TYPES[column.split(":")[1]] for column in columns}
    frame = pd.read_csv(path, delimiter=separator, usecols=columns, dtype=types, encoding=encoding, engine="python")
    frame.columns = [column.split(":")[0] for column in frame.columns]
    return frame


def read_prepared(folder: str = "out", parts: Sequence[str] | None = None) -> object:
    """What `prepare` has written: a run must be able to read it."""
    meaning = []
    for place in sorted(path for path in Path(folder).iterdir() if path.is_dir()):
        name = place.name
        items = place / f"{name}.item"
        # A longer text is for embeddings and prompts only: RecBole does not read it.
        is_readable = items.exists() and len(max(items.read_bytes().split(b"\n"), key=len)) < 131_072
        meaning.append(read_domain(("item",) if is_readable else (), parts=parts, folder=place, name=name))
        if (path := place / f"{name}.itememb").exists():
            meaning.append(read_embedding(path).tokens.tolist())
    return meaning
