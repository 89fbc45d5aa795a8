"""Reading [[analyses]] and [[compare]]: their keys are those of the file and of the analysis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from ..core import InputError, PluginError, nearest
from ..registry import ANY, Analysis, Parameter, Registry
from .faults import Faults
from .keys import ANALYSES, COMPARE, Key
from .positions import Place
from .spec import AnalysisEntry, matches

GIVEN = ("groups", "other", "data", "nonfinite", "seed")  # as `Store.run` takes them


class Tables(Protocol):
    """What reads tables of the file."""

    faults: Faults

    def at(self, place: Place) -> Any:
        """Return what stands at a place."""

    def table(self, place: Place, keys: Sequence[Key], *, others: bool = False) -> dict[str, Any]:
        """Read the keys of a table."""

    def chosen(
        self, place: Place, got: dict[str, Any], names: Mapping[str, list[str]]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Take which models and data sets are meant out of a table."""


@dataclass(frozen=True)
class Reading:
    """What is at hand when entries are read; names: of the models and data sets."""

    file: Tables
    known: Registry
    folder: Path
    names: Mapping[str, list[str]]

    def add(self, place: Place, said: str) -> None:
        """Say what is wrong at a place."""
        self.file.faults.add(place, said)


def analysis_entry(reading: Reading, place: Place, *, compare: bool) -> AnalysisEntry | None:
    """Read one entry; None where it is not known which analysis it is of."""
    analysis = _analysis(reading, place, reading.file.at(place).get("name"))
    own = {parameter.name for parameter in analysis.parameters} if analysis else set()
    # Of an analysis with a seed of its own it is a parameter, of which a list makes a grid.
    keys = [key for key in (COMPARE if compare else ANALYSES) if key.name not in own]
    got = reading.file.table(place, keys, others=True)
    chosen = reading.file.chosen(place, got, reading.names)
    if analysis is None:
        return None
    grid = _grid(reading, place, analysis, keys)
    entry = AnalysisEntry(
        analysis.name,
        got.get("sites", ()),
        {name: list(got[name]) if name == "other" else got[name] for name in GIVEN if name in got},
        got.get("labels", ()),
        grid,
        *chosen,
        got.get("poolings", ("*",)),
        got.get("of"),
        got.get("other_sites", ()),
        reading.file.faults.line(place),
    )
    entry = replace(entry, of=_built_on(reading, place, analysis, entry.of))
    _check_inputs(reading, place, analysis, entry, compare=compare)
    return entry


def _analysis(reading: Reading, place: Place, name: Any) -> Analysis | None:
    if not isinstance(name, str) or not name.strip():  # which is told when the table is read
        return None
    try:
        return reading.known.get(name)
    except PluginError as error:
        reading.add((*place, "name"), str(error))
        return None


def _grid(
    reading: Reading, place: Place, analysis: Analysis, keys: Sequence[Key]
) -> dict[str, tuple[Any, ...]]:
    """Read the parameters, each as the values that it takes."""
    own = {key.name for key in keys}
    parameters = {parameter.name: parameter for parameter in analysis.parameters}
    grid = {}
    for name, value in reading.file.at(place).items():
        at = (*place, name)
        if name in own:
            continue
        if name not in parameters:
            hint = nearest(name, [*parameters, *own])
            reading.add(at, f"{analysis.name} has no parameter {name!r}; {hint}")
        elif value == []:
            reading.add(at, "an empty list runs nothing; name a value, or leave it out")
        else:
            listed = value if isinstance(value, list) else [value]
            grid[name] = _values(reading, at, analysis, parameters[name], listed)
    return grid


def _values(
    reading: Reading, place: Place, analysis: Analysis, parameter: Parameter, listed: list[Any]
) -> tuple[Any, ...]:
    found: list[Any] = []
    for index, value in enumerate(listed):
        at = (*place, index) if len(listed) > 1 else place
        try:
            fits = parameter.check(analysis.name, value)
        except InputError as error:
            reading.add(at, str(error))
            continue
        if parameter.file and isinstance(fits, str):
            fits = _files(reading, at, fits)
        if fits in found:
            reading.add(at, f"{value!r} is there twice; leave one out")
        found.append(fits)
    return tuple(found)


def _files(reading: Reading, place: Place, names: str) -> str:
    """Let files, parted by commas, start at the folder of the audit file."""
    found = [reading.folder / Path(name.strip()).expanduser() for name in names.split(",")]
    for path in found:
        if not path.exists():
            said = f"no file {path}; relative paths start at {reading.folder}"
            reading.add(place, said)
    return ",".join(map(str, found))


def _built_on(reading: Reading, place: Place, analysis: Analysis, of: str | None) -> str | None:
    """Return what `of` is, or what it must be."""
    free = ANY in analysis.bases
    if free and of is None:
        reading.add(
            (*place, "of"), f"is missing; {analysis.name} reads runs of another analysis of this "
            f'file: of = "NAME"'
        )  # fmt: skip
    elif of is not None and not free and of not in analysis.bases:
        on = f"builds on {' and '.join(analysis.bases)}" if analysis.bases else "builds on nothing"
        reading.add((*place, "of"), f"{analysis.name} {on}; leave it out")
    return of


def points(analysis: Analysis, entry: AnalysisEntry) -> list[dict[str, Any]]:
    """Return the settings of each point of an entry's grid, defaults filled in."""
    names = list(entry.grid)
    return [
        analysis.settings(dict(zip(names, values, strict=True)))
        for values in product(*entry.grid.values())
    ]


def _check_inputs(
    reading: Reading, place: Place, analysis: Analysis, entry: AnalysisEntry, *, compare: bool
) -> None:
    needs = set(analysis.needs)
    _check_place(reading, place, analysis, entry, compare=compare)
    taken = bool({"labels", "factors"} & needs)
    try:
        wanted = {name for point in points(analysis, entry) for name in analysis.wanted(point)}
    except InputError:  # a wrong value was told already
        return
    if {"labels", "factors"} & wanted and not entry.labels:
        reading.add(
            (*place, "labels"), f'is missing; {analysis.name} needs labels: labels = "NAME"'
        )
    if entry.labels and not taken and not analysis.bases:
        reading.add((*place, "labels"), f"{analysis.name} takes no labels; leave it out")
    if "groups" in entry.inputs and not taken:
        reading.add((*place, "groups"), f"{analysis.name} takes no labels, so no groups")
    if "data" in entry.inputs and "samples" not in needs:
        reading.add((*place, "data"), f"{analysis.name} reads no samples again; leave it out")


def _check_place(
    reading: Reading, place: Place, analysis: Analysis, entry: AnalysisEntry, *, compare: bool
) -> None:
    """Check that an entry that compares is under [[compare]], and any other is not."""
    needs, at = set(analysis.needs), (*place, "name")
    beside = {"other", "others"} & needs
    if compare and not beside and "runs" not in needs:
        reading.add(at, f"{analysis.name} compares nothing; put it under [[analyses]]")
    if not compare and "runs" in needs:
        reading.add(at, f"{analysis.name} is over runs of many models; put it under [[compare]]")
    if compare and beside and reading.names["models"]:
        models = [name for name in reading.names["models"] if matches(name, entry.models)]
        if len(models) == 1:
            said = f"{analysis.name} compares models, and here is one, {models[0]}; add [[models]]"
            reading.add(at, said)
    if compare or "runs" in needs:
        return
    must = beside - set(analysis.optional)
    if must and "other" not in entry.inputs:
        reading.add(
            (*place, "other"), f"is missing; {analysis.name} needs other sites: of the same model "
            f'as other = "layers.*", of other models under [[compare]]'
        )  # fmt: skip
    if "other" in entry.inputs and not beside:
        reading.add((*place, "other"), f"{analysis.name} takes no other sites; leave it out")


def bases_of(analysis: Analysis, entry: AnalysisEntry, settings: Mapping[str, Any]) -> list[str]:
    """Return the analyses that are built on with these settings."""
    wanted = "base" in analysis.wanted(settings) or "base" not in analysis.needs
    return [entry.of or name if name == ANY else name for name in analysis.bases] if wanted else []


def check_bases(
    reading: Reading, analyses: Sequence[AnalysisEntry], compared: Sequence[AnalysisEntry]
) -> None:
    """Check that what entries build on is in the file too."""
    names = [entry.name for entry in analyses]
    for table, entries in (("analyses", analyses), ("compare", compared)):
        known = names if table == "analyses" else [*names, *(entry.name for entry in entries)]
        for entry in entries:
            place = _place(reading, table, entry)
            analysis = reading.known.get(entry.name)
            try:
                built = [bases_of(analysis, entry, point) for point in points(analysis, entry)]
            except InputError:  # a wrong value was told already
                continue
            for base in dict.fromkeys(name for names in built for name in names):
                if base != ANY:  # that `of` is missing was told already
                    _check_base(reading, place, entry, base, known, analyses)


def _check_base(
    reading: Reading, place: Place, entry: AnalysisEntry, base: str, known: Sequence[str],
    analyses: Sequence[AnalysisEntry],
) -> None:  # fmt: skip
    if base not in known or base == entry.name:
        reading.add(
            (*place, "of" if entry.of else "name"),
            f"{entry.name} builds on {base}, which is not in this file; add [[analyses]] with "
            f'name = "{base}"',
        )
        return
    made = [one for one in analyses if one.name == base]
    for labels in entry.labels:
        if made and not any(labels in one.labels or not one.labels for one in made):
            there = nearest(labels, {name for one in made for name in one.labels})
            said = f"{entry.name} builds on {base}, which has no labels {labels!r} here; {there}"
            reading.add((*place, "labels"), said)


def _place(reading: Reading, table: str, entry: AnalysisEntry) -> Place:
    """Find an entry in the file again by its line."""
    index = 0
    while reading.file.faults.line((table, index)) != entry.line:
        index += 1
    return (table, index)
