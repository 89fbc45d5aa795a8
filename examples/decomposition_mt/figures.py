"""What is drawn from the studies."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from examples.common.page import Drawing, svg

from .claims import BOTH, COSINE, RATIO, TERMS, agreements, correlations, strengths
from .study import REFERENCE, WRITTEN, Study
from .training import CONDITIONS

COLOURS = ("#4c78a8", "#e45756")  # of the conditions
SHORT = {
    "input": "I: input", "cross_attention": "S: cross-attention", "attention": "T: self-attention",
    "feed_forward": "F: feed-forward", "correction": "C: correction",
}  # fmt: skip


def drawings(study: Study) -> Iterator[Drawing]:
    """Draw everything."""
    last = study.layers[-1]
    yield Drawing(svg(_bleu(study)), "BLEU of the test sentences, greedy decoding, by checkpoint.")
    for kind in (RATIO, COSINE):
        yield Drawing(
            svg(_curves(study, kind)),
            f"The {_said(kind)} of each term at {last}, mean over the tokens of the references, by "
            f"checkpoint. One line a training run. Values belong to their run: compare shapes.",
        )
    yield Drawing(
        svg(_map(study)),
        "Raw ρ of differences in the indicator with differences in BLEU, mean over training runs, "
        "by term and layer of the decoder.",
    )
    yield Drawing(
        svg(_dots(study)),
        f"The same at {last}, one dot a training run. Filled: the interval over checkpoints leaves "
        f"out 0. Grey ticks: with the number of steps held fixed.",
    )
    yield Drawing(
        svg(_strength(study)),
        "Median |ρ| with BLEU over the terms, by layer: one line a training run.",
    )
    yield Drawing(
        svg(_agreement(study)),
        f"Agreement of two training runs of one condition on the same tokens at {last}: mean over "
        f"terms of Spearman's ρ, one dot a pair.",
    )
    yield Drawing(
        svg(_targets(study)),
        f"Curves over the {REFERENCE} and over the model's {WRITTEN}: Spearman's ρ of the two, one "
        f"dot a training run and layer.",
    )
    yield Drawing(
        svg(_near(study)),
        "Dynamic time warping: mean distance of the curves of two runs of one condition over that "
        "of two of different conditions. Left of 1: sharing the data goes with nearness; filled: "
        "p ≤ 0.05.",
    )
    first = study.decomposed[REFERENCE][len(study.bleu()[next(iter(study.series))]) - 1]
    yield Drawing(
        svg(next(iter(first.result.figures.values())).to_dict()),
        f"What the terms are of the state by depth, in the last checkpoint of "
        f"{next(iter(study.series))}.",
    )


def _said(kind: str) -> str:
    return kind.replace("_", " ")


def _condition(alt: Any, field: str = "condition") -> Any:
    scale = alt.Scale(domain=list(CONDITIONS), range=list(COLOURS))
    return alt.Color(f"{field}:N", title="trained on", scale=scale)


def _bleu(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"step": one.step, "BLEU": score.bleu, "run": one.series, "condition": one.condition}
        for one, score in zip(study.checkpoints, study.scores, strict=True)
    ]
    drawn = alt.Chart(alt.Data(values=rows)).mark_line(point=True).encode(
        alt.X("step:Q", title="training steps"), alt.Y("BLEU:Q"), _condition(alt), detail="run:N"
    )  # fmt: skip
    return dict(drawn.properties(width=560, height=260).to_dict())


def _curves(study: Study, kind: str) -> dict[str, Any]:
    import altair as alt

    site = study.layers[-1]
    rows = [
        {"step": int(r["step"]), "value": float(r["mean"]), "run": r["series"],
         "condition": r["condition"], "term": SHORT[r["term"]]}
        for r in study.study.result.tables["curves"]
        if (r["data"], r["site"], r["indicator"]) == (REFERENCE, site, kind)
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).mark_line(point=alt.OverlayMarkDef(size=12)).encode(
        alt.X("step:Q", title="step").axis(tickCount=4),
        alt.Y("value:Q", title=None).scale(zero=False).axis(labelFlush=True),
        _condition(alt), detail="run:N",
    )  # fmt: skip
    drawn = base.properties(width=165, height=140).facet(
        alt.Facet("term:N", title=_said(kind), sort=[SHORT[t] for t in TERMS]), columns=5
    )
    return dict(drawn.resolve_scale(y="independent").to_dict())


def _map(study: Study) -> dict[str, Any]:
    import altair as alt

    cells: dict[tuple[str, str, str], list[float]] = {}
    for row in correlations(study):
        key = (row["indicator"], row["term"], row["site"])
        cells.setdefault(key, []).append(float(row["rho"]))
    rows = [{"indicator": _said(kind), "term": SHORT[term], "rho": float(np.mean(found)),
             "layer": str(study.layers.index(site))}
            for (kind, term, site), found in cells.items()]  # fmt: skip
    base = alt.Chart().encode(
        alt.X("layer:N", axis=alt.Axis(labelAngle=0)),
        alt.Y("term:N", sort=[SHORT[t] for t in TERMS], title=None),
    )
    colour = alt.Color("rho:Q", title="ρ").scale(scheme="redblue", domain=[-1, 1])
    ink = alt.condition("abs(datum.rho) > 0.6", alt.value("white"), alt.value("#222"))
    text = base.mark_text(fontSize=11).encode(text=alt.Text("rho:Q", format="+.2f"), color=ink)
    both = alt.layer(base.mark_rect().encode(colour), text, data=alt.Data(values=rows))
    return dict(
        both.properties(width=60 * len(study.layers), height=150)
        .facet(alt.Facet("indicator:N", title=None, sort=[_said(RATIO), _said(COSINE)]), columns=2)
        .to_dict()
    )


def _dots(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"indicator": _said(r["indicator"]), "term": SHORT[r["term"]], "rho": float(r["rho"]),
         "partial": float(r["partial"]) if np.isfinite(r["partial"]) else None,
         "sure": bool(r["low"] * r["high"] > 0), "condition": study.series[r["series"]]}
        for r in correlations(study, site=study.layers[-1])
    ]  # fmt: skip
    base = alt.Chart().encode(alt.Y("term:N", sort=[SHORT[t] for t in TERMS], title=None))
    x = alt.X("rho:Q", title="ρ with BLEU").scale(domain=[-1, 1]).axis(values=[-1, -0.5, 0, 0.5, 1])
    filled = alt.condition("datum.sure", alt.value(0.9), alt.value(0.0))
    both = alt.layer(
        base.mark_tick(color="#9aa3af", thickness=1.5).encode(alt.X("partial:Q")),
        base.mark_point(filled=False, size=45).encode(x, _condition(alt)),
        base.mark_point(filled=True, size=45).encode(x, _condition(alt), opacity=filled),
        alt.Chart().mark_rule(color="#888").encode(x=alt.datum(0)),
        data=alt.Data(values=rows),
    )
    return dict(
        both.properties(width=300, height=170)
        .facet(alt.Facet("indicator:N", title=None, sort=[_said(RATIO), _said(COSINE)]), columns=2)
        .to_dict()
    )


def _strength(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"indicator": _said(kind), "layer": study.layers.index(site), "value": value,
         "run": name, "condition": study.series[name]}
        for (kind, site), found in strengths(study).items()
        for name, value in zip(study.series, found, strict=True)
        if np.isfinite(value)
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).mark_line(point=True).encode(
        alt.X("layer:O", axis=alt.Axis(labelAngle=0)),
        alt.Y("value:Q", title="median |ρ|").scale(domain=[0, 1]),
        _condition(alt), detail="run:N",
    )  # fmt: skip
    panels = alt.Facet("indicator:N", title=None, sort=[_said(RATIO), _said(COSINE)])
    return dict(base.properties(width=260, height=180).facet(panels, columns=2).to_dict())


def _agreement(study: Study) -> dict[str, Any]:
    import altair as alt

    found = agreements(study)
    rows = [{"step": step, "rho": rho} for step, values in found.items() for rho in values]
    base = alt.Chart(alt.Data(values=rows)).encode(alt.X("step:Q", title="training steps"))
    y = alt.Y("rho:Q", title="ρ between two seeds")
    dots = base.mark_circle(opacity=0.6, size=40, color=COLOURS[0]).encode(y)
    line = base.mark_line(color="#1d2430").encode(alt.Y("mean(rho):Q"))
    return dict((line + dots).properties(width=480, height=220).to_dict())


def _targets(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"indicator": _said(r["indicator"]), "term": SHORT[r["term"]], "rho": float(r["rho"]),
         "condition": study.series[r["series"]]}
        for r in study.study.result.tables["targets"]
        if r["indicator"] in BOTH and r["site"] in study.layers and r["term"] in TERMS
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows)).mark_point(size=30, opacity=0.7).encode(
        alt.X("rho:Q", title="ρ of the two curves").scale(zero=False),
        alt.Y("term:N", sort=[SHORT[t] for t in TERMS], title=None), _condition(alt),
    )  # fmt: skip
    panels = alt.Facet("indicator:N", title=None, sort=[_said(RATIO), _said(COSINE)])
    return dict(base.properties(width=280, height=130).facet(panels, columns=2).to_dict())


def _near(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"indicator": _said(r["indicator"]), "term": SHORT[r["term"]],
         "ratio": float(r["within"] / r["between"]), "sure": bool(r["p"] <= 0.05),
         "layer": str(study.layers.index(r["site"]))}
        for r in study.study.result.tables["permutation"]
        if r["data"] == REFERENCE and r["indicator"] in BOTH and r["site"] in study.layers
        and r["term"] in TERMS
    ]  # fmt: skip
    base = alt.Chart().encode(
        alt.X("ratio:Q", title="distance, same condition / different").scale(zero=False),
        alt.Y("term:N", sort=[SHORT[t] for t in TERMS], title=None),
        alt.Color("layer:O", title="layer").scale(scheme="viridis"),
    )
    filled = alt.condition("datum.sure", alt.value(1), alt.value(0))
    both = alt.layer(
        base.mark_point(filled=False, size=50),
        base.mark_point(filled=True, size=50).encode(opacity=filled),
        alt.Chart().mark_rule(color="#888").encode(x=alt.datum(1)),
        data=alt.Data(values=rows),
    )
    panels = alt.Facet("indicator:N", title=None, sort=[_said(RATIO), _said(COSINE)])
    return dict(both.properties(width=280, height=140).facet(panels, columns=2).to_dict())
