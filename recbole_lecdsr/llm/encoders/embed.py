"""The `embed` job: feature files of a data set from its texts."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.embeddings import embedding_file
from recbole_lecdsr.data.embeddings.paths import item_embedding_file, user_embedding_file
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar, write_whole
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.encoders.openai_embeddings import PREFIX, EndpointEncoder
from recbole_lecdsr.llm.encoders.reduction import Reduction, fit
from recbole_lecdsr.llm.encoders.sentence_transformer import Encoder
from recbole_lecdsr.llm.settings import LLMSettings
from recbole_lecdsr.llm.text_sources import find_texts, is_generated, item_records, origin_of

logger = logging.getLogger(__name__)


def embed(dataset: CrossDomainSequentialDataset, show_progress: bool = False) -> dict[str, object]:
    """Write ``<domain>.itememb`` of both domains and ``<pair>.useremb`` (or what ``item_embedding_file`` and
    ``user_embedding_file`` name), each with a sidecar that says of what.

    Item texts: the columns of ``<domain>.item`` and the fields of ``items.jsonl`` that ``item_text`` names. User texts
    (``user_text``): ``profiles`` encodes ``profile_file``; ``history`` needs no language model and takes the mean of
    the item vectors of the user's **training** events. ``embedding_reduction`` is fitted on the items of both domains
    and stored as ``<pair>.reduction.npz``.

    Returns:
        How many items of each domain and how many users got a vector.

    Raises:
        UserError: texts that are missing or malformed; profiles made of another split.
    """
    config = dataset.config
    encoder = make_encoder(config)
    profiles = None if config["user_text"] == "history" else _read_profiles(dataset)  # before hours of encoding
    vectors = {domain: _encode_items(dataset, domain, encoder, show_progress) for domain in DOMAINS}
    if profiles is None:
        users, matrix = _mean_of_history(dataset, vectors)
    else:
        logger.info("encoding the profiles of %d of %d users", len(profiles), len(dataset.user_token) - 1)
        users, matrix = list(profiles), encoder.encode(list(profiles.values()), show_progress, "user")
    reduction = _fit_reduction(dataset, vectors)
    origin = {**_origin(config), "date": datetime.now(timezone.utc).date().isoformat()}
    counts: dict[str, object] = {}
    for domain in DOMAINS:
        name, rows = dataset.names[domain], np.stack(list(vectors[domain].values()))
        known = len(dataset.file_tokens[domain].items)
        path = find_texts(dataset, config["item_file"])
        texts_of = {"item_file": origin_of(path)} if path and is_generated(path) else {}
        _write(
            item_embedding_file(config, domain), "item_id", list(vectors[domain]),
            reduction.apply(rows, config["encoder_normalize"]) if reduction else rows,
            {**origin, **texts_of, "of": known},
        )  # fmt: skip
        counts[name] = f"{len(rows)} items"
    path = find_texts(dataset, config["profile_file"])
    texts_of = {"profile_file": origin_of(path)} if profiles is not None and path and origin_of(path) else {}
    _write(
        user_embedding_file(config), "user_id", users,
        reduction.apply(matrix, config["encoder_normalize"]) if reduction else matrix,
        {
            **origin, "user_text": config["user_text"], "split": config["eval_args"]["split"],
            "benchmark_filename": config["benchmark_filename"], **texts_of, "of": len(dataset.user_token) - 1,
        },
    )  # fmt: skip
    return {**counts, "users": f"{len(users)} of {len(dataset.user_token) - 1}"}


def make_encoder(config: LeCDSRConfig) -> Encoder | EndpointEncoder:
    """The encoder that the configuration names."""
    name = config["encoder"]
    item, user = config["encoder_prompt"], config["encoder_user_prompt"]
    prompts = {"item": item, "user": item if user is None else user}
    common = {
        "batch_size": config["encoder_batch_size"], "prompts": prompts, "dim": config["encoder_dim"],
        "normalize": config["encoder_normalize"], "max_tokens": config["encoder_max_tokens"],
    }  # fmt: skip
    if name.startswith(PREFIX):
        return EndpointEncoder(
            name.removeprefix(PREFIX), LLMSettings(**config["llm"]), Path(config["pair_path"]), **common
        )
    devices = config["encoder_devices"]
    return Encoder(name, str(config["device"]), dtype=config["encoder_dtype"], devices=devices, **common)


def _origin(config: LeCDSRConfig) -> dict[str, object]:
    """What the vectors follow from, besides the texts; what is not set is left out."""
    names = ("encoder", "item_text", "encoder_prompt", "encoder_user_prompt", "encoder_dim", "encoder_max_tokens",
             "encoder_dtype", "encoder_normalize")  # fmt: skip
    reduction = ("embedding_reduction", "embedding_reduction_size") if config["embedding_reduction"] else ()
    return {name: config[name] for name in (*names, *reduction) if config[name] is not None}


def _encode_items(
    dataset: CrossDomainSequentialDataset, domain: str, encoder: Encoder | EndpointEncoder, show_progress: bool
) -> dict[str, np.ndarray]:
    """Encode the items of a domain that stand in its files; returns token -> (D,)."""
    config, folder, name = dataset.config, dataset.folders[domain], dataset.names[domain]
    merged = item_records(dataset, domain)
    composed = text_files.compose(merged, config["item_text"])
    if not composed:
        fields = sorted({field for record in merged.values() for field in record})
        none = f"none, neither in {folder / name}.item nor in {config['item_file']}"
        raise UserError(
            f"no item of {name} has one of the texts {config['item_text']}; there are {', '.join(fields) or none}: "
            "name them with --item_text=[…]"
        )
    logger.info("encoding the texts of %d of %d items of %s", len(composed), len(merged), name)
    matrix = encoder.encode(list(composed.values()), show_progress)
    return dict(zip(composed, matrix, strict=True))


def _read_profiles(dataset: CrossDomainSequentialDataset) -> dict[str, str]:
    """Profiles by user token, of the split in force."""
    name = dataset.config["profile_file"]
    path = find_texts(dataset, name)
    if path is None:
        raise UserError(
            f"{Path(dataset.config['pair_path']) / name} does not exist: make it with `run_lecdsr.py profile`, put "
            'one there with a line {"user_id": …, "profile": …} for each user, or make user vectors from item texts '
            "with --user_text=history"
        )
    _refuse_another_split(dataset, path)
    known = dataset.file_tokens["source"].users | dataset.file_tokens["target"].users
    composed = text_files.compose(text_files.read_json_lines(path, "user_id"), ["profile"])
    strange = [token for token in composed if token not in known]
    if strange:
        raise UserError(
            f"{path}: user {strange[0]!r} and {len(strange) - 1} others are in no interaction: delete their lines"
        )
    return composed


def _refuse_another_split(dataset: CrossDomainSequentialDataset, path: Path) -> None:
    """Profiles made of the training events of another split may know this one's test events."""
    origin = origin_of(path)
    config = dataset.config
    here = {"split": config["eval_args"]["split"], "benchmark_filename": config["benchmark_filename"]}
    for key, value in here.items():
        if key in origin and origin[key] != value:
            raise UserError(
                f"{path} was written of the training events of {key} {origin[key]}, and {key} is {value} now: its "
                "profiles may know validation or test events; make them anew with `run_lecdsr.py profile`, name others "
                "by --profile_file=NAME.jsonl, or go without by --user_text=history"
            )
    if origin.get("events", dataset.log.digest) != dataset.log.digest:
        logger.warning(
            "%s was written of other events than those in force now (new data, or other filters): if the users' held "
            "out events are others now, profiles may know them; `run_lecdsr.py profile` makes them anew", path,
        )  # fmt: skip


def _fit_reduction(
    dataset: CrossDomainSequentialDataset, vectors: dict[str, dict[str, np.ndarray]]
) -> Reduction | None:
    """The reduction that is asked for, fitted on the items of both domains, those of both once, and stored."""
    config = dataset.config
    path = Path(config["pair_path"]) / f"{config['dataset']}.reduction.npz"
    if config["embedding_reduction"] is None:
        path.unlink(missing_ok=True)
        return None
    items = np.stack(list({**vectors["source"], **vectors["target"]}.values()))
    reduction = fit(items, config["embedding_reduction"], config["embedding_reduction_size"])
    path.parent.mkdir(parents=True, exist_ok=True)
    reduction.save(path)
    return reduction


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
    embedding_file.write_embedding(path, id_field, id_field.replace("_id", "_emb"), tokens=tokens, matrix=matrix)
    with write_whole(sidecar(path)) as file:
        json.dump({**origin, "rows": len(tokens), "size": int(matrix.shape[1])}, file, indent=2)
        file.write("\n")
