"""Adapts the frameworks and adds the plugin's models to them, when a framework is first imported."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from wrapt import register_post_import_hook

if TYPE_CHECKING:
    from recbole_lecdsr.compat.entry_points import PluginModel

_FRAMEWORKS = {"recbole": "recbole==1.2.1", "recbole_cdr": "recbole-cdr==0.1.0"}
# Models that RecBole-CDR's entry points find by name -> the module that defines them.
MODELS = {
    "LeCDSR": "recbole_lecdsr.model.lecdsr",
    "TextSASRec": "recbole_lecdsr.model.text_sasrec",
    "ABXI": "recbole_lecdsr.model.baselines.abxi",
    "UniSRec": "recbole_lecdsr.model.baselines.unisrec",
    "AlphaFuse": "recbole_lecdsr.model.baselines.alphafuse",
    "LLM4CDSR": "recbole_lecdsr.model.baselines.llm4cdsr",
    "LLMESR": "recbole_lecdsr.model.baselines.llmesr",
    "C2DSR": "recbole_lecdsr.model.baselines.c2dsr",
    "TriCDR": "recbole_lecdsr.model.baselines.tricdr",
}

_extended = False


def register() -> None:
    """Extend the frameworks: at once if one is imported already, otherwise right after the first import of either.

    Called on import of the package. Imports no framework itself.

    Raises:
        ModuleNotFoundError: a framework is not installed; the message has the command that installs it.
    """
    missing = [distribution for module, distribution in _FRAMEWORKS.items() if find_spec(module) is None]
    if missing:
        raise ModuleNotFoundError(
            f"recbole_lecdsr needs {' and '.join(missing)}. The dependencies that they declare cannot be satisfied on "
            f"a current Python; those that they use are installed with recbole_lecdsr, so install them without:\n"
            f"    pip install --no-deps {' '.join(missing)}"
        )
    for module in _FRAMEWORKS:
        register_post_import_hook(_extend_frameworks, module)


def _extend_frameworks(framework: ModuleType) -> None:
    """Run all adaptations, then register the models; later calls, also those within the first, do nothing."""
    global _extended
    if _extended:
        return
    _extended = True
    from recbole_lecdsr.compat import apply, entry_points

    apply.apply()
    for name, module in MODELS.items():
        entry_points.register(name, partial(_load_model, name, module))


def _load_model(name: str, module: str) -> PluginModel:
    """A model with the classes that run it.

    These are imported at the first use of the model, not when the frameworks are extended: the module whose import
    triggered the extension may be one of theirs.
    """
    from recbole_lecdsr.compat.entry_points import PluginModel
    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
    from recbole_lecdsr.data.loaders import data_preparation
    from recbole_lecdsr.quick_start import make_model_of_loader
    from recbole_lecdsr.runs.run_log import start_log
    from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer

    return PluginModel(
        model_class=getattr(import_module(module), name),
        dataset_class=CrossDomainSequentialDataset,
        trainer_class=CrossDomainSequentialTrainer,
        config_class=LeCDSRConfig,
        data_preparation=data_preparation,
        make_model=make_model_of_loader,
        start_log=lambda config: start_log(config["state"]),
    )
