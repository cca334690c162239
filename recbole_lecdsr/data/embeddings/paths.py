"""Where the embedding files of a run are."""

from __future__ import annotations

from pathlib import Path

from recbole_lecdsr.data.run_parameters import RunParameters

# Parameters that name another file than the default one -> the ending that its name must have.
EMBEDDING_FILES = {"item_embedding_file": ".itememb", "user_embedding_file": ".useremb"}


def item_embedding_file(config: RunParameters, domain: str, parameter: str = "item_embedding_file") -> Path:
    """The file of the LLM embeddings of the items of a domain.

    Args:
        config: of the run.
        domain: ``source`` or ``target``.
        parameter: which names the file; another one than the default for vectors of other texts of the items.
    """
    settings = config[f"{domain}_domain"]
    return Path(settings["data_path"]) / (config[parameter] or f"{settings['dataset']}.itememb")


def user_embedding_file(config: RunParameters) -> Path:
    """The file of the LLM embeddings of the users' profiles."""
    return Path(config["pair_path"]) / (config["user_embedding_file"] or f"{config['dataset']}.useremb")


def cache_path(path: Path) -> Path:
    """The file with the binary form of an embedding file.

    Example:
        >>> cache_path(Path("food/food.itememb")).name
        'food.itememb.cache'
    """
    return path.with_name(f"{path.name}.cache")
