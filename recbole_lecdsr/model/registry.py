"""Model classes by name: this plugin's, RecBole's and RecBole-CDR's, and classes of the user's own."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path

from recbole_cdr.utils import get_model

from recbole_lecdsr.errors import NotInstalledError, UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.recbole import baseline_class, is_recbole, recbole_class
from recbole_lecdsr.model.baselines.recbole_cdr import CDR_MODELS, cdr_baseline_class, is_recbole_cdr
from recbole_lecdsr.property_files import (
    PROPERTIES,
    nearest,
)


def find_model(name: str) -> type:
    """A model of the plugin, one of RecBole-CDR or RecBole as a baseline, or a class of the user's own.

    Args:
        name: ``LeCDSR``, ``SASRec``, …; or the dotted name of a class, ``my_models.MyModel``, whose module is on the
            import path or in the current folder.

    Raises:
        NotInstalledError: a model of RecBole-CDR where there is no checkout of it.
        UserError: a name that is none of these.
    """
    if "." in name:
        return _run_class(_import_class(name))
    try:
        return _run_class(get_model(name))
    except (ValueError, AttributeError, ImportError) as error:
        if name in CDR_MODELS:
            reason = f" ({error})" if isinstance(error, ImportError) else ""
            raise NotInstalledError(
                f"{name} is a model of RecBole-CDR, whose package on PyPI does not bring it along{reason}: put a "
                "source checkout on the path (git clone https://github.com/RUCAIBox/RecBole-CDR; "
                "PYTHONPATH=RecBole-CDR)"
            ) from None
        stock = recbole_class(name)
    if stock is None:
        files = sorted(path.stem for path in (PROPERTIES / "model").glob("*.yaml"))
        raise UserError(
            f"model {name!r} is neither one of this plugin or of RecBole-CDR nor a general or sequential one of "
            f"RecBole; {nearest(name, files)}"
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


def _run_class(model: type) -> type[CrossDomainSequentialRecommender]:
    """The class that runs a model: its own, or a baseline around one of RecBole or RecBole-CDR.

    Raises:
        UserError: a class of neither framework that does not keep the model contract.
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


def _stock_properties(cdr_model: type) -> Path | None:
    """RecBole-CDR's property file of one of its models."""
    base = next(base for base in cdr_model.__mro__ if is_recbole_cdr(base))
    path = Path(inspect.getfile(base)).parents[2] / "properties" / "model" / f"{base.__name__}.yaml"
    return path if path.exists() else None
