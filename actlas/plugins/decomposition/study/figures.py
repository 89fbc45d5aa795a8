"""Figures of the study, drawn from its tables."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from actlas import ResultTable

from .curves import INDICATORS, L1NORM

Tables = Mapping[str, ResultTable]
Records = list[dict[str, Any]]
PANELS = 6  # training runs in the scatter
SHOWN_PAIRS = 400


def curves(tables: Tables) -> Any:
    """Every indicator by checkpoint, at the site whose correlations are strongest."""
    site = _site(tables)
    rows = [
        row for row in _finite(tables["curves"], "mean", "z")
        if row["site"] == site and row["data"] == _data(tables)
    ]  # fmt: skip
    title = f"Indicators by checkpoint, {site}"
    return _panels(rows, "mean", "mean over tokens", title) if rows else _empty(title)


def agreement(tables: Tables) -> Any:
    """How far training runs agree on identical tokens, by checkpoint: mean over their pairs."""
    site = _site(tables)
    rows = [r for r in tables["agreement"] if r["site"] == site and r["data"] == _data(tables)]
    same = [r for r in rows if r["within"]] or rows
    of = "of one condition" if same and same[0]["within"] else "of different conditions"
    title = f"Agreement of training runs {of} on the same tokens, {site}"
    said = "Spearman's rho of tokens"
    return _panels(same, "rho", said, title, mean=True) if same else _empty(title)


def heat_map(tables: Tables) -> Any:
    """Correlation with the first quality by term and site, mean over training runs."""
    import altair as alt

    rows = _first_metric(tables)
    if not rows:
        return _empty("Correlation with quality by term and site")
    drawn_at = {row["site"] for row in rows}
    sites = [s for s in dict.fromkeys(tables["curves"]["site"].tolist()) if s in drawn_at]
    terms = list(dict.fromkeys(row["term"] for row in rows))
    grouped: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        grouped.setdefault((row["indicator"], row["term"], row["site"]), []).append(row["rho"])
    cells: Records = [
        dict(zip(("indicator", "term", "site"), key, strict=True), rho=sum(v) / len(v))
        for key, v in grouped.items()
    ]
    panels = []
    for indicator in [kind for kind in INDICATORS if kind in {row["indicator"] for row in cells}]:
        mine = [row for row in cells if row["indicator"] == indicator]
        base = alt.Chart(alt.Data(values=mine)).encode(
            alt.X("site:N", title=None).scale(domain=sites),
            alt.Y("term:N", title=None).scale(domain=terms),
        )
        colour = alt.Color("rho:Q", title="rho").scale(scheme="redblue", domain=[-1, 1])
        ink = alt.condition("abs(datum.rho) > 0.6", alt.value("white"), alt.value("#222"))
        text = base.mark_text(fontSize=9).encode(text=alt.Text("rho:Q", format=".2f"), color=ink)
        drawn = alt.layer(base.mark_rect().encode(colour), text)
        width, height = max(160, 40 * len(sites)), 24 * len(terms)
        named = indicator.replace("_", " ")
        panels.append(drawn.properties(title=named, width=width, height=height))
    title = f"Correlation of differences with those in {rows[0]['metric']}"
    return alt.concat(*panels, columns=2).properties(title=title)


def scatter(tables: Tables) -> Any:
    """Differences in quality against those in the indicator that goes with it most."""
    import altair as alt

    rows = [row for row in _first_metric(tables) if row["term"] != L1NORM]
    if not rows:
        return _empty("Differences in quality and in an indicator")
    by: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        by.setdefault((row["site"], row["indicator"], row["term"]), []).append(abs(row["rho"]))
    best = max(by, key=lambda key: sum(by[key]) / len(by[key]))
    called = best[1].replace("_", " ")
    metric = rows[0]["metric"]
    panels = []
    for row in [r for r in rows if (r["site"], r["indicator"], r["term"]) == best][:PANELS]:
        points = _differences(tables, row)
        x = alt.X("indicator:Q", title=f"Δ {called}, z-scores").axis(tickCount=5)
        dots = alt.Chart(alt.Data(values=points)).mark_circle(opacity=0.5, size=20)
        drawn = dots.encode(x, alt.Y("quality:Q", title=f"Δ {metric}"))
        band = f" [{row['low']:.2f}, {row['high']:.2f}]" if row["low"] == row["low"] else ""
        named = f"{row['series']}: ρ = {row['rho']:.2f}{band}"
        panels.append(drawn.properties(width=230, height=200, title=named))
    title = f"Pairs of checkpoints: {called} of {best[2]} at {best[0]}"
    return alt.concat(*panels, columns=3).properties(title=title)


def _differences(tables: Tables, row: Mapping[str, Any]) -> Records:
    """Differences of pairs of checkpoints, the later minus the earlier."""
    place = ("series", "data", "site", "indicator", "term")
    score = {
        r["step"]: r["z"] for r in _finite(tables["curves"], "z")
        if all(r[name] == row[name] for name in place)
    }  # fmt: skip
    quality = {
        r["step"]: r["value"] for r in tables["qualities"]
        if all(r[name] == row[name] for name in ("series", "data", "metric"))
    }  # fmt: skip
    steps = sorted(set(score) & set(quality))
    found = [
        {"indicator": score[b] - score[a], "quality": quality[b] - quality[a]}
        for a, b in combinations(steps, 2)
    ]
    return found[:: -(-len(found) // SHOWN_PAIRS) or 1]


def _panels(rows: Records, field: str, said: str, title: str, *, mean: bool = False) -> Any:
    """One panel an indicator, one line a term (and training run) over the steps."""
    import altair as alt

    terms = list(dict.fromkeys(row["term"] for row in rows))
    value = f"mean({field}):Q" if mean else f"{field}:Q"
    panels = []
    for indicator in dict.fromkeys(row["indicator"] for row in rows):
        mine = [row for row in rows if row["indicator"] == indicator]
        base = alt.Chart(alt.Data(values=mine)).encode(
            alt.X("step:Q", title="step").axis(format=",d", tickCount=5),
            alt.Y(value, title=said).scale(zero=mean),
            alt.Color("term:N", sort=terms, title="term").legend(symbolOpacity=1),
        )
        if not mean:
            base = base.encode(
                alt.StrokeDash("series:N", title="series").legend(
                    symbolType="stroke", symbolSize=400, symbolStrokeWidth=2
                )
            )
        line = base.mark_line(opacity=0.85, point=alt.OverlayMarkDef(size=18))
        panels.append(line.properties(width=260, height=170, title=indicator.replace("_", " ")))
    return alt.concat(*panels, columns=2).properties(title=title)


def _first_metric(tables: Tables) -> Records:
    """Correlations over checkpoints with the first quality, over the first data set."""
    rows = [r for r in tables["correlation"] if r["level"] == "checkpoint"]
    first = (rows[0]["metric"], rows[0]["data"]) if rows else None
    return [r for r in rows if (r["metric"], r["data"]) == first]


def _site(tables: Tables) -> str:
    """Site of the strongest correlation; without any the last."""
    rows = _first_metric(tables)
    if rows:
        return str(max(rows, key=lambda row: abs(row["rho"]))["site"])
    return str([*tables["curves"]["site"], ""][-2])


def _data(tables: Tables) -> str:
    return str([*tables["curves"]["data"], ""][0])


def _finite(rows: Sequence[dict[str, Any]] | ResultTable, *names: str) -> Records:
    return [row for row in rows if all(row[name] == row[name] for name in names)]


def _empty(title: str) -> Any:
    import altair as alt

    said = alt.Data(values=[{"said": "nothing to draw"}])
    return alt.Chart(said).mark_text(color="#666").encode(text="said:N").properties(
        width=240, height=60, title=title
    )  # fmt: skip
