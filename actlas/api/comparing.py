"""Which runs an analysis of `runs` is over, and their results, read when asked for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..core import InputError, ResultTable, RunResult, Runs, Tags, check_parameters
from ..registry import ANY, Analysis
from ..storage import (
    Database,
    Dataset,
    Extraction,
    Model,
    Run,
    by_depth,
    newest_runs,
    read_rows,
    read_samples,
    read_table,
    table_names,
    tags_of,
)
from .handles import StoredRun

QUERY = re.compile(r"\s*(select|with)\b", re.IGNORECASE)
ALL = "all"
RunChoice = str | int | Sequence[int | StoredRun]


def chosen_runs(database: Database, analysis: Analysis, asked: RunChoice) -> list[Run]:
    """Find the runs, by their numbers: `all`, `3,5-9`, numbers, or a SELECT that gives numbers.

    Of `all` they are the newest at each site of each extraction. Runs of an extraction follow each
    other by depth. Raises InputError where there
    is none, or they are not of one analysis, version and parameters over the same samples.
    """
    who, base = analysis.name, analysis.bases[0]
    wanted = f"runs of {base}" if base != ANY else "runs of one analysis"
    if asked == () or (asked == ALL and base == ANY):
        raise InputError(
            f"{who} takes {wanted}: name them with --runs 3,5-9 or --runs 'SELECT id FROM runs "
            f"WHERE …'{' or --runs all' * (base != ANY)}; `actlas runs list` lists them"
        )
    if asked == ALL:
        found = newest_runs(database, base)
    else:
        found = [database.find(Run, n) for n in sorted(set(_numbers(database, asked)))]
    if not found:
        made = f"; make one with `actlas run {base}`" * (base != ANY)
        raise InputError(f"{who}: no run is chosen{made}")
    for run in found:
        if base not in (ANY, run.analysis):
            raise InputError(f"run {run.id} is of {run.analysis}; {who} takes {wanted}")
        if run.status != "done":
            raise InputError(f"run {run.id} failed: {run.error}")
    _check_alike(database, found)
    return by_depth(database, found)


def _numbers(database: Database, asked: RunChoice) -> Iterator[int]:
    if isinstance(asked, int):
        yield asked
    elif not isinstance(asked, str):
        yield from (run.id if isinstance(run, StoredRun) else run for run in asked)
    elif QUERY.match(asked):
        _, rows = database.select(asked)
        if any(not isinstance(row[0], int) for row in rows):
            raise InputError("--runs: the first column of the query is no run number; SELECT id")
        yield from (row[0] for row in rows)
    else:
        for part in asked.split(","):
            span = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
            if span is None:
                raise InputError(
                    f"--runs {asked!r} names no runs; write 3,5-9, or a SELECT that gives numbers"
                )
            yield from range(int(span[1]), int(span[2] or span[1]) + 1)


def _check_alike(database: Database, found: Sequence[Run]) -> None:
    """Raise InputError for runs that do not compare."""
    first, *rest = found
    here = database.find(Extraction, first.extraction_id)
    alike = {here.dataset_id}
    for run in rest:
        for name in ("analysis", "version", "labels"):
            mine, other = getattr(run, name), getattr(first, name)
            if mine != other:
                raise InputError(
                    f"run {run.id} has {name} {mine} and run {first.id} {other}; runs that are "
                    f"compared have the same"
                )
        there = database.find(Extraction, run.extraction_id)
        if there.pooling != here.pooling:
            raise InputError(
                f"run {run.id} has {there.pooling} rows and run {first.id} {here.pooling} rows; "
                f'choose one pooling, as --runs "{_query(first, f"e.pooling = {here.pooling!r}")}"'
            )
        if there.dataset_id not in alike:
            _check_texts(database, run, there, first, here)
            alike.add(there.dataset_id)
    check_parameters([(run.id, run.parameters) for run in found])
    seen: dict[tuple[int, str | None], int] = {}
    for run in found:
        place = (run.extraction_id, run.site)
        if place in seen:
            raise InputError(
                f"runs {seen[place]} and {run.id} are both of extraction {run.extraction_id}; "
                f"name one of them"
            )
        seen[place] = run.id


def _check_texts(
    database: Database, run: Run, there: Extraction, first: Run, here: Extraction
) -> None:
    """Data sets whose texts are the same may have other targets: what each model wrote itself."""
    if read_samples(database, there.dataset_id)[0] != read_samples(database, here.dataset_id)[0]:
        theirs, ours = (database.find(Dataset, e.dataset_id).name for e in (there, here))
        raise InputError(
            f"run {run.id} is over other samples ({theirs}) than run {first.id} ({ours}); choose "
            f'one, as --runs "{_query(first, f"e.dataset_id = {here.dataset_id}")}"'
        )


def _query(run: Run, where: str) -> str:
    return (
        f"SELECT r.id FROM runs r JOIN extractions e ON e.id = r.extraction_id "
        f"WHERE r.status = 'done' AND r.analysis = '{run.analysis}' AND {where}"
    )


@dataclass(frozen=True, eq=False)
class _Tables(Mapping[str, ResultTable]):
    """Tables of a run, each read when it is asked for: those of hundreds of runs fill a memory."""

    database: Database
    run: Run
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> ResultTable:
        if name not in self.names:
            raise KeyError(name)
        return read_table(self.database, self.run, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def opened_runs(database: Database, found: Sequence[Run]) -> Runs:
    """Make the input `runs`."""
    return Runs(tuple(_opened(database, run) for run in found))


def opened_tags(database: Database, found: Sequence[Run]) -> Tags:
    """Make the input `tags`."""
    models = {run.id: database.find(Extraction, run.extraction_id).model_id for run in found}
    known = {model: tags_of(database, model) for model in set(models.values())}
    return Tags({run: known[model] for run, model in models.items()}, models)


def _opened(database: Database, run: Run) -> RunResult:
    extraction = database.find(Extraction, run.extraction_id)
    return RunResult(
        run.id,
        database.find(Model, extraction.model_id).spec,
        database.find(Dataset, extraction.dataset_id).name,
        run.site,
        run.parameters,
        _Tables(database, run, table_names(database, run.analysis)),
        lambda: read_rows(database, extraction.id),
    )
