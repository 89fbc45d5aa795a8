"""Runs and results: real tables, computed once, never half there."""

import io
import sys
import time
from dataclasses import dataclass, make_dataclass
from typing import Annotated

import numpy as np
import pytest
import sqlalchemy as sa

import actlas
from actlas.api import remove
from actlas.storage import results
from actlas.storage.tables import Array

from .tiny import TEXTS

LABELS = {"kind": list("ababa"), "topic": list("xxyyx")}


@dataclass(frozen=True)
class Summary:
    """One site."""

    mean: Annotated[float, "mean of all entries"]
    least: Annotated[float | None, "smallest entry, where there is one"]
    n: Annotated[int, "rows"]
    name: Annotated[str, "the site"]
    wide: Annotated[bool, "whether there are more columns than rows"]


@dataclass(frozen=True)
class Norm:
    """One row."""

    norm: Annotated[float, "Euclidean norm"]


CALLS = []


@actlas.analysis(version=1, tables={"summary": Summary, "norms": Norm}, arrays={"axis": "(width,)"})
def tally(
    acts: actlas.Activations,
    *,
    scale: Annotated[float, "times"] = 1.0,
    seed: Annotated[int, "seed"] = 0,
) -> actlas.Result:
    """Count."""
    CALLS.append(acts.site)
    matrix = acts.numpy() * scale
    summary = Summary(float(matrix.mean()), None, len(acts), acts.site, acts.width > len(acts))
    norms = {"norm": np.linalg.norm(matrix, axis=1)}
    return actlas.Result({"summary": summary, "norms": norms}, {"axis": matrix[0]})


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


@pytest.fixture
def filled(tiny, store):
    store.extract(
        tiny("gpt2"), actlas.Dataset.of(TEXTS, labels=LABELS), ["embed", "layers.1"],
        pooling="mean", dtype="float32",
    )  # fmt: skip
    return store


def row_type(name="Row", **columns):
    """A row type made on the spot: column=type."""
    fields = [(c, Annotated[kind, f"the {c}"]) for c, kind in columns.items()]
    return make_dataclass(name, fields, frozen=True, namespace={"__doc__": "One row."})


def table_analysis(name, tables, *, version=1, arrays=None):
    """An analysis that gives stated tables: {table: (row type, {column: values})}."""

    @actlas.analysis(
        version=version,
        name=name,
        tables={t: kind for t, (kind, _) in tables.items()},
        arrays=dict.fromkeys(arrays or {}, "something"),
    )
    def found(acts: actlas.Activations) -> actlas.Result:
        """Give what was stated."""
        return actlas.Result({t: values for t, (_, values) in tables.items()}, arrays or {})

    return found


def column_types(store, table):
    columns = sa.inspect(store.database.engine).get_columns(table)
    return {c["name"]: str(c["type"]) for c in columns}


def table_names(store):
    return set(store.database.sizes())


def test_results_are_tables_with_typed_columns(filled):
    filled.run(tally)
    assert column_types(filled, "tally_summary") == {
        "run_id": "BIGINT", "item": "BIGINT", "n": "BIGINT", "name": "TEXT", "wide": "BOOLEAN",
        "mean": "DOUBLE" if filled.url.startswith("sqlite") else "DOUBLE PRECISION",
        "least": "DOUBLE" if filled.url.startswith("sqlite") else "DOUBLE PRECISION",
    }  # fmt: skip
    key = sa.inspect(filled.database.engine).get_pk_constraint("tally_norms")
    assert key["constrained_columns"] == ["run_id", "item"]
    found = filled.sql(
        "SELECT r.site, s.name, s.n, s.mean, count(*) AS items, max(t.item) AS last FROM runs r "
        "JOIN tally_summary s ON s.run_id = r.id JOIN tally_norms t ON t.run_id = r.id "
        "GROUP BY r.site, s.name, s.n, s.mean ORDER BY r.site"
    )
    assert found["site"].tolist() == found["name"].tolist() == ["embed", "layers.1"]
    assert found["n"].tolist() == found["items"].tolist() == [5, 5]
    assert found["last"].tolist() == [4, 4]
    catalog = filled.sql("SELECT * FROM result_tables ORDER BY sql_name")
    assert catalog["sql_name"].tolist() == ["tally_norms", "tally_summary"]
    assert catalog["analysis"].tolist() == ["tally", "tally"]


def test_a_result_reads_back_as_it_was_given(filled):
    (run,) = filled.run(tally, sites="embed", scale=2.0)
    matrix = filled.extraction().activations("embed").numpy() * 2.0
    result = filled.result(run.id).result
    (row,) = result.tables["summary"]
    expected = {"mean": float(matrix.mean()), "n": 5, "name": "embed", "wide": True}
    assert np.isnan(row.pop("least"))
    assert row == expected
    assert [type(row[c]) for c in expected] == [float, int, str, bool]
    norms = result.tables["norms"]["norm"]
    assert norms.dtype == np.float64
    np.testing.assert_array_equal(norms, np.linalg.norm(matrix, axis=1).astype(np.float64))
    np.testing.assert_array_equal(result.arrays["axis"], matrix[0])
    record = filled.result(run.id).record
    assert (record.analysis, record.version, record.status) == ("tally", 1, "done")
    assert record.parameters == {"scale": 2.0, "seed": 0}
    assert record.versions["actlas"]


def test_every_kind_of_value_round_trips(filled):
    values = {
        "f": [0.1, -1e300, 5e-324, float("nan")],
        "g": [1.0, None, 2.0, None],
        "i": [0, -1, 2**62, 7],
        "j": [1, None, 3, None],
        "s": ["", "naïve 🍰", "a'b\"c\n\t", "%s {x} :y"],
        "t": ["x", None, None, "y"],
        "b": [True, False, True, False],
        "c": [None, True, False, None],
    }
    kinds = {
        "f": float | None, "g": float | None, "i": int, "j": int | None, "s": str, "t": str | None,
        "b": bool, "c": bool | None,
    }  # fmt: skip
    (run,) = filled.run(
        table_analysis("kinds", {"all": (row_type(**kinds), values)}), sites="embed"
    )
    table = filled.result(run.id).result.tables["all"]
    for name, column in values.items():
        given = [None if v is None or v != v else v for v in column]
        read = [None if v is None or v != v else v for v in table[name].tolist()]
        assert read == given, name
    assert filled.sql("SELECT f IS NULL AS x FROM kinds_all ORDER BY item")["x"].tolist() == [
        0, 0, 0, 1,
    ]  # fmt: skip


def test_a_table_without_rows(filled):
    empty = {"n": [], "s": [], "f": []}
    kind = row_type(n=int, s=str, f=float)
    (run,) = filled.run(table_analysis("empty", {"all": (kind, empty)}), sites="embed")
    assert len(filled.result(run.id).result.tables["all"]) == 0


def test_a_table_with_many_rows_keeps_their_order(filled):
    order = np.random.default_rng(0).permutation(5000)
    analysis = table_analysis("many", {"all": (row_type(n=int), {"n": order})})
    (run,) = filled.run(analysis, sites="embed")
    np.testing.assert_array_equal(filled.result(run.id).result.tables["all"]["n"], order)


def test_the_same_key_is_computed_once(filled):
    first = filled.run(tally)
    sizes = filled.database.sizes()
    again = filled.run(tally)
    assert CALLS == ["embed", "layers.1"]
    assert [r.id for r in again] == [r.id for r in first]
    assert [r.reused for r in first + again] == [False, False, True, True]
    assert filled.database.sizes() == sizes
    one_more = filled.run(tally, sites=["layers.1", "embed"])
    assert all(r.reused for r in one_more)


def test_force_replaces(filled):
    old = filled.run(tally)
    sizes = filled.database.sizes()
    new = filled.run(tally, force=True)
    assert len(CALLS) == 4
    assert not {r.id for r in old} & {r.id for r in new}
    assert filled.database.sizes() == sizes
    assert set(filled.sql("SELECT run_id FROM tally_norms")["run_id"]) == {r.id for r in new}
    assert filled.run(tally)[0].id == new[0].id


def test_what_a_run_depends_on(tiny, filled):
    extraction = filled.extraction()

    @actlas.analysis(version=1)
    def compare(
        acts: actlas.Activations,
        other: actlas.Activations,
        labels: actlas.Labels,
        *,
        k: Annotated[int, "neighbours"] = 3,
    ) -> actlas.Result:
        """Compare."""
        return actlas.Result()

    newer = actlas.analysis(version=2, name="compare")(compare.function)
    plain = {"sites": "embed", "other": "layers.1", "labels": "kind"}
    variants = [
        {}, {"k": 4}, {"seed": 1}, {"groups": "kind"}, {"groups": "topic"}, {"labels": "topic"},
        {"nonfinite": "drop"}, {"nonfinite": "keep"}, {"other": "embed"}, {"sites": "layers.1"},
    ]  # fmt: skip
    for _ in range(2):
        for variant in variants:
            filled.run(compare, extraction, **(plain | variant))
        filled.run(newer, extraction, **plain)
    assert filled.database.sizes()["runs"] == len(variants) + 1

    (same,) = filled.run(compare, extraction, **plain | {"other": f"{extraction.id}:layers.1"})
    assert same.reused
    (same,) = filled.run(compare, extraction, **plain, device="cpu")
    assert same.reused

    changed = LABELS | {"kind": list("abbba")}
    texts = actlas.Dataset.of(TEXTS, labels=changed)
    filled.extract(tiny("gpt2"), texts, ["embed"], pooling="mean", dtype="float32")
    (run,) = filled.run(compare, extraction, **plain)
    assert not run.reused  # its labels have changed
    (run,) = filled.run(compare, extraction, **plain | {"labels": "topic"})
    assert run.reused  # these have not

    second = filled.extract(tiny("gpt2"), texts, ["embed", "layers.1"], pooling="first")
    (run,) = filled.run(compare, second, **plain)
    assert not run.reused


def test_a_run_builds_on_the_newest_of_its_site_or_those_named(tiny, filled):
    extraction = filled.extraction()

    @actlas.analysis(version=1, arrays={"mean": "(width,) mean"})
    def centre(acts: actlas.Activations, *, plus: Annotated[int, "added"] = 0) -> actlas.Result:
        """Find the mean."""
        return actlas.Result(arrays={"mean": acts.numpy().mean(axis=0) + plus})

    @actlas.analysis(version=1, base="centre", tables={"seen": row_type(site=str, plus=float)})
    def apart(
        acts: actlas.Activations, others: actlas.Others, base: actlas.Result
    ) -> actlas.Result:
        """Tell how far each site's base is from its mean."""
        pairs = [(acts.site, acts, base), *others]
        gaps = [(b.arrays["mean"] - a.numpy().mean(axis=0)).mean() for _, a, b in pairs]
        return actlas.Result({"seen": {"site": [p[0] for p in pairs], "plus": gaps}})

    def seen(**options):
        (run,) = filled.run(apart, extraction, sites="embed", **options)
        table = run.result.tables["seen"]
        return run, list(table["site"]), np.round(table["plus"]).tolist()

    elsewhere = filled.extract(tiny("gpt2"), actlas.Dataset.of(TEXTS), ["embed"], pooling="token")
    other = f"{elsewhere.id}:embed"
    with pytest.raises(actlas.InputError, match=r"no run of centre at embed.*actlas run centre"):
        seen(other="layers.1")
    (first,) = filled.run(centre, extraction, "embed", plus=3)
    filled.run(centre, extraction, "layers.1", plus=1)
    filled.run(centre, elsewhere, "embed", plus=2)
    run, names, pluses = seen(other=["layers.1", other])
    assert (names, pluses) == (["embed", "layers.1", other], [3, 1, 2])
    assert seen(other=["layers.1", other])[0].reused
    filled.run(centre, extraction, "embed", plus=7)
    assert seen(other="layers.1")[2] == [7, 1]
    assert seen(other="layers.1", base=first.id)[2] == [3, 1]
    with pytest.raises(actlas.InputError, match="is of apart; --base takes runs of centre"):
        seen(other="layers.1", base=run.id)
    with pytest.raises(actlas.InputError, match="builds on no other analysis"):
        filled.run(centre, extraction, base=first.id)
    with pytest.raises(actlas.InputError, match="name one with --other"):
        seen()


def test_a_run_that_is_only_beside_may_lack(filled):
    @actlas.analysis(version=1, arrays={"plus": "(1,) what is given"})
    def centre(
        acts: actlas.Activations, labels: actlas.Labels | None, *,
        plus: Annotated[int, "what"] = 0,
    ) -> actlas.Result:  # fmt: skip
        """Keep a number."""
        return actlas.Result(arrays={"plus": np.array([plus])})

    @actlas.analysis(version=1, beside="centre")
    def beside(
        acts: actlas.Activations, labels: actlas.Labels | None, base: actlas.Result | None
    ) -> actlas.Result:
        """Say what it is given."""
        return actlas.Result(warnings=[str(base and base.arrays["centre_plus"].tolist())])

    extraction = filled.extraction()

    def given(**options):
        (run,) = filled.run(beside, extraction, "embed", **options)
        return list(run.result.warnings)

    assert given() == ["None"]
    (first,) = filled.run(centre, extraction, "embed", labels="topic", plus=3)
    filled.run(centre, extraction, "layers.1", plus=9)
    assert given() == ["[3]"]
    filled.run(centre, extraction, "embed", plus=7)
    assert given(labels="topic") == ["[7]"]
    assert given(base=first.id) == ["[3]"]
    with pytest.raises(actlas.InputError, match="--base takes runs of centre"):
        given(base=filled.run(beside, extraction, "embed")[0].id)


def test_an_analysis_may_build_on_any_run_which_is_named(filled):
    @actlas.analysis(version=1, arrays={"rows": "(rows, width) of the site"})
    def keep(acts: actlas.Activations) -> actlas.Result:
        """Keep the rows."""
        return actlas.Result(arrays={"rows": acts.numpy()})

    extraction = filled.extraction()
    (kept,) = filled.run(keep, extraction, "embed")
    (run,) = filled.run("array_capacity", extraction, "embed", base=kept.id)
    assert run.result.tables["summary"]["source"].tolist() == ["rows at embed"]
    with pytest.raises(actlas.InputError, match="name the run to build on with --base RUN"):
        filled.run("array_capacity", extraction, "embed")
    with pytest.raises(
        actlas.InputError, match=rf"run {kept.id} is of embed of .*runs at layers.1"
    ):
        filled.run("array_capacity", extraction, "layers.1", base=kept.id)


def test_rows_with_nan_leave_each_of_others_by_itself(tmp_path):
    X = np.arange(12, dtype=np.float32).reshape(6, 2)
    Y = X[:4].copy()
    Y[1] = np.nan

    @actlas.analysis(version=1, tables={"rows": row_type(acts=int, other=int)})
    def lengths(acts: actlas.Activations, others: actlas.Others) -> actlas.Result:
        """Count rows."""
        (other,) = others
        return actlas.Result({"rows": {"acts": [len(acts)], "other": [len(other.acts)]}})

    store = actlas.open(str(tmp_path / "s.db"))
    for name, matrix in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", matrix)
        store.import_matrix(tmp_path / f"{name}.npy", name)
    with pytest.raises(actlas.NonFiniteError):
        store.run(lengths, 1, "x", other="2:y")
    (run,) = store.run(lengths, 1, "x", other="2:y", nonfinite="drop")
    assert list(run.result.tables["rows"]) == [{"acts": 6, "other": 3}]


def test_a_failed_run_is_recorded_and_the_next_is_another(filled):
    broken = [True]

    @actlas.analysis(version=1, tables={"rows": row_type(n=int)})
    def fragile(acts: actlas.Activations) -> actlas.Result:
        """Fail at times."""
        if broken[0]:
            raise ZeroDivisionError("no such luck")
        return actlas.Result({"rows": {"n": [1]}})

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            filled.run(fragile, sites="embed")
    failed = filled.sql("SELECT status, error FROM runs ORDER BY id")
    assert failed["status"].tolist() == ["failed", "failed"]
    assert set(failed["error"]) == {"ZeroDivisionError: no such luck"}
    with pytest.raises(actlas.StoreError, match="run 1 failed: ZeroDivisionError: no such luck"):
        _ = filled.result(1).result
    assert "fragile_rows" not in table_names(filled)

    broken[0] = False
    (run,) = filled.run(fragile, sites="embed")
    assert not run.reused
    assert filled.sql("SELECT status FROM runs ORDER BY id")["status"].tolist() == [
        "failed", "failed", "done",
    ]  # fmt: skip
    assert filled.run(fragile, sites="embed")[0].id == run.id

    broken[0] = True  # a forced run that fails leaves the good one
    with pytest.raises(ZeroDivisionError):
        filled.run(fragile, sites="embed", force=True)
    assert filled.run(fragile, sites="embed")[0].id == run.id
    assert filled.result(run.id).result.tables["rows"]["n"].tolist() == [1]


def test_a_result_that_is_not_as_declared_is_a_failed_run(filled):
    lying = table_analysis("lying", {"all": (row_type(n=int), {"n": ["seven"]})})
    with pytest.raises(actlas.AnalysisError, match="'seven' is no finite int"):
        filled.run(lying, sites="embed")
    assert filled.sql("SELECT status FROM runs")["status"].tolist() == ["failed"]


def test_nan_becomes_null(filled):
    kind, values = row_type(x=float | None), {"x": [1.0, np.nan, None]}
    (run,) = filled.run(table_analysis("gaps", {"all": (kind, values)}), sites="embed")
    found = filled.sql("SELECT count(*) AS n, count(x) AS known, sum(x) AS total FROM gaps_all")
    assert found.iloc[0].tolist() == [3, 1, 1]
    np.testing.assert_array_equal(run.result.tables["all"]["x"], [1, np.nan, np.nan])


def test_a_newer_version_adds_columns_and_tables(filled):
    old = table_analysis("grows", {"all": (row_type(n=int), {"n": [1, 2]})})
    kind = row_type(n=int, x=float, m=int, s=str, b=bool)
    values = {"n": [3], "x": [0.5], "m": [4], "s": ["t"], "b": [True]}
    new = table_analysis(
        "grows", {"all": (kind, values), "more": (row_type(y=int), {"y": [1]})}, version=2
    )
    (first,) = filled.run(old, sites="embed")
    (second,) = filled.run(new, sites="embed")
    found = filled.sql("SELECT n, x, m, s, b FROM grows_all ORDER BY run_id, item")
    assert found["n"].tolist() == [1, 2, 3]
    assert found.isna().to_numpy().tolist() == [[False] + [True] * 4] * 2 + [[False] * 5]
    table = filled.result(first.id).result.tables["all"]
    assert table["n"].tolist() == [1, 2]
    assert np.isnan(table["x"]).all()
    for name in ("m", "s", "b"):
        assert table[name].tolist() == [None, None]
    (row,) = filled.result(second.id).result.tables["all"]
    assert row == {"n": 3, "x": 0.5, "m": 4, "s": "t", "b": True}
    assert set(column_types(filled, "grows_all")) == {"run_id", "item", "n", "x", "m", "s", "b"}

    older = table_analysis("grows", {"all": (row_type(s=str), {"s": ["u"]})}, version=3)
    (third,) = filled.run(older, sites="embed")  # a column that is no longer given
    assert filled.result(third.id).result.tables["all"]["s"].tolist() == ["u"]
    assert len(filled.result(first.id).result.tables["all"]) == 2


def test_a_column_of_another_type_is_refused(filled):
    filled.run(table_analysis("turns", {"all": (row_type(n=int), {"n": [1]})}), sites="embed")
    before = filled.database.sizes()
    other = table_analysis("turns", {"all": (row_type(n=str), {"n": ["1"]})}, version=2)
    with pytest.raises(
        actlas.AnalysisError, match=r"'turns_all': column 'n' is stored as int, now declared str"
    ):
        filled.run(other, sites="embed")
    assert {**filled.database.sizes(), "runs": 1} == before


def test_two_analyses_cannot_share_a_sql_name(filled):
    kind = row_type(n=int)
    filled.run(table_analysis("a", {"b_c": (kind, {"n": [1]})}), sites="embed")
    with pytest.raises(
        actlas.AnalysisError, match=r"'a_b', table 'c': .*'a_b_c' is taken by 'a', table 'b_c'"
    ):
        filled.run(table_analysis("a_b", {"c": (kind, {"n": [2]})}), sites="embed")
    assert filled.sql("SELECT n FROM a_b_c")["n"].tolist() == [1]


@pytest.mark.parametrize(
    ("analysis", "table"),
    [
        ("label", "sets"), ("row", "labels"), ("actlas", "alembic_version"), ("result", "tables"),
        ("sqlite", "stat"), ("x" * 40, "y" * 40),
    ],
)  # fmt: skip
def test_a_name_that_the_database_cannot_take_is_said_in_one_line(filled, analysis, table):
    taken = table_analysis(analysis, {table: (row_type(n=int), {"n": [1]})})
    before = filled.database.sizes()
    said = ""
    try:
        filled.run(taken, sites="embed")
    except actlas.AnalysisError as error:
        said = str(error)
    if said:
        assert "\n" not in said
        assert {**filled.database.sizes(), "runs": 0} == before
    else:  # where the database has no objection
        assert filled.result(1).result.tables[table]["n"].tolist() == [1]


def test_columns_that_differ_only_in_case(filled):
    kind, values = row_type(n=int, N=int), {"n": [1], "N": [2]}
    try:
        (run,) = filled.run(table_analysis("cases", {"all": (kind, values)}), sites="embed")
    except actlas.AnalysisError:  # at the latest when it is stored
        return
    (row,) = run.result.tables["all"]
    assert row == {"n": 1, "N": 2}


def test_names_that_are_words_of_sql(filled):
    kind = row_type(select=int, group=str, order=float, table=bool)
    values = {"select": [1], "group": ["g"], "order": [0.5], "table": [True]}
    (run,) = filled.run(table_analysis("select", {"where": (kind, values)}), sites="embed")
    (row,) = filled.result(run.id).result.tables["where"]
    assert row == {"select": 1, "group": "g", "order": 0.5, "table": True}
    remove(filled, "runs", run.id)
    assert filled.database.sizes()["select_where"] == 0


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(20)[::3],
    "half": np.array([1, np.nan, np.inf], np.float16),
    "complex": np.array([1 + 2j]),
    "bool": np.array([[True], [False]]),
    "words": np.array(["a", "naïve"]),
    "empty": np.zeros((0, 3), np.float32),
    "bigend": np.arange(3, dtype=">i4"),
}


def assert_round_trips(store, arrays):
    (run,) = store.run(table_analysis("holds", {}, arrays=arrays), sites="embed")
    read = store.result(run.id).result.arrays
    assert set(read) == set(arrays)
    for name, given in arrays.items():
        assert (read[name].shape, read[name].dtype) == (np.shape(given), given.dtype), name
        np.testing.assert_array_equal(read[name], given, err_msg=name)


def test_arrays_round_trip(filled):
    assert_round_trips(filled, ARRAYS)


def test_a_single_number_round_trips_as_an_array(filled):
    assert_round_trips(filled, {"scalar": np.float64(3.5)})


def test_an_array_of_objects_is_refused(filled):
    objects = np.array([{"a": 1}, None], object)
    with pytest.raises(actlas.AnalysisError):
        filled.run(table_analysis("holds", {}, arrays={"it": objects}), sites="embed")


def test_a_damaged_array_is_detected(filled):
    (run,) = filled.run(tally, sites="embed")
    with filled.database.write() as session:
        array = session.get_one(Array, (run.id, "axis"))
        array.data = bytes([array.data[0] ^ 1]) + array.data[1:]
    with pytest.raises(actlas.CorruptError, match=f"array 'axis' of run {run.id}"):
        _ = filled.result(run.id).result


def test_removing_a_run_removes_its_results_and_no_other(filled):
    first, second = filled.run(tally)
    remove(filled, "runs", first.id)
    assert set(filled.sql("SELECT run_id FROM tally_norms")["run_id"]) == {second.id}
    assert set(filled.sql("SELECT run_id FROM tally_summary")["run_id"]) == {second.id}
    assert set(filled.sql("SELECT run_id FROM arrays")["run_id"]) == {second.id}
    remove(filled, "extractions", filled.extraction().id)
    sizes = filled.database.sizes()
    assert sizes["tally_norms"] == sizes["tally_summary"] == sizes["arrays"] == sizes["runs"] == 0


@pytest.mark.parametrize("force", [False, True])
def test_half_a_result_is_never_seen(filled, monkeypatch, force):
    if force:
        filled.run(tally, sites="embed")
    before = filled.database.sizes()
    ids = filled.sql("SELECT id FROM runs")["id"].tolist()
    seen = []
    write = results._write_table

    def fails_at_the_second(database, session, run, spec, table):
        if spec.name == "norms":
            seen.append(filled.sql("SELECT id FROM runs")["id"].tolist())
            seen.append({**filled.database.sizes()} == before)
            raise RuntimeError("power cut")
        write(database, session, run, spec, table)

    with monkeypatch.context() as patch:
        patch.setattr(results, "_write_table", fails_at_the_second)
        with pytest.raises(RuntimeError, match="power cut"):
            filled.run(tally, sites="embed", force=force)
    assert seen == [ids, True]
    assert filled.database.sizes() == before
    (run,) = filled.run(tally, sites="embed")
    assert run.reused == force
    assert len(run.result.tables["norms"]) == 5


def test_a_reader_in_the_middle_of_a_replacement_sees_one_result(filled):
    (run,) = filled.run(tally, sites="embed")
    with filled.database.read() as session:
        n = session.execute(sa.text("SELECT count(*) FROM tally_summary WHERE run_id = 1")).scalar()
        filled.run(tally, sites="embed", force=True)
        m = session.execute(sa.text("SELECT count(*) FROM tally_norms WHERE run_id = 1")).scalar()
    assert (run.id, n, m) == (1, 1, 5)


def test_warnings_are_kept(filled):
    @actlas.analysis(version=1)
    def worried(acts: actlas.Activations) -> actlas.Result:
        """Warn."""
        return actlas.Result(warnings=["it did not converge"])

    filled.run(worried, sites="embed")
    (again,) = filled.run(worried, sites="embed")
    assert again.reused
    assert again.result.warnings == ("it did not converge",)


def test_a_run_is_another_when_a_file_that_it_names_changes(filled, tmp_path):
    @actlas.analysis(version=1)
    def reading(
        acts: actlas.Activations,
        *,
        words: Annotated[str | None, "files of words", "file"] = None,
        title: Annotated[str, "no file"] = "",
    ) -> actlas.Result:
        """Read files."""
        return actlas.Result()

    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    given = {"words": f"{one}, {two}", "title": str(one)}
    (first,) = filled.run(reading, sites="embed", **given)
    assert filled.run(reading, sites="embed", **given)[0].reused
    two.write_text("c")
    assert not filled.run(reading, sites="embed", **given)[0].reused
    two.write_text("b")
    assert filled.run(reading, sites="embed", **given)[0].id == first.id
    (bare,) = filled.run(reading, sites="embed", title=str(one))
    one.write_text("d")
    assert filled.run(reading, sites="embed", title=str(one))[0].id == bare.id


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self):
        return True


def test_what_a_long_analysis_tells_is_shown_beside_the_bar(filled, monkeypatch):
    @actlas.analysis(version=1)
    def long(acts: actlas.Activations) -> actlas.Result:
        """Take a while."""
        for i in range(3):
            actlas.tell(f"pass {i} over {acts.site}")
            time.sleep(0.15)  # longer than the bar takes to draw itself anew
        return actlas.Result()

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    filled.run(long, sites=["embed", "layers.1"], progress=True)
    for told in ("pass 2 over embed", "pass 2 over layers.1", "1/2"):
        assert told in terminal.getvalue()
    terminal.truncate(0)
    filled.run(long, sites=["embed"], force=True)
    actlas.tell("to nobody")
    assert not terminal.getvalue()
