"""Parameters as text of property files, and the text of properties/overall.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from recbole_lecdsr.property_files import parse_value
from recbole_lecdsr.schema.groups import GROUPS
from recbole_lecdsr.schema.parameter import Parameter

_PLAIN = re.compile(r"[\w./][\w./@-]*")
_COMMENT_COLUMN = 44
_HEAD = """\
# Defaults of every run. --config_files, config_dict and the command line override them, in this order.
# Written by docs/generate_configuration.py from recbole_lecdsr/schema/; docs/configuration.md says more.
"""


def yaml_text(value: object) -> str:
    """A value as a property file or the command line writes it, on one line.

    Example:
        >>> yaml_text({"RS": [0.8, 0.1, 0.1]}), yaml_text(None), yaml_text("0"), yaml_text(True)
        ('{RS: [0.8, 0.1, 0.1]}', '~', "'0'", 'True')
    """
    if value is None:
        return "~"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_text(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(yaml_text, value))}]"
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and parse_value(value) == value:
            return value
        return f"'{value}'" if value.isprintable() and "'" not in value else json.dumps(value)
    return repr(value)


def default_properties() -> str:
    """The text of properties/overall.yaml: the default of every parameter, with the summary of its help."""
    parts = [_HEAD]
    for group in GROUPS:
        lines = [f"# {group.title}"]
        for parameter in group.parameters:
            lines += _lines(parameter)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _lines(parameter: Parameter, indent: str = "") -> Iterator[str]:
    if parameter.parts and parameter.default is None:
        yield _with_comment(f"{indent}{parameter.name}:", parameter.summary)
        for part in parameter.parts:
            yield from _lines(part, indent + "  ")
    else:
        yield _with_comment(f"{indent}{parameter.name}: {yaml_text(parameter.default)}", parameter.summary)


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{_COMMENT_COLUMN - 2}}  # {comment}"
