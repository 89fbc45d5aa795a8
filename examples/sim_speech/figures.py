"""Figures of the page: functions from numbers and stored runs to Vega-Lite."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

from actlas import StoredRun
from examples.common.page import Drawing, svg

from .measures import GIM, KINDS, SIM, SUPERVISED, Measures
from .study import DECODED, FACTORS, HISTORY, LAW, Study

COLOURS = dict(
    zip(KINDS, ("#e45756", "#4c78a8", "#72b7b2", "#54a24b", "#9aa3af", "#b279a2"), strict=True)
)
PANELS = (
    ("marginal KL", "nats per dimension", "log"), ("total correlation", "nats", "symlog"),
    ("ICS area", "area", "linear"), ("prior realism", "ratio", "log"),
    ("midpoint realism", "ratio", "linear"), ("decoder error", "1 = predict the mean", "linear"),
    ("active share", "of units", "linear"), ("nce", "InfoNCE, nats", "linear"),
    ("Gini excess", "over rotations", "linear"),
)  # fmt: skip


def drawings(study: Study, found: Measures) -> Iterator[Drawing]:
    """Draw what was measured of a corpus, and the first networks in detail."""
    yield Drawing(
        svg(_panels(found)),
        "By module (0 to 2): a point a seed, a line through the means. What has collapsed looks "
        "best where less is better: see decoder error, active units and InfoNCE first.",
    )
    yield Drawing(
        svg(_accuracies(found)),
        "Probes of frames averaged over clips, tested on voices (for voices: on words) that they "
        "have not seen; dashes: the commonest class. f0 and tract: R².",
    )
    yield Drawing(
        svg(_contributions(study)),
        "Interpolation contribution score: error to the other clip after the k dimensions that "
        "differ most were taken from it, over the error with none. Low early: few dimensions "
        "decide. Thin: seeds; thick: their mean.",
    )
    yield Drawing(
        svg(_losses(study)),
        "InfoNCE of each module over the training (CPC: its only loss), seed by seed; dashes: "
        "log 11, what a critic reaches that knows nothing.",
    )
    for what, kind, site, figure, caption in _DETAILS:
        run = _run(study, what, kind, site)
        if run is not None and figure in run.result.figures:
            yield Drawing(svg(run.result.figures[figure].to_dict()), f"{kind}, {caption}")


# what was run, of which kind, at which site, the figure, what one sees
_DETAILS: Sequence[tuple[str, str, str, str, str]] = (
    *((LAW, kind, "layers.2", "histograms", "dimensions of the last module beside N(0, 1).")
      for kind in (SIM, GIM)),
    (LAW, SIM, "layers.2", "divergence", "KL of each dimension, sorted, and its rate."),
    *((FACTORS, kind, "layers.1", "topk", "accuracy by the number of dimensions (second module).")
      for kind in (SIM, GIM)),
    *((FACTORS, kind, "layers.1", "importance", "what dimensions mean to factors (second module).")
      for kind in (SIM, GIM)),
    *((DECODED, kind, "layers.1", "traversal", "decoded spectra while one dimension is moved "
       "(second module).") for kind in (SIM, GIM)),
    *((DECODED, kind, "layers.1", "interpolation", "the way from one clip to another, decoded "
       "(second module).") for kind in (SIM, GIM)),
)  # fmt: skip


def _run(study: Study, what: str, kind: str, site: str) -> StoredRun | None:
    for one in study.networks:
        if one.network.kind == kind and (what, site) in one.runs:
            return one.runs[what, site]
    return None


def _colour() -> Any:
    """The same colours and the same legend everywhere, so that panels share them."""
    import altair as alt

    scale = alt.Scale(domain=list(KINDS), range=[COLOURS[kind] for kind in KINDS])
    return alt.Color("kind:N", title=None, sort=list(KINDS), scale=scale)


def _lines(rows: Sequence[dict[str, Any]], title: str, unit: str, scale: str) -> Any:
    """Points of seeds and lines through their means, by module; kinds stand side by side."""
    import altair as alt

    ticks = alt.Axis(values=[0, 1, 2], format="d", grid=False)
    base = alt.Chart(alt.Data(values=list(rows))).encode(
        alt.X("at:Q", title="module", axis=ticks).scale(domain=[-0.4, 2.4], nice=False), _colour()
    )
    y = alt.Y("value:Q", title=unit).scale(type=scale, zero=False)
    dots = base.mark_point(filled=True, opacity=0.7, size=26).encode(y)
    means = base.mark_line(strokeWidth=1.5, opacity=0.7).encode(alt.Y("mean(value):Q", title=unit))
    return (means + dots).properties(width=225, height=170, title=title)


def _rows(found: Measures, measure: str, floor: float | None = None) -> list[dict[str, Any]]:
    return [
        {"kind": row.kind, "value": row.value if floor is None else max(row.value, floor),
         "at": int(row.module[-1]) + 0.1 * (KINDS.index(row.kind) - (len(KINDS) - 1) / 2)}
        for row in found.rows
        if row.measure == measure and row.module in found.modules
    ]  # fmt: skip


def _panels(found: Measures) -> dict[str, Any]:
    import altair as alt

    panels = []
    for measure, unit, scale in PANELS:
        rows = _rows(found, measure, 1e-4 if scale == "log" else None)
        if rows:
            panels.append(_lines(rows, measure, unit, scale))
    return dict(alt.concat(*panels, columns=3).to_dict())


def _accuracies(found: Measures) -> dict[str, Any]:
    import altair as alt

    panels = []
    for measure in (*found.named("accuracy: "), *found.named("onset: ")):
        kind, _, factor = measure.partition(": ")
        title = factor + ", first 0.12 s" * (kind == "onset")
        panel = _lines(
            _rows(found, measure),
            title,
            "R²" if factor in ("f0", "tract") else "accuracy",
            "linear",
        )
        level = found.mean(f"majority: {factor}", SIM, found.modules[-1])
        rule = alt.Chart(alt.Data(values=[{"level": level}])).mark_rule(
            strokeDash=[4, 4], color="#666"
        )
        panels.append(rule.encode(alt.Y("level:Q")) + panel)
    return dict(alt.concat(*panels, columns=3).to_dict())


def _losses(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"kind": one.network.kind, "seed": one.network.seed, "epoch": line["epoch"],
         "nce": line["nce"], "module": str(line["module"])}
        for one in study.networks
        if one.network.kind != SUPERVISED and (HISTORY, "") in one.runs
        for line in one.runs[HISTORY, ""].result.tables["epochs"]
    ]  # fmt: skip
    panels = []
    for module in sorted({row["module"] for row in rows}, key=lambda name: (name[0] == "c", name)):
        mine = [row for row in rows if row["module"] == module]
        base = alt.Chart(alt.Data(values=mine))
        curves = base.mark_line(strokeWidth=1.2, opacity=0.8).encode(
            alt.X("epoch:Q"), alt.Y("nce:Q", title="InfoNCE, nats").scale(zero=False),
            _colour(), alt.Detail("seed:N"),
        )  # fmt: skip
        level = alt.Chart(alt.Data(values=[{"level": log(11)}])).mark_rule(
            strokeDash=[4, 4], color="#666"
        )
        bound = level.encode(alt.Y("level:Q"))
        panels.append((bound + curves).properties(width=190, height=170, title=module))
    return dict(alt.concat(*panels, columns=4).to_dict())


def _contributions(study: Study) -> dict[str, Any]:
    import altair as alt

    rows = [
        {"kind": one.network.kind, "seed": one.network.seed, "site": site,
         "k": step["k"], "score": step["score"]}
        for one in study.networks
        for (what, site), run in one.runs.items()
        if what == DECODED
        for step in run.result.tables["curve"]  # empty where nothing can be decoded
    ]  # fmt: skip
    panels = []
    for site in sorted({row["site"] for row in rows}):
        mine = [row for row in rows if row["site"] == site]
        base = alt.Chart(alt.Data(values=mine)).encode(
            alt.X("k:Q", title="dimensions taken over"),
            _colour(),
        )
        thin = base.mark_line(opacity=0.35, strokeWidth=1).encode(
            alt.Y("score:Q", title="error / error with none"), alt.Detail("seed:N")
        )
        thick = base.mark_line(strokeWidth=2.5).encode(alt.Y("mean(score):Q", title=""))
        panels.append((thin + thick).properties(width=320, height=240, title=site))
    return dict(alt.concat(*panels, columns=2).to_dict())
