from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from recbole_lecdsr.leaderboard.significance import (
    bootstrap_interval,
    compare,
    holm,
    mean_and_sd,
    noise_floor,
    permutation_test,
    wilcoxon,
)

P_VALUES = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1))
# From 14 on: below, scipy goes through every sign pattern.
ALL_SIGNS = np.array(np.meshgrid(*[[-1, 1]] * 12)).reshape(12, -1).T  # (2¹², 12)
DIFFERENCES = hnp.arrays(np.float64, st.integers(14, 40), elements=st.sampled_from([-0.5, -0.25, 0.0, 0.1, 0.5, 1.0]))


# ---------------------------------------------------------------------- mean and sd


def test_mean_and_sample_sd_by_hand():
    assert mean_and_sd(np.array([1.0, 2.0, 3.0])) == pytest.approx((2.0, 1.0))


def test_one_seed_has_no_sd():
    mean, sd = mean_and_sd(np.array([0.25]))
    assert mean == 0.25
    assert math.isnan(sd)


# ---------------------------------------------------------------------- Wilcoxon


def test_wilcoxon_is_scipys_with_zeros_by_pratt():
    difference = np.random.default_rng(0).choice([-0.3, 0.0, 0.0, 0.2, 0.4], size=200)
    assert wilcoxon(difference) == pytest.approx(stats.wilcoxon(difference, zero_method="pratt").pvalue)


def test_wilcoxon_by_hand():
    # All six positive: of the 2⁶ sign patterns two are as extreme.
    assert wilcoxon(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])) == pytest.approx(2 / 64)


def test_identical_models_have_p_one_everywhere():
    users = np.repeat(["a", "b", "c"], 4)
    comparison = compare({"same": np.zeros(12)}, users)["same"]
    assert (comparison.p_permutation, comparison.p_holm, comparison.p_wilcoxon) == (1, 1, 1)
    assert (comparison.difference, comparison.low, comparison.high) == (0, 0, 0)
    assert comparison.verdict() == 0


def test_differences_that_differ_by_rounding_only_are_ties():
    ndcg = np.array([0.1, 0.2, 0.3])
    assert wilcoxon(ndcg.sum() / 3 - (ndcg[::-1].sum() / 3) * np.ones(20)) == 1.0
    assert wilcoxon(np.array([0.3 - 0.2, 0.2 - 0.3] * 10)) == pytest.approx(1.0)


@settings(deadline=None)
@given(DIFFERENCES)
def test_wilcoxon_does_not_care_which_model_is_first(difference):
    p = wilcoxon(difference)
    assert 0 <= p <= 1
    assert wilcoxon(-difference) == pytest.approx(p)


@settings(deadline=None)
@given(hnp.arrays(np.float64, 12, elements=st.sampled_from([-0.5, -0.25, 0.0, 0.1, 0.5])), st.integers(0, 60))
def test_wilcoxon_of_few_differences_is_exact_however_many_zeros_there_are(difference, zeros):
    padded = np.concatenate([difference, np.zeros(zeros)])
    signed = np.sign(padded) * stats.rankdata(np.abs(padded))
    exact = np.mean(np.abs(ALL_SIGNS @ signed[:12]) >= abs(signed.sum()) - 1e-9)
    assert wilcoxon(padded) == pytest.approx(exact)


# ---------------------------------------------------------------------- Holm


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04: ×4 = .04, ×3 = .06, ×2 = .06, ×1 = .04, which may not fall below .06.
    assert holm(np.array([0.04, 0.01, 0.03, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_leaves_one_alone_and_stops_at_one():
    assert holm(np.array([0.03])) == pytest.approx([0.03])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.array([])).tolist() == []


@given(P_VALUES)
def test_holm_is_monotone_and_between_p_and_bonferroni(p):
    corrected = holm(p)
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(corrected[order]) >= 0)
    assert np.all(corrected >= p)
    assert np.all(corrected <= np.minimum(p * len(p), 1) + 1e-12)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order_of_the_models(p, random):
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm(p[order]) == pytest.approx(holm(p)[order])


# ---------------------------------------------------------------------- permutation


def test_permutation_agrees_with_every_sign_pattern():
    difference = np.array([0.1, 0.5, -0.2, 0.4, 0.3, 0.2, -0.1, 0.6, 0.2, -0.3, 0.1, 0.4])
    exact = np.mean(np.abs(ALL_SIGNS @ difference) >= abs(difference.sum()) - 1e-12)
    assert permutation_test(difference) == pytest.approx(exact, abs=1e-12)
    # Where there are more groups than the exact test goes through, the patterns are random.
    many = np.concatenate([difference, [0.05, -0.05]])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 14)).reshape(14, -1).T
    exact = np.mean(np.abs(signs @ many) >= abs(many.sum()) - 1e-12)
    assert permutation_test(many, resamples=20000) == pytest.approx(exact, abs=0.01)
    assert permutation_test(many, resamples=20000) != permutation_test(many, resamples=20000, seed=1)


def test_permutation_agrees_with_scipy():
    difference = np.random.default_rng(3).normal(0.15, 1, size=80)
    scipys = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(0)
    )
    assert permutation_test(difference, resamples=9999) == pytest.approx(scipys.pvalue, abs=0.02)


def test_signs_of_a_user_flip_together():
    difference = np.full(40, 0.1)
    groups = np.repeat(["a", "b"], 20)
    assert permutation_test(difference, groups) == 0.5  # two users are little evidence
    assert permutation_test(difference) < 0.001


def test_differences_that_cancel_within_a_user_say_nothing():
    difference = np.concatenate([np.tile([0.3, -0.2, -0.1], 50), [0.5]])
    groups = np.concatenate([np.repeat(np.arange(50), 3), [50]])
    assert permutation_test(difference, groups) == 1


# ---------------------------------------------------------------------- bootstrap


def test_interval_agrees_with_scipy_where_each_sample_is_its_own_user():
    difference = np.random.default_rng(1).normal(0.2, 1, size=300)
    scipys = stats.bootstrap(
        (difference,), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert bootstrap_interval(difference, resamples=5000) == pytest.approx((scipys.low, scipys.high), abs=0.01)


def test_interval_agrees_with_a_loop_over_users():
    rng = np.random.default_rng(4)
    user = np.sort(rng.integers(25, size=150))
    difference = rng.normal(size=25)[user] + 0.1 * rng.normal(size=150)
    rows = [difference[user == one] for one in np.unique(user)]
    means = [np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]).mean() for _ in range(4000)]
    low, high = bootstrap_interval(difference, user, resamples=4000)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.04)
    narrow = bootstrap_interval(difference, resamples=4000)
    assert high - low > 1.5 * (narrow[1] - narrow[0])  # the samples of a user are correlated


def test_several_models_at_once_are_the_models_one_by_one():
    rng = np.random.default_rng(5)
    matrix, user = rng.normal(size=(3, 60)), np.repeat(np.arange(20), 3)
    low, high = bootstrap_interval(matrix, user)
    p = permutation_test(matrix, user)
    for row, difference in enumerate(matrix):
        assert bootstrap_interval(difference, user) == pytest.approx((low[row], high[row]))
        assert permutation_test(difference, user) == pytest.approx(p[row])


def test_the_same_seed_gives_the_same_interval():
    difference = np.random.default_rng(6).normal(size=50)
    assert bootstrap_interval(difference, seed=9) == bootstrap_interval(difference, seed=9)
    assert bootstrap_interval(difference, seed=9) != bootstrap_interval(difference, seed=10)


# ---------------------------------------------------------------------- comparisons


@settings(deadline=None, max_examples=30)
@given(DIFFERENCES)
def test_swapping_the_models_flips_the_sign_and_keeps_p(difference):
    users = np.arange(len(difference)) // 2
    one = compare({"b": difference}, users, resamples=200, permutations=200)["b"]
    other = compare({"a": -difference}, users, resamples=200, permutations=200)["a"]
    assert other.difference == pytest.approx(-one.difference)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.p_wilcoxon, other.p_permutation) == pytest.approx((one.p_wilcoxon, one.p_permutation))
    assert other.verdict() == -one.verdict()


def test_a_clear_loser_and_an_equal():
    rng = np.random.default_rng(7)
    users = np.repeat(np.arange(100), 3)
    equal = np.tile([0.5, 0.0, -0.5], 100)
    comparisons = compare({"worse": rng.normal(-0.5, 1, 300), "equal": equal}, users, seeds={"worse": (1, 2)})
    assert comparisons["worse"].verdict() == -1
    assert comparisons["equal"].verdict() == 0
    assert comparisons["worse"].p_holm == pytest.approx(2 * comparisons["worse"].p_permutation)
    assert comparisons["worse"].seeds == (1, 2)
    assert compare({}, users) == {}


# ---------------------------------------------------------------------- the verdict under the null hypothesis


@pytest.mark.parametrize(
    ("draw", "n_users", "per_user"),
    [("alike_samples", 12, 12), ("alike_samples", 100, 6), ("skewed_samples", 100, 6)],
)
def test_case_r22_equal_models_are_rarely_called_different(draw, n_users, per_user, monkeypatch):
    """Of eight models that equal the reference, none has a mark in 95 % of studies, however alike a user's samples."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import family_wise_error as simulation

    error = simulation.family_wise_error(
        vars(simulation)[draw], n_users=n_users, per_user=per_user, studies=300, resamples=10
    )
    assert error.verdict < 0.07
    assert error.wilcoxon > 0.5, "which is why the Wilcoxon test does not decide"


def test_case_r22_four_differences_are_too_few_for_a_mark():
    difference = np.zeros(400)
    difference[::100] = [0.4, 0.5, 0.6, 0.7]
    comparison = compare({"other": difference}, np.arange(400))["other"]
    assert comparison.p_permutation == comparison.p_holm == comparison.p_wilcoxon == 0.125  # two of 2⁴ sign patterns
    assert comparison.verdict() == 0


def test_the_verdict_finds_a_difference_that_all_users_share():
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(100), 6)
    rows = 0.3 * rng.normal(size=(8, 100))[:, users] + 0.5 * rng.normal(size=(8, 600))
    rows[0] += 0.2
    comparisons = compare({str(row): rows[row] for row in range(8)}, users)
    assert [comparison.verdict() for comparison in comparisons.values()] == [1, 0, 0, 0, 0, 0, 0, 0]


# ---------------------------------------------------------------------- noise floor


def test_noise_floor_by_hand():
    floor = noise_floor({"A": np.array([0.1, 0.3]), "B": np.array([0.2, 0.2 + 0.1, 0.2 + 0.2])})
    # Squares about the mean: A .01 + .01 (one degree of freedom), B .01 + 0 + .01 (two).
    assert floor.difference == pytest.approx(math.sqrt(2 * 0.04 / 3))
    assert (floor.largest, floor.models) == (pytest.approx(0.2), 2)


def test_noise_floor_of_one_model_is_the_root_mean_square_of_its_seed_pairs():
    values = np.array([0.10, 0.13, 0.11, 0.18])
    pairs = [(a - b) ** 2 for i, a in enumerate(values) for b in values[:i]]
    assert noise_floor({"A": values}).difference == pytest.approx(math.sqrt(np.mean(pairs)))


def test_models_that_do_not_depend_on_the_seed_have_no_noise():
    assert noise_floor({"Pop": np.array([0.2, 0.2, 0.2]), "once": np.array([0.3])}) is None
    assert noise_floor({"Pop": np.array([0.2, 0.2]), "A": np.array([0.1, 0.2])}).models == 1
