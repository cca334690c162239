"""The command line: the main job, and the commands beside it (those with a part of their own are in `commands/`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recbole_lecdsr import processes
from recbole_lecdsr.commands import prepare_c2dsr
from recbole_lecdsr.errors import UserError

USAGE = """\
usage: run_lecdsr.py [--model NAME] [--dataset NAME] [--config_files FILE …] [--NAME=VALUE …]
       run_lecdsr.py prepare {movielens,amazon,table,c2dsr} …
                                                    raw data -> atomic files
       run_lecdsr.py profile …                      a language model reads training histories -> profiles.jsonl
       run_lecdsr.py embed …                        item text and profiles -> .itememb, .useremb
       run_lecdsr.py compare --models A,B,…         models side by side, several seeds, one report
       run_lecdsr.py ablate …                       LeCDSR, its ablations, other profiles and encoders, the same way
       run_lecdsr.py recommend --run DIR …          top items of each domain for users
       run_lecdsr.py tune …                         hyper-parameter search on validation
       run_lecdsr.py doctor                         versions, clashes, device, data

Without a command: train LeCDSR on a pair of domains and evaluate it in both. The default data set, movielens, is
prepared and embedded on the way.

  --model NAME            a model (LeCDSR), or a model with the properties of a variant (LeCDSR-paper)
  --dataset NAME          a pair of domains: properties/dataset/NAME.yaml or dataset/NAME/NAME.yaml
  --config_files FILE …   property files; later ones win
  --NAME=VALUE            any parameter, nested ones with dots: --learning_rate=0.01 --eval_args.mode=uni99

docs/properties.md explains every parameter. `run_lecdsr.py COMMAND --help` explains a command.
"""
DEFAULT_DATA = {"movielens": "ml-100k", "movielens-1m": "ml-1m"}

COMMANDS = {
    "prepare": "recbole_lecdsr.cli:prepare",
    "profile": "recbole_lecdsr.commands.profile:main",
    "embed": "recbole_lecdsr.cli:embed",
    "compare": "recbole_lecdsr.commands.compare:compare",
    "ablate": "recbole_lecdsr.commands.compare:ablate",
    "recommend": "recbole_lecdsr.commands.recommend:main",
    "tune": "recbole_lecdsr.commands.tune:main",
    "doctor": "recbole_lecdsr.cli:doctor",
}

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for a mistake of the user's, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments and arguments[0] in COMMANDS:
            if processes.several():
                raise UserError(
                    f"torchrun runs the main job in several processes, not {arguments[0]}: start it without torchrun "
                    "(processes that name the same --study of compare, ablate or tune share its work)"
                )
            module, _, name = COMMANDS[arguments[0]].partition(":")
            return getattr(import_module(module), name)(arguments[1:])
        return train(arguments)
    except UserError as error:
        for line in str(error).splitlines():
            err.print(f"[bold red]error[/]: {escape(line)}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        err.print("interrupted; a run goes on with --resume=True")
        return 130


# ---------------------------------------------------------------------- main job


def train(arguments: Sequence[str]) -> int:
    """The main job."""
    if {"-h", "--help"} & set(arguments):
        out.print(USAGE, markup=False, soft_wrap=True, end="")
        return 0
    options = run_options(arguments)
    from recbole_lecdsr.quick_start import run_lecdsr

    processes.join()
    with processes.first_before_others():
        make_default_data(options)
    outcome = run_lecdsr(
        options.model, options.dataset, config_file_list=options.config_files, command_line=options.overrides
    )
    if outcome["result"]:
        show(outcome["result"], Path(outcome["run_directory"]))
    processes.leave()
    return 0


def run_options(arguments: Sequence[str], parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """``model``, ``dataset``, ``config_files`` and the ``overrides``, arguments of the form --NAME=VALUE.

    Raises:
        UserError: arguments of another form, all at once.
    """
    parser = parser or argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model", help="model name (default LeCDSR)")
    parser.add_argument("--dataset", help="name of the pair of domains (default movielens)")
    parser.add_argument("--config_files", nargs="+", default=[], help="property files; later ones win")
    options, options.overrides = parser.parse_known_args(arguments)
    options.config_files = [name for group in options.config_files for name in group.replace(",", " ").split()]
    _refuse_strays(options.overrides)
    return options


def _refuse_strays(overrides: Sequence[str]) -> None:
    strays = [text for text in overrides if not (text.startswith("--") and "=" in text)]
    if strays:
        raise UserError(
            "\n".join(f"{text!r} is not a command, nor of the form --NAME=VALUE; see --help" for text in strays)
        )


def make_default_data(options: argparse.Namespace, embeddings: bool = True) -> None:
    """What the main job needs of a default data set and does not find: atomic files and, if wanted, embeddings."""
    from recbole_lecdsr.parameters import merge, read_property_file, split_command_line

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


def show(result: dict, folder: Path) -> None:
    """Print the outcome of a run as a table."""
    names = {"source": result["domains"]["source"], "target": result["domains"]["target"], "overall": "both"}
    parts = [part for part in names if part in result["test"]]
    metrics = [key for key in ("hit@10", "ndcg@10", "mrr") if key in result["test"][parts[0]]]
    table = Table(title=f"{result['model']} on {result['dataset']}, test", title_justify="left")
    table.add_column("domain")
    table.add_column("model")
    for metric in metrics:
        table.add_column(_metric_name(metric), justify="right")
    rows = {result["model"]: result["test"], **result["reference"]}
    for part in parts:
        for name, values in rows.items():
            cells = [f"{values[part][metric]:.4f}" for metric in metrics]
            ours = name == result["model"]
            table.add_row(escape(names[part]) if ours else "", name, *cells, style="bold" if ours else None)
        table.add_section()
    out.print(table)
    candidates, seconds = result["candidates"], result["seconds"]
    mode = "every item of the target's domain" if candidates["mode"] == "full" else candidates["mode"]
    history = "the user's own items left out" if candidates["history_masked"] else "the user's own items kept"
    samples = ", ".join(f"{count:,} {names[part]}" for part, count in result["test_samples"].items())
    best = result["best_epoch"] or {}
    chosen = ", ".join(f"{epoch}" if name == "mean" else f"{epoch} for {name}" for name, epoch in best.items())
    refit = " then trained anew on training and validation events;" if result["parameters"]["refit"] else ""
    last, chosen = result["epochs"] - 1, chosen or "unknown"
    out.print(
        f"{samples} test samples; candidates: {mode}, {history}; ties count against the model; "
        "mrr over the whole list.\n"
        f"Epochs 0 to {last}, the best {chosen};{refit} training {seconds['train']:.0f} s at "
        f"{result['samples_per_second']:,.0f} samples/s, validation {seconds['valid']:.0f} s, "
        f"test {seconds['test']:.0f} s; peak memory {max(result['peak_memory_bytes'].values()) / 1e9:.2f} GB.\n"
        f"Everything is in {folder}/",
        soft_wrap=True,
        markup=False,
    )


def _metric_name(metric: str) -> str:
    name, at, k = metric.partition("@")
    return ({"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}.get(name, name)) + at + k


# ---------------------------------------------------------------------- prepare


def prepare(arguments: Sequence[str]) -> int:
    """Raw data to atomic files."""
    from recbole_lecdsr.commands import prepare_amazon

    parser = argparse.ArgumentParser(prog="run_lecdsr.py prepare", description=prepare.__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    movielens = kinds.add_parser("movielens", help="the default data: two genre domains of ml-100k or ml-1m")
    movielens.add_argument("--source", default="ml-100k", choices=sorted(DEFAULT_DATA.values()))
    movielens.add_argument("--output", type=Path, help="folder (default dataset/movielens, or dataset/movielens-1m)")
    table = kinds.add_parser("table", help="CSV, TSV or Parquet files with user, item, domain and time columns")
    table.add_argument("files", nargs="+", type=Path)
    table.add_argument("--name", required=True, help="name of the pair of domains")
    for column, default in (("user", "user_id"), ("item", "item_id"), ("domain", "domain"), ("time", "timestamp")):
        table.add_argument(f"--{column}", default=default, help=f"its column (default {default})")
    table.add_argument("--source", help="value of the domain column that is the source (default: the first seen)")
    table.add_argument("--items", type=Path, help="table of items, with the item and domain columns and texts")
    table.add_argument(
        "--text", nargs="*", default=[],
        help="text columns to keep in .item: of --items (default: all), or, without it, of the events",
    )  # fmt: skip
    table.add_argument("--skip_bad_lines", action="store_true", help="leave out and count events that cannot be used")
    table.add_argument(
        "--output", type=Path,
        help="folder (default dataset/NAME; elsewhere it should end in NAME, and runs need --data_path=ITS_PARENT)",
    )  # fmt: skip
    prepare_amazon.add_parser(kinds)
    prepare_c2dsr.add_parser(kinds)
    options = parser.parse_args(arguments)
    if options.kind == "amazon":
        print_summary(prepare_amazon.run(options))
    elif options.kind == "c2dsr":
        print_summary(prepare_c2dsr.run(options))
    elif options.kind == "movielens":
        name = next(key for key, source in DEFAULT_DATA.items() if source == options.source)
        print_summary(_prepare_movielens(options.output or Path("dataset") / name, options.source))
    else:
        print_summary(_prepare_table(options))
    return 0


def _prepare_movielens(folder: Path, source: str) -> dict:
    from recbole_lecdsr.prepare import movielens

    return movielens.prepare(folder, source)


def _prepare_table(options: argparse.Namespace) -> dict:
    from recbole_lecdsr.prepare import table

    return table.prepare(
        options.files, options.output or Path("dataset") / options.name, options.name, options.user, options.item,
        options.domain, options.time, options.source, options.items, options.text, options.skip_bad_lines,
    )  # fmt: skip


def print_summary(summary: dict, indent: str = "") -> None:
    """Print what a job did, a line for each name."""
    for key, value in summary.items():
        if isinstance(value, dict):
            out.print(f"{indent}{key}:", markup=False)
            print_summary(value, indent + "  ")
        elif isinstance(value, list):
            for line in value:
                out.print(f"{indent}{key.removesuffix('s')}: {line}", markup=False, soft_wrap=True)
        else:
            text = f"{value:,}" if isinstance(value, int) else value
            out.print(f"{indent}{key}: {text}", markup=False, soft_wrap=True)


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
    print_summary(_embed(run_options(arguments, parser)))
    return 0


def _embed(options: argparse.Namespace) -> dict:
    from recbole_lecdsr.llm.embed import embed
    from recbole_lecdsr.quick_start import load_dataset

    dataset = load_dataset(options.model, options.dataset, options.config_files, command_line=options.overrides)
    return embed(dataset, show_progress=dataset.config["show_progress"])


# ---------------------------------------------------------------------- doctor


def doctor(arguments: Sequence[str]) -> int:
    """Versions, what is known to clash, the device, the data found."""
    argparse.ArgumentParser(prog="run_lecdsr.py doctor", description=doctor.__doc__).parse_args(arguments)
    from recbole_lecdsr import diagnosis

    findings = diagnosis.examine()
    marks = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[bold red]error[/]  "}
    for finding in findings:
        out.print(f"{marks[finding.level]} {escape(finding.text)}", soft_wrap=True)
        if finding.remedy:
            out.print(f"          {escape(finding.remedy)}", soft_wrap=True)
    return int(any(finding.level == "error" for finding in findings))
