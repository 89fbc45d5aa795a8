"""`association`: indicators of stored runs against tags of models."""

from dataclasses import dataclass
from itertools import permutations
from typing import Annotated

import numpy as np
import pytest
import scipy.stats

import actlas
from actlas import InputError, Result, ResultTable, Runs, Tags
from actlas.plugins.association import association
from actlas.plugins.association.ranking import (
    Chance,
    discoveries,
    interval,
    orders,
    permuted,
    spearman,
    within,
)
from actlas.testing import checks

from .tiny import TEXTS

CHANCE = Chance(2000, 500, 0)
RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Summary:
    """One row a run."""

    good: Annotated[float, "goes with the quality"]
    noise: Annotated[float, "does not"]
    same: Annotated[int, "never varies"]
    name: Annotated[str, "no number"]


@dataclass(frozen=True)
class Class:
    """One class."""

    label: Annotated[str, "its name"]
    score: Annotated[float, "its score"]


@actlas.analysis(version=1, tables={"summary": Summary, "classes": Class})
def told(
    acts: actlas.Activations, *, good: Annotated[float, "given"] = 0.0,
    noise: Annotated[float, "given"] = 0.0,
) -> Result:  # fmt: skip
    """Return what it is told."""
    classes = [Class("a", good), Class("b", noise)]
    return Result({"summary": Summary(good, noise, 1, "x"), "classes": classes})


def result(good, noise):
    made = told(actlas.Activations.of(np.ones((2, 2), np.float32)), good=good, noise=noise)
    return Result(made.tables)


def over(goods, noises, tags):
    runs = Runs.of(*map(result, goods, noises), models=[f"m{i}" for i in range(len(goods))])
    return runs, Tags.of(runs, *tags)


def found(result, indicator, row=""):
    return next(
        r for r in result.tables["associations"] if (r["indicator"], r["row"]) == (indicator, row)
    )


def test_rho_is_that_of_scipy_with_ties_and_in_batches():
    values, quality = RNG.integers(0, 5, (20, 9)).astype(float), RNG.integers(0, 4, 9).astype(float)
    wanted = [scipy.stats.spearmanr(v, quality).statistic for v in values]
    np.testing.assert_allclose(spearman(values, quality), wanted, atol=1e-12)


def test_nothing_varies_nothing_is_said():
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert np.isnan(spearman(np.arange(5.0), np.ones(5)))


def test_the_partial_correlation_is_that_of_residuals_on_the_groups():
    values, quality = RNG.normal(size=12), RNG.normal(size=12)
    groups = np.arange(12) % 3
    design = np.eye(3)[groups]
    left = []
    for x in (values, quality):
        ranks = scipy.stats.rankdata(x)
        left.append(ranks - design @ np.linalg.lstsq(design, ranks, rcond=None)[0])
    wanted = scipy.stats.pearsonr(*left).statistic
    assert spearman(values, quality, groups) == pytest.approx(wanted, abs=1e-12)


def test_few_models_have_an_exact_p():
    values, quality = RNG.normal(size=(1, 6)), RNG.normal(size=6)
    p, family = permuted(values, np.ones((1, 6), bool), quality, CHANCE)
    own = abs(scipy.stats.spearmanr(values[0], quality).statistic)
    every = [
        abs(scipy.stats.spearmanr(values[0], quality[list(order)]).statistic)
        for order in permutations(range(6))
    ]
    assert p[0] == pytest.approx(np.mean(np.array(every) >= own - 1e-12))
    assert family[0] == p[0]  # a family of one


def test_drawn_permutations_come_near_the_exact_p_and_are_never_0():
    values = np.arange(15.0)[None]
    p, _ = permuted(values, np.ones((1, 15), bool), np.arange(15.0), CHANCE)
    assert p[0] == 1 / 2001
    quality = np.arange(15.0)[np.r_[7:15, 0:7]] * 1.0
    p, _ = permuted(values, np.ones((1, 15), bool), quality, Chance(20_000, 0, 0))
    wanted = scipy.stats.permutation_test(
        (values[0],), lambda x: scipy.stats.spearmanr(x, quality).statistic,
        permutation_type="pairings", n_resamples=4000, rng=1, alternative="two-sided",
    ).pvalue  # fmt: skip
    assert p[0] == pytest.approx(wanted, abs=0.03)


def test_permutations_of_groups_stay_within_them():
    groups = np.array([1, 0, 1, 2, 0, 0])
    drawn = orders(6, CHANCE, groups)
    assert (groups[drawn] == groups).all()
    assert (np.sort(drawn, axis=1) == np.arange(6)).all()
    assert len(np.unique(drawn, axis=0)) == 2 * 6  # 2! · 3! · 1!


def test_the_family_holds_its_level_where_nothing_goes_together():
    rng, hits = np.random.default_rng(3), 0
    for seed in range(60):
        values, quality = rng.normal(size=(20, 10)), rng.normal(size=10)
        _, family = permuted(values, np.ones((20, 10), bool), quality, Chance(199, 0, seed))
        hits += family.min() <= 0.05
    assert hits <= 9  # 3 expected; 0.3 % of the time more than 8


def test_the_family_is_wider_than_one_test_and_holds_rows_that_lack_models():
    values, there = RNG.normal(size=(8, 9)), np.ones((8, 9), bool)
    there[2, 4], values[2, 4] = False, np.nan
    p, family = permuted(values, there, RNG.normal(size=9), CHANCE)
    assert (family >= p - 1e-12).all()
    assert not np.isnan(p).any()


def test_the_interval_holds_rho_and_narrows_with_models():
    wide = []
    for n in (12, 200):
        x = np.arange(n, dtype=float)
        low, high = interval(x, x + np.random.default_rng(1).normal(size=n) * n / 3, CHANCE)
        assert low < spearman(x, x + np.random.default_rng(1).normal(size=n) * n / 3) < high
        wide.append(high - low)
    assert wide[1] < wide[0] / 2


def test_discoveries_are_those_of_benjamini_and_hochberg():
    p = np.array([0.01, np.nan, 0.02, 0.9])
    np.testing.assert_allclose(discoveries(p)[[0, 2, 3]], [0.03, 0.03, 0.9])
    assert np.isnan(discoveries(p)[1])


def test_a_planted_association_is_found_and_noise_is_not():
    quality = RNG.normal(size=12)
    runs, tags = over(np.exp(quality), RNG.normal(size=12), [{"quality": q} for q in quality])
    result = association(runs, tags, permutations=2000, draws=200)
    good, noise, same = (found(result, name) for name in ("good", "noise", "same"))
    assert good["rho"] == pytest.approx(1)
    assert good["p_family"] <= 0.001
    assert noise["p"] > 0.01
    assert np.isnan(same["rho"])
    assert np.isnan(same["p"])
    summary = next(iter(result.tables["summary"]))
    assert (summary["indicator"], summary["models"], summary["tests"]) == ("good", 12, 2)
    assert len(result.tables["points"]) == 36


def test_what_families_explain_is_gone_within_them():
    family = np.repeat([0, 1, 2], 6)
    quality = family * 10 + RNG.normal(size=18)
    tags = [{"quality": q, "family": f"f{f}"} for q, f in zip(quality, family, strict=True)]
    runs, tags = over(family * 5 + RNG.normal(size=18), RNG.normal(size=18), tags)
    row = found(association(runs, tags, control="family", permutations=2000, draws=0), "good")
    assert row["rho"] > 0.8
    assert row["p"] < 0.01
    assert abs(row["partial"]) < 0.6
    assert row["partial_p"] > 0.02
    assert np.isnan(row["low"])


def test_rows_of_a_table_are_told_apart_by_columns():
    quality = np.arange(5.0)
    runs, tags = over(quality, -quality, [{"quality": q} for q in quality])
    result = association(runs, tags, table="classes", by="label", draws=0)
    assert found(result, "score", "a")["rho"] == pytest.approx(1)
    assert found(result, "score", "b")["rho"] == pytest.approx(-1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quality": "acc"}, "0 of the models have the tag 'acc', and 4 are needed.*models tag"),
        ({"control": "family"}, "'quality' and 'family'"),
        ({"quality": "word"}, "word=x is no number"),
        ({"table": "class"}, "no table 'class'"),
        ({"indicators": "god"}, "no column 'god'"),
        ({"table": "classes"}, "2 rows a run.*--by label"),
        ({"table": "classes", "by": "labl"}, "no column 'labl'"),
        ({"indicators": "name"}, "no indicator of table"),
        ({"permutations": 0}, "permutations ≥ 1"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings, said):
    tags = [{"quality": float(i), "word": "x"} for i in range(5)]
    runs, tags = over(range(5), range(5), tags)
    with pytest.raises(InputError, match=said) as caught:
        association(runs, tags, **settings)
    assert "\n" not in str(caught.value)


def test_models_without_the_tag_are_left_out_and_named():
    tags = [{"quality": float(i)} if i else {} for i in range(6)]
    runs, tags = over(range(6), range(6), tags)
    result = association(runs, tags, draws=0)
    assert result.tables["summary"]["models"][0] == 5
    assert "m0" in result.warnings[0]


def test_through_the_store_tags_are_part_of_what_a_run_is(sqlite_store, tiny):
    store, data = sqlite_store, actlas.Dataset("texts", TEXTS)
    for i, kind in enumerate(("bert", "gpt2", "roberta", "distilbert")):
        extraction = store.extract(tiny(kind), data, ["layers.0", "layers.1"], pooling="mean")
        store.tag(extraction.record.model_id, {"quality": float(i)})
    for extraction in store.records("extractions"):
        store.run("spectrum", extraction.id, "layers.0,layers.1")
    ask = {"runs": "SELECT run_id FROM latest_run WHERE analysis = 'spectrum'", "draws": 0}
    by_site = store.run(association, **ask)[0]
    assert not by_site.reused
    assert {row["site"] for row in by_site.result.tables["associations"]} == {
        "layers.0",
        "layers.1",
    }
    assert store.run(association, **ask)[0].reused
    store.run("spectrum", 1, "layers.0", force=True)  # a later run of a layer that is not the last
    last = store.run(association, over="last", indicators="effective_rank", **ask)[0].result
    points = [p["value"] for p in last.tables["points"]]
    deepest = (
        "SELECT s.effective_rank FROM spectrum_summary s JOIN runs r ON r.id = s.run_id "
        "WHERE r.site = 'layers.1' ORDER BY r.extraction_id"
    )
    assert points == [row[0] for row in store.database.select(deepest)[1]]
    together = store.run(association, over="mean", **ask)[0]
    assert {row["site"] for row in together.result.tables["associations"]} == {""}
    store.tag(1, {"quality": 9.0})
    assert not store.run(association, **ask)[0].reused


@pytest.mark.parametrize("check", checks(association), ids=repr)
def test_it_conforms(check):
    check()


def test_within_takes_the_mean_of_groups():
    left = within(np.array([1.0, 2, 3, 5]), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(left * np.linalg.norm([0.5, 0.5, 1, 1]), [-0.5, 0.5, -1, 1])


def test_the_surest_is_first_not_what_few_models_have():
    quality = np.arange(12.0)
    noise = [float(i) if i < 4 else np.nan for i in range(12)]  # rho 1 over four models
    good = quality + np.tile([0.0, 3.0], 6)
    runs, tags = over(good, [0.0] * 12, [{"quality": q} for q in quality])
    runs = Runs.of(
        *[Result({"summary": ResultTable("summary", {"good": np.array([g]), "few": np.array([n])})})
          for g, n in zip(good, noise, strict=True)],
        models=[f"m{i}" for i in range(12)],
    )  # fmt: skip
    result = association(runs, tags, draws=0)
    assert found(result, "few")["rho"] == pytest.approx(1)
    assert found(result, "good")["rho"] < 1
    assert result.tables["summary"]["indicator"][0] == "good"


def test_models_that_few_tests_are_of_take_nothing_from_the_others():
    rng = np.random.default_rng(5)
    quality = rng.normal(size=12)
    values = np.array([quality + 0.1 * rng.normal(size=12), rng.normal(size=12)])
    there = np.ones((2, 12), bool)
    there[1, 4:] = False  # of four models, whose rho is often 1
    p, family = permuted(np.where(there, values, np.nan), there, quality, CHANCE)
    assert family[0] <= 0.01
    assert family[1] >= p[1]


def test_the_family_holds_its_level_where_tests_are_of_different_models():
    rng, hits = np.random.default_rng(4), 0
    for seed in range(60):
        values, quality = rng.normal(size=(6, 9)), rng.normal(size=9)
        there = rng.random((6, 9)) < 0.8
        there[:, :4] = True
        _, family = permuted(np.where(there, values, np.nan), there, quality, Chance(199, 0, seed))
        hits += family.min() <= 0.05
    assert hits <= 9


def test_where_draws_do_not_say_how_sure_rho_is_there_is_no_interval():
    x, y = np.arange(12.0), RNG.normal(size=12)
    assert np.isnan(interval(x, x, CHANCE)).all()
    assert np.isnan(interval(x[:7], y[:7], CHANCE)).all()
    assert not np.isnan(interval(x[:8], y[:8], CHANCE)).any()


def test_with_a_control_what_is_sure_is_so_within_groups():
    family = np.repeat([0, 1, 2], 6)
    inner = np.tile(np.arange(6.0), 3)
    tags = [
        {"quality": 10.0 * f + i, "family": f"f{f}"} for f, i in zip(family, inner, strict=True)
    ]
    between = 10.0 * family + RNG.permuted(inner.reshape(3, 6), axis=1).ravel()
    runs, tags = over(between, inner - 5.0 * family, tags)
    free = association(runs, tags, draws=0)
    held = association(runs, tags, control="family", draws=0)
    surest = [r.tables["summary"]["indicator"][0] for r in (free, held)]
    assert surest == ["good", "noise"]
    assert held.tables["summary"]["partial"][0] > 0.99
    assert held.tables["summary"]["significant_family"][0] == 1
    row = found(held, "good")
    assert row["p"] < 0.01 < row["partial_p"] <= row["q"]
    assert row["p_family"] > 0.05
    drawn = held.figures["intervals"].to_dict()
    assert "noise" in str(drawn)
    assert "within groups" in str(drawn)
    rows = [one for data in drawn["datasets"].values() for one in data]
    shown = [one["rho"] for one in rows if "noise" in one.get("name", "")]
    assert set(shown) == {found(held, "noise")["partial"]}


def test_whole_numbers_of_which_some_are_missing_are_numbers():
    counts = np.array([[i, None if i == 2 else 5 - i] for i in range(5)], object)
    runs = Runs.of(
        *[
            Result({"t": ResultTable("t", {"of": np.array(["a", "b"]), "n": row})})
            for row in counts
        ],
        models=[f"m{i}" for i in range(5)],
    )
    tags = Tags.of(runs, *({"quality": float(i)} for i in range(5)))
    result = association(runs, tags, table="t", by="of", draws=0)
    assert [(row["row"], row["models"]) for row in result.tables["associations"]] == [
        ("a", 5), ("b", 4)
    ]  # fmt: skip


def test_checkpoints_of_a_training_are_warned_of():
    tags = [{"quality": float(i), "step": float(i)} for i in range(5)]
    runs, known = over(range(5), range(5), tags)
    assert association(runs, known, draws=0).warnings[0].startswith("5 models have a tag 'step'")
    same = Tags.of(runs, *({**t, "step": 7.0} for t in tags))
    assert not association(runs, same, draws=0).warnings


def test_a_quality_that_does_not_vary_is_refused():
    runs, tags = over(range(5), range(5), [{"quality": 1.0}] * 5)
    with pytest.raises(InputError, match="all 5 models have the same quality"):
        association(runs, tags)


@pytest.mark.parametrize("how", ["site", "mean", "last"])
def test_two_runs_of_a_model_at_a_site_are_refused(how):
    runs, tags = over(range(6), range(6), [{"quality": float(i)} for i in range(6)])
    twice = Tags(tags.tags, {**tags.models, 2: 1})
    with pytest.raises(InputError, match="runs 1 and 2 are of one model at one site"):
        association(runs, twice, over=how)
