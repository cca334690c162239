"""Profiles of users by a language model, their vectors, and LeCDSR with both.

The model is behind an OpenAI-compatible server. Here that is a small one within this program, whose answers are canned,
so that the example runs anywhere. For a real one, leave out `canned_server` and set OPENAI_BASE_URL and OPENAI_API_KEY.

    python examples/llm_profiles.py [--NAME=VALUE …]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from small_movielens import write_small_movielens

from recbole_lecdsr import run_lecdsr
from recbole_lecdsr.cli import main as command


class CannedAnswers(BaseHTTPRequestHandler):
    """What a server for language models answers to: /chat/completions and /embeddings."""

    def do_POST(self) -> None:
        """Answer a request."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "messages" in asked:
            prompt = asked["messages"][-1]["content"]
            text = f"Likes {'space battles' if 'Star Wars' in prompt else 'quiet stories'} and wants more of them."
            message = {"role": "assistant", "content": text}
            answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        else:
            vectors = [[byte / 255 - 0.5 for byte in hashlib.sha256(text.encode()).digest()] for text in asked["input"]]
            answer = {"data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]}
        body = json.dumps({"id": "1", "object": "list", "created": 0, "model": asked["model"], **answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@contextmanager
def canned_server() -> Iterator[str]:
    """The address of a server that runs within the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), CannedAnswers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def main() -> None:
    """Profile, embed, train."""
    with TemporaryDirectory() as name, canned_server() as address:
        os.environ.update(OPENAI_BASE_URL=address, OPENAI_API_KEY="none")
        folder = Path(name)
        settings = write_small_movielens(folder, users=40)
        settings |= {
            "no_item_semantics": False, "no_user_profile": False, "adapter_hidden_size": 32,
            "item_text": ["title", "genres"], "encoder": "openai:canned",
            "llm": {"backend": "openai", "model": "canned", "concurrency": 8},
        }  # fmt: skip
        (folder / "run.yaml").write_text(yaml.safe_dump(settings))
        files = ["--config_files", str(folder / "run.yaml")]

        # The model reads the training interactions of each user and writes profiles.jsonl.
        command(["profile", *files])
        print((folder / "movielens" / "profiles.jsonl").read_text(encoding="utf-8").splitlines()[0])

        # The encoder makes vectors: .itememb of the films' titles and genres, .useremb of the profiles.
        command(["embed", *files, "--user_text=profiles"])

        result = run_lecdsr(config_file_list=files[1:], command_line=sys.argv[1:])
        print(f"NDCG@10 with profiles: {result.test['overall']['ndcg@10']:.4f}")


if __name__ == "__main__":
    main()
