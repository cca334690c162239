from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.llm.generation.prompt_template import read_template

NAMES = [path.stem for path in (shipped("properties") / "prompt").iterdir()]
SHIPPED = {name: "items" if name == "item" else "users" for name in NAMES}


def write(content: object) -> str:
    Path("mine.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return "mine.yaml"


def one_stage(**stage: object) -> dict[str, object]:
    return {"stages": [{"prompt": "Of ${history}", **stage}]}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_templates_can_be_read(name):
    template = read_template(name, SHIPPED[name])
    assert template.name == name and len(template.digest) == 16 and template.system


def test_the_hierarchical_one_asks_for_each_domain_and_then_of_the_answers():
    first, last = read_template("hierarchical", "users").stages
    assert (first.each, last.each) == ("domain", None)
    assert "${history}" in first.prompt and "${history}" not in last.prompt and "${answers}" in last.prompt


def test_texts_take_their_places_and_are_not_looked_at_again():
    content = {"system": "Be brief.", **one_stage(prompt="$$1 for $history and ${domain}")}
    template = read_template(write(content), "users")
    evil = "${domain} $history {user} </s> %s"
    messages = template.messages(template.stages[0], {"history": evil, "domain": "films", "answers": ""})
    assert messages == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": f"$1 for {evil} and films"},
    ]  # fmt: skip


def test_without_a_system_text_there_is_no_system_message():
    template = read_template(write(one_stage()), "users")
    assert [one["role"] for one in template.messages(template.stages[0], {"history": "x"})] == ["user"]


def test_the_digest_follows_from_what_is_asked_and_not_from_comments():
    before = read_template(write(one_stage()), "users").digest
    assert read_template(write("# comment\n" + yaml.safe_dump(one_stage(name="other"))), "users").digest == before
    changed = [
        one_stage(prompt="of ${history}"), one_stage(max_words=9), one_stage(format="json", fields=["a"]),
        {**one_stage(), "system": "x"},
    ]  # fmt: skip
    digests = {read_template(write(one), "users").digest for one in changed}
    assert len(digests | {before}) == 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"system": "x"}, "stages must be a list"),
        ({"stages": []}, "stages must be a list"),
        ({**one_stage(), "temperature": 2}, "temperature is none of them"),
        ({"system": 1, **one_stage()}, "system must be a text"),
        ({"stages": ["x"]}, "stage 1: it must be a mapping with a text under prompt"),
        (one_stage(prompt="${histroy}"), r"stage 1: \$\{histroy\} is no place: there are \$\{domain\}"),
        (one_stage(prompt="costs 5$ ${history}"), r"stage 1: a \$ stands alone"),
        (one_stage(prompt="${answers}"), r"\$\{answers\} is no place"),
        (one_stage(each="user"), "each must be domain"),
        (one_stage(each="domain"), "the last stage gives the result"),
        (one_stage(format="xml"), "format must be text or json"),
        (one_stage(format="json"), "fields must be a list of names"),
        (one_stage(fields=["a"]), "fields must be a list of names"),
        (one_stage(max_words="ten"), "max_words must be a whole number"),
        (one_stage(model="x"), "'model' is unknown"),
        ({"stages": [*one_stage()["stages"], {"prompt": "${history}"}]}, r"stage 2: it does not use \$\{answers\}"),
        ("stages: [\n", "line 2"),
    ],
)
def test_what_is_wrong_is_told(content, told):
    with pytest.raises(UserError, match=rf"mine\.yaml.*{told}"):
        read_template(write(content), "users")


def test_a_template_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UserError, match=r"no prompt 'lecdrs'.*did you mean lecdsr.*hierarchical, item, lecdsr"):
        read_template("lecdrs", "users")


def test_a_template_of_users_is_none_of_items():
    with pytest.raises(UserError, match=r"\$\{history\} is no place|\$\{domains\} is no place"):
        read_template("lecdsr", "items")
