"""Figures of `sim_probe`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from actlas import ResultTable

Tables = Mapping[str, ResultTable]
SHOWN = 12  # histograms
COLUMNS = 4
CELLS = 64  # dimensions of the heat map
ORDERS = {
    ("top", "refit"): "best, refit", ("top", "mask"): "best, others masked",
    ("random", "refit"): "random, refit", ("bottom", "refit"): "worst, refit",
}  # fmt: skip


def _nothing(said: str) -> Any:
    import altair as alt

    chart = alt.Chart(alt.InlineData(values=[{"said": said}]))
    return chart.mark_text(size=13).encode(text="said:N").properties(width=460, height=40)


def histograms(tables: Tables) -> Any:
    """Histograms of some dimensions beside N(0, 1)."""
    import altair as alt

    rows = list(tables["histograms"])
    dims = list(dict.fromkeys(row["dim"] for row in rows))
    if not dims:
        return _nothing("no dimension varies")
    shown = [dims[i] for i in np.unique(np.linspace(0, len(dims) - 1, SHOWN).round().astype(int))]
    kl = {row["dim"]: row["kl"] for row in tables["dimensions"]}
    panels = []
    for dim in shown:
        mine = [row for row in rows if row["dim"] == dim]
        least, most = min(row["low"] for row in mine), max(row["high"] for row in mine)
        bars = (
            alt.Chart(alt.InlineData(values=mine))
            .mark_rect(opacity=0.7)
            .encode(
                alt.X("low:Q", title=None).axis(tickCount=4),
                alt.X2("high:Q"),
                alt.Y("density:Q", title=None).axis(tickCount=3),
                alt.Y2(datum=0),
            )
        )
        at = np.linspace(min(least, -3), max(most, 3), 81)
        curve = [{"z": float(z), "p": float(np.exp(-z * z / 2) / np.sqrt(2 * np.pi))} for z in at]
        line = (
            alt.Chart(alt.InlineData(values=curve))
            .mark_line(color="black", strokeWidth=1)
            .encode(alt.X("z:Q"), alt.Y("p:Q"))
        )
        title = f"dimension {dim}" + ("" if kl[dim] != kl[dim] else f", KL {kl[dim]:.3g}")
        panels.append((bars + line).properties(width=130, height=90, title=title))
    title = alt.Title(
        "Dimensions from least to largest KL, and N(0, 1) as a line",
        subtitle="density of values; equal shares of the rows in each bar, 1 % of the rows outside",
    )
    by_kl = sorted(zip(shown, panels, strict=True), key=lambda pair: _place(kl[pair[0]]))
    return alt.concat(*(panel for _, panel in by_kl), columns=COLUMNS).properties(title=title)


def _place(kl: float | None) -> float:
    return float("inf") if kl is None or kl != kl else kl


def quantiles(tables: Tables) -> Any:
    """Quantiles of some dimensions against those of N(0, 1)."""
    import altair as alt

    rows = list(tables["quantiles"])
    ends = [{"normal": v, "value": v} for v in (-2.6, 2.6)]
    lines = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=1, opacity=0.6)
        .encode(
            alt.X("normal:Q", title="quantile of N(0, 1)"),
            alt.Y("value:Q", title="quantile of the dimension"),
            alt.Color("dim:O", title="dimension").scale(scheme="viridis").legend(None),
            tooltip=["dim:O", "level:Q", "value:Q"],
        )
    )
    same = alt.Chart(alt.InlineData(values=ends)).mark_line(color="black", strokeDash=[4, 3])
    diagonal = same.encode(alt.X("normal:Q"), alt.Y("value:Q"))
    dims = len({row["dim"] for row in rows})
    said = f"a line each of {dims} from least to largest KL; dashed: N(0, 1)"
    title = alt.Title("Quantiles of dimensions", subtitle=said)
    return (lines + diagonal).properties(width=320, height=320, title=title)


def divergence(tables: Tables) -> Any:
    """KL to N(0, 1) of all dimensions, sorted, and their rate where posteriors are known."""
    import altair as alt

    table, rows = tables["dimensions"], []
    columns = {"kl": "KL of the marginal to N(0, 1)", "rate": "rate: mean KL of posteriors"}
    for column, said in columns.items():
        values = np.asarray(table[column], float)
        ordered = np.sort(values[np.isfinite(values)])[::-1]
        rows += [
            {"place": i + 1, "nats": max(float(v), 1e-6), "of": said} for i, v in enumerate(ordered)
        ]
    if not rows:
        return _nothing("no dimension varies")
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=alt.OverlayMarkDef(size=12))
        .encode(
            alt.X("place:Q", title="dimension, largest first").scale(nice=False, zero=False),
            alt.Y("nats:Q", title="nats").scale(type="log"),
            alt.Color("of:N", title=None).legend(orient="top", labelLimit=300),
        )
        .properties(width=420, height=220, title="Divergence from N(0, 1) by dimension")
    )


def units(tables: Tables) -> Any:
    """Variance of posterior means by dimension with the limit of an active unit."""
    import altair as alt

    table = tables["dimensions"]
    values = np.asarray(table["mean_variance"], float)
    said = "Active units: posterior means that vary"
    if not np.isfinite(values).any():
        return _nothing("no log-variances: give their site with --other")
    ordered = np.sort(values)[::-1]
    rows = [{"place": i + 1, "variance": max(float(v), 1e-8)} for i, v in enumerate(ordered)]
    points = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(filled=True, size=18)
        .encode(
            alt.X("place:Q", title="dimension, largest first").scale(nice=False, zero=False),
            alt.Y("variance:Q", title="variance of the posterior mean").scale(
                type="log", domain=[min(0.003, rows[-1]["variance"] / 2), max(1, ordered[0] * 1.5)]
            ),
        )
    )
    limit = alt.Chart(alt.InlineData(values=[{"variance": 0.01}])).mark_rule(strokeDash=[4, 3])
    active = int((values > 0.01).sum())
    title = alt.Title(said, subtitle=f"{active} of {len(values)} above 0.01 (dashed)")
    return (points + limit.encode(alt.Y("variance:Q"))).properties(
        width=420, height=220, title=title
    )


def topk(tables: Tables) -> Any:
    """Accuracy against the number of dimensions, a panel a factor, with controls."""
    import altair as alt

    panels = []
    for factor in tables["factors"]:
        rows = [
            {"k": row["k"], "accuracy": row["accuracy"],
             "order": ORDERS[row["order"], row["method"]]}
            for row in tables["topk"] if row["factor"] == factor["factor"]
        ]  # fmt: skip
        if rows:
            panels.append(_curves(factor, rows))
    if not panels:
        return _nothing("no refits of k dimensions: run with --topk and factors")
    title = alt.Title("Accuracy from k dimensions", subtitle="dashed: the commonest class")
    return alt.concat(*panels, columns=2).properties(title=title)


def _curves(factor: Mapping[str, Any], rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    numbers = factor["kind"] == "continuous"
    least = max(-1.0, min(0.0, *(row["accuracy"] for row in rows)))
    accuracy = alt.Y("accuracy:Q", title="R²" if numbers else "accuracy")
    lines = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=True, clip=True)
        .encode(
            alt.X("k:Q", title="dimensions").scale(type="log", base=2),
            accuracy.scale(domain=[least, 1]),
            alt.Color("order:N", title=None, sort=list(ORDERS.values())).legend(
                orient="bottom", columns=2, labelLimit=200
            ),
        )
    )
    chance = alt.Chart(alt.InlineData(values=[{"accuracy": factor["majority"]}]))
    rule = chance.mark_rule(strokeDash=[4, 3]).encode(alt.Y("accuracy:Q"))
    title = alt.Title(factor["factor"], subtitle=_kept(factor))
    return (lines + rule).properties(width=260, height=200, title=title)


def _kept(factor: Mapping[str, Any]) -> str:
    if factor["readable"]:
        return f"90 % kept by {factor['k90']:.0f} dimensions"
    draws = factor["draw_accuracy"]
    if draws is None or draws != draws or not factor["low"] > factor["majority"]:
        return "not above chance"
    return f"{draws:.2f} from draws of the posterior: not read"


def importance(tables: Tables) -> Any:
    """Heat map of importances: the most important dimensions of each factor."""
    import altair as alt

    rows = list(tables["importance"])
    if not rows:
        return _nothing("no factors: give label sets with --labels")
    names = list(dict.fromkeys(row["factor"] for row in rows))
    each = max(1, CELLS // len(names))
    shown = list(dict.fromkeys(
        row["dim"] for name in names
        for row in sorted((r for r in rows if r["factor"] == name), key=lambda r: r["rank"])[:each]
    ))  # fmt: skip
    kept, width = [row for row in rows if row["dim"] in set(shown)], len(rows) // len(names)
    title = alt.Title(
        "Importance of dimensions to factors",
        subtitle=f"{len(shown)} of {width} dimensions, the best of each factor in turn",
    )
    return (
        alt.Chart(alt.InlineData(values=kept))
        .mark_rect()
        .encode(
            alt.X("dim:O", sort=shown, title="dimension").axis(labelOverlap=True),
            alt.Y("factor:N", sort=names, title=None),
            alt.Color("share:Q", title="share").scale(scheme="blues", domainMin=0),
            tooltip=["factor:N", "dim:O", "share:Q", "information:Q", "r2:Q", "rank:Q"],
        )
        .properties(width=max(200, 11 * len(shown)), height=max(40, 28 * len(names)), title=title)
    )


def weights(tables: Tables) -> Any:
    """Density of the probes' weights; a peak at 0 means few dimensions matter."""
    import altair as alt

    if not len(tables["weights"]):
        return _nothing("no factors: give label sets with --labels")
    return (
        alt.Chart(alt.InlineData(values=list(tables["weights"])))
        .mark_line()
        .encode(
            alt.X("weight:Q", title="weight / largest magnitude"),
            alt.Y("density:Q", title="density"),
            alt.Color("factor:N", title=None).legend(orient="top"),
        )
        .properties(width=420, height=220, title="Weights of the probes")
    )


ALL = {
    "histograms": histograms,
    "quantiles": quantiles,
    "divergence": divergence,
    "units": units,
    "topk": topk,
    "importance": importance,
    "weights": weights,
}
