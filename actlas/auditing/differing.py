"""How two audits differ, or two models of one: value by value, the largest change first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from ..api import Store
from ..core import InputError, count, listing, nearest
from ..storage import AuditJob, Database, audit_jobs, audit_named, metric_values

SHOWN = 12  # cells that only one has are listed up to here


@final
@dataclass(frozen=True)
class Difference:
    """A number that differs. cell: the job without its model. item: the row of the summary."""

    cell: str
    site: str | None
    metric: str
    item: int
    one: float
    other: float

    @property
    def change(self) -> float:
        """From one to the other, relative to the larger of both: from -2 to 2."""
        return (self.other - self.one) / max(abs(self.one), abs(self.other))


@final
@dataclass(frozen=True)
class Differences:
    """What differs, the largest change first.

    same: how many numbers are equal. only_one, only_other: cells, and sites of cells, that the
    other does not have. unlike: those with other rows, which cannot be told apart by number.
    """

    one: str
    other: str
    same: int
    found: tuple[Difference, ...]
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]
    unlike: tuple[str, ...] = ()


Cell = tuple[str, str | None, str, int]  # job without its model, site, metric, item


def diff(store: Store, one: str, other: str, *, audit: str | None = None) -> Differences:
    """Compare two audits of a store by name, or with `audit` two models of that one.

    Cells are the same where all but the model is: analysis, data set, pooling, parameters; in two
    audits also the model's name. Sites are compared by name, rows of a summary by their order
    where there are as many; the numbers are those of the view `metric`. Raises InputError where
    there is no such audit or model.
    """
    database = store.database
    if audit is None:
        sides = [_jobs(database, name) for name in (one, other)]
    else:
        known = _jobs(database, audit)
        sides = [_of_model(known, audit, name) for name in (one, other)]
    mine, theirs = _values(database, sides[0], audit), _values(database, sides[1], audit)
    unlike = _unlike(mine, theirs)
    shared = [cell for cell in mine if cell in theirs and cell[:2] not in unlike]
    found = [
        Difference(*cell, mine[cell], theirs[cell])
        for cell in shared if mine[cell] != theirs[cell]
    ]  # fmt: skip
    found.sort(key=lambda difference: (-abs(difference.change), difference.cell))
    return Differences(
        one, other, len(shared) - len(found), tuple(found), _only(mine, theirs),
        _only(theirs, mine), tuple(_named(cell, site) for cell, site in unlike),
    )  # fmt: skip


def _unlike(mine: Iterable[Cell], theirs: Iterable[Cell]) -> list[tuple[str, str | None]]:
    """Cells and sites of which both have results, of unlike numbers of rows."""
    rows: list[dict[tuple[str, str | None], int]] = [{}, {}]
    for side, values in zip(rows, (mine, theirs), strict=True):
        for cell, site, _, item in values:
            side[cell, site] = max(side.get((cell, site), 0), item)
    first, second = rows
    return [place for place in first if place in second and first[place] != second[place]]


def _named(cell: str, site: str | None) -> str:
    return f"{cell} at {site}" if site else cell


def _jobs(database: Database, name: str) -> list[AuditJob]:
    """The jobs of an audit that have results."""
    jobs = audit_jobs(database, audit_named(database, name).id)
    return [job for job in jobs if job.status == "done" and job.runs]


def _of_model(jobs: Iterable[AuditJob], audit: str, model: str) -> list[AuditJob]:
    listed = list(jobs)
    models = dict.fromkeys(job.model for job in listed if job.model)
    if model not in models:
        raise InputError(f"audit {audit!r} has no results of a model {model!r}; "
                         f"{nearest(model, models)}")  # fmt: skip
    return [job for job in listed if job.model == model and job.kind != "compare"]


def _values(database: Database, jobs: Sequence[AuditJob], audit: str | None) -> dict[Cell, float]:
    """The numbers of jobs, by what tells them apart."""
    cells = {run: _cell(job, audit) for job in jobs for run in job.runs}
    return {
        (cells[run], site, metric, item): value
        for run, site, item, metric, value in metric_values(database, list(cells))
    }


def _cell(job: AuditJob, audit: str | None) -> str:
    """The name of a job, of one audit without its model."""
    return job.job.replace(f" {job.model} ", " ", 1) if audit else job.job


def _only(mine: Iterable[Cell], theirs: Iterable[Cell]) -> tuple[str, ...]:
    """Name the cells that are not there, and of others the sites that are not."""
    there = {(cell, site) for cell, site, *_ in theirs}
    cells = {cell for cell, _ in there}
    lacking = dict.fromkeys((cell, site) for cell, site, *_ in mine if (cell, site) not in there)
    whole = dict.fromkeys(cell for cell, _ in lacking if cell not in cells)
    parts: dict[str, list[str]] = {}
    for cell, site in lacking:
        if cell in cells:
            parts.setdefault(cell, []).append(site or "all sites")
    return (*whole, *(f"{cell} at {listing(sites)}" for cell, sites in parts.items()))


def differences_record(found: Differences) -> dict[str, Any]:
    """Return differences as plain values."""
    return {
        "one": found.one, "other": found.other, "same": found.same,
        "differ": [
            {
                "cell": d.cell, "site": d.site, "metric": d.metric, "item": d.item,
                "one": d.one, "other": d.other, "change": d.change,
            }
            for d in found.found
        ],
        "only_one": list(found.only_one), "only_other": list(found.only_other),
        "unlike": list(found.unlike),
    }  # fmt: skip


def differences_rows(found: Differences) -> list[Mapping[str, Any]]:
    """Return differences as a table for a terminal."""
    several = any(d.item for d in found.found)
    return [
        {
            "cell": d.cell, "site": d.site, "metric": d.metric,
            **({"row": d.item} if several else {}),
            found.one: d.one, found.other: d.other, "change": f"{d.change:+.1%}",
        }
        for d in found.found
    ]  # fmt: skip


def differences_lines(found: Differences) -> list[str]:
    """Say how many numbers are the same, and what only one has."""
    lines = [f"{count(len(found.found), 'number')} differ, {found.same:,} are the same"]
    if not found.found and not found.same and not found.unlike:
        lines.append("cells are the same where models, data sets and parameters are named alike")
    for said, cells in (
        (f"only in {found.one}", found.only_one), (f"only in {found.other}", found.only_other),
        ("not compared, unlike rows", found.unlike),
    ):  # fmt: skip
        lines += [f"{said}: {cell}" for cell in cells[:SHOWN]]
        if len(cells) > SHOWN:
            lines.append(f"{said}: … {len(cells) - SHOWN} more (--json lists them)")
    return lines
