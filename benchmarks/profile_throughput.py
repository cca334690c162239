"""Profiles by a server: requests a second by the number that are asked at a time. Prints JSON.

The server is the tests' own, in a process of its own, and takes 200 ms for an answer: what is measured is whether
concurrency pays, and what the client itself costs.

    python benchmarks/profile_throughput.py [--requests 200] [--latency 0.2] [--concurrency 1 8 64]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.llm.subjects import ONE, People
from tests.llm_server import serve

from recbole_lecdsr.llm.backends.openai_chat import ChatEndpoint
from recbole_lecdsr.llm.generation.answer_store import Store
from recbole_lecdsr.llm.generation.job import Job
from recbole_lecdsr.llm.settings import LLMSettings


def measure(count: int, concurrency: int, latency: float) -> dict[str, float]:
    """Seconds, answers a second and processor seconds of a job of ``count`` requests."""
    settings = LLMSettings(model="m", concurrency=concurrency)
    with serve(latency=latency) as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update(OPENAI_BASE_URL=server.url, OPENAI_API_KEY="none")
        with Store(Path(folder) / "answers.jsonl") as store:
            job = Job(People(count), ONE, settings, ChatEndpoint(settings), store)
            started, busy = time.perf_counter(), time.process_time()
            answers = job.run().answers
            seconds, busy = time.perf_counter() - started, time.process_time() - busy
        if len(answers) != count:
            raise RuntimeError(f"{len(answers)} answers of {count}")
        return {
            "seconds": round(seconds, 3),
            "answers_per_second": round(count / seconds, 2),
            "processor_ms_per_answer": round(1000 * busy / count, 2),
            "most_in_flight": server.seen()["most_in_flight"],
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds of an answer")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64])
    options = parser.parse_args()
    measure(2, 1, 0.0)  # imports
    figures = {number: measure(options.requests, number, options.latency) for number in options.concurrency}
    one = figures[options.concurrency[0]]["answers_per_second"]
    for found in figures.values():
        found["times_the_first"] = round(found["answers_per_second"] / one, 2)
    print(json.dumps({"latency": options.latency, "requests": options.requests, "concurrency": figures}, indent=2))


if __name__ == "__main__":
    main()
