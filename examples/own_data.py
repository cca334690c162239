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
from recbole_lecdsr.prepare import from_frames


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

        # A table for each domain. Columns with common names, such as user_id or timestamp, need not be named. The same
        # on the command line, without reading the files here:
        #   run_lecdsr.py prepare table --source food=food.csv --target kitchen=kitchen.csv --name shop \
        #     --user customer --item product --time bought
        from_frames(
            pd.read_csv(food), pd.read_csv(kitchen), domains=("food", "kitchen"), name="shop", output=folder / "shop",
            user="customer", item="product", time="bought",
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
