"""The way from a history to the top items, for batches of users, by ids.

The window is the user's latest L interactions of all splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction as Batch
from torch import Tensor, nn
from tqdm import tqdm

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog, latest_interactions
from recbole_lecdsr.data.item_pool import DomainItems
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.ranking import top_k
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.recommend.histories import Histories, Interaction, TimeScale, parse_histories
from recbole_lecdsr.recommend.vocabulary import ItemVocabulary, Vocabulary

_MAX_SCORES = 1 << 25  # of a batch: 128 MB


@dataclass(frozen=True)
class Requests:
    """A batch of users, each at the end of a sequence.

    Attributes:
        collator: makes batches of the interactions of ``log``.
        log: the interactions.
        last: (B,) int64, index of each user's newest interaction in the log.
    """

    collator: SequenceCollator
    log: EventLog
    last: np.ndarray


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


def to_frame(batch: Recommendations, vocabulary: ItemVocabulary, users: np.ndarray | None = None) -> pd.DataFrame:
    """Recommendations as rows: user, domain, rank, item, title, score; `users`, (B,), replaces the users' tokens."""
    row, code, position = np.nonzero(batch.item)
    if users is None:
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


class BatchRecommender:
    """Recommends in batches: scores of all items are held for one batch at a time.

    Args:
        model: of the run, or a model for each of source and target.
        dataset: of the run.
        vocabulary: tokens and titles; None for those of the data set.
    """

    def __init__(
        self,
        model: CrossDomainSequentialRecommender | Mapping[str, CrossDomainSequentialRecommender],
        dataset: CrossDomainSequentialDataset,
        vocabulary: ItemVocabulary | None = None,
    ):
        self.models = model if isinstance(model, Mapping) else dict.fromkeys(DOMAINS, model)
        self.dataset, self.config = dataset, dataset.config
        self.vocabulary = vocabulary or Vocabulary(dataset)
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
        # None: no bar where standard error is no terminal
        disable = None if show_progress else True
        bar = tqdm(total=len(users), desc="recommend", unit=" users", delay=2, leave=False, disable=disable)
        with bar, self.scoring():
            for requests in self.requests_of_users(users):
                yield self.recommend_batch(requests, k=k, include_history=include_history)
                bar.update(len(requests.last))

    def for_histories(
        self, histories: Sequence[Sequence[Interaction]], k: int, *, include_history: bool = False
    ) -> Iterator[Recommendations]:
        """As `for_users`, for users with given histories (see `recommend`), whose id is 0."""
        with self.scoring():
            for requests in self.requests_of_histories(histories):
                yield self.recommend_batch(requests, k=k, include_history=include_history)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Surrounds several batches, so that the models can keep what they make of items."""
        with ExitStack() as stack:
            for model in {id(model): model for model in self.models.values()}.values():
                stack.enter_context(model.scoring())
            yield

    def requests_of_users(self, users: np.ndarray) -> Iterator[Requests]:
        """Batches of (U,) int64 ids of users with interactions."""
        log, collator = self.dataset.log, SequenceCollator(self.config, self.dataset)
        last = latest_interactions(log, self.dataset.num_total_user)[users]
        for start in range(0, len(last), self.batch_size):
            yield Requests(collator, log, last[start : start + self.batch_size])

    def requests_of_histories(self, histories: Sequence[Sequence[Interaction]]) -> Iterator[Requests]:
        """Batches of users with given histories, as of `Recommender.recommend`."""
        yield from self.requests_of_ids(parse_histories(histories, self.vocabulary))

    def requests_of_ids(self, histories: Histories) -> Iterator[Requests]:
        """Batches of users with given histories, whose items are ids."""
        for part in histories.split(self.batch_size):
            log, last = part.to_log(self.time_scale)
            yield Requests(SequenceCollator(self.config, self.dataset, log), log, last)

    @cached_property
    def time_scale(self) -> TimeScale:
        """The relative times of the training data."""
        return TimeScale.of(self.dataset.log)

    def collate(self, requests: Requests, code: int) -> Batch:
        """The batch of the users' next interactions, in a domain."""
        last = torch.from_numpy(requests.last).to(self.device)
        return requests.collator.collate_next(last, torch.full_like(last, code))

    @torch.no_grad()
    def recommend_batch(
        self, requests: Requests, *, k: int, include_history: bool, codes: Sequence[int] = (0, 1)
    ) -> Recommendations:
        """Recommend after each of the interactions, items of the given domains only."""
        log, last = requests.log, requests.last
        item = np.zeros((len(last), len(DOMAINS), k), dtype=np.int64)
        score = np.full(item.shape, -np.inf, dtype=np.float32)
        excluded = None
        if not include_history:
            excluded = requests.collator.gatherer.history_through(torch.from_numpy(last).to(self.device))
        for code in codes:
            item[:, code], score[:, code] = self.top_items(self.collate(requests, code), code, excluded, k)
        index = last[:, None] + np.arange(1 - self.config["MAX_ITEM_LIST_LENGTH"], 1)
        is_of_user = index >= log.first[last][:, None]
        history, history_domain = (
            (column[index.clip(0)] * is_of_user).astype(np.int64) for column in (log.item, log.domain)
        )
        return Recommendations(
            log.user[last].astype(np.int64), item, score, history, history_domain, last - log.first[last] + 1
        )

    def top_items(
        self, batch: Batch, code: int, excluded: tuple[Tensor, Tensor] | None, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The top items of a domain.

        Args:
            batch: B users.
            code: of the domain.
            excluded: row (N,) and item (N,) int64, what must not be recommended to whom.
            k: number of items.

        Returns:
            ids (B, k) int64 and scores (B, k) float32, best first; 0 and -inf after the last one.

        Raises:
            UserError: scores that are not numbers.
        """
        scores = self.models[DOMAINS[code]].score_items(batch, self.items[code]).float()
        if excluded is not None:
            row, column = excluded[0], self.column[code][excluded[1]]
            scores[row[column >= 0], column[column >= 0]] = -torch.inf
        if torch.isnan(scores).any():
            raise UserError("the model gives scores that are not numbers: train again with a lower learning_rate")
        column, score = top_k(scores, min(k, len(self.items[code])))
        item = self.items[code][column].where(score > -torch.inf, 0)
        padding = (0, k - item.shape[1])
        return (
            nn.functional.pad(item, padding).cpu().numpy(),
            nn.functional.pad(score, padding, value=-torch.inf).cpu().numpy(),
        )

    # ------------------------------------------------------------------ vectors

    def item_matrix(self, code: int) -> np.ndarray:
        """The vectors of a domain's items in the order of their ids, (C, d) float32; errors as of `item_vectors`."""
        self.require_vectors()
        model = self.models[DOMAINS[code]]
        with torch.no_grad(), self.scoring():
            return model.item_vectors()[self.items[code]].float().cpu().numpy()

    @torch.no_grad()
    def queries(self, batch: Batch, code: int) -> Tensor:
        """The queries of a batch for a domain, (B, d) float32."""
        return self.models[DOMAINS[code]].query(batch).float()

    def require_vectors(self) -> None:
        """Refuse a model whose scores are no inner products."""
        for model in self.models.values():
            if not model.has_vectors:
                raise UserError(
                    f"{self.config['model']} has no vectors of users and items whose inner products are its scores: "
                    "use a model that has, such as LeCDSR (docs/models.md)"
                )
