"""`prepare amazon` on generated files: seconds, lines per second and peak memory by number and format of lines.

Each domain has half of the lines. As in the real files, users and items follow a long-tailed distribution and many of
them occur only once; lines of JSON have all keys and about 700 bytes. The metadata have a line for every twentieth
review. The filters are those of a preset. Each run is a process of its own.

    python benchmarks/amazon.py --lines 1000000 5000000 --kinds csv json.gz

prints JSON. The files are written to --folder and removed afterwards; twenty million lines of JSON need 14 GB there, or
5 GB as gzip.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from embeddings import peak_mib
from synthetic import processor

from recbole_lecdsr.prepare.amazon import convert
from recbole_lecdsr.prepare.amazon.presets import PRESETS

KINDS = ("csv", "csv.gz", "json", "json.gz")
EDITION = "2018"
_CHUNK = 100_000
_FIRST, _LAST = 1_104_537_600, 1_538_352_000  # 2005-01-01, 2018-10-01
_REVIEW = (
    '{"overall": %.1f, "vote": "3", "verified": true, "reviewTime": "09 13, 2009", "reviewerID": "%s", "asin": "%s", '
    '"style": {"Format:": " Hardcover"}, "reviewerName": "J. \\"Joe\\" O\'Hara", "reviewText": "%s", '
    '"summary": "Five stars", "unixReviewTime": %d}\n'
)
_METADATA = (
    '{"category": ["Toys &amp; Games", "Puzzles", "3-D Puzzles"], "tech1": "", "description": ["%s"], "fit": "", '
    '"title": "Puzzle &amp; <b>more</b> %s", "also_buy": ["B00000001"], "image": [], "tech2": "", "brand": "Acme", '
    '"feature": ["%s"], "rank": "25,000 in Toys", "also_view": [], "main_cat": "Toys", "date": "", "price": "$5", '
    '"asin": "%s"}\n'
)


def texts(rng: np.random.Generator, size: int) -> list[str]:
    """Texts of random words; their lengths are skewed, with a mean of ``size`` characters."""
    words = ["".join(rng.choice(list("etaoinshrdlucmw"), rng.integers(1, 10))) for _ in range(3000)]
    lengths = np.clip(rng.exponential(size / 6, 2000), 2, size).astype(int) * 6 // 5
    return [" ".join(words[word] for word in rng.integers(0, len(words), length)) + "." for length in lengths]


def reviews(rng: np.random.Generator, n_lines: int, *, n_all: int, domain: str, kind: str) -> Iterator[bytes]:
    """Lines of a domain, in chunks. A few of the users and items have most of the interactions."""
    pool = texts(rng, 420)
    for start in range(0, n_lines, _CHUNK):
        size = min(_CHUNK, n_lines - start)
        user = (n_all * rng.random(size) ** 2).astype(int).tolist()
        item = (n_all // 20 * rng.random(size) ** 2).astype(int).tolist()
        rating = rng.integers(1, 6, size).tolist()
        when = (_FIRST + (_LAST - _FIRST) * np.sqrt(rng.random(size))).astype(int) // 86400 * 86400
        rows = zip(user, item, rating, when.tolist(), rng.integers(0, len(pool), size).tolist(), strict=True)
        if kind.startswith("csv"):
            lines = (f"B{domain}{i:08d},A{u:013d},{r:.1f},{t}\n" for u, i, r, t, _ in rows)
        else:
            lines = (_REVIEW % (r, f"A{u:013d}", f"B{domain}{i:08d}", pool[x], t) for u, i, r, t, x in rows)
        yield "".join(lines).encode()


def metadata(rng: np.random.Generator, n_items: int) -> Iterator[bytes]:
    """Lines of metadata of the items of both domains, in chunks."""
    pool = texts(rng, 500)
    for start in range(0, n_items, _CHUNK):
        ids = [f"B{domain}{i:08d}" for i in range(start, min(start + _CHUNK, n_items)) for domain in "AB"]
        picks = rng.integers(0, len(pool), (len(ids), 2)).tolist()
        lines = (_METADATA % (pool[a], token, pool[b], token) for token, (a, b) in zip(ids, picks, strict=True))
        yield "".join(lines).encode()


def write(path: Path, chunks: Iterator[bytes]) -> None:
    """Write chunks to a file, as gzip if its name ends in .gz."""
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def generate(folder: Path, n_lines: int, kind: str) -> int:
    """Write the reviews of the domains A and B and their metadata; return the size of the files in bytes."""
    packed = ".gz" if kind.endswith(".gz") else ""
    rng = np.random.default_rng(0)
    for domain in "AB":
        write(folder / f"{domain}.{kind}", reviews(rng, n_lines // 2, n_all=n_lines, domain=domain, kind=kind))
    write(folder / f"meta.json{packed}", metadata(rng, n_lines // 40))
    return sum(path.stat().st_size for path in folder.iterdir())


def prepare(folder: Path, kind: str, preset: str) -> dict[str, object]:
    """Prepare the files; return time and memory, and what the filters left."""
    before = peak_mib()
    start = time.perf_counter(), time.process_time()
    source, target = (convert.RawDomain(domain, (folder / f"{domain}.{kind}",)) for domain in "AB")
    (meta,) = folder.glob("meta.*")
    summary = convert.prepare(
        source, target, folder / "out", "out", edition=EDITION, filters=PRESETS[preset].filters, metadata=[meta]
    )
    seconds, processor_seconds = time.perf_counter() - start[0], time.process_time() - start[1]
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor_seconds, 1),
        "peak_mib": peak_mib(),
        "imports_mib": before,
        "left_after": summary.details["left after"],
    }


def main() -> None:
    """Measure every size and kind, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lines",
        type=int,
        nargs="+",
        default=[1_000_000, 5_000_000],
        help="number of reviews of both domains together",
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["csv", "json.gz"])
    parser.add_argument("--preset", choices=list(PRESETS), default="lecdsr-toys-games")
    parser.add_argument("--folder", type=Path, help="for the files (default: the system's temporary folder)")
    parser.add_argument("--step", nargs=2, metavar=("FOLDER", "KIND"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(prepare(Path(args.step[0]), args.step[1], args.preset)))
        return
    runs = []
    for kind in args.kinds:
        for n_lines in args.lines:
            with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                n_bytes = generate(Path(folder), n_lines, kind)
                command = [sys.executable, __file__, "--step", folder, kind, "--preset", args.preset]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            figures = json.loads(done.splitlines()[-1])
            rate = round(n_lines / figures["seconds"])
            runs.append({"kind": kind, "lines": n_lines, "mib": n_bytes >> 20, "lines_per_second": rate, **figures})
            print(f"{kind}, {n_lines:,} lines: {figures['seconds']} s, {figures['peak_mib']} MiB", file=sys.stderr)
    machine = {"processor": processor(), "cores": os.cpu_count()}
    print(json.dumps({"machine": machine, "preset": args.preset, "runs": runs}, indent=2))


if __name__ == "__main__":
    main()
