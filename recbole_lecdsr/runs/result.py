"""The result of a run: what `run_lecdsr` returns and result.json holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.metrics import DomainMetrics, flatten_metrics
from recbole_lecdsr.json_files import check_seal, parse_plain, read_json_object, seal
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.runs.run_directory import RUN_AGAIN, write_run_file
from recbole_lecdsr.runs.training import EpochRecord

# Number of the format. That of version 0.1.0 had none.
FORMAT = 2

_QUICK_START_KEYS = (
    "best_valid_score", "valid_score_bigger", "best_valid_result", "test_result", "result", "run_directory",
)  # fmt: skip

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
# As `DomainMetrics`, of metrics of ranks, which are from 0 to 1.
RankMetrics = dict[str, dict[str, Annotated[float, Field(ge=0, le=1)]]]


@dataclass(frozen=True)
class CandidateInfo:
    """Among which items the targets of the test samples are ranked.

    Attributes:
        mode: ``full``, ``uniN`` or ``popN`` (``eval_args.mode``).
        history_masked: whether items of the user's history are left out.
        digest: of the data, the samples and the seed that the candidates follow from.
    """

    mode: str
    history_masked: bool
    digest: str


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run; a field for each key of result.json, in the same order, and the run directory.

    It also has the keys of what RecBole's quick starts return, for code that is written for these:
    ``best_valid_score``, ``valid_score_bigger``, ``best_valid_result`` and ``test_result``, metrics under flat names
    such as ``source_hit@10`` (None where there are none); ``run_directory``, a text; and ``result``, the content of
    result.json (None where nothing was tested).

    >>> from recbole_lecdsr import run_lecdsr
    >>> result = run_lecdsr(dataset="movielens")  # doctest: +SKIP
    >>> result.test["overall"]["ndcg@10"], result["test_result"]["overall_ndcg@10"]  # doctest: +SKIP
    (0.1617, 0.1617)

    Attributes:
        model, dataset, seed: of the run.
        domains: ``source`` and ``target`` -> name.
        versions: library -> version.
        git_revision: commit of the package, with ``+`` where files differ from it; None outside a checkout.
        device: processor or GPU.
        processes: number of processes that trained the model together.
        trainable_parameters: how many numbers of the model are trained.
        seconds: ``load``, ``train``, ``valid`` and ``test`` -> seconds.
        samples_per_second: in training.
        peak_memory_bytes: of the ``process`` and, where one is used, of the ``gpu``.
        selection: ``mean`` or ``per_domain_best``.
        best_epoch: number of the selected epoch (``mean``), or of those of ``source`` and ``target``; None where no
            epoch was selected.
        epochs: how many were trained.
        valid: validation metrics of the selected epochs: ``source``, ``target`` and ``overall`` -> metric -> value;
            empty without validation.
        test: test metrics, likewise; empty where nothing was tested.
        test_samples: domain -> number of test samples.
        unseen_users: ``users`` without training interactions among those of test samples, their ``test_samples``, and
            ``left_out``, test interactions that are no samples since they are the first of their user; None in results
            of before these were counted.
        candidates: among which items the targets are ranked.
        reference: ``popularity`` and ``random`` -> test metrics of these rankings.
        recommended: coverage and popularity of the top items in each domain.
        coverage: how many items and users have an LLM embedding.
        history: the epochs.
        parameters: all parameters of the run.
        identity: digests of what the result follows from (`recbole_lecdsr.runs.identity.identify`); None in results of
            before identities were recorded.
        ranks_digest: of the content of ranks.npz; None in results of version 0.1.0.
        conditions: what the model reads, its size and what it is trained on; None in results of before they were
            recorded.
        placebos: ``item_vectors`` and ``user_vectors`` where they are random or permuted -> ``kind``, and ``digest`` of
            what was drawn; None without.
        folder: the run directory, which the file does not name.

    Raises:
        ValueError: values that contradict each other, or parameters without those that every run has.
    """

    model: str
    dataset: str
    domains: Mapping[str, str]
    seed: Count
    versions: Mapping[str, str]
    git_revision: str | None
    device: str
    processes: Annotated[int, Field(ge=1)] = 1  # absent in early results
    trainable_parameters: Count
    seconds: Mapping[str, Amount]
    samples_per_second: Amount
    peak_memory_bytes: Mapping[str, Count]
    selection: str
    best_epoch: Mapping[str, Count] | None
    epochs: Count
    valid: RankMetrics
    test: RankMetrics
    test_samples: Mapping[str, Count]
    candidates: CandidateInfo
    reference: Mapping[str, RankMetrics]
    recommended: DomainMetrics
    coverage: Mapping[str, Any]
    history: tuple[EpochRecord, ...]
    parameters: Mapping[str, Any]
    unseen_users: Mapping[str, Count] | None = None
    identity: Mapping[str, str | int] | None = None
    ranks_digest: str | None = None
    conditions: Conditions | None = None
    placebos: Mapping[str, Mapping[str, str]] | None = None
    folder: Path = field(default=Path(), compare=False)

    def __post_init__(self) -> None:
        if set(self.domains) != set(DOMAINS):
            raise ValueError(f"domains: must name {' and '.join(DOMAINS)}")
        if not self.test.keys() <= {*DOMAINS, "overall"} or not self.test_samples.keys() <= set(DOMAINS):
            raise ValueError("test and test_samples: must be of the domains")
        if absent := [name for name in ("train", "valid", "test") if name not in self.seconds]:
            raise ValueError(f"seconds.{absent[0]}: is missing")
        if not self.peak_memory_bytes:
            raise ValueError("peak_memory_bytes: is empty")
        if self.epochs != len(self.history):
            raise ValueError(f"epochs: is {self.epochs}, but the history has {len(self.history)}")
        if not isinstance(self.parameters.get("eval_args"), Mapping):
            raise ValueError("parameters.eval_args: must be a mapping")
        if not isinstance(self.parameters.get("valid_metric"), str):
            raise ValueError("parameters.valid_metric: must be the name of a metric")
        for number, epoch in enumerate(self.history):
            if any(self.valid_metric not in metrics for metrics in (epoch.valid or {}).values()):
                raise ValueError(f"history.{number}.valid: lacks {self.valid_metric}")

    # ------------------------------------------------------------------ what follows from the values

    @property
    def version(self) -> str:
        """The version of the plugin that wrote it; empty where it is not recorded."""
        return self.versions.get("recbole_lecdsr", "")

    @property
    def refit(self) -> bool:
        """Whether the tested model was retrained on training and validation interactions."""
        return bool(self.parameters.get("refit"))

    @property
    def split(self) -> object:
        """How the data were split: names of ready-made files, or the split, order and grouping."""
        if self.parameters.get("benchmark_filename"):
            return self.parameters["benchmark_filename"]
        return {key: self.parameters["eval_args"].get(key) for key in ("split", "order", "group_by")}

    @property
    def valid_metric(self) -> str:
        """The metric that selects the epoch, such as ``ndcg@10``."""
        return str(self.parameters["valid_metric"]).lower()

    @property
    def selected_epochs(self) -> frozenset[int]:
        """Numbers of the selected epochs within their phase."""
        return frozenset((self.best_epoch or {}).values())

    # ------------------------------------------------------------------ as RecBole's quick starts return it

    def __getitem__(self, key: str) -> Any:
        """One of the keys of RecBole's quick starts, see above.

        Raises:
            KeyError: any other key.
        """
        if key not in _QUICK_START_KEYS:
            raise KeyError(key)
        if key == "valid_score_bigger":
            return True  # of the metrics that may select epochs, those of ranks
        if key == "run_directory":
            return str(self.folder)
        if key == "result":
            return self.to_dict() if self.test else None
        if key == "test_result":
            return flatten_metrics(self.test) if self.test else None
        best = self._best_record()
        if key == "best_valid_score":
            return -math.inf if best is None else best.valid_score
        return None if best is None or best.valid is None else flatten_metrics(best.valid)

    def keys(self) -> tuple[str, ...]:
        """The keys of `__getitem__`."""
        return _QUICK_START_KEYS

    def __iter__(self) -> Iterator[str]:
        return iter(_QUICK_START_KEYS)

    def _best_record(self) -> EpochRecord | None:
        """The epoch with the best validation score in the last phase, of equal ones the latest; None without any."""
        validated = [epoch for epoch in self.history if epoch.phase == self.history[-1].phase and epoch.valid]
        return max(reversed(validated), key=lambda epoch: epoch.valid_score or 0.0, default=None)

    # ------------------------------------------------------------------ the file

    @classmethod
    def read(cls, path: Path) -> RunResult:
        """Read a result.json, of this version or of 0.1.0.

        Raises:
            UserError: a file that is missing or cannot be read, lacks a value or has an impossible one, was damaged or
                edited, or is of a later format.
        """
        missing = f"{path} does not exist: the run has not been tested; resume it with --resume=True"
        values = read_json_object(path, missing=missing, remedy=RUN_AGAIN)
        absent = [field.name for field in fields(cls) if field.name not in values and field.default is MISSING]
        if absent:
            raise UserError(f"{path} has no {', '.join(absent)}: another version wrote it; {RUN_AGAIN}")
        check_seal(values, path, format=FORMAT, remedy=RUN_AGAIN)
        try:
            return replace(parse_plain(cls, values), folder=path.parent)
        except ValueError as error:
            raise UserError(f"{path} lacks a value or has one that cannot be ({error}): {RUN_AGAIN}") from None

    def write(self, path: Path) -> None:
        """Write result.json; a crash leaves the former one as it was.

        Raises:
            UserError: the disk is full, or the folder cannot be written to.
        """
        with write_run_file(path) as file:
            json.dump(self.to_dict(), file, indent=2, ensure_ascii=False)
            file.write("\n")

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json, plain data with format and checksum."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "folder"}
        history = [epoch.to_dict() for epoch in self.history]
        plain = {"candidates": vars(self.candidates).copy(), "history": history}
        if self.conditions is not None:
            plain["conditions"] = {name: _plain(value) for name, value in vars(self.conditions).items()}
        return seal({**values, **plain}, FORMAT)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
