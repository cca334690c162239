"""Checks of values together: settings that are each allowed and do not go with one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recbole_lecdsr.schema.llm_features import ITEM_PLACEBOS, USER_PLACEBOS

_DOMAINS = ("source_domain", "target_domain")
_FIELDS = ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD", "TIME_FIELD", "LABEL_FIELD")


def validate_combinations(values: Mapping[str, Any]) -> list[str]:
    """Errors about combinations of values, of the general parameters; a model's own are checked by its class.

    Args:
        values: all parameters of a run. Those that are not of their kind are reported elsewhere, and passed over here.

    Returns:
        A sentence for each combination that cannot be used, with a remedy.
    """
    checks = (_columns, _split_by_time, _negatives, _placebos, _refit, _valid_metric)
    return list(dict.fromkeys(error for check in checks for error in check(values)))


def _columns(values: Mapping[str, Any]) -> Iterator[str]:
    """Names of columns, in all files and in those of each domain."""
    for scope in (None, *_DOMAINS):
        own = values.get(scope) if scope else None
        settings = {**values, **(own if isinstance(own, Mapping) else {})}
        yield from _names_of_columns(settings)
        if isinstance(settings.get("load_col"), Mapping):
            yield from _loaded_columns(settings, settings["load_col"])


def _names_of_columns(settings: Mapping[str, Any]) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for name in _FIELDS:
        if isinstance(settings.get(name), str):
            names.setdefault(settings[name], []).append(name)
    for name in ("alias_of_user_id", "alias_of_item_id"):
        aliases = settings.get(name)
        columns = aliases if isinstance(aliases, list) else [aliases]
        for field in sorted({column for column in columns if isinstance(column, str)}):
            names.setdefault(field, []).append(name)
    for field, alike in names.items():
        if len(alike) > 1:
            yield f"{' and '.join(alike)} are the same column {field!r}: give each a column of its own"


def _loaded_columns(settings: Mapping[str, Any], columns: Mapping[str, Any]) -> Iterator[str]:
    needed = [settings.get(name) for name in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD")]
    yield from _removed_columns(settings, columns, needed)
    loaded = columns.get("inter", [])
    if loaded != "*" and (
        missing := [field for field in needed if not isinstance(loaded, list) or field not in loaded]
    ):
        yield (
            f"load_col.inter must include {', '.join(map(str, missing))}, with the columns of users, items and times, "
            f"not {loaded!r}: give --load_col.inter=[{','.join(map(str, needed))}]"
        )
    intervals = settings.get("val_interval")
    if isinstance(intervals, Mapping) and "*" not in columns.values():
        known = {field for part in columns.values() if isinstance(part, list) for field in part}
        for field in intervals.keys() - known:
            yield f"val_interval has the column {field!r}, which is not loaded: add it to load_col"


def _removed_columns(settings: Mapping[str, Any], columns: Mapping[str, Any], needed: list[Any]) -> Iterator[str]:
    for name in ("unload_col", "unused_col"):
        removed = settings.get(name)
        if not isinstance(removed, Mapping):
            continue
        for suffix, fields in removed.items():
            if name == "unload_col" and columns.get(suffix, "*") != "*":
                yield f"unload_col.{suffix} has no use with a list in load_col.{suffix}: leave one of them out"
            if suffix == "inter" and (lost := [one for one in needed if isinstance(fields, list) and one in fields]):
                yield f"{name}.inter must not have {', '.join(lost)}: users, items and times are needed"


def _split_by_time(values: Mapping[str, Any]) -> Iterator[str]:
    arguments = values.get("eval_args")
    if not isinstance(arguments, Mapping) or str(arguments.get("group_by", "user")).lower() != "none":
        return
    if values.get("benchmark_filename"):
        yield "benchmark_filename: ready-made splits are taken as they are: leave out eval_args.group_by: none"
    elif isinstance(split := arguments.get("split"), Mapping) and "RS" not in split:
        yield (
            f"eval_args.group_by: none splits all interactions by time and ratios: it needs split: {{RS: [0.8, 0.1, "
            f"0.1]}}, not {dict(split)}; leave-one-out needs group_by: user"
        )


def _negatives(values: Mapping[str, Any]) -> Iterator[str]:
    arguments = values.get("train_neg_sample_args")
    if not isinstance(arguments, Mapping) or arguments.get("shared") is not True:
        return
    if arguments.get("distribution") == "popularity" or arguments.get("exclude_user_items") is True:
        yield (
            "train_neg_sample_args.shared: True draws uniformly for a whole batch: it needs distribution: uniform and "
            "exclude_user_items: False"
        )


def _placebos(values: Mapping[str, Any]) -> Iterator[str]:
    """The switches that leave texts out, and what is to take their place."""
    profiles, items = values.get("user_vectors"), values.get("item_vectors")
    is_own_id = profiles == "id" and values.get("network") == "published"  # what it has without profile
    if values.get("no_user_profile") is True and profiles in USER_PLACEBOS and not is_own_id:
        yield (
            f"no_user_profile: True leaves out the profiles that user_vectors: {profiles} replaces: leave out one of "
            "the two"
        )
    if values.get("no_item_semantics") is True and items in ITEM_PLACEBOS:
        yield (
            f"no_item_semantics: True leaves out the item texts that item_vectors: {items} replaces: leave out one of "
            "the two"
        )


def _refit(values: Mapping[str, Any]) -> Iterator[str]:
    if values.get("refit") is True and values.get("selection") == "per_domain_best":
        yield (
            "refit: True trains one model again for the number of epochs that validation selected, and selection: "
            "per_domain_best selects one for each domain: use selection: mean"
        )


def _valid_metric(values: Mapping[str, Any]) -> Iterator[str]:
    """The metric that selects must be among those that are computed."""
    metrics: Any = values.get("metrics")
    topk: Any = values.get("topk")
    if not (_are_all(str, metrics) and _are_all(int, topk)):
        return
    metric, _, k = str(values.get("valid_metric")).partition("@")
    if metric.lower() not in [name.lower() for name in metrics] or k not in map(str, topk):
        similar = next((name for name in metrics if name.lower() == metric.lower()), metrics[-1])
        yield (
            f"valid_metric must be one of metrics {metrics} at one of topk {topk}, not {values.get('valid_metric')!r}: "
            f"give --valid_metric={similar}@{topk[-1]}, or add to topk or metrics"
        )


def _are_all(kind: type, entries: object) -> bool:
    return isinstance(entries, list) and bool(entries) and all(isinstance(entry, kind) for entry in entries)
