"""How many threads torch gets, and that waiting ones sleep."""

from __future__ import annotations

import os
import subprocess
import sys

import joblib
import pytest
import torch

from recbole_lecdsr.threads import COUNTS, SLEEP, describe_threads, let_threads_sleep, limit_threads


@pytest.fixture
def many_threads(monkeypatch):
    """More threads than CPUs, none of them asked for by the user."""
    for name in COUNTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    yield monkeypatch
    torch.set_num_threads(before)


def untouched_environment() -> dict[str, str]:
    """As before the import of the package, and without a choice of the user."""
    return {name: value for name, value in os.environ.items() if name not in {*COUNTS, *SLEEP}}


def test_torch_gets_no_more_threads_than_cpus(many_threads):
    limit_threads()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", COUNTS)
def test_a_number_that_the_user_sets_is_kept_and_named(many_threads, name):
    many_threads.setenv(name, "5")
    limit_threads()
    assert torch.get_num_threads() == 5
    assert describe_threads().startswith(f"5 threads ({name}=5, ")


def test_fewer_threads_are_left_alone(many_threads):
    torch.set_num_threads(1)
    limit_threads()
    assert torch.get_num_threads() == 1
    assert describe_threads().startswith("1 thread (")


def test_the_number_of_usable_cpus_is_said(many_threads):
    many_threads.setattr(os, "cpu_count", lambda: 8)
    assert describe_threads().startswith("5 threads (2 of 8 CPUs may be used)")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity, as Linux has it")
def test_threads_follow_the_affinity_and_sleep():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import recbole_lecdsr.threads as threads\n"
        "threads.limit_threads(); print(threads.describe_threads())"
    )
    environment = untouched_environment()
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.startswith("1 thread (1 ")
    assert output.endswith("; waiting threads sleep\n")


def test_openmp_reads_that_threads_sleep():
    """libgomp prints the policy it has read when OMP_DISPLAY_ENV is set."""
    environment = untouched_environment()
    code = "import recbole_lecdsr, torch; torch.ones(8)"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "OMP_DISPLAY_ENV": "true"}, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    if "OMP_WAIT_POLICY" not in told:
        pytest.skip("needs a torch with GNU's or LLVM's OpenMP, which print OMP_DISPLAY_ENV")
    assert "PASSIVE" in next(line for line in told.splitlines() if "OMP_WAIT_POLICY" in line)


def test_a_user_who_sets_a_policy_has_decided():
    environment = {"GOMP_SPINCOUNT": "7"}
    let_threads_sleep(environment)
    assert environment == {"GOMP_SPINCOUNT": "7"}
