"""Memory that a training step frees, kept for the next one."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of glibc's mallopt, as malloc.h has them
_LARGEST = 2**31 - 1


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Have this process reuse memory that it has freed, instead of returning it to the system.

    glibc returns every large block at once. Steps allocate the same large blocks again and again, and the system clears
    their pages each time: up to a fifth of a step on a CPU (benchmarks/training_step.py). The peak of memory stays the
    same; between peaks the process holds what it has freed.

    Args:
        environment: a user who has set one of glibc's own variables for this has decided.

    Returns:
        Whether it was done: not without glibc, nor where the user has decided.
    """
    decided = any(name.startswith("MALLOC_") for name in environment) or "malloc" in environment.get(
        "GLIBC_TUNABLES", ""
    )
    if decided or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
