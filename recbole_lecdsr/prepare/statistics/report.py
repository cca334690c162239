"""The files that show what a prepared pair holds: ``statistics.md``, ``statistics.json`` and ``statistics.svg``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.prepare.atomic_pair import write_pair
from recbole_lecdsr.prepare.statistics.json_document import to_document
from recbole_lecdsr.prepare.statistics.markdown import to_markdown
from recbole_lecdsr.prepare.statistics.pair_statistics import PairStatistics, measure_pair
from recbole_lecdsr.prepare.statistics.plot import plot_pair

MARKDOWN_FILE, JSON_FILE, PLOT_FILE = "statistics.md", "statistics.json", "statistics.svg"


def write_statistics(
    folder: str | Path,
    name: str,
    inter: Mapping[str, pd.DataFrame],
    item: Mapping[str, pd.DataFrame],
    *,
    split: Mapping[str, np.ndarray] | None = None,
    split_rule: Mapping[str, object] | None = None,
) -> PairStatistics:
    """Measure a pair with `measure_pair` and write the three files into a folder.

    Raises:
        UserError: the folder cannot be written.
    """
    statistics = measure_pair(name, inter, item, split=split, split_rule=split_rule)
    write_pair(folder, render_files(statistics))
    return statistics


def render_files(statistics: PairStatistics) -> dict[str, str]:
    """File name -> text, of all three files."""
    return {
        MARKDOWN_FILE: to_markdown(statistics, PLOT_FILE),
        JSON_FILE: json.dumps(to_document(statistics), indent=2, ensure_ascii=False) + "\n",
        PLOT_FILE: plot_pair(statistics),
    }
