"""Embedding files: seconds to write, to read for the first time and to read from the cache; peak memory of reading.

Each step runs in a process of its own. What is read is compared bit by bit with what was written. The text is read just
after it was written, so the operating system may still hold it in memory.

    python benchmarks/embeddings.py --rows 100000 --dims 1024 --recbole 2000

prints JSON. ``--recbole N`` also reads N rows with RecBole's own reader. Those figures are for N rows and cannot be
scaled to other numbers.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from recbole_lecdsr.data.embeddings import embedding_file
from recbole_lecdsr.data.embeddings.alignment import align


def peak_mib() -> int:
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage, used elsewhere, may include the memory of the parent process
        return int(status.read_text().split("VmHWM:")[1].split()[0]) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def checksum(matrix: np.ndarray) -> int:
    """CRC-32 of a matrix, block of rows by block of rows."""
    value = 0
    for start in range(0, len(matrix), 1024):
        value = zlib.crc32(np.ascontiguousarray(matrix[start : start + 1024]), value)
    return value


def write(path: Path, rows: int, dims: int) -> dict[str, float]:
    """Write random vectors of about unit length, as an encoder makes them."""
    matrix = np.random.default_rng(0).standard_normal((rows, dims), dtype=np.float32)
    matrix /= np.float32(np.sqrt(dims))
    tokens = [f"B{row:09d}" for row in range(rows)]
    start = time.perf_counter()
    embedding_file.write_embedding(path, "item_id", "item_emb", tokens=tokens, matrix=matrix)
    return {"seconds": time.perf_counter() - start, "checksum": checksum(matrix)}


def read(path: Path, rows: int, dims: int) -> dict[str, float]:
    """Read the file and bring its vectors into the order of ids."""
    before = peak_mib()
    start = time.perf_counter()
    embedding = embedding_file.read_embedding(path)
    seconds = time.perf_counter() - start
    peak = peak_mib()
    ids = {token: rows - index for index, token in enumerate(embedding.tokens.tolist())}
    start = time.perf_counter()
    _, found = align(embedding, ids, rows + 1, known=ids)
    aligned = time.perf_counter() - start
    if embedding.matrix.shape != (rows, dims) or found != rows:
        raise SystemExit(f"read {embedding.matrix.shape}, {found} aligned")
    return {
        "seconds": seconds,
        "peak_mib": peak,
        "imports_mib": before,
        "align_seconds": aligned,
        "checksum": checksum(embedding.matrix),
    }


def recbole(path: Path, rows: int, dims: int) -> dict[str, float]:
    """Read with RecBole's `Dataset._load_feat`, on an object that has what the method uses of a data set."""
    from recbole.data.dataset import Dataset

    settings = {"field_separator": "\t", "seq_separator": " ", "encoding": "utf-8", "seq_len": None}
    dataset = SimpleNamespace(
        logger=logging.getLogger(), config=settings, _get_load_and_unload_col=lambda _: (None, None)
    )
    dataset.field2source, dataset.field2type, dataset.field2seqlen, dataset.field2bucketnum = {}, {}, {}, {}
    warnings.simplefilter("ignore")
    before = peak_mib()
    start = time.perf_counter()
    frame = Dataset._load_feat(dataset, str(path), "itememb")
    seconds = time.perf_counter() - start
    peak = peak_mib()
    matrix = np.stack(frame["item_emb"].to_list()).astype(np.float32)
    return {"seconds": seconds, "peak_mib": peak, "imports_mib": before, "checksum": checksum(matrix)}


STEPS = {step.__name__: step for step in (write, read, recbole)}


def run(step: str, path: Path, rows: int, dims: int) -> dict[str, float]:
    """Run a step in a new process."""
    command = [sys.executable, __file__, "--step", step, str(path), "--rows", str(rows), "--dims", str(dims)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    """Run all steps, each in its process; or the one step of this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=1024)
    parser.add_argument("--recbole", type=int, default=0, metavar="N", help="rows for RecBole's reader; 0: none")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(STEPS[args.step[0]](Path(args.step[1]), args.rows, args.dims)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.itememb"
        written = run("write", path, args.rows, args.dims)
        text_mib = path.stat().st_size >> 20
        first, cached = (run("read", path, args.rows, args.dims) for _ in range(2))
        result = {
            "rows": args.rows,
            "dims": args.dims,
            "text_mib": text_mib,
            "write_seconds": round(written["seconds"], 2),
            "first_read_seconds": round(first["seconds"], 2),
            "first_read_peak_mib": first["peak_mib"],
            "cached_read_seconds": round(cached["seconds"], 3),
            "cached_read_peak_mib": cached["peak_mib"],
            "imports_mib": first["imports_mib"],
            "align_seconds": round(cached["align_seconds"], 2),
            "bit_exact": written["checksum"] == first["checksum"] == cached["checksum"],
        }
        if args.recbole:
            small = Path(folder) / "small.itememb"
            written = run("write", small, args.recbole, args.dims)
            ours, theirs = (run(step, small, args.recbole, args.dims) for step in ("read", "recbole"))
            result["recbole_reader"] = {
                "rows": args.recbole,
                "seconds": round(theirs["seconds"], 2),
                "peak_mib": theirs["peak_mib"],
                "imports_mib": theirs["imports_mib"],
                "bit_exact": written["checksum"] == theirs["checksum"],
                "our_first_read_seconds": round(ours["seconds"], 2),
                "our_peak_mib": ours["peak_mib"],
                "our_imports_mib": ours["imports_mib"],
            }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
