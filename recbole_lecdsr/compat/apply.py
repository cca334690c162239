"""Runs all adaptations of RecBole 1.2.1 and recbole-cdr 0.1.0 to current NumPy, pandas, SciPy and torch.

The docstring of an adaptation says which fault it answers and when it can be removed. An adaptation does nothing where
its fault is absent, and none changes what a stock RecBole model computes. Classes, modules and globals are changed in
place, so the order of imports does not matter. docs/upstream.md lists all faults, including those that the plugin
answers elsewhere.
"""

from __future__ import annotations

from recbole_lecdsr.compat.cdr_config import cdr_configuration
from recbole_lecdsr.compat.cdr_dataloaders import cdr_dataloaders, cdr_evaluation, cdr_source_sampler
from recbole_lecdsr.compat.cdr_dataset import cdr_features, cdr_ids
from recbole_lecdsr.compat.checkpoints import recbole_checkpoints
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
from recbole_lecdsr.compat.tensorboard import tensorboard_threads

# In this order: the first ones make the frameworks' modules importable, which later ones import.
ADAPTATIONS = (
    numpy_aliases,
    sparse_matrix_update,
    quick_start_without_ray,
    recbole_checkpoints,
    gradient_scaler,
    anomaly_detection,
    sasrecf_feature_width,
    lists_of_regularisation,
    tensorboard_threads,
    pandas_missing_cells,
    pandas_sequence_lengths,
    pandas_read_only_arrays,
    cdr_configuration,
    cdr_ids,
    cdr_features,
    cdr_source_sampler,
    cdr_dataloaders,
    cdr_evaluation,
    cdr_model_package,
    cdr_quick_start_dispatch,
)
_applied = False


def apply() -> None:
    """Run all adaptations; later calls do nothing."""
    global _applied
    if _applied:
        return
    _applied = True
    for adapt in ADAPTATIONS:
        adapt()
