"""The reference of parameters: text for ``--help`` and tables for docs/configuration.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from recbole_lecdsr.schema.groups import GROUPS, leaves
from recbole_lecdsr.schema.parameter import Parameter
from recbole_lecdsr.schema.property_text import yaml_text

_NAME_WIDTH = 32


def describe(
    model_parameters: Sequence[Parameter] = (), model: str = "", everything: bool = False, width: int = 80
) -> str:
    """Help on parameters for a terminal.

    Args:
        model_parameters: of the model's own; all are shown, first.
        model: name of the model, for their heading.
        everything: show all parameters with their whole help, instead of the common ones with a summary each.
        width: of the terminal, in characters.

    Example:
        >>> gate = Parameter("gate_bias", float, "Initial bias of the gate.", default=1.0)
        >>> print(describe([gate], "MyModel").partition("Run:")[0].rstrip())
        Parameters of MyModel:
          --gate_bias=1.0               Initial bias of the gate
    """
    groups = {f"Parameters of {model}": list(leaves(model_parameters))}
    for group in GROUPS:
        groups[group.title] = [entry for entry in leaves(group.parameters) if everything or entry[1].common]
    blocks = []
    for title, entries in groups.items():
        lines = [line for entry in entries for line in _entry(*entry, everything=everything, width=width)]
        if lines:
            blocks.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join(blocks) + "\n"


def _entry(name: str, parameter: Parameter, everything: bool, width: int) -> Iterator[str]:
    text = parameter.help if everything else parameter.summary
    if everything or not all(str(choice) in text for choice in parameter.choices):
        limits = _limits(parameter)
        text += f" ({limits})" if limits else ""
    left = f"  --{name}={yaml_text(parameter.default)}"
    lines = textwrap.wrap(text, width - _NAME_WIDTH) or [""]
    if len(left) < _NAME_WIDTH:
        left = f"{left:<{_NAME_WIDTH}}{lines.pop(0)}"
    yield left
    yield from (" " * _NAME_WIDTH + line for line in lines)


def _limits(parameter: Parameter) -> str:
    """The allowed values, where they are more than a kind."""
    bounds = (parameter.minimum, parameter.maximum, parameter.above, parameter.below)
    if parameter.choices or parameter.expected or any(bound is not None for bound in bounds):
        return parameter.allowed
    return ""


def parameter_table(parameters: Iterable[Parameter], columns: Mapping[str, Mapping[str, object]] | None = None) -> str:
    """A Markdown table with a row for each parameter: name, default, allowed values, meaning.

    Args:
        parameters: the rows; parts of a mapping have rows of their own.
        columns: heading -> full name -> value, in place of the column with the default; a dash where there is none.
    """
    entries = list(leaves(parameters))
    if columns is None:
        columns = {"default": {name: parameter.default for name, parameter in entries}}
    rows = [["parameter", *columns, "values", "meaning"]]
    for name, parameter in entries:
        values = [f"`{yaml_text(column[name])}`" if name in column else "–" for column in columns.values()]
        rows.append([f"`{name}`", *values, _escaped(parameter.allowed), _escaped(parameter.help)])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row has the headings.

    Example:
        >>> print(table([["a", "b"], ["1", "2"]]), end="")
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    head, *others = (f"| {' | '.join(row)} |\n" for row in rows)
    return "".join([head, "|---" * len(rows[0]) + "|\n", *others])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
