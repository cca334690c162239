"""Parameters that the plugin's models declare. Imports no framework, so that ``--help`` is fast."""

from __future__ import annotations

from recbole_lecdsr.schema import Parameter, find

# `recbole_lecdsr.model.ranking_losses` computes them.
RANKING_LOSS_NAMES = ("all_pairs_hinge", "own_sample_hinge", "psl", "softmax")

_NETWORK = (
    Parameter(
        "network",
        str,
        "published: the published gates, one query per window; causal: self-attention. The causal network has "
        "a query after each interaction and learns from sequences, the published one from targets (`train_samples`).",
        default="causal",
        choices=("published", "causal"),
        common=True,
    ),
    Parameter("embedding_size", int, "d, the size of embeddings.", default=128, minimum=1, common=True),
    Parameter("adapter_hidden_size", int, "H, the hidden size of both adapters.", default=256, minimum=1),
    Parameter(
        "no_user_profile",
        bool,
        "Ablation: no profile. The published network has a trainable embedding of the user instead.",
        default=False,
        common=True,
    ),
    Parameter(
        "no_semantic_fusion",
        bool,
        "Ablation: no fusion of IDs and texts. In the published network texts enter at the feature gate only.",
        default=False,
        common=True,
    ),
    Parameter(
        "mask_padding",
        bool,
        "Published network: keep padding out of fusion, gates and means. The published implementation does not.",
        default=True,
    ),
    Parameter(
        "init_from_text",
        bool,
        "Causal network: start the item table from principal components of the texts. Those of the items' LLM "
        "embeddings; otherwise it starts at random.",
        default=True,
    ),
    Parameter("attention_layers", int, "Causal network: layers of self-attention.", default=3, minimum=1),
    Parameter("attention_heads", int, "Causal network: heads of self-attention.", default=2, minimum=1),
    Parameter(
        "time_embedding_size",
        int,
        "Causal network: vectors between which the time of an interaction is interpolated. They are spread evenly over "
        "the time of the data; with 0, interactions have an order and no time.",
        default=64,
        minimum=0,
    ),
)

_TRAINING = (
    Parameter(
        "dropout_prob",
        float,
        "Causal network: dropout of inputs, of the profile and of what each layer adds.",
        default=0.5,
        minimum=0,
        maximum=1,
        common=True,
    ),
    Parameter(
        "profile_dropout",
        float,
        "Causal network: share of training targets whose query has no profile. The profile was written from training "
        "targets, too.",
        default=0.5,
        minimum=0,
        maximum=1,
    ),
    Parameter(
        "loss_type",
        str,
        "Ranking loss. all_pairs_hinge: hinge of each positive and the negatives of all samples of a batch, as the "
        "published script computes it; own_sample_hinge: with those of its own sample, as in the paper's equation; "
        "psl: of the PSL paper; softmax: sampled.",
        default="softmax",
        choices=RANKING_LOSS_NAMES,
        renamed={"psl_hinge": "own_sample_hinge"},
    ),
    Parameter("temperature", float, "τ, the temperature of the ranking loss.", default=0.75, above=0),
    Parameter("align_temperature", float, "τ₂, the temperature of the alignment loss.", default=0.1, above=0),
    Parameter(
        "align_weight",
        float,
        "λ, the weight of the alignment loss. 0: the ablation without alignment. The causal network aligns the items "
        "of a batch by cosines, the published one the interactions of a window.",
        default=0.1,
        minimum=0,
        common=True,
    ),
)

LECDSR_PARAMETERS: tuple[Parameter, ...] = (*_NETWORK, *_TRAINING)
# Of RecBole's models; the others are RecBole's own and come from its property files.
BASELINE_PARAMETERS: tuple[Parameter, ...] = (find("sequence"),)
