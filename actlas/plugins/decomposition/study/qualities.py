"""Files of qualities: what each run is of, and how good its model is."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actlas import InputError, RunResult, Runs

WHICH = ("model", "run")
TAGS = (*WHICH, "series", "step", "seed", "condition", "sample")
NAMED = 5  # runs that a remark names
EXAMPLE = "model,series,step,seed,condition,bleu"


@dataclass(frozen=True)
class Line:
    """One line of a file: its number, its tags as written, and its qualities; NaN where empty."""

    number: int
    tags: dict[str, str]
    values: dict[str, float]

    def whole(self, name: str, path: str) -> int:
        """Return a tag that is a whole number of 0 or more."""
        written = self.tags[name]
        if not written.isdecimal():
            raise InputError(f"{path}, line {self.number}: {name} {written!r} is no whole number")
        return int(written)


@dataclass(frozen=True)
class QualityFile:
    """Lines of a file, and its quality columns."""

    path: str
    metrics: tuple[str, ...]
    lines: tuple[Line, ...]

    def of(self, runs: Runs) -> dict[int, list[Line]]:
        """Return the lines of each run, by its number; InputError where one fits several models.

        A line names a run by its number, or a model by its spec or the end of its path.
        """
        models = sorted({run.model for run in runs})
        named = {w: self._named(w, models) for w in {line.tags["model"] for line in self.lines}}
        found: dict[int, list[Line]] = {run.id: [] for run in runs}
        for line in self.lines:
            for run in runs:
                chosen = line.tags["run"]
                if chosen == str(run.id) if chosen else run.model == named[line.tags["model"]]:
                    found[run.id].append(line)
        return found

    def _named(self, written: str, models: Sequence[str]) -> str | None:
        if not written:
            return None
        paths = {model: model.partition(":")[2] or model for model in models}
        fits = [m for m, path in paths.items() if written in (m, path)]
        fits = fits or [m for m in models if f"/{paths[m]}".endswith(f"/{written.strip('/')}")]
        if len(fits) > 1:
            raise InputError(
                f"{self.path}: {written!r} fits {fits[0]} and {fits[1]}; write more of the path"
            )
        return fits[0] if fits else None


def read_file(path: str, *needed: str) -> QualityFile:
    """Read a CSV (or .tsv) with a header; InputError names the columns that are missing."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise InputError(f"no file {path}; write one with the columns {EXAMPLE}")
    try:
        with place.open(encoding="utf-8-sig", newline="") as file:
            rows = [r for r in csv.reader(file, delimiter=_delimiter(place)) if any(r)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV in UTF-8: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in needed if name not in header]
    if not set(WHICH) & set(header):
        missing.insert(0, "model")
    metrics = tuple(name for name in header if name and name not in TAGS)
    if missing or not metrics:
        lacks = ", ".join([*missing, *(["a quality, such as bleu"] if not metrics else [])])
        raise InputError(
            f"{path} lacks the columns {lacks}; it has {', '.join(header) or 'none'}. Write a "
            f"header such as {','.join(['model', *needed, 'bleu'])}"
        )
    if len(set(header)) < len(header):
        raise InputError(f"{path} has two columns of the same name in {', '.join(header)}")
    return QualityFile(path, metrics, tuple(_lines(path, header, metrics, rows[1:])))


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix == ".tsv" else ","


def _lines(
    path: str, header: Sequence[str], metrics: Sequence[str], rows: Sequence[list[str]]
) -> Iterator[Line]:
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} values for {len(header)} columns")
        written = dict(zip(header, map(str.strip, row), strict=True))
        tags = {name: written.get(name, "") for name in TAGS}
        values = {name: _number(path, number, name, written[name]) for name in metrics}
        yield Line(number, tags, values)


def _number(path: str, line: int, name: str, written: str) -> float:
    try:
        value = float(written or "nan")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise InputError(
            f"{path}, line {line}: {name} {written!r} is no number; leave it empty if unknown"
        )
    return value


@dataclass(frozen=True)
class Checkpoint:
    """A run with its place in training and its qualities by name; NaN where unknown."""

    run: RunResult
    series: str
    step: int
    condition: str
    values: dict[str, float]


def checkpoints(runs: Runs, file: QualityFile) -> tuple[list[Checkpoint], list[str]]:
    """Return the runs that the file has a line for, by series and step, and what to remark.

    Raises InputError for a run with two lines, two runs in one place, and where none fits.
    """
    found, lost, lines = [], [], file.of(runs)
    for run in runs:
        if not lines[run.id]:
            lost.append(run)
        elif len(lines[run.id]) > 1:
            first, second = lines[run.id][:2]
            raise InputError(
                f"{file.path}: lines {first.number} and {second.number} are both of run {run.id}, "
                f"{run.model}; leave one out"
            )
        else:
            found.append(_checkpoint(run, lines[run.id][0], file.path))
    if not found:
        raise InputError(
            f"{file.path} names none of the models of these runs, such as {runs.runs[0].model}; "
            f"write specs, or ends of paths, in the column model"
        )
    _check_places(found)
    used = {line.number for each in lines.values() for line in each}
    unused = [line for line in file.lines if line.number not in used]
    remarks = _remarks(file.path, lost, unused)
    return sorted(found, key=lambda c: (c.series, c.step, c.run.data)), remarks


def _checkpoint(run: RunResult, line: Line, path: str) -> Checkpoint:
    series = line.tags["series"]
    if not series:
        raise InputError(f"{path}, line {line.number}: series is empty; name the training run")
    condition = line.tags["condition"] or series
    return Checkpoint(run, series, line.whole("step", path), condition, line.values)


def _check_places(found: Sequence[Checkpoint]) -> None:
    seen: dict[tuple[str, int, str], Checkpoint] = {}
    conditions: dict[str, str] = {}
    for point in found:
        place = (point.series, point.step, point.run.data)
        if place in seen:
            raise InputError(
                f"runs {seen[place].run.id} and {point.run.id} are both step {point.step} of "
                f"series {point.series}; leave one out of --runs, or name their series apart"
            )
        seen[place] = point
        known = conditions.setdefault(point.series, point.condition)
        if known != point.condition:
            raise InputError(
                f"series {point.series} has the conditions {known} and {point.condition}; a "
                f"training run has one"
            )


def _remarks(path: str, lost: Sequence[RunResult], unused: Sequence[Line]) -> list[str]:
    said = []
    if lost:
        said.append(f"left out, since {path} has no line for them: {named(lost)}")
    if unused:
        more = f" and {len(unused) - NAMED} more" if len(unused) > NAMED else ""
        numbers = ", ".join(str(line.number) for line in unused[:NAMED])
        said.append(f"lines of {path} that are of no run: {numbers}{more}")
    return said


def named(runs: Sequence[RunResult]) -> str:
    """Count runs and name the first."""
    more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    first = ", ".join(f"{run.id} ({run.model})" for run in runs[:NAMED])
    return f"{len(runs)} run{'s' * (len(runs) != 1)}: {first}{more}"
