"""Model classes by name, and the defaults of their parameters: the plugin's, RecBole's, RecBole-CDR's, and others."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import recbole
from recbole_cdr.utils import get_model

from recbole_lecdsr.errors import NotInstalledError, UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.recbole import OWN_TRAINERS, Baseline, baseline_class, is_recbole, recbole_class
from recbole_lecdsr.model.baselines.recbole_cdr import CDR_MODELS, CDRBaseline, cdr_baseline_class, is_recbole_cdr
from recbole_lecdsr.property_files import PROPERTIES, nearest, read_property_file
from recbole_lecdsr.schema import PARAMETERS, Parameter, from_default

ModelClass = type[CrossDomainSequentialRecommender]
_STOCK_HELP = "Described in the documentation of the model's framework."


def find_model(name: str) -> ModelClass:
    """The class that runs a model of the plugin, of RecBole-CDR or of RecBole, or a class of the user's own.

    Args:
        name: ``LeCDSR``, ``SASRec``, …; or the dotted name of a class, ``my_models.MyModel``, whose module is on the
            import path or in the current folder. A variant (``LeCDSR-paper``) is run by the class of the part before
            the dash.

    Raises:
        NotInstalledError: a model of RecBole-CDR without a checkout of it, or a model whose package is missing.
        UserError: a name that is none of these, or a model of RecBole that needs a trainer of its own.
    """
    name = name.partition("-")[0]
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        raise UserError(
            f"model {name!r} is not the name of a class: give one such as LeCDSR, SASRec or my_models.MyModel"
        )
    if "." in name:
        return run_class(_import_class(name))
    try:
        return run_class(get_model(name))
    except (ValueError, AttributeError, ImportError) as error:
        if name in CDR_MODELS:
            reason = f" ({error})" if isinstance(error, ImportError) else ""
            raise NotInstalledError(
                f"{name} is a model of RecBole-CDR, whose package on PyPI does not contain it{reason}: put a source "
                "checkout on the path (git clone https://github.com/RUCAIBox/RecBole-CDR; PYTHONPATH=RecBole-CDR)"
            ) from None
    try:
        stock = recbole_class(name)
    except ImportError as error:
        raise NotInstalledError(f"{name} of RecBole cannot be imported ({error}): install the package") from None
    if stock is None:
        files = sorted(path.stem for path in (PROPERTIES / "model").glob("*.yaml"))
        raise UserError(
            f"model {name!r} is neither one of this plugin or of RecBole-CDR nor a general or sequential one of "
            f"RecBole; {nearest(name, files, 'docs/models.md lists them')}"
        )
    if name in OWN_TRAINERS:
        raise UserError(
            f"{name} is trained by a trainer of its own in RecBole, which cannot train it on two domains: choose "
            "another model, docs/models.md lists them"
        )
    return baseline_class(stock)


def _import_class(name: str) -> type:
    """A class by its dotted name."""
    module_name, _, class_name = name.rpartition(".")
    if (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)  # after everything that is installed
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"model {name!r}: there is no module {error.name!r} in {folder} or on the import path; set PYTHONPATH to "
            "its folder"
        ) from None
    except AttributeError:
        raise UserError(f"model {name!r}: the module {module_name} has no class {class_name}") from None
    if not isinstance(found, type):
        raise UserError(f"model {name!r} is a {type(found).__name__}, not a class")
    return found


def run_class(model: type) -> ModelClass:
    """The class that runs a model: the class itself, or a baseline around one of RecBole or RecBole-CDR.

    Raises:
        UserError: a class without the interface that a run needs.
    """
    if is_recbole(model):
        return baseline_class(model)
    if is_recbole_cdr(model):
        return cdr_baseline_class(model)
    if not issubclass(model, CrossDomainSequentialRecommender):
        raise UserError(
            f"{model.__name__} is no model of this plugin: derive it from "
            'recbole_lecdsr.CrossDomainSequentialRecommender (CONTRIBUTING.md, "Add a model")'
        )
    return model


def model_defaults(model_class: ModelClass, name: str) -> list[dict[str, object]]:
    """The defaults that hold for a model, weakest first.

    These are the declared ones, for a baseline those of RecBole's or RecBole-CDR's property file, and those of
    ``properties/model/``: the file of the name (``LeCDSR-paper``), or else of the class or its nearest base class. What
    a class derived from that base class declares comes after the file.

    Args:
        model_class: from `find_model` or `run_class`.
        name: the model as the user names it.

    Raises:
        UserError: a variant without a property file.
    """
    bases = model_class.__mro__
    layers = [_declared_defaults(bases), *map(read_property_file, _stock_property_files(model_class))]
    names = [name, *(base.__name__ for base in (*_wrapped_class(model_class).__mro__, *bases))]
    path = next((path for one in names if (path := PROPERTIES / "model" / f"{one}.yaml").exists()), None)
    if "-" in name and (path is None or path.stem != name):
        raise UserError(f"model {name!r} has no property file {PROPERTIES / 'model' / name}.yaml")
    if path is None:
        return layers
    derived = tuple(takewhile(lambda base: base.__name__ != path.stem, bases))
    return [*layers, read_property_file(path), _declared_defaults(derived if len(derived) < len(bases) else ())]


def model_parameters(name: str) -> tuple[Parameter, ...]:
    """The parameters of a model's own, with the defaults that hold for it, to describe them in ``--help``.

    Args:
        name: of the model or of a variant.

    Raises:
        UserError: see `find_model` and `model_defaults`.
    """
    model_class = find_model(name)
    defaults = {key: value for layer in model_defaults(model_class, name) for key, value in layer.items()}
    declared = {one.name: one for one in model_class.declared_parameters()}
    general = {one.name for one in PARAMETERS}
    undeclared = {key: value for key, value in defaults.items() if key not in general and key not in declared}
    return (
        *(replace(one, default=defaults[one.name]) for one in declared.values()),
        *(replace(from_default(key, value), help=_STOCK_HELP) for key, value in undeclared.items()),
    )


def _declared_defaults(classes: Sequence[type]) -> dict[str, object]:
    """The defaults that classes declare themselves, those of the first over those of the others."""
    declared = [one for base in reversed(classes) for one in vars(base).get("hyperparameters", ())]
    return {one.name: one.default_value for one in declared}


def _wrapped_class(model_class: ModelClass) -> type:
    """The class of RecBole or RecBole-CDR within a baseline, or the model class itself."""
    if issubclass(model_class, Baseline):
        return model_class.recbole_class
    return model_class.cdr_class if issubclass(model_class, CDRBaseline) else model_class


def _stock_property_files(model_class: ModelClass) -> list[Path]:
    """RecBole's or RecBole-CDR's own property file of a baseline."""
    bases = _wrapped_class(model_class).__mro__
    paths: list[Path] = []
    if issubclass(model_class, Baseline):
        paths = [Path(recbole.__file__).parent / "properties" / "model" / f"{base.__name__}.yaml" for base in bases]
    elif issubclass(model_class, CDRBaseline):
        # Next to the model in a checkout, wherever the rest of RecBole-CDR comes from.
        base = next(base for base in bases if is_recbole_cdr(base))
        paths = [Path(inspect.getfile(base)).parents[2] / "properties" / "model" / f"{base.__name__}.yaml"]
    return [path for path in paths if path.exists()][:1]
