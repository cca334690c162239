"""Writes the outcome of a training into its run directory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recbole_lecdsr import distributed
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import DOMAINS, TEST, TRAIN, VALID
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.samples import targets_of_unseen_users, targets_without_history
from recbole_lecdsr.evaluation.metrics import training_popularity
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.runs.environment import device_name, git_revision, peak_memory_bytes, versions
from recbole_lecdsr.runs.identity import Identity
from recbole_lecdsr.runs.ranks import write_ranks
from recbole_lecdsr.runs.result import CandidateInfo, RunResult
from recbole_lecdsr.runs.run_directory import RANKS, RESULT
from recbole_lecdsr.runs.training import Evaluation, TrainingOutcome


def write_result(
    config: LeCDSRConfig, test_data: EvalLoader, outcome: TrainingOutcome, identity: Identity
) -> RunResult:
    """Write ranks.npz, then result.json, in the first process if anything was tested; the others wait for it.

    Args:
        config: of the run.
        test_data: the test samples.
        outcome: of the training.
        identity: of the run.

    Returns:
        The content of result.json; in all processes but the first without reference and top items.

    Raises:
        UserError: the disk is full, or the run directory cannot be written to.
    """
    ranks_digest, test = None, outcome.test
    if test is not None and distributed.rank() == 0:
        dataset = test_data.dataset
        ranks_digest = write_ranks(
            config.run_directory / RANKS,
            rank=test.rank,
            domain=test_data.domain,
            user=dataset.user_token[test_data.user],
            item=dataset.item_token[test_data.item],
            history=dataset.log.history_length[test_data.targets],
            popularity=training_popularity(dataset)[test_data.item],
            same_domain=dataset.log.same_domain[test_data.targets],
        )
    result = _make_result(config, test_data, outcome, identity, ranks_digest)
    if ranks_digest is not None:
        result.write(config.run_directory / RESULT)
    distributed.barrier()
    return result


def _make_result(
    config: LeCDSRConfig,
    test_data: EvalLoader,
    outcome: TrainingOutcome,
    identity: Identity,
    ranks_digest: str | None,
) -> RunResult:
    candidates, log = test_data.candidates, test_data.dataset.log
    test = outcome.test or Evaluation(np.zeros(0, dtype=np.int64), {}, {}, {})
    unseen = targets_of_unseen_users(log, TEST, trained=(TRAIN, VALID) if config["refit"] else (TRAIN,))
    return RunResult(
        model=config.model_name,
        dataset=config["dataset"],
        domains={name: config[f"{name}_domain"]["dataset"] for name in DOMAINS},
        seed=config["seed"],
        versions=versions(),
        git_revision=git_revision(),
        device=device_name(config["device"]),
        processes=distributed.world_size(),
        trainable_parameters=outcome.trainable_parameters,
        seconds={phase: round(seconds, 3) for phase, seconds in outcome.seconds.items()},
        samples_per_second=round(outcome.samples_seen / max(outcome.seconds["train"], 1e-9), 1),
        peak_memory_bytes=peak_memory_bytes(config["device"]),
        selection=config["selection"],
        best_epoch={name: epoch.epoch for name, epoch in outcome.best.items()} or None,
        epochs=len(outcome.history),
        valid=outcome.valid,
        test=test.metrics,
        test_samples={name: int((test_data.domain == code).sum()) for code, name in enumerate(DOMAINS)},
        candidates=CandidateInfo(
            mode=candidates.spec.mode, history_masked=not candidates.spec.repeatable, digest=candidates.digest
        ),
        reference=test.reference,
        recommended=test.recommended,
        coverage=test_data.dataset.coverage,
        history=tuple(outcome.history),
        parameters=config.plain(),
        unseen_users={
            "users": len(np.unique(log.user[unseen])),
            "test_samples": len(unseen),
            "left_out": len(targets_without_history(log, TEST)),
        },
        identity=identity,
        ranks_digest=ranks_digest,
        conditions=_conditions(config, test_data),
        placebos=test_data.dataset.llm_features.placebos or None,
        folder=config.run_directory,
    )


def _conditions(config: LeCDSRConfig, test_data: EvalLoader) -> Conditions:
    """Those of the model; precomputed windows have no times."""
    conditions = config.model_class.describe_conditions(config.final_config_dict)
    return replace(conditions, times=conditions.times and not test_data.dataset.precomputed_windows)
