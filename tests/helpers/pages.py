"""The pages of the documentation: their sections, equations and the table of models, and the texts that cite them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"


def texts() -> list[Path]:
    """Every file of the repository that may cite a page."""
    folders = ["benchmarks", "dataset/movielens", "docs", "examples", "properties", "recbole_lecdsr", "tests"]
    found = [path for path in CHECKOUT.iterdir() if path.is_file()]
    found += [path for folder in folders for path in (CHECKOUT / folder).rglob("*")]
    kinds = (".py", ".md", ".yaml", ".toml", ".txt")
    return sorted(path for path in found if path.suffix in kinds or path.name == "Makefile")


@cache
def read(page: str) -> str:
    """A page of the folder docs, by its name: ``models.md``."""
    return (DOCS / page).read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """Number -> title of each numbered section of a page: ``5.6`` -> ``Training on whole sequences``."""
    return dict(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? (.+)$", read(page), re.M))


def equations(page: str) -> list[int]:
    """Numbers of the equations of a page, in order: at the end of a line of a block, or of a cell with code."""
    found = []
    for number, part in enumerate(read(page).split("```")):
        pattern = r"\((\d+)\)$" if number % 2 else r"` \((\d+)\) \|$"
        found += [int(equation) for equation in re.findall(pattern, part, re.M)]
    return found


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings of a Markdown text, for links to them.

    >>> sorted(anchors("# A page\\n## 9. RecBole's models"))
    ['9-recboles-models', 'a-page']
    """
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}


def table_of_models() -> dict[str, dict[str, str]]:
    """The table of docs/models.md, 1: ``--model`` -> heading of a column -> cell."""
    lines = [line for line in read("models.md").partition("## 2.")[0].splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {name: dict(zip(head, row, strict=True)) for row in rows for name in re.findall(r"`([\w-]+)`", row[0])}
