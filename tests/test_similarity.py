"""Similarity of sites: `cka` against plain formulas, laws and planted truth."""

import numpy as np
import pytest

import actlas
from actlas import Activations, InputError, Layers, Others
from actlas.core.rows import Rows
from actlas.plugins.similarity import cka
from actlas.plugins.similarity.figures import heat_map
from actlas.plugins.similarity.products import Stream
from actlas.plugins.similarity.sites import Sites

from .tiny import TEXTS

RNG = np.random.default_rng(0)


def matrices(n=60, widths=(5, 8, 8), noise=0.5):
    """Sites that share some directions, with means that are far from 0."""
    common = RNG.normal(size=(n, 4))
    return [
        (common @ RNG.normal(size=(4, d)) + noise * RNG.normal(size=(n, d)) + 3).astype(np.float32)
        for d in widths
    ]


def layers(*arrays):
    return Layers.of(*(Activations.of(X, site=f"layers.{i}") for i, X in enumerate(arrays)))


def others(*arrays, rows=None):
    names = [f"2:layers.{i}" for i in range(len(arrays))]
    return Others.of(*(Activations.of(X, rows=rows) for X in arrays), names=names)


def pairs(result, column):
    return [row[column] for row in result.tables["pairs"]]


def summary(result):
    return next(iter(result.tables["summary"]))


def gram_cka(X, Y, biased=False, kernel=None):
    """CKA by Gram matrices, every sum of Song et al. 2012 written out."""
    K, L = (kernel(Z) if kernel else Z @ Z.T for Z in (X.astype(float), Y.astype(float)))
    n = len(K)

    def hsic(A, B):
        if biased:
            H = np.eye(n) - 1 / n
            return np.trace(A @ H @ B @ H)
        A, B = A - np.diag(np.diag(A)), B - np.diag(np.diag(B))
        one = np.ones(n)
        last = (one @ A @ one) * (one @ B @ one) / ((n - 1) * (n - 2))
        return (np.trace(A @ B) + last - 2 / (n - 2) * (one @ A @ B @ one)) / (n * (n - 3))

    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def every(arrays, measure):
    return [measure(X, Y) for i, X in enumerate(arrays) for Y in arrays[i + 1 :]]


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("n", [4, 60])
def test_linear_cka_is_that_of_the_gram_matrices(biased, n):
    arrays = matrices(n)
    found = cka(layers(*arrays), biased=biased)
    expected = every(arrays, lambda X, Y: gram_cka(X, Y, biased))
    np.testing.assert_allclose(pairs(found, "cka"), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("outlier", "precisions"), [(1, ["float32"]), (100, ["float32", "float64"])]
)
def test_float32_products_are_within_a_millionth(monkeypatch, outlier, precisions):
    monkeypatch.setattr("actlas.plugins.similarity.alignment.STEP", 100)
    monkeypatch.setattr("actlas.plugins.similarity.products.STEP", 100)
    arrays = matrices(450, (40, 30, 20))
    for X in arrays[:2]:
        X[7] *= outlier
    seen, begin = [], Stream.__init__

    def recorded(self, sites, precision):
        seen.append(precision)
        begin(self, sites, precision)

    monkeypatch.setattr(Stream, "__init__", recorded)
    found = cka(layers(*arrays))
    assert seen == precisions
    np.testing.assert_allclose(pairs(found, "cka"), every(arrays, gram_cka), atol=1e-6)


def test_sites_in_several_blocks_give_the_same():
    arrays = matrices(50, (5, 8, 6, 7, 3))
    sites = Sites.of("cka", layers(*arrays), None)
    streams = [Stream(sites, "float64"), Stream(sites, "float64", bound=8 * 14**2)]
    assert [len(stream.blocks) for stream in streams] == [1, 3]
    whole, parts = ({(i, j): P for i, j, P in stream.products()} for stream in streams)
    assert set(whole) == set(parts) == {(i, j) for i in range(5) for j in range(i, 5)}
    for pair, product in whole.items():
        np.testing.assert_allclose(parts[pair], product, atol=1e-12)
    np.testing.assert_allclose(streams[0].lengths, streams[1].lengths)
    with pytest.raises(InputError, match=r"layers\.1 is 8 wide, more than 7"):
        Stream(sites, "float64", bound=8 * 7**2)


def test_rotation_scale_and_shift_change_nothing():
    X, Y, _ = matrices()
    Q = np.linalg.qr(RNG.normal(size=(8, 8)))[0]
    found = cka(layers(X, Y, -40 * Y @ Q + RNG.normal(size=8)))
    one, moved, same = pairs(found, "cka")
    assert moved == pytest.approx(one, abs=1e-6)
    assert same == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "settings", [{}, {"batch": 20}, {"kernel": "rbf", "batch": 20}, {"kernel": "rbf"}]
)
def test_what_is_independent_has_none_on_average(settings):
    rng = np.random.default_rng(1)
    draws = [
        pairs(cka(layers(*rng.normal(size=(2, 40, 30))), **settings), "cka")[0] for _ in range(60)
    ]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(60)
    assert pairs(cka(layers(*rng.normal(size=(2, 40, 30))), biased=True), "cka")[0] > 0.3


def test_one_minibatch_of_all_rows_is_exact():
    arrays = matrices(30)

    def gaussian(Z, factor=0.7):
        squares = ((Z[:, None] - Z) ** 2).sum(-1)
        middle = np.sort(squares[np.triu_indices(len(Z), 1)])[(len(Z) * (len(Z) - 1) // 2 - 1) // 2]
        return np.exp(-squares / (2 * factor**2 * middle))

    linear = cka(layers(*arrays), batch=30)
    np.testing.assert_allclose(pairs(linear, "cka"), every(arrays, gram_cka), atol=1e-10)
    rbf = cka(layers(*arrays), kernel="rbf", bandwidth=0.7)
    expected = every(arrays, lambda X, Y: gram_cka(X, Y, kernel=gaussian))
    np.testing.assert_allclose(pairs(rbf, "cka"), expected, atol=1e-6)


def test_minibatches_of_unequal_sizes_count_alike():
    arrays = [X[:, :3] for X in matrices(15)[:2]]
    dealt = np.array_split(np.random.default_rng(0).permutation(15), 2)  # 8 and 7

    def unbiased(X, Y, rows):  # equation 5 of Song et al. 2012
        K, L = ((Z @ Z.T) * (1 - np.eye(len(rows))) for Z in (X[rows], Y[rows]))
        n = len(rows)
        sums = K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * K.sum(0) @ L.sum(0)
        return ((K * L).sum() + sums) / (n * (n - 3))

    X, Y = (Z.astype(float) - Z.mean(0, dtype=float) for Z in arrays)
    both, one, other = (
        np.mean([unbiased(A, B, rows) for rows in dealt]) for A, B in ((X, Y), (X, X), (Y, Y))
    )
    found = pairs(cka(layers(*arrays), batch=7), "cka")
    assert found == pytest.approx([both / np.sqrt(one * other)], abs=1e-6)


def test_a_site_that_varies_by_rounding_alone_is_refused():
    X = np.full((20, 4), 3, np.float32)
    X[::2] = np.nextafter(np.float32(3), np.float32(4))
    with pytest.raises(InputError, match=r"layers\.1 is the same in all rows"):
        cka(layers(matrices(20)[0], X))


def test_minibatches_are_near_to_all_rows_and_follow_the_seed():
    arrays = matrices(800)
    exact = pairs(cka(layers(*arrays)), "cka")
    first, again, other = (
        pairs(cka(layers(*arrays), batch=64, seed=seed), "cka") for seed in (0, 0, 1)
    )
    np.testing.assert_allclose(first, exact, atol=0.02)
    assert first == again != other


def test_sites_of_several_extractions_are_told_apart():
    X, Y, Z = matrices(40, (6, 6, 6), noise=0.1)
    found = cka(layers(X, Y, Z), others(Y + 0.01 * X, X))
    assert len(found.tables["pairs"]) == 10
    sites = list(found.tables["sites"])
    assert [s["site"] for s in sites] == [
        "layers.0", "layers.1", "layers.2", "2:layers.0", "2:layers.1"
    ]  # fmt: skip
    assert [s["extraction"] for s in sites] == ["", "", "", "2", "2"]
    assert [s["depth"] for s in sites] == [0, 0.5, 1, 0, 1]
    assert [s["most_similar"] for s in sites][:2] == ["2:layers.1", "2:layers.0"]
    assert [s["similar_depth"] for s in sites][:2] == [1, 0]
    value = {(r["a"], r["b"]): r["cka"] for r in found.tables["pairs"]}
    said = summary(found)
    own = [value["layers.0", "layers.1"], value["layers.1", "layers.2"]]
    assert (said["sites"], said["extractions"], said["rows"], said["pairs"]) == (5, 2, 40, 10)
    inner = value["2:layers.0", "2:layers.1"]
    assert said["adjacent"] == pytest.approx(np.mean([*own, inner]))
    assert said["ends"] == value["layers.0", "layers.2"]
    assert said["within"] == pytest.approx(np.mean([*own, said["ends"], inner]))
    outer = [v for (a, b), v in value.items() if (":" in a) != (":" in b)]
    assert said["between"] == pytest.approx(np.mean(outer))
    assert said["mean"] == pytest.approx(np.mean(list(value.values())))
    assert said["lowest"] == min(value.values())
    best = [s["similarity"] for s in sites[:3]]
    assert said["best"] == pytest.approx(np.mean(best))
    assert best[0] == pytest.approx(1)


def test_a_site_is_itself_and_never_more():
    for n in (20, 45):
        X = RNG.normal(size=(n, 6)) * np.arange(1, 7)
        same = [X, 3 * X @ np.linalg.qr(RNG.normal(size=(6, 6)))[0], -X]
        for settings in ({}, {"biased": True}, {"batch": 9}, {"kernel": "rbf"}):
            found = pairs(cka(layers(*same), **settings), "cka")
            assert max(found) <= 1
            np.testing.assert_allclose(found, 1, atol=1e-9)


def test_many_sites_have_room_for_their_names():
    sides = []
    for count in (3, 50, 400):
        sites = [{"site": f"layers.{i}", "extraction": ""} for i in range(count)]
        tables = {"sites": sites, "pairs": [{"a": "layers.0", "b": "layers.1", "cka": 0.5}]}
        sides.append(heat_map("cka", "CKA")(tables).to_dict()["height"])
    assert sides == [200, 50 * 13, 400 * 2]


def test_the_figures_have_all_pairs_and_a_line_between_extractions():
    X, Y, Z = matrices()
    found = cka(layers(X, Y), others(Z))
    cells, *lines = layered(found.figures["heat"])
    assert len(cells) == 9
    assert lines == [[{"site": "2:layers.0"}]] * 2
    assert len(layered(cka(layers(X, Y)).figures["heat"])) == 1
    assert len(layered(found.figures["depths"])[1]) == 3
    assert set(cka(layers(X, Y)).tables["sites"]["most_similar"].tolist()) == {None}
    alone = cka(layers(X, Y)).figures["depths"].to_dict()
    assert alone["layer"][1]["encoding"]["color"]["legend"] is None  # empty ones cannot be drawn
    alone = alone["title"]["subtitle"]
    assert alone == "all sites are of one extraction; name others with --other"


def layered(chart):
    """The data of each layer of a chart."""
    drawn = chart.to_dict()
    given = [layer.get("data", drawn.get("data")) for layer in drawn["layer"]]
    return [data.get("values") or drawn["datasets"][data["name"]] for data in given]


X0, Y0, _ = matrices(20)
SHIFTED = Rows.build(np.arange(20) + 1)


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ((layers(X0), None), {}, r"layers\.0 is all there is; name more with --site, or"),
        ((layers(X0[:3], Y0[:3]), None), {}, "layers.0 has 3 rows, and 4 or more are needed"),
        ((layers(X0), others(Y0[:9])), {}, "rows of 2:layers.0 are not those of layers.0"),
        ((layers(X0), others(Y0, rows=SHIFTED)), {}, "word or mean where tokenizers differ"),
        ((layers(X0, Y0 * 0 + 7), None), {}, "layers.1 is the same in all rows"),
        ((layers(X0, Y0 * np.nan), None), {}, "layers.1 holds NaN or infinity"),
        ((layers(X0), Others.of(Activations.of(Y0, site="layers.0"))), {}, "is there twice"),
        ((layers(X0, Y0), None), {"batch": 3}, "batch ≥ 4"),
        ((layers(X0, Y0), None), {"bandwidth": 0.0}, "bandwidth > 0"),
        ((layers(X0, Y0), None), {"seed": -1}, "seed ≥ 0"),
        ((layers(X0, Y0), None), {"biased": True, "batch": 9}, "leave out --biased"),
        ((layers(X0, Y0), None), {"biased": True, "kernel": "rbf"}, "leave out --biased"),
        (
            (layers(X0, np.repeat(Y0[:2], [18, 2], axis=0)), None),
            {"kernel": "rbf"},
            "median distance is 0",
        ),
        ((layers(X0[:4], np.eye(4)), None), {}, "equally far from each other"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_one_line(given, settings, said):
    with pytest.raises(InputError, match=said) as caught:
        cka(*given, **settings)
    assert "\n" not in str(caught.value)


def test_a_store_compares_sites_of_several_extractions(sqlite_store, tiny):
    store, data = sqlite_store, actlas.Dataset("texts", TEXTS)
    for kind, pooling in (("bert", "mean"), ("gpt2", "mean"), ("gpt2", "token")):
        store.extract(tiny(kind), data, ["layers.*"], pooling=pooling)
    run = store.run(cka, 1, other="2:layers.*")[0]
    names = [row["site"] for row in run.result.tables["sites"]]
    own = [name for name in names if ":" not in name]
    assert own == list(store.extraction(1).layers().names)
    assert names[len(own) :] == [f"2:{n}" for n in store.extraction(2).layers().names]
    assert store.run(cka, 1, other="2:layers.*")[0].reused
    assert not store.run(cka, 1)[0].reused
    with pytest.raises(InputError, match=r"rows of 3:layers\.0 are not those of layers\.0"):
        store.run(cka, 1, other="3:layers.*")

    @actlas.analysis(version=1)
    def beside(acts: Activations, other: Activations) -> actlas.Result:
        """Take one other site."""
        return actlas.Result()

    assert len(store.run(beside, 1, "layers.0", other="2:layers.1")) == 1
    with pytest.raises(InputError, match=r"takes one other site; '2:layers\.\*' names \d"):
        store.run(beside, 1, "layers.0", other="2:layers.*")


def imported(store, tmp_path, **matrices):
    for name, matrix in matrices.items():
        np.save(tmp_path / f"{name}.npy", np.asarray(matrix, np.float32))
        store.import_matrix(tmp_path / f"{name}.npy", name)


def test_a_row_that_is_left_out_at_one_site_is_left_out_at_all(sqlite_store, tmp_path):
    X, Y, _ = matrices(30)
    bad = [X.copy(), Y.copy()]
    bad[0][3], bad[1][[5, 7]] = np.nan, np.inf
    imported(sqlite_store, tmp_path, x=bad[0], y=bad[1], short=bad[0][:9])
    (run,) = sqlite_store.run(cka, 1, "x", other="2:y", nonfinite="drop")
    kept = np.setdiff1d(np.arange(30), [3, 5, 7])
    assert summary(run.result)["rows"] == 27
    assert pairs(run.result, "cka")[0] == pytest.approx(gram_cka(X[kept], Y[kept]), abs=1e-9)
    with pytest.raises(InputError, match="short has other rows than the own sites"):
        sqlite_store.run(cka, 1, "x", other="3:short", nonfinite="drop")
    bad[1][np.setdiff1d(np.arange(30), 3)] = np.nan
    imported(sqlite_store, tmp_path, z=bad[1])
    with pytest.raises(InputError, match="every row holds NaN or infinity at one of the sites"):
        sqlite_store.run(cka, 1, "x", other="4:z", nonfinite="drop")


def test_sites_of_other_samples_are_told_of(sqlite_store, tiny):
    store = sqlite_store
    words = [[(0, 3)] for _ in TEXTS]
    for name, texts, spans in (
        ("en", TEXTS, None),
        ("too", TEXTS, words),
        ("fr", TEXTS[::-1], None),
    ):
        data = actlas.Dataset(name, texts, words=spans)
        store.extract(tiny("bert"), data, ["layers.*"], pooling="mean")
    (run,) = store.run(cka, 1, other=["2:layers.*", "3:layers.0", "3:layers.1"])
    assert run.record.warnings == [
        "extraction 3 is of other samples (fr) than 1 (en); their rows are paired by place"
    ]
