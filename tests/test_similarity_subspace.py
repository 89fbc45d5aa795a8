"""`subspace` against sklearn, scipy, the published code's formula and laws."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.cross_decomposition import CCA

from actlas import InputError
from actlas.plugins.similarity import subspace

from .test_similarity import every, layers, matrices, others, pairs

RNG = np.random.default_rng(6)


def centred(X):
    return (X - X.mean(axis=0)).astype(float)


def scores(X, k):
    """Principal components over rows, of length 1."""
    U, S, Vt = np.linalg.svd(centred(X), full_matrices=False)
    return U[:, :k], S[:k], Vt[:k]


def test_canonical_correlations_are_those_of_sklearn():
    X, Y, _ = matrices(80, (3, 4, 4))
    one, other = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(X, Y)
    expected = [np.corrcoef(one[:, i], other[:, i])[0, 1] for i in range(3)]
    found = subspace(layers(X, Y), variance=1.0)
    assert pairs(found, "svcca")[0] == pytest.approx(np.mean(expected), abs=1e-5)
    assert pairs(found, "lowest")[0] == pytest.approx(min(expected), abs=1e-5)


def test_svcca_has_the_angles_of_what_components_span_over_rows():
    arrays = matrices(70)
    found = subspace(layers(*arrays), components=3)

    def cosines(X, Y):
        return np.cos(scipy.linalg.subspace_angles(scores(X, 3)[0], scores(Y, 3)[0]))

    expected = every(arrays, cosines)
    np.testing.assert_allclose(pairs(found, "svcca"), [c.mean() for c in expected], atol=1e-6)
    np.testing.assert_allclose(pairs(found, "lowest"), [c.min() for c in expected], atol=1e-6)


def test_principal_angles_of_directions_are_those_of_scipy():
    X, Y, Z = matrices(70)
    found = subspace(layers(X, Y, Z), components=3)
    angles = scipy.linalg.subspace_angles(scores(Y, 3)[2].T, scores(Z, 3)[2].T)
    assert np.isnan(pairs(found, "cosine")[:2]).all()
    assert pairs(found, "cosine")[2] == pytest.approx(np.cos(angles).mean(), abs=1e-6)
    assert pairs(found, "cosine_lowest")[2] == pytest.approx(np.cos(angles).min(), abs=1e-6)


def test_pwcca_weighs_by_what_variates_carry():
    X, Y, _ = matrices(70)
    found = subspace(layers(X, Y), variance=1.0)
    one, other = (scores(Z, Z.shape[1])[0] for Z in (X, Y))
    left, correlations, right = np.linalg.svd(one.T @ other, full_matrices=False)

    def weighted(variates, Z):
        weights = np.abs(variates.T @ centred(Z)).sum(axis=1)
        return (weights * correlations).sum() / weights.sum()

    of_a, of_b = weighted(one @ left, X), weighted(other @ right.T, Y)
    assert pairs(found, "pwcca_a")[0] == pytest.approx(of_a, abs=1e-6)
    assert pairs(found, "pwcca_b")[0] == pytest.approx(of_b, abs=1e-6)
    assert pairs(found, "pwcca")[0] == pytest.approx((of_a + of_b) / 2, abs=1e-6)
    assert abs(of_a - of_b) > 1e-3


def test_any_invertible_map_leaves_canonical_correlations():
    X, Y, _ = matrices(100)
    A = RNG.normal(size=(8, 8)) + 3 * np.eye(8)
    found = subspace(layers(X, Y, Y @ A + 5), variance=1.0)
    one, moved, same = pairs(found, "svcca")
    assert moved == pytest.approx(one, abs=1e-5)
    assert same == pytest.approx(1, abs=1e-6)


def test_components_are_kept_by_their_share_of_variance():
    Q = np.linalg.qr(centred(RNG.normal(size=(200, 4))))[0]
    X = Q * np.sqrt([90.0, 6.0, 3.0, 1.0])
    for share, k in ((0.89, 1), (0.95, 2), (0.959, 2), (0.98, 3), (0.995, 4), (1.0, 4)):
        kept = list(subspace(layers(X, X[:, :2]), variance=share).tables["kept"])
        assert kept[0]["components"] == k
        assert kept[0]["variance"] == pytest.approx([0.9, 0.96, 0.99, 1.0][k - 1])
    few = subspace(layers(X, np.c_[X[:, 0], X[:, 0]]), others(X), components=3).tables["kept"]
    assert few["components"].tolist() == [3, 1, 3]


def test_few_rows_are_warned_of():
    said = subspace(layers(*RNG.normal(size=(2, 79, 8))), variance=1.0).warnings
    assert len(said) == 1
    assert said[0].startswith("79 rows for 8 components of layers.0")
    assert not subspace(layers(*RNG.normal(size=(2, 80, 8))), variance=1.0).warnings


@pytest.mark.parametrize("settings", [{"variance": 0.0}, {"variance": 1.1}, {"components": 0}])
def test_shares_that_keep_nothing_are_refused(settings):
    X, Y, _ = matrices(20)
    with pytest.raises(InputError, match="0 < variance ≤ 1 and components ≥ 1"):
        subspace(layers(X, Y), **settings)
