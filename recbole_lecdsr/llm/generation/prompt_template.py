"""Prompt templates: YAML files that say what a language model is asked, in one or more stages.

A placeholder such as ``${history}`` is replaced by a text of the data exactly once, by `string.Template`. The text
itself is not searched for placeholders, so a title such as ``${history}`` remains a title.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.property_files import nearest, read_property_file

Messages = list[dict[str, str]]  # {"role": …, "content": …}, as a chat endpoint takes them
SubjectKind = Literal["users", "items"]  # what a template asks about

# The placeholders of a prompt, and what replaces them.
PLACEHOLDERS: dict[SubjectKind, dict[str, str]] = {
    "users": {
        "history": "interactions", "domain": "name of a domain", "domains": "names of both domains",
        "answers": "answers of the stage before", "fields": "names of the fields of a JSON answer",
    },
    "items": {
        "item": "fields of the item", "domain": "name of its domain", "answers": "answers of the stage before",
        "fields": "names of the fields of a JSON answer",
    },
}  # fmt: skip
RESERVED_FIELDS = ("user_id", "item_id", "events", "source")  # what else a line of an output file says
_FORMATS = ("text", "json")


@dataclass(frozen=True)
class Stage:
    """One question of a template.

    Attributes:
        name: names the stage in reports.
        prompt: the user message, with placeholders such as ``${history}``.
        each: ``domain`` to ask once for each domain in which the user has interactions, None to ask once.
        format: ``text``, or ``json`` for an object with a text or a list of texts under each of ``fields``.
        fields: names of the texts in a JSON answer; in a template of users, a name with ``${domain}`` stands for one
            field for each domain.
        max_words: a longer answer is rejected; None for no limit.
    """

    name: str
    prompt: str
    each: str | None = None
    format: str = "text"
    fields: tuple[str, ...] = ()
    max_words: int | None = None


@dataclass(frozen=True)
class PromptTemplate:
    """What a language model is asked about a user or an item.

    Attributes:
        name: of the file, without its suffix.
        system: the system message; empty for none.
        stages: one or more; the answer of the last one is the result.
        digest: 16 hexadecimal digits that identify what is asked; comments and names do not change them.

    Example:
        >>> template = PromptTemplate("short", "", (Stage("profile", "Who likes ${history}?"),), digest="0" * 16)
        >>> template.render(template.stages[0], {"history": "tea"})
        [{'role': 'user', 'content': 'Who likes tea?'}]
        >>> facets = Stage("facets", "Tastes, under ${fields}?", format="json", fields=("films", "books"))
        >>> template.render(facets, {})
        [{'role': 'user', 'content': 'Tastes, under "films", "books"?'}]
    """

    name: str
    system: str
    stages: tuple[Stage, ...]
    digest: str

    def render(self, stage: Stage, values: Mapping[str, str]) -> Messages:
        """The messages of a stage.

        Args:
            stage: one of ``stages``.
            values: a text for each placeholder of its prompt but ``fields``, which the stage has itself.
        """
        names = ", ".join(f'"{name}"' for name in stage.fields)
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": string.Template(stage.prompt).substitute(values, fields=names)}]


def read_template(name: str, kind: SubjectKind, domains: Sequence[str] = ()) -> PromptTemplate:
    """Read a template.

    Args:
        name: a file of ``properties/prompt/`` without its suffix, or a path.
        kind: whether it asks about ``users`` or ``items``.
        domains: names of the domains, which replace ``${domain}`` in names of fields; needed by templates of users.

    Raises:
        UserError: a file that is missing or malformed; an unknown placeholder; a field that has the name of another
            one, or of what an output line says besides texts.
    """
    shipped_path = shipped("properties") / "prompt" / f"{name}.yaml"
    path = shipped_path if shipped_path.exists() else Path(name)
    if not path.is_file():
        known = sorted(file.stem for file in shipped_path.parent.glob("*.yaml"))
        raise UserError(
            f"there is no prompt {name!r}, neither {shipped_path} nor a file of that name: {nearest(name, known)}; "
            f"available: {', '.join(known)}"
        )
    values = read_property_file(path)
    raw_stages, system = values.get("stages"), values.get("system") or ""
    if unknown := sorted(values.keys() - {"system", "stages"}):
        raise UserError(f"prompt {path}: it can have system and stages, but not {', '.join(unknown)}")
    if not isinstance(raw_stages, list) or not raw_stages:
        raise UserError(f"prompt {path}: stages must be a list with at least one stage, not {raw_stages!r}")
    if not isinstance(system, str):
        raise UserError(f"prompt {path}: system must be a text, not {system!r}")
    stages = tuple(
        _parse_stage(f"prompt {path}, stage {number}", raw, kind, number=number, domains=domains)
        for number, raw in enumerate(raw_stages, 1)
    )
    if stages[-1].each:
        raise UserError(f"prompt {path}: the last stage gives the result and is asked once: remove its each")
    system = system.strip()
    return PromptTemplate(path.stem, system, stages, _digest(system, stages, kind))


def _digest(system: str, stages: tuple[Stage, ...], kind: SubjectKind) -> str:
    questions = [[stage.prompt, stage.each, stage.format, stage.fields, stage.max_words] for stage in stages]
    content = json.dumps([[system, kind], *questions], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _parse_stage(where: str, raw: object, kind: SubjectKind, *, number: int, domains: Sequence[str]) -> Stage:
    """Check stage ``number``, counted from 1; ``where`` is its file and number, for errors."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("prompt"), str):
        raise UserError(f"{where}: it must be a mapping with a text under prompt")
    known = {field.name for field in fields(Stage)}
    if unknown := sorted(raw.keys() - known):
        raise UserError(
            f"{where}: unknown key {unknown[0]!r}: {nearest(unknown[0], known)}; there are {', '.join(sorted(known))}"
        )
    prompt = raw["prompt"].strip()
    each, answer_format, names = raw.get("each"), raw.get("format", "text"), raw.get("fields") or []
    max_words = raw.get("max_words")
    if each not in (None, "domain") or (each and kind == "items"):
        raise UserError(f"{where}: each must be domain (in a prompt about users) or be left out, not {each!r}")
    if answer_format not in _FORMATS:
        raise UserError(f"{where}: format must be {' or '.join(_FORMATS)}, not {answer_format!r}")
    is_list_of_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if (answer_format == "json") != bool(names) or not is_list_of_names:
        raise UserError(f"{where}: fields must be a list of names with format: json, and be left out with text")
    hidden = ({"answers"} if number == 1 else set()) | ({"fields"} if answer_format == "text" else set())
    used = _placeholders(where, prompt, PLACEHOLDERS[kind].keys() - hidden)
    if number > 1 and "answers" not in used:
        raise UserError(f"{where}: use ${{answers}}, without which the stages before it have no effect")
    if max_words is not None and (not isinstance(max_words, int) or isinstance(max_words, bool) or max_words < 1):
        raise UserError(f"{where}: max_words must be a whole number from 1 on, not {max_words!r}")
    return Stage(
        str(raw.get("name", number)),
        prompt,
        each=each,
        format=answer_format,
        fields=_expand_fields(where, names, () if each else domains),
        max_words=max_words,
    )


def _placeholders(where: str, text: str, allowed: Collection[str]) -> set[str]:
    """The names of the placeholders of a text, all of them among those that are allowed."""
    matches = list(string.Template.pattern.finditer(text))
    used = {match["named"] or match["braced"] for match in matches} - {None}
    unknown = sorted(used - set(allowed))
    if unknown or any(match["invalid"] is not None for match in matches):
        wrong = f"${{{unknown[0]}}} is not a placeholder" if unknown else "a $ without a placeholder must be $$"
        there = ", ".join(f"${{{name}}}" for name in sorted(allowed)) or "none here"
        raise UserError(f"{where}: {wrong}; there are {there}")
    return used


def _expand_fields(where: str, names: Sequence[str], domains: Sequence[str]) -> tuple[str, ...]:
    """Names of fields with each ``${domain}`` replaced, by one field for each domain."""
    expanded: list[str] = []
    for name in names:
        used = _placeholders(f"{where}: field {name!r}", name, {"domain"} if domains else ())
        values = domains if used else ("",)
        expanded += [string.Template(name).substitute(domain=domain) for domain in values]
    for name in expanded:
        if name in RESERVED_FIELDS or not name.strip():
            raise UserError(f"{where}: field {name!r}: choose a name that is not empty or {', '.join(RESERVED_FIELDS)}")
        if expanded.count(name) > 1:
            raise UserError(f"{where}: field {name!r} occurs twice in {', '.join(expanded)}: choose different names")
    return tuple(expanded)
