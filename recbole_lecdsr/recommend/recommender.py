"""Recommendations: the top items of each domain for what a user does next, after all events that are known.

The window is the user's latest L events of all splits. Users and items go in and come out by their tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog, build_event_log, latest_events
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.metrics import model_scores
from recbole_lecdsr.quick_start import restore
from recbole_lecdsr.recommend.vocabulary import Vocabulary
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import Checkpoint

_CELLS = 1 << 25  # scores of a batch: 128 MB
_SHOWN = 5  # other runs named in an error


@dataclass(frozen=True)
class Recommended:
    """What a batch of users is recommended, as ids.

    Attributes:
        user: (B,) int64; 0 for a user whom the data set does not have.
        item: (B, 2, K) int64, the items of the source and of the target domain, best first; 0 behind the last one
            where a domain has fewer than K.
        score: (B, 2, K) float32.
        history, history_domain: (B, L) int64, the latest events, newest last; padding 0 before them.
        n_events: (B,) int64, how many events there are in all.
    """

    user: np.ndarray
    item: np.ndarray
    score: np.ndarray
    history: np.ndarray
    history_domain: np.ndarray
    n_events: np.ndarray


def recommend(
    model: nn.Module,
    dataset: CrossDomainSequentialDataset,
    users: Sequence[str],
    k: int = 10,
    include_history: bool = False,
) -> pd.DataFrame:
    """The top items of each domain for users of the data set.

    Args:
        model, dataset: of a run, as `recbole_lecdsr.quick_start.load_data_and_model` returns them.
        users: tokens.
        k: items of each domain.
        include_history: may items be recommended that the user has had?

    Returns:
        The columns user, domain (its name), place (from 1), item, title, score.

    Raises:
        UserError: a user who is not in the data set.

    Example:
        >>> config, model, dataset, *_ = load_data_and_model("runs/movielens/LeCDSR-2022/model.pth")
        >>> recommend(model, dataset, ["100k_1"], k=3)
    """
    names = Vocabulary(dataset)
    found = Recommender(model, dataset).for_users(names.user_ids(users), k, include_history)
    parts = [as_frame(names, part) for part in found]
    return pd.concat(parts, ignore_index=True) if parts else as_frame(names, None)


def recommend_for_history(
    model: nn.Module,
    dataset: CrossDomainSequentialDataset,
    history: Sequence[tuple[str, str]],
    k: int = 10,
    include_history: bool = False,
) -> pd.DataFrame:
    """The top items of each domain for a user whom the model has never seen, by the items of a history.

    The user is padding to the model: there is no profile, and a model that knows users by their ids alone has nothing
    to go by.

    Args:
        model, dataset, k, include_history: as of `recommend`.
        history: (domain, item token) pairs, oldest first; a domain by its name, or source or target.

    Returns:
        As of `recommend`, None for the user.

    Raises:
        UserError: an empty history, a domain or an item that is not in the data set.
    """
    names = Vocabulary(dataset)
    found = Recommender(model, dataset).for_history(*names.events(history), k, include_history)
    return as_frame(names, found)


def as_frame(names: Vocabulary, found: Recommended | None) -> pd.DataFrame:
    """Recommendations as rows: user, domain, place, item, title, score."""
    if found is None:
        return pd.DataFrame(columns=["user", "domain", "place", "item", "title", "score"])
    row, code, place = np.nonzero(found.item)
    item = found.item[row, code, place]
    users = np.array([names.user(number) for number in found.user.tolist()], dtype=object)
    return pd.DataFrame(
        {
            "user": users[row],
            "domain": np.array(names.domain, dtype=object)[code],
            "place": place + 1,
            **names.labels(code, item),
            "score": found.score[row, code, place],
        }
    )


def load_run(
    folder: str | Path, config_dict: Mapping[str, object] | None = None
) -> tuple[dict[str, nn.Module], CrossDomainSequentialDataset]:
    """A run's selected models and its data set.

    Args:
        folder: the run directory.
        config_dict: values to change, such as ``data_path``.

    Returns:
        domain (source, target) -> model in evaluation mode, two of them with ``selection: per_domain_best`` only; and
        the data set.

    Raises:
        UserError: no such run, one that is not finished, or data that are missing.
    """
    folder = Path(folder)
    if folder.name == run_directory.MODEL:
        folder = folder.parent
    path = folder / run_directory.MODEL
    if not folder.is_dir() or not path.exists():
        what = f"holds no {run_directory.MODEL}" if folder.is_dir() else "does not exist"
        found = sorted(str(path.parent) for path in folder.parent.glob(f"*/{run_directory.MODEL}"))
        found += sorted(str(path.parent) for path in folder.glob(f"**/{run_directory.MODEL}"))[:_SHOWN]
        remedy = f"there is {', '.join(found[:_SHOWN])}" if found else "train first (`run_lecdsr.py`)"
        raise UserError(f"run directory {folder} {what}: {remedy}")
    checkpoint = Checkpoint.load(path)
    # Without test samples a finished run leaves no result.json.
    if not (folder / run_directory.RESULT).exists() and not checkpoint.training_ended:
        raise UserError(
            f"the run in {folder} is not finished (after epoch {checkpoint.epoch}): go on with it by --resume=True, "
            "with the settings in its config.yaml"
        )
    config, model, dataset = restore(checkpoint, config_dict)
    models = dict.fromkeys(DOMAINS, model)
    best = checkpoint.best
    if config["selection"] == "per_domain_best" and all(name in best for name in DOMAINS):
        models = {name: _another(config, dataset, best[name].state_dict) for name in DOMAINS}
    return models, dataset


def _another(config, dataset: CrossDomainSequentialDataset, weights: Mapping[str, Tensor]) -> nn.Module:
    model = config.model_class(config, dataset).to(config["device"])
    model.load_state_dict(weights)
    return model.eval()


class Recommender:
    """Recommends by batches: scores of all items are held for one batch at a time.

    Args:
        model: of the run, or a model for each of source and target.
        dataset: of the run.
    """

    def __init__(self, model: nn.Module | Mapping[str, nn.Module], dataset: CrossDomainSequentialDataset):
        self.models = model if isinstance(model, Mapping) else dict.fromkeys(DOMAINS, model)
        self.dataset, self.config = dataset, dataset.config
        self.device = self.config["device"]
        self.items = [torch.from_numpy(items).to(self.device) for items in dataset.domain_items]
        self.batch_size = max(1, min(self.config["eval_batch_size"], _CELLS // dataset.num_total_item))

    def for_users(
        self, users: np.ndarray, k: int, include_history: bool = False, show_progress: bool = False
    ) -> Iterator[Recommended]:
        """Recommend for (U,) int64 user ids with events; yields batches in their order.

        The bar, if it is to be shown, appears after two seconds.
        """
        log = self.dataset.log
        last = latest_events(log, self.dataset.num_total_user)[users]
        batches = SequenceCollator(self.config, self.dataset)
        # None: no bar where standard error is no terminal
        disable = None if show_progress else True
        with tqdm(total=len(users), desc="recommend", unit=" users", delay=2, leave=False, disable=disable) as bar:
            for start in range(0, len(last), self.batch_size):
                part = last[start : start + self.batch_size]
                yield self._batch(batches, log, part, k, include_history)
                bar.update(len(part))

    def for_history(self, item: np.ndarray, domain: np.ndarray, k: int, include_history: bool = False) -> Recommended:
        """Recommend for an unknown user with the events (E,) item and domain, oldest first, at the end of the data."""
        size = len(item)
        log = build_event_log(np.zeros(size, dtype=int), item, domain, np.arange(size), {"LS": "valid_only"})
        log = replace(log, time=np.full(size, np.inf))
        batches = SequenceCollator(self.config, self.dataset, log)
        return self._batch(batches, log, np.array([size - 1]), k, include_history)

    @torch.no_grad()
    def _batch(
        self, batches: SequenceCollator, log: EventLog, last: np.ndarray, k: int, include_history: bool
    ) -> Recommended:
        latest = torch.from_numpy(last).to(self.device)
        own = None if include_history else batches.windows.history_after(latest)
        found = []
        for code, name in enumerate(DOMAINS):
            batch = batches.after(latest, torch.full_like(latest, code))
            scores = model_scores(self.models[name], batches.item_field, batch, None).float()
            if own is not None:
                scores = scores.index_put(own, torch.tensor(-torch.inf, device=self.device))
            scores = scores[:, self.items[code]]
            if torch.isnan(scores).any():
                raise UserError("the model gives scores that are not numbers: train again with a lower learning_rate")
            found.append(self._top(scores, self.items[code], k))
        item, score = (torch.stack(part, dim=1).cpu().numpy() for part in zip(*found, strict=True))
        index = last[:, None] + np.arange(1 - self.config["MAX_ITEM_LIST_LENGTH"], 1)
        real = index >= log.first[last][:, None]
        history, history_domain = ((part[index.clip(0)] * real).astype(np.int64) for part in (log.item, log.domain))
        return Recommended(
            log.user[last].astype(np.int64), item, score, history, history_domain, last - log.first[last] + 1
        )

    @staticmethod
    def _top(scores: Tensor, items: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """(B, K) items and scores; 0 and -inf behind the last one."""
        place, score = top_k(scores, min(k, len(items)))
        item = items[place].where(score > -torch.inf, 0)
        missing = (0, k - item.shape[1])
        return nn.functional.pad(item, missing), nn.functional.pad(score, missing, value=-torch.inf)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row, equal scores in the order of the columns (which `torch.topk` does not promise).

    Args:
        scores: (B, C) float.
        k: up to C.

    Returns:
        columns (B, k) int64, and their scores (B, k), best first.

    Example:
        >>> top_k(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 3)[0].tolist()
        [[1, 2, 3]]
    """
    value, column = scores.topk(k, dim=1)
    tied = (scores >= value[:, -1:]).sum(dim=1) > k
    if tied.any():
        column[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    column = column.sort(dim=1).values
    value, order = scores.gather(1, column).sort(dim=1, descending=True, stable=True)
    return column.gather(1, order), value
