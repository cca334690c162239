"""A 2-D map of the ID and the LLM embeddings of LeCDSR's items, before and after training.

Before: the ID table and the adapter's output as the run's seed initialises them. After: those of the selected epoch.
Both kinds are scaled to unit length and projected by one PCA, fitted on the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study import Run

MAX_ITEMS = 1500


@dataclass(frozen=True, eq=False)
class Panel:
    """The items at one time.

    Attributes:
        item_id, text: (n, 2) float64, places of the ID and of the adapted LLM embedding of each item.
        explained: share of the variance that the two axes show.
        own_cosine: mean cosine of an item's own two embeddings.
        other_cosine: mean cosine of an item's ID embedding and another item's LLM embedding.
    """

    item_id: np.ndarray
    text: np.ndarray
    explained: float
    own_cosine: float
    other_cosine: float


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Both times, of one run.

    Attributes:
        label, seed: of the run.
        token: (n,) str, the items.
        domain: (n,) int64, 0 source, 1 target (items of both count as source).
        before, after: the panels.
    """

    label: str
    seed: int
    token: np.ndarray
    domain: np.ndarray
    before: Panel
    after: Panel


def project(item_id: np.ndarray, text: np.ndarray) -> Panel:
    """Panel of E (n, d) and T (n, d), n at least 2."""
    item_id, text = (_unit(np.asarray(matrix, dtype=np.float64)) for matrix in (item_id, text))
    number = len(item_id)
    pca = PCA(n_components=2, random_state=0)
    places = pca.fit_transform(np.concatenate([item_id, text]))
    own = float(np.sum(item_id * text) / number)
    every = float(item_id.sum(axis=0) @ text.sum(axis=0))  # the sum over all pairs
    other = (every - own * number) / (number * (number - 1))
    return Panel(places[:number], places[number:], float(pca.explained_variance_ratio_.sum()), own, other)


def _unit(matrix: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix / np.where(length > 0, length, 1.0)


def embedding_map(run: Run, limit: int = MAX_ITEMS) -> EmbeddingMap | str:
    """The map of a finished run of LeCDSR.

    Args:
        run: the run; its checkpoint and its data must be on this machine.
        limit: items to show, drawn at random from both domains when there are more.

    Returns:
        the map, or the sentence that says why there is none.
    """
    try:
        return _map(run, limit)
    except (UserError, OSError, RuntimeError) as error:  # RuntimeError: weights that do not fit the data as it is now
        reason = str(error).splitlines()[0]
        return f"No map of {run.label}: its data or its checkpoint cannot be used on this machine ({reason})"


def _map(run: Run, limit: int) -> EmbeddingMap | str:
    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
    from recbole_lecdsr.runs.checkpoint import Checkpoint
    from recbole_lecdsr.runs.run_directory import MODEL
    from recbole_lecdsr.trainer.reproducibility import seed

    if not (run.folder / MODEL).exists():
        return f"No map of {run.label}: its checkpoint {MODEL} is not on this machine."
    checkpoint = Checkpoint.load(run.folder / MODEL)
    if checkpoint.parameters.get("no_item_semantics"):
        return f"No map of {run.label}: it has no LLM item embedding."
    config = LeCDSRConfig(config_dict={**checkpoint.parameters, "use_gpu": False}, command_line=[])
    seed(config)
    dataset = CrossDomainSequentialDataset(config)
    seed(config)  # as the run itself did before it made its model
    model = config.model_class(config, dataset).eval()
    source, target = dataset.domain_items
    items = np.union1d(source, target)
    if len(items) > limit:
        items = np.sort(np.random.default_rng(0).choice(items, limit, replace=False))
    before = project(*_vectors(model, items))
    model.load_state_dict(checkpoint.state_dict)
    after = project(*_vectors(model, items))
    domain = np.where(np.isin(items, source), 0, 1)
    return EmbeddingMap(run.label, run.seed, dataset.item_token[items], domain, before, after)


def _vectors(model: object, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E and T of the items, (n, d) each."""
    import torch

    network, rows = model.network, torch.from_numpy(items)
    with torch.no_grad():
        return network.item_id(rows).numpy(), network.item_adapter(network.item_text[rows]).numpy()
