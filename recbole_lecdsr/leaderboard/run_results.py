"""What a leaderboard reads of a run directory: result.json and ranks.npz, which must belong together."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.ranks import Samples, read_ranks
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_directory import RANKS, RESULT, RUN_AGAIN


def read_run(folder: Path, seed: int) -> tuple[RunResult, np.ndarray, Samples]:
    """Read the result and the ranks of a finished run.

    Args:
        folder: the run directory.
        seed: which its folder is named after.

    Returns:
        The result; (S,) int64 ranks from 1, 0 for all samples of a domain that the model does not score; the samples.

    Raises:
        UserError: a file that cannot be used, or files that contradict each other.
    """
    result = RunResult.read(folder / RESULT)
    if result.seed != seed:
        raise UserError(f"{folder / RESULT} has seed {result.seed}, the name of its folder {seed}: {RUN_AGAIN}")
    rank, samples = read_ranks(folder / RANKS, result.ranks_digest)
    in_ranks = {name: int(samples.parts[name].sum()) for name in DOMAINS if name in samples.parts}
    in_result = {name: count for name, count in result.test_samples.items() if count}
    if in_ranks != in_result:
        raise UserError(f"{folder}: {RANKS} holds {in_ranks} test samples, {RESULT} says {in_result}: {RUN_AGAIN}")
    sampled = re.fullmatch(r"(?:uni|pop)(\d+)", result.candidates.mode)
    if sampled and rank.max() > int(sampled[1]) + 1:
        raise UserError(
            f"{folder / RANKS} has a rank of {rank.max()} among {sampled[1]} sampled items and the target: {RUN_AGAIN}"
        )
    return result, rank, samples
