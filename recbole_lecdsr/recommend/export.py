"""A trained run comes in; a folder of vectors, indexes and the network that makes queries goes out (`exported`)."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import report_disk_errors, write_whole
from recbole_lecdsr.model.base import ITEM_TEXT, USER_TEXT, CrossDomainSequentialRecommender
from recbole_lecdsr.model.registry import find_model
from recbole_lecdsr.recommend import index as vector_index
from recbole_lecdsr.recommend.exported import (
    APPROXIMATE,
    EXACT,
    EXPORT,
    ITEMS,
    NETWORK,
    VECTORS,
    Export,
    NetworkState,
    ServingConfig,
    ServingData,
    make_network,
)
from recbole_lecdsr.recommend.histories import Histories, TimeScale
from recbole_lecdsr.recommend.recommender import Recommender
from recbole_lecdsr.runs.environment import versions

MAX_QUERIES = 10_000  # of test samples of a domain that recall is measured with
_MAX_TIMES = 100_000  # steps of the scale of times that are exported
_TOLERANCE = 1e-4  # of exported queries, by the largest number of those of the run
# Parameters that may name files and folders of the machine of the training.
_PLACES = {"data_path", "output_dir", "user_link_file_path", "item_link_file_path", "encoder", "llm"}


def export_run(run: Recommender, folder: Path, report: Callable[[str], None] = lambda line: None) -> Export:
    """Write an export of a run.

    Args:
        run: of a run directory.
        folder: to write to; a former export in it is replaced.
        report: called with a line about each step.

    Returns:
        The content of export.json.

    Raises:
        NotInstalledError: faiss is not installed.
        UserError: a model whose scores are no inner products, or that needs more for a query than an export has; a
            folder that cannot be written to.
    """
    run.require_vectors()
    vector_index.faiss()
    report("checking that the network makes the same queries without the data")
    parameters = _serving_parameters(run)
    network, config, data = _extract_network(run, parameters)
    models = network.make_models(config, data)
    served = Recommender(models, data, run.vocabulary)  # type: ignore[arg-type]  # the part of a data set that it uses
    unserved = Recommender(run.models, run.dataset, run.vocabulary)
    served.time_scale = unserved.time_scale = TimeScale(network.time.numpy(), network.share.numpy())
    queries = [_test_queries(unserved, served, code) for code in range(len(DOMAINS))]
    files = _Files(folder)
    files.write(ITEMS, _item_lines(run))
    matrices = [run.item_matrix(code) for code in range(len(DOMAINS))]
    files.write(VECTORS, _npy(np.concatenate(matrices)))
    files.write(NETWORK, _pth(vars(network)))
    recall: dict[str, float | None] = {}
    widths: dict[str, int] = {}
    for name, matrix, asked in zip(DOMAINS, matrices, queries, strict=True):
        report(f"building the indexes of {len(matrix):,} items of {run.dataset.names[name]}")
        exact, approximate = vector_index.build_exact(matrix), vector_index.build_approximate(matrix)
        recall[name] = vector_index.choose_search_width(approximate, exact, asked)
        widths[name] = approximate.hnsw.efSearch
        files.write(EXACT[name], vector_index.to_bytes(exact))
        files.write(APPROXIMATE[name], vector_index.to_bytes(approximate))
    export = Export(
        model=run.config.model_name,
        dataset=run.config["dataset"],
        domains=dict(run.dataset.names),
        items={name: len(matrix) for name, matrix in zip(DOMAINS, matrices, strict=True)},
        vector_size=matrices[0].shape[1],
        score_fusion=bool(run.config["score_fusion"]),
        parameters=parameters,
        index={
            "exact": "IndexFlatIP",
            "approximate": "IndexHNSWFlat",
            "neighbours": vector_index.NEIGHBOURS,
            "build_width": vector_index.BUILD_WIDTH,
            "search_width": widths,
        },
        recall=recall,
        queries={name: len(asked) for name, asked in zip(DOMAINS, queries, strict=True)},
        versions=versions() | {"faiss": vector_index.faiss().__version__},
        files=files.digests,
    )
    files.finish(export)
    return export


# ---------------------------------------------------------------------- the network


def _serving_parameters(run: Recommender) -> dict[str, Any]:
    """The parameters of the run with which the network is made: without aids, and without places of files."""
    values = {name: value for name, value in run.config.plain().items() if name not in _PLACES}
    values |= {"score_fusion": False, "ema_decay": 0}
    values |= find_model(run.config.model_name).scoring_parameters(values)
    for domain in DOMAINS:
        values[f"{domain}_domain"] = {"dataset": run.dataset.names[domain], "NEG_PREFIX": run.config["NEG_PREFIX"]}
    return values


def _extract_network(
    run: Recommender, parameters: Mapping[str, Any]
) -> tuple[NetworkState, ServingConfig, ServingData]:
    """The network of a run: its state, and what it is made with."""
    features = find_model(run.config.model_name).required_features(parameters)
    item_text = np.array(run.dataset.item_embedding(), np.float32) if ITEM_TEXT in features else None
    profiles = run.dataset.user_vectors() if USER_TEXT in features else None
    user_text_size, as_of = (None, False) if profiles is None else (profiles.vectors.shape[1], profiles.is_as_of)
    config = ServingConfig({**parameters, "device": run.device})
    data = ServingData(config, run.dataset.domain_items, item_text, user_text_size, as_of)
    shared = run.models["source"] is run.models["target"]
    models = {"both": run.models["source"]} if shared else run.models
    scale = _thin(run.time_scale)
    state = NetworkState(
        states={name: _tensors(model, make_network(config, data), item_text) for name, model in models.items()},
        item_text=None if item_text is None else torch.from_numpy(item_text),
        user_text_size=user_text_size,
        as_of=as_of,
        time=torch.from_numpy(scale.time),
        share=torch.from_numpy(scale.share),
    )
    return state, config, data


def _tensors(
    model: CrossDomainSequentialRecommender, served: CrossDomainSequentialRecommender, item_text: np.ndarray | None
) -> dict[str, Any]:
    """The tensors and extra states of a run's model that the served one has as well.

    Tables of users keep the row of the unknown user. The items' texts, which are exported once, are left out.
    """
    wanted = {**dict(served.named_parameters()), **dict(served.named_buffers())}
    state: dict[str, Any] = {}
    with model.scoring():  # averaged weights take the place of the others
        own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        for name, tensor in wanted.items():
            if name not in own:
                raise UserError(f"{type(model).__name__} cannot be exported: the run has no {name}")
            value = own[name].detach().cpu()
            if value.dim() and len(tensor) == 1:
                value = value[:1]
            if value.shape == tensor.shape and not _is_item_text(value, item_text):
                state[name] = value.clone()
        extra = {name: value for name, value in model.state_dict().items() if not isinstance(value, Tensor)}
        state |= {name: value for name, value in extra.items() if name in served.state_dict()}
    return state


def _is_item_text(value: Tensor, item_text: np.ndarray | None) -> bool:
    return item_text is not None and value.shape == item_text.shape and bool((value.numpy() == item_text).all())


def _thin(scale: TimeScale) -> TimeScale:
    """A scale of at most `_MAX_TIMES` steps, which changes no relative time by more than one of them."""
    if len(scale.time) <= _MAX_TIMES:
        return scale
    chosen = np.searchsorted(scale.share, np.linspace(scale.share[0], scale.share[-1], _MAX_TIMES))
    chosen = np.unique(np.minimum(chosen, len(scale.time) - 1))
    return TimeScale(scale.time[chosen], scale.share[chosen])


def _test_queries(run: Recommender, served: Recommender, code: int) -> np.ndarray:
    """Queries of the histories of a domain's test samples, (Q, d) float32, by the served network.

    Raises:
        UserError: they are not those of the run.
    """
    log, targets = run.dataset.log, run.dataset.targets("test")
    targets = targets[log.domain[targets] == code]
    if len(targets) > MAX_QUERIES:
        targets = targets[np.linspace(0, len(targets) - 1, MAX_QUERIES).astype(np.int64)]
    found = [np.zeros((0, run.item_matrix(code).shape[1]), dtype=np.float32)]
    with run.scoring(), served.scoring():
        for part in histories_before(log, targets).split(run.batch_size):
            expected, queries = (_queries(recommender, part, code) for recommender in (run, served))
            if not np.allclose(queries, expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max()):
                raise UserError(
                    f"{run.config['model']} cannot be exported: its queries also follow from what an export does not "
                    "have, such as interactions or profiles (see scoring_parameters of the model contract)"
                )
            found.append(queries)
    return np.concatenate(found)


def _queries(recommender: Recommender, histories: Histories, code: int) -> np.ndarray:
    """Queries of histories of one batch, (H, d) float32."""
    (requests,) = recommender.requests_of_ids(histories)
    queries: np.ndarray = recommender.queries(recommender.collate(requests, code), code).cpu().numpy()
    return queries


def histories_before(log: EventLog, targets: np.ndarray) -> Histories:
    """What users have had before each target, (S,) int64 indices in a log."""
    first = log.first[targets]
    length = targets - first
    index = np.arange(length.sum()) + np.repeat(first - np.cumsum(length) + length, length)
    time = log.time[index] if log.time.any() else np.full(len(index), np.nan)
    return Histories(log.item[index].astype(np.int64), log.domain[index].astype(np.int64), time, length)


# ---------------------------------------------------------------------- files


def _item_lines(run: Recommender) -> bytes:
    """items.jsonl: domain, item, title if known, and id, in the order of the rows of the vectors."""
    lines = []
    for code, items in enumerate(run.dataset.domain_items):
        for item in items.tolist():
            label = {name: text for name, text in run.vocabulary.item_label(code, item).items() if text}
            record = {"domain": run.vocabulary.domain_names[code], **label, "id": item}
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array, dtype=np.float32))
    return file.getvalue()


def _pth(content: Mapping[str, Any]) -> bytes:
    file = io.BytesIO()
    torch.save(dict(content), file)
    return file.getvalue()


class _Files:
    """Writes the files of an export, each whole, and export.json last: without it, what is there is no export.

    Args:
        folder: of the export; that of a former one loses its export.json.

    Attributes:
        digests: name -> SHA-256 of what has been written.

    Raises:
        DiskError: the folder cannot be made or written to; so do the methods.
    """

    def __init__(self, folder: Path):
        self.folder, self.digests = folder, dict[str, str]()
        with self._reporting():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / EXPORT).unlink(missing_ok=True)

    def _reporting(self) -> AbstractContextManager[None]:
        return report_disk_errors(self.folder, "make room or get permission there, or give another --output")

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self._reporting(), write_whole(self.folder / name, "wb") as file:
            file.write(content)
        self.digests[name] = hashlib.sha256(content).hexdigest()

    def finish(self, export: Export) -> None:
        """Write export.json."""
        with self._reporting():
            export.write(self.folder)
