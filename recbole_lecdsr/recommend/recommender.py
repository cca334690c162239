"""A trained run as a recommender, by tokens: top items for users, their vectors, similar items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.recommend.batches import BatchRecommender, Requests, to_frame
from recbole_lecdsr.recommend.histories import Interaction
from recbole_lecdsr.recommend.run_models import load_run
from recbole_lecdsr.recommend.similarity import most_similar


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
    return Recommender(model, dataset).recommend(users, k=k, include_history=include_history)


def recommend_for_history(
    model: CrossDomainSequentialRecommender,
    dataset: CrossDomainSequentialDataset,
    history: Sequence[Interaction],
    k: int = 10,
    *,
    include_history: bool = False,
) -> pd.DataFrame:
    """The top items of each domain for a user whom the model has never seen, by the items of a history.

    Args:
        model, dataset, k, include_history: as in `recommend`.
        history: see `Recommender.recommend`.

    Returns:
        As `recommend`, with None for the user.

    Raises:
        UserError: as of `Recommender.recommend`.
    """
    found = Recommender(model, dataset).recommend(histories=[history], k=k, include_history=include_history)
    return found.assign(user=None)


class Recommender(BatchRecommender):
    """A trained run as a recommender: top items after all interactions that are known, similar items, vectors.

    >>> recommender = Recommender.load("runs/movielens/LeCDSR-2022")  # doctest: +SKIP
    >>> recommender.recommend(["100k_42"], k=5)  # doctest: +SKIP
    >>> recommender.recommend(histories=[[("action", "GoldenEye (1995)"), ("drama", "Heat (1995)")]])  # doctest: +SKIP

    Args:
        model: of the run, or a model for each of source and target.
        dataset: of the run.
        vocabulary: tokens and titles; None for those of the data set.
    """

    @classmethod
    def load(cls, run: str | Path, config_dict: Mapping[str, object] | None = None) -> Recommender:
        """The recommender of a run directory.

        Args:
            run: the run directory.
            config_dict: parameters to change, such as ``data_path`` on another machine, or ``use_gpu``.

        Raises:
            UserError: see `load_run`.
        """
        return Recommender(*load_run(run, config_dict))

    @classmethod
    def from_export(cls, folder: str | Path, *, approximate: bool = False) -> Recommender:
        """The recommender of an export (`run_lecdsr.py export`), which needs no file of the data set.

        It recommends to given histories only, and as if their users were unknown. Scores are those of the network
        alone, without score fusion. Needs faiss.

        Args:
            folder: of the export.
            approximate: search the approximate index, which export.json states the recall of, instead of the exact one.

        Raises:
            NotInstalledError: faiss is not installed.
            UserError: a file that is missing, damaged or of another export.
        """
        from recbole_lecdsr.recommend.exported import load_export

        return load_export(Path(folder), approximate=approximate)

    def recommend(
        self,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[Interaction]] | None = None,
        k: int = 10,
        domain: str | None = None,
        *,
        include_history: bool = False,
    ) -> pd.DataFrame:
        """The top items for the next interaction of users of the data set, or of users with given histories.

        Args:
            users: tokens of users; None, where no histories are given either, for every user.
            histories: instead, for each user whom the model has never seen the interactions, oldest first: (domain,
                item token), or with the time in the unit of the training data. A domain is given by its name, or as
                source or target. Interactions without times count as being at the end of the data.
            k: number of items of each domain.
            domain: recommend items of this domain only.
            include_history: whether items of the user's history may be recommended.

        Returns:
            The columns user (token, or number of the history from 0), domain (its name), rank (from 1), item, title
            (empty where none is known), score.

        Raises:
            UserError: a user, domain or item that is not in the data, an empty history, a time that is no number; k
                below 1.
        """
        _check_k(k)
        codes, number = self._codes(domain), 0
        frames = [pd.DataFrame(columns=["user", "domain", "rank", "item", "title", "score"])]
        with self.scoring():
            for requests in self._requests(users, histories):
                batch = self.recommend_batch(requests, k=k, codes=codes, include_history=include_history)
                labels = self._labels(requests, None if histories is None else number)
                frames.append(to_frame(batch, self.vocabulary, labels))
                number += len(labels)
        return pd.concat(frames[1:] or frames, ignore_index=True)

    # ------------------------------------------------------------------ vectors

    def item_vectors(self, domain: str | None = None) -> pd.DataFrame:
        """The model's item vectors; with score fusion those of the network whose scores are fused.

        Args:
            domain: of this domain only.

        Returns:
            (n_items, d) float32, indexed by domain and item token.

        Raises:
            UserError: a model whose scores are no inner products, a domain that is not in the data.
        """
        frames = []
        for code in self._codes(domain):
            tokens = self.vocabulary.item_tokens[code][self.dataset.domain_items[code]]
            frames.append(_frame(self.item_matrix(code), self.vocabulary.domain_names[code], "item", tokens))
        return pd.concat(frames)

    def user_vectors(
        self,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[Interaction]] | None = None,
        domain: str | None = None,
    ) -> pd.DataFrame:
        """The query of each user after the history: its inner products with `item_vectors` are the scores.

        Args:
            users, histories: as of `recommend`.
            domain: the query for the next interaction in this domain only.

        Returns:
            (n_users, d) float32 for each domain, indexed by domain and user (token, or number of the history).

        Raises:
            UserError: a model whose scores are no inner products; and as of `recommend`.
        """
        self.require_vectors()
        codes = self._codes(domain)
        labels: list[object] = []
        none = np.zeros((0, self.item_matrix(0).shape[1]), dtype=np.float32)
        parts = [[none] for _ in codes]
        with self.scoring():
            for requests in self._requests(users, histories):
                labels += self._labels(requests, None if histories is None else len(labels)).tolist()
                for part, code in zip(parts, codes, strict=True):
                    part.append(self.queries(self.collate(requests, code), code).cpu().numpy())
        return pd.concat(
            _frame(np.concatenate(part), self.vocabulary.domain_names[code], "user", labels)
            for code, part in zip(codes, parts, strict=True)
        )

    def similar_items(self, item: str, k: int = 10, domain: str | None = None) -> pd.DataFrame:
        """The items whose vectors are most similar to that of an item, by cosine.

        Args:
            item: its token.
            k: number of items.
            domain: the domain of the similar items; None: both, or with ``selection: per_domain_best``, where each
                domain has a model of its own, that of the item.

        Returns:
            The columns domain, rank (from 1), item, title, score (the cosine).

        Raises:
            UserError: an item or a domain that is not in the data, k below 1, a model whose scores are no inner
                products.
        """
        _check_k(k)
        self.require_vectors()
        own, item_id = self.vocabulary.find_item(item)
        codes = self._codes(domain)
        if self.models["source"] is not self.models["target"]:
            if domain is not None and codes != (own,):
                names = self.vocabulary.domain_names
                raise UserError(
                    f"each domain has a model of its own (selection: per_domain_best), so an item of {names[own]} has "
                    f"no vector among those of {names[1 - own]}: leave out the domain"
                )
            codes = (own,)
        matrices = {code: self.item_matrix(code) for code in {*codes, own}}
        ids = [self.dataset.domain_items[code] for code in codes]
        vector = matrices[own][np.searchsorted(self.dataset.domain_items[own], item_id)]
        vectors, items = np.concatenate([matrices[code] for code in codes]), np.concatenate(ids)
        rows, score = most_similar(vector, vectors, items, item_id, k)
        code = np.repeat(codes, [len(part) for part in ids])[rows]
        return pd.DataFrame(
            {
                "domain": np.array(self.vocabulary.domain_names, dtype=object)[code],
                "rank": np.arange(1, len(rows) + 1),
                **self.vocabulary.item_labels(code, items[rows]),
                "score": score,
            }
        )

    # ------------------------------------------------------------------ arguments and labels

    def _codes(self, domain: str | None) -> tuple[int, ...]:
        """The codes of the given domain, or of both."""
        return (0, 1) if domain is None else (self.vocabulary.domain_code(domain),)

    def _requests(
        self, users: Sequence[str] | None, histories: Sequence[Sequence[Interaction]] | None
    ) -> Iterator[Requests]:
        """Batches of users or of histories, as of `recommend`."""
        if histories is None:
            return self.requests_of_users(self.vocabulary.user_ids(users))
        if users is not None:
            raise UserError("give users or histories, not both")
        return self.requests_of_histories(histories)

    def _labels(self, requests: Requests, first: int | None) -> np.ndarray:
        """(B,) what the users are called: their tokens, or numbers from ``first`` on."""
        if first is not None:
            return np.arange(first, first + len(requests.last))
        tokens = map(self.vocabulary.user_token, requests.log.user[requests.last].tolist())
        return np.array(list(tokens), dtype=object)


def _check_k(k: int) -> None:
    if k < 1:
        raise UserError(f"k must be at least 1, not {k}")


def _frame(vectors: np.ndarray, domain: str, name: str, tokens: Sequence[object]) -> pd.DataFrame:
    """Vectors (N, d) of a domain as rows, indexed by domain and token."""
    index = pd.MultiIndex.from_arrays([[domain] * len(vectors), tokens], names=["domain", name])
    return pd.DataFrame(vectors, index=index)
