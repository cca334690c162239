"""Vectors of users: of one or several texts about a user, or of the items of the training interactions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_lecdsr.data.embeddings.user_vector_file import write_user_vectors_to
from recbole_lecdsr.llm.backends.redaction import redact_parameters
from recbole_lecdsr.llm.encoders.base import Encoder
from recbole_lecdsr.llm.file_group import FileGroup
from recbole_lecdsr.llm.user_profiles import UserTexts

logger = logging.getLogger(__name__)

SINGLE_COLUMN = "user_emb"  # of a file with one vector in a row


@dataclass(frozen=True, eq=False)
class UserEmbeddings:
    """Vectors of users, a row for each user and number of first interactions.

    Attributes:
        tokens: of the N users, more than once with different ``events``.
        vectors: name of the column -> (N, D) float32, zero where a row has no text for it.
        events: N numbers of first interactions of the user; None for all training interactions.
    """

    tokens: list[str]
    vectors: Mapping[str, np.ndarray]
    events: list[int] | None = None

    @property
    def n_users(self) -> int:
        """The number of different users."""
        return len(set(self.tokens))

    def transform(self, function: Callable[[np.ndarray], np.ndarray]) -> UserEmbeddings:
        """A function applied to the vectors of each column; rows without a text stay zero.

        Args:
            function: (n, D) float32 -> (n, k) float32.
        """
        vectors = {}
        for name, matrix in self.vectors.items():
            has_text = matrix.any(axis=1)
            transformed = function(matrix[has_text])
            vectors[name] = np.zeros((len(matrix), transformed.shape[1]), dtype=np.float32)
            vectors[name][has_text] = transformed
        return UserEmbeddings(self.tokens, vectors, self.events)


def encode_user_texts(users: UserTexts, encoder: Encoder, show_progress: bool) -> UserEmbeddings:
    """Encode each text of each row as a vector of its own; a single kind of text has the column ``user_emb``.

    Args:
        users: the texts.
        encoder: makes the vectors.
        show_progress: show a bar.
    """
    n_rows, fields = len(users.tokens), list(users.texts)
    logger.info("encoding the texts of %d users: %d rows of %s", len(set(users.tokens)), n_rows, ", ".join(fields))
    for field in fields:
        if missing := users.texts[field].count(""):
            logger.warning("%d of %d rows have no text under %s and get a zero vector", missing, n_rows, field)
    flat = [text for field in fields for text in users.texts[field]]
    has_text = np.array([bool(text) for text in flat])
    encoded = encoder.encode([text for text in flat if text], show_progress, "user")
    matrix = np.zeros((len(flat), encoded.shape[1]), dtype=np.float32)
    matrix[has_text] = encoded
    names = fields if len(fields) > 1 else [SINGLE_COLUMN]
    return UserEmbeddings(users.tokens, dict(zip(names, np.split(matrix, len(fields)), strict=True)), users.events)


def add_user_vectors(group: FileGroup, path: Path, users: UserEmbeddings, made_of: Mapping[str, object]) -> None:
    """Add a file of user vectors and its sidecar to the files that are put in place together.

    Args:
        group: the files.
        path: the file; its folder must exist.
        users: the vectors.
        made_of: what the sidecar says, in addition to rows, columns, size and digest of the file.
    """
    columns = {name: int(matrix.shape[1]) for name, matrix in users.vectors.items()}
    content = {
        **redact_parameters(made_of), "rows": len(users.tokens), "size": max(columns.values()),
        "vectors": list(columns),
    }  # fmt: skip
    write_user_vectors_to(
        group.open(path, content), path, tokens=users.tokens, vectors=users.vectors, events=users.events
    )
