"""`LeCDSRConfig`: RecBole-CDR's configuration with checked names and values, and no code in property files."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import recbole
import recbole_cdr
import torch
from recbole.config.configurator import Config
from recbole.utils import ModelType, argument_list
from recbole_cdr.config import CDRConfig
from recbole_cdr.utils import train_mode2state

from recbole_lecdsr import distributed, schema
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.redaction import refuse_secret_parameters
from recbole_lecdsr.model.aids import with_aids
from recbole_lecdsr.model.baselines.recbole import Baseline
from recbole_lecdsr.model.registry import ModelClass, find_model, model_defaults, run_class
from recbole_lecdsr.property_files import (
    explain_missing_domain,
    merge,
    nearest,
    read_dataset_properties,
    read_given,
    read_overall,
    read_property_file,
)
from recbole_lecdsr.schema.data import is_name

# Of the digest of parameters, in the name of a run directory.
DIGEST_DIGITS = 8

# Made by the configuration itself from the other values, or of no use beyond this process.
_DERIVED = {
    "device", "MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "config_files", "pair_path", "checkpoint_dir",
    "train_modes", "phase_names", "epoch_num", "source_split", "epochs", "local_rank", "single_spec",
    "valid_neg_sample_args", "test_neg_sample_args", "eval_neg_sample_args",
    "overwrite",  # a property file that repeats a run must not replace it
}  # fmt: skip


class LeCDSRConfig(CDRConfig):
    """Configuration of a run.

    Precedence: command line > config_dict > files > properties/dataset > properties/model > properties/overall >
    the frameworks' defaults.

    Beside the parameters it has ``phase_names``, the phases of ``train_epochs`` as written, and ``train_modes``, the
    train modes of RecBole-CDR whose samples they train on.

    Args:
        model: model name, a model class, or a name with a variant (``LeCDSR-paper``: class LeCDSR with the
            properties of that file); None takes it from the other arguments.
        config_file_list: property files, the last one wins.
        config_dict: values.
        command_line: arguments such as ``--learning_rate=0.01``, each of which must be known. None reads
            ``sys.argv`` as RecBole does, and leaves out what is not known, which may be of another program.

    Attributes:
        model_name: the model as named, with its variant; ``model`` is the name of its class.
        model_class: the class that runs it, with the aids that are switched on.
        created: when the configuration was made, by `time.perf_counter`.

    Raises:
        UserError: all errors at once, each with the value and a remedy.
    """

    def __init__(
        self,
        model: str | type | None = None,
        config_file_list: Sequence[str] | None = None,
        config_dict: Mapping[str, object] | None = None,
        command_line: Sequence[str] | None = None,
    ):
        self.created = time.perf_counter()
        self._init_parameters_category()
        self.yaml_loader = self._build_yaml_loader()
        foreign = command_line is None
        values, overrides = read_given(
            config_file_list or (), config_dict or {}, sys.argv[1:] if command_line is None else command_line
        )
        self._choose_model(model or overrides.get("model") or values.get("model"))
        overall = read_overall()
        layers = [*_framework_defaults(), overall, *model_defaults(self.model_class, self.model_name)]
        layers.append(read_dataset_properties(merge(overall, values, overrides)))
        known = self._known_names(layers)
        if foreign:
            overrides = {key: value for key, value in overrides.items() if key in known}
        self.internal_config_dict = merge(*layers)
        self.external_config_dict = self._external(merge(values, overrides))
        self.final_config_dict: dict[str, Any] = merge(self.internal_config_dict, self.external_config_dict)
        errors = self._resolve_and_validate(known)
        if errors:
            raise UserError("\n".join(errors))
        self._finish()

    # ------------------------------------------------------------------ model and layers

    def _choose_model(self, model: Any) -> None:
        self.model_class: ModelClass
        if isinstance(model, type):
            self.model_class, self.model_name = run_class(model), model.__name__
        else:
            self.model_name = str(model or read_overall()["model"])
            self.model_class = find_model(self.model_name)
        self.model = self.model_class.__name__
        # A model may declare a general parameter again, with a default or bounds of its own.
        declared = {one.name: one for one in (*schema.PARAMETERS, *self.model_class.declared_parameters())}
        self.declarations = tuple(declared.values())

    def _known_names(self, layers: Sequence[Mapping[str, object]]) -> set[str]:
        """Full names: declared ones, those that RecBole lists, and those of property files."""
        known = {name for group in ("general", "training", "evaluation", "dataset") for name in _recbole_names(group)}
        known.update(key for layer in layers for key in layer)
        known.update(f"{domain}_domain.{name}" for domain in DOMAINS for name in _recbole_names("dataset"))
        known.add("config_files")  # an option of command lines, which `sys.argv` may have
        return (known - schema.UNSUPPORTED.keys() - schema.RENAMED.keys()) | schema.parameter_names(self.declarations)

    def _external(self, values: Mapping[str, object]) -> dict[str, object]:
        """Given parameters, less the model and what asks for nothing."""
        result = schema.without_neutral(self._without_model_prefixes(values))
        result.pop("model", None)
        loss = result.get("loss_type", self.internal_config_dict.get("loss_type"))
        if result.get("train_neg_sample_args", {}) is None and (loss in ("CE", "softmax") or self._only_counts()):
            del result["train_neg_sample_args"]  # property files for RecBole say so of a softmax loss, and of counts
        return result

    def _only_counts(self) -> bool:
        """Whether the model has no loss, and so no use of negatives."""
        model = self.model_class
        is_traditional = issubclass(model, Baseline) and model.recbole_class.type == ModelType.TRADITIONAL
        return model.fitted_once or is_traditional

    def _without_model_prefixes(self, values: Mapping[str, object]) -> dict[str, object]:
        """Moves parameters that the model itself names ``source_…`` or ``target_…`` out of the settings of a domain."""
        result = dict(values)
        for domain in DOMAINS:
            settings = result.get(f"{domain}_domain")
            if not isinstance(settings, Mapping):
                continue
            own = {key for key in settings if f"{domain}_{key}" in self.internal_config_dict}
            result |= {f"{domain}_{key}": settings[key] for key in own}
            result[f"{domain}_domain"] = {key: value for key, value in settings.items() if key not in own}
        return result

    # ------------------------------------------------------------------ checks

    def _resolve_and_validate(self, known: set[str]) -> list[str]:
        """Bring values into their final form and return all errors."""
        wrong_values = [
            *schema.validate_values(self.final_config_dict, self.declarations),
            *schema.validate_values(self.external_config_dict, self._undeclared()),
        ]
        errors = [*schema.validate_names(self.external_config_dict, known), *wrong_values]
        self.final_config_dict = schema.normalize_lists(self.final_config_dict, self.declarations)
        self._resolve_intervals()
        errors += [
            *self._resolve_phases(),
            *schema.validate_combinations(self.final_config_dict),
            *self._validate_run(),
            *self._resolve_domains(),
        ]
        if not wrong_values:  # the model's check relies on values of their kinds
            model = with_aids(self.model_class, self.final_config_dict)
            changes = model.resolve_vectors(self.final_config_dict)
            self.final_config_dict |= changes
            self.external_config_dict |= changes  # as if given, so that the folder's name says that it is no default
            errors += model.check_parameters(self.final_config_dict)
        return errors

    def _undeclared(self) -> list[schema.Parameter]:
        """Parameters of RecBole's and RecBole-CDR's models, known by their defaults."""
        declared = {one.name for one in self.declarations}
        return [
            schema.from_default(name, default)
            for name, default in self.internal_config_dict.items()
            if name not in declared and default is not None
        ]

    def _resolve_phases(self) -> list[str]:
        """Epochs and phases: ``epochs``, for a single phase, as RecBole users write it; models fitted in one pass."""
        values, epochs = self.final_config_dict, self.external_config_dict.get("epochs")
        phases = values["train_epochs"]
        if not isinstance(phases, list) or not all(isinstance(phase, str) for phase in phases):
            return []
        errors = []
        if type(epochs) is int and epochs > 0:
            if len(phases) > 1:
                errors.append(f"epochs={epochs} with the phases {phases}: give each its number in train_epochs")
            phases = [f"{phase.partition(':')[0]}:{epochs}" for phase in phases]
        if self.model_class.fitted_once:
            phases = [f"{phase.partition(':')[0]}:1" for phase in phases]
        known = (*self.model_class.phases, *train_mode2state)
        for phase in phases:
            name, colon, _ = phase.partition(":")
            if colon and name not in known:
                errors.append(
                    f"train_epochs has the phase {name!r}; {self.model_name} has {', '.join(known)}: "
                    f"{nearest(name, known, 'choose one of these')}"
                )
        values["train_epochs"] = phases
        return errors

    def _validate_run(self) -> list[str]:
        """What the model class cannot do, or what is not installed."""
        values, errors = self.final_config_dict, []
        if distributed.is_distributed() and not self.model_class.supports_distributed:
            errors.append(
                f"{self.model_name} trains in one process only: start it without torchrun (`compare` in several "
                "processes that name the same --study trains several models at a time)"
            )
        negatives = values["train_neg_sample_args"]
        shared = not isinstance(negatives, Mapping) or negatives.get("shared") is not False
        loader = self.model_class.train_loader
        shares = issubclass(loader, TrainLoader) and loader.shares_negatives
        if values["train_samples"] == "sequences" and shares and not shared:
            errors.append(
                "train_samples: sequences needs train_neg_sample_args.shared: True, since the positions of a batch "
                "share their negatives"
            )
        try:
            refuse_secret_parameters("llm", values["llm"])  # config.yaml and result.json would have it
        except UserError as error:
            errors.append(str(error))
        if values["ema_decay"] and self._only_counts():
            errors.append(
                f"{self.model_name} is fitted in one pass and takes no steps whose weights could be averaged: set "
                f"ema_decay to 0 (in a study by the label {self.model_name}:ema_decay=0)"
            )
        if values["log_wandb"] is True and find_spec("wandb") is None:
            errors.append("log_wandb: True needs the package wandb: pip install wandb")
        return errors

    # ------------------------------------------------------------------ what RecBole expects of a configuration

    def _resolve_intervals(self) -> None:
        """RecBole takes an interval as text; ``[0,5]`` is a list to YAML."""
        for values in (self.final_config_dict, *(self.final_config_dict.get(f"{d}_domain") or {} for d in DOMAINS)):
            for key in ("user_inter_num_interval", "item_inter_num_interval"):
                if isinstance(values, dict) and isinstance(values.get(key), list):
                    values[key] = f"[{','.join(map(str, values[key]))}]"

    def _resolve_domains(self) -> list[str]:
        """Complete the settings of each domain, with the folder of its files, and return errors."""
        values, errors = self.final_config_dict, []
        self.domains: dict[str, dict[str, Any]] = {}
        if not isinstance(values["data_path"], str) or not is_name(values["dataset"] or ""):
            return []  # reported as wrong values
        pair = Path(str(values["data_path"])) / str(values["dataset"])
        values["pair_path"] = str(pair)
        common = {key: values[key] for key in _recbole_names("dataset") if key in values}
        folders: dict[str, Path] = {}
        for domain in DOMAINS:
            key, settings = f"{domain}_domain", values[f"{domain}_domain"]
            if not isinstance(settings, Mapping):
                continue  # reported as a wrong value
            if not settings.get("dataset"):
                errors.append(explain_missing_domain(domain, values))
                continue
            name, root = str(settings["dataset"]), settings.get("data_path")
            self.domains[key] = {**settings, "dataset": name}
            # dataset/<pair>/<domain>/, or RecBole's own dataset/<domain>/
            places = [Path(str(root)) / name] if root else [pair / name, pair.parent / name]
            found = next((place for place in places if place.is_dir()), None)
            if found is None:
                errors.append(
                    f"the {domain} domain {name!r} is not in {' nor in '.join(map(str, places))}: "
                    f"prepare it (`run_lecdsr.py prepare --help`) or set data_path"
                )
            else:
                folders[domain] = found.resolve()
                values[key] = {**common, **self.domains[key], "data_path": str(found)}
        if len(folders) == 2 and len(set(folders.values())) == 1:
            errors.append(
                f"source and target domain are both {folders['source']}: give one of source_domain.dataset and "
                "target_domain.dataset another name"
            )
        return errors

    def _finish(self) -> None:
        values = self.final_config_dict
        is_default = self._is_default()
        self.model_class = with_aids(self.model_class, values)
        values["MODEL_TYPE"] = self.model_class.type
        mode = values["eval_args"]["mode"]
        if not isinstance(mode, Mapping):
            mode = {"valid": mode, "test": mode}
        group_by = str(values["eval_args"]["group_by"]).lower()  # RecBole has None and any case of "none"
        values["eval_args"] = {**values["eval_args"], "mode": mode, "group_by": group_by}
        if values["clip_grad_norm"] is not None and not isinstance(values["clip_grad_norm"], Mapping):
            values["clip_grad_norm"] = {"max_norm": values["clip_grad_norm"]}
        self.dataset = values["dataset"] = str(values["dataset"])
        values["model"] = self.model
        self._set_default_parameters()
        values["MODEL_INPUT_TYPE"] = self.model_class.resolve_input_type(values)
        self._set_device()
        for phase in ("valid", "test"):
            Config._set_eval_neg_sample_args(self, phase)
        digest = "" if is_default else f"-{schema.parameter_digest(self.plain())[:DIGEST_DIGITS]}"
        name = values["run_name"] or f"{self.model_name}-{values['seed']}{digest}"
        values["checkpoint_dir"] = str(Path(values["output_dir"]) / self.dataset / name)

    def _is_default(self) -> bool:
        """Whether no parameter that has an influence on the result differs from the property files of model and data.

        Seed and data set do not count: they are in the path of the run directory.
        """
        values = schema.influential({**self.final_config_dict, **self.domains})
        defaults = schema.influential(schema.normalize_lists(self.internal_config_dict, self.declarations))
        given = self.external_config_dict.keys() - _DERIVED - {"seed", "dataset"}
        if "epochs" in self.external_config_dict and not self.model_class.fitted_once:
            given.add("train_epochs")
        return all(values[name] == defaults.get(name) for name in given & values.keys())

    def _set_default_parameters(self) -> None:
        """RecBole-CDR's derived parameters, of phases that it does not know too."""
        values = self.final_config_dict
        written: list[str] = values["train_epochs"]
        values["phase_names"] = [phase.partition(":")[0] for phase in written]
        modes = [self.model_class.phases.get(name, name) for name in values["phase_names"]]
        values["train_epochs"] = [
            f"{mode}:{phase.partition(':')[2]}" for mode, phase in zip(modes, written, strict=True)
        ]
        super()._set_default_parameters()
        values["train_epochs"] = written

    def _set_device(self) -> None:
        values = self.final_config_dict
        distributed.init()
        if values["use_gpu"] and distributed.world_size() == 1:
            self._init_device()
        else:
            device = distributed.local_gpu() if values["use_gpu"] and torch.cuda.is_available() else torch.device("cpu")
            values.update(single_spec=True, local_rank=0, device=device)
        if distributed.rank() > 0:  # what the first process reports is enough
            values.update(state="error", show_progress=False, log_wandb=False)

    # ------------------------------------------------------------------ what others ask

    @property
    def run_directory(self) -> Path:
        """``<output_dir>/<dataset>/<model>-<seed>``, with a digest of the parameters unless they are the defaults.

        `recbole_lecdsr.runs.run_folders.take_run_directory` may choose another one.
        """
        return Path(self.final_config_dict["checkpoint_dir"])

    def plain(self) -> dict[str, object]:
        """All values that were given or are defaults, as plain data: a property file that repeats the run."""
        left_out = _DERIVED | schema.UNSUPPORTED.keys()
        values = {key: value for key, value in self.final_config_dict.items() if key not in left_out}
        return {key: _plain(value) for key, value in {**values, **self.domains, "model": self.model_name}.items()}


def _framework_defaults() -> list[dict[str, object]]:
    layers = [
        read_property_file(Path(recbole.__file__).parent / "properties" / "overall.yaml"),
        read_property_file(Path(recbole.__file__).parent / "properties" / "dataset" / "sample.yaml"),
        read_property_file(Path(recbole_cdr.__file__).parent / "properties" / "overall.yaml"),
    ]
    # properties/overall.yaml states these whole, so parts of the frameworks' must not be merged into them.
    for layer in layers:
        for key in ("eval_args", "train_neg_sample_args", "load_col", "neg_sampling"):
            layer.pop(key, None)
    return layers


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _recbole_names(group: str) -> list[str]:
    """Names of parameters that RecBole lists: of ``general``, ``training``, ``evaluation`` or ``dataset``."""
    return getattr(argument_list, f"{group}_arguments")
