"""How often a leaderboard calls models different that are equal: simulated studies of eight models and a reference.

    python benchmarks/family_wise_error.py --studies 2000

prints, as JSON, the fraction of studies in which at least one model is called different from the reference: by the
verdict (permutation test by user, Holm's correction), by a Wilcoxon test over samples with the same correction, and by
an uncorrected 95 % interval without zero. It should be 0.05 at most.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from recbole_lecdsr.leaderboard.significance import compare, holm

MODELS = 8
SPREAD = 0.1  # of a user's samples about what they have in common

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class FamilyWiseError:
    """Fraction of the studies in which at least one model that equals the reference is called different.

    Attributes:
        verdict: by the permutation test by user with Holm's correction, as in a leaderboard.
        wilcoxon: by the Wilcoxon test over samples with Holm's correction.
        interval: by a 95 % bootstrap interval over users without zero, not corrected.
    """

    verdict: float
    wilcoxon: float
    interval: float


def alike_samples(rng: np.random.Generator, users: np.ndarray) -> np.ndarray:
    """(8, S) differences of exchangeable models whose metric is nearly the same in all samples of a user.

    Args:
        rng: source of random numbers.
        users: (S,) int, user of each sample.
    """
    n_users = users.max() + 1
    of_user = rng.normal(size=(MODELS + 1, n_users)) * rng.gamma(0.5, size=n_users)
    metric = of_user[:, users] + SPREAD * rng.normal(size=(MODELS + 1, len(users)))
    return metric[1:] - metric[0]  # to one reference, so that all are correlated


def skewed_samples(rng: np.random.Generator, users: np.ndarray) -> np.ndarray:
    """The same for skewed differences of expectation zero with the values of NDCG; the models are not exchangeable."""
    n_users = users.max() + 1
    gains = np.array([0.5, 0.63, 1.0])
    of_user = np.where(rng.random((MODELS, n_users)) < 0.2, rng.choice(gains, size=(MODELS, n_users)), 0.0)
    of_reference = rng.choice([-0.5, 0.0, 0.0, 0.5], size=n_users)
    centred = of_user - 0.2 * gains.mean() + of_reference
    return centred[:, users] + SPREAD * rng.choice([-0.5, 0.0, 0.5], size=(MODELS, len(users)))


def family_wise_error(
    draw: Draw, *, n_users: int, per_user: int, studies: int, permutations: int = 499, resamples: int = 500
) -> FamilyWiseError:
    """Simulate studies of models that equal the reference.

    Args:
        draw: random differences of the models.
        n_users, per_user: users of a study, and the largest number of samples of one.
        studies: number of studies.
        permutations, resamples: see `recbole_lecdsr.leaderboard.significance.compare`.
    """
    rng = np.random.default_rng(2022)
    users = np.repeat(np.arange(n_users), rng.integers(1, per_user + 1, size=n_users))
    different = np.zeros(3)
    for _ in range(studies):
        rows = {str(number): row for number, row in enumerate(draw(rng, users))}
        comparisons = compare(rows, users, resamples=resamples, permutations=permutations).values()
        p_wilcoxon = np.array([comparison.p_wilcoxon for comparison in comparisons])
        different += (
            any(comparison.verdict() for comparison in comparisons),
            bool((holm(p_wilcoxon) < 0.05).any()),
            any(comparison.low > 0 or comparison.high < 0 for comparison in comparisons),
        )
    return FamilyWiseError(*(different / studies).tolist())


def main() -> None:
    """Print the errors of three kinds of studies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--studies", type=int, default=2000, help="number of studies of each kind (default 2000)")
    studies = parser.parse_args().studies
    for name, draw, n_users, per_user in (
        ("alike samples of 12 users", alike_samples, 12, 12),
        ("alike samples of 100 users", alike_samples, 100, 6),
        ("skewed samples of 12 users", skewed_samples, 12, 12),
        ("skewed samples of 100 users", skewed_samples, 100, 6),
    ):
        error = family_wise_error(draw, n_users=n_users, per_user=per_user, studies=studies)
        print(json.dumps({"studies": name, "number": studies, **asdict(error)}), flush=True)


if __name__ == "__main__":
    main()
