"""The back end ``batch``: writes requests as files in OpenAI's Batch format and reads result files back.

Submitting the files is left to the user: to a cloud service's Batch API, or to ``vllm run-batch``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.llm.backends.base import Answer, Backend, Failure, OnOutcome, Request
from recbole_lecdsr.llm.backends.openai_chat import CHAT_COMPLETIONS_PATH, parse_completion, request_body
from recbole_lecdsr.llm.backends.redaction import redact_secrets
from recbole_lecdsr.llm.file_group import disk_errors_reported
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.json_lines import encode_json_line
from recbole_lecdsr.llm.settings import LLMSettings

# What OpenAI's Batch API accepts in one file.
MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000


class OpenAIBatch(Backend):
    """Writes requests to files instead of sending them.

    Args:
        settings: model and sampling.
        folder: where the files are written; those of an earlier run are deleted.
        max_requests, max_bytes: limits of one file.
    """

    deferred = True

    def __init__(
        self, settings: LLMSettings, folder: Path, *, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
    ):
        self.settings, self.folder = settings, folder
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.request_files: list[Path] = []

    def count_tokens(self, text: str) -> int:
        """An estimate, since the service's tokenizer is not available here."""
        return estimate_tokens(text)

    def run(self, requests: Iterable[Request], on_outcome: OnOutcome) -> None:
        """Write ``requests-001.jsonl`` and so on; ``on_outcome`` is not called, since there are no answers yet.

        Raises:
            UserError: a single request that exceeds the size of a file.
        """
        with disk_errors_reported():
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob("requests-*.jsonl"):
                old.unlink()
        lines: list[bytes] = []
        size = 0
        for request in requests:
            line = self._encode_request(request)
            if len(line) > self.max_bytes:
                raise UserError(
                    f"a request has {len(line):,} bytes, more than the {self.max_bytes:,} of a batch file: lower "
                    "llm.max_history_tokens"
                )
            if lines and (len(lines) == self.max_requests or size + len(line) > self.max_bytes):
                self._write_file(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        if lines:
            self._write_file(lines)

    def _encode_request(self, request: Request) -> bytes:
        body = request_body(self.settings, request)
        url = f"/v1{CHAT_COMPLETIONS_PATH}"
        return encode_json_line({"custom_id": request.key, "method": "POST", "url": url, "body": body})

    def _write_file(self, lines: Sequence[bytes]) -> None:
        path = self.folder / f"requests-{len(self.request_files) + 1:03d}.jsonl"
        with disk_errors_reported(), write_whole(path, "wb") as file:
            file.writelines(lines)
        self.request_files.append(path)


def read_results(paths: Sequence[str | Path]) -> dict[str, Answer | Failure]:
    """Read result and error files of a Batch API, with their rows in any order.

    Args:
        paths: the files.

    Returns:
        ``custom_id`` -> the answer, or the failure of its row. Of several rows with one id, an answer takes precedence
        over failures.

    Raises:
        UserError: a file that is missing; a line that is not a row of a result file.
    """
    outcomes: dict[str, Answer | Failure] = {}
    for path in map(Path, paths):
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"result file {path} cannot be read ({error}): download it again") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                key, outcome = _parse_row(f"{path}, line {number}", line)
                if not isinstance(outcomes.get(key), Answer):
                    outcomes[key] = outcome
    return outcomes


def _parse_row(where: str, line: str) -> tuple[str, Answer | Failure]:
    """The key and the outcome of a line; ``where`` is its file and number."""
    try:
        row = json.loads(line)
        key = row["custom_id"]
        response, error = row.get("response"), row.get("error")
        if not isinstance(key, str) or not isinstance(response, Mapping | None):
            raise TypeError("custom_id must be a text, and response an object")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as malformed:
        raise UserError(
            f"{where}: not a row of a result file, which is an object with custom_id and response ({malformed!r}): "
            "download the file again, or delete the line"
        ) from None
    if "body" in row and "method" in row:
        raise UserError(f"{where}: this is a request; --results takes the result files that the Batch API returned")
    if error or not response or response.get("status_code", 200) != 200:
        details = error or (response or {}).get("body") or response or "neither response nor error"
        return key, Failure(redact_secrets(f"row failed: {json.dumps(details, ensure_ascii=False)}")[:300])
    try:
        # The digest identifies the row, so that reading it twice counts as one attempt.
        row_id = hashlib.sha256(line.strip().encode("utf-8")).hexdigest()[:16]
        return key, parse_completion(response["body"], row_id)
    except (ValueError, KeyError) as malformed:
        return key, Failure(f"row failed: {malformed}")
