"""`capacity` and its kin: closed forms, laws, nulls, blocks, and the site they are measured at."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import actlas
from actlas import Activations, InputError, LabelError, Labels, NonFiniteError, Result, Weights
from actlas.plugins.capacity import array_capacity, capacities, capacity, concept_capacity, moments
from actlas.plugins.capacity import blocks as grouping
from actlas.plugins.capacity import frame as framing
from actlas.plugins.capacity.concepts import debiased
from actlas.plugins.capacity.features import READ_ROWS, prepared
from actlas.plugins.capacity.frame import frame
from actlas.plugins.capacity.measured import Measured, Settings, measure, tables
from actlas.plugins.capacity.nulls import expected
from actlas.testing import checks


def naive(W):
    """The definition, by the N × N Gram matrix in double precision."""
    G = np.asarray(W, np.float64) @ np.asarray(W, np.float64).T
    below = np.square(G).sum(axis=1)
    return np.divide(np.diag(G) ** 2, below, out=np.zeros(len(G)), where=below > 0)


def turned(W, seed=0):
    d = W.shape[1]
    return W @ np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def polygon(k):
    at = 2 * np.pi * np.arange(k) / k
    return np.stack([np.cos(at), np.sin(at)], axis=1)


def corners(*rows):
    return np.array(rows, float)


GOLD = (1 + 5**0.5) / 2
SIGNS = [(a, b) for a in (-1, 1) for b in (-1, 1)]
TETRAHEDRON = corners((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)])
CUBE = corners(*((a, b, c) for a, b in SIGNS for c in (-1, 1)))
ICOSAHEDRON = np.concatenate([
    corners(*((0, a, b * GOLD) for a, b in SIGNS)),
    corners(*((a, b * GOLD, 0) for a, b in SIGNS)),
    corners(*((b * GOLD, 0, a) for a, b in SIGNS)),
])  # fmt: skip


def antiprism(z):
    rim = np.sqrt(1 - z * z)
    at = np.pi / 2 * np.arange(4)
    top = np.stack([rim * np.cos(at), rim * np.sin(at), np.full(4, z)], axis=1)
    at = at + np.pi / 4
    return np.concatenate([
        top, np.stack([rim * np.cos(at), rim * np.sin(at), np.full(4, -z)], axis=1)
    ])  # fmt: skip


def tight(N, d):
    """Unit-norm tight frame: rows of a harmonic matrix."""
    k, j = np.arange(N)[:, None], np.arange(1, d // 2 + 1)
    parts = [np.cos(2 * np.pi * k * j / N), np.sin(2 * np.pi * k * j / N)]
    return np.concatenate(parts, axis=1) / np.sqrt(d / 2)


@pytest.mark.parametrize(
    ("W", "each"),
    [
        (np.diag([1, 2, 0.001, 7.0]), 1),
        (turned(np.diag([1, 2, 3, 7.0])), 1),
        (corners((3,), (-3,)), 1 / 2),
        *((polygon(k), 2 / k) for k in (3, 4, 5, 6, 9)),
        (np.eye(6) - 1 / 6, 5 / 6),
        (TETRAHEDRON, 0.75),
        (OCTAHEDRON, 0.5),
        (CUBE, 0.375),
        (ICOSAHEDRON, 0.25),
        (antiprism(1 / np.sqrt(3)), 0.375),
        (tight(7, 4), 4 / 7),
        (tight(100, 16), 0.16),
        (corners((1, 0), (2, 0), (3, 0)), np.array([1, 4, 9]) / 14),
    ],
)
def test_known_arrangements(W, each):
    np.testing.assert_allclose(capacities(W), each, atol=1e-9)
    single = capacities(np.asarray(W, np.float32))
    np.testing.assert_allclose(single, each, atol=1e-5)


def test_an_antiprism_is_three_eighths_only_at_its_height():
    assert capacities(antiprism(0.5545))[0] == pytest.approx(0.3739, abs=1e-4)


def test_orthonormal_columns_give_the_squared_norms():
    W = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 7)))[0]
    np.testing.assert_allclose(capacities(W), np.square(W).sum(axis=1), atol=1e-9)
    assert capacities(W).sum() == pytest.approx(7, abs=1e-9)


def test_a_zero_row_has_none_and_changes_no_other():
    W = np.random.default_rng(0).standard_normal((9, 4))
    C = capacities(np.insert(W, 3, 0, axis=0))
    assert C[3] == 0
    np.testing.assert_allclose(np.delete(C, 3), capacities(W), atol=1e-12)
    for dtype, least in ((np.float64, 1e-8), (np.float32, 1e-6)):  # of the largest
        faint = W.copy()
        faint[0] *= least / 10
        assert capacities(faint.astype(dtype))[0] == 0
        faint[0] *= 1000
        np.testing.assert_allclose(capacities(faint.astype(dtype))[0], naive(faint)[0], rtol=1e-5)
    assert capacities(W * [[1e-7]] + 0 * W).min() > 0  # by the largest norm, not by itself


matrices = st.builds(
    lambda n, d, seed, spread, rank: (
        np.random.default_rng(seed).standard_normal((n, rank))
        @ np.random.default_rng(seed + 1).standard_normal((rank, d))
        * np.exp(spread * np.random.default_rng(seed + 2).standard_normal((n, 1)))
    ),
    st.integers(2, 40), st.integers(1, 20), st.integers(0, 10**6), st.floats(0, 2),
    st.integers(1, 20),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_the_ladder_holds(W):
    values = np.linalg.svdvals(W)
    # F has their squares: what is fainter than this is lost in its rounding, as `Frame.rank` says;
    # of what is not, leverage divides by an eigenvalue that rounding has moved.
    faint = values[np.linalg.matrix_rank(W) - 1] / values[0]
    assume(faint > 1e-6)
    lost = 1e-9 + 4 * np.finfo(float).eps / faint**2
    found = frame(prepared(W, "W"))
    C, leverage = found.capacity, found.leverage
    assert found.ratio <= C.sum() * (1 + 1e-9)
    assert C.sum() <= found.rank + 1e-7
    assert found.rank == np.linalg.matrix_rank(W)
    assert leverage.sum() == pytest.approx(found.rank, abs=lost)
    assert (leverage + lost >= C).all()
    unit = frame(prepared(W, "W", norm="unit"))
    assert len(W) / np.mean(1 / unit.capacity) == pytest.approx(unit.ratio, rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(-12, 12))
def test_capacity_is_that_of_the_definition_and_of_any_scale_rotation_sign_and_order(W, power):
    C = naive(W)
    np.testing.assert_allclose(capacities(W), C, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(capacities(W * 10.0**power), C, rtol=1e-8, atol=1e-10)
    order = np.random.default_rng(0).permutation(len(W))
    sign = np.where(order % 2, -1, 1)[:, None]
    moved = np.pad(turned(W)[order] * sign, ((0, 1), (0, 2)))
    np.testing.assert_allclose(capacities(moved)[:-1], C[order], rtol=1e-8, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(matrices)
def test_without_a_feature_no_other_has_less(W):
    assert (capacities(W[1:]) >= capacities(W)[1:] - 1e-9).all()


def test_a_set_beside_itself_shares_what_it_had():
    W = np.random.default_rng(0).standard_normal((30, 8))
    np.testing.assert_allclose(capacities(np.tile(W, (2, 1))), np.tile(capacities(W), 2) / 2)


@pytest.mark.parametrize("shape", [(3, 50), (60, 50), (READ_ROWS + 7, 24)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_the_fast_path_is_the_naive_one(shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    plain = rng.standard_normal(shape)
    offset, spread = plain + 3, plain * np.exp(rng.uniform(-4, 0, (len(plain), 1)))
    for W in (plain, offset, spread, plain * np.geomspace(1, 1e-3, shape[1])):
        W = W.astype(dtype)
        np.testing.assert_allclose(capacities(W), naive(W), rtol=tolerance, atol=0)
    extreme = (1e-150, 1e150) if dtype == np.float64 else ()
    for scale in (1e-12, 1e12, 1e-30, 1e30, *extreme):
        found = capacities((plain * scale).astype(dtype))
        np.testing.assert_allclose(found, naive(plain.astype(dtype)), rtol=max(tolerance, 1e-5))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_faint_features_keep_their_capacity(dtype):
    W = np.random.default_rng(0).standard_normal((60, 50))
    W[:40, 10:] = 0
    W[40:, :10] = 0
    W[40:] *= 1e-5  # λ of these is 1e-10 of the largest, far below what F keeps
    W = turned(W).astype(dtype)
    found = framing._exact(prepared(W, "W"), framing._frame_side(prepared(W, "W")))
    np.testing.assert_allclose(found.capacity, naive(W), rtol=1e-9)
    np.testing.assert_allclose(capacities(W), naive(W), rtol=1e-9)
    few = W[20:] @ np.eye(50, 60, dtype=dtype)  # fewer than dimensions
    np.testing.assert_allclose(capacities(few), naive(few), rtol=1e-9)
    large = W * dtype(2.0**20)  # measured in units of the largest norm
    np.testing.assert_allclose(capacities(large), naive(W), rtol=1e-9)
    both = np.concatenate([W, -W]).astype(np.float64)  # faint about their mean, not by themselves
    centred = frame(prepared(both + 3, "W", centre=True)).capacity
    np.testing.assert_allclose(centred, naive(both), rtol=1e-6)


@pytest.mark.parametrize("share", [0.03, 0.008, 2e-4, 1e-6])
def test_single_precision_is_exact_for_features_in_faint_directions(share, monkeypatch):
    rng = np.random.default_rng(0)
    W = rng.standard_normal((2048, 32))
    W[:1024, 16:] = 0
    W[1024:, :16] = 0  # λ of these is `share` of that of the others
    W[1024:] *= np.sqrt(share)
    W = turned(W).astype(np.float32)
    whole = W.astype(np.float64)
    exact, features = frame(prepared(whole, "W")), prepared(W, "W")
    np.testing.assert_allclose(frame(features).leverage, exact.leverage, rtol=1e-5)
    np.testing.assert_allclose(frame(features).residual, exact.residual, atol=1e-5)
    monkeypatch.setattr(framing, "WIDEST", 8)
    for C in (frame(features).capacity, capacities(W)):
        np.testing.assert_allclose(C, naive(W), rtol=1e-5)
    np.testing.assert_allclose(frame(features).residual, exact.residual, atol=1e-5)
    assert (framing._by_factor(features) is None) == (share < 0.01)


@pytest.mark.parametrize("mean", [1e2, 1e5, 1e6])
def test_a_mean_far_larger_than_the_rest_is_subtracted_before_rounding(mean):
    W = (np.random.default_rng(0).standard_normal((300, 20)) + mean).astype(np.float32)
    rest = W.astype(np.float64) - W.astype(np.float64).mean(axis=0)
    found = frame(prepared(W, "W", centre=True))
    np.testing.assert_allclose(found.capacity, naive(rest), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_ways_to_capacities_agree(dtype):
    W = (np.random.default_rng(0).standard_normal((READ_ROWS + 9, 40)) + 0.2).astype(dtype)
    W[5] = 0
    tolerance = 1e-12 if dtype == np.float64 else 2e-6
    np.testing.assert_allclose(capacities(W), frame(prepared(W, "W")).capacity, rtol=tolerance)
    assert framing._by_factor(prepared(W, "W")) is not None
    assert framing._by_factor(prepared(W[:30], "W")) is None
    assert framing._by_factor(prepared(np.tile(W[:, :20], 2), "W")) is None


@pytest.mark.parametrize("rows", [np.ones(3), np.ones((2, 2, 2)), np.ones((2, 2)) * 1j, [["a"]]])
def test_what_is_no_matrix_of_real_numbers_is_refused(rows):
    with pytest.raises(InputError, match="features are the rows of a matrix of real numbers"):
        capacities(rows)


def test_lower_precision_is_taken_up_before_anything_is_computed():
    W = np.random.default_rng(0).standard_normal((300, 20)).astype(np.float16)
    np.testing.assert_allclose(capacities(W), naive(W), rtol=1e-5)
    whole = np.random.default_rng(0).integers(-9, 9, (30, 4))
    np.testing.assert_allclose(capacities(whole), naive(whole), rtol=1e-10)


def test_wide_features_need_no_eigenvectors(monkeypatch):
    W = np.random.default_rng(0).standard_normal((200, 30))
    narrow = frame(prepared(W, "W"))
    low = W[:, :5] @ np.random.default_rng(1).standard_normal((5, 30))
    monkeypatch.setattr(framing, "WIDEST", 10)
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-5)):
        wide = frame(prepared(W.astype(dtype), "W"))
        assert wide.leverage is None
        assert wide.rank == 30
        np.testing.assert_allclose(wide.capacity, narrow.capacity, rtol=tolerance)
        np.testing.assert_allclose(wide.residual, narrow.residual, rtol=1e-3)
        assert wide.ratio == pytest.approx(narrow.ratio, rel=1e-5)
        assert frame(prepared(low.astype(dtype), "W")).rank == 5


def test_capacity_is_the_r2_of_its_readout_and_leverage_that_of_the_best_probe():
    rng = np.random.default_rng(0)
    n, N, d = 400_000, 8, 5
    a = rng.standard_normal((n, N)) * (rng.random((n, N)) < 0.2)
    a /= a.std(axis=0)
    W = rng.standard_normal((N, d))
    h = a @ W
    found = frame(prepared(W, "W"))
    readout = h @ W.T
    corr2 = [np.corrcoef(a[:, i], readout[:, i])[0, 1] ** 2 for i in range(N)]
    np.testing.assert_allclose(corr2, found.capacity, atol=0.01)
    cross = a.T @ h / n
    r2 = np.einsum("ij,ij->i", cross @ np.linalg.inv(h.T @ h / n), cross)
    np.testing.assert_allclose(r2, found.leverage, atol=0.01)
    assert r2.sum() == pytest.approx(found.rank, abs=0.01)


# --- chance -----------------------------------------------------------------------------------


def drawn(N, d, draws=2000, norm="none", centre=False, norms=1):
    """Capacities (draws, N) of Gaussian rows, or of random directions of given norms."""
    W = np.random.default_rng(0).standard_normal((draws, N, d))
    if centre:
        W -= W.mean(axis=1, keepdims=True)
    if norm == "unit":
        W *= norms / np.linalg.norm(W, axis=2, keepdims=True)
    G = np.square(W @ W.swapaxes(1, 2))
    return np.einsum("kii->ki", G) / G.sum(axis=2)


@pytest.mark.parametrize(("N", "d"), [(30, 12), (12, 40)])
@pytest.mark.parametrize(("norm", "centre"), [("none", False), ("none", True), ("unit", False)])
def test_random_features_have_the_null(N, d, norm, centre):
    totals = drawn(N, d, norm=norm, centre=centre).sum(axis=1)
    null = expected(np.ones(N), d, "gaussian", unit=norm == "unit", centred=centre).sum()
    assert null == pytest.approx(totals.mean(), rel=0.02)
    if norm == "none":
        whole = (N - 1) * d / (d + N - 2) if centre else N * d / (N + d - 1)
        assert null == pytest.approx(whole)
        assert null == pytest.approx(totals.mean(), rel=0.005)  # exact but for centring


def test_the_null_of_given_norms_is_that_of_random_directions():
    norms, d = np.r_[np.full(10, 1.0), np.full(10, 0.6)], 30
    found = drawn(20, d, norm="unit", norms=norms[:, None]).mean(axis=0)
    null = expected(norms**2, d, "norms", unit=False, centred=False)
    np.testing.assert_allclose(null, found, rtol=0.02)
    assert (expected(np.r_[norms, 0], d, "norms", unit=False, centred=False)[-1]) == 0


def test_two_centred_features_share_one_dimension_by_chance_too():
    W = np.random.default_rng(0).standard_normal((2, 30))
    row = summary(measure(prepared(W, "W", centre=True), Settings()))
    assert row["total"] == pytest.approx(1)
    assert row["null_total"] == pytest.approx(1)
    assert np.isnan(row["excess"])


# --- blocks -----------------------------------------------------------------------------------


def summary(found: Measured):
    names = [f.name for f in fields(tables([found])["summary"][0])]
    row = tables([found])["summary"][0]
    return {n: np.nan if getattr(row, n) is None else getattr(row, n) for n in names}


def planted(noise=0.0, seed=0, scales=(1, 2, 1, 3, 1)):
    """Blocks 40 in 10 d, 20 in 6 d, 12 in 3 d and two single features; turned."""
    rng = np.random.default_rng(seed)
    W, truth, at = np.zeros((74, 21)), np.zeros(74, int), 0
    column = 0
    sizes = [(40, 10), (20, 6), (12, 3), (1, 1), (1, 1)]
    for number, ((n, d), scale) in enumerate(zip(sizes, scales, strict=True)):
        Q = np.linalg.qr(rng.standard_normal((n, d)))[0] * scale
        W[at : at + n, column : column + d] = Q
        truth[at : at + n] = number
        at, column = at + n, column + d
    W = turned(W)
    size = np.linalg.norm(W, axis=1, keepdims=True) / np.sqrt(21)
    return W + noise * size * rng.standard_normal(W.shape), truth


def test_planted_blocks_are_found_and_validated():
    from sklearn.metrics import adjusted_rand_score

    W, truth = planted()
    found = measure(prepared(W, "W"), Settings())
    assert adjusted_rand_score(truth, found.blocks.block) == 1
    rows = tables([found])["blocks"]
    assert [(b.size, b.dimension) for b in rows] == [(40, 10), (20, 6), (12, 3), (1, 1), (1, 1)]
    for b in rows:
        assert b.total == pytest.approx(b.dimension, abs=1e-9)
        assert b.semi_orthogonal
        assert b.cross_cosine < 1e-9
    assert [b.eigenvalue for b in rows] == pytest.approx([1, 4, 1, 9, 1])
    assert found.frame.residual.max() < 1e-6
    assert summary(found)["efficiency"] == pytest.approx(1)


@pytest.mark.parametrize(("noise", "threshold"), [(0.01, 0.1), (0.03, 0.2)])
def test_noisy_blocks_are_found_and_the_residual_tells_the_noise(noise, threshold):
    from sklearn.metrics import adjusted_rand_score

    W, truth = planted(noise, scales=(1,) * 5)
    found = measure(prepared(W, "W"), Settings(threshold=threshold))
    assert adjusted_rand_score(truth, found.blocks.block) > 0.97
    chosen = measure(prepared(W, "W"), Settings()).blocks.block
    assert adjusted_rand_score(truth, chosen) > 0.8  # not taken for exact ones
    assert 0.7 * noise < found.frame.residual.mean() < 1.7 * noise
    assert summary(found)["efficiency"] > 0.98  # a weak detector


def test_noise_shows_in_the_residual_as_its_first_order_says():
    rng = np.random.default_rng(0)
    parts = [s * np.linalg.qr(rng.standard_normal(at))[0] for s, at in ((1, (6, 2)), (2, (5, 3)))]
    W = np.zeros((12, 6))
    W[:6, :2], W[6:11, 2:5], W[11, 5] = *parts, 3
    n, eigenvalue = np.square(W).sum(axis=1), np.repeat([1.0, 4, 9], [6, 5, 1])
    unit, values, d = W / np.sqrt(n)[:, None], np.linalg.eigvalsh(W.T @ W), 6
    # With ŵ + δ for ŵ, λρ is the length across ŵ of (F − λ)δ + δF ŵ. Its own noise is in δF too,
    # as nδ; that of another feature w is w (e·ŵ) + e (w·ŵ). Noise is independent, its variance in
    # each coordinate σ²n; here E ρ² / σ².
    own = np.square(values[:, None] - eigenvalue + n).sum(axis=0) - n**2
    other = n[:, None] * (n[:, None] + (d - 2) * np.square(W @ unit.T))
    np.fill_diagonal(other, 0)
    expected = (own + other.sum(axis=0)) / eigenvalue**2
    # Linear in noise, the mean of ρ² is the sum of what each coordinate does by itself.
    found, step = np.zeros(12), 1e-4
    for i, j in np.ndindex(*W.shape):
        for sign in (-1, 1):  # odd higher orders cancel
            moved = W.copy()
            moved[i, j] += sign * step * np.sqrt(n[i])
            found += frame(prepared(moved, "W")).residual ** 2 / 2 / step**2
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_loose_block_is_no_frame_and_too_many_features_are_not_looked_at():
    W = np.random.default_rng(0).standard_normal((30, 4)) * [1, 1, 1, 5]
    found = measure(prepared(W, "W"), Settings())
    rows = tables([found])["blocks"]
    assert [b.size for b in rows] == [30]
    assert not rows[0].semi_orthogonal
    assert measure(prepared(W, "W"), Settings(most=29)).blocks is None


def test_cosines_are_those_of_all_pairs():
    W = np.random.default_rng(0).standard_normal((grouping.STEP + 9, 6))
    found = measure(prepared(W, "W"), Settings(threshold=0.99)).blocks
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    cosines = np.abs(unit @ unit.T) - np.eye(len(W))
    np.testing.assert_allclose(found.nearest, cosines.max(axis=1), atol=1e-9)
    assert found.mean_cosine == pytest.approx(cosines.sum() / len(W) / (len(W) - 1))
    graph = cosines > 0.99
    i, j = np.nonzero(graph)
    assert (found.block[i] == found.block[j]).all()
    apart = cosines * (found.block[:, None] != found.block)
    assert apart.max() == pytest.approx(found.apart.max())


# --- weights ----------------------------------------------------------------------------------


def weights(**arrays):
    import torch

    return Weights({name.replace("__", "."): torch.tensor(a) for name, a in arrays.items()})


@pytest.mark.parametrize("check", checks(capacity), ids=repr)
def test_capacity_conforms(check):
    check()


def test_features_are_rows_or_columns_of_the_parameters_named():
    rng = np.random.default_rng(0)
    A, B, bias = rng.standard_normal((9, 5)), rng.standard_normal((9, 5)), np.zeros(5)
    given = weights(stack__0__out=A, stack__1__out=B, stack__1__mid__out=A, bias=bias)
    found = capacity(given, parameter="stack.*.out", axis="columns")
    assert found.tables["summary"]["source"].tolist() == ["stack.0.out", "stack.1.out"]
    np.testing.assert_allclose(
        found.tables["features"]["capacity"], np.r_[naive(A.T), naive(B.T)], atol=1e-9
    )
    rows = capacity(given, parameter="stack.1.out")
    np.testing.assert_allclose(rows.tables["features"]["capacity"], naive(B), atol=1e-9)
    assert found.parameters["axis"] == "columns"
    kernels = rng.standard_normal((6, 2, 3, 3))
    conv = capacity(weights(conv=kernels))
    np.testing.assert_allclose(
        conv.tables["features"]["capacity"], naive(kernels.reshape(6, -1)), atol=1e-9
    )


def test_centring_norm_and_their_columns():
    W = np.random.default_rng(0).standard_normal((20, 6)) + 4
    table = capacity(weights(W=W), centre=True).tables["features"]
    C = W - W.mean(axis=0)
    np.testing.assert_allclose(table["capacity"], naive(C), atol=1e-9)
    F, n = C.T @ C, np.square(C).sum(axis=1)
    rayleigh = np.einsum("ij,jk,ik->i", C, F, C) / n
    np.testing.assert_allclose(table["eigenvalue"], rayleigh)
    np.testing.assert_allclose(table["interference"], rayleigh - n)
    np.testing.assert_allclose(table["norm"], np.sqrt(n))
    np.testing.assert_allclose(table["leverage"], np.einsum("ij,jk,ik->i", C, np.linalg.pinv(F), C))
    image = C @ F / np.sqrt(n)[:, None]
    residual = np.sqrt(np.square(image).sum(axis=1) / rayleigh**2 - 1)
    np.testing.assert_allclose(table["residual"], residual, atol=1e-7)
    unit = capacity(weights(W=W), norm="unit").tables
    rows = W / np.linalg.norm(W, axis=1, keepdims=True)
    np.testing.assert_allclose(unit["features"]["capacity"], naive(rows), atol=1e-9)
    assert unit["summary"]["dimensions_per_feature"][0] == pytest.approx(6 / 20)


def test_features_of_norm_0_are_counted_and_said():
    found = capacity(weights(W=np.diag([1.0, 2, 0])))
    row = next(iter(found.tables["summary"]))
    assert (row["features"], row["nonzero"], row["ignored"], row["dedicated"]) == (3, 2, 1, 2)
    assert row["mean"] == pytest.approx(1)
    assert found.warnings == ("W: 1 features have norm 0; their capacity is 0",)


@pytest.mark.parametrize(
    ("array", "options", "error", "said"),
    [
        (np.zeros((3, 2)), {}, InputError, "W: all are zero"),
        (np.zeros((0, 2)), {}, InputError, r"W: features are the rows .* not shape \(0, 2\)"),
        (np.ones((3, 2)), {"centre": True}, InputError, "equal: nothing is left after centring"),
        (np.full((7, 3), 1e5 / 7), {"centre": True}, InputError, "equal: nothing is left"),
        (np.full((3, 2), 1e200), {}, InputError, "W: feature 0 has a norm above 1e154"),
        (np.diag([1, -np.inf]), {}, NonFiniteError, "W: feature 1 holds NaN or infinity"),
        (np.diag([1, np.nan]), {}, NonFiniteError, "W: feature 1 holds NaN or infinity"),
        (np.ones((3, 2)), {"parameter": "V"}, InputError, "no parameter 'V'.*W"),
        (np.ones((3, 2)), {"parameter": "x.*"}, InputError, r"no parameter fits 'x\.\*'"),
        (np.ones(3), {"parameter": "W"}, InputError, r"W has shape \(3,\), so no features"),
        (np.ones(3), {}, InputError, "the model has no matrix"),
        (np.ones((3, 2)), {"threshold": 1.5}, InputError, "threshold=1.5"),
        (np.ones((3, 2)), {"axis": "depth"}, InputError, "'rows' or 'columns'"),
    ],
)
def test_bad_weights_get_an_error_that_says_why(array, options, error, said):
    with pytest.raises(error, match=said):
        capacity(weights(W=array), **options)


def test_quantised_weights_are_refused_and_short_floats_are_taken():
    import torch

    W = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 4)))
    for codes in ((30 * W).to(torch.int8), (30 * W).to(torch.uint8), W.to(torch.float8_e4m3fn)):
        with pytest.raises(actlas.ActlasError, match=r"W holds .*8.*, codes of quantised numbers"):
            capacity(Weights({"W": codes}))
    for short in (W.half(), W.bfloat16()):
        found = capacity(Weights({"W": short})).tables["features"]["capacity"]
        np.testing.assert_allclose(found, naive(short.double().numpy()), rtol=1e-5)


def test_real_token_embeddings_are_measured(demo_model):
    W = demo_model.weights["embeddings.word_embeddings.weight"]
    found = frame(prepared(W, "embeddings"))
    some = np.random.default_rng(0).choice(len(W), 50, replace=False)
    G = W[some].astype(float) @ W.T.astype(float)
    exact = np.square(G[np.arange(50), some]) / np.square(G).sum(axis=1)
    np.testing.assert_allclose(found.capacity[some], exact, rtol=1e-5)


def test_rows_of_embeddings_are_called_by_their_tokens(demo_model):
    name = "embeddings.word_embeddings.weight"
    assert demo_model.weights.row_names(name)[101] == "[CLS]"
    assert demo_model.weights.row_names("embeddings.position_embeddings.weight") is None
    W = np.random.default_rng(0).standard_normal((4, 3))
    held = Weights(weights(E=W, M=W)._state, {"E": lambda: ["a", "b", "c"]})
    for parameter, axis, names in (
        ("E", "rows", ["a", "b", "c", "3"]), ("E", "columns", list("012")),
        ("M", "rows", list("0123")),
    ):  # fmt: skip
        table = capacity(held, parameter=parameter, axis=axis).tables["features"]
        assert table["name"].tolist() == names


# --- concepts ---------------------------------------------------------------------------------


def site(K=20, d=64, n=40, noise=0.2, seed=0, parallel=False):
    """Rows about K class means; where parallel, means come in pairs."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((K, d))
    if parallel:
        means[1::2] = means[::2]
    codes = np.repeat(np.arange(K), n)
    X = means[codes] + noise * np.sqrt(d) * rng.standard_normal((K * n, d))
    return Activations.of(X), Labels.of(codes.tolist()), means


def one(result, table="summary"):
    return next(iter(result.tables[table]))


@pytest.mark.parametrize("check", checks(concept_capacity, permutations=3), ids=repr)
def test_concept_capacity_conforms(check):
    check()


def test_concepts_are_class_means_less_their_mean():
    acts, labels, _ = site()
    found = concept_capacity(acts, labels, permutations=2)
    X = acts.numpy(np.float64)
    M = np.stack([X[labels.codes == k].mean(axis=0) for k in range(20)])
    np.testing.assert_allclose(
        found.tables["features"]["capacity"], naive(M - M.mean(axis=0)), atol=1e-9
    )
    np.testing.assert_allclose(found.arrays["directions"], M - M.mean(axis=0), atol=1e-9)
    assert one(found)["rank"] == 19
    plain = concept_capacity(acts, labels, permutations=2, centre=False)
    np.testing.assert_allclose(plain.tables["features"]["capacity"], naive(M), atol=1e-9)
    rest = np.stack([X[labels.codes != k].mean(axis=0) for k in range(20)])
    apart = concept_capacity(acts, labels, permutations=2, features="differences")
    np.testing.assert_allclose(apart.arrays["directions"], M - rest, atol=1e-9)


def test_a_constant_added_to_all_rows_changes_nothing_when_centred():
    acts, labels, _ = site()
    moved = Activations.of(acts.numpy(np.float64) + 1e6)
    for kind in ("means", "differences", "probes"):
        a, b = (
            concept_capacity(some, labels, permutations=2, features=kind) for some in (acts, moved)
        )
        np.testing.assert_allclose(
            a.tables["features"]["capacity"], b.tables["features"]["capacity"], atol=1e-8
        )
    raw = concept_capacity(moved, labels, permutations=2, centre=False)
    assert one(raw)["total"] < 1.5  # all share one mean


def test_collapsed_classes_reach_the_most_that_centred_means_can():
    codes = np.repeat(np.arange(6), 10)
    found = concept_capacity(Activations.of(np.eye(6)[codes]), Labels.of(codes.tolist()))
    np.testing.assert_allclose(found.tables["features"]["capacity"], 5 / 6, atol=1e-9)


def test_permuted_labels_leave_no_excess_however_good_the_capacity_looks():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((600, 64)) * np.geomspace(3, 0.3, 64)
    labels = Labels.of(rng.integers(0, 12, 600).tolist())
    found = concept_capacity(Activations.of(X), labels, permutations=30)
    row, controls = one(found), one(found, "controls")
    assert row["total"] > 5
    assert controls["permuted_low"] <= row["total"] <= controls["permuted_high"]
    assert row["null_debiased_total"] == row["null_total"]
    assert controls["analytic_total"] == pytest.approx(11 * 64 / 74)
    analytic = concept_capacity(Activations.of(X), labels, permutations=2, null="analytic")
    assert one(analytic)["null_total"] == pytest.approx(11 * 64 / 74)


def test_least_squares_loses_on_other_rows_where_nothing_is_to_be_learnt():
    found = []
    for seed in range(9):
        rng = np.random.default_rng(seed)
        acts = Activations.of(rng.standard_normal((600, 64)) * np.geomspace(3, 0.3, 64))
        labels = Labels.of(rng.integers(0, 12, 600).tolist())
        result = concept_capacity(acts, labels, permutations=1, shrinkage=0.0)
        found.append(one(result, "controls")["mean_probe_r2"])
    # E tr(Σ S⁻¹), S the Wishart matrix of 300 rows less their mean; one draw deviates by 0.019
    # (150 others), their mean by a third of that.
    assert np.mean(found) == pytest.approx(-64 / (300 - 64 - 2), abs=3 * 0.019 / 3)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_probes_are_ridge_regressions_of_one_half_tested_on_the_other(shrinkage):
    from sklearn.linear_model import Ridge

    acts, labels, _ = site(K=5, d=12, n=30)
    result = concept_capacity(acts, labels, permutations=1, shrinkage=shrinkage)
    X, half = acts.numpy(np.float64), moments._halves(labels, np.random.default_rng(0))
    for k, row in enumerate(result.tables["concepts"]):
        r2 = []
        for h in (0, 1):
            a, fit = (labels.codes == k).astype(float), half == h
            spread = X[fit].var(axis=0).mean()
            # (1 − s) Σ + s · mean variance is a ridge of n s / (1 − s) · mean variance, shrunk.
            alpha = fit.sum() * shrinkage / (1 - shrinkage) * spread
            probe = Ridge(alpha).fit(X[fit], a[fit])
            said = a[fit].mean() + (X[~fit] - X[fit].mean(axis=0)) @ probe.coef_ / (1 - shrinkage)
            r2.append(1 - np.square(a[~fit] - said).mean() / a[~fit].var())
        assert row["probe_r2"] == pytest.approx(np.mean(r2), abs=1e-9)


def test_labels_are_permuted_between_whole_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 30)
    X = rng.standard_normal((40, 16))[group] + 0.1 * rng.standard_normal((1200, 16))
    values = (group % 4).tolist()
    grouped = concept_capacity(Activations.of(X), Labels.of(values, groups=group))
    # Rows of a group are alike, so means of whole groups are as large as the real ones.
    norms = np.linalg.norm(grouped.arrays["directions"], axis=1).mean()
    assert norms > 0.5
    assert one(grouped, "controls")["groups"] == 40
    low, high = (one(grouped, "controls")[k] for k in ("permuted_low", "permuted_high"))
    assert low - 0.1 <= one(grouped)["total"] <= high + 0.1


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(
    ("noise", "measured"),
    # Measured before, once, of 40 rows a class: total with noise, and debiased, less the true
    # 12.45, and the mean errors of a feature; twenty directions of norm 1 in 31 of 256 dimensions.
    [
        (0.1, (0.51, 0.02, 0.026, 0.012)),
        (0.2, (1.74, 0.07, 0.087, 0.029)),
        (0.5, (4.87, 0.27, 0.243, 0.165)),
    ],
)
def test_halves_take_the_noise_out_of_means(noise, measured, centred):
    rng = np.random.default_rng(0)
    found, draws = [], 100
    for _ in range(draws):
        true = np.zeros((20, 256))
        true[:, :31] = rng.standard_normal((20, 31))
        true /= np.linalg.norm(true, axis=1, keepdims=True)
        noisy = true + noise / np.sqrt(20) * rng.standard_normal((2, 20, 256))
        if centred:
            true, noisy = true - true.mean(axis=0), noisy - noisy.mean(axis=1, keepdims=True)
        C, with_noise, free = naive(true), naive(noisy.mean(axis=0)), debiased(*noisy)[0]
        off = with_noise - C, free - C
        found.append([*(x.sum() for x in off), *(np.abs(x).mean() for x in off)])
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    # A product of halves is unbiased, the square of one is not: what is left is of second order.
    assert abs(mean[1]) < (0.02 + 0.25 * noise**2) * mean[0] + 3 * spread[1] / np.sqrt(draws)
    assert mean[3] < 0.7 * mean[2]
    if not centred:
        assert (np.abs(mean - measured) < 2.5 * spread + 0.005).all()  # as rounded; one draw


def test_equal_halves_are_the_plain_capacity_and_what_lies_outside_is_clipped():
    W = np.random.default_rng(0).standard_normal((10, 6))
    C, clipped = debiased(W, W)
    np.testing.assert_allclose(C, naive(W))
    assert not clipped.any()
    C, clipped = debiased(corners((1, 0), (1, 1)), corners((1, 0), (-0.5, 1)))
    assert ((C >= 0) & (C <= 1)).all()
    assert clipped.any()


def test_the_companions_are_a_correlation_and_a_probe():
    acts, labels, _ = site(K=5, d=12, n=200)
    found = concept_capacity(acts, labels, permutations=2, shrinkage=0.0)
    X, W = acts.numpy(np.float64), found.arrays["directions"]
    for k, row in enumerate(found.tables["concepts"]):
        a = labels.codes == k
        assert row["empirical"] == pytest.approx(np.corrcoef(a, X @ W[k])[0, 1] ** 2, rel=1e-6)
        design = np.c_[X, np.ones(len(X))]
        fit = np.linalg.lstsq(design, a.astype(float), rcond=None)[0]
        r2 = 1 - np.square(a - design @ fit).mean() / a.var()
        assert r2 - 0.1 < row["probe_r2"] < r2  # what was not fitted is predicted less well
        assert row["rows"] == 200
    assert one(found, "controls")["reliability"] is not None


def test_whitening_undoes_a_linear_map():
    acts, labels, _ = site(K=6, d=8, n=100)
    A = np.random.default_rng(5).standard_normal((8, 8))
    mapped = Activations.of(acts.numpy(np.float64) @ A)
    a, b = (
        concept_capacity(some, labels, permutations=1, metric="whitened", shrinkage=0.0)
        for some in (acts, mapped)
    )
    C = a.tables["features"]["capacity"]
    np.testing.assert_allclose(C, b.tables["features"]["capacity"], atol=1e-6)
    plain = concept_capacity(mapped, labels, permutations=1).tables["features"]["capacity"]
    assert np.abs(plain - C).max() > 0.05
    empirical = [r.tables["concepts"]["empirical"] for r in (a, b)]
    np.testing.assert_allclose(*empirical, atol=1e-6)


def test_activity_scales_by_the_deviation_of_the_label():
    acts, labels, _ = site(K=4, d=8, n=30)
    some = np.r_[0:70, 90:120]
    acts, labels = acts.take(some), labels.take(some)
    found = concept_capacity(acts, labels, permutations=1, norm="activity", centre=False)
    p = labels.counts / 100
    X = acts.numpy(np.float64)
    M = np.stack([X[labels.codes == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(
        found.arrays["directions"], M * np.sqrt(p * (1 - p))[:, None], atol=1e-9
    )


@pytest.mark.parametrize(
    ("values", "options", "error", "said"),
    [
        (["a"] * 6, {}, LabelError, "two classes or more; 'labels' has only 'a'"),
        ([None] * 6, {}, LabelError, "two classes or more"),
        (["a", "b"] * 3, {"permutations": 0}, InputError, "permutations ≥ 1"),
        (["a", "b"] * 3, {"permutations": -1}, InputError, "permutations ≥ 0"),
        (["a", "b"] * 3, {"shrinkage": 2.0}, InputError, "shrinkage"),
        (["a", "b"] * 3, {"seed": -1}, InputError, "seed=-1"),
        (["a", "b"] * 3, {"features": "probes", "metric": "whitened"}, InputError, "probes read"),
    ],
)
def test_bad_concepts_get_an_error_that_says_why(values, options, error, said):
    acts = Activations.of(np.random.default_rng(0).standard_normal((6, 3)))
    with pytest.raises(error, match=said):
        concept_capacity(acts, Labels.of(values), **options)


def test_more_classes_than_rows_are_refused():
    acts = Activations.of(np.ones((3, 2)))
    labels = Labels(np.array([0, 1, 2]), ("a", "b", "c", "d"), np.arange(3))
    with pytest.raises(LabelError, match="4 classes for 3 labelled rows"):
        concept_capacity(acts, labels)


def test_a_class_of_one_group_has_no_second_half():
    acts, labels, _ = site(K=4, d=8, n=10)
    groups = np.where(labels.codes == 3, -1, np.arange(40))
    found = concept_capacity(acts, Labels.of(labels.codes.tolist(), groups=groups), permutations=1)
    assert np.isnan(found.tables["concepts"]["debiased"]).tolist() == [False] * 3 + [True]
    assert any("no second half: 3" in said for said in found.warnings)


# --- arrays of runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("check", checks(array_capacity), ids=repr)
def test_array_capacity_conforms(check):
    check()


def stored(**arrays):
    return Result({}, arrays)


def test_writing_directions_of_ica_are_the_features():
    acts = Activations.of(np.random.default_rng(0).exponential(size=(500, 6)))
    base = actlas.get("ica")(acts, n_components=4, restarts=0)
    found = array_capacity(acts, base)
    np.testing.assert_allclose(
        found.tables["features"]["capacity"], naive(base.arrays["writing"].T), atol=1e-9
    )
    reading = array_capacity(acts, base, array="reading")
    np.testing.assert_allclose(
        reading.tables["features"]["capacity"], naive(base.arrays["reading"]), atol=1e-9
    )
    with pytest.raises(InputError, match=r"orthogonal by construction.*--array writing"):
        array_capacity(acts, base, array="principal")


def test_any_matrix_of_a_run_can_be_measured():
    acts, W = Activations.of(np.ones((3, 5))), np.random.default_rng(0).standard_normal((9, 5))
    for held in (W, W.T):
        found = array_capacity(acts, stored(atoms=held, offset=np.ones(5)))
        np.testing.assert_allclose(found.tables["features"]["capacity"], naive(W), atol=1e-9)
    assert array_capacity(acts, stored(atoms=np.eye(5))).warnings[0].startswith("the directions")
    for bad, options, said in (
        (stored(a=W, b=W), {}, "name a matrix with --array; the run has a, b"),
        (stored(), {}, "the run has no arrays"),
        (stored(a=W), {"array": "b"}, "no matrix 'b'; the run has a"),
        (stored(a=W), {"axis": "columns"}, "use --axis rows"),
        (stored(a=W[:, :4]), {}, "no directions of a site of width 5"),
    ):
        with pytest.raises(InputError, match=said):
            array_capacity(acts, bad, **options)


# --- every column of the shared tables --------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e7])  # measured as it comes, or in units of the largest
@pytest.mark.parametrize("centre", [False, True])
def test_the_summary_is_what_its_columns_say(scale, centre):
    rng = np.random.default_rng(4)
    W = rng.standard_normal((9, 5)) * np.geomspace(1, 0.01, 9)[:, None] * scale
    W[3] = W.mean(axis=0) * 9 / 8 - W[3] / 8 if centre else 0  # of the rest: 0 after centring
    row = next(iter(capacity(weights(W=W), centre=centre).tables["summary"]))
    W = W - W.mean(axis=0) if centre else W
    C, F, alive = naive(W), W.T @ W, np.delete(np.arange(9), 3)
    C[3] = 0
    values = np.linalg.eigvalsh(F)
    p = values / values.sum()
    n = np.square(W).sum(axis=1)[alive]
    unit = W[alive] / np.sqrt(n)[:, None]
    cosines = np.abs(unit @ unit.T) - np.eye(8)
    image = unit @ F
    rayleigh = np.einsum("ij,ij->i", image, unit)
    residual = np.sqrt(np.square(image).sum(axis=1) / rayleigh**2 - 1)
    null = 8 * 5 / (8 + 5 - 1) if not centre else 7 * 5 / (5 + 8 - 2)
    wanted = {
        "features": 9, "nonzero": 8, "width": 5, "rank": 5, "total": C.sum(), "null_total": null,
        "efficiency": C.sum() / 5, "fill": C.sum() / 5, "excess": (C.sum() - null) / (5 - null),
        "mean": C[alive].mean(), "tenth": np.quantile(C[alive], 0.1),
        "median": np.median(C[alive]), "ninetieth": np.quantile(C[alive], 0.9),
        "ignored": (C < 0.05).sum(), "dedicated": (C > 0.95).sum(),
        "shared": ((C >= 0.05) & (C <= 0.95)).sum(), "participation_ratio": 1 / (p**2).sum(),
        "effective_rank": np.exp(-(p * np.log(p)).sum()), "dimensions_per_feature": 5 / n.sum(),
        "residual": residual.mean(), "mean_cosine": cosines.sum() / 56,
        "coherence": cosines.max(), "welch": np.sqrt(3 / (5 * 7)),
    }  # fmt: skip
    assert {k: row[k] for k in wanted} == pytest.approx(wanted, rel=1e-6)


def test_few_features_are_held_against_their_number_and_a_low_rank_against_itself():
    rng = np.random.default_rng(0)
    few = rng.standard_normal((4, 9))
    for centre, most in ((False, 4), (True, 3)):
        row = next(iter(capacity(weights(W=few), centre=centre).tables["summary"]))
        excess = (row["total"] - row["null_total"]) / (most - row["null_total"])
        assert (row["excess"], row["welch"]) == (pytest.approx(excess), 0)
    low = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 7))
    row = next(iter(capacity(weights(W=low)).tables["summary"]))
    assert (row["rank"], row["fill"]) == (3, pytest.approx(row["total"] / 7))
    assert row["efficiency"] == pytest.approx(row["total"] / 3)


def test_units_of_eigenvalues_are_those_of_the_matrix():
    W = planted()[0]
    one, large = (capacity(weights(W=W * scale)).tables for scale in (1, 1e6))
    for name, columns in (
        ("features", ("eigenvalue", "interference")),
        ("blocks", ("eigenvalue",)),
    ):
        for column in columns:
            np.testing.assert_allclose(
                large[name][column], one[name][column] * 1e12, rtol=1e-8, atol=1
            )


def test_drawn_cosines_are_of_the_first_blocks_and_of_the_longest_features_in_them():
    W, truth = planted()
    order = np.random.default_rng(0).permutation(len(W))
    found = capacity(weights(W=W[order])).tables["gram"]
    assert len(found) == 48**2
    drawn = [int(name) for name in found["name"][::48]]
    norms = np.linalg.norm(W[order], axis=1)
    assert truth[order[drawn]].tolist() == [0] * 40 + [1] * 8
    assert (np.diff(norms[drawn[:40]]) <= 1e-12).all()
    assert norms[drawn[40:]].min() >= np.sort(norms[truth[order] == 1])[-8] - 1e-12
    i, j = drawn[2], drawn[41]
    a, b = W[order][[i, j]] / norms[[i, j], None]
    assert found["cosine"][2 * 48 + 41] == pytest.approx(a @ b, abs=1e-9)
    assert (found["cosine"][::49] > 1 - 1e-9).all()


def test_what_was_not_looked_for_is_said(monkeypatch):
    W = np.random.default_rng(0).standard_normal((9, 4))
    said = capacity(weights(W=W), block_limit=8).warnings
    assert said == ("W: blocks of 9 features were not looked for; raise block_limit to do so",)
    monkeypatch.setattr(framing, "WIDEST", 3)
    found = capacity(weights(W=W))
    assert found.warnings == ("W: no leverage and effective rank, as 4 is too wide",)
    assert np.isnan(found.tables["features"]["leverage"]).all()


def test_without_a_name_the_matrix_of_most_rows_is_measured():
    given = weights(a=np.eye(3), b=np.eye(5), c=np.zeros(9), d=np.eye(4))
    assert capacity(given).tables["summary"]["source"].tolist() == ["b"]


def test_directions_of_probes_are_the_usual_array_and_can_be_centred():
    rng = np.random.default_rng(0)
    W, acts = rng.standard_normal((5, 5)) + 2, Activations.of(np.ones((3, 5)))
    found = array_capacity(acts, stored(coef=W, other=np.ones((5, 5))), centre=True)
    np.testing.assert_allclose(
        found.tables["features"]["capacity"], naive(W - W.mean(axis=0)), atol=1e-9
    )
    square = array_capacity(acts, stored(writing=W))
    np.testing.assert_allclose(square.tables["features"]["capacity"], naive(W.T), atol=1e-9)
    for name in ("principal", "components", "eigenvectors"):
        with pytest.raises(InputError, match="orthogonal by construction"):
            array_capacity(acts, stored(**{name: W}))
    assert not array_capacity(acts, stored(coef=W)).warnings


# --- every column of the tables of concepts ---------------------------------------------------


def test_rows_beyond_one_block_and_rows_without_a_label():
    acts, labels, _ = site(K=6, d=8, n=READ_ROWS // 5)
    X = acts.numpy(np.float64)
    order = np.random.default_rng(0).permutation(len(X))
    values = [None if i % 7 == 0 else int(labels.codes[i]) for i in order]
    known = np.array([v is not None for v in values])
    found = concept_capacity(Activations.of(X[order]), Labels.of(values), permutations=1)
    codes = labels.codes[order]
    M = np.stack([X[order][known & (codes == k)].mean(axis=0) for k in range(6)])
    np.testing.assert_allclose(found.arrays["directions"], M - M.mean(axis=0), atol=1e-9)
    assert one(found, "controls")["rows"] == known.sum()


def test_whitening_is_by_the_covariance_within_classes():
    acts, labels, _ = site(K=5, d=6, n=30)
    X = acts.numpy(np.float64) * 1e6  # directions keep the units of the rows
    M = np.stack([X[labels.codes == k].mean(axis=0) for k in range(5)])
    found = concept_capacity(
        Activations.of(X), labels, permutations=1, metric="whitened", shrinkage=0.2
    )
    within = (X - M[labels.codes]).T @ (X - M[labels.codes]) / len(X)
    mixed = 0.8 * within + 0.2 * np.trace(within) / 6 * np.eye(6)
    values, vectors = np.linalg.eigh(mixed)
    rows = M @ (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(found.arrays["directions"], rows - rows.mean(axis=0), atol=1e-7)
    plain = concept_capacity(Activations.of(X), labels, permutations=1)
    np.testing.assert_allclose(plain.arrays["directions"], M - M.mean(axis=0), rtol=1e-9)
    unit = concept_capacity(Activations.of(X), labels, permutations=1, norm="unit")
    angles = (M - M.mean(axis=0)) / np.linalg.norm(M - M.mean(axis=0), axis=1, keepdims=True)
    np.testing.assert_allclose(unit.tables["features"]["capacity"], naive(angles), atol=1e-9)


def test_controls_are_means_over_concepts_and_permutations():
    acts, labels, _ = site(K=6, d=10, n=20)
    found = concept_capacity(acts, labels, permutations=7)
    concepts, controls = found.tables["concepts"], one(found, "controls")
    assert controls["mean_empirical"] == pytest.approx(concepts["empirical"].mean())
    assert controls["mean_probe_r2"] == pytest.approx(concepts["probe_r2"].mean())
    assert controls["permuted_total"] == pytest.approx(concepts["permuted"].sum())
    assert one(found)["null_total"] == pytest.approx(controls["permuted_total"])
    assert one(found)["debiased_total"] == pytest.approx(concepts["debiased"].sum())
    assert controls["permuted_low"] < controls["permuted_total"] < controls["permuted_high"]
    assert controls["clipped"] == concepts["clipped"].sum()
    half = moments._halves(labels, np.random.default_rng(0))
    X, parts = acts.numpy(np.float64), []
    for h in (0, 1):
        M = np.stack([X[(half == h) & (labels.codes == k)].mean(axis=0) for k in range(6)])
        parts.append(M - M.mean(axis=0))
    np.testing.assert_allclose(concepts["debiased"], debiased(*parts)[0], atol=1e-9)
    wanted = np.corrcoef(naive(parts[0]), naive(parts[1]))[0, 1]
    assert controls["reliability"] == pytest.approx(wanted, abs=1e-9)


def test_where_capacities_do_not_vary_there_is_no_reliability():
    codes = np.repeat(np.arange(6), 10)
    same = concept_capacity(Activations.of(np.eye(6)[codes]), Labels.of(codes.tolist()))
    acts, labels, _ = site(K=2, d=8, n=20)
    for found in (same, concept_capacity(acts, labels)):
        assert np.isnan(one(found, "controls")["reliability"])


def test_halves_hold_as_many_groups_of_a_class_and_are_drawn_by_chance():
    groups = np.repeat(np.arange(24), 3)
    labels = Labels.of((groups % 4).tolist(), groups=groups)
    one, other = (moments._halves(labels, np.random.default_rng(seed)) for seed in (0, 1))
    assert all(len(set(one[groups == g])) == 1 for g in range(24))
    for half in (one, other):
        assert [half[labels.codes == k].mean() for k in range(4)] == [0.5] * 4
    assert (one != other).any()
