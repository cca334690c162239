"""Interactions that are well-formed, row by row, and wrong as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

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
