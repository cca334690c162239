"""The long form: many damaged files through every reader, with counts by target. Exit status 1 if one fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.fuzz.runner import Counts, run_target, share
from tests.fuzz.targets import TARGETS

_AT_ONCE = 250


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--index", type=int, help="only this input, as a failure names it")
    options = parser.parse_args()
    targets = [target for target in TARGETS if not options.target or target.name in options.target]
    if not targets:
        parser.error(f"there is no target {options.target}, only {', '.join(target.name for target in TARGETS)}")
    shares = [1] * len(targets) if options.index is not None else share(targets, options.inputs)
    total: Counter[str] = Counter()
    print(f"{'target':40}{'inputs':>8}{'refused':>9}{'accepted':>9}{'failed':>8}{'ms':>7}")
    for target, each in zip(targets, shares, strict=True):
        start, counts = time.perf_counter(), Counts()
        for first in range(options.index or 0, (options.index or 0) + each, _AT_ONCE):
            part = run_target(target, min(_AT_ONCE, (options.index or 0) + each - first), options.seed, first)
            for name in ("inputs", "refused", "accepted"):
                setattr(counts, name, getattr(counts, name) + getattr(part, name))
            counts.failures += part.failures
            if sys.stderr.isatty():
                print(f"\r{target.name}: {counts.inputs} of {each}\x1b[K\r", end="", file=sys.stderr)
        row = (counts.inputs, counts.refused, counts.accepted, len(counts.failures))
        total.update(dict(zip(("inputs", "refused", "accepted", "failed"), row, strict=True)))
        milliseconds = 1000 * (time.perf_counter() - start) / counts.inputs
        print(f"{target.name:40}{row[0]:>8}{row[1]:>9}{row[2]:>9}{row[3]:>8}{milliseconds:>7.1f}", flush=True)
        kinds: dict[str, list] = {}
        for failure in counts.failures:
            kinds.setdefault(failure.problem[:60], []).append(failure)
        for failures in kinds.values():
            print(f"  {len(failures)} × {failures[0]}", flush=True)
    print(f"{'all':40}{total['inputs']:>8}{total['refused']:>9}{total['accepted']:>9}{total['failed']:>8}")
    return int(total["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
