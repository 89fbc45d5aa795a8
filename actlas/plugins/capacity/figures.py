"""Figures of the capacity analyses, drawn from their tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import ResultTable

BINS = 40
DOTS = 1500  # of a scatter
PANELS = 4


def _short(source: str) -> str:
    """Cut a long path in its middle."""
    return source if len(source) <= 44 else f"{source[:20]}…{source[-22:]}"


def _sources(tables: Mapping[str, ResultTable]) -> list[str]:
    """A few sets to draw: the first, the last and some between."""
    names = [str(name) for name in tables["summary"]["source"]]
    picked = np.unique(np.linspace(0, len(names) - 1, min(PANELS, len(names))).round().astype(int))
    return [names[i] for i in picked]


def _top(capacity: NDArray[np.float64]) -> float:
    """Where the scale of capacities ends: at 1, or far below it where all are small."""
    most = float(capacity.max())
    return 1.0 if most > 0.3 else -(-most * 100 // 1) / 100


def histogram(tables: Mapping[str, ResultTable]) -> Any:
    """How many features have which capacity; the rule is their mean by chance."""
    import altair as alt

    table, panels = tables["features"], []
    for source in _sources(tables):
        mine = table["source"] == source
        edges = np.linspace(0, _top(table["capacity"][mine]), BINS + 1)
        counts, _ = np.histogram(table["capacity"][mine], edges)
        rows = [
            {"from": edges[i], "to": edges[i + 1], "features": int(counts[i])} for i in range(BINS)
        ]
        chance = [{"null": float(table["null"][mine].mean())}]
        bars = (
            alt.Chart(alt.InlineData(values=rows))
            .mark_bar(color="#4c78a8")
            .encode(
                alt.X("from:Q", title="capacity").scale(domain=[0, edges[-1]]).bin("binned"),
                alt.X2("to:Q"),
                alt.Y("features:Q", title="features").axis(tickMinStep=1),
            )
        )
        rule = alt.Chart(alt.InlineData(values=chance)).mark_rule(strokeDash=[4, 3])
        panels.append(
            alt.layer(bars, rule.encode(alt.X("null:Q"))).properties(
                width=300, height=160, title=_short(source)
            )
        )
    return alt.concat(*panels, columns=2).properties(
        title=alt.Title("Features by capacity", subtitle="dashed: mean of the null")
    )


def against_norm(tables: Mapping[str, ResultTable]) -> Any:
    """Capacity against the norm of the feature."""
    import altair as alt

    drawn = set(_sources(tables))
    rows = [
        {"source": _short(row["source"]), **{k: row[k] for k in ("name", "norm", "capacity")}}
        for row in tables["features"]
        if row["source"] in drawn and row["norm"] > 0
    ]
    top = _top(np.array([row["capacity"] for row in rows]))
    rows = rows[:: max(1, -(-len(rows) // DOTS))]
    color = alt.Color("source:N", title=None, sort=None).legend(orient="bottom", columns=1,
                                                                labelLimit=400)  # fmt: skip
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_circle(size=18, opacity=0.5)
        .encode(
            alt.X("norm:Q", title="norm").scale(zero=False),
            alt.Y("capacity:Q", title="capacity").scale(domain=[0, top]),
            color,
            tooltip=["name:N", "norm:Q", "capacity:Q"],
        )
        .properties(width=380, height=260, title="Capacity against norm")
    )


def totals(tables: Mapping[str, ResultTable]) -> Any:
    """Total capacity of each set, with the null and the rank."""
    import altair as alt

    kinds = {"total": "total", "null_total": "by chance", "rank": "rank"}
    rows = [
        {"set": _short(row["source"]), "kind": shown, "dimensions": float(row[column])}
        for row in tables["summary"]
        for column, shown in kinds.items()
    ]
    colors = ["#4c78a8", "#9d9d9d", "#e45756"]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.X("set:N", sort=None, title=None).axis(labelAngle=-60, labelLimit=300),
        alt.Y("dimensions:Q", title="dimensions"),
        alt.Color("kind:N", sort=None, title=None).scale(domain=list(kinds.values()), range=colors),
    )
    dashes = alt.StrokeDash("kind:N", sort=None, legend=None).scale(
        domain=list(kinds.values()), range=[[1, 0], [4, 3], [2, 2]]
    )
    return alt.layer(base.mark_line().encode(dashes), base.mark_circle(size=45)).properties(
        width=max(160, 40 * len(tables["summary"])), height=240, title="Total capacity"
    )


def gram(tables: Mapping[str, ResultTable]) -> Any:
    """Cosines of features in the order of their blocks."""
    import altair as alt

    panels = []
    for source in _sources(tables)[:2]:
        cells = [
            {k: row[k] for k in ("row", "column", "name", "other", "block")}
            | {"cosine": round(row["cosine"], 4)}
            for row in tables["gram"]
            if row["source"] == source
        ]
        if not cells:
            continue
        count = 1 + max(cell["row"] for cell in cells)
        ends = [c["row"] for c in cells if c["column"] == 0]
        blocks = {c["row"]: c["block"] for c in cells if c["column"] == 0}
        cuts = [{"cut": i} for i in ends[1:] if blocks[i] != blocks[i - 1]]
        panels.append(_heatmap(cells, cuts, count).properties(title=_short(source)))
    if not panels:  # too many features to look for blocks
        nothing = alt.Chart(alt.InlineData(values=[{"said": "no blocks were looked for"}]))
        return nothing.mark_text(size=13).encode(text="said:N").properties(width=240, height=40)
    return alt.concat(*panels, columns=2).properties(
        title=alt.Title("Cosines of features, by block", subtitle="lines: between blocks")
    )


def _heatmap(cells: list[dict[str, Any]], cuts: list[dict[str, int]], count: int) -> Any:
    import altair as alt

    named = count <= 30
    names = {c["row"]: c["name"] for c in cells}
    order = [names[i] for i in range(count)]
    plain = named and len(set(order)) == count
    x, y = ("other:N", "name:N") if plain else ("column:O", "row:O")
    sort = order if plain else None
    axis = {"labels": plain, "ticks": False, "labelLimit": 90}
    size = 12 * count if plain else 300
    heat = (
        alt.Chart(alt.InlineData(values=cells))
        .mark_rect()
        .encode(
            alt.X(x, sort=sort, title=None).axis(labelAngle=-90, **axis),
            alt.Y(y, sort=sort, title=None).axis(**axis),
            alt.Color("cosine:Q", title="cosine").scale(
                scheme="redblue", domain=[-1, 1], reverse=True
            ),
            tooltip=["name:N", "other:N", "block:Q", "cosine:Q"],
        )
    )
    step = size / count
    lines = alt.Chart(alt.InlineData(values=[{"at": c["cut"] * step} for c in cuts]))
    rule = lines.mark_rule(strokeWidth=0.6)
    across = rule.encode(alt.Y("at:Q").scale(None).axis(None))
    down = rule.encode(alt.X("at:Q").scale(None).axis(None))
    layers = alt.layer(heat, across, down).resolve_scale(x="independent", y="independent")
    return (layers if cuts else heat).properties(width=size, height=size)


ALL = {"histogram": histogram, "norm": against_norm, "totals": totals, "gram": gram}
