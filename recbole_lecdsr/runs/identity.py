"""The identity of a run: digests of everything that can change its result, by part.

Code version, device and number of threads are recorded and their differences shown (`warn_of_another_environment`),
but they do not make another run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.candidates import CandidateSpec, candidate_digest
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.embeddings.paths import item_embedding_file, user_embedding_file
from recbole_lecdsr.data.embeddings.source_digest import source_digest
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import ITEM_TEXT, USER_TEXT
from recbole_lecdsr.schema import digest_values, parameter_digest

logger = logging.getLogger(__name__)

# Raise it by hand when the same parameters and data give another result than before: a changed default inside the code,
# another order of random draws, a mended fault. Finished runs then count as different ones.
RESULT_FORMAT = 1

Identity = Mapping[str, str | int]

# Part -> what it is called in an error.
_NAMES = {
    "result_format": "result_format",
    "parameters": "parameters",
    "seed": "seed",
    "tested": "tested epoch",
    "interactions": "interactions",
    "users": "users",
    "items": "items",
    "source_item_vectors": "item vectors of {source}",
    "target_item_vectors": "item vectors of {target}",
    "user_vectors": "user vectors",
    "source_augmented_vectors": "augmented item vectors of {source}",
    "target_augmented_vectors": "augmented item vectors of {target}",
    "item_placebo": "placebo vectors of items",
    "user_placebo": "placebo vectors of users",
    "candidates": "candidates",
}
# Parts that follow from files of the data set, whatever the model.
DATA = ("interactions", "users", "items")
# Parts that follow from embedding files: those that scoring reads, and all.
SCORING_VECTORS = ("source_item_vectors", "target_item_vectors", "user_vectors")
PLACEBOS = ("item_placebo", "user_placebo")  # what was drawn for them
VECTORS = (*SCORING_VECTORS, "source_augmented_vectors", "target_augmented_vectors")


def identify(config: LeCDSRConfig, data: CrossDomainSequentialDataset, *, saved: bool = True) -> Identity:
    """The identity of a run.

    Embedding files count for models that read them, by their content; it takes one reading of a file that has no
    cache yet.

    Args:
        config: of the run.
        data: of the run; of a copy with other split labels, the data set that it was made of counts.
        saved: whether checkpoints are written. Otherwise the last epoch is tested instead of the selected one.

    Returns:
        ``digest`` of the whole, then the parts: ``result_format``, ``parameters``, ``seed``, ``tested`` (``selected``
        or ``last``), ``interactions``, ``users``, ``items``, ``candidates`` and those of `VECTORS` and `PLACEBOS`
        that are read.

    Raises:
        UserError: an embedding file that cannot be read, or for a placebo does not exist.
    """
    data = data.origin
    parts: dict[str, str | int] = {
        "result_format": RESULT_FORMAT,
        "parameters": parameter_digest(config.plain()),
        "seed": config["seed"],
        "tested": "selected" if saved else "last",
        "interactions": data.log.digest,
        **data.vocabulary_digests,
        "candidates": digest_values([_candidate_digest(config, data, phase) for phase in ("valid", "test")]),
        **vector_digests(config),
        **placebo_digests(data),
    }
    return {"digest": digest_values(parts), **parts}


def _candidate_digest(config: LeCDSRConfig, data: CrossDomainSequentialDataset, phase: str) -> str:
    spec = CandidateSpec(config["eval_args"]["mode"][phase], config["repeatable"], config["seed"])
    return candidate_digest(spec, phase, log=data.log, targets=data.targets(phase), domain_items=data.domain_items)


def embedding_files(config: LeCDSRConfig) -> dict[str, Path]:
    """The embedding files that the model reads: part of `VECTORS` -> path, whether or not the file exists."""
    model_class = config.model_class
    features, augmented = model_class.required_features(config.final_config_dict), model_class.augmented_item_file
    paths: dict[str, Path] = {}
    if ITEM_TEXT in features:
        paths |= {f"{domain}_item_vectors": item_embedding_file(config, domain) for domain in DOMAINS}
    if USER_TEXT in features:
        paths["user_vectors"] = user_embedding_file(config)
    if augmented is not None and config[augmented] is not None:
        paths |= {f"{domain}_augmented_vectors": item_embedding_file(config, domain, augmented) for domain in DOMAINS}
    return paths


def vector_digests(config: LeCDSRConfig) -> dict[str, str]:
    """The parts of an identity for the embedding files that the model reads and that exist.

    Raises:
        UserError: a file that cannot be read.
    """
    return {name: source_digest(path) for name, path in embedding_files(config).items() if path.exists()}


def placebo_digests(data: CrossDomainSequentialDataset) -> dict[str, str]:
    """The parts of an identity for the placebos that the model reads, which are drawn for it.

    Raises:
        UserError: an embedding file that cannot be read or does not exist.
    """
    drawn = data.llm_features.read_placebos()
    return {
        part: drawn[name]
        for part, name in zip(PLACEBOS, ("item_vectors", "user_vectors"), strict=True)
        if name in drawn
    }


def differing_parts(one: Identity, other: Identity, parts: Sequence[str] | None = None) -> list[str]:
    """The parts in which two identities differ; None of one that is unknown.

    Args:
        one, other: the identities; empty for a run of before identities were recorded.
        parts: which to compare; None: all.

    >>> differing_parts({"digest": "a", "users": "1", "seed": 1}, {"digest": "b", "users": "2", "seed": 1})
    ['users']
    """
    if not one or not other:
        return []
    return [name for name in parts or _NAMES if one.get(name) != other.get(name)]


def name_parts(parts: Sequence[str], config: LeCDSRConfig | Mapping[str, str]) -> str:
    """The parts as a text for users.

    Args:
        parts: from `differing_parts`.
        config: of a run, or ``source`` and ``target`` -> name of the domain.

    >>> name_parts(["interactions", "target_item_vectors"], {"source": "food", "target": "kitchen"})
    'interactions and item vectors of kitchen'
    """
    domains = config if isinstance(config, Mapping) else {name: config[f"{name}_domain"]["dataset"] for name in DOMAINS}
    names = [_NAMES[part].format(**domains) for part in parts]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def require_same_identity(place: object, recorded: Identity | None, now: Identity, config: LeCDSRConfig) -> None:
    """Refuse to repeat or resume a run whose result would be another one.

    Args:
        place: its directory or file, for the error.
        recorded: its identity; empty or None where it was not recorded, which is warned of.
        now: that of the present call.
        config: of the present call.

    Raises:
        UserError: names the parts that differ.
    """
    if not recorded:
        logger.warning("%s does not say on which data it was trained: an earlier version wrote it", place)
    # Parameters are compared by their values, which an error can name.
    if differing := [part for part in differing_parts(recorded or {}, now) if part != "parameters"]:
        raise UserError(
            f"{place} holds a run with other {name_parts(differing, config)}: restore them, give the new run another "
            "--run_name or output_dir, or replace the former one by --overwrite=True"
        )


def warn_of_another_environment(place: object, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Warn, in a line for each, of versions and of a device that differ between two environments.

    Args:
        place: the run, for the warnings.
        then: `recbole_lecdsr.runs.environment.environment` of the run; empty where it was not recorded.
        now: that of this process.
    """
    for name in then.keys() & now.keys():
        if then[name] != now[name]:
            logger.warning("%s: %s was %s and is %s", place, name, then[name], now[name])
