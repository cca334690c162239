"""`run_lecdsr.py embed`: makes the embedding files of a data set from its texts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recbole_lecdsr.cli.console import print_summary
from recbole_lecdsr.cli.options import run_options

if TYPE_CHECKING:
    from recbole_lecdsr.llm.encoders.embed import EmbedReport

DESCRIPTION = """\
Encode texts as vectors: <domain>.itememb for the items of each domain, <pair>.useremb for the users.

The text of an item consists of the fields that item_text names, from <domain>.item and items.jsonl. The text of a user
is the profile in profiles.jsonl, or several texts, each of which becomes a vector of its own; with --user_text=history
a user needs no text and gets the mean of the item vectors of the training interactions.

  --encoder=NAME_OR_PATH      another sentence-transformers model
  --encoder=openai:MODEL      an OpenAI-compatible embeddings endpoint: address and key from OPENAI_BASE_URL and
                              OPENAI_API_KEY
  --item_embedding_file=e5.itememb --user_embedding_file=e5.useremb
                              write these files and leave the usual ones alone; a run reads them with the same two
                              parameters, and `ablate --encoders e5` compares them

  --profile_file=early.jsonl,full.jsonl --user_embedding_file=facets.useremb
                              several files of profiles, as of some first interactions, as the rows of one file

docs/llm.md shows complete examples, docs/configuration.md explains prompts, dimensions and reductions.
"""


def embed(arguments: Sequence[str]) -> int:
    """Run the command ``embed``.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        The exit status, 0.

    Raises:
        UserError: invalid settings; missing or malformed texts; an encoder that cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py embed",
        usage="%(prog)s [--dataset NAME] [--config_files FILE …] [--NAME=VALUE …]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    print_summary(write_embeddings(run_options(arguments, parser)).summary())
    return 0


def write_embeddings(options: argparse.Namespace) -> EmbedReport:
    """Load the data set that the options select and write its embedding files."""
    from recbole_lecdsr.llm.encoders.embed import embed
    from recbole_lecdsr.quick_start import load_dataset

    dataset = load_dataset(options.model, options.dataset, options.config_files, command_line=options.overrides)
    return embed(dataset, show_progress=dataset.config["show_progress"])
