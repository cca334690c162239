"""What a training step loses beside another one on the same cores, by how long its threads spin before they sleep.

Runs training_step.py alone, then twice at once, each with a thread for each core, and prints, as JSON, samples per
second and how many times longer a step takes beside the other; 2 would be a fair half of the machine.

    python benchmarks/neighbours.py [--model LeCDSR-paper] [--steps 20] [--spins 0 5000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import synthetic

from recbole_lecdsr.threads import SLEEP, usable_cpus


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LeCDSR-paper", help="name of a file in properties/model")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument(
        "--spins", nargs="*", default=[], metavar="N", help="also with other values of GOMP_SPINCOUNT; may take minutes"
    )
    options = parser.parse_args()

    policies = {"as in a run": SLEEP, **{f"{number} spins": {"GOMP_SPINCOUNT": number} for number in options.spins}}
    figures: dict[str, object] = {}
    for name, policy in policies.items():
        (alone,) = measure(1, options.model, options.steps, policy)
        together = measure(2, options.model, options.steps, policy)
        figures[name] = {
            "samples_per_second_alone": alone,
            "samples_per_second_together": together,
            "times_longer": round(alone / min(together), 2),
        }
    synthetic.report("cpu", benchmark="two runs at once", model=options.model, cpus=usable_cpus(), **figures)


def measure(runs: int, model: str, steps: int, policy: dict[str, str]) -> list[float]:
    """Samples per second of each of several runs that start at once."""
    command = [sys.executable, str(Path(__file__).with_name("training_step.py")), "--model", model]
    command += ["--steps", str(steps), "--only", "plugin", "--device", "cpu"]
    environment = {name: value for name, value in os.environ.items() if name not in SLEEP} | policy
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) for _ in range(runs)]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("training_step.py failed")
    return [json.loads(output)["samples_per_second"] for output in outputs]


if __name__ == "__main__":
    main()
