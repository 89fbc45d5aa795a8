"""`convexity` gives scores that can be worked out by hand, and those of plain shortest paths."""

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, load_iris

import actlas
from actlas import Activations, InputError, Labels, Rows
from actlas.plugins.convexity import convexity
from actlas.plugins.convexity.neighbours import distinct, nearest
from actlas.plugins.convexity.networks import network
from actlas.plugins.convexity.paths import class_paths
from actlas.plugins.probe import probe
from actlas.testing import checks


def run(X, y, **settings):
    return convexity(Activations.of(np.asarray(X, np.float32)), Labels.of(y), **settings)


def summary(result):
    return next(iter(result.tables["summary"]))


def scores(result):
    table = result.tables["classes"]
    return dict(zip(table["label"], table["graph_convexity"], strict=True))


def blobs(classes=4, n=30, width=6, gap=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), n)
    return rng.normal(size=(classes, width))[y] * gap + rng.normal(size=(len(y), width)), y


def plain(X, y, k):
    """Scores by class from scipy's shortest paths, walked back one by one."""
    D = cdist(X, X)
    graph = np.zeros_like(D)
    for i, row in enumerate(D):
        for j in np.argsort(row, kind="stable")[: k + 1]:
            if row[j] > 0:
                graph[i, j] = row[j]
    graph = np.maximum(graph, graph.T)
    _, before = dijkstra(csr_array(graph), return_predecessors=True)
    found = {}
    for label in np.unique(y):
        pairs = []
        for s, t in itertools.permutations(np.flatnonzero(y == label), 2):
            path, v = [], before[s, t]
            while v not in (s, -9999):
                path.append(v)
                v = before[s, v]
            inside = float(np.mean(y[path] == label)) if path else 1.0
            pairs.append(0.0 if v == -9999 else inside)
        found[str(label)] = pairs
    return found


STAR = np.vstack([np.eye(6), np.full((1, 6), 1 / 6)])
CIRCLE = np.column_stack([f(2 * np.pi * np.arange(9) / 9) for f in (np.cos, np.sin)])


@pytest.mark.parametrize(
    ("centre", "expected", "micro"),
    [("A", {"A": 1.0, "B": 0.0}, 12 / 18), ("C", {"A": 0.0, "B": 0.0, "C": None}, 0.0)],
)
def test_a_star(centre, expected, micro):
    result = run(STAR, [*"AAABBB", centre], k=1)
    found = scores(result)
    for label, score in expected.items():
        assert found[label] == pytest.approx(score) if score is not None else np.isnan(found[label])
    assert summary(result)["micro"] == pytest.approx(micro)
    assert summary(result)["macro"] == pytest.approx(np.mean([found["A"], found["B"]]))
    assert any("one row only" in w and "C" in w for w in result.warnings) == (centre == "C")


def test_a_circle():
    result = run(CIRCLE, [0] * 7 + [1] * 2, k=2)
    assert scores(result) == {"0": pytest.approx(8 / 9), "1": 1.0}
    assert summary(result)["micro"] == pytest.approx(59 / 66)
    assert summary(result)["unreachable_share"] == 0
    assert scores(run(CIRCLE, [0] * 5 + [1] * 4, k=2)) == {"0": 1.0, "1": 1.0}


def test_far_blobs_are_convex_and_their_pieces_are_not_joined():
    X, y = blobs(gap=100)
    result = run(X, y, k=5)
    assert set(scores(result).values()) == {1.0}
    assert summary(result)["components"] == 4
    halves = run(X, y // 2, k=5)  # two clumps a class: half of the pairs, less those of one row
    assert list(scores(halves).values()) == pytest.approx([29 / 59] * 2)
    assert summary(halves)["unreachable_share"] == pytest.approx(30 / 59)
    assert any("are not joined" in w for w in halves.warnings)
    (one,) = scores(run(X, np.zeros(len(y)), k=5)).values()
    assert one == pytest.approx(29 / 119)


def test_rows_that_are_all_the_same_are_called_degenerate():
    result = run(np.ones((12, 3)), [0, 1] * 6, k=3)
    assert set(scores(result).values()) == {0.0}
    assert any("degenerate" in w for w in result.warnings)


def test_ties_first_depends_on_the_order_of_rows_and_best_does_not():
    square, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([*"AAAB"])
    found = {"first": set(), "best": set()}
    for order in itertools.permutations(range(4)):
        for ties, seen in found.items():
            seen.add(
                round(scores(run(square[list(order)], y[list(order)], k=2, ties=ties))["A"], 6)
            )
    assert found == {"first": {0.666667, 1.0}, "best": {1.0}}
    assert any("ties=best" in w for w in run(square, y, k=2).warnings)


@pytest.mark.parametrize("k", [2, 5, 10])
@pytest.mark.parametrize("data", ["blobs", "digits", "iris"])
def test_it_is_plain_shortest_paths(data, k):
    if data == "blobs":
        X, y = blobs()
    else:  # iris has duplicates and ties; of the digits every sixth
        X, y = (load_digits if data == "digits" else load_iris)(return_X_y=True)
        X, y = (X[::6], y[::6]) if data == "digits" else (X[::2], y[::2])
    X = X.astype(np.float32).astype(np.float64)
    ties = len(X) - len(np.unique(cdist(X, X).round(9))) if data == "iris" else 0
    result = run(X, y, k=k)
    for label, pairs in plain(X, y, k).items():
        row = next(r for r in result.tables["classes"] if r["label"] == label)
        assert row["graph_convexity"] == pytest.approx(np.mean(pairs), abs=0.03 if ties else 1e-12)
        if not ties:
            assert row["sem"] == pytest.approx(
                np.std(pairs, ddof=1) / np.sqrt((y == int(label)).sum())
            )
            assert row["strict"] == pytest.approx(np.mean(np.array(pairs) == 1.0))


@pytest.mark.parametrize("names", [[1, 2, 3, 4], [9, 3, 7, 5], [*"dbac"], ["10", "9", "8", "x"]])
def test_names_of_labels_do_not_matter(names):
    X, y = blobs()
    found, other = scores(run(X, y)), scores(run(X, [names[i] for i in y]))
    assert {str(names[int(label)]): s for label, s in found.items()} == other
    truth = scores(run(X, y < 2))
    assert truth == {str(bool(1 - int(k))): v for k, v in scores(run(X, (y >= 2) * 1)).items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X * 3.7e-6,
        lambda X: X + 100,
        lambda X: -X,
        lambda X: np.hstack([X, X * 0]),
        lambda X: X @ np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0],
    ],
    ids=["scale", "shift", "reflection", "padding", "rotation"],
)
def test_an_isometry_or_a_scale_changes_nothing(change):
    X, y = blobs()
    X = X.astype(np.float32).astype(np.float64)
    found, other = scores(run(X, y)), scores(run(change(X), y))
    assert list(other.values()) == pytest.approx(list(found.values()), abs=1e-12)


def test_the_order_of_rows_does_not_matter_and_a_far_class_neither():
    X, y = blobs()
    found = scores(run(X, y))
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = scores(run(X[order], y[order]))
    assert list(shuffled.values()) == pytest.approx(list(found.values()), abs=1e-12)
    far = np.random.default_rng(1).normal(size=(20, 6)) + 1e3
    more = scores(run(np.vstack([X, far]), np.concatenate([y, np.full(20, 4)])))
    assert {k: more[k] for k in found} == pytest.approx(found, abs=1e-12)
    assert more["4"] == 1.0


def test_chance_is_what_labels_dealt_out_give():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 4)), np.repeat(np.arange(5), 10)
    expected = summary(run(X, y))["chance"]
    assert expected > 0.3  # direct edges score 1: far above 1 / classes
    dealt = [summary(run(X, rng.permutation(y)))["macro"] for _ in range(60)]
    assert np.mean(dealt) == pytest.approx(expected, abs=4 * np.std(dealt) / np.sqrt(60))
    apart = np.vstack([X, X + 1e3])  # two components, of unequal classes
    y = np.repeat([0, 1, 2], [60, 30, 10])
    table = run(apart, y).tables["classes"]
    dealt = [list(scores(run(apart, rng.permutation(y))).values()) for _ in range(60)]
    error = 4 * np.std(dealt, axis=0) / np.sqrt(60)
    assert (np.abs(np.mean(dealt, axis=0) - table["chance"]) < error).all()
    assert table["adjusted"] == pytest.approx(
        (table["graph_convexity"] - table["chance"]) / (1 - table["chance"])
    )


def test_the_spread_of_chance_is_that_of_labels_dealt_out():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.repeat([0, 1, 2], [30, 20, 10])
    dealt = [summary(run(X, rng.permutation(y), k=4))["macro"] for _ in range(40)]
    found = summary(run(X, y, k=4, permutations=40))
    assert found["chance_sd"] == pytest.approx(np.std(dealt, ddof=1), rel=0.4)
    assert found["macro"] == summary(run(X, y, k=4))["macro"]
    assert np.isnan(summary(run(X, y, k=4))["chance_sd"])


def test_classes_of_two_rows_are_said_to_have_no_spread():
    X, y = blobs(3, 10)
    keep = np.r_[0:22]
    result = run(X[keep], y[keep], k=3)
    assert [row["sem"] for row in result.tables["classes"]][2] == 0
    (said,) = [w for w in result.warnings if "standard error of 0" in w]
    assert said.endswith(": 2")
    assert not any("standard error of 0" in w for w in run(X, y, k=3).warnings)


def test_known_regions_of_the_square():
    found = {"half": [], "xor": [], "dealt": []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        P = rng.uniform(size=(1000, 2))
        right, up = P[:, 0] > 0.5, P[:, 1] > 0.5
        found["half"].append(summary(run(P, right))["macro"])
        found["xor"].append(summary(run(P, right ^ up))["macro"])
        dealt = run(rng.normal(size=(1000, 8)), rng.permutation(np.arange(1000) % 5))
        found["dealt"].append(summary(dealt)["macro"])
    for name, mean, sd in (
        ("half", 0.9975, 0.0013),
        ("xor", 0.850, 0.007),
        ("dealt", 0.2097, 0.0056),
    ):
        assert np.abs(np.array(found[name]) - mean).max() < 4 * sd


def test_rings_are_convex_as_graphs():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(2, 300))
    ring = np.column_stack([np.cos(angle).ravel(), np.sin(angle).ravel()])
    y = np.repeat([0, 1], 300)
    assert set(scores(run(ring * np.where(y, 0.5, 1)[:, None], y)).values()) == {1.0}


def test_bounds_that_always_hold():
    X, y = blobs(gap=0.5)
    for row in run(X, y).tables["classes"]:
        assert row["direct_share"] <= row["strict"] <= row["graph_convexity"] <= 1
        far = row["direct_share"] + (1 - row["direct_share"]) * row["far"]
        assert row["graph_convexity"] == pytest.approx(far)


def test_intrusions_are_the_rows_on_the_paths():
    X, y = blobs(3, 15, 3, gap=0.7)
    result = run(X, y, k=4)
    table = list(result.tables["intrusions"])
    for label in "012":
        shares = [r["share"] for r in table if r["label"] == label]
        assert sum(shares) == pytest.approx(1)
    # On a line of seven, of which the fourth is another's: all paths across pass through it.
    line = np.arange(7)[:, None] * np.array([[1.0, 0]])
    found = run(line, [0, 0, 0, 1, 0, 0, 0], k=1)
    (intruder,) = found.tables["intruders"]
    assert (intruder["row"], intruder["by_label"], intruder["visits"]) == (3, "1", 18)
    visits = {(r["label"], r["by_label"]): r["visits"] for r in found.tables["intrusions"]}
    pairs = list(itertools.permutations([0, 1, 2, 4, 5, 6], 2))
    inner = [v for a, b in pairs for v in range(min(a, b) + 1, max(a, b))]
    assert visits == {("0", "0"): sum(v != 3 for v in inner), ("0", "1"): 18}


def test_rows_have_scores_and_their_mean_is_the_classs():
    X, y = blobs(gap=0.5)
    tokens = [f"t{i}" for i in range(len(y))]
    rows = Rows.build(np.arange(len(y)), token=tokens)
    labels = Labels.of([None if i % 7 == 0 else int(c) for i, c in enumerate(y)])
    result = convexity(Activations.of(X.astype(np.float32), rows=rows), labels, per_row=True)
    table = result.tables["rows"]
    assert summary(result)["unlabelled"] == len(y) - len(table) == (np.arange(120) % 7 == 0).sum()
    for label, score in scores(result).items():
        mine = table["label"] == label
        assert table["score"][mine].mean() == pytest.approx(score)
    assert [tokens[r] for r in table["row"]] == table["token"].tolist()
    assert np.array_equal(result.arrays["row_scores"], table["score"])
    assert len(run(X, y).tables["rows"]) == 0


def test_the_sweep_is_the_same_as_single_runs():
    X, y = blobs(gap=0.7)
    table = run(X, y, k=5, k_max=10).tables["k_sweep"]
    assert table["k"].tolist() == [1, 2, 3, 5, 7, 10]
    for row in table:
        single = summary(run(X, y, k=row["k"]))
        assert {n: single[n] for n in row} == row
    assert (np.diff(table["direct_share"]) > 0).all()
    assert len(run(X, y).tables["k_sweep"]) == 0


def test_drawn_pairs_estimate_all_of_them():
    X, y = blobs(gap=0.5)
    every = run(X, y)
    drawn = run(X, y, max_pairs=200, seed=3)
    assert drawn.tables["classes"]["pairs"].tolist() == [200] * 4
    assert scores(drawn) == scores(run(X, y, max_pairs=200, seed=3))
    assert scores(drawn) != scores(run(X, y, max_pairs=200, seed=4))
    for label, pairs in plain(X.astype(np.float32).astype(float), y, 10).items():
        error = 4 * np.std(pairs) / np.sqrt(200)
        assert abs(scores(drawn)[label] - scores(every)[label]) < error
    assert scores(run(X, y, max_pairs=30 * 29)) == scores(every)


def test_some_rows_of_every_class():
    X, y = blobs()
    result = run(X, y, per_class=12, seed=1)
    assert result.tables["classes"]["n"].tolist() == [12] * 4
    rows = result.arrays["rows"]
    assert (np.diff(rows) > 0).all()
    assert scores(result) == scores(run(X[rows], y[rows]))


def test_mutual_neighbours_make_fewer_edges():
    X, y = blobs(gap=0.5)
    near = nearest(X.astype(np.float32), 4)
    both = {(i, j) for i, row in enumerate(near.index[:, 1:].tolist()) for j in row}
    mutual, union = network(near, mutual=True), network(near)
    assert mutual.edges == sum((j, i) in both for i, j in both) // 2
    assert union.edges == len({frozenset(pair) for pair in both})
    assert summary(run(X, y, k=4, graph="mutual"))["edges"] == mutual.edges


def test_duplicates_take_up_places_or_are_joined():
    X, y = blobs(2, 12, 3, gap=50)
    doubled, labels = np.repeat(X, 5, axis=0), np.repeat(y, 5)
    dropped = run(doubled, labels, k=4)
    assert set(scores(dropped).values()) == {0.0}  # all four places go to rows that are the same
    assert any("duplicates=link" in w for w in dropped.warnings)
    assert summary(dropped)["duplicates"] == 96
    linked = run(doubled, labels, k=24, duplicates="link")
    assert set(scores(linked).values()) == {1.0}


def test_cosine_is_euclidean_between_rows_of_length_one():
    X, y = blobs(gap=0.7)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert scores(run(X * 5, y, metric="cosine")) == pytest.approx(scores(run(unit, y)))
    X[7] = 0
    with pytest.raises(InputError, match=r"row 7 .* has no direction"):
        run(X, y, metric="cosine")


def test_standardised_dimensions_count_alike():
    X, y = blobs(gap=0.7)
    wide = X * np.array([1, 1, 1, 1, 1, 1e3])
    assert scores(run(wide, y)) != scores(run(X, y))
    settings = {"standardise": True}
    assert scores(run(wide, y, **settings)) == pytest.approx(scores(run(X, y, **settings)))
    assert summary(run(wide, y))["top_dimension"] == 5
    assert summary(run(wide, y))["top_dimension_share"] > 0.99


def test_neighbours_are_exact_far_from_the_origin_and_with_ties():
    rng = np.random.default_rng(0)
    for given in (
        rng.normal(size=(400, 20)) + 1e3,
        rng.integers(0, 3, size=(400, 4)),
        np.repeat(rng.normal(size=(20, 5)), 20, axis=0),
    ):
        X = given.astype(np.float32)
        D = np.sqrt(((X[:, None].astype(np.float64) - X[None]) ** 2).sum(-1))
        order = np.argsort(D, axis=1, kind="stable")[:, :8]
        near = nearest(X, 7)
        assert np.allclose(near.distance, np.take_along_axis(D, order, axis=1), atol=1e-12)
        same = near.index == order
        assert same.all() or np.allclose(D[~same.all(axis=1)], D[~same.all(axis=1)])
        assert (same.mean() > 0.999) or len(np.unique(X, axis=0)) < 100


def test_rows_that_are_the_same_are_searched_for_once(monkeypatch):
    from actlas.plugins.convexity import neighbours

    rng = np.random.default_rng(0)
    compared, rerank = [], neighbours.rerank

    def counted(X, first, candidates, index, distance):
        compared.append(candidates.size)
        rerank(X, first, candidates, index, distance)

    monkeypatch.setattr(neighbours, "rerank", counted)
    for given in (
        np.ones((300, 4)),
        np.repeat(rng.normal(size=(12, 4)), 25, axis=0)[rng.permutation(300)],
        np.vstack([np.ones((150, 4)), rng.normal(size=(150, 4))])[rng.permutation(300)],
        rng.integers(0, 2, (300, 3)) * np.where(rng.random((300, 3)) < 0.5, 1.0, -0.0),
    ):
        X = given.astype(np.float32)
        D = cdist(X, X)
        order = np.lexsort((np.broadcast_to(np.arange(300), D.shape), D.round(12)))[:, :8]
        near = nearest(X, 7)
        assert np.array_equal(near.index, order)
        assert np.allclose(near.distance, np.take_along_axis(D, order, axis=1), atol=1e-12)
    assert sum(compared) < 300 * 40  # of 4 · 300² if all were compared with all


@pytest.mark.parametrize(
    ("X", "y", "settings", "said"),
    [
        (np.ones((8, 2)), [0, 1] * 4, {}, "10 neighbours need 11 rows or more; there are 8"),
        (np.ones((8, 2)), range(8), {"k": 2}, "no class of labels has two rows"),
        (np.ones((8, 2)), [None] * 8, {"k": 2}, "no class of labels has two rows"),
        (np.ones((8, 2)), [0, 1] * 4, {"k": 0}, "k ≥ 1"),
        (np.ones((8, 2)), [0, 1] * 4, {"k": 2, "max_pairs": -1}, "max_pairs ≥ 0"),
        (np.ones((8, 2)), [0, 1] * 4, {"k": 2, "permutations": 1}, "permutations 0 or ≥ 2"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(X, y, settings, said):
    with pytest.raises(InputError) as raised:
        run(X, y, **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rows_with_nan_are_refused_or_left_out_by_the_host(tmp_path):
    X, y = blobs()
    X = X.astype(np.float32)
    X[5] = np.nan
    np.savez(tmp_path / "x.npz", x=X)
    (tmp_path / "rows.csv").write_text("kind\n" + "\n".join(map(str, y)))
    store = actlas.open(str(tmp_path / "s.db"))
    store.import_matrix(tmp_path / "x.npz", rows=tmp_path / "rows.csv")
    with pytest.raises(actlas.NonFiniteError, match="1 of 120 rows"):
        store.run(convexity, sites="x", labels="kind")
    (done,) = store.run(convexity, sites="x", labels="kind", nonfinite="drop")
    assert summary(done.result)["rows"] == 119


def test_warnings_of_graphs_that_say_little():
    X, y = blobs(2, 12, 3)
    assert any("an edge joins" in w for w in run(X, y).warnings)
    assert any("k=10 is not below" in w for w in run(X, [0] * 18 + [1] * 6).warnings)
    assert any("one class only" in w for w in run(X, [0] * 24).warnings)
    X, y = blobs(2, 60, 3)
    assert any("micro is that of the large" in w for w in run(X, [0] * 115 + [1] * 5, k=3).warnings)


@pytest.mark.parametrize("check", checks(convexity, k=5, k_max=5, per_row=True), ids=repr)
def test_conforms(check):
    check()


def test_the_path_shown_is_a_shortest_one_through_another_class():
    line = np.column_stack([np.arange(7), np.zeros(7), np.zeros(7)])
    result = run(line, [0, 0, 0, 1, 0, 0, 0], k=1)
    points = list(result.tables["path"])
    steps = [row for row in points if row["on_path"]]
    assert [row["step"] for row in steps] == list(range(len(steps)))
    rows = [row["row"] for row in steps]
    assert rows in (list(range(rows[0], rows[-1] + 1)), list(range(rows[0], rows[-1] - 1, -1)))
    assert "1" in {row["label"] for row in steps[1:-1]}
    assert {rows[0], rows[-1]} & {0, 6}  # the longest from there
    x = [row["x"] for row in sorted(points, key=lambda row: row["row"])]
    assert np.abs(np.diff(x)) == pytest.approx(1)  # on a line the plane keeps distances
    assert [row["y"] for row in points] == pytest.approx([0] * len(points))
    assert "5 of 5 inside" in str(run(line, [0] * 7, k=1).figures["path"].to_dict())


def test_the_path_shown_is_as_long_as_scipys_shortest():
    X, y = blobs(gap=0.5)
    rows = [row["row"] for row in run(X, y, k=4).tables["path"] if row["on_path"]]
    near = network(nearest(X.astype(np.float32), 4))
    graph = csr_array((near.lengths, near.indices, near.indptr), shape=(len(X), len(X)))
    steps = [graph[a, b] for a, b in itertools.pairwise(rows)]
    assert min(steps) > 0
    assert sum(steps) == pytest.approx(dijkstra(graph, indices=rows[0])[rows[-1]])
    assert len({int(y[row]) for row in rows}) > 1
    assert y[rows[0]] == y[rows[-1]]


def test_no_path_is_shown_where_none_has_an_interior():
    assert len(run(np.ones((12, 3)), [0, 1] * 6, k=3).tables["path"]) == 0
    X, y = blobs(2, 8, 3)
    result = run(X, y, k=15)
    assert len(result.tables["path"]) == 0
    result.figures["path"].to_dict()


@pytest.mark.parametrize("exponent", [-100, 100, 125])
def test_rows_whose_squares_leave_float32_score_as_others(exponent):
    X, y = blobs(n=20)
    X = X.astype(np.float32)
    scaled = np.ldexp(X / 8, exponent).astype(np.float32)
    assert scores(run(scaled, y)) == scores(run(X, y))


def test_a_row_far_from_all_others_does_not_have_them_compared_with_all(monkeypatch):
    from actlas.plugins.convexity import neighbours

    X = np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32)
    X[7] *= 1000
    whole = []

    def counted(X, first, candidates, index, distance):
        whole.append(candidates.shape[1] == len(X))
        rerank(X, first, candidates, index, distance)

    rerank = neighbours.rerank
    monkeypatch.setattr(neighbours, "rerank", counted)
    near = nearest(X, 5)
    assert sum(whole) < 5
    D = np.sort(cdist(X, X), axis=1)
    np.testing.assert_allclose(near.distance, D[:, :6], rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_no_numbers_are_refused(bad):
    X, y = blobs(n=20)
    X[3, 1] = bad
    with pytest.raises(InputError, match=r"1 of 80 rows of array hold NaN"):
        run(X, y)
    # A row that has no label is not in the graph.
    run(X, [None if i == 3 else label for i, label in enumerate(y)])


def test_a_negative_seed_is_refused():
    X, y = blobs(n=20)
    with pytest.raises(InputError, match=r"seed, .* ≥ 0"):
        run(X, y, seed=-1)


def test_the_band_stays_where_scores_can_be():
    X, y = blobs(classes=2, n=6, gap=1.5)
    band = summary(run(X, y, k=2))
    assert band["macro"] + 1.96 * band["sem"] > 1
    assert band["high"] == 1
    low = summary(run(X, np.arange(len(y)) % 2, k=1))
    assert low["macro"] - 1.96 * low["sem"] < 0
    assert low["low"] == 0


def test_remarks_do_not_advise_what_is_chosen():
    X = np.random.default_rng(0).integers(0, 3, (80, 2))
    y = np.arange(80) % 2
    advice = " ".join(run(X, y, k=8).warnings)
    assert "duplicates=link" in advice
    assert "ties=best" in advice
    said = " ".join(run(X, y, k=8, duplicates="link", ties="best").warnings)
    assert "rows equal an earlier one" in said
    assert "equally near" in said
    assert "duplicates=link" not in said
    assert "ties=best" not in said


@pytest.mark.parametrize("step", [0, 1])
def test_rows_that_differ_by_rounding_are_degenerate(step):
    noise = np.random.default_rng(0).integers(0, 3, (60, 5)) * np.float32(1.2e-7) * step
    result = run(1 + noise, np.arange(60) % 3, duplicates="link")
    assert any(w.startswith("degenerate") for w in result.warnings)
    assert not any(w.startswith("degenerate") for w in run(*blobs()).warnings)


def test_ties_for_the_last_place_are_counted():
    line = np.array([[0.0], [1.0], [2.5], [4.0]])  # the third has its neighbours at 1.5, 1.5
    assert summary(run(line, [0, 0, 1, 1], k=1))["ties"] == 1


def test_without_a_folder_to_keep_compiled_code_it_is_compiled_anew(monkeypatch):
    from actlas.plugins.convexity import kernels

    asked = []

    def njit(**settings):
        asked.append(settings)
        if settings.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels.compiled(len) is len
    assert asked == [{"nogil": True, "cache": True}, {"nogil": True}]


def test_classes_keep_only_the_rows_that_their_paths_visit():
    X, y = blobs(classes=40, n=5, width=3)
    graph = network(nearest(X.astype(np.float32), 4))
    found = [class_paths(graph, y, code) for code in range(40)]
    assert all((p.visits > 0).all() and len(p.crossed) == len(p.visits) for p in found)
    assert max(len(p.crossed) for p in found) < len(X) // 2


def test_figures_show_the_best_and_the_worst_of_many_classes_and_say_so():
    X, y = blobs(classes=50, n=4, width=5)
    result = run(X, y, k=3)
    chart = result.figures["classes"].to_dict()
    found = sorted(scores(result).values())
    shown = [row["graph_convexity"] for data in datasets(chart) for row in data]
    assert (min(shown), max(shown)) == (found[0], found[-1])
    assert chart["title"] == "Convexity by class, 40 of 50"
    assert "40 of 50" in result.figures["intrusions"].to_dict()["title"]


def datasets(chart):
    parts = [chart, *chart.get("layer", [])]
    return [p["data"]["values"] for p in parts if "values" in p.get("data", {})]


def test_the_figure_of_no_sweep_can_be_drawn(tmp_path):
    run(*blobs()).figures["k_sweep"].save(tmp_path / "x.png")


def test_rows_are_named_by_their_numbers_in_the_extraction_whatever_was_left_out(tmp_path):
    X, y = blobs(gap=0.5)
    X = X.astype(np.float32)
    X[[5, 40]] = np.nan
    np.savez(tmp_path / "x.npz", x=X)
    (tmp_path / "rows.csv").write_text("kind\n" + "\n".join(map(str, y)))
    store = actlas.open(str(tmp_path / "s.db"))
    extraction = store.import_matrix(tmp_path / "x.npz", rows=tmp_path / "rows.csv")
    options = {"sites": "x", "nonfinite": "drop"}
    (done,) = store.run(convexity, extraction, labels="kind", per_row=True, **options)
    kept = np.delete(np.arange(120), [5, 40])
    assert np.array_equal(done.result.arrays["rows"], kept)
    assert done.result.tables["rows"]["row"].tolist() == kept.tolist()
    for row in [*done.result.tables["intruders"], *done.result.tables["path"]]:
        assert str(y[row["row"]]) == row.get("by_label", row["label"])
    (found,) = store.run("spectrum", extraction, **options)
    for row in found.result.tables["massive"]:
        assert abs(X[row["row"], row["dimension"]]) == pytest.approx(row["max_abs"])
    acts = extraction.activations("x").take(kept)
    assert acts.places([41, 6]).tolist() == [39, 5]
    with pytest.raises(InputError, match="row 40 is not among the 118 rows"):
        acts.places([7, 40])


def test_decision_regions_are_those_that_a_stored_probe_predicts():
    X, y = blobs(3, 20)
    acts, labels = Activations.of(X.astype(np.float32)), Labels.of([None, None, *y[2:]])
    base = probe(acts, labels, permutations=0)
    told = (X @ base.arrays["coef"].T + base.arrays["intercept"]).argmax(axis=1)
    assert (told != y).any()
    result = convexity(acts, labels, base, regions="probe")
    assert scores(result) == scores(run(X[2:], told[2:]))
    assert result.arrays["rows"].tolist() == list(range(2, 60))
    assert summary(result)["unlabelled"] == 2
    with pytest.raises(InputError, match="convexity needs base"):
        convexity(acts, labels, regions="probe")
    wide = Activations.of(np.zeros((60, 7), np.float32))
    with pytest.raises(InputError, match=r"convexity: the probe reads 6 dimensions, .* have 7"):
        convexity(wide, labels, base, regions="probe")


def test_a_yes_no_label_a_concept_measures_concepts_that_share_rows():
    X, y = blobs(3, 20)
    by_class = scores(run(X, y))
    for label in range(3):
        assert scores(run(X, y == label))["True"] == by_class[str(label)]


def test_rows_as_far_as_each_other_come_by_index_where_some_are_the_same():
    X = np.array([[0], [1], [-1], [1], [-1]], np.float32)
    assert nearest(X, 3).index[0].tolist() == [0, 1, 2, 3]
    assert len(distinct(np.array([[0.0], [-0.0]], np.float32))[0]) == 1
