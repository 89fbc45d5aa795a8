"""Convexity over layers, between models and against recall: planted truths and scipy's numbers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import actlas
from actlas import Activations, InputError, Labels, Layers, Others, Result, ResultTable, Rows
from actlas.plugins.convexity import (
    convexity,
    convexity_change,
    convexity_layers,
    convexity_recall,
)
from actlas.plugins.convexity.across.correlating import correlate
from actlas.plugins.convexity.across.resampling import (
    holm,
    interval,
    pseudo_values,
    resampled_means,
)
from actlas.plugins.probe import probe
from actlas.testing import checks


def blobs(gap, classes=4, n=20, width=6, seed=0):
    """Classes that lie `gap` apart in units of their spread (a number, or one a class)."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(width, width)))[0][:classes]
    y = np.repeat(np.arange(classes), n)
    X = centres[y] * np.broadcast_to(gap, classes)[y, None] + rng.normal(size=(len(y), width))
    return X.astype(np.float32), y


def names(y):
    return Labels.of([f"c{i}" for i in y], name="kind")


def layers_of(gaps, **settings):
    sites = [
        Activations.of(blobs(gap, seed=i)[0], site=f"layers.{i}") for i, gap in enumerate(gaps)
    ]
    labels = names(blobs(1)[1])
    return Layers.of(*sites, bases=[convexity(acts, labels, **settings) for acts in sites])


def first(result, table="summary"):
    return next(iter(result.tables[table]))


# Layers


def test_the_cut_is_after_the_planted_peak():
    layers = layers_of([0.5, 2, 9, 2, 0.5])
    result = convexity_layers(layers)
    summary, curve = first(result), result.tables["curve"]
    assert (summary["peak"], summary["suggest_cut"]) == ("layers.2", "layers.3")
    assert (summary["kept"], summary["dropped"]) == (3, 2)
    assert summary["peak_share"] > 0.9
    assert curve["site"].tolist() == list(layers.names)
    for row, base in zip(curve, layers.bases, strict=True):
        stored = first(base)
        assert all(row[n] == stored[n] for n in ("macro", "low", "high", "chance", "micro"))
    assert curve["peak_share"].sum() == pytest.approx(1)
    assert len(result.tables["classes"]) == 5 * 4


def test_sites_as_good_as_the_peak_are_named_and_widen_the_cut():
    layers = layers_of([0.3, 2, 2, 0.3])
    result = convexity_layers(layers)
    summary, table = first(result), result.tables["curve"]
    assert table["within"].tolist() == [False, True, True, False]
    assert summary["within"] == "layers.1, layers.2"
    assert (summary["earliest_cut"], summary["latest_cut"]) == ("layers.2", "layers.3")
    assert 0 < table["peak_share"][1] < 1
    assert any("the peak is not certain: 2 of 4" in w for w in result.warnings)


def test_a_peak_at_the_end_leaves_nothing_to_cut():
    result = convexity_layers(layers_of([0.3, 1, 9]))
    assert first(result)["suggest_cut"] is None
    assert first(result)["dropped"] == 0
    assert any("nothing to cut" in w for w in result.warnings)


def test_only_blocks_are_counted():
    layers = layers_of([0.3, 9, 1, 1])
    sites = [
        Activations.of(acts.numpy(), site=site)
        for acts, site in zip(layers, ("embed", "layers.0", "layers.1", "final"), strict=True)
    ]
    summary = first(convexity_layers(Layers.of(*sites, bases=layers.bases)))
    assert (summary["suggest_cut"], summary["kept"], summary["dropped"]) == ("layers.1", 1, 1)


def test_layers_that_do_not_compare_are_refused():
    a, b = layers_of([1, 2]), layers_of([1, 2], k=5)
    mixed = Layers.of(*a, bases=[a.bases[0], b.bases[1]])
    with pytest.raises(InputError, match=r"k=10 at layers\.0 and k=5 at layers\.1"):
        convexity_layers(mixed)
    other = convexity(a[1], names(blobs(1)[1] % 2))
    with pytest.raises(InputError, match=r"classes at layers\.1 are not those at layers\.0"):
        convexity_layers(Layers.of(*a, bases=[a.bases[0], other]))
    with pytest.raises(InputError, match=r"builds on convexity.*Layers\.of\(…, bases="):
        convexity_layers(Layers.of(*a))
    with pytest.raises(InputError, match="give one a site"):
        Layers.of(*a, bases=a.bases[:1])


def segments(macro, site, **settings):
    """A result of `convexity_euclidean` with this score."""
    summary = {"macro": macro, "low": macro - 0.1, "high": macro + 0.1, "chance": 0.25,
               "head": "own", "decision": "network", "vacuous": False, "bend": 0.3,
               "rows": 80, "classes": 4} | settings  # fmt: skip
    tables = {
        "summary": {name: np.array([value]) for name, value in summary.items()},
        "classes": {"label": np.array([f"c{i}" for i in range(4)])},
    }
    given = {"decision": summary["decision"], "against": "label", "points": 10} | settings
    built = {name: ResultTable(name, columns) for name, columns in tables.items()}
    return Result(built, parameters=given)


def beside(layers, results):
    """Layers with these Euclidean results (None: no run) beside those of the graphs."""
    bases = [
        convexity_layers.joined([base], {"convexity_euclidean": one} if one else {})
        for base, one in zip(layers.bases, results, strict=True)
    ]
    return Layers.of(*layers, bases=bases)


def test_euclidean_scores_stand_beside_those_of_graphs_where_there_are_any():
    layers = layers_of([0.5, 9, 2], permutations=3)
    plain = convexity_layers(layers)
    assert np.isnan(plain.tables["curve"]["euclidean"]).all()
    assert "Euclidean" not in str(plain.figures["curve"].to_dict())
    given = [segments(0.7, 0), None, segments(0.9, 2)]
    result = convexity_layers(beside(layers, given))
    curve = result.tables["curve"]
    assert curve["euclidean"] == pytest.approx([0.7, np.nan, 0.9], nan_ok=True)
    assert curve["euclidean_low"] == pytest.approx([0.6, np.nan, 0.8], nan_ok=True)
    assert curve["euclidean_high"] == pytest.approx([0.8, np.nan, 1.0], nan_ok=True)
    assert curve["euclidean_chance"] == pytest.approx([0.25, np.nan, 0.25], nan_ok=True)
    assert curve["macro"] == pytest.approx(plain.tables["curve"]["macro"])
    assert result.warnings == plain.warnings
    points = result.figures["curve"].to_dict()["layer"][0]["data"]["values"]
    found = {(row["of"], row["site"]): row for row in points}
    drawn = found["Euclidean", "layers.2"]
    assert [drawn[n] for n in ("value", "low", "high")] == pytest.approx([0.9, 0.8, 1.0])
    assert found["Euclidean", "layers.1"]["value"] is None
    for row in curve:
        band = found["graph, labels by chance", row["site"]]
        assert row["chance_sd"] > 0
        assert band["high"] - band["low"] == pytest.approx(2 * 1.96 * row["chance_sd"])
        assert band["value"] == row["chance"]


def test_euclidean_scores_that_do_not_compare_or_say_little_are_named():
    layers = layers_of([0.5, 9])

    def said(*given):
        result = convexity_layers(beside(layers, given))
        return result, " ".join(result.warnings)

    for change in ({"points": 3}, {"decision": "mlp"}, {"head": "probe at final"}):
        result, text = said(segments(0.7, 0), segments(0.9, 1, **change))
        assert "Euclidean scores are left out: " in text
        assert "layers.1; name runs that compare" in text
        assert np.isnan(result.tables["curve"]["euclidean"]).all()
    heads = [segments(0.7, i, decision="probe", head=f"probe{i}") for i in (0, 1)]
    assert "left out" not in said(*heads)[1]
    _, text = said(segments(1.0, 0, vacuous=True, bend=0.0), segments(0.9, 1, bend=0.0))
    assert "1 by construction at layers.0: vacuous" in text
    assert "errors only at layers.1, where the decision is linear" in text
    _, text = said(segments(0.7, 0, rows=40), segments(0.9, 1))
    assert "at layers.0 of 40 rows and 4 classes, the graph's of 80 and 4" in text


def test_peaks_by_half_samples_are_less_sure_than_those_of_these_graphs():
    """Between layers that are equally good each is the peak in about half of the draws."""
    sure = {0: [], 6: []}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X, y = blobs(1.2, n=16)
        centres = blobs(1e6, n=16)[0] * np.float32(1.2e-6)
        sites = [
            Activations.of((centres + rng.normal(size=X.shape)).astype(np.float32), site=f"l{i}")
            for i in range(2)
        ]  # fmt: skip
        layers = Layers.of(*sites, bases=[convexity(acts, names(y), k=5) for acts in sites])
        for halves, found in sure.items():
            result = convexity_layers(layers, halves=halves, draws=400)
            found.append(abs(result.tables["curve"]["peak_share"][0] - 0.5))
            uncertain = [w for w in result.warnings if "not certain" in w]
            assert all(("too sure" in w) == (halves == 0) for w in uncertain)
    assert np.mean(sure[6]) < 0.32  # 0.25 if the shares are as sure as they ought to be
    assert np.mean(sure[0]) > 0.32  # drawing the scores of rows is too sure


# Change


def changed(before, after, y, rows=None, **settings):
    labels = names(y)
    a, b = (Activations.of(X, rows=rows, site=s) for X, s in ((before, "old"), (after, "new")))
    others = Others.of(b, bases=[convexity(b, labels)])
    return convexity_change(a, others, convexity(a, labels), **settings)


def test_a_planted_change_of_two_classes_is_found_and_no_other():
    X, y = blobs([0.8, 0.8, 9, 9], n=30)
    after, _ = blobs([9, 9, 9, 9], n=30)
    result = changed(X, after, y)
    table, summary = result.tables["classes"], first(result)
    assert table["significant"].tolist() == [True, True, False, False]
    assert (table["low"][:2] > 0).all()
    assert summary["rising_share"] == 0.5
    assert summary["significant"] == 2
    assert summary["delta"] == pytest.approx(table["delta"].mean())
    assert summary["low"] < summary["delta"] < summary["high"]
    assert table["delta"] == pytest.approx(table["after"] - table["before"])
    assert table["p_holm"] == pytest.approx(holm(table["p"]))


def test_before_and_after_are_the_scores_of_the_graphs():
    X, y = blobs(1)
    after, _ = blobs(3)
    found = changed(X, after, y, halves=0).tables["classes"]
    for side, given in (("before", X), ("after", after)):
        scores = convexity(Activations.of(given), names(y)).tables["classes"]["graph_convexity"]
        assert found[side] == pytest.approx(scores)


def test_rows_are_joined_by_place_not_by_number():
    X, y = blobs(1)
    after, _ = blobs(3)
    order = np.random.default_rng(0).permutation(len(y))[:-8]
    a = Activations.of(X, site="old")
    b = Activations.of(after[order], rows=Rows.build(order), site="new")
    others = Others.of(b, bases=[convexity(b, names(y[order]))])
    result = convexity_change(a, others, convexity(a, names(y)), halves=0)
    scores = convexity(a, names(y)).arrays["row_scores"]
    kept = np.sort(order)
    expected = [scores[kept][y[kept] == c].mean() for c in range(4)]
    assert result.tables["classes"]["before"] == pytest.approx(expected)
    assert first(result)["alone"] == 8
    assert any("8 rows are in one of the two graphs only" in w for w in result.warnings)


def test_equal_models_do_not_change():
    X, y = blobs(1)
    table = changed(X, X, y).tables["classes"]
    assert set(table["delta"]) == {0.0}
    assert not table["significant"].any()


def test_half_samples_tell_the_spread_of_new_rows():
    """Delta of a class over redrawn rows spreads as the half-samples say, unlike the bootstrap."""
    deltas, errors, widths = [], [], []
    for seed in range(8):
        X, y = blobs(1.2, n=24, seed=0)
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(2, *X.shape)).astype(np.float32)
        centres = blobs(1e6, n=24, seed=0)[0] * np.float32(1.2e-6)
        table = changed(centres + noise[0], centres + noise[1], y, halves=6, draws=100).tables
        deltas += table["classes"]["delta"].tolist()
        errors += table["classes"]["se"].tolist()
        widths += (table["classes"]["boot_high"] - table["classes"]["boot_low"]).tolist()
    spread = np.std(deltas)
    assert np.mean(errors) == pytest.approx(spread, rel=0.35)
    assert np.mean(widths) / 3.92 < 0.8 * spread


def test_pseudo_values_are_those_of_the_jackknife():
    rng = np.random.default_rng(0)
    n = 9
    S = rng.random((n, n))
    S = (S + S.T) / 2
    np.fill_diagonal(S, 0)
    total = S.sum() / (n * (n - 1))
    without = [np.delete(np.delete(S, i, 0), i, 1).sum() / ((n - 1) * (n - 2)) for i in range(n)]
    expected = n * total - (n - 1) * np.array(without)
    assert pseudo_values(S.sum(axis=1) / (n - 1)) == pytest.approx(expected)


def test_the_bootstrap_is_scipys():
    values = np.random.default_rng(0).exponential(size=40)
    drawn = resampled_means(values[:, None], 20_000, np.random.default_rng(1))[:, 0]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert interval(drawn) == pytest.approx(tuple(theirs), abs=0.02)


def test_holms_p_values():
    assert holm(np.array([0.01, 0.04, 0.03, 0.5])) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_models_that_do_not_compare_are_refused():
    X, y = blobs(1)
    a = Activations.of(X, site="old")
    far = Activations.of(X, rows=Rows.build(np.arange(len(y)) + 1000), site="new")
    base = convexity(a, names(y))
    with pytest.raises(InputError, match="no row of old is one of new"):
        convexity_change(a, Others.of(far, bases=[base]), base)
    relabelled = convexity(a, names((y + 1) % 4))
    with pytest.raises(InputError, match="other labels at old than at 0"):
        convexity_change(a, Others.of(a, names=["0"], bases=[relabelled]), base)
    small = convexity(a, names(y), k=50)
    with pytest.raises(InputError, match=r"half of .* 40 of 80, are too few for k=50"):
        convexity_change(a, Others.of(a, bases=[small]), small)
    with pytest.raises(InputError, match="draws ≥ 100"):
        convexity_change(a, Others.of(a, bases=[base]), base, halves=1)


# Recall


def place(scores, recalls, macro=0.5, accuracy=0.5, k=10):
    """A result of `convexity` and `probe` with these numbers."""

    labels = np.array([f"c{i}" for i in range(len(scores))], object)
    columns = {
        "convexity_classes": {"label": labels, "graph_convexity": np.asarray(scores)},
        "probe_classes": {"label": labels, "recall": np.asarray(recalls)},
        "convexity_summary": {"macro": np.array([macro])},
        "probe_summary": {"balanced_accuracy": np.array([accuracy])},
    }
    tables = {name: ResultTable(name, given) for name, given in columns.items()}
    return Result(tables, parameters={"convexity": {"k": k}, "probe": {}})


def recalled(places, targets, **settings):
    acts = Activations.of(np.ones((2, 2), np.float32))
    sites = [Activations.of(np.ones((2, 2)), site=f"layers.{i}") for i in range(len(places))]
    others = Others.of(*[acts] * len(targets), names=[f"2:{i}" for i in range(len(targets))],
                       bases=targets)  # fmt: skip
    return convexity_recall(Layers.of(*sites, bases=places), others, **settings)


def rows_of(result, **wanted):
    table = result.tables["correlations"]
    return [row for row in table if all(row[k] == v for k, v in wanted.items())]


def test_correlations_over_classes_are_scipys():
    rng = np.random.default_rng(0)
    x, y, z = rng.random((3, 12))
    result = recalled([place(x, y)], [place(z, z)])
    for at, recall in (("same site", y), ("2:0", z)):
        (pearson,) = rows_of(result, over="classes", recall_at=at, method="pearson")
        theirs = stats.pearsonr(x, recall)
        ends = theirs.confidence_interval(0.95)
        assert (pearson["r"], pearson["p"]) == pytest.approx(tuple(theirs))
        assert (pearson["low"], pearson["high"]) == pytest.approx(tuple(ends))
        (rank,) = rows_of(result, over="classes", recall_at=at, method="spearman")
        assert (rank["r"], rank["p"]) == pytest.approx(tuple(stats.spearmanr(x, recall)))
        without = [
            stats.pearsonr(np.delete(x, i), np.delete(recall, i)).statistic for i in range(12)
        ]
        ends = pearson["without_low"], pearson["without_high"]
        assert ends == pytest.approx((min(without), max(without)))
    assert len(result.tables["points"]) == 24


def test_a_planted_correlation_is_found_in_the_right_layer():
    rng = np.random.default_rng(1)
    quality = rng.random(20)
    places = [place(rng.random(20), rng.random(20)),
              place(quality + 0.1 * rng.random(20), rng.random(20))]  # fmt: skip
    result = recalled(places, [place(rng.random(20), quality)])
    found = {r["site"]: r for r in rows_of(result, over="classes", recall_at="2:0",
                                           method="pearson")}  # fmt: skip
    assert found["layers.1"]["low"] > 0.8
    assert abs(found["layers.0"]["r"]) < 0.6
    assert found["layers.1"]["p"] < 1e-6 < found["layers.0"]["p"]


def test_points_of_a_class_belong_together_over_layers():
    rng = np.random.default_rng(2)
    x, y = rng.random((2, 10))
    once = correlate(x[None], y[None], 2000, np.random.default_rng(0))
    often = correlate(np.tile(x, (8, 1)), np.tile(y, (8, 1)), 2000, np.random.default_rng(0))
    for a, b in zip(once, often, strict=True):
        assert b.r == pytest.approx(a.r)  # eight copies of a layer say nothing new
        assert b.p == pytest.approx(a.p, abs=0.05)
        assert b.high - b.low > 0.6 * (a.high - a.low)


def test_over_layers_and_models_a_point_is_a_site():
    macro, accuracy = np.random.default_rng(3).random((2, 6))
    x = np.random.default_rng(4).random((2, 5))
    places = [place(*x, macro=m, accuracy=a) for m, a in zip(macro, accuracy, strict=True)]
    result = recalled(places, places[:5])
    for over, n in (("layers", 6), ("models", 5)):
        (row,) = rows_of(result, over=over, method="pearson")
        theirs = stats.pearsonr(macro[:n], accuracy[:n])
        assert (row["r"], row["p"]) == pytest.approx(tuple(theirs))
        assert row["n"] == n
    assert len(rows_of(result, over="models × classes")) == 2


def test_few_classes_are_warned_of_and_fewer_refused():
    x, y = np.random.default_rng(0).random((2, 6))
    assert any("6 classes only" in w for w in recalled([place(x, y)], [place(x, y)]).warnings)
    with pytest.raises(InputError, match="3 classes have convexity and recall"):
        recalled([place(x[:3], y[:3])], [place(x, y)])
    flat = recalled([place(x, np.ones(6))], [place(x, np.ones(6))])
    assert any("nothing to correlate" in w for w in flat.warnings)
    with pytest.raises(InputError, match=r"k=10 at layers\.0 and k=3 at 2:0"):
        recalled([place(x, y)], [place(x, y, k=3)])


def test_one_class_that_decides_is_named():
    x = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 5])
    y = np.array([0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0, 5])
    result = recalled([place(x, y)], [place(x, y)])
    assert any("turns the sign" in w for w in result.warnings)


# In a store


@pytest.fixture
def store(tmp_path):
    opened = actlas.open(str(tmp_path / "s.db"))
    for folder, gaps in (("old", (1, 4, 2)), ("new", (5, 6, 7))):
        (tmp_path / folder).mkdir()
        arrays = {f"layers.{i}": blobs(gap, seed=i)[0] for i, gap in enumerate(gaps)}
        np.savez(tmp_path / folder / "x.npz", **arrays)
        y = blobs(1)[1]
        lines = [f"c{i},d{i % 2}" for i in y]
        (tmp_path / folder / "rows.csv").write_text("kind,half\n" + "\n".join(lines))
        opened.import_matrix(tmp_path / folder / "x.npz", rows=tmp_path / folder / "rows.csv")
    return opened


def test_stored_results_are_read_at_every_site_and_of_the_same_labels(store):
    with pytest.raises(InputError, match=r"no run of convexity at layers\.0 of extraction 1"):
        store.run("convexity_layers", 1)
    kinds = store.run("convexity", 1, labels="kind")
    store.run("convexity", 1, "layers.1", labels="half")
    (run,) = store.run("convexity_layers", 1)  # the newest of layers.0 says the labels
    assert run.record.labels == "kind"
    assert first(run.result)["classes"] == 4
    for row, kind in zip(run.result.tables["curve"], kinds, strict=True):
        assert row["macro"] == first(kind.result)["macro"]
    again = store.run("convexity_layers", 1)[0]
    assert again.reused
    with pytest.raises(InputError, match=r"with labels half .*--labels half`"):
        store.run("convexity_layers", 1, labels="half")
    half = store.run("convexity", 1, "layers.0", labels="half")[0]
    with pytest.raises(InputError, match=rf"run {half.id} has the labels half, not kind"):
        store.run("convexity_layers", 1, labels="kind", base=half.id)
    for k in (5, 6):
        store.run("convexity", 1, labels="kind", k=k)
    newest = store.run("convexity_layers", 1, labels="kind")[0]
    assert not newest.reused  # built on other runs
    found = store.run("convexity_euclidean", 1, "layers.1", labels="kind", decision="centroid")[0]
    store.run("convexity_euclidean", 1, "layers.2", labels="half", decision="centroid")
    with_it = store.run("convexity_layers", 1, labels="kind")[0]
    assert not with_it.reused
    scores = with_it.result.tables["curve"]["euclidean"]
    assert scores == pytest.approx([np.nan, first(found.result)["macro"], np.nan], nan_ok=True)
    store.run("convexity_euclidean", 1, "layers.1", labels="kind", decision="centroid", points=5)
    (halved,) = store.run("convexity_layers", 1, labels="kind", halves=2, draws=100)
    assert first(halved.result)["peak"] == first(with_it.result)["peak"]
    with pytest.raises(InputError, match=r"needs the network .* extraction 1 was imported"):
        store.run("convexity_euclidean", 1, "layers.1", labels="kind")
    other = store.run("spectrum", 1, "layers.1")[0]
    assert not store.run("convexity_layers", 1, labels="kind")[0].reused
    assert store.run("convexity_layers", 1, labels="kind", base=found.id)[0].id == with_it.id
    with pytest.raises(InputError, match="takes runs of convexity or convexity_euclidean"):
        store.run("convexity_layers", 1, labels="kind", base=other.id)


def test_two_models_in_a_store(store):
    for number in (1, 2):
        store.run("convexity", number, labels="kind")
        store.run("probe", number, labels="kind", permutations=0)
    (change,) = store.run("convexity_change", 1, "layers.0", other="2:layers.2", halves=5)
    assert first(change.result)["delta"] > 0.2
    (recall,) = store.run("convexity_recall", 1, other=["2:layers.2"])
    assert set(recall.result.tables["points"]["recall_at"]) == {"same site", "2:layers.2"}
    with pytest.raises(InputError, match="--base takes runs of convexity or probe"):
        store.run("convexity_recall", 1, other="2:layers.2", base=change.id)


def test_a_sweep_holds_one_layer_at_a_time(store, monkeypatch):
    import weakref

    from actlas.plugins.convexity import sample

    live, most, read = [], [], sample.Sample.matrix

    def counted(self, **settings):
        X = read(self, **settings)
        live.append(weakref.ref(X))
        most.append(sum(ref() is not None for ref in live))
        return X

    monkeypatch.setattr(sample.Sample, "matrix", counted)
    runs = store.run("convexity", 1, labels="kind", force=True)
    assert most == [1] * len(runs) == [1, 1, 1]
    store.run("convexity_layers", 1)
    assert len(live) == 3  # it reads results, no activations


# Kit


@pytest.mark.parametrize(
    "check",
    [
        *checks(convexity_layers, draws=200),
        *checks(convexity_change, draws=200, halves=2),
        *checks(convexity_recall, draws=200),
    ],
    ids=repr,
)
def test_conforms(check):
    check()


def test_figures_name_what_they_show():
    layers = layers_of([0.5, 9, 1])
    drawn = str(convexity_layers(layers).figures["curve"].to_dict())
    assert "cut from here" in drawn
    assert "layers.2" in drawn
    labels = names(blobs(1)[1])
    bases = [
        Result.joined({"convexity": base, "probe": probe(acts, labels, permutations=0)})
        for acts, base in zip(layers, layers.bases, strict=True)
    ]
    both = Layers.of(*layers, bases=bases)
    others = Others.of(layers[0], names=["2:x"], bases=bases[:1])
    figures = convexity_recall(both, others).figures
    assert "recall at 2:x" in str(figures["scatter"].to_dict())
    assert "2:x" in str(figures["layers"].to_dict())


@pytest.mark.parametrize(("classes", "n"), [(30, 3), (30, 2)])
def test_classes_too_small_to_be_halved_are_refused(classes, n):
    (a, y), (b, _) = (blobs(2, classes, n, width=40, seed=s) for s in (0, 1))
    with pytest.raises(InputError, match=r"half of the rows of each class, 30 of .*--halves 0"):
        changed(a, b, y)
    assert first(changed(a, b, y, halves=0))["classes"] == classes


def test_negative_seeds_are_refused():
    (a, y), (b, _) = blobs(2), blobs(2, seed=1)
    with pytest.raises(InputError, match="seed ≥ 0"):
        changed(a, b, y, seed=-1)
    with pytest.raises(InputError, match="seed ≥ 0"):
        convexity_layers(layers_of((1, 2)), seed=-1)
    here = place([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.4, 0.3])
    with pytest.raises(InputError, match="seed ≥ 0"):
        recalled([here], [here], seed=-1)


def test_a_base_of_a_site_that_is_not_read_is_refused(store):
    runs = store.run("convexity", 1, labels="kind")
    elsewhere = store.run("convexity", 2, "layers.0", labels="kind")[0].id
    for base in (runs[2].id, elsewhere):
        with pytest.raises(InputError, match=rf"run {base} is of layers\..*not read here"):
            store.run("convexity_change", 1, "layers.0", other=["layers.1"], base=base, halves=0)
    settings = {"other": ["2:layers.0"], "base": [runs[0].id, elsewhere], "halves": 0}
    assert store.run("convexity_change", 1, "layers.0", **settings)


def test_half_samples_have_the_classes_that_were_found_and_need_no_probe():
    acts = [Activations.of(blobs(gap)[0], site=f"layers.{i}") for i, gap in enumerate((1, 4))]
    labels = names(blobs(1)[1])
    base = probe(acts[1], labels, permutations=0)
    found = [convexity(one, labels, base, regions="probe") for one in acts[1:] * 2]
    result = convexity_layers(
        Layers.of(acts[1], replace(acts[1], site="layers.2"), bases=found), halves=2, draws=100
    )
    assert first(result)["classes"] == 4
    plain = convexity(acts[1], labels)
    with pytest.raises(InputError, match=r"regions=probe at .* regions=label"):
        convexity_layers(Layers.of(acts[1], acts[0], bases=[found[0], plain]))
