"""Looking rows up by what they hold: the extremes of a unit, the neighbours of a row."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, overload

import numpy as np
from numpy.typing import NDArray

from ..core import Activations, InputError, count, listing
from ..storage import (
    Database,
    Extraction,
    Extremes,
    Lookup,
    RowPlace,
    SitePlace,
    looking_up,
    outermost,
    read_activations,
)

TOP = 20
BOTH_SIDES = 60  # characters of a long sentence that are shown on each side of a token


@final
@dataclass(frozen=True)
class Hit:
    """A row that was found.

    value: what it was found for: the unit's value, the cosine similarity, the Euclidean distance.
    text, start, end: the text of its sample and the characters in it that the row stands for.
    unit: the unit it is an extreme of; query: the row, or the place of the vector, it is near to.
    """

    value: float
    row: int
    token: str | None
    position: int | None
    sample: int
    text: str | None
    start: int | None
    end: int | None
    unit: int | None = None
    query: int | None = None

    @property
    def marked(self) -> str | None:
        """The text with «what the row stands for» marked."""
        if self.text is None or self.start is None or self.end is None:
            return self.text
        if self.end > len(self.text):  # milliseconds of a recording, whose file is named
            return self.text
        a, b = self.start, self.end
        return f"{self.text[:a]}«{self.text[a:b]}»{self.text[b:]}"

    @property
    def shown(self) -> str | None:
        """The marked text, cut to what is near the mark, on one line."""
        marked = self.marked
        if marked is None:
            return None
        a, b = (self.start, self.end + 2) if self.start is not None and self.end else (0, 0)
        low, high = max(0, a - BOTH_SIDES), b + BOTH_SIDES
        cut = marked[low:high]
        return " ".join(f"{'…' * (low > 0)}{cut}{'…' * (high < len(marked))}".split())


@final
@dataclass(frozen=True)
class Found(Sequence[Hit]):
    """What was found, in order, and how.

    source: index (nothing else was read) or scan (every row was read).
    notes: one line each on what was left out.
    """

    extraction: int
    site: str
    hits: tuple[Hit, ...]
    source: Literal["index", "scan"]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, place: int) -> Hit: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, place: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[place]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


def top(
    database: Database,
    site: str,
    unit: int | Sequence[int],
    k: int | None = None,
    *,
    extraction: int | str | None = None,
    end: Literal["high", "low"] = "high",
    threshold: float | None = None,
    directions: NDArray[Any] | None = None,
) -> Found:
    """Find the rows with the highest or lowest values of units; see `Store.top`."""
    if end not in ("high", "low"):
        raise InputError(f"no end {end!r}; there is high, low")
    if k is not None and k < 1:
        raise InputError(f"the top {k} rows are none; use 1 or more")
    if threshold is not None and threshold != threshold:
        raise InputError("NaN is no threshold; give a number")
    low = end == "low"
    k = TOP if k is None and threshold is None else k
    with looking_up(database) as lookup:
        place = find_site(database, lookup, extraction, site)
        if directions is not None:
            _check_width(directions, place)
            units = _units(unit, len(directions), "the array")
            scanned = _scan(opened(database, place), directions[units], k, threshold, low)
            return _found(lookup, place, units, scanned, "scan")
        units = _units(unit, place.width, place.site)
        indexed = lookup.extremes(place, units, low)
        ranked = None if indexed is None else _from_index(indexed, k, threshold, low)
        if ranked is not None:
            return _found(lookup, place, units, ranked, "index")
        scanned = _scan(opened(database, place), units, k, threshold, low)
        return _found(lookup, place, units, scanned, "scan")


def find_site(
    database: Database, lookup: Lookup, extraction: int | str | None, site: str
) -> SitePlace:
    """Find one complete site (a name, a glob, a negative index) of an extraction."""
    number = lookup.newest() if extraction is None else extraction
    if number is None:
        raise InputError("the store has no extraction; make one with `actlas extract`")
    found = lookup.site(number, site) if isinstance(number, int) else None
    if found is not None and found.complete:
        return found
    record = database.find(Extraction, number)
    names = read_activations(database, record, site).names
    if len(names) != 1:
        raise InputError(f"{site!r} names {count(len(names), 'site')}: {listing(names)}; name one")
    found = lookup.site(record.id, names[0])
    assert found is not None
    return found


def opened(database: Database, place: SitePlace) -> Activations:
    """Open the matrix of a site."""
    record = database.find(Extraction, place.extraction_id)
    return read_activations(database, record, place.site)[0]


def _units(unit: int | Sequence[int], known: int, owner: str) -> list[int]:
    chosen = [unit] if isinstance(unit, int | np.integer) else list(unit)
    if not chosen:
        raise InputError("no unit; name one or more")
    for number in chosen:
        if not -known <= number < known:
            raise InputError(
                f"{owner} has no unit {number}; it has 0…{known - 1}, and −1 is the last"
            )
    return [int(number) % known for number in chosen]


def _check_width(directions: NDArray[Any], place: SitePlace) -> None:
    if directions.shape[1] != place.width:
        raise InputError(
            f"a direction has {directions.shape[1]} numbers and a row of {place.site} "
            f"{place.width}; name an array of a run on that site"
        )


def _from_index(
    indexed: Sequence[Extremes], k: int | None, threshold: float | None, low: bool
) -> list[NDArray[np.void]] | None:
    """Take what is asked for from the index, or None where it does not reach that far."""
    ranked = []
    for one in indexed:
        entries = one.entries[: one.exact] if not one.whole else one.entries
        reached = entries[_passing(entries["value"], threshold, low)]
        if not one.whole and len(reached) == len(entries) and (k is None or k > len(entries)):
            return None
        ranked.append(reached[:k])
    return ranked


def _passing(
    values: NDArray[np.floating[Any]], threshold: float | None, low: bool
) -> NDArray[np.bool_]:
    """Mask of the values that reach a threshold; NaN and the last infinity reach none."""
    if threshold is None:
        return np.asarray(values < np.inf if low else values > -np.inf)
    wide = values.astype(np.float64)  # a float32 threshold would be another
    if low:
        return np.asarray((wide <= threshold) & (wide < np.inf))
    return np.asarray((wide >= threshold) & (wide > -np.inf))


def _scan(
    acts: Activations,
    units: Sequence[int] | NDArray[Any],
    k: int | None,
    threshold: float | None,
    low: bool,
) -> list[NDArray[np.void]]:
    """Read every row in blocks and keep what is asked for: of units, or along directions."""
    best = [Best(k, threshold, low) for _ in units]
    start = 0
    for chunk in acts:
        if isinstance(units, np.ndarray):
            with np.errstate(all="ignore"):
                values = chunk.astype(np.float64) @ units.T
        else:
            values = chunk[:, units]
        for place, one in enumerate(best):
            one.update(values[:, place], start)
        start += len(chunk)
    return [one.ranked() for one in best]


@final
class Best:
    """The k outermost values that reach a threshold (all for None), while blocks go by."""

    def __init__(self, k: int | None, threshold: float | None, low: bool):
        self.k, self.threshold, self.low = k, threshold, low
        self._parts = [outermost(np.empty(0, np.float32), np.empty(0, np.int64), low)]

    def update(self, values: NDArray[np.floating[Any]], first_row: int) -> None:
        """Look at the values of some rows."""
        values = values + values.dtype.type(0.0)  # −0.0 becomes 0.0, its equal
        keep = _passing(values, self.threshold, self.low)
        if self.k is not None and len(self._parts[0]) >= self.k:
            last = self._parts[0]["value"][-1]  # an equal value of a later row comes after
            keep &= values < last if self.low else values > last
        rows = np.flatnonzero(keep)
        if len(rows):
            self._parts.append(outermost(values[rows], rows + first_row, self.low))
            if self.k is not None:
                self._parts = [self.ranked()]

    def ranked(self) -> NDArray[np.void]:
        """What is best so far, in order."""
        both = np.concatenate(self._parts)
        return outermost(both["value"], both["row"], self.low)[: self.k]


def _found(
    lookup: Lookup,
    place: SitePlace,
    units: Sequence[int],
    ranked: Sequence[NDArray[np.void]],
    source: Literal["index", "scan"],
) -> Found:
    lists = [entries.tolist() for entries in ranked]
    places = lookup.places(place, sorted({row for entries in lists for _, row in entries}))
    hits = tuple(
        hit_at(places[row], value, unit=unit)
        for unit, entries in zip(units, lists, strict=True)
        for value, row in entries
    )
    return Found(place.extraction_id, place.site, hits, source)


def hit_at(
    place: RowPlace, value: float, *, unit: int | None = None, query: int | None = None
) -> Hit:
    """Make a hit of a row."""
    return Hit(
        value, place.row, place.token, place.position, place.sample, place.text, place.start,
        place.end, unit, query,
    )  # fmt: skip


def hit_records(hits: Iterable[Hit], by: Literal["unit", "query"]) -> list[dict[str, Any]]:
    """Hits as rows of a table, ahead of each the unit or the query that it belongs to."""
    return [
        {
            by: getattr(hit, by), "value": hit.value, "row": hit.row, "token": hit.token,
            "position": hit.position, "sample": hit.sample, "text": hit.shown,
        }
        for hit in hits
    ]  # fmt: skip
