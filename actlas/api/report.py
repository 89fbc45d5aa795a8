"""A report of one extraction and its runs, as a single HTML file that works offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..registry import Analysis, registry
from ..storage import Dataset, Model
from .handles import StoredExtraction, StoredRun
from .pages import render, write_whole
from .pictures import can_draw, picture, svg
from .store import Store
from .tables import headlines


def write_report(
    store: Store, extraction: StoredExtraction, runs: Mapping[str, Sequence[StoredRun]], path: Path
) -> Path:
    """Write a report of runs to `path` and return it; figures need the extra `plots`.

    runs: by what their section is called, those of one analysis.
    """
    record = extraction.record
    html = render(
        __package__,
        "report.html.j2",
        model=store.database.find(Model, record.model_id),
        dataset=store.database.find(Dataset, record.dataset_id),
        extraction=record,
        sites=extraction.sites,
        warnings=extraction.warnings,
        url=store.url,
        sections=[_section(name, list(found)) for name, found in runs.items() if found],
    )
    write_whole(path, html)
    return path


def _section(name: str, runs: list[StoredRun]) -> dict[str, Any]:
    analysis = registry().get(runs[-1].record.analysis)
    table = next(iter(analysis.tables))
    rows = headlines(runs)
    last = runs[-1]
    return {
        "name": name,
        "summary": analysis.summary,
        "parameters": last.record.parameters,
        "labels": last.record.labels,
        "table": table,
        "rows": rows,
        "columns": _columns(analysis, table, rows),
        "curve": _curve(analysis, rows),
        "figures": [
            (
                shown := f"{title.replace('_', ' ')} at {last.site or 'all sites'}",
                picture(last.result.figures[title], shown),
            )
            for title in analysis.figures
        ]
        if can_draw()
        else [],
        "warnings": _warnings(runs),
        "seconds": sum(r.record.seconds for r in runs),
    }


def _warnings(runs: list[StoredRun]) -> list[str]:
    """Each warning once, after the sites it is of where it is not of all."""
    sites: dict[str, list[str]] = {}
    for run in runs:
        for said in run.record.warnings:
            sites.setdefault(said, []).append(run.site or "all sites")
    return [
        said if len(where) == len(runs) else f"{', '.join(where)}: {said}"
        for said, where in sites.items()
    ]


def _columns(analysis: Analysis, table: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Meaning of each column, in the order of the rows."""
    docs = {"site": "where in the model"}
    docs |= {c.name: c.doc for c in analysis.tables[table].columns}
    return {name: docs[name] for name in (rows[0] if rows else docs)}


def _curve(analysis: Analysis, rows: list[dict[str, Any]]) -> str:
    """Draw an analysis's headline number over the sites, with its band and null, as SVG."""
    column = analysis.headline
    if column is None or len({row["site"] for row in rows}) < 2 or not can_draw():
        return ""
    import altair as alt

    base = alt.Chart(alt.Data(values=rows)).encode(alt.X("site:N", sort=None, title="site"))
    title = column.replace("_", " ")
    drawn = base.mark_line(point=True).encode(
        alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False))
    )
    if {"low", "high"} <= set(rows[0]):
        band = base.mark_area(opacity=0.2).encode(alt.Y("low:Q", title=title), alt.Y2("high:Q"))
        drawn = band + drawn
    if (level := _chance(column, rows)) is not None:
        chance = base.mark_line(strokeDash=[4, 3], color="#767676")
        drawn += chance.encode(alt.Y(f"{level}:Q", title=title))
        title += " (dashed: by chance)"
    title += " over the layers"
    return svg(drawn.properties(width=420, height=260, title=title), title)


def _chance(column: str, rows: list[dict[str, Any]]) -> str | None:
    """Name the column of the headline's level of chance, where any row has one."""
    known = (name for name in (f"null_{column}", "chance") if name in rows[0])
    return next((name for name in known if any(row[name] is not None for row in rows)), None)
