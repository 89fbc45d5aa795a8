"""Figures of similarities, drawn from the tables."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from actlas import ResultTable

Tables = Mapping[str, ResultTable]
CELL, NARROW, SEEN = 18, 13, 2  # pixels of a site in the heat map; of many; of more than are named
LARGEST = 420  # pixels of its side, where sites need no more
LABELLED = 60  # sites up to which each is named


def heat_map(column: str, title: str, low: float | None = 0.0) -> Callable[[Tables], Any]:
    """Make the figure of a column of the table pairs, sites in order and extractions apart.

    low: where its colours begin; None: at the lowest.
    """

    def heat(tables: Tables) -> Any:
        import altair as alt

        sites = list(tables["sites"])
        order = [row["site"] for row in sites]
        cells = [
            {"a": a, "b": b, "value": row[column]}
            for row in tables["pairs"]
            for a, b in ((row["a"], row["b"]), (row["b"], row["a"]))
        ]
        cells += [{"a": name, "b": name, "value": 1.0} for name in order]
        least = NARROW if len(sites) <= LABELLED else SEEN
        side = max(200, min(LARGEST, CELL * len(sites)), least * len(sites))
        lowest = min((c["value"] for c in cells if c["value"] is not None), default=0.0)
        floor = lowest if low is None else min(low, lowest)
        places = alt.Scale(domain=order, paddingInner=0, paddingOuter=0)
        axis = alt.Axis(labelAngle=-60, labels=len(sites) <= LABELLED, ticks=False, labelLimit=160)
        chart = alt.Chart(alt.InlineData(values=cells)).mark_rect().encode(
            alt.X("a:N", sort=None, scale=places, title=None, axis=axis),
            alt.Y("b:N", sort=None, scale=places, title=None).axis(
                labels=len(sites) <= LABELLED, ticks=False, labelLimit=160
            ),
            alt.Color("value:Q", title=title).scale(scheme="viridis", domain=[floor, 1.0]),
            tooltip=["a:N", "b:N", alt.Tooltip("value:Q", format=".4f")],
        )  # fmt: skip
        firsts = [
            row["site"]
            for before, row in pairwise(sites)
            if row["extraction"] != before["extraction"]
        ]
        lines = alt.Chart(alt.InlineData(values=[{"site": name} for name in firsts]))
        lines = lines.mark_rule(color="white", strokeWidth=2.5)
        edge = {"sort": None, "scale": places, "title": None, "bandPosition": 0.0}
        parts = [chart]
        if firsts:
            parts += [
                lines.encode(alt.X("site:N", axis=axis, **edge)),
                lines.encode(alt.Y("site:N", **edge)),
            ]
        return alt.layer(*parts).properties(
            width=side, height=side, title=f"{_begun(title)} of all pairs"
        )

    return heat


def most_similar(title: str) -> Callable[[Tables], Any]:
    """Make the figure of the most similar site of another extraction, by depth."""

    def depths(tables: Tables) -> Any:
        import altair as alt

        rows = [
            row | {"from": _called(row["extraction"])}
            for row in tables["sites"]
            if row["similar_depth"] == row["similar_depth"]
        ]
        diagonal = alt.Chart(
            alt.InlineData(values=[{"depth": 0.0, "similar": 0.0}, {"depth": 1.0, "similar": 1.0}])
        ).mark_line(color="#bbbbbb", strokeDash=[4, 3])
        points = alt.Chart(alt.InlineData(values=rows)).mark_line(
            point=alt.OverlayMarkDef(filled=True, size=60)
        )  # fmt: skip
        unit = alt.Scale(domain=[0, 1])
        said = "" if rows else "all sites are of one extraction; name others with --other"
        heading = alt.Title(f"Most similar site elsewhere, by {title}", subtitle=said)
        return (
            diagonal.encode(alt.X("depth:Q"), alt.Y("similar:Q"))
            + points.encode(
                alt.X("depth:Q", title="depth of a site (0: first compared, 1: last)", scale=unit),
                alt.Y("similar_depth:Q", title="depth of the most similar one", scale=unit),
                alt.Color("from:N", title="sites of", sort=None).legend(
                    alt.Legend(orient="bottom") if rows else None
                ),
                tooltip=["site:N", "most_similar:N", alt.Tooltip("similarity:Q", format=".4f")],
            )
        ).properties(width=320, height=280, title=heading)

    return depths


def _begun(title: str) -> str:
    return title[0].upper() + title[1:]


def _called(extraction: str) -> str:
    return f"extraction {extraction}" if extraction else "the own extraction"
