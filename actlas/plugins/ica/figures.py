"""Figures of the ICA analyses, drawn from their tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

BASES = ("ica", "pca", "raw", "random")
MEASURES = {
    "skewness": ("|skewness|", 0.1),  # and where the scale passes from linear to logarithmic
    "kurtosis": ("kurtosis", 1.0),
    "negentropy_logcosh": ("negentropy (log cosh)", 0.01),
    "negentropy_gauss": ("negentropy (Gauss)", 0.01),
}
SHOWN_AXES = 8


def nongaussianity(tables: Mapping[str, ResultTable]) -> Any:
    """Four measures by axis, of the ICA axes and what they are compared with."""
    import altair as alt

    base = alt.Chart(alt.Data(values=list(tables["measures"]))).mark_line(strokeWidth=1.5)
    panels = [
        base.encode(
            alt.X("index:Q", title="axis (pca by variance, others by skewness)"),
            alt.Y(f"{name}:Q", title=title).scale(type="symlog", constant=bend),
            alt.Color("basis:N", sort=list(BASES)),
        ).properties(width=300, height=180)
        for name, (title, bend) in MEASURES.items()
    ]
    return alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:])).properties(
        title="Non-Gaussianity by axis"
    )


def top_rows(tables: Mapping[str, ResultTable]) -> Any:
    """The rows furthest out at the high end of the first axes."""
    import altair as alt

    weak = {row["axis"] for row in tables["axes"] if row["stable"] is False}
    rows = [
        row | {
            "shown": row["token"] if row["token"] is not None else f"row {row['row']}",
            "title": f"axis {row['axis']}{' (not stable)' if row['axis'] in weak else ''}",
        }
        for row in tables["top_rows"]
        if row["axis"] < SHOWN_AXES and row["end"] == "high"
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.Y("rank:O", axis=None), alt.X("score:Q", title="s / |s|").scale(domain=[0, 1])
    )
    bars = base.mark_bar(opacity=0.35).encode(tooltip=["row:Q", "token:N", "score:Q"])
    names = (
        base.mark_text(align="left", dx=3)
        .encode(alt.X("zero:Q"), alt.Text("shown:N"))
        .transform_calculate(zero="0")
    )
    sort = list(dict.fromkeys(row["title"] for row in rows))
    panel = alt.layer(bars, names).properties(width=170, height=160)
    return panel.facet(facet=alt.Facet("title:N", sort=sort, title=None), columns=4).properties(
        title="Rows furthest out on each axis"
    )
