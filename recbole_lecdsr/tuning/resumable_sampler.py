"""A seeded sampler whose draws do not repeat when a search is resumed or shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

DRAWS = "draws"  # attribute of a trial: number of its random generator; default its own number


class ResumableSampler(optuna.samplers.BaseSampler):
    """Optuna's TPE with a random generator for each trial, derived from the seed and a number.

    A sampler with one generator for all trials would repeat its first draws in a resumed search and in every process
    that shares it. The number is that of the trial, or the one in its attribute `DRAWS`: a trial that takes the place
    of an interrupted one draws what that one drew.

    Args:
        seed: of the search.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.sampler = self._make_sampler(0)

    def _make_sampler(self, number: int) -> optuna.samplers.TPESampler:
        (state,) = np.random.SeedSequence([self.seed, number]).generate_state(1)
        return optuna.samplers.TPESampler(seed=int(state), constant_liar=True)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed the draws of the trial."""
        self.sampler = self._make_sampler(trial.user_attrs.get(DRAWS, trial.number))
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As TPE does."""
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """As TPE does."""
        self.sampler.after_trial(study, trial, state, values)
