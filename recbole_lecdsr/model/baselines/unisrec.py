"""UniSRec: items as adapted texts, pre-trained by contrastive losses or trained from scratch.

Source: Hou, Mu, Zhao, Li, Ding, Wen, "Towards universal sequence representation learning for recommender systems",
KDD 2022, arXiv 2206.05941. docs/models.md, 12, has the equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.embeddings.alignment import align
from recbole_lecdsr.data.embeddings.embedding_file import read_embedding
from recbole_lecdsr.data.embeddings.paths import item_embedding_file
from recbole_lecdsr.data.embeddings.provenance import check_embedding_files
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import ITEM_TEXT, CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.unisrec_network import KEPT, UniSRecNetwork
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.schema import Parameter, is_file_name

PRETRAIN = "PRETRAIN"
_ITEM_DROP = 0.9  # probability that an augmented view drops items, where it may drop words instead

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("embedding_size", int, "d, the size of states and adapted texts.", default=128, minimum=1, common=True),
    Parameter("inner_size", int, "Size of the feed-forward layers.", default=256, minimum=1),
    Parameter("n_layers", int, "Blocks of self-attention.", default=2, minimum=1),
    Parameter("n_heads", int, "Heads of self-attention.", default=2, minimum=1),
    Parameter("hidden_dropout_prob", float, "Dropout of inputs and layers.", default=0.3, minimum=0, below=1),
    Parameter("attn_dropout_prob", float, "Dropout of attention weights.", default=0.3, minimum=0, below=1),
    Parameter("n_experts", int, "K, the experts of the adaptor.", default=8, minimum=1),
    Parameter(
        "adaptor_dropout_prob",
        float,
        "Dropout of each expert's input. 0 lets the experts run once for each item of a step.",
        default=0.0,
        minimum=0,
        below=1,
    ),
    Parameter(
        "item_form",
        str,
        "What an item is: transductive, its text and a trainable ID; inductive, its text. Pre-training is inductive.",
        default="transductive",
        choices=("transductive", "inductive"),
        common=True,
    ),
    Parameter("temperature", float, "τ, the temperature of all losses.", default=0.07, above=0),
    Parameter(
        "sequence_loss_weight",
        float,
        "λ, the weight of the loss between two views of a sequence in pre-training.",
        default=0.001,
        minimum=0,
    ),
    Parameter(
        "freeze_encoder",
        bool,
        "After a phase PRETRAIN, train the adaptor, the first LayerNorm and the item IDs only.",
        default=True,
    ),
    Parameter(
        "word_drop_file",
        str,
        "File of the vectors of item texts with words left out, for pre-training, in each domain's folder. Without it "
        "the augmented view of a sequence drops items only.",
        optional=True,
        accepts=is_file_name(".itememb"),
        expected="the name of a file, without a folder, that ends in .itememb, such as drops.itememb",
    ),
    Parameter(
        "as_released",
        bool,
        "Do as the released code: padding is an item of the softmax, and more. In the augmented view the item before "
        "the one to drop is dropped; rows of the same target have the logit 0 instead of being left out.",
        default=False,
    ),
)


class UniSRec(CrossDomainSequentialRecommender):
    """Adapted texts under a causal transformer, scored by cosines.

    A phase ``PRETRAIN`` trains by in-batch contrastive losses over the samples of both domains, other phases by the
    softmax over the items of both. With ``train_samples: sequences`` all positions of a window are trained on together;
    an occurrence of an item then has one noise for all of its targets.
    """

    hyperparameters = PARAMETERS
    train_samples: ClassVar[tuple[str, ...]] = ("targets", "sequences")
    augmented_item_file = "word_drop_file"
    phases: ClassVar[Mapping[str, str]] = {PRETRAIN: "BOTH"}
    uses_every_parameter = True  # PRETRAIN, which uses no item ID, is refused in several processes
    has_inner_product_scores = True

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        item_embedding = dataset.item_embedding()
        dropped = None
        if config["word_drop_file"] is not None:
            dropped = read_dropped_embedding(dataset, item_embedding)
        self.network = UniSRecNetwork(
            torch.from_numpy(item_embedding),
            None if dropped is None else torch.from_numpy(dropped),
            max_length=config["MAX_ITEM_LIST_LENGTH"],
            size=config["embedding_size"],
            experts=config["n_experts"],
            adaptor_dropout=config["adaptor_dropout_prob"],
            blocks=config["n_layers"],
            heads=config["n_heads"],
            inner_size=config["inner_size"],
            dropout=config["hidden_dropout_prob"],
            attention_dropout=config["attn_dropout_prob"],
            item_id=config["item_form"] == "transductive",
            temperature=config["temperature"],
            padding_class=config["as_released"],
        )
        self.sequence_loss_weight = config["sequence_loss_weight"]
        self.freezes_encoder, self.as_released = config["freeze_encoder"], config["as_released"]
        self.phase, self.pretrained = "", False
        self._table: Tensor | None = None

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """Settings that do not go together; see `CrossDomainSequentialRecommender.check_parameters`."""
        errors = super().check_parameters(values)
        errors += check_heads(values, "n_heads")
        if values["no_item_semantics"]:
            errors.append(f"{cls.__name__} has no items without their texts: leave no_item_semantics: False")
        if values.get("word_drop_file") is not None and values["item_vectors"] != "text":
            errors.append(
                f"word_drop_file has vectors of the texts that item_vectors: {values['item_vectors']} replaces: leave "
                "word_drop_file empty"
            )
        if distributed.is_distributed() and any(PRETRAIN in str(phase) for phase in values["train_epochs"]):
            errors.append(
                f"the phase {PRETRAIN} compares the rows of a batch with each other, so it trains in one process only: "
                "start it without torchrun"
            )
        return errors

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """See `CrossDomainSequentialRecommender.required_features`."""
        return frozenset({ITEM_TEXT})

    @classmethod
    def scoring_parameters(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `CrossDomainSequentialRecommender.scoring_parameters`."""
        return {"word_drop_file": None}

    # ------------------------------------------------------------------ phases

    def set_phase(self, phase: str) -> None:
        """A phase begins. After ``PRETRAIN`` the transformer stays as it is, with ``freeze_encoder``."""
        self._set_phase(phase, self.pretrained or self.phase == PRETRAIN)

    def _set_phase(self, phase: str, pretrained: bool) -> None:
        self.phase, self.pretrained = phase, pretrained
        self.network.uses_id = phase != PRETRAIN
        trained = not (self.freezes_encoder and pretrained) or phase == PRETRAIN
        for part in (self.network.position, self.network.blocks):
            part.requires_grad_(trained)

    def get_extra_state(self) -> dict[str, object]:
        """The phase, and whether one of pre-training came before it."""
        return {"phase": self.phase, "pretrained": self.pretrained}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Continue in the phase of a checkpoint."""
        self._set_phase(state["phase"], state["pretrained"])

    # ------------------------------------------------------------------ training

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...]:
        """Softmax cross-entropy; in pre-training the loss of targets, and λ times that of augmented views."""
        item_seq, is_sequence = interaction[self.item_seq_field], self.target_seq_field in interaction
        target = interaction[self.target_seq_field] if is_sequence else interaction[self.item_field].unsqueeze(1)
        if self.phase != PRETRAIN:
            return self.network.softmax_loss(item_seq, target)
        of_targets, of_views = self.network.contrastive_losses(
            item_seq,
            target,
            torch.rand(item_seq.shape, device=item_seq.device) < KEPT,
            drop_words=self.network.has_dropped_text and torch.rand(()).item() >= _ITEM_DROP,
            released_drop=self.as_released,
            exclude_repeated=not self.as_released,
        )
        return of_targets, self.sequence_loss_weight * of_views

    # ------------------------------------------------------------------ scoring

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Adapt the texts of all items once."""
        with torch.no_grad():
            self._table = self.network.adapted_table()
        try:
            yield
        finally:
            self._table = None

    def _adapted_table(self) -> Tensor:
        return self.network.adapted_table() if self._table is None else self._table

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`."""
        return self.network.query(interaction[self.item_seq_field], self._adapted_table())

    def item_vectors(self) -> Tensor:
        """See `CrossDomainSequentialRecommender.item_vectors`."""
        return self.network.candidates(self._adapted_table())


def read_dropped_embedding(dataset: CrossDomainSequentialDataset, item_embedding: np.ndarray) -> np.ndarray:
    """V′, (n_items, D) float32: the vectors of item texts with words left out; of an item without one its own vector.

    Args:
        dataset: whose items they are of, and whose configuration names the file.
        item_embedding: V, (n_items, D) float32.

    Raises:
        UserError: a file that is missing, malformed or not what its sidecar describes, or vectors of another size than
            V.
    """
    dropped = item_embedding.copy()
    paths = {domain: item_embedding_file(dataset.config, domain, "word_drop_file") for domain in DOMAINS}
    check_embedding_files(list(paths.values()))
    for domain, path in paths.items():
        if not path.exists():
            raise UserError(
                f"{path} does not exist: make it with `run_lecdsr.py embed --dataset {dataset.config['dataset']} "
                f"--item_embedding_file={path.name}` from texts with words left out, or leave word_drop_file empty"
            )
        vectors = read_embedding(path, id_field="item_id")
        rows, _ = align(
            vectors, dataset.file_ids(domain, "item"), len(dropped), known=dataset.file_tokens[domain].items
        )
        if rows.shape[1] != dropped.shape[1]:
            raise UserError(
                f"{path}: its vectors have {rows.shape[1]} numbers, those of the whole texts {dropped.shape[1]}; embed "
                "both with one encoder"
            )
        found = rows.any(axis=1)
        dropped[found] = rows[found]
    return dropped
