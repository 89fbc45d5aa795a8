"""Closeness to N(0, I), rate and active units, against closed forms and scipy."""

import numpy as np
import pytest
from scipy import stats

from actlas.plugins.sim.probing import gaussian, scores
from actlas.plugins.sim.probing.rotations import rotation


def normal(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(100, 20_000), (1000, 4000), (10_000, 400)])
def test_marginal_kl_of_normal_rows_is_one_over_n(n, d):
    X = np.random.default_rng(n).standard_normal((n, d), np.float32)
    kl = gaussian.marginal_kl(X.mean(0, np.float64), X.var(0, np.float64))
    # One dimension's is exponential about it: as much error as mean; 0.6 % more at n = 100.
    assert kl.mean() == pytest.approx(1 / n, rel=3 / np.sqrt(d) + 0.6 / n)


def test_marginal_kl_of_shifted_and_wide_rows_has_its_closed_form():
    X = normal(20_000, 2) * [1, 2] + [1, 0]
    found = gaussian.law(X.astype(np.float32)).kl
    assert found == pytest.approx([0.5, (4 - 1 - np.log(4)) / 2], abs=0.03)
    assert gaussian.law(normal(10_000, 64)).kl.max() < 0.002


def test_a_coin_passes_by_moments_and_fails_by_shape():
    coin = np.random.default_rng(0).choice([-1.0, 1.0], (4000, 1)).astype(np.float32)
    found = gaussian.law(coin)
    assert found.kl[0] < 0.005
    assert found.ks[0] > 0.3
    assert found.kurtosis[0] == pytest.approx(-2, abs=0.02)
    assert found.wasserstein[0] == pytest.approx(0.54, abs=0.02)


def test_shape_is_that_of_scipy():
    X = np.random.default_rng(1).gamma(3, 1, (500, 70)).astype(np.float32)
    found = gaussian.law(X)
    for d in (0, 69):
        assert found.ks[d] == pytest.approx(stats.kstest(X[:, d], "norm").statistic, abs=1e-6)
        assert found.skewness[d] == pytest.approx(stats.skew(X[:, d]), rel=1e-5)
        assert found.kurtosis[d] == pytest.approx(stats.kurtosis(X[:, d]), rel=1e-5)
    even = stats.norm.ppf((np.arange(500) + 0.5) / 500)
    assert found.wasserstein[3] == pytest.approx(
        stats.wasserstein_distance(X[:, 3], even), rel=1e-6
    )


def test_total_correlation_of_independent_rows_is_zero_on_average():
    n, d = 200, 20
    found = [gaussian.total_correlation(np.cov(normal(n, d, s).T), n) for s in range(40)]
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(40))
    assert np.mean(found) + d * (d - 1) / (4 * n) > 0.4  # what is taken out
    assert abs(gaussian.total_correlation(np.cov(normal(2000, 10).T), 2000)) < 0.03


def test_total_correlation_recovers_the_closed_form_in_any_scale():
    C = np.full((4, 4), 0.8) + 0.2 * np.eye(4)
    X = normal(20_000, 4) @ np.linalg.cholesky(C).T
    found = gaussian.total_correlation(np.cov(X.T), 20_000)
    assert found == pytest.approx(-np.linalg.slogdet(C)[1] / 2, rel=0.02)
    scaled = gaussian.total_correlation(np.cov((X * [1e-3, 1, 50, 7]).T), 20_000)
    assert scaled == pytest.approx(found, abs=1e-6)


def test_gaussian_kl_is_the_marginals_and_the_correlation():
    S = np.cov(normal(300, 5).T @ np.diag(np.arange(1, 301) / 100), bias=True)
    m = np.arange(5) / 3
    whole = (np.trace(S) + m @ m - 5 - np.linalg.slogdet(S)[1]) / 2
    plug_in = (np.log(np.diag(S)).sum() - np.linalg.slogdet(S)[1]) / 2
    assert gaussian.marginal_kl(m, np.diag(S)).sum() + plug_in == pytest.approx(whole, abs=1e-6)


def test_total_correlation_needs_more_rows_than_dimensions_and_is_a_bound_of_copies():
    assert gaussian.total_correlation(np.eye(5), 5) is None
    found = gaussian.total_correlation(np.ones((2, 2)), 10**9)
    assert found == pytest.approx(-(np.log(2) + np.log(4e-14)) / 2, abs=1e-6)


def test_rate_and_active_units_have_their_closed_forms():
    zero = np.zeros((50, 3), np.float32)
    assert gaussian.posterior(zero, zero, 0).rate.tolist() == [0, 0, 0]
    assert gaussian.posterior(zero + 1, zero, 0).rate == pytest.approx([0.5] * 3)
    mean = normal(2000, 3) * np.array([1, 0.05, 0.2], np.float32)
    found = gaussian.posterior(mean, np.full_like(mean, -4), 0)
    assert found.active == 2  # variances 1, 0.0025 and 0.04
    noise = (found.draws - mean) / np.exp(-2)
    assert noise.std() == pytest.approx(1, abs=0.03)


def test_norms_of_normal_rows_follow_their_law():
    found = gaussian.law(normal(5000, 128))
    assert found.norm_mean == pytest.approx(1, abs=0.01)
    assert found.norm_cv == pytest.approx(1 / np.sqrt(256), rel=0.05)


def test_neighbours_are_compared_within_samples_only():
    rng = np.random.default_rng(0)
    X = np.zeros((2000, 1), np.float32)
    for t in range(1, 2000):
        X[t] = 0.8 * X[t - 1] + 0.6 * rng.standard_normal()
    lag, rough = gaussian.lag1(X, np.zeros(2000, np.int64))
    assert lag[0] == pytest.approx(0.8, abs=0.05)
    assert rough[0] == pytest.approx(0.2, abs=0.05)
    assert gaussian.lag1(X, np.arange(2000)) is None
    apart = np.repeat(rng.standard_normal(100), 2)  # pairs alike, pairs apart
    lag, _ = gaussian.lag1(apart[:, None].astype(np.float32), np.arange(200) // 2)
    assert lag[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("r", "gini", "entropy", "hoyer", "participation"),
    [(np.eye(1, 50)[0], 0.98, 1, 1, 1), (np.ones(50), 0, 0, 0, 50), (np.zeros(50), 0, 0, 0, 0)],
)
def test_concentration_at_its_ends(r, gini, entropy, hoyer, participation):
    for scale in (1, 1e-3):
        assert scores.gini(r * scale) == pytest.approx(gini, abs=1e-9)
        assert scores.entropy_concentration(r * scale) == pytest.approx(entropy, abs=1e-9)
        assert scores.hoyer(r * scale) == pytest.approx(hoyer, abs=1e-9)
        assert scores.participation(r * scale) == pytest.approx(participation, abs=1e-9)


def test_concentration_of_random_weights_is_what_it_is_known_to_be():
    r = np.abs(np.random.default_rng(0).standard_normal((50, 512)))
    assert scores.gini(r).mean() == pytest.approx(0.413, abs=0.005)
    assert scores.hoyer(r).mean() == pytest.approx(0.211, abs=0.005)
    assert scores.entropy_concentration(r).mean() == pytest.approx(0.045, abs=0.003)
    assert scores.participation(r).mean() / 512 == pytest.approx(0.637, abs=0.005)


def test_disentanglement_and_completeness_at_their_ends():
    one_each = np.eye(6, 3)
    assert scores.disentanglement(one_each) == pytest.approx(1)
    assert scores.completeness(one_each) == pytest.approx(1)
    assert scores.disentanglement(np.ones((6, 3))) == pytest.approx(0, abs=1e-12)
    assert scores.completeness(np.ones((6, 3))) == pytest.approx(0, abs=1e-12)
    assert np.isnan(scores.disentanglement(np.ones((6, 1))))
    assert scores.disentanglement(np.zeros((6, 3))) == 0


def test_two_copies_of_a_code_leave_no_gap_and_are_disentangled():
    S = np.vstack([np.eye(3), np.eye(3)])
    assert scores.gap(S) == 0
    assert scores.disentanglement(S) == pytest.approx(1)
    assert scores.completeness(S) == pytest.approx(1 - np.log(2) / np.log(6))


def test_modularity_is_its_formula():
    information = np.array([[1.0, 0.5], [0.2, 0.2], [0.0, 0.0]])
    assert scores.modularity(information) == pytest.approx(
        (0.75 + 0 + 0) / 3
    )  # a dead dimension is of none


def test_rotations_are_orthogonal_and_turn_both_ways():
    rng = np.random.default_rng(0)
    found = [rotation(5, rng) for _ in range(40)]
    assert all(np.allclose(Q @ Q.T, np.eye(5), atol=1e-12) for Q in found)
    assert {round(np.linalg.det(Q)) for Q in found} == {-1, 1}
    assert abs(np.mean([Q[0, 0] for Q in found])) < 0.25
