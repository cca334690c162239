"""`Parameter`: the declaration of one parameter, and the check of a value against it."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# kind -> what a value is called, alone and in a list
_NOUNS = {
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    dict: ("a mapping", "mappings"),
}
_LARGEST = 2**31 - 1  # of whole numbers without another bound
_LONGEST_VALUE = 200  # characters of a value in an error


@dataclass(frozen=True)
class Parameter:
    """One parameter of a run.

    A model class declares its own parameters by a tuple of these, ``hyperparameters``: they are then accepted on the
    command line and in property files, checked, and have their default without a property file.

    Attributes:
        name: as in property files and on the command line. A part of a mapping has its name within the mapping.
        kind: type of a value: bool, int, float, str, list or dict, or several of these. A float may be a whole number.
            A list of one value can be given as the value alone.
        help: one or two sentences. The first is at most 80 characters long.
        default: value if no property file gives one. None for a mapping with `parts`: the defaults of these.
        choices: the only values allowed; of a list, the only values of an entry.
        renamed: former names of choices -> their names of today, for the error.
        ignore_case: whether the case of a choice plays no part.
        minimum, maximum: inclusive bounds of a number, or of the entries of a list.
        above, below: exclusive bounds.
        optional: whether None, written ``~``, is a value.
        items: type of the entries of a list.
        commas: whether a list can be given as a text with commas between its entries.
        accepts: further condition on a value, described by `expected`.
        expected: the allowed values in words, to follow "must be"; None derives them from the other attributes.
        parts: parameters within a mapping, written ``mapping.part`` on the command line.
        common: whether the short ``--help`` shows it.

    Example:
        >>> gate = Parameter("gate_bias", float, "Initial bias of the gate.", default=1.0, minimum=0)
        >>> gate.error(0.5)
        >>> gate.error("big")
        "gate_bias must be a number of at least 0, not 'big'"
    """

    name: str
    kind: type | tuple[type, ...]
    help: str
    default: Any = None
    choices: tuple[object, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignore_case: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    optional: bool = False
    items: type | None = None
    commas: bool = False
    accepts: Callable[[Any], object] | None = None
    expected: str | None = None
    parts: tuple[Parameter, ...] = ()
    common: bool = False

    @property
    def kinds(self) -> tuple[type, ...]:
        """`kind` as a tuple."""
        return self.kind if isinstance(self.kind, tuple) else (self.kind,)

    @property
    def default_value(self) -> Any:
        """The default, that of a mapping put together from its parts."""
        if self.parts and self.default is None:
            return {part.name: part.default_value for part in self.parts}
        return self.default

    @property
    def summary(self) -> str:
        """The first sentence of `help`."""
        return self.help.partition(". ")[0].removesuffix(".")

    @property
    def allowed(self) -> str:
        """The allowed values in words.

        Example:
            >>> Parameter("seed", int, "Seed.", minimum=0).allowed
            'a whole number of at least 0'
            >>> Parameter("pooling", str, "How to pool.", choices=("mean", "max"), optional=True).allowed
            'mean or max, or ~ for none'
        """
        return self._allowed() + (", or ~ for none" if self.optional else "")

    def _allowed(self) -> str:
        if self.expected is not None:
            return self.expected
        if list in self.kinds:
            if self.choices:
                return f"a list of {_enumeration(self.choices)}"
            plural = _NOUNS[self.items][1] if self.items else "values"
            return f"a list of {plural}{self._bounds()}"
        if self.choices:
            return (
                _enumeration(self.choices) if len(self.choices) < 3 else f"one of {', '.join(map(str, self.choices))}"
            )
        return " or ".join(_NOUNS[kind][0] for kind in self.kinds) + self._bounds()

    def _bounds(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f" from {self.minimum} to {self.maximum}"
        bounds = {
            "of at least": self.minimum, "above": self.above, "of at most": self.maximum, "below": self.below,
        }  # fmt: skip
        given = [f"{words} {bound}" for words, bound in bounds.items() if bound is not None]
        return f" {' and '.join(given)}" if given else ""

    def error(self, value: object, name: str | None = None) -> str | None:
        """What is wrong with a value.

        Args:
            value: from a property file, the command line or Python.
            name: the full name of a part.

        Returns:
            A sentence with the name, what is allowed and the value, or None for an allowed value.
        """
        if any(self._is_too_large(entry) for entry in (value if isinstance(value, (list, tuple)) else [value])):
            return f"{name or self.name} must be at most {_LARGEST}, not {_abbreviate(value)}"
        if self._is_allowed(value):
            return None
        return f"{name or self.name} must be {self.allowed}, not {_abbreviate(value)}{self._remedy(value)}"

    def _is_too_large(self, value: object) -> bool:
        """Whether a whole number is beyond what any size, count or length can be."""
        is_bounded = self.maximum is not None or float in self.kinds
        return not is_bounded and isinstance(value, int) and value > _LARGEST

    def normalized(self, value: object) -> object:
        """The value, a single entry of a list as a list, entries between commas as well where these are allowed.

        Example:
            >>> Parameter("as_of", list, "Shares.", items=float, commas=True).normalized("0.7, 1")
            [0.7, 1.0]
        """
        if value is None or self.kinds != (list,) or isinstance(value, list):
            return value
        if self.commas and isinstance(value, str) and "," in value:
            return [_parse_entry(text.strip(), self.items) for text in value.split(",")]
        return list(value) if isinstance(value, tuple) else [value]

    def _is_allowed(self, value: object) -> bool:
        if value is None:
            return self.optional
        value = self.normalized(value)
        if not any(_is_of_kind(value, kind) for kind in self.kinds):
            return False
        entries = value if isinstance(value, list) else [value]
        if not all(map(self._is_allowed_entry, entries)):
            return False
        return self.accepts is None or bool(self.accepts(value))

    def _is_allowed_entry(self, value: object) -> bool:
        if self.items is not None and list in self.kinds and not _is_of_kind(value, self.items):
            return False
        if self.choices and self._folded(value) not in map(self._folded, self.choices):
            return False
        if isinstance(value, str) and "\0" in value:  # no file name can have it
            return False
        if isinstance(value, (int, float)):
            return (
                (self.minimum is None or value >= self.minimum)
                and (self.maximum is None or value <= self.maximum)
                and (self.above is None or value > self.above)
                and (self.below is None or value < self.below)
            )
        return True

    def _folded(self, value: object) -> object:
        return value.lower() if self.ignore_case and isinstance(value, str) else value

    def _remedy(self, value: object) -> str:
        if self.kinds == (str,) and not self.choices and isinstance(value, (bool, int, float)):
            return f": put it in quotes, '{value}'"
        if isinstance(value, str):
            if value in self.renamed:
                return f", which is now called {self.renamed[value]}"
            close = difflib.get_close_matches(value, map(str, self.choices), n=1)
            return f": did you mean {close[0]}?" if close else ""
        return ""


def from_default(name: str, default: object) -> Parameter:
    """The declaration of a parameter of which only the default is known, as of RecBole's own models.

    Example:
        >>> from_default("n_layers", 2).error("two")
        "n_layers must be a whole number, or ~ for none, not 'two'"
    """
    if isinstance(default, list):
        return Parameter(name, (list, tuple, int, str), "", default=default, optional=True, expected="a list")
    for kind in (bool, int, float, dict):
        if _is_of_kind(default, kind):
            return Parameter(name, kind, "", default=default, optional=True)
    # A string or None does not show what else is allowed.
    return Parameter(name, object, "", default=default, optional=True, expected="any value")


def _is_of_kind(value: object, kind: type) -> bool:
    if kind is float:
        return _is_of_kind(value, int) or (isinstance(value, float) and math.isfinite(value))
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is dict:
        return isinstance(value, Mapping)
    return isinstance(value, kind)


def _parse_entry(text: str, kind: type | None) -> object:
    """An entry of a list as a number if it has to be one and is one."""
    if kind is int or kind is float:
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _abbreviate(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} nested too deeply"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _enumeration(values: tuple[object, ...]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last
