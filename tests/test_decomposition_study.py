"""The study of decompositions: scipy's numbers, closed forms, planted truths, brute force."""

import itertools
import shutil
from dataclasses import dataclass, replace
from math import asin, comb, pi
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy import stats

import actlas
from actlas import Activations, InputError, Result, Runs, analysis
from actlas.cli import main
from actlas.plugins.decomposition.study import correlating, decomposition_study, sentences
from actlas.plugins.decomposition.study.correlating import (
    Drawing,
    block_orders,
    by_blocks,
    correlate,
    drawn_pairs,
    grouped,
    interval,
    permuted,
)
from actlas.plugins.decomposition.study.curves import Column, z_scores
from actlas.plugins.decomposition.study.sentences import chosen_steps
from actlas.plugins.decomposition.study.summing import summaries
from actlas.plugins.decomposition.study.tables import Correlation
from actlas.plugins.decomposition.study.tokens import Tokens, effect
from actlas.plugins.decomposition.study.variance import components, shares
from actlas.plugins.decomposition.study.warping import (
    MOST,
    condition_orders,
    pair_choices,
    smaller,
    warping_distance,
)
from actlas.testing import checks

from .studied import (
    COLUMNS,
    LENGTHS,
    QUALITIES,
    TOKEN_COLUMNS,
    example,
    result,
    rows_of,
    runs_of,
    write,
)

HOW = Drawing(pairs=1000, repetitions=10, draws=100, block=None, seed=0)
QUICK = {"draws": 100, "repetitions": 2}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def alone(k):
    """Groups of k columns that are in none."""
    return np.zeros((k, 0))


@pytest.fixture(scope="module")
def whole():
    """The study of the example, for tests that only look at it."""
    return decomposition_study(example(), qualities=QUALITIES, **QUICK)


def rows(result, table, **where):
    return [r for r in result.tables[table] if all(r[k] == v for k, v in where.items())]


def pairs_of(n):
    return np.triu_indices(n, 1)


# Correlation of differences


def test_rho_is_scipys_over_all_pairs():
    Z, q = z_scores(normal(9, 5)), normal(9, seed=1)
    found = correlate(Z, q, alone(5), HOW, steps=np.arange(9.0))
    a, b = pairs_of(9)
    for k in range(5):
        assert found.rho[k] == pytest.approx(stats.spearmanr(Z[b, k] - Z[a, k], q[b] - q[a])[0])
    assert found.step == pytest.approx(stats.spearmanr(b - a, q[b] - q[a])[0])
    assert set(found.sd) == {0.0}
    assert found.pairs == 36
    assert correlate(Z, 1e-13 * q, alone(5), HOW).rho == pytest.approx(found.rho)  # in any unit


def test_ties_have_their_mean_rank():
    Z, q = np.array([0, 0, 1, 1, 2.0])[:, None], np.array([3, 1, 1, 4, 3.0])
    a, b = pairs_of(5)
    expected = stats.spearmanr(Z[b, 0] - Z[a, 0], q[b] - q[a])[0]
    assert correlate(Z, q, alone(1), HOW).rho[0] == pytest.approx(expected)


def test_the_sign_is_raw_and_pairs_go_forward():
    q = np.array([1, 2, 4, 7, 9.0])
    found = correlate(z_scores(np.column_stack([q, -q])), q, alone(2), HOW)
    assert found.rho.tolist() == pytest.approx([1, -1])
    first, second = drawn_pairs(30, 50, np.random.default_rng(0))
    assert (first < second).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == 50


def test_z_scores_are_not_flipped():
    X = normal(20, 3) * 5 + 2
    assert z_scores(X) == pytest.approx(stats.zscore(X, axis=0))
    bad = np.column_stack([np.full(5, 0.1), [1, 2, np.nan, 4, 5], np.arange(5.0)])
    assert np.isnan(z_scores(bad)).all(axis=0).tolist() == [True, True, False]
    for rounding in (1e-16, 1e-8):  # of float64, and of float32 in a cosine of the input with e
        assert np.isnan(z_scores(0.3 + rounding * normal(5, 1))).all()
    assert np.isfinite(z_scores(0.3 + 1e-5 * normal(5, 1))).all()
    assert np.isfinite(z_scores(1e-12 * normal(5, 1))).all()


def test_l1norm_is_the_sum_over_the_terms_of_a_site_and_indicator():
    columns = (
        Column("a", "cosine", "i"), Column("a", "cosine", "f"), Column("a", "norm_ratio", "i"),
        Column("b", "cosine", "i"), Column("b", "cosine", "f"),
    )  # fmt: skip
    groups, names = grouped(columns)
    assert names == [("a", "cosine"), ("a", "norm_ratio"), ("b", "cosine")]
    Z, q = z_scores(normal(8, 5)), normal(8, seed=3)
    Z[:, 4] = np.nan
    found = correlate(Z, q, groups, HOW)
    a, b = pairs_of(8)
    total = np.abs(Z[b, 0] - Z[a, 0]) + np.abs(Z[b, 1] - Z[a, 1])
    assert found.rho[5] == pytest.approx(stats.spearmanr(total, q[b] - q[a])[0])
    assert np.isnan(found.rho[[4, 6, 7]]).all()  # of one term alone it is no sum


def test_a_planted_correlation_is_found():
    """Spearman's rho of a normal pair of correlation r is 6/π asin(r/2)."""
    r, n = 0.6, 1500
    x, e = normal(2, n)
    q = r * x + np.sqrt(1 - r * r) * e
    how = Drawing(pairs=1000, repetitions=10, draws=1, block=None, seed=0)
    found = correlate(z_scores(x[:, None]), q, alone(1), how)
    assert found.rho[0] == pytest.approx(6 / pi * asin(r / 2), abs=0.04)
    assert 0.005 < found.sd[0] < 0.05
    assert found.pairs == 1000


def test_repetitions_draw_other_pairs_and_their_sd_is_that_of_a_sample():
    Z, q = z_scores(normal(60, 1)), normal(60, seed=1)
    how = Drawing(pairs=100, repetitions=2, draws=100, block=None, seed=4)
    chance = np.random.default_rng(4)
    two = []
    for _ in range(2):
        a, b = drawn_pairs(60, 100, chance)
        changes = np.column_stack([Z[b, 0] - Z[a, 0], q[b] - q[a], b**2 - a**2])
        (_, xq, xt), (_, _, qt), _ = stats.spearmanr(changes)[0]
        two.append((xq, qt, (xq - xt * qt) / np.sqrt((1 - xt**2) * (1 - qt**2))))
    t = np.arange(60.0) ** 2
    found = correlate(Z, q, alone(1), how, steps=t)
    rho, sd = np.mean(two, axis=0), np.std(two, axis=0, ddof=1)
    assert (found.rho[0], found.step) == pytest.approx(tuple(rho[:2]))
    assert found.partial[0] == pytest.approx(rho[2])
    assert found.sd[0] == pytest.approx(sd[0])


def test_time_held_fixed():
    """Both rise with time and have nothing else in common."""
    t = np.arange(40.0)
    Z = z_scores(np.column_stack([t + 4 * normal(40), normal(40, seed=8)]))
    q = t + 4 * normal(40, seed=1)
    found = correlate(Z, q, alone(2), HOW, steps=t)
    assert found.rho[0] > 0.7
    assert found.step > 0.7
    assert abs(found.partial[0]) < 0.3
    a, b = pairs_of(40)
    ranks = [stats.rankdata(v[b] - v[a]) for v in (Z[:, 0], q, t)]
    left = [y - np.polyval(np.polyfit(ranks[2], y, 1), ranks[2]) for y in ranks[:2]]
    assert found.partial[0] == pytest.approx(np.corrcoef(*left)[0, 1])
    assert np.isnan(correlate(Z, t, alone(2), HOW, steps=t).partial).all()


def test_p_is_that_of_all_permutations():
    Z, q = z_scores(normal(5, 3)), normal(5, seed=2)
    a, b = pairs_of(5)
    how = Drawing(1000, 1, 120, 1, 0)
    found = correlate(Z, q, alone(3), how, steps=np.arange(5.0))
    for k in range(3):
        null = []
        for order in itertools.permutations(range(5)):
            dealt = q[list(order)]
            null.append(stats.spearmanr(Z[b, k] - Z[a, k], dealt[b] - dealt[a])[0])
        assert found.p[k] == np.mean(np.abs(null) >= abs(found.rho[k]) - 1e-12)
    drawn = correlate(Z, q, alone(3), Drawing(1000, 1, 119, 1, 0), steps=np.arange(5.0))
    assert drawn.p * 120 == pytest.approx(np.round(drawn.p * 120))
    assert drawn.p == pytest.approx(found.p, abs=0.15)
    assert np.isnan(correlate(Z, q, alone(3), how).p).all()


def p_of(Z, quality, draws, block):
    how = Drawing(200, 1, draws, block, 0)
    chance = np.random.default_rng(0)
    pairs = drawn_pairs(len(Z), 200, chance)
    return permuted(Z, z_scores(quality[:, None])[:, 0], alone(Z.shape[1]), pairs, how, chance)


@pytest.mark.parametrize("n", [8, 21])
def test_p_is_calibrated_under_the_null(n):
    """Columns that have nothing to do with quality: p is uniform."""
    Z, q = z_scores(normal(n, 600, seed=n)), np.cumsum(normal(n, seed=1))
    p = p_of(Z, q, 199, 1)
    for alpha in (0.05, 0.2, 0.5):
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=3 * np.sqrt(alpha / 600))


def test_blocks_make_up_for_neighbours_that_are_alike():
    series = normal(80, 301)
    for t in range(1, 80):
        series[t] += 0.8 * series[t - 1]
    Z, q = z_scores(series[:, 1:]), series[:, 0]
    false = {block: np.mean(p_of(Z, q, 199, block) <= 0.05) for block in (1, 16)}
    assert false[1] > 0.2
    assert false[16] < 0.6 * false[1]


def test_blocks_stay_together_and_what_is_left_stays():
    chance = np.random.default_rng(0)
    orders, exact = block_orders(7, 2, 100, chance)
    assert exact
    assert len(orders) == len({tuple(o) for o in orders.tolist()}) == 6
    assert (orders[:, 6] == 6).all()
    assert (orders[:, 1:6:2] - orders[:, 0:6:2] == 1).all()
    drawn, exact = block_orders(9, 1, 100, chance)
    assert not exact
    assert drawn.shape == (100, 9)
    assert (np.sort(drawn, axis=1) == np.arange(9)).all()
    assert [Drawing(1, 1, 1, None, 0).blocks(n) for n in (4, 8, 27, 600)] == [2, 2, 3, 8]
    assert Drawing(1, 1, 1, 5, 0).blocks(3) == 3


def ends_of(Z, quality, how):
    chance = np.random.default_rng(0)
    draw = by_blocks(len(Z), how)
    return interval(Z, quality, alone(Z.shape[1]), how, draw, chance)


def test_intervals_draw_checkpoints_and_hold_the_truth():
    """Coverage over columns of a planted rho; pairs of a checkpoint with itself do not count."""
    n, k, r = 30, 100, 0.6
    q, e = normal(n), normal(n, k, seed=2)
    Z = z_scores(r * q[:, None] + np.sqrt(1 - r * r) * e)
    found = correlate(Z, q, alone(k), Drawing(435, 1, 1, 1, 0))
    low, high = ends_of(Z, q, Drawing(435, 1, 150, 1, 0))
    truth = found.rho.mean()  # given this quality
    assert 0.85 < np.mean((low < truth) & (truth < high)) <= 1
    assert np.mean((low < found.rho) & (found.rho < high)) > 0.95
    assert 0.2 < np.mean(high - low) < 0.9
    exact = ends_of(z_scores(q[:, None]), q, Drawing(435, 1, 50, 1, 0))
    assert np.array(exact)[:, 0] == pytest.approx((1, 1))


def test_intervals_are_percentiles_over_drawn_checkpoints():
    """Pairs of a checkpoint with itself are left out, and all go from the earlier on."""
    how = Drawing(1000, 1, 40, 3, 0)
    Z, q = z_scores(np.cumsum(normal(12, 2), axis=0)), np.cumsum(normal(12, seed=1))
    q = z_scores(q[:, None])[:, 0]
    groups, chance, drawn = np.ones((2, 1)), np.random.default_rng(0), []
    for _ in range(40):
        index = by_blocks(12, how)(chance)
        pairs = [(min(p), max(p)) for p in itertools.combinations(index, 2) if p[0] != p[1]]
        a, b = np.array(pairs).T
        L1 = np.abs(Z[b] - Z[a]).sum(axis=1)
        changes = (*(Z[b] - Z[a]).T, L1)
        drawn.append([stats.spearmanr(x.round(10), (q[b] - q[a]).round(10))[0] for x in changes])
    found = interval(Z, q, groups, how, by_blocks(12, how), np.random.default_rng(0))
    assert np.array(found) == pytest.approx(np.quantile(drawn, [0.025, 0.975], axis=0))


def test_longer_blocks_widen_intervals_of_slow_series():
    series = np.cumsum(normal(40, 30), axis=0)
    width = {}
    for block in (1, 8):
        low, high = ends_of(z_scores(series[:, 1:]), series[:, 0], Drawing(100, 1, 100, block, 0))
        width[block] = np.mean(high - low)
    assert width[8] > 1.15 * width[1]


def test_blocks_are_neighbours_from_anywhere():
    draw = by_blocks(10, Drawing(1, 1, 1, 3, 0))
    seen = set()
    for seed in range(60):
        index = draw(np.random.default_rng(seed))
        assert len(index) == 10
        assert (np.diff(index[:9].reshape(3, 3), axis=1) == 1).all()
        seen |= set(index.tolist())
    assert seen == set(range(10))


# Warping and the permutation of distances


def warped_by_hand(x, y):
    """The least sum over every path through the two, one step at a time."""

    def rest(i, j):
        here = abs(x[i] - y[j])
        if (i, j) == (len(x) - 1, len(y) - 1):
            return here
        ways = [(i + 1, j), (i, j + 1), (i + 1, j + 1)]
        return here + min(rest(a, b) for a, b in ways if a < len(x) and b < len(y))

    return rest(0, 0)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 6), (1, 3), (6, 2), (1, 1)])
def test_warping_is_the_best_of_all_paths(n, m):
    X, Y = normal(n, 4), normal(m, 4, seed=1)
    expected = [warped_by_hand(X[:, k], Y[:, k]) for k in range(4)]
    assert warping_distance(X, Y) == pytest.approx(expected)
    assert warping_distance(Y, X) == pytest.approx(expected)


def test_warping_of_a_series_with_itself_is_nothing():
    X = normal(50, 3)
    assert warping_distance(X, X).tolist() == [0, 0, 0]
    slow = np.repeat(X, 3, axis=0)  # the same, three times as slowly
    assert warping_distance(X, slow).tolist() == [0, 0, 0]
    assert (warping_distance(X, X + 1) > 0).all()


def test_the_permutation_of_distances_is_scipys():
    D = np.abs(normal(15, 6))
    within = np.arange(15) < 3
    choices, exact = pair_choices(15, 3, np.random.default_rng(0))
    assert exact
    assert len(choices) == comb(15, 3) == 455
    for k in range(6):
        theirs = stats.permutation_test(
            (D[within, k], D[~within, k]), lambda x, y: x.mean() - y.mean(),
            permutation_type="independent", alternative="less", n_resamples=1000,
        )  # fmt: skip
        assert smaller(D, within, choices, True)[k] == pytest.approx(theirs.pvalue)
    D[:3] = 0
    assert smaller(D, within, choices, True) == pytest.approx(1 / 455)
    assert smaller(-D, within, choices, True) == pytest.approx(1)


def test_equal_distances_count_as_reached():
    D = np.full((6, 1), 0.1) * np.ones(6)[:, None]
    choices, _ = pair_choices(6, 2, np.random.default_rng(0))
    assert smaller(D, np.arange(6) < 2, choices, True)[0] == 1.0


def test_many_ways_are_drawn():
    choices, exact = pair_choices(45, 20, np.random.default_rng(0))
    assert not exact
    assert choices.shape == (MOST, 45)
    assert (choices.sum(axis=1) == 20).all()
    D = np.where(np.arange(45) < 20, 0.0, 1.0)[:, None]
    assert smaller(D, np.arange(45) < 20, choices, False)[0] == 1 / (1 + MOST)
    orders, exact = condition_orders(["a"] * 5 + ["b"] * 4 + ["c"] * 4, np.random.default_rng(0))
    assert not exact
    assert orders.shape == (MOST, 13)
    assert set(np.bincount(orders[7])) == {5, 4}


def test_conditions_of_training_runs_are_dealt_out_once_each():
    conditions = ["rus", "rus", "rus", "sla", "ine", "mul"]
    orders, exact = condition_orders(conditions, np.random.default_rng(0))
    assert exact
    every = {tuple(order) for order in itertools.permutations([2, 2, 2, 3, 0, 1])}
    codes = {tuple(o) for o in orders.tolist()}
    assert len(orders) == len(codes) == len(every) == 120
    half, exact = condition_orders([*"aaaabbbb"], np.random.default_rng(0))
    assert exact  # of 8! orders only these differ
    assert len(half) == comb(8, 4)
    first, second = pairs_of(6)
    alike = {tuple(np.flatnonzero(np.array(o)[first] == np.array(o)[second])) for o in codes}
    assert len(alike) == comb(6, 3)


def test_permutation_is_calibrated_under_the_null():
    D = np.abs(normal(15, 800))
    within = np.arange(15) < 3
    choices, _ = pair_choices(15, 3, np.random.default_rng(0))
    p = smaller(D, within, choices, True)
    for alpha in (0.05, 0.25, 0.5):
        assert np.mean(p <= alpha) == pytest.approx(alpha, abs=3 * np.sqrt(alpha / 800))


def test_curves_of_one_condition_are_nearer(tmp_path):
    """Two training runs that share a curve, two that share another."""
    t = np.linspace(0, 6, 6)
    shapes = [np.sin(t), np.sin(t), np.cos(t), np.cos(t)]
    means = np.concatenate([np.outer(s, np.ones(len(COLUMNS))) for s in shapes])
    means += 0.01 * normal(*means.shape)
    # The last of series 3 has two points more, so all are cut to six.
    lines = [(f"m{i}", f"s{i // 6}", i % 6, "ab"[i // 12], i % 6) for i in range(24)]
    more = [("m24", "s3", 6, "b", 6), ("m25", "s3", 7, "b", 7)]
    means = np.concatenate([means, normal(2, len(COLUMNS))])
    path = write(tmp_path / "q.csv", "model,series,step,condition,bleu", [*lines, *more])
    found = decomposition_study(runs_of(means), qualities=path, **QUICK)
    rows_of_one = rows(found, "warping", site="embed", indicator="cosine", term="input")
    k = COLUMNS.index(Column("embed", "cosine", "input"))
    X = [means[i * 6 : i * 6 + 6, k] for i in range(3)] + [means[18:26, k]]
    Z = [stats.zscore(x)[:6] for x in X]
    for row in rows_of_one:
        i, j = int(row["series"][1]), int(row["other"][1])
        assert row["distance"] == pytest.approx(warped_by_hand(Z[i], Z[j]), rel=1e-9)
        assert row["checkpoints"] == 6
        assert row["within"] == (i // 2 == j // 2)
    assert len(rows_of_one) == 6
    test = rows(found, "permutation", site="embed", indicator="cosine", term="input")[0]
    assert (test["n_within"], test["n_between"], test["permutations"]) == (2, 4, comb(6, 2))
    assert test["exact"]
    assert test["p"] == pytest.approx(1 / 15)
    assert test["p_series"] == pytest.approx(1 / 3)  # three ways to make two pairs of four
    inside = [r["distance"] for r in rows_of_one if r["within"]]
    assert test["within"] == pytest.approx(np.mean(inside))
    assert test["between"] > test["within"]


def test_distances_are_permuted_within_a_data_set(tmp_path):
    means = normal(9, len(COLUMNS))
    both = [*runs_of(means, data="gen"), *runs_of(means + 1, data="ref")]
    text = "model,series,step,condition,bleu\n"
    text += "".join(f"m{i},s{i // 3},{i % 3},{'aab'[i // 3]},{i}\n" for i in range(9))
    numbered = (replace(run, id=i) for i, run in enumerate(both, 1))
    table = study(tmp_path, text, Runs(tuple(numbered))).tables["permutation"]
    assert len(table) == 2 * len(COLUMNS)
    counts = {(r["data"], r["n_within"], r["n_between"], r["permutations"]) for r in table}
    assert counts == {("gen", 1, 2, 3), ("ref", 1, 2, 3)}


# Components of variance


def test_planted_components_are_found():
    runs, sentences, sizes = 60, 400, np.array([[2.0, 0.5, 1.0], [0.3, 1.5, 0.6]]).T
    run, sentence, rest = (
        size * normal(*shape, seed=i)
        for i, (size, shape) in enumerate(
            zip(sizes, [(runs, 1, 2), (1, sentences, 2), (runs, sentences, 2)], strict=True)
        )
    )
    found = components(run + sentence + rest + 5)
    assert np.sqrt(found.run) == pytest.approx(sizes[0], rel=0.2)
    assert np.sqrt(found.sentence) == pytest.approx(sizes[1], rel=0.1)
    assert np.sqrt(found.rest) == pytest.approx(sizes[2], rel=0.02)
    assert shares(found).sum(axis=0) == pytest.approx(1)
    assert shares(found)[:, 0] == pytest.approx(np.array([4, 0.25, 1]) / 5.25, abs=0.06)


def test_components_are_those_of_the_layout():
    """Mean squares of a two-way layout by least squares, and their expectations."""
    X = normal(4, 6, 1)
    y = X[..., 0].ravel()
    run, sentence = np.repeat(np.arange(4), 6), np.tile(np.arange(6), 4)
    one = np.ones((24, 1))

    of_run, of_sentence = np.eye(4)[run], np.eye(6)[sentence]
    rest = ((y - _fitted(np.hstack([one, of_run, of_sentence]), y)) ** 2).sum()
    ms_rest = rest / 15
    ms_run = (((y - _fitted(np.hstack([one, of_sentence]), y)) ** 2).sum() - rest) / 3
    ms_sentence = (((y - _fitted(np.hstack([one, of_run]), y)) ** 2).sum() - rest) / 5
    found = components(X)
    assert found.rest[0] == pytest.approx(ms_rest)
    assert found.run[0] == pytest.approx(max(0, (ms_run - ms_rest) / 6))
    assert found.sentence[0] == pytest.approx(max(0, (ms_sentence - ms_rest) / 4))


def _fitted(A, y):
    return A @ np.linalg.lstsq(A, y, rcond=None)[0]


def test_what_does_not_vary_has_no_shares():
    assert np.isnan(shares(components(np.ones((3, 4, 1))))).all()
    X = normal(3, 4, 1)
    for axis, name in ((1, "run"), (0, "sentence")):  # estimated below nothing
        assert getattr(components(X - X.mean(axis=axis, keepdims=True)), name) == 0
    only = np.arange(3.0)[:, None, None] * np.ones((3, 4, 1))
    assert shares(components(only))[:, 0].tolist() == [1, 0, 0]


# Tokens


def test_effect_is_mann_whitneys():
    X, Y = np.round(normal(7, 5), 1), np.round(normal(9, 5, seed=1), 1)
    Y[:3] = X[:3]  # ties
    expected = stats.mannwhitneyu(X, Y, axis=0).statistic / 63
    assert effect(X, Y) == pytest.approx(expected)
    X[2, 1] = np.nan
    assert np.isnan(effect(X, Y)).tolist() == [False, True, False, False, False]


def test_effect_does_not_depend_on_the_block(monkeypatch):
    X, Y = normal(20, 4), normal(10, 4, seed=1)
    whole = effect(X, Y)
    monkeypatch.setattr("actlas.plugins.decomposition.study.tokens.BLOCK", 100)
    assert effect(X, Y) == pytest.approx(whole)


def test_agreement_and_overlap_of_two_training_runs(tmp_path):
    tokens = normal(4, sum(LENGTHS), len(COLUMNS))
    tokens[3] = tokens[1] + 0.3 * tokens[3]
    tokens[0, 2, 5] = np.nan
    tokens[0, 2:, 6] = np.nan  # two are left, and two have no rank correlation
    path = write(
        tmp_path / "q.csv", "model,series,step,condition,bleu",
        [("m0", "s0", 1, "a", 1), ("m1", "s0", 2, "a", 2), ("m2", "s1", 1, "a", 3),
         ("m3", "s1", 2, "a", 4)],
    )  # fmt: skip
    found = decomposition_study(runs_of(normal(4, len(COLUMNS)), tokens=tokens), qualities=path)
    table = rows(found, "agreement")
    assert len(table) == 2 * len(COLUMNS) - 1
    for row in table:
        k = TOKEN_COLUMNS.index(Column(row["site"], row["indicator"], row["term"]))
        x, y = tokens[row["step"] - 1, :, k], tokens[row["step"] + 1, :, k]
        kept = np.isfinite(x) & np.isfinite(y)
        assert row["rho"] == pytest.approx(stats.spearmanr(x[kept], y[kept])[0])
        assert row["tokens"] == kept.sum()
        assert row["within"]
        assert (row["series"], row["other"]) == ("s0", "s1")
    assert min(r["tokens"] for r in table) == sum(LENGTHS) - 1
    sample = rows_of().sample
    for row in rows(found, "overlap"):
        k = TOKEN_COLUMNS.index(Column(row["site"], row["indicator"], row["term"]))
        x, y = tokens[row["step"] - 1, :, k], tokens[row["step"] + 1, :, k]
        f = np.array([
            stats.mannwhitneyu(x[sample == s], y[sample == s]).statistic / n**2
            for s, n in enumerate(LENGTHS)
        ])  # fmt: skip
        same = 1 - np.abs(2 * f - 1)
        assert (row["above"], row["same"]) == pytest.approx((f.mean(), same.mean()))
        assert row["sd"] == pytest.approx(same.std())
        assert row["sentences"] == 3
    assert len(rows(found, "overlap")) == 2 * len(COLUMNS) - 2  # not those with NaN
    assert not rows(found, "warping")  # a curve of two points has no shape


def test_other_tokens_are_not_compared(tmp_path):
    path = write(
        tmp_path / "q.csv", "model,series,step,bleu", [("m0", "s0", 1, 1), ("m1", "s1", 1, 2)]
    )
    tokens = normal(2, sum(LENGTHS), len(COLUMNS))
    results = [result(np.zeros(len(COLUMNS)), t) for t in tokens]
    for other in (rows_of(words="x"), rows_of((6, 4, 5))):
        runs = Runs.of(*results, models=["m0", "m1"], rows=[rows_of(), other])
        found = decomposition_study(runs, qualities=path)
        assert not rows(found, "agreement")
        assert not rows(found, "overlap")
        assert rows(found, "variance")
        assert any("kept the same tokens at the same step" in w for w in found.warnings)


def test_rows_that_were_left_out_are_known_by_their_numbers(tmp_path):
    path = write(
        tmp_path / "q.csv", "model,series,step,bleu", [("m0", "s0", 1, 1), ("m1", "s1", 1, 2)]
    )
    numbers = np.delete(np.arange(sum(LENGTHS)), [0, 5])
    tokens = normal(2, len(numbers), len(COLUMNS))
    runs = runs_of(np.zeros((2, len(COLUMNS))), tokens=tokens, numbers=numbers)
    found = decomposition_study(runs, qualities=path)
    assert rows(found, "agreement")[0]["tokens"] == len(numbers)
    sample = rows_of().sample[numbers]
    means = np.array([[t[sample == s].mean(axis=0) for s in range(3)] for t in tokens])
    row = rows(found, "variance", over="training runs at step 1")[3]
    k = TOKEN_COLUMNS.index(Column(row["site"], row["indicator"], row["term"]))
    parts = components(means[:, :, k : k + 1])
    assert row["total"] == pytest.approx(sum(p[0] for p in parts))
    assert row["run_share"] == pytest.approx(shares(parts)[0, 0])
    assert (row["runs"], row["sentences"]) == (2, 3)


def test_means_of_samples_do_where_tokens_were_not_kept(tmp_path):
    path = write(
        tmp_path / "q.csv", "model,series,step,bleu", [("m0", "s0", 1, 1), ("m1", "s1", 1, 2)]
    )
    values = normal(2, 4, len(COLUMNS))
    results = [result(np.zeros(len(COLUMNS)), samples=v) for v in values]
    found = decomposition_study(Runs.of(*results, models=["m0", "m1"]), qualities=path)
    assert not rows(found, "agreement")
    table = rows(found, "variance")
    assert len(table) == len(COLUMNS)
    parts = components(values[:, :, 2:3])
    place = dict(zip(("site", "indicator", "term"), TOKEN_COLUMNS[2], strict=True))
    row = rows(found, "variance", **place)[0]
    assert row["total"] == pytest.approx(sum(p[0] for p in parts))
    # A sentence whose value is not defined in one of the runs is left out of all.
    values[1, 3, 2] = np.nan
    results = [result(np.zeros(len(COLUMNS)), samples=v) for v in values]
    found = decomposition_study(Runs.of(*results, models=["m0", "m1"]), qualities=path)
    (row,) = rows(found, "variance", **place)
    parts = components(values[:, :3, 2:3])
    assert row["total"] == pytest.approx(sum(p[0] for p in parts))
    assert row["sentences"] == 3


def test_means_of_sentences_are_over_what_is_defined():
    values = np.array([[1, np.nan], [3, 4], [np.nan, 5]])
    tokens = Tokens(np.arange(3), np.array([0, 0, 2]), values, TOKEN_COLUMNS[:2], rows_of((2, 1)))
    found = tokens.sentences()
    assert found.samples.tolist() == [0, 2]
    assert found.values == pytest.approx(np.array([[2, 4], [np.nan, 5]]), nan_ok=True)


def test_steps_are_those_that_most_training_runs_have():
    class Point:
        def __init__(self, step):
            self.step = step

    class Run:
        def __init__(self, *steps):
            self.checkpoints = [Point(s) for s in steps]

    assert chosen_steps([Run(1, 2, 3), Run(2, 3, 4)], 10) == [2, 3]
    assert chosen_steps([Run(*range(101))], 5) == [0, 25, 50, 75, 100]
    assert chosen_steps([Run(5), Run(7)], 10) == [5, 7]
    assert chosen_steps([Run(*range(9))], 1) == [0]


def test_variance_over_checkpoints_and_over_training_runs(whole):
    found = whole
    over = dict.fromkeys(r["over"] for r in rows(found, "variance"))
    assert list(over) == [
        "checkpoints of s0", "checkpoints of s1", "checkpoints of s2",
        "training runs at step 100", "training runs at step 400",
    ]  # fmt: skip
    assert {r["runs"] for r in rows(found, "variance", over="checkpoints of s0")} == {4}
    assert {r["runs"] for r in rows(found, "variance", over="training runs at step 100")} == {3}


# The level of sentences


def sentence_study(tmp_path, plant, sentences=40, **settings):
    """Three checkpoints of one training run; `plant` makes qualities of the means of sentences."""
    lengths = (3,) * sentences
    tokens = normal(3, 3 * sentences, len(COLUMNS))
    means = tokens.reshape(3, sentences, 3, -1).mean(axis=2)
    quality = plant(means)
    q = write(
        tmp_path / "q.csv", "model,series,step,bleu", [(f"m{i}", "s", i, i) for i in range(3)]
    )
    lines = [
        (f"m{i}", s, quality[i, s]) for i in range(3) for s in range(sentences)
    ]  # fmt: skip
    path = write(tmp_path / "s.csv", "model,sample,comet", lines)
    runs = runs_of(normal(3, len(COLUMNS)), tokens=tokens, lengths=lengths)
    return decomposition_study(runs, qualities=q, sentences=path, draws=100, **settings)


def test_a_planted_sentence_quality_is_found(tmp_path):
    found = sentence_study(tmp_path, lambda means: -means[:, :, 3])
    table = rows(found, "correlation", level="sentence")
    place = dict(zip(("site", "indicator", "term"), TOKEN_COLUMNS[3], strict=True))
    (row,) = [r for r in table if all(r[k] == v for k, v in place.items())]
    assert row["rho"] == pytest.approx(-1)
    assert (row["low"], row["high"]) == pytest.approx((-1, -1))
    assert row["metric"] == "comet"
    assert row["n"] == 120
    assert row["pairs"] == 1000
    assert row["p"] is None or np.isnan(row["p"])
    others = [abs(r["rho"]) for r in table if r["term"] != "L1norm" and r is not row]
    assert np.median(others) < 0.15
    assert {r["level"] for r in rows(found, "summary")} == {"sentence"}


def test_intervals_over_sentences_draw_sentences(tmp_path, monkeypatch):
    seen = []

    def recorded(*given, resample):
        seen.append(resample.sample)
        return correlating.correlate(*given, resample=resample)

    monkeypatch.setattr(sentences, "correlate", recorded)
    sentence_study(tmp_path, lambda means: means[:, :, 0])
    (sample,) = seen
    assert set(np.bincount(sample)) == {3}  # each with its three checkpoints


def test_variance_is_split_over_the_samples_that_all_have():
    column = (Column(*TOKEN_COLUMNS[0]),)
    values = normal(2, 12, 1)

    def split(*chosen):
        means = [
            sentences.Means(f"s{i}", 1, i, np.array(own), values[i][own])
            for i, own in enumerate(chosen)
        ]
        return sentences._split("over", "data", column, means)

    both = split(list(range(4, 9)), list(range(4, 9)))
    assert len(both) == 1
    assert split(list(range(9)), list(range(4, 12))) == both


def test_triples_are_drawn_alike_from_each_quarter(tmp_path):
    found = sentence_study(tmp_path, lambda means: means[:, :, 0], triples=20, pairs=50)
    (row, *_) = rows(found, "correlation", level="sentence")
    assert (row["n"], row["pairs"]) == (20, 50)
    assert row["sd"] > 0


def test_sentences_are_drawn_with_all_their_checkpoints():
    from actlas.plugins.decomposition.study.sentences import _by_quarters, _Sentences

    sample = np.array([2, 0, 2, 1, 0, 2])
    draw = _Sentences(sample)
    every = {tuple(np.bincount(draw(np.random.default_rng(s)), minlength=6)) for s in range(20)}
    assert len(every) > 5
    for seed in range(20):
        drawn = draw(np.random.default_rng(seed))
        counts = np.bincount(drawn, minlength=6)
        assert len(set(counts[[0, 2, 5]])) == len(set(counts[[1, 4]])) == 1
        assert counts[0] + counts[1] + counts[3] == 3
    quality = normal(100)
    kept = _by_quarters(quality, 40, np.random.default_rng(0))
    ends = np.quantile(quality, [0.25, 0.5, 0.75])
    assert np.bincount(np.searchsorted(ends, quality[kept])).tolist() == [10, 10, 10, 10]
    assert len(set(kept.tolist())) == 40
    assert abs(stats.spearmanr(np.arange(40), quality[kept])[0]) < 0.5  # not in order of quality


def test_sentences_that_have_no_quality_do_not_count(tmp_path):
    def half(means):
        quality = means[:, :, 0].copy().astype(object)
        quality[:, ::2] = ""
        return quality

    found = sentence_study(tmp_path, half)
    assert rows(found, "correlation", level="sentence")[0]["n"] == 60
    same = sentence_study(tmp_path, lambda means: np.ones(means.shape[:2]))
    assert not rows(same, "correlation", level="sentence")
    assert any("no training run has sentences whose qualities differ" in w for w in same.warnings)
    assert not any("whose qualities differ" in w for w in found.warnings)


# Targets


def test_two_kinds_of_targets_of_one_training_run(tmp_path):
    means = normal(5, len(COLUMNS))
    written = np.exp(means)  # the same order everywhere
    written[:, 1] = -means[:, 1]
    data = ["ref"] * 5 + ["gen"] * 5
    results = [result(m) for m in (*means, *written)]
    models = [f"m{i}" for i in range(5)] * 2
    path = write(
        tmp_path / "q.csv", "model,series,step,bleu", [(f"m{i}", "s", i, i) for i in range(5)]
    )
    runs = Runs.of(*results, models=models, data=data)
    found = decomposition_study(runs, qualities=path, **QUICK)
    table = rows(found, "targets")
    assert len(table) == len(COLUMNS)
    assert {(r["data"], r["other"], r["checkpoints"]) for r in table} == {("gen", "ref", 5)}
    by = {Column(r["site"], r["indicator"], r["term"]): r for r in table}
    assert by[COLUMNS[0]]["rho"] == pytest.approx(1)
    assert by[COLUMNS[1]]["rho"] == pytest.approx(-1)
    k = 3
    changes = stats.spearmanr(np.diff(means[:, k]), np.diff(written[:, k]))[0]
    assert by[COLUMNS[k]]["changes_rho"] == pytest.approx(changes)
    assert {r["data"] for r in rows(found, "correlation")} == {"ref", "gen"}
    assert not rows(found, "warping")  # of one training run
    assert {r["data"] for r in rows(found, "summary")} == {"ref", "gen"}


# The whole


def test_the_study_over_checkpoints(whole):
    found = whole
    table = rows(found, "correlation")
    assert len(table) == 3 * 2 * (len(COLUMNS) + 8)
    assert {r["metric"] for r in table} == {"bleu", "chrf"}
    assert {r["n"] for r in table} == {4}
    curve = rows(found, "curves", series="s1", step=200)[0]
    assert (curve["run"], curve["model"], curve["condition"]) == (6, "hf:/models/m5", "a")
    runs = example().runs
    means = np.array([r.tables["indicators"]["mean"] for r in runs])
    assert curve["mean"] == means[5, 0]
    assert curve["z"] == pytest.approx(stats.zscore(means[4:8, 0])[1])
    row = next(r for r in table if r["series"] == "s2" and r["metric"] == "chrf")
    chrf = [r["value"] for r in rows(found, "qualities", series="s2", metric="chrf")]
    a, b = pairs_of(4)
    x, y = means[8:, 0], np.array(chrf)
    assert row["rho"] == pytest.approx(stats.spearmanr(x[b] - x[a], y[b] - y[a])[0])


def test_the_summary_is_over_training_runs_and_sites(whole):
    found = whole
    for row in rows(found, "summary"):
        mine = rows(found, "correlation", **{k: row[k] for k in ("metric", "indicator", "term")})
        rho = np.array([r["rho"] for r in mine]).reshape(3, 2)  # training runs, sites
        assert row["median"] == pytest.approx(np.median(np.abs(rho)))
        assert (row["lowest"], row["highest"]) == (rho.min(), rho.max())
        assert row["same_sign"] == np.mean(np.abs(np.sign(rho).sum(axis=0)) == 3)
        best = np.abs(rho).mean(axis=0).argmax()
        assert row["site"] == ("embed", "layers.0")[best]
        assert row["strongest"] == pytest.approx(rho[:, best].mean())
        known = [r for r in mine if np.isfinite(r["low"]) and np.isfinite(r["high"])]
        beyond = [r["low"] > 0 or r["high"] < 0 for r in known]
        assert row["beyond"] == pytest.approx(np.mean(beyond) if beyond else np.nan, nan_ok=True)
        assert row["series"] == 3


def test_the_summary_counts_intervals_without_zero():
    ends = [(-0.9, -0.2), (0.1, 0.9), (-0.3, 0.4), (np.nan, np.nan)]
    table = [
        Correlation("checkpoint", f"s{i}", "data", "bleu", "embed", "cosine", "input", 0.5, 0.0,
                    low, high, None, None, None, 9, 36)
        for i, (low, high) in enumerate(ends)
    ]  # fmt: skip
    (row,) = summaries(table)
    assert row.beyond == pytest.approx(2 / 3)
    (row,) = summaries(table[3:])
    assert row.beyond is None


def test_time_is_that_of_the_steps(tmp_path):
    steps, bleu = [1, 2, 40, 100, 101], [3, 1, 4, 1.5, 9]
    text = HEADER + "".join(f"m{i},s,{steps[i]},{bleu[i]}\n" for i in range(5))
    found = study(tmp_path, text, runs_of(normal(5, len(COLUMNS))))
    a, b = pairs_of(5)
    expected = stats.spearmanr(*(np.array(v)[b] - np.array(v)[a] for v in (steps, bleu)))[0]
    assert found.tables["correlation"]["step_rho"] == pytest.approx(expected)


def test_the_order_of_runs_and_lines_does_not_matter(tmp_path, whole):
    runs = example()
    lines = Path(QUALITIES).read_text().splitlines()
    path = tmp_path / "other.csv"
    path.write_text("\n".join([lines[0], *lines[:0:-1]]))
    one = whole
    two = decomposition_study(Runs(runs.runs[::-1]), qualities=str(path), **QUICK)
    for name in ("correlation", "agreement", "permutation", "variance"):
        assert list(map(str, one.tables[name])) == list(map(str, two.tables[name]))


def test_seeds_repeat_and_differ(tmp_path):
    text = HEADER + "".join(f"m{i},s,{i},{i * i % 7}\n" for i in range(9))
    runs = runs_of(normal(9, len(COLUMNS)))

    def numbers(seed):
        found = study(tmp_path, text, runs, seed=seed, pairs=10)
        return [found.tables["correlation"][n].tolist() for n in ("rho", "sd", "low", "high")]

    assert numbers(1) == numbers(1)
    assert all(a != b for a, b in zip(numbers(1), numbers(2), strict=True))


@dataclass(frozen=True)
class Mean:
    """One indicator, as `decomposition` stores it."""

    site: Annotated[str, "site"]
    term: Annotated[str, "term"]
    indicator: Annotated[str, "indicator"]
    mean: Annotated[float | None, "mean"]


@analysis(version=1, name="decomposition", tables={"indicators": Mean}, allow_nonfinite=True)
def stand_in(acts: Activations) -> Result:
    """Means of the columns of a site, as indicators."""
    means = acts.numpy(np.float64).mean(axis=0).tolist()
    rows = [Mean(c.site, c.term, c.indicator, m) for c, m in zip(COLUMNS, means, strict=True)]
    return Result({"indicators": rows})


def test_it_reads_a_store(sqlite_store, tmp_path):
    means = normal(5, len(COLUMNS)).astype(np.float32)
    means[:, 1] = np.nan
    table = tmp_path / "rows.csv"
    table.write_text("sample,text\n0,a text\n")
    for i, mean in enumerate(means):
        np.save(tmp_path / f"m{i}.npy", mean[None])
        made = sqlite_store.import_matrix(
            tmp_path / f"m{i}.npy", ["layers.0"], rows=table, model_name=f"run/m{i}"
        )
        sqlite_store.run(stand_in, made, nonfinite="keep")
    lines = [(f"m{i}", "s", i, i * i % 4) for i in range(5)]
    settings = {"qualities": write(tmp_path / "q.csv", "model,series,step,bleu", lines), **QUICK}
    (run,) = sqlite_store.run(decomposition_study, runs="all", **settings)
    known = decomposition_study(runs_of(means), **settings).tables["correlation"]
    stored = run.result.tables["correlation"]
    for name in ("site", "term", "rho", "low", "p", "partial"):
        assert list(map(str, stored[name])) == list(map(str, known[name]))
    assert np.isnan(run.result.tables["curves"]["mean"][1])
    for name in run.result.figures:
        run.result.figures[name].to_dict()
    assert sqlite_store.run(decomposition_study, runs="all", **settings)[0].reused
    write(tmp_path / "q.csv", "model,series,step,bleu", [*lines[:4], ("m4", "s", 4, 9)])
    assert not sqlite_store.run(decomposition_study, runs="all", **settings)[0].reused


def test_the_chain_of_commands(tiny_folder, tmp_path, monkeypatch, capsys):
    """Two checkpoints: extracted, decomposed and compared, all on the command line."""
    url, data = f"sqlite:///{tmp_path}/store.db", tmp_path / "texts.txt"
    data.write_text("the cat sat\nthe dog ran home\n")

    def said(*args):
        monkeypatch.setattr("sys.argv", ["actlas", *map(str, args), "--store", url])
        with pytest.raises(SystemExit) as ended:
            main()
        text = "".join(capsys.readouterr())
        assert not ended.value.code, text
        return text

    for i in range(2):
        folder = tmp_path / f"m{i}"
        shutil.copytree(tiny_folder("gpt2"), folder)
        weights = load_file(folder / "model.safetensors")
        chance = np.random.default_rng(i)  # other weights in each
        new = {k: w + chance.normal(0, 0.1, w.shape).astype(w.dtype) for k, w in weights.items()}
        save_file(new, folder / "model.safetensors", {"format": "pt"})
        said("extract", folder, data, "--sites", "decomposition", "--pooling", "token",
             "--dtype", "float32")  # fmt: skip
        said("run", "decomposition", "--extraction", i + 1, "--detail", "tokens")
    path = write(
        tmp_path / "q.csv", "model,series,step,bleu", [("m0", "a", 1, 1), ("m1", "b", 1, 2)]
    )
    said("run", "decomposition_study", "--runs", "all", "--qualities", path)
    with actlas.open(url) as store:
        one, two, found = (store.result(i) for i in (1, 2, 3))
        x, y = (r.result.tables["tokens"] for r in (one, two))
        (row,) = rows(found.result, "agreement", site="layers.1", indicator="cosine",
                      term="attention")  # fmt: skip
        at = [(t["site"] == "layers.1") & (t["term"] == "attention") for t in (x, y)]
        assert row["rho"] == pytest.approx(
            stats.spearmanr(x["cosine"][at[0]], y["cosine"][at[1]])[0]
        )
        assert abs(row["rho"]) < 0.999


@pytest.mark.parametrize(
    "check", checks(decomposition_study, inputs={"runs": example()}, qualities=QUALITIES, **QUICK),
    ids=repr,
)  # fmt: skip
def test_it_conforms(check):
    check()


def test_figures_of_little_are_drawn(tmp_path):
    path = write(
        tmp_path / "q.csv", "model,series,step,bleu", [("m0", "s0", 1, 1), ("m1", "s1", 1, 2)]
    )
    tokens = normal(2, sum(LENGTHS), len(COLUMNS))
    found = decomposition_study(runs_of(np.zeros((2, len(COLUMNS))), tokens=tokens), qualities=path)
    drawn = {name: str(found.figures[name].to_dict()) for name in found.figures}
    assert [name for name, said in drawn.items() if "nothing to draw" in said] == [
        "curves", "scatter", "heat_map",
    ]  # fmt: skip


def test_figures_draw_what_the_tables_hold(whole):
    found = whole
    drawn = {name: str(found.figures[name].to_dict()) for name in found.figures}
    assert not any("nothing to draw" in said for said in drawn.values())
    assert "of one condition" in drawn["agreement"]
    assert drawn["scatter"].count("ρ = ") == 3
    assert "L1norm" in drawn["heat_map"]


# Bad input


def study(tmp_path, text, runs=None, **settings):
    path = tmp_path / "q.csv"
    path.write_text(text)
    settings = {"qualities": str(path), **QUICK, **settings}
    return decomposition_study(runs or example(), **settings)


HEADER = "model,series,step,bleu\n"
FOUR = "".join(f"m{i},s,{i},{i}\n" for i in range(4))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks the columns model, series, step, a quality, such as bleu; it has none"),
        ("model,bleu\nm0,3\n", r"lacks the columns series, step; it has model, bleu\. Write a "
                               r"header such as model,series,step,bleu"),
        ("model,series,step\n", "lacks the columns a quality, such as bleu; it has model,"),
        ("series,step,bleu\n", "lacks the columns model; it has series, step, bleu"),
        (HEADER + "m0,s,x,1\n", r"q\.csv, line 2: step 'x' is no whole number"),
        (HEADER + "m0,s,-1,1\n", r"line 2: step '-1' is no whole number"),
        (HEADER + "m0,s,0,0\nm1,s,1,good\n", "line 3: bleu 'good' is no number; leave it empty"),
        (HEADER + "m0,s,0,inf\n", "line 2: bleu 'inf' is no number"),
        (HEADER + "m0,,0,1\n", "line 2: series is empty; name the training run"),
        (HEADER + "m0,s,0\n", "line 2: 3 values for 4 columns"),
        ("model,series,step,bleu,bleu\n", "two columns of the same name"),
        (HEADER + "other,s,0,1\n", r"names none of the models of these runs, such as hf:/m"),
        (HEADER + "m0,s,5,1\nm1,s,5,2\n", r"runs 1 and 2 are both step 5 of series s; leave one"),
        (HEADER + "m0,s,5,1\nm0,s,6,2\n", r"lines 2 and 3 are both of run 1, hf:/models/m0"),
        ("model,series,step,condition,bleu\nm0,s,1,a,1\nm1,s,2,b,1\n",
         "series s has the conditions a and b"),
        (HEADER + "m0,s,5,1\n", r"nothing to compare in 1 checkpoint of 1 training run "
                                r"\(no correlation with bleu in s: it is known at 1 check"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(tmp_path, text, said):
    runs = runs_of(normal(4, len(COLUMNS)))
    with pytest.raises(InputError, match=said) as error:
        study(tmp_path, text, runs)
    assert "\n" not in str(error.value)


def test_bad_settings_are_refused(tmp_path):
    for wrong in (
        {"pairs": 9}, {"repetitions": 0}, {"draws": 99}, {"block": 0}, {"points": 0},
        {"triples": 19}, {"seed": -1},
    ):  # fmt: skip
        ((name, value),) = wrong.items()
        with pytest.raises(InputError, match=f"decomposition_study: {name}={value}; "):
            study(tmp_path, HEADER + FOUR, **wrong)
    with pytest.raises(InputError, match=r"--qualities FILE\.csv with the columns model,series,"):
        decomposition_study(example())
    with pytest.raises(InputError, match=r"no file absent\.csv; write one with the columns"):
        decomposition_study(example(), qualities="absent.csv")
    with pytest.raises(InputError, match="sample"):
        study(tmp_path, HEADER + FOUR, sentences=QUALITIES)
    (tmp_path / "latin.csv").write_bytes("model,séries".encode("latin-1"))
    with pytest.raises(InputError, match="no CSV in UTF-8"):
        decomposition_study(example(), qualities=str(tmp_path / "latin.csv"))


def test_a_model_is_named_by_its_spec_its_path_or_the_end_of_it(tmp_path):
    results = [result(m) for m in normal(4, len(COLUMNS))]
    models = ["hf:/a/s0/checkpoint-1", "/a/s0/checkpoint-2", "hf:org/name@main", "m3"]
    runs = Runs.of(*results, models=models)
    text = (
        "\ufeffmodel, series ,step,run,bleu\ns0/checkpoint-1,s,1,,1\n/a/s0/checkpoint-2,s,2,,2\n"
        "hf:org/name@main,s,3,,3\n,s,4,4,5\n\n"
    )
    assert {r["n"] for r in rows(study(tmp_path, text, runs), "correlation")} == {4}
    tsv = tmp_path / "q.tsv"
    tsv.write_text(text.replace(",", "\t"))
    assert rows(decomposition_study(runs, qualities=str(tsv), **QUICK), "correlation")
    alike = Runs.of(*results[:2], models=["/a/s0/checkpoint-1", "/a/s1/checkpoint-1"])
    with pytest.raises(InputError, match=r"'checkpoint-1' fits /a/s0/.* and /a/s1/.*write more"):
        study(tmp_path, HEADER + "checkpoint-1,s,1,1\n", alike)
    # An end is of whole parts of the path: int-1 is none.
    with pytest.raises(InputError, match="names none of the models"):
        study(tmp_path, HEADER + "int-1,s,1,1\n", alike)


def test_what_is_left_out_is_counted_and_named(tmp_path):
    text = HEADER + FOUR + "m4,s,4,4\nm5,s,5,\nm6,s,6,nan\nzz,s,9,1\nzy,s,9,1\n"
    found = study(tmp_path, text)
    assert {r["n"] for r in rows(found, "correlation")} == {5}
    said = "\n".join(found.warnings)
    assert "no bleu for 2 runs: 6 (hf:/models/m5), 7 (hf:/models/m6); left out" in said
    assert "has no line for them: 5 runs: 8 (hf:/models/m7), 9" in said
    assert "lines of" in said
    assert "that are of no run: 9, 10" in said
    assert len(rows(found, "curves", site="embed", indicator="cosine", term="input")) == 7
    assert len(rows(found, "qualities")) == 5
    text = HEADER + "".join(f"m{i},s,{i},\n" for i in range(8)) + FOUR.replace("m", "m1")
    many = study(tmp_path, HEADER + FOUR + "".join(f"m{i},t,{i},\n" for i in range(4, 12)))
    assert any("8 runs: 5" in w and "and 3 more" in w for w in many.warnings)


def test_a_constant_quality_and_few_checkpoints_are_said(tmp_path):
    text = "model,series,step,bleu,chrf\n"
    text += "".join(f"m{i},s,{i},7,{i}\n" for i in range(4))
    text += "".join(f"m{i},t,{i},{i},{i}\n" for i in range(4, 7))
    found = study(tmp_path, text)
    assert {(r["series"], r["metric"]) for r in rows(found, "correlation")} == {("s", "chrf")}
    said = "\n".join(found.warnings)
    assert "no correlation with bleu in s: it is 7 at all checkpoints" in said
    assert "no correlation with chrf in t: it is known at 3 checkpoints; 4 or more" in said
    assert "no interval for chrf in s: 4 checkpoints in blocks of 2 are too few" in said


def test_a_cosine_that_is_not_defined_is_left_out(tmp_path):
    means = normal(5, len(COLUMNS))
    k = COLUMNS.index(Column("embed", "cosine", "attention"))
    means[:, k] = np.nan
    means[:, 0] = 0.25
    text = HEADER + "".join(f"m{i},s,{i},{i}\n" for i in range(5))
    found = study(tmp_path, text, runs_of(means))
    known = {(r["site"], r["indicator"], r["term"]) for r in rows(found, "correlation")}
    assert COLUMNS[k] not in known
    assert COLUMNS[0] not in known
    assert ("embed", "cosine", "L1norm") not in known  # one term is left
    assert len(known) == 24 - 4
    assert any("2 of 16 indicators are constant or not defined" in w for w in found.warnings)
    assert any("of s, so not correlated nor warped; they are at embed" in w for w in found.warnings)
    assert np.isnan(rows(found, "curves")[k]["mean"])


def test_what_only_rounding_varies_is_compared_nowhere(tmp_path):
    """The cosine of the input with itself is 1 up to rounding, whose ranks are chance."""
    means, tokens = normal(8, len(COLUMNS)), normal(8, sum(LENGTHS), len(COLUMNS))
    one = Column("embed", "cosine", "input")
    means[:, COLUMNS.index(one)] = 1 + 1e-8 * normal(8)
    tokens[..., TOKEN_COLUMNS.index(one)] = 1 + 1e-8 * normal(8, sum(LENGTHS))
    both = [runs_of(means, tokens=tokens, data=data).runs for data in ("gen", "ref")]
    numbered = [replace(run, id=i) for i, run in enumerate((*both[0], *both[1]), 1)]
    text = "model,series,step,condition,bleu\n"
    text += "".join(f"m{i},s{i // 4},{i % 4},a,{i}\n" for i in range(8))
    found = study(tmp_path, text, Runs(tuple(numbered)))
    for name in ("correlation", "agreement", "overlap", "variance", "targets", "warping"):
        known = {(r["site"], r["indicator"], r["term"]) for r in found.tables[name]}
        assert known >= set(COLUMNS) - {one}, name
        assert one not in known, name
    assert not rows(found, "permutation")  # all are of one condition
    assert any("1 of 16 indicators" in w and "of s0, s1, so" in w for w in found.warnings)


def test_without_tokens_or_conditions_it_says_what_is_not_there(tmp_path, whole):
    means = normal(8, len(COLUMNS))
    text = HEADER + "".join(f"m{i},s{i // 4},{i % 4},{i}\n" for i in range(8))
    found = study(tmp_path, text, runs_of(means))
    said = "\n".join(found.warnings)
    assert "run decomposition with --detail tokens" in said
    assert "nothing to permute; say in the column condition" in said
    assert {row["condition"] for row in rows(found, "curves")} == {"s0", "s1"}
    assert not rows(found, "permutation")
    assert len(rows(found, "warping")) == len(COLUMNS)
    assert "nothing to permute" not in "\n".join(whole.warnings)


def test_runs_that_kept_other_things_are_counted(tmp_path):
    tokens = normal(3, sum(LENGTHS), len(COLUMNS))
    results = [result(np.zeros(len(COLUMNS)), t) for t in tokens[:2]]
    bare = result(np.zeros(len(COLUMNS)))
    bare = type(bare)(bare.tables, parameters=results[0].parameters)
    runs = Runs.of(*results, bare, models=["m0", "m1", "m2"], rows=[rows_of()] * 3)
    found = study(tmp_path, HEADER + "m0,a,1,1\nm1,b,1,1\nm2,c,1,1\n", runs)
    assert any(w.startswith("1 of the runs looked at kept other") for w in found.warnings)
    assert len(rows(found, "agreement")) == len(COLUMNS)
    lacking = type(bare)({}, parameters=bare.parameters)
    with pytest.raises(InputError, match="run 1 has no table indicators; run decomposition again"):
        study(tmp_path, HEADER + "m0,a,1,1\n", Runs.of(lacking, models=["m0"]))
