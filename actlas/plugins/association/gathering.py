"""Numbers of stored runs, one a model and test."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actlas import InputError, RunResult, Runs, Tags

Over = Literal["site", "mean", "max", "min", "last"]
REDUCE: dict[str, Callable[[list[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "last": lambda values: values[-1],
}
FEWEST = 4  # of three, every order has a p of at least 1/3


class Test(NamedTuple):
    """What is associated: an indicator at a site (one for all where empty), of a row of a table."""

    site: str
    row: str
    indicator: str


@dataclass(frozen=True)
class Model:
    """A model that has the tag: its number, spec, quality, and the group it is in."""

    number: int
    name: str
    quality: float
    group: str


@dataclass
class Gathered:
    """values: of each test by the model's number; left_out: specs of models without the tag.

    checkpoints: how many models say at which step of training they were saved, where steps differ.
    """

    models: list[Model]
    values: dict[Test, dict[int, float]]
    left_out: list[str]
    checkpoints: int

    def matrix(self) -> NDArray[np.float64]:
        """Return (tests, models), NaN where there is no number."""
        rows = [
            [found.get(m.number, np.nan) for m in self.models] for found in self.values.values()
        ]
        return np.array(rows, np.float64).reshape(len(self.values), len(self.models))


def gather(
    runs: Runs, tags: Tags, quality: str, control: str, table: str, columns: Sequence[str],
    by: Sequence[str], over: Over,
) -> Gathered:  # fmt: skip
    """Read a table of every run; InputError where names do not fit or too few models have the tag.

    columns: of the table (default: all that hold numbers); by: columns that tell its rows apart.
    """
    found = _models(runs, tags, quality, control)
    known = {model.number for model in found.models}
    parts: dict[Test, dict[int, list[float]]] = {}
    seen: dict[tuple[str, int], int] = {}
    for run in runs:
        model = tags.models[run.id]
        if model not in known:
            continue
        if (earlier := seen.setdefault((run.site or "", model), run.id)) != run.id:
            raise InputError(
                f"runs {earlier} and {run.id} are of one model at one site; name one of them"
            )
        for row, indicator, value in _numbers(run, table, columns, by):
            test = Test((run.site or "") if over == "site" else "", row, indicator)
            parts.setdefault(test, {}).setdefault(model, []).append(value)
    reduce = REDUCE["last" if over == "site" else over]
    found.values = {
        test: {model: reduce(values) for model, values in of.items()} for test, of in parts.items()
    }
    return found


def _models(runs: Runs, tags: Tags, quality: str, control: str) -> Gathered:
    models: dict[int, Model] = {}
    left_out: dict[str, None] = {}
    steps: dict[int, str | float] = {}
    for run in runs:
        number, own = tags.models[run.id], tags[run.id]
        value = own.get(quality)
        if value is None or (control and control not in own):
            left_out[run.model] = None
        elif isinstance(value, str):
            raise InputError(
                f"{run.model}: {quality}={value} is no number; only numbers compare, so write "
                f"kinds as 0 and 1, or compare within them (--control)"
            )
        else:
            models[number] = Model(number, run.model, value, str(own.get(control, "")))
            steps |= {number: own["step"]} if "step" in own else {}
    if len(models) < FEWEST:
        wanted = f"{quality!r} and {control!r}" if control else repr(quality)
        raise InputError(
            f"{len(models)} of the models have the tag {wanted}, and {FEWEST} are needed; say what "
            f"is known of them: actlas models tag MODEL {quality}=NUMBER"
        )
    if len({model.quality for model in models.values()}) == 1:
        raise InputError(
            f"all {len(models)} models have the same {quality}, and nothing goes with what does "
            f"not vary; choose another tag with --quality"
        )
    return Gathered(
        list(models.values()), {}, list(left_out), len(steps) * (len(set(steps.values())) > 1)
    )


def _numbers(
    run: RunResult, table: str, columns: Sequence[str], by: Sequence[str]
) -> Iterator[tuple[str, str, float]]:
    if table not in run.tables:
        raise InputError(f"run {run.id} has no table {table!r}; it has {', '.join(run.tables)}")
    read = run.tables[table]
    for name in (*columns, *by):
        if name not in read.columns:
            raise InputError(f"table {table!r} has no column {name!r}; {', '.join(read.columns)}")
    if not by and len(read) > 1:
        raise InputError(
            f"table {table!r} has {len(read)} rows a run; say which columns tell them apart, as "
            f"--by {next(iter(read.columns))}"
        )
    keys = [" · ".join(str(read[name][i]) for name in by) for i in range(len(read))]
    if len(set(keys)) < len(keys):
        raise InputError(
            f"--by {','.join(by)} tells the rows of table {table!r} not apart; add a column"
        )
    for name in columns or _numeric(read.columns, by):
        for key, value in zip(keys, read[name].tolist(), strict=True):
            if not isinstance(value, str) and value is not None and np.isfinite(value):
                yield key, name, float(value)


def _numeric(columns: Mapping[str, NDArray[np.generic]], by: Sequence[str]) -> list[str]:
    return [name for name, column in columns.items() if name not in by and _of_numbers(column)]


def _of_numbers(column: NDArray[np.generic]) -> bool:
    """Whether a column holds numbers; whole ones of which some are missing are objects."""
    if column.dtype.kind != "O":
        return column.dtype.kind in "biuf"
    return all(value is None or isinstance(value, int) for value in column.tolist())
