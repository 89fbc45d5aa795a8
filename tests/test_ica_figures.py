"""The tables that the figures of `ica` are drawn from, and the figures themselves."""

import numpy as np
import pytest

from actlas import Activations, InputError, Rows
from actlas.plugins.ica import ica, transform
from actlas.plugins.ica.extremes import Extremes
from actlas.plugins.ica.pictures import PANEL, _name
from actlas.plugins.ica.views import HEAT_AXES, SCATTER_ROWS, shown_pairs


def words(n, kinds=40, seed=0):
    """Rows that are words, each of which occurs again and again."""
    drawn = np.random.default_rng(seed).integers(0, kinds, n)
    return Rows.build(np.arange(n), token=[f"w{i}" for i in drawn])


@pytest.fixture(scope="module")
def found():
    X = np.random.default_rng(0).exponential(size=(2_000, 6)).astype(np.float32)
    acts = Activations.of(X, rows=words(len(X)))
    result = ica(acts, restarts=0, top=4)
    return acts, result, transform(result, X)


def shares(S):
    return S / np.linalg.norm(S, axis=1, keepdims=True)


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("block", [7, 100])
def test_extremes_are_those_of_all_rows_at_once(unique, block):
    import torch

    rng = np.random.default_rng(0)
    values = rng.standard_normal((300, 5)).astype(np.float32).round(1)  # with many ties
    kinds = rng.integers(0, 30, 300)
    kept = Extremes(5, 6, kinds if unique else None)
    for start in range(0, 300, block):
        kept.add(torch.from_numpy(values[start : start + block]), start)
    found = kept.found()
    for column in range(5):
        order = np.argsort(-values[:, column], kind="stable")
        if unique:
            order = [row for i, row in enumerate(order) if kinds[row] not in kinds[order[:i]]]
        mine = found.columns == column
        np.testing.assert_array_equal(found.rows[mine], order[:6])
        np.testing.assert_array_equal(found.values[mine], values[order[:6], column])
        np.testing.assert_array_equal(found.ranks[mine], range(1, 7))


def test_fewer_kinds_than_asked_for_are_all_there():
    import torch

    kept = Extremes(1, 6, np.array([0, 1, 0, 1]))
    kept.add(torch.tensor([[1.0], [4.0], [3.0], [2.0]]), 0)
    np.testing.assert_array_equal(kept.found().rows, [1, 2])


def test_a_token_stands_once_at_an_end_by_its_outermost_row(found):
    acts, result, S = found
    top, tokens = result.tables["top_rows"], np.array(acts.rows.token)
    for axis in range(6):
        for end, sign in (("high", 1), ("low", -1)):
            score = sign * shares(S)[:, axis]
            best = {token: score[tokens == token].max() for token in set(tokens)}
            want = sorted(best, key=best.get, reverse=True)[:4]
            mine = (top["axis"] == axis) & (top["end"] == end)
            assert top["token"][mine].tolist() == want
            np.testing.assert_allclose(sign * top["score"][mine], [best[t] for t in want],
                                       atol=1e-5)  # fmt: skip
            np.testing.assert_array_equal(top["rank"][mine], range(1, 5))


def test_all_rows_of_a_token_count_if_asked_for(found):
    acts, _, S = found
    top = ica(acts, restarts=0, top=4, unique=False).tables["top_rows"]
    mine = (top["axis"] == 0) & (top["end"] == "high")
    np.testing.assert_array_equal(top["row"][mine], np.argsort(-shares(S)[:, 0])[:4])


def test_rows_without_tokens_are_each_their_own(found):
    acts, _, S = found
    top = ica(Activations.of(acts.numpy()), restarts=0, top=4).tables["top_rows"]
    assert len(top) == 6 * 2 * 4
    mine = (top["axis"] == 2) & (top["end"] == "low")
    np.testing.assert_array_equal(top["row"][mine], np.argsort(shares(S)[:, 2])[:4])


@pytest.mark.parametrize(
    ("k", "pairs"),
    [
        (1, []),
        (2, [(0, 1)]),
        (3, [(0, 1), (1, 2)]),
        (6, [(0, 1), (2, 3), (4, 5)]),
        (64, [(0, 1), (2, 3), (49, 50), (62, 63)]),
        (768, [(0, 1), (2, 3), (49, 50), (99, 100)]),
    ],
)
def test_pairs_of_axes_that_there_are(k, pairs):
    assert shown_pairs(k) == pairs


def test_the_scatter_is_a_sample_and_the_outermost_rows(found):
    acts, result, S = found
    Z = (acts.numpy() - result.arrays["mean"]) @ result.arrays["principal"].T
    Z /= np.sqrt(result.arrays["variances"])
    table = result.tables["scatter"].to_pandas()
    tokens = np.array(acts.rows.token)
    for (basis, x, y), points in table.groupby(["basis", "x_axis", "y_axis"]):
        full = S if basis == "ica" else Z
        rows = points["row"].to_numpy()
        np.testing.assert_allclose(points["x"], full[rows, x], atol=1e-4)
        np.testing.assert_allclose(points["y"], full[rows, y], atol=1e-4)
        assert points["token"].tolist() == tokens[rows].tolist()
        furthest = {int(np.abs(full[:, axis]).argmax()) for axis in (x, y)}
        assert furthest <= set(rows[points["outer"]])
        assert SCATTER_ROWS <= len(points) <= SCATTER_ROWS + 10
        assert 5 <= points["outer"].sum() <= 10
    assert table.groupby(["basis", "x_axis"]).ngroups == 6


def test_the_heat_map_is_of_the_rows_at_the_high_ends(found):
    _, result, S = found
    heat, top = result.tables["heatmap"].to_pandas(), result.tables["top_rows"].to_pandas()
    assert len(heat) == 6 * 5 * 6
    np.testing.assert_allclose(heat["share"], shares(S)[heat["row"], heat["axis"]], atol=1e-5)
    owned = heat[(heat["axis"] == heat["owner"]) & (heat["rank"] <= 4)]
    high = top[top["end"] == "high"]
    assert owned["row"].tolist() == high["row"].tolist()
    assert owned["token"].tolist() == high["token"].tolist()


def test_rows_are_projected_on_axes_at_equal_angles(found):
    acts, result, S = found
    for plane, axes in ((None, [0, 1, 2, 3, 4]), ("4,1,2", [4, 1, 2])):
        if plane is not None:
            result = ica(acts, restarts=0, top=4, plane=plane)
        table = result.tables["projection"].to_pandas()
        angles = 2 * np.pi * np.arange(len(axes)) / len(axes)
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        np.testing.assert_allclose(
            table[["x", "y"]], (shares(S)[:, axes] @ corners)[table["row"]], atol=1e-5
        )
        outer = table[table["axis"].notna()]
        assert outer["axis"].unique().tolist() == axes  # in the order asked for
        top = result.tables["top_rows"].to_pandas()
        for axis in axes:
            high = top[(top["axis"] == axis) & (top["end"] == "high")]
            mine = outer[(outer["axis"] == axis) & (outer["rank"] <= 4)]
            assert mine["row"].tolist() == high["row"].tolist()
        assert not set(outer["row"]) & set(table["row"][table["axis"].isna()])
        assert len(table) >= SCATTER_ROWS
        tokens = np.array(acts.rows.token)
        assert table["token"].tolist() == tokens[table["row"]].tolist()


@pytest.mark.parametrize(
    ("plane", "said"),
    [("0", "two or more axes"), ("0,x", "0,1,2"), ("1,1", "two or more"), ("0,6", "0 to 5"),
     ("-1,0", "two or more"), ("", "two or more")],
)  # fmt: skip
def test_a_plane_of_axes_that_cannot_be_is_refused(found, plane, said):
    with pytest.raises(InputError, match=said):
        ica(found[0], restarts=0, plane=plane)


def test_the_heat_map_is_bounded():
    X = np.random.default_rng(0).exponential(size=(400, HEAT_AXES + 3))
    heat = ica(Activations.of(X), restarts=0, max_iter=5).tables["heatmap"]
    assert len(heat) == HEAT_AXES * 5 * HEAT_AXES


def test_names_do_not_run_into_each_other():
    def sides(points, **domain):
        points = [{"outer": True, "shown": "word", "side": "", **point} for point in points]
        _name(points, [-1, 10], domain.get("y", [-1, 10]))
        return [point["side"] for point in points]

    near = [{"x": 9.0 + i / 10, "y": i / 100} for i in range(4)]
    assert sides([*near, {"x": 0, "y": 9}]) == ["", "", "", "right", "left"]
    assert sides([{"x": 1, "y": 1, "outer": False}]) == [""]
    apart = [point | {"y": 30.0 * i} for i, point in enumerate(near)]
    assert sides(apart, y=[0, PANEL]) == ["right"] * 4


def strings(value):
    """All text in a chart's specification."""
    if isinstance(value, dict):
        return [s for v in value.values() for s in strings(v)]
    if isinstance(value, list):
        return [s for v in value for s in strings(v)]
    return [value] if isinstance(value, str) else []


def test_figures_say_which_axes_are_not_stable():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.exponential(size=(1_500, 2)), rng.standard_normal((1_500, 6))])
    result = ica(Activations.of(X), max_iter=50)
    weak = np.flatnonzero(~result.tables["axes"]["stable"])
    assert 0 < len(weak) < 8
    for name, sign in (
        ("top_rows", f"axis {weak[0]} (not stable)"),
        ("heatmap", f"{weak[0]}*"),
        ("scatter", f"ica {weak[-1]} (not stable)"),
    ):
        assert sign in strings(result.figures[name].to_dict())
    drawn = result.figures["nongaussianity"].to_dict()
    assert "open circles" in drawn["title"]["subtitle"]
    marked = {
        row["index"] for rows in drawn["datasets"].values() for row in rows if row.get("weak")
    }
    assert marked == set(weak.tolist())


def test_figures_of_one_axis_and_of_another_solver_can_be_drawn():
    X = np.random.default_rng(0).exponential(size=(200, 2))
    one = ica(Activations.of(X), n_components=1, restarts=0)
    assert len(one.tables["scatter"]) == 0
    other = ica(Activations.of(X), solver="sklearn", restarts=0)  # says no limits
    for result in (one, other):
        for name in result.figures:
            assert result.figures[name].to_dict()


def test_rows_of_a_view_keep_their_numbers(found):
    acts, _, _ = found
    part = acts.take(np.arange(500, 2_000))
    table = ica(part, restarts=0, top=4).tables["top_rows"]
    assert table["row"].min() >= 500
    for row in table:
        assert acts.rows.token[row["row"]] == row["token"]
