"""sim_probe on planted codes: setup A of the method (five factors along five of ten axes)."""

import numpy as np
import pytest
import torch
from scipy import stats

from actlas import Activations, Factors, InputError, LabelError, Labels, NonFiniteError, Rows
from actlas.plugins.sim.probing import sim_probe
from actlas.plugins.sim.probing.logistic import Basis, fit
from actlas.plugins.sim.probing.probes import ridge
from actlas.plugins.sim.probing.rotations import rotation
from actlas.testing import checks

FEW = {"c": 1.0, "topk": False, "rotations": 4, "permutations": 1}
LAWS = ["marginal_kl", "ks", "wasserstein", "total_correlation", "gaussian_kl", "norm", "norm_cv"]
SHARP = ("disentanglement", "completeness", "mig", "sap")


def planted(n, seed=0, factors=5):
    """Rows along the axes, and quantile classes of the first five."""
    rng = np.random.default_rng(seed)
    V = rng.standard_normal((n, 5))
    Z = np.hstack([V, rng.standard_normal((n, 5))]) + 0.1 * rng.standard_normal((n, 10))
    classes = np.argsort(np.argsort(V, 0), 0) * 5 // n
    return Z, factors_of(classes[:, :factors])


def factors_of(classes, groups=None):
    return Factors.of(
        *(Labels.of(c.tolist(), name=f"f{i}", groups=groups) for i, c in enumerate(classes.T))
    )


def probed(X, factors, other=None, **settings):
    return sim_probe(Activations.of(np.asarray(X, np.float32)), factors, other, **FEW | settings)


def row(result, table="summary", at=0):
    return list(result.tables[table])[at]


def score(result, name, factor=None, column="value"):
    rows = [r for r in result.tables["scores"] if r["score"] == name and r["factor"] == factor]
    return rows[0][column]


@pytest.fixture(scope="module")
def turns():
    """Setup A along the axes, half turned, turned, and noise; a fixed turn for all."""
    Z, factors = planted(2000)
    rng = np.random.default_rng(3)
    half = np.eye(10)
    half[:4, :4] = rotation(4, rng)
    noise = np.random.default_rng(4).standard_normal(Z.shape)
    settings = {"topk": True, "test_fraction": 0.5}
    made = {"axes": Z, "half": Z @ half, "turned": Z @ rotation(10, rng), "noise": noise}
    return {
        name: probed(X, factors, **settings | {"topk": name != "half"}) for name, X in made.items()
    }


def test_scores_of_axes_fall_from_aligned_to_turned(turns):
    for name in SHARP:
        found = [score(turns[kind], name) for kind in ("axes", "half", "turned")]
        assert found[0] > found[1] > found[2], name
        assert found[2] > score(turns["noise"], name), name
    for name in ("gini", "entropy", "hoyer"):
        means = [
            np.mean([score(turns[kind], name, f"f{f}") for f in range(5)])
            for kind in ("axes", "half", "turned", "noise")
        ]
        assert means == sorted(means, reverse=True), name


def test_excess_over_rotations_is_large_along_axes_and_none_turned(turns):
    for name in SHARP:
        assert row(turns["axes"])[name] > 0.5
        assert abs(row(turns["turned"])[name]) < 0.12
        assert score(turns["axes"], name, column="null_high") < 0.5
        low, high = (score(turns["turned"], name, column=c) for c in ("null_low", "null_high"))
        assert low - 0.1 < score(turns["turned"], name) < high + 0.1


def test_accuracy_is_near_bayes_and_the_same_along_any_axes(turns):
    for f in range(5):
        found = [row(turns[kind], "factors", f)["accuracy"] for kind in ("axes", "half", "turned")]
        assert 0.83 < found[0] < 0.91  # Bayes 0.894; 0.887 of 3000 rows to train on
        assert max(found) - min(found) < 0.01
        assert row(turns["axes"], "factors", f)["random_features"] < 0.3


def test_densities_are_of_weights_over_the_largest():
    Z, factors = planted(300, factors=1)
    found = list(probed(Z, factors, c=1e-3).tables["weights"])  # weights of some hundredths
    assert 0.9 < 0.02 * sum(w["density"] for w in found) < 1.01
    assert max(w["density"] for w in found if abs(w["weight"]) > 0.95) > 0.05


def test_many_rows_come_close_to_bayes_and_few_stay_below():
    Z, factors = planted(6000, factors=1)
    many = row(probed(Z, factors, test_fraction=0.5), "factors")["accuracy"]
    few = row(probed(Z, factors, test_fraction=0.98), "factors")
    assert 0.86 < many < 0.90  # Bayes 0.894
    assert few["train"] == 120
    assert few["accuracy"] < many - 0.05


def test_more_dimensions_than_rows_know_random_labels_no_better_than_chance():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((240, 300)), rng.integers(0, 3, 240)
    result = probed(X, factors_of(y[:, None]))
    found = row(result, "factors")  # trained rows are all known by heart
    assert found["accuracy"] == pytest.approx(1 / 3, abs=3 * np.sqrt(2 / 9 / found["test"]))
    assert np.isnan(score(result, "total_correlation"))


def test_the_whole_divergence_is_that_of_dimensions_and_their_correlation():
    Z, _ = planted(900)
    result = probed(Z @ np.tri(10), None)
    kl = sum(d["kl"] for d in result.tables["dimensions"])
    correlated = score(result, "total_correlation")
    assert correlated > 5
    assert score(result, "gaussian_kl") == pytest.approx(kl + correlated, abs=1e-6)


def test_top_k_concentrates_along_axes_only(turns):
    for factor in turns["axes"].tables["factors"]:
        assert factor["k90"] == 1
        assert factor["narea"] > 0.95
        assert factor["narea_bottom"] < factor["narea_random"] < factor["narea"]
    turned = list(turns["turned"].tables["factors"])
    assert np.median([factor["k90"] for factor in turned]) >= 6
    for factor in turned:
        assert factor["narea_bottom"] < factor["narea"]
    for factor in turns["noise"].tables["factors"]:
        assert np.isnan(factor["narea"])
        assert factor["k90"] is None


def test_curves_end_at_the_whole_probe(turns):
    table = list(turns["axes"].tables["topk"])
    whole = {f["factor"]: f["accuracy"] for f in turns["axes"].tables["factors"]}
    ends = [r for r in table if r["k"] == 10]
    assert len(ends) == 20
    assert all(r["accuracy"] == pytest.approx(whole[r["factor"]], abs=1e-9) for r in ends)
    first = next(r for r in table if (r["order"], r["method"], r["k"]) == ("top", "mask", 1))
    assert first["accuracy"] > 0.3  # masked: less than refit, more than chance


def test_noise_is_uninformative_and_not_interpreted(turns):
    summary = row(turns["noise"])
    assert summary["gate"].startswith("uninformative")
    assert not summary["informative"]
    for column in (*SHARP, "concentration", "marginal_kl", "total_correlation"):
        assert np.isnan(summary[column])
    assert any("not interpreted" in said for said in turns["noise"].warnings)
    assert not any(
        r["interpreted"] for r in turns["noise"].tables["scores"] if r["score"] in (*SHARP, "gini")
    )
    for factor in turns["noise"].tables["factors"]:  # chance, within three standard errors
        assert factor["accuracy"] == pytest.approx(0.2, abs=3 * np.sqrt(0.16 / factor["test"]))
        assert factor["permuted"] == pytest.approx(0.2, abs=0.05)
        assert factor["random_features"] == pytest.approx(0.2, abs=0.05)


def test_order_sign_and_scale_of_dimensions_change_nothing():
    Z, factors = planted(800, factors=2)
    order = np.random.default_rng(0).permutation(10)
    signed = Z * np.where(np.arange(10) % 2, -1, 1) * np.geomspace(0.01, 100, 10)
    a, b = probed(Z, factors), probed(signed[:, order], factors)
    of_axes = [r for r in a.tables["scores"] if r["score"] not in LAWS]
    assert {*SHARP, "gini", "entropy", "participation", "hoyer", "modularity", "accuracy"} < {
        r["score"] for r in of_axes
    }
    for r in of_axes:
        other = score(b, r["score"], r["factor"])
        assert r["value"] == pytest.approx(other, abs=0.01), r["score"]
    back = b.arrays["importance"][np.argsort(order)]
    assert back == pytest.approx(a.arrays["importance"], abs=1e-3)


def test_probes_are_those_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression, Ridge

    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 12)) @ rng.standard_normal((12, 12))
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    y = (X[:, :4] * 1.5 + rng.gumbel(size=(600, 4))).argmax(1)
    some = np.where(np.arange(600) < 400, y, -1)  # a second problem leaves rows out
    basis = Basis.of(torch.from_numpy(X))
    for C in (1e-3, 1.0, 100.0):
        penalty = 1 / (C * np.array([600, 400]))
        found = fit(basis, np.stack([y, some]), 4, penalty, tolerance=1e-10)
        for p, rows in enumerate((slice(None), slice(400))):
            known = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10)
            known.fit(X[rows].astype(float), y[rows])
            near = 5e-3 * float(np.abs(known.coef_).max())
            weights = found.weights[p].numpy().T
            assert weights == pytest.approx(known.coef_, abs=near)
            chances = found.logits(torch.from_numpy(X), p).softmax(1).numpy()
            assert chances == pytest.approx(known.predict_proba(X), abs=2e-3)
        target = torch.from_numpy(X[:, :1] * 2.0 + y[:, None])
        W, b = ridge(torch.from_numpy(X).double(), target, [C])
        known = Ridge(alpha=1 / C).fit(X.astype(float), target[:, 0].numpy())
        assert W[0][:, 0].numpy() == pytest.approx(known.coef_, abs=1e-6)
        assert float(b) == pytest.approx(known.intercept_, abs=1e-6)


def test_the_density_of_weights_and_the_auc_are_those_of_scipy_and_scikit_learn():
    from scipy.stats import gaussian_kde
    from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

    from actlas.plugins.sim.probing import measured, report

    w, at = np.random.default_rng(0).standard_normal(50), np.linspace(-1, 1, 9)
    kde = gaussian_kde(w, lambda made: 0.5 * made.scotts_factor())
    assert report._density(w, at) == pytest.approx(kde(at), rel=1e-9)
    rng = np.random.default_rng(1)
    outputs, codes = np.log(rng.dirichlet(np.ones(3), 200)), rng.integers(0, 3, 200)
    outputs[:50] = outputs[0]  # ties
    task = measured.Task(
        measured.Task.of(*_halves(codes)).target, codes, codes, None, None, codes, codes
    )
    balanced, f1, auc = measured._by_class(task, outputs)
    assert balanced == pytest.approx(balanced_accuracy_score(codes, outputs.argmax(1)))
    assert f1 == pytest.approx(f1_score(codes, outputs.argmax(1), average="macro"))
    assert auc == pytest.approx(roc_auc_score(codes, np.exp(outputs), multi_class="ovr"))


def _halves(codes):
    from actlas.plugins.sim.probing.rows import Split, Target

    half = np.arange(len(codes)) % 2
    sides = Split(np.flatnonzero(half == 0), np.flatnonzero(half), half[half == 0])
    return Target("y", ("a", "b", "c"), codes), sides, np.arange(len(codes))


def test_r2_and_information_of_single_dimensions_are_those_of_scikit_learn():
    from sklearn.feature_selection import f_classif
    from sklearn.metrics import mutual_info_score

    Z, factors = planted(1000, factors=1)
    result = probed(Z, factors, test_fraction=0.01, bins=10)
    train = row(result)["train"]
    cells = list(result.tables["importance"])
    # All rows but a few: near what all rows give.
    F, _ = f_classif(Z, factors["f0"].codes)
    r2 = 4 * F / (4 * F + 1000 - 5)
    assert [c["r2"] for c in cells] == pytest.approx(r2, abs=0.02)
    bins = np.argsort(np.argsort(Z, 0), 0) * 10 // 1000
    known = [mutual_info_score(bins[:, d], factors["f0"].codes) for d in range(10)]
    assert [c["information"] for c in cells] == pytest.approx(known, abs=0.02)
    assert train > 980


def frames(classes=3, samples=60, each=12, seed=0):
    """Frames of recordings that are alike, and a random label a recording."""
    rng = np.random.default_rng(seed)
    sample = np.repeat(np.arange(samples), each)
    X = rng.standard_normal((samples, 20))[sample] + 0.5 * rng.standard_normal((len(sample), 20))
    return X.astype(np.float32), rng.integers(0, classes, samples)[sample], sample


def test_random_labels_of_recordings_leak_without_groups_and_not_with_them():
    X, y, sample = frames(samples=120)
    acts = Activations.of(X, rows=Rows.build(sample, np.arange(len(sample))))
    leaky = sim_probe(acts, Factors.of(Labels.of(y, name="y")), **FEW)
    whole = sim_probe(acts, Factors.of(Labels.of(y, name="y", groups=sample)), **FEW)
    assert row(leaky, "factors")["accuracy"] > 0.5
    assert any("give groups" in said for said in leaky.warnings)
    assert row(whole, "factors")["accuracy"] < 0.33 + 0.15
    assert not any("give groups" in said for said in whole.warnings)
    assert not row(whole)["informative"]


def test_the_interval_is_wider_where_rows_of_a_group_depend():
    X, y, sample = frames()
    X[:, :3] += 2.5 * np.eye(3)[y] * (sample % 4 > 0)[:, None]
    wide = probed(X, Factors.of(Labels.of(y, name="y", groups=sample)))
    found = row(wide, "factors")
    p, n = found["accuracy"], found["test"]
    assert found["high"] - found["low"] > 1.5 * 2 * 1.96 * np.sqrt(p * (1 - p) / n)
    assert found["low"] < p < found["high"]


def test_a_collapsed_posterior_is_reported_as_collapsed():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1500)
    mean = (1e-4 * (np.eye(3)[y] + 0.1 * rng.standard_normal((1500, 3)))).astype(np.float32)
    logvar = Activations.of(np.zeros((1500, 3), np.float32))
    result = probed(mean, Factors.of(Labels.of(y, name="y")), logvar)
    summary, factor = row(result), row(result, "factors")
    assert factor["accuracy"] > 0.95  # amplified by standardising
    assert factor["draw_accuracy"] == pytest.approx(1 / 3, abs=0.08)
    assert not factor["readable"]
    assert summary["active_units"] == 0
    assert summary["gate"].startswith("collapsed: posteriors are the prior (rate ")
    assert not summary["informative"]
    assert np.isnan(summary["concentration"])
    assert score(result, "marginal_kl") < 0.003  # looks excellent
    assert summary["law_of"] == "draws"


def test_a_healthy_posterior_is_informative_and_a_half_collapsed_one_said():
    Z, factors = planted(1200, factors=1)
    Z[:, 4:] *= 1e-3
    logvar = np.where(np.arange(10) < 4, -4.0, 0.0) * np.ones((1200, 1))
    result = probed(Z, factors, Activations.of(logvar.astype(np.float32)))
    assert row(result)["informative"]
    assert row(result)["active_units"] == 4
    assert row(result)["gate"].startswith("partly collapsed: f0 above chance; 4 of 10 units")
    assert any(said.startswith("closeness to N(0, I) is not inter") for said in result.warnings)
    assert np.isfinite(row(result)["concentration"])
    for name in ("marginal_kl", "total_correlation"):  # idle dimensions would make them small
        assert np.isnan(row(result)[name])
        assert not score(result, name, column="interpreted")
    rates = [d["rate"] for d in result.tables["dimensions"]]
    v = Z[:, 0].astype(np.float32).astype(float)
    assert rates[0] == pytest.approx(np.mean(v**2 + np.exp(-4) - 1 + 4) / 2, rel=1e-5)
    assert max(rates[4:]) < 1e-5


def test_numbers_are_read_as_numbers():
    Z, _ = planted(1000)
    y = Labels.of((Z[:, 0] * 2 + 5).round(6).tolist(), name="pitch")
    noise = Labels.of(np.random.default_rng(9).random(1000).tolist(), name="noise")
    result = probed(Z, Factors.of(y, noise), topk=True)
    pitch, other = result.tables["factors"]
    assert pitch["kind"] == other["kind"] == "continuous"
    assert pitch["accuracy"] > 0.99
    assert pitch["k90"] == 1
    assert pitch["majority"] == 0
    assert other["accuracy"] < 0.05
    assert not other["readable"]
    cells = [c for c in result.tables["importance"] if c["factor"] == "pitch"]
    assert cells[0]["rank"] == 0
    assert cells[0]["r2"] > 0.97
    classes = probed(Z, planted(1000, factors=1)[1], continuous="")
    assert row(classes, "factors")["kind"] == "categorical"


def test_numbers_can_be_asked_for_and_words_are_none():
    Z, factors = planted(400, factors=1)
    assert row(probed(Z, factors, continuous="f0"), "factors")["kind"] == "continuous"
    with pytest.raises(InputError, match="continuous names 'f9', and the factors are f0"):
        probed(Z, factors, continuous="f9")
    words = Factors.of(Labels.of(["a", "2"] * 200, name="w"))
    with pytest.raises(LabelError, match="'w' is no factor of numbers: it has the label 'a'"):
        probed(Z, words, continuous="w")


def test_c_is_chosen_on_held_out_groups():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 100))
    y = (X[:, 0] + 1.5 * rng.standard_normal(300) > 0).astype(int)
    chosen = row(probed(X, factors_of(y[:, None]), c=None), "factors")
    assert chosen["c"] <= 0.1  # hundred dimensions on 225 rows want a strong penalty
    fifths = np.argsort(np.argsort(X[:, 0])) // 60
    sharp = row(probed(X[:, :1], factors_of(fifths[:, None]), c=None), "factors")
    assert sharp["c"] >= 10  # steep bounds between classes want a weak one


def test_pooling_makes_rows_of_samples_and_windows():
    X, y, sample = frames(samples=40, each=10)
    X[:, :3] += 0.6 * np.eye(3)[y]
    acts = Activations.of(X, rows=Rows.build(sample, np.arange(400) % 10))
    factors = Factors.of(Labels.of(y, name="y", groups=sample))
    pooled = sim_probe(acts, factors, pool="mean", **FEW)
    assert row(pooled)["probe_rows"] == 40
    assert row(pooled)["rows"] == 400  # closeness to N(0, I) is of the rows
    windows = sim_probe(acts, factors, pool="window", window=4, **FEW)
    assert row(windows)["probe_rows"] == 120  # 4, 4 and 2 of each
    from actlas.plugins.sim.probing.rows import Pooling

    means = Pooling.of(acts, "window", 4).pooled(X)
    assert means[1] == pytest.approx(X[4:8].mean(0), abs=1e-6)
    assert means[2] == pytest.approx(X[8:10].mean(0), abs=1e-6)
    shuffled = np.random.default_rng(0).permutation(400)
    again = Pooling.of(acts.take(shuffled), "mean", 4)
    assert again.pooled(X[shuffled])[7] == pytest.approx(X[70:80].mean(0), abs=1e-6)
    largest, last = (Pooling.of(acts, pool, 4).pooled(X) for pool in ("max", "last"))
    assert (largest == X.reshape(40, 10, -1).max(1)).all()
    assert (last == X[9::10]).all()


def test_the_commonest_label_of_a_pooled_row_counts_and_is_said():
    X, _, sample = frames(samples=40, each=10)
    y = np.where(np.arange(400) % 10 < 7, sample % 2, 1 - sample % 2)
    acts = Activations.of(X, rows=Rows.build(sample))
    result = sim_probe(acts, Factors.of(Labels.of(y, name="y", groups=sample)), pool="mean", **FEW)
    assert any("40 pooled rows have several labels" in said for said in result.warnings)


def test_rows_without_a_label_are_left_out_of_that_factor_and_said():
    Z, factors = planted(800, factors=2)
    lacking = [None if i % 4 == 0 else v for i, v in enumerate(factors["f0"].values())]
    both = Factors.of(Labels.of(lacking, name="f0"), factors["f1"])
    result = probed(Z, both)
    first, second = result.tables["factors"]
    assert first["train"] + first["test"] == 600
    assert second["train"] + second["test"] == 800
    assert "f0: 200 of 800 rows without a label are left out" in result.warnings
    assert first["accuracy"] > 0.75


def test_classes_of_one_group_are_left_out():
    Z, factors = planted(400, factors=1)
    groups = np.arange(400) // 4
    names = ["rare" if g == 7 else v for g, v in zip(groups, factors["f0"].values(), strict=True)]
    result = probed(Z, Factors.of(Labels.of(names, name="f0", groups=groups)))
    assert row(result, "factors")["classes"] == 5
    assert any("left out as groups of one side lack them: rare" in s for s in result.warnings)


def test_a_factor_of_one_class_is_left_out_beside_others_and_refused_alone():
    Z, factors = planted(400, factors=1)
    one = Labels.of(["same"] * 400, name="one")
    result = probed(Z, Factors.of(one, factors["f0"]))
    assert [f["factor"] for f in result.tables["factors"]] == ["f0"]
    assert any(said.startswith("one: left out") for said in result.warnings)
    with pytest.raises(LabelError, match="no factor of one has two classes in two groups"):
        probed(Z, Factors.of(one))
    with pytest.raises(LabelError, match="all rows are in one group"):
        probed(Z, factors_of(factors["f0"].codes[:, None], groups=np.zeros(400)))
    nothing = Factors.of(Labels.of([None] * 400, name="f0"))
    with pytest.raises(LabelError, match="no row has a label of f0"):
        probed(Z, nothing)


def test_one_dimension_one_factor_and_dead_dimensions_have_no_nan():
    Z, factors = planted(500, factors=1)
    one = probed(Z[:, :1], factors, topk=True)
    assert row(one)["informative"]
    assert row(one, "factors")["narea"] == 1
    assert score(one, "norm", column="null") == pytest.approx(np.sqrt(2 / np.pi))
    assert score(one, "norm_cv", column="null") == pytest.approx(np.sqrt(np.pi / 2 - 1))
    assert np.isnan(score(one, "disentanglement"))
    dead = Z.copy()
    dead[:, 7:] = 3.0
    result = probed(dead, factors, topk=True)
    assert row(result)["dead"] == 3
    last = row(result, "dimensions", 9)
    assert last["dead"]
    assert np.isnan(last["kl"])
    assert last["importance"] == 0
    assert np.isfinite(result.arrays["importance"]).all()
    gone = probed(np.ones((500, 4)), factors)
    assert row(gone)["gate"].startswith("collapsed: no dimension varies")


def test_without_factors_the_gate_is_not_judged():
    result = probed(np.random.default_rng(0).standard_normal((300, 4)), None)
    assert row(result)["informative"] is None
    assert np.isnan(row(result)["marginal_kl"])
    assert score(result, "marginal_kl") == pytest.approx(1 / 300, rel=1)
    assert score(result, "marginal_kl", column="null") == pytest.approx(1 / 300)
    chi = stats.chi(4)
    assert score(result, "norm", column="null") == pytest.approx(chi.mean() / 2)
    assert score(result, "norm_cv", column="null") == pytest.approx(chi.std() / chi.mean())
    assert any("--labels A,B" in said for said in result.warnings)


def test_words_of_a_kind_alike_have_a_control_task():
    rng = np.random.default_rng(0)
    word = rng.integers(0, 60, 1200)
    X = rng.standard_normal((60, 64))[word] + 0.1 * rng.standard_normal((1200, 64))
    rows = Rows.build(np.arange(1200) // 10, np.arange(1200) % 10, [f"w{w}" for w in word])
    factors = Factors.of(Labels.of((word % 2).tolist(), name="y", groups=np.arange(1200) // 10))
    result = sim_probe(Activations.of(X.astype(np.float32), rows=rows), factors, **FEW)
    assert row(result, "factors")["accuracy"] > 0.75  # words are known by heart …
    assert abs(row(result, "factors")["selectivity"]) < 0.2  # … and so is any label of words
    assert np.isnan(row(probed(X, factors), "factors")["selectivity"])
    X[:, :] = rng.standard_normal(X.shape)  # words unknown, and what they have in common known
    X[:, 0] += 3 * (word % 2)
    result = sim_probe(Activations.of(X.astype(np.float32), rows=rows), factors, **FEW)
    assert row(result, "factors")["selectivity"] > 0.3
    acts = Activations.of(X.astype(np.float32), rows=rows)  # pooled rows are no words
    pooled = sim_probe(acts, factors, pool="mean", **FEW)
    assert np.isnan(row(pooled, "factors")["selectivity"])
    place = np.arange(1200) % 10  # frames of recordings are called by their place
    names = [f"{0.01 * p:.2f} s" if i < 1195 else "end" for i, p in enumerate(place)]
    frames = Rows.build(np.arange(1200) // 10, place, names)
    result = sim_probe(Activations.of(X.astype(np.float32), rows=frames), factors, **FEW)
    assert np.isnan(row(result, "factors")["selectivity"])


@pytest.mark.parametrize("method", ["information", "correlation", "probeless"])
def test_other_importances_find_the_planted_axes(method):
    Z, factors = planted(800, factors=3)
    found = probed(Z, factors, importance=method).arrays["importance"]
    assert found.argmax(0).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"test_fraction": 1.0}, "test_fraction=1.0 must lie between 0 and 1"),
        ({"rotations": 0}, "rotations ≥ 1"),
        ({"bins": 1}, "2 ≤ bins"),
        ({"c": -1.0}, "c=-1.0 must be above 0"),
        ({"seed": -1}, "seed=-1 must lie"),
        ({"window": 0}, "window ≥ 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    Z, factors = planted(100, factors=1)
    with pytest.raises(InputError, match=said):
        probed(Z, factors, **settings)


def test_what_is_no_log_variance_is_refused():
    Z, factors = planted(100, factors=1)
    with pytest.raises(InputError, match="has 3 dimensions and array 10"):
        probed(Z, factors, Activations.of(np.zeros((100, 3))))
    with pytest.raises(InputError, match="holds 1e\\+03, no log-variance"):
        probed(Z, factors, Activations.of(np.full((100, 10), 1000.0)))
    Z[3, 3] = np.nan
    with pytest.raises(NonFiniteError, match="1 of 100 rows hold NaN"):
        probed(Z, factors)


@pytest.mark.parametrize(
    "check",
    checks(
        sim_probe,
        inputs={
            "acts": Activations.of(planted(80)[0].astype(np.float32)),
            "other": Activations.of(np.full((80, 10), -1.0, np.float32)),
            "factors": planted(80, factors=2)[1],
        },
        **FEW | {"topk": True, "rotations": 1},
    ),
    ids=repr,
)
def test_it_conforms(check):
    check()


def test_rows_to_test_on_have_no_say_in_the_scale():
    from actlas.plugins.sim.probing.probes import Sides

    _, sides, _ = _halves(np.arange(100) % 3)
    X = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    before = Sides.of(X, sides, True).train
    X[sides.test] += 100
    after = Sides.of(X, sides, True)
    assert torch.equal(after.train, before)
    assert before.std(0, correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert after.test.mean() > 50
