"""Tables and figure of `ica_stability`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from actlas import ResultTable

COLORS = {"stable": "#2a7f62", "not stable": "#c8702a"}


@dataclass(frozen=True)
class StabilitySummary:
    """How many axes many runs find again; one row a run."""

    runs: Annotated[int, "runs of FastICA that were compared"]
    axes: Annotated[int, "axes of the base, and of each run"]
    stable: Annotated[int, "axes that are stable"]
    stable_share: Annotated[float, "of the axes, 0 to 1"]
    mean_quality: Annotated[float, "mean I_q of the clusters, one axis alone counted as 0"]
    mean_r: Annotated[float, "mean |r| of the base's axes with the centrotypes"]
    converged_runs: Annotated[int, "runs that met tol within max_iter"]
    rows: Annotated[int, "rows used, or resampled from"]
    threshold: Annotated[float, "I_q and |r| from which an axis is stable"]


@dataclass(frozen=True)
class AxisStability:
    """One axis of the base, and the cluster it is matched with."""

    axis: Annotated[int, "number of the axis in the base"]
    quality: Annotated[
        float | None, "I_q = mean |r| within the cluster − with all others; none: of one axis"
    ]
    r: Annotated[float, "|r| of the axis with the centrotype over the rows"]
    size: Annotated[int, "axes of all runs in the cluster"]
    runs: Annotated[int, "runs that have an axis in it"]
    stable: Annotated[bool, "I_q and r reach threshold, and more than half of the runs are there"]
    skewness: Annotated[float, "of the axis, by the base"]
    base_stability: Annotated[float | None, "stability by the base's own restarts"]


@dataclass(frozen=True)
class Cluster:
    """One cluster of the axes of all runs, by falling quality."""

    cluster: Annotated[int, "number of the cluster, from 0"]
    quality: Annotated[float | None, "I_q = intra − extra; none: of one axis"]
    intra: Annotated[float | None, "mean |r| of its axes with each other; none: of one axis"]
    extra: Annotated[float, "mean |r| of its axes with all others"]
    size: Annotated[int, "axes in it"]
    runs: Annotated[int, "runs that have an axis in it"]
    centrotype_run: Annotated[int, "run of the axis nearest to the others, from 0"]
    centrotype_axis: Annotated[int, "and its number there"]
    axis: Annotated[int, "axis of the base that it is matched with"]


@dataclass(frozen=True)
class Run:
    """One run of FastICA."""

    run: Annotated[int, "number of the run, from 0"]
    rows: Annotated[int, "different rows in it"]
    iterations: Annotated[int, "passes over the rows"]
    limit: Annotated[float, "largest | |⟨w⁺, w⟩| − 1 | of the last pass"]
    converged: Annotated[bool, "whether it met tol within max_iter"]


def stability(tables: Mapping[str, ResultTable]) -> Any:
    """Quality of the axes, falling, and beside the skewness of each."""
    import altair as alt

    axes = [
        row | {
            "quality": 0.0 if row["quality"] != row["quality"] else row["quality"],
            "found": "stable" if row["stable"] else "not stable",
        }
        for row in tables["axes"]
    ]  # fmt: skip
    axes.sort(key=lambda row: -row["quality"])
    axes = [row | {"place": place + 1} for place, row in enumerate(axes)]
    base = alt.Chart(alt.InlineData(values=axes)).mark_point(filled=True, size=35, opacity=0.8)
    y = alt.Y("quality:Q", title="quality I_q of its cluster").scale(domain=[0, 1])
    color = alt.Color("found:N", title="axis").scale(
        domain=list(COLORS), range=list(COLORS.values())
    )
    tooltip = ["axis:Q", "quality:Q", "r:Q", "runs:Q", "skewness:Q"]
    row = next(iter(tables["summary"]))
    line = (
        alt.Chart(alt.InlineData(values=[row])).mark_rule(strokeDash=[4, 3]).encode(y="threshold:Q")
    )
    sides = [
        alt.layer(line, base.encode(x, y, color, tooltip=tooltip)).properties(width=320, height=240)
        for x in (
            alt.X("place:Q", title="axes by quality").axis(tickMinStep=1, format="d"),
            alt.X("skewness:Q", title="skewness of the axis").scale(type="sqrt").axis(tickCount=6),
        )
    ]
    title = f"{row['stable']} of {row['axes']} axes are found again in {row['runs']} runs"
    said = "above the line but not stable: in few runs, or far from the axis of the base"
    return alt.hconcat(*sides).properties(title=alt.Title(title, subtitle=said))
