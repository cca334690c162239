"""Makes the frameworks know the plugin's models."""

from __future__ import annotations

from importlib.util import find_spec

_FRAMEWORKS = {"recbole": "recbole==1.2.1", "recbole_cdr": "recbole-cdr==0.1.0"}


def register() -> None:
    """Repair the frameworks, then add the models to them; called on import of the package.

    Raises:
        ModuleNotFoundError: a framework is not installed; the message has the command.
    """
    missing = [distribution for module, distribution in _FRAMEWORKS.items() if find_spec(module) is None]
    if missing:
        raise ModuleNotFoundError(
            f"recbole_lecdsr needs {' and '.join(missing)}. Their own lists of dependencies cannot be satisfied on a "
            f"current Python; what they need is installed with recbole_lecdsr, so leave the lists out:\n"
            f"    pip install --no-deps {' '.join(missing)}"
        )
    from recbole_lecdsr.compat import apply, entry_points

    apply.apply()
    # Only now: these import the frameworks.
    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
    from recbole_lecdsr.data.loaders import data_preparation
    from recbole_lecdsr.model.lecdsr import LeCDSR
    from recbole_lecdsr.model.text_sasrec import TextSASRec
    from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer

    for model_class in (LeCDSR, TextSASRec):
        entry_points.register(
            model_class.__name__,
            model_class=model_class,
            dataset_class=CrossDomainSequentialDataset,
            trainer_class=CrossDomainSequentialTrainer,
            config_class=LeCDSRConfig,
            data_preparation=data_preparation,
        )
