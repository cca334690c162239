"""Crash tests: ``python -m tests.crash --help``."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

DESCRIPTION = """\
Kill each job many times, at random moments and between any two of its writes, restart it, and compare what it leaves
with what an unbroken run leaves. Run it on full and read-only disks as well.
"""


def main() -> int:
    """Returns the exit status: 1 after a failure."""
    options = parse_options()
    # Before libraries start threads.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from tests.crash.disks import take_own_mounts

    no_disks = take_own_mounts()
    from tests.crash.campaign import Tally
    from tests.crash.jobs import JOBS
    from tests.crash.processes import import_everything
    from tests.helpers.llm_server import serve

    unknown = set(options.jobs) - {job.name for job in JOBS}
    if unknown:
        sys.exit(f"no job is called {', '.join(unknown)}: choose from {', '.join(job.name for job in JOBS)}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    import_everything()
    tallies: list[Tally] = []
    with serve() as server:
        environment = {
            "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test-key-0123456789", "COLUMNS": "200",
            "NO_COLOR": "1", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        for job in JOBS:
            if not options.jobs or job.name in options.jobs:
                shutil.rmtree(folder / job.name, ignore_errors=True)
                tallies.append(try_job(job, folder / job.name, environment, options, can_mount=not no_disks))
    if no_disks and options.disks:
        print(f"disks: {no_disks}; full ones were limits on the size of files, read-only ones are left out")
    return summarize(tallies, folder, time.perf_counter() - started, options)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=DESCRIPTION)
    parser.add_argument("--jobs", type=lambda text: text.split(","), default=[], metavar="A,B", help="default: all")
    parser.add_argument("--kills", type=int, default=24, help="of each job; a quarter at random times (default 24)")
    parser.add_argument(
        "--disks", type=int, default=5, help="full and read-only disks for each job (default and most 5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of moments (default 0)")
    parser.add_argument(
        "--at", metavar="EVENT", help="kill at this event only, as a failure names it, such as 17 or 17cut"
    )
    parser.add_argument("--after", type=float, metavar="SECONDS", help="kill after this time only")
    parser.add_argument("--disk", metavar="NAME", help="only this disk, as a failure names it, such as full-0.5")
    parser.add_argument("--folder", type=Path, help="for everything (default: a temporary one)")
    return parser.parse_args()


def try_job(job, folder: Path, environment, options: argparse.Namespace, *, can_mount: bool):
    """Try a job; returns its tally."""
    from tests.crash.campaign import ROOMS, Trial, choose_points
    from tests.crash.effects import KillPoint

    print(f"{job.name}: unbroken runs", flush=True)
    trial = Trial(job, folder, environment)
    state = random.Random(f"{options.seed} {job.name}")
    alone = options.at or options.after or options.disk
    steps = []
    if options.at:
        point = KillPoint(int(options.at.removesuffix("cut")), options.at.endswith("cut"))
        steps.append(lambda: trial.kill_at(point))
    if options.after:
        steps.append(lambda: trial.kill_after(options.after))
    if not alone:
        n_random = options.kills // 4
        for point in choose_points(trial, options.kills - n_random, state):
            steps.append(lambda point=point: trial.kill_at(point))
        for _ in range(n_random):
            share = state.random()
            steps.append(lambda share=share: trial.kill_after(share * trial.seconds))
    if can_mount:
        cases = [("read-only", trial.write_protect_disk)]
        cases += [(f"full-{part}", lambda part=part: trial.fill_disk(part)) for part in ROOMS]
    else:
        cases = [(f"limit-{size}", lambda size=size: trial.limit_files(size)) for size in (0, 200, 4096)]
    if options.disk:
        steps += [step for name, step in cases if name == options.disk]
    elif not alone:
        steps += [step for _, step in cases[: options.disks]]
    shown = time.perf_counter()
    for number, step in enumerate(steps, start=1):
        failures = len(trial.tally.failures)
        step()
        for failure in trial.tally.failures[failures:]:
            print(f"FAILED {failure}", flush=True)
        if number == len(steps) or time.perf_counter() > shown + 10:
            shown = time.perf_counter()
            tally = trial.tally
            print(
                f"{job.name}: {number} of {len(steps)} cases, {tally.kills} kills, {len(tally.failures)} failures",
                flush=True,
            )
    return trial.tally


def summarize(tallies, folder: Path, seconds: float, options: argparse.Namespace) -> int:
    """Print the counts; returns the exit status."""
    print(f"\n{'job':24}{'events':>8}{'kills':>8}{'equal':>8}{'disks':>8}{'failures':>10}")
    for tally in tallies:
        row = f"{tally.events:8}{tally.kills:8}{tally.equal:8}{tally.disks:8}{len(tally.failures):10}"
        print(f"{tally.name:24}{row}")
    kills, equal, n_disks = (sum(getattr(tally, name) for tally in tallies) for name in ("kills", "equal", "disks"))
    failures = sum(len(tally.failures) for tally in tallies)
    print(f"{'all':24}{'':8}{kills:8}{equal:8}{n_disks:8}{failures:10}   seed {options.seed}, {seconds / 60:.1f} min")
    if failures:
        print(f"the files of the failures are in {folder}")
    elif options.folder is None:
        shutil.rmtree(folder)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
