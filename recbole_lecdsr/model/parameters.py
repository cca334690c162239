"""Parameters that LeCDSR and the models built on its networks declare."""

from __future__ import annotations

from recbole_lecdsr.schema import Parameter

LECDSR_PARAMETERS: tuple[Parameter, ...] = ()
