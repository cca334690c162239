"""What a data set has to tell a language model: histories of users, fields of items."""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from pathlib import Path

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.files import shipped, sidecar
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.generation.history_text import CountTokens, Event, history, item_line, item_text
from recbole_lecdsr.llm.generation.prompt_template import Stage
from recbole_lecdsr.llm.settings import LLMSettings

logger = logging.getLogger(__name__)

ITEMS = "items.jsonl"
MADE_BY = "profile"  # what the sidecars of generated texts say


def find_texts(dataset: CrossDomainSequentialDataset, name: str) -> Path | None:
    """A file of texts: in the folder of the data set, or among those that the plugin ships."""
    places = (Path(dataset.config["pair_path"]) / name, shipped("dataset") / dataset.config["dataset"] / name)
    return next((place for place in places if place.exists()), None)


def origin_of(path: Path) -> dict[str, object]:
    """What the sidecar of a file says; nothing where there is none."""
    place = sidecar(path)
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}


def is_generated(path: Path) -> bool:
    """Whether a file of texts was made by the `profile` job."""
    return origin_of(path).get("made_by") == MADE_BY


def item_records(dataset: CrossDomainSequentialDataset, domain: str, generated: bool = True) -> text_files.Records:
    """Texts of a domain's items, by token.

    Args:
        dataset: the data set.
        domain: ``source`` or ``target``.
        generated: with what the `profile` job has written; a prompt that held it would never be the same again.

    Returns:
        For each item of the domain the columns of ``<domain>.item``, then the fields of ``items.jsonl`` and of
        ``item_file``.
    """
    records: text_files.Records = {}
    if (columns := dataset.folders[domain] / f"{dataset.names[domain]}.item").exists():
        settings = dataset.config[f"{domain}_domain"]
        records = text_files.read_item_columns(columns, settings["ITEM_ID_FIELD"], settings["field_separator"])
    layers = [records]
    for name in dict.fromkeys((ITEMS, dataset.config["item_file"])):
        path = find_texts(dataset, name)
        if path and (generated or not is_generated(path)):
            layers.append(text_files.read_json_lines(path, "item_id"))
    known = sorted(dataset.file_tokens[domain].items)
    return {token: {k: v for layer in layers for k, v in layer.get(token, {}).items()} for token in known}


class UserHistories:
    """The **training** events of each user that has any, as numbered lines.

    Args:
        dataset: the data set, with the split in force.
        settings: which fields of items a line shows, and the budget.
        count: tokens of a line.

    Attributes:
        tokens: of the users.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset, settings: LLMSettings, count: CountTokens):
        log = dataset.log
        self.names = [dataset.names[domain] for domain in DOMAINS]
        self.budget, self._count = settings.max_history_tokens, lru_cache(maxsize=1 << 20)(count)
        train = np.flatnonzero(log.split == TRAIN)
        self._events = train  # (T,) indices into the log, a user's together and in order
        users, self._first = np.unique(log.user[train], return_index=True)
        self._last = np.append(self._first[1:], len(train))
        self.tokens: list[str] = dataset.user_token[users].tolist()
        self._item, self._domain, self._rating = log.item, log.domain, dataset.rating
        self._lines = [_item_lines(dataset, domain, settings.event_text) for domain in DOMAINS]

    def parts(self, index: int, stage: Stage) -> list[tuple[str, dict[str, str]]]:
        """See `recbole_lecdsr.llm.generation.job.PromptSource.parts`."""
        events = self.events(index)
        domains = " and ".join(self.names)
        if stage.each is None:
            return [("", {"history": self.lines(events), "domain": domains, "domains": domains})]
        parts = []
        for name in self.names:
            if own := [event for event in events if event.domain == name]:
                parts.append((name, {"history": self.lines(own), "domain": name, "domains": domains}))
        return parts

    def events(self, index: int) -> list[Event]:
        """Training events of a user, oldest first."""
        events = []
        for event in self._events[self._first[index] : self._last[index]]:
            code = self._domain[event]
            rating = None if self._rating is None else float(self._rating[event])
            rating = None if rating is None or np.isnan(rating) else rating
            events.append(Event(self.names[code], self._lines[code][self._item[event]], rating))
        return events

    def lines(self, events: list[Event]) -> str:
        """Numbered lines of events, within the budget."""
        return history(events, self._count, self.budget)[0]


def _item_lines(dataset: CrossDomainSequentialDataset, domain: str, fields: list[str]) -> list[str]:
    """What a line says of each item, by item id."""
    lines = [item_line({}, fields, token) for token in dataset.item_token.tolist()]
    ids = dataset.file_ids(domain, "item")
    for token, record in item_records(dataset, domain).items():
        if ids.get(token, 0):
            lines[ids[token]] = item_line(record, fields, token)
    return lines


class ItemFields:
    """The fields of each item of both domains that has any text.

    Args:
        dataset: the data set.

    Attributes:
        tokens: of the items, those of both domains once.
        without_text: how many have no field with a text, so that nothing can be asked of them.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset):
        self._of: dict[str, tuple[str, dict[str, str]]] = {}
        self.without_text = 0
        for domain in DOMAINS:
            for token, record in item_records(dataset, domain, generated=False).items():
                if any(text.strip() for text in record.values()):
                    self._of.setdefault(token, (dataset.names[domain], record))
                else:
                    self.without_text += 1
        self.tokens = list(self._of)

    def parts(self, index: int, stage: Stage) -> list[tuple[str, dict[str, str]]]:
        """See `recbole_lecdsr.llm.generation.job.PromptSource.parts`."""
        token = self.tokens[index]
        domain, record = self._of[token]
        return [("", {"item": item_text(record, token), "domain": domain})]
