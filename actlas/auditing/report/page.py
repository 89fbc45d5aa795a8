"""The report of an audit: one page that opens offline."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...api import Store, open, store_url
from ...api.pages import render, write_whole
from ...api.pictures import can_draw, unchecked
from ...core import InputError
from .associations import associations
from .colours import REST, Colours, colours
from .curves import Curves, curves
from .drawn import galleries
from .head import head
from .metrics import Metric, metrics, settings
from .queries import Found
from .scope import Scope
from .similarity import similarities

FIGURES = 48  # figures of the analyses' own that are drawn
SVG = re.compile("<svg .*?</svg>", re.DOTALL)
IDENT = re.compile(r'(id="|url\(#)(gradient_|clip)(\d+)')
MARK = '<meta name="generator" content="actlas">'


@dataclass(frozen=True)
class Written:
    """A report: where, of which audit, its size in bytes, and what it says first."""

    path: Path
    audit: str
    size: int
    remarks: Sequence[str]


def report(
    audit: str | None = None,
    path: str | Path = "report.html",
    *,
    store: Store | str | None = None,
    figures: int = FIGURES,
) -> Written:
    """Write a report of an audit as one HTML page that needs no network.

    audit: its name (default: the newest). store: an open one, or where it is. figures: how many
    of the analyses' own are drawn at most (those of the highest runs), for which the extra
    `plots` is needed.

    Every table and figure has its SQL and, up to a size, its rows as CSV. The page is written
    whole or not at all. Raises InputError for an audit that is not there, and for a file that is
    there and is no report.
    """
    target = _target(Path(path))
    if figures < 0:
        raise InputError(f"figures={figures}: 0 or more are drawn")
    if isinstance(store, Store):
        return _write(store, audit, target, figures)
    with open(store_url(store), create=False) as opened:
        return _write(opened, audit, target, figures)


def _target(path: Path) -> Path:
    """Refuse a folder, one that is not there, and a file that is something else."""
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: name a file in a folder that is there, as report.html")
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            if MARK.encode() not in file.read(2000):
                raise InputError(f"{path} is there and is no report; choose another name")
    return path


def _write(store: Store, audit: str | None, path: Path, figures: int) -> Written:
    scope = Scope.of(store.database, audit)
    with unchecked() if can_draw() else nullcontext():
        values = contents(scope, figures)
    text = renumbered(render(__package__, "audit.html.j2", **values))
    try:
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    return Written(path, scope.audit.name, len(text.encode()), values["head"].remarks)


def renumbered(html: str) -> str:
    """Number gradients and clips of all figures by their order, not by what was drawn before."""
    known: dict[str, str] = {}

    def renamed(name: re.Match[str]) -> str:
        return name[1] + known.setdefault(name[2] + name[3], f"{name[2]}{len(known)}")

    return SVG.sub(lambda svg: IDENT.sub(renamed, svg[0]), html)


def contents(scope: Scope, most: int) -> dict[str, Any]:
    """Read and draw everything that the page shows."""
    found = settings(scope)
    shown, notes = metrics(scope, found)
    drawing = can_draw()
    above = head(scope)
    chosen = colours([name for name in scope.models if name not in above.lost], scope.tagged)
    related, taken = associations(scope, found, drawing)
    rest = [setting for setting in found if setting not in taken]
    return {
        "audit": scope.audit.name,
        "scope": scope,
        "head": above,
        "notes": notes,
        "drawing": drawing,
        "colours": chosen,
        "boards": [board for name in scope.datasets if (board := _board(scope, shown, name))],
        "metrics": [
            Shown(
                m,
                curves(m, scope.datasets, chosen) if drawing else None,
                _ranks(m, scope.datasets, chosen),
            )
            for m in shown
        ],
        "similarities": similarities(scope, found) if drawing else [],
        "associations": related,
        "galleries": galleries(scope, rest, shown, most),
        "figures": most,
    }


@dataclass(frozen=True)
class Rank:
    """A line of a leaderboard; share: how long its bar is, 0 to 1."""

    row: dict[str, Any]
    colour: str
    share: float


@dataclass(frozen=True)
class Shown:
    """A metric with its curves and, by data set, its models ranked."""

    metric: Metric
    curves: Curves | None
    ranks: dict[str, list[Rank]]


@dataclass(frozen=True)
class Board:
    """All metrics of the models of a data set: by model the row of each metric, and its shade."""

    dataset: str
    metrics: list[Metric]
    lines: list[tuple[str, list[tuple[dict[str, Any], float] | None]]]


def _ranks(metric: Metric, datasets: Sequence[str], chosen: Colours) -> dict[str, list[Rank]]:
    by_set: dict[str, list[dict[str, Any]]] = {}
    for row in metric.best:
        by_set.setdefault(row["dataset"], []).append(row)
    return {
        name: [
            Rank(row, chosen.of.get(row["model"], REST), share)
            for row, share in zip(rows, _shares([r["value"] for r in rows]), strict=True)
        ]
        for name in datasets
        if (rows := by_set.get(name))
    }


def _shares(values: Sequence[float]) -> list[float]:
    """Lengths of bars: from 0 where all are above, else from the lowest."""
    low, high = min(0.0, *values), max(0.0, *values)
    return [(value - low) / ((high - low) or 1.0) for value in values]


def _board(scope: Scope, shown: Sequence[Metric], dataset: str) -> Board | None:
    by_metric = [_of(metric.best, dataset) for metric in shown]
    kept = [(metric, rows) for metric, rows in zip(shown, by_metric, strict=True) if rows]
    places: dict[str, list[float]] = {}
    for _, rows in kept:
        for model, row in rows.items():
            places.setdefault(model, []).append(row["rank"] / len(rows))
    models = sorted(places, key=lambda m: (sum(places[m]) / len(places[m]), scope.models.index(m)))
    lines = [(model, [_cell(rows, model) for _, rows in kept]) for model in models]
    return Board(dataset, [metric for metric, _ in kept], lines) if lines else None


def _of(best: Found, dataset: str) -> dict[str, dict[str, Any]]:
    return {row["model"]: row for row in best if row["dataset"] == dataset}


def _cell(rows: dict[str, dict[str, Any]], model: str) -> tuple[dict[str, Any], float] | None:
    """The row of a model, and its shade: 1 for the highest of the models, 0 for the lowest."""
    if model not in rows:
        return None
    return rows[model], 1.0 - (rows[model]["rank"] - 1) / max(1, len(rows) - 1)
