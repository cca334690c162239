"""Parameters of texts by a language model, read by ``run_lecdsr.py profile``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recbole_lecdsr.schema.parameter import Parameter

# Fields of a request that have a parameter of their own, or that the plugin sets.
_SET_BY_THE_PLUGIN = {"model", "messages", "max_tokens", "temperature", "top_p", "seed", "stream", "n"}


def _is_extra(body: Mapping[str, object]) -> bool:
    return not _SET_BY_THE_PLUGIN & body.keys()


def _are_names(names: Sequence[str]) -> bool:
    return bool(names) and all(names) and len(set(names)) == len(names)


LLM = (
    Parameter(
        "backend",
        str,
        "Where texts come from. openai: an OpenAI-compatible server; batch: files in OpenAI's Batch format; "
        "transformers: a causal model on this machine; history: no model, the formatted history is the text.",
        default="openai",
        choices=("openai", "batch", "transformers", "history"),
        common=True,
    ),
    Parameter(
        "model",
        str,
        "The language model, as the server names it, or a name or path for transformers.",
        optional=True,
        accepts=bool,
        expected="a name or a path",
        common=True,
    ),
    Parameter(
        "prompt",
        str,
        "Prompt template of users: lecdsr, hierarchical, facets, or a YAML file.",
        default="lecdsr",
        accepts=bool,
        expected="the name of a file in properties/prompt/, or a path",
        common=True,
    ),
    Parameter(
        "item_prompt",
        str,
        "Prompt template of items: item, or the path of a YAML file.",
        default="item",
        accepts=bool,
        expected="the name of a file in properties/prompt/, or a path",
    ),
    Parameter(
        "event_text",
        list,
        "Fields of an item that a line of a history shows. An item without any of them shows its token.",
        default=["title", "genres", "category", "categories"],
        items=str,
        expected="a list of fields, such as [title, genres]",
    ),
    Parameter(
        "max_history_tokens",
        int,
        "Tokens of a history in a prompt; the newest interactions are kept. Counted by the model's tokenizer for "
        "transformers, otherwise estimated as a quarter of the UTF-8 bytes.",
        default=3000,
        minimum=1,
    ),
    Parameter("max_tokens", int, "Tokens of an answer. Not sent if none.", default=400, minimum=1, optional=True),
    Parameter(
        "temperature",
        float,
        "Temperature of the sampling. Not sent if none; at 0 a transformers model is asked only once.",
        default=0.0,
        minimum=0,
        optional=True,
    ),
    Parameter(
        "top_p",
        float,
        "Share of probability that is sampled from. Not sent if none.",
        minimum=0,
        maximum=1,
        optional=True,
    ),
    Parameter("seed", int, "Seed of the sampling. Not sent if none.", minimum=0, optional=True),
    Parameter(
        "extra_body",
        dict,
        "Further fields of a request. For example {chat_template_kwargs: {enable_thinking: False}}, which transformers "
        "understands too.",
        default={},
        accepts=_is_extra,
        expected=f"a mapping without {', '.join(sorted(_SET_BY_THE_PLUGIN))}, which have parameters or are fixed",
    ),
    Parameter(
        "attempts",
        int,
        "How often to ask if the answer is refused, empty, too long or broken JSON. Over all runs; a request that "
        "fails is counted within one run.",
        default=3,
        minimum=1,
    ),
    Parameter("concurrency", int, "Requests at a time.", default=8, minimum=1),
    Parameter("requests_per_minute", float, "Limit of the pace. Repeated attempts count.", above=0, optional=True),
    Parameter("tokens_per_minute", float, "Limit of the pace. Tokens are estimated.", above=0, optional=True),
    Parameter(
        "max_retries",
        int,
        "Retries of a request that the server could not answer. After status 408, 409, 429 or 5xx, a time-out or a "
        "lost connection; the waiting time grows, or is that of Retry-After (at most 2 minutes).",
        default=8,
        minimum=0,
    ),
    Parameter("timeout", float, "Seconds to wait for an answer.", default=120, above=0),
    Parameter("batch_size", int, "Prompts at a time, for transformers.", default=8, minimum=1),
    Parameter(
        "dtype",
        str,
        "Type of the weights, for transformers. auto: bfloat16 on a GPU, the stored type on a CPU.",
        default="auto",
        choices=("auto", "float32", "float16", "bfloat16"),
    ),
    Parameter(
        "device_map",
        (str, dict),
        "Devices of a transformers model, such as auto to spread it over all. Needs the package accelerate.",
        optional=True,
    ),
    Parameter("price_in", float, "Price of a million tokens of prompts, for --dry_run.", minimum=0, optional=True),
    Parameter("price_out", float, "Price of a million tokens of answers, for --dry_run.", minimum=0, optional=True),
)


LLM_TEXT = (
    Parameter("llm", dict, "How to ask a language model.", parts=LLM),
    Parameter(
        "as_of",
        list,
        "Shares of a user's first training interactions to write a profile from each. A line of `profile_file` then "
        "says from how many interactions it was written (`events`), so that a target only meets profiles of "
        "interactions before it. None: one profile of all training interactions.",
        items=float,
        commas=True,
        above=0,
        maximum=1,
        accepts=bool,
        expected="a list of shares above 0 and of at most 1, such as [0.7, 1.0]",
        optional=True,
        common=True,
    ),
    Parameter(
        "profile_file",
        list,
        "Texts of users, in the folder of the data. `profile` writes the file, `embed` reads it, or several; of lines "
        "about the same interactions of a user, that of the later file counts.",
        default=["profiles.jsonl"],
        items=str,
        commas=True,
        accepts=_are_names,
        expected="the name of a file, or a list of names",
    ),
    Parameter(
        "item_file",
        str,
        "Texts of items, in the folder of the data. `profile` writes the file, `embed` reads it.",
        default="items.jsonl",
        accepts=bool,
        expected="the name of a file",
    ),
)
