"""Where the embedding files of a run are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Parameters that name another file than the usual one -> how it must end.
EMBEDDING_FILES = {"item_embedding_file": ".itememb", "user_embedding_file": ".useremb"}


def item_embedding_file(config: Mapping[str, Any], domain: str) -> Path:
    """The file of the LLM embeddings of the items of ``source`` or ``target``."""
    settings = config[f"{domain}_domain"]
    return Path(settings["data_path"]) / (config["item_embedding_file"] or f"{settings['dataset']}.itememb")


def user_embedding_file(config: Mapping[str, Any]) -> Path:
    """The file of the LLM embeddings of the users' profiles."""
    return Path(config["pair_path"]) / (config["user_embedding_file"] or f"{config['dataset']}.useremb")
