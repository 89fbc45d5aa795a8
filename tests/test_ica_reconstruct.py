"""`ica_reconstruct` against rows made again one by one, closed forms and planted sparsity."""

import numpy as np
import pytest

from actlas import Activations, InputError, Rows
from actlas.plugins.ica import Axes, ica, ica_reconstruct, restore, transform
from actlas.testing import checks


@pytest.mark.parametrize("check", checks(ica_reconstruct, sample=40, keep=2), ids=repr)
def test_conformance(check):
    check()


@pytest.fixture(scope="module")
def sparse():
    """Eight sparse sources mixed, and their `ica`."""
    rng = np.random.default_rng(0)
    S = rng.exponential(size=(1_500, 8)) * (rng.random((1_500, 8)) < 0.1)
    acts = Activations.of((S @ rng.standard_normal((8, 8)) + 3).astype(np.float32))
    return acts, ica(acts, restarts=0)


def at(result, basis, mode, p):
    (row,) = (
        row for row in result.tables["curves"]
        if (row["basis"], row["mode"], row["p"]) == (basis, mode, p)
    )  # fmt: skip
    return row


@pytest.mark.parametrize("p", [1, 3])
@pytest.mark.parametrize("by", ["energy", "length"])
def test_rows_are_made_of_their_highest_axes_or_of_all_others(sparse, p, by):
    acts, base = sparse
    result = ica_reconstruct(acts, base, keep=3, by=by, sample=10_000)
    X = acts.numpy().astype(float)
    S = transform(base, X)
    size = np.linalg.norm(base.arrays["writing"], axis=0) if by == "length" else np.ones(8)
    for mode in ("keep", "ablate"):
        part = np.zeros_like(S)
        for i in range(len(S)):
            order = sorted(range(8), key=lambda j: -abs(S[i, j]) * size[j])
            chosen = order[:p] if mode == "keep" else order[p:]
            part[i, chosen] = S[i, chosen]
        errors = ((X - restore(base, part)) ** 2).sum(axis=1)
        lengths = ((X - base.arrays["mean"]) ** 2).sum(axis=1)
        found = at(result, "ica", mode, p)
        assert found["explained_variance"] == pytest.approx(1 - errors.sum() / lengths.sum())
        assert found["relative_error"] == pytest.approx(np.sqrt(errors / lengths).mean())
        if p == 3:
            rows = result.tables["rows"]
            np.testing.assert_array_equal(rows["row"], range(1_500))
            name = "kept" if mode == "keep" else "ablated"
            np.testing.assert_allclose(rows[name], 1 - errors / lengths, atol=1e-9)
            said = next(iter(result.tables["summary"]))
            assert said[name] == pytest.approx(found["explained_variance"])
            assert said[f"{name}_error"] == pytest.approx(found["relative_error"])
    share = (part**2).sum(axis=1) / (S**2).sum(axis=1)  # of what is left when 3 are taken
    if p == 3:
        np.testing.assert_allclose(rows["energy"], 1 - share, atol=1e-9)
        assert said["energy"] == pytest.approx(1 - share.mean())
        np.testing.assert_array_equal(rows["axis"], (np.abs(S) * size).argmax(axis=1))


def test_all_axes_make_the_whole_row_and_none_the_mean(sparse):
    acts, base = sparse
    result = ica_reconstruct(acts, base, sample=300)
    for basis in ("ica", "pca", "random", "raw"):
        for mode, share in (("keep", 1.0), ("ablate", 0.0)):
            found = at(result, basis, mode, 8)
            assert found["explained_variance"] == pytest.approx(share, abs=1e-4)
            assert found["relative_error"] == pytest.approx(1 - share, abs=1e-4)
    assert at(result, "ica", "keep", 8)["explained_variance"] == pytest.approx(1, abs=1e-12)


def test_components_that_the_fit_left_out_are_lost(sparse):
    acts, _ = sparse
    base = ica(acts, n_components=5, restarts=0)
    result = ica_reconstruct(acts, base, sample=1_500)
    share = base.tables["axes"]["variance_share"].sum()
    for basis in ("ica", "pca", "random"):
        assert at(result, basis, "keep", 5)["explained_variance"] == pytest.approx(share)
    assert at(result, "raw", "keep", 8)["explained_variance"] == pytest.approx(1)


def test_what_is_kept_and_what_is_ablated_of_orthogonal_axes_are_the_whole(sparse):
    acts, base = sparse
    result = ica_reconstruct(acts, base, by="length", sample=1_500)
    variances = base.arrays["variances"]
    for p in (1, 2, 5):
        kept, ablated = (at(result, "pca", m, p)["explained_variance"] for m in ("keep", "ablate"))
        assert kept + ablated == pytest.approx(1)
        assert kept >= variances[:p].sum() / variances.sum()  # the same axes for every row
        assert kept >= at(result, "pca", "keep", p)["explained_variance"]
    raw = at(result, "raw", "keep", 2)["explained_variance"]
    centred = (acts.numpy() - base.arrays["mean"]) ** 2
    assert raw == pytest.approx(np.sort(centred)[:, -2:].sum() / centred.sum(), rel=1e-6)


def test_few_axes_of_sparse_sources_keep_more_of_a_row_than_others(sparse):
    acts, base = sparse
    result = ica_reconstruct(acts, base, keep=2)
    for other in ("pca", "random"):
        for p in (1, 2):
            ours, theirs = (at(result, b, "keep", p) for b in ("ica", other))
            assert ours["explained_variance"] > 1.2 * theirs["explained_variance"]
            assert ours["relative_error"] < theirs["relative_error"]


def test_random_axes_are_those_of_the_seed(sparse):
    acts, base = sparse
    result = ica_reconstruct(acts, base, keep=1, sample=10_000, seed=4)
    X, random = acts.numpy().astype(float), Axes.of(base, "random", 4)
    S = random.exact(X)
    highest = np.abs(S).argmax(axis=1)
    writing = np.linalg.pinv(random.reading)  # (width, k)
    again = writing[:, highest].T * S[np.arange(len(S)), highest][:, None]
    centred = X - base.arrays["mean"]
    wanted = 1 - ((centred - again) ** 2).sum() / (centred**2).sum()
    assert at(result, "random", "keep", 1)["explained_variance"] == pytest.approx(wanted)


def named(X, tokens):
    return Activations.of(X, rows=Rows.build(np.arange(len(X)), token=tokens))


def test_tokens_that_counted_once_in_the_fit_do_so_here(sparse):
    X = sparse[0].numpy()[:300]
    times = np.random.default_rng(0).integers(1, 4, len(X))
    names = [f"t{i}" for i in range(300)]
    acts = named(np.repeat(X, times, axis=0), np.repeat(names, times).tolist())
    base = ica(acts, weighting="token", restarts=0)
    many = ica_reconstruct(acts, base, sample=10_000)
    once = ica_reconstruct(named(X, names), base, sample=10_000)
    for p in (1, 2, 8):
        for name in ("explained_variance", "relative_error"):
            assert at(many, "ica", "keep", p)[name] == pytest.approx(
                at(once, "ica", "keep", p)[name]
            )


def test_rows_keep_their_numbers_and_those_far_out_are_left_out(sparse):
    X = sparse[0].numpy()[:500].copy()
    X[7] = 1e4
    acts = named(X, [f"t{i}" for i in range(500)])
    base = ica(acts, outlier_norm=5.0, restarts=0)
    part = ica_reconstruct(acts, base, sample=400)
    rows = part.tables["rows"]
    assert len(rows) == 400
    assert 7 not in rows["row"]
    assert all(row["token"] == f"t{row['row']}" for row in rows)
    centred = transform(base, X[rows["row"]])
    np.testing.assert_array_equal(rows["axis"], np.abs(centred).argmax(axis=1))
    other = ica_reconstruct(acts, base, sample=400, seed=1).tables["rows"]["row"]
    assert other.tolist() != rows["row"].tolist()


def test_rows_that_were_divided_by_their_length_are_so_here(sparse):
    acts, _ = sparse
    base = ica(acts, normalise=True, restarts=0)
    found = ica_reconstruct(Activations.of(7 * acts.numpy()), base, sample=200)
    assert at(found, "ica", "keep", 8)["explained_variance"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("settings", [{"keep": 0}, {"sample": 0}, {"seed": -1}])
def test_what_cannot_be_done_is_said_in_a_line(sparse, settings):
    with pytest.raises(InputError, match="keep ≥ 1, sample ≥ 1"):
        ica_reconstruct(*sparse, **settings)


def test_more_axes_than_there_are_is_all_of_them(sparse):
    said = next(iter(ica_reconstruct(*sparse, keep=100).tables["summary"]))
    assert said["keep"] == said["axes"] == 8
    assert said["kept"] == pytest.approx(1)
