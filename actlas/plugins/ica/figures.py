"""Figures of the ICA analyses, drawn from their tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

BASES = ("ica", "pca", "raw", "random")
COLORS = ("#4c78a8", "#f58518", "#e45756", "#72b7b2")
MEASURES = {
    "skewness": ("|skewness|", 0.1),  # and where the scale passes from linear to logarithmic
    "kurtosis": ("kurtosis", 1.0),
    "negentropy_logcosh": ("negentropy (log cosh)", 0.01),
    "negentropy_gauss": ("negentropy (Gauss)", 0.01),
}
SHOWN_AXES = 8
SHOWN_RANKS = 10
LONGEST = 14  # letters of a token
SMALLEST = 1e-16  # on a logarithmic scale


def unstable(tables: Mapping[str, ResultTable]) -> set[int]:
    """Axes that restarts do not find again."""
    return {row["axis"] for row in tables["axes"] if row["stable"] is False}


def called(row: Mapping[str, Any]) -> str:
    """What to write beside a row: its token, cut where it is long, or its number."""
    token: str | None = row["token"]
    if token is None:
        return f"row {row['row']}"
    return token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"


def nongaussianity(tables: Mapping[str, ResultTable]) -> Any:
    """Four measures by axis, of the ICA axes and what they are compared with."""
    import altair as alt

    weak, k = unstable(tables), len(tables["axes"])
    rows = [
        row | {"weak": row["basis"] == "ica" and row["index"] in weak}
        for row in tables["measures"]
        if row["index"] < k
    ]
    base = alt.Chart(alt.InlineData(values=rows))
    color = alt.Color("basis:N", sort=list(BASES)).scale(domain=list(BASES), range=list(COLORS))
    panels = []
    for name, (title, bend) in MEASURES.items():
        x = alt.X("index:Q", title="axis (pca by variance, others by skewness)")
        y = alt.Y(f"{name}:Q", title=title).scale(type="symlog", constant=bend)
        line = base.mark_line(strokeWidth=1.5).encode(x, y, color)
        open_dots = base.mark_point(size=22, fill="white", stroke=COLORS[0], strokeWidth=1.2)
        layers = alt.layer(line, open_dots.encode(x, y).transform_filter("datum.weak"))
        panels.append(layers.properties(width=300, height=180))
    said = [f"the first {k} of each basis"] + ["open circles: ICA axes not stable"] * bool(weak)
    return alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:])).properties(
        title=alt.Title("Non-Gaussianity by axis", subtitle="; ".join(said))
    )


def top_rows(tables: Mapping[str, ResultTable]) -> Any:
    """The rows furthest out at both ends of the first axes."""
    import altair as alt

    weak = unstable(tables)
    rows = [
        row | {
            "shown": called(row),
            "title": f"axis {row['axis']}{' (not stable)' if row['axis'] in weak else ''}",
        }
        for row in tables["top_rows"]
        if row["axis"] < SHOWN_AXES and row["rank"] <= SHOWN_RANKS
    ]  # fmt: skip
    base = alt.Chart(alt.InlineData(values=rows)).encode(alt.Y("rank:O", axis=None))
    bars = base.mark_bar(opacity=0.35).encode(
        alt.X("score:Q", title="s / |s|").scale(domain=[-1, 1]),
        alt.Color("end:N", sort=["low", "high"]).scale(range=["#c8702a", "#3b6fb6"]),
        tooltip=["shown:N", "row:Q", "score:Q"],
    )
    sides = [
        base.mark_text(align=align, dx=dx)
        .encode(x=alt.datum(0), text="shown:N")
        .transform_filter(f"datum.end == '{end}'")
        for end, align, dx in (("high", "left", 4), ("low", "right", -4))
    ]
    sort = list(dict.fromkeys(row["title"] for row in rows))
    panel = alt.layer(bars, *sides).properties(width=190, height=150)
    return panel.facet(facet=alt.Facet("title:N", sort=sort, title=None), columns=4).properties(
        title="Rows furthest out at both ends of each axis"
    )


def convergence(tables: Mapping[str, ResultTable]) -> Any:
    """How far the axis that turned most still turned, and the objective, by pass over the rows."""
    import altair as alt

    rows = [
        row | {name: max(row[name], SMALLEST) for name in ("limit", "low", "median", "high")}
        for row in tables["iterations"]
        if row["limit"] == row["limit"]
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.X("iteration:Q", title="pass over the rows").axis(tickMinStep=1, format="d"),
        tooltip=["iteration:Q", "limit:Q", "objective:Q", "low:Q", "median:Q", "high:Q"],
    )

    def logarithmic(name: str, title: str) -> Any:
        return alt.Y(f"{name}:Q", title=title).scale(type="log").axis(format="~e")

    line = base.mark_line(point={"size": 12})
    each = "negentropy of an axis: median, deciles"
    band = base.mark_area(opacity=0.25).encode(logarithmic("low", each), alt.Y2("high:Q"))
    panels = (
        line.encode(logarithmic("limit", "largest turn of an axis, 1 − |cos|")),
        line.encode(alt.Y("objective:Q", title="objective: Σ negentropy").scale(zero=False)),
        alt.layer(band, line.encode(logarithmic("median", each))),
    )
    drawn = [panel.properties(width=270, height=220) for panel in panels]
    return alt.hconcat(*drawn).properties(title="Convergence")
