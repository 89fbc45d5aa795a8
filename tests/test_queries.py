"""The questions of the query cookbook, on planted numbers that a wrong query gets wrong."""

from dataclasses import dataclass
from typing import Annotated

import pytest

import actlas

from .test_docs import blocks
from .tiny import TEXTS

QUERIES = blocks("docs/queries.md", "sql")
RANKS = iter([3.0, 1.0, 2.0, 5.0])
SCORES = iter([0.9, 0.5, 0.8, 0.7, 0.6])


@dataclass(frozen=True)
class Rank:
    """One row a run."""

    effective_rank: Annotated[float, "planted"]


@dataclass(frozen=True)
class Score:
    """One row a run."""

    balanced_accuracy: Annotated[float, "planted"]


def probe(version):
    def planted(acts: actlas.Activations) -> actlas.Result:
        """Say what is planted."""
        return actlas.Result({"summary": Score(next(SCORES))})

    return actlas.analysis(version=version, tables={"summary": Score}, name="probe")(planted)


@actlas.analysis(version=1, tables={"summary": Rank}, name="spectrum")
def spectrum(acts: actlas.Activations) -> actlas.Result:
    """Say what is planted."""
    return actlas.Result({"summary": Rank(next(RANKS))})


@pytest.fixture(scope="module")
def planted(tmp_path_factory, tiny):
    """Two models of two layers; the first layer of the first was read anew, with another score."""
    with actlas.open(str(tmp_path_factory.mktemp("queries") / "s.db")) as store:
        for kind, tags in (("bert", {"family": "b", "size": 9}), ("gpt2", {"size": 10})):
            texts = actlas.Dataset("texts", TEXTS)
            number = store.extract(tiny(kind), texts, ["layers.0", "layers.1"], pooling="mean").id
            store.run(spectrum, number, "layers.0,layers.1")
            store.run(probe(1), number, "layers.0,layers.1")
            store.tag(number, tags)
        store.run(probe(2), 1, "layers.0")
        yield store


def asked(store, word):
    (query,) = [query for query in QUERIES if word in query]
    found = store.sql(query)
    names = {record.spec: record.spec.split("/")[-1][:4] for record in store.records("models")}
    return [
        tuple(names.get(value, value) for value in row)
        for row in found.itertuples(index=False, name=None)
    ]


def test_the_best_layer_of_each_model_is_found(planted):
    found = asked(planted, "ROW_NUMBER")
    assert sorted((m, site, value) for m, _, _, site, value in found) == [
        ("bert", "layers.0", 0.9), ("gpt2", "layers.0", 0.8)
    ]  # fmt: skip


def test_the_newest_runs_alone_say_who_leads(planted):
    assert asked(planted, "MAX(m.value) AS best") == [("gpt2", 0.8), ("bert", 0.6)]


def test_models_come_by_size_as_a_number(planted):
    found = asked(planted, "t.tag = 'size'")
    assert [(size, value) for size, _, _, value in found] == [(9, 3), (9, 1), (10, 2), (10, 5)]


def test_families_are_of_models_that_have_one(planted):
    ((family, metric, mean, models),) = asked(planted, "t.tag = 'family'")
    assert (family, metric, models) == ("b", "balanced_accuracy", 1)
    assert mean == pytest.approx((0.9 + 0.5 + 0.6) / 3)


def test_two_metrics_meet_at_the_same_site(planted):
    found = asked(planted, "b.value AS balanced_accuracy")
    assert sorted(row[1:] for row in found if row[0] == "gpt2") == [
        ("layers.0", 2, 0.8), ("layers.1", 5, 0.7)
    ]  # fmt: skip


def test_what_a_model_lacks_and_how_far_metrics_reach(planted):
    assert sorted(asked(planted, "CROSS JOIN (")) == [("bert", "convexity"), ("gpt2", "convexity")]
    reach = asked(planted, "COUNT(*) AS runs, MIN(value)")
    assert reach == [
        ("probe", "balanced_accuracy", 5, 0.5, 0.9),
        ("spectrum", "effective_rank", 4, 1, 5),
    ]
    assert [row[2] for row in asked(planted, "COUNT(t.tag)")] == [1, 2]
