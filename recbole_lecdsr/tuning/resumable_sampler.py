"""Seeded draws that do not repeat when a study goes on or is shared."""

from __future__ import annotations

import numpy as np
import optuna


class NumberedSampler(optuna.samplers.BaseSampler):
    """Optuna's TPE, whose draws follow from the seed and the trial's number.

    So a study that goes on, or a second process, does not draw again what was drawn before.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.inner = self._make(0)

    def _make(self, number: int) -> optuna.samplers.TPESampler:
        return optuna.samplers.TPESampler(
            seed=int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]), constant_liar=True
        )

    def before_trial(self, study, trial):
        """Start the draws of this trial."""
        self.inner = self._make(trial.number)
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study, trial):
        """As of TPE."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study, trial, search_space):
        """As of TPE."""
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(self, study, trial, param_name, param_distribution):
        """As of TPE."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study, trial, state, values):
        """As of TPE."""
        self.inner.after_trial(study, trial, state, values)
