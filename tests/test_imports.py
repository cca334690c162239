"""What a module may import, how long it may be, what it may ask of a model, and which pages texts may cite."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.pages import CHECKOUT, texts

PACKAGE = CHECKOUT / "recbole_lecdsr"

# A part of the package imports only parts to its left, and parts that it shares a field with; `|` separates two parts
# of which neither imports the other.
ORDER = (
    "errors files json_files terminal schema property_files distributed threads compat < data "
    "< llm | prepare < model < evaluation < config < runs < trainer < registration quick_start < recommend "
    "< leaderboard | tuning < cli"
)
# Modules of the package itself, which are outside the order.
OUTSIDE = {"__init__", "__main__"}

FRAMEWORKS = {"recbole", "recbole_cdr"}
WITHOUT_FRAMEWORKS = [
    "prepare",
    "llm",
    "data/constants.py",
    "data/event_log.py",
    "data/placebo.py",
    "data/splitting.py",
    "data/samples.py",
    "data/windows.py",
    "model/modules",
    "model/sequence_input.py",
    "model/published_network.py",
    "model/window_objective.py",
    "model/causal_network.py",
    "model/sequence_objective.py",
    "model/ranking_losses.py",
    "model/baselines/c2dsr_network.py",
    "model/baselines/c2dsr_rows.py",
    "model/baselines/tricdr_columns.py",
    "model/baselines/tricdr_network.py",
    "model/alignment.py",
    "model/baselines/abxi_network.py",
    "model/baselines/alphafuse_network.py",
    "model/baselines/alphafuse_tables.py",
    "model/baselines/unisrec_adaptor.py",
    "model/baselines/unisrec_network.py",
    "model/baselines/llm4cdsr_network.py",
    "model/baselines/llmesr_network.py",
    "model/baselines/nearest_users.py",
    "model/baselines/pair_losses.py",
    "model/baselines/training_histories.py",
    "evaluation/ranking.py",
    "evaluation/sample_metrics.py",
    "leaderboard/significance.py",
]

LONGEST_MODULE = 400
# Parts that handle classes of the frameworks, which do not have the model contract.
PROBES_MODELS = ("model/baselines/", "compat/")


def modules(path: Path) -> list[Path]:
    """The Python files of a folder, or the file itself."""
    assert path.exists(), f"{path} does not exist"
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def part_of(module: Path) -> str:
    """``recbole_lecdsr/data/windows.py`` -> ``data``."""
    return Path(module.relative_to(PACKAGE).parts[0]).stem


def place(file: Path, line: int) -> str:
    return f"{file.relative_to(CHECKOUT)}:{line}"


def listed(violations: list[str]) -> str:
    return "\n".join(["", *violations])


@cache
def syntax_tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def text_of(node: ast.AST) -> str:
    """The value of a text in the code; "" for any other node."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


# ------------------------------------------------------------------ imports


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports: at its top, in functions, for type checkers only, by name.

    By name: texts such as "recbole_lecdsr.cli.tune:main", which `importlib.import_module` gets.
    """
    folder = file.relative_to(CHECKOUT).parent.parts
    for node in ast.walk(syntax_tree(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) - node.level + 1] if node.level else ()
            module = ".".join([*start, *filter(None, [node.module])])
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
        elif re.fullmatch(r"recbole_lecdsr(\.\w+)+(:\w+)?", text_of(node)):
            yield node.lineno, text_of(node)


def importable_parts() -> dict[str, set[str]]:
    """Each part -> the parts that it may import."""
    allowed: dict[str, set[str]] = {}
    for layer in ORDER.split("<"):
        before = set(allowed)
        for group in layer.split("|"):
            allowed.update({part: before | set(group.split()) for part in group.split()})
    return allowed


def test_the_order_names_each_part_of_the_package_once():
    names = re.findall(r"\w+", ORDER)
    parts = {part_of(path) for path in modules(PACKAGE)} - OUTSIDE
    assert sorted(names) == sorted(parts)


@pytest.mark.parametrize("part", re.findall(r"\w+", ORDER))
def test_a_part_imports_only_what_the_order_allows(part):
    allowed = importable_parts()[part]
    folder, file = PACKAGE / part, PACKAGE / f"{part}.py"
    violations = []
    for module in modules(folder if folder.is_dir() else file):
        for line, name in imported(module):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package == PACKAGE.name and not other.startswith("__") and other not in allowed:
                violations.append(f"{place(module, line)} imports {name}")
    assert not violations, listed(violations)


@pytest.mark.parametrize("path", WITHOUT_FRAMEWORKS)
def test_the_core_imports_no_framework(path):
    violations = [
        f"{place(module, line)} imports {name}"
        for module in modules(PACKAGE / path)
        for line, name in imported(module)
        if name.partition(".")[0] in FRAMEWORKS
    ]
    assert not violations, listed(violations)


# ------------------------------------------------------------------ modules and the model contract


def test_no_module_is_too_long():
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in modules(PACKAGE)}
    too_long = {str(file.relative_to(CHECKOUT)): n for file, n in lengths.items() if n > LONGEST_MODULE}
    assert not too_long, too_long


def denotes_a_model(expression: ast.expr) -> bool:
    """Whether an expression is called like a model or its class: ``model``, ``self.model``, ``best_model_class``."""
    if isinstance(expression, ast.Name):
        name = expression.id
    elif isinstance(expression, ast.Attribute):
        name = expression.attr
    else:
        return False
    return re.fullmatch(r"(\w+_)?model(_class)?", name) is not None


def probes_a_model(node: ast.AST) -> bool:
    """Whether a node is a call of ``getattr`` or ``hasattr`` on a model."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
        and denotes_a_model(node.args[0])
    )


def test_what_a_model_can_do_is_stated_by_the_contract_and_not_probed():
    violations = [
        place(file, node.lineno)
        for file in modules(PACKAGE)
        if not file.relative_to(PACKAGE).as_posix().startswith(PROBES_MODELS)
        for node in ast.walk(syntax_tree(file))
        if probes_a_model(node)
    ]
    assert not violations, listed(violations)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("getattr(model, 'x', None)", True),
        ("hasattr(self.model, 'x')", True),
        ("getattr(config.model_class, 'x')", True),
        ("hasattr(stock_model, 'x')", True),
        ("getattr(models, 'x')", False),
        ("getattr(options, model)", False),
        ("model.x", False),
    ],
)
def test_a_probe_of_a_model_is_recognised(code, expected):
    assert any(probes_a_model(node) for node in ast.walk(ast.parse(code))) is expected


# ------------------------------------------------------------------ citations


def written_files() -> set[str]:
    """Names of Markdown files that the package writes: texts that are nothing but such a name."""
    nodes = (node for file in modules(PACKAGE) for node in ast.walk(syntax_tree(file)))
    return {text_of(node) for node in nodes if re.fullmatch(r"[\w-]+\.md", text_of(node))}


def cited_pages(line: str) -> list[str]:
    """Markdown pages that a line cites, without those of other sites."""
    return re.findall(r"[\w/.-]+\.md\b", re.sub(r"https?://\S+", "", line))


def test_no_file_cites_a_page_that_the_repository_lacks():
    pages = [path.relative_to(CHECKOUT).as_posix() for path in texts() if path.suffix == ".md"]
    written = written_files()
    violations = []
    for file in texts():
        if file == Path(__file__):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            for page in cited_pages(line):
                known = any(f"/{path}".endswith(f"/{page.lstrip('./')}") for path in pages)
                if not known and Path(page).name not in written:
                    violations.append(f"{place(file, number)} cites {page}")
    assert not violations, listed(violations)


def test_a_citation_is_recognised():
    line = "see docs/data.md, [models](models.md) and (CHANGELOG.md), not https://github.com/RUCAIBox/RecBole/blob/README.md"
    assert cited_pages(line) == ["docs/data.md", "models.md", "CHANGELOG.md"]
