"""Figures of the study: trained values as colour or points, theory as lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas.plugins.toy import (
    PHASES,
    TRIPLE,
    marginal_benefit,
    pair_boundary,
    relu_boundaries,
)

from .geometry import LINES
from .study import Rows

INK = "#111111"
COLOURS = ["#d9d9d9", "#e08214", "#5e3c99"]  # by phase: ignored, alone, shares
SIDE = 300
APART = {"2/5": 0.015, "3/8": -0.02}  # names of lines that would cover each other


def quadratic_diagram(rows: Rows, *, bias: bool) -> Any:
    """Capacity of the second feature over ratio and kurtosis; the line is the formula."""
    import altair as alt

    edges = _edged(rows, "ratio", "kurtosis", logs=(False, True))
    ends = [3.0, max(edge["kurtosis1"] for edge in edges)]
    y = alt.Y("kurtosis0:Q", title="kurtosis κ = 1.8 / density").scale(
        type="log", domain=ends, nice=False
    )
    cells = (
        alt.Chart(alt.InlineData(values=edges))
        .mark_rect(clip=True)
        .encode(
            alt.X("ratio0:Q", title="importance ratio v₂/v₁").scale(domain=[0, 1]),
            alt.X2("ratio1"),
            y.axis(values=[3, 4, 5, 7, 10, 20, 30, 50]), alt.Y2("kurtosis1"),
            alt.Color("trained:Q", title="capacity of 2").scale(scheme="purples", domain=[0, 0.5]),
            tooltip=["ratio:Q", "kurtosis:Q", "trained:Q", "analytic:Q"],
        )
    )  # fmt: skip
    k = np.geomspace(ends[0], ends[1], 200)
    line = [{"r": r, "k": v} for r, v in zip(pair_boundary(k, bias=bias).tolist(), k, strict=True)]
    title = f"Two features in one dimension, {'with' if bias else 'without'} output bias"
    return (cells + _line(line, "r", "k")).properties(title=title, width=SIDE, height=SIDE)


def relu_diagram(rows: Rows, features: int) -> Any:
    """Phase of the last feature over its importance and density; lines are the formulas."""
    import altair as alt

    edges = _edged(rows, "ratio", "density", logs=(True, True))
    ratios, densities = ([e[f"{name}{i}"] for e in edges for i in (0, 1)] for name in
                         ("ratio", "density"))  # fmt: skip
    x = alt.X("ratio0:Q", title="importance of the last feature, r").scale(
        type="log", domain=[min(ratios), max(ratios)], nice=False
    )
    y = alt.Y("density0:Q", title="density p = 1 − sparsity").scale(
        type="log", domain=[min(densities), max(densities)], nice=False
    )
    cells = (
        alt.Chart(alt.InlineData(values=edges))
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x.axis(values=[0.1, 0.3, 1, 3, 10], format="~g"), alt.X2("ratio1"),
            y.axis(values=[0.01, 0.03, 0.1, 0.3, 1], format="~g"), alt.Y2("density1"),
            alt.Color("phase:N", title="trained").scale(domain=list(PHASES), range=COLOURS),
            tooltip=["ratio:Q", "density:Q", "trained:Q", "phase:N", "analytic:N", "margin:Q"],
        )
    )  # fmt: skip
    layers = [cells, *_relu_lines(features, min(ratios), max(ratios), min(densities))]
    title = f"ReLU model, {features} features in {features - 1} dimension{'s' * (features > 2)}"
    return alt.layer(*layers).properties(title=title, width=SIDE, height=SIDE)


def _relu_lines(features: int, least: float, most: float, sparse: float) -> list[Any]:
    p = np.geomspace(sparse, TRIPLE * 0.9999, 300)
    low, high = relu_boundaries(p)
    lower = [(r, v) for r, v in zip(low, p, strict=True) if r > least]
    upper = [(r, v) for r, v in zip(high, p, strict=True) if r < most]
    if features == 3:  # the others share their dimension, or one is ignored, from 4/7 on
        upper = [(1.0, sparse), (1.0, TRIPLE)]
    upper += [(1.0, TRIPLE), (1.0, 1.0)]
    lines = [lower, upper]
    return [_line([{"r": r, "k": v} for r, v in points], "r", "k") for points in lines]


def allocation_chart(rows: Rows) -> Any:
    """Capacity against importance: ignored, on the ramp, dedicated."""
    import altair as alt

    v = np.linspace(0.01, 1, 300)
    lines = []
    for kurtosis, price in dict.fromkeys((r["kurtosis"], r["price"]) for r in rows):
        ramp = ((v / price - 2) / (kurtosis - 3)).clip(0, 1)
        lines += [{"v": a, "C": b, "κ": f"{kurtosis:g}"} for a, b in zip(v, ramp, strict=True)]
    points = [row | {"κ": f"{row['kurtosis']:g}"} for row in rows]
    colour = alt.Color("κ:N", title="kurtosis", sort=None).scale(scheme="dark2")
    x = alt.X("v:Q", title="importance v").scale(domain=[0, 1.02], nice=False)
    drawn = alt.Chart(alt.InlineData(values=_plain(lines))).mark_line(clip=True)
    marks = alt.Chart(alt.InlineData(values=points)).mark_point(size=55, filled=True)
    title = "Capacity by importance: trained (points), optimum (lines)"
    return (
        drawn.encode(
            x, alt.Y("C:Q", title="capacity C").scale(domain=[0, 1.02], nice=False), colour
        )
        + marks.encode(alt.X("importance:Q"), alt.Y("trained:Q"), colour)
    ).properties(title=title, width=SIDE + 90, height=SIDE - 60)


def benefit_chart() -> Any:
    """What a little more capacity saves, for one feature of importance 1."""
    import altair as alt

    C = np.linspace(0, 1, 101)
    rows = [
        {"C": c, "gain": g, "κ": f"{kurtosis:g}"}
        for kurtosis in (2.0, 2.5, 3.0, 4.0, 10.0)
        for c, g in zip(C, marginal_benefit(1, kurtosis, C), strict=True)
    ]
    return (
        alt.Chart(alt.InlineData(values=_plain(rows)), title="Marginal benefit of capacity, v = 1")
        .mark_line()
        .encode(
            alt.X("C:Q", title="capacity C"),
            alt.Y("gain:Q", title="−dL/dC").scale(type="log", domain=[0.4, 50], nice=False),
            alt.Color("κ:N", title="kurtosis", sort=None).scale(scheme="dark2"),
        )
        .properties(width=SIDE + 90, height=SIDE - 60)
    )


def scatter(cells: Rows) -> Any:
    """Trained against analytic capacity of every cell."""
    import altair as alt

    points = alt.Chart(alt.InlineData(values=cells)).mark_circle(size=14, opacity=0.5)
    line = _line([{"r": 0, "k": 0}, {"r": 0.5, "k": 0.5}], "r", "k")
    scale = {"domain": [0, 0.51], "nice": False}
    encoded = points.encode(
        alt.X("analytic:Q", title="capacity by the formula").axis(tickCount=5).scale(**scale),
        alt.Y("trained:Q", title="capacity trained").axis(tickCount=5).scale(**scale),
        alt.Color("bias:N", title="output bias").scale(scheme="dark2"),
    )
    title = "Second feature, every cell of both diagrams"
    return (line + encoded).properties(title=title, width=SIDE, height=SIDE)


def plateaus(rows: Rows) -> Any:
    """Capacity of every feature by density, a panel a setting, over lines of regular shapes."""
    import altair as alt

    panels = []
    for name in dict.fromkeys(row["setting"] for row in rows):
        mine = [row for row in rows if row["setting"] == name]
        dots = [
            {"at": (1 + 0.18 * (i / len(row["capacities"]) - 0.5)) / row["density"], "C": C}
            for row in mine
            for i, C in enumerate(row["capacities"])
        ]
        ends = [0.8, 1.35 / min(row["density"] for row in mine)]
        x = alt.X("at:Q", title="1 / density").scale(type="log", domain=ends, nice=False)
        y = alt.Y("C:Q", title="capacity C").scale(domain=[0, 1.04], nice=False)
        lines = [
            {"C": C, "said": said, "at": ends[1], "beside": C + APART.get(said, 0)}
            for said, C in LINES.items()
        ]
        base = alt.Chart(alt.InlineData(values=lines))
        rules = base.mark_rule(strokeDash=[4, 3], color="#9d9d9d").encode(y)
        beside = base.mark_text(align="left", dx=4, color="#5a6473")
        said = beside.encode(x, alt.Y("beside:Q"), alt.Text("said:N"))
        marks = alt.Chart(alt.InlineData(values=dots)).mark_circle(size=14, opacity=0.5)
        panel = alt.layer(rules, marks.encode(x.axis(format="~g"), y), said)
        title = f"{name}, importance 1"
        panels.append(panel.properties(title=title, width=SIDE, height=SIDE - 60))
    return alt.vconcat(*panels)


def each_chart(rows: Rows) -> Any:
    """Dimensions per feature by density; rings: measured before."""
    import altair as alt

    values = [
        {"at": 1 / r["density"], "each": r["each"], "known": r["known_each"], "set": r["setting"]}
        for r in rows
    ]
    colour = alt.Color("set:N", title="features", sort=None).scale(scheme="dark2")
    x = alt.X("at:Q", title="1 / density").scale(type="log").axis(format="~g")
    y = alt.Y("each:Q", title="dimensions per feature").scale(domain=[0, 1.1], nice=False)
    base = alt.Chart(alt.InlineData(values=values)).encode(x, y, colour)
    before = [row for row in values if row["known"] is not None]
    rings = alt.Chart(alt.InlineData(values=before)).mark_point(size=130)
    sticky = alt.Chart(alt.InlineData(values=[{"y": 1}, {"y": 0.5}]))
    rules = sticky.mark_rule(strokeDash=[4, 3], color="#9d9d9d").encode(alt.Y("y:Q"))
    known = rings.encode(x, alt.Y("known:Q"), colour)
    title = "Dimensions per feature"
    return alt.layer(rules, base.mark_line(point=True), known).properties(
        title=title, width=SIDE, height=SIDE - 60
    )


def unequal_chart(rows: Rows) -> Any:
    """Capacity against importance where importance falls, a panel a setting."""
    import altair as alt

    panels = []
    for name in dict.fromkeys(row["setting"] for row in rows):
        mine = [row for row in rows if row["setting"] == name]
        dots = [
            {"v": v, "C": C, "p": f"{row['density']:g}"}
            for row in mine
            for v, C in zip(row["importance"], row["capacities"], strict=True)
        ]
        order = [f"{row['density']:g}" for row in mine]
        marks = alt.Chart(alt.InlineData(values=dots)).mark_line(point={"size": 22})
        panels.append(
            marks.encode(
                alt.X("v:Q", title="importance").scale(type="log").axis(format="~g"),
                alt.Y("C:Q", title="capacity C").scale(domain=[0, 1.04], nice=False),
                alt.Color("p:N", title="density", sort=order).scale(scheme="dark2"),
            ).properties(title=f"{name}, falling importance", width=SIDE, height=SIDE - 120)
        )
    return alt.vconcat(*panels)


def _line(points: Rows, x: str, y: str) -> Any:
    import altair as alt

    chart = alt.Chart(alt.InlineData(values=_plain(points)))
    mark = chart.mark_line(color=INK, strokeWidth=2, clip=True)
    return mark.encode(alt.X(f"{x}:Q"), alt.Y(f"{y}:Q"), alt.Order("order:Q"))


def _plain(rows: Rows) -> Rows:
    """Numbers as JSON has them, and the order in which a line joins its points."""
    return [
        {name: v.item() if isinstance(v, np.generic) else v for name, v in row.items()}
        | {"order": i}
        for i, row in enumerate(rows)
    ]


def _edged(rows: Rows, x: str, y: str, logs: tuple[bool, bool]) -> Rows:
    """Add to each cell where it begins and ends: half-way to its neighbours."""
    found = {}
    for name, log in zip((x, y), logs, strict=True):
        values = np.unique([row[name] for row in rows])
        found[name] = dict(zip(values.tolist(), _edges(values, log).tolist(), strict=True))
    return [
        row | {f"{name}{i}": found[name][row[name]][i] for name in (x, y) for i in (0, 1)}
        for row in rows
    ]


def _edges(values: NDArray[np.float64], log: bool) -> NDArray[np.float64]:
    at = np.log(values) if log else values
    step = (at[1] - at[0]) / 2
    edges = np.stack([at - step, at + step], 1)
    return np.exp(edges) if log else edges.clip(0, 1)
