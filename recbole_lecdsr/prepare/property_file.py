"""The property file of a prepared pair: a new one, that of an earlier preparation, or one that the plugin ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from recbole_lecdsr.data.splitting import BY_TIME, BY_USER
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.property_files import domain_names, read_property_file

_HEAD = """\
# The domains of {name}, made by `run_lecdsr.py prepare {kind}`.
# Parameters added here apply to every run with --dataset {name}; preparing the data again leaves this file as it is.
"""


@dataclass(frozen=True)
class PropertyFile:
    """The property file that applies to a pair.

    Attributes:
        path: where it is, or will be.
        new_files: name below the folder of the pair -> text, if the file is still to be written; else empty.
        values: the parameters that the file sets.
    """

    path: Path
    new_files: dict[str, str]
    values: Mapping[str, object]


def choose_property_file(
    folder: Path,
    name: str,
    kind: str,
    domains: tuple[str, str],
    *,
    settings: Mapping[str, object] | None = None,
) -> PropertyFile:
    """Find the property file that applies to a pair, or compose a new one.

    Args:
        folder: of the pair.
        name: of the pair.
        kind: of ``prepare``.
        domains: names of source and target.
        settings: further parameters of the data. An existing file must have the same domains and the same
            ``benchmark_filename``.

    Raises:
        UserError: the plugin ships a property file of this name, or the folder has one, that is for other domains or
            files and would apply to the new data.
    """
    settings = dict(settings or {})
    needed = _Identity(domains[0], domains[1], settings.get("benchmark_filename"))
    shipped_file = shipped("properties") / "dataset" / f"{name}.yaml"
    if shipped_file.exists():
        shipped_values = read_property_file(shipped_file)
        found = _identify(shipped_values)
        if found != needed:
            raise UserError(
                f"the plugin has a property file for data named {name!r}, {shipped_file}, which would apply to yours, "
                f"but has {_describe_difference(found, needed)}: choose another --name, or prepare the data set that "
                "it is for"
            )
        return PropertyFile(shipped_file, {}, shipped_values)
    path = folder / f"{name}.yaml"
    if path.exists():
        former_values = read_property_file(path)
        found = _identify(former_values)
        if found != needed:
            swapped = (found.source, found.target) == (needed.target, needed.source)
            remedy = ", or choose with --source" if swapped else ""
            raise UserError(f"{path} has {_describe_difference(found, needed)}: change or remove it{remedy}")
        return PropertyFile(path, {}, former_values)
    values = {"source_domain": {"dataset": domains[0]}, "target_domain": {"dataset": domains[1]}, **settings}
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    return PropertyFile(path, {path.name: _HEAD.format(name=name, kind=kind) + text}, values)


def read_split_rule(path: Path) -> Mapping[str, object] | None:
    """``eval_args.split`` of a property file, with ``group_by`` if it is by time; None where neither is set."""
    if not path.exists():
        return None
    arguments = _mapping(read_property_file(path), "eval_args")
    split = arguments.get("split")
    if not isinstance(split, Mapping):
        return None
    by_time = str(arguments.get("group_by", BY_USER)).lower() == BY_TIME
    return {**split, "group_by": BY_TIME} if by_time else split


@dataclass(frozen=True)
class _Identity:
    """The parameters by which a property file belongs to data."""

    source: object
    target: object
    benchmark_filename: object


def _identify(parameters: Mapping[str, object]) -> _Identity:
    values = domain_names(parameters)
    source, target = (_mapping(values, f"{role}_domain").get("dataset") for role in ("source", "target"))
    return _Identity(source, target, values.get("benchmark_filename"))


def _mapping(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def _describe_difference(found: _Identity, needed: _Identity) -> str:
    if (found.source, found.target) != (needed.source, needed.target):
        return f"{found.source!r} as source and {found.target!r} as target, not {needed.source!r} and {needed.target!r}"
    return f"benchmark_filename {found.benchmark_filename}, not {needed.benchmark_filename}"
