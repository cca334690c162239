"""What the pages say about the repository, and what texts say about the pages."""

from __future__ import annotations

import re

import pytest

from recbole_lecdsr.registration import MODELS
from tests.helpers.pages import CHECKOUT, DOCS, anchors, equations, read, sections, table_of_models, texts

NUMBERED = ("models.md", "protocol.md")
PROPERTIES = CHECKOUT / "properties" / "model"
RIVALS = [name for name, module in MODELS.items() if ".baselines." in module]
_NUMBER = r"\d+(?:\.\d+)?"


def test_every_path_of_the_table_of_stages_is_there():
    page = read("architecture.md")
    table = page[page.index("## Where is …") : page.index("## Who may import whom")]
    paths = re.findall(r"`(recbole_lecdsr/[\w/.]*)`", table)
    assert len(paths) > 40
    assert [path for path in paths if not (CHECKOUT / path).exists()] == []


def test_every_package_of_the_code_is_in_the_table_of_stages():
    folders = {path.parent.name for path in (CHECKOUT / "recbole_lecdsr").glob("*/__init__.py")}
    assert {name for name in folders if f"recbole_lecdsr/{name}/" not in read("architecture.md")} == set()


def test_the_table_of_models_has_every_model_with_a_property_file_and_no_other():
    files = {path.stem for path in PROPERTIES.glob("*.yaml")} - {"Baseline", "CDRBaseline"}
    assert set(table_of_models()) == files


# ------------------------------------------------------------------ numbers and links


def citations(text: str) -> list[tuple[str, str]]:
    """Page and section, or page and ``eq. N``, of each citation of a numbered page."""
    found = []
    pattern = rf"\b({'|'.join(map(re.escape, NUMBERED))}),\s(eq\. )?({_NUMBER}(?:(?:, | and | to ){_NUMBER})*)"
    for page, equation, numbers in re.findall(pattern, text):
        found += [(page, f"{equation}{number}") for number in re.findall(_NUMBER, numbers)]
    return found


def known_places(page: str) -> set[str]:
    return {*sections(page), *(f"eq. {number}" for number in equations(page))}


def test_a_citation_is_recognised():
    text = "(docs/models.md, 5.6 and 4.4); docs/models.md, eq. 3 to 5; [protocol.md, 4](protocol.md#4); models.md, 5."
    assert citations(text) == [
        ("models.md", "5.6"), ("models.md", "4.4"), ("models.md", "eq. 3"), ("models.md", "eq. 5"),
        ("protocol.md", "4"), ("models.md", "5"),
    ]  # fmt: skip


@pytest.mark.parametrize("page", NUMBERED)
def test_sections_and_equations_are_numbered_in_order(page):
    assert equations(page) == list(range(1, len(equations(page)) + 1))
    numbers = [number for number in sections(page) if "." not in number]
    assert numbers == [str(number + 1) for number in range(len(numbers))]
    for number in numbers:
        parts = [part for part in sections(page) if part.startswith(f"{number}.")]
        assert parts == [f"{number}.{part + 1}" for part in range(len(parts))]


def test_every_cited_section_and_equation_is_there():
    own, known = CHECKOUT / "tests" / "test_docs.py", {page: known_places(page) for page in NUMBERED}
    found = [(file, *one) for file in texts() if file != own for one in citations(file.read_text(encoding="utf-8"))]
    assert len(found) > 60
    assert [(str(file), page, place) for file, page, place in found if place not in known[page]] == []


@pytest.mark.parametrize("model", RIVALS)
def test_a_rivals_files_cite_its_own_section(model):
    titles = {number: re.sub(r"\W", "", title).lower() for number, title in sections("models.md").items()}
    (section,) = (number for number, title in titles.items() if "." not in number and title.startswith(model.lower()))
    modules = list((CHECKOUT / "recbole_lecdsr/model/baselines").glob(f"{model.lower()}*.py"))
    cited = {
        file.name: {place.partition(".")[0] for page, place in citations(file.read_text(encoding="utf-8"))
                    if page == "models.md"}
        for file in [*modules, *PROPERTIES.glob(f"{model}*.yaml")]
    }  # fmt: skip
    assert cited[f"{model.lower()}.py"] and cited[f"{model.lower()}_network.py"]
    assert {name: numbers for name, numbers in cited.items() if numbers - {section}} == {}


def test_every_link_to_a_section_leads_there():
    pages = [file for file in texts() if file.suffix == ".md"]
    broken = []
    for file in pages:
        text = file.read_text(encoding="utf-8")
        for path, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", text):
            target = (file.parent / path).resolve() if path else file
            if anchor not in anchors(target.read_text(encoding="utf-8")):
                broken.append(f"{file.relative_to(CHECKOUT)}: {path}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_reference_of_a_link_is_defined_and_used(page):
    prose = re.sub(r"```.*?```|`[^`]*`", "", read(page), flags=re.S)
    defined = re.findall(r"^\[([\w-]+)\]: \S+$", prose, re.M)
    assert set(re.findall(r"\]\[([\w-]+)\]", prose)) == set(defined)
    assert len(defined) == len(set(defined))
