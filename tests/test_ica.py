"""`ica` finds planted axes, says what it could not find, and agrees with others' FastICA."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import FastICA

import actlas
from actlas import Activations, InputError, Labels, Others, Rows
from actlas.plugins.ica import (
    Axes,
    ica,
    ica_cosine,
    ica_interpret,
    ica_labels,
    ica_match,
    ica_stability,
    restore,
    transform,
)
from actlas.plugins.ica.fastica import decorrelated, fastica, start, step
from actlas.plugins.ica.measures import Meter
from actlas.plugins.ica.pace import Pace
from actlas.plugins.ica.rowsets import Pinned


def mixed(sources, seed=0, condition=None):
    """Mix independent columns by a random matrix, and add an offset."""
    rng = np.random.default_rng(seed)
    d = sources.shape[1]
    mixing = rng.standard_normal((d, d))
    if condition:
        left, _, right = np.linalg.svd(mixing)
        mixing = left @ np.diag(np.geomspace(1, 1 / condition, d)) @ right
    return (sources @ mixing + rng.standard_normal(d)).astype(np.float32)


def exponential(n, d, seed=0):
    return np.random.default_rng(seed).exponential(size=(n, d))


def unlike(n, seed=0):
    """Ten columns of five kinds: three of them symmetric, one less peaked than a normal."""
    rng = np.random.default_rng(seed)
    sparse = rng.standard_normal((n, 2)) * (rng.random((n, 2)) < 0.1)
    return np.hstack([
        rng.laplace(size=(n, 2)), rng.gamma(0.5, size=(n, 2)), sparse, rng.uniform(size=(n, 2)),
        rng.standard_t(5, size=(n, 2)),
    ])  # fmt: skip


def axes_of(X, **settings):
    settings = {"restarts": 0, "tol": 1e-9} | settings
    found = ica(Activations.of(X), **settings)
    return found, transform(found, X)


def matched(S, other):
    """|r| of the best one-to-one assignment of columns."""
    r = np.abs(np.corrcoef(S.T, other.T)[: S.shape[1], S.shape[1] :])
    return r[linear_sum_assignment(-r)]


def amari(S, sources):
    """Amari, Cichocki & Yang 1996: 0 where S is the sources up to order and scale."""
    S, Y = S - S.mean(0), sources - sources.mean(0)
    P = np.abs(np.linalg.lstsq(S, Y, rcond=None)[0])
    d = len(P)
    rows = (P.sum(1) / P.max(1) - 1).sum()
    return (rows + (P.sum(0) / P.max(0) - 1).sum()) / (2 * d * (d - 1))


def row(result, table="summary"):
    return next(iter(result.tables[table]))


@pytest.mark.parametrize(
    ("sources", "worst", "least"),
    [
        (exponential(10_000, 5), 0.03, 0.995),
        (exponential(20_000, 10), 0.02, 0.995),
        (exponential(20_000, 50), 0.02, 0.99),
        (exponential(2_000, 5), 0.08, 0.98),
        (unlike(20_000), 0.02, 0.995),
    ],
    ids=["5", "10", "50", "few rows", "unlike"],
)
def test_planted_axes_are_found_and_principal_ones_are_not_they(sources, worst, least):
    X = mixed(sources)
    result, S = axes_of(X)
    assert amari(S, sources) <= worst
    assert matched(S, sources).min() >= least
    assert row(result)["converged"]
    principal = (X - X.mean(0)) @ result.arrays["principal"].T
    zca = principal / np.sqrt(result.arrays["variances"]) @ result.arrays["principal"]
    assert min(amari(principal, sources), amari(zca, sources)) >= 0.15


def test_axes_are_white_and_their_maps_undo_each_other():
    X = mixed(exponential(20_000, 10), condition=100)
    result, S = axes_of(X)
    np.testing.assert_allclose(S.T @ S / len(S), np.eye(10), atol=1e-8)
    np.testing.assert_allclose(result.arrays["reading"] @ result.arrays["writing"], np.eye(10),
                               atol=1e-8)  # fmt: skip
    back = restore(result, S)
    assert np.abs(back - X).max() <= 1e-8 * np.abs(X).max()
    shares = result.tables["axes"]["variance_share"]
    assert shares.sum() == pytest.approx(1)


def test_any_invertible_affine_map_of_the_rows_gives_the_same_axes():
    sources = exponential(20_000, 8)
    _, S = axes_of(mixed(sources), tol=1e-10)
    _, other = axes_of(mixed(sources, seed=5, condition=1e4), tol=1e-10, seed=3)
    assert 1 - matched(S, other).min() < 1e-6


def test_in_float64_an_ill_conditioned_map_gives_the_same_axes():
    sources = exponential(10_000, 6)
    left, right = (
        np.linalg.qr(np.random.default_rng(i).standard_normal((6, 6)))[0] for i in (1, 2)
    )
    _, S = axes_of(sources, tol=1e-10)
    _, other = axes_of(sources @ (left * np.geomspace(1, 5e-7, 6)) @ right + 3, tol=1e-10, seed=3)
    assert 1 - matched(S, other).min() < 1e-6
    _, single = axes_of(sources.astype(np.float32), tol=1e-10)
    assert 1 - matched(S, single).min() < 1e-6


def test_other_contrasts_and_one_axis_at_a_time_give_nearly_the_same_axes():
    X = mixed(exponential(20_000, 5))
    _, S = axes_of(X)
    for contrast, most in (("exp", 0.005), ("cube", 0.01)):
        assert 1 - matched(S, axes_of(X, contrast=contrast)[1]).min() < most
    deflation = FastICA(algorithm="deflation", whiten="unit-variance", random_state=0, tol=1e-8)
    assert 1 - matched(S, deflation.fit_transform(X.astype(float))).min() < 0.02


def test_fewer_rows_than_dimensions_have_no_more_axes_than_rows_say():
    result, S = axes_of(mixed(exponential(40, 60)), max_iter=20)
    assert row(result)["rank"] == row(result)["components"] == 39
    np.testing.assert_allclose(S.T @ S / 40, np.eye(39), atol=1e-6)


@pytest.mark.parametrize("contrast", ["logcosh", "exp", "cube"])
def test_it_is_scikit_learns_fastica(contrast):
    X = mixed(exponential(10_000, 6))
    _, S = axes_of(X, contrast=contrast, tol=1e-10)
    Z = (X - X.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T, bias=True))).T
    theirs = FastICA(whiten=False, fun=contrast, tol=1e-10, max_iter=500, random_state=0)
    assert 1 - matched(S, theirs.fit_transform(Z)).min() < 1e-6


@pytest.mark.parametrize("solver", ["sklearn", "picard"])
def test_other_solvers_are_a_cross_check(solver):
    if solver == "picard":
        pytest.importorskip("picard")
    X = mixed(exponential(5_000, 5))
    ours, S = axes_of(X, tol=1e-10)
    theirs, T = axes_of(X, tol=1e-8, solver=solver)
    assert 1 - matched(S, T).min() < 1e-5
    np.testing.assert_allclose(
        ours.tables["axes"]["skewness"], theirs.tables["axes"]["skewness"], rtol=1e-3
    )


def test_a_limit_far_below_float32s_roundoff_is_reached():
    result, _ = axes_of(mixed(exponential(20_000, 10)).astype(np.float32), tol=1e-11)
    assert row(result)["converged"]
    assert row(result)["iterations"] < 50


def test_one_seed_one_answer_and_another_start_the_same_axes():
    X = mixed(exponential(10_000, 6))
    (one, S), (two, _), (_, T) = axes_of(X), axes_of(X), axes_of(X, seed=9)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name])
    assert 1 - matched(S, T).min() < 1e-6


def test_axes_are_turned_to_positive_skewness_and_ordered():
    rng = np.random.default_rng(0)
    symmetric = np.where(rng.random((4_000, 1)) < 0.5, -1.0, 1.0)
    mirrored = np.vstack([symmetric, -symmetric])  # its skewness is nothing but rounding
    X = np.hstack([mirrored, -exponential(8_000, 3)])
    result, S = axes_of(X)
    skewness = stats.skew(S)
    assert (skewness >= -1e-6).all()
    assert (np.diff(result.tables["axes"]["skewness"]) <= 0).all()
    np.testing.assert_allclose(result.tables["axes"]["skewness"], skewness, atol=1e-4)
    np.testing.assert_allclose(result.tables["axes"]["kurtosis"], stats.kurtosis(S), rtol=1e-3)
    np.testing.assert_allclose(S.std(0), 1, atol=1e-6)  # a symmetric axis is not lost


@pytest.mark.parametrize(
    ("order", "column"), [("kurtosis", "kurtosis"), ("negentropy", "negentropy_logcosh")]
)
def test_axes_are_ordered_as_asked_for(order, column):
    result, S = axes_of(unlike(5_000), order=order)
    assert (np.diff(result.tables["axes"][column]) <= 0).all()
    assert (np.diff(result.tables["axes"]["skewness"]) > 0).any()
    np.testing.assert_allclose(result.tables["axes"]["kurtosis"], stats.kurtosis(S), rtol=1e-3)


@pytest.mark.parametrize(
    ("draw", "skewness", "kurtosis"),
    [
        (lambda r, n: r.standard_normal(n), 0, 0),
        (lambda r, n: r.exponential(size=n), 2, 6),
        (lambda r, n: r.laplace(size=n), 0, 3),
        (lambda r, n: r.uniform(size=n), 0, -1.2),
    ],
    ids=["normal", "exponential", "Laplace", "uniform"],
)
def test_measures_of_known_distributions(draw, skewness, kurtosis):
    import torch

    x = draw(np.random.default_rng(0), 1_000_000)
    meter = Meter(1)
    for part in np.split((x - x.mean()) / x.std(), 10):
        meter.add(torch.from_numpy(part[:, None]).float())
    found = meter.measures()
    assert found.skewness[0] == pytest.approx(skewness, abs=0.05)
    assert found.kurtosis[0] == pytest.approx(kurtosis, abs=0.3 if kurtosis == 6 else 0.05)
    if kurtosis == 0:
        assert max(found.logcosh[0], found.gauss[0]) < 1e-5
    else:
        assert min(found.logcosh[0], found.gauss[0]) > 1e-4


def test_directions_that_are_not_there_are_left_out():
    X = mixed(exponential(4_000, 6))
    dead = np.hstack([X, np.zeros((4_000, 1)), np.full((4_000, 1), 7.0), X[:, :1]])
    result, S = axes_of(dead)
    assert row(result)["rank"] == row(result)["components"] == 6
    assert any("3 of 9 directions" in said and "rank 6" in said for said in result.warnings)
    assert matched(S, axes_of(X)[1]).min() > 0.9999
    assert (result.tables["measures"]["basis"] == "raw").sum() == 7  # dimensions that vary


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rounding_of_what_was_stored_is_no_direction(dtype):
    X = mixed(exponential(4_000, 8))
    centred = (X - X.mean(axis=1, keepdims=True)).astype(dtype).astype(np.float32)
    result, _ = axes_of(centred)
    assert row(result)["rank"] == 7


def test_few_outlier_rows_spoil_the_axes_and_can_be_left_out():
    sources = exponential(10_000, 6)
    X = mixed(sources)
    X[:3] += 2_000 * np.random.default_rng(1).standard_normal((3, 6))
    spoilt, S = axes_of(X)
    assert matched(S[3:], sources[3:]).min() < 0.9
    assert any("3 rows are longer than 5 medians" in said for said in spoilt.warnings)
    mended, S = axes_of(X, outlier_norm=5.0)
    assert row(mended)["dropped_rows"] == 3
    assert matched(S[3:], sources[3:]).min() > 0.995
    assert mended.tables["top_rows"]["row"].min() >= 3


def test_what_is_normal_is_called_unstable_even_if_it_converges():
    rng = np.random.default_rng(0)
    gauss = ica(Activations.of(rng.standard_normal((5_000, 12))), max_iter=2000, restarts=2)
    stable = gauss.tables["axes"]["stable"]
    assert stable.sum() <= 2
    assert any("not stable" in said for said in gauss.warnings)
    both = np.hstack([exponential(5_000, 4), rng.standard_normal((5_000, 6))])
    half = ica(Activations.of(mixed(both)), restarts=2)
    assert half.tables["axes"]["stable"][:4].all()
    assert half.tables["axes"]["stable"][4:].sum() <= 2
    assert row(half)["stable"] == half.tables["axes"]["stable"].sum()


def test_what_does_not_converge_is_said_and_kept():
    result = ica(Activations.of(mixed(unlike(3_000))), max_iter=1, tol=1e-12, restarts=0)
    assert not row(result)["converged"]
    assert row(result)["iterations"] == 1
    assert any(said.startswith("not converged: after 1 passes") for said in result.warnings)
    assert not result.tables["axes"]["converged"].all()


def tokens(names):
    n = len(names)
    rows = Rows.of_samples(n)
    return Rows(rows.sample, rows.position, names, *(
        getattr(rows, name) for name in ("token_id", "start", "end", "special")
    ))  # fmt: skip


def test_tokens_that_count_once_are_as_if_each_occurred_once():
    X = mixed(exponential(1_500, 4))
    times = np.random.default_rng(0).integers(1, 4, len(X))
    names = [f"t{i}" for i in np.repeat(np.arange(len(X)), times)]
    repeated = Activations.of(np.repeat(X, times, axis=0), rows=tokens(names))
    once, S = axes_of(X, tol=1e-11)
    weighted = ica(repeated, weighting="token", tol=1e-11, restarts=0)
    np.testing.assert_allclose(weighted.arrays["mean"], X.mean(0, dtype=float), rtol=1e-12)
    assert 1 - matched(S, transform(weighted, X)).min() < 1e-10
    np.testing.assert_allclose(
        weighted.tables["measures"]["skewness"][:12], once.tables["measures"]["skewness"][:12],
        rtol=1e-3,
    )  # fmt: skip
    plain = ica(repeated, tol=1e-11, restarts=0)
    assert not np.allclose(plain.arrays["mean"], X.mean(0), rtol=1e-6)


def test_rows_that_are_read_anew_give_the_same():
    X = mixed(exponential(6_000, 5)).astype(np.float32)
    held, S = axes_of(X, tol=1e-11)
    read, T = axes_of(X, tol=1e-11, memory_gb=1e-4)
    assert row(held)["pinned"]
    assert not row(read)["pinned"]
    assert 1 - matched(S, T).min() < 1e-9
    np.testing.assert_array_equal(held.tables["top_rows"]["row"], read.tables["top_rows"]["row"])


def test_half_of_the_rows_is_made_white_by_itself():
    import torch

    Z = torch.from_numpy(exponential(2_000, 6) - 1).float()
    half = Pinned(Z, None).half(1, 2)
    np.testing.assert_array_equal(half.rows, Z[1000:])
    np.testing.assert_array_equal(Pinned(Z, None).half(3, 4).rows, torch.cat([Z[1500:], Z[:500]]))
    white = half.whitened()
    rows = white.rows.double().numpy() @ white.root
    np.testing.assert_allclose(rows.T @ rows / 1000, np.eye(6), atol=1e-5)
    plain = step(Pinned(torch.from_numpy(rows).float(), None), start(6, 0), "logcosh").axes
    np.testing.assert_allclose(step(white, start(6, 0), "logcosh").axes, plain, atol=1e-5)


SLOPES = {
    "logcosh": (np.tanh, lambda u: 1 - np.tanh(u) ** 2),
    "exp": (lambda u: u * np.exp(-(u**2) / 2), lambda u: (1 - u**2) * np.exp(-(u**2) / 2)),
    "cube": (lambda u: u**3, lambda u: 3 * u**2),
}


def stepped(Z, W, contrast, weights):
    """One step by the formula, in float64."""
    (g, slope), u = SLOPES[contrast], Z @ W.T
    share = weights / weights.sum()
    return decorrelated((g(u) * share[:, None]).T @ Z - np.diag(share @ slope(u)) @ W)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("contrast", SLOPES)
def test_a_step_is_the_formula(contrast, weighted):
    import torch

    rng = np.random.default_rng(0)
    Z, W = rng.laplace(size=(500, 4)), start(4, seed=1)
    weights = rng.integers(1, 4, 500).astype(float) if weighted else np.ones(500)
    wanted = stepped(Z, W, contrast, weights)
    given = torch.from_numpy(weights).float() if weighted else None
    found = step(Pinned(torch.from_numpy(Z).float(), given), W, contrast)
    np.testing.assert_allclose(found.axes, wanted, atol=1e-5)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(found.turned, np.abs(np.abs((wanted * W).sum(1)) - 1), atol=1e-5)


@pytest.mark.parametrize("root", [None, np.diag([2.0, 1.0, 0.5])])
def test_a_rough_step_is_that_of_the_rounded_axes(monkeypatch, root):
    import torch

    monkeypatch.setattr("actlas.plugins.ica.fastica._has_bfloat16", lambda block: True)
    Z = torch.from_numpy(np.random.default_rng(0).laplace(size=(40_000, 3)) / 10)
    Z, W = Z.bfloat16().float(), start(3, 1)
    turn = W if root is None else W @ root
    rounded = torch.from_numpy(turn).bfloat16().double().numpy()
    rounded = rounded if root is None else rounded @ np.linalg.inv(root)
    white = Z.double().numpy() if root is None else Z.double().numpy() @ root
    found = step(Pinned(Z, None, root), W, "logcosh", rough=True).axes
    error, other = (np.abs(found - stepped(white, at, "logcosh", np.ones(40_000))).max()
                    for at in (rounded, W))  # fmt: skip
    assert error < other / 3


def white(X):
    """Rows whitened, as they are held."""
    import torch

    values, vectors = np.linalg.eigh(np.cov(X.T, bias=True))
    return Pinned(torch.from_numpy((X - X.mean(0)) @ (vectors / np.sqrt(values))).float(), None)


@pytest.mark.parametrize("seed", [15, 17, 24, 25, 40, 58])
def test_axes_that_the_plain_iteration_swings_between_are_brought_to_rest(seed):
    rows = white(np.random.default_rng(seed).standard_normal((60, 4)))
    W = start(4, seed=0)
    for _ in range(300):
        before, made = W, step(rows, W, "logcosh")
        W = made.axes
    again = step(rows, W, "logcosh").axes
    assert made.turned.max() > 0.03  # for ever there
    np.testing.assert_allclose(np.abs((again * before).sum(1)), 1, atol=1e-9)  # and back
    found = fastica(rows, tol=1e-9, max_iter=100)
    assert found.converged
    assert (
        step(rows, found.rotation, "logcosh").turned.max() < 1e-8
    )  # a fixed point of the plain step itself


def test_top_rows_are_the_outermost_by_their_share_in_the_rows_length():
    X = mixed(exponential(3_000, 4))
    result, S = axes_of(X, top=5)
    shares = S / np.linalg.norm(S, axis=1, keepdims=True)
    top = result.tables["top_rows"]
    for axis in range(4):
        for end, sign in (("high", -1), ("low", 1)):
            mine = (top["axis"] == axis) & (top["end"] == end)
            want = np.argsort(sign * shares[:, axis])[:5]
            np.testing.assert_array_equal(top["row"][mine], want)
            np.testing.assert_allclose(top["score"][mine], shares[want, axis], atol=1e-5)
            np.testing.assert_array_equal(top["rank"][mine], range(1, 6))


def test_ica_axes_are_less_gaussian_than_all_they_are_compared_with():
    found = row(axes_of(mixed(exponential(8_000, 8)))[0])
    assert found["mean_skewness"] > 1.8
    assert found["mean_skewness"] > 1.5 * found["mean_skewness_pca"]
    assert found["mean_skewness"] > 1.5 * found["mean_skewness_raw"]
    assert found["mean_skewness_random"] < 0.06


@pytest.mark.parametrize(
    ("X", "settings", "said"),
    [
        (exponential(6, 8), {"n_components": 6}, "6 components need 7 rows or more; there are 6"),
        (exponential(50, 4), {"n_components": 9}, "rank 4 of 4; use 4 or fewer"),
        (exponential(50, 4), {"n_components": 0}, "use 1 to 4"),
        (np.ones((20, 3)), {}, "of array all 20 rows are the same"),
        (np.ones((1, 3)), {}, "1 row is too few"),
        (exponential(50, 3), {"outlier_norm": 0.001}, "leaves 0 of 50 rows; use 1 or more"),
        (exponential(50, 4), {"tol": 0.0}, "tol > 0"),
        (exponential(50, 4), {"seed": -1}, "between 0"),
        (exponential(50, 4), {"weighting": "token"}, "tokens or words"),
        (exponential(50, 4), {"solver": "sklearn", "memory_gb": 0.0}, "memory_gb"),
        (exponential(50, 4), {"top": 0}, "top ≥ 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(X, settings, said):
    with pytest.raises(InputError) as raised:
        ica(Activations.of(X), **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rows_of_another_width_are_refused():
    result, S = axes_of(exponential(200, 3))
    with pytest.raises(InputError, match="rows of width 3, not 4"):
        transform(result, np.ones((2, 4)))
    with pytest.raises(InputError, match=r"\(n, 3\)"):
        restore(result, S[:, :2])


def test_rows_that_were_divided_by_their_length_are_so_when_read_again():
    X = mixed(exponential(2_000, 5))
    result, S = axes_of(X, normalise=True)
    assert np.abs(S.std(axis=0) - 1).max() < 1e-6
    assert np.abs(transform(result, 7 * X) - S).max() < 1e-6
    assert np.abs(Axes.of(result).matrix(Activations.of(7 * X)).numpy() - S).max() < 1e-4


def test_principal_and_random_axes_are_white_as_well():
    X = mixed(exponential(5_000, 6))
    result, S = axes_of(X)
    for basis in ("ica", "pca", "random"):
        T = Axes.of(result, basis).matrix(Activations.of(X)).double().numpy()
        assert np.abs(T.T @ T / len(T) - np.eye(6)).max() < 1e-5
        assert np.allclose((T**2).sum(axis=1), (S**2).sum(axis=1), rtol=1e-4)
    pca = Axes.of(result, "pca").matrix(Activations.of(X)).numpy()
    random = Axes.of(result, "random", 3).matrix(Activations.of(X)).numpy()
    assert matched(S, pca).min() < 0.9
    assert matched(pca, random).max() < 0.99


def test_few_rows_are_named():
    result = ica(Activations.of(exponential(8, 5)))
    assert row(result)["stable"] is None  # half of them are too few to make axes of
    result = ica(Activations.of(exponential(30, 5)), restarts=0)
    assert any("30 rows for 5 axes" in said for said in result.warnings)


def test_a_stored_run_reads_other_rows(tmp_path, demo_model):
    data = actlas.read_dataset("actlas:concepts", limit=60)
    with actlas.open(f"sqlite:///{tmp_path}/s.db") as store:
        store.extract(demo_model, data, sites="layers.0,layers.1")
        run = store.run("ica", sites="layers.1", n_components=12, restarts=0)[0]
        acts = store.extraction().activations("layers.1")
        S = transform(run.result, acts.numpy())
        np.testing.assert_allclose(S.std(0), 1, rtol=1e-3)
        top = next(iter(run.result.tables["top_rows"]))
        assert top["token"] == acts.rows[top["row"]].token
        assert run.result.figures["nongaussianity"].to_dict()
        assert run.result.figures["top_rows"].to_dict()
        said = store.sql("SELECT COUNT(*) AS n FROM ica_axes")
        assert said["n"][0] == 12


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_with_nan_are_refused_also_without_a_store(bad):
    X = mixed(exponential(200, 3))
    X[7, 1] = bad
    acts, base = Activations.of(X), axes_of(np.nan_to_num(X, posinf=1.0))[0]
    labels = Labels.of(["a", "b"] * 100)
    for refused in (
        lambda: ica(acts),
        lambda: ica_stability(acts, base),
        lambda: ica_match(acts, Others.of(acts, bases=[base]), base),
        lambda: ica_interpret(acts, base),
        lambda: ica_labels(acts, labels, base),
        lambda: ica_cosine(acts, base, row=7),
    ):
        with pytest.raises(actlas.NonFiniteError, match="hold NaN or infinity"):
            refused()


def test_stability_that_cannot_be_told_is_said():
    X = mixed(exponential(9, 8))
    result, _ = axes_of(X, restarts=1)
    assert row(result)["stable"] is None
    assert any("stability is not known" in said for said in result.warnings)
    assert not any("stability is not known" in said for said in axes_of(X)[0].warnings)


def test_restarts_over_rows_that_are_read_anew_are_on_halves_of_a_sample(monkeypatch):
    taken = []
    half = Pinned.half
    monkeypatch.setattr(Pinned, "half", lambda self, *a: taken.append(len(self)) or half(self, *a))
    X = mixed(exponential(2_000, 4))
    result, _ = axes_of(X, restarts=2, memory_gb=1e-5, tol=1e-4)
    assert not row(result)["pinned"]
    assert taken == [625, 625]  # 10 kB of 4 float32 a row


def test_rows_in_float64_keep_directions_that_float32_cannot_tell():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    sources = exponential(4_000, 6) - 1
    X = sources @ (left * np.geomspace(1, 1e-6, 6)) @ right + rng.standard_normal(6)
    result, S = axes_of(X)
    assert row(result)["rank"] == 6
    assert matched(S, sources).min() > 0.99
    kept = Axes.of(result).matrix(Activations.of(X)).numpy()
    assert np.abs(kept - S).max() < 1e-5  # what builds on it reads float64 as well
    heat = result.tables["heatmap"]
    shares = S / np.linalg.norm(S, axis=1, keepdims=True)
    np.testing.assert_allclose(heat["share"], shares[heat["row"], heat["axis"]], atol=1e-5)
    read, _ = axes_of(X, memory_gb=0.0)
    np.testing.assert_allclose(read.tables["axes"]["skewness"], stats.skew(S), atol=1e-4)
    assert row(axes_of(X.astype(np.float32))[0])["rank"] == 5  # σ below 1e-5 of the largest
    same = axes_of(X.astype(np.float32).astype(np.float64))[0]  # float32 numbers, however held
    assert row(same)["rank"] == 5


def test_in_float64_what_its_rounding_makes_is_no_direction():
    X = mixed(exponential(4_000, 5)).astype(np.float64) * np.pi
    null = X @ np.random.default_rng(1).standard_normal((5, 3))
    result, _ = axes_of(np.hstack([X, null]))
    assert row(result)["rank"] == 5


@pytest.mark.parametrize(
    ("contrast", "G", "normal"),
    [
        ("logcosh", lambda u: np.log(np.cosh(u)), 0.374567207491438),
        ("exp", lambda u: -np.exp(-(u**2) / 2), -1 / np.sqrt(2)),
        ("cube", lambda u: u**4 / 4, 3 / 4),
    ],
)
def test_the_objective_of_a_pass_is_the_formula_at_the_axes_it_began_with(contrast, G, normal):
    rows = white(mixed(unlike(2_000)))
    Z = rows.rows.double().numpy()
    found = fastica(rows, contrast=contrast, tol=1e-8, w_init=np.eye(10))
    np.testing.assert_allclose(
        found.negentropies[0], (G(Z).mean(axis=0) - normal) ** 2, rtol=0.03, atol=1e-5
    )  # with rounded products, or without
    last = found.rotation  # which the last pass turned by less than rounding
    np.testing.assert_allclose(
        found.negentropies[-1], (G(Z @ last.T).mean(axis=0) - normal) ** 2, rtol=1e-4
    )
    sums = np.sum(found.negentropies, axis=1)
    assert sums[-1] > 1.2 * sums[0]
    assert sums[-1] > 0.999 * sums.max()


def test_the_objective_is_taken_on_weights_and_on_the_first_of_many_rows(monkeypatch):
    import torch

    monkeypatch.setattr("actlas.plugins.ica.rowsets.BLOCK_NUMBERS", 300 * 4)
    Z, W = white(exponential(1_000, 4)).rows, start(4, 0)
    weights = torch.from_numpy(np.random.default_rng(0).integers(1, 4, 1_000)).float()
    found = step(Pinned(Z, weights), W, "logcosh").negentropy
    G = np.log(np.cosh(Z.double().numpy()[:300] @ W.T))
    mean = np.average(G, axis=0, weights=weights[:300])
    np.testing.assert_allclose(found, (mean - 0.374567207491438) ** 2, rtol=1e-4)


def test_the_table_of_passes_tells_the_objective():
    X = mixed(exponential(1_500, 6))
    result, _ = axes_of(X)
    passes = result.tables["iterations"]
    terms = result.tables["axes"]["negentropy_logcosh"]
    last = {name: passes[name][-1] for name in ("objective", "low", "median", "high")}
    assert last["objective"] == pytest.approx(terms.sum(), rel=1e-3)
    for name, share in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
        assert last[name] == pytest.approx(np.quantile(terms, share), rel=1e-3)
    read = axes_of(X, memory_gb=0.0, tol=1e-5)[0].tables["iterations"]
    assert read["objective"][-1] == pytest.approx(terms.sum(), rel=1e-3)


def test_the_start_can_be_the_principal_axes():
    X = mixed(exponential(6_000, 6))
    (drawn, S), (given, T) = axes_of(X, tol=1e-10), axes_of(X, tol=1e-10, w_init="identity")
    assert 1 - matched(S, T).min() < 1e-6  # the same axes
    first = [result.tables["iterations"]["objective"][0] for result in (given, drawn)]
    principal = given.tables["measures"]["negentropy_logcosh"][6:12]  # of the basis pca
    assert first[0] == pytest.approx(principal.sum(), rel=0.03)
    assert first[0] != pytest.approx(first[1], rel=0.1)
    theirs, U = axes_of(X, tol=1e-8, w_init="identity", solver="sklearn")
    assert 1 - matched(U, T).min() < 1e-5
    assert all(value is None or np.isnan(value) for value in theirs.tables["iterations"]["low"])


def test_restarts_begin_elsewhere_also_where_the_start_is_given(monkeypatch):
    begun, white = [], []

    def solve(rows, *, w_init, **settings):
        begun.append(w_init)
        white.append(rows.root is None)
        return fastica(rows, w_init=w_init, **settings)

    monkeypatch.setattr("actlas.plugins.ica.fit.fastica", solve)
    ica(Activations.of(mixed(exponential(500, 3))), w_init="identity", restarts=2, seed=4)
    for W, wanted in zip(begun, (np.eye(3), start(3, 5), start(3, 6)), strict=True):
        np.testing.assert_array_equal(W, wanted)
    assert white == [True, False, False]  # of halves, which are made so by themselves


def test_far_out_is_by_the_median_norm():
    X = np.random.default_rng(0).standard_normal((400, 8)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X[::5] *= 60  # the mean norm is 13
    result = ica(Activations.of(X), outlier_norm=5.0, restarts=0, max_iter=5)
    assert row(result)["dropped_rows"] == 80


def test_what_swung_once_is_let_go_more_slowly():
    pace, settled = Pace(2), np.array([True, True])
    pace._adapt(np.array([-0.9, 0.0]), settled)
    assert pace._share.tolist() == [0.5, 1.0]
    pace._adapt(np.array([0.0, 0.0]), settled)
    assert pace._share == pytest.approx([0.5 * (1 + 0.2 / 1.5), 1.0])
    pace._adapt(np.array([0.0, 0.9]), settled)
    assert pace._share[1] == pytest.approx(1.2)  # what creeps goes further
    pace._adapt(np.array([-0.9, -0.9]), np.array([False, False]))
    assert pace._share[1] == 1.0  # but not while it still looks for its place


def test_a_shorter_step_that_would_make_two_axes_one_is_not_taken():
    pace, swapped = Pace(2), np.array([[0.0, 1.0], [1.0, 0.0]])
    pace._share[:] = 0.5
    np.testing.assert_array_equal(pace.onward(np.eye(2), swapped), swapped)


def test_principal_axes_are_measured_by_falling_variance():
    X = mixed(exponential(3_000, 6))
    result, _ = axes_of(X, tol=1e-4)
    Z = (X - result.arrays["mean"]) @ result.arrays["principal"].T
    mine = result.tables["measures"]["skewness"][result.tables["measures"]["basis"] == "pca"]
    np.testing.assert_allclose(mine, np.abs(stats.skew(Z)), atol=1e-4)
    assert (np.diff(mine) > 0).any()


def test_axes_that_all_but_found_their_place_rest_and_all_are_found(monkeypatch):
    rows, moved = white(mixed(exponential(6_000, 64))), []

    def seen(*given, moving=None, **how):
        moved.append(64 if moving is None else int(moving.sum()))
        return step(*given, moving=moving, **how)

    monkeypatch.setattr("actlas.plugins.ica.fastica.step", seen)
    found = fastica(rows, tol=1e-6)
    assert min(moved) < 64
    assert moved[-1] == 64
    assert found.converged
    monkeypatch.setattr("actlas.plugins.ica.fastica.MANY", 65)
    plain = fastica(rows, tol=1e-6)
    assert np.abs(found.rotation @ plain.rotation.T).max(axis=1).min() > 0.9999


def test_axes_that_rest_stay_and_the_others_keep_at_right_angles():
    rows, W = white(mixed(exponential(2_000, 6))), start(6, 0)
    moving = np.array([True, False, True, True, False, True])
    made = step(rows, W, "logcosh", moving=moving)
    np.testing.assert_array_equal(made.axes[~moving], W[~moving])
    assert (made.turned[~moving] == 0).all()
    assert (made.turned[moving] > 0).all()
    np.testing.assert_allclose(made.axes @ made.axes.T, np.eye(6), atol=1e-9)
    every = step(rows, W, "logcosh")
    np.testing.assert_allclose(made.negentropy, every.negentropy, rtol=1e-5)
