from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare import from_frames
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.table import convert
from recbole_lecdsr.prepare.table.options import TableOptions
from tests.helpers.shop_tables import make_interactions, make_items, write_shop

DOMAINS = ("food", "kitchen")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_times(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(date=pd.to_datetime(frame["date"], utc=True), productId=frame["productId"].astype("category"))


@pytest.mark.parametrize("convert_frame", [None, as_times, pl.from_pandas, pa.Table.from_pandas])
def test_case_h1_frames_give_the_files_that_csv_gives(tmp_path, convert_frame):
    write_shop()
    items = {domain: [f"{domain}_items.csv"] for domain in DOMAINS}
    expected = convert.prepare_domains(
        *(RawDomain(domain, (Path(f"{domain}.csv"),)) for domain in DOMAINS), tmp_path / "files" / "shop", "shop",
        items=items, options=TableOptions(rating="stars"),
    )  # fmt: skip
    frames, tables = make_interactions(), make_items()
    if convert_frame:
        frames = {domain: convert_frame(frame) for domain, frame in frames.items()}
        tables = (
            {domain: convert_frame(frame) for domain, frame in tables.items()} if convert_frame != as_times else tables
        )
    summary = from_frames(
        source=frames["food"], target=frames["kitchen"], domains=DOMAINS, items=tables, name="shop",
        output=tmp_path / "frames" / "shop", rating="stars",
    )  # fmt: skip
    files = files_of(tmp_path / "frames" / "shop")
    assert files == files_of(tmp_path / "files" / "shop")
    assert {"food/food.inter", "food/food.item", "kitchen/kitchen.inter", "kitchen/kitchen.item", "shop.yaml"} <= {
        *files
    }
    assert (summary.counts, summary.warnings) == (expected.counts, expected.warnings)
    assert list(summary.details["columns"]) == [
        "the source frame", "the target frame", "the items of food", "the items of kitchen",
    ]  # fmt: skip


FOOD = pd.DataFrame({"user": [1, 2], "item": ["a", "b"], "date": ["2024-01-01", "2024-01-02"]})
HOME = pd.DataFrame({"user": [1, 2], "item": ["x", "y"], "date": ["2024-01-01", "2024-01-02"]})


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (FOOD.assign(item=["a", None]), "the source frame, row 2: item is empty; fill the cell"),
        (FOOD.assign(date=["2024-01-01", "soon"]), "the source frame, row 2: date 'soon' is not an ISO 8601 date"),
        (FOOD.assign(item=[1, "a"]), "the source frame: column 'item' mixes types .*convert it to text"),
        (FOOD.assign(item=[["a"], ["b"]]), "the source frame: column 'item' is of type list"),
        (FOOD.drop(columns="user"), "the source frame has the columns 'item', 'date': name that of users with --user"),
        (pd.concat([FOOD, FOOD[["item"]]], axis=1), "that of items may be 'item' or 'item'"),
        (FOOD.to_dict(), "the source frame is of type dict: give a data frame"),
        (FOOD[:0], "no interactions of 'source' are left"),
    ],
)
def test_case_h1_a_frame_that_cannot_be_used_is_named_with_its_row(tmp_path, frame, match):
    with pytest.raises(UserError, match=match):
        from_frames(frame, HOME, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_case_h1_frames_have_the_defaults_of_the_command(tmp_path):
    summary = from_frames(FOOD, HOME, items=pd.DataFrame({"id": ["a", "x"], "title": ["Tea", "Pan"]}))
    folder = tmp_path / "dataset" / "source-target"
    assert (folder / "source" / "source.item").read_text() == "item_id:token\ttitle:token\na\tTea\n"
    assert summary.next_commands[0] == "python run_lecdsr.py embed --dataset source-target --user_text=history"
    with pytest.raises(UserError, match=r"source\.item is from an earlier preparation"):
        from_frames(FOOD, HOME)


def test_names_that_the_package_does_not_have_are_refused():
    import recbole_lecdsr.prepare

    with pytest.raises(AttributeError, match="from_frame'"):
        recbole_lecdsr.prepare.from_frame  # noqa: B018
