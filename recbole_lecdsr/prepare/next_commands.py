"""What can be done with a prepared pair: the commands that follow, and the settings that its texts need."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from recbole_lecdsr.prepare.atomic_pair import ITEM
from recbole_lecdsr.schema import find

PROGRAM = "python run_lecdsr.py"
WITHOUT_ITEM_TEXTS, WITHOUT_PROFILES = "--no_item_semantics=True", "--no_user_profile=True"


def text_settings(tables: Mapping[str, pd.DataFrame]) -> dict[str, object]:
    """Parameters for the property file of a pair: the names of its texts, where a domain has none of the default ones.

    Args:
        tables: domain -> its ``.item`` table.

    Example:
        >>> text_settings({"food": pd.DataFrame(columns=["item_id:token", "name:token"])})
        {'item_text': ['name'], 'llm': {'event_text': ['name']}}
        >>> text_settings({"food": pd.DataFrame(columns=["item_id:token", "title:token"])})
        {}
    """
    by_domain = [[column.partition(":")[0] for column in table.columns if column != ITEM] for table in tables.values()]
    texts = list(dict.fromkeys(text for texts in by_domain for text in texts))
    settings: dict[str, object] = {}
    if _lacks_one_of(by_domain, find("item_text").default_value):
        settings["item_text"] = texts
    if _lacks_one_of(by_domain, find("llm").default_value["event_text"]):
        settings["llm"] = {"event_text": list(texts)}
    return settings


def list_commands(
    name: str,
    folder: Path,
    *,
    domains: Collection[str],
    with_texts: Collection[str],
    properties: Mapping[str, object],
    settings: Mapping[str, object] | None = None,
) -> tuple[str, ...]:
    """The commands that embed a pair and train on it.

    Args:
        name: of the pair.
        folder: of the pair.
        domains: both names.
        with_texts: those that have texts of items. `embed` needs texts of both.
        properties: values of the property file of the pair.
        settings: of `text_settings`, which a property file from before may lack.

    Example:
        >>> texts = ["food", "kitchen"]
        >>> list_commands("shop", Path("dataset/shop"), domains=texts, with_texts=texts, properties={})[0]
        'python run_lecdsr.py embed --dataset shop --user_text=history'
        >>> list_commands("shop", Path("shop"), domains=texts, with_texts=[], properties={})
        ('python run_lecdsr.py --dataset shop --data_path=. --no_item_semantics=True --no_user_profile=True',)
    """
    if set(domains) - set(with_texts):
        return list_run_commands(name, folder, WITHOUT_ITEM_TEXTS, WITHOUT_PROFILES)
    settings = settings or {}
    before, options = _find_data(name, folder)
    embed = [PROGRAM, "embed", options]
    if isinstance(needed := settings.get("item_text"), list) and "item_text" not in properties:
        embed.append(shlex.quote(f"--item_text=[{','.join(needed)}]"))
    if not properties.get("user_text"):  # a language model may write texts of users, but need not
        embed.append("--user_text=history")
    return *before, " ".join(embed), f"{PROGRAM} {options}"


def list_run_commands(name: str, folder: Path, *flags: str) -> tuple[str, ...]:
    """The command that trains on a pair that needs no `embed`.

    Args:
        name: of the pair.
        folder: of the pair.
        flags: for what the pair lacks.
    """
    before, options = _find_data(name, folder)
    return *before, " ".join([PROGRAM, options, *flags])


def _lacks_one_of(by_domain: Sequence[Collection[str]], names: Sequence[str]) -> bool:
    """Whether a domain has none of some texts."""
    return any(not set(texts) & set(names) for texts in by_domain)


def _find_data(name: str, folder: Path) -> tuple[list[str], str]:
    """Commands that put a pair where runs find it, and the options by which they do."""
    options = f"--dataset {shlex.quote(name)}"
    if folder.resolve() == (Path("dataset") / name).resolve():
        return [], options
    parent = shlex.quote(str(folder.parent))
    if folder.name == name:
        return [], f"{options} --data_path={parent}"
    return [shlex.join(["mv", str(folder), str(folder.parent / name)])], f"{options} --data_path={parent}"
