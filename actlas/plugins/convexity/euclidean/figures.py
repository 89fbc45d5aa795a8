"""Figures of `convexity_euclidean`, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

from ..figures import ends, left_out


def classes(tables: Mapping[str, ResultTable]) -> Any:
    """Score of every class with its standard error, beside its rows' recall."""
    import altair as alt

    name = "euclidean_convexity"
    rows = [row for row in tables["classes"] if row[name] == row[name]]
    every = sorted(rows, key=lambda row: -row[name])
    rows = ends(every)
    for row in rows:
        sem = row["sem"] if row["sem"] == row["sem"] else 0.0
        row["low"], row["high"] = max(0.0, row[name] - sem), min(1.0, row[name] + sem)
        row["recall"] = row["recall"] if row["recall"] == row["recall"] else None
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.Y("label:N", sort=[row["label"] for row in rows], title=None).axis(labelLimit=320)
    )
    score = alt.X(f"{name}:Q", title="Euclidean convexity ± SEM; tick: recall of the rows")
    points = base.mark_point(filled=True, size=50).encode(
        score.scale(domain=[0, 1]), tooltip=["label:N", "n:Q", f"{name}:Q", "recall:Q"]
    )
    bars = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q"))
    ticks = base.mark_tick(color="crimson", thickness=2).encode(alt.X("recall:Q"))
    how = next(iter(tables["summary"]))["decision"]
    title = f"Euclidean convexity by class (decision: {how}){left_out(every)}"
    return alt.layer(bars, ticks, points).properties(width=420, title=title)
