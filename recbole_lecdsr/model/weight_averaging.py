"""Weight averaging for any model of the contract: a class derived from the model's, scoring with averaged weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.modules.weight_ema import WeightEMA


@cache
def with_weight_averaging(
    model_class: type[CrossDomainSequentialRecommender],
) -> type[CrossDomainSequentialRecommender]:
    """The model class that scores with the average of its weights; has the model's name."""
    members = {"__doc__": model_class.__doc__, "__module__": model_class.__module__}
    return type(model_class.__name__, (WeightAveragingMixin, model_class), members)


class WeightAveragingMixin(CrossDomainSequentialRecommender):
    """What `with_weight_averaging` puts before a model class.

    In evaluation mode the average of the weights after each step (``ema_decay``) scores. In training mode, where a loss
    may call `query`, the weights themselves do. `state_dict` has both.
    """

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.ema = WeightEMA(self, config["ema_decay"])

    def after_step(self) -> None:
        """Take the step into the average."""
        super().after_step()
        self.ema.update(self)

    def _scoring_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.training else self.ema.applied_to(self)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """As of the model, whose caches are made with the averaged weights."""
        with self._scoring_weights(), super().scoring():
            yield

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`."""
        with self._scoring_weights():
            return super().query(interaction)

    def item_vectors(self) -> Tensor:
        """See `CrossDomainSequentialRecommender.item_vectors`."""
        with self._scoring_weights():
            vectors = super().item_vectors()
            return vectors.view_as(vectors)  # a view keeps the averages when the table itself gets its own values back

    def predict(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.predict`."""
        with self._scoring_weights():
            return super().predict(interaction)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.full_sort_predict`."""
        with self._scoring_weights():
            return super().full_sort_predict(interaction)

    def score_items(self, interaction: Interaction, items: Tensor) -> Tensor:
        """See `CrossDomainSequentialRecommender.score_items`."""
        with self._scoring_weights():
            return super().score_items(interaction, items)
