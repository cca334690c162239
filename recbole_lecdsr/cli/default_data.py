"""The data sets that need no download: prepared and embedded when a command first uses them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_lecdsr.cli.console import out
from recbole_lecdsr.cli.embed import write_embeddings
from recbole_lecdsr.property_files import merge, read_property_file, split_command_line

if TYPE_CHECKING:
    from recbole_lecdsr.prepare.summary import PreparationSummary

# name of the pair of domains -> MovieLens edition
DEFAULT_DATA = {"movielens": "ml-100k", "movielens-1m": "ml-1m"}


def make_default_data(options: argparse.Namespace, embeddings: bool = True) -> None:
    """Prepare and embed the data set of a command, if it is one of `DEFAULT_DATA` and files that it reads are missing.

    Args:
        options: from `recbole_lecdsr.cli.options.run_options`.
        embeddings: make missing embeddings as well, not only atomic files.
    """
    layers = [*map(read_property_file, options.config_files), split_command_line(options.overrides)[0]]
    values = {"dataset": "movielens", "data_path": "dataset", **merge(*layers)}
    name = options.dataset or str(values["dataset"])
    if name not in DEFAULT_DATA:
        return
    folder = Path(str(values["data_path"])) / name
    domains = [folder / domain / domain for domain in ("action", "drama")]
    if not all(path.with_suffix(".inter").exists() for path in domains):
        out.print(f"preparing {name} in {folder}/", markup=False, soft_wrap=True)
        prepare_movielens(folder, DEFAULT_DATA[name])
    item_file, user_file = values.get("item_embedding_file"), values.get("user_embedding_file")
    vectors = [path.with_name(str(item_file or f"{path.name}.itememb")) for path in domains]
    vectors.append(folder / str(user_file or f"{name}.useremb"))
    if embeddings and not all(path.exists() for path in vectors):
        out.print(f"embedding the texts of {name} (once; about two minutes on a laptop)", markup=False)
        write_embeddings(options)


def prepare_movielens(folder: Path, source: str) -> PreparationSummary:
    """Write the atomic files of one of `DEFAULT_DATA`; returns the summary.

    Args:
        folder: of the pair of domains.
        source: MovieLens edition, ``ml-100k`` or ``ml-1m``.
    """
    from recbole_lecdsr.prepare import movielens  # imports pandas

    return movielens.prepare(folder, source)
