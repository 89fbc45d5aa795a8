"""Figures of the capacity analyses show what their tables hold, and chance beside it."""

import numpy as np
import pytest
import torch

from actlas import Weights
from actlas.plugins.capacity import capacity


def drawn(rows, figure, **settings):
    """The figure of one matrix, or of several by name, as its specification."""
    weights = rows if isinstance(rows, dict) else {"w": rows}
    name = settings.pop("parameter", None)
    found = capacity(
        Weights({k: torch.tensor(v) for k, v in weights.items()}), parameter=name, **settings
    )
    return found, found.figures[figure].to_dict()


def values(chart):
    """All rows of data in a specification, in order."""

    def below(part):
        if isinstance(part, dict):
            if isinstance(part.get("data"), dict):
                yield chart["datasets"][part["data"]["name"]]
            part = [inner for name, inner in part.items() if name != "datasets"]
        if isinstance(part, list):
            for inner in part:
                yield from below(inner)

    return below(chart)


def blocks_of_two(pairs=5, seed=0):
    """Pairs that point alike, each in a plane of its own, in mixed order."""
    rows = np.zeros((2 * pairs, 2 * pairs))
    for i in range(pairs):
        rows[i, 2 * i], rows[pairs + i, 2 * i : 2 * i + 2] = 1, (0.6, 0.8)
    return rows


def test_one_set_has_a_bar_each_for_total_chance_and_rank():
    found, chart = drawn(np.eye(4)[:3], "totals")
    (rows,) = {tuple((r["kind"], r["dimensions"]) for r in rows) for rows in values(chart)}
    row = next(iter(found.tables["summary"]))
    assert rows == (("total", 3), ("by chance", row["null_total"]), ("rank", 3))


@pytest.mark.parametrize(
    ("names", "title", "shown"),
    [
        (["layer.0.out.weight", "layer.1.out.weight"], "layer.*.out.weight", ["0", "1"]),
        (["a.b.w", "a.c.d.w"], "a.*.w", ["b", "c.d"]),
        (["up", "down"], None, ["up", "down"]),
        (["a.w", "a.a.w"], "a.*", ["w", "a.w"]),
    ],
)
def test_sets_are_told_by_what_differs_in_their_names(names, title, shown):
    from actlas.plugins.capacity.figures import totals

    held = {
        "summary": drawn({name: np.eye(3) for name in names}, "totals", parameter=names[0])[
            0
        ].tables["summary"]
    }
    columns = {k: np.repeat(v, 2) for k, v in held["summary"].columns.items()}
    columns["source"] = np.array(names, object)
    table = type(held["summary"])("summary", columns)
    chart = totals({"summary": table}).to_dict()
    assert chart["layer"][0]["encoding"]["x"].get("title") == title
    rows = next(values(chart))
    assert [row["set"] for row in rows[::3]] == shown


def test_features_in_order_lie_in_the_band_of_chance_where_they_are_chance():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(10):
        _, chart = drawn(rng.standard_normal((12, 5)), "ordered")
        rows = next(values(chart))
        assert [r["capacity"] for r in rows] == sorted((r["capacity"] for r in rows), reverse=True)
        inside += [[r["low"] <= r["capacity"] <= r["high"] for r in rows]]
    assert 0.75 < np.mean(inside) < 1  # 90 % of independent draws

    def middle(draws):  # (draws, features, dims)
        gram = np.einsum("nid,njd->nij", draws, draws)
        C = np.einsum("nii->ni", gram) ** 2 / np.square(gram).sum(axis=2)
        return np.median(np.sort(C, axis=1)[:, ::-1], axis=0)

    draws = rng.standard_normal((400, 12, 5))
    assert [row["null"] for row in rows] == pytest.approx(middle(draws), abs=0.04)
    _, chart = drawn(rng.standard_normal((12, 5)), "ordered", centre=True)
    centred = middle(draws - draws.mean(axis=1, keepdims=True))
    assert [row["null"] for row in next(values(chart))] == pytest.approx(centred, abs=0.04)


def test_the_largest_features_are_among_the_dots():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((5000, 3))
    rows[1234] *= 40
    found, chart = drawn(rows, "norm")
    dots = next(values(chart))
    assert len(dots) < 2000
    assert "1234" in {dot["name"] for dot in dots}
    assert max(dot["capacity"] for dot in dots) == found.tables["features"]["capacity"].max()


def test_features_of_norm_0_have_no_place_among_the_others():
    rows = np.r_[np.eye(3), np.zeros((2, 3))]
    for figure in ("norm", "ordered"):
        _, chart = drawn(rows, figure)
        assert len(next(values(chart))) == 3
        assert all(row["capacity"] == pytest.approx(1) for row in next(values(chart)))


def test_neighbours_in_the_heat_map_are_of_one_block_and_point_alike():
    rows = blocks_of_two()
    _, chart = drawn(rows, "gram")
    cells = next(values(chart))
    order = [cell["column"] for cell in cells[:10]]
    assert all({order[i], order[i + 1]} in [{str(k), str(k + 5)} for k in range(5)]
               for i in range(0, 10, 2))  # fmt: skip
    cuts = list(values(chart))[1]
    assert len(cuts) == 4
    joined, chart = drawn(rows + 0.3, "gram", threshold=0.0)
    assert set(joined.tables["features"]["block"]) == {0}
    cosines = np.array([cell["cosine"] for cell in next(values(chart))]).reshape(10, 10)
    beside = np.abs(np.diag(cosines, 1)).mean()
    assert beside > np.abs(cosines[~np.eye(10, dtype=bool)]).mean() + 0.1
    assert "10 features in 1 block" in str(chart)


def test_where_there_are_no_blocks_the_heat_map_says_why():
    _, chart = drawn(np.eye(5), "gram", block_limit=2)
    assert "more features than block_limit" in str(chart)


@pytest.mark.parametrize("figure", ["histogram", "ordered", "norm", "totals", "gram"])
def test_many_sets_are_drawn_as_some_of_them(figure):
    rng = np.random.default_rng(0)
    weights = {f"layer.{i}.w": rng.standard_normal((6, 3)) for i in range(9)}
    _, chart = drawn(weights, figure, parameter="layer.*.w")
    panels = {"totals": 1, "gram": 2}.get(figure, 4)
    assert len(chart.get("concat", [chart])) == panels


def test_the_histogram_counts_every_feature():
    rng = np.random.default_rng(0)
    _, chart = drawn(rng.standard_normal((300, 20)), "histogram")
    bars, chance = list(values(chart))[:2]
    assert sum(bar["features"] for bar in bars) == 300
    assert chance[0]["null"] == pytest.approx(20 / 319)
