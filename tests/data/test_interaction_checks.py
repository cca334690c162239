"""Interactions that are well-formed, row by row, and wrong as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import Event, random_events, write_pair
from tests.helpers.runs import load

SECONDS = 1_400_000_000.0


def with_times(factors: Sequence[float], every: int = 1) -> list[Event]:
    """Events at real times, those of each domain multiplied by its factor, all or every n-th."""
    events = []
    for row, (user, item, domain, time) in enumerate(random_events(12)):
        factor = factors[domain == "target"] if row % every == 0 else 1
        events.append((user, item, domain, (SECONDS + 86_400 * time) * factor))
    return events


@pytest.mark.parametrize("factors", [(1000, 1), (1, 1000), (1, 1e9), (1 / 86_400, 1)])
def test_case_r15_domains_with_times_in_two_units_are_warned_of_with_both_ranges(tmp_path, caplog, factors):
    events = with_times(factors)
    load(write_pair(tmp_path / "dataset", events))
    (message,) = (record.getMessage() for record in caplog.records if "units" in record.getMessage())
    for name in ("source", "target"):
        times = [time for _, _, domain, time in events if domain == name]
        assert f"{name} from {min(times):.15g} to {max(times):.15g}," in message.replace("are from", "from")
    assert "times of source" in message and "convert them to one unit" in message


@pytest.mark.parametrize(("factors", "domain"), [((1000, 1), "source"), ((1, 0.001), "target")])
def test_case_r15_one_file_with_times_in_two_units_is_warned_of_with_both_ranges(tmp_path, caplog, factors, domain):
    load(write_pair(tmp_path / "dataset", with_times(factors, every=3)))
    (message,) = (record.getMessage() for record in caplog.records if "units" in record.getMessage())
    assert f"{domain}.inter: there are times from 1" in message and " to 1" in message


@pytest.mark.parametrize("factors", [(1, 1), (1, 1.2), (1000, 1000), (1e-9, 1e-9), (0, 1), (2, 1)])
def test_times_in_one_unit_are_not_warned_of(tmp_path, caplog, factors):
    load(write_pair(tmp_path / "dataset", with_times(factors)))
    load(write_pair(tmp_path / "plain", random_events()))
    assert "units" not in caplog.text


def test_case_r16_repeated_rows_are_counted_and_warned_of(tmp_path, caplog):
    events = list(dict.fromkeys(random_events()))
    load(write_pair(tmp_path / "dataset", events))
    assert "repeat another row" not in caplog.text
    n_source = sum(event[2] == "source" for event in events)
    load(write_pair(tmp_path / "repeated", events + [event for event in events if event[2] == "source"][:7]))
    assert f"source.inter: 7 of {n_source + 7} rows repeat another row exactly" in caplog.text
    assert "target.inter" not in caplog.text


def change_inter(pair: Path, change) -> None:
    """Replace the target domain's interactions by the lines that ``change`` makes of the source's."""
    header, *lines = (pair / "source" / "source.inter").read_text().splitlines()
    for domain in ("source", "target"):
        (pair / domain / f"{domain}.itememb").unlink()
    (pair / "target" / "target.inter").write_text("\n".join([header, *change(lines)]) + "\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines,
        lambda lines: lines[::-1],
        lambda lines: [line.replace(".0", ".00") for line in lines],
        lambda lines: [*lines, lines[0]],
    ],
    ids=["copied", "in another order", "written otherwise", "with a repeated row"],
)
def test_case_r05_one_domain_under_two_names_is_refused(tmp_path, change):
    settings = write_pair(tmp_path / "dataset", random_events())
    change_inter(tmp_path / "dataset" / "pair", change)
    with pytest.raises(UserError, match=r"the domains source and target hold the same interactions.*two different"):
        load(settings)


def test_case_r05_most_of_a_domain_in_the_other_is_warned_of(tmp_path, caplog):
    settings = write_pair(tmp_path / "dataset", list(dict.fromkeys(random_events())))
    load(settings)
    assert "in both domains" not in caplog.text
    change_inter(tmp_path / "dataset" / "pair", lambda lines: lines[: len(lines) - 9])
    load(settings)
    (message,) = (record.getMessage() for record in caplog.records if "in both domains" in record.getMessage())
    shared, of_source, of_target = np.array([word for word in message.replace(",", "").split() if word.isdigit()], int)
    assert shared == of_target == of_source - 9
