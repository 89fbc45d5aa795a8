"""Analyses over the results of many runs: which runs, what they give, and what is refused."""

import shutil
import sys
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest

import actlas
from actlas import (
    Activations,
    AnalysisError,
    InputError,
    Labels,
    Layers,
    Result,
    Rows,
    Runs,
    analysis,
)
from actlas.cli import main
from actlas.testing import checks, outcomes


@dataclass(frozen=True)
class Mean:
    """The mean of a site."""

    site: Annotated[str, "which"]
    mean: Annotated[float, "mean of all numbers"]


@dataclass(frozen=True)
class Each:
    """The mean of one row."""

    row: Annotated[int, "number of the row"]
    mean: Annotated[float, "its mean"]


@analysis(version=1, tables={"summary": Mean, "rows": Each})
def means(acts: Activations, *, scale: Annotated[float, "factor"] = 1.0) -> Result:
    """Mean of a site."""
    X = acts.numpy(np.float64) * scale
    rows = [Each(i, float(m)) for i, m in enumerate(X.mean(axis=1))]
    return Result({"summary": Mean(acts.site, float(X.mean())), "rows": rows})


@dataclass(frozen=True)
class Seen:
    """One run."""

    run: Annotated[int, "number"]
    model: Annotated[str, "spec"]
    data: Annotated[str, "data set"]
    site: Annotated[str | None, "site"]
    mean: Annotated[float, "what it found"]


@analysis(version=1, tables={"seen": Seen}, base="means")
def compared(runs: Runs, *, factor: Annotated[int, "a number"] = 1) -> Result:
    """List runs of means."""
    seen = [
        Seen(r.id, r.model, r.data, r.site, factor * float(r.tables["summary"]["mean"][0]))
        for r in runs
    ]
    return Result({"seen": seen})


@analysis(version=1, base="*")
def anything(runs: Runs) -> Result:
    """List tables of any analysis."""
    return Result(warnings=[name for run in runs for name in run.tables])


TEXTS = ["one", "two words", "three words here"]


def extracted(store, folder, number, texts=TEXTS):
    """An extraction of a model of its own: every number is that of the model."""
    path = folder / f"model{number}.npy"
    np.save(path, np.full((len(texts), 3), number, np.float32))
    rows = folder / f"{len(texts)}.csv"
    rows.write_text("sample,text,kind\n" + "".join(f"{i},{t},k{i}\n" for i, t in enumerate(texts)))
    return store.import_matrix(path, ["layers.0"], rows=rows, dataset_name="texts")


def run_ids(store, folder, numbers, **settings):
    return [
        store.run(means, extracted(store, folder, n), **settings)[0].id for n in numbers
    ]  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with two runs of `means`, 1 and 2; it is copied, which is quicker than to make it."""
    folder = tmp_path_factory.mktemp("filled")
    with actlas.open(f"sqlite:///{folder}/store.db") as opened:
        assert run_ids(opened, folder, [1, 2]) == [1, 2]
    return folder / "store.db"


@pytest.fixture
def two(filled, tmp_path):
    """A store with runs 1 and 2 of `means`, for one test."""
    shutil.copy(filled, tmp_path / "store.db")
    with actlas.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def test_the_results_of_many_models_are_read(store, tmp_path):
    ids = run_ids(store, tmp_path, [1, 2, 3])
    (run,) = store.run(compared, runs="all")
    table = run.result.tables["seen"]
    assert table["run"].tolist() == ids
    assert table["mean"].tolist() == [1, 2, 3]
    assert len(set(table["model"])) == 3
    assert set(table["data"]) == {"texts"}
    assert set(table["site"]) == {"layers.0"}
    assert run.record.site is None
    assert run.record.extraction_id == 1


def test_the_key_is_that_of_the_runs(two, tmp_path):
    store = two
    a, b, c = 1, 2, *run_ids(store, tmp_path, [3])
    (first,) = store.run(compared, runs=[a, b])
    assert store.run(compared, runs=f"{b},{a}")[0].reused
    assert store.run(compared, runs=f"{a}-{b}")[0].id == first.id
    assert store.run(compared, runs=[store.result(b), a, a])[0].reused
    assert not store.run(compared, runs=[a, b], factor=2)[0].reused
    (other,) = store.run(compared, runs=[a, c])
    assert not other.reused
    assert other.result.tables["seen"]["mean"].tolist() == [1, 3]
    assert store.run(compared, runs=b)[0].result.tables["seen"]["run"].tolist() == [b]


def test_all_is_the_newest_at_every_site(two):
    newer = [two.run(means, extraction, scale=2.0)[0].id for extraction in (1, 2)]
    (run,) = two.run(compared, runs="all")
    assert run.result.tables["seen"]["run"].tolist() == newer
    assert run.result.tables["seen"]["mean"].tolist() == [2, 4]


def test_runs_are_chosen_by_a_query(two, tmp_path):
    ids = [1, 2, *run_ids(two, tmp_path, [3])]
    query = "SELECT r.id FROM runs r JOIN extractions e ON e.id = r.extraction_id WHERE e.id != 2 "
    query += "AND r.analysis = 'means'"
    (run,) = two.run(compared, runs=query)
    assert run.result.tables["seen"]["run"].tolist() == [ids[0], ids[2]]
    (run,) = two.run(anything, runs=f" with x as ({query}) select * from x")
    assert len(run.record.inputs["runs"]) == 2
    with pytest.raises(InputError, match="first column of the query is no run number"):
        two.run(compared, runs="SELECT analysis FROM runs")
    with pytest.raises(actlas.ReadOnlyError):
        two.run(compared, runs="WITH x AS (SELECT 1) DELETE FROM runs")
    with pytest.raises(InputError, match="no run is chosen; make one with `actlas run means`"):
        two.run(compared, runs="SELECT id FROM runs WHERE id > 99")


def test_tables_are_read_one_by_one_and_rows_when_asked_for(two, monkeypatch):
    seen = []

    @analysis(version=1, base="means")
    def curious(runs: Runs) -> Result:
        """Look at tables and rows."""
        for run in runs:
            seen.append((run.id, sorted(run.tables), "none" in run.tables, len(run.tables)))
            assert run.tables["rows"]["row"].tolist() == [0, 1, 2]
            assert run.rows.sample.tolist() == [0, 1, 2]
            assert run.parameters == {"scale": 1.0}
        return Result()

    two.run(curious, runs="all")
    assert seen == [(i, ["rows", "summary"], False, 2) for i in (1, 2)]
    read = []
    original = actlas.api.comparing.read_table
    monkeypatch.setattr(
        actlas.api.comparing, "read_table", lambda *a: read.append(a[2]) or original(*a)
    )
    two.run(compared, runs="all")
    assert read == ["summary", "summary"]


def test_runs_at_two_sites_of_one_extraction_are_apart(two):
    number = two.run(means, 1, nonfinite="keep")[0].id
    with two.database.write() as session:
        session.get(actlas.storage.Run, number).site = "layers.1"

    @analysis(version=1, base="means")
    def placed(runs: Runs) -> Result:
        """List sites, and count rows."""
        return Result(warnings=[f"{run.site}: {len(run.rows)}" for run in runs])

    (run,) = two.run(placed, runs=[1, number])
    assert run.record.warnings == ["layers.0: 3", "layers.1: 3"]


def test_a_run_of_any_analysis_is_named(two):
    assert two.run(anything, runs=1)[0].record.warnings == ["summary", "rows"]
    for runs in ((), "all"):
        with pytest.raises(InputError, match=r"anything takes runs of one analysis: .*runs list"):
            two.run(anything, runs=runs)
    (spectrum,) = two.run("spectrum", 1)
    with pytest.raises(InputError, match="analysis spectrum and run 1 means"):
        two.run(anything, runs=[1, spectrum.id])


def test_runs_that_do_not_compare_are_refused(two, tmp_path):
    store, a, b = two, 1, 2
    (scaled,) = run_ids(store, tmp_path, [3], scale=2.0)
    with pytest.raises(InputError, match=rf"run {scaled} has scale=2\.0 and run {a} scale=1\.0"):
        store.run(compared, runs=[a, b, scaled])
    again = store.run(means, 1, nonfinite="keep")[0].id
    with pytest.raises(InputError, match=rf"runs {a} and {again} are both of extraction 1"):
        store.run(compared, runs=[a, again])
    (spectrum,) = store.run("spectrum", 1)
    with pytest.raises(InputError, match=r"is of spectrum; compared takes runs of means"):
        store.run(compared, runs=[a, spectrum.id])
    other = store.run(means, extracted(store, tmp_path, 9, texts=["one", "other", "three"]))[0].id
    with pytest.raises(
        InputError, match=r"over other samples \(texts\).*r\.status = 'done' .*e\.dataset_id = 1\""
    ):
        store.run(compared, runs=[a, other])
    assert all(r.status == "done" for r in store.records("runs"))  # refused before anything ran
    with pytest.raises(InputError, match="scale=nan"):
        store.run(means, 1, scale=float("nan"))
    with store.database.write() as session:
        session.get(actlas.storage.Run, b).status = "failed"
        session.get(actlas.storage.Run, b).error = "out of paper"
    with pytest.raises(InputError, match=rf"run {b} failed: out of paper"):
        store.run(compared, runs=[a, b])
    assert len(store.run(compared, runs="3")) == 1


def test_other_versions_labels_and_poolings_are_refused(two):
    store, a, b = two, 1, 2
    with store.database.write() as session:
        session.get(actlas.storage.Run, b).version = 2
    with pytest.raises(InputError, match=f"run {b} has version 2 and run {a} 1; runs that are"):
        store.run(compared, runs="all")
    with store.database.write() as session:
        session.get(actlas.storage.Run, b).version = 1
        session.get(actlas.storage.Run, b).labels = "kind"
    with pytest.raises(InputError, match=f"run {b} has labels kind and run {a} None"):
        store.run(compared, runs="all")
    with store.database.write() as session:
        session.get(actlas.storage.Run, b).labels = None
        session.get(actlas.storage.Extraction, 2).pooling = "mean"
    with pytest.raises(InputError, match=r"has mean rows.*e\.pooling = '"):
        store.run(compared, runs="all")


def test_decoders_may_have_read_other_targets(two):
    with two.database.write() as session:
        dataset = session.get(actlas.storage.Dataset, 1)
        copy = actlas.storage.Dataset(
            name="texts+generated", digest="x" * 32, samples=3, skipped=0, modality="text"
        )
        session.add(copy)
        session.flush()
        number = copy.id
        assert dataset.samples == 3
        session.get(actlas.storage.Extraction, 2).dataset_id = number
    with pytest.raises(InputError, match="other samples"):
        two.run(compared, runs=[1, 2])  # it has no texts yet
    with two.database.write() as session:
        two.database.backend.insert(
            session.connection(), "samples", ["dataset_id", "sample", "text", "target"],
            [(number, i, text, f"t{i}") for i, text in enumerate(TEXTS)],
        )  # fmt: skip
    table = two.run(compared, runs=[1, 2])[0].result.tables["seen"]
    assert table["data"].tolist() == ["texts", "texts+generated"]


def test_what_does_not_go_with_runs_is_refused(sqlite_store, tmp_path):
    (a,) = run_ids(sqlite_store, tmp_path, [1])
    for wrong, said in [
        ({"runs": ()}, r"--runs 3,5-9 or --runs 'SELECT id FROM runs WHERE …' or --runs all"),
        ({"runs": "x"}, r"--runs 'x' names no runs"),
        ({"runs": "3,,5"}, r"names no runs"),
        ({"runs": 99}, r"no run 99; there is 1"),
        ({"runs": a, "extraction": 1}, r"over runs, not an extraction"),
        ({"runs": a, "labels": "kind"}, r"choose them with --runs"),
        ({"runs": a, "base": a}, r"choose them with --runs"),
    ]:
        with pytest.raises(InputError, match=said):
            sqlite_store.run(compared, **wrong)
    with pytest.raises(InputError, match="means is not over runs; leave --runs out"):
        sqlite_store.run(means, 1, runs=a)

    @analysis(version=1, base="absent")
    def lonely(runs: Runs) -> Result:
        """Nothing to be over."""
        return Result()

    with pytest.raises(InputError, match="no run is chosen; make one with `actlas run absent`"):
        sqlite_store.run(lonely, runs="all")


def test_runs_in_python():
    results = [means(Activations.of(np.full((2, 2), float(n)))) for n in (1, 2)]
    runs = Runs.of(*results, models=["a", "b"], rows=[Rows.of_samples(2)] * 2)
    assert len(runs) == 2
    assert compared(runs).tables["seen"]["mean"].tolist() == [1, 2]
    assert [(r.id, r.model, r.data, r.site) for r in runs] == [
        (1, "a", "data", None), (2, "b", "data", None),
    ]  # fmt: skip
    assert len(runs.runs[1].rows) == 2
    named = Runs.of(*results, models=["a", "b"], data=["x", "y"])
    assert [r.data for r in named] == ["x", "y"]
    with pytest.raises(InputError, match=r"run 1 knows no rows; give them with Runs.of"):
        _ = named.runs[0].rows
    with pytest.raises(InputError, match="2 results, 1 models, 2 data sets and 0 times rows"):
        Runs.of(*results, models=["a"])
    with pytest.raises(InputError, match="and 1 times rows"):
        Runs.of(*results, models=["a", "b"], rows=[Rows.of_samples(2)])
    with pytest.raises(InputError, match="give one run or more"):
        Runs.of(models=[])
    scaled = means(Activations.of(np.ones((2, 2))), scale=3.0)
    with pytest.raises(InputError, match=r"run 2 has scale=3\.0 and run 1 scale=1\.0"):
        Runs.of(results[0], scaled, models=["a", "b"])
    bare = Result()  # of a version that had no such parameter yet
    with pytest.raises(InputError, match=r"run 2 has scale=None and run 1 scale=1\.0"):
        Runs.of(results[0], bare, models=["a", "b"])


def test_runs_stand_alone_in_a_signature():
    with pytest.raises(AnalysisError, match="`runs: Runs` stands alone"):

        @analysis(version=1, base="means")
        def more(runs: Runs, layers: Layers) -> Result:
            """Takes too much."""
            return Result()

    with pytest.raises(AnalysisError, match="`runs: Runs` stands alone"):

        @analysis(version=1)
        def baseless(runs: Runs) -> Result:
            """Of no analysis."""
            return Result()

    with pytest.raises(AnalysisError, match="`runs: Runs` stands alone"):

        @analysis(version=1, base=("means", "probe"))
        def twofold(runs: Runs) -> Result:
            """Of two."""
            return Result()


def test_the_kit_makes_up_runs_where_it_can():
    @analysis(version=1, base="spectrum", tables={"seen": Mean})
    def good(runs: Runs) -> Result:
        """List the runs."""
        return Result({"seen": [Mean(r.model, float(len(r.tables["summary"]))) for r in runs]})

    assert {o["outcome"] for o in outcomes(good)} == {"passed"}

    @analysis(version=1, base="spectrum")
    def bad(runs: Runs) -> Result:
        """Change what it is given."""
        for run in runs:
            run.tables["summary"].columns["width"][:] += 1
        return Result()

    assert [o["check"] for o in outcomes(bad) if o["outcome"] == "failed"] == [
        "leaves its inputs as they were"
    ]
    results = [means(Activations.of(np.ones((2, 2)))) for _ in range(2)]
    for check in checks(compared, inputs={"runs": Runs.of(*results, models=["a", "b"])}):
        check()  # `means` is no analysis that is installed


def test_the_kit_does_not_run_what_it_cannot_make_up(monkeypatch):
    @analysis(version=1)
    def deep(model: actlas.LoadedModel) -> Result:
        """Needs a network."""
        return Result()

    @analysis(version=1, base="deep")
    def over(runs: Runs) -> Result:
        """Over runs that cannot be made up."""
        return Result()

    class Known:
        def get(self, name):
            return deep

    monkeypatch.setattr(actlas.testing.analyses, "registry", Known)
    found = {o["check"]: o for o in outcomes(over)}
    assert found["is repeatable"]["outcome"] == "not run"
    assert "runs" in found["is repeatable"]["why"]


def test_runs_on_the_command_line(two, tmp_path, capsys, monkeypatch):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom typing import Annotated\n"
        "from actlas import Result, Runs, analysis\n\n"
        "@dataclass(frozen=True)\nclass Seen:\n"
        '    """A run."""\n    model: Annotated[str, "spec"]\n\n'
        '@analysis(version=1, base="means", tables={"seen": Seen})\n'
        'def listed(runs: Runs) -> Result:\n    """List runs."""\n'
        '    return Result({"seen": [Seen(run.model) for run in runs]})\n'
    )
    url = two.url
    command = ["run", "--plugin", str(plugin), "listed", "--store", url]

    def said(*more):
        monkeypatch.setattr(sys, "argv", ["actlas", *command, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, "".join(capsys.readouterr())

    code, text = said("--runs", "all")
    assert code == 0
    assert "model1" in text
    assert "model2" in text
    assert "1 run computed" in text
    code, text = said("--help")
    assert "--runs RUNS" in text
    assert "--site" not in text
    assert "--nonfinite" not in text
    code, text = said()
    assert code == 1
    assert "name them with --runs 3,5-9" in text


def test_labels_are_compared_too(sqlite_store, tmp_path):
    """A run of an analysis of labels says which; runs of two label sets do not compare."""
    extraction = extracted(sqlite_store, tmp_path, 1)

    @analysis(version=1)
    def counted(acts: Activations, labels: Labels) -> Result:
        """Count labels."""
        return Result(warnings=[str(len(labels.names))])

    (run,) = sqlite_store.run(counted, extraction, labels="kind")

    @analysis(version=1, base="counted")
    def listed(runs: Runs) -> Result:
        """List runs."""
        return Result(warnings=[str(len(runs))])

    assert sqlite_store.run(listed, runs=run.id)[0].record.warnings == ["1"]
