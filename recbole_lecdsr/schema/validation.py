"""Checks of given parameters: names, and values one by one. Combinations of values are in `combinations`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from recbole_lecdsr.property_files import nearest
from recbole_lecdsr.schema.groups import walk
from recbole_lecdsr.schema.parameter import Parameter
from recbole_lecdsr.schema.unsupported import UNSUPPORTED, refusal


def parameter_names(parameters: Iterable[Parameter]) -> set[str]:
    """The full names of parameters and of their parts."""
    return {name for name, _ in walk(parameters)}


def without_neutral(given: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Parameters without those that are not supported and ask for nothing, such as ``save_dataset: False``.

    Example:
        >>> without_neutral({"save_dataset": False, "seed": 1})
        {'seed': 1}
    """
    kept: dict[str, object] = {}
    for key, value in given.items():
        unsupported = UNSUPPORTED.get(prefix + key)
        if unsupported is not None and (type(value), value) in [(type(one), one) for one in unsupported.neutral]:
            continue
        kept[key] = without_neutral(value, f"{key}.") if not prefix and isinstance(value, Mapping) else value
    return kept


def validate_names(given: Mapping[str, object], known: Collection[str], prefix: str = "") -> list[str]:
    """Errors about names.

    Args:
        given: parameters of property files and of the command line, nested.
        known: full names. Where a mapping has known parts (``eval_args.mode``), its keys are checked too.
        prefix: of the full names of ``given``.

    Returns:
        A sentence for each name that is unknown or not supported.

    Example:
        >>> validate_names({"sead": 1, "checkpoint_dir": "saved"}, {"seed"})
        ["unknown parameter 'sead': did you mean seed?", 'checkpoint_dir has no effect here: use output_dir']
    """
    errors = []
    for key, value in given.items():
        name = f"{prefix}{key}"
        if name not in known:
            similar = nearest(key, [other for other in known if other.startswith(prefix)])
            errors.append(refusal(name) or f"unknown parameter {name!r}: {similar}")
        elif isinstance(value, Mapping) and any(other.startswith(f"{name}.") for other in known):
            errors += validate_names(value, known, f"{name}.")
    return errors


def validate_values(values: Mapping[str, object], parameters: Iterable[Parameter], prefix: str = "") -> list[str]:
    """Errors about single values.

    Args:
        values: parameter -> value, nested. Parameters without a declaration are left to others.
        parameters: the declarations.
        prefix: of the full names of ``values``.

    Returns:
        A sentence for each value that its declaration does not allow.

    Example:
        >>> from recbole_lecdsr.schema import PARAMETERS
        >>> validate_values({"topk": [0], "eval_args": {"order": "RO"}}, PARAMETERS)
        ["eval_args.order must be TO, not 'RO'", 'topk must be a list of whole numbers of at least 1, not [0]']
    """
    errors = []
    for parameter in parameters:
        if parameter.name not in values:
            continue
        value, name = values[parameter.name], f"{prefix}{parameter.name}"
        error = parameter.error(value, name)
        if error is not None:
            errors.append(error)
        elif parameter.parts and isinstance(value, Mapping):
            errors += validate_values(value, parameter.parts, f"{name}.")
    return errors


def normalize_lists(values: Mapping[str, Any], parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Values with lists that were given without brackets as lists.

    Example:
        >>> from recbole_lecdsr.schema import PARAMETERS
        >>> normalize_lists({"topk": 10, "seed": 1}, PARAMETERS)
        {'topk': [10], 'seed': 1}
    """
    result = dict(values)
    for parameter in parameters:
        if parameter.name in result:
            value = result[parameter.name]
            nested = parameter.parts and isinstance(value, Mapping)
            result[parameter.name] = normalize_lists(value, parameter.parts) if nested else parameter.normalized(value)
    return result
