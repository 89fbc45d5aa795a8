"""Nearest neighbours against scikit-learn's brute force and numpy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

import actlas
from actlas.api.neighbours import Search

from .test_cli import call, fails
from .tiny import TEXTS

METRICS = ["cosine", "euclidean"]


def imported(store, tmp_path, matrix, name="x", **beside):
    np.savez(tmp_path / f"{name}.npz", **{name: matrix, **beside})
    return store.import_matrix(tmp_path / f"{name}.npz")


def exact(matrix, vector, metric):
    """Scores of all rows in float64, higher is nearer; −∞ for those that have none."""
    wide, vector = matrix.astype(np.float64), vector.astype(np.float64)
    with np.errstate(all="ignore"):
        if metric == "euclidean":
            scores = -np.square(wide - vector).sum(axis=1)
        else:
            norms = np.sqrt(np.square(wide).sum(axis=1)) * np.sqrt(np.square(vector).sum())
            scores = (wide * vector).sum(axis=1) / norms
    return np.where(np.isfinite(scores), scores, -np.inf)


def best(scores, k, without=()):
    scores = scores.copy()
    scores[list(without)] = -np.inf
    order = np.argsort(-scores, kind="stable")[:k]
    return order[scores[order] > -np.inf].tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_as_scikit_learn(store, tmp_path, metric):
    matrix = np.random.default_rng(0).standard_normal((700, 24)).astype(np.float32)
    imported(store, tmp_path, matrix)
    brute = NearestNeighbors(n_neighbors=8, algorithm="brute", metric=metric)
    distance, index = brute.fit(matrix.astype(np.float64)).kneighbors(
        matrix[[3, 699]].astype(np.float64)
    )
    found = store.near(rows=[3, -1], site="x", k=8, metric=metric, keep_self=True)
    assert [h.row for h in found] == index.ravel().tolist()
    assert [h.query for h in found] == [3] * 8 + [699] * 8
    values = np.array([h.value for h in found])
    want = 1 - distance if metric == "cosine" else distance
    np.testing.assert_allclose(values, want.ravel(), atol=1e-7)
    without = store.near(3, "x", 7, metric)
    assert [h.row for h in without] == index[0, 1:].tolist()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS), k=st.integers(1, 12))
def test_any_numbers_in_any_blocks(data, metric, k):
    """The size of blocks does not matter, whatever the numbers: tiny, huge, tied, not finite."""
    rows, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 5))
    numbers = st.sampled_from(
        [0.0, 1.0, -1.0, 1 + 2.0**-23, 3.0, 1e-30, -1e-38, 1e30, -3e38, np.nan, np.inf]
    ) | st.floats(width=32)
    matrix = data.draw(arrays(np.float32, (rows, width), elements=numbers))
    vector = data.draw(
        arrays(np.float32, (width,), elements=st.floats(-(2.0**100), 2.0**100, width=32)).filter(
            np.any
        )
    )
    search = Search(vector[None].astype(np.float64), k, metric)
    step = data.draw(st.integers(1, rows))
    for start in range(0, rows, step):
        search.update(matrix[start : start + step], start)
    scores = exact(matrix, vector, metric)
    rows = [row for _, row in search.ranked()[0]]
    want = best(scores, k)
    assert len(set(rows)) == len(rows) == len(want)
    np.testing.assert_allclose(scores[rows], scores[want], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("metric", METRICS)
def test_what_float32_cannot_tell_apart(metric):
    """Rows that differ by less than float32 sums can resolve are still in their order."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal(768).astype(np.float32) * 100
    steps = rng.integers(-2, 3, (500, 768)).astype(np.float32)
    matrix = (base * (1 + steps * np.float32(2**-16))).astype(np.float32)
    search = Search(base[None].astype(np.float64), 20, metric)
    for start in range(0, 500, 128):
        search.update(matrix[start : start + 128], start)
    want = best(exact(matrix, base, metric), 20)
    assert [row for _, row in search.ranked()[0]] == want
    in_float32 = matrix @ base
    assert np.argsort(-in_float32, kind="stable")[:20].tolist() != want


def test_most_rows_are_ruled_out_in_float32(monkeypatch):
    matrix = np.random.default_rng(0).standard_normal((4000, 64)).astype(np.float32)
    decided = []
    original = Search._exact
    monkeypatch.setattr(
        Search, "_exact", lambda s, q, rows: decided.append(len(rows)) or original(s, q, rows)
    )
    search = Search(matrix[:1].astype(np.float64), 10, "cosine")
    search.update(matrix, 0)
    assert sum(decided) < 30


def test_equal_rows_come_by_number(sqlite_store, tmp_path):
    matrix = np.tile(np.array([[1.0, 2.0], [2.0, 1.0]], np.float32), (50, 1))
    imported(sqlite_store, tmp_path, matrix)
    for metric in METRICS:
        found = sqlite_store.near(4, "x", 6, metric)
        assert [h.row for h in found] == [0, 2, 6, 8, 10, 12]


def test_zero_and_nan_rows(sqlite_store, tmp_path):
    matrix = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    matrix[3], matrix[4, 1], matrix[5, 0] = 0, np.nan, np.inf
    imported(sqlite_store, tmp_path, matrix)
    cosine = sqlite_store.near(0, "x", 100)
    assert {h.row for h in cosine} == set(range(20)) - {0, 3, 4, 5}
    assert cosine.notes == (
        "2 rows with NaN or infinity left out", "1 zero row without a direction left out",
    )  # fmt: skip
    distance = sqlite_store.near(0, "x", 100, "euclidean")
    assert 3 in {h.row for h in distance}
    assert distance.notes == ("2 rows with NaN or infinity left out",)
    with pytest.raises(actlas.InputError, match="row 3 is zero"):
        sqlite_store.near(3, "x")
    with pytest.raises(actlas.InputError, match="row 4 holds NaN"):
        sqlite_store.near(4, "x", metric="euclidean")


def test_vectors(sqlite_store, tmp_path):
    matrix = np.eye(4, dtype=np.float32)
    imported(sqlite_store, tmp_path, matrix)
    assert sqlite_store.near([0, 0, 1, 0.5], "x", 2)[0].row == 2
    several = sqlite_store.near(np.array([[0, 1.0, 0, 0], [2, 0, 0, 1]]), "x", 1)
    assert [(h.query, h.row) for h in several] == [(0, 1), (1, 0)]
    with pytest.raises(actlas.InputError, match="a query has 3 numbers and a row of x 4"):
        sqlite_store.near([1.0, 2.0, 3.0], "x")
    with pytest.raises(actlas.InputError, match="vector 0 holds NaN"):
        sqlite_store.near([1.0, 2.0, 3.0, np.nan], "x")


def test_other_samples_and_other_sites(sqlite_store, tmp_path):
    matrix = np.random.default_rng(2).standard_normal((60, 4)).astype(np.float32)
    sample = np.arange(60) // 6
    noise = matrix + np.float32(0.01)
    np.savez(tmp_path / "x.npz", **{"a": matrix, "b": noise, "rows/sample": sample})
    sqlite_store.import_matrix(tmp_path / "x.npz")
    scores = exact(matrix, matrix[8], "cosine")
    found = sqlite_store.near(8, "a", 9, other_samples=True)
    assert [h.row for h in found] == best(scores, 9, range(6, 12))
    assert [h.sample for h in found] == [h.row // 6 for h in found]
    across = sqlite_store.near(8, "a", 1, other="b")
    assert (across.site, across[0].row) == ("b", 8)  # another site: the row itself is an answer
    small = imported(sqlite_store, tmp_path, np.eye(3), "c")
    with pytest.raises(actlas.InputError, match="only vectors of one width"):
        sqlite_store.near(8, "a", other=f"{small.id}:c", extraction=1)


def test_errors(sqlite_store, tmp_path):
    imported(sqlite_store, tmp_path, np.eye(3))
    for message, options in {
        "no row 3; it has 0…2": {"row": 3},
        "no row to be near to": {"rows": []},
        "no metric 'dot'": {"row": 0, "metric": "dot"},
        "use 1 or more": {"row": 0, "k": 0},
    }.items():
        with pytest.raises(actlas.InputError, match=message):
            sqlite_store.near(site="x", **options)
    with pytest.raises(actlas.SiteError, match="no site 'y'"):
        sqlite_store.near(0, "y")


def test_command(sqlite_store, tiny):
    extraction = sqlite_store.extract(tiny("bert"), actlas.Dataset.of(TEXTS), "layers.0")
    acts = extraction.activations("layers.0").numpy()
    url = sqlite_store.url
    done = call("near", "--row", 3, "--site", "layers.0", "-k", 4, "--store", url, "--json")
    rows = [hit["row"] for hit in done.json["hits"]]
    assert rows == best(exact(acts, acts[3], "cosine"), 4, [3])
    table = call(
        "near", "--row", "3,4", "--site", "layers.0", "--metric", "euclidean", "--store", url
    )
    assert table.status == 0
    assert "exact, by a scan" in table.err
    assert "no row 9999" in fails("near", "--row", 9999, "--site", "layers.0", "--store", url)
