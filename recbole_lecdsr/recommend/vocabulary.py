"""Tokens, titles and profile texts of the users and items of a data set, by id and back."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import latest_interactions
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.profile_files import merge_profiles, read_profile_file
from recbole_lecdsr.llm.text_sources import item_records
from recbole_lecdsr.llm.user_profiles import profile_paths

_MAX_ERRORS = 5  # unknown tokens that one error names
_MAX_COMPARED_TOKENS = 50_000  # with more of them, difflib would take seconds


class Vocabulary:
    """Tokens, titles and profile texts of a data set.

    A domain code is 0 for the source and 1 for the target domain.

    Args:
        dataset: of a run.

    Attributes:
        domain_names: names of the source and of the target domain.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset):
        self.dataset = dataset
        self.domain_names: list[str] = [dataset.names[domain] for domain in DOMAINS]
        self._requested_tokens: dict[int, str] = {}  # a linked user has two tokens: the one that was given is shown

    # ------------------------------------------------------------------ tokens to ids

    @cached_property
    def users_with_interactions(self) -> np.ndarray:
        """Ids of the users with interactions, ascending int64."""
        return np.flatnonzero(latest_interactions(self.dataset.log, self.dataset.num_total_user) >= 0)

    def user_ids(self, users: Sequence[str]) -> np.ndarray:
        """(U,) int64 ids of user tokens.

        Raises:
            UserError: users who are not in the data set, or have no interaction left after filtering.
        """
        data = self.dataset
        with_interactions = set(self.users_with_interactions.tolist())
        ids = {token: user for token, user in self._user_id_of_token.items() if user in with_interactions}
        errors = []
        for user in users:
            if user in ids:
                continue
            if user in data.file_tokens["source"].users | data.file_tokens["target"].users:
                errors.append(f"user {user!r} has no interaction left after the filters of the run")
            else:
                errors.append(f"user {user!r} is not in {data.config['pair_path']}: {suggest_tokens(user, list(ids))}")
            if len(errors) == _MAX_ERRORS:
                break
        if errors:
            raise UserError("\n".join(errors))
        self._requested_tokens.update((ids[user], user) for user in users)
        return np.array([ids[user] for user in users], dtype=np.int64)

    @cached_property
    def _user_id_of_token(self) -> dict[str, int]:
        return {**self.dataset.file_ids("source", "user"), **self.dataset.token_ids("target", "user")}

    def item_ids(self, code: int) -> dict[str, int]:
        """Token -> id of the items of a domain."""
        ids = self.dataset.file_ids(DOMAINS[code], "item")
        return {token: item for token, item in ids.items() if item}

    def history_ids(self, history: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """(domain, item token) pairs -> (E,) int64 item ids and (E,) int64 domain codes.

        A domain is given by its name, or as ``source`` or ``target``.

        Raises:
            UserError: an empty history, or domains or items that are not in the data set.
        """
        names = self.domain_names
        if not history:
            raise UserError(f"the history is empty: give interactions such as {names[0]}:ITEM")
        code_of_name = {name: code for one in (DOMAINS, names) for code, name in enumerate(one)}
        ids = [self.item_ids(code) for code in range(len(DOMAINS))]
        errors, items, domains = [], [], []
        for name, token in history:
            if name not in code_of_name:
                errors.append(f"{name}:{token}: domain {name!r} is not one of {' and '.join(names)}")
                continue
            code = code_of_name[name]
            if token in ids[code]:
                items.append(ids[code][token])
                domains.append(code)
                continue
            is_of_other = token in ids[1 - code]
            remedy = f"it is an item of {names[1 - code]}" if is_of_other else suggest_tokens(token, ids[code])
            errors.append(f"{name}:{token}: item {token!r} is not in {names[code]}: {remedy}")
        if errors:
            raise UserError("\n".join(errors[:_MAX_ERRORS]))
        return np.array(items, dtype=np.int64), np.array(domains, dtype=np.int64)

    # ------------------------------------------------------------------ ids to tokens and texts

    @cached_property
    def item_tokens(self) -> list[np.ndarray]:
        """(n_items,) str for each domain; linked items have their own token in each."""
        tokens = [self.dataset.item_token] * 2
        if links := self.dataset.item_link_dict:
            ids = self.item_ids(0)
            tokens[0] = tokens[0].astype(object)
            for token in links.keys() & ids.keys():
                tokens[0][ids[token]] = token
        return tokens

    @cached_property
    def titles(self) -> list[np.ndarray]:
        """(n_items,) object for each domain: the text of the field ``title`` or ``name``, or else of the first field of
        ``item_text``; empty where there is none."""
        titles = []
        for code, domain in enumerate(DOMAINS):
            records = item_records(self.dataset, domain)
            field = _title_field(records, self.dataset.config["item_text"])
            title_of_token = {token: record.get(field, "") for token, record in records.items()} if field else {}
            column = np.full(self.dataset.num_total_item, "", dtype=object)
            items = self.dataset.domain_items[code]
            column[items] = [title_of_token.get(token, "").strip() for token in self.item_tokens[code][items].tolist()]
            titles.append(column)
        return titles

    @cached_property
    def profiles(self) -> dict[int, str]:
        """User id -> profile text, of several that of most interactions, from the files of ``profile_file`` that there
        are."""
        paths = [path for path in profile_paths(self.dataset).values() if path]
        files = [read_profile_file(path, "user_id", self.dataset.config["USER_ID_FIELD"]) for path in paths]
        ids = self._user_id_of_token
        return {ids[token]: text for token, text in merge_profiles(files).newest_texts().items() if token in ids}

    def user_token(self, user: int) -> str | None:
        """Token of a user id; None for 0."""
        return (self._requested_tokens.get(user) or str(self.dataset.user_token[user])) if user else None

    def item_labels(self, code: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """(N,) domain codes and item ids -> columns ``item`` (tokens) and ``title``, (N,) object."""
        return {
            name: np.where(code == 0, source[item], target[item]).astype(object)
            for name, (source, target) in (("item", self.item_tokens), ("title", self.titles))
        }

    def item_label(self, code: int, item: int) -> dict[str, str]:
        """``item`` (token) and ``title`` of one item."""
        return {"item": str(self.item_tokens[code][item]), "title": self.titles[code][item]}


def _title_field(records: text_files.Records, item_text: Sequence[str] | str) -> str | None:
    """Name of the field that holds titles, whatever its capitals."""
    fields = {field.lower(): field for record in records.values() for field in record}
    first = [item_text] if isinstance(item_text, str) else list(item_text)[:1]
    return next((fields[name.lower()] for name in ("title", "name", *first) if name.lower() in fields), None)


def suggest_tokens(token: str, known: Collection[str]) -> str:
    """A remedy for an unknown token: known ones that contain it, else the most similar ones, else some examples.

    >>> suggest_tokens("Matrx", ["Heat", "Matrix"])
    "did you mean 'Matrix'?"
    >>> suggest_tokens("zzz", ["u1", "u2"])
    "tokens look like 'u1', 'u2'"
    """
    token_of_lower = {other.lower(): other for other in known}
    wanted = token.lower()
    similar = [lower for lower in token_of_lower if wanted and wanted in lower][:3]
    if not similar:
        compared = list(token_of_lower)
        if len(compared) > _MAX_COMPARED_TOKENS:
            compared = [lower for lower in compared if lower[:2] == wanted[:2]][:_MAX_COMPARED_TOKENS]
        similar = difflib.get_close_matches(wanted, compared, n=3, cutoff=0.6)
    if similar:
        return f"did you mean {' or '.join(repr(token_of_lower[lower]) for lower in similar)}?"
    return f"tokens look like {', '.join(repr(other) for other, _ in zip(known, range(3), strict=False))}"
