"""Measures answers per second of a generation job against a server, by the number of requests in flight. Prints JSON.

The server is the one of the tests, in a process of its own, and takes 200 ms for each answer. The figures show how
throughput grows with concurrency, and what the client itself costs.

    python benchmarks/profile_throughput.py [--requests 200] [--latency 0.2] [--concurrency 1 8 64]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from recbole_lecdsr.llm.backends.openai_chat import OpenAIChat
from recbole_lecdsr.llm.generation.answer_store import AnswerStore
from recbole_lecdsr.llm.generation.job import GenerationJob
from recbole_lecdsr.llm.settings import LLMSettings
from tests.helpers.llm_server import serve
from tests.helpers.subjects import ONE_STAGE, FakeUsers


@dataclass(frozen=True)
class Throughput:
    """The figures of one job.

    Attributes:
        seconds: wall-clock time of the job.
        answers_per_second: answers divided by that time.
        processor_ms_per_answer: processor time of the client.
        most_in_flight: the most requests that the server saw at a time.
    """

    seconds: float
    answers_per_second: float
    processor_ms_per_answer: float
    most_in_flight: int


def measure(count: int, concurrency: int, latency: float) -> Throughput:
    """Run a job of ``count`` requests.

    Args:
        count: number of requests.
        concurrency: requests in flight at a time.
        latency: seconds that the server takes for each answer.
    """
    settings = LLMSettings(model="m", concurrency=concurrency)
    with serve(latency=latency) as server, tempfile.TemporaryDirectory() as folder:
        os.environ.update(OPENAI_BASE_URL=server.url, OPENAI_API_KEY="none")
        with AnswerStore(Path(folder) / "answers.jsonl") as store:
            job = GenerationJob(
                FakeUsers(count), ONE_STAGE, settings=settings, backend=OpenAIChat(settings), store=store
            )
            started, processor_started = time.perf_counter(), time.process_time()
            answers = job.run().answers
            seconds, processor_seconds = time.perf_counter() - started, time.process_time() - processor_started
        if len(answers) != count:
            raise RuntimeError(f"{len(answers)} answers to {count} requests")
        return Throughput(
            seconds=round(seconds, 3),
            answers_per_second=round(count / seconds, 2),
            processor_ms_per_answer=round(1000 * processor_seconds / count, 2),
            most_in_flight=server.seen()["most_in_flight"],
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200, help="number of requests of each job (default 200)")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that an answer takes (default 0.2)")
    parser.add_argument(
        "--concurrency", type=int, nargs="+", default=[1, 8, 64], help="requests in flight (default 1 8 64)"
    )
    options = parser.parse_args()
    measure(2, 1, 0.0)  # the first job imports libraries
    results = {number: measure(options.requests, number, options.latency) for number in options.concurrency}
    first = results[options.concurrency[0]].answers_per_second
    figures = {
        number: {**asdict(result), "times_the_first": round(result.answers_per_second / first, 2)}
        for number, result in results.items()
    }
    print(json.dumps({"latency": options.latency, "requests": options.requests, "concurrency": figures}, indent=2))


if __name__ == "__main__":
    main()
