"""The LLM embeddings of a data set's items and users, read from their files and brought into the order of its ids.

With ``item_vectors`` and ``user_vectors`` a placebo takes their place in memory; the files are only read.
"""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS, ITEM_TEXT, PHASES, SOURCE, TARGET, USER_TEXT, VECTOR_PARAMETERS
from recbole_lecdsr.data.embeddings.alignment import align, align_users
from recbole_lecdsr.data.embeddings.embedding_file import read_embedding, read_user_embedding
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES, item_embedding_file, user_embedding_file
from recbole_lecdsr.data.embeddings.provenance import check_embedding_files, read_provenance
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.placebo import PERMUTED, RANDOM, replace_item_vectors, replace_user_vectors
from recbole_lecdsr.data.splitting import differing_split
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.errors import UserError

if TYPE_CHECKING:
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

logger = logging.getLogger(__name__)


class LLMFeatures:
    """LLM embeddings of the items and users of a data set, each read once, when it is first used.

    Args:
        dataset: whose ids the rows are of.

    Attributes:
        coverage: for ``source items``, ``target items`` and ``users``, once they are read: how many have an embedding
            (``with_embedding``), how many there are (``total``), and the name of the file (``file``).
        placebos: for ``item_vectors`` and ``user_vectors``, where they are random or permuted and once they are read:
            which of these (``kind``), and the digest of what was drawn (``digest``).
    """

    def __init__(self, dataset: CrossDomainSequentialDataset):
        self._dataset, self._config = dataset, dataset.config
        self.coverage: dict[str, dict[str, int | str]] = {}
        self.placebos: dict[str, dict[str, str]] = {}

    @cached_property
    def items(self) -> np.ndarray:
        """(n_items, D) float32, row i for item id i, zero where there is no embedding; or their placebo.

        An item of both domains may be in either file; where it is in both, the target domain's counts. For a placebo
        it is an item of the target domain, too.

        Raises:
            UserError: an ``.itememb`` file that is missing, malformed or not what its sidecar describes, or files of
                different encoders or D.
        """
        check_embedding_files([item_embedding_file(self._config, domain) for domain in DOMAINS])
        source, target = (self._items_of(domain) for domain in DOMAINS)
        if source.shape[1] != target.shape[1]:
            raise UserError(
                f"{item_embedding_file(self._config, 'target')}: its vectors have {target.shape[1]} numbers, those of "
                f"the other domain {source.shape[1]}; embed both with one encoder"
            )
        vectors = np.where(target.any(axis=1, keepdims=True), target, source)
        kind = self._config[VECTOR_PARAMETERS[ITEM_TEXT]]
        if kind not in (RANDOM, PERMUTED):
            return vectors
        domain = np.full(len(vectors), SOURCE)
        domain[self._dataset.domain_items[TARGET]] = TARGET
        placebo, digest = replace_item_vectors(kind, vectors, domain, self._config["seed"])
        self._record_placebo(ITEM_TEXT, kind, digest)
        return placebo

    def _items_of(self, domain: str) -> np.ndarray:
        """(n_items, D) float32, zero for items that are not in the file of the domain."""
        data, path = self._dataset, item_embedding_file(self._config, domain)
        self._require_file(path, ITEM_TEXT)
        ids = data.file_ids(domain, "item")
        embedding = read_embedding(path, id_field="item_id")
        rows, found = align(embedding, ids, data.num_total_item, known=data.file_tokens[domain].items)
        _warn_of_zeros(path, rows, found)
        self._report_coverage(f"{domain} items", found, len(set(ids.values()) - {0}), path)
        return rows

    @cached_property
    def users(self) -> UserVectors:
        """The vectors of the users' profiles, by ids of users and numbers of events; or their placebo.

        Raises:
            UserError: a ``.useremb`` file that is missing or malformed.
        """
        data, path = self._dataset, user_embedding_file(self._config)
        check_embedding_files([item_embedding_file(self._config, domain) for domain in DOMAINS], path)
        self._require_file(path, USER_TEXT)
        ids = {**data.file_ids("source", "user"), **data.token_ids("target", "user")}
        known = data.file_tokens["source"].users | data.file_tokens["target"].users
        users, found = align_users(read_user_embedding(path), ids, data.num_total_user, known)
        _warn_of_zeros(path, users.vectors, len(users.vectors) - 1 if users.is_as_of else found)
        self._report_coverage("users", found, len(set(ids.values()) - {0}), path)
        kind = self._config[VECTOR_PARAMETERS[USER_TEXT]]
        if kind in (RANDOM, PERMUTED):
            users, digest = replace_user_vectors(kind, users, data.num_total_user, self._config["seed"])
            self._record_placebo(USER_TEXT, kind, digest)
        if users.is_as_of:
            self._report_targets(path, users)
        elif kind != RANDOM:
            self._warn_of_another_split(path)
            logger.info(
                "%s does not say from how many interactions its vectors were made: in training, targets meet profiles "
                "that have seen them (docs/protocol.md, 12)",
                path,
            )
        return users

    def read_placebos(self) -> dict[str, str]:
        """The placebos that the run's model reads, drawn if they have not been: parameter -> digest of what was drawn.

        Raises:
            UserError: an embedding file that is missing or malformed.
        """
        features = self._config.model_class.required_features(self._config.final_config_dict)
        for feature, name in VECTOR_PARAMETERS.items():
            if feature in features and self._config[name] in (RANDOM, PERMUTED) and name not in self.placebos:
                _ = self.items if feature == ITEM_TEXT else self.users
        return {name: values["digest"] for name, values in self.placebos.items()}

    def _record_placebo(self, feature: str, kind: str, digest: str) -> None:
        name = VECTOR_PARAMETERS[feature]
        self.placebos[name] = {"kind": kind, "digest": digest}
        logger.info("%s: %s vectors in the place of the true ones, digest %s", name, kind, digest)

    def _require_file(self, path: Path, feature: str) -> None:
        """Refuse to do without a file.

        Args:
            path: the file.
            feature: what it is to a model.
        """
        if path.exists():
            return
        options = [f" --{name}={self._config[name]}" for name in EMBEDDING_FILES if self._config[name]]
        if self._config["user_embedding_file"]:  # whose texts need not be the usual ones
            options.append(f" --profile_file={','.join(self._config['profile_file'])}")
        model = self._config.model_class
        setting = model.setting_without(feature, self._config.final_config_dict)
        raise UserError(
            f"{path} does not exist: make it with `run_lecdsr.py embed --dataset {self._config['dataset']}"
            f"{''.join(options)}`"
            + (f", or train without it by {setting}" if setting else f"; {model.__name__} cannot do without it")
        )

    def _report_coverage(self, label: str, found: int, total: int, path: Path) -> None:
        """Record and log how many items or users have a vector.

        Args:
            label: whose vectors they are.
            found, total: how many have one, and how many there are.
            path: the file.
        """
        self.coverage[label] = {"with_embedding": found, "total": total, "file": path.name}
        if found < total:
            logger.warning("%d of %d %s have no LLM embedding and get a zero vector", total - found, total, label)

    def _report_targets(self, path: Path, users: UserVectors) -> None:
        """Say how many targets of each split meet a profile, and which profiles none can meet."""
        log = self._dataset.log
        counts = []
        for phase, name in zip(PHASES, ("training", "validation", "test"), strict=True):
            target = self._dataset.targets(phase)
            met = np.count_nonzero(users.rows_at(log.user[target], log.n_earlier[target]))
            counts.append(f"{met:,} of {len(target):,} {name}")
        logger.info(
            "%s: a profile of earlier interactions for %s targets",
            path,
            " and ".join([", ".join(counts[:2]), counts[2]]),
        )
        if beyond := _count_beyond(users, log):
            logger.warning(
                "%s: %d of %d profiles were made from more interactions than the user has here, so that nothing meets "
                "them: make them from the interactions in use",
                path, beyond, len(users.user) - 1,
            )  # fmt: skip

    def _warn_of_another_split(self, path: Path) -> None:
        """Warn where profiles were made from the training interactions of another split, among which may be validation
        or test interactions of this one (docs/protocol.md, 12)."""
        if difference := differing_split(read_provenance(path), self._config):
            logger.warning(
                "the user vectors of %s were made for %s %s, but this run has %s: they may contain validation or test "
                "interactions",
                path, *difference,
            )  # fmt: skip


def _warn_of_zeros(path: Path, rows: np.ndarray, found: int) -> None:
    """Warn where some of the ``found`` vectors of a file, which are among the rows, hold zeros only."""
    if zeros := found - int(rows.any(axis=1).sum()):
        logger.warning(
            "%s: %d of %d vectors hold zeros only, as if their texts had no embedding: embed them again, or delete "
            "their lines",
            path, zeros, found,
        )  # fmt: skip


def _count_beyond(users: UserVectors, log: EventLog) -> int:
    """How many profiles were made from more interactions than come before the next one of their user."""
    most = np.zeros(max(int(users.user.max()), int(log.user.max())) + 1, dtype=np.int64)
    np.maximum.at(most, log.user, log.n_earlier + 1)
    return int(np.count_nonzero(users.events > most[users.user]))
