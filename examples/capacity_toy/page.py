"""The page, its cells as JSON, and the verdicts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import actlas
from actlas.plugins.capacity import capacity
from actlas.plugins.toy import ToyTask, toy, train_toy

from . import figures, geometry, starts, study, verdicts
from .study import Rows, Size
from .verdicts import Verdict

Say = Callable[[str], None]
UNFINISHED = "unfinished"  # parts of a run, until all is written


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG, and what one sees."""

    svg: str
    caption: str


def write_page(folder: Path, size: Size, say: Say) -> list[Verdict]:
    """Train everything, write report.html, cells.json and verdicts.json; return the verdicts."""
    import jinja2

    found = _tables(folder, size, say)
    blocks, gram = _blocks(folder / "model", say)
    judged = _judged(found)
    (folder / "cells.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    text = json.dumps([asdict(one) for one in judged], indent=2, ensure_ascii=False)
    (folder / "verdicts.json").write_text(text + "\n", "utf-8")
    source = resources.files(__package__).joinpath("page.html.j2").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    html = environment.from_string(source).render(
        verdicts=judged, tables=found, blocks=blocks, drawings=_drawings(found, gram),
        clear=verdicts.clear_cell, quick=size.brief is not None, lines=list(geometry.LINES),
        folder=folder, version=actlas.__version__,
    )  # fmt: skip
    (folder / "report.html").write_text(html, "utf-8")
    shutil.rmtree(folder / UNFINISHED)
    return judged


def _tables(folder: Path, size: Size, say: Say) -> dict[str, Rows]:
    """Train everything; what a stopped run had finished is not trained again."""
    side, brief = size.relu, size.brief
    steps: list[tuple[str, str, Callable[[], Rows]]] = [
        ("cases", "quadratic models: reference cases", study.cases),
        ("boundaries", "boundaries of quadratic models",
         lambda: study.located(bias=True) + study.located(bias=False)),
        ("allocation", "allocation by importance", study.allocation),
        ("minima", "local minima below kurtosis 3", starts.minima),
        ("with bias", f"quadratic diagram, {size.quadratic}² cells of 6 starts",
         lambda: study.quadratic_cells(size, bias=True)),
        ("without bias", "the same without output bias",
         lambda: study.quadratic_cells(size, bias=False)),
        ("drawn", "quadratic models trained on samples", lambda: starts.drawn(brief)),
        ("outcomes", "ReLU models: pentagon and pairs", lambda: study.outcomes(size)),
        ("pentagons", "ReLU models: pentagons by density", lambda: starts.pentagons(brief)),
        ("relu 2", f"ReLU diagram, 2 in 1: {side}² cells, {size.starts} starts",
         lambda: study.relu_cells(size, 2)),
        ("relu 3", f"ReLU diagram, 3 in 2: {side}² cells, {size.starts} starts",
         lambda: study.relu_cells(size, 3)),
    ]  # fmt: skip
    kept = folder / UNFINISHED
    kept.mkdir(exist_ok=True)
    found = {name: _once(kept / name, said, work, say) for name, said, work in steps}
    found["geometry"] = []
    for setting in size.geometry:
        work = partial(geometry.measured, setting, folder / "models", brief)
        said = f"ReLU models, {setting.name}: {len(setting.known)} densities"
        found["geometry"] += _once(kept / setting.name, said, work, say)
    return found


def _once(path: Path, said: str, work: Callable[[], Rows], say: Say) -> Rows:
    """Do a part of the work, or read what a run that was stopped had of it."""
    if path.is_file():
        say(f"{said} (finished before)")
    else:
        say(said)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(work()), "utf-8")
        part.replace(path)
    rows: Rows = json.loads(path.read_text("utf-8"))
    return rows


def _blocks(folder: Path, say: Say) -> tuple[list[dict[str, Any]], Any]:
    """Analyse one trained model as a user would: its blocks, and its Gram matrix by block."""
    say("analysis `capacity` of a trained model")
    features, dims, decay = study.ALLOCATED
    task = ToyTask("quadratic", features, dims, str(decay), kurtosis=6.0)
    train_toy(task, folder, force=True)
    model = toy(str(folder), device="cpu", compute_dtype="auto", trust_remote_code=False)
    result = capacity(model.weights, parameter="layers.0.weight")
    return list(result.tables["blocks"]), result.figures["gram"]


def _judged(found: dict[str, Rows]) -> list[Verdict]:
    return [
        verdicts.on_cases(found["cases"]),
        verdicts.on_boundaries(found["boundaries"]),
        verdicts.on_quadratic(found["with bias"] + found["without bias"]),
        verdicts.on_benefit(found["allocation"]),
        verdicts.on_minima(found["minima"]),
        verdicts.on_drawn(found["drawn"]),
        verdicts.on_outcomes(found["outcomes"]),
        verdicts.on_shares(found["pentagons"]),
        verdicts.on_losses(found["pentagons"]),
        verdicts.on_pentagons(found["pentagons"]),
        verdicts.on_relu(found["relu 2"], 2),
        verdicts.on_relu(found["relu 3"], 3),
        verdicts.on_totals(found["geometry"]),
        verdicts.on_known(found["geometry"]),
        verdicts.on_lines(found["geometry"]),
        verdicts.on_typical(found["geometry"]),
        verdicts.on_unequal(found["geometry"]),
    ]


def _drawings(found: dict[str, Rows], gram: Any) -> list[Drawing]:
    with_bias = [row | {"bias": "with"} for row in found["with bias"]]
    without = [row | {"bias": "without"} for row in found["without bias"]]
    equal = [row for row in found["geometry"] if row["decay"] == 1]
    unequal = [row for row in found["geometry"] if row["decay"] != 1]
    charts = [
        (figures.quadratic_diagram(with_bias, bias=True),
         "Colour: trained capacity of the less important feature. Kurtosis says how "
         "sparse features are; uniform values have 1.8 / density. Line: r = 2/(κ − 1). To its "
         "left the feature is ignored; to its right the two share the dimension."),
        (figures.quadratic_diagram(without, bias=False),
         "The same without an output bias; the line is r = 2κ/(κ² − 3), a little further left."),
        (figures.scatter(with_bias + without),
         "Every cell of both diagrams: on the line, training and formula agree."),
        (figures.relu_diagram(found["relu 2"], 2),
         "Which phase the trained model is in, by the capacity of its last feature. Lines: where "
         "fixed weights cost the same; they meet at p = 4/7, r = 1."),
        (figures.relu_diagram(found["relu 3"], 3),
         "Three features in two dimensions. For r > 1 the last one is alone and the others share."),
        (figures.benefit_chart(),
         "Above kurtosis 3 returns diminish, so features share; at 3 they are constant; below they "
         "grow, so a feature has a dimension or nothing."),
        (figures.allocation_chart(found["allocation"]),
         "Ten features in four dimensions. Sparser features (higher kurtosis) share more widely."),
        (figures.plateaus(equal),
         "Capacity of each of many equal features, a dot a feature. Lines: regular arrangements. "
         "Sparser features (to the right) share more; those below all lines are in large blocks, "
         "or ignored."),
        (figures.each_chart(equal),
         "Dimensions per feature, D / ‖W‖²; rings: an earlier measurement. Dashed: 1 "
         "and ½, where it lingers: a dimension each, and antipodal pairs."),
        (figures.unequal_chart(unequal),
         "Importance falls from feature to feature. Dense features: the most important have a "
         "dimension each, the others nothing; sparse ones share in pairs (½), and more are there."),
        (gram,
         "Cosines between the ten features' directions at kurtosis 6, ordered by block: two have a "
         "dimension each, four share two, and four are ignored."),
    ]  # fmt: skip
    return [Drawing(_svg(chart), caption) for chart, caption in charts]


def _svg(chart: Any) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_dict()))
