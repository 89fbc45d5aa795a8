"""The page, and the verdicts as JSON and Markdown."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from actlas import StoredRun
from examples.common.page import Drawing, render, svg
from examples.common.verdicts import Verdict, write_verdicts

from .claims import claims, controls, pooled
from .estimates import changed
from .study import STAGES, TRUE, Trial

UNTRAINED, PRETRAINED, TUNED = STAGES
COLOURS = ("#9aa3af", "#4c78a8", "#e45756")  # of the stages


def write_page(trials: Sequence[Trial], folder: Path, quick: bool) -> list[Verdict]:
    """Write report.html, verdicts.json and verdicts.md into a folder; returns the verdicts."""
    judged, checked = claims(trials), controls(trials)
    facts = {t.task.title: f"{t.task.about} Network: {t.encoder.about}." for t in trials}
    write_verdicts(folder, judged, checked, facts, quick)
    html = render(
        __package__, claims=judged, controls=checked, facts=facts, quick=quick,
        overview=[_overview(trial) for trial in trials], drawings=list(_drawings(trials)),
        warnings=_warnings(trials), runs=[_row(*found) for found in _runs(trials)],
    )  # fmt: skip
    (folder / "report.html").write_text(html, "utf-8")
    return [*judged, *checked]


def _overview(trial: Trial) -> dict[str, Any]:
    last = trial.blocks[-1]
    scores = {stage: trial.result(stage, last).tables["summary"] for stage in STAGES}
    return {
        "name": trial.task.title, "classes": len(trial.task.classes),
        "train": len(trial.task.train), "held": len(trial.task.held),
        "recall": float(trial.recall.mean()), "chance": float(scores[TUNED]["chance"][0]),
        "scores": [float(scores[stage]["macro"][0]) for stage in STAGES],
        "change": changed(trial.change[last].result),
        "cut": trial.layers[TUNED].result.tables["summary"]["suggest_cut"][0] or "–",
    }  # fmt: skip


def _drawings(trials: Sequence[Trial]) -> Iterator[Drawing]:
    yield Drawing(
        svg(_curves(trials)),
        "Macro convexity of held-out samples over the layers, band ± 1.96 SEM; grey dashes: chance "
        "in the graph of the fine-tuned network.",
    )
    yield Drawing(
        svg(_scatter(trials)),
        "One point a class: convexity in the pretrained network (mean over its layers), and recall "
        "of the fine-tuned one. Lines: least squares in each task.",
    )
    for trial in trials:
        last, name = trial.blocks[-1], trial.task.title
        yield Drawing(
            svg(_classes(trial)),
            f"{name}: classes at {last}, before (grey) and after fine-tuning. Filled: the change "
            f"is significant for all classes at once (Holm).",
        )
    for trial in trials:
        yield Drawing(
            svg(trial.layers[TUNED].result.figures["classes"].to_dict()),
            f"{trial.task.title}: every class at every layer of the fine-tuned network.",
        )


def _curves(trials: Sequence[Trial]) -> dict[str, Any]:
    import altair as alt

    panels = []
    for trial in trials:
        rows = [
            {"site": site.removeprefix("layers."), "network": stage,
             **{n: trial.result(stage, site).tables["summary"][n][0] for n in
                ("macro", "low", "high", "chance")}}
            for stage in STAGES for site in trial.sites
        ]  # fmt: skip
        base = alt.Chart(alt.Data(values=[_plain(row) for row in rows])).encode(
            alt.X("site:N", sort=None, title="layer", axis=alt.Axis(labelAngle=0)),
            alt.Color("network:N", title=None, sort=None).scale(
                domain=list(STAGES), range=list(COLOURS)
            ),
        )
        y = alt.Y("macro:Q", title="macro convexity").scale(domain=[0, 1])
        band = base.mark_area(opacity=0.18).encode(alt.Y("low:Q", title=""), alt.Y2("high:Q"))
        chance = base.transform_filter(alt.datum.network == TUNED).mark_line(
            strokeDash=[4, 4], color="#666"
        )
        dashed = chance.encode(alt.Y("chance:Q"), color=alt.value("#666"))
        lines = base.mark_line(point=True).encode(y)
        panels.append(
            alt.layer(band, dashed, lines).properties(width=270, height=220, title=trial.task.title)
        )
    return dict(alt.concat(*panels, columns=3).to_dict())


def _scatter(trials: Sequence[Trial]) -> dict[str, Any]:
    import altair as alt

    x, y, groups = pooled(trials)
    names = [name for trial in trials for name in trial.task.classes]
    rows = [
        {"convexity": float(a), "recall": float(b), "task": trials[g].task.title, "class": name}
        for a, b, g, name in zip(x, y, groups, names, strict=True)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        alt.X("convexity:Q", title="pretrained convexity").scale(zero=False).axis(tickCount=10),
        alt.Y("recall:Q", title="fine-tuned recall").scale(zero=False),
        alt.Color("task:N", title=None, sort=None),
    )
    line = base.mark_line().transform_regression("convexity", "recall", groupby=["task"])
    dots = base.mark_point(filled=True, opacity=0.7, size=45)
    return dict((line + dots).properties(width=560, height=320).to_dict())


def _classes(trial: Trial) -> dict[str, Any]:
    """Classes before and after, by falling change."""
    import altair as alt

    table = trial.change[trial.blocks[-1]].result.tables["classes"]
    rows = sorted((_plain(row) for row in table), key=lambda row: -row["delta"])
    order = [row["label"] for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(alt.Y("label:N", sort=order, title=None))
    x = alt.X("before:Q", title="graph convexity").scale(domain=[0, 1])
    filled = alt.condition("datum.significant", alt.value(1), alt.value(0))
    drawn = alt.layer(
        base.mark_rule(color="#bbb").encode(x, alt.X2("after:Q")),
        base.mark_point(filled=True, color="#9aa3af", size=40).encode(x),
        base.mark_point(color=COLOURS[2], fill=COLOURS[2], size=45).encode(
            alt.X("after:Q"), fillOpacity=filled
        ),
    )
    return dict(drawn.properties(width=420, title=trial.task.title).to_dict())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Python's own numbers, for JSON."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}


def _runs(trials: Sequence[Trial]) -> Iterator[tuple[str, StoredRun]]:
    for trial in trials:
        name = trial.task.name
        for (stage, labels), runs in trial.convexity.items():
            yield from ((f"{name}, {stage}" + f", {labels}" * (labels != TRUE), r) for r in runs)
        yield from ((f"{name}, {site}", run) for site, run in trial.change.items())
        for stage in STAGES:
            yield f"{name}, {stage}", trial.depth[stage]
            yield f"{name}, {stage}", trial.layers[stage]
        if trial.correlated is not None:
            yield name, trial.correlated


def _warnings(trials: Sequence[Trial]) -> list[str]:
    said: dict[str, list[str]] = {}
    for name, run in _runs(trials):
        for line in run.record.warnings:
            said.setdefault(line, []).append(f"{name} {run.site or ''}".strip())
    return [f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {line}"
            for line, names in said.items()]  # fmt: skip


def _row(name: str, run: StoredRun) -> dict[str, Any]:
    return {"name": name, "run": run.id, "analysis": run.record.analysis, "site": run.site,
            "seconds": run.record.seconds}  # fmt: skip
