"""From two CSV files, one of each department of a shop, to recommendations.

python examples/own_data.py [--NAME=VALUE …]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from recbole_lecdsr import Recommender, run_lecdsr
from recbole_lecdsr.prepare.table import convert


def write_csv_files(folder: Path) -> tuple[Path, Path]:
    """What a shop may have: who bought which food, and which kitchenware, when."""
    rng = np.random.default_rng(0)
    paths = folder / "food.csv", folder / "kitchen.csv"
    for path, items in zip(paths, (60, 40), strict=True):
        customer = np.repeat(np.arange(120), rng.integers(4, 12, size=120))
        taste = (customer * 7) % items  # neighbouring items are bought by the same customers
        item = (taste + rng.integers(0, 6, size=len(customer))) % items
        columns = {
            "customer": customer,
            "product": item,
            "bought": rng.integers(1_700_000_000, 1_702_592_000, len(item)),
        }
        frame = pd.DataFrame(columns)
        frame["product"] = path.stem + frame["product"].astype(str)
        frame.to_csv(path, index=False)
    return paths


def main() -> None:
    """Prepare, train, recommend."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        food, kitchen = write_csv_files(folder)

        # `prepare table` takes one table with a column that names the domain. The same on the command line:
        #   run_lecdsr.py prepare table purchases.csv --name shop --user customer --item product --time bought
        purchases = pd.concat([pd.read_csv(path).assign(domain=path.stem) for path in (food, kitchen)])
        purchases.to_csv(folder / "purchases.csv", index=False)
        convert.prepare(
            [folder / "purchases.csv"], folder / "shop", "shop", user="customer", item="product", time="bought",
            source="food",
        )  # fmt: skip

        # It has written atomic files and a property file, shop.yaml, so that the name suffices. Without texts of the
        # items, LeCDSR does without their vectors; with a table of items (`items=…`) `run_lecdsr.py embed` makes them.
        settings = {
            "data_path": str(folder), "output_dir": str(folder / "runs"), "no_item_semantics": True,
            "no_user_profile": True, "embedding_size": 16, "epochs": 3, "show_progress": False,
        }  # fmt: skip
        result = run_lecdsr(dataset="shop", config_dict=settings, command_line=sys.argv[1:])
        print(f"NDCG@10 in both domains: {result.test['overall']['ndcg@10']:.4f}\n")
        print(Recommender.load(result.folder).recommend(["7"], k=3).to_string(index=False))


if __name__ == "__main__":
    main()
