"""How indicators go with qualities of the models: tables of every analysis of associations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...registry import Analysis
from ...storage import sql_name
from .drawn import Drawn, Run, draw
from .metrics import Setting
from .queries import Found
from .scope import Scope

SHOWN = 15  # rows of the table
NEEDED = {"indicator", "rho", "low", "high", "p", "q", "p_family"}


@dataclass(frozen=True)
class Association:
    """One run: its tests, the surest first, and its figures."""

    title: str
    quality: str
    found: Found
    rows: list[dict[str, Any]]
    drawn: Drawn | None


def associations(
    scope: Scope, settings: Sequence[Setting], drawing: bool
) -> tuple[list[Association], list[Setting]]:
    """Read associations; and return which of the settings they are of."""
    found, taken = [], []
    for setting in settings:
        analysis = scope.analysis(setting.analysis)
        if analysis is None or not associates(analysis):
            continue
        taken.append(setting)
        runs = scope.ask(
            "associations",
            f"""SELECT a.run_id, a.job, s.quality
FROM audit_run a JOIN "{sql_name(analysis.name, "summary")}" s ON s.run_id = a.run_id
WHERE {setting.where}
ORDER BY a.run_id""",
        )
        found += [_one(scope, analysis, row, drawing) for row in runs]
    return found, taken


def associates(analysis: Analysis) -> bool:
    """Whether it has the tables of `association`."""
    columns = {t: {c.name for c in spec.columns} for t, spec in analysis.tables.items()}
    return columns.get("associations", set()) >= NEEDED and "quality" in columns.get("summary", ())


def _one(scope: Scope, analysis: Analysis, row: dict[str, Any], drawing: bool) -> Association:
    table = sql_name(analysis.name, "associations")
    found = scope.ask(
        f"run_{row['run_id']}_surest",
        f"""SELECT "site", "row", indicator, models, rho, low, high, p, q, p_family,
  partial, partial_p
FROM "{table}"
WHERE run_id = {row["run_id"]} AND rho IS NOT NULL
ORDER BY p, ABS(rho) DESC, item""",
    )
    title = row["job"].removeprefix("compare ")
    shown = draw(scope, analysis, Run(row["run_id"], title)) if drawing else None
    return Association(title, row["quality"], found, list(found)[:SHOWN], shown)
