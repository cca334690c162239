"""Checkpoints: tensors and plain data only, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.run_directory import write_run_file
from recbole_lecdsr.runs.training import MEAN, BestEpoch, EpochRecord, StateDict

# Number of the format. That of version 0.1.0 had none.
FORMAT = 2


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
    identity: Mapping[str, Any] = field(default_factory=dict)
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
            UserError: the file is missing, truncated, not a checkpoint of a run, or of another version's format.
        """
        state = _read_state(path, device)
        best = {
            name: BestEpoch(**{**epoch, "state_dict": state["state_dict"] if name == MEAN else epoch["state_dict"]})
            for name, epoch in state["best"].items()
        }
        history = tuple(map(EpochRecord.from_dict, state["history"]))
        values = {field.name: state[field.name] for field in fields(cls) if field.name in state}
        return cls(**{**values, "best": best, "history": history})

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
        with write_run_file(path, "wb") as file:
            torch.save(state, file)


def _read_state(path: Path, device: torch.device | str) -> dict[str, Any]:
    """The content of a checkpoint of the present format."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: train first, or leave out --resume") from None
    except Exception as error:  # torch raises errors of many kinds on files that are no checkpoints
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"checkpoint {path} ({path.stat().st_size} bytes) cannot be read, because it is truncated or not a "
            f"checkpoint of a run ({reason}): delete it and train again, or restore it from a copy"
        ) from None
    if not isinstance(state, dict) or "state_dict" not in state or "parameters" not in state:
        raise UserError(f"checkpoint {path} holds no LeCDSR run (no 'state_dict' or 'parameters'): give another file")
    if state.get("format") != FORMAT:
        version = state.get("version", "0.1.0")
        raise UserError(
            f"checkpoint {path} was written by recbole_lecdsr {version} in a format that this version cannot read: "
            f"train again, or use recbole_lecdsr {version}"
        )
    missing = [
        field.name for field in fields(Checkpoint) if field.name not in state and field.default_factory is MISSING
    ]
    if missing:
        raise UserError(f"checkpoint {path} lacks {', '.join(missing)}: delete it and train again")
    return state
