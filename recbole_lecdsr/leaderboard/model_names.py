"""The label of a model in a study, and the name under which a report shows it."""

from __future__ import annotations

from collections.abc import Mapping

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import split_command_line

_FUSION_PARAMETERS = ("score_fusion", "evidence")  # version 0.1.0 called it evidence

# Settings that a name has in words.
_WORDS: tuple[tuple[str, object, str], ...] = (
    ("no_user_profile", True, "without profile"),
    ("no_item_semantics", True, "without item texts"),
    ("no_semantic_fusion", True, "without semantic fusion"),
    ("align_weight", 0, "without alignment"),
    ("time_embedding_size", 0, "without times"),
    ("init_from_text", False, "without initialisation from texts"),
    ("ema_decay", 0, "without averaged weights"),
    ("score_fusion", False, "without score fusion"),
    ("score_fusion", True, "with score fusion"),
    ("sequence", "single", "without the other domain"),
    ("user_vectors", "random", "with random profiles"),
    ("user_vectors", "permuted", "with permuted profiles"),
    ("user_vectors", "id", "with a user ID instead of the profile"),
    ("user_vectors", "none", "without profile"),
    ("item_vectors", "random", "with random item texts"),
    ("item_vectors", "permuted", "with permuted item texts"),
    ("item_vectors", "none", "without item texts"),
)
_FILE_PARAMETERS = ("item_embedding_file", "user_embedding_file")


def parse_label(label: str) -> tuple[str, dict[str, object]]:
    """Split the label of a model into the name and the parameters after it.

    Raises:
        UserError: a part after a colon is not NAME=VALUE.

    >>> parse_label("SASRec:sequence=single")
    ('SASRec', {'sequence': 'single'})
    """
    name, *parts = label.split(":")
    values, strays = split_command_line([f"--{part}" for part in parts])
    if strays or not name:
        raise UserError(f"model {label!r}: write it as NAME or NAME:parameter=value:parameter=value")
    return name, values


def describe_settings(settings: Mapping[str, object]) -> str | None:
    """Settings in words, as they follow the name of a model.

    Returns:
        The words; None where one of the settings has none, or there is no setting.

    >>> describe_settings({"no_user_profile": True, "align_weight": 0})
    'without profile, without alignment'
    >>> describe_settings({"user_embedding_file": "history.useremb"})
    'with history.useremb'
    >>> describe_settings({"learning_rate": 0.01})
    """
    found = [_words(name, value) for name, value in settings.items()]
    return ", ".join(filter(None, found)) if found and all(found) else None


def _words(name: str, value: object) -> str | None:
    if name in _FILE_PARAMETERS and isinstance(value, str):
        return f"with {value}"
    return next((words for key, chosen, words in _WORDS if key == name and chosen == value), None)


def model_name(label: str, *, score_fusion: bool | None) -> str:
    """Name of a model for tables, pages and the terminal: one with score fusion is shown as ``… + fusion``.

    Only for display: ``study.json``, the folders of runs, ``leaderboard.csv`` and ``--models`` have the label.

    Args:
        label: the model's label in a study, such as ``SASRec:sequence=single``.
        score_fusion: whether the model was run with score fusion; None where no run has finished.

    Returns:
        The name and its settings in words where `describe_settings` has some for all of them, otherwise the label. The
        part that sets ``score_fusion`` is left out, and ``+ fusion`` added if it was on. The whole label where that is
        unknown.

    >>> model_name("LeCDSR", score_fusion=True)
    'LeCDSR + fusion'
    >>> model_name("LeCDSR:score_fusion=False", score_fusion=False)
    'LeCDSR'
    >>> model_name("LeCDSR:user_vectors=random", score_fusion=True)
    'LeCDSR + fusion with random profiles'
    >>> model_name("SASRec:learning_rate=0.01:score_fusion=True", score_fusion=True)
    'SASRec:learning_rate=0.01 + fusion'
    """
    if score_fusion is None:
        return label
    fusion = " + fusion" if score_fusion else ""
    name, *parts = [part for part in label.split(":") if part.partition("=")[0] not in _FUSION_PARAMETERS]
    words = _settings_in_words(parts)
    return f"{name}{fusion} {words}" if words else ":".join([name, *parts]) + fusion


def name_change(settings: str) -> str:
    """What a variant changes, as it is written after the label of the model that it is a variant of.

    >>> name_change("align_weight=0"), name_change("learning_rate=0.01")
    ('without alignment', 'learning_rate=0.01')
    """
    return _settings_in_words(settings.split(":")) or settings


def _settings_in_words(parts: list[str]) -> str | None:
    try:
        return describe_settings(parse_label(":".join(["_", *parts]))[1])
    except UserError:  # a label of no known form, of a study that was made otherwise
        return None


def uses_score_fusion(parameters: Mapping[str, object]) -> bool:
    """Whether the parameters of a run switch score fusion on.

    >>> uses_score_fusion({"score_fusion": True}), uses_score_fusion({"learning_rate": 0.001})
    (True, False)
    """
    return any(parameters.get(name) is True for name in _FUSION_PARAMETERS)
