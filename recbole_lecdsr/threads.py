"""How many threads a process computes with, and how they wait for one another.

Neither depends on the momentary load of the machine, so a run is the same beside others as alone.

torch and joblib are imported when they are first needed: `let_threads_sleep` must come before torch.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

# Threads that wait spin by default: beside another job they take the cores that it, and their own process, need.
# The variables are those of GNU's and LLVM's OpenMP, and of Intel's; they are read once, when torch is loaded.
# GNU's threads spin some microseconds first: where all cores are free, a step takes less time, as threads need not wake
# up, and beside another job no more than its share (benchmarks/neighbours.py --spins 0 5000).
SLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def let_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make waiting threads sleep instead of spin, in this process and those that it starts.

    Works before torch is loaded. A user who has set any of these variables has decided.

    Args:
        environment: to set the variables in.

    >>> environment = {}
    >>> let_threads_sleep(environment)
    >>> environment["OMP_WAIT_POLICY"]
    'PASSIVE'
    >>> let_threads_sleep(chosen := {"OMP_WAIT_POLICY": "ACTIVE"})
    >>> chosen
    {'OMP_WAIT_POLICY': 'ACTIVE'}
    """
    if not SLEEP.keys() & environment.keys():
        environment.update(SLEEP)


def usable_cpus() -> int:
    """CPUs that this process may use: by its affinity and its control group's quota, as joblib counts them."""
    import joblib

    return joblib.cpu_count()


def limit_threads() -> None:
    """Give torch no more threads than there are CPUs to run them, unless the user has set their number.

    torch itself follows the affinity, but not the quota of a control group. A smaller number is left alone.
    """
    import torch

    if not any(os.environ.get(name) for name in COUNTS) and torch.get_num_threads() > usable_cpus():
        torch.set_num_threads(usable_cpus())


def describe_threads() -> str:
    """How many threads torch computes with, and why: for the log and `doctor`.

    Returns:
        Such as ``2 threads (2 of 8 CPUs may be used); waiting threads sleep``.
    """
    import torch

    threads, cpus, total = torch.get_num_threads(), usable_cpus(), os.cpu_count() or 1
    given = [f"{name}={os.environ[name]}" for name in COUNTS if os.environ.get(name)]
    reason = f"{cpus} of {total} CPUs may be used" if cpus < total else f"{total} CPUs"
    text = f"{threads} thread{'s' if threads > 1 else ''} ({', '.join([*given, reason])})"
    policy = os.environ.get("OMP_WAIT_POLICY", "").upper()
    return f"{text}; waiting threads {'sleep' if policy == 'PASSIVE' else 'spin'}"
