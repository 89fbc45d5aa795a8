"""`rsa` against scipy, exact permutations and laws."""

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr

from actlas import InputError, Labels
from actlas.plugins.similarity import rsa

from .test_similarity import every, layers, matrices, others, pairs, summary

RNG = np.random.default_rng(7)
QUICK = {"permutations": 1}


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
@pytest.mark.parametrize(("compare", "of"), [("spearman", spearmanr), ("pearson", pearsonr)])
def test_correlations_of_dissimilarities_are_those_of_scipy(metric, compare, of):
    X, Y, Z = matrices(30)
    found = rsa(layers(X, Y), others(Z), metric=metric, compare=compare, **QUICK)
    expected = every(
        (X, Y, Z), lambda A, B: of(*(pdist(M.astype(float), metric) for M in (A, B))).statistic
    )
    np.testing.assert_allclose(pairs(found, "rsa"), expected, atol=1e-9)


def test_classes_are_compared_by_their_means():
    arrays = matrices(60)
    codes = np.arange(60) % 6
    values = [None if i < 3 else f"c{c}" for i, c in enumerate(codes)]
    found = rsa(layers(*arrays), labels=Labels.of(values), metric="euclidean", **QUICK)
    known = np.arange(60) >= 3

    def means(X):
        return [X[known & (codes == c)].mean(axis=0, dtype=float) for c in range(6)]

    expected = every(arrays, lambda A, B: spearmanr(pdist(means(A)), pdist(means(B))).statistic)
    np.testing.assert_allclose(pairs(found, "rsa"), expected, atol=1e-9)
    assert summary(found)["rows"] == 6


def test_p_is_that_of_all_orders_of_the_items():
    X, Y, _ = matrices(5, noise=1.0)
    found = rsa(layers(X, Y), metric="euclidean", compare="pearson", permutations=4000)
    one, other = (squareform(pdist(M.astype(float))) for M in (X, Y))
    above = np.triu_indices(5, 1)
    shuffled = [
        pearsonr(one[above], other[np.ix_(o, o)][above]).statistic
        for o in map(list, permutations(range(5)))
    ]
    expected = np.mean(np.array(shuffled) >= shuffled[0] - 1e-9)
    assert pairs(found, "p")[0] == pytest.approx(expected, abs=0.03)


def test_what_is_the_same_up_to_rotation_agrees_and_noise_does_not():
    X = RNG.normal(size=(80, 5))
    Q = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    found = rsa(layers(X, 3 * X @ Q, RNG.normal(size=(80, 5))), metric="cosine", sample=60)
    assert pairs(found, "rsa")[0] == pytest.approx(1)
    assert pairs(found, "p")[0] == 1 / 200
    assert np.abs(pairs(found, "rsa")[1:]).max() < 0.15
    assert min(pairs(found, "p")[1:]) > 0.01
    assert summary(found)["rows"] == 60
    one, other = (rsa(layers(X, X + 1), sample=20, seed=s, **QUICK) for s in (0, 1))
    assert pairs(one, "rsa") != pairs(other, "rsa")


def test_no_unit_of_a_site_matters():
    X, Y, _ = matrices(20)
    settings = {"metric": "euclidean", "compare": "pearson", **QUICK}
    one, small = (rsa(layers(X * by, Y), **settings) for by in (1, 1e-20))
    assert pairs(small, "rsa") == pytest.approx(pairs(one, "rsa"))


X0, Y0, _ = matrices(20)


@pytest.mark.parametrize(
    ("arrays", "settings", "said"),
    [
        ((X0, Y0), {"sample": 3}, "sample ≥ 4"),
        ((X0, Y0), {"permutations": 0}, "permutations ≥ 1"),
        ((X0, Y0), {"labels": Labels.of(["a", "b"] * 10)}, "2 classes, and 4 or more"),
        ((X0, Y0 * 0 + 7), {}, r"layers\.1 is the same in all rows"),
        ((X0, np.eye(20)), {}, "equally unlike"),
        ((X0, Y0 * np.nan), {"labels": Labels.of(list("abcd") * 5)}, "holds NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(arrays, settings, said):
    with pytest.raises(InputError, match=said):
        rsa(layers(*arrays), **settings)
