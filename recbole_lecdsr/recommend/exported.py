"""An export comes in, a recommender goes out: files of vectors, of an index, and the network that makes queries.

No file of the data set is read. The network is made by its class, from the parameters of the run and, in place of the
data set, `ServingData`; its weights and buffers are then those of the run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction as Batch
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.event_log import EventLog, build_event_log
from recbole_lecdsr.data.user_vectors import Facet, UserVectors
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.json_files import check_seal, parse_plain, read_json_object, seal
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.registry import find_model
from recbole_lecdsr.recommend import index as vector_index
from recbole_lecdsr.recommend.histories import TimeScale
from recbole_lecdsr.recommend.recommender import Recommender
from recbole_lecdsr.recommend.vocabulary import ItemVocabulary

FORMAT = 1

EXPORT = "export.json"  # `Export`; written last
ITEMS = "items.jsonl"  # a line for each row of the vectors: domain, item, title if known, id
VECTORS = "item_vectors.npy"  # (n_items, d) float32, the items of the source domain first
NETWORK = "network.pth"  # `NetworkState`
EXACT = {domain: f"exact_{domain}.faiss" for domain in DOMAINS}
APPROXIMATE = {domain: f"approximate_{domain}.faiss" for domain in DOMAINS}

_BATCH_SIZE = 8192  # histories; no scores of all items are held, and an exact search is fastest with many queries
_REMEDY = "export the run again"


@dataclass(frozen=True, kw_only=True)
class Export:
    """What export.json says.

    Attributes:
        model, dataset: of the run.
        domains: ``source`` and ``target`` -> name.
        items: domain -> number of its items.
        vector_size: d.
        score_fusion: whether the run fuses the scores of the network, which are exported alone.
        parameters: what the network and its windows are made with.
        index: the kinds of indexes; how the approximate one was built, and the width of its search in each domain.
        recall: domain -> share of the exact top 10 that the approximate index finds, for the histories of test samples
            as the run has them; None for a domain without.
        queries: domain -> number of these samples.
        versions: library -> version.
        files: name -> SHA-256.
    """

    model: str
    dataset: str
    domains: Mapping[str, str]
    items: Mapping[str, int]
    vector_size: int
    score_fusion: bool
    parameters: Mapping[str, Any]
    index: Mapping[str, Any]
    recall: Mapping[str, float | None]
    queries: Mapping[str, int]
    versions: Mapping[str, str]
    files: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Export:
        """Read the export.json of a folder.

        Raises:
            UserError: a file that is missing, damaged, edited or of a later format.
        """
        path = folder / EXPORT
        missing = f"{path} does not exist: make an export with `run_lecdsr.py export --run DIR --output {folder}`"
        values = read_json_object(path, missing=missing, remedy=_REMEDY)
        check_seal(values, path, format=FORMAT, remedy=_REMEDY)
        try:
            return parse_plain(cls, values)
        except ValueError as error:
            raise UserError(f"{path} lacks a value or has one that cannot be ({error}): {_REMEDY}") from None

    def write(self, folder: Path) -> None:
        """Write export.json."""
        with write_whole(folder / EXPORT) as file:
            json.dump(seal(vars(self), FORMAT), file, indent=2, ensure_ascii=False)
            file.write("\n")

    def read_file(self, folder: Path, name: str) -> bytes:
        """Content of a file of the export.

        Raises:
            UserError: a file that is missing, cannot be read, or is not the one that was exported.
        """
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / name} cannot be read ({error.strerror}): {_REMEDY}") from None
        if hashlib.sha256(content).hexdigest() != self.files.get(name):
            raise UserError(f"{folder / name} is damaged or of another export: {_REMEDY}")
        return content


class ServingConfig(dict[str, Any]):
    """Parameters as RecBole's configurations give them: None for one that is not there."""

    def __missing__(self, name: str) -> None:
        return None

    @property
    def final_config_dict(self) -> ServingConfig:
        """The parameters themselves."""
        return self


class ServingData:
    """The part of a data set that models, windows and recommenders use, without interactions and users.

    Args:
        config: parameters.
        domain_items: for each domain the ids of its items, ascending int64.
        item_text: (n_items, D) float32, or None where the model reads none.
        user_text_size: D of the profiles, or None likewise.
        as_of: whether the profiles of the run say from how many interactions they were made (`UserVectors`).
    """

    num_total_user = num_overlap_user = 1  # padding: users are not known

    def __init__(
        self,
        config: ServingConfig,
        domain_items: Sequence[np.ndarray],
        item_text: np.ndarray | None,
        user_text_size: int | None,
        as_of: bool,
    ):
        self.config, self.domain_items = config, tuple(domain_items)
        self.names = {domain: config[f"{domain}_domain"]["dataset"] for domain in DOMAINS}
        self.num_total_item = int(max(items.max(initial=0) for items in domain_items)) + 1
        self.num_overlap_item = len(np.intersect1d(domain_items[0], domain_items[1])) + 1
        self.overlap_id_field = "overlap"
        self._item_text, self._user_text_size, self._as_of = item_text, user_text_size, as_of
        counts = {config["USER_ID_FIELD"]: self.num_total_user, config["ITEM_ID_FIELD"]: self.num_total_item}
        part = SimpleNamespace(
            uid_field=config["USER_ID_FIELD"], iid_field=config["ITEM_ID_FIELD"], num=counts.__getitem__
        )
        self.source_domain_dataset = self.target_domain_dataset = part

    @cached_property
    def log(self) -> EventLog:
        """One interaction of an unknown user: arrays of no interaction have no first one."""
        zero = np.zeros(1, dtype=np.int64)
        return build_event_log(zero, zero, zero, zero.astype(float), ready_split=zero)

    def targets(self, phase: str) -> np.ndarray:
        """No sample, (0,) int64."""
        return np.zeros(0, dtype=np.int64)

    def item_embedding(self) -> np.ndarray:
        """(n_items, D) float32.

        Raises:
            UserError: the class of the model does not say that it reads texts.
        """
        if self._item_text is None:
            raise UserError(f"{self.config['model']} reads item texts, which its required_features do not name")
        return self._item_text

    def user_vectors(self) -> UserVectors:
        """The row of a user without profile alone."""
        size = self._user_text_size or 1
        zero = np.zeros(1, dtype=np.int64)
        vectors = np.zeros((1, size), dtype=np.float32)
        return UserVectors(vectors, zero, zero, facets=(Facet("user_emb", size),), is_as_of=self._as_of)


@dataclass(frozen=True, kw_only=True)
class NetworkState:
    """What network.pth holds: tensors and plain data.

    Attributes:
        states: domain, or ``both`` -> parameters and buffers by name, and extra states of modules.
        item_text: LLM embeddings of the items, (n_items, D) float32, or None.
        user_text_size: D of the profiles, or None.
        as_of: see `ServingData`.
        time, share: see `TimeScale`.
    """

    states: Mapping[str, Mapping[str, Any]]
    item_text: Tensor | None
    user_text_size: int | None
    as_of: bool
    time: Tensor
    share: Tensor

    def make_models(self, config: ServingConfig, data: ServingData) -> dict[str, CrossDomainSequentialRecommender]:
        """The models of both domains, in evaluation mode."""
        made = {}
        for name, state in self.states.items():
            model = make_network(config, data)
            load_tensors(model, state)
            made[name] = model.eval()
        return {domain: made["both"] if "both" in made else made[domain] for domain in DOMAINS}


def make_network(config: ServingConfig, data: ServingData) -> CrossDomainSequentialRecommender:
    """A model without aids, with weights as at the start of a training."""
    model_class = find_model(config["model"])
    return model_class(config, data).to(config["device"])  # type: ignore[arg-type]  # the part of a data set that it uses


def load_tensors(model: torch.nn.Module, state: Mapping[str, Any]) -> None:
    """Give a model all tensors and extra states of `NetworkState`, also of buffers that no state dict has."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, value in state.items():
            if name in named:
                named[name].copy_(value)
    extra = {name: value for name, value in state.items() if name not in named}
    if extra:
        model.load_state_dict(extra, strict=False)


class ExportedVocabulary(ItemVocabulary):
    """Tokens and titles of an export.

    Args:
        domain_names: names of the domains.
        rows: the lines of items.jsonl.
        n_items: number of ids, padding included.
    """

    def __init__(self, domain_names: Sequence[str], rows: Sequence[Mapping[str, Any]], n_items: int):
        super().__init__(domain_names)
        self._ids: list[dict[str, int]] = [{}, {}]
        self._columns = {name: [np.full(n_items, "", dtype=object) for _ in DOMAINS] for name in ("item", "title")}
        code_of_name = {name: code for code, name in enumerate(domain_names)}
        for row in rows:
            code = code_of_name[row["domain"]]
            self._ids[code][row["item"]] = row["id"]
            for name, columns in self._columns.items():
                columns[code][row["id"]] = row.get(name, "")

    def item_ids(self, code: int) -> dict[str, int]:
        """See `ItemVocabulary.item_ids`."""
        return self._ids[code]

    @property
    def item_tokens(self) -> Sequence[np.ndarray]:
        """See `ItemVocabulary.item_tokens`."""
        return self._columns["item"]

    @property
    def titles(self) -> Sequence[np.ndarray]:
        """See `ItemVocabulary.titles`."""
        return self._columns["title"]

    def user_ids(self, users: Sequence[str] | None) -> np.ndarray:
        """An export has no users.

        Raises:
            UserError: always.
        """
        raise UserError("an export holds no users: give histories=[[(domain, item token, time), …], …]")

    def user_token(self, user: int) -> None:
        """None: an export has no users."""
        return None


class ExportedRecommender(Recommender):
    """A recommender whose top items are found by an index.

    Args:
        models: of both domains.
        data: in place of the data set.
        vocabulary: tokens and titles.
        scale: the relative times of the training data.
        matrices: for each domain the vectors of its items, (C, d) float32.
        indexes: for each domain the index of these rows.
    """

    def __init__(
        self,
        models: Mapping[str, CrossDomainSequentialRecommender],
        data: ServingData,
        *,
        vocabulary: ItemVocabulary,
        scale: TimeScale,
        matrices: Sequence[np.ndarray],
        indexes: Sequence[Any],
    ):
        super().__init__(models, data, vocabulary)  # type: ignore[arg-type]  # the part of a data set that it uses
        self.time_scale, self.batch_size = scale, _BATCH_SIZE
        self.matrices, self.indexes = matrices, indexes
        self._kept = ExitStack()  # the weights stay as they are, and so does what the models keep of items
        self._kept.enter_context(super().scoring())

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Nothing: the models always score."""
        yield

    def item_matrix(self, code: int) -> np.ndarray:
        """See `BatchRecommender.item_matrix`."""
        return self.matrices[code]

    def top_items(
        self, batch: Batch, code: int, excluded: tuple[Tensor, Tensor] | None, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `BatchRecommender.top_items`; an approximate index may miss items."""
        queries = self.queries(batch, code).cpu().numpy()
        if np.isnan(queries).any():
            raise UserError("the network gives queries that are not numbers: train again with a lower learning_rate")
        n_items = len(self.matrices[code])
        own = np.zeros(0, dtype=np.int64)  # row and column of excluded items, as one number
        most = 0
        if excluded is not None:
            row, column = (part.cpu().numpy() for part in (excluded[0], self.column[code][excluded[1]]))
            own = np.unique((row * n_items + column)[column >= 0])
            most = int(np.bincount(own // n_items, minlength=1).max())
        found, score = vector_index.search(self.indexes[code], queries, min(k + most, n_items))
        key = np.arange(len(found))[:, None] * n_items + found
        position = np.searchsorted(own, key).clip(max=max(len(own) - 1, 0))
        is_out = (found < 0) | (own[position] == key if len(own) else False)
        order = np.argsort(is_out, axis=1, kind="stable")[:, :k]
        found, score, is_out = (np.take_along_axis(part, order, axis=1) for part in (found, score, is_out))
        padding = ((0, 0), (0, k - found.shape[1]))
        item = np.where(is_out, 0, self.dataset.domain_items[code][found])
        score = np.where(is_out, -np.inf, score).astype(np.float32)
        return np.pad(item, padding), np.pad(score, padding, constant_values=-np.inf)


def load_export(folder: Path, *, approximate: bool = False) -> ExportedRecommender:
    """The recommender of an export; see `Recommender.from_export`.

    Raises:
        NotInstalledError: faiss is not installed.
        UserError: a file that is missing, damaged or of another export.
    """
    export = Export.read(folder)
    rows = [json.loads(line) for line in export.read_file(folder, ITEMS).decode().split("\n") if line]
    ids, end = np.array([row["id"] for row in rows], dtype=np.int64), export.items["source"]
    content = torch.load(io.BytesIO(export.read_file(folder, NETWORK)), weights_only=True)
    network = NetworkState(**content)
    config = ServingConfig({**export.parameters, "device": torch.device("cpu")})
    item_text = None if network.item_text is None else network.item_text.numpy()
    data = ServingData(config, np.split(ids, [end]), item_text, network.user_text_size, network.as_of)
    vectors = np.load(io.BytesIO(export.read_file(folder, VECTORS)))
    files = APPROXIMATE if approximate else EXACT
    return ExportedRecommender(
        network.make_models(config, data),
        data,
        vocabulary=ExportedVocabulary([export.domains[domain] for domain in DOMAINS], rows, data.num_total_item),
        scale=TimeScale(network.time.numpy(), network.share.numpy()),
        matrices=np.split(vectors, [end]),
        indexes=[vector_index.from_bytes(export.read_file(folder, files[domain])) for domain in DOMAINS],
    )
