"""The run directory: config.yaml, result.json, ranks.npz, model.pth; each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

CONFIG, RESULT, RANKS, MODEL = "config.yaml", "result.json", "ranks.npz", "model.pth"


def make_folder(folder: Path) -> None:
    """Make the run directory.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error}): give another output_dir") from error


@contextmanager
def _whole(path: Path, mode: str = "w") -> Iterator[IO]:
    """`write_whole`, with a remedy where there is no room or no permission."""
    try:
        with write_whole(path, mode) as file:
            yield file
    except (OSError, RuntimeError) as error:
        reason = error if isinstance(error, OSError) else error.__context__  # torch hides it behind one of its own
        if not isinstance(reason, OSError):
            raise
        raise UserError(
            f"{path} cannot be written ({reason}): make room or get permission there, then go on with --resume=True, "
            "or give another output_dir"
        ) from error


def write_config(folder: Path, values: dict[str, object]) -> None:
    """Write all parameters of the run."""
    with _whole(folder / CONFIG) as file:
        yaml.safe_dump(values, file, sort_keys=True, allow_unicode=True)


def write_result(folder: Path, result: dict[str, object]) -> None:
    """Write result.json."""
    with _whole(folder / RESULT) as file:
        json.dump(result, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_ranks(
    folder: Path,
    rank: np.ndarray,
    domain: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
    history: np.ndarray,
    popularity: np.ndarray,
) -> None:
    """Write ranks.npz, an entry for each test sample.

    Args:
        folder: the run directory.
        rank: (S,) int64 from 1.
        domain: (S,) 0 source, 1 target.
        user, item: (S,) str, tokens of the user and of the target.
        history: (S,) int64, earlier events of the user.
        popularity: (S,) int64, events of the target item in training.
    """
    with _whole(folder / RANKS, "wb") as file:
        np.savez_compressed(
            file, rank=rank, domain=domain.astype(np.int8), user=user.astype(str), item=item.astype(str),
            history=history, popularity=popularity,
        )  # fmt: skip
