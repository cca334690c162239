"""The texts of users that ``embed`` reads: complete, of known users, and made for the split in use."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.embeddings.provenance import DIGEST, content_digest, read_provenance
from recbole_lecdsr.data.embeddings.user_vector_file import require_column_names
from recbole_lecdsr.data.splitting import differing_split
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.profile_files import (
    PROFILE_FIELD,
    ProfileLine,
    Profiles,
    merge_profiles,
    read_profile_file,
)
from recbole_lecdsr.llm.text_sources import MADE_BY_PROFILE, find_text_file

if TYPE_CHECKING:
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

logger = logging.getLogger(__name__)

_REMEDY = 'write {"user_id": …, "profile": …} in a line for each user, or make the file with `run_lecdsr.py profile`'


@dataclass(frozen=True, eq=False)
class UserTexts:
    """The texts of users that are to be encoded, a row for each user and number of interactions.

    Attributes:
        tokens: of the N users, more than once with different ``events``.
        events: N numbers of first interactions of the user that the texts know; None where they are about all
            training interactions.
        texts: field -> N texts, empty where a row has none; each row has at least one.
        paths: the files.
    """

    tokens: list[str]
    events: list[int] | None
    texts: dict[str, list[str]]
    paths: list[Path]


def profile_paths(dataset: CrossDomainSequentialDataset) -> dict[str, Path | None]:
    """The names that ``profile_file`` gives, each with the file, or None where it does not exist."""
    return {name: find_text_file(dataset, name) for name in dataset.config["profile_file"]}


def read_profiles(dataset: CrossDomainSequentialDataset) -> UserTexts:
    """The texts of users that ``profile_file`` and ``user_text_fields`` select.

    Args:
        dataset: the data set, with the split in use.

    Raises:
        UserError: a file that is missing or malformed, or that has no texts or some of unknown users; profiles that
            were made for another split, or of which that cannot be told.
    """
    config = dataset.config
    paths: list[Path] = []
    for name, path in profile_paths(dataset).items():
        if path is None:
            raise UserError(
                f"{Path(config['pair_path']) / name} does not exist: make it with `run_lecdsr.py profile`, put "
                'a file there with a line {"user_id": …, "profile": …} for each user, or make the vectors of users '
                "from item texts with --user_text=history"
            )
        paths.append(path)
    files = [read_profile_file(path, "user_id", config["USER_ID_FIELD"]) for path in paths]
    for path, lines in zip(paths, files, strict=True):
        if not lines:
            raise UserError(f"{path}, line 1: it has no lines: {_REMEDY}")
        _require_described(path, lines)
        _require_same_split(dataset, path)
    profiles = merge_profiles(files)
    if profiles.n_replaced:
        logger.info(
            "%d lines of %s give way to lines of a later file about the same interactions of the user",
            profiles.n_replaced, ", ".join(map(str, paths)),
        )  # fmt: skip
    fields = config["user_text_fields"] or profiles.default_fields()
    all_texts = profiles.texts(fields)
    rows = [(line, texts) for line, texts in zip(profiles.lines, all_texts, strict=True) if texts]
    _require_texts(paths, profiles, fields, [texts for _, texts in rows])
    _require_known_users(dataset, [line for line, _ in rows])
    _warn_of_later_interactions(dataset, [line for line, _ in rows])
    if config["user_text_joined"]:
        joined = text_files.compose_texts({str(row): texts for row, (_, texts) in enumerate(rows)}, fields)
        texts_of_field = {PROFILE_FIELD: list(joined.values())}
    else:
        if len(fields) > 1:
            require_column_names(paths[0], fields)
        texts_of_field = {field: [texts.get(field, "") for _, texts in rows] for field in fields}
    events = [line.events for line, _ in rows if line.events is not None]
    return UserTexts([line.user for line, _ in rows], events or None, texts_of_field, paths)


def _require_texts(
    paths: Sequence[Path], profiles: Profiles, fields: Sequence[str], texts: Sequence[Mapping[str, str]]
) -> None:
    """Refuse files without texts, and fields of which no line has a text."""
    there = ", ".join(dict.fromkeys(field for line in profiles.lines for field in line.values)) or "none"
    if not texts:
        asked = " or ".join(map(repr, fields)) or "any field"
        raise UserError(f"{paths[0]}, line 1: no line has a text under {asked} (fields: {there}): {_REMEDY}")
    for field in fields:
        if not any(field in row for row in texts):
            raise UserError(
                f"{', '.join(map(str, paths))}: no line has a text under {field!r} of user_text_fields; there are "
                f"{there}: give others of them"
            )


def _require_known_users(dataset: CrossDomainSequentialDataset, lines: Sequence[ProfileLine]) -> None:
    known = dataset.file_tokens["source"].users | dataset.file_tokens["target"].users
    unknown = [line for line in lines if line.user not in known]
    if unknown:
        others = len({line.user for line in unknown}) - 1
        raise UserError(
            f"{unknown[0].place}: user {unknown[0].user!r} and {others} others have no interactions: delete their lines"
        )


def _warn_of_later_interactions(dataset: CrossDomainSequentialDataset, lines: Sequence[ProfileLine]) -> None:
    """Warn of texts that know more interactions than their users have for training."""
    ids = {**dataset.file_ids("source", "user"), **dataset.token_ids("target", "user")}
    log = dataset.log
    n_train = np.bincount(log.user[log.split == TRAIN], minlength=dataset.num_total_user)
    later = [line for line in lines if ids.get(line.user, 0) and (line.events or 0) > n_train[ids[line.user]]]
    if later:
        logger.warning(
            "%s: events are %d, but user %r has %d training interactions, and so it is with %d other lines: their "
            "texts may know validation or test interactions, and serve later targets only",
            later[0].place, later[0].events, later[0].user, n_train[ids[later[0].user]], len(later) - 1,
        )  # fmt: skip


def _require_described(path: Path, lines: Sequence[ProfileLine]) -> None:
    """Refuse a file that `profile` has written unless its sidecar describes exactly this content.

    Raises:
        UserError: a generated file without a sidecar, or with one of another content.
    """
    provenance = read_provenance(path)
    again = "make it again with `run_lecdsr.py profile`, which reuses the stored answers"
    if not provenance and any(line.has_source for line in lines):
        raise UserError(
            f"{path} was made by `profile`, as the field source shows, but {sidecar(path).name} is missing, which says "
            f"from which interactions: move the file away and {again}, or delete the field source of each line if the "
            "texts are your own"
        )
    if provenance.get("made_by") == MADE_BY_PROFILE and provenance.get(DIGEST) != content_digest(path):
        raise UserError(
            f"{path} is not the file that {sidecar(path).name} describes: `profile` was interrupted, another version "
            f"wrote it, or it was changed since; {again}, or delete the sidecar and the field source of each line if "
            "the texts are your own"
        )


def _require_same_split(dataset: CrossDomainSequentialDataset, path: Path) -> None:
    """Refuse profiles made for another split, whose training interactions may include held-out ones of this split."""
    provenance = read_provenance(path)
    if difference := differing_split(provenance, dataset.config):
        key, noted, current = difference
        raise UserError(
            f"{path} was made for {key} {noted}, but {key} is now {current}: its profiles may reveal validation or "
            "test interactions. Make them again with `run_lecdsr.py profile`, use others with "
            "--profile_file=NAME.jsonl, or use none with --user_text=history"
        )
    if provenance.get("events", dataset.log.digest) != dataset.log.digest:
        logger.warning(
            "%s was made from other interactions than those in use (the data or the filters have changed): its "
            "profiles may reveal validation or test interactions; `run_lecdsr.py profile` makes them again",
            path,
        )
