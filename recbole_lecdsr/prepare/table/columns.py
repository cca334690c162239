"""Columns of a table as tokens and texts that atomic files and RecBole's reader can hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reserved_tokens import CONTROL_CHARACTER, LONGEST_TOKEN, RESERVED
from recbole_lecdsr.prepare.table.bad_rows import BadRows


class TokenProblem(NamedTuple):
    """Values that break a rule for tokens.

    Attributes:
        values: (n,) bool.
        problem: what is wrong with one; ``{}`` stands for the value.
        remedy: what to do.
    """

    values: np.ndarray
    problem: str
    remedy: str


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Dictionary-encode a column.

    Returns:
        (n,) int32, the index of each row's value; and the distinct values, in the order of their first rows.

    Example:
        >>> index, values = encode(pa.chunked_array([["b", "a"], ["b"]]))
        >>> index.tolist(), values.to_pylist()
        ([0, 1, 0], ['b', 'a'])
    """
    encoded = column.dictionary_encode().unify_dictionaries()
    return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]), encoded.chunk(0).dictionary


def find_token_problems(values: pa.Array) -> list[TokenProblem]:
    """Check values against the rules for tokens of users and items; rules that all values keep are left out.

    Example:
        >>> [(found.values.tolist(), found.problem) for found in find_token_problems(pa.array(["a", " "]))]
        [([False, True], 'is empty')]
    """
    rules = [
        (pc.equal(pc.utf8_trim_whitespace(values), ""), "is empty", "fill the cell or delete the row"),
        (
            pc.match_substring_regex(values, CONTROL_CHARACTER),
            "{} holds a tab, a line break or another control character",
            "atomic files separate cells and rows by them: replace it",
        ),
        (
            pc.is_in(values, pa.array(RESERVED)),
            "{} is a word that RecBole takes for a missing cell or for padding",
            "rename it, by a prefix for instance",
        ),
        (
            pc.greater(pc.utf8_length(values), LONGEST_TOKEN),
            f"{{}} is longer than {LONGEST_TOKEN} characters",
            "give it a shorter name",
        ),
        (
            pc.starts_with(values, '"'),
            "{} starts with a quotation mark, which RecBole takes for the start of a quoted cell",
            "remove the marks",
        ),
    ]
    problems = (TokenProblem(broken.to_numpy(zero_copy_only=False), *texts) for broken, *texts in rules)
    return [problem for problem in problems if problem.values.any()]


def read_tokens(bad_rows: BadRows, column: str) -> np.ndarray:
    """A column of user or item tokens: (n,) of str objects, one object for all rows that have the same token.

    Raises:
        UserError: a value that cannot be a token, unless bad rows are skipped.
    """
    index, values = encode(bad_rows.table[column])
    for broken, problem, remedy in find_token_problems(values):
        bad_rows.reject(column, broken[index], problem, remedy)
    return values.to_numpy(zero_copy_only=False)[index]


def to_one_line(text: pa.ChunkedArray) -> pa.ChunkedArray:
    r"""Texts as cells of an atomic file: each run of blanks and control characters becomes one blank.

    Example:
        >>> to_one_line(pa.chunked_array([["two\n lines", '"quoted"']])).to_pylist()
        ['two lines', ' "quoted"']
    """
    text = pc.utf8_trim(pc.replace_substring_regex(text, r"[\p{Cc}\p{Z}]+", " "), " ")
    # RecBole takes a cell that starts with a quotation mark for a quoted one and reads on to the next mark, which may
    # be rows later.
    return pc.if_else(pc.starts_with(text, '"'), pc.binary_join_element_wise("", text, " "), text)
