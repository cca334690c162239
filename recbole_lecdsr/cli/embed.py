"""`run_lecdsr.py embed`: texts to feature files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from inspect import cleandoc

from recbole_lecdsr.cli.console import print_summary
from recbole_lecdsr.cli.options import run_options

# ---------------------------------------------------------------------- embed


def embed(arguments: Sequence[str]) -> int:
    """Texts to feature files: <domain>.itememb of both domains, and <pair>.useremb.

    Item texts are the fields that item_text names, of <domain>.item and items.jsonl; user texts are profiles.jsonl
    (--user_text=history: none; the mean of the item vectors of the user's training events). --encoder=NAME_OR_PATH
    names another sentence-transformers model, --encoder=openai:MODEL an OpenAI-compatible embeddings endpoint (address
    and key from OPENAI_BASE_URL and OPENAI_API_KEY). docs/properties.md tells of prompts, sizes and reductions.
    --item_embedding_file=e5.itememb and --user_embedding_file=e5.useremb write beside the usual files; runs take them
    by the same parameters, `ablate --encoders e5` compares them.
    """
    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py embed", usage="%(prog)s [--dataset NAME] [--config_files FILE …] [--NAME=VALUE …]",
        description=cleandoc(embed.__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    print_summary(embed_dataset(run_options(arguments, parser)))
    return 0


def embed_dataset(options: argparse.Namespace) -> dict[str, object]:
    """Embed the texts of a data set; returns the summary.

    Args:
        options: from `recbole_lecdsr.cli.options.run_options`.
    """
    from recbole_lecdsr.llm.encoders.embed import embed
    from recbole_lecdsr.quick_start import load_dataset

    dataset = load_dataset(options.model, options.dataset, options.config_files, command_line=options.overrides)
    return embed(dataset, show_progress=dataset.config["show_progress"])
