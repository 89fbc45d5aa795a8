"""`ica_match` finds planted pairs of axes, and calls nothing shared that chance explains."""

from dataclasses import replace

import numpy as np
import pytest

from actlas import Activations, InputError, Others, Result, Rows
from actlas.plugins.ica import Axes, ica, ica_match, transform
from actlas.plugins.ica.matching import Null, _blocks, _exchanged, match, shuffled
from actlas.plugins.ica.moments import cross, side
from actlas.plugins.ica.pairing import How, Pairing, Units, pair, read_dictionary
from actlas.testing import checks

STRENGTH = (0.9, 0.6, 0.4)  # planted r of the first axes of both sides


def planted(n=5_000, d=8, strength=STRENGTH, seed=0):
    """Two sets of skewed columns, the first of which correlate by `strength`."""
    rng = np.random.default_rng(seed)
    one, other = rng.exponential(size=(2, n, d)) - 1
    r = np.array(strength)
    other[:, : len(r)] = r * one[:, : len(r)] + np.sqrt(1 - r**2) * other[:, : len(r)]
    return one, other


def mixed(sources, seed):
    rng = np.random.default_rng(seed)
    d = sources.shape[1]
    return (sources @ rng.standard_normal((d, d)) + rng.standard_normal(d)).astype(np.float32)


def fitted(X, rows=None, **settings):
    acts = Activations.of(X, rows=rows)
    return acts, ica(acts, **({"restarts": 0, "tol": 1e-8} | settings))


def exact(sources, rows=None):
    """A site whose axes are the sources themselves, without a fit."""
    acts, base = fitted(sources.astype(np.float32), rows, max_iter=1, tol=1.0)
    S = sources.astype(np.float32).astype(float)
    white = np.diag(1 / S.std(0))
    arrays = {
        "mean": S.mean(0), "reading": white, "writing": np.diag(S.std(0)),
        "principal": np.eye(S.shape[1]), "variances": S.var(0),
    }  # fmt: skip
    return acts, Result(base.tables, arrays)


def matched(source, *targets, **settings):
    (acts, base), others = source, Others.of(
        *(a for a, _ in targets), bases=[b for _, b in targets]
    )  # fmt: skip
    return ica_match(acts, others, base, **settings)


def row(result, table="summary", i=0):
    return list(result.tables[table])[i]


def worded(tokens):
    n = len(tokens)
    return Rows.build(np.arange(n), np.zeros(n), tokens)


@pytest.mark.parametrize("check", checks(ica_match, permutations=3), ids=repr)
def test_it_conforms(check):
    check()


def test_planted_axes_come_first_with_their_r_and_others_stay_at_the_null():
    one, other = planted()
    result = matched(fitted(mixed(one, 1)), fitted(mixed(other, 2)))
    found = result.tables["pairs"]
    np.testing.assert_allclose(found["r"][:3], STRENGTH, atol=0.05)
    assert found["shared"].tolist() == [True] * 3 + [False] * 5
    assert (found["p"][:3] < 1e-6).all()
    assert (found["p"][3:] > 0.05).all()
    summary = row(result)
    assert summary["shared"] == 3
    assert (found["r"][3:] < summary["level_r"]).all()
    assert summary["mean_r"] == pytest.approx(found["r"].mean())
    assert summary["mean_r"] > 1.3 * max(summary["mean_r_pca"], summary["mean_r_random"])


def test_r_is_pearsons_of_the_axes_not_divided_by_their_length():
    one, other = planted(n=400)
    source, target = fitted(mixed(one, 1)), fitted(mixed(other, 2))
    result = matched(source, target, permutations=3)
    S, T = (transform(base, acts.numpy()) for acts, base in (source, target))
    wanted = np.corrcoef(S.T, T.T)[:8, 8:]
    np.testing.assert_allclose(result.arrays["correlations"][0], wanted, atol=1e-5)
    for one_pair in result.tables["pairs"]:
        r = wanted[one_pair["axis"], one_pair["other_axis"]]
        assert one_pair["r"] == pytest.approx(r, abs=1e-6)


def test_directions_of_very_unlike_variance_keep_their_r():
    one, other = planted(n=3_000)
    spread = np.geomspace(1e3, 1e-1, 8)
    source, target = fitted(mixed(one, 1) * spread), fitted(mixed(other, 2) * spread[::-1])
    r = matched(source, target, permutations=3).arrays["correlations"][0]
    S, T = (transform(base, acts.numpy()) for acts, base in (source, target))
    np.testing.assert_allclose(r, np.corrcoef(S.T, T.T)[:8, 8:], atol=1e-4)


@pytest.mark.parametrize("shape", [(12, 12), (7, 12), (12, 7), (1, 3)])
def test_greedy_takes_the_highest_r_first_and_the_optimum_is_never_less(shape):
    r = np.random.default_rng(0).standard_normal(shape)
    taken, rows, columns = [], set(), set()
    for flat in np.argsort(-r, axis=None):
        i, j = divmod(int(flat), shape[1])
        if i not in rows and j not in columns:
            taken.append((i, j))
            rows.add(i)
            columns.add(j)
    found = match(r, "greedy")
    assert list(zip(found.axis.tolist(), found.other.tolist(), strict=True)) == taken
    best = match(r, "optimal")
    assert len(best.r) == min(shape)
    assert best.r.sum() >= found.r.sum()
    assert (np.diff(best.r) <= 0).all()


def test_first_r_is_of_the_highest_pairs_and_level_decides_what_is_shared(monkeypatch):
    monkeypatch.setattr("actlas.plugins.ica.match.FIRST", 2)
    one, other = planted(n=500, strength=(0.9, 0.5, 0.14))
    source, target = exact(one), exact(other)
    strict, loose = (matched(source, target, permutations=20, level=level) for level in (1e-9, 0.9))
    pairs = strict.tables["pairs"]
    assert row(strict)["first_r"] == pytest.approx(pairs["r"][:2].mean())
    assert pairs["shared"].tolist() == (pairs["p"] <= 1e-9).tolist()
    assert row(strict)["shared"] < row(loose)["shared"]
    assert row(loose)["shared"] == (loose.tables["pairs"]["p"] <= 0.9).sum() > 2
    chance = [r for r in loose.tables["curves"] if r["basis"] == "shuffled"]
    assert all(r["low"] < r["r"] < r["high"] for r in chance)


def test_rows_must_be_more_than_the_axes_of_either_side():
    one, other = planted(n=40, d=6, strength=())
    places = Rows.build(np.arange(40))
    few = Activations.of(other[:5, :2].astype(np.float32), rows=places.take(np.arange(5)))
    target = exact(other[:, :2], places)
    with pytest.raises(InputError, match=r"5 rows meet .* 6 axes need 7"):
        matched(exact(one, places), (few, target[1]))
    with pytest.raises(InputError, match=r"5 rows meet .* 6 axes need 7"):
        matched((few, target[1]), exact(one, places))


def test_the_optimal_assignment_can_be_asked_for():
    one, other = planted(n=300, strength=())
    source, target = exact(one), exact(other)
    greedy = row(matched(source, target, permutations=3))
    optimal = row(matched(source, target, permutations=3, assignment="optimal"))
    assert optimal["mean_r"] > greedy["mean_r"]


def test_a_negative_r_is_no_match():
    r = np.array([[-0.9, 0.1], [0.2, -0.8]])
    assert match(r, "greedy").r.tolist() == [0.2, 0.1]


def occurrences(n=60, d=3, kinds=9, seed=0, letters="abcdefghijklmnop"):
    rng = np.random.default_rng(seed)
    return rng.exponential(size=(n, d)), [letters[i] for i in rng.integers(0, kinds, n)]


def enumerated(S, T, weighted_pairs):
    """Weighted Pearson over pairs of rows that are written out."""
    p, q, w = (np.array(column) for column in zip(*weighted_pairs, strict=True))
    X, Y = S[p], T[q]
    X, Y = X - np.average(X, axis=0, weights=w), Y - np.average(Y, axis=0, weights=w)
    spread = np.sqrt(np.outer(w @ X**2, w @ Y**2))
    return (X * w[:, None]).T @ Y / spread


def test_words_pair_in_all_occurrences_and_weigh_one():
    (S, left), (T, right) = occurrences(seed=1), occurrences(n=80, kinds=12, seed=2)
    right = [word if word != "a" else "z" for word in right]
    pairs = [
        (i, j, 1 / (left.count(u) * right.count(v)))
        for i, u in enumerate(left) for j, v in enumerate(right) if u == v
    ]  # fmt: skip
    result = matched(exact(S, worded(left)), exact(T, worded(right)), pairs="tokens")
    wanted = enumerated(S, T, pairs)
    np.testing.assert_allclose(result.arrays["correlations"][0], wanted, atol=1e-6)
    assert row(result)["weight"] == len(set(left) & set(right))
    assert row(result)["row_pairs"] == len(pairs)
    # Of a word's mean vectors alone r would be higher: scatter within words counts.
    means = [np.stack([X[[u == w for u in words]].mean(0) for w in sorted(set(left) & set(right))])
             for X, words in ((S, left), (T, right))]  # fmt: skip
    assert not np.allclose(wanted, np.corrcoef(*(m.T for m in means))[:3, 3:], atol=0.05)


def test_occurrences_can_weigh_one_each():
    (S, left), (T, right) = occurrences(seed=1), occurrences(n=80, kinds=12, seed=2)
    source, target = exact(S, worded(left)), exact(T, worded(right))
    pairs = [(i, j, 1.0) for i, u in enumerate(left) for j, v in enumerate(right) if u == v]
    result = matched(source, target, pairs="tokens", weigh="occurrences")
    np.testing.assert_allclose(result.arrays["correlations"][0], enumerated(S, T, pairs), atol=1e-6)
    assert row(result)["row_pairs"] == len(pairs)
    each = np.array([left.count(w) * right.count(w) for w in set(left) & set(right)])
    effective = each.sum() ** 2 / (each**2).sum()
    assert row(result)["chance_r"] == pytest.approx(np.sqrt(2 * np.log(9) / effective))


def test_shuffled_words_keep_the_weight_of_the_observation(monkeypatch):
    """r of every shuffle is Pearson's, though words of other variance stand in it now."""
    (S, left), (T, right) = occurrences(seed=1), occurrences(n=80, kinds=12, seed=2)
    (a, base), (b, its) = exact(S, worded(left)), exact(T, worded(right))
    pairing = pair(a, b, How("tokens", weigh="occurrences"))
    order = np.random.default_rng(0).permutation(len(pairing.target.lines))
    monkeypatch.setattr("actlas.plugins.ica.matching._exchanged", lambda *_: order)
    one = side(a, base, pairing.source, 0)
    other = side(b, its, pairing.target, 1, squares=True)
    (r,) = shuffled(one, other, pairing, 1, 0)
    pairs = []
    for u, v, each in zip(pairing.left, order[pairing.right], pairing.each, strict=True):
        here = pairing.source.rows[pairing.source.unit == u]
        there = pairing.target.rows[pairing.target.unit == v]
        pairs += [(i, j, each / len(here) / len(there)) for i in here for j in there]
    np.testing.assert_allclose(r, enumerated(S, T, pairs), atol=1e-5)


def test_lines_of_a_dictionary_are_observations(tmp_path):
    (S, left), (T, right) = occurrences(seed=1), occurrences(seed=2, letters="ABCDEFGHIJKLMNOP")
    lines = [("a", "A"), ("a", "B"), ("a", "C"), ("b", "A"), ("c", "D"), ("q", "A"), ("d", "Z")]
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join("\t".join(line) for line in lines))
    kept = lines[:5]
    pairs = [
        (i, j, 1 / (left.count(u) * right.count(v)))
        for u, v in kept
        for i, word in enumerate(left) if word == u
        for j, other in enumerate(right) if other == v
    ]  # fmt: skip
    result = matched(
        exact(S, worded(left)), exact(T, worded(right)), pairs="dictionary", dictionary=str(path)
    )
    np.testing.assert_allclose(result.arrays["correlations"][0], enumerated(S, T, pairs), atol=1e-6)
    assert row(result)["weight"] == 5
    assert row(result)["dropped"] == 2
    assert "2 dictionary lines are left out" in result.warnings[0]


def test_integer_weights_are_replicated_rows(tmp_path):
    (S, _), (T, _) = occurrences(n=6, seed=1), occurrences(n=6, seed=2)
    words = list("abcdef")
    (tmp_path / "d.txt").write_text("a a\na b\na c\nb a\nc c\nd f\n")
    left, right = [0, 0, 0, 1, 2, 3], [0, 1, 2, 0, 2, 5]
    result = matched(
        exact(S, worded(words)), exact(T, worded(words)), pairs="dictionary",
        dictionary=str(tmp_path / "d.txt"),
    )  # fmt: skip
    wanted = np.corrcoef(S[left].T, T[right].T)[:3, 3:]
    np.testing.assert_allclose(result.arrays["correlations"][0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "text"),
    [("d.csv", 'a,A\n"b, c",B\n\n'), ("d.tsv", "a\tA\nb, c\tB\n"), ("d.txt", "a A\nbc  B\na A\n")],
)
def test_dictionaries_come_in_three_forms(tmp_path, name, text):
    (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    found = read_dictionary(str(tmp_path / name), fold=False)
    assert found == [("a", "A"), ("bc" if name == "d.txt" else "b, c", "B")]
    assert read_dictionary(str(tmp_path / name), fold=True)[0] == ("a", "a")


def test_marks_of_tokenizers_and_case_can_be_folded():
    (S, _), (T, _) = occurrences(n=5, seed=1), occurrences(n=5, seed=2)
    one = exact(S, worded(["Ġthe", "##ing", "▁Cat", "caf\u00e9", "x"]))
    other = exact(T, worded(["the", "ing", "cat", "CAFE\u0301", "y"]))
    assert row(matched(one, other, pairs="tokens", fold=True))["weight"] == 4
    with pytest.raises(InputError, match="0 words meet of 5 rows here and 5 of array"):
        matched(one, other, pairs="tokens")


def test_rows_meet_by_sample_and_span_whatever_their_order():
    one, other = planted(n=600)
    spans = Rows.build(np.arange(600) // 3, np.arange(600) % 3, start=np.arange(600) % 3 * 4,
                       end=np.arange(600) % 3 * 4 + 3)  # fmt: skip
    order = np.random.default_rng(0).permutation(600)[:500]
    elsewhere = Rows.build(spans.sample[order], spans.position[order] + 7,
                           start=spans.start[order], end=spans.end[order])  # fmt: skip
    result = matched(exact(one, spans), exact(other[order], elsewhere), permutations=3)
    wanted = np.corrcoef(one[order].T, other[order].T)[:8, 8:]
    np.testing.assert_allclose(result.arrays["correlations"][0], wanted, atol=1e-5)
    assert row(result)["weight"] == 500


def test_rows_without_spans_meet_by_position():
    one, other = planted(n=100)
    places = Rows.build(np.arange(100) // 5, np.arange(100) % 5)
    result = matched(exact(one, places), exact(other[20:], places.take(np.arange(20, 100))))
    wanted = np.corrcoef(one[20:].T, other[20:].T)[:8, 8:]
    np.testing.assert_allclose(result.arrays["correlations"][0], wanted, atol=1e-5)


def test_special_tokens_have_no_place_in_other_tokenizers_rows():
    one, other = planted(n=40, d=2, strength=())
    start = np.tile([-1, 0, 4, -1], 10)
    rows = Rows.build(np.arange(40) // 4, np.arange(40) % 4, start=start, end=start + 2)
    few = rows.take(np.flatnonzero(np.arange(40) != 1))
    result = matched(exact(one, rows), exact(other[:39], few))
    assert row(result)["weight"] == 19


def test_rows_of_other_data_are_suspected():
    one, other = planted(n=50, d=3)
    places = [Rows.build(np.arange(50), np.zeros(50), [f"{c}{i}" for i in range(50)]) for c in "ab"]
    assert matched(exact(one, places[0]), exact(other, places[0])).warnings == ()
    result = matched(exact(one, places[0]), exact(other, places[1]))
    assert "50 of 50 rows that meet are of different words" in result.warnings[0]


@pytest.mark.parametrize("draw", ["exponential", "laplace"])
def test_the_largest_r_by_chance_is_about_what_the_formula_says(draw):
    n, d = 2_000, 30
    rng = np.random.default_rng(0)
    one, other = (getattr(rng, draw)(size=(n, d)) for _ in range(2))
    source, target = exact(one), exact(other)
    result = matched(source, target, permutations=10)
    summary = row(result)
    chance = np.sqrt(2 * np.log(d * d) / n)
    assert summary["chance_r"] == pytest.approx(chance)
    assert 0.7 * chance <= result.tables["pairs"]["r"][0] <= 1.3 * chance
    shuffled = [r for r in result.tables["curves"] if r["basis"] == "shuffled"]
    assert 0.7 * chance <= shuffled[0]["r"] <= shuffled[0]["high"] <= 1.3 * chance
    assert [r["r"] for r in shuffled] == result.tables["pairs"]["null_r"].tolist()
    assert summary["shared"] == 0


def test_p_is_the_chance_of_the_largest_r():
    n, d, times = 400, 12, 150
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(times):
        X, Y = rng.exponential(size=(2, n, d)) - 1
        X, Y = X / X.std(0), Y / Y.std(0)
        shuffles = [X.T @ Y[rng.permutation(n)] / n for _ in range(20)]
        null = Null.of(shuffles, "greedy")
        assert null.p(np.array([null.level(0.05)]))[0] == pytest.approx(0.05)
        hits += null.p(np.array([(X.T @ Y / n).max()]))[0] <= 0.2
    assert 0.1 <= hits / times <= 0.3


def test_p_of_no_and_of_perfect_correlation():
    shuffles = list(np.random.default_rng(0).normal(scale=0.02, size=(5, 10, 10)))
    null = Null.of(shuffles, "greedy")
    assert null.p(np.array([-1.0, 0.0]))[0] == pytest.approx(1)
    assert 0 <= null.p(np.array([1.0]))[0] < 1e-12


def test_part_of_the_observations_gives_the_null_of_all(monkeypatch):
    one, other = planted(n=6_000, d=10, strength=())
    source, target = exact(one), exact(other)
    whole = row(matched(source, target, permutations=40))["level_r"]
    monkeypatch.setattr("actlas.plugins.ica.matching.LEAST_PART", 1_500)
    monkeypatch.setattr("actlas.plugins.ica.matching.WORK", 0)
    part = row(matched(source, target, permutations=40))["level_r"]
    assert part == pytest.approx(whole, rel=0.15)
    assert part != whole


def test_whole_words_are_shuffled():
    """Rows of a word are the same: shuffled one by one they would pass for many observations."""
    words = 30
    rng = np.random.default_rng(0)
    one, other = rng.exponential(size=(2, words, 4))
    tokens = [f"w{i}" for i in range(words)] * 40
    source, target = (exact(np.tile(X, (40, 1)), worded(tokens)) for X in (one, other))
    result = matched(source, target, pairs="tokens", permutations=20)
    assert row(result)["level_r"] > 0.4
    assert row(result)["shared"] == 0


@pytest.mark.parametrize("both", [False, True], ids=["of one word", "of several"])
def test_translations_of_a_word_are_not_taken_for_independent(tmp_path, both):
    """Synonyms are the same vector: shuffled one by one they would pass for many observations."""
    meanings, many = 60, 4
    rng = np.random.default_rng(0)
    one, other = rng.exponential(size=(2, meanings, 4))
    here = [(m, i) for m in range(meanings) for i in range(many if both else 1)]
    there = [(m, i) for m in range(meanings) for i in range(many)]
    lines = [f"s{m}.{i} t{n}.{j}" for m, i in here for n, j in there if m == n]
    (tmp_path / "d.txt").write_text("\n".join(lines))
    source = exact(one[[m for m, _ in here]], worded([f"s{m}.{i}" for m, i in here]))
    target = exact(other[[m for m, _ in there]], worded([f"t{m}.{i}" for m, i in there]))
    result = matched(source, target, pairs="dictionary", dictionary=str(tmp_path / "d.txt"))
    single = matched(exact(one), exact(other))
    assert row(result)["level_r"] == pytest.approx(row(single)["level_r"], rel=0.1)


def test_words_that_hang_together_as_no_others_do_change_places_one_by_one():
    """One component of unlike words, beside three alike: everything moves, lines stay equal."""
    left = np.array([0, 0, 0, 1, 1, 2, 3, 4, 5, 6])
    right = np.array([0, 1, 2, 2, 3, 4, 5, 6, 7, 7])
    source = Units(np.arange(7), np.arange(7), np.bincount(left))
    target = Units(np.arange(8), np.arange(8), np.bincount(right))
    blocks = _blocks(Pairing(source, target, left, right))
    seen = {tuple(_exchanged(blocks, 8, np.random.default_rng(s)).tolist()) for s in range(60)}
    assert all(sorted(places) == list(range(8)) for places in seen)
    assert all((target.lines[list(places)] == target.lines).all() for places in seen)
    moved = np.array(sorted(seen))
    assert set(moved[:, 0]) == {0, 1, 3}
    assert set(moved[:, 2]) == {2, 7}
    assert set(moved[:, 4]) == {4, 5, 6}


def test_the_hub_orders_axes_by_their_sum_over_targets():
    one, other = planted(n=1_000, d=5, strength=(0.3, 0.1, 0.9))
    _, third = planted(n=1_000, d=5, strength=(0.2, 0.1, 0.8), seed=0)
    result = matched(exact(one), exact(other), exact(third[:, :3]), permutations=3)
    hub = result.tables["hub"]
    pairs = result.tables["pairs"]
    assert (np.diff(hub["sum_r"]) <= 0).all()
    for one_axis in hub:
        mine = pairs["axis"] == one_axis["axis"]
        assert one_axis["sum_r"] == pytest.approx(pairs["r"][mine].sum())
        assert one_axis["mean_r"] == pytest.approx(pairs["r"][mine].mean())
        assert one_axis["matched"] == mine.sum()
        assert one_axis["shared"] == pairs["shared"][mine].sum()
        assert one_axis["everywhere"] == (mine.sum() == 2)
    assert hub["everywhere"].sum() == 3
    assert hub["axis"][:2].tolist() == [2, 0]
    assert result.tables["summary"]["matched"].tolist() == [5, 3]
    assert result.arrays["correlations"].shape == (2, 5, 5)
    assert (result.arrays["correlations"][1, :, 3:] == 0).all()
    assert result.tables["summary"]["target"].tolist() == ["0:array", "1:array"]


def test_order_and_signs_of_dimensions_change_nothing():
    one, other = planted(n=2_000, d=6)
    X, Y = mixed(one, 1), mixed(other, 2)
    rng = np.random.default_rng(3)
    turned = Y[:, rng.permutation(6)] * np.array([1, -1, 1, -1, -1, 1])
    plain = matched(fitted(X), fitted(Y), permutations=3).tables["pairs"]
    after = matched(fitted(X), fitted(turned), permutations=3).tables["pairs"]
    np.testing.assert_allclose(after["r"], plain["r"], atol=1e-3)
    np.testing.assert_array_equal(after["axis"][:3], plain["axis"][:3])


def test_order_of_axes_changes_their_numbers_only():
    one, other = planted(n=500, d=6)
    source, (acts, base) = exact(one), exact(other)
    order = np.array([3, 0, 5, 1, 4, 2])
    moved = Result(base.tables, dict(base.arrays) | {"reading": base.arrays["reading"][order]})
    plain = matched(source, (acts, base), permutations=3).tables["pairs"]
    after = matched(source, (acts, moved), permutations=3).tables["pairs"]
    np.testing.assert_allclose(after["r"], plain["r"])
    np.testing.assert_array_equal(order[after["other_axis"]], plain["other_axis"])


def test_principal_and_random_axes_are_turned_and_matched_alike():
    one, other = planted(n=1_500, d=6)
    (a, one_base), (b, other_base) = source, target = fitted(mixed(one, 1)), fitted(mixed(other, 2))
    result = matched(source, target, permutations=3, seed=4)
    for basis, seeds in (("pca", (0, 0)), ("random", (4, 5))):
        turned = []
        for acts, base, seed in ((a, one_base, seeds[0]), (b, other_base, seeds[1])):
            S = Axes.of(base, basis, seed).matrix(acts).double().numpy()
            third = ((S - S.mean(0)) ** 3).mean(0)
            turned.append(S * np.where(third < 0, -1, 1))
        wanted = match(np.corrcoef(turned[0].T, turned[1].T)[:6, 6:], "greedy").r
        found = [r["r"] for r in result.tables["curves"] if r["basis"] == basis]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert row(result)[f"mean_r_{basis}"] == pytest.approx(wanted.mean(), abs=1e-5)


def test_rows_that_were_divided_by_their_length_or_left_out_are_so_here():
    one, other = planted(n=800, d=5)
    X, Y = mixed(one, 1), mixed(other, 2)
    X[:4] *= 500
    source = fitted(X, normalise=True, outlier_norm=5.0)
    target = fitted(Y)
    result = matched(source, target, permutations=3)
    norms = np.linalg.norm(X, axis=1)
    used = norms <= 5 * np.median(norms)
    assert row(result)["weight"] == used.sum() < 800
    S, T = transform(source[1], X[used]), transform(target[1], Y[used])
    wanted = np.corrcoef(S.T, T.T)[:5, 5:]
    np.testing.assert_allclose(result.arrays["correlations"][0], wanted, atol=1e-5)


def test_stability_and_skewness_are_those_of_the_fits():
    one, other = planted(n=1_000, d=4)
    (a, base), (b, its) = fitted(mixed(one, 1), restarts=1), fitted(mixed(other, 2), restarts=1)
    flags = np.array([True, False, True, False])
    for result, turn in ((base, flags), (its, ~flags)):
        result.tables["axes"].columns["stable"][:] = turn
    result = matched((a, base), (b, its), permutations=3)
    assert result.tables["pairs"]["stable"].any()
    for one_pair in result.tables["pairs"]:
        i, j = one_pair["axis"], one_pair["other_axis"]
        assert one_pair["stable"] == base.tables["axes"]["stable"][i]
        assert one_pair["other_stable"] == its.tables["axes"]["stable"][j]
        assert one_pair["skewness"] == base.tables["axes"]["skewness"][i]
        assert one_pair["other_skewness"] == its.tables["axes"]["skewness"][j]


def test_the_heat_map_shows_matches_on_its_diagonal():
    one, other = planted(n=500, d=6)
    result = matched(exact(one), exact(other[:, ::-1]), permutations=3)
    pairs = {p["axis"]: p["r"] for p in result.tables["pairs"]}
    cells = [c for c in result.tables["heatmap"] if c["order"] == "after"]
    assert len(cells) == 36
    diagonal = [c["r"] for c in cells if c["axis"] == c["column"]]
    np.testing.assert_allclose(diagonal, [pairs[i] for i in range(6)])


def test_a_dead_axis_matches_nothing():
    one, other = planted(n=300, d=3)
    rows = Rows.build(np.arange(300))
    one[100:, 2] = 1.0
    used = Activations.of(other[150:].astype(np.float32), rows=rows.take(np.arange(150, 300)))
    result = matched(exact(one, rows), (used, exact(other)[1]), permutations=3)
    assert np.abs(result.arrays["correlations"][0][2]).max() < 1e-3


def test_blocks_do_not_change_the_moments(monkeypatch):
    (S, left), (T, right) = occurrences(n=300, seed=1), occurrences(n=300, seed=2)
    (a, base), (b, its) = exact(S, worded(left)), exact(T, worded(right))

    def correlated():
        pairing = pair(a, b, How("tokens"))
        one, other = side(a, base, pairing.source, 0), side(b, its, pairing.target, 1)
        covariance = cross(one, other, pairing.left, pairing.right)
        return one.scale("ica") @ covariance @ other.scale("ica").T

    whole = correlated()
    monkeypatch.setattr("actlas.plugins.ica.moments.BLOCK", 7)
    np.testing.assert_allclose(correlated(), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": "dictionary"}, "dictionary=FILE go together"),
        ({"dictionary": "x.csv"}, "dictionary=FILE go together"),
        ({"pairs": "dictionary", "dictionary": "a,b,c"}, "3 dictionaries for 1 other sites"),
        ({"pairs": "tokens"}, "use pairs=rows"),
        ({"level": 0.0}, "0 < level < 1"),
        ({"permutations": 1}, "permutations ≥ 2"),
        ({"seed": -1}, "between 0"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(settings, said):
    one, other = planted(n=50, d=3)
    with pytest.raises(InputError) as raised:
        matched(exact(one), exact(other), **settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_r_is_never_above_1():
    (S, words) = occurrences(n=300, d=4, kinds=16)
    site = fitted(S, worded(words))
    found = matched(site, site, pairs="rows", permutations=2)
    assert found.tables["pairs"]["r"].max() <= 1
    assert np.abs(found.arrays["correlations"]).max() <= 1


def test_a_row_without_a_token_is_named():
    (S, words) = occurrences(n=20)
    site, lacking = exact(S, worded(words)), exact(S, worded([*words[:5], None, *words[6:]]))
    with pytest.raises(InputError, match="row 5 of array is a whole sample: use pairs=rows"):
        matched(site, lacking, pairs="tokens")


def test_a_line_that_is_no_pair_is_named(tmp_path):
    (tmp_path / "d.txt").write_text("a b\nc\n")
    with pytest.raises(InputError, match=r"d.txt, line 2: write a source word"):
        read_dictionary(str(tmp_path / "d.txt"), fold=False)
    with pytest.raises(InputError, match=r"cannot read dictionary .*no.csv"):
        read_dictionary(str(tmp_path / "no.csv"), fold=False)


def test_rows_that_do_not_meet_or_not_once_are_refused():
    one, other = planted(n=50, d=3)
    here = Rows.build(np.arange(50), np.zeros(50))
    for rows in (here.take(np.arange(3)), Rows.build(np.arange(50) + 100)):
        with pytest.raises(InputError, match=r"(3|0) rows meet of 50 rows here .* need 4 or more"):
            matched(exact(one, here), (Activations.of(other[: len(rows)].astype(np.float32),
                                                      rows=rows), exact(other)[1]))  # fmt: skip
    twice = replace(here, sample=np.arange(50) // 2)
    with pytest.raises(InputError, match="several rows stand at the same place"):
        matched(exact(one, here), exact(other, twice))
