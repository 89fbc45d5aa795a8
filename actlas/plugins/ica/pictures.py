"""Figures of rows on the axes of `ica`: pairs of axes, and words beside axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from actlas import ResultTable

from .figures import called, unstable

PANEL = 190  # pixels of a scatter's side
WIDE_PANEL = 460  # of the plane of several axes
SPAN = (-1.1, 1.1)  # of that plane: no row of length 1 is outside
SHADES = ("#4c78a8", "#f58518", "#e45756", "#72b7b2", "#54a24b", "#b279a2", "#9d755d", "#eeca3b")
LETTER, LINE = 5.5, 12.0  # pixels of a letter and of a line
NAMED_AXES = 6  # whose rows are named in the heat map


def scatter(tables: Mapping[str, ResultTable]) -> Any:
    """Rows on pairs of independent axes, and of principal ones; the outermost are named."""
    import altair as alt

    panels: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for point in tables["scatter"]:
        place = (point["basis"], point["x_axis"], point["y_axis"])
        shown = point | {"shown": called(point), "panel": " ".join(map(str, place)), "side": ""}
        panels.setdefault(place, []).append(shown)
    weak = unstable(tables)
    rows = [
        alt.hconcat(*(_pair(place, points, weak) for place, points in panels.items()
                      if place[0] == basis))
        for basis in ("ica", "pca")
    ]  # fmt: skip
    chart = alt.vconcat(*rows).properties(title="Rows on pairs of axes: ICA above, PCA below")
    # Only now: altair copies and checks data at every step of putting panels together.
    chart.data = alt.InlineData(values=[p for panel in panels.values() for p in panel])
    return chart


def _pair(place: tuple[str, int, int], points: list[dict[str, Any]], weak: set[int]) -> Any:
    """Draw one panel, and note in its points on which side their names stand."""
    import altair as alt

    basis, *pair = place
    signs = [" (not stable)" if basis == "ica" and axis in weak else "" for axis in pair]
    titles = [f"{basis} {axis}{sign}" for axis, sign in zip(pair, signs, strict=True)]
    across, up = (_domain([point[end] for point in points]) for end in ("x", "y"))
    _name(points, across, up)
    base = alt.Chart().encode(
        alt.X("x:Q", title=titles[0]).scale(domain=across, nice=False),
        alt.Y("y:Q", title=titles[1]).scale(domain=up, nice=False),
    )
    shades = alt.Color("outer:N", legend=None).scale(
        domain=[False, True], range=["#7a8aa0", "#d1495b"]
    )
    mine = f"datum.panel == '{points[0]['panel']}'"
    dots = base.mark_circle(size=9).encode(shades, tooltip=["shown:N", "row:Q", "x:Q", "y:Q"])
    names = [
        base.mark_text(align=side, dx=dx, fontSize=10)
        .encode(text="shown:N")
        .transform_filter(f"{mine} && datum.side == '{side}'")
        for side, dx in (("left", 5), ("right", -5))
    ]
    return alt.layer(dots.transform_filter(mine), *names).properties(width=PANEL, height=PANEL)


def _domain(values: list[float]) -> list[float]:
    margin = 0.05 * (max(values) - min(values)) or 1.0
    return [min(values) - margin, max(values) + margin]


def _name(
    points: list[dict[str, Any]], x: Sequence[float], y: Sequence[float], panel: int = PANEL
) -> None:
    """Set the side of outermost points whose names do not run into each other."""
    taken: list[tuple[float, float, float]] = []
    outer = [point for point in points if point["outer"]]
    for point in sorted(outer, key=lambda p: -max(abs(p["x"]), abs(p["y"]))):
        across = panel * (point["x"] - x[0]) / (x[1] - x[0])
        down = panel * (point["y"] - y[0]) / (y[1] - y[0])
        size = LETTER * len(point["shown"]) + 8
        side = "left" if across < panel / 2 else "right"
        begin = across if side == "left" else across - size
        if all(begin + size < b or begin > e or abs(down - d) > LINE for b, e, d in taken):
            taken.append((begin, begin + size, down))
            point["side"] = side


def projection(tables: Mapping[str, ResultTable]) -> Any:
    """Rows on some axes, which stand at equal angles in one plane; the outermost are named."""
    import altair as alt

    points = list(tables["projection"])
    axes = list(dict.fromkeys(p["axis"] for p in points if p["axis"] is not None))
    weak = unstable(tables)
    names = {axis: f"{axis}{' (not stable)' if axis in weak else ''}" for axis in axes}
    for point in points:
        point |= {"shown": called(point), "side": "", "outer": point["axis"] is not None}
        point["of"] = names.get(point["axis"], "other rows")
    _name(points, SPAN, SPAN, WIDE_PANEL)
    rays = []
    for i, axis in enumerate(axes):
        angle = 2 * math.pi * i / len(axes)
        rays.append({"of": names[axis], "x": math.cos(angle), "y": math.sin(angle)})
    x, y = (alt.X("x:Q", axis=None).scale(domain=SPAN), alt.Y("y:Q", axis=None).scale(domain=SPAN))
    color = alt.Color("of:N", title="axis", sort=list(names.values())).scale(
        domain=[*names.values(), "other rows"],
        range=[SHADES[i % len(SHADES)] for i in range(len(names))] + ["#c3c8d0"],
    )
    lines = alt.Chart(alt.InlineData(values=rays)).mark_rule(opacity=0.5).encode(
        x, y, color, x2=alt.datum(0), y2=alt.datum(0)
    )  # fmt: skip
    base = alt.Chart(alt.InlineData(values=points)).encode(x, y)
    dots = base.mark_circle(size=16, opacity=0.9).encode(
        color, tooltip=["shown:N", "of:N", "row:Q", "x:Q", "y:Q"]
    )
    words = [
        base.mark_text(align=side, dx=dx, fontSize=10)
        .encode(text="shown:N")
        .transform_filter(f"datum.side == '{side}'")
        for side, dx in (("left", 5), ("right", -5))
    ]
    return alt.layer(lines, dots, *words).properties(
        width=WIDE_PANEL, height=WIDE_PANEL,
        title=alt.Title("Rows on some axes in one plane", subtitle="a line's end: the axis alone"),
    )  # fmt: skip


def heatmap(tables: Mapping[str, ResultTable]) -> Any:
    """Axes of the rows furthest out on each axis: on the left of many, on the right by name."""
    import altair as alt

    weak = unstable(tables)
    cells = [
        cell | {
            "place": 5 * cell["owner"] + cell["rank"] - 1,
            "shown": f"{called(cell)} · {cell['owner']}",
            "name": f"{cell['axis']}{'*' if cell['axis'] in weak else ''}",
        }
        for cell in tables["heatmap"]
    ]  # fmt: skip
    few = [c for c in cells if c["owner"] < NAMED_AXES and c["axis"] < NAMED_AXES]
    names = list(dict.fromkeys(c["name"] for c in cells))
    color = alt.Color("share:Q", title="s / |s|").scale(
        scheme="magma", reverse=True, domain=[-0.1, 1], clamp=True
    )
    x = alt.X("name:N", sort=names, title="axis (*: not stable)").axis(labelAngle=0)
    many = alt.Chart(alt.InlineData(values=cells)).mark_rect().encode(
        x.axis(labelAngle=-90, labelFontSize=8),
        alt.Y("place:O", title="axis whose outermost rows these are").axis(
            values=list(range(0, 5 * len(names), 25)), labelExpr="datum.value / 5", ticks=False
        ),
        color, tooltip=["shown:N", "axis:Q", "share:Q"],
    )  # fmt: skip
    rows = list(dict.fromkeys((c["owner"], c["rank"], c["shown"]) for c in few))
    words = alt.Chart(alt.InlineData(values=few)).mark_rect().encode(
        x,
        alt.Y("shown:N", sort=[shown for *_, shown in rows], title=None).axis(labelLimit=110),
        color, tooltip=["shown:N", "axis:Q", "share:Q"],
    )  # fmt: skip
    return alt.hconcat(
        many.properties(width=max(120, 12 * len(names)), height=450),
        words.properties(width=30 * min(NAMED_AXES, len(names)), height=450),
    ).properties(title="The outermost rows of each axis, on all axes")
