"""The plugin's models behind RecBole-CDR's own entry points."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import recbole_cdr.data.dataset
import recbole_cdr.data.utils
import recbole_cdr.model
import recbole_cdr.quick_start.quick_start as cdr_quick_start
import recbole_cdr.trainer
import yaml
from recbole.config.configurator import Config
from recbole_cdr.config import CDRConfig

from recbole_lecdsr.compat.patching import _patch

_MODEL_PACKAGE = "recbole_cdr.model.cross_domain_recommender"


# ---------------------------------------------------------------------------------- RecBole-CDR: models


def _add_module(name: str, places: Iterable[str] | None = None) -> ModuleType:
    """An empty module under this name; a package if places are given."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None, is_package=places is not None)
    if places is not None:
        module.__path__ = module.__spec__.submodule_search_locations = places
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    return module


class _OnPath:
    """The folders of a package on the import path as it is when they are asked for."""

    def __init__(self, package: str):
        self.package = package

    def __iter__(self) -> Iterator[str]:
        places = (Path(entry or ".", *self.package.split(".")) for entry in sys.path)
        return (str(place) for place in places if place.is_dir())


def cdr_model_package() -> None:
    """The wheel lacks the package of its models; goes when it brings one. Those of a checkout on the path are seen."""
    if importlib.util.find_spec(_MODEL_PACKAGE) is None:
        _add_module(_MODEL_PACKAGE, _OnPath(_MODEL_PACKAGE))


class _Plugin(NamedTuple):
    """What `register` was given for a model."""

    model_class: type
    dataset_class: type
    trainer_class: type
    config_class: type
    data_preparation: Callable[[Config, object], tuple]


_plugins: dict[str, _Plugin] = {}
_running: ContextVar[Config | None] = ContextVar("configuration of the run in progress", default=None)


def register(
    name: str,
    model_class: type,
    dataset_class: type,
    trainer_class: type,
    config_class: type,
    data_preparation: Callable[[Config, object], tuple],
) -> None:
    """Make a model known to RecBole-CDR's ``get_model``, ``run_recbole_cdr`` and ``objective_function``.

    Args:
        name: its name in configurations.
        model_class: the model.
        dataset_class: built from a configuration.
        trainer_class: built from a configuration and a model.
        config_class: a subclass of CDRConfig, used in its place for this model and its subclasses.
        data_preparation: makes the three dataloaders from a configuration and a data set.
    """
    module_name = f"{_MODEL_PACKAGE}.{name.lower()}"
    known = importlib.util.find_spec(module_name) is not None
    setattr(importlib.import_module(module_name) if known else _add_module(module_name), name, model_class)
    setattr(recbole_cdr.data.dataset, f"{name}Dataset", dataset_class)
    setattr(recbole_cdr.trainer, f"{name}Trainer", trainer_class)
    _plugins[name] = _Plugin(model_class, dataset_class, trainer_class, config_class, data_preparation)


def _requested_model(
    model: str | type | None, files: Sequence[str] | None, values: Mapping[str, object] | None
) -> str | type | None:
    """The model that a configuration of these arguments will have: argument, command line, values, last file."""
    if model is None:
        given = [argument.partition("=")[2] for argument in sys.argv[1:] if argument.startswith("--model=")]
        model = given[-1] if given else (values or {}).get("model")
    for path in reversed(files or [] if model is None else []):
        model = model or (yaml.load(Path(path).read_text(encoding="utf-8"), yaml.FullLoader) or {}).get("model")
    return model


def _plugin_of(model: str | type | None) -> _Plugin | None:
    if isinstance(model, type):
        return next((plugin for plugin in _plugins.values() if issubclass(model, plugin.model_class)), None)
    return _plugins.get(str(model).partition("-")[0])


def cdr_quick_start_dispatch() -> None:
    """``run_recbole_cdr`` takes a class but looks its name up among its own models; goes when it uses the class.

    Its steps are looked up here first, so that a registered model runs with its own configuration and data.
    """

    @_patch(cdr_quick_start, "CDRConfig")
    def configure(stock: type, model=None, config_file_list=None, config_dict=None) -> CDRConfig:
        plugin = _plugin_of(_requested_model(model, config_file_list, config_dict))
        config_class = plugin.config_class if plugin else stock
        return config_class(model=model, config_file_list=config_file_list, config_dict=config_dict)

    @_patch(cdr_quick_start, "create_dataset")
    def create_dataset(stock: Callable, config: CDRConfig) -> object:
        _running.set(config)
        plugin = _plugin_of(config.model_class)
        return plugin.dataset_class(config) if plugin else stock(config)

    @_patch(cdr_quick_start, "data_preparation")
    def data_preparation(stock: Callable, config: CDRConfig, dataset: object) -> tuple:
        plugin = _plugin_of(config.model_class)
        return plugin.data_preparation(config, dataset) if plugin else stock(config, dataset)

    @_patch(cdr_quick_start, "get_model")
    def get_model(stock: Callable, name: str) -> type:
        config = _running.get()
        return config.model_class if config is not None and config["model"] == name else stock(name)

    @_patch(cdr_quick_start, "get_trainer")
    def get_trainer(stock: Callable, model_type: object, name: str) -> type:
        config = _running.get()
        plugin = _plugin_of(config.model_class) if config is not None and config["model"] == name else None
        return plugin.trainer_class if plugin else stock(model_type, name)
