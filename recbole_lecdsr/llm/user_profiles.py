"""The texts of users that ``embed`` reads: complete, of known users, and made for the split in use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_lecdsr.data.embeddings.provenance import DIGEST, content_digest, read_provenance
from recbole_lecdsr.data.splitting import differing_split
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.text_sources import MADE_BY_PROFILE, find_text_file

if TYPE_CHECKING:
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

logger = logging.getLogger(__name__)


def read_profiles(dataset: CrossDomainSequentialDataset) -> dict[str, str]:
    """User token -> profile.

    Args:
        dataset: the data set, with the split in use.

    Raises:
        UserError: a file that is missing or malformed, or that has no profiles or some of unknown users; profiles that
            were made for another split, or of which that cannot be told.
    """
    name = dataset.config["profile_file"]
    path = find_text_file(dataset, name)
    if path is None:
        raise UserError(
            f"{Path(dataset.config['pair_path']) / name} does not exist: make it with `run_lecdsr.py profile`, put "
            'a file there with a line {"user_id": …, "profile": …} for each user, or make the vectors of users from '
            "item texts with --user_text=history"
        )
    records = text_files.read_json_lines(path, "user_id", dataset.config["USER_ID_FIELD"])
    _require_described(path, records)
    _require_same_split(dataset, path)
    known = dataset.file_tokens["source"].users | dataset.file_tokens["target"].users
    profiles = text_files.compose_texts(records, ["profile"])
    if not profiles:
        fields = ", ".join(sorted({field for record in records.values() for field in record})) or "none"
        found = f"no line has a text under 'profile' (other fields: {fields})" if records else "it has no lines"
        raise UserError(
            f'{path}, line 1: {found}: write {{"user_id": …, "profile": …}} in a line for each user, or make the file '
            "with `run_lecdsr.py profile`"
        )
    unknown = [token for token in profiles if token not in known]
    if unknown:
        raise UserError(
            f"{path}: user {unknown[0]!r} and {len(unknown) - 1} others have no interactions: delete their lines"
        )
    return profiles


def _require_described(path: Path, records: text_files.Records) -> None:
    """Refuse a file that `profile` has written unless its sidecar describes exactly this content.

    Raises:
        UserError: a generated file without a sidecar, or with one of another content.
    """
    provenance = read_provenance(path)
    again = "make it again with `run_lecdsr.py profile`, which reuses the stored answers"
    if not provenance and any("source" in record for record in records.values()):
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
