"""`run_lecdsr.py profile`: has a language model write texts about users and items."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_lecdsr.cli.console import print_summary
from recbole_lecdsr.cli.default_data import make_default_data
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.terminal import Console

if TYPE_CHECKING:
    from recbole_lecdsr.llm.generation.profiler import Profiler

DESCRIPTION = """\
A language model reads the training interactions of each user and writes a profile into profiles.jsonl, or with
--of items reads the fields of each item and writes a description into items.jsonl. `run_lecdsr.py embed` then encodes
these texts.

  --llm.backend=openai        an OpenAI-compatible server: address and key from OPENAI_BASE_URL and OPENAI_API_KEY
  --llm.backend=batch         write requests in OpenAI's Batch format; --results reads the result files
  --llm.backend=transformers  a causal language model on this machine
  --llm.backend=history       no language model: the formatted history itself is the text
  --llm.model=NAME            the model's name at the server, or a name or path for transformers
  --llm.prompt=NAME           a file of properties/prompt/ (lecdsr, hierarchical, facets), or the path of one like these
  --as_of 0.7,1.0             one profile of the first 70 % of a user's training interactions and one of all of them, so
                              that in training a target can meet a profile that was written without it

Every answer is stored in answers.jsonl in the folder of the data set as soon as it arrives: an interrupted command
resumes, and no question is paid for twice. docs/llm.md shows complete examples, docs/configuration.md explains all
parameters llm.*.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command ``profile``.

    Args:
        arguments: without the command's name; ``--help`` explains them.

    Returns:
        The exit status, 0.

    Raises:
        UserError: invalid settings or data; a model or an endpoint that cannot be used; no valid answer to
            any question.
    """
    parser = argparse.ArgumentParser(
        prog="run_lecdsr.py profile",
        usage="%(prog)s [--dataset NAME] [--of {users,items}] [--as_of SHARE[,SHARE …]] [--dry_run] "
        "[--results FILE …] [--config_files FILE …] [--NAME=VALUE …]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--of", choices=["users", "items"], default="users", help="what to write about (default users)")
    parser.add_argument(
        "--dry_run", action="store_true", help="only show prompts, number of requests, tokens and cost; send nothing"
    )
    parser.add_argument(
        "--results", nargs="+", type=Path, default=[], metavar="FILE", help="result files of a Batch API"
    )
    parser.add_argument(
        "--as_of",
        metavar="SHARE[,SHARE …]",
        help="write a profile from the first interactions of each user for each of these shares, such as 0.7,1.0",
    )
    options = run_options(arguments, parser)
    if options.as_of is not None:
        if options.of == "items":
            raise UserError(
                "--as_of says from which interactions the profiles of users are written: leave out --of items"
            )
        options.overrides.append(f"--as_of={options.as_of}")
    make_default_data(options, embeddings=False)

    from recbole_lecdsr.config import LeCDSRConfig
    from recbole_lecdsr.llm.generation.profiler import Profiler
    from recbole_lecdsr.quick_start import load_dataset

    values = {} if options.dataset is None else {"dataset": options.dataset}
    config = LeCDSRConfig(options.model, options.config_files, values, options.overrides)
    # Prompts show ratings, which training does not load.
    columns = {**config["load_col"], "inter": [*dict.fromkeys([*config["load_col"]["inter"], config["RATING_FIELD"]])]}
    dataset = load_dataset(
        options.model,
        options.dataset,
        options.config_files,
        config_dict={"load_col": columns},
        command_line=options.overrides,
    )
    profiler = Profiler(dataset, options.of)
    if options.dry_run:
        show_preview(Console(), profiler)
    else:
        report = profiler.run(options.results, show_progress=dataset.config["show_progress"])
        print_summary(report.summary())
        if report.has_failed:
            raise UserError(f"no {options.of} have a valid answer; {report.failure_file} says why")
    return 0


def show_preview(console: Console, profiler: Profiler) -> None:
    """Print what a run would ask: prompts, number of requests, tokens and cost."""

    def print_line(text: str = "") -> None:
        console.print(text, markup=False, soft_wrap=True)

    preview, settings = profiler.preview(), profiler.settings
    for number, messages in enumerate(preview.examples, start=1):
        print_line(f"--- prompt {number} ---")
        for message in messages:
            print_line(f"{message['role']}:\n{message['content']}\n")
    if settings.backend == "history":
        print_line(f"{profiler.subjects}: {preview.n_subjects:,}; no language model is used")
        return
    at_most = "at most " if preview.is_upper_bound else ""
    estimated = "" if settings.backend == "transformers" else " (estimated: a quarter of the bytes)"
    tokens_out = "no limit (llm.max_tokens)" if preview.tokens_out is None else f"at most {preview.tokens_out:,}"
    print_line(f"model: {settings.model} by {settings.backend}")
    print_line(f"{profiler.subjects}: {preview.n_subjects:,}")
    print_line(f"requests without an answer: {preview.requests:,}")
    print_line(f"tokens in: {at_most}{preview.tokens_in:,}{estimated}")
    print_line(f"tokens out: {tokens_out}")
    if preview.cost is None:
        print_line("cost: unknown; give llm.price_in and llm.price_out, the prices of a million tokens")
    else:
        print_line(f"cost: at most {preview.cost:,.2f}, by llm.price_in and llm.price_out")
