"""`run_lecdsr.py profile`: texts about users and items by a language model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recbole_lecdsr.cli.console import print_summary
from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.llm.generation.job import Preview
from recbole_lecdsr.llm.settings import LLMSettings

DESCRIPTION = """\
A language model reads the training events of each user and writes a profile of them, into profiles.jsonl (users), or
the fields of each item and describes it, into items.jsonl (--of items). Then `run_lecdsr.py embed` makes vectors of the
texts.

  --llm.backend=openai        an OpenAI-compatible server: address and key from OPENAI_BASE_URL and OPENAI_API_KEY
  --llm.backend=batch         write requests in OpenAI's Batch format; --results reads what came back
  --llm.backend=transformers  a causal model on this machine
  --llm.backend=history       no language model: the formatted history itself is the text
  --llm.model=NAME            the model, as the server names it, or a name or path
  --llm.prompt=NAME           of properties/prompt/ (lecdsr, hierarchical), or the path of a file like these

Each answer is stored at once, in answers.jsonl beside the data: what was interrupted goes on, and a question is never
paid for twice. docs/llm.md tells more, docs/properties.md explains every parameter of llm.
"""


def main(arguments: Sequence[str]) -> int:
    """Write profiles of users or descriptions of items.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        0.

    Raises:
        UserError: settings, data, a model or an endpoint that are not as they should be.
    """

    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py profile", description=DESCRIPTION, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--dataset NAME] [--of {users,items}] [--dry_run] [--results FILE …] [--config_files FILE …] "
        "[--NAME=VALUE …]",
    )  # fmt: skip
    parser.add_argument("--of", choices=["users", "items"], default="users", help="default users")
    parser.add_argument("--dry_run", action="store_true", help="show prompts, number of requests, tokens and cost only")
    parser.add_argument("--results", nargs="+", type=Path, default=[], metavar="FILE", help="Batch result files")
    options = run_options(arguments, parser)
    make_default_data(options, embeddings=False)

    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.llm.generation.profiler import Profiler
    from recbole_lecdsr.quick_start import load_dataset

    values = {} if options.dataset is None else {"dataset": options.dataset}
    config = LeCDSRConfig(options.model, options.config_files, values, options.overrides)
    # Ratings too, where there are any.
    columns = {**config["load_col"], "inter": [*dict.fromkeys([*config["load_col"]["inter"], config["RATING_FIELD"]])]}
    dataset = load_dataset(
        options.model, options.dataset, options.config_files, {"load_col": columns}, options.overrides
    )
    profiler = Profiler(dataset, options.of)
    if options.dry_run:
        show(Console(highlight=False), profiler.preview(), profiler.settings, options.of)
    else:
        print_summary(profiler.run(options.results, show_progress=dataset.config["show_progress"]))
    return 0


def show(console: Console, preview: Preview, settings: LLMSettings, of: str) -> None:
    """Print what a run would ask."""

    def line(text: str = "") -> None:
        console.print(text, markup=False, soft_wrap=True)

    for number, messages in enumerate(preview.examples, start=1):
        line(f"--- prompt {number} ---")
        for message in messages:
            line(f"{message['role']}:\n{message['content']}\n")
    if settings.backend == "history":
        line(f"{of}: {preview.subjects:,}; no language model is asked")
        return
    most = "at most " if preview.later else ""
    counted = "" if settings.backend == "transformers" else " (estimated: a quarter of the bytes)"
    line(f"model: {settings.model} by {settings.backend}")
    line(f"{of}: {preview.subjects:,}")
    line(f"requests that have no answer yet: {preview.requests:,}")
    line(f"tokens in: {most}{preview.tokens_in:,}{counted}")
    out = "no limit (llm.max_tokens)" if preview.tokens_out is None else f"at most {preview.tokens_out:,}"
    line(f"tokens out: {out}")
    if preview.cost is not None:
        line(f"cost: at most {preview.cost:,.2f}, by llm.price_in and llm.price_out")
    else:
        line("cost: unknown; give llm.price_in and llm.price_out, for a million tokens each")
