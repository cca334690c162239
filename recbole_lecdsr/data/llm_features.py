"""The LLM embeddings of a data set's items and users, read from their files and brought into the order of its ids.

With ``item_vectors`` and ``user_vectors`` a placebo takes their place in memory; the files are only read.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS, ITEM_TEXT, SOURCE, TARGET, USER_TEXT, VECTOR_PARAMETERS
from recbole_lecdsr.data.embeddings import embedding_file
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES, item_embedding_file, user_embedding_file
from recbole_lecdsr.data.embeddings.provenance import check_embedding_files, read_provenance
from recbole_lecdsr.data.placebo import PERMUTED, RANDOM, UserVectors, replace_item_vectors, replace_user_vectors
from recbole_lecdsr.data.splitting import differing_split
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
        data = self._dataset
        check_embedding_files([item_embedding_file(self._config, domain) for domain in DOMAINS])
        source, target = (
            self._read_rows(
                item_embedding_file(self._config, domain),
                "item_id",
                ids=data.file_ids(domain, "item"),
                count=data.num_total_item,
                known=data.file_tokens[domain].items,
                label=f"{domain} items",
                feature=ITEM_TEXT,
            )
            for domain in DOMAINS
        )
        if source.shape[1] != target.shape[1]:
            raise UserError(
                f"{item_embedding_file(self._config, 'target')}: its vectors have {target.shape[1]} numbers, those of "
                f"the other domain {source.shape[1]}; embed both with one encoder"
            )
        vectors = np.where(target.any(axis=1, keepdims=True), target, source)
        kind = self._config[VECTOR_PARAMETERS[ITEM_TEXT]]
        if kind not in (RANDOM, PERMUTED):
            return vectors
        domain = np.full(data.num_total_item, SOURCE)
        domain[data.domain_items[TARGET]] = TARGET
        placebo, digest = replace_item_vectors(kind, vectors, domain, self._config["seed"])
        self._record_placebo(ITEM_TEXT, kind, digest)
        return placebo

    @cached_property
    def users(self) -> np.ndarray:
        """(n_users, D) float32, row u for user id u, zero where there is no embedding; or their placebo.

        Raises:
            UserError: a ``.useremb`` file that is missing or malformed.
        """
        data = self._dataset
        path = user_embedding_file(self._config)
        check_embedding_files([item_embedding_file(self._config, domain) for domain in DOMAINS], path)
        self._warn_of_another_split(path)
        vectors = self._read_rows(
            path,
            "user_id",
            ids={**data.file_ids("source", "user"), **data.token_ids("target", "user")},
            count=data.num_total_user,
            known=data.file_tokens["source"].users | data.file_tokens["target"].users,
            label="users",
            feature=USER_TEXT,
        )
        kind = self._config[VECTOR_PARAMETERS[USER_TEXT]]
        if kind not in (RANDOM, PERMUTED):
            return vectors
        every = np.arange(len(vectors))
        true = UserVectors(vectors, every, np.zeros_like(every))
        placebo, digest = replace_user_vectors(kind, true, len(vectors), self._config["seed"])
        self._record_placebo(USER_TEXT, kind, digest)
        result = np.zeros_like(vectors)
        result[placebo.user] = placebo.vectors
        return result

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

    def _read_rows(
        self,
        path: Path,
        id_field: str,
        *,
        ids: Mapping[str, int],
        count: int,
        known: Collection[str],
        label: str,
        feature: str,
    ) -> np.ndarray:
        """(count, D) float32 in the order of the ids; records and logs their coverage.

        Args:
            path: the file.
            id_field: its column of tokens.
            ids: token -> id below ``count``.
            count: number of ids, padding included.
            known: every token of the data set's files.
            label: whose embeddings they are, for coverage and log.
            feature: what they are to a model, for the error.
        """
        if not path.exists():
            options = [f" --{name}={self._config[name]}" for name in EMBEDDING_FILES if self._config[name]]
            model = self._config.model_class
            setting = model.setting_without(feature, self._config.final_config_dict)
            raise UserError(
                f"{path} does not exist: make it with `run_lecdsr.py embed --dataset {self._config['dataset']}"
                f"{''.join(options)}`"
                + (f", or train without it by {setting}" if setting else f"; {model.__name__} cannot do without it")
            )
        rows, found = embedding_file.align(
            embedding_file.read_embedding(path, id_field=id_field), ids, count, known=known
        )
        total = len(set(ids.values()) - {0})
        zeros = found - int(rows.any(axis=1).sum())
        if zeros:
            logger.warning(
                "%s: %d of %d vectors hold zeros only, as if their texts had no embedding: embed them again, or delete "
                "their lines",
                path, zeros, found,
            )  # fmt: skip
        self.coverage[label] = {"with_embedding": int(found), "total": total, "file": path.name}
        if found < total:
            logger.warning("%d of %d %s have no LLM embedding and get a zero vector", total - found, total, label)
        return rows

    def _warn_of_another_split(self, path: Path) -> None:
        """Warn where profiles were made from the training interactions of another split, among which may be validation
        or test interactions of this one (docs/protocol.md, 12)."""
        if difference := differing_split(read_provenance(path), self._config):
            logger.warning(
                "the user vectors of %s were made for %s %s, but this run has %s: they may contain validation or test "
                "interactions",
                path, *difference,
            )  # fmt: skip
