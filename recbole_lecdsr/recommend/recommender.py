"""The top items of each domain for the next interaction of a user, after all interactions that are known.

The window is the user's latest L interactions of all splits. Users and items are given and returned by their tokens.
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

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog, build_event_log, latest_interactions
from recbole_lecdsr.data.item_pool import DomainItems
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.ranking import top_k
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.quick_start import restore
from recbole_lecdsr.recommend.vocabulary import Vocabulary
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import differing_parameters
from recbole_lecdsr.runs.result import RunResult

_MAX_SCORES = 1 << 25  # of a batch: 128 MB
_MAX_NAMED_RUNS = 5  # other runs that an error names


@dataclass(frozen=True)
class Recommendations:
    """What a batch of users is recommended, as ids.

    Attributes:
        user: (B,) int64; 0 for a user who is not in the data set.
        item: (B, 2, K) int64, items of the source and of the target domain, best first; 0 after the last one where a
            domain has fewer than K.
        score: (B, 2, K) float32.
        history, history_domain: (B, L) int64, items and domains of the latest interactions, newest last; padding 0
            before them.
        n_interactions: (B,) int64, number of interactions in all.
    """

    user: np.ndarray
    item: np.ndarray
    score: np.ndarray
    history: np.ndarray
    history_domain: np.ndarray
    n_interactions: np.ndarray


def recommend(
    model: CrossDomainSequentialRecommender,
    dataset: CrossDomainSequentialDataset,
    users: Sequence[str],
    k: int = 10,
    *,
    include_history: bool = False,
) -> pd.DataFrame:
    """The top items of each domain for users of the data set.

    Args:
        model, dataset: of a run, as `recbole_lecdsr.quick_start.load_data_and_model` returns them.
        users: their tokens.
        k: number of items of each domain.
        include_history: whether items of the user's history may be recommended.

    Returns:
        The columns user, domain (its name), rank (from 1), item, title, score.

    Raises:
        UserError: a user who is not in the data set.

    >>> from recbole_lecdsr.quick_start import load_data_and_model
    >>> config, model, dataset, *_ = load_data_and_model("runs/movielens/LeCDSR-2022/model.pth")  # doctest: +SKIP
    >>> recommend(model, dataset, ["100k_1"], k=3)  # doctest: +SKIP
    """
    vocabulary = Vocabulary(dataset)
    batches = Recommender(model, dataset).for_users(vocabulary.user_ids(users), k, include_history=include_history)
    frames = [to_frame(batch, vocabulary) for batch in batches]
    return pd.concat(frames, ignore_index=True) if frames else to_frame(None, vocabulary)


def recommend_for_history(
    model: CrossDomainSequentialRecommender,
    dataset: CrossDomainSequentialDataset,
    history: Sequence[tuple[str, str]],
    k: int = 10,
    *,
    include_history: bool = False,
) -> pd.DataFrame:
    """The top items of each domain for a user whom the model has never seen, by the items of a history.

    The user's id is padding: there is no profile, and a model that represents users by their ids alone cannot
    personalise its recommendations.

    Args:
        model, dataset, k, include_history: as in `recommend`.
        history: (domain, item token) pairs, oldest first; a domain by its name, or as source or target.

    Returns:
        As `recommend`, with None for the user.

    Raises:
        UserError: an empty history, or a domain or an item that is not in the data set.
    """
    vocabulary = Vocabulary(dataset)
    item, domain = vocabulary.history_ids(history)
    batch = Recommender(model, dataset).for_history(item, domain, k, include_history=include_history)
    return to_frame(batch, vocabulary)


def to_frame(batch: Recommendations | None, vocabulary: Vocabulary) -> pd.DataFrame:
    """Recommendations as rows: user, domain, rank, item, title, score; None: no row."""
    if batch is None:
        return pd.DataFrame(columns=["user", "domain", "rank", "item", "title", "score"])
    row, code, position = np.nonzero(batch.item)
    users = np.array([vocabulary.user_token(user) for user in batch.user.tolist()], dtype=object)
    return pd.DataFrame(
        {
            "user": users[row],
            "domain": np.array(vocabulary.domain_names, dtype=object)[code],
            "rank": position + 1,
            **vocabulary.item_labels(code, batch.item[row, code, position]),
            "score": batch.score[row, code, position],
        }
    )


# ---------------------------------------------------------------------- runs


def load_run(
    folder: str | Path, config_dict: Mapping[str, object] | None = None
) -> tuple[dict[str, CrossDomainSequentialRecommender], CrossDomainSequentialDataset]:
    """A run's selected models and its data set.

    Args:
        folder: the run directory.
        config_dict: values to change, such as ``data_path``.

    Returns:
        Domain (source, target) -> model in evaluation mode, which are two models only with ``selection:
        per_domain_best``; and the data set.

    Raises:
        UserError: no such run, a run that is not finished, or data that are missing.
    """
    folder = Path(folder)
    if folder.name == run_directory.MODEL:
        folder = folder.parent
    path = folder / run_directory.MODEL
    if not path.exists():
        raise UserError(_missing_run(folder))
    checkpoint = Checkpoint.load(path)
    # A split without test samples leaves no result.json; a run that is being lengthened still has the former one.
    if not checkpoint.training_ended and not _has_result_of(checkpoint, folder / run_directory.RESULT):
        raise UserError(
            f"the run in {folder} is not finished (after epoch {checkpoint.epoch}): resume it with --resume=True and "
            "the settings in its config.yaml"
        )
    config, model, dataset = restore(checkpoint, config_dict)
    models = dict.fromkeys(DOMAINS, model)
    best = checkpoint.best
    if config["selection"] == "per_domain_best" and all(name in best for name in DOMAINS):
        models = {name: _make_model(config, dataset, best[name].state_dict) for name in DOMAINS}
    return models, dataset


def _has_result_of(checkpoint: Checkpoint, path: Path) -> bool:
    return path.exists() and not differing_parameters(RunResult.read(path).parameters, checkpoint.parameters)


def _missing_run(folder: Path) -> str:
    """The error for a folder that is no run directory, with other runs nearby."""
    problem = f"holds no {run_directory.MODEL}" if folder.is_dir() else "does not exist"
    found = sorted(str(path.parent) for path in folder.parent.glob(f"*/{run_directory.MODEL}"))
    found += sorted(str(path.parent) for path in folder.glob(f"**/{run_directory.MODEL}"))[:_MAX_NAMED_RUNS]
    remedy = f"there is {', '.join(found[:_MAX_NAMED_RUNS])}" if found else "train first (`run_lecdsr.py`)"
    return f"run directory {folder} {problem}: {remedy}"


def _make_model(
    config: LeCDSRConfig, dataset: CrossDomainSequentialDataset, weights: Mapping[str, Tensor]
) -> CrossDomainSequentialRecommender:
    model = config.model_class(config, dataset).to(config["device"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"the weights of a domain do not fit the data: train again ({error})") from None
    return model.eval()


# ---------------------------------------------------------------------- batches


class Recommender:
    """Recommends in batches: scores of all items are held for one batch at a time.

    Args:
        model: of the run, or a model for each of source and target.
        dataset: of the run.
    """

    def __init__(
        self,
        model: CrossDomainSequentialRecommender | Mapping[str, CrossDomainSequentialRecommender],
        dataset: CrossDomainSequentialDataset,
    ):
        self.models = model if isinstance(model, Mapping) else dict.fromkeys(DOMAINS, model)
        self.dataset, self.config = dataset, dataset.config
        self.device = self.config["device"]
        items = [torch.from_numpy(items) for items in dataset.domain_items]
        self.items = [part.to(self.device) for part in items]
        self.column = DomainItems(items, dataset.num_total_item).position.to(self.device)  # of an item in `items`
        self.batch_size = max(1, min(self.config["eval_batch_size"], _MAX_SCORES // dataset.num_total_item))

    def for_users(
        self, users: np.ndarray, k: int, *, include_history: bool = False, show_progress: bool = False
    ) -> Iterator[Recommendations]:
        """Recommend for (U,) int64 ids of users with interactions; yields batches in their order.

        The progress bar, if there is to be one, appears after two seconds.
        """
        log = self.dataset.log
        last = latest_interactions(log, self.dataset.num_total_user)[users]
        collator = SequenceCollator(self.config, self.dataset)
        # None: no bar where standard error is no terminal
        disable = None if show_progress else True
        with tqdm(total=len(users), desc="recommend", unit=" users", delay=2, leave=False, disable=disable) as bar:
            for start in range(0, len(last), self.batch_size):
                part = last[start : start + self.batch_size]
                yield self._recommend_batch(collator, log, part, k=k, include_history=include_history)
                bar.update(len(part))

    def for_history(
        self, item: np.ndarray, domain: np.ndarray, k: int, *, include_history: bool = False
    ) -> Recommendations:
        """Recommend for an unknown user at the end of the data.

        Args:
            item, domain: (E,) int64 item ids and domain codes of the user's interactions, oldest first.
            k: number of items of each domain.
            include_history: whether items of the history may be recommended.
        """
        size = len(item)
        log = build_event_log(np.zeros(size, dtype=int), item, domain, np.arange(size), split={"LS": "valid_only"})
        log = replace(log, relative_time=np.ones(size, dtype=np.float32))
        collator = SequenceCollator(self.config, self.dataset, log)
        return self._recommend_batch(collator, log, np.array([size - 1]), k=k, include_history=include_history)

    @torch.no_grad()
    def _recommend_batch(
        self, collator: SequenceCollator, log: EventLog, last: np.ndarray, *, k: int, include_history: bool
    ) -> Recommendations:
        """Recommend after each of the interactions (B,) ``last`` of the log."""
        latest = torch.from_numpy(last).to(self.device)
        excluded = None if include_history else collator.gatherer.history_through(latest)
        top_items = []
        for code, name in enumerate(DOMAINS):
            batch = collator.collate_next(latest, torch.full_like(latest, code))
            scores = self.models[name].score_items(batch, self.items[code]).float()
            if excluded is not None:
                row, column = excluded[0], self.column[code][excluded[1]]
                scores[row[column >= 0], column[column >= 0]] = -torch.inf
            if torch.isnan(scores).any():
                raise UserError("the model gives scores that are not numbers: train again with a lower learning_rate")
            top_items.append(_top_items(scores, self.items[code], k))
        item, score = (torch.stack(part, dim=1).cpu().numpy() for part in zip(*top_items, strict=True))
        index = last[:, None] + np.arange(1 - self.config["MAX_ITEM_LIST_LENGTH"], 1)
        is_of_user = index >= log.first[last][:, None]
        history, history_domain = (
            (column[index.clip(0)] * is_of_user).astype(np.int64) for column in (log.item, log.domain)
        )
        return Recommendations(
            log.user[last].astype(np.int64), item, score, history, history_domain, last - log.first[last] + 1
        )


def _top_items(scores: Tensor, items: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The top k of a domain's items by (B, C) scores: (B, k) ids and scores; 0 and -inf after the last one."""
    column, score = top_k(scores, min(k, len(items)))
    item = items[column].where(score > -torch.inf, 0)
    padding = (0, k - item.shape[1])
    return nn.functional.pad(item, padding), nn.functional.pad(score, padding, value=-torch.inf)
