"""`ica_labels` against scikit-learn, scipy and draws in which nothing is to be found."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.metrics import mutual_info_score, roc_auc_score

import actlas
from actlas import Activations, InputError, LabelError, Labels
from actlas.plugins.ica import Axes, ica, ica_labels
from actlas.plugins.ica.association import associated
from actlas.testing import checks


@pytest.mark.parametrize("check", checks(ica_labels), ids=repr)
def test_conformance(check):
    check()


def axes_of(width):
    return Axes(np.zeros(width), np.eye(width))


def found(X, labels, bins=10):
    acts = Activations.of(np.asarray(X, np.float32))
    return associated(acts, axes_of(X.shape[1]), labels, np.arange(len(labels.names)), bins)


def some(n=400, tied=False, seed=0):
    rng = np.random.default_rng(seed)
    names = rng.choice(["a", "b", "c"], n, p=[0.2, 0.3, 0.5])
    X = rng.standard_normal((n, 4)) + 0.2 * (names == "a")[:, None] * [1, -1, 0, 3]
    # As float32 holds them; scipy would reckon in float32 as well.
    return (X.round(0) if tied else X).astype(np.float32).astype(np.float64), names


@pytest.mark.parametrize("tied", [False, True])
def test_auroc_and_p_are_those_of_scikit_learn_and_scipy(tied):
    X, names = some(tied=tied)
    labels = Labels.of(names)
    got = found(X, labels)
    for a in range(4):
        for i, name in enumerate(labels.names):
            mine = names == name
            assert got.auroc[a, i] == pytest.approx(roc_auc_score(mine, X[:, a]), abs=1e-12)
            test = mannwhitneyu(X[mine, a], X[~mine, a], method="asymptotic")
            assert got.p[a, i] == pytest.approx(test.pvalue, rel=1e-9)
    q = false_discovery_control(got.p.ravel()).reshape(got.p.shape)
    np.testing.assert_allclose(got.q, q)
    assert (got.q > got.p).any()


def test_mutual_information_is_that_of_scikit_learn_in_bits():
    X, names = some(1_000)
    labels = Labels.of(names)
    got = found(X, labels, bins=8)
    for a in range(4):
        binned = X[:, a].argsort().argsort() * 8 // 1_000
        whole = mutual_info_score(labels.codes, binned) / np.log(2)
        assert got.mi_labels[a] == pytest.approx(whole, abs=1e-12)
        for i, name in enumerate(labels.names):
            one = mutual_info_score(names == name, binned) / np.log(2)
            assert got.mi[a, i] == pytest.approx(one, abs=1e-12)


def test_rows_of_equal_values_are_in_one_bin():
    X = np.repeat([[0.0], [1.0]], 50, axis=0)
    labels = Labels.of(np.repeat(["a", "b"], 50))
    got = found(X, labels, bins=7)
    assert got.mi[0] == pytest.approx([1, 1])
    assert got.auroc[0].tolist() == [0, 1]
    nothing = found(np.zeros((100, 1)), labels)
    assert nothing.mi[0] == pytest.approx([0, 0], abs=1e-12)
    assert nothing.auroc[0].tolist() == [0.5, 0.5]
    assert nothing.p[0].tolist() == [1, 1]


def clustered(seed, *, constant, groups=80, each=10):
    """Rows that are alike within a group, and labels that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    X = rng.standard_normal((groups, 8))[group] + 0.5 * rng.standard_normal((len(group), 8))
    codes = rng.random(groups) if constant else rng.random(groups).clip(0.2, 0.8)
    drawn = codes[group] if constant else rng.random(len(group)) + codes[group]
    return X, np.where(drawn > (0.5 if constant else 1.0), "yes", "no"), group


@pytest.mark.parametrize("constant", [True, False], ids=["one label a group", "mixed groups"])
def test_rows_of_a_group_are_not_taken_for_independent(constant):
    by_group, by_row = [], []
    for seed in range(100):
        X, names, group = clustered(seed, constant=constant)
        by_group.append(found(X, Labels.of(names, groups=group)).p[:, 0])
        by_row.append(found(X, Labels.of(names)).p[:, 0])
    share = (np.concatenate(by_group) < 0.05).mean()
    assert 0.03 < share < 0.07
    assert (np.concatenate(by_row) < 0.05).mean() > 2 * share


def test_the_variance_over_groups_is_its_definition_and_close_to_mann_whitney_for_single_rows():
    X, names, group = clustered(0, constant=False)
    labels = Labels.of(names, groups=group)
    got = found(X, labels)
    y = names == labels.names[0]
    u = X.astype(np.float32).argsort(axis=0).argsort(axis=0) + 1.0
    D = np.array([
        ((u[group == g] - u.mean(axis=0)) * (y[group == g] - y.mean())[:, None]).sum(axis=0)
        for g in range(80)
    ])  # fmt: skip
    from scipy.stats import norm

    z = D.sum(axis=0) / np.sqrt((D**2).sum(axis=0) * 80 / 79)
    np.testing.assert_allclose(got.p[:, 0], 2 * norm.sf(np.abs(z)), rtol=1e-9)
    X, names = some(2_000)
    pairs = Labels.of(names, groups=[0, 0, *range(1, 1999)])  # but for one pair, single rows
    np.testing.assert_allclose(found(X, pairs).auroc, found(X, Labels.of(names)).auroc)
    logs = np.log(found(X, pairs).p), np.log(found(X, Labels.of(names)).p)
    np.testing.assert_allclose(*logs, rtol=0.15, atol=0.05)


@pytest.fixture(scope="module")
def planted():
    """Six sparse sources, of which the first fires for a label, mixed."""
    rng = np.random.default_rng(0)
    n = 2_000
    names = rng.choice(["fish", "bird", "stone"], n)
    S = rng.exponential(size=(n, 6)) * (rng.random((n, 6)) < 0.2)
    S[:, 0] = rng.exponential(size=n) * (names == "fish")
    acts = Activations.of((S @ rng.standard_normal((6, 6))).astype(np.float32))
    return acts, names, ica(acts, restarts=1), S


def test_a_planted_label_is_found_on_its_axis_and_not_on_others(planted):
    acts, names, base, S = planted
    result = ica_labels(acts, Labels.of(names), base)
    axes = (acts.numpy() - base.arrays["mean"]) @ base.arrays["reading"].T
    place = np.abs(np.corrcoef(axes.T, S[:, 0])[-1, :-1]).argmax()
    rows = [row for row in result.tables["axes"] if row["basis"] == "ica"]
    assert [row["axis"] for row in rows if row["explained"]] == [place]
    assert rows[place]["label"] == "fish"
    assert rows[place]["direction"] == "high"
    assert rows[place]["auroc"] > 0.95
    assert rows[place]["stable"] == base.tables["axes"]["stable"][place]
    (said,) = result.tables["summary"]
    assert (said["explained"], said["axes"], said["labels"]) == (1, 6, 3)
    assert said["explained_share"] == pytest.approx(1 / 6)
    assert said["mean_auroc"] > 0.5
    assert (said["rows"], said["groups"], said["test"]) == (2_000, 2_000, "mann-whitney")
    links = [row for row in result.tables["associations"] if row["axis"] == place]
    assert [row["rank"] for row in links] == [1, 2, 3]
    assert links[0]["label"] == "fish"
    assert {row["direction"] for row in links[1:]} == {"low"}


def test_significant_labels_come_first():
    rng = np.random.default_rng(1)
    n = 4_000
    names = np.array(["common", "rest"])[(rng.random(n) < 0.5).astype(int)]
    X = rng.exponential(size=(n, 3)) + 0.3 * (names == "common")[:, None]
    lowest = np.argsort(X[:, 0])
    names[lowest[[0, 700, 1500]]] = "rare"  # low, but of three rows
    acts = Activations.of(X.astype(np.float32))
    base = ica(acts, restarts=0)
    result = ica_labels(acts, Labels.of(names), base, min_count=3)
    for row in result.tables["axes"]:
        mine = [
            a for a in result.tables["associations"]
            if row["basis"] == "ica" and a["axis"] == row["axis"]
        ]  # fmt: skip
        if any(a["significant"] for a in mine):
            assert row["significant"]
            flags = [a["significant"] for a in mine]
            assert flags == sorted(flags, reverse=True)
    strict = ica_labels(acts, Labels.of(names), base, level=1e-9, least_auroc=0.5)
    loose = ica_labels(acts, Labels.of(names), base, level=0.5, least_auroc=0.5)
    assert next(iter(strict.tables["summary"]))["explained"] <= 3
    assert next(iter(loose.tables["summary"]))["explained"] == 3


def test_rows_without_a_label_and_rare_labels_are_left_out_and_said(planted):
    acts, names, base, _ = planted
    given = names.astype(object)
    given[:100] = None
    given[100:104] = "eel"
    result = ica_labels(acts, Labels.of(given), base, min_count=5)
    (said,) = result.tables["summary"]
    assert (said["rows"], said["dropped_rows"], said["labels"]) == (1_900, 100, 3)
    assert "eel" not in result.tables["associations"]["label"]
    assert any("100 rows have no label" in text for text in result.warnings)
    assert any("fewer than 5 rows" in text and "eel" in text for text in result.warnings)
    first = next(row for row in result.tables["associations"] if row["label"] == "fish")
    S = (acts.numpy()[100:] - base.arrays["mean"]) @ base.arrays["reading"].T
    # Rare rows stay among the rest.
    wanted = roc_auc_score(given[100:] == "fish", S[:, first["axis"]])
    assert first["auroc"] == pytest.approx(wanted, abs=1e-5)


def test_rows_that_the_fit_left_out_are_left_out(planted):
    acts, names, _, _ = planted
    X = acts.numpy()
    X[5] = 1e4
    far = Activations.of(X)
    base = ica(far, outlier_norm=20.0, restarts=0)
    (said,) = ica_labels(far, Labels.of(names), base).tables["summary"]
    assert said["rows"] == 1_999
    assert said["dropped_rows"] == 0


@pytest.mark.parametrize(
    ("values", "groups", "settings", "error", "said"),
    [
        (["a"] * 60, None, {}, LabelError, "needs two labels or more; 'labels' has only 'a'"),
        ([None] * 60, None, {}, LabelError, "has none"),
        (["a", "b"] * 30, None, {"min_count": 31}, LabelError, "min_count=31 rows; the commonest"),
        (["a", "b"] * 30, [0] * 60, {}, LabelError, "all rows are of one group"),
        (["a", "b"] * 30, None, {"level": 0.0}, InputError, "0 < level < 1"),
        (["a", "b"] * 30, None, {"least_auroc": 0.4}, InputError, "least_auroc"),
        (["a", "b"] * 30, None, {"bins": 1}, InputError, "bins ≥ 2"),
        (["a", "b"] * 30, None, {"seed": -1}, InputError, "between 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(values, groups, settings, error, said):
    acts = Activations.of(np.random.default_rng(0).exponential(size=(60, 3)))
    base = ica(acts, restarts=0)
    with pytest.raises(error) as raised:
        ica_labels(acts, Labels.of(values, groups=groups), base, **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rows_of_another_width_than_the_bases_are_refused():
    X = np.random.default_rng(0).exponential(size=(60, 4))
    base = ica(Activations.of(X), restarts=0)
    with pytest.raises(InputError, match="rows of width 4, not 3"):
        ica_labels(Activations.of(X[:, :3]), Labels.of(["a", "b"] * 30), base)


def test_words_of_a_stored_run_are_grouped_by_sentence(tmp_path, demo_model):
    data = actlas.read_dataset("actlas:concepts", limit=60)
    with actlas.open(f"sqlite:///{tmp_path}/s.db") as store:
        store.extract(demo_model, data, sites="layers.1")
        base = store.run("ica", n_components=5, restarts=0)[0].result
        extraction = store.extraction()
        labels = Labels.of(
            ["long" if len(token or "") > 4 else "short" for token in
             extraction.activations("layers.1").rows.token],
            groups=extraction.activations("layers.1").rows.sample,
        )  # fmt: skip
        found = ica_labels(extraction.activations("layers.1"), labels, base)
        (said,) = found.tables["summary"]
        assert said["test"] == "clustered"
        assert said["groups"] == 60
        assert found.figures["auroc"].to_dict()
