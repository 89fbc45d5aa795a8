"""Figures of `association`, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

SHOWN = 20  # associations, surest first
CURVES = 6
TICKS = [-1, -0.5, 0, 0.5, 1]


def _named(row: Mapping[str, Any]) -> str:
    return " · ".join(part for part in (row["indicator"], row["row"], row["site"]) if part)


def _shown(tables: Mapping[str, ResultTable]) -> list[dict[str, Any]]:
    """What is drawn: rho, or with a control the correlation within its groups."""
    rows = list(tables["associations"])
    if any(row["partial"] == row["partial"] for row in rows):
        within = {"low": None, "high": None}
        rows = [row | within | {"rho": row["partial"], "p": row["partial_p"]} for row in rows]
    return [row | {"name": _named(row)} for row in rows if row["rho"] == row["rho"]]


def _surest(tables: Mapping[str, ResultTable]) -> list[dict[str, Any]]:
    return sorted(_shown(tables), key=lambda row: (row["p"], -abs(row["rho"])))


def _said(tables: Mapping[str, ResultTable]) -> str:
    controlled = any(p == p for p in tables["associations"]["partial"].tolist())
    return " within groups" if controlled else ""


def intervals(tables: Mapping[str, ResultTable]) -> Any:
    """The surest correlations with their intervals; filled where p_family ≤ 0.05."""
    import altair as alt

    rows = [
        row | {"chance": "p_family ≤ 0.05" if row["p_family"] <= 0.05 else "may be chance"}
        for row in _surest(tables)[:SHOWN]
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        alt.Y("name:N", sort=[row["name"] for row in rows], title=None).axis(labelLimit=320)
    )
    quality = tables["summary"]["quality"][0]
    said = _said(tables) or " (95 % bootstrap interval)"
    rho = alt.X("rho:Q", title=f"Spearman correlation with {quality}{said}")
    dots = base.mark_point(filled=True, size=70).encode(
        rho.scale(domain=[-1.05, 1.05], nice=False).axis(values=TICKS),
        alt.Color("chance:N", title=None).scale(
            domain=["p_family ≤ 0.05", "may be chance"], range=["#1b6ca8", "#bbbbbb"]
        ).legend(orient="bottom"),
        tooltip=["name:N", "models:Q", "rho:Q", "p:Q", "q:Q", "p_family:Q"],
    )  # fmt: skip
    bars = base.mark_rule(color="#888888").encode(alt.X("low:Q", title=""), alt.X2("high:Q"))
    zero = (
        alt.Chart(alt.InlineData(values=[{"rho": 0}])).mark_rule(color="#444444").encode(x="rho:Q")
    )
    title = f"What goes with {quality}, over {tables['summary']['models'][0]} models"
    return (zero + bars + dots).properties(width=360, title=title)


def points(tables: Mapping[str, ResultTable]) -> Any:
    """Every model by its quality and the surest indicator."""
    import altair as alt

    surest = _surest(tables)
    name = surest[0]["name"] if surest else ""
    rows = [row for row in tables["points"] if _named(row) == name]
    quality = tables["summary"]["quality"][0]
    dot = {"filled": True, "size": 60, "opacity": 0.6, "stroke": "white", "strokeWidth": 0.7}
    chart = alt.Chart(alt.InlineData(values=rows)).mark_point(**dot).encode(
        alt.X("value:Q", title=name).scale(zero=False, padding=12),
        alt.Y("quality:Q", title=quality).scale(zero=False, padding=12),
        tooltip=["model:N", "number:Q", "value:Q", "quality:Q", "group:N"],
    )  # fmt: skip
    if len({row["group"] for row in rows}) > 1:
        chart = chart.encode(alt.Color("group:N", title=None).legend(orient="bottom"))
    return chart.properties(width=360, height=260, title=f"{quality} by {name}")


def layers(tables: Mapping[str, ResultTable]) -> Any:
    """The correlation site by site, of the indicators that are surest anywhere."""
    import altair as alt

    series: dict[str, None] = {}
    for row in _surest(tables):
        series[_named(row | {"site": ""})] = None
    chosen = list(series)[:CURVES]
    rows = [row | {"series": _named(row | {"site": ""})} for row in _shown(tables)]
    rows = [row for row in rows if row["series"] in chosen]
    sites = list(dict.fromkeys(row["site"] for row in rows))  # as in the order of the runs
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=True)
        .encode(
            alt.X("site:N", sort=sites, title="site").axis(labelAngle=-40),
            alt.Y("rho:Q", title=f"Spearman correlation{_said(tables)}")
            .scale(domain=[-1.05, 1.05], nice=False)
            .axis(values=TICKS),
            alt.Color("series:N", sort=chosen, title=None).legend(orient="bottom", columns=2),
            tooltip=["series:N", "site:N", "rho:Q", "low:Q", "high:Q", "p:Q"],
        )
        .properties(width=420, height=240, title="Correlation over sites")
    )


FIGURES = {"intervals": intervals, "points": points, "layers": layers}
