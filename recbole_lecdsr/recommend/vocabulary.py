"""Tokens, titles and profile texts of the users and items of a data set, by id and back."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
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


class ItemVocabulary(ABC):
    """Tokens and titles of the items of two domains.

    A domain code is 0 for the source and 1 for the target domain.

    Args:
        domain_names: names of the source and of the target domain.
    """

    def __init__(self, domain_names: Sequence[str]):
        self.domain_names = list(domain_names)

    @abstractmethod
    def item_ids(self, code: int) -> dict[str, int]:
        """Token -> id of the items of a domain."""

    @property
    @abstractmethod
    def item_tokens(self) -> Sequence[np.ndarray]:
        """(n_items,) str or object for each domain; linked items have their own token in each."""

    @property
    @abstractmethod
    def titles(self) -> Sequence[np.ndarray]:
        """(n_items,) object for each domain, empty where there is none."""

    @property
    def profiles(self) -> Mapping[int, str]:
        """User id -> profile text, of users who have one."""
        return {}

    @abstractmethod
    def user_ids(self, users: Sequence[str] | None) -> np.ndarray:
        """(U,) int64 ids of user tokens; None: of all users with interactions, ascending.

        Raises:
            UserError: users who are not in the data, or have no interaction left after filtering.
        """

    @abstractmethod
    def user_token(self, user: int) -> str | None:
        """Token of a user id; None for 0, a user who is not known."""

    @cached_property
    def items_of_domain(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Name of a domain, or ``source`` or ``target`` -> its code, and token -> id of its items."""
        domains = [(code, self.item_ids(code)) for code in range(len(DOMAINS))]
        return {name: domains[code] for names in (DOMAINS, self.domain_names) for code, name in enumerate(names)}

    def domain_code(self, name: str) -> int:
        """Code of a domain, which is given by its name or as ``source`` or ``target``.

        Raises:
            UserError: another name.
        """
        if name not in self.items_of_domain:
            raise UserError(f"domain {name!r} is not one of {' and '.join(self.domain_names)}")
        return self.items_of_domain[name][0]

    def find_item(self, token: str) -> tuple[int, int]:
        """Domain code and id of an item; of an item of both domains, the source.

        Raises:
            UserError: an item of neither domain.
        """
        for code in range(len(DOMAINS)):
            if (item := self.items_of_domain[DOMAINS[code]][1].get(token)) is not None:
                return code, item
        known = [token for name in DOMAINS for token in self.items_of_domain[name][1]]
        raise UserError(
            f"item {token!r} is in neither {' nor '.join(self.domain_names)}: {suggest_tokens(token, known)}"
        )

    def explain_unknown_item(self, name: str, token: str) -> str:
        """The error for an item that `items_of_domain` does not have."""
        if name not in self.items_of_domain:
            return f"{name}:{token}: domain {name!r} is not one of {' and '.join(self.domain_names)}"
        code, ids = self.items_of_domain[name]
        other = self.domain_names[1 - code]
        is_of_other = token in self.items_of_domain[other][1]
        remedy = f"it is an item of {other}" if is_of_other else suggest_tokens(token, ids)
        return f"{name}:{token}: item {token!r} is not in {self.domain_names[code]}: {remedy}"

    def item_labels(self, code: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """(N,) domain codes and item ids -> columns ``item`` (tokens) and ``title``, (N,) object."""
        return {
            name: np.where(code == 0, source[item], target[item]).astype(object)
            for name, (source, target) in (("item", self.item_tokens), ("title", self.titles))
        }

    def item_label(self, code: int, item: int) -> dict[str, str]:
        """``item`` (token) and ``title`` of one item."""
        return {"item": str(self.item_tokens[code][item]), "title": self.titles[code][item]}


class Vocabulary(ItemVocabulary):
    """Tokens, titles and profile texts of a data set.

    Args:
        dataset: of a run.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset):
        super().__init__([dataset.names[domain] for domain in DOMAINS])
        self.dataset = dataset
        self._requested_tokens: dict[int, str] = {}  # a linked user has two tokens: the one that was given is shown

    # ------------------------------------------------------------------ tokens to ids

    @cached_property
    def users_with_interactions(self) -> np.ndarray:
        """Ids of the users with interactions, ascending int64."""
        return np.flatnonzero(latest_interactions(self.dataset.log, self.dataset.num_total_user) >= 0)

    def user_ids(self, users: Sequence[str] | None) -> np.ndarray:
        """See `ItemVocabulary.user_ids`."""
        if users is None:
            return self.users_with_interactions
        users = [users] if isinstance(users, str) else users
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

    # ------------------------------------------------------------------ ids to tokens and texts

    @cached_property
    def item_tokens(self) -> list[np.ndarray]:
        """See `ItemVocabulary.item_tokens`."""
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
