"""Vocabulary of users and items: tokens, titles and profile texts of a data set, by id and back."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import latest_events
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.text_sources import find_text_file, item_records

_SHOWN = 5  # unknown tokens named in one error


class Vocabulary:
    """Tokens, titles and profiles of a data set, by id and back.

    Args:
        dataset: of the run.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset):
        self.dataset = dataset
        self.domain = [dataset.names[name] for name in DOMAINS]
        self._asked: dict[int, str] = {}  # a linked user goes by the token that was asked for

    # ------------------------------------------------------------------ tokens to ids

    @cached_property
    def users_with_events(self) -> np.ndarray:
        """Ids of the users with events, ascending int64."""
        return np.flatnonzero(latest_events(self.dataset.log, self.dataset.num_total_user) >= 0)

    def user_ids(self, users: Sequence[str]) -> np.ndarray:
        """(U,) int64 ids of user tokens.

        Raises:
            UserError: users who are not in the data set, or have no event left after filtering.
        """
        data = self.dataset
        ids = self._user_id
        having = set(self.users_with_events.tolist())
        known = [token for token, number in ids.items() if number in having]
        errors = []
        for user in users:
            if ids.get(user) in having:
                continue
            if user in data.known["source"][0] | data.known["target"][0]:
                errors.append(f"user {user!r} has no event left after the filters that the run was trained with")
            else:
                errors.append(f"user {user!r} is not in {data.config['pair_path']}: {nearest_tokens(user, known)}")
            if len(errors) == _SHOWN:
                break
        if errors:
            raise UserError("\n".join(errors))
        self._asked.update((ids[user], user) for user in users)
        return np.array([ids[user] for user in users], dtype=np.int64)

    @cached_property
    def _user_id(self) -> dict[str, int]:
        return {**self.dataset.file_ids("source", "user"), **self.dataset.token_ids("target", "user")}

    def item_ids(self, code: int) -> dict[str, int]:
        """Token -> id of the items of a domain, 0 source or 1 target."""
        ids = self.dataset.file_ids(DOMAINS[code], "item")
        return {token: number for token, number in ids.items() if number}

    def events(self, history: Sequence[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        """(domain, item token) pairs -> (E,) int64 item ids and (E,) int64 domains.

        Raises:
            UserError: an empty history, a domain or an item that is not in the data set.
        """
        if not history:
            raise UserError(f"the history is empty: give events such as {self.domain[0]}:ITEM")
        codes = {**{name: code for code, name in enumerate(DOMAINS)}, **{n: c for c, n in enumerate(self.domain)}}
        ids = [self.item_ids(code) for code in range(2)]
        errors, item, domain = [], [], []
        for name, token in history:
            if name not in codes:
                errors.append(f"{name}:{token}: domain {name!r} is not one of {' and '.join(self.domain)}")
            elif token not in ids[codes[name]]:
                other = 1 - codes[name]
                remedy = (
                    f"it is of {self.domain[other]}" if token in ids[other] else nearest_tokens(token, ids[codes[name]])
                )
                errors.append(f"{name}:{token}: item {token!r} is not in {self.domain[codes[name]]}: {remedy}")
            else:
                item.append(ids[codes[name]][token])
                domain.append(codes[name])
        if errors:
            raise UserError("\n".join(errors[:_SHOWN]))
        return np.array(item, dtype=np.int64), np.array(domain, dtype=np.int64)

    # ------------------------------------------------------------------ ids to tokens and texts

    @cached_property
    def item_token(self) -> list[np.ndarray]:
        """(n_items,) str for each domain: linked items go by their own token in each."""
        tokens = [self.dataset.item_token] * 2
        if links := self.dataset.item_link_dict:
            ids = self.item_ids(0)
            tokens[0] = tokens[0].astype(object)
            for token in links.keys() & ids.keys():
                tokens[0][ids[token]] = token
        return tokens

    @cached_property
    def title(self) -> list[np.ndarray]:
        """(n_items,) object for each domain: what the column title or name says, or else the first of ``item_text``;
        empty where there is none."""
        titles = []
        for code, domain in enumerate(DOMAINS):
            records = item_records(self.dataset, domain)
            field = _title_field(records, self.dataset.config["item_text"])
            known = {token: record.get(field, "") for token, record in records.items()} if field else {}
            column = np.full(self.dataset.num_total_item, "", dtype=object)
            items = self.dataset.domain_items[code]
            column[items] = [known.get(token, "").strip() for token in self.item_token[code][items].tolist()]
            titles.append(column)
        return titles

    @cached_property
    def profiles(self) -> dict[int, str]:
        """User id -> profile text, from ``profiles.jsonl`` if there is one."""
        path = find_text_file(self.dataset, self.dataset.config["profile_file"])
        found = text_files.compose_texts(text_files.read_json_lines(path, "user_id"), ["profile"]) if path else {}
        return {self._user_id[token]: text for token, text in found.items() if token in self._user_id}

    def user(self, number: int) -> str | None:
        """Token of a user id; None for 0."""
        return (self._asked.get(number) or str(self.dataset.user_token[number])) if number else None

    def labels(self, code: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """(N,) domains and item ids -> (N,) object ``item`` tokens and ``title``."""
        return {
            name: np.where(code == 0, source[item], target[item]).astype(object)
            for name, (source, target) in (("item", self.item_token), ("title", self.title))
        }


def _title_field(records: text_files.Records, item_text: Sequence[str] | str) -> str | None:
    fields = {field.lower(): field for record in records.values() for field in record}
    first = [item_text] if isinstance(item_text, str) else list(item_text)[:1]
    return next((fields[name.lower()] for name in ("title", "name", *first) if name.lower() in fields), None)


def nearest_tokens(token: str, known: Collection[str]) -> str:
    """A remedy for an unknown token: known ones that it is a part of, else those most like it, else some of them."""
    lower = {other.lower(): other for other in known}
    wanted = token.lower()
    close = [name for name in lower if wanted and wanted in name][:3]
    if not close:
        pool = lower
        if len(lower) > 50_000:  # difflib would take seconds
            pool = [name for name in lower if name[:2] == wanted[:2]][:50_000]
        close = difflib.get_close_matches(wanted, pool, n=3, cutoff=0.6)
    close = [lower[name] for name in close]
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"tokens look like {', '.join(repr(other) for other, _ in zip(known, range(3), strict=False))}"
