"""Views by which stored results are compared, and the tags of models."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from click.testing import CliRunner

import actlas
from actlas.cli import cli
from actlas.core import relative_depth
from actlas.storage import copy

from .tiny import TEXTS

BERT = ["embed", "layers.0", "layers.0.attn", "layers.1", "layers.1.mlp", "final"]
SIDES = ["encoder.embed", "encoder.layers.0", "encoder.final", "decoder.layers.0",
         "decoder.layers.1", "decoder.layers.1.cross"]  # fmt: skip


@pytest.mark.parametrize(
    ("site", "sites", "depth"),
    [
        ("embed", BERT, 0),
        ("layers.0", BERT, 0.5),
        ("layers.0.attn", BERT, 0.5),
        ("layers.1", BERT, 1),
        ("final", BERT, 1),
        ("encoder.layers.0", SIDES, 1),
        ("decoder.layers.0", SIDES, 0.5),
        ("decoder.layers.1.cross", SIDES, 1),
        ("encoder.embed", SIDES, 0),
        ("module:pooler", BERT, None),
        ("layers.3", ["layers.3"], None),
        ("layers.0", ["layers.0", "layers.2"], None),
    ],
)
def test_depth_runs_from_the_embedding_to_the_last_block(site, sites, depth):
    assert relative_depth(site, sites) == depth


@dataclass(frozen=True)
class Summary:
    """One row a run."""

    rows: Annotated[int, "rows"]
    half: Annotated[float, "half of them"]
    many: Annotated[bool, "whether there are more than a thousand"]
    few: Annotated[bool, "whether there are fewer"]
    name: Annotated[str, "no number"]
    missing: Annotated[float | None, "nothing"]


@actlas.analysis(version=1, tables={"summary": Summary})
def counted(acts: actlas.Activations, *, times: Annotated[int, "factor"] = 1) -> actlas.Result:
    """Count rows."""
    n = len(acts) * times
    return actlas.Result({"summary": [Summary(n, n / 2, n > 1000, n < 1000, "x", None)]})


@dataclass(frozen=True)
class Wider(Summary):
    """One row a run, with one column more."""

    more: Annotated[float, "one more"]


def wider():
    @actlas.analysis(version=2, tables={"summary": Wider})
    def counted(acts: actlas.Activations, *, times: Annotated[int, "factor"] = 1) -> actlas.Result:
        """Count rows."""
        return actlas.Result({"summary": [Wider(1, 0.5, False, True, "x", None, 7.0)]})

    return counted


def select(store, query):
    return store.database.select(query)[1]


@pytest.fixture
def analysed(store, tiny):
    extraction = store.extract(tiny("bert"), actlas.Dataset("texts", TEXTS), ["embed", "layers.0"])
    store.run(counted, sites="embed,layers.0")
    return store, extraction


def test_metric_has_every_number_of_every_summary(analysed):
    store, extraction = analysed
    n = extraction.record.rows
    found = select(
        store,
        "SELECT metric, value, site, depth, analysis, version, labels, model, dataset "
        "FROM metric WHERE site = 'layers.0' ORDER BY metric",
    )
    spec = store.records("models")[0].spec
    rest = ("layers.0", 1 / 3, "counted", 1, None, spec, "texts")
    assert [tuple(row) for row in found] == [
        ("few", 1.0, *rest), ("half", n / 2, *rest), ("many", 0.0, *rest), ("rows", float(n), *rest)
    ]  # fmt: skip


def test_metric_grows_with_a_table_and_with_its_columns(analysed):
    store, _ = analysed
    store.run("spectrum", sites="layers.0")
    names = {row[0] for row in select(store, "SELECT DISTINCT analysis FROM metric")}
    assert names == {"counted", "spectrum"}
    store.run(wider(), sites="layers.0")
    found = select(store, "SELECT value, version FROM metric WHERE metric = 'more'")
    assert [tuple(row) for row in found] == [(7.0, 2)]


def test_latest_run_is_the_newest_of_its_settings(analysed):
    store, _ = analysed
    again = store.run(counted, sites="embed", force=True)[0]
    twice = store.run(counted, sites="embed", times=2)[0]
    found = select(store, "SELECT run_id FROM latest_run WHERE site = 'embed' ORDER BY run_id")
    assert [row[0] for row in found] == [again.id, twice.id]
    newer = store.run(wider(), sites="embed")[0]
    found = select(store, "SELECT run_id FROM latest_run WHERE site = 'embed' ORDER BY run_id")
    assert [row[0] for row in found] == [twice.id, newer.id]


def test_latest_run_tells_other_sites_apart(analysed):
    @actlas.analysis(version=1, tables={"summary": Summary})
    def paired(acts: actlas.Activations, other: actlas.Activations) -> actlas.Result:
        """Read two sites."""
        return actlas.Result({"summary": [Summary(1, 0.5, False, True, other.site, None)]})

    store, _ = analysed
    runs = [store.run(paired, sites="embed", other=name)[0].id for name in ("embed", "layers.0")]
    found = select(store, "SELECT run_id FROM latest_run WHERE analysis = 'paired' ORDER BY run_id")
    assert [row[0] for row in found] == runs


def test_tags_are_texts_and_numbers(analysed):
    store, _ = analysed
    found = store.tag(1, {"family": "bert", "size": 110, "tuned": True, "step": "1e3"})
    assert found == {"family": "bert", "size": 110.0, "tuned": 1.0, "step": 1000.0}
    rows = select(store, "SELECT tag, value, number FROM model_tag ORDER BY tag")
    assert [tuple(row) for row in rows] == [
        ("family", "bert", None), ("size", "110", 110.0), ("step", "1e3", 1000.0),
        ("tuned", "true", 1.0),
    ]  # fmt: skip
    assert store.tag(1, {"version": "1_2"}, remove=["family"])["version"] == "1_2"
    store.tag(1, {"family": "bert"}, remove=["version"])
    assert store.tag(1, {"size": 220}, remove=["step", "tuned"]) == {"family": "bert", "size": 220}


@pytest.mark.parametrize(
    ("tags", "remove", "said"),
    [
        ({"size": 1}, ["famly"], "no tag 'famly'"),
        ({" ": 1}, [], "a tag has a name"),
        ({"loss": float("nan")}, [], "not finite"),
        ({"loss": "-inf"}, [], "not finite"),
        ({"loss": ""}, [], "a text or a number"),
        ({"a\nb": 1}, [], "a tag has a name"),
        ({"name": "\udcff"}, [], "a text or a number"),  # bytes that are no text, as a shell gives
    ],
)
def test_wrong_tags_change_nothing(analysed, tags, remove, said):
    store, _ = analysed
    store.tag(1, {"family": "bert"})
    with pytest.raises(actlas.InputError, match=said):
        store.tag(1, tags, remove=remove)
    assert store.tag(1, {}) == {"family": "bert"}


def test_a_copy_has_the_tags_and_the_views(analysed, tmp_path):
    store, _ = analysed
    store.tag(1, {"family": "bert", "size": 110})
    with actlas.open(str(tmp_path / "copy.db")) as other:
        copy(store.database, other.database)
        assert other.tag(1, {"family": "mine"})["size"] == 110
        copy(store.database, other.database)
        assert other.tag(1, {})["family"] == "mine"
        assert len(select(other, "SELECT * FROM metric")) == 8


def test_a_model_takes_its_tags_along(analysed):
    store, _ = analysed
    store.tag(1, {"family": "bert"})
    for noun in ("extractions", "models"):
        store.database.remove(type(store.records(noun)[0]), 1)
    assert select(store, "SELECT * FROM model_tag") == []


def test_an_analysis_may_not_take_the_name_of_a_view(analysed):
    @dataclass(frozen=True)
    class Run:
        """One row."""

        n: Annotated[int, "a number"]

    @actlas.analysis(version=1, tables={"run": Run})
    def latest(acts: actlas.Activations) -> actlas.Result:
        """Have a table called as a view is."""
        return actlas.Result({"run": [Run(1)]})

    store, _ = analysed
    with pytest.raises(actlas.AnalysisError, match="latest_run"):
        store.run(latest, sites="embed")


def test_a_new_store_has_the_views_and_nothing_in_them(store):
    for view in ("metric", "latest_run", "model_tag"):
        assert select(store, f"SELECT * FROM {view}") == []


def test_tagging_from_the_command_line(tmp_path, tiny):
    runner = CliRunner()
    path = str(tmp_path / "store.db")
    with actlas.open(path) as store:
        store.extract(tiny("bert"), actlas.Dataset("texts", TEXTS), "embed")
        spec = store.records("models")[0].spec
    done = runner.invoke(cli, ["models", "tag", spec, "family=bert", "size=110", "--store", path])
    assert done.exit_code == 0
    assert "family  bert" in done.output
    shown = runner.invoke(cli, ["models", "show", "1", "--json", "--store", path])
    assert '"size": 110.0' in shown.output
    wrong = runner.invoke(cli, ["models", "tag", "1", "family", "--store", path])
    assert wrong.exit_code == 2
    assert "NAME=VALUE" in wrong.output
    twice = runner.invoke(cli, ["models", "tag", "1", "a=1", "a=2", "--store", path])
    assert twice.exit_code == 2
    assert "given twice" in twice.output
    gone = runner.invoke(cli, ["models", "tag", "1", "--remove", "size", "--remove", "family",
                               "--store", path])  # fmt: skip
    assert "none" in gone.output
