"""The data sets that need no download: prepared and embedded at their first use."""

from __future__ import annotations

import argparse
from pathlib import Path

from recbole_lecdsr.cli.console import out
from recbole_lecdsr.cli.embed import _embed

DEFAULT_DATA = {"movielens": "ml-100k", "movielens-1m": "ml-1m"}


def make_default_data(options: argparse.Namespace, embeddings: bool = True) -> None:
    """What the main job needs of a default data set and does not find: atomic files and, if wanted, embeddings."""
    from recbole_lecdsr.property_files import merge, read_property_file, split_command_line

    layers = [*map(read_property_file, options.config_files), split_command_line(options.overrides)[0]]
    values = {"dataset": "movielens", "data_path": "dataset", **merge(*layers)}
    name = options.dataset or str(values["dataset"])
    if name not in DEFAULT_DATA:
        return
    folder = Path(str(values["data_path"])) / name
    domains = [folder / domain / domain for domain in ("action", "drama")]
    if not all(path.with_suffix(".inter").exists() for path in domains):
        out.print(f"preparing {name} in {folder}/")
        _prepare_movielens(folder, DEFAULT_DATA[name])
    vectors = [*(path.with_suffix(".itememb") for path in domains), folder / f"{name}.useremb"]
    if embeddings and not all(path.exists() for path in vectors):
        out.print(f"embedding the texts of {name} (once; about two minutes on a laptop)")
        _embed(options)


def _prepare_movielens(folder: Path, source: str) -> None:
    from recbole_lecdsr.prepare import movielens

    movielens.prepare(folder, source)
