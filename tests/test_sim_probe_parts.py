"""The parts of sim_probe: splits, pooled labels, scaling, penalties, intervals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from actlas import Activations, Factors, Labels, Rows
from actlas.plugins.sim.probing import gaussian, sim_probe
from actlas.plugins.sim.probing.curves import Curve, area, k90
from actlas.plugins.sim.probing.information import binned
from actlas.plugins.sim.probing.probes import Sides, Task, train, wilson
from actlas.plugins.sim.probing.rotations import Axes, along, rotation, scored
from actlas.plugins.sim.probing.rows import Pooling, Split, Target, split

FEW = {"topk": False, "rotations": 1, "permutations": 1}


def target(codes, values=None):
    names = tuple(f"c{k}" for k in range(int(codes.max()) + 1))
    return Target("y", () if values is not None else names, np.asarray(codes), values)


def halves(n):
    half = np.arange(n) % 2
    return Split(np.flatnonzero(half == 0), np.flatnonzero(half), np.arange(n)[half == 0] // 2 % 3)


@pytest.mark.parametrize("seed", range(6))
def test_of_several_splits_the_one_that_shares_classes_out_is_taken(seed):
    groups = np.repeat(np.arange(12), 5)
    codes = np.where(groups < 2, 2, groups % 2)  # a class of two groups: one on each side
    sides = split([target(codes)], groups, 0.4, seed, 3)
    assert {2} <= set(codes[sides.train]) & set(codes[sides.test])
    assert not set(groups[sides.train]) & set(groups[sides.test])
    for group in set(groups[sides.train]):  # nor are groups parted by the inner folds
        assert len(set(sides.folds[groups[sides.train] == group])) == 1
    assert len(set(sides.folds)) == 3


def test_the_commonest_label_of_a_unit_counts():
    acts = Activations.of(np.zeros((8, 1), np.float32), rows=Rows.build(np.arange(8) // 4))
    pooling = Pooling.of(acts, "mean", 1)
    codes, several = pooling.labels(np.array([0, 1, 1, -1, 1, 0, 0, 0]))
    assert (codes.tolist(), several) == ([1, 0], 2)
    numbers = np.array([1.0, 3.0, np.nan, np.nan, 2.0, 2.0, 5.0, 7.0])
    assert pooling.average(numbers).tolist() == [2.0, 4.0]


def test_dimensions_are_scaled_if_asked_and_constant_ones_say_nothing_anywhere():
    X = np.random.default_rng(0).standard_normal((60, 3)) * [1, 50, 0] + 7
    X[1::2, 2] += np.arange(30)  # constant where it is trained on
    sides = halves(60)
    scaled, plain = (Sides.of(X.astype(np.float32), sides, s) for s in (True, False))
    spread = scaled.train.std(0, correction=0)[:2].tolist()
    assert spread == pytest.approx([1, 1], abs=1e-5)
    assert plain.train.std(0, correction=0)[1] > 30
    for side in (scaled, plain):
        assert not side.test[:, 2].any()


def test_the_penalty_of_a_ridge_is_chosen_on_held_out_groups():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 90)).astype(np.float32)
    sides = halves(200)
    for noise, width, least, most in ((4.0, 90, 0, 0.1), (0.0, 5, 10, 100)):
        y = X[:, 0] + noise * rng.standard_normal(200)
        task = Task.of(target(np.zeros(200, int), y), sides, np.arange(200))
        assert least <= train(Sides.of(X[:, :width], sides, True), task, None).c <= most


def test_intervals_are_wilson_s_of_scipy():
    for hits, n, sure in ((7, 10, 0.95), (0, 20, 0.95), (50, 50, 0.9973)):
        known = stats.binomtest(hits, n).proportion_ci(sure, method="wilson")
        z = stats.norm.ppf((1 + sure) / 2)
        assert wilson(hits / n, n, z) == pytest.approx((known.low, known.high), abs=1e-9)


def test_the_baseline_is_the_commonest_class_of_training_rows():
    codes = np.array([0, 1, 1, 1, 1, 1, 0, 2])
    sides = Split(np.arange(4), np.arange(4, 8), np.zeros(4, int))
    assert Task.of(target(codes), sides, np.arange(8)).majority == 0.5


def test_area_is_over_log_k_and_k90_the_first_that_keeps_enough():
    curve = Curve("top", "refit", [1, 2, 4, 16], np.array([0.2, 0.6, 0.95, 1.0]))
    kept = [0, 0.5, 0.9375, 1]
    wanted = ((kept[0] + kept[1]) / 2 + (kept[1] + kept[2]) / 2 + kept[2] + kept[3]) / 4
    assert area(curve, 0.2) == pytest.approx(wanted)
    assert k90(curve, 0.2) == 4
    assert k90(replace(curve, accuracy=np.array([0.2, 0.9, 0.91, 1.0])), 0.2) == 16  # of 0.8
    assert k90(replace(curve, accuracy=np.array([0.2, 0.93, 0.91, 1.0])), 0.2) == 2


def test_the_null_is_what_a_probe_of_rotated_rows_would_find():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((800, 4)) @ rng.standard_normal((4, 4))
    codes = (X[:, 0] + X[:, 1] + rng.standard_normal(800) > 0).astype(int)
    sides, whole = Sides.of(X.astype(np.float32), halves(800), True), halves(800)
    task = Task.of(target(codes), whole, np.arange(800))
    probe = train(sides, task, 100.0)
    _, turned = along(sides, [task], [probe], "weights", 20, 1, 0)
    Q = rotation(4, np.random.default_rng([0, 2]))
    Z = np.zeros((800, 4), np.float32)
    Z[whole.train], Z[whole.test] = sides.train.numpy() @ Q, sides.test.numpy() @ Q
    again = train(Sides.of(Z, whole, True), task, 100.0)
    known = np.abs(again.weights).mean(1)
    assert turned.importance[:, 0] == pytest.approx(known, rel=0.05, abs=0.02)
    whole = stats.entropy(np.bincount(task.codes))
    assert turned.relative == pytest.approx(turned.information / whole)


def test_bins_hold_equal_counts_and_equal_numbers_lie_in_one():
    rng = np.random.default_rng(0)
    X = np.stack([rng.permutation(20), np.maximum(rng.permutation(20) - 9, 0)], 1)
    apart, tied = binned(torch.from_numpy(X.astype(np.float32)), 5).numpy()
    assert (apart == X[:, 0] // 4).all()
    assert np.bincount(tied).tolist() == [0, 0, 12, 4, 4]  # ten zeros, 1 and 2


def test_a_factor_of_large_weights_is_no_more_than_another():
    R = np.random.default_rng(0).random((6, 2))
    found = [scored(Axes(R * by, R, R, R)) for by in ([1, 1], [1, 50])]
    for name in ("disentanglement", "completeness"):
        assert found[0][name, None] == pytest.approx(found[1][name, None])


def test_total_correlation_is_a_bound_where_a_dimension_follows_from_others():
    X = np.random.default_rng(0).standard_normal((400, 6)).astype(np.float32)
    assert gaussian.unresolved(gaussian.law(X)) == 0
    loose, near = X.copy(), X.copy()
    X[:, 5] = X[:, 0] - 2 * X[:, 3]
    noise = np.random.default_rng(1).standard_normal(400).astype(np.float32)
    near[:, 5] = X[:, 5] + 1e-3 * noise
    loose[:, 5] = X[:, 5] + noise
    laws = [gaussian.law(one) for one in (loose, near, X)]
    assert [gaussian.unresolved(one) for one in laws] == [0, 0, 1]
    found = [gaussian.correlation(one) for one in laws]
    assert found[0] < 2 < 5 < found[1] < 10 < found[2] < 20  # e^-30 is the least variance told
    told = sim_probe(Activations.of(X), None, None).warnings
    assert any("at least what is told: 1 of 6 directions follow from" in one for one in told)
    assert not any("at least what" in one for one in sim_probe(Activations.of(near)).warnings)


def classes(n=300):
    codes = np.random.default_rng(0).integers(0, 2, n)
    X = 2 * np.eye(4)[codes] + np.random.default_rng(1).standard_normal((n, 4))
    return X.astype(np.float32), codes


def said(X, labels, other=None):
    return " ".join(sim_probe(Activations.of(X), Factors.of(labels), other, **FEW).warnings)


def test_few_groups_to_test_on_are_said():
    X, codes = classes()
    few, enough = (Labels.of(codes, name="y", groups=np.arange(300) % n) for n in (8, 24))
    assert "2 groups to test on make little sure" in said(X, few)
    assert "to test on" not in said(X, enough)


def test_a_second_site_that_is_not_called_a_variance_is_named():
    X, codes = classes()
    flat = np.zeros_like(X)
    for site, named in (("layers.0", True), ("layers.1.logvar", False)):
        text = said(X, Labels.of(codes, name="y"), Activations.of(flat, site=site))
        assert ("is taken for the log-variances of array" in text) == named


def test_a_probe_that_does_not_converge_says_so(monkeypatch):
    from actlas.plugins.sim.probing import logistic

    X, codes = classes()
    monkeypatch.setitem(logistic.fit.__kwdefaults__, "max_iter", 1)
    assert "y: the probe did not converge; set --c lower" in said(X, Labels.of(codes, name="y"))
