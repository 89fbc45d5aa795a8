"""A report of one extraction and its runs, as a single HTML file that works offline."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..registry import Analysis, registry
from ..storage import Dataset, Model
from .handles import StoredExtraction, StoredRun
from .store import Store
from .tables import headlines


def write_report(
    store: Store, extraction: StoredExtraction, runs: Mapping[str, Sequence[StoredRun]], path: Path
) -> Path:
    """Write a report of runs to `path` and return it; figures need the extra `plots`."""
    import jinja2

    source = resources.files("actlas.api").joinpath("report.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        source
    )
    record = extraction.record
    html = template.render(
        model=store.database.find(Model, record.model_id),
        dataset=store.database.find(Dataset, record.dataset_id),
        extraction=record,
        sites=extraction.sites,
        warnings=extraction.warnings,
        url=store.url,
        sections=[_section(name, list(found)) for name, found in runs.items() if found],
        number=number,
    )
    path.write_text(html, "utf-8")
    return path


def number(value: Any) -> str:
    """Write a number to four significant digits, whole numbers whole, nothing as a dash."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _section(name: str, runs: list[StoredRun]) -> dict[str, Any]:
    analysis = registry().get(name)
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
            (f"{title} at {last.site or 'all sites'}", svg)
            for title in analysis.figures
            if (svg := _svg(last.result.figures[title]))
        ]
        if _can_draw()
        else [],
        "warnings": sorted({w for r in runs for w in r.record.warnings}),
        "seconds": sum(r.record.seconds for r in runs),
    }


def _columns(analysis: Analysis, table: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Meaning of each column, in the order of the rows."""
    docs = {"site": "where in the model"}
    docs |= {c.name: c.doc for c in analysis.tables[table].columns}
    return {name: docs[name] for name in (rows[0] if rows else docs)}


def _can_draw() -> bool:
    from importlib.util import find_spec

    return find_spec("altair") is not None and find_spec("vl_convert") is not None


def _svg(chart: Any) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_dict()))


def _curve(analysis: Analysis, rows: list[dict[str, Any]]) -> str:
    """Draw an analysis's headline number over the sites, with its band, as SVG."""
    column = analysis.headline
    if column is None or len(rows) < 2 or not _can_draw():
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
    return _svg(drawn.properties(width=420, height=260, title=f"{title} over the layers"))
