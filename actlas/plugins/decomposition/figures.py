"""Figures of the decomposition, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

TERMS = ("input", "attention", "cross_attention", "feed_forward", "blocks", "correction")
COLORS = ("#4c78a8", "#f58518", "#e45756", "#54a24b", "#b279a2", "#9d9da1")
TITLES = {
    "relative_dot": "relative dot product",
    "cosine": "cosine",
    "norm_ratio": "norm ratio",
    "distance": "distance",
}
SHOWN_LOGITS = 12


def _colour(rows: list[dict[str, Any]], **more: Any) -> Any:
    import altair as alt

    used = [term for term in TERMS if any(row["term"] == term for row in rows)]
    scale = alt.Scale(domain=used, range=[COLORS[TERMS.index(term)] for term in used])
    return alt.Color("term:N", sort=used, title="term", scale=scale, **more)


def _named(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"place": _place(row)} for row in rows]


def _place(row: Mapping[str, Any]) -> str:
    """What a depth is called on an axis: embed, 0, 1, …, final."""
    return str(row["site"]).rpartition(".")[2]


def _order(rows: list[dict[str, Any]]) -> list[str]:
    depths = {row["depth"]: row["place"] for row in rows}
    return [depths[depth] for depth in sorted(depths)]


def share(tables: Mapping[str, ResultTable]) -> Any:
    """Mean relative dot product of every term by depth, stacked: they sum to one."""
    import altair as alt

    rows = _named([row for row in tables["indicators"] if row["indicator"] == "relative_dot"])
    rows = [row | {"order": TERMS.index(row["term"])} for row in rows]
    order = _order(rows)
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.X("place:N", sort=order, title="layer").axis(labelAngle=0),
            alt.Y("mean:Q", title="share of the state (relative dot product)"),
            _colour(rows),
            alt.Order("order:Q"),
            tooltip=["site:N", "term:N", alt.Tooltip("mean:Q", format=".3f"), "sd:Q"],
        )
    )
    one = alt.Chart(alt.InlineData(values=[{"y": 1}])).mark_rule(strokeDash=[3, 3]).encode(y="y:Q")
    width = max(220, 36 * len(order))
    return alt.layer(bars, one).properties(width=width, height=260, title="Terms by layer")


def curves(tables: Mapping[str, ResultTable]) -> Any:
    """The four indicators of every term by depth, mean and one standard deviation."""
    import altair as alt

    rows = _named(list(tables["indicators"]))
    panels = [_curve(rows, name, title) for name, title in TITLES.items()]
    grid = alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))
    said = "mean over rows; band: one standard deviation"
    return grid.properties(title=alt.Title("Indicators by layer", subtitle=said))


def _curve(every: list[dict[str, Any]], name: str, title: str) -> Any:
    import altair as alt

    rows = [row for row in every if row["indicator"] == name and row["mean"] == row["mean"]]
    for row in rows:
        sd = row["sd"] if row["sd"] == row["sd"] else 0.0
        row["low"], row["high"] = row["mean"] - sd, row["mean"] + sd
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.X("place:N", sort=_order(rows), title="layer").axis(labelAngle=0), _colour(rows)
    )
    band = base.mark_area(opacity=0.12).encode(alt.Y("low:Q", title=title), alt.Y2("high:Q"))
    line = base.mark_line(point=alt.OverlayMarkDef(size=18)).encode(
        alt.Y("mean:Q", title=title), tooltip=["site:N", "term:N", "mean:Q", "sd:Q", "n:Q"]
    )
    return alt.layer(band, line).properties(width=330, height=200)


def branches(tables: Mapping[str, ResultTable]) -> Any:
    """What every block gave to every term of the deepest state."""
    import altair as alt

    rows = list(tables["branches"])
    if not rows:
        return alt.Chart(title="no layers; run with --by branches").mark_text()
    last = max(row["layer"] for row in rows)
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            alt.X("layer:O", title="layer (0: embedding)").axis(labelAngle=0),
            alt.Y("relative_dot:Q", title="share of the state (relative dot product)"),
            _colour(rows),
            tooltip=["layer:O", "term:N", "relative_dot:Q", "norm_ratio:Q", "cosine:Q"],
        )
    )
    title = f"What each layer gave to {rows[0]['site']}"
    return bars.properties(width=max(240, 32 * (last + 1)), height=260, title=title)


def heads(tables: Mapping[str, ResultTable]) -> Any:
    """Relative dot product of every head with the deepest state, layer by head."""
    import altair as alt

    rows = list(tables["heads"])
    if not rows:
        return alt.Chart(title="no heads; run with --by heads").mark_text()
    limit = max(abs(row["relative_dot"]) for row in rows)
    kinds = list(dict.fromkeys(row["term"] for row in rows))
    panels = [_map([row for row in rows if row["term"] == kind], kind, limit) for kind in kinds]
    title = f"What each head gave to {rows[0]['site']}"
    return alt.hconcat(*panels).properties(title=title)


def _map(rows: list[dict[str, Any]], kind: str, limit: float) -> Any:
    import altair as alt

    layers = len({row["layer"] for row in rows})
    count = len({row["head"] for row in rows})
    scale = alt.Scale(scheme="blueorange", domain=[-limit, limit], domainMid=0)
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect()
        .encode(
            alt.X("head:O").axis(labelAngle=0),
            alt.Y("layer:O", sort="descending"),
            alt.Color("relative_dot:Q", title=["relative", "dot product"], scale=scale),
            tooltip=["layer:O", "head:O", "relative_dot:Q", "norm_ratio:Q", "cosine:Q"],
        )
        .properties(width=max(160, 26 * count), height=max(100, 26 * layers), title=kind)
    )


DECOMPOSITION = {"share": share, "curves": curves, "branches": branches, "heads": heads}
