"""`ica_stability` calls planted axes stable and normal ones not, though runs converge."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import cut_tree, linkage

from actlas import Activations, InputError, Rows
from actlas.plugins.ica import ica, ica_stability, transform
from actlas.plugins.ica.bootstrap import base_rows, resampled
from actlas.plugins.ica.icasso import clustered
from actlas.plugins.ica.rowsets import Pinned
from actlas.plugins.ica.stability import _Matched, _run


def planted(n=3_000, axes=3, normal=4, seed=0):
    """Mixed columns: some exponential, the others normal."""
    rng = np.random.default_rng(seed)
    sources = np.hstack([rng.exponential(size=(n, axes)), rng.standard_normal((n, normal))])
    mixing = rng.standard_normal((axes + normal, axes + normal))
    return Activations.of((sources @ mixing + 3).astype(np.float32))


def based(acts, **settings):
    return ica(acts, **({"restarts": 0, "max_iter": 60} | settings))


def row(result):
    return next(iter(result.tables["summary"]))


@pytest.fixture(scope="module")
def found():
    acts = planted()
    base = based(acts)
    return acts, base, ica_stability(acts, base, restarts=6)


def test_planted_axes_are_stable_and_normal_ones_are_not(found):
    _, _, result = found
    axes = result.tables["axes"]
    assert axes["stable"].tolist() == [True] * 3 + [False] * 4
    assert axes["quality"][:3].min() > 0.9
    assert np.nanmax(axes["quality"][3:]) < 0.75
    assert axes["r"][:3].min() > 0.99
    assert (axes["size"][:3] == 6).all()
    assert (axes["runs"][:3] == 6).all()
    summary = row(result)
    assert (summary["stable"], summary["axes"], summary["runs"]) == (3, 7, 6)
    assert summary["stable_share"] == pytest.approx(3 / 7)


@pytest.mark.parametrize("seed", range(3))
def test_of_normal_rows_no_axis_is_stable_though_runs_converge(seed):
    X = np.random.default_rng(seed).standard_normal((1_000, 5))
    acts = Activations.of(X)
    base = based(acts, tol=0.01)
    result = ica_stability(acts, base, restarts=6)
    assert row(result)["stable"] == 0
    assert row(result)["converged_runs"] >= 1


def test_other_starts_alone_find_the_accidents_of_the_sample_again():
    acts = Activations.of(np.random.default_rng(1).standard_normal((1_000, 4)))
    base = based(acts)
    alone = ica_stability(acts, base, restarts=6, bootstrap="none")
    assert row(alone)["stable"] > 0
    assert row(ica_stability(acts, base, restarts=6))["stable"] == 0


def test_the_same_start_on_the_same_rows_is_the_same_run(found):
    acts, base, _ = found
    rows = ica_stability(acts, base, restarts=2, bootstrap="rows").tables["runs"]
    assert (rows["rows"] < 0.7 * len(acts)).all()
    alone = ica_stability(acts, base, restarts=2, bootstrap="none").tables["runs"]
    assert (alone["rows"] == len(acts)).all()


def test_centrotypes_read_what_was_planted(found):
    acts, base, result = found
    S = transform(base, acts.numpy())
    T = (acts.numpy() - base.arrays["mean"]) @ result.arrays["centrotypes"].T
    np.testing.assert_allclose(T.std(axis=0), 1, rtol=1e-4)
    r = np.array([np.corrcoef(S[:, j], T[:, j])[0, 1] for j in range(7)])
    np.testing.assert_allclose(r, result.tables["axes"]["r"], atol=1e-5)  # and turned alike
    np.testing.assert_array_equal(result.arrays["quality"], result.tables["axes"]["quality"])


def test_clusters_are_matched_one_to_one(found):
    _, _, result = found
    clusters, axes = result.tables["clusters"], result.tables["axes"]
    assert sorted(clusters["axis"]) == list(range(7))
    assert clusters["size"].sum() == 6 * 7
    quality = np.nan_to_num(clusters["quality"], nan=-1)
    assert (np.diff(quality) <= 0).all()
    np.testing.assert_array_equal(clusters["quality"], axes["quality"][clusters["axis"]])
    np.testing.assert_array_equal(clusters["runs"], axes["runs"][clusters["axis"]])


def test_clusters_are_those_of_average_linkage_and_their_quality_the_formula():
    directions = np.random.default_rng(0).standard_normal((40, 5))
    got = clustered(directions, 7)
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    r = np.abs(units @ units.T)
    tree = cut_tree(linkage(1 - r[np.triu_indices(40, 1)], "average"), 7).ravel()
    pairs = {(a, b) for a, b in zip(got.member, tree, strict=True)}
    assert len(pairs) == 7
    for cluster in range(7):
        mine = got.member == cluster
        size = mine.sum()
        inner = r[np.ix_(mine, mine)]
        extra = r[np.ix_(mine, ~mine)].mean()
        assert got.sizes[cluster] == size
        assert got.extra[cluster] == pytest.approx(extra, abs=1e-6)
        if size == 1:
            assert np.isnan(got.quality[cluster])
            continue
        intra = (inner.sum() - size) / (size * (size - 1))
        assert got.quality[cluster] == pytest.approx(intra - extra, abs=1e-6)
        lead = np.flatnonzero(mine)[inner.sum(axis=1).argmax()]
        assert got.centrotypes[cluster] == lead


def test_axes_that_are_all_alike_make_as_many_clusters_as_asked_for():
    found = clustered(np.tile(np.eye(3), (4, 1)), 3)
    assert found.sizes.tolist() == [4, 4, 4]
    np.testing.assert_allclose(found.quality, 1)
    assert clustered(np.ones((6, 2)), 3).sizes.sum() == 6
    assert len(clustered(np.ones((6, 2)), 3).sizes) == 3
    assert clustered(np.ones((3, 1)), 1).quality[0] == 1  # with no others: extra is 0


def test_an_axis_that_few_runs_find_is_not_stable():
    """Three of eight runs agree on an axis; the clusters of the others are loose."""
    rng = np.random.default_rng(0)
    runs = [np.eye(6)[:3] + 0.01 * rng.standard_normal((3, 6)) for _ in range(8)]
    for run in runs[3:]:
        run[2] = np.eye(6)[0]  # they find the first axis twice
    directions = np.vstack(runs)
    matched = _Matched.of(clustered(directions, 3), directions, np.eye(6)[:3])
    assert matched.clusters.quality.min() > 0.9
    assert matched.stable(0.8, 8).tolist() == [True, True, False]
    far = np.eye(6)[:3] + np.eye(6)[3:]  # 45° from what was found
    assert not _Matched.of(clustered(directions, 3), directions, far).stable(0.8, 8).any()


def test_resampled_rows_are_made_white_and_a_runs_axes_are_white_on_them(found):
    acts, base, _ = found
    held = base_rows(acts, base, 0, 4.0).held
    settings = {"contrast": "logcosh", "tol": 0.01, "max_iter": 20}
    run = _run(held, 0, "both", 0, settings)
    part = resampled(held, np.random.default_rng([0, 0]))
    assert run.rows == len(part)
    S, weights = part.rows.double().numpy() @ run.directions.T, part.weights.double().numpy()
    assert weights.sum() == len(acts)
    np.testing.assert_allclose((S * weights[:, None]).T @ S / len(acts), np.eye(7), atol=1e-4)


def test_rows_count_as_often_as_they_are_drawn_times_their_weight():
    import torch

    held = Pinned(torch.randn(50, 3), torch.arange(1.0, 51.0))
    times = np.bincount(np.random.default_rng(4).integers(0, 50, 50), minlength=50)
    part = resampled(held, np.random.default_rng(4))
    drawn = np.flatnonzero(times)
    np.testing.assert_array_equal(part.rows, held.rows[drawn])
    np.testing.assert_array_equal(part.weights, times[drawn] * (1 + drawn))


def test_every_run_starts_elsewhere(found):
    acts, base, _ = found
    runs = ica_stability(acts, base, restarts=4, bootstrap="none", max_iter=5).tables["runs"]
    assert len(set(runs["limit"])) == 4


def test_rows_and_weights_are_the_bases():
    rng = np.random.default_rng(0)
    X = planted().numpy()
    X[:5] *= 100
    names = [f"t{i}" for i in rng.integers(0, 500, len(X))]
    acts = Activations.of(X, rows=Rows.build(np.arange(len(X)), token=names))
    base = based(acts, outlier_norm=5.0, weighting="token", normalise=True)
    rows = base_rows(acts, base, 0, 4.0)
    assert len(rows.held) == len(X) - 5
    Z, weights = rows.held.rows.double().numpy(), rows.held.weights.double().numpy()
    products = (Z * weights[:, None]).T @ Z / weights.sum()
    np.testing.assert_allclose(products, np.eye(Z.shape[1]), atol=1e-4)
    S = transform(base, X[5:])
    r = np.sort((Z @ rows.base.T)[:, 0])  # they are in another order
    np.testing.assert_allclose(r, np.sort(S[:, 0]), atol=1e-3)


def test_settings_are_the_bases_unless_given(found):
    acts, _, _ = found
    base = based(acts, tol=1e-12, max_iter=3, contrast="cube")
    plain = ica_stability(acts, base, restarts=2)
    assert plain.tables["runs"]["iterations"].tolist() == [3, 3]
    given = ica_stability(acts, base, restarts=2, contrast="cube", tol=1e-12, max_iter=3)
    np.testing.assert_array_equal(plain.arrays["centrotypes"], given.arrays["centrotypes"])
    other = ica_stability(acts, base, restarts=2, contrast="logcosh", max_iter=4)
    assert other.tables["runs"]["iterations"].tolist() == [4, 4]
    same = ica_stability(acts, base, restarts=2, contrast="cube", max_iter=4)
    assert not np.array_equal(other.arrays["centrotypes"], same.arrays["centrotypes"])


def test_runs_that_do_not_converge_are_said_and_kept(found):
    acts, base, _ = found
    result = ica_stability(acts, base, restarts=3, max_iter=1)
    assert row(result)["converged_runs"] == 0
    assert any("3 of 3 runs had not converged after 1 passes" in said for said in result.warnings)
    assert not result.tables["runs"]["converged"].any()


def test_rows_that_do_not_fit_are_a_sample(found):
    acts, base, _ = found
    result = ica_stability(acts, base, restarts=3, memory_gb=2_000 * 7 * 4 / 1e9)
    assert row(result)["rows"] == 2_000
    assert any("2,000 of 3,000 rows fit" in said for said in result.warnings)
    assert result.tables["axes"]["stable"][:3].all()


def test_one_seed_one_answer(found):
    acts, base, result = found
    again = ica_stability(acts.chunked(97), base, restarts=6)
    np.testing.assert_array_equal(result.arrays["centrotypes"], again.arrays["centrotypes"])
    other = ica_stability(acts, base, restarts=6, seed=5)
    assert not np.array_equal(result.arrays["quality"], other.arrays["quality"])
    assert other.tables["axes"]["stable"].tolist() == [True] * 3 + [False] * 4


def test_it_can_be_drawn(found):
    drawn = found[2].figures["stability"].to_dict()
    assert drawn["title"]["text"] == "3 of 7 axes are found again in 6 runs"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"restarts": 1}, "restarts ≥ 2"),
        ({"restarts": 3_000}, "use --restarts 2857 or fewer"),
        ({"threshold": 0.0}, "threshold"),
        ({"seed": -1}, "seed"),
        ({"memory_gb": 0.0}, "memory_gb=0 holds 0 rows"),
        ({"tol": 0.0}, "tol > 0"),
        ({"max_iter": 0}, "max_iter ≥ 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(found, settings, said):
    acts, base, _ = found
    with pytest.raises(InputError) as raised:
        ica_stability(acts, base, **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_base_of_other_rows_is_refused(found):
    acts, base, _ = found
    with pytest.raises(InputError, match="made of 3,000 rows, these are 100"):
        ica_stability(acts.take(slice(0, 100)), base)
    flat = Activations.of(np.ones((3_000, 7)))
    with pytest.raises(InputError, match="rows are too few for 7 axes"):
        ica_stability(flat, base, restarts=2, bootstrap="none")
    few = Activations.of(np.random.default_rng(0).exponential(size=(8, 6)))
    with pytest.raises(InputError, match="different rows are too few for 5 axes"):
        ica_stability(few, based(few, n_components=5), restarts=2)
