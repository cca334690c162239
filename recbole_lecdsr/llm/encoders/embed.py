"""The ``embed`` command: embedding files of a data set from its texts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.embeddings.embedding_file import write_embedding_to
from recbole_lecdsr.data.embeddings.paths import item_embedding_file, user_embedding_file
from recbole_lecdsr.data.embeddings.provenance import read_provenance
from recbole_lecdsr.data.splitting import describe_split
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import text_files
from recbole_lecdsr.llm.backends.redaction import redact_parameters, refuse_secret_parameters
from recbole_lecdsr.llm.encoders.base import Encoder, EncoderSettings
from recbole_lecdsr.llm.encoders.openai_embeddings import NAME_PREFIX, OpenAIEmbeddings
from recbole_lecdsr.llm.encoders.reduction import Reduction, fit_reduction
from recbole_lecdsr.llm.encoders.sentence_transformer import SentenceTransformerEncoder
from recbole_lecdsr.llm.encoders.user_vectors import SINGLE_COLUMN, UserEmbeddings, add_user_vectors, encode_user_texts
from recbole_lecdsr.llm.file_group import FileGroup, write_together
from recbole_lecdsr.llm.settings import LLMSettings
from recbole_lecdsr.llm.text_sources import find_text_file, is_generated, item_records
from recbole_lecdsr.llm.user_profiles import UserTexts, read_profiles

if TYPE_CHECKING:
    from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

logger = logging.getLogger(__name__)

# Parameters on which the vectors depend; they also depend on the texts.
_ENCODER_PARAMETERS = (
    "encoder", "item_text", "encoder_prompt", "encoder_user_prompt", "encoder_dim", "encoder_max_tokens",
    "encoder_dtype", "encoder_normalize",
)  # fmt: skip
_REDUCTION_PARAMETERS = ("embedding_reduction", "embedding_reduction_size")


@dataclass(frozen=True, eq=False)
class TokenVectors:
    """Vectors of items or users.

    Attributes:
        tokens: N tokens.
        matrix: (N, D) float32.
    """

    tokens: list[str]
    matrix: np.ndarray

    def by_token(self) -> dict[str, np.ndarray]:
        """Token -> (D,) float32."""
        return dict(zip(self.tokens, self.matrix, strict=True))


@dataclass(frozen=True)
class EmbedReport:
    """How many vectors were written.

    Attributes:
        items: name of the domain -> number of its items with a vector.
        users: number of users with a vector.
        n_users: number of users.
        rows: of the user file, in which a user may have several; None: one each.
        columns: names of the vectors in a row of the user file.
    """

    items: Mapping[str, int]
    users: int
    n_users: int
    rows: int | None = None
    columns: Sequence[str] = (SINGLE_COLUMN,)

    def summary(self) -> dict[str, str]:
        """The report as text, by what each entry is about."""
        users = f"{self.users} of {self.n_users}"
        if self.rows is not None:
            users += f", in {self.rows} rows"
        if len(self.columns) > 1:
            users += f", with vectors of {', '.join(self.columns)}"
        return {**{name: f"{count} items" for name, count in self.items.items()}, "users": users}


def embed(dataset: CrossDomainSequentialDataset, show_progress: bool = False) -> EmbedReport:
    """Write ``<domain>.itememb`` of both domains and ``<pair>.useremb``, or the files that ``item_embedding_file`` and
    ``user_embedding_file`` name, each with a sidecar that says of what it was made. All of them replace their
    predecessors together.

    The text of an item consists of the columns of ``<domain>.item`` and the fields of ``items.jsonl`` that
    ``item_text`` names. For users, ``user_text: profiles`` encodes the texts of ``profile_file`` that
    ``user_text_fields`` selects, each as a vector of its own, and carries over their ``events``; ``user_text: history``
    needs no language model and takes the mean of the item vectors of the user's **training** interactions.
    ``embedding_reduction`` is fitted on the items of both domains and stored as ``<pair>.reduction.npz``.

    Args:
        dataset: the data set.
        show_progress: show bars.

    Raises:
        UserError: texts that are missing or malformed; profiles made for another split.
    """
    config = dataset.config
    encoder = build_encoder(config)
    texts = None if config["user_text"] == "history" else read_profiles(dataset)  # before hours of encoding
    items = {domain: _encode_items(dataset, domain, encoder, show_progress) for domain in DOMAINS}
    n_users = len(dataset.user_token) - 1
    if texts is None:
        averages = average_item_vectors(dataset, items)
        users = UserEmbeddings(averages.tokens, {SINGLE_COLUMN: averages.matrix})
    else:
        users = encode_user_texts(texts, encoder, show_progress)
    reduction = _fit_reduction(config, items)
    made_of = _encoder_provenance(config, reduction)
    item_path = find_text_file(dataset, config["item_file"])
    item_file = {"item_file": read_provenance(item_path)} if item_path and is_generated(item_path) else {}
    reduction_file = Path(config["pair_path"]) / f"{config['dataset']}.reduction.npz"
    with write_together() as group:
        reduction_file.parent.mkdir(parents=True, exist_ok=True)
        for domain in DOMAINS:
            vectors = _reduce(items[domain], reduction, config)
            _add_vectors(
                group, item_embedding_file(config, domain), "item_id", vectors=vectors,
                made_of={**made_of, **item_file, "of": len(dataset.file_tokens[domain].items)},
            )  # fmt: skip
        if reduction is not None:
            users = users.transform(lambda matrix: reduction.apply(matrix, config["encoder_normalize"]))
        add_user_vectors(
            group, user_embedding_file(config), users,
            made_of={
                **made_of, "user_text": config["user_text"], **describe_split(config),
                **(_profile_provenance(texts) if texts else {}), "of": n_users,
            },
        )  # fmt: skip
        if reduction is not None:
            group.open(reduction_file).write(reduction.to_bytes())
    if reduction is None:
        reduction_file.unlink(missing_ok=True)  # it is outdated
    return EmbedReport(
        {dataset.names[domain]: len(items[domain].tokens) for domain in DOMAINS},
        users=users.n_users,
        n_users=n_users,
        rows=None if users.events is None else len(users.tokens),
        columns=list(users.vectors),
    )


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """The encoder that the parameters select.

    Raises:
        UserError: a model that cannot be loaded; a parameter that holds a key.
    """
    name = config["encoder"]
    refuse_secret_parameters("llm", config["llm"])
    for parameter in _ENCODER_PARAMETERS:
        refuse_secret_parameters(parameter, config[parameter])
    settings = EncoderSettings(
        batch_size=config["encoder_batch_size"],
        prompt=config["encoder_prompt"],
        user_prompt=config["encoder_user_prompt"],
        dim=config["encoder_dim"],
        normalize=config["encoder_normalize"],
        max_tokens=config["encoder_max_tokens"],
    )
    if name.startswith(NAME_PREFIX):
        model, folder = name.removeprefix(NAME_PREFIX), Path(config["pair_path"])
        return OpenAIEmbeddings(model, settings, llm=LLMSettings(**config["llm"]), folder=folder)
    return SentenceTransformerEncoder(
        name,
        settings,
        device=str(config["device"]),
        dtype=config["encoder_dtype"],
        devices=config["encoder_devices"],
    )


def average_item_vectors(dataset: CrossDomainSequentialDataset, items: Mapping[str, TokenVectors]) -> TokenVectors:
    """The mean of the item vectors of each user's training interactions, scaled to length 1.

    Args:
        dataset: the data set, with the split in use.
        items: ``source`` and ``target`` -> vectors of the items of that domain.

    Returns:
        The vectors of the users who have such interactions.
    """
    dim = items["source"].matrix.shape[1]
    item_vectors = np.zeros((dataset.num_total_item, dim), dtype=np.float32)
    for domain in DOMAINS:
        ids = dataset.file_ids(domain, "item")
        for token, vector in items[domain].by_token().items():
            if token in ids:
                item_vectors[ids[token]] = vector
    log = dataset.log
    is_train = log.split == TRAIN
    total = np.zeros((dataset.num_total_user, dim), dtype=np.float32)
    np.add.at(total, log.user[is_train], item_vectors[log.item[is_train]])
    length = np.linalg.norm(total, axis=1)
    users = np.flatnonzero(length > 0)
    return TokenVectors(dataset.user_token[users].tolist(), total[users] / length[users, None])


def write_vectors(path: Path, id_field: str, vectors: TokenVectors, made_of: Mapping[str, object]) -> None:
    """Write a single embedding file and its sidecar.

    Args:
        path: the file; its folder must exist.
        id_field: ``item_id`` or ``user_id``.
        vectors: of the items or users.
        made_of: what the sidecar says, in addition to the size and the digest of the file.
    """
    with write_together() as group:
        _add_vectors(group, path, id_field, vectors=vectors, made_of=made_of)


def _add_vectors(
    group: FileGroup, path: Path, id_field: str, *, vectors: TokenVectors, made_of: Mapping[str, object]
) -> None:
    """Add an embedding file and its sidecar to the files that are put in place together."""
    content = {**redact_parameters(made_of), "rows": len(vectors.tokens), "size": int(vectors.matrix.shape[1])}
    write_embedding_to(
        group.open(path, content),
        path,
        id_field=id_field,
        value_field=id_field.replace("_id", "_emb"),
        tokens=vectors.tokens,
        matrix=vectors.matrix,
    )


def _encoder_provenance(config: Mapping[str, Any], reduction: Reduction | None) -> dict[str, object]:
    """The parameters on which the vectors depend, as far as they are set, the reduction's digest, and the date."""
    names = _ENCODER_PARAMETERS + (_REDUCTION_PARAMETERS if reduction else ())
    digest = {"reduction_sha256": reduction.digest} if reduction else {}
    parameters = {name: config[name] for name in names if config[name] is not None}
    return {**parameters, **digest, "date": datetime.now(timezone.utc).date().isoformat()}


def _profile_provenance(texts: UserTexts) -> dict[str, object]:
    """The sidecars of the files of profiles, as ``profile_file``; of several files by name, as ``profile_files``."""
    sidecars = {path.name: read_provenance(path) for path in texts.paths}
    if len(sidecars) > 1:
        return {"profile_files": sidecars}
    (content,) = sidecars.values()
    return {"profile_file": content} if content else {}


def _encode_items(
    dataset: CrossDomainSequentialDataset, domain: str, encoder: Encoder, show_progress: bool
) -> TokenVectors:
    """Encode the items of ``source`` or ``target`` that have a text."""
    config, folder, name = dataset.config, dataset.folders[domain], dataset.names[domain]
    records = item_records(dataset, domain)
    texts = text_files.compose_texts(records, config["item_text"])
    if not texts:
        fields = sorted({field for record in records.values() for field in record})
        available = ", ".join(fields) or f"none, neither in {folder / name}.item nor in {config['item_file']}"
        raise UserError(
            f"no item of {name} has one of the texts {config['item_text']}; there are {available}: select them with "
            "--item_text=[…]"
        )
    logger.info("encoding the texts of %d of %d items of %s", len(texts), len(records), name)
    return TokenVectors(list(texts), encoder.encode(list(texts.values()), show_progress))


def _fit_reduction(config: Mapping[str, Any], items: Mapping[str, TokenVectors]) -> Reduction | None:
    """Fit the reduction that the parameters select on the items of both domains; shared items count once."""
    if config["embedding_reduction"] is None:
        return None
    distinct = np.stack(list({**items["source"].by_token(), **items["target"].by_token()}.values()))
    return fit_reduction(distinct, config["embedding_reduction"], config["embedding_reduction_size"])


def _reduce(vectors: TokenVectors, reduction: Reduction | None, config: Mapping[str, Any]) -> TokenVectors:
    if reduction is None:
        return vectors
    return TokenVectors(vectors.tokens, reduction.apply(vectors.matrix, config["encoder_normalize"]))
