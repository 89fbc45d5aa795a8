"""Figures of `sim_training`, drawn from its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from actlas import ResultTable

WIDTH, HEIGHT = 440, 240
SAID, RULE = "#666", "#999"
FEW = 10  # epochs of which each has a tick


def loss(tables: Mapping[str, ResultTable]) -> Any:
    """InfoNCE by module, below the loss of a critic that knows nothing; the weight of the KL."""
    import altair as alt

    bound = next(iter(tables["summary"]))["bound"]
    axis = "InfoNCE (nats)" if bound == bound else "cross-entropy (nats)"
    seen = [v for name in ("nce", "held_out_nce") for v in tables["epochs"][name].tolist()]
    low = min(0.9 * bound, *(v for v in seen if v == v)) if bound == bound else 0.0
    chart = _lines(tables, "nce", axis, "held_out_nce", zero=False, domainMin=low)
    if bound == bound:
        chart = alt.layer(chart, *_rule(bound, f"log(N + 1) = {bound:.2f}"))
    chart = chart.properties(width=WIDTH, height=HEIGHT, title=_title(tables, "Loss by module"))
    weights = {row["epoch"]: row["beta"] for row in tables["epochs"]}
    if not any(weights.values()):
        return chart
    rows = [{"epoch": epoch, "beta": beta} for epoch, beta in weights.items()]
    below = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(color="#555")
        .encode(_epochs(rows), alt.Y("beta:Q", title="β").axis(tickCount=3))
        .properties(width=WIDTH, height=60)
    )
    return alt.vconcat(chart, below).resolve_scale(x="shared")


def accuracy(tables: Mapping[str, ResultTable]) -> Any:
    """How often the frame that follows scores highest, above chance."""
    import altair as alt

    chance = next(iter(tables["summary"]))["chance"]
    chart = _lines(tables, "accuracy", "accuracy, ties split", "held_out_accuracy")
    if chance == chance:
        chart = alt.layer(chart, *_rule(chance, "chance"))
    return chart.properties(width=WIDTH, height=HEIGHT, title=_title(tables, "Accuracy by module"))


def rate(tables: Mapping[str, ResultTable]) -> Any:
    """What the posterior says of a frame beyond the standard normal."""
    return _one(tables, "kl", "rate (nats per vector)", "Rate by module")


def active_units(tables: Mapping[str, ResultTable]) -> Any:
    """How many dimensions vary; at half of them and below a module has collapsed."""
    import altair as alt

    chart = _one(tables, "active_units", "active units", "Active units by module")
    if _missing(tables, "active_units"):
        return chart
    channels = next(iter(tables["modules"]))["channels"]
    return alt.layer(
        chart, *_rule(channels / 2, "half of them"), *_rule(channels, f"all {channels}")
    ).properties(width=WIDTH, height=HEIGHT)


def _one(tables: Mapping[str, ResultTable], column: str, axis: str, title: str) -> Any:
    import altair as alt

    if _missing(tables, column):
        return alt.Chart(title=f"{title}: the model has no posterior").mark_text()
    chart = _lines(tables, column, axis)
    return chart.properties(width=WIDTH, height=HEIGHT, title=_title(tables, title))


def _missing(tables: Mapping[str, ResultTable], column: str) -> bool:
    return all(row[column] is None or row[column] != row[column] for row in tables["epochs"])


def _lines(
    tables: Mapping[str, ResultTable], column: str, axis: str, held: str = "", **scale: Any
) -> Any:
    import altair as alt

    parts = {column: "trained on", **({held: "held out"} if held else {})}
    rows = [
        {"epoch": row["epoch"], "module": row["module"], "value": row[name], "clips": said}
        for name, said in parts.items()
        for row in tables["epochs"]
        if row[name] is not None and row[name] == row[name]
    ]
    modules = list(dict.fromkeys(row["module"] for row in rows))
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point=len({row["epoch"] for row in rows}) < 2)
        .encode(
            _epochs(rows),
            alt.Y("value:Q", title=axis).scale(**scale),
            alt.Color("module:N", title=None, sort=modules),
            tooltip=["module:N", "epoch:Q", "value:Q", "clips:N"],
        )
    )
    if any(row["clips"] == "held out" for row in rows):
        order = list(parts.values())
        dash = alt.StrokeDash("clips:N", title=None, sort=order)
        return chart.encode(dash.scale(domain=order, range=[[1, 0], [4, 3]]))
    return chart


def _epochs(rows: Sequence[Mapping[str, Any]]) -> Any:
    import altair as alt

    x = alt.X("epoch:Q", title="epoch").scale(nice=False)
    epochs = sorted({row["epoch"] for row in rows})
    return x.axis(values=epochs, format="d") if len(epochs) <= FEW else x


def _rule(value: float, said: str) -> tuple[Any, Any]:
    """A dashed line at a value, and what it is."""
    import altair as alt

    base = alt.Chart(alt.InlineData(values=[{"value": value, "said": said}])).encode(
        alt.Y("value:Q")
    )
    text = base.mark_text(align="right", baseline="bottom", dy=-2, color=SAID, fontSize=10)
    at = alt.value("width")
    return base.mark_rule(strokeDash=[6, 4], color=RULE), text.encode(x=at, text="said:N")


def _title(tables: Mapping[str, ResultTable], said: str) -> Any:
    import altair as alt

    bad = next(iter(tables["summary"]))["collapsed_modules"]
    return alt.Title(said, subtitle=f"not to be interpreted: {bad}") if bad else said
