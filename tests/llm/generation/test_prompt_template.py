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
    template = read_template(name, SHIPPED[name], ["food", "kitchen"])
    assert template.name == name and len(template.digest) == 16 and template.system


def test_the_hierarchical_template_asks_about_each_domain_and_then_about_the_answers():
    first, last = read_template("hierarchical", "users").stages
    assert (first.each, last.each) == ("domain", None)
    assert "${history}" in first.prompt and "${history}" not in last.prompt and "${answers}" in last.prompt


def test_the_facets_template_has_fields_of_both_domains():
    (stage,) = read_template("facets", "users", ["food", "kitchen"]).stages
    names = ("food", "kitchen", "both", "next_food", "next_kitchen")
    assert (stage.format, stage.each, stage.fields) == ("json", None, names)
    template = read_template("facets", "users", ["food", "kitchen"])
    asked = template.render(stage, {"history": "1. tea", "domains": "food and kitchen", "domain": "", "answers": ""})
    assert 'exactly these fields: "food", "kitchen", "both", "next_food", "next_kitchen".' in asked[1]["content"]
    assert template.digest != read_template("facets", "users", ["food", "home"]).digest


def test_a_field_with_a_domain_stands_for_one_of_each_domain():
    template = write(one_stage(format="json", fields=["of ${domain}!", "$domain", "plain", "5$$"]))
    names = ("of a$b!", "of c d!", "a$b", "c d", "plain", "5$")
    assert read_template(template, "users", ["a$b", "c d"]).stages[0].fields == names


@pytest.mark.parametrize(
    ("stage", "domains", "message"),
    [
        ({"fields": ["${domian}"]}, ["a", "b"], r"\$\{domian\} is not a placeholder; there are \$\{domain\}"),
        ({"fields": ["${history}"]}, ["a", "b"], r"\$\{history\} is not a placeholder"),
        ({"fields": ["5$"]}, ["a", "b"], r"field '5\$': a \$ without a placeholder must be \$\$"),
        ({"fields": ["${domain}", "both"]}, ["both", "b"], "field 'both' occurs twice in both, b, both"),
        ({"fields": ["a", "a"]}, ["x", "y"], "field 'a' occurs twice"),
        ({"fields": ["${domain}"]}, ["source", "target"], "field 'source': choose a name that is not"),
        ({"fields": ["events"]}, ["a", "b"], "field 'events': choose a name that is not"),
        ({"fields": [" "]}, ["a", "b"], "field ' ': choose a name that is not empty"),
    ],
    ids=str,
)  # fmt: skip
def test_fields_that_cannot_be_are_errors_with_the_file(stage, domains, message):
    with pytest.raises(UserError, match=rf"mine\.yaml, stage 1: .*{message}"):
        read_template(write(one_stage(format="json", **stage)), "users", domains)


def test_a_domain_has_no_place_in_fields_of_a_stage_that_asks_for_each_domain_or_about_items():
    first = {"prompt": "${history}", "each": "domain", "format": "json", "fields": ["${domain}"]}
    with pytest.raises(UserError, match=r"stage 1: field '\$\{domain\}'.*none here"):
        read_template(write({"stages": [first, {"prompt": "${answers}"}]}), "users", ["a", "b"])
    with pytest.raises(UserError, match=r"stage 1: field '\$\{domain\}'.*none here"):
        read_template(write({"stages": [{"prompt": "${item}", "format": "json", "fields": ["${domain}"]}]}), "items")


def test_a_stage_of_text_has_no_fields_to_show():
    with pytest.raises(UserError, match=r"\$\{fields\} is not a placeholder"):
        read_template(write(one_stage(prompt="${history} ${fields}")), "users")


def test_texts_replace_placeholders_once():
    content = {"system": "Be brief.", **one_stage(prompt="$$1 for $history and ${domain}")}
    template = read_template(write(content), "users")
    evil = "${domain} $history {user} </s> %s"
    messages = template.render(template.stages[0], {"history": evil, "domain": "films", "answers": ""})
    assert messages == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": f"$1 for {evil} and films"},
    ]  # fmt: skip


def test_without_a_system_text_there_is_no_system_message():
    template = read_template(write(one_stage()), "users")
    assert [one["role"] for one in template.render(template.stages[0], {"history": "x"})] == ["user"]


def test_the_digest_depends_on_what_is_asked_and_not_on_comments():
    before = read_template(write(one_stage()), "users").digest
    assert read_template(write("# comment\n" + yaml.safe_dump(one_stage(name="other"))), "users").digest == before
    changed = [
        one_stage(prompt="of ${history}"), one_stage(max_words=9), one_stage(format="json", fields=["a"]),
        {**one_stage(), "system": "x"},
    ]  # fmt: skip
    digests = {read_template(write(one), "users").digest for one in changed}
    assert len(digests | {before}) == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"system": "x"}, "stages must be a list"),
        ({"stages": []}, "stages must be a list"),
        ({**one_stage(), "temperature": 2}, "can have system and stages, but not temperature"),
        ({"system": 1, **one_stage()}, "system must be a text"),
        ({"stages": ["x"]}, "stage 1: it must be a mapping with a text under prompt"),
        (one_stage(prompt="${histroy}"), r"stage 1: \$\{histroy\} is not a placeholder; there are \$\{domain\}"),
        (one_stage(prompt="costs 5$ ${history}"), r"stage 1: a \$ without a placeholder must be \$\$"),
        (one_stage(prompt="${answers}"), r"\$\{answers\} is not a placeholder"),
        (one_stage(each="user"), "each must be domain"),
        (one_stage(each="domain"), "the last stage gives the result"),
        (one_stage(format="xml"), "format must be text or json"),
        (one_stage(format="json"), "fields must be a list of names"),
        (one_stage(fields=["a"]), "fields must be a list of names"),
        (one_stage(max_words="ten"), "max_words must be a whole number"),
        (one_stage(model="x"), "unknown key 'model'"),
        ({"stages": [*one_stage()["stages"], {"prompt": "${history}"}]}, r"stage 2: use \$\{answers\}, without which"),
        ("stages: [\n", "line 2"),
    ],
)
def test_malformed_templates_are_errors_with_the_file(content, message):
    with pytest.raises(UserError, match=rf"mine\.yaml.*{message}"):
        read_template(write(content), "users")


def test_an_unknown_template_is_an_error_with_the_known_ones():
    with pytest.raises(UserError, match=r"no prompt 'lecdrs'.*did you mean lecdsr.*hierarchical, item, lecdsr"):
        read_template("lecdrs", "users")


def test_a_template_for_users_is_refused_for_items():
    with pytest.raises(UserError, match=r"\$\{(history|domains)\} is not a placeholder"):
        read_template("lecdsr", "items")
