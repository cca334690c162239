"""Adaptations that make RecBole 1.2.1 and recbole-cdr 0.1.0 work on today's NumPy, pandas, SciPy and torch.

`apply` runs every adaptation once; `register` makes a model of the plugin known to RecBole-CDR's own entry points.
Each adaptation says which fault it answers and when it can go, does nothing where it does not find that fault, and
changes nothing that a stock RecBole model computes. Classes, modules and globals are changed in place, so it does
not matter what was imported before. docs/upstream.md lists all faults, with the answers that are not here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import io
import logging
import pickle
import sys
import warnings
from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import recbole.data.dataset
import recbole.trainer.trainer
import recbole_cdr.data.dataset
import recbole_cdr.data.utils
import recbole_cdr.model
import recbole_cdr.quick_start.quick_start as cdr_quick_start
import recbole_cdr.trainer
import scipy.sparse
import torch
import yaml
from recbole.config.configurator import Config
from recbole.data.dataloader import AbstractDataLoader, FullSortEvalDataLoader, NegSampleEvalDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType
from recbole_cdr.config import CDRConfig
from recbole_cdr.data.dataloader import (
    CrossDomainDataloader,
    CrossDomainFullSortEvalDataLoader,
    OverlapDataloader,
)
from recbole_cdr.data.dataset import CrossDomainDataset, CrossDomainSingleDataset
from recbole_cdr.sampler import CrossDomainSourceSampler
from recbole_cdr.utils import CrossDomainDataLoaderState

logger = logging.getLogger(__name__)

_DOMAINS = ("source_domain", "target_domain")
_MODEL_PACKAGE = "recbole_cdr.model.cross_domain_recommender"
_applied = False


def apply() -> None:
    """Run all adaptations; a second call does nothing."""
    global _applied
    if _applied:
        return
    _applied = True
    numpy_aliases()
    sparse_matrix_update()
    quick_start_without_ray()
    own_checkpoints()
    gradient_scaler()
    anomaly_detection()
    sasrecf_feature_width()
    lists_of_regularisation()
    pandas_missing_cells()
    pandas_sequence_lengths()
    pandas_read_only_arrays()
    cdr_configuration()
    cdr_ids()
    cdr_features()
    cdr_source_sampler()
    cdr_dataloaders()
    cdr_evaluation()
    cdr_model_package()
    cdr_quick_start_dispatch()


class _View(ModuleType):
    """A module as seen by one other module: some names replaced, all others those of the real one."""

    def __init__(self, module: ModuleType, **replaced: object):
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(replaced, _module=module)

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["_module"], name)


def _patch(owner: object, name: str) -> Callable[[Callable], Callable]:
    """Decorator: install a function as ``owner.name``; it gets what stood there as its first argument."""

    def install(function: Callable) -> Callable:
        stock = getattr(owner, name)

        @functools.wraps(stock)
        def adapted(*args: object, **kwargs: object) -> object:
            return function(stock, *args, **kwargs)

        setattr(owner, name, adapted)
        return function

    return install


# ---------------------------------------------------------------------------------- RecBole


def numpy_aliases() -> None:
    """NumPy removed names that RecBole and RecBole-CDR use; goes when neither uses them."""
    aliases = {
        **dict.fromkeys(("float", "float_"), np.float64),
        **dict.fromkeys(("complex", "complex_"), np.complex128),
        **dict.fromkeys(("str", "unicode", "unicode_"), np.str_),
        **dict.fromkeys(("int", "long"), np.int_),
        **dict.fromkeys(("bool", "bool8"), np.bool_),
        "object": np.object_,
        "NINF": -np.inf,
    }
    with warnings.catch_warnings():
        # Looking for a removed name is enough to make some versions of NumPy warn.
        warnings.simplefilter("ignore")
        for name, value in aliases.items():
            if not hasattr(np, name):
                setattr(np, name, value)


def sparse_matrix_update() -> None:
    """SciPy dropped ``dok_matrix._update``, by which graph models fill a matrix; goes when none of them calls it."""
    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = lambda self, data: self._dict.update(data)


def quick_start_without_ray() -> None:
    """recbole.quick_start imports ray at its top, to report to it when tuning; goes when it imports it at that place.

    Where ray runs the program it is loaded already, and is reported to; elsewhere its report does nothing anyway.
    Nothing stays in ``sys.modules`` under ray's name: other libraries look there to learn whether it is installed.
    """
    if "recbole.quick_start.quick_start" in sys.modules:
        return

    def report(*args: object, **kwargs: object) -> None:
        if "ray.tune" in sys.modules:
            sys.modules["ray.tune"].report(*args, **kwargs)

    stand_in = ModuleType("ray")
    stand_in.tune = SimpleNamespace(report=report)
    before = sys.modules.get("ray")
    sys.modules["ray"] = stand_in
    try:
        importlib.import_module("recbole.quick_start.quick_start")
    finally:
        del sys.modules["ray"]
        if before is not None:
            sys.modules["ray"] = before


_torch_load = torch.load


def load_checkpoint(path: str | Path, *args: object, **kwargs: object) -> object:
    """`torch.load` for checkpoints of RecBole, which pickle its whole configuration.

    Args:
        path: the file.
        *args: as of `torch.load`.
        **kwargs: as of `torch.load`.

    Returns:
        What was saved; read as plain tensors and values if that is possible, else, with a warning, unpickled.
    """
    if "weights_only" in kwargs:
        return _torch_load(path, *args, **kwargs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pickle protocol, before it refuses
            return _torch_load(path, *args, weights_only=True, **kwargs)
    except pickle.UnpicklingError:
        logger.warning(
            "%s holds Python objects, as RecBole's checkpoints do, and is unpickled in full: "
            "loading a file from a stranger this way can run any code",
            path,
        )
    return _torch_load(path, *args, weights_only=False, **kwargs)


# The modules of the frameworks that read a checkpoint, in a run or as the start of another training.
_CHECKPOINT_READERS = (
    "recbole.trainer.trainer",
    "recbole_cdr.quick_start.quick_start",
    *(f"recbole.model.general_recommender.{name}" for name in ("convncf", "nais", "neumf", "ract")),
    "recbole.model.context_aware_recommender.kd_dagfm",
    "recbole.model.sequential_recommender.s3rec",
)


def own_checkpoints() -> None:
    """torch 2.6 made ``weights_only`` the default, which refuses RecBole's checkpoints; goes when these are plain.

    ``torch.load`` itself is left alone: the few modules of the frameworks that read checkpoints see torch with
    `load_checkpoint` in its place. Safe globals would not do, as the safe loader cannot read pickle protocol 4.
    """
    buffer = io.BytesIO()
    torch.save(SimpleNamespace(), buffer)
    buffer.seek(0)
    try:
        torch.load(buffer)
        return
    except pickle.UnpicklingError:
        view = _View(torch, load=load_checkpoint)
    for name in _CHECKPOINT_READERS:
        importlib.import_module(name).torch = view
    quick_start = sys.modules["recbole.quick_start.quick_start"]

    @_patch(quick_start, "load_data_and_model")
    def load_data_and_model(stock: Callable, model_file: str) -> tuple:
        torch.load = load_checkpoint  # this function imports torch inside
        try:
            return stock(model_file)
        finally:
            torch.load = _torch_load

    sys.modules["recbole.quick_start"].load_data_and_model = quick_start.load_data_and_model


def gradient_scaler() -> None:
    """``torch.cuda.amp.GradScaler`` warns at every epoch; goes when RecBole takes it from ``torch.amp``."""
    if hasattr(torch.amp, "GradScaler") and recbole.trainer.trainer.amp is torch.cuda.amp:
        recbole.trainer.trainer.amp = torch.amp


def anomaly_detection() -> None:
    """Importing RecBole's SINE leaves autograd's anomaly mode on for the whole program; goes when it does not.

    The mode looks for NaN in every gradient and takes about a quarter of LeCDSR's step. Who wants it switches it on
    after importing the plugin.
    """
    importlib.import_module("recbole.model.sequential_recommender.sine")
    torch.autograd.set_detect_anomaly(False)


def sasrecf_feature_width() -> None:
    """SASRecF counts each number of a float sequence as a feature though their sum is one; goes when it does not."""
    module = importlib.import_module("recbole.model.sequential_recommender.sasrecf")

    @_patch(module.SASRecF, "__init__")
    def init(stock: Callable, self: torch.nn.Module, config: Config, dataset: Dataset) -> None:
        stock(self, config, dataset)
        width = self.hidden_size * (1 + len(self.selected_features))
        if self.concat_layer.in_features != width:
            self.concat_layer = torch.nn.Linear(width, self.hidden_size)
            self._init_weights(self.concat_layer)


def lists_of_regularisation() -> None:
    """RecBole multiplies ``weight_decay`` by ``reg_weight``, which is a list in HGN; goes when it does not.

    It does so only to warn where both are given.
    """

    @_patch(recbole.trainer.trainer.Trainer, "_build_optimizer")
    def build(stock: Callable, self: recbole.trainer.trainer.Trainer, **kwargs: object) -> torch.optim.Optimizer:
        weights = self.config["reg_weight"]
        if not isinstance(weights, Sequence) or isinstance(weights, str):
            return stock(self, **kwargs)
        config, self.config = self.config, {"reg_weight": sum(weights)}
        try:
            return stock(self, **kwargs)
        finally:
            self.config = config


def pandas_missing_cells() -> None:
    """With copy-on-write ``feat[field].fillna(inplace=True)`` does nothing; goes when RecBole assigns the result.

    Text columns are kept as Python objects, which RecBole's own conversions expect, on pandas 3 as well.
    """
    frame = pd.DataFrame({"value": [0.0, np.nan]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame["value"].fillna(0.0, inplace=True)
    text_type = isinstance(pd.Series([""], dtype=str).dtype, pd.StringDtype)
    if not frame["value"].isna().any() and not text_type:
        return

    def read_csv(*args: object, **kwargs: object) -> pd.DataFrame:
        table = pd.read_csv(*args, **kwargs)
        for column in table.columns:
            if isinstance(table[column].dtype, pd.StringDtype):
                table[column] = table[column].astype(object)
            if column.endswith("_seq"):  # the header's name:type
                table[column] = table[column].fillna("")
        return table

    recbole.data.dataset.dataset.pd = _View(pd, read_csv=read_csv)

    @contextmanager
    def silent() -> Iterator[None]:
        with warnings.catch_warnings():
            # Of the lines that do nothing.
            warnings.filterwarnings("ignore", "A value is being set on a copy")
            yield

    @_patch(Dataset, "_load_feat")
    def load_feat(stock: Callable, self: Dataset, *args: object) -> pd.DataFrame | None:
        with silent():
            return stock(self, *args)

    @_patch(Dataset, "_fill_nan")
    def fill_nan(stock: Callable, self: Dataset) -> None:
        for feat in (getattr(self, name) for name in self.feat_name_list):
            for field in feat:
                if self.field2type[field] == FeatureType.TOKEN:
                    feat[field] = feat[field].fillna(0)
                elif self.field2type[field] == FeatureType.FLOAT:
                    feat[field] = feat[field].fillna(feat[field].mean())
        with silent():
            stock(self)


def pandas_sequence_lengths() -> None:
    """On pandas 3 ``column.agg(len)`` is the length of the column, not of its cells; goes when RecBole maps it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 2 announces the change
        if isinstance(pd.Series([[0], [0]]).agg(len), pd.Series):
            return

    def length(values: Sequence) -> int | pd.Series:
        return values.map(len) if isinstance(values, pd.Series) else len(values)

    for name in ("dataset", "sequential_dataset", "kg_dataset"):
        vars(sys.modules[f"recbole.data.dataset.{name}"])["len"] = length


def pandas_read_only_arrays() -> None:
    """pandas 3 hands out read-only arrays, which torch warns of and makes writable; goes when RecBole copies them."""
    if pd.DataFrame({"value": [0.0]})["value"].values.flags.writeable:
        return

    @_patch(Dataset, "_dataframe_to_interaction")
    def dataframe_to_interaction(stock: Callable, self: Dataset, data: Mapping) -> Interaction:
        return stock(self, {field: SimpleNamespace(values=np.array(data[field])) for field in data})


class _NoWriter:
    """Stands for a tensorboard writer; each of its methods does nothing."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


@contextmanager
def no_tensorboard() -> Iterator[None]:
    """While active, a RecBole trainer that is made opens no tensorboard writer, nor the folder ./log_tensorboard.

    RecBole's trainers always write there, whatever the run's own folder is; goes when the folder can be set.
    """
    stock = recbole.trainer.trainer.get_tensorboard
    recbole.trainer.trainer.get_tensorboard = lambda logger: _NoWriter()
    try:
        yield
    finally:
        recbole.trainer.trainer.get_tensorboard = stock


# ---------------------------------------------------------------------------------- RecBole-CDR: configuration


_NEGATIVES = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}


def _negatives(old: Mapping[str, int] | None) -> dict[str, object] | None:
    """RecBole 1.0's ``neg_sampling`` (``{uniform: 1}``) as RecBole 1.2's ``train_neg_sample_args``."""
    if not old:
        return None
    candidates = old.get("dynamic") or 0
    distribution, number = next((name, number) for name, number in old.items() if name != "dynamic")
    changed = {"distribution": distribution, "sample_num": number}
    return {**_NEGATIVES, **changed, "dynamic": candidates > 0, "candidate_num": candidates}


def cdr_configuration() -> None:
    """CDRConfig is written for RecBole 1.0 and lacks what 1.2 reads; goes with a RecBole-CDR made for RecBole 1.2."""
    asks_phase = "phase" in inspect.signature(Config._set_eval_neg_sample_args).parameters
    if not asks_phase or "_set_eval_neg_sample_args" in vars(CDRConfig):
        return

    @_patch(CDRConfig, "_load_internal_config_dict")
    def load_internal(stock: Callable, self: CDRConfig, *args: object) -> None:
        stock(self, *args)
        values = self.internal_config_dict
        missing = {"worker": 0, "shuffle": True, "enable_amp": False, "enable_scaler": False, "numerical_features": []}
        for name, value in missing.items():
            values.setdefault(name, value)
        # "," in the target and " " in the source: the same file would read differently.
        values["target_domain"]["seq_separator"] = values["source_domain"]["seq_separator"]

    @_patch(CDRConfig, "_set_train_neg_sample_args")
    def set_train_neg_sample_args(stock: Callable, self: CDRConfig) -> None:
        values = self.final_config_dict
        if "train_neg_sample_args" not in values:
            values["train_neg_sample_args"] = _negatives(values.get("neg_sampling"))
        elif isinstance(values["train_neg_sample_args"], dict):
            values["train_neg_sample_args"] = {**_NEGATIVES, **values["train_neg_sample_args"]}
        stock(self)

    @_patch(CDRConfig, "_set_eval_neg_sample_args")
    def set_eval_neg_sample_args(stock: Callable, self: CDRConfig, phase: str | None = None) -> None:
        if phase is not None:
            return stock(self, phase)
        values = self.final_config_dict
        mode = values["eval_args"]["mode"]
        if isinstance(mode, str):
            mode = {"valid": mode, "test": mode}
        mode = {"valid": mode.get("valid", mode.get("test")), "test": mode.get("test", mode.get("valid"))}
        values["eval_args"] = {"split_valid": {"RS": [0.8, 0.2]}, **values["eval_args"], "mode": mode}
        for name in mode:
            stock(self, name)
        values["eval_neg_sample_args"] = dict(values["valid_neg_sample_args"])
        for domain in _DOMAINS:
            _complete_domain(values[domain], by_time=values["eval_args"]["order"] == "TO")
        return None

    @_patch(CDRConfig, "_check_cross_domain")
    def check_cross_domain(stock: Callable, self: CDRConfig) -> str:
        stock(self)
        # A dict of the two names, which names the files of a run.
        self.final_config_dict["dataset"] = "-".join(self.final_config_dict[domain]["dataset"] for domain in _DOMAINS)
        return self.final_config_dict["dataset"]


def _complete_domain(domain: dict[str, object], by_time: bool) -> None:
    """Load the time where events are put in its order; let one additional suffix be a string, as RecBole does."""
    columns = (domain.get("load_col") or {}).get("inter")
    if by_time and isinstance(columns, list) and domain["TIME_FIELD"] not in columns:
        domain["load_col"] = {**domain["load_col"], "inter": [*columns, domain["TIME_FIELD"]]}
    if isinstance(domain.get("additional_feat_suffix"), str):
        domain["additional_feat_suffix"] = [domain["additional_feat_suffix"]]


# ---------------------------------------------------------------------------------- RecBole-CDR: data


def _tokens(dataset: CrossDomainSingleDataset, kind: str) -> set[str]:
    """Tokens of a domain's users (or items), in all fields that share their ids and all files."""
    found: set[str] = set()
    for feat in (getattr(dataset, name) for name in dataset.feat_name_list):
        for field in set(dataset.alias[f"{kind}_id"]) & set(feat.columns):
            column = feat[field].explode() if dataset.field2type[field] == FeatureType.TOKEN_SEQ else feat[field]
            found.update(map(str, column.dropna().unique()))
    return found - {"[PAD]"}


def _translated(column: pd.Series, mapping: Mapping, to_ids: bool, sequences: bool) -> pd.Series | list[np.ndarray]:
    """A column of tokens as ids, 0 where a cell is missing, or as the tokens they are linked to."""
    if sequences:
        dtype = np.int64 if to_ids else object
        return [np.array([mapping.get(token, token) for token in row], dtype=dtype) for row in column]
    found = column.map(mapping)
    return found.fillna(0).astype(np.int64) if to_ids else found.where(found.notna(), column)


def _tokens_by_id(ids: Mapping[str, int]) -> np.ndarray:
    """The token of each id, "" for the ids between that belong to the other domain only."""
    tokens = np.full(max(ids.values()) + 1, "", dtype=object)
    tokens[np.fromiter(ids.values(), np.int64)] = np.array(list(ids), dtype=object)
    return tokens


def _ids_are_faulty() -> bool:
    """Whether the stock remapping loses the order of the ids or maps items in the wrong table."""
    probe = object.__new__(CrossDomainSingleDataset)
    probe.field2id_token, probe.field2token_id, probe.field2type = {}, {}, {"item": FeatureType.TOKEN}
    probe.inter_feat, probe.user_feat = (pd.DataFrame({"item": ["b", "a"]}) for _ in range(2))
    probe.item_feat, probe.feat_name_list = None, ["inter_feat"]
    probe._remap_fields(["item"], ChainMap({"b": 1, "[PAD]": 0}, {"a": 2}))
    return list(probe.field2id_token["item"]) != ["[PAD]", "b", "a"]


def cdr_ids() -> None:
    """Ids of users and items of two domains: wrong token order, wrong tables, aliases left out.

    Goes when RecBole-CDR's ``field2id_token`` is an array in the order of the ids. Ids stay RecBole-CDR's: 0 for
    padding, then overlap, target only, source only. The source domain thus has a gap where the ids of the target
    only lie: its ``field2id_token`` spans the gap with "", so that ids index it, while ``num`` counts its tokens,
    padding included, as its models and its evaluation expect.
    """
    if not _ids_are_faulty():
        return

    @_patch(CrossDomainDataset, "calculate_user_item_from_both_domain")
    def number_both_domains(stock: Callable, self: CrossDomainDataset) -> tuple[dict[str, int], ...]:
        maps = []
        for kind in ("user", "item"):
            source, target = (
                _tokens(dataset, kind) for dataset in (self.source_domain_dataset, self.target_domain_dataset)
            )
            groups = [["[PAD]", *sorted(source & target)], sorted(target - source), sorted(source - target)]
            sizes = [len(group) for group in groups]
            for name, size in zip(("overlap", "target_only", "source_only"), sizes, strict=True):
                setattr(self, f"num_{name}_{kind}", size)
            setattr(self, f"num_total_{kind}", sum(sizes))
            ids = {token: index for index, token in enumerate(token for group in groups for token in group)}
            maps += [{token: ids[token] for token in (*groups[0], *own)} for own in (groups[2], groups[1])]
        return maps[0], maps[2], maps[1], maps[3]

    @_patch(CrossDomainSingleDataset, "_remap_fields")
    def remap_fields(stock: Callable, self: Dataset, field_names: Sequence[str], map_dict: Mapping) -> None:
        mapping = dict(map_dict)
        to_ids = "[PAD]" in mapping  # else these are links from token to token
        for feat in (getattr(self, name) for name in self.feat_name_list):
            for field in set(field_names) & set(feat.columns):
                sequences = self.field2type[field] == FeatureType.TOKEN_SEQ
                feat[field] = _translated(feat[field], mapping, to_ids, sequences)
        for field in field_names if to_ids else ():
            self.field2token_id[field], self.field2id_token[field] = mapping, _tokens_by_id(mapping)

    @_patch(CrossDomainSingleDataset, "num")
    def num(stock: Callable, self: Dataset, field: str) -> int:
        tokens = self.field2token_id.get(field)
        return stock(self, field) if tokens is None else len(tokens)

    for name, id_field in (("user", "uid_field"), ("item", "iid_field")):

        @_patch(CrossDomainSingleDataset, f"get_{name}_feature")
        def get_feature(stock: Callable, self: Dataset, name: str = name, id_field: str = id_field) -> Interaction:
            field, feat = getattr(self, id_field), getattr(self, f"{name}_feat")
            ids = sorted(self.field2token_id[field].values())
            if ids == list(range(len(ids))):
                return stock(self)
            return Interaction({field: torch.tensor(ids)}) if feat is None else feat[ids]


def cdr_features() -> None:
    """Feature tables of a domain: missing presets, rows out of order, additional files never renamed.

    Goes when CrossDomainSingleDataset builds on RecBole's own presets and orders rows by id.
    """
    probe = object.__new__(CrossDomainSingleDataset)
    probe.config = defaultdict(lambda: None)
    probe._get_preset()
    if hasattr(probe, "field2bucketnum"):
        return

    @_patch(CrossDomainSingleDataset, "_get_preset")
    def get_preset(stock: Callable, self: Dataset) -> None:
        Dataset._get_preset(self)
        stock(self)

    @_patch(CrossDomainSingleDataset, "_user_item_feat_preparation")
    def order_rows(stock: Callable, self: Dataset) -> None:
        for name, field in (("user_feat", self.uid_field), ("item_feat", self.iid_field)):
            if (feat := getattr(self, name)) is not None:
                ids = pd.DataFrame({field: np.arange(len(self.field2id_token[field]))})
                # Two linked tokens are one user or item: its first row stands.
                setattr(self, name, ids.merge(feat.drop_duplicates(field), on=field, how="left"))

    @_patch(CrossDomainSingleDataset, "_preload_weight_matrix")
    def preload_weight_matrix(stock: Callable, self: Dataset) -> None:
        self.num = lambda field: len(self.field2id_token[field])  # a row for every id, the gap included
        try:
            stock(self)
        finally:
            del self.num

    @_patch(CrossDomainSingleDataset, "_rename_columns")
    def rename_columns(stock: Callable, self: Dataset) -> None:
        stock(self)
        for name in set(self.feat_name_list) - {"inter_feat", "user_feat", "item_feat"}:
            feat = getattr(self, name)
            feat.columns = [f"{self.domain}_{column}" for column in feat.columns]
        for values in (self.field2bucketnum, self._preloaded_weight):
            for key in list(values):
                values[f"{self.domain}_{key}"] = values.pop(key)

    if not hasattr(CrossDomainDataset, "save"):
        CrossDomainDataset.save = Dataset.save
        # What a saved one must have in common with the one asked for.
        recbole_cdr.data.utils.dataset_arguments = [*recbole_cdr.data.utils.dataset_arguments, *_DOMAINS]


def cdr_source_sampler() -> None:
    """CrossDomainSourceSampler counts the padding twice and takes a distribution for data sets; goes when fixed."""
    ids = {"user": torch.tensor([1]), "item": torch.tensor([1])}
    domain = SimpleNamespace(uid_field="user", iid_field="item", inter_feat=ids)
    counts = {"num_overlap": 2, "num_source_only": 1, "num_target_only": 1, "num_total": 4}
    both = {f"{name}_{kind}": count for name, count in counts.items() for kind in ("user", "item")}
    # As RecBole-CDR's data_preparation calls it where the source is not split.
    probe = CrossDomainSourceSampler("train", SimpleNamespace(source_domain_dataset=domain, **both), "uniform")
    surplus = probe.overlapped_item_num - both["num_overlap_item"]
    if not surplus and not isinstance(probe.datasets, str):
        return

    @_patch(CrossDomainSourceSampler, "__init__")
    def init(
        stock: Callable,
        self: CrossDomainSourceSampler,
        phases: str | list[str],
        dataset: CrossDomainDataset,
        built_datasets: list[Dataset] | str,
        distribution: str = "uniform",
    ) -> None:
        if isinstance(built_datasets, str):
            built_datasets, distribution = [dataset.source_domain_dataset], built_datasets
        overlap = {name: getattr(dataset, name) - surplus for name in ("num_overlap_user", "num_overlap_item")}
        stock(self, phases, SimpleNamespace(**{**vars(dataset), **overlap}), built_datasets, distribution)


def cdr_dataloaders() -> None:
    """RecBole-CDR's dataloaders have RecBole 1.0's own iterator; goes when they define ``collate_fn``.

    As before an epoch of both domains has the target's batches, each with the next of the source, which starts anew
    when it is used up.
    """
    if not hasattr(AbstractDataLoader, "collate_fn") or "collate_fn" in vars(OverlapDataloader):
        return

    @_patch(OverlapDataloader, "__init__")
    def init_overlap(stock: Callable, self: OverlapDataloader, config: Config, dataset: Dataset, *args, **kwargs):
        self.sample_size = len(dataset)
        stock(self, config, dataset, *args, **kwargs)

    @_patch(OverlapDataloader, "_init_batch_size_and_step")
    def init_overlap_batch(stock: Callable, self: OverlapDataloader) -> None:
        # Only models with a phase for the overlap set its own size.
        self.step = self.config["overlap_batch_size"] or self.config["train_batch_size"]
        self.set_batch_size(self.step)

    def collate_fn(self: OverlapDataloader, index: list[int]) -> Interaction:
        return self._dataset[np.array(index)]

    OverlapDataloader.collate_fn = collate_fn

    @_patch(CrossDomainDataloader, "__init__")
    def init_both(stock: Callable, self, config, dataset, source, source_sampler, target, *args, **kwargs):
        self.sample_size = len(target)
        stock(self, config, dataset, source, source_sampler, target, *args, **kwargs)
        self.reinit_pr_after_map()  # set_mode wants to see them at the start

    @_patch(CrossDomainDataloader, "__iter__")
    def iterate(stock: Callable, self: CrossDomainDataloader) -> Iterator[Interaction]:
        one = {
            CrossDomainDataLoaderState.SOURCE: self.source_dataloader,
            CrossDomainDataLoaderState.TARGET: self.target_dataloader,
            CrossDomainDataLoaderState.OVERLAP: self.overlap_dataloader,
        }
        return iter(one[self.state]) if self.state in one else _batches_of_both(self)

    @_patch(CrossDomainFullSortEvalDataLoader, "__init__")
    def init_source_evaluation(stock: Callable, self, config, dataset, source, sampler, shuffle=False) -> None:
        self._dataset = source  # stock looks it up before it is there
        stock(self, config, dataset, source, sampler, shuffle)
        self.sample_size = len(self.uid_list)
        AbstractDataLoader.__init__(self, config, source, sampler, shuffle=False)

    @_patch(recbole_cdr.data.utils, "save_split_dataloaders")
    def save_split_dataloaders(stock: Callable, config: Config, dataloaders: tuple) -> None:
        # Their configuration changes while they are made, so the next run would take them for those of another.
        logger.warning("save_dataloaders has no effect on two domains: what it saves would never be loaded")


def _batches_of_both(loader: CrossDomainDataloader) -> Iterator[Interaction]:
    source = iter(loader.source_dataloader)
    for batch in loader.target_dataloader:
        source_batch = next(source, None)
        if source_batch is None:
            source = iter(loader.source_dataloader)
            source_batch = next(source)
        batch.update(source_batch)
        yield batch


def cdr_evaluation() -> None:
    """Evaluation on sampled negatives fails for lack of the item field; goes when RecBole-CDR names it."""
    if "eval_neg_sample_args" not in recbole_cdr.data.utils.get_dataloader.__code__.co_consts:
        return

    @_patch(recbole_cdr.data.utils, "get_dataloader")
    def get_dataloader(stock: Callable, config: Config, phase: str, domain: str = "target") -> Callable:
        return stock(config, phase, domain) if phase == "train" or domain == "source" else _target_evaluation

    for trainer in (recbole_cdr.trainer.CrossDomainTrainer, recbole_cdr.trainer.trainer.DCDCSRTrainer):

        @_patch(trainer, "evaluate")
        def evaluate(stock: Callable, self, eval_data, *args, **kwargs) -> dict[str, float] | None:
            fields = ("ITEM_ID_FIELD", "LABEL_FIELD")
            before = {field: self.config[field] for field in fields}
            if eval_data:
                dataset = eval_data._dataset
                self.config.final_config_dict.update(zip(fields, (dataset.iid_field, dataset.label_field), strict=True))
                self.item_tensor = None  # may be of the other domain
            predict = self.model.predict
            self.model.predict = lambda interaction: predict(interaction).flatten()  # CoNet's is a column
            try:
                return stock(self, eval_data, *args, **kwargs)
            finally:
                del self.model.predict
                self.config.final_config_dict.update(before)


def _target_evaluation(config: Config, dataset: Dataset, sampler: object, shuffle: bool = False) -> AbstractDataLoader:
    """The dataloader of validation or test, which RecBole 1.2 lets have different modes."""
    config["LABEL_FIELD"] = dataset.label_field
    full = sampler is not None and config["eval_args"]["mode"][sampler.phase] == "full"
    return (FullSortEvalDataLoader if full else NegSampleEvalDataLoader)(config, dataset, sampler, shuffle=shuffle)


# ---------------------------------------------------------------------------------- RecBole-CDR: models


def _add_module(name: str, places: Iterable[str] | None = None) -> ModuleType:
    """An empty module under this name; a package if places are given."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, loader=None, is_package=places is not None)
    if places is not None:
        module.__path__ = module.__spec__.submodule_search_locations = places
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
    return module


class _OnPath:
    """The folders of a package on the import path as it is when they are asked for."""

    def __init__(self, package: str):
        self.package = package

    def __iter__(self) -> Iterator[str]:
        places = (Path(entry or ".", *self.package.split(".")) for entry in sys.path)
        return (str(place) for place in places if place.is_dir())


def cdr_model_package() -> None:
    """The wheel lacks the package of its models; goes when it brings one. Those of a checkout on the path are seen."""
    if importlib.util.find_spec(_MODEL_PACKAGE) is None:
        _add_module(_MODEL_PACKAGE, _OnPath(_MODEL_PACKAGE))


class _Plugin(NamedTuple):
    """What `register` was given for a model."""

    model_class: type
    dataset_class: type
    trainer_class: type
    config_class: type
    data_preparation: Callable[[Config, object], tuple]


_plugins: dict[str, _Plugin] = {}
_running: ContextVar[Config | None] = ContextVar("configuration of the run in progress", default=None)


def register(
    name: str,
    model_class: type,
    dataset_class: type,
    trainer_class: type,
    config_class: type,
    data_preparation: Callable[[Config, object], tuple],
) -> None:
    """Make a model known to RecBole-CDR's ``get_model``, ``run_recbole_cdr`` and ``objective_function``.

    Args:
        name: its name in configurations.
        model_class: the model.
        dataset_class: built from a configuration.
        trainer_class: built from a configuration and a model.
        config_class: a subclass of CDRConfig, used in its place for this model and its subclasses.
        data_preparation: makes the three dataloaders from a configuration and a data set.
    """
    module_name = f"{_MODEL_PACKAGE}.{name.lower()}"
    known = importlib.util.find_spec(module_name) is not None
    setattr(importlib.import_module(module_name) if known else _add_module(module_name), name, model_class)
    setattr(recbole_cdr.data.dataset, f"{name}Dataset", dataset_class)
    setattr(recbole_cdr.trainer, f"{name}Trainer", trainer_class)
    _plugins[name] = _Plugin(model_class, dataset_class, trainer_class, config_class, data_preparation)


def _requested_model(
    model: str | type | None, files: Sequence[str] | None, values: Mapping[str, object] | None
) -> str | type | None:
    """The model that a configuration of these arguments will have: argument, command line, values, last file."""
    if model is None:
        given = [argument.partition("=")[2] for argument in sys.argv[1:] if argument.startswith("--model=")]
        model = given[-1] if given else (values or {}).get("model")
    for path in reversed(files or [] if model is None else []):
        model = model or (yaml.load(Path(path).read_text(encoding="utf-8"), yaml.FullLoader) or {}).get("model")
    return model


def _plugin_of(model: str | type | None) -> _Plugin | None:
    if isinstance(model, type):
        return next((plugin for plugin in _plugins.values() if issubclass(model, plugin.model_class)), None)
    return _plugins.get(str(model).partition("-")[0])


def cdr_quick_start_dispatch() -> None:
    """``run_recbole_cdr`` takes a class but looks its name up among its own models; goes when it uses the class.

    Its steps are looked up here first, so that a registered model runs with its own configuration and data.
    """

    @_patch(cdr_quick_start, "CDRConfig")
    def configure(stock: type, model=None, config_file_list=None, config_dict=None) -> CDRConfig:
        plugin = _plugin_of(_requested_model(model, config_file_list, config_dict))
        config_class = plugin.config_class if plugin else stock
        return config_class(model=model, config_file_list=config_file_list, config_dict=config_dict)

    @_patch(cdr_quick_start, "create_dataset")
    def create_dataset(stock: Callable, config: CDRConfig) -> object:
        _running.set(config)
        plugin = _plugin_of(config.model_class)
        return plugin.dataset_class(config) if plugin else stock(config)

    @_patch(cdr_quick_start, "data_preparation")
    def data_preparation(stock: Callable, config: CDRConfig, dataset: object) -> tuple:
        plugin = _plugin_of(config.model_class)
        return plugin.data_preparation(config, dataset) if plugin else stock(config, dataset)

    @_patch(cdr_quick_start, "get_model")
    def get_model(stock: Callable, name: str) -> type:
        config = _running.get()
        return config.model_class if config is not None and config["model"] == name else stock(name)

    @_patch(cdr_quick_start, "get_trainer")
    def get_trainer(stock: Callable, model_type: object, name: str) -> type:
        config = _running.get()
        plugin = _plugin_of(config.model_class) if config is not None and config["model"] == name else None
        return plugin.trainer_class if plugin else stock(model_type, name)
