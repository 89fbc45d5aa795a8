"""Runs: the stored results of one analysis over many models, which another compares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from .errors import InputError
from .results import Result, ResultTable
from .rows import Rows


@final
@dataclass(frozen=True, eq=False)
class RunResult:
    """What one run gave, and of what it is.

    id: its number in the store; without one, its place from 1.
    model: spec of the model.
    data: name of the data set. Decoders may have read other targets of it in every run.
    site: the site it read; None where it read all.
    parameters: what the analysis was set to.
    tables: by name; of a stored run each is read when it is asked for, and not kept.
    load_rows: gives the provenance of the rows that its tables number.
    """

    id: int
    model: str
    data: str
    site: str | None
    parameters: Mapping[str, Any]
    tables: Mapping[str, ResultTable]
    load_rows: Callable[[], Rows] | None = None

    @property
    def rows(self) -> Rows:
        """Provenance of the rows, read when asked for; InputError where it is not known."""
        if self.load_rows is None:
            raise InputError(f"run {self.id} knows no rows; give them with Runs.of(…, rows=[…])")
        return self.load_rows()


@final
@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of one analysis with the same parameters over the same samples, one a model and site."""

    runs: tuple[RunResult, ...]

    def __post_init__(self) -> None:
        if not self.runs:
            raise InputError("give one run or more")
        check_parameters([(run.id, run.parameters) for run in self.runs])

    @classmethod
    def of(
        cls,
        *results: Result,
        models: Sequence[str],
        data: str | Sequence[str] = "data",
        rows: Sequence[Rows] = (),
    ) -> "Runs":
        """Put results together, each with its model; data: the data set of all, or of each.

        Raises InputError where there are not as many of one as of the other.
        """
        names = [data] * len(results) if isinstance(data, str) else list(data)
        if {len(models), len(names)} != {len(results)} or len(rows) not in (0, len(results)):
            raise InputError(
                f"{len(results)} results, {len(models)} models, {len(names)} data sets and "
                f"{len(rows)} times rows; give one of each a result, or no rows"
            )
        given: list[Rows | None] = [*rows] or [None] * len(results)
        columns = zip(results, models, names, map(_given, given), strict=True)
        return cls(
            tuple(
                RunResult(number, model, name, None, r.parameters, r.tables, load)
                for number, (r, model, name, load) in enumerate(columns, 1)
            )
        )

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[RunResult]:
        return iter(self.runs)


@final
@dataclass(frozen=True, eq=False)
class Tags(Mapping[int, Mapping[str, str | float]]):
    """What is known of the model of each run, by the run's number: tags, numbers where they are.

    models: of each run the model, by a number that tells models of the same spec apart.
    """

    tags: Mapping[int, Mapping[str, str | float]]
    models: Mapping[int, int]

    @classmethod
    def of(cls, runs: Runs, *tags: Mapping[str, str | float]) -> "Tags":
        """Put tags beside runs, in their order; every run is of another model.

        Raises InputError where there are not as many of one as of the other.
        """
        if len(tags) != len(runs):
            raise InputError(f"{len(runs)} runs and {len(tags)} times tags; give one of each")
        numbers = [run.id for run in runs]
        return cls(dict(zip(numbers, tags, strict=True)), dict(zip(numbers, numbers, strict=True)))

    def __getitem__(self, run: int) -> Mapping[str, str | float]:
        return self.tags[run]

    def __iter__(self) -> Iterator[int]:
        return iter(self.tags)

    def __len__(self) -> int:
        return len(self.tags)


def check_parameters(runs: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    """Raise InputError unless runs, by number, have the same parameters."""
    first, there = runs[0]
    for run, here in runs:
        for name in sorted({*here, *there}):
            if here.get(name) != there.get(name):
                raise InputError(
                    f"run {run} has {name}={here.get(name)} and run {first} "
                    f"{name}={there.get(name)}; name runs that have the same parameters"
                )


def _given(rows: Rows | None) -> Callable[[], Rows] | None:
    return None if rows is None else lambda: rows
