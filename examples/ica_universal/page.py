"""The page, and the verdicts as JSON and Markdown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actlas import StoredRun
from examples.common.page import Drawing, render, svg
from examples.common.verdicts import Verdict, write_verdicts

from .claims import FIRST, claims, controls, curve, ratios, summary
from .study import HUB, INDEPENDENT, Study

SHOWN_AXES, SHOWN_WORDS = 15, 5
FIGURES = (
    ("axes", "minilm-tokens", "nongaussianity",
     "How far axes are from a normal distribution, on MiniLM's token embeddings. Where the line of "
     "ICA lies above the others, its axes have longer tails: few words stand far out on each."),
    ("axes", "minilm-tokens", "top_rows",
     "The words furthest out on the first axes of MiniLM's token embeddings. An axis can be read "
     "where its words have something in common."),
    ("read", "minilm-tokens", "intrusion",
     "Word intrusion on MiniLM's token embeddings: how far a foreign word lies from an axis's top "
     "words, over how far these lie from each other. Above 1 the top words belong together."),
    ("read", "minilm-tokens", "few_axes",
     "What the p largest products of two rows tell of their cosine. All curves meet at the right, "
     "where every axis is used; what counts is the left, with few axes."),
    ("matches", "words", "curves",
     "Matched axes from ppmi-A to models trained by themselves. Grey: rows paired by chance. The "
     "gap between ICA and PCA is the paper's claim."),
    ("matches", "words", "heatmap",
     "Correlation of the first axes with those of the other models, before and after matching. "
     "After it, a diagonal stands out where axes are shared."),
    ("matches", "controls", "curves",
     "Controls: a random linear map of the same vectors (ICA should stay at 1), and vectors under "
     "other words' names (all should lie on the grey band)."),
    ("aligned", "words", "precision",
     "Words of ppmi-A that were kept out, looked for in the other models by axes that were matched "
     "(ICA, PCA) or a matrix that was fitted (Procrustes, least squares) on the other words. On "
     "the right both sides were first mapped at random: ICA should not mind."),
    ("matches", "layers", "curves", "Matched axes from layers.2 to the other layers of MiniLM."),
    ("matches", "scenes", "curves",
     "Matched axes from the pictures' autoencoder to MiniLM's captions of the same scenes."),
)  # fmt: skip


def write_page(study: Study, folder: Path, quick: bool) -> list[Verdict]:
    """Write report.html, verdicts.json and verdicts.md into a folder; returns the verdicts."""
    judged, checked = claims(study), controls(study)
    write_verdicts(folder, judged, checked, study.facts, quick)
    names, axes = shared_words(study)
    html = render(
        __package__,
        claims=judged, controls=checked, facts=study.facts, quick=quick,
        drawings=list(_drawings(study)), names=names, axes=axes, comparisons=_comparisons(study),
        first=FIRST, warnings=_warnings(study), sql=_runs(study),
    )  # fmt: skip
    (folder / "report.html").write_text(html, "utf-8")
    return [*judged, *checked]


def shared_words(study: Study) -> tuple[list[str], list[dict[str, Any]]]:
    """Axes of the hub that are matched in all models, with the first words of each model.

    Returns the models' names, and per axis its mean r and a list of words a model.
    """
    result = study.match("words")
    names = [HUB, *INDEPENDENT]
    places = {
        (row["target"], row["axis"]): (row["other_axis"], row["r"], row["shared"])
        for row in result.tables["pairs"]
    }
    words = {name: _top_words(study.axes[name]) for name in names}
    found: list[dict[str, Any]] = []
    for row in result.tables["hub"]:
        if not row["everywhere"] or len(found) == SHOWN_AXES:
            continue
        matched = [places[study.target(name), row["axis"]] for name in INDEPENDENT]
        cells = [{"words": words[HUB][row["axis"]], "r": None, "shared": True}]
        cells += [
            {"words": words[name][axis], "r": r, "shared": shared}
            for name, (axis, r, shared) in zip(INDEPENDENT, matched, strict=True)
        ]
        found.append({"axis": row["axis"], "r": row["mean_r"], "cells": cells})
    return names, found


def _top_words(run: StoredRun) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in run.result.tables["top_rows"]:
        if row["end"] == "high" and row["rank"] <= SHOWN_WORDS:
            found.setdefault(row["axis"], []).append(row["token"])
    return found


def _comparisons(study: Study) -> list[dict[str, Any]]:
    """One row a pair of models: mean r of the first pairs on ICA and PCA axes."""
    found = []
    for what, run in study.matches.items():
        for row in run.result.tables["summary"]:
            target = row["target"]
            means = {
                n: [float(curve(run.result, target, b, n).mean()) for b in ("ica", "pca")]
                for n in ratios(run.result, target)
            }
            found.append({
                "of": {"words": HUB, "controls": HUB, "seeds": "skipgram-A-0",
                       "layers": "layers.2", "scenes": "pictures"}[what],
                "with": study.names.get(target, target), "means": means,
                "ratios": ratios(run.result, target), **summary(run.result, target),
            })  # fmt: skip
    return found


def _drawings(study: Study) -> Iterator[Drawing]:
    for kind, name, figure, caption in FIGURES:
        run = getattr(study, kind)[name]
        drawn = json.dumps(run.result.figures[figure].to_dict())
        for target, called in study.names.items():  # a store knows extractions by number
            drawn = (
                drawn.replace(f'"{target}"', f'"{called}"')
                .replace(f"in {target}", f"in {called}")
                .replace(f'"{target}, ', f'"{called}, ')
            )
        yield Drawing(svg(json.loads(drawn)), caption)


def _every_run(study: Study) -> Iterator[tuple[str, StoredRun]]:
    for found in (study.axes, study.read, study.matches, study.aligned):
        yield from found.items()


def _warnings(study: Study) -> list[str]:
    return [f"{name}: {line}" for name, run in _every_run(study) for line in run.record.warnings]


def _runs(study: Study) -> list[dict[str, Any]]:
    return [
        {"name": name, "run": run.id, "analysis": run.record.analysis, "site": run.site,
         "seconds": run.record.seconds}
        for name, run in _every_run(study)
    ]  # fmt: skip
