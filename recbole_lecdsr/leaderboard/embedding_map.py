"""A 2-D map of the ID and the LLM embeddings of LeCDSR's items, before and after training.

Before: the ID table and the adapter's output as the run's seed initialises them. After: those of the selected epoch.
Both kinds are scaled to unit length and projected by one PCA, fitted on the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study import FinishedRun

if TYPE_CHECKING:
    from recbole_lecdsr.model.lecdsr import LeCDSR

MAX_ITEMS = 1500


@dataclass(frozen=True, eq=False)
class Projection:
    """The embeddings of the items at one time, in two dimensions.

    Attributes:
        item_id, text: (n, 2) float64, coordinates of the ID and of the adapted LLM embedding of each item.
        explained: fraction of the variance that the two axes show.
        same_item_cosine: mean cosine between the two embeddings of an item.
        other_item_cosine: mean cosine between the ID embedding of an item and the LLM embedding of another one.
    """

    item_id: np.ndarray
    text: np.ndarray
    explained: float
    same_item_cosine: float
    other_item_cosine: float


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """The items of one run before and after training.

    Attributes:
        label, seed: of the run.
        token: (n,) str, the items.
        domain: (n,) int64, 0 source, 1 target (items of both domains count as source).
        before, after: their projections.
    """

    label: str
    seed: int
    token: np.ndarray
    domain: np.ndarray
    before: Projection
    after: Projection


@dataclass(frozen=True)
class MissingMap:
    """A run without a map.

    Attributes:
        label: of the run.
        reason: why there is no map, a clause.
    """

    label: str
    reason: str


def project(item_id: np.ndarray, text: np.ndarray) -> Projection:
    """Project embeddings of at least two items.

    Args:
        item_id, text: (n, d) float, the two embeddings of each item.

    >>> projection = project(np.eye(3), 2 * np.eye(3))
    >>> projection.same_item_cosine, projection.other_item_cosine
    (1.0, 0.0)
    """
    item_id, text = (_unit_rows(np.asarray(matrix, dtype=np.float64)) for matrix in (item_id, text))
    number = len(item_id)
    pca = PCA(n_components=2, random_state=0)
    points = pca.fit_transform(np.concatenate([item_id, text]))
    same = float(np.sum(item_id * text) / number)
    all_pairs = float(item_id.sum(axis=0) @ text.sum(axis=0))
    other = (all_pairs - same * number) / (number * (number - 1))
    return Projection(points[:number], points[number:], float(pca.explained_variance_ratio_.sum()), same, other)


def _unit_rows(matrix: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(length > 0, length, 1.0)


def embedding_map(run: FinishedRun, limit: int = MAX_ITEMS) -> EmbeddingMap | MissingMap:
    """The map of a finished run of LeCDSR.

    Args:
        run: the run; its checkpoint and its data must be on this machine.
        limit: number of items to show, drawn at random from both domains when there are more.
    """
    try:
        return _load_map(run, limit)
    except (
        UserError,
        OSError,
        RuntimeError,
    ) as error:  # RuntimeError: weights that do not fit the data as they are now
        reason = str(error).splitlines()[0]
        return MissingMap(run.label, f"its data or its checkpoint cannot be used on this machine ({reason})")


def _load_map(run: FinishedRun, limit: int) -> EmbeddingMap | MissingMap:
    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
    from recbole_lecdsr.runs.checkpoint import Checkpoint
    from recbole_lecdsr.runs.run_directory import MODEL
    from recbole_lecdsr.trainer.reproducibility import seed

    if not (run.folder / MODEL).exists():
        return MissingMap(run.label, f"its checkpoint {MODEL} is not on this machine")
    checkpoint = Checkpoint.load(run.folder / MODEL)
    if checkpoint.parameters.get("no_item_semantics"):
        return MissingMap(run.label, "it has no LLM item embedding")
    if (vectors := checkpoint.parameters.get("item_vectors", "text")) != "text":
        return MissingMap(run.label, f"its item vectors are {vectors}")
    config = LeCDSRConfig(config_dict={**checkpoint.parameters, "use_gpu": False}, command_line=[])
    seed(config)
    dataset = CrossDomainSequentialDataset(config)
    seed(config)  # as the run itself did before it made its model
    model = config.model_class(config, dataset).eval()
    if model.network.item_adapter is None:
        return MissingMap(run.label, "its network has no vectors of texts: it neither fuses nor aligns them")
    source, target = dataset.domain_items
    items = np.union1d(source, target)
    if len(items) > limit:
        items = np.sort(np.random.default_rng(0).choice(items, limit, replace=False))
    before = project(*_item_embeddings(model, items))
    model.load_state_dict(checkpoint.state_dict)
    after = project(*_item_embeddings(model, items))
    domain = np.where(np.isin(items, source), 0, 1)
    return EmbeddingMap(run.label, run.seed, dataset.item_token[items], domain, before, after)


def _item_embeddings(model: LeCDSR, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ID and adapted LLM embeddings of the items, (n, d) each."""
    import torch

    network: Any = model.network  # whichever of LeCDSR's networks it is
    rows = torch.from_numpy(items)
    with torch.no_grad():
        return network.item_id(rows).numpy(), network.item_adapter(network.item_text[rows]).numpy()
