"""`ica_align` against retrieval and maps written out, and words that were planted."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import binomtest

from actlas import Activations, InputError, Other, Others, Rows
from actlas.plugins.ica import ica, ica_align, transform
from actlas.plugins.ica.align import _Site, _wilson
from actlas.plugins.ica.csls import Queries, least_squares, procrustes, random_map, ranks
from actlas.testing import checks

METHODS = ("ica", "pca", "least squares", "procrustes")


@pytest.mark.parametrize("check", checks(ica_align, test_share=0.5), ids=repr)
def test_it_conforms(check):
    check()


def words(names):
    return Rows.build(np.arange(len(names)), token=list(names))


def site(X, names=None, **settings):
    rows = None if names is None else words(names)
    acts = Activations.of(np.asarray(X, np.float32), rows=rows)
    return acts, ica(acts, **({"restarts": 0, "tol": 1e-7} | settings))


def aligned(source, *targets, **settings):
    others = Others.of(*(acts for acts, _ in targets), bases=[base for _, base in targets])
    return ica_align(*source[:1], others, source[1], **settings)


def scores(result, given="original", n="p1"):
    return {s["method"]: s[n] for s in result.tables["scores"] if s["given"] == given}


def two_languages(n=600, d=6, noise=0.1, seed=0, **settings):
    """The same skewed sources, seen through two linear maps, with noise."""
    rng = np.random.default_rng(seed)
    S = rng.exponential(size=(n, d)) ** 1.5
    sides = ((S + noise * rng.standard_normal((n, d))) @ rng.standard_normal((d, d)) for _ in "ab")
    names = [f"w{i}" for i in range(n)]
    return [site(X, names, **settings) for X in sides]


@pytest.mark.parametrize("neighbours", [1, 4, 500])
def test_ranks_are_those_of_csls_written_out(neighbours):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, 5)), rng.standard_normal((50, 5))
    asked = rng.permutation(40)[:20]
    gold = [rng.choice(50, rng.integers(1, 4), replace=False) for _ in asked]
    products = X @ Y.T
    near_x = np.sort(products, axis=1)[:, ::-1][:, :neighbours].mean(axis=1)
    near_y = np.sort(products, axis=0)[::-1][:neighbours].mean(axis=0)
    csls = 2 * products - near_x[:, None] - near_y
    wanted = [
        min(np.argsort(-csls[i]).tolist().index(g) for g in right)
        for i, right in zip(asked, gold, strict=True)
    ]
    assert ranks(X, Y, Queries(asked, gold), neighbours).tolist() == wanted


def test_of_equal_scores_the_wrong_one_comes_first():
    same = Queries(np.array([0]), [np.array([1, 2])])
    assert ranks(np.ones((3, 2)), np.ones((5, 2)), same, 2).tolist() == [3]


def test_a_hub_is_no_neighbour_of_all():
    """What is near to everything is held back by the mean of its largest products."""
    X = np.eye(4)
    Y = np.vstack([0.9 * np.eye(4), np.ones(4)])
    queries = Queries(np.arange(4), [np.array([i]) for i in range(4)])
    assert (X @ Y.T).argmax(axis=1).tolist() == [4] * 4
    assert ranks(X, Y, queries, 1).tolist() == [1] * 4
    assert ranks(X, Y, queries, 4).tolist() == [0] * 4


def test_maps_are_those_of_scipy_and_numpy():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((2, 50, 4))
    np.testing.assert_allclose(procrustes(X, Y), orthogonal_procrustes(X, Y)[0], atol=1e-12)
    np.testing.assert_allclose(least_squares(X, Y), np.linalg.pinv(X) @ Y, atol=1e-12)
    W = procrustes(X, Y[:, :2])
    np.testing.assert_allclose(W.T @ W, np.eye(2), atol=1e-12)


def test_the_random_map_is_drawn_as_said():
    drawn = np.array([random_map(6, np.random.default_rng(i)) for i in range(4_000)])
    # Entries are Σ_j U_ij σ_j V_kj: of variance d · E σ² / d⁴ = 2 / d³.
    assert drawn.var() == pytest.approx(2 / 6**3, rel=0.05)
    assert np.median([np.linalg.cond(M) for M in drawn[:50]]) > 30


def test_planted_words_are_found_in_the_order_of_the_paper():
    result = aligned(*two_languages(d=20), pairs="tokens")
    plain, mapped = scores(result), scores(result, "mapped")
    assert plain["least squares"] > plain["ica"] > 0.85
    assert plain["pca"] < 0.2
    assert mapped["ica"] == pytest.approx(plain["ica"], abs=0.03)
    assert mapped["pca"] < 0.2
    assert mapped["procrustes"] < 0.1 < plain["procrustes"]
    (summary,) = result.tables["summary"]
    for method in METHODS:
        assert summary[f"{method.replace(' ', '_')}_p1"] == plain[method]
        assert summary[f"{method.replace(' ', '_')}_p1_mapped"] == mapped[method]
    assert (summary["learnt"], summary["tested"]) == (450, 150)
    assert summary["chance_p1"] == pytest.approx(1 / 600)
    for s in result.tables["scores"]:
        assert s["p1"] <= s["p5"] <= s["p10"]
        assert s["p1_low"] <= s["p1"] <= s["p1_high"]


def test_nothing_is_found_where_nothing_is_shared():
    one, _ = two_languages(n=400)
    _, other = two_languages(n=400, seed=1)
    found = aligned(one, other, pairs="tokens")
    assert max([*scores(found).values(), *scores(found, "mapped").values()]) <= 0.05


def naive(source, target, lines, tested, neighbours=3):
    """All four methods by loops over what was asked, for words of one row each."""
    (a, one), (b, other) = source, target
    X, Y = (
        (acts.numpy(np.float64) - base.arrays["mean"]) @ base.arrays["principal"].T
        for acts, base in (source, target)
    )
    S, T = transform(one, a.numpy()), transform(other, b.numpy())
    P, Q = (X / X.std(0), Y / Y.std(0))
    P, Q = (Z * np.where((Z**3).mean(0) < 0, -1, 1) for Z in (P, Q))
    train = [line for line in lines if line[0] not in tested]
    i, j = np.array(train).T
    found = {}
    Xn, Yn = ((Z - Z.mean(0)) / np.linalg.norm(Z - Z.mean(0), axis=1)[:, None] for Z in (X, Y))
    for name, W in (
        ("least squares", np.linalg.pinv(Xn[i]) @ Yn[j]),
        ("procrustes", orthogonal_procrustes(Xn[i], Yn[j])[0]),
    ):
        moved = Xn @ W
        found[name] = (moved / np.linalg.norm(moved, axis=1)[:, None]) @ Yn.T
    for name, left, right in (("ica", S, T), ("pca", P, Q)):
        ln, rn = (Z / np.linalg.norm(Z, axis=1)[:, None] for Z in (left, right))
        k = left.shape[1]
        r = np.corrcoef(ln[i].T, rn[j].T)[:k, k:]
        total, taken = 0, set()
        for flat in np.argsort(-r, axis=None):
            p, q = divmod(int(flat), k)
            if not taken & {("left", p), ("right", q)}:
                total = total + np.outer(left[:, p], right[:, q])
                taken |= {("left", p), ("right", q)}
        found[name] = total
    out = {}
    for name, products in found.items():
        near = np.sort(products, axis=0)[::-1][:neighbours].mean(axis=0)
        hits = []
        for word in sorted(tested):
            order = np.argsort(-(2 * products[word] - near))
            right = [t for s, t in lines if s == word]
            hits.append(min(order.tolist().index(t) for t in right))
        out[name] = [float(np.mean(np.array(hits) < first)) for first in (1, 5, 10)]
    return out


def test_all_methods_are_those_written_out_with_a_dictionary(tmp_path):
    rng = np.random.default_rng(3)
    S = rng.exponential(size=(90, 4))
    T = np.vstack([S, S[:40]]) + 0.4 * rng.standard_normal((130, 4))  # 40 words have two
    source = site(S @ rng.standard_normal((4, 4)), [f"é{i}" for i in range(90)])
    target = site(T @ rng.standard_normal((4, 4)), [f"t{i}" for i in range(130)])
    lines = [(i, i) for i in range(80)] + [(i, 90 + i) for i in range(40)]
    text = "\n".join(f"é{i}\tt{j}" for i, j in lines)
    (tmp_path / "d.tsv").write_text(text + "\nnone\tt1\né1\tt1\n", "utf-8")
    result = aligned(
        source, target, pairs="dictionary", dictionary=str(tmp_path / "d.tsv"), neighbours=3,
        mapped=False, seed=5,
    )  # fmt: skip
    (summary,) = result.tables["summary"]
    assert (summary["tested"], summary["dropped"]) == (20, 1)
    assert (summary["words"], summary["target_words"]) == (90, 130)
    order = np.random.default_rng(5).permutation(80)
    tested = set(order[:20].tolist())
    assert summary["learnt"] == sum(i not in tested for i, _ in lines)
    assert summary["translations"] == pytest.approx(np.mean([1 + (i < 40) for i in tested]))
    assert summary["chance_p1"] == pytest.approx(summary["translations"] / 130)
    wanted = naive(source, target, lines, tested)
    for place, n in enumerate(("p1", "p5", "p10")):
        for method, value in scores(result, n=n).items():
            assert value == pytest.approx(wanted[method][place]), (method, n)
    assert all(s["given"] == "original" for s in result.tables["scores"])
    assert np.isnan(summary["ica_p1_mapped"])


def test_a_word_is_the_mean_of_its_rows():
    (a, base), _ = two_languages(n=60, d=3)
    X = a.numpy()
    names = [f"w{i % 20}" for i in range(60)]
    many = Activations.of(X, rows=words(names))
    one = _Site(Other("x", many, base), (0, 0), 1.0, mapped=False)
    codes = np.arange(60) % 20
    codes[codes == 7] = -1
    codes[codes == 19] = 7
    white = one.words(codes)
    wanted = transform(base, X)[19::20].mean(axis=0)
    np.testing.assert_allclose(one.axes["original"]["ica"] @ white[7], wanted, atol=1e-5)
    assert white.shape == (19, 3)


def test_axes_after_the_random_map_are_those_of_a_fit_to_mapped_rows():
    source, _ = two_languages(n=2_000, d=4)
    acts, base = source
    one = _Site(Other("x", acts, base), (0, 1), 1.0, mapped=True)
    T = (acts.numpy(np.float64) - base.arrays["mean"]) @ base.arrays["principal"].T
    white = T / np.sqrt(base.arrays["variances"])
    moved = T @ one.map
    fit = site(moved / moved.std(), n_components=4)[1]
    wanted = {
        "ica": transform(fit, moved / moved.std()),
        "pca": (moved - moved.mean(0)) @ np.linalg.svd(moved - moved.mean(0))[2].T,
    }
    for basis, S in wanted.items():
        found = white @ one.axes["mapped"][basis].T
        assert ((found**3).mean(0) >= 0).all()
        r = np.abs(np.corrcoef(found.T, S.T)[:4, 4:])
        assert r.max(axis=1).min() > 0.999, basis


def test_samples_are_not_parted_and_rows_are_looked_for_among_rows():
    (a, one), (b, other) = two_languages(n=300, d=12)
    rows = Rows.build(np.arange(300) // 10, np.arange(300) % 10)
    source, target = ((Activations.of(x.numpy(), rows=rows), y) for x, y in ((a, one), (b, other)))
    result = aligned(source, target, test_share=0.2, mapped=False)
    (summary,) = result.tables["summary"]
    assert (summary["tested"], summary["learnt"], summary["target_words"]) == (60, 240, 300)
    assert scores(result)["least squares"] > 0.8


def test_what_is_searched_can_be_limited_and_that_is_said():
    (a, one), (b, other) = two_languages(n=200, d=3)
    few = (a.take(np.arange(60)), ica(a.take(np.arange(60)), restarts=0))
    result = aligned(few, (b, other), pairs="tokens", most=100, mapped=False)
    (summary,) = result.tables["summary"]
    assert (summary["words"], summary["target_words"]) == (60, 100)
    assert "only the first most=100" in result.warnings[0]
    (all_paired,) = aligned((a, one), (b, other), most=100, mapped=False).tables["summary"]
    assert all_paired["target_words"] == 200


def test_unequal_numbers_of_axes_are_matched_as_far_as_they_go():
    source, (b, base) = two_languages(n=400, d=12)
    result = aligned(source, (b, ica(b, n_components=6, restarts=0)), pairs="tokens", mapped=False)
    assert 0.05 < scores(result, n="p10")["ica"] < scores(aligned(
        source, (b, base), pairs="tokens", mapped=False
    ), n="p10")["ica"]  # fmt: skip


def test_intervals_are_wilsons():
    for hits, n in ((0, 7), (3, 20), (20, 20)):
        wanted = binomtest(hits, n).proportion_ci(0.95, "wilson")
        assert _wilson(hits / n, n) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"test_share": 1.0}, "0 < test_share < 1"),
        ({"neighbours": 0}, "neighbours ≥ 1"),
        ({"most": 1}, "most ≥ 2"),
        ({"seed": -1}, "between 0"),
        ({"test_share": 0.001}, "40 to learn from and 0 to test by"),
        ({"test_share": 0.95}, "2 to learn from and 38 to test by; 4 and 1 are needed"),
        ({"pairs": "dictionary"}, "ica_align: pairs=dictionary and dictionary=FILE"),
        ({"memory_gb": 0.0}, "memory_gb=0 holds 0 rows"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(settings, said):
    sides = two_languages(n=40, d=3)
    with pytest.raises(InputError) as raised:
        aligned(*sides, **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rows_that_are_not_the_bases_are_refused():
    one, (b, other) = two_languages(n=40, d=3)
    same = Activations.of(np.ones((40, 3)), rows=b.rows)
    with pytest.raises(InputError, match="do not vary in all 3 components"):
        aligned(one, (same, other))


def test_a_sample_of_the_rows_is_made_white_before_the_fit_after_the_map():
    (acts, base), _ = two_languages(n=3_000, d=4)
    whole, part = (
        _Site(Other("x", acts, base), (0, 0), gb, mapped=True).axes["mapped"]["ica"]
        for gb in (1.0, 400 * 4 * 4 / 1e9)
    )
    r = np.abs(whole @ part.T / np.linalg.norm(part, axis=1))
    assert r.max(axis=1).min() > 0.97
    assert not np.allclose(part @ part.T, np.eye(4), atol=1e-3)  # white on the sample


def test_words_that_do_not_meet_are_refused():
    one, (b, other) = two_languages(n=40, d=3)
    away = Activations.of(b.numpy(), rows=words([f"v{i}" for i in range(40)]))
    with pytest.raises(InputError, match="nothing of array meets what is here"):
        aligned(one, (away, other), pairs="tokens")
