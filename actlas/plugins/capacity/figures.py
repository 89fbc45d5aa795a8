"""Figures of the capacity analyses, drawn from their tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actlas import ResultTable

from .heatmap import gram

Floats = NDArray[np.float64]
BINS = 40
DOTS = 1000  # of a figure, all panels together
POINTS = 120  # of a curve
PANELS = 4
BAND = (0.05, 0.95)
COLORS = {"total": "#4c78a8", "by chance": "#8a8a8a", "rank": "#e45756"}


def short(source: str) -> str:
    """Cut a long path in its middle."""
    return source if len(source) <= 44 else f"{source[:20]}…{source[-22:]}"


def picked(tables: Mapping[str, ResultTable], most: int = PANELS) -> list[str]:
    """A few sets to draw: the first, the last and some between."""
    names = [str(name) for name in tables["summary"]["source"]]
    places = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return [names[i] for i in np.unique(places)]


@dataclass(frozen=True, eq=False)
class _Set:
    """One set: capacity, null, norm (N,) of its features; width of the space."""

    source: str
    capacity: Floats
    null: Floats
    norm: Floats
    name: NDArray[Any]
    width: int

    @property
    def alive(self) -> NDArray[np.int64]:
        """Features that are not zero: only these have a capacity by chance."""
        return np.flatnonzero(self.null > 0)

    def spread(self, most: int) -> NDArray[np.int64]:
        """Some of them: the largest by capacity and by norm, and others evenly between."""
        alive = self.alive
        if len(alive) <= most:
            return alive
        ends = [alive[np.argsort(column[alive])[-most // 10 :]]
                for column in (self.capacity, self.norm)]  # fmt: skip
        return np.unique(np.concatenate([*ends, alive[:: -(-len(alive) // most)]]))


def _sets(tables: Mapping[str, ResultTable]) -> Iterator[_Set]:
    table, widths = tables["features"], tables["summary"]
    for source in picked(tables):
        mine = table["source"] == source
        capacity, null, norm, name = (
            table[column][mine] for column in ("capacity", "null", "norm", "name")
        )
        width = int(widths["width"][widths["source"] == source][0])
        yield _Set(source, capacity, null, norm, name, width)


def _top(sets: list[_Set]) -> float:
    """Where the scale of capacities ends: at 1, or far below it where all are small."""
    most = max(float(max(one.capacity.max(), one.null.max())) for one in sets)
    return 1.0 if most > 0.3 else -(-most * 100 // 1) / 100


def _panels(panels: list[Any], title: str, subtitle: str) -> Any:
    import altair as alt

    return alt.concat(*panels, columns=2).properties(title=alt.Title(title, subtitle=subtitle))


def histogram(tables: Mapping[str, ResultTable]) -> Any:
    """How many features have which capacity; the rule is their mean by chance."""
    import altair as alt

    sets, panels = list(_sets(tables)), []
    edges = np.linspace(0, _top(sets), BINS + 1)
    for one in sets:
        counts, _ = np.histogram(one.capacity, edges)
        rows = [
            {"from": edges[i], "to": edges[i + 1], "features": int(counts[i])} for i in range(BINS)
        ]
        chance = [{"null": float(one.null[one.alive].mean())}]
        bars = (
            alt.Chart(alt.InlineData(values=rows))
            .mark_bar(color=COLORS["total"])
            .encode(
                alt.X("from:Q", title="capacity").scale(domain=[0, edges[-1]]).bin("binned"),
                alt.X2("to:Q"),
                alt.Y("features:Q", title="features").axis(tickMinStep=1),
            )
        )
        rule = alt.Chart(alt.InlineData(values=chance)).mark_rule(strokeDash=[4, 3])
        panels.append(
            alt.layer(bars, rule.encode(alt.X("null:Q"))).properties(
                width=300, height=160, title=short(one.source)
            )
        )
    return _panels(panels, "Features by capacity", "dashed: mean by chance")


def ordered(tables: Mapping[str, ResultTable]) -> Any:
    """Capacities from the largest to the smallest, over what chance gives in the same order."""
    import altair as alt

    sets, panels = list(_sets(tables)), []
    scale = {"domain": [0, _top(sets)]}
    y = alt.Y("capacity:Q", title="capacity").scale(**scale)
    for one in sets:
        found, low, middle, high = _falling(one)
        last = len(found) - 1
        at = np.unique(np.linspace(0, last, min(POINTS, len(found))).round().astype(int))
        rows = [
            {"place": int(i) + 1, "capacity": found[i], "null": middle[i], "low": low[i],
             "high": high[i]} for i in at
        ]  # fmt: skip
        base = alt.Chart(alt.InlineData(values=rows)).encode(
            alt.X("place:Q", title="features, by capacity").axis(tickMinStep=1).scale(nice=False)
        )
        grey = COLORS["by chance"]
        band = base.mark_area(opacity=0.3, color=grey).encode(
            alt.Y("low:Q").scale(**scale), alt.Y2("high:Q")
        )
        chance = base.mark_line(color=grey, strokeDash=[4, 3]).encode(alt.Y("null:Q"))
        few = {"filled": True, "size": 30} if len(found) <= POINTS // 2 else False
        line = base.mark_line(color=COLORS["total"], point=few).encode(y)
        panels.append(
            alt.layer(band, chance, line).properties(width=300, height=160, title=short(one.source))
        )
    return _panels(panels, "Capacity of features in order", "grey: by chance, in the same order")


def _falling(one: _Set) -> tuple[Floats, Floats, Floats, Floats]:
    """Sort capacities (alive,), largest first; and 5 %, middle and 95 % of each by chance.

    Places of independent draws: of Gaussian rows capacity is Beta(d/2, (N−1)/2), of centred ones
    (N−1)/N of one of N − 1 rows. Of other nulls only the means are known: no band.
    """
    from scipy.stats import beta

    null, width, count = one.null[one.alive], one.width, len(one.alive)
    found, means = np.sort(one.capacity[one.alive])[::-1], np.sort(null)[::-1]
    for rows, share in ((count, 1.0), (count - 1, (count - 1) / count)):
        if rows > 1 and np.allclose(null, share * width / (width + rows - 1), rtol=1e-6):
            place = np.arange(count, 0, -1)
            spread = [beta.ppf(q, place, count + 1 - place) for q in (BAND[0], 0.5, BAND[1])]
            low, middle, high = (share * beta.ppf(q, width / 2, (rows - 1) / 2) for q in spread)
            return found, low, middle, high
    return found, means, means, means


def against_norm(tables: Mapping[str, ResultTable]) -> Any:
    """Capacity against the norm of the feature; the line is chance."""
    import altair as alt

    sets, panels = list(_sets(tables)), []
    widest = 1.04 * max(float(one.norm.max()) for one in sets)
    x = alt.X("norm:Q", title="norm").scale(domain=[0, widest], nice=False)
    y = alt.Y("capacity:Q", title="capacity").scale(domain=[0, _top(sets)])
    for one in sets:
        rows = [
            {"name": str(one.name[i]), "norm": float(one.norm[i]), "capacity": one.capacity[i]}
            for i in one.spread(DOTS // len(sets))
        ]
        rising = one.alive[np.argsort(one.norm[one.alive])]
        at = np.linspace(0, len(rising) - 1, min(POINTS, len(rising))).round().astype(int)
        chance = [{"norm": float(one.norm[i]), "capacity": one.null[i]} for i in rising[at]]
        dots = (
            alt.Chart(alt.InlineData(values=rows))
            .mark_circle(size=18 if len(rows) > 100 else 60, opacity=0.5, color=COLORS["total"])
            .encode(x, y, tooltip=["name:N", "norm:Q", "capacity:Q"])
        )
        line = alt.Chart(alt.InlineData(values=chance)).mark_line(
            color=COLORS["by chance"], strokeDash=[4, 3]
        )
        panels.append(
            alt.layer(dots, line.encode(x, y)).properties(
                width=300, height=200, title=short(one.source)
            )
        )
    return _panels(panels, "Capacity against norm", "dashed: mean by chance")


def totals(tables: Mapping[str, ResultTable]) -> Any:
    """Total capacity of each set, with the null and the rank: a curve over layers."""
    import altair as alt

    shown = {"total": "total", "by chance": "null_total", "rank": "rank"}
    sources = [str(name) for name in tables["summary"]["source"]]
    if len(sources) == 1:
        return _single(sources[0], {k: float(tables["summary"][v][0]) for k, v in shown.items()})
    before, names, after = _varying(sources)
    rows = [
        {"set": name, "kind": kind, "dimensions": float(row[column])}
        for name, row in zip(names, tables["summary"], strict=True)
        for kind, column in shown.items()
    ]
    kinds = {"domain": list(shown)}
    long = max(map(len, names)) > 6
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.X("set:N", sort=None, title=f"{before}*{after}" if before or after else None).axis(
            labelAngle=-40 if long else 0, labelLimit=200, titleLimit=440
        ),
        alt.Y("dimensions:Q", title="dimensions"),
        alt.Color("kind:N", sort=None, title=None).scale(**kinds, range=list(COLORS.values())),
    )
    dashes = alt.StrokeDash("kind:N", sort=None, title=None).scale(
        **kinds, range=[[1, 0], [4, 3], [2, 2]]
    )
    layers = alt.layer(base.mark_line().encode(dashes), base.mark_circle(size=45, opacity=1))
    width = max(260, 40 * len(sources))
    return layers.properties(width=width, height=220, title="Total capacity of each set")


def _single(source: str, dimensions: Mapping[str, float]) -> Any:
    """One set: three bars, each with its number."""
    import altair as alt

    rows = [{"kind": kind, "dimensions": value, "said": f"{value:,.4g}"}
            for kind, value in dimensions.items()]  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.Y("kind:N", sort=None, title=None).axis(ticks=False),
        alt.X("dimensions:Q", title="dimensions")
        .axis(tickMinStep=1)
        .scale(domain=[0, 1.15 * max(dimensions.values())], nice=False),
    )
    colors = alt.Color("kind:N", legend=None).scale(
        domain=list(COLORS), range=list(COLORS.values())
    )
    bars = base.mark_bar(size=16).encode(colors)
    said = base.mark_text(align="left", dx=4).encode(alt.Text("said:N"))
    title = alt.Title("Total capacity", subtitle=short(source))
    return alt.layer(bars, said).properties(width=300, height=90, title=title)


def _varying(names: list[str]) -> tuple[str, list[str], str]:
    """What all dotted names begin with, what is left of each, and what all end with."""
    parts = [name.split(".") for name in names]
    most = min(map(len, parts)) - 1
    ahead = next((i for i in range(most) if len({p[i] for p in parts}) > 1), most)
    behind = next(
        (i for i in range(most - ahead) if len({p[-1 - i] for p in parts}) > 1), most - ahead
    )
    left = [".".join(p[ahead : len(p) - behind]) for p in parts]
    first = parts[0]
    return (
        "".join(f"{p}." for p in first[:ahead]),
        left,
        "".join(f".{p}" for p in first[len(first) - behind :]),
    )


ALL = {
    "histogram": histogram,
    "ordered": ordered,
    "norm": against_norm,
    "totals": totals,
    "gram": gram,
}
