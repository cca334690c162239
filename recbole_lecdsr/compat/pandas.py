"""Adaptations of RecBole's data set to current pandas."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import recbole.data.dataset
import recbole.trainer.trainer
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType

from recbole_lecdsr.compat.patching import ModuleView, patch


def pandas_missing_cells() -> None:
    """With copy-on-write ``feat[field].fillna(inplace=True)`` has no effect. Remove when RecBole assigns the result.

    Text columns stay Python objects, which RecBole's own conversions expect, on pandas 3 as well.
    """
    frame = pd.DataFrame({"value": [0.0, np.nan]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame["value"].fillna(0.0, inplace=True)
    has_text_type = isinstance(pd.Series([""], dtype=str).dtype, pd.StringDtype)
    if not frame["value"].isna().any() and not has_text_type:
        return

    def read_csv(*args: object, **kwargs: object) -> pd.DataFrame:
        table = pd.read_csv(*args, **kwargs)
        for column in table.columns:
            if isinstance(table[column].dtype, pd.StringDtype):
                table[column] = table[column].astype(object)
            if column.endswith("_seq"):  # the header is name:type
                table[column] = table[column].fillna("")
        return table

    recbole.data.dataset.dataset.pd = ModuleView(pd, read_csv=read_csv)

    @contextmanager
    def without_copy_warnings() -> Iterator[None]:
        with warnings.catch_warnings():
            # pandas warns about the stock lines that have no effect.
            warnings.filterwarnings("ignore", "A value is being set on a copy")
            yield

    @patch(Dataset, "_load_feat")
    def load_feat(stock: Callable, self: Dataset, *args: object) -> pd.DataFrame | None:
        with without_copy_warnings():
            return stock(self, *args)

    @patch(Dataset, "_fill_nan")
    def fill_nan(stock: Callable, self: Dataset) -> None:
        for feat in (getattr(self, name) for name in self.feat_name_list):
            for field in feat:
                if self.field2type[field] == FeatureType.TOKEN:
                    feat[field] = feat[field].fillna(0)
                elif self.field2type[field] == FeatureType.FLOAT:
                    feat[field] = feat[field].fillna(feat[field].mean())
        with without_copy_warnings():
            stock(self)


def pandas_sequence_lengths() -> None:
    """On pandas 3 ``column.agg(len)`` is the length of the column, not of its cells. Remove when RecBole maps it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 2 announces the change
        if isinstance(pd.Series([[0], [0]]).agg(len), pd.Series):
            return

    def length(values: Sequence) -> int | pd.Series:
        return values.map(len) if isinstance(values, pd.Series) else len(values)

    for name in ("dataset", "sequential_dataset", "kg_dataset"):
        vars(sys.modules[f"recbole.data.dataset.{name}"])["len"] = length


def pandas_read_only_arrays() -> None:
    """pandas 3 returns read-only arrays, about which torch warns and writes into. Remove when RecBole copies them."""
    if pd.DataFrame({"value": [0.0]})["value"].values.flags.writeable:
        return

    @patch(Dataset, "_dataframe_to_interaction")
    def dataframe_to_interaction(stock: Callable, self: Dataset, data: Mapping) -> Interaction:
        return stock(self, {field: SimpleNamespace(values=np.array(data[field])) for field in data})
