"""Figures of `convexity`, drawn from its tables."""

from collections.abc import Mapping
from typing import Any

from actlas import ResultTable

SHOWN_CLASSES = 40


def ends(ordered: list[Any]) -> list[Any]:
    """The first and the last where there are too many to show."""
    if len(ordered) <= SHOWN_CLASSES:
        return ordered
    half = SHOWN_CLASSES // 2
    return ordered[:half] + ordered[-half:]


def left_out(every: list[Any]) -> str:
    """What a title says where not all are shown."""
    return f", {SHOWN_CLASSES} of {len(every)}" if len(every) > SHOWN_CLASSES else ""


def classes(tables: Mapping[str, ResultTable]) -> Any:
    """Score of every class with its standard error, beside what chance gives."""
    import altair as alt

    rows = [row for row in tables["classes"] if row["graph_convexity"] == row["graph_convexity"]]
    every = sorted(rows, key=lambda row: -row["graph_convexity"])
    rows = ends(every)
    for row in rows:
        sem = row["sem"] if row["sem"] == row["sem"] else 0.0
        row["low"] = max(0.0, row["graph_convexity"] - sem)
        row["high"] = min(1.0, row["graph_convexity"] + sem)
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.Y("label:N", sort=[row["label"] for row in rows], title=None).axis(labelLimit=320)
    )
    score = alt.X("graph_convexity:Q", title="graph convexity ± SEM; tick: by chance")
    points = base.mark_point(filled=True, size=50).encode(
        score.scale(domain=[0, 1]), tooltip=["label:N", "n:Q", "graph_convexity:Q", "chance:Q"]
    )
    bars = base.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), alt.X2("high:Q"))
    ticks = base.mark_tick(color="crimson", thickness=2, size=12).encode(alt.X("chance:Q"))
    return alt.layer(bars, ticks, points).properties(
        width=420, title=f"Convexity by class{left_out(every)}"
    )


def intrusions(tables: Mapping[str, ResultTable]) -> Any:
    """Whose rows lie on the paths of each class."""
    import altair as alt

    every = [row["label"] for row in tables["classes"]]
    order = every[:SHOWN_CLASSES]
    shown = set(order)
    rows = [r for r in tables["intrusions"] if r["label"] in shown and r["by_label"] in shown]
    size = max(240, 18 * len(order))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_rect()
        .encode(
            alt.X("by_label:N", sort=order, title="class of the rows on them"),
            alt.Y("label:N", sort=order, title="paths of the class"),
            alt.Color("share:Q", title="share").scale(scheme="blues", domain=[0, 1]),
            tooltip=["label:N", "by_label:N", "share:Q", "visits:Q"],
        )
        .properties(
            width=size, height=size, title=f"Interior vertices of paths by class{left_out(every)}"
        )
    )


def sweep(tables: Mapping[str, ResultTable]) -> Any:
    """The score over the number of neighbours, beside chance and what edges alone give."""
    import altair as alt

    ks = [row["k"] for row in tables["k_sweep"]]
    if not ks:
        return alt.Chart(title="no k sweep; run with --k-max").mark_text()

    names = {"macro": "macro", "chance": "by chance", "direct_share": "joined by an edge"}
    rows = [
        {"k": row["k"], "value": row[name], "of": title}
        for row in tables["k_sweep"]
        for name, title in names.items()
    ]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            alt.X("k:Q", title="neighbours a row").scale(type="log", nice=False).axis(values=ks),
            alt.Y("value:Q", title="score or share").scale(domain=[0, 1]),
            alt.Color("of:N", title=None, sort=list(names.values())),
        )
        .properties(width=420, height=240, title="Convexity over the number of neighbours")
    )


def path(tables: Mapping[str, ResultTable]) -> Any:
    """One telling path and the rows beside it, in the plane."""
    import altair as alt

    rows = list(tables["path"])
    steps = [row for row in rows if row["on_path"]]
    own = steps[0]["label"] if steps else ""
    inner = [row["label"] == own for row in steps[1:-1]]
    for row in rows:
        row["of"] = own if row["label"] == own else "another class"
        # Own vertices of whole samples need no name: their colour says it.
        parts = [row["token"], None if row["label"] == own else row["label"]]
        row["said"] = " · ".join(part for part in parts if part)
    colours = alt.Color("of:N", title=None).legend(orient="top").scale(
        domain=[own, "another class"], range=["#1f77b4", "#ff7f0e"]
    )  # fmt: skip
    x, y = (alt.X("x:Q", title="component 1"), alt.Y("y:Q", title="component 2"))
    tip = ["label:N", "token:N", "row:Q"]
    beside = alt.Chart(alt.Data(values=[row for row in rows if not row["on_path"]]))
    on = alt.Chart(alt.Data(values=steps)).encode(x, y)
    dots = beside.mark_point(filled=True, size=20, opacity=0.35).encode(x, y, colours, tooltip=tip)
    line = on.mark_line(color="#444").encode(order="step:Q")
    marks = on.mark_point(filled=True, size=90, opacity=1, stroke="white").encode(
        colours, tooltip=tip
    )
    names = on.mark_text(align="left", dx=8, dy=-4, fontSize=10).encode(text="said:N")
    title = f"Shortest path between two rows of {own}: {sum(inner)} of {len(inner)} inside"
    return alt.layer(dots, line, marks, names).properties(width=460, height=340, title=title)
