"""Parameters of evaluation: split, candidates, metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recbole_lecdsr.schema.parameter import Parameter

_MODE = re.compile(r"full|(?:uni|pop)[1-9]\d*")


def is_split(split: Mapping[str, object]) -> bool:
    """Whether a mapping is a split that `recbole_lecdsr.data.splitting` makes.

    Example:
        >>> is_split({"LS": "valid_and_test"}), is_split({"RS": [0.8, 0.1, 0.1]}), is_split({"RS": [0.9, 0.1]})
        (True, True, False)
    """
    ratios = split.get("RS")
    if split.keys() == {"RS"} and isinstance(ratios, list) and len(ratios) == 3:
        return all(isinstance(ratio, (int, float)) and ratio >= 0 for ratio in ratios) and ratios[0] > 0
    return split.keys() == {"LS"} and split["LS"] in ("valid_and_test", "valid_only", "test_only")


def is_mode(mode: object) -> bool:
    """Whether a value names candidates: one mode, or one for validation and one for the test.

    Example:
        >>> is_mode("uni999"), is_mode({"valid": "uni99", "test": "full"}), is_mode("uni")
        (True, True, False)
    """
    modes = list(mode.values()) if isinstance(mode, Mapping) else [mode]
    if isinstance(mode, Mapping) and mode.keys() != {"valid", "test"}:
        return False
    return all(isinstance(one, str) and _MODE.fullmatch(one) for one in modes)


_EVAL_ARGS = (
    Parameter(
        "split",
        dict,
        "LS, leave one out, or RS, ratios over the samples of each user or by time. LS: valid_and_test takes the last "
        "interaction for the test and the one before for validation; valid_only and test_only take one of them. RS: "
        "[train, valid, test].",
        default={"LS": "valid_and_test"},
        accepts=is_split,
        expected="{LS: valid_and_test}, {LS: valid_only}, {LS: test_only} or {RS: [train, valid, test]}",
        common=True,
    ),
    Parameter("order", str, "Order of interactions: by time, as sequences are.", default="TO", choices=("TO",)),
    Parameter(
        "group_by",
        str,
        "Split the samples of each user, or (none) all interactions by time. none (in RecBole also ~) needs split: "
        "{RS: [train, valid, test]}. What comes before one moment is for training, what comes before another for "
        "validation, so that no interaction later than a target is known to a model.",
        default="user",
        choices=("user", "none"),
        ignore_case=True,
        optional=True,
    ),
    Parameter(
        "mode",
        (str, dict),
        "Candidates: full, all items of the target's domain, or N of them, uniN or popN. Drawn once, uniformly or by "
        "popularity, and stored in <dataset>/candidates/. {valid: uni99, test: full} gives each part its own.",
        default="full",
        accepts=is_mode,
        expected="full, uniN or popN (such as uni999), or {valid: …, test: …} of these",
        common=True,
    ),
)

EVALUATION = (
    Parameter("eval_args", dict, "Split and candidates.", parts=_EVAL_ARGS),
    Parameter(
        "repeatable",
        bool,
        "Whether candidates may be items that the user had before. Without it they are items without an interaction of "
        "the user (in full ranking: outside the history).",
        default=False,
    ),
    Parameter(
        "metrics",
        list,
        "Metrics at each K of `topk`. MRR over the whole list, without K, is always given.",
        default=["Hit", "NDCG", "MRR"],
        choices=("Hit", "NDCG", "MRR", "Recall", "Precision", "MAP"),
        ignore_case=True,
        items=str,
        accepts=bool,
        common=True,
    ),
    Parameter(
        "topk",
        list,
        "The values of K.",
        default=[1, 5, 10, 20],
        items=int,
        minimum=1,
        accepts=bool,
        common=True,
    ),
    Parameter("valid_metric", str, "Metric that selects the epoch.", default="NDCG@10", common=True),
    Parameter("eval_batch_size", int, "Samples at a time.", default=512, minimum=1),
    Parameter("metric_decimal_place", int, "Read by RecBole: decimals of metrics.", default=10, minimum=0),
)
