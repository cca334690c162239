from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.helpers.tables import TABLE, prepare, read, refuse, write_table


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (["3", "1", "2"], ["3", "1", "2"]),
        (["1.5", "-2", "1e3"], ["1.5", "-2", "1000"]),
        (["1404217800123.0", "0", "5"], ["1404217800123", "0", "5"]),
        (["2014-07-01", "2014-07-01T12:30:00+02:00", "1969-12-31 23:59:59Z"], ["1404172800", "1404210600", "-1"]),
        (["2014-07-01T00:00:00.250", "2014-07-01", "2014-07-01T00:00"], ["1404172800.25", "1404172800", "1404172800"]),
    ],
)
def test_times_are_numbers_or_iso_dates(given, written):
    write_table("user_id,item_id,domain,timestamp\n" + "".join(f"u,{i},food,{time}\n" for i, time in enumerate(given))
           + f"u,x,home,{given[0]}\n")  # fmt: skip
    prepare()
    assert np.array_equal(read("food")["timestamp:float"].astype(float), np.array(written, float))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_parquet_become_seconds(unit, zone):
    times = pd.Series(pd.to_datetime([1404210600, 1404210601], unit="s", utc=True)).dt.tz_convert(zone)
    frame = pd.DataFrame({"user_id": [7, 7], "item_id": [1, 2], "domain": ["food", "home"],
                          "timestamp": times.dt.as_unit(unit)})  # fmt: skip
    frame.to_parquet("t.parquet")
    prepare("t.parquet")
    assert read("food").values.tolist() == [["7", "1", "1404210600"]]


@pytest.mark.parametrize("bad", ["soon", "2014-07-01", "nan", "inf", "12:30", "1,0"])
def test_a_time_that_is_no_number_is_named_with_its_line(bad):
    write_table(TABLE.replace("home,5", f'home,"{bad}"'))
    refuse(rf"events\.csv, line 4: timestamp '{bad}' is not a number, as most times are; give every row")


@pytest.mark.parametrize("bad", ["today", "2014", "01/07/2014", "2014-02-30"])
def test_a_time_that_is_no_date_is_named_with_its_line(bad):
    write_table(TABLE.replace(",10\n", ",2014-01-01\n").replace("home,5", f"home,{bad}").replace(",7", ",2014-01-02"))
    refuse(rf"events\.csv, line 4: timestamp '{bad}' is not an ISO 8601 date")


def test_times_that_floats_cannot_tell_apart_are_refused():
    write_table(TABLE.replace(",10\n", ",1404210600123456789\n"))
    refuse("line 2: timestamp '1404210600123456789' is too large .*and so in 2 more rows.*give seconds")
