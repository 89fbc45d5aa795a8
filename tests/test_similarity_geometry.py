"""`neighbours` and `procrustes` against plain formulas, scipy, sklearn and laws."""

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
from sklearn.neighbors import NearestNeighbors

from actlas import InputError
from actlas.plugins.similarity import neighbours, procrustes

from .test_similarity import every, layers, matrices, others, pairs, summary

RNG = np.random.default_rng(5)


def common_neighbours(X, Y, k, metric):
    """Of every row, by sklearn."""

    def near(Z):
        found = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute")
        return found.fit(Z.astype(float)).kneighbors(return_distance=False)

    return [len(set(a) & set(b)) for a, b in zip(near(X), near(Y), strict=True)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_of_sklearn(monkeypatch, metric):
    monkeypatch.setattr("actlas.plugins.similarity.overlap.BLOCK", 23)
    arrays = matrices(60)
    found = neighbours(layers(*arrays), k=6, metric=metric)
    counts = every(arrays, lambda X, Y: np.array(common_neighbours(X, Y, 6, metric)))
    np.testing.assert_allclose(pairs(found, "overlap"), [c.mean() / 6 for c in counts])
    np.testing.assert_allclose(pairs(found, "jaccard"), [(c / (12 - c)).mean() for c in counts])
    assert pairs(found, "chance") == [6 / 59] * 3


def test_neighbours_of_what_is_independent_are_common_by_chance():
    found = neighbours(layers(*RNG.normal(size=(3, 400, 5))), k=20)
    np.testing.assert_allclose(pairs(found, "overlap"), 20 / 399, atol=0.01)


def test_neighbours_are_drawn_by_the_seed_and_the_same_rows_at_all_sites():
    X, _, _ = matrices(200)
    Q = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    both = layers(X, 3 * X @ Q)
    drawn = neighbours(both, sample=50)
    assert pairs(drawn, "overlap") == [1.0]
    assert pairs(drawn, "chance") == [10 / 49]
    assert summary(drawn)["rows"] == 50
    noisy = layers(X, X + RNG.normal(size=X.shape))
    one, again, other = (neighbours(noisy, sample=50, seed=s) for s in (0, 0, 1))
    assert pairs(one, "overlap") == pairs(again, "overlap") != pairs(other, "overlap")
    assert summary(neighbours(noisy, sample=None))["rows"] == 200


def test_rows_that_are_alike_are_told_of():
    X, Y, _ = matrices(60)
    said = neighbours(layers(np.repeat(X[:12], 5, axis=0), Y), k=3).warnings
    assert len(said) == 1
    assert said[0].startswith("layers.0: 100% of the rows have a neighbour as near")


def classes_of_rows(n=60, classes=4):
    """Two ways of putting rows in classes whose rows are all alike."""
    return (RNG.permutation(np.arange(n) % classes) for _ in "ab")


def test_rows_that_tie_share_the_last_places(monkeypatch):
    monkeypatch.setattr("actlas.plugins.similarity.overlap.BLOCK", 23)
    one, other = classes_of_rows()
    E, F = (RNG.normal(size=(4, 6)) for _ in "ab")
    found = neighbours(layers(E[one], F[one], F[other]), k=5)
    same, apart, _ = pairs(found, "overlap")
    assert same == pytest.approx(1)  # the same rows are alike
    both = [((one == a) & (other == b)).sum() - 1 for a, b in zip(one, other, strict=True)]
    assert apart == pytest.approx(np.mean(both) * (5 / 14) / 5)  # 14 others of a class share 5
    assert pairs(found, "jaccard")[0] == pytest.approx(1)


def test_chance_is_that_of_rows_paired_at_random():
    one, _ = classes_of_rows()
    E, X = RNG.normal(size=(4, 6)), RNG.normal(size=(60, 5))
    mixed = np.where(np.arange(60)[:, None] < 30, E[one], RNG.normal(size=(60, 6)))
    drawn = [
        neighbours(layers(mixed, mixed[RNG.permutation(60)], X[RNG.permutation(60)]), k=5)
        for _ in range(60)
    ]
    for i in (0, 1):
        chance = np.mean([pairs(found, "chance")[i] for found in drawn])
        overlaps = [pairs(found, "overlap")[i] for found in drawn]
        assert abs(np.mean(overlaps) - chance) < 3.5 * np.std(overlaps) / np.sqrt(60)
    assert pairs(drawn[0], "chance")[0] > 1.1 * 5 / 59


X0, Y0, _ = matrices(20)


@pytest.mark.parametrize(
    ("arrays", "settings", "said"),
    [
        ((X0, Y0), {"k": 19}, r"k=19 of 20 rows; 1 ≤ k ≤ 18"),
        ((X0, Y0), {"k": 0}, "1 ≤ k"),
        ((X0, Y0), {"sample": 0}, "of 0 rows"),
        ((X0, Y0), {"seed": -1}, "seed ≥ 0"),
        ((X0, Y0 * 0 + 7), {}, r"layers\.1 is the same in all rows"),
        ((X0, np.r_[Y0[:19], np.zeros((1, 8))]), {}, r"zero and has no direction.*euclidean"),
        ((X0, np.r_[Y0[:19], np.full((1, 8), np.nan)]), {}, r"layers\.1 holds NaN"),
        ((X0,), {}, "compares sites"),
    ],
)
def test_neighbours_refuse_in_one_line(arrays, settings, said):
    with pytest.raises(InputError, match=said) as caught:
        neighbours(layers(*arrays), **settings)
    assert "\n" not in str(caught.value)


def test_procrustes_is_that_of_scipy():
    X, Y, Z = matrices(50)
    found = procrustes(layers(X, Y), others(Z))

    def expected(A, B):
        A, B = ((M - M.mean(0)).astype(float) for M in (A, B))
        A, B = A / np.linalg.norm(A), B / np.linalg.norm(B)
        width = max(A.shape[1], B.shape[1])
        A, B = (np.pad(M, ((0, 0), (0, width - M.shape[1]))) for M in (A, B))
        return scipy.linalg.orthogonal_procrustes(A, B)[1]

    similarity = np.array(every((X, Y, Z), expected))
    np.testing.assert_allclose(pairs(found, "similarity"), similarity, atol=1e-6)
    np.testing.assert_allclose(pairs(found, "distance"), 2 - 2 * similarity, atol=1e-6)
    np.testing.assert_allclose(np.cos(pairs(found, "angle")), similarity, atol=1e-6)
    disparity = scipy.spatial.procrustes(Y.astype(float), Z.astype(float))[2]
    assert 1 - pairs(found, "similarity")[2] ** 2 == pytest.approx(disparity, abs=1e-6)


def test_rotation_scale_and_shift_are_undone():
    X = matrices(40)[1].astype(float)
    Q = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    found = procrustes(layers(X, -7 * X @ Q + 30))
    assert pairs(found, "similarity")[0] == pytest.approx(1, abs=1e-10)
    assert pairs(found, "similarity")[0] <= 1
    assert pairs(found, "angle")[0] == pytest.approx(0, abs=1e-5)


def test_the_angle_keeps_the_triangle_inequality():
    for _ in range(20):
        ab, ac, bc = pairs(procrustes(layers(*RNG.normal(size=(3, 6, 2)))), "angle")
        assert ab <= ac + bc
        assert ac <= ab + bc
        assert bc <= ab + ac


def test_procrustes_refuses_a_constant_site():
    with pytest.raises(InputError, match=r"procrustes: layers\.1 is the same in all rows"):
        procrustes(layers(X0, Y0 * 0))
