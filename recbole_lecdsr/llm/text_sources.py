"""The texts of a data set: histories of its users, fields of its items, and the files that contain more of them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.embeddings.provenance import read_provenance
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.generation.history_text import (
    CountTokens,
    HistoryEntry,
    format_history,
    format_item_fields,
    format_item_line,
)
from recbole_lecdsr.llm.generation.prompt_source import PromptPart, Subject
from recbole_lecdsr.llm.generation.prompt_template import Stage
from recbole_lecdsr.llm.settings import LLMSettings

if TYPE_CHECKING:
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

ITEM_TEXT_FILE = "items.jsonl"
MADE_BY_PROFILE = "profile"  # ``made_by`` in the sidecar of a generated file
_CACHED_LINES = 1 << 20  # lines of histories whose number of tokens is remembered


def find_text_file(dataset: CrossDomainSequentialDataset, name: str) -> Path | None:
    """A file of texts, from the folder of the data set or from those that the plugin ships; None if there is none."""
    candidates = (Path(dataset.config["pair_path"]) / name, shipped("dataset") / dataset.config["dataset"] / name)
    return next((path for path in candidates if path.exists()), None)


def is_generated(path: Path) -> bool:
    """Whether a file of texts was written by the ``profile`` command."""
    return read_provenance(path).get("made_by") == MADE_BY_PROFILE


def item_records(
    dataset: CrossDomainSequentialDataset, domain: str, include_generated: bool = True
) -> text_files.Records:
    """The texts of a domain's items.

    Args:
        dataset: the data set.
        domain: ``source`` or ``target``.
        include_generated: whether to include what the ``profile`` command has written. Prompts about items exclude it,
            since otherwise each run would change them.

    Returns:
        token -> field -> text: the columns of ``<domain>.item``, then the fields of ``items.jsonl`` and of
        ``item_file``.
    """
    layers: list[text_files.Records] = []
    settings = dataset.config[f"{domain}_domain"]
    if (columns := dataset.folders[domain] / f"{dataset.names[domain]}.item").exists():
        separator, encoding = settings["field_separator"], settings.get("encoding", dataset.config["encoding"])
        layers.append(text_files.read_item_columns(columns, settings["ITEM_ID_FIELD"], separator, encoding))
    for name in dict.fromkeys((ITEM_TEXT_FILE, dataset.config["item_file"])):
        path = find_text_file(dataset, name)
        if path and (include_generated or not is_generated(path)):
            layers.append(text_files.read_json_lines(path, "item_id", settings["ITEM_ID_FIELD"]))
    known = sorted(dataset.file_tokens[domain].items)
    return {token: {k: v for layer in layers for k, v in layer.get(token, {}).items()} for token in known}


def count_as_of(n_train: int, shares: Sequence[float]) -> list[int]:
    """How many first interactions of a user each profile may know.

    Args:
        n_train: training interactions of the user, at least 1.
        shares: of these, above 0 and at most 1.

    Returns:
        ``floor(share * n_train)``, but at least 1, ascending; equal numbers occur once. A share counts as the decimal
        number that it is written as: 0.29 of 100 interactions are 29.

    Example:
        >>> count_as_of(100, [1.0, 0.29]), count_as_of(2, [0.3, 0.7, 1.0])
        ([29, 100], [1, 2])
    """
    return sorted({max(1, int(Decimal(str(share)) * n_train)) for share in shares})


class UserHistories:
    """The **training** interactions of each user who has any, as numbered lines for a prompt.

    A user's training interactions are the first ones of the mixed sequence, in every kind of split.

    Args:
        dataset: the data set, with the split in use.
        settings: the fields of items that a line shows, and the budget of tokens.
        count_tokens: the length of a line in tokens.
        shares: for each user one subject for each distinct number of first interactions that `count_as_of` gives; None
            for one subject of all training interactions.

    Attributes:
        names: of the source and the target domain.
        subjects: the users, with the numbers of interactions if there are shares.

    Raises:
        UserError: shares of data with precomputed windows, whose users have no single sequence.
    """

    def __init__(
        self,
        dataset: CrossDomainSequentialDataset,
        settings: LLMSettings,
        count_tokens: CountTokens,
        shares: Sequence[float] | None = None,
    ):
        if shares is not None and dataset.precomputed_windows:
            raise UserError(
                "as_of counts the interactions of a user's sequence, and files with the windows of their rows "
                "(item_id_list) have no such sequence: leave out as_of"
            )
        log = dataset.log
        self.names: list[str] = [dataset.names[domain] for domain in DOMAINS]
        self.budget, self._count_tokens = settings.max_history_tokens, lru_cache(maxsize=_CACHED_LINES)(count_tokens)
        # (T,) indices into the log, those of a user together and in order.
        self._train = np.flatnonzero(log.split == TRAIN)
        users, starts, counts = np.unique(log.user[self._train], return_index=True, return_counts=True)
        self.subjects: list[Subject] = []
        self._spans: list[slice] = []  # of `_train`, for each subject
        for token, start, count in zip(
            dataset.user_token[users].tolist(), starts.tolist(), counts.tolist(), strict=True
        ):
            for events in [count] if shares is None else count_as_of(count, shares):
                self.subjects.append(Subject(token, None if shares is None else events))
                self._spans.append(slice(start, start + events))
        self._item, self._domain, self._rating = log.item, log.domain, dataset.rating
        self._item_lines = [_item_lines(dataset, domain, settings.event_text) for domain in DOMAINS]

    def parts(self, index: int, stage: Stage) -> list[PromptPart]:
        """See `recbole_lecdsr.llm.generation.prompt_source.PromptSource.parts`."""
        entries = self.entries(index)
        domains = " and ".join(self.names)
        if stage.each is None:
            return [PromptPart("", {"history": self._format(entries), "domain": domains, "domains": domains})]
        parts = []
        for name in self.names:
            if own_entries := [entry for entry in entries if entry.domain == name]:
                text = self._format(own_entries)
                parts.append(PromptPart(name, {"history": text, "domain": name, "domains": domains}))
        return parts

    def entries(self, index: int) -> list[HistoryEntry]:
        """The interactions that the text about a subject may know, oldest first."""
        entries = []
        for event in self._train[self._spans[index]]:
            domain = self._domain[event]
            rating = None if self._rating is None else float(self._rating[event])
            rating = None if rating is None or np.isnan(rating) else rating
            entries.append(HistoryEntry(self.names[domain], self._item_lines[domain][self._item[event]], rating))
        return entries

    def _format(self, entries: Sequence[HistoryEntry]) -> str:
        return format_history(entries, self._count_tokens, self.budget).text


def _item_lines(dataset: CrossDomainSequentialDataset, domain: str, fields: Sequence[str]) -> list[str]:
    """Item id -> the item in a line of a history."""
    lines = [format_item_line({}, fields, token) for token in dataset.item_token.tolist()]
    ids = dataset.file_ids(domain, "item")
    for token, record in item_records(dataset, domain).items():
        if ids.get(token, 0):
            lines[ids[token]] = format_item_line(record, fields, token)
    return lines


class _ItemRecord(NamedTuple):
    """An item: the name of its domain, and field -> text."""

    domain: str
    record: dict[str, str]


class ItemFields:
    """The fields of each item that has a text, as texts for a prompt; an item of both domains counts once.

    Args:
        dataset: the data set.

    Attributes:
        subjects: the items.
    """

    def __init__(self, dataset: CrossDomainSequentialDataset):
        self._items: dict[str, _ItemRecord] = {}
        for domain in DOMAINS:
            for token, record in item_records(dataset, domain, include_generated=False).items():
                if any(text.strip() for text in record.values()):
                    self._items.setdefault(token, _ItemRecord(dataset.names[domain], record))
        self.subjects: list[Subject] = [Subject(token) for token in self._items]

    def parts(self, index: int, stage: Stage) -> list[PromptPart]:
        """See `recbole_lecdsr.llm.generation.prompt_source.PromptSource.parts`."""
        token = self.subjects[index].token
        item = self._items[token]
        return [PromptPart("", {"item": format_item_fields(item.record, token), "domain": item.domain})]
