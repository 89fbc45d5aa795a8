"""The rows with the extreme values of a unit: from the index, from a scan, always exact."""

import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import actlas
from actlas.core.tops import TOP_K

from .test_cli import call, fails
from .tiny import TEXTS

ROWS, WIDTH = 500, 6


def ranked(column, k=None, low=False, threshold=None):
    """Rows by rising or falling value, equal ones by number: by numpy alone."""
    column = column.astype(np.float64)
    keep = ~np.isnan(column) & (column < np.inf if low else column > -np.inf)
    if threshold is not None:
        keep &= column <= threshold if low else column >= threshold
    rows = np.flatnonzero(keep)
    order = np.argsort(column[rows] if low else -column[rows], kind="stable")
    return rows[order][:k].tolist()


def rows_of(found):
    return [hit.row for hit in found]


@pytest.fixture
def matrix():
    """Numbers with many ties, NaN and both infinities."""
    made = np.random.default_rng(0).integers(-40, 40, (ROWS, WIDTH)).astype(np.float32) / 4
    made[::50, 1] = np.nan
    made[3:9, 2], made[20:30, 2] = np.inf, -np.inf
    made[5:-5, 3] = -np.inf  # fewer finite rows than the index has room for
    made[:, 4] = np.nan
    return made


@pytest.fixture
def filled(sqlite_store, matrix, tmp_path):
    """A store with the matrix at the site `x`."""
    np.save(tmp_path / "x.npy", matrix)
    sqlite_store.import_matrix(tmp_path / "x.npy")
    return sqlite_store


def execute(store, statement):
    """Change a SQLite store behind actlas's back."""
    with sqlite3.connect(store.database.backend.path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("low", [False, True])
def test_as_numpy_ranks(filled, matrix, low):
    end = "low" if low else "high"
    for unit in range(WIDTH):
        for k in (1, 20, TOP_K):
            found = filled.top("x", unit, k, end=end)
            assert rows_of(found) == ranked(matrix[:, unit], k, low), (unit, k)
            assert found.source == "index"
            assert [h.value for h in found] == matrix[rows_of(found), unit].tolist()
            assert {h.unit for h in found} <= {unit}


@pytest.mark.parametrize("low", [False, True])
def test_more_than_the_index_has_is_scanned(filled, matrix, low):
    found = filled.top("x", 0, TOP_K + 1, end="low" if low else "high")
    assert (found.source, rows_of(found)) == ("scan", ranked(matrix[:, 0], TOP_K + 1, low))
    few = filled.top("x", 3, ROWS, end="high")  # the index holds all the rows there are
    assert (few.source, rows_of(few)) == ("index", ranked(matrix[:, 3]))
    assert len(few) == 10


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("threshold", [9.75, 9.0, 0.0, -9.0, 100.0, -100.0, np.inf, -np.inf])
def test_threshold(filled, matrix, threshold, low):
    end = "low" if low else "high"
    for unit in range(WIDTH):
        whole = filled.top("x", unit, end=end, threshold=threshold)
        assert rows_of(whole) == ranked(matrix[:, unit], None, low, threshold), unit
        assert whole.source == "index" or len(whole) >= TOP_K
        some = filled.top("x", unit, 5, end=end, threshold=threshold)
        assert (some.source, rows_of(some)) == ("index", rows_of(whole)[:5])


def test_threshold_between_two_float32_numbers(sqlite_store, tmp_path):
    below, above = np.float32(0.1), np.nextafter(np.float32(0.1), np.float32(1))
    np.save(tmp_path / "x.npy", np.array([[below], [above]], np.float32))
    sqlite_store.import_matrix(tmp_path / "x.npy")
    middle = (float(below) + float(above)) / 2
    assert rows_of(sqlite_store.top("x", 0, threshold=middle)) == [1]
    assert rows_of(sqlite_store.top("x", 0, threshold=middle, end="low")) == [0]


def test_several_units_and_units_from_the_end(filled, matrix):
    found = filled.top("x", [0, -1], 3)
    assert [(h.unit, h.row) for h in found] == [
        (unit, row) for unit in (0, WIDTH - 1) for row in ranked(matrix[:, unit], 3)
    ]
    scanned = filled.top("x", [0, -1], 70)
    assert rows_of(scanned) == ranked(matrix[:, 0], 70) + ranked(matrix[:, -1], 70)
    assert len(filled.top("x", 0)) == 20


def test_the_index_alone_is_read(filled, matrix):
    execute(filled, "UPDATE payloads SET data = x'' WHERE id IN (SELECT data_id FROM chunks)")
    assert rows_of(filled.top("x", 0, 64)) == ranked(matrix[:, 0], 64)
    with pytest.raises(actlas.CorruptError, match="lost bytes"):
        filled.top("x", 0, 65)


def test_without_an_index_there_is_a_scan(filled, matrix):
    execute(filled, "DELETE FROM top_indexes")
    found = filled.top("x", 1, 7)
    assert (found.source, rows_of(found)) == ("scan", ranked(matrix[:, 1], 7))


def test_a_damaged_index_is_said(filled):
    execute(
        filled, "UPDATE payloads SET data = x'00' WHERE id IN (SELECT data_id FROM top_indexes)"
    )
    with pytest.raises(actlas.CorruptError, match="index"):
        filled.top("x", 0)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=arrays(np.float16, st.tuples(st.integers(1, 200), st.just(2))),
    k=st.integers(1, 210),
    low=st.booleans(),
)
def test_any_numbers(tmp_path_factory, values, k, low):
    folder = tmp_path_factory.mktemp("any")
    np.save(folder / "x.npy", values)
    with actlas.open(f"sqlite:///{folder}/s.db") as store:
        store.import_matrix(folder / "x.npy")
        for unit in range(2):
            found = store.top("x", unit, k, end="low" if low else "high")
            assert rows_of(found) == ranked(values[:, unit], k, low)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_values_are_the_stored_ones(sqlite_store, tmp_path, dtype):
    given_ = np.random.default_rng(1).standard_normal((300, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", given_)
    stored = sqlite_store.import_matrix(tmp_path / "x.npy", dtype=dtype).activations("x").numpy()
    assert (dtype == "float32") == np.array_equal(stored, given_)
    for unit in (0, 31):
        for k in (TOP_K, TOP_K + 1):
            found = sqlite_store.top("x", unit, k)
            assert rows_of(found) == ranked(stored[:, unit], k)
            assert [h.value for h in found] == stored[rows_of(found), unit].tolist()


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_are_merged(store, tiny, shards):
    texts = actlas.Dataset.of([f"{text} {i}" for i in range(5) for text in TEXTS])
    for shard in range(1, shards + 1):
        store.extract(tiny("gpt2"), texts, "layers.1", shard=(shard, shards))
    acts = store.extraction().activations("layers.1").numpy()
    assert len(acts) > 2 * TOP_K * shards
    sources = set()
    for unit in (0, 7, 15):
        for k in (20, TOP_K, TOP_K + 30, 3 * TOP_K):
            for low in (False, True):
                found = store.top("layers.1", unit, k, end="low" if low else "high")
                assert rows_of(found) == ranked(acts[:, unit], k, low)
                sources.add((k, found.source))
    assert {(20, "index"), (TOP_K, "index"), (3 * TOP_K, "scan")} <= sources


def test_tokens_in_their_texts(sqlite_store, tiny):
    texts = actlas.Dataset.of(TEXTS)
    extraction = sqlite_store.extract(tiny("bert"), texts, "layers.0")
    rows = extraction.rows
    found = sqlite_store.top("layers.0", 3, 64, extraction=extraction)
    assert any(hit.start is None for hit in found)
    for hit in found:
        row = rows[hit.row]
        assert (hit.sample, hit.position, hit.token) == (row.sample, row.position, row.token)
        assert (hit.start, hit.end, hit.text) == (row.start, row.end, TEXTS[row.sample])
        inside = "" if hit.start is None else TEXTS[hit.sample][hit.start : hit.end]
        assert (f"«{inside}»" if inside else TEXTS[hit.sample]) in hit.marked
        assert hit.marked.replace("«", "").replace("»", "") == hit.text


def test_a_long_text_is_cut_around_the_token(sqlite_store, tmp_path):
    words = [f"w{i}" for i in range(200)]
    np.savez(tmp_path / "x.npz", **{"x": np.arange(200.0)[:, None], "rows/token": words,
             "rows/sample": np.zeros(200, int)})  # fmt: skip
    sqlite_store.import_matrix(tmp_path / "x.npz")
    first, second = sqlite_store.top("x", 0, 2)
    assert first.marked.endswith(" w198 «w199»")
    assert first.shown.startswith("…")
    assert first.shown.endswith("«w199»")
    assert len(first.shown) < 150
    middle = sqlite_store.top("x", 0, threshold=100, end="low")[0]
    assert middle.shown.startswith("«w0» w1")
    assert "«w198» w199" in second.shown


def test_errors(filled, tmp_path):
    with pytest.raises(actlas.InputError, match="no unit 6; it has 0…5"):
        filled.top("x", 6)
    with pytest.raises(actlas.InputError, match="no unit -7"):
        filled.top("x", -7)
    with pytest.raises(actlas.SiteError, match="no site 'y'; there is x"):
        filled.top("y", 0)
    with pytest.raises(actlas.InputError, match="use 1 or more"):
        filled.top("x", 0, 0)
    with pytest.raises(actlas.InputError, match="NaN is no threshold"):
        filled.top("x", 0, threshold=float("nan"))
    with pytest.raises(actlas.InputError, match="no extraction 7; there is 1"):
        filled.top("x", 0, extraction=7)
    with pytest.raises(actlas.InputError, match="there is high, low"):
        filled.top("x", 0, end="top")
    with pytest.raises(actlas.InputError, match="no unit; name one"):
        filled.top("x", [])
    execute(filled, "UPDATE activations SET complete = 0")
    with pytest.raises(actlas.InputError, match="not complete; run the same"):
        filled.top("x", 0)
    with (
        actlas.open(f"sqlite:///{tmp_path}/empty.db") as empty,
        pytest.raises(actlas.InputError, match="has no extraction"),
    ):
        empty.top("x", 0)


def test_one_of_several_sites(sqlite_store, tmp_path):
    np.savez(tmp_path / "x.npz", **{"layers.0": np.eye(3), "layers.1": 2 * np.eye(3)})
    sqlite_store.import_matrix(tmp_path / "x.npz")
    assert sqlite_store.top("layers.-1", 0)[0].value == 2
    with pytest.raises(actlas.InputError, match="names 2 sites"):
        sqlite_store.top("layers.*", 0)


def test_command(filled, matrix):
    url = filled.url
    done = call("top", "--site", "x", "--unit", "0,5", "-k", 3, "--store", url)
    assert done.status == 0
    assert "exact from index; x of extraction 1" in done.err
    assert "x: row" in done.out
    found = call("top", "--site", "x", "--unit", -1, "--low", "-k", 70, "--store", url, "--json")
    assert [h["row"] for h in found.json["hits"]] == ranked(matrix[:, -1], 70, low=True)
    assert found.json["source"] == "scan"
    none = call("top", "--site", "x", "--unit", 0, "--threshold", 1e6, "--store", url)
    assert none.out.strip() == "no value reaches the threshold"
    assert "no unit 99" in fails("top", "--site", "x", "--unit", 99, "--store", url)
    wrong = call("top", "--site", "x", "--unit", "a", "--store", url)
    assert wrong.status == 2
    assert "whole number" in wrong.err
