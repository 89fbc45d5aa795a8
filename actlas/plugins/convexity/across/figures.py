"""Figures over layers, between models and against recall, drawn from stored tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

from ..figures import ends, left_out

NAMED = 6  # classes farthest off the line
# Name of a curve → its columns: score, low and high of its band; its colour.
SERIES = {
    "graph": ("macro", "low", "high", "#1f77b4"),
    "graph, labels by chance": ("chance", "chance", "chance", "crimson"),
    "Euclidean": ("euclidean", "euclidean_low", "euclidean_high", "#2ca02c"),
    "Euclidean, labels by chance": (
        "euclidean_chance", "euclidean_chance", "euclidean_chance", "#e3872d"
    ),
}  # fmt: skip
Tables = Mapping[str, ResultTable]


def curve(tables: Tables) -> Any:
    """Graph and Euclidean macro score over the layers with bands, chance, and the suggested cut."""
    import altair as alt

    rows = list(tables["curve"])
    order = [row["site"] for row in rows]
    shown = [name for name in SERIES if any(_known(row, SERIES[name][0]) for row in rows)]
    values = [_point(row, name) for name in shown for row in rows]
    base = alt.Chart(alt.Data(values=values)).encode(
        alt.X("site:N", sort=order, title=None, scale=alt.Scale(padding=0.5)),
        alt.Color("of:N", title=None, sort=shown)
        .scale(domain=shown, range=[SERIES[name][3] for name in shown])
        .legend(orient="top", columns=2, labelLimit=400, symbolOpacity=1),
    )
    y = alt.Y("value:Q", title="macro, bands 95 %").scale(domain=[0, 1])
    band = base.mark_area(opacity=0.18).encode(alt.Y("low:Q", title=""), alt.Y2("high:Q"))
    dealt = base.transform_filter("datum.dealt").mark_line(strokeDash=[4, 3]).encode(y)
    scores = base.transform_filter("!datum.dealt").mark_line(point=True).encode(y)
    drawn = [band, dealt, scores]
    cut = next(iter(tables["summary"]))["suggest_cut"]
    if cut is not None:
        side = "right" if cut == order[-1] else "left"
        marked = alt.Chart(alt.Data(values=[{"site": cut}])).encode(alt.X("site:N", sort=order))
        drawn.append(marked.mark_rule(strokeDash=[4, 4], color="grey"))
        drawn.append(
            marked.mark_text(align=side, dx=5 if side == "left" else -5, color="grey").encode(
                alt.YDatum(0.5), text=alt.value("cut from here")
            )
        )
    width = max(360, 42 * len(order))
    return alt.layer(*drawn).properties(width=width, height=240, title="Convexity over the layers")


def _known(row: Mapping[str, Any], column: str) -> bool:
    return row[column] is not None and row[column] == row[column]


def _point(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A point of a series with its band; null where it has none, so that lines break there."""
    column, low, high, _ = SERIES[name]
    found = {n: float(row[c]) if _known(row, c) else None for n, c in
             {"value": column, "low": low, "high": high}.items()}  # fmt: skip
    if column == "chance" and _known(row, "chance_sd"):
        spread = 1.96 * row["chance_sd"]
        found["low"], found["high"] = row[column] - spread, min(1.0, row[column] + spread)
    return {"site": row["site"], "of": name, "dealt": column.endswith("chance"), **found}


def heat_map(tables: Tables) -> Any:
    """Score of every class at every site, classes by their score at the last."""
    import altair as alt

    rows = [row for row in tables["classes"] if row["graph_convexity"] == row["graph_convexity"]]
    sites = list(dict.fromkeys(row["site"] for row in rows))
    last = {row["label"]: row["graph_convexity"] for row in rows if row["site"] == sites[-1]}
    every = sorted(last, key=lambda label: -last[label])
    shown = ends(every)
    rows = [row for row in rows if row["label"] in set(shown)]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            alt.X("site:N", sort=sites, title=None),
            alt.Y("label:N", sort=shown, title=None),
            alt.Color("graph_convexity:Q", title="score").scale(scheme="viridis"),
            tooltip=["label:N", "site:N", "n:Q", "graph_convexity:Q", "chance:Q"],
        )
        .properties(
            width=max(240, 36 * len(sites)),
            height=max(100, 15 * len(shown)),
            title=f"Convexity by class and layer{left_out(every)}",
        )
    )


def change(tables: Tables) -> Any:
    """Score of every class before and after, by the change."""
    import altair as alt

    found = sorted(tables["classes"], key=lambda row: -row["delta"])
    order = ends(list(dict.fromkeys(row["label"] for row in found)))
    rows = [
        row | {"sure": "after, sure (Holm)" if row["significant"] else "after"}
        for row in found
        if row["label"] in set(order)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.Y("label:N", sort=order, title=None).axis(labelLimit=220)
    )
    x = alt.X("before:Q", title="graph convexity").scale(domain=[0, 1])
    lines = base.mark_rule(color="#bbb", strokeWidth=2).encode(x, alt.X2("after:Q"))
    before = base.mark_point(filled=True, size=45, opacity=1).encode(
        x, color=alt.datum("before"), tooltip=["label:N", "n:Q", "before:Q"]
    )
    colours = {"before": "#999", "after": "#9ecae1", "after, sure (Holm)": "#08519c"}
    after = base.mark_point(filled=True, size=60, opacity=1).encode(
        alt.X("after:Q"),
        alt.Color("sure:N", title=None)
        .scale(domain=list(colours), range=list(colours.values()))
        .legend(orient="top"),
        tooltip=["label:N", "n:Q", "after:Q", "delta:Q", "low:Q", "high:Q", "p_holm:Q"],
    )
    chart = alt.layer(lines, before, after).properties(width=320)
    return chart.facet(
        column=alt.Column("other:N", title=None), title="Change of convexity by class"
    )


def correlation(tables: Tables) -> Any:
    """Pearson's r over the layers with its interval, by where recall is from."""
    import altair as alt

    rows = [
        row
        for row in tables["correlations"]
        if row["over"] == "classes" and row["method"] == "pearson"
    ]
    order = list(dict.fromkeys(row["site"] for row in rows))
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("site:N", sort=order, title="convexity at", scale=alt.Scale(padding=0.5)),
        alt.Color("recall_at:N", title="recall at", sort=None),
    )
    y = alt.Y("r:Q", title="Pearson's r, 95 % interval").scale(domain=[-1, 1])
    offset = alt.XOffset("recall_at:N", sort=None)
    bars = base.mark_rule(strokeWidth=2, opacity=0.6).encode(
        alt.Y("low:Q"), alt.Y2("high:Q"), offset
    )
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(y, offset)
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color="#999").encode(alt.YDatum(0))
    return alt.layer(zero, bars, dots).properties(
        width=max(320, 48 * len(order)), height=240, title="Convexity of classes and their recall"
    )


def scatter(tables: Tables) -> Any:
    """Convexity at the last layer against recall: classes, line and its 95 % interval."""
    import altair as alt

    rows = list(tables["points"])
    rows = [row for row in rows if row["site"] == rows[-1]["site"]]
    panels = []
    for at in dict.fromkeys(row["recall_at"] for row in rows if row["recall_at"] != row["site"]):
        mine = [row for row in rows if row["recall_at"] == at]
        line, named = _fit(mine)
        recalls = [row["recall"] for row in mine]
        ends = [min(recalls) - 0.02, max(recalls) + 0.02]
        x = alt.X("convexity:Q", title=f"graph convexity at {mine[0]['site']}").scale(zero=False)
        y = alt.Y("recall:Q", title="recall").scale(domain=ends, nice=False, zero=False)
        dots = alt.Chart(alt.Data(values=mine)).mark_point(filled=True, opacity=0.7).encode(
            x, y, tooltip=["label:N", "convexity:Q", "recall:Q"]
        )  # fmt: skip
        middle = sum(row["convexity"] for row in line[:1] + line[-1:]) / 2
        text = alt.Chart(alt.Data(values=named)).encode(x, y, text="label:N")
        left, right = alt.datum.convexity < middle, alt.datum.convexity >= middle
        names = text.transform_filter(left).mark_text(align="left", dx=6, dy=8, fontSize=9)
        names += text.transform_filter(right).mark_text(align="right", dx=-6, dy=8, fontSize=9)
        fit = alt.Chart(alt.Data(values=line)).encode(x)
        low = alt.Y("low:Q", title="recall").scale(domain=ends, nice=False, zero=False)
        band = fit.mark_area(opacity=0.15, color="crimson", clip=True).encode(low, alt.Y2("high:Q"))
        drawn = alt.layer(band, fit.mark_line(color="crimson", clip=True).encode(y), dots, names)
        panels.append(drawn.properties(width=280, height=260, title=f"recall at {at}"))
    return alt.hconcat(*panels)


def _fit(rows: list[dict[str, Any]]) -> tuple[list[dict[str, float]], list[dict[str, Any]]]:
    """The least-squares line with the 95 % interval of the mean, and the rows farthest off it."""
    import numpy as np
    from scipy import stats

    x, y = (np.array([row[name] for row in rows]) for name in ("convexity", "recall"))
    if np.ptp(x) == 0:
        return [], rows[:NAMED]
    slope, start = np.polyfit(x, y, 1)
    off = y - start - slope * x
    spread = np.sqrt((off**2).sum() / (len(x) - 2))
    at = np.linspace(x.min(), x.max(), 50)
    half = stats.t.ppf(0.975, len(x) - 2) * spread
    half = half * np.sqrt(1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    mean = start + slope * at
    columns = zip(
        at.tolist(), mean.tolist(), (mean - half).tolist(), (mean + half).tolist(), strict=True
    )
    line = [
        dict(zip(("convexity", "recall", "low", "high"), values, strict=True)) for values in columns
    ]
    return line, _apart([rows[i] for i in np.argsort(-np.abs(off), kind="stable")])


def _apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of rows in order of importance the first that can be named without their names colliding."""
    wide, high = (
        max(row[n] for row in rows) - min(row[n] for row in rows) or 1.0
        for n in ("convexity", "recall")
    )
    named: list[dict[str, Any]] = []
    for row in rows:
        near = any(
            abs(row["convexity"] - other["convexity"]) < 0.6 * wide
            and abs(row["recall"] - other["recall"]) < 0.06 * high
            for other in named
        )
        if not near and len(named) < NAMED:
            named.append(row)
    return named
