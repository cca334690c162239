"""Checkpoints: tensors and plain data only, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.json_files import parse_plain
from recbole_lecdsr.runs.content_digest import content_digest
from recbole_lecdsr.runs.run_directory import write_run_file
from recbole_lecdsr.runs.training import MEAN, BestEpoch, EpochRecord, StateDict

# Number of the format. That of version 0.1.0 had none.
FORMAT = 3
CHECKSUM = "checksum"  # of all the rest


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """A run after an epoch: everything that it takes to resume the run or to use its model.

    Attributes:
        parameters: all parameters of the run.
        data_digest: digest of the interactions that it trains on.
        vocabulary_digests: ``users`` and ``items`` -> digest of their tokens in the order of the ids.
        best: the selected epochs so far: ``mean``, and with ``selection: per_domain_best`` those of the domains.
        last_state_dict: weights after ``epoch``; None where that is the epoch ``best["mean"]``.
        optimizer: state of the optimizer after ``epoch``.
        phase: index of the phase in ``train_epochs``.
        epoch: number within the phase, from 0.
        cur_step: validations since the best one.
        best_valid_score: of the phase.
        best_valid_result: metrics of the same epoch under RecBole's flat names; None without validation.
        training_ended: whether no later epoch can be selected.
        refitted: whether ``best["mean"]`` was retrained on training and validation interactions.
        history: the epochs so far.
        seconds: ``load``, ``train``, ``valid`` and ``test`` -> seconds so far.
        samples_seen: training samples in all epochs so far.
        identity: `recbole_lecdsr.runs.identity.identify`; empty in checkpoints of before identities were recorded.
        environment: `recbole_lecdsr.runs.environment.environment`; empty likewise.
    """

    parameters: Mapping[str, Any]
    data_digest: str
    vocabulary_digests: Mapping[str, str]
    best: Mapping[str, BestEpoch]
    last_state_dict: StateDict | None
    optimizer: Mapping[str, Any]
    phase: int
    epoch: int
    cur_step: int
    best_valid_score: float
    best_valid_result: Mapping[str, float] | None
    training_ended: bool
    refitted: bool
    history: tuple[EpochRecord, ...]
    seconds: Mapping[str, float]
    samples_seen: int
    identity: Mapping[str, str | int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def state_dict(self) -> StateDict:
        """Weights of the selected epoch, by the mean of both domains."""
        return self.best[MEAN].state_dict

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> Checkpoint:
        """Read a checkpoint, without running any code that the file might hold.

        Args:
            path: the file.
            device: where to put the tensors.

        Raises:
            UserError: the file is missing, truncated, damaged, no checkpoint of a run, or of another version's format.
        """
        state = _read_state(path)
        try:
            values = {name: parse_plain(kind, state[name]) for name, kind in _PLAIN.items()}
            best = {name: _parse_best(name, epoch, state) for name, epoch in _mapping(state, "best").items()}
            last = state["last_state_dict"]
            last = None if last is None else _mapping(state, "last_state_dict")
            optimizer = _mapping(state, "optimizer")
            if not isinstance(optimizer.get("state"), Mapping) or not isinstance(optimizer.get("param_groups"), list):
                raise ValueError("optimizer: must have state and param_groups")
            if MEAN not in best:
                raise ValueError(f"best: lacks {MEAN}")
        except ValueError as error:
            raise UserError(f"checkpoint {path} has a part that cannot be ({error}): {_REMEDY}") from None
        checkpoint = cls(**{**values, "best": best, "last_state_dict": last, "optimizer": optimizer})
        return checkpoint if torch.device(device).type == "cpu" else checkpoint._moved(device)

    def _moved(self, device: torch.device | str) -> Checkpoint:
        """The same with its weights on a device; an optimizer moves its state by itself when it loads it."""
        best = {name: replace(epoch, state_dict=_to(epoch.state_dict, device)) for name, epoch in self.best.items()}
        return replace(self, best=best, last_state_dict=_to(self.last_state_dict, device))

    def check_vocabulary(self, digests: Mapping[str, str], place: object) -> None:
        """Refuse data whose ids are of other users or items than those that the weights were trained for.

        Args:
            digests: `CrossDomainSequentialDataset.vocabulary_digests` of the data.
            place: where the data are, for the error.

        Raises:
            UserError: users or items that were renamed, added or removed.
        """
        changed = [kind for kind, digest in self.vocabulary_digests.items() if digests.get(kind) != digest]
        if changed:
            raise UserError(
                f"the weights do not fit the data in {place}: its {' and '.join(changed)} are not those of the "
                "training. Restore the data, give their data_path, or train again"
            )

    def save(self, path: Path) -> None:
        """Write the checkpoint; a crash leaves the former one as it was.

        The selected weights are under ``state_dict``, where tools look for them.

        Raises:
            UserError: the disk is full, or the folder cannot be written to.
        """
        from recbole_lecdsr import __version__

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        best = {
            name: {**vars(epoch), "state_dict": None if name == MEAN else epoch.state_dict}
            for name, epoch in self.best.items()
        }
        state = {
            "format": FORMAT,
            "version": __version__,
            "state_dict": self.state_dict,
            **values,
            "best": best,
            "history": [epoch.to_dict() for epoch in self.history],
        }
        state[CHECKSUM] = content_digest(state)
        with write_run_file(path, "wb") as file:
            torch.save(state, file)


_REMEDY = "delete it and train again, or restore it from a copy"
_TENSORS = ("best", "last_state_dict", "optimizer")  # the fields that hold tensors; all others are plain data
_HINTS = get_type_hints(Checkpoint)
_PLAIN = {field.name: _HINTS[field.name] for field in fields(Checkpoint) if field.name not in _TENSORS}


def _mapping(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = state[name]
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name}: must be a mapping of names, not {type(value).__name__}")
    return value


def _parse_best(name: str, values: Any, state: Mapping[str, Any]) -> BestEpoch:
    if not isinstance(values, Mapping):
        raise ValueError(f"best.{name}: must be a mapping, not {type(values).__name__}")
    absent = [field.name for field in fields(BestEpoch) if field.name not in values]
    if absent:
        raise ValueError(f"best.{name}: lacks {', '.join(absent)}")
    state_dict = _mapping(state, "state_dict") if name == MEAN else _mapping(values, "state_dict")
    hints = get_type_hints(BestEpoch)
    plain = {key: parse_plain(hints[key], values[key]) for key in ("epoch", "score", "valid")}
    return BestEpoch(**plain, state_dict=state_dict)


def _to(values: Any, device: torch.device | str) -> Any:
    """Weights with all tensors on a device; other values as they are."""
    if isinstance(values, Tensor):
        return values.to(device)
    return {key: _to(value, device) for key, value in values.items()} if isinstance(values, Mapping) else values


def _read_state(path: Path) -> dict[str, Any]:
    """The content of a checkpoint of the present format, with the checksum that it was written with."""
    try:
        size = path.stat().st_size
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: train first, or leave out --resume") from None
    except PermissionError as error:
        raise UserError(f"checkpoint {path} cannot be read ({error.strerror}): get permission to read it") from None
    except Exception as error:  # torch raises errors of many kinds on files that are no checkpoints
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"checkpoint {path} ({size} bytes) cannot be read, because it is truncated or not a checkpoint of a run "
            f"({reason}): {_REMEDY}"
        ) from None
    if not isinstance(state, dict) or "state_dict" not in state or "parameters" not in state:
        raise UserError(f"checkpoint {path} holds no LeCDSR run (no 'state_dict' or 'parameters'): give another file")
    if state.get("format") != FORMAT:
        version = state.get("version", "0.1.0")
        raise UserError(
            f"checkpoint {path} was written by recbole_lecdsr {version} in a format that this version cannot read: "
            f"train again, or use recbole_lecdsr {version}"
        )
    missing = [name for name in (*_PLAIN, *_TENSORS, CHECKSUM) if name not in state]
    if missing:
        raise UserError(f"checkpoint {path} lacks {', '.join(missing)}: {_REMEDY}")
    try:
        digest = content_digest({name: value for name, value in state.items() if name != CHECKSUM})
    except (TypeError, RuntimeError) as error:
        raise UserError(f"checkpoint {path} has a part that cannot be ({error}): {_REMEDY}") from None
    if digest != state[CHECKSUM]:
        raise UserError(f"checkpoint {path} is damaged: its content does not have the checksum in it; {_REMEDY}")
    return state
