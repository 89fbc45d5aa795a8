"""The analysis `association`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, Result, Runs, Tags, analysis

from .figures import FIGURES
from .gathering import FEWEST, Gathered, gather
from .ranking import Chance, Floats, discoveries, interval, permuted, spearman

LEVEL = 0.05


@dataclass(frozen=True)
class Summary:
    """What goes with the quality, in one row."""

    quality: Annotated[str, "the tag that indicators are compared with"]
    models: Annotated[int, "models that have it"]
    tests: Annotated[int, "indicators by site that vary over at least 4 of them"]
    significant: Annotated[int, "of them with q ≤ 0.05"]
    significant_family: Annotated[int, "of them with p_family ≤ 0.05"]
    site: Annotated[str, "site of the surest; empty: of all sites"]
    row: Annotated[str, "row of the surest, where a table has several"]
    indicator: Annotated[
        str,
        "the surest indicator: of lowest p (with a control of lowest partial_p), "
        "of equals the largest |rho|",
    ]
    rho: Annotated[float | None, "its Spearman correlation with the quality"]
    partial: Annotated[float | None, "that of ranks compared within groups of the control"]
    p_family: Annotated[float | None, "chance of any as strong"]
    left_out: Annotated[int, "models without the tag"]


@dataclass(frozen=True)
class Association:
    """One indicator at one site, over models."""

    site: Annotated[str, "where it was read; empty: over the sites of each model"]
    row: Annotated[str, "which row of the table, where there are several"]
    indicator: Annotated[str, "column of the table"]
    models: Annotated[int, "models that have it"]
    rho: Annotated[float | None, "Spearman's correlation with the quality; null: nothing varies"]
    low: Annotated[
        float | None,
        "lower end of its 95 % bootstrap interval over models; null: of fewer than 8 models, or "
        "where all draws are alike, neither of which says how sure rho is",
    ]
    high: Annotated[float | None, "upper end"]
    p: Annotated[float | None, "two-sided, by permutation of the quality over models"]
    q: Annotated[
        float | None, "p (with a control partial_p) by Benjamini and Hochberg over all tests"
    ]
    p_family: Annotated[
        float | None,
        "chance of any test as strong, with a control within its groups (Westfall and Young)",
    ]
    partial: Annotated[float | None, "rho of ranks compared within groups of the control"]
    partial_p: Annotated[float | None, "its p, by permutation within groups"]


@dataclass(frozen=True)
class Point:
    """One number of one model."""

    site: Annotated[str, "as in associations"]
    row: Annotated[str, "as in associations"]
    indicator: Annotated[str, "as in associations"]
    model: Annotated[str, "spec of the model"]
    number: Annotated[int, "its number in the store, which tells models of one spec apart"]
    value: Annotated[float, "the indicator"]
    quality: Annotated[float, "the model's quality"]
    group: Annotated[str, "its group, where there is a control"]


@analysis(
    version=2,
    tables={"summary": Summary, "associations": Association, "points": Point},
    figures=FIGURES,
    base="*",
)
def association(
    runs: Runs,
    tags: Tags,
    *,
    quality: Annotated[str, "tag of the models that indicators are compared with"] = "quality",
    table: Annotated[str, "table of the runs that has the indicators"] = "summary",
    indicators: Annotated[str, "its columns, parted by commas; empty: all that are numbers"] = "",
    by: Annotated[str, "columns that tell its rows apart, parted by commas"] = "",
    over: Annotated[
        Literal["site", "mean", "max", "min", "last"],
        "a test at each site, or one of each model's sites put together",
    ] = "site",
    control: Annotated[str, "tag whose groups are compared within, such as family"] = "",
    permutations: Annotated[int, "permutations of the quality; all where they are fewer"] = 10_000,
    draws: Annotated[int, "bootstrap draws of models"] = 2_000,
    seed: Annotated[int, "seed of permutations and draws"] = 0,
) -> Result:
    """How stored indicators go with what is known of the models, by rank, over models.

    Spearman's correlation of every indicator at every site with a tag (`actlas models tag MODEL
    accuracy=0.91`), with bootstrap intervals, exact or drawn permutations, and two corrections for
    many tests. Ranks say nothing of cause; models of one family are no independent draws, so
    compare within families (`--control family`): then q, p_family and the surest are of the
    correlation within them. Checkpoints of one training follow each other, and shuffling takes
    them for independent: p is then too small, which is warned of where models have a tag `step`.
    """
    _check(permutations, draws, seed)
    found = gather(runs, tags, quality, control, table, _names(indicators), _names(by), over)
    values, chance = found.matrix(), Chance(permutations, draws, seed)
    there = ~np.isnan(values)
    enough = there.sum(axis=1) >= FEWEST
    if not enough.any():
        raise InputError(f"no indicator of table {table!r} is there for {FEWEST} models")
    tests = [test for test, kept in zip(found.values, enough, strict=True) if kept]
    values, there = values[enough], there[enough]
    rows = _associations(found, tests, values, there, chance, bool(control))
    tables = {
        "summary": _summary(quality, rows, found),
        "associations": rows,
        "points": [
            Point(*test, m.name, m.number, float(value), m.quality, m.group)
            for test, line in zip(tests, values, strict=True)
            for m, value in zip(found.models, line, strict=True)
            if not np.isnan(value)
        ],
    }
    return Result(tables, warnings=_remarks(found, quality))


def _remarks(found: Gathered, quality: str) -> list[str]:
    said = []
    if found.left_out:
        said.append(
            f"{len(found.left_out)} models without {quality!r} are left out: "
            f"{', '.join(found.left_out[:3])}"
        )
    if found.checkpoints:
        said.append(
            f"{found.checkpoints} models have a tag 'step': checkpoints of one training follow "
            f"each other, so that p and intervals are too small; take one of each training"
        )
    return said


def _check(permutations: int, draws: int, seed: int) -> None:
    if permutations < 1 or draws < 0 or not 0 <= seed < 2**32:
        raise InputError(
            "association: permutations ≥ 1, draws ≥ 0 and seed from 0 to 2³² - 1 are needed"
        )


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _associations(
    found: Gathered,
    tests: Sequence[tuple[str, str, str]],
    values: Floats,
    there: NDArray[np.bool_],
    chance: Chance,
    controlled: bool,
) -> list[Association]:
    quality = np.array([m.quality for m in found.models])
    p, family = permuted(values, there, quality, chance)
    partial = partial_p = np.full(len(tests), np.nan)
    groups = np.unique([m.group for m in found.models], return_inverse=True)[1]
    if controlled:
        partial = np.array(
            [spearman(v[t], quality[t], groups[t]) for v, t in zip(values, there, strict=True)]
        )
        partial_p, family = permuted(values, there, quality, chance, groups)
    q = discoveries(partial_p if controlled else p)
    rows = []
    for i, (test, kept) in enumerate(zip(tests, there, strict=True)):
        rho = float(spearman(values[i][kept], quality[kept]))
        ends = (np.nan, np.nan)
        if not np.isnan(rho):
            ends = interval(values[i][kept], quality[kept], chance)
        numbers = (rho, *ends, p[i], q[i], family[i], partial[i], partial_p[i])
        rows.append(Association(*test, int(kept.sum()), *map(_known, numbers)))
    return rows


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _surest(row: Association) -> tuple[float, float]:
    controlled = row.partial is not None
    p, rho = (row.partial_p, row.partial) if controlled else (row.p, row.rho)
    return p or 0, -abs(rho or 0)


def _summary(quality: str, rows: Sequence[Association], found: Gathered) -> Summary:
    tested = [row for row in rows if row.p_family is not None]
    best = min(tested, key=_surest, default=None)
    return Summary(
        quality=quality,
        models=len(found.models),
        tests=len(tested),
        significant=sum((row.q or 0) <= LEVEL for row in tested),
        significant_family=sum((row.p_family or 0) <= LEVEL for row in tested),
        site=best.site if best else "",
        row=best.row if best else "",
        indicator=best.indicator if best else "",
        rho=best.rho if best else None,
        partial=best.partial if best else None,
        p_family=best.p_family if best else None,
        left_out=len(found.left_out),
    )
