"""The model contract: everything that training, evaluation, distributed runs and serving ask of a model.

A model derives from `CrossDomainSequentialRecommender` and defines `calculate_loss`, and how it scores: by `query` and
`item_vectors`, whose inner products are then the scores, by `score`, or by RecBole's `predict` and `full_sort_predict`.
Everything else has a default. CONTRIBUTING.md, "Add a model", shows a complete one.

A resumed run ends as the uninterrupted one if a model keeps what changes in training in parameters, buffers and
`get_extra_state` (tensors, numbers, texts, and containers of them), and draws random numbers from the generators of
Python, NumPy and torch, which are seeded before each epoch and before samples are ranked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from recbole.data.interaction import Interaction
from recbole.utils import InputType
from recbole_cdr.model.crossdomain_recommender import CrossDomainRecommender
from torch import Tensor

from recbole_lecdsr.data.constants import (
    DOMAIN_FIELD,
    DOMAIN_ITEM_FIELD,
    DOMAIN_PLACE_FIELD,
    DOMAINS,
    ITEM_TEXT,
    N_EARLIER_FIELD,
    PLACE_FIELD,
    RELATIVE_TIME_FIELD,
    TARGET_FIELD,
    TIME,
    USER_TEXT,
    VECTOR_PARAMETERS,
)
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.domain_windows import DomainWindows
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.model.conditions import (
    INTERACTIONS,
    SEQUENCES,
    TARGETS,
    Conditions,
    first_number,
    window_kinds,
    with_phases,
)
from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.sequence_input import SequenceInput
from recbole_lecdsr.schema import Parameter, find


class CrossDomainSequentialRecommender(CrossDomainRecommender):
    """Base class of every model that the plugin trains.

    A batch is a RecBole `Interaction`; `sequence_input` reads its histories. B is the batch size, L
    ``MAX_ITEM_LIST_LENGTH``, N the number of negatives, C the number of candidates.

    Class attributes, for a subclass to override:
        hyperparameters: the model's own parameters of property files and command line. Those of its base classes are
            added (`declared_parameters`).
        train_loader: makes the training batches: a class with the interface of `TrainLoader`, such as one of
            `recbole_lecdsr.data.position_loader`, with negatives of each position.
        train_samples: values of the parameter ``train_samples`` that the model can learn from: ``targets`` (a row for
            each target, with negatives) and ``sequences`` (a row for each sequence, with a target at every position).
        reads_domain_windows: whether the model reads a window of each domain beside the mixed one; it then needs
            ``sequence: mixed_and_single``.
        feature_switches: feature of `required_features` -> the parameter and its value with which the model does
            without it. A switch counts where `required_features` then leaves the feature out.
        trains_user_ids: whether the model can have a trainable vector of each user in the profile's place
            (``user_vectors: id``).
        augmented_item_file: the parameter that names a file of vectors of augmented item texts, beside those of the
            texts, in each domain's folder; None for a model that reads none.
        phases: train modes of the model's own, such as ``{"PRETRAIN": "BOTH"}``: the name for ``train_epochs`` and
            `set_phase`, and RecBole-CDR's mode whose samples the phase trains on.
        needs_history: what a training target teaches depends on the interactions before it, so that a user's first
            interaction is no target. False for a model that reads users and items alone: it trains on all training
            interactions.
        fitted_once: the model is fitted in one pass over the data; a run trains one epoch, whatever ``train_epochs``.
        supports_distributed: each part of the loss of a batch is a sum, or by `count_loss_terms` a mean, over its rows,
            or a sum over its pairs of rows (`all_pairs_losses`), so that its rows can be distributed over processes.
        uses_every_parameter: every training step gives every parameter a gradient. Saves DistributedDataParallel a
            search for unused ones.
        deterministic_on_gpu: all its operations have deterministic algorithms on a GPU. False makes torch warn instead
            of refusing where there is none.
        summed_losses: which parts of `calculate_loss` are sums over the rows of a batch; the others are means
            (`count_loss_terms`).
        all_pairs_losses: which parts are sums over all pairs of rows of a batch. In several processes such a part must
            compare its rows with those of all (`recbole_lecdsr.distributed.gather_rows`). Its gradient is that of the
            whole sum, its value a share: the shares of the processes add up to the whole.
        has_inner_product_scores: whether `query` and `item_vectors` give its scores, for export and serving.
    """

    hyperparameters: ClassVar[tuple[Parameter, ...]] = ()
    input_type: ClassVar[InputType] = InputType.PAIRWISE  # RecBole's word for batches with negatives
    train_loader: ClassVar[type] = TrainLoader
    train_samples: ClassVar[tuple[str, ...]] = ("targets",)
    reads_domain_windows: ClassVar[bool] = False
    feature_switches: ClassVar[Mapping[str, tuple[str, Any]]] = {ITEM_TEXT: ("no_item_semantics", True)}
    trains_user_ids: ClassVar[bool] = False
    augmented_item_file: ClassVar[str | None] = None
    phases: ClassVar[Mapping[str, str]] = {}
    needs_history: ClassVar[bool] = True
    fitted_once: ClassVar[bool] = False
    supports_distributed: ClassVar[bool] = True
    uses_every_parameter: ClassVar[bool] = False
    deterministic_on_gpu: ClassVar[bool] = True
    has_inner_product_scores: ClassVar[bool] = False
    summed_losses: tuple[int, ...] = ()  # an instance may set it
    all_pairs_losses: tuple[int, ...] = ()  # likewise

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.list_suffix = suffix = config["LIST_SUFFIX"]
        self.item_seq_field, self.domain_seq_field = self.item_field + suffix, DOMAIN_FIELD + suffix
        self.target_seq_field, self.time_seq_field = TARGET_FIELD + suffix, RELATIVE_TIME_FIELD + suffix
        self.position_field = config["POSITION_FIELD"]
        self.length_field = config["ITEM_LIST_LENGTH_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field

    # ------------------------------------------------------------------ before the model is made

    @classmethod
    def declared_parameters(cls) -> tuple[Parameter, ...]:
        """The parameters that this class and its base classes declare, those of a subclass first."""
        found: dict[str, Parameter] = {}
        for base in cls.__mro__:
            for parameter in vars(base).get("hyperparameters", ()):
                found.setdefault(parameter.name, parameter)
        return tuple(found.values())

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """Errors of a configuration that no single parameter shows, each with its remedy.

        Args:
            values: parameter -> value, each of which is of its declared kind.
        """
        errors = []
        chosen, sequence = values["train_samples"], values["sequence"]
        if chosen not in cls.train_samples:
            errors.append(
                f"{cls.__name__} cannot learn from train_samples: {chosen}; use {' or '.join(cls.train_samples)}"
            )
        if cls.reads_domain_windows != (sequence == "mixed_and_single"):
            errors.append(
                f"{cls.__name__} cannot read sequence: {sequence}; use "
                + ("mixed_and_single" if cls.reads_domain_windows else "mixed or single")
            )
        return errors + [error for feature in VECTOR_PARAMETERS if (error := cls._vector_error(feature, values))]

    @classmethod
    def _vector_error(cls, feature: str, values: Mapping[str, Any]) -> str | None:
        """What is wrong with ``item_vectors`` or ``user_vectors``, after `resolve_vectors`."""
        name = VECTOR_PARAMETERS[feature]
        default = find(name).default
        chosen = values.get(name, default)
        text = {ITEM_TEXT: "item texts", USER_TEXT: "user profiles"}[feature]
        left_out = {ITEM_TEXT: "no_item_semantics", USER_TEXT: "no_user_profile"}[feature]
        if chosen == default or (chosen == "id" and cls.trains_user_ids) or values.get(left_out) is True:
            return None  # the last of these is refused by `validate_combinations`
        if feature not in cls.required_features(values):
            return f"{cls.__name__} reads no {text} that {name}: {chosen} could replace: leave {name} out"
        if chosen == "none":
            return f"{cls.__name__} cannot do without {text}: leave {name}: none out"
        if chosen == "id":
            return f"{cls.__name__} has no place for a trainable vector of each user: use {name}: random or permuted"
        return None

    @classmethod
    def resolve_vectors(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """What ``user_vectors: none`` and ``item_vectors: none`` change: they are the model's own switches.

        The default takes the place of ``none``, so that the two ways to write it are the same run. What the model
        cannot do without stays, for `check_parameters` to refuse.

        Args:
            values: the parameters of the run.
        """
        changes: dict[str, Any] = {}
        for feature, name in VECTOR_PARAMETERS.items():
            is_read, switch = feature in cls.required_features(values), cls.switch_without(feature, values)
            if values[name] == "none" and (switch or not is_read):
                changes |= {name: find(name).default, **(dict([switch]) if is_read and switch else {})}
        return changes

    @classmethod
    def resolve_input_type(cls, values: Mapping[str, Any]) -> InputType:
        """RecBole's input type of the batches, given a configuration."""
        return cls.input_type

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """Which features beside ids the model reads: any of ``item_text``, ``user_text`` and ``time``."""
        return frozenset()

    @classmethod
    def switch_without(cls, feature: str, values: Mapping[str, Any]) -> tuple[str, Any] | None:
        """Parameter and value by which a run does without a feature; None where the model cannot (`feature_switches`).

        Args:
            feature: one of `required_features`.
            values: the parameters of the run.
        """
        if feature not in cls.feature_switches:
            return None
        name, value = cls.feature_switches[feature]
        return (name, value) if feature not in cls.required_features({**values, name: value}) else None

    @classmethod
    def setting_without(cls, feature: str, values: Mapping[str, Any]) -> str | None:
        """`switch_without` as on the command line."""
        switch = cls.switch_without(feature, values)
        return None if switch is None else f"--{switch[0]}={switch[1]}"

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """What the model reads, its size and what it is trained on, for the report of a comparison.

        The default follows from `required_features`, `needs_history`, ``sequence``, ``train_samples`` and the usual
        names of parameters. A model overrides what is otherwise, by `dataclasses.replace` of this.

        Args:
            values: the parameters of a run.
        """
        features, history = cls.required_features(values), window_kinds(values["sequence"])
        trained_on, needed = INTERACTIONS, values["MIN_ITEM_LIST_LENGTH"]
        if cls.needs_history:
            trained_on = {"targets": TARGETS, "sequences": SEQUENCES}[values["train_samples"]]
            trained_on += f"; of at least {needed} earlier interactions" if needed > 1 else ""
        return Conditions(
            item_texts=ITEM_TEXT in features and values["item_vectors"] == "text",
            user_profiles=USER_TEXT in features and values["user_vectors"] == "profiles",
            times=TIME in features,
            target_domain=("history",) if "single" in history else (),
            counts=False,
            history=history if cls.needs_history else (),
            window=values["MAX_ITEM_LIST_LENGTH"] if cls.needs_history else None,
            embedding_size=first_number(values, ("embedding_size", "hidden_size")),
            layers=first_number(values, ("attention_layers", "n_layers", "num_layers")),
            trained_on=with_phases(trained_on, values["train_epochs"]),
        )

    @classmethod
    def scoring_parameters(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Parameters to change where the model only makes queries, with the weights of a run and without its data.

        Such a model reads items' texts, no profile and no interactions. A model of `has_inner_product_scores` overrides
        it where its constructor would otherwise need more.

        Args:
            values: the parameters of the run.
        """
        return {}

    @classmethod
    def training_data(cls, dataset: CrossDomainSequentialDataset) -> CrossDomainSequentialDataset:
        """The data whose training targets (`needs_history`) the training loader takes as its samples."""
        return dataset if cls.needs_history else dataset.with_every_training_target()

    # ------------------------------------------------------------------ training

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...]:
        """Loss of a training batch: a scalar, or parts whose sum is minimised and which are logged apart."""
        raise NotImplementedError

    def count_loss_terms(self, interaction: Interaction) -> Tensor | tuple[Tensor | int, ...]:
        """How many terms each part of `calculate_loss` is a mean over, for the same batch.

        Of several processes each computes the loss of its rows of a batch, and the parts weigh by these numbers, so
        that the mean gradient is that of the whole batch. A part that every process computes for the whole batch has
        the same number in each, such as 1.

        Returns:
            A scalar tensor for all parts, or a number for each. By default the targets of the batch.
        """
        if self.target_seq_field in interaction:
            return interaction[self.target_seq_field].ne(0).sum()
        return interaction[self.item_field].ne(0).sum()

    def set_phase(self, phase: str) -> None:
        """A phase of ``train_epochs`` begins: one of RecBole-CDR's train modes or of `phases`."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimizer, with settings that differ from ``learning_rate`` and ``weight_decay``."""
        return [{"params": list(self.parameters())}]

    def learning_rate_factor(self, epoch: int, epochs_without_improvement: int) -> float:
        """Factor on the learning rate of the epoch that begins: warm-up, decay, cuts.

        Called once before each epoch. A schedule with a memory keeps it in `get_extra_state`.

        Args:
            epoch: number within the phase, from 0.
            epochs_without_improvement: validations since the best one.
        """
        return 1.0

    def after_step(self) -> None:
        """An optimizer step has been taken."""

    def after_epoch(self) -> None:
        """An epoch has ended; the model is in training mode, and validation comes next."""

    # ------------------------------------------------------------------ scoring

    @property
    def scored_domains(self) -> tuple[str, ...]:
        """The domains whose items the model can score in its present state."""
        return DOMAINS

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Surrounds batches that are scored with the same weights, so that per-item results can be cached.

        The model is in evaluation mode. What is cached must be dropped at the end.
        """
        yield

    def sequence_input(self, interaction: Interaction) -> SequenceInput:
        """The histories of a batch as tensors."""
        return SequenceInput(
            interaction[self.item_seq_field],
            interaction[self.position_field],
            interaction[self.domain_seq_field],
            interaction[self.time_seq_field],
            interaction[DOMAIN_FIELD],
            interaction[self.user_field],
            interaction[N_EARLIER_FIELD],
        )

    def domain_windows(self, interaction: Interaction) -> DomainWindows:
        """The windows of each domain of a batch, where the model `reads_domain_windows`."""
        names = (DOMAIN_ITEM_FIELD, DOMAIN_PLACE_FIELD, PLACE_FIELD)
        return DomainWindows(*(interaction[name + self.list_suffix] for name in names))

    @property
    def has_vectors(self) -> bool:
        """Whether `query` and `item_vectors` give its scores, or those of the network alone that an aid changes."""
        return self.has_inner_product_scores

    def query(self, interaction: Interaction) -> Tensor:
        """(B, d) float, whose inner product with row c of `item_vectors` is the score of item c."""
        raise NotImplementedError

    def item_vectors(self) -> Tensor:
        """(n_items, d) float, a vector of each item of either domain; the row of the padding item 0 has no meaning."""
        raise NotImplementedError

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of the given items: item ids (B,) -> (B,), or (B, C) -> (B, C)."""
        item = interaction[self.item_field]
        return self.score(interaction, item.view(len(item), -1)).view(item.shape)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items of both domains, (B, n_items)."""
        return self.score(interaction, None)

    def score_items(self, interaction: Interaction, items: Tensor) -> Tensor:
        """Scores of the same items for all samples, in a tensor that the caller may overwrite.

        Full ranking asks for the items of one domain at a time. Override it where these cost less than all items.

        Args:
            interaction: B samples.
            items: (C,) int64 item ids.

        Returns:
            (B, C).
        """
        return self.full_sort_predict(interaction).view(len(interaction), -1).index_select(1, items)

    def score(self, interaction: Interaction, candidates: Tensor | None) -> Tensor:
        """Scores by inner products.

        Args:
            interaction: B samples.
            candidates: (B, C) int64 item ids, or None for all items.

        Returns:
            (B, C) or (B, n_items).
        """
        query, vectors = self.query(interaction), self.item_vectors()
        return query @ vectors.T if candidates is None else candidate_scores(query, vectors, candidates)
