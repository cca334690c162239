"""Freed memory is kept, unless the user has decided."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recbole_lecdsr.freed_memory import keep_freed_memory

# Page faults of the second of two allocations of 64 MB, and whether memory is returned: pages of 4 kB or more.
CODE = """
import resource, torch
from recbole_lecdsr.freed_memory import keep_freed_memory
with open("/proc/self/statm") as file:
    before = int(file.read().split()[1])
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(1 << 24).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with keep_freed_memory() as kept:
    faults()
    print(kept, faults() < 1000)
with open("/proc/self/statm") as file:
    print(int(file.read().split()[1]) < before + 8000)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc's mallopt, as Linux has it")
def test_memory_that_was_freed_comes_without_new_pages():
    output = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    if output.startswith("False"):
        pytest.skip("needs glibc and no MALLOC_ variables in the environment")
    assert output == "True True\nTrue\n"


@pytest.mark.parametrize(
    "environment", [{"MALLOC_ARENA_MAX": "2"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1000000"}]
)
def test_a_user_who_sets_a_variable_has_decided(environment):
    with keep_freed_memory(environment) as kept:
        assert not kept
