"""The declaration of every parameter of a run: name, kind, range or choices, default, help; values in, errors out.

Imports neither a framework nor torch, so that ``--help`` is fast. What a model adds is declared by its class.
"""

from recbole_lecdsr.schema.combinations import validate_combinations
from recbole_lecdsr.schema.groups import GROUPS, PARAMETERS, Group, find, leaves, walk
from recbole_lecdsr.schema.influence import WITHOUT_INFLUENCE, digest_values, influential, parameter_digest
from recbole_lecdsr.schema.llm_features import ITEM_PLACEBOS, USER_PLACEBOS, is_file_name
from recbole_lecdsr.schema.parameter import Parameter, from_default
from recbole_lecdsr.schema.property_text import default_properties, yaml_text
from recbole_lecdsr.schema.reference import describe, parameter_table, table
from recbole_lecdsr.schema.training import TRAIN_MODES
from recbole_lecdsr.schema.unsupported import RENAMED, UNSUPPORTED
from recbole_lecdsr.schema.validation import (
    normalize_lists,
    parameter_names,
    validate_names,
    validate_values,
    without_neutral,
)

__all__ = [
    "GROUPS",
    "ITEM_PLACEBOS",
    "PARAMETERS",
    "RENAMED",
    "TRAIN_MODES",
    "UNSUPPORTED",
    "USER_PLACEBOS",
    "WITHOUT_INFLUENCE",
    "Group",
    "Parameter",
    "default_properties",
    "describe",
    "digest_values",
    "find",
    "from_default",
    "influential",
    "is_file_name",
    "leaves",
    "normalize_lists",
    "parameter_digest",
    "parameter_names",
    "parameter_table",
    "table",
    "validate_combinations",
    "validate_names",
    "validate_values",
    "walk",
    "without_neutral",
    "yaml_text",
]
