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
        (["9000000000000000", "0", "5"], ["9000000000000000", "0", "5"]),
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
    write_table(TABLE.replace(",10\n", ",9104210600123456789\n"))
    refuse("line 2: timestamp '9104210600123456789' is too large .*and so in 2 more rows.*give seconds")


@pytest.mark.parametrize(
    ("given", "time_format", "written", "description"),
    [
        (
            ["1404210600123", "1404210601000"],
            "auto",
            ["1404210600.123", "1404210601"],
            "milliseconds since 1970, 2014-",
        ),
        (["1404210600123000"] * 2, "auto", ["1404210600.123"] * 2, "microseconds since 1970, 2014-07-01 to 2014-07-01"),
        (["1404210600000000000"] * 2, "auto", ["1404210600"] * 2, "nanoseconds since 1970"),
        (["1404210600", "1404210601"], "auto", ["1404210600", "1404210601"], "seconds since 1970, 2014-07-01 to 2014"),
        (
            ["16252", "16253"],
            "auto",
            ["16252", "16253"],
            "numbers such as 16252, kept as they are: only their order matt",
        ),
        (["0", "1404210600"], "s", ["0", "1404210600"], "seconds since 1970, 1970-01-01 to 2014-07-01"),
        (["0", "1404210600000"], "ms", ["0", "1404210600"], "milliseconds since 1970, 1970-01-01 to 2014-07-01"),
        (["01/07/2014 12:30", "02/07/2014 00:00"], "%d/%m/%Y %H:%M", ["1404217800", "1404259200"], "dates as %d/%m/%Y"),
        (["20140701", "20140702"], "%Y%m%d", ["1404172800", "1404259200"], "dates as %Y%m%d"),
        (
            ["2014-07-01T12:30:00+02:00", "2014-07-02"],
            "iso",
            ["1404210600", "1404259200"],
            "ISO 8601 dates, 2014-07-01",
        ),
        (
            ["2014-07-01", "2014-07-02"],
            "auto",
            ["1404172800", "1404259200"],
            "ISO 8601 dates, 2014-07-01 to 2014-07-02",
        ),
    ],
)
def test_case_h1_the_format_of_times_is_recognised_or_given_and_said(given, time_format, written, description):
    rows = "".join(f"u,{n},{('food', 'home')[n]},{time}\n" for n, time in enumerate(given))
    write_table("user_id,item_id,domain,timestamp\n" + rows)
    summary = prepare(time_format=time_format)
    assert [read("food")["timestamp:float"][0], read("home")["timestamp:float"][0]] == written
    assert str(summary.details["times"]).startswith(description)


@pytest.mark.parametrize(
    ("usual", "other", "kind"),
    [
        ("1404210600000", "1404210600", "milliseconds since 1970 like 1404210600000"),
        ("1404210600", "1404210600000", "seconds since 1970 like 1404210600"),
        ("1404210600", "0", "seconds since 1970 like 1404210600"),
        ("1404210600", "-1", "seconds since 1970 like 1404210600"),
        ("16252", "1404210600", "plain numbers like 16252"),
    ],
)
def test_case_h1_a_mixture_of_units_is_named_with_file_line_and_value(usual, other, kind):
    write_table(TABLE.replace(",10\n", f",{usual}\n").replace(",7\n", f",{usual}\n").replace(",5\n", f",{other}\n"))
    message = refuse(rf"events\.csv, line 4: timestamp '{other}' is not of the kind of most times, which are {kind}")
    assert "correct it, or say what all are with --time_format" in message
    assert prepare(skip_bad_lines=True).skipped.count == 1


@pytest.mark.parametrize(
    ("times", "remedy"),
    [
        (["13/07/2014", "01/07/2014"], "--time_format '%d/%m/%Y'"),
        (["01/02/2014", "03/04/2014"], "--time_format '%d/%m/%Y' or '%m/%d/%Y'"),
        (["09 13, 2009", "10 1, 2009"], "--time_format '%m %d, %Y'"),
        (["Sat Aug 01 17:05:14 +0000 2009"] * 2, "--time_format '%a %b %d %H:%M:%S %z %Y'"),
        (["last week", "soon"], "or their format, such as --time_format '%d/%m/%Y %H:%M'"),
    ],
)
def test_case_h1_a_format_that_fits_all_dates_is_proposed_but_not_guessed(times, remedy):
    first, second = times
    write_table(f'user_id,item_id,domain,timestamp\nu,a,food,"{first}"\nu,x,home,"{second}"\n')
    message = refuse("events.csv, line 2: timestamp .* is not an ISO 8601 date")
    assert remedy in message


def test_case_h1_dates_of_digits_are_numbers_with_a_hint():
    write_table("user_id,item_id,domain,timestamp\nu,a,food,20140701\nu,x,home,20140702\n")
    assert str(prepare().details["times"]).endswith("; if they are dates, give --time_format %Y%m%d")


@pytest.mark.parametrize(
    ("time_format", "match"),
    [
        ("seconds", "--time_format 'seconds' is neither auto, iso, s, ms, us, ns nor a format with % such as"),
        ("%Q", "--time_format '%Q': 'Q' is a bad directive"),
        ("%d/%m/%Y", r"events\.csv, line 2: timestamp '10' does not match '%d/%m/%Y' \(and so in 4 more rows\)"),
        ("iso", r"events\.csv, line 2: timestamp '10' is not an ISO 8601 date .*give another --time_format"),
    ],
)
def test_case_h1_formats_that_are_none_or_do_not_fit_are_refused(time_format, match):
    refuse(match, time_format=time_format)


def test_case_h1_words_that_pandas_takes_for_times_are_none():
    write_table("user_id,item_id,domain,timestamp\nu,a,food,01/07/2014\nu,x,home,now\n")
    refuse("line 3: timestamp 'now' does not match", time_format="%d/%m/%Y")
