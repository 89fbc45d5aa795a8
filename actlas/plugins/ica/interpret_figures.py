"""Figures of `ica_interpret`, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import ResultTable

BASES = ["ica", "pca", "random", "raw"]
ORDERS = ["tour", "skewness", "random", "pca"]
NAMED = 100  # axes whose names fit below a tour, or into a tree of common size
TURNS = 300  # of the layout, after which no node moves by a width of itself


def intrusion(tables: Mapping[str, ResultTable]) -> Any:
    """Mean and median DistRatio of every basis, with the quartiles over its axes."""
    import altair as alt

    rows = []
    for row in tables["summary"]:
        for ending, ranked in (("", "by s / |s|"), ("_unnormalised", "by s")):
            names = ("dist_ratio", "median", "low", "high")
            found = {name: row[name + ending] for name in names}
            rows.append({"basis": row["basis"], "ranked": ranked} | found)
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("basis:N", sort=BASES, title=None).axis(labelAngle=0)
    )
    title = "DistRatio: bar mean, tick median, line quartiles"
    bars = base.mark_bar(opacity=0.6, width=34).encode(
        alt.Y("dist_ratio:Q", title=title),
        alt.Color("basis:N", sort=BASES, legend=None),
        tooltip=["basis:N", "dist_ratio:Q", "median:Q", "low:Q", "high:Q"],
    )
    spread = base.mark_rule().encode(alt.Y("low:Q"), alt.Y2("high:Q"))
    median = base.mark_tick(color="black", thickness=2, width=22).encode(alt.Y("median:Q"))
    panel = alt.layer(bars, spread, median).properties(width=210, height=240)
    facet = alt.Facet("ranked:N", sort=["by s / |s|", "by s"], title=None)
    return panel.facet(facet=facet, columns=2).properties(
        title="Item intrusion: how far an intruder is from the top items"
    )


def few_axes(tables: Mapping[str, ResultTable]) -> Any:
    """What few axes keep of the neighbours, of the order of similarities and of the length."""
    import altair as alt

    panels = {
        "overlap": "nearest rows found",
        "rank_correlation": "Spearman with the cosine",
        "energy_share": "share of |s|²",
    }
    rows = list(tables["few_axes"])
    base = alt.Chart(alt.Data(values=rows)).mark_line(point=True)
    ticks = sorted({row["p"] for row in rows})
    scale = alt.Scale(type="log", nice=False)
    x = alt.X("p:Q", title="axes used", scale=scale).axis(values=ticks, labelOverlap=True)
    drawn = [
        base.encode(
            x,
            alt.Y(f"{name}:Q", title=title).scale(domain=[min(0, *tables["few_axes"][name]), 1]),
            alt.Color("basis:N", sort=BASES),
            tooltip=["basis:N", "p:Q", f"{name}:Q"],
        ).properties(width=230, height=220)
        for name, title in panels.items()
    ]
    return alt.hconcat(*drawn).properties(title="Few axes against all")


def reduction(tables: Mapping[str, ResultTable]) -> Any:
    """What merged axes keep of the neighbours and of the order of cosines."""
    import altair as alt

    rows = list(tables["reduction"])
    ticks = sorted({row["p"] for row in rows})
    panels = [
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            alt.X("p:Q", title="dimensions")
            .scale(type="log", nice=False)
            .axis(values=ticks, labelOverlap=True),
            alt.Y(f"{name}:Q", title=title).scale(domain=[min(0, *tables["reduction"][name]), 1]),
            alt.Color("order:N", sort=ORDERS, title="blocks of axes by").scale(domain=ORDERS),
            tooltip=["order:N", "p:Q", "overlap:Q", "rank_correlation:Q"],
        )
        .properties(width=280, height=230)
        for name, title in (
            ("overlap", "nearest rows found"),
            ("rank_correlation", "Spearman with the cosine of all axes"),
        )
    ]
    note = "pca: first principal axes, of variance 1, not merged"
    return alt.hconcat(*panels).properties(title=alt.Title("Fewer dimensions", subtitle=note))


def tour(tables: Mapping[str, ResultTable]) -> Any:
    """Mean cosine of consecutive axes by order, and where the tour goes."""
    import altair as alt

    ours = next(row for row in tables["summary"] if row["basis"] == "ica")
    names = {"tour_cosine": "tour", "skewness_cosine": "skewness", "random_cosine": "random"}
    means = [{"order": shown, "cosine": ours[name]} for name, shown in names.items()]
    bars = (
        alt.Chart(alt.Data(values=means))
        .mark_bar(width=34)
        .encode(
            alt.X("order:N", sort=list(names.values()), title="order of axes").axis(labelAngle=0),
            alt.Y("cosine:Q", title="mean cosine of consecutive axes"),
        )
        .properties(width=170, height=240)
    )
    curve = _along(tables["axes"]).properties(title="cosine of each axis with the next")
    return alt.hconcat(bars, curve).properties(title="Axis tour")


def _along(axes: ResultTable) -> Any:
    """Cosine of each axis with the next, from one end of the tour to the other."""
    import altair as alt

    rows = [
        row
        | {
            "shown": f"{row['axis']} {'' if row['token'] is None else row['token'][:12]}",
            "kind": "axis (not stable)" if row["stable"] is False else "axis",
        }
        for row in sorted((r for r in axes if r["basis"] == "ica"), key=lambda r: r["tour"])
    ]
    order = [row["shown"] for row in rows]
    named = len(rows) <= NAMED
    x = alt.X("shown:N", sort=order, title=None).axis(labels=named, ticks=named, labelAngle=-90)
    base = alt.Chart(alt.Data(values=rows)).encode(x, alt.Y("tour_cosine:Q", title="cosine"))
    points = base.mark_point(filled=True, opacity=1).encode(
        alt.Color("kind:N", title=None),
        tooltip=["axis:Q", "token:N", "tour:Q", "tour_cosine:Q", "stable:N"],
    )
    width = 13 * len(rows) if named else 800
    return (base.mark_line(color="#bbbbbb") + points).properties(width=max(width, 200), height=240)


def tree(tables: Mapping[str, ResultTable]) -> Any:
    """The tree of axes, near where their squares rise together, coloured by cluster."""
    import altair as alt

    nodes = list(tables["tree"])
    place = {node["axis"]: i for i, node in enumerate(nodes)}
    parents = np.array([-1 if n["parent"] is None else place[n["parent"]] for n in nodes])
    at = layout(parents)
    for node, (x, y) in zip(nodes, at.tolist(), strict=True):
        token = "" if node["token"] is None else f" {node['token'][:12]}"
        weak = " (not stable)" if node["stable"] is False else ""
        node |= {"x": x, "y": y, "shown": f"{node['axis']}{token}", "kind": f"axis{weak}"}
    edges = [
        {"x": nodes[i]["x"], "y": nodes[i]["y"], "x2": nodes[p]["x"], "y2": nodes[p]["y"],
         "hoc": nodes[i]["hoc"]}
        for i, p in enumerate(parents) if p >= 0
    ]  # fmt: skip
    wide = 980 if len(nodes) <= NAMED else 1500  # names need room
    return alt.layer(*_drawn(nodes, edges)).properties(
        width=wide,
        height=int(0.77 * wide),
        title="Higher-order correlation of axes: maximum spanning tree",
    )


def _drawn(nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> list[Any]:
    import altair as alt

    x, y = (
        alt.X("x:Q", axis=None).scale(padding=40, nice=False),
        alt.Y("y:Q", axis=None).scale(padding=20, nice=False),
    )
    lines = (
        alt.Chart(alt.Data(values=edges))
        .mark_rule(color="#999999")
        .encode(
            x, y, alt.X2("x2:Q"), alt.Y2("y2:Q"),
            alt.StrokeWidth("hoc:Q", title="E[s² s²]").scale(type="log", range=[0.7, 5]),
        )
    )  # fmt: skip
    base = alt.Chart(alt.Data(values=nodes)).encode(x, y)
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        alt.Color("cluster:N", title="cluster").scale(scheme="tableau10"),
        alt.Shape("kind:N", title=None).scale(
            domain=["axis", "axis (not stable)"], range=["circle", "cross"]
        ),
        tooltip=["axis:Q", "token:N", "cluster:N", "hoc:Q", "dist_ratio:Q", "stable:N"],
    )
    names = base.mark_text(align="left", dx=7, dy=-4, fontSize=10).encode(alt.Text("shown:N"))
    behind = base.mark_text(
        align="left", dx=7, dy=-4, fontSize=10, stroke="white", strokeWidth=3, opacity=0.8
    ).encode(alt.Text("shown:N"))
    return [lines, behind, dots, names]


def layout(parents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return places (n, 2) of a tree's nodes, as far from each other as steps between them.

    Stress majorisation (Gansner, Koren & North 2004) from the branches spread round the root.
    """
    n = len(parents)
    steps = _steps(parents)
    at = _spread_out(parents)
    if n < 3:
        return at
    far = steps**0.8  # long branches would leave no room for short ones
    weight = np.divide(1, far**2, out=np.zeros_like(far), where=far > 0)
    laplacian = np.diag(weight.sum(axis=1)) - weight
    solve = np.linalg.pinv(laplacian)
    for _ in range(TURNS):
        gaps = np.linalg.norm(at[:, None] - at[None], axis=2)
        pull = np.divide(-weight * far, gaps, out=np.zeros_like(gaps), where=gaps > 1e-9)
        np.fill_diagonal(pull, 0)
        np.fill_diagonal(pull, -pull.sum(axis=1))
        at = solve @ (pull @ at)
    return at


def _steps(parents: NDArray[np.int64]) -> NDArray[np.float64]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import shortest_path

    n = len(parents)
    child = np.flatnonzero(parents >= 0)
    links = csr_array((np.ones(len(child)), (child, parents[child])), shape=(n, n))
    found: NDArray[np.float64] = shortest_path(links, directed=False, unweighted=True)
    return found


def _spread_out(parents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give every branch an angle as wide as it has nodes, every node the radius of its depth."""
    n = len(parents)
    below: list[list[int]] = [[] for _ in range(n)]
    for i, parent in enumerate(parents.tolist()):
        if parent >= 0:
            below[parent].append(i)
    root = int(np.flatnonzero(parents < 0)[0])
    order = [root]
    for node in order:
        order += below[node]
    size = np.ones(n)
    for node in reversed(order[1:]):
        size[parents[node]] += size[node]
    angle, wide, depth = np.zeros(n), np.full(n, 2 * np.pi), np.zeros(n)
    for node in order:
        start = angle[node] - wide[node] / 2
        for child in below[node]:
            wide[child] = wide[node] * size[child] / max(size[node] - 1, 1)
            angle[child], depth[child] = start + wide[child] / 2, depth[node] + 1
            start += wide[child]
    return np.stack([depth * np.cos(angle), depth * np.sin(angle)], axis=1)
