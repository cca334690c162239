"""What the frameworks do without the plugin: run as a program, prints one line of JSON.

`train` and `dataset` are imported by the tests as well, which call them in their own process, where the plugin is.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch

MODELS = {
    "BPR": {},
    "LightGCN": {},
    "SASRec": {"train_neg_sample_args": None, "n_layers": 1, "n_heads": 1, "hidden_size": 8, "inner_size": 8},
    "DeepFM": {"load_col": None, "threshold": {"rating": 3}, "metrics": ["AUC"], "valid_metric": "AUC"},
}


def write_shop(root: Path, missing: bool = False) -> None:
    """One domain with user and item features, optionally with cells left out."""
    rng = np.random.default_rng(5)
    folder = root / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    events = [
        f"u{user}\ti{item}\t{1 + rng.integers(5)}\t{time}"
        for user in range(20)
        for time, item in enumerate(rng.permutation(15)[:8])
    ]
    sizes = ["1.5", "1.5 2.5", "1.5 2.5 4"]
    items = [f"i{item}\tcolour{item % 4}\t{item * 1.5}\t{sizes[item % 3]}" for item in range(15)]
    if missing:
        items[3], items[5] = "i3\t\t7.5\t2", "i5\tcolour1\t\t"
    users = [f"u{user}\t{20 + user}" for user in range(20)]
    tables = {
        "inter": ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *events],
        "item": ["item_id:token\tcolour:token\tprice:float\tsize:float_seq", *items],
        "user": ["user_id:token\tage:token", *users],
    }
    for suffix, lines in tables.items():
        (folder / f"shop.{suffix}").write_text("\n".join(lines) + "\n")


def configuration(root: Path, model: str = "BPR", **changes: object):
    from recbole.config import Config

    values = {
        "data_path": str(root),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "epochs": 2,
        "embedding_size": 8,
        "use_gpu": False,
        "state": "ERROR",
        "show_progress": False,
        "checkpoint_dir": str(root / "saved"),
        "metrics": ["Recall", "MRR", "NDCG", "Hit", "Precision", "MAP"],
        "metric_decimal_place": 12,
        "user_inter_num_interval": None,
        "item_inter_num_interval": None,
    }
    return Config(model, "shop", config_dict={**values, **MODELS[model], **changes})


def dataset(root: Path, **changes: object):
    """RecBole's data set of the shop with its item features."""
    from recbole.data import create_dataset

    columns = {"inter": ["user_id", "item_id"], "item": ["item_id", "colour", "price", "size"]}
    return create_dataset(configuration(root, **{"load_col": columns, **changes}))


def train(root: Path, model: str) -> dict[str, object]:
    """Train and evaluate a model of RecBole: all that it computed, exactly."""
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    config = configuration(root, model)
    init_seed(config["seed"], config["reproducibility"])
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    init_seed(config["seed"], config["reproducibility"])
    network = get_model(model)(config, train_data._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, network)
    score, valid = trainer.fit(train_data, valid_data, saved=False, show_progress=False)
    test = trainer.evaluate(test_data, load_best_model=False)
    weights = b"".join(value.numpy().tobytes() for _, value in sorted(network.state_dict().items()))
    return {
        "losses": [float(loss) for _, loss in sorted(trainer.train_loss_dict.items())],
        "best": float(score),
        "valid": {name: float(value) for name, value in valid.items()},
        "test": {name: float(value) for name, value in test.items()},
        "weights": hashlib.sha256(weights).hexdigest(),
    }


def outcome(action: Callable, *arguments: object) -> object:
    """What it returned, or the error as text."""
    try:
        return action(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def repair_by_hand() -> None:
    """The least that makes RecBole run at all on today's libraries."""
    names = {"float": float, "float_": float, "int": int, "long": np.int_, "bool": bool, "bool8": np.bool_}
    names |= {"complex": complex, "complex_": complex, "object": object, "str": str, "unicode_": str}
    for name, value in {**names, "unicode": str, "NINF": -np.inf}.items():
        if name not in vars(np):
            setattr(np, name, value)
    import scipy.sparse

    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = lambda self, data: self._dict.update(data)
    sys.modules["ray"] = ModuleType("ray")
    sys.modules["ray"].tune = None


def missing_cells(root: Path) -> int:
    """How many prices are missing after loading."""
    data = dataset(root, load_col={"inter": ["user_id", "item_id"], "item": ["item_id", "colour", "price"]})
    return int(data.item_feat["price"].isna().sum())


def sequence_cells(root: Path) -> list[list[float]]:
    """The sequences of the items, from 0 to 1 after normalisation."""
    return [cell.tolist() for cell in dataset(root, normalize_field=["size"]).item_feat["size"]]


def read_only_warnings(root: Path) -> list[str]:
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset(root)._change_feat_format()
    finally:
        torch.set_warn_always(before)
    return [str(warning.message) for warning in caught if "not writable" in str(warning.message)]


def loaded_again(root: Path) -> str:
    """Save a checkpoint of RecBole and resume from it."""
    from recbole.data import data_preparation
    from recbole.model.general_recommender import BPR
    from recbole.trainer import Trainer

    config = configuration(root)
    data = dataset(root, **MODELS["BPR"], load_col={"inter": ["user_id", "item_id"]})
    train_data, _, _ = data_preparation(config, data)
    trainer = Trainer(config, BPR(config, train_data._dataset))
    trainer.fit(train_data, None, saved=True, show_progress=False)
    trainer.resume_checkpoint(trainer.saved_model_file)
    return "resumed"


def scaler_warnings() -> list[str]:
    import recbole.trainer.trainer

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recbole.trainer.trainer.amp.GradScaler(enabled=False)
    return [str(warning.message) for warning in caught]


def cdr_configuration() -> str:
    from recbole_cdr.config import CDRConfig
    from recbole_cdr.model.crossdomain_recommender import CrossDomainRecommender

    model = type("Model", (CrossDomainRecommender,), {"input_type": SimpleNamespace()})
    return CDRConfig(model, config_dict={"use_gpu": False, "state": "ERROR"})["model"]


def main() -> None:
    import scipy.sparse

    report: dict[str, object] = {}
    root = Path.cwd()
    write_shop(root / "whole")
    write_shop(root / "holes", missing=True)

    report["quick_start"] = outcome(lambda: importlib.import_module("recbole.quick_start").__name__)
    report["configuration"] = outcome(lambda: configuration(root / "whole")["model"])
    report["dok_matrix"] = outcome(lambda: scipy.sparse.dok_matrix((1, 1))._update({}))
    repair_by_hand()
    importlib.import_module("recbole.quick_start")
    importlib.import_module("recbole.model.sequential_recommender")
    report["anomaly_detection"] = torch.is_anomaly_enabled()
    torch.autograd.set_detect_anomaly(False)
    report["training"] = {model: outcome(train, root / "whole", model) for model in MODELS}
    report["checkpoint"] = outcome(loaded_again, root / "whole")
    report["scaler"] = scaler_warnings()
    report["missing_cells"] = outcome(missing_cells, root / "holes")
    report["missing_sequence"] = outcome(lambda: len(dataset(root / "holes").item_feat))
    report["sequence_lengths"] = outcome(sequence_cells, root / "whole")
    report["read_only"] = outcome(read_only_warnings, root / "whole")

    import recbole_cdr.utils

    report["cdr_model_package"] = importlib.util.find_spec("recbole_cdr.model.cross_domain_recommender") is not None
    report["cdr_get_model"] = outcome(lambda: recbole_cdr.utils.get_model("CMF").__name__)
    report["cdr_configuration"] = outcome(cdr_configuration)
    print(json.dumps(report))


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    output, sys.stdout = sys.stdout, io.StringIO()  # the frameworks print
    try:
        main()
    finally:
        printed, sys.stdout = sys.stdout.getvalue(), output
        print(printed.splitlines()[-1] if printed else "")
