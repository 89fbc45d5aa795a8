"""The analysis `probe` against scikit-learn by hand, closed forms and its own baselines."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_score

from actlas import Activations, InputError, LabelError, Labels
from actlas.plugins.probe import _split, probe, wilson

WIDTH = 8


def clusters(classes=3, groups=20, rows_a_group=3, *, spread=0.5, seed=0):
    """Gaussian clusters; the rows of a group lie together and have one label."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, WIDTH)) * 3
    group_codes = np.arange(classes * groups) % classes
    codes = np.repeat(group_codes, rows_a_group)
    X = centres[codes] + rng.normal(size=(len(codes), WIDTH)) * spread
    labels = Labels.of(
        [f"class {c}" for c in codes],
        groups=np.repeat(np.arange(classes * groups), rows_a_group),
        name="cluster",
    )
    return Activations.of(X.astype(np.float32)), labels


def run(acts, labels, **parameters):
    return probe(acts, labels, **({"permutations": 0} | parameters))


def summary(acts, labels, **parameters):
    (row,) = run(acts, labels, **parameters).tables["summary"]
    return row


def by_hand(acts, labels, c=0.1, seed=0):
    """The same probe by scikit-learn alone, on the same split."""
    train, test = _split(labels, 0.25, seed)
    X = acts.numpy().astype(np.float64)
    mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
    model = LogisticRegression(C=c, max_iter=500).fit(
        (X[train] - mean) / scale, labels.codes[train]
    )
    return model, train, test, (X - mean) / scale


def test_separable_clusters_are_read_without_error():
    found = summary(*clusters())
    assert found["balanced_accuracy"] == found["accuracy"] == 1
    assert found["train_balanced_accuracy"] == 1
    assert (found["rows"], found["classes"]) == (180, 3)
    assert found["train"] + found["test"] == 180
    assert found["test"] == pytest.approx(180 / 4, abs=6)
    assert found["high"] == pytest.approx(1)
    assert 0.6 < found["low"] < 1
    assert found["converged"]
    assert 0 < found["iterations"] < 500


def test_the_interval_is_wilsons_over_test_groups_and_not_over_rows():
    acts, labels = clusters(rows_a_group=5)
    _, test = _split(labels, 0.25, 0)
    result = run(acts, labels)
    (found,) = result.tables["summary"]
    groups = [len(np.unique(labels.groups[test][labels.codes[test] == k])) for k in range(3)]
    trials = 9 / sum(1 / n for n in groups)
    assert (found["low"], found["high"]) == pytest.approx(wilson(1.0, trials))
    for row, n in zip(result.tables["classes"], groups, strict=True):
        assert n < row["test"] == 5 * n
        assert (row["low"], row["high"]) == pytest.approx(wilson(row["recall"], n))


@pytest.mark.parametrize(("right", "n"), [(0, 10), (1, 10), (7, 10), (10, 10), (1, 1), (650, 1000)])
def test_the_wilson_interval_is_that_of_scipy(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_wilson_interval_stays_between_0_and_1_and_shrinks():
    for share in (0.0, 0.3, 1.0):
        widths = []
        for n in (1, 2.5, 10, 1000):
            low, high = wilson(share, n)
            assert 0 <= low <= share + 1e-15 <= high + 2e-15 <= 1 + 2e-15
            widths.append(high - low)
        assert widths == sorted(widths, reverse=True)


def test_random_labels_are_near_chance_and_in_the_range_of_permuted_ones():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, WIDTH)).astype(np.float32)
    labels = Labels.of(rng.integers(0, 4, 800))
    found = summary(Activations.of(X), labels, permutations=8)
    assert found["balanced_accuracy"] == pytest.approx(0.25, abs=0.08)
    assert found["low"] < 0.25 < found["high"]
    assert found["permuted"] == pytest.approx(0.25, abs=0.05)
    assert found["permuted"] <= found["permuted_high"] < 0.35
    assert found["balanced_accuracy"] < found["permuted_high"] + 0.05


def test_permuted_labels_of_separable_clusters_are_near_chance():
    acts, labels = clusters(groups=60)
    found = summary(acts, labels, permutations=6)
    assert found["balanced_accuracy"] == 1
    assert found["permuted"] < 0.6
    assert found["permuted"] <= found["permuted_high"] < 0.9


def test_no_permutations_give_no_baseline():
    found = summary(*clusters(), permutations=0)
    assert np.isnan(found["permuted"])
    assert np.isnan(found["permuted_high"])


def test_a_group_that_gives_its_label_away_is_not_shared_between_sides():
    """Rows say only which group they are of: seen groups are known, unseen ones are not."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 6)
    X = np.eye(60, dtype=np.float32)[groups] * 20
    labels_of_groups = rng.permutation(np.arange(60) % 2)
    grouped = Labels.of(labels_of_groups[groups], groups=groups)
    single = Labels.of(labels_of_groups[groups])
    assert summary(Activations.of(X), grouped)["balanced_accuracy"] < 0.75
    assert summary(Activations.of(X), single)["balanced_accuracy"] > 0.95


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("test_share", [0.1, 0.25, 0.5])
def test_the_split_keeps_groups_whole_and_has_every_class_on_both_sides(seed, test_share):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 90, 500)
    labels = Labels.of((groups + rng.integers(0, 2, 500)) % 3, groups=groups)
    train, test = _split(labels, test_share, seed)
    assert sorted([*train, *test]) == list(range(500))
    assert not set(labels.groups[train]) & set(labels.groups[test])
    assert set(labels.codes[train]) == set(labels.codes[test]) == {0, 1, 2}
    assert len(test) / 500 == pytest.approx(test_share, abs=0.06)


@pytest.mark.parametrize("test_share", [0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.75])
def test_the_share_of_test_rows_is_the_one_asked_for(test_share):
    found = summary(*clusters(groups=60), test_share=test_share)
    assert found["test"] / found["rows"] == pytest.approx(test_share, abs=0.06)


def test_one_class_of_two_groups_does_not_halve_the_training_rows():
    acts, labels = clusters(classes=2, groups=60)
    more = np.concatenate([acts.numpy(), acts.numpy()[:2] + 50])
    names = [*labels.values(), "few", "few"]
    groups = [*labels.groups, 1000, 1001]
    found = summary(Activations.of(more), Labels.of(names, groups=groups))
    assert found["classes"] == 3
    assert found["test"] / found["rows"] == pytest.approx(0.25, abs=0.06)


def test_classes_are_spread_evenly_over_the_split():
    _, labels = clusters(classes=4, groups=40)
    train, test = _split(labels, 0.25, 0)
    for side in (train, test):
        counts = np.bincount(labels.codes[side])
        assert counts.max() - counts.min() <= 6  # two groups


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_predictions_are_those_of_scikit_learn(classes):
    acts, labels = clusters(classes, spread=6)
    model, train, test, Z = by_hand(acts, labels)
    expected = model.predict(Z[test])
    truth = labels.codes[test]
    result = run(acts, labels)
    (found,) = result.tables["summary"]
    assert 0.3 < found["balanced_accuracy"] < 1
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, expected))
    assert found["accuracy"] == pytest.approx((expected == truth).mean())
    assert found["train_balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(labels.codes[train], model.predict(Z[train]))
    )
    assert found["majority"] == pytest.approx(1 / classes)
    commonest = np.bincount(labels.codes[train]).argmax()
    assert found["majority_accuracy"] == pytest.approx((truth == commonest).mean())
    table = result.tables["classes"]
    confusion = confusion_matrix(truth, expected)
    assert table["label"].tolist() == list(labels.names)
    assert table["test"].tolist() == confusion.sum(axis=1).tolist()
    assert table["train"].tolist() == np.bincount(labels.codes[train]).tolist()
    assert table["recall"] == pytest.approx(np.diag(confusion) / confusion.sum(axis=1))
    precision = precision_score(truth, expected, average=None, zero_division=np.nan)
    assert table["precision"] == pytest.approx(precision, nan_ok=True)
    np.fill_diagonal(confusion, 0)
    for k, name in enumerate(table["confused_with"]):
        if confusion[k].any():
            assert confusion[k, labels.names.index(name)] == confusion[k].max()
        else:
            assert name is None


@pytest.mark.parametrize("classes", [2, 4])
def test_the_arrays_give_the_predictions_on_raw_activations(classes):
    acts, labels = clusters(classes, spread=5)
    model, _, _, Z = by_hand(acts, labels)
    arrays = run(acts, labels).arrays
    assert arrays["coef"].shape == (classes, WIDTH)
    assert arrays["intercept"].shape == (classes,)
    logits = acts.numpy().astype(np.float64) @ arrays["coef"].T + arrays["intercept"]
    assert logits.argmax(axis=1).tolist() == model.predict(Z).tolist()
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    # 1e-4 is the tolerance of the optimiser.
    assert odds / odds.sum(axis=1, keepdims=True) == pytest.approx(model.predict_proba(Z), abs=1e-3)


def test_a_scale_and_shift_of_the_dimensions_change_no_prediction():
    acts, labels = clusters(spread=5)
    moved = Activations.of(acts.numpy() * np.geomspace(0.01, 100, WIDTH) + 3)
    before, after = summary(acts, labels), summary(moved, labels)
    assert after["balanced_accuracy"] == pytest.approx(before["balanced_accuracy"], abs=0.03)


def test_a_stronger_penalty_makes_weights_smaller():
    acts, labels = clusters(spread=3)
    sizes = [np.abs(run(acts, labels, c=c).arrays["coef"]).sum() for c in (1e-3, 0.1, 10.0)]
    assert sizes == sorted(sizes)
    assert sizes[2] > 2 * sizes[0]


def test_constant_dimensions_have_no_weight_and_do_no_harm():
    acts, labels = clusters(spread=5)
    plain = run(acts, labels)
    X = acts.numpy()
    for constant in (0.0, 0.1, 1e5):
        wider = np.column_stack([X, np.full(len(X), constant, np.float32)])
        result = run(Activations.of(wider), labels)
        assert np.isfinite(result.arrays["coef"]).all()
        assert np.abs(result.arrays["coef"][:, -1]).max() < 1e-6
        assert result.tables["summary"]["accuracy"] == plain.tables["summary"]["accuracy"]


def test_rows_without_label_are_left_out():
    acts, labels = clusters()
    names = labels.values()
    for i in range(0, 30):
        names[i] = None
    partial = Labels.of(names, groups=labels.groups)
    found = run(acts, partial)
    cut = run(Activations.of(acts.numpy()[30:]), Labels.of(names[30:], groups=labels.groups[30:]))
    assert found.tables["summary"]["rows"].tolist() == [150]
    assert np.array_equal(found.arrays["coef"], cut.arrays["coef"])
    assert found.tables["summary"]["test"] == cut.tables["summary"]["test"]
    assert found.warnings == ()


def test_rare_classes_are_left_out_with_a_warning():
    acts, labels = clusters()
    names = labels.values()
    names[:3] = ["rare"] * 3  # one group
    result = run(acts, Labels.of(names, groups=labels.groups))
    (found,) = result.tables["summary"]
    assert (found["rows"], found["classes"]) == (177, 3)
    assert "rare" not in result.tables["classes"]["label"].tolist()
    (warning,) = result.warnings
    assert warning == "left out as they occur in a single group: rare"


def test_many_rare_classes_are_counted_and_some_named():
    acts, labels = clusters()
    names = labels.values()
    names[:24] = [f"rare {i // 3}" for i in range(24)]
    (warning,) = run(acts, Labels.of(names, groups=labels.groups)).warnings
    assert warning.startswith("left out as they occur in a single group: rare 0, rare 1")
    assert warning.endswith(", …")


@pytest.mark.parametrize(
    ("names", "has"),
    [(["a"] * 6, "1 of 1"), ([None] * 6, "0 of 0"), (["a", "a", "a", "a", "a", "b"], "1 of 2")],
)
def test_a_single_class_is_refused(names, has):
    acts = Activations.of(np.eye(6, dtype=np.float32))
    with pytest.raises(LabelError, match=f"two classes .*'kind' has {has}"):
        run(acts, Labels.of(names, name="kind"))


def test_a_split_that_no_groups_allow_is_refused():
    # Every row of either class is of the one big group, or the class has no second group.
    labels = Labels.of(["a", "b"] * 4, groups=[0, 0, 0, 0, 0, 0, 1, 2])
    acts = Activations.of(np.eye(8, dtype=np.float32))
    with pytest.raises(LabelError, match="no split by groups puts every class"):
        run(acts, labels)


def test_the_seed_makes_it_repeatable_and_another_seed_makes_another_split():
    acts, labels = clusters(spread=6)
    first, again = (run(acts, labels, seed=3, permutations=2) for _ in range(2))
    other = run(acts, labels, seed=4, permutations=2)
    assert list(first.tables["summary"]) == list(again.tables["summary"])
    assert np.array_equal(first.arrays["coef"], again.arrays["coef"])
    assert not np.array_equal(first.arrays["coef"], other.arrays["coef"])


def test_the_global_generator_is_not_used():
    acts, labels = clusters(spread=6)
    np.random.seed(1)
    first = run(acts, labels, permutations=2)
    np.random.seed(2)
    assert list(run(acts, labels, permutations=2).tables["summary"]) == list(
        first.tables["summary"]
    )


def test_too_few_iterations_are_reported():
    result = run(*clusters(spread=6), max_iter=1, c=100.0)
    (found,) = result.tables["summary"]
    assert (found["converged"], found["iterations"]) == (False, 1)
    assert result.warnings == ("the probe did not converge in 1 iterations; raise max_iter",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"test_share": 0.0}, "test_share=0.0 must lie between 0 and 1"),
        ({"test_share": 1.0}, "test_share=1.0 must lie"),
        ({"test_share": float("nan")}, "test_share=nan"),
        ({"c": 0.0}, "c > 0"),
        ({"c": -1.0}, "c > 0"),
        ({"c": float("nan")}, "c > 0|c=nan"),
        ({"max_iter": 0}, "max_iter ≥ 1"),
        ({"permutations": -1}, "permutations ≥ 0"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_without_sense_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        run(*clusters(), **given)


def test_the_figure_has_a_row_a_class():
    pytest.importorskip("altair")
    chart = run(*clusters()).figures["recall"].to_dict()
    assert [row["label"] for row in chart["data"]["values"]] == ["class 0", "class 1", "class 2"]
