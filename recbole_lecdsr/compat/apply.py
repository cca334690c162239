"""Adaptations that make RecBole 1.2.1 and recbole-cdr 0.1.0 work on today's NumPy, pandas, SciPy and torch.

`apply` runs every adaptation once; `register` makes a model of the plugin known to RecBole-CDR's own entry points.
Each adaptation says which fault it answers and when it can go, does nothing where it does not find that fault, and
changes nothing that a stock RecBole model computes. Classes, modules and globals are changed in place, so it does
not matter what was imported before. docs/upstream.md lists all faults, with the answers that are not here.
"""

from __future__ import annotations

import logging

from recbole_lecdsr.compat.cdr_config import cdr_configuration
from recbole_lecdsr.compat.cdr_dataloaders import cdr_dataloaders, cdr_evaluation, cdr_source_sampler
from recbole_lecdsr.compat.cdr_dataset import cdr_features, cdr_ids
from recbole_lecdsr.compat.checkpoints import own_checkpoints
from recbole_lecdsr.compat.entry_points import cdr_model_package, cdr_quick_start_dispatch
from recbole_lecdsr.compat.pandas import pandas_missing_cells, pandas_read_only_arrays, pandas_sequence_lengths
from recbole_lecdsr.compat.recbole import (
    anomaly_detection,
    gradient_scaler,
    lists_of_regularisation,
    numpy_aliases,
    quick_start_without_ray,
    sasrecf_feature_width,
    sparse_matrix_update,
)

logger = logging.getLogger(__name__)
_applied = False


def apply() -> None:
    """Run all adaptations; a second call does nothing."""
    global _applied
    if _applied:
        return
    _applied = True
    numpy_aliases()
    sparse_matrix_update()
    quick_start_without_ray()
    own_checkpoints()
    gradient_scaler()
    anomaly_detection()
    sasrecf_feature_width()
    lists_of_regularisation()
    pandas_missing_cells()
    pandas_sequence_lengths()
    pandas_read_only_arrays()
    cdr_configuration()
    cdr_ids()
    cdr_features()
    cdr_source_sampler()
    cdr_dataloaders()
    cdr_evaluation()
    cdr_model_package()
    cdr_quick_start_dispatch()
