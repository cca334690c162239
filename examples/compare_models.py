"""Three models on the same samples and candidates, in one table.

`run_lecdsr.py compare --models LeCDSR,SASRec,Pop --seeds 3` does more: several seeds, paired tests, a report.

    python examples/compare_models.py [--epochs=10] [--NAME=VALUE …]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from small_movielens import write_small_movielens

from recbole_lecdsr import run_lecdsr


def main() -> None:
    """Train each model and print its metrics."""
    with TemporaryDirectory() as folder:
        settings = write_small_movielens(Path(folder))
        of_lecdsr = ("no_item_semantics", "no_user_profile")  # SASRec and Pop read no texts
        common = {name: value for name, value in settings.items() if name not in (*of_lecdsr, "embedding_size")}
        settings_of = {"LeCDSR": settings, "SASRec": {**common, "hidden_size": 32}, "Pop": common}

        # LeCDSR's scores are fused with counts, unless --score_fusion=False is given: "LeCDSR + fusion" in reports.
        rows = {}
        for model, values in settings_of.items():
            result = run_lecdsr(model, config_dict=values, command_line=sys.argv[1:])
            names = {**result.domains, "overall": "both"}
            rows[model] = {
                f"{names[part]} {metric}": result.test[part][metric]
                for part in result.test
                for metric in ("hit@10", "ndcg@10")
            }
            rows[model]["seconds"] = round(result.seconds["train"], 1)
        print(pd.DataFrame(rows).T.round(4).to_string())


if __name__ == "__main__":
    main()
