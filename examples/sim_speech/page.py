"""The page, the verdicts as JSON and Markdown, and all numbers as CSV."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

from actlas import StoredRun, write_sounds
from examples.common.page import render
from examples.common.verdicts import Verdict, write_verdicts

from .claims import claims, controls
from .figures import drawings
from .measures import GIM, KINDS, SIM, Measures, write_measures
from .measuring import measured
from .study import DECODED, Study


def write_page(studies: Sequence[Study], folder: Path, quick: bool) -> list[Verdict]:
    """Write report.html, verdicts.json, verdicts.md and measures.csv; returns the verdicts."""
    parts = [_part(study, folder, len(studies) > 1) for study in studies]
    judged = [one for part in parts for one in part["claims"]]
    checked = [one for part in parts for one in part["controls"]]
    facts = _facts(studies)
    write_verdicts(folder, judged, checked, facts, quick)
    write_measures(folder / "measures.csv", (row for part in parts for row in part["rows"]))
    html = render(
        __package__, parts=parts, facts=facts, quick=quick, seeds=studies[0].size.regime.seeds,
        warnings=_warnings(studies), runs=[_numbered(*one) for one in _stored(studies)],
    )  # fmt: skip
    (folder / "report.html").write_text(html, "utf-8")
    return [*judged, *checked]


def _part(study: Study, folder: Path, named: bool) -> dict[str, Any]:
    found, name = measured(study), study.corpus.name

    def titled(verdicts: list[Verdict]) -> list[Verdict]:
        prefix = f"[{name}] " if named else ""
        return [replace(one, claim=prefix + one.claim) for one in verdicts]

    return {
        "name": name, "claims": titled(claims(found)), "controls": titled(controls(found)),
        "rows": found.rows, "kinds": KINDS, "table": list(_table(found)),
        "drawings": list(drawings(study, found)), "sounds": dict(_sounds(study, folder)),
    }  # fmt: skip


def _sounds(study: Study, folder: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Write what the second module of two networks decodes to; yields what it is, and files."""
    for kind in (SIM, GIM):
        run = study.one(kind).runs[DECODED, "layers.1"]
        to = folder / "sounds" / f"{study.corpus.name}-{kind}"
        shutil.rmtree(to, ignore_errors=True)  # of an earlier page
        some = run.result.arrays["waves"].size  # none where nothing can be decoded
        files = write_sounds(run.result, to) if some else []
        if files:
            yield (
                f"{kind}, second module, decoded",
                [(f.stem, str(f.relative_to(folder))) for f in files],
            )


def _facts(studies: Sequence[Study]) -> dict[str, str]:
    regime = studies[0].size.regime
    facts = {one.corpus.name.capitalize(): f"{one.corpus.about}." for one in studies}
    return {**facts, "Training": f"{regime.about()}."}


def _table(found: Measures) -> Iterator[dict[str, Any]]:
    names = dict.fromkeys(row.measure for row in found.rows)
    for measure in sorted(names, key=lambda name: (":" in name, name)):
        cells = [
            "" if all(isnan(found.mean(measure, kind, m)) for m in found.modules)
            else found.said(measure, kind)
            for kind in KINDS
        ]  # fmt: skip
        if any(cells) and "log ratio" not in measure:
            yield {"measure": measure, "cells": cells}


def _stored(studies: Sequence[Study]) -> Iterator[tuple[str, StoredRun]]:
    for study in studies:
        for one in study.networks:
            network = one.network
            for (what, _), run in one.runs.items():
                yield f"{study.corpus.name}, {network.kind} {network.seed}, {what}", run


def _numbered(name: str, run: StoredRun) -> dict[str, Any]:
    return {"name": name, "run": run.id, "analysis": run.record.analysis, "site": run.site,
            "seconds": run.record.seconds}  # fmt: skip


def _warnings(studies: Sequence[Study]) -> list[str]:
    said: dict[str, list[str]] = {}
    for name, run in _stored(studies):
        for line in run.record.warnings:
            said.setdefault(line, []).append(f"{name} {run.site or ''}".strip())
    return [f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {line}"
            for line, names in said.items()]  # fmt: skip
