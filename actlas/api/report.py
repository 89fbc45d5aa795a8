"""A report of one extraction and its runs, as a single HTML file that works offline."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from ..registry import Analysis, registry
from ..storage import Dataset, Model
from .handles import StoredExtraction, StoredRun
from .store import Store
from .tables import headlines

LARGEST_SVG = 250_000  # characters


def write_report(
    store: Store, extraction: StoredExtraction, runs: Mapping[str, Sequence[StoredRun]], path: Path
) -> Path:
    """Write a report of runs to `path` and return it; figures need the extra `plots`.

    runs: by what their section is called, those of one analysis.
    """
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
                _picture(last.result.figures[title], shown),
            )
            for title in analysis.figures
        ]
        if _can_draw()
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


def _can_draw() -> bool:
    from importlib.util import find_spec

    return find_spec("altair") is not None and find_spec("vl_convert") is not None


def _svg(chart: Any) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_dict()))


def _picture(chart: Any, title: str) -> str:
    """Draw a chart as SVG, or as PNG where it has so many marks that SVG would swell the page."""
    import vl_convert

    svg = _svg(chart)
    if len(svg) <= LARGEST_SVG:
        return svg
    png = vl_convert.vegalite_to_png(chart.to_dict(), scale=2)
    width = int.from_bytes(png[16:20], "big") // 2  # as the header says, at two pixels a point
    data = base64.b64encode(_packed(png)).decode()
    return f'<img alt="{escape(title)}" width="{width}" src="data:image/png;base64,{data}">'


def _packed(png: bytes) -> bytes:
    """Compress a PNG again, which vl-convert does in haste: a third of the size is left."""
    kept, pixels, place = [], b"", 8
    while place < len(png):
        size = int.from_bytes(png[place : place + 4], "big")
        name, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        if name == b"IDAT":
            pixels += data
        else:
            kept.append(name + data)
        place += size + 12
    kept.insert(-1, b"IDAT" + zlib.compress(zlib.decompress(pixels), 9))
    chunks = [
        (len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
        for part in kept
    ]
    return png[:8] + b"".join(chunks)


def _curve(analysis: Analysis, rows: list[dict[str, Any]]) -> str:
    """Draw an analysis's headline number over the sites, with its band and null, as SVG."""
    column = analysis.headline
    if column is None or len({row["site"] for row in rows}) < 2 or not _can_draw():
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
    return _svg(drawn.properties(width=420, height=260, title=f"{title} over the layers"))


def _chance(column: str, rows: list[dict[str, Any]]) -> str | None:
    """Name the column of the headline's level of chance, where any row has one."""
    known = (name for name in (f"null_{column}", "chance") if name in rows[0])
    return next((name for name in known if any(row[name] is not None for row in rows)), None)
