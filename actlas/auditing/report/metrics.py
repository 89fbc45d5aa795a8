"""Headline numbers of an audit: one metric an analysis, its labels, pooling and parameters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...api.pages import parameters
from ...registry import Analysis
from ...storage import sql_name
from .queries import Found, literal
from .scope import Scope

MOST = 24  # metrics that are shown


@dataclass(frozen=True)
class Setting:
    """Runs of an analysis with the same labels, pooling and parameters.

    title: what tells it from others. where: which rows of the view audit_run they are.
    """

    name: str
    analysis: str
    title: str
    where: str
    runs: int


@dataclass(frozen=True)
class Metric:
    """A headline number. rows: every site of every model; best: the best site of each model."""

    setting: Setting
    column: str
    doc: str
    rows: Found
    best: Found

    @property
    def name(self) -> str:
        """What it is called in words."""
        return self.column.replace("_", " ")

    @property
    def title(self) -> str:
        """The same, after its analysis."""
        return f"{self.setting.analysis}: {self.name}"


def settings(scope: Scope) -> list[Setting]:
    """Find what was run, in order."""
    found = list(
        scope.ask(
            "settings",
            f"""SELECT analysis, pooling, labels, parameters, COUNT(*) AS runs
FROM audit_run
WHERE audit = {scope.name}
GROUP BY analysis, pooling, labels, parameters
ORDER BY MIN(run_id)""",
        )
    )
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        by_name.setdefault(row["analysis"], []).append(row)
    return [_setting(scope, row, by_name[row["analysis"]], i) for i, row in enumerate(found)]


def _setting(scope: Scope, row: dict[str, Any], alike: list[dict[str, Any]], i: int) -> Setting:
    """Name what is set otherwise than in other runs of the same analysis, and the labels."""
    where = [f"a.audit = {scope.name}", f"a.analysis = {literal(row['analysis'])}"]
    for name in ("pooling", "labels", "parameters"):
        if len({other[name] for other in alike}) > 1:
            value = row[name]
            where.append(f"a.{name} IS NULL" if value is None else f"a.{name} = {literal(value)}")
    said = [row["analysis"]]
    said += [f"labels {row['labels']}"] if row["labels"] else []
    said += [f"{row['pooling']} rows"] if len({o["pooling"] for o in alike}) > 1 else []
    said += [parameters(differing(row["parameters"], [other["parameters"] for other in alike]))]
    title = " · ".join(part for part in said if part)
    name = f"{i + 1:02}_{row['analysis']}"
    return Setting(name, row["analysis"], title, "\n  AND ".join(where), row["runs"])


def differing(own: str, every: Sequence[str]) -> str:
    """Parameters that are not the same in all; all of it is JSON."""
    parsed = [json.loads(text) for text in every]
    found = {
        name: value
        for name, value in json.loads(own).items()
        if any(name not in other or other[name] != value for other in parsed)
    }
    return json.dumps(found)


def metrics(scope: Scope, found: Sequence[Setting]) -> tuple[list[Metric], list[str]]:
    """Read the headlines of settings that have one; and say of which there are none, and why."""
    shown: list[Metric] = []
    notes = []
    for setting in found:
        analysis = scope.analysis(setting.analysis)
        if analysis is None:
            notes.append(
                f"The plugin of {setting.analysis} is not installed here, so its headline and "
                f"figures are not known; its tables are in the store."
            )
        elif analysis.headline is not None and len(shown) < MOST:
            shown.append(_metric(scope, setting, analysis, analysis.headline))
        elif analysis.headline is not None:
            notes.append(f"{setting.title}: left out, as {MOST} metrics are shown at most")
    return shown, list(dict.fromkeys(notes))


def _metric(scope: Scope, setting: Setting, analysis: Analysis, column: str) -> Metric:
    table = next(iter(analysis.tables.values()))
    known = {c.name: c.doc for c in table.columns}
    band = [name for name in ("low", "high") if {"low", "high"} <= set(known)]
    null = next((name for name in (f"null_{column}", "chance") if name in known), None)
    more = [f's."{name}" AS {name}' for name in band]
    more += [f's."{null}" AS chance'] if null else []
    chosen = ", ".join([f's."{column}" AS value', *more])
    numbers = sql_name(setting.analysis, table.name)
    source = f"""FROM audit_run a JOIN "{numbers}" s ON s.run_id = a.run_id
WHERE {setting.where}
  AND s."{column}" IS NOT NULL"""
    rows = scope.ask(
        f"{setting.name}_layers",
        f"""SELECT a.dataset, a.model, a.site, a.depth, a.place, {chosen}, a.extraction_id, a.run_id
{source}
ORDER BY a.dataset, a.model, a.extraction_id, a.place, s.item""",
    )
    kept = ", ".join(["value", *band, *(["chance"] if null else [])])
    best = scope.ask(
        f"{setting.name}_best",
        f"""SELECT dataset, RANK() OVER (PARTITION BY dataset ORDER BY value DESC) AS rank,
  model, {kept}, site, depth, run_id
FROM (
  SELECT a.dataset, a.model, a.site, a.depth, a.run_id, {chosen},
    ROW_NUMBER() OVER (
      PARTITION BY a.dataset, a.model ORDER BY s."{column}" DESC, a.run_id, s.item
    ) AS nth
  {source.replace(chr(10), chr(10) + "  ")}
) AS of_each
WHERE nth = 1
ORDER BY dataset, rank, model""",
    )
    return Metric(setting, column, known[column], rows, best)
