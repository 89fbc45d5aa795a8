"""Figures of `sim_decode`, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from actlas import ResultTable

MOST = 40  # dimensions whose effect is drawn
OVER = 1.3  # cells reach over the next, or seams show wherever a page is scaled
NAMES = {"prior": "prior N(0, I)", "fitted": "fitted N(m, s²)", "midpoint": "midpoints"}


def _said(text: str) -> Any:
    import altair as alt

    chart = alt.Chart(alt.InlineData(values=[{"said": text}])).mark_text(size=13)
    return chart.encode(text="said:N").properties(width=460, height=40)


def _empty(tables: Mapping[str, ResultTable]) -> Any:
    error = float(tables["summary"]["test_error"][0])
    return _said(f"nothing can be decoded (test error {error:.2f}, 1 = predict the mean)")


def _unit(tables: Mapping[str, ResultTable]) -> tuple[str, str]:
    """Titles of channels and of values."""
    target = str(tables["summary"]["target"][0])
    sound = not target.startswith("site") and not target.endswith("pixels")
    return ("frequency (Hz)", "dB") if sound else ("channel", "value")


def _strip(tables: Mapping[str, ResultTable], kind: str) -> list[dict[str, Any]]:
    """Rows of the strips of a kind; a channel is drawn by its place, so that all are as high."""
    table = tables["strips"]
    mine = table["strip"] == kind
    names = ("number", "step", "at", "frame", "channel", "value")
    columns = {name: table[name][mine] for name in names}
    columns["level"] = np.unique(columns["channel"], return_inverse=True)[1]
    return [
        dict(zip(columns, map(_plain, values), strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def _plain(value: Any) -> float | int:
    return int(value) if isinstance(value, np.integer) else round(float(value), 4)


def _whole(size: int, cells: int) -> int:
    """Return the multiple of `cells` that is nearest to a size in pixels."""
    return cells * max(1, round(size / cells))


def _heat(
    rows: list[dict[str, Any]], x: Any, field: str, channel: str, value: str, diverging: bool
) -> Any:
    """Draw cells over columns `field` of rows; each is whole pixels wide, so that they join."""
    import altair as alt

    levels = {row["level"]: row["channel"] for row in rows}
    ticks = [i for i in levels if i % max(1, len(levels) // 4) == 0]
    texts = {i: f"{levels[i]:.0f}" for i in ticks}
    label = "".join(f"datum.value == {i} ? '{text}' : " for i, text in texts.items()) + "''"
    scale = (
        {"scheme": "redblue", "reverse": True, "domainMid": 0}
        if diverging
        else {"scheme": "viridis", "nice": True}
    )
    columns = len({row[field] for row in rows})
    return (
        alt.Chart()
        .mark_rect(width={"band": OVER}, height={"band": OVER})
        .properties(width=_whole(130, columns), height=_whole(120, len(levels)))
        .encode(
            x,
            alt.Y("level:O", sort="descending", title=channel).axis(values=ticks, labelExpr=label),
            alt.Color("value:Q", title=value).scale(**scale).legend(tickCount=5),
            tooltip=["number:Q", "at:Q", "frame:Q", "channel:Q", "value:Q"],
        )
    )


def traversal(tables: Mapping[str, ResultTable]) -> Any:
    """Decoded output while one dimension is traversed; dimensions by their effect."""
    import altair as alt

    if not len(tables["strips"]):
        return _empty(tables)
    channel, value = _unit(tables)
    rows = _strip(tables, "traversal")
    means: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        means.setdefault((row["number"], row["level"]), []).append(row["value"])
    for row in rows:  # what a traversal changes is small beside the shape of a spectrum
        row["value"] -= float(np.mean(means[row["number"], row["level"]]))
        row["name"] = f"dim {row['number']}"
    names = list(dict.fromkeys(row["name"] for row in rows))
    x = alt.X("at:O", title="value of the dimension").axis(
        format=".1f", labelOverlap=True, labelAngle=0
    )
    heat = _heat(rows, x, "at", channel, f"Δ {value}", True)
    facet = alt.Facet("name:N", sort=names, title=None)
    return heat.properties(data=alt.InlineData(values=rows)).facet(facet, columns=4).properties(
        title=alt.Title("Traversals of the dimensions of most effect",
                        subtitle="difference to the mean over the traversal")
    )  # fmt: skip


def interpolation(tables: Mapping[str, ResultTable]) -> Any:
    """Decoded lines between two test items."""
    import altair as alt

    if not len(tables["strips"]):
        return _empty(tables)
    channel, value = _unit(tables)
    rows = _strip(tables, "interpolation")
    for row in rows:
        row["share"], row["pair"] = f"{row['at']:.2f}", f"pair {row['number']}"
    one = len({row["frame"] for row in rows}) == 1
    if one:  # of whole samples, or single rows: steps stand side by side
        x = alt.X("at:O", title="share of the second item").axis(format=".2f", labelAngle=0)
        heat = _heat(rows, x, "at", channel, value, False)
        chart = heat.properties(data=alt.InlineData(values=rows)).facet(
            alt.Facet("pair:N", title=None), columns=2
        )
    else:
        frames = sorted({row["frame"] for row in rows})
        ticks = frames[:: max(1, len(frames) // 4)]
        x = alt.X("frame:O", title="frame").axis(values=ticks, labelAngle=0)
        heat = _heat(rows, x, "frame", channel, value, False)
        chart = heat.properties(data=alt.InlineData(values=rows)).facet(
            column=alt.Column("share:N", title="share of the second item"),
            row=alt.Row("pair:N", title=None),
        )
    return chart.properties(title="Lines between two test items, decoded")


def contribution(tables: Mapping[str, ResultTable]) -> Any:
    """Contribution score over the dimensions swapped, with the diagonal."""
    import altair as alt

    if not len(tables["curve"]):
        return _empty(tables)
    last = int(tables["curve"]["k"].max())
    rows = [{"k": row["k"], "score": row["score"]} for row in tables["curve"]]
    straight = [{"k": 0, "score": 1.0}, {"k": last, "score": 0.0}]
    found = float(tables["summary"]["area"][0])
    axes = (alt.X("k:Q", title="dimensions swapped, those that differ most first")
            .scale(nice=False).axis(tickMinStep=1),
            alt.Y("score:Q", title="error / error with none swapped"))  # fmt: skip
    diagonal = alt.Chart(alt.InlineData(values=straight)).mark_line(
        color="#8a8a8a", strokeDash=[4, 3]
    )
    line = alt.Chart(alt.InlineData(values=rows)).mark_line(point=True, color="#4c78a8")
    return alt.layer(diagonal.encode(*axes), line.encode(*axes)).properties(
        width=380, height=240,
        title=alt.Title("Interpolation contribution score",
                        subtitle=f"area {found:.2f}; dashed: every dimension gives alike"),
    )  # fmt: skip


def realism(tables: Mapping[str, ResultTable]) -> Any:
    """Realism of prior samples and midpoints, with the level of test items."""
    import altair as alt

    if not len(tables["realism"]):
        return _empty(tables)
    rows = []
    for row in tables["realism"]:
        kind = NAMES[row["kind"]]
        rows += [{"kind": kind, "of": "decoded to real", "ratio": row["ratio"]},
                 {"kind": kind, "of": "real to decoded", "ratio": row["coverage"]}]  # fmt: skip
    order = ["decoded to real", "real to decoded"]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.Y("kind:N", sort=list(NAMES.values()), title=None).axis(labelLimit=200),
            alt.YOffset("of:N", sort=order),
            alt.X("ratio:Q", title="mean distance to the nearest / that of decoded test items"),
            alt.Color("of:N", sort=order, title="distance").scale(range=["#4c78a8", "#f58518"]),
            tooltip=["kind:N", "of:N", "ratio:Q"],
        )
    )
    rule = alt.Chart(alt.InlineData(values=[{"at": 1}])).mark_rule(strokeDash=[4, 3])
    return alt.layer(bars, rule.encode(alt.X("at:Q"))).properties(
        width=380, height=150,
        title=alt.Title("Realism", subtitle="1 = as near as decoded test items; above 1.2: holes"),
    )  # fmt: skip


def effect(tables: Mapping[str, ResultTable]) -> Any:
    """Effect of traversing each dimension, largest first, and how broad it is."""
    import altair as alt

    table = tables["dimensions"]
    if not len(tables["curve"]):
        return _empty(tables)
    rows = sorted(table, key=lambda row: -row["effect"])
    shown = [{"dim": f"{row['dim']}", "effect": row["effect"], "bandwidth": row["bandwidth"],
              "peak": row["peak"]} for row in rows[:MOST]]  # fmt: skip
    dead = int(tables["summary"]["dead"][0])
    more = f"the first {MOST} of {len(rows)}; " if len(rows) > MOST else ""
    return (
        alt.Chart(alt.InlineData(values=shown))
        .mark_bar()
        .encode(
            alt.X("dim:N", sort=[row["dim"] for row in shown], title="dimension"),
            alt.Y("effect:Q", title="variance of the output"),
            alt.Color("bandwidth:Q", title="bandwidth").scale(scheme="viridis", domain=[0, 1]),
            tooltip=["dim:N", "effect:Q", "bandwidth:Q", "peak:Q"],
        )
        .properties(
            width=560, height=220,
            title=alt.Title("Effect of traversing each dimension",
                            subtitle=f"{more}{dead} dead: below 1 % of the largest"),
        )
    )  # fmt: skip


ALL = {
    "contribution": contribution,
    "traversal": traversal,
    "interpolation": interpolation,
    "realism": realism,
    "effect": effect,
}
