"""A small OpenAI-compatible server that misbehaves on request, in a process that needs only the standard library.

`serve` starts it. An answer depends only on the prompt, so every run gets the same ones.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "rubbish", "cut", "wrong", "slow", "drop", "refuse", "empty")


def answer_to(prompt: str) -> str:
    """The server's answer to a prompt, unless it misbehaves."""
    return f"likes {hashlib.sha256(prompt.encode()).hexdigest()[:12]}"


def vector_of(text: str, size: int) -> list[float]:
    """The server's embedding of a text, made from its digest."""
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 - 0.5 for byte in (digest * (size // 32 + 1))[:size]]


class Handler(BaseHTTPRequestHandler):
    """Answers the requests to a `Server`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *arguments):
        """Log nothing."""

    def do_GET(self):
        """Report what the server has seen."""
        with self.server.lock:
            self.send(200, json.dumps(self.server.seen, default=dict).encode())

    def do_POST(self):
        """Answer a request of a client."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server, seen = self.server, self.server.seen
        if server.redirect and self.path.startswith("/v1/"):
            with server.lock:
                seen["redirected"] += 1
            return self.send(server.redirect, b"", {"Location": self.path.replace("/v1/", "/v2/", 1)})
        asked = json.loads(body)
        prompt = asked["messages"][-1]["content"] if "messages" in asked else json.dumps(asked["input"])
        now = time.monotonic()
        with server.lock:
            seen["requests"] += 1
            server.in_flight += 1
            seen["most_in_flight"] = max(seen["most_in_flight"], server.in_flight)
            seen["last"] = {**asked, "authorization": self.headers["Authorization"], "path": self.path}
            early = now < server.not_before.pop(prompt, 0)
            seen["too_early"] += early
            fault = server.random.choices((*FAULTS, None), (*server.weights, 1 - sum(server.weights)))[0]
        try:
            time.sleep(server.latency)
            self.answer(asked, prompt, fault)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with server.lock:
                server.in_flight -= 1

    def answer(self, asked: dict, prompt: str, fault: str | None) -> None:
        """Answer, or misbehave as `fault` says."""
        server = self.server
        if server.status != 200:
            message = f"no: {self.headers['Authorization']} {self.path}" if server.echo else "no"
            return self.send(server.status, json.dumps({"error": {"message": message, **server.error}}).encode())
        if server.error:
            return self.send(200, json.dumps({"error": server.error}).encode())
        if fault == "429":
            wait = 0.05
            with server.lock:
                server.not_before[prompt] = time.monotonic() + wait
            return self.send(429, b'{"error": {"message": "too many"}}', {"Retry-After": str(wait)})
        if fault == "500":
            return self.send(500, b"<html>oops</html>", kind="text/html")
        if fault == "rubbish":
            return self.send(200, b"<html>hello</html>", kind="text/html")
        if fault == "cut":
            return self.send(200, b'{"choices": [{"mess')
        if fault == "wrong":
            return self.send(200, b'{"choices": [], "object": "error"}')
        if fault == "drop":
            self.close_connection = True
            return self.connection.close()
        if fault == "slow":
            time.sleep(server.slow)
        if "input" in asked:
            return self.embed(asked)
        text = {"refuse": "I'm sorry, but I can't help with that.", "empty": ""}.get(fault, answer_to(prompt))
        if server.echo:
            text = f"{text} {self.headers['Authorization']}"
        content = [{"type": "text", "text": part} for part in (text[:3], text[3:])] if server.parts else text
        with server.lock:
            server.seen["answered"][prompt] += fault not in ("refuse", "empty")
        completion = {
            "id": "x", "object": "chat.completion", "created": 0, "model": asked["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
        }  # fmt: skip
        self.send(200, json.dumps(completion).encode())

    def embed(self, asked: dict) -> None:
        """Send the vectors of texts, not in their order."""
        size = asked.get("dimensions") or 12
        if self.server.max_inputs and len(asked["input"]) > self.server.max_inputs:
            return self.send(422, b'{"error": "too many inputs", "error_type": "Validation"}')
        if self.server.poison and any(self.server.poison in text for text in asked["input"]):
            return self.send(400, b'{"error": {"message": "input is not acceptable", "type": "invalid_request_error"}}')
        vectors = [vector_of(text, size) for text in asked["input"]]
        with self.server.lock:
            self.server.seen["answered"].update(asked["input"])
        if asked.get("encoding_format") == "base64":
            vectors = [base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() for vector in vectors]
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        result = {"object": "list", "model": asked["model"], "data": data[::-1], "usage": {"prompt_tokens": 1}}
        self.send(200, json.dumps(result).encode())

    def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, kind: str = "application/json"):
        """Send a complete response."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """See `serve`."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, *, latency: float, slow: float, status: int, echo: bool, seed: int, faults: Mapping[str, float],
        error: Mapping[str, object], redirect: int, poison: str, max_inputs: int, parts: bool,
    ):  # fmt: skip
        super().__init__(("127.0.0.1", 0), Handler)
        self.latency, self.slow, self.status, self.echo = latency, slow, status, echo
        self.error, self.redirect, self.poison, self.max_inputs = error, redirect, poison, max_inputs
        self.parts = parts
        self.weights = [faults.get(name, 0) for name in FAULTS]
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.in_flight, self.not_before = 0, {}
        self.seen = {
            "requests": 0, "redirected": 0, "most_in_flight": 0, "too_early": 0, "last": None, "answered": Counter(),
        }  # fmt: skip

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect."""


@dataclass
class Running:
    """A running server."""

    port: int

    @property
    def url(self) -> str:
        """The address, for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def seen(self) -> dict:
        """Counts: requests, most_in_flight, too_early, last, answered (how often each prompt)."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url) as response:
            return json.load(response)


@contextlib.contextmanager
def serve(
    latency: float = 0,
    slow_seconds: float = 0,
    status: int = 200,
    echo: bool = False,
    seed: int = 0,
    error: Mapping[str, object] | None = None,
    redirect: int = 0,
    poison: str = "",
    max_inputs: int = 0,
    parts: bool = False,
    **faults: float,
) -> Iterator[Running]:
    """Run a server for the duration of a with block.

    Args:
        latency: seconds that each answer takes.
        slow_seconds: seconds that a slow answer takes in addition.
        status: HTTP status of every response.
        echo: whether answers and errors repeat the key.
        seed: of the random choice of faults.
        error: fields of the error that every response reports, also with status 200.
        redirect: status with which requests to /v1/ are redirected to /v2/; 0 for none.
        poison: a part of a text; a request for embeddings that contains it is refused.
        max_inputs: texts that a request for embeddings may have; 0 for any number.
        parts: whether the content of an answer is a list of parts.
        faults: share of requests with each of `FAULTS`; names that begin with a digit need an underscore: ``_429=0.1``.
    """
    shares = {name.removeprefix("_"): share for name, share in faults.items()}
    arguments = {
        "latency": latency, "slow": slow_seconds, "status": status, "echo": echo, "seed": seed, "faults": shares,
        "error": dict(error or {}), "redirect": redirect, "poison": poison, "max_inputs": max_inputs, "parts": parts,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-S", __file__, json.dumps(arguments)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield Running(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    server = Server(**json.loads(sys.argv[1]))
    print(server.server_port, flush=True)
    server.serve_forever()
