"""A headline over the layers of every model: one figure a data set and kind of site."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...api.pictures import svg
from .colours import CONFIG, EACH, Colours
from .metrics import Metric

WIDTH, HEIGHT = 400, 290
LABELLED = 24  # models named beside their curves
LINE = 11.5  # pixels between two names
BANDS = 3  # models whose bands are drawn where there are many
DASHES = [4, 3]
KINDS = 4  # kinds of sites that are shown
STREAM = re.compile(r"(?P<side>(?:[a-z]+\.)?)(?:embed|final|layers\.\d+)(?:\.norm)?")

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Curves:
    """Small multiples of one metric; said: what stands beneath."""

    charts: list[str]
    said: str


def curves(metric: Metric, datasets: Sequence[str], colours: Colours) -> Curves | None:
    """Draw a metric over depth; None where no model has two sites whose depth is known."""
    placed = [dict(row) | {"kind": kind(row["site"])} for row in metric.rows if _has_depth(row)]
    kinds = list(dict.fromkeys(row["kind"] for row in placed))
    drawn = []
    for of in kinds[:KINDS]:
        rows = [row for row in placed if row["kind"] == of]
        if len({row["depth"] for row in rows}) < 2:
            continue
        limits = _limits(rows, _banded(metric, rows))
        for name in datasets:
            mine = [row for row in rows if row["dataset"] == name]
            if mine:
                title = name if len(kinds) == 1 else f"{name} · {of}"
                drawn.append(_chart(metric, mine, title, limits, colours))
    return Curves(drawn, _said(metric, placed, kinds)) if drawn else None


def kind(site: str) -> str:
    """The sites that a curve joins: the residual stream, or the same branch of every block."""
    stream = STREAM.fullmatch(site)
    if stream:
        return f"{stream['side']}residual stream"
    return re.sub(r"\blayers\.\d+", "layers.*", site)


def _has_depth(row: Mapping[str, Any]) -> bool:
    return row["depth"] is not None and row["site"] is not None


def _banded(metric: Metric, rows: Rows) -> set[str]:
    """The models whose bands are drawn: all of few, of many those with the highest values."""
    if "low" not in metric.rows.columns:
        return set()
    order = dict.fromkeys(r["model"] for r in sorted(rows, key=lambda r: -r["value"]))
    return set(order if len(order) <= EACH else list(order)[:BANDS])


def _limits(rows: Rows, banded: set[str]) -> tuple[float, float]:
    """What the vertical axis spans, the same for all data sets."""
    values = [row["value"] for row in rows]
    values += [r["chance"] for r in rows if r.get("chance") is not None]
    values += [
        row[end] for row in rows if row["model"] in banded for end in ("low", "high")
        if row[end] is not None
    ]  # fmt: skip
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _chart(
    metric: Metric, rows: Rows, title: str, limits: tuple[float, float], colours: Colours
) -> str:
    import altair as alt

    rows = [dict(row) | {"line": f"{row['model']}#{row['extraction_id']}"} for row in rows]
    shown = list(dict.fromkeys(row["model"] for row in rows))
    colour = alt.Color("model:N", legend=None).scale(
        domain=shown, range=[colours.of[m] for m in shown]
    )
    x = alt.X("depth:Q", title="relative depth").scale(domain=[0, 1], nice=False)
    y = alt.Y("value:Q", title=metric.title).scale(domain=limits, nice=False, zero=False)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x, colour, detail="line:N", description="model:N"
    )
    few = len(shown) <= EACH
    parts = [base.mark_line(point=few, strokeWidth=2 if few else 1.4, opacity=0.9)]
    parts[0] = parts[0].encode(y, order="place:Q")
    if banded := _banded(metric, rows):
        band = base.transform_filter(alt.FieldOneOfPredicate("model", sorted(banded)))
        parts.insert(
            0,
            band.mark_area(opacity=0.2).encode(
                alt.Y("low:Q", title=metric.title), alt.Y2("high:Q")
            ),
        )
    if any(row.get("chance") is not None for row in rows):
        parts.append(_chance(base) if few else _mean_chance(rows))
    parts += _names(rows, limits, colour)
    chart = alt.layer(*parts).properties(width=WIDTH, height=HEIGHT, title=title)
    return svg(chart, f"{metric.title} by depth, {title}", CONFIG)


def _chance(base: Any) -> Any:
    """The level of chance of each model."""
    import altair as alt

    line = base.mark_line(strokeDash=DASHES, strokeWidth=1, opacity=0.8)
    return line.encode(alt.Y("chance:Q"), order="place:Q")


def _mean_chance(rows: Rows) -> Any:
    """The mean level of chance of many models, by tenths of depth, as their depths differ."""
    import altair as alt

    tenths: dict[float, list[float]] = {}
    for row in rows:
        if row["chance"] is not None:
            tenths.setdefault(round(row["depth"], 1), []).append(row["chance"])
    levels = [{"depth": d, "chance": sum(v) / len(v)} for d, v in sorted(tenths.items())]
    line = alt.Chart(alt.InlineData(values=levels)).mark_line(
        strokeDash=DASHES, strokeWidth=1.2, color="currentColor", opacity=0.6
    )
    return line.encode(alt.X("depth:Q"), alt.Y("chance:Q"))


def _names(rows: Rows, limits: tuple[float, float], colour: Any) -> list[Any]:
    """Names right of the curves' ends, moved apart, each with a line to its end."""
    import altair as alt

    ends = {row["line"]: row for row in sorted(rows, key=lambda row: (row["depth"], row["place"]))}
    best = {row["line"]: row["value"] for row in sorted(rows, key=lambda row: row["value"])}
    kept = sorted(ends, key=lambda line: -best[line])[:LABELLED]
    low, high = limits
    step = LINE / HEIGHT * (high - low)
    kept.sort(key=lambda line: ends[line]["value"])
    places = apart([ends[line]["value"] for line in kept], step, low, high)
    labels = [
        {"model": ends[line]["model"], "end": ends[line]["value"], "at": at}
        for line, at in zip(kept, places, strict=True)
    ]
    base = alt.Chart(alt.InlineData(values=labels)).encode(colour)
    ties = base.mark_rule(opacity=0.5).encode(
        x=alt.value(WIDTH + 2), x2=alt.value(WIDTH + 14), y="end:Q", y2="at:Q"
    )
    text = base.mark_text(align="left", fontSize=10.5, limit=150).encode(
        x=alt.value(WIDTH + 17), y="at:Q", text="model:N"
    )
    return [ties, text]


def apart(values: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Move rising values apart to `step` at least, as little as squares of the moves allow.

    They stay within low and high where there is room, else they go beyond `high`.
    """
    groups: list[tuple[float, int]] = []  # mean of value − i · step, and how many
    for i, value in enumerate(values):
        mean, n = value - i * step, 1
        while groups and groups[-1][0] >= mean:
            before, more = groups.pop()
            mean, n = (before * more + mean * n) / (more + n), more + n
        groups.append((mean, n))
    flat = [mean for mean, n in groups for _ in range(n)]
    top = max(low, high - step * (len(values) - 1))
    return [min(max(mean, low), top) + i * step for i, mean in enumerate(flat)]


def _said(metric: Metric, placed: Rows, kinds: Sequence[str]) -> str:
    """Say what the figure shows and leaves out."""
    models = {row["model"] for row in placed}
    said = [f"{metric.name}: {metric.doc}."]
    if "low" in metric.rows.columns:
        whose = "each model" if len(models) <= EACH else f"the {BANDS} highest models"
        said.append(f"Bands: low to high of {whose}.")
    if any(row.get("chance") is not None for row in placed):
        each = "" if len(models) <= EACH else ", the mean over models by tenths of depth"
        said.append(f"Dashed: by chance{each}.")
    if len(models) > LABELLED:
        said.append(f"Named are the {LABELLED} highest of {len(models)} models.")
    if len(kinds) > KINDS:
        said.append(f"Left out: {', '.join(kinds[KINDS:])}.")
    if lost := len(metric.rows) - len(placed):
        said.append(f"{lost} values at sites of no known depth are in the data only.")
    return " ".join(said)
