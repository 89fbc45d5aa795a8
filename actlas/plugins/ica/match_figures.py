"""Figures of `ica_match`, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

COLOURS = {"ica": "#4c78a8", "pca": "#f58518", "random": "#54a24b", "shuffled": "#9d9d9d"}
MOST_TARGETS = 6  # panels of a figure


def _targets(tables: Mapping[str, ResultTable]) -> list[str]:
    return [str(name) for name in tables["summary"]["target"].tolist()[:MOST_TARGETS]]


def curves(tables: Mapping[str, ResultTable]) -> Any:
    """Matched r by rank, of each basis, above what shuffled pairs give."""
    import altair as alt

    names = _targets(tables)
    levels = {row["target"]: row for row in tables["summary"]}
    colour = alt.Color("basis:N", title="axes").scale(
        domain=list(COLOURS), range=list(COLOURS.values())
    )
    panels = []
    for name in names:
        rows = [row for row in tables["curves"] if row["target"] == name]
        base = alt.Chart(alt.Data(values=rows)).encode(
            alt.X("rank:Q", title="pair of axes, by falling r").scale(nice=False)
        )
        band = base.transform_filter("datum.basis == 'shuffled'").mark_area(
            opacity=0.3, color=COLOURS["shuffled"]
        ).encode(alt.Y("low:Q", title="r"), alt.Y2("high:Q"))  # fmt: skip
        lines = base.mark_line(strokeWidth=1.8).encode(alt.Y("r:Q"), colour)
        one = levels[name]
        level = alt.Chart(alt.Data(values=[one])).mark_rule(strokeDash=[4, 3], color="#666")
        title = alt.Title(
            name, subtitle=f"{one['shared']} of {one['matched']} shared: r above the dashed line"
        )
        panel = alt.layer(band, lines, level.encode(alt.Y("level_r:Q")))
        panels.append(panel.properties(width=300, height=200, title=title))
    return alt.concat(*panels, columns=2).properties(title="Matched axes")


def heatmap(tables: Mapping[str, ResultTable]) -> Any:
    """Correlations of the first axes, before matching and after."""
    import altair as alt

    names = _targets(tables)
    cells = [row for row in tables["heatmap"] if row["target"] in names]
    most = max(abs(row["r"]) for row in cells)
    panels = []
    for name in names:
        for order in ("before", "after"):
            rows = [row for row in cells if row["target"] == name and row["order"] == order]
            side = "its match" if order == "after" else "axis"
            panel = alt.Chart(alt.Data(values=rows)).mark_rect().encode(
                alt.X("column:O", title=f"{side} in {name}").axis(labels=False, ticks=False),
                alt.Y("axis:O", title="axis of the source").axis(labels=False, ticks=False),
                alt.Color("r:Q", title="r").scale(scheme="redblue", domain=[-most, most],
                                                  reverse=True),
                tooltip=["axis:Q", "other_axis:Q", alt.Tooltip("r:Q", format=".3f")],
            )  # fmt: skip
            panels.append(panel.properties(width=240, height=240, title=f"{order} matching"))
    return alt.concat(*panels, columns=2).properties(title="Correlations of axes")


def hub(tables: Mapping[str, ResultTable]) -> Any:
    """r of each of the source's axes with its match: the mean over targets, and each target."""
    import altair as alt

    place = {row["axis"]: row["rank"] for row in tables["hub"]}
    rows = [row | {"place": place[row["axis"]]} for row in tables["pairs"]]
    means = [row for row in tables["hub"] if row["everywhere"]]
    thin = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=0.8, opacity=0.7)
        .encode(
            alt.X("place:Q", title="axis of the source, by falling Σ r").scale(nice=False),
            alt.Y("r:Q", title="r with its match"),
            alt.Color("target:N", sort=[str(n) for n in tables["summary"]["target"]]),
        )
    )
    mean = (
        alt.Chart(alt.Data(values=means))
        .mark_line(strokeWidth=2.5, color="black")
        .encode(alt.X("rank:Q"), alt.Y("mean_r:Q"))
    )
    return alt.layer(thin, mean).properties(
        width=520,
        height=260,
        title=alt.Title(
            "Axes over all targets", subtitle="black: the mean, of axes matched in all"
        ),
    )
