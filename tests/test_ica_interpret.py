"""`ica_interpret` against the definitions by hand, planted clusters and known optima."""

import itertools

import numpy as np
import pytest
from scipy.stats import chi, spearmanr

import actlas
from actlas import Activations, InputError, Result, Rows
from actlas.plugins.ica import Axes, ica, ica_interpret, transform
from actlas.plugins.ica.few_axes import curve, directions, similarity, steps
from actlas.plugins.ica.hoc import clusters, moments, spanning_tree
from actlas.plugins.ica.interpret_figures import layout
from actlas.plugins.ica.intrusion import intrusion, thresholds
from actlas.plugins.ica.items import Items, column_blocks, fitted_rows, lengths, raw_axes
from actlas.plugins.ica.tour import consecutive, tour
from actlas.testing import checks


@pytest.mark.parametrize("check", checks(ica_interpret, tree_axes=8, sample=100), ids=repr)
def test_conformance(check):
    check()


def axes_of(S):
    """Axes that read columns as they are."""
    return Axes(np.zeros(S.shape[1]), np.eye(S.shape[1]))


def measured(X, axes=None, tokens=None, **settings):
    acts = Activations.of(np.asarray(X, np.float32))
    axes = axes or axes_of(X)
    items = Items.of([None] * len(X) if tokens is None else tokens)
    settings = {"top": 5, "intruders": 10, "seed": 0, "turn": True} | settings
    return intrusion(acts, axes, items, lengths(acts, axes), **settings)


def named(X, tokens):
    return Activations.of(X, rows=Rows.build(np.arange(len(X)), token=tokens))


def exponential(n, d, seed=0):
    return np.random.default_rng(seed).exponential(size=(n, d)).astype(np.float32)


@pytest.fixture(scope="module")
def sparse():
    """Eight sparse sources mixed, their `ica`, and what is read from it."""
    rng = np.random.default_rng(0)
    S = rng.exponential(size=(3_000, 8)) * (rng.random((3_000, 8)) < 0.2)
    acts = Activations.of((S @ rng.standard_normal((8, 8))).astype(np.float32))
    base = ica(acts, restarts=1)
    return acts, base, ica_interpret(acts, base, sample=300)


def test_dist_ratio_is_its_definition():
    X = exponential(200, 4)
    found = measured(X, intruders=4000)
    S = X - 0.0
    shares = S / np.linalg.norm(S, axis=1, keepdims=True)
    for values, by in zip((shares, S), found, strict=True):
        places = (-values).argsort(axis=0).argsort(axis=0)
        for a in range(4):
            top = np.flatnonzero(places[:, a] < 5)
            assert set(by.top[a]) == set(top)
            possible = np.flatnonzero((places[:, a] >= 100) & (places < 20).any(axis=1))
            pairs = itertools.permutations(X[top], 2)
            intra = np.mean([np.linalg.norm(u - v) for u, v in pairs])
            inter = np.mean([np.linalg.norm(X[top] - X[b], axis=1).mean() for b in possible])
            assert by.intra[a] == pytest.approx(intra, rel=1e-6)
            assert by.inter[a] == pytest.approx(inter, rel=0.03)  # 4,000 draws
            assert by.ratio[a] == pytest.approx(by.inter[a] / by.intra[a])


def test_intruders_come_from_the_lower_half_and_the_first_tenth_of_some_axis():
    X = exponential(200, 3)
    S = X - X.mean(axis=0)  # places are counted on s as it is
    places = (-S).argsort(axis=0).argsort(axis=0)
    marked = S.astype(np.float64)
    wrong = ~((places[:, 0] >= 100) & (places < 20).any(axis=1))
    marked = np.hstack([marked, np.where(wrong, 1e6, 0.0)[:, None]])
    marked[np.argsort(places[:, 0])[:5], 3] = 0  # the top rows themselves
    axes = Axes(np.zeros(4), np.eye(3, 4))
    plain = measured(marked, axes, intruders=200, turn=False)[1]
    assert plain.inter[0] < 100  # none drawn is at a distance of 10⁶


def test_clusters_have_their_known_ratio_and_a_turn_of_them_a_lower_one():
    k, each, spread = 30, 40, 0.5
    rng = np.random.default_rng(0)
    which = np.repeat(np.arange(k), each)
    X = 10 * np.eye(k)[which] + spread * rng.standard_normal((k * each, k))
    # Two clusters are 10 √2 apart, beside their spread; top items agree in their own axis.
    intra = spread * np.sqrt(2) * chi(k - 1).mean()
    wanted = np.sqrt(2 * 10**2 + 2 * k * spread**2) / intra
    by_axis = measured(X)[1].ratio.mean()
    assert by_axis == pytest.approx(wanted, rel=0.1)
    turned = Axes(np.zeros(k), np.linalg.qr(rng.standard_normal((k, k)))[0])
    assert measured(X, turned)[1].ratio.mean() < 0.9 * by_axis


def test_order_and_signs_of_columns_change_nothing():
    X = exponential(500, 5)
    X -= X.mean(axis=0)
    perm, signs = [3, 0, 4, 1, 2], np.array([1, -1, -1, 1, -1])
    # Distances are of the stored rows, which stay; only the axes are turned and reordered.
    given = measured(X)
    moved = measured(X, Axes(np.zeros(5), (np.eye(5) * signs)[perm]))
    for one, other in zip(given, moved, strict=True):
        np.testing.assert_array_equal(one.ratio[perm], other.ratio)
        np.testing.assert_array_equal(one.top[perm], other.top)
    unturned = measured(X, Axes(np.zeros(5), np.eye(5) * signs), turn=False)
    assert not np.allclose(given[0].ratio, unturned[0].ratio)


def test_top_items_are_of_different_tokens():
    X = exponential(400, 3)
    order = np.argsort(-X[:, 0])
    tokens = [f"t{i}" for i in range(400)]
    for row in order[:50]:
        tokens[row] = "same"
    found = measured(X, tokens=tokens, turn=False)[1]
    assert found.top[0].tolist() == [order[0], *order[50:54]]
    assert all(len({tokens[row] for row in top}) == 5 for top in found.top)


def test_no_intruder_is_of_a_top_items_token():
    X = np.zeros((100, 2))
    X[:, 0] = np.arange(100) / 10
    X[:, 1] = np.arange(100)[::-1] / 10
    # All that can intrude on axis 0, the first tenth of axis 1, are its top tokens elsewhere.
    tokens = [f"t{99 - i % 5}" if i < 10 else f"t{i}" for i in range(100)]
    assert np.isnan(measured(X, tokens=tokens, turn=False)[1].ratio[0])
    assert measured(X, turn=False)[1].ratio[0] > 1


@pytest.mark.parametrize("n", [20, 21, 30, 101])
def test_thresholds_are_ranks(n):
    column = np.random.default_rng(n).permutation(n).astype(np.float32)
    rank = (-column).argsort().argsort()
    tenth, half = thresholds(column)
    np.testing.assert_array_equal(column > tenth, rank < n / 10)
    np.testing.assert_array_equal(column <= half, rank >= n / 2)


def test_a_value_that_most_rows_have_is_in_no_first_tenth():
    column = np.zeros(100, np.float32)
    column[:4] = 1
    tenth, half = thresholds(column)
    assert (column > tenth).sum() == 4
    assert (column <= half).sum() == 96


def test_rows_of_equal_values_come_by_number():
    items = Items.of([None] * 6)
    assert items.first_rows(np.array([[1, 3, 2, 3, 3, 0]], np.float32), 4).tolist() == [
        [1, 3, 4, 2]
    ]
    items = Items.of(["a", "b", "a", "b", "c", "c"])
    found = items.first_rows(np.array([[1, 3, 2, 3, 3, 0]], np.float32), 3)
    assert found.tolist() == [[1, 4, 2]]


def test_axes_that_are_read_some_at_a_time_are_the_same(monkeypatch):
    X = exponential(300, 40)
    acts, axes = Activations.of(X), axes_of(X)
    (whole,) = column_blocks(acts, axes)
    monkeypatch.setattr("actlas.plugins.ica.items.HELD", 1)
    parts = list(column_blocks(acts, axes))
    assert [len(part) for part in parts] == [16, 16, 8]
    np.testing.assert_allclose(np.vstack(parts), whole, rtol=1e-6)


def test_all_axes_give_the_cosine_in_every_basis(sparse):
    acts, base, _ = sparse
    X = acts[:40]
    cosines = []
    for basis in ("ica", "pca", "random"):
        U = directions(Axes.of(base, basis).exact(X))
        few = similarity(U[:, None], U[None], np.array([8]))[..., 0]
        np.testing.assert_allclose(few, U @ U.T, atol=1e-10)
        cosines.append(few)
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-10)
    np.testing.assert_allclose(cosines[0], cosines[2], atol=1e-10)


def test_similarity_sums_the_largest_signed_entries():
    u, v = np.array([0.6, -0.8, 0.0]), np.array([-0.6, -0.8, 0.0])
    found = similarity(u, v, np.array([1, 2, 3]))
    np.testing.assert_allclose(found, [0.64, 0.64, 0.28])
    assert steps(12).tolist() == [1, 2, 5, 10, 12]
    assert steps(5).tolist() == [1, 2, 5]


def test_few_axes_keep_more_of_sparse_rows_by_ica_than_by_pca(sparse):
    _, _, result = sparse
    rows = {(row["basis"], row["p"]): row for row in result.tables["few_axes"]}
    for basis in ("ica", "pca", "random"):
        last = rows[basis, 8]
        assert last["overlap"] == 1
        assert last["rank_correlation"] == pytest.approx(1)
        assert last["energy_share"] == pytest.approx(1)
    for other in ("pca", "random"):
        assert rows["ica", 1]["overlap"] > rows[other, 1]["overlap"]
        assert rows["ica", 1]["energy_share"] > 1.2 * rows[other, 1]["energy_share"]


def test_rank_correlation_and_overlap_are_their_definitions():
    rng = np.random.default_rng(0)
    U = directions(rng.standard_normal((60, 6)))
    pairs = rng.integers(0, 60, (2, 300))
    pairs = pairs[:, pairs[0] != pairs[1]]  # these are alike to rounding
    found = curve(U, U[:5] @ U.T, pairs, 10)
    full = (U[pairs[0]] * U[pairs[1]]).sum(axis=1)
    few = similarity(U[pairs[0]], U[pairs[1]], found.p)
    wanted = [spearmanr(few[:, i], full).statistic for i in range(len(found.p))]
    np.testing.assert_allclose(found.correlation, wanted, atol=1e-10)
    nearest = [set(np.argsort(-np.delete(U @ U[q], q), kind="stable")[:10]) for q in range(5)]
    mine = similarity(U[:5, None], U[None], np.array([1]))[..., 0]
    shared = [len(nearest[q] & set(np.argsort(-np.delete(mine[q], q))[:10])) for q in range(5)]
    assert found.overlap[0] == pytest.approx(np.mean(shared) / 10)


def test_hoc_of_independent_axes_is_one_and_its_diagonal_kurtosis():
    X = (exponential(50_000, 6) - 1).astype(np.float32)
    top = np.zeros((6, 1), np.int64)
    found = moments(Activations.of(X), axes_of(X), np.ones(len(X)), top).hoc
    off = found[~np.eye(6, dtype=bool)]
    assert np.abs(off - 1).max() < 0.15
    assert np.abs(found.diagonal() - 9).max() < 1.5
    S2 = X.astype(float) ** 2
    np.testing.assert_allclose(found, S2.T @ S2 / len(S2), rtol=1e-6)


def test_hoc_keeps_its_spectrum_under_order_and_signs(sparse):
    acts, base, result = sparse
    axes = Axes.of(base)
    turned = Axes(axes.mean, -axes.reading[::-1])
    other = moments(acts, turned, np.ones(len(acts)), np.zeros((8, 1), np.int64)).hoc
    np.testing.assert_allclose(other[::-1, ::-1], result.arrays["hoc"], rtol=1e-5)
    kurtosis = base.tables["axes"]["kurtosis"]
    np.testing.assert_allclose(result.arrays["hoc"].diagonal(), kurtosis + 3, rtol=1e-3)


def test_tokens_that_counted_once_in_the_fit_do_so_in_hoc():
    X = exponential(900, 4)
    times = np.random.default_rng(0).integers(1, 4, len(X))
    acts = named(np.repeat(X, times, axis=0), [f"t{i}" for i in np.repeat(range(900), times)])
    base = ica(acts, weighting="token", restarts=0)
    S = transform(base, X)
    found = ica_interpret(acts, base, sample=50).arrays["hoc"]
    np.testing.assert_allclose(found, (S**2).T @ S**2 / len(S), rtol=1e-4)


def test_the_tree_is_the_one_of_largest_sum():
    rng = np.random.default_rng(0)
    hoc = rng.uniform(0.5, 3, (5, 5))
    hoc = (hoc + hoc.T) / 2
    parents = spanning_tree(hoc)
    child = np.flatnonzero(parents >= 0)
    assert len(child) == 4
    edges = list(itertools.combinations(range(5), 2))

    def cost(chosen):
        reached = {0}
        for _ in range(5):
            reached |= {x for e in chosen if reached & set(e) for x in e}
        return sum(1 / hoc[e] for e in chosen) if len(reached) == 5 else np.inf

    best = min(map(cost, itertools.combinations(edges, 4)))
    assert (1 / hoc[child, parents[child]]).sum() == pytest.approx(best)
    assert spanning_tree(np.ones((1, 1))).tolist() == [-1]


def test_planted_blocks_are_clusters():
    which = np.repeat([0, 1, 2], [8, 6, 4])[np.random.default_rng(0).permutation(18)]
    hoc = np.where(which[:, None] == which, 5.0, 1.0)
    assert clusters(hoc, 3, 0).tolist() == which.tolist()  # the largest is 0
    assert clusters(hoc[:5, :5], 10, 0).tolist() == [0] * 5


def test_the_tour_finds_a_circle_and_is_opened_where_it_is_weakest():
    angle = np.linspace(0, 5, 60)  # of a circle with a gap
    shuffled = np.random.default_rng(0).permutation(60)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)[shuffled]
    order = tour(points @ points.T)
    walked = shuffled[order]
    assert (np.diff(walked) == 1).all() or (np.diff(walked) == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_tour_of_few_axes_is_the_best_of_all(seed):
    P = directions(np.random.default_rng(seed).standard_normal((8, 4)))
    C = P @ P.T
    order = tour(C)
    assert sorted(order) == list(range(8))

    def closed(o):
        return C[list(o), np.roll(o, -1)].sum()

    best = max(closed((0, *rest)) for rest in itertools.permutations(range(1, 8)))
    assert closed(order) == pytest.approx(best)
    assert C[order[-1], order[0]] == pytest.approx(C[order, np.roll(order, -1)].min())


def test_the_tour_beats_skewness_and_chance():
    rng = np.random.default_rng(0)
    P = directions(rng.standard_normal((150, 10)))
    C = P @ P.T
    found = consecutive(C, tour(C)).mean()
    assert found > 0.5 > 10 * abs(consecutive(C, np.arange(150)).mean())


def test_the_result_says_which_basis_is_read_best(sparse):
    acts, base, result = sparse
    rows = {row["basis"]: row for row in result.tables["summary"]}
    assert list(rows) == ["ica", "pca", "random", "raw"]
    for other in ("pca", "random", "raw"):
        assert rows["ica"]["dist_ratio"] > rows[other]["dist_ratio"]
        assert rows[other]["tour_cosine"] is None or np.isnan(rows[other]["tour_cosine"])
    assert rows["ica"]["tour_cosine"] > rows["ica"]["random_cosine"]
    axes = result.tables["axes"]
    ours = axes["basis"] == "ica"
    ratios = axes["dist_ratio"][ours]
    assert rows["ica"]["median"] == pytest.approx(np.median(ratios))
    assert rows["ica"]["high"] == pytest.approx(np.quantile(ratios, 0.75))
    assert sorted(axes["tour"][ours]) == list(range(8))
    assert list(axes["stable"][ours]) == list(base.tables["axes"]["stable"])
    S = transform(base, acts.numpy())
    np.testing.assert_array_equal(
        axes["row"][ours], (S / np.linalg.norm(S, axis=1, keepdims=True)).argmax(axis=0)
    )
    tree = result.tables["tree"]
    assert sum(parent is None for parent in tree["parent"]) == 1
    for row in tree:
        if row["parent"] is not None:
            assert row["hoc"] == pytest.approx(result.arrays["hoc"][row["axis"], row["parent"]])


def test_the_tree_holds_the_axes_of_highest_ratio(sparse):
    acts, base, result = sparse
    ratios = result.tables["axes"]["dist_ratio"][:8]
    small = ica_interpret(acts, base, tree_axes=3, sample=50).tables["tree"]
    assert small["axis"].tolist() == sorted(np.argsort(-ratios)[:3].tolist())


def test_raw_dimensions_are_standardised_and_constant_ones_left_out():
    X = np.hstack([exponential(500, 3) * [1, 50, 3] + 7, np.full((500, 1), 4.0)])
    acts = Activations.of(X.astype(np.float32))
    axes = raw_axes(acts, ica(acts, restarts=0))
    S = axes.matrix(acts).numpy()
    assert S.shape == (500, 3)
    np.testing.assert_allclose(S.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(S.std(axis=0), 1, rtol=1e-4)


def test_rows_that_the_fit_left_out_are_left_out():
    X = exponential(1_000, 4)
    X[7] = 1e4
    acts = Activations.of(X)
    base = ica(acts, outlier_norm=5.0, restarts=0)
    assert fitted_rows(acts, base).tolist() == [i for i in range(1_000) if i != 7]
    result = ica_interpret(acts, base, sample=100)
    assert 7 not in result.tables["axes"]["row"]
    assert 7 in ica_interpret(acts, ica(acts, restarts=0), sample=100).tables["axes"]["row"]
    S = transform(base, X)[result.tables["axes"]["row"][:4]]
    assert (S / np.linalg.norm(S, axis=1, keepdims=True)).diagonal().min() > 0.8  # the rows meant


def test_axes_without_a_ratio_are_counted():
    X = np.zeros((200, 2), np.float32)
    X[:100, 0], X[100:, 1] = 1, 1
    X[:, 1] += np.arange(200) % 7 * 1e-3
    acts = Activations.of(X)
    found = ica_interpret(acts, ica(acts, restarts=0), sample=50)
    assert any("without a DistRatio" in said for said in found.warnings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"top": 1}, "top ≥ 2"),
        ({"intruders": 0}, "intruders"),
        ({"top": 200}, "top=200 needs 400 different items; there are 60"),
        ({"sample": 2}, "sample=2"),
        ({"seed": -1}, "between 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(settings, said):
    acts = named(exponential(300, 3), [f"t{i % 60}" for i in range(300)])
    base = ica(acts, restarts=0)
    with pytest.raises(InputError) as raised:
        ica_interpret(acts, base, **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_axis_is_enough():
    acts = Activations.of(exponential(300, 1))
    found: Result = ica_interpret(acts, ica(acts, restarts=0))
    assert found.tables["tree"]["axis"].tolist() == [0]
    for name in found.figures:
        found.figures[name].to_dict()


def test_the_layout_keeps_nodes_apart():
    rng = np.random.default_rng(0)
    parents = np.array([-1, *(rng.integers(0, i) for i in range(1, 80))])
    at = layout(parents)
    gaps = np.linalg.norm(at[:, None] - at[None], axis=2)[np.triu_indices(80, 1)]
    assert np.isfinite(at).all()
    assert gaps.min() > 0.02 * gaps.max()


def test_a_stored_run_is_interpreted(tmp_path, demo_model):
    data = actlas.read_dataset("actlas:concepts", limit=60)
    with actlas.open(f"sqlite:///{tmp_path}/s.db") as store:
        store.extract(demo_model, data, sites="layers.1")
        base = store.run("ica", n_components=6, restarts=0)[0].result
        acts = store.extraction().activations("layers.1")
        found = ica_interpret(acts, base, sample=100)
        assert any("are occurrences of" in said for said in found.warnings)
        row = next(iter(found.tables["axes"]))
        assert row["token"] == acts.rows[row["row"]].token
