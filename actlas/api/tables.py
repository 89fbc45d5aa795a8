"""Results and plugins as rows, for whoever prints them."""

from collections.abc import Sequence
from typing import Any

from ..core import InputError, ResultTable, count, nearest
from ..registry import Analysis, registry
from .handles import StoredRun


def headlines(runs: Sequence[StoredRun]) -> list[dict[str, Any]]:
    """The first declared table of each run: its site, its headline with its band, the rest."""
    found = []
    for run in runs:
        table = next(iter(run.result.tables.values()), None)
        headline = run.analysis.headline if run.analysis else None
        first = [headline, "low", "high"] if headline else []
        for row in table or ():
            ahead = {name: row[name] for name in first if name in row}
            found.append({"site": run.site or "all", **ahead, **row})
    return found


def run_records(runs: Sequence[StoredRun]) -> list[dict[str, Any]]:
    """Everything the tables of some runs hold, for JSON."""
    return [
        {
            "run": r.id,
            "site": r.site,
            "reused": r.reused,
            "warnings": r.record.warnings,
            "tables": {name: list(table) for name, table in r.result.tables.items()},
        }
        for r in runs
    ]


def described(runs: Sequence[StoredRun]) -> str:
    """Say what was computed and what was there."""
    reused = sum(r.reused for r in runs)
    return f"{count(len(runs) - reused, 'run')} computed, {count(reused, 'run')} already done"


def tables_of(run: StoredRun, name: str | None) -> dict[str, ResultTable]:
    """All tables of a run, or the one named; InputError lists what there is."""
    tables = dict(run.result.tables)
    if name is None:
        return tables
    if name not in tables:
        raise InputError(f"run {run.id} has no table {name!r}; {nearest(name, tables)}")
    return {name: tables[name]}


def find(name: str, files: Sequence[str] = ()) -> Analysis:
    """Return an analysis by name, plugin files included."""
    return registry(tuple(files)).get(name)


def plugin_list(files: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One line an analysis or loader: where from, what it needs, what it does or why it fails."""
    known = registry(tuple(files))
    analyses = [
        {
            "name": p.name,
            "source": p.source,
            "version": p.analysis.version if p.analysis else None,
            "needs": ", ".join(p.analysis.needs) if p.analysis else None,
            "summary": p.analysis.summary if p.analysis else f"broken: {p.error}",
        }
        for p in known.plugins()
    ]
    loaders = [
        {
            "name": f"{p.name}:",
            "source": p.source,
            "version": None,
            "needs": None,
            "summary": p.loader.summary if p.loader else f"broken: {p.error}",
        }
        for p in known.loader_plugins()
    ]
    return [*analyses, *loaders]
