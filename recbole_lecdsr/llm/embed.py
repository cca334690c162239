"""The `embed` job: feature files of a data set from its texts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from recbole_lecdsr.data import features
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset, item_embedding_file, user_embedding_file
from recbole_lecdsr.data.sequence import DOMAINS, TRAIN
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import shipped, sidecar, write_whole
from recbole_lecdsr.llm import texts
from recbole_lecdsr.llm.encoder import Encoder

logger = logging.getLogger(__name__)

PROFILES, ITEMS = "profiles.jsonl", "items.jsonl"


def embed(dataset: CrossDomainSequentialDataset, show_progress: bool = False) -> dict[str, object]:
    """Write ``<domain>.itememb`` of both domains and ``<pair>.useremb`` (or what ``item_embedding_file`` and
    ``user_embedding_file`` name), each with a sidecar that says of what.

    Item texts: the columns of ``<domain>.item`` and the fields of ``items.jsonl`` that ``item_text`` names. User texts
    (``user_text``): ``profiles`` encodes ``profiles.jsonl``; ``history`` needs no language model and takes the mean of
    the item vectors of the user's **training** events.

    Returns:
        How many items of each domain and how many users got a vector.

    Raises:
        UserError: texts that are missing or malformed.
    """
    config = dataset.config
    encoder = Encoder(config["encoder"], str(config["device"]), config["encoder_batch_size"])
    origin = {"encoder": config["encoder"], "item_text": config["item_text"]}
    vectors = {domain: _embed_items(dataset, domain, encoder, origin, show_progress) for domain in DOMAINS}
    counts = {dataset.names[domain]: f"{len(vectors[domain])} items" for domain in DOMAINS}
    if config["user_text"] == "history":
        users, matrix = _mean_of_history(dataset, vectors)
    else:
        users, matrix = _encode_profiles(dataset, encoder, show_progress)
    path = user_embedding_file(config)
    _write(path, "user_id", users, matrix, {
        **origin, "user_text": config["user_text"], "split": config["eval_args"]["split"],
        "benchmark_filename": config["benchmark_filename"],
    })  # fmt: skip
    return {**counts, "users": f"{len(users)} of {len(dataset.user_token) - 1}"}


def find_texts(dataset: CrossDomainSequentialDataset, name: str) -> Path | None:
    """A file of texts: in the folder of the data set, or among those that the plugin ships."""
    places = (Path(dataset.config["pair_path"]) / name, shipped("dataset") / dataset.config["dataset"] / name)
    return next((place for place in places if place.exists()), None)


def item_records(dataset: CrossDomainSequentialDataset, domain: str) -> texts.Records:
    """Texts of a domain's items, by token: the columns of ``<domain>.item``, then the fields of ``items.jsonl``."""
    records: texts.Records = {}
    if (columns := dataset.folders[domain] / f"{dataset.names[domain]}.item").exists():
        settings = dataset.config[f"{domain}_domain"]
        records = texts.read_item_columns(columns, settings["ITEM_ID_FIELD"], settings["field_separator"])
    path = find_texts(dataset, ITEMS)
    written = texts.read_json_lines(path, "item_id") if path else {}
    known = sorted(dataset.known[domain][1])
    return {token: {**records.get(token, {}), **written.get(token, {})} for token in known}


def _embed_items(
    dataset: CrossDomainSequentialDataset, domain: str, encoder: Encoder, origin: dict, show_progress: bool
) -> dict[str, np.ndarray]:
    """Encode and write the items of a domain that stand in its interactions; returns token -> (D,)."""
    config, folder, name = dataset.config, dataset.folders[domain], dataset.names[domain]
    merged = item_records(dataset, domain)
    composed = texts.compose(merged, config["item_text"])
    if not composed:
        fields = sorted({field for record in merged.values() for field in record})
        none = f"none, neither in {folder / name}.item nor in {ITEMS}"
        raise UserError(
            f"no item of {name} has one of the texts {config['item_text']}; there are {', '.join(fields) or none}: "
            "name them with --item_text=[…]"
        )
    logger.info("encoding the texts of %d of %d items of %s", len(composed), len(merged), name)
    matrix = encoder.encode(list(composed.values()), show_progress)
    _write(item_embedding_file(config, domain), "item_id", list(composed), matrix, origin)
    return dict(zip(composed, matrix, strict=True))


def _encode_profiles(dataset: CrossDomainSequentialDataset, encoder: Encoder, show_progress: bool):
    path = find_texts(dataset, PROFILES)
    if path is None:
        raise UserError(
            f"{Path(dataset.config['pair_path']) / PROFILES} does not exist: put one there with a line "
            '{"user_id": …, "profile": …} for each user, or make user vectors from item texts with --user_text=history'
        )
    known = dataset.known["source"][0] | dataset.known["target"][0]
    composed = texts.compose(texts.read_json_lines(path, "user_id"), ["profile"])
    strange = [token for token in composed if token not in known]
    if strange:
        raise UserError(
            f"{path}: user {strange[0]!r} and {len(strange) - 1} others are in no interaction: delete their lines"
        )
    logger.info("encoding the profiles of %d of %d users", len(composed), len(known))
    return list(composed), encoder.encode(list(composed.values()), show_progress)


def _mean_of_history(dataset: CrossDomainSequentialDataset, vectors: dict[str, dict[str, np.ndarray]]):
    """Normalised mean of the item vectors of each user's training events; users without any get no row."""
    size = len(next(iter(vectors["source"].values())))
    items = np.zeros((dataset.num_total_item, size), dtype=np.float32)
    for domain in DOMAINS:
        ids = dataset.file_ids(domain, "item")
        for token, vector in vectors[domain].items():
            if token in ids:
                items[ids[token]] = vector
    log = dataset.log
    train = log.split == TRAIN
    total = np.zeros((dataset.num_total_user, size), dtype=np.float32)
    np.add.at(total, log.user[train], items[log.item[train]])
    length = np.linalg.norm(total, axis=1)
    users = np.flatnonzero(length > 0)
    return dataset.user_token[users].tolist(), total[users] / length[users, None]


def _write(path: Path, id_field: str, tokens: list[str], matrix: np.ndarray, origin: dict) -> None:
    features.write_embedding(path, id_field, id_field.replace("_id", "_emb"), tokens, matrix)
    with write_whole(sidecar(path)) as file:
        json.dump({**origin, "rows": len(tokens), "size": int(matrix.shape[1])}, file, indent=2)
        file.write("\n")
