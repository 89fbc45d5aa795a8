"""Nearest neighbours, exact: screened in float32, decided in float64."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from ..core import Activations, InputError, count
from ..storage import Database, Lookup, SitePlace, looking_up
from .lookups import Found, find_site, hit_at, opened

METRICS = ("cosine", "euclidean")
BLOCK_BYTES = 16 << 20
ROUND = 2.0**-24  # of float32
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Wanted:
    """What to look for; see `Store.near`."""

    rows: Sequence[int] = ()
    vectors: NDArray[Any] | None = None
    k: int = 10
    metric: Literal["cosine", "euclidean"] = "cosine"
    keep_self: bool = False
    other_samples: bool = False


def near(
    database: Database,
    wanted: Wanted,
    site: str,
    *,
    extraction: int | str | None = None,
    other: str | None = None,
) -> Found:
    """Find the rows nearest to rows or vectors."""
    if wanted.metric not in METRICS:
        raise InputError(f"no metric {wanted.metric!r}; there is {', '.join(METRICS)}")
    if wanted.k < 1:
        raise InputError(f"the {wanted.k} nearest rows are none; use 1 or more")
    with looking_up(database) as lookup:
        asked = find_site(database, lookup, extraction, site)
        place = asked if other is None else _other(database, lookup, asked, other)
        queries, rows = _queries(database, wanted, asked)
        if queries.shape[1] != place.width:
            raise InputError(
                f"a query has {queries.shape[1]} numbers and a row of {place.site} {place.width}; "
                f"only vectors of one width can be near"
            )
        _check(queries, rows, wanted)
        out = _left_out(lookup, wanted, rows, asked, place)
        search = Search(queries, wanted.k, wanted.metric, out)
        search.over(opened(database, place))
        places = lookup.places(place, sorted(search.found()))
        hits = tuple(
            hit_at(places[row], value, query=number)
            for number, entries in zip(rows or range(len(queries)), search.ranked(), strict=True)
            for value, row in entries
        )
        return Found(place.extraction_id, place.site, hits, "scan", search.notes())


def _other(database: Database, lookup: Lookup, asked: SitePlace, other: str) -> SitePlace:
    """Read `SITE` (of the same extraction) or `EXTRACTION:SITE`."""
    number, colon, site = other.partition(":")
    if colon and number.isdecimal():
        return find_site(database, lookup, int(number), site)
    return find_site(database, lookup, asked.extraction_id, other)


def _queries(
    database: Database, wanted: Wanted, place: SitePlace
) -> tuple[NDArray[np.float64], list[int]]:
    """The vectors to be near to (queries, width), and their row numbers where they are rows."""
    if wanted.vectors is not None:
        given = np.atleast_2d(np.asarray(wanted.vectors, np.float64))
        if given.ndim != 2 or not given.size:
            raise InputError(f"vectors are a matrix (queries, width), not shape {given.shape}")
        return given, []
    for row in wanted.rows:
        if not -place.rows <= row < place.rows:
            raise InputError(f"{place.site} has no row {row}; it has 0…{place.rows - 1}")
    rows = [int(row) % place.rows for row in wanted.rows]
    if not rows:
        raise InputError("no row to be near to; name one or more")
    return opened(database, place)[rows].astype(np.float64), rows


def _check(queries: NDArray[np.float64], rows: Sequence[int], wanted: Wanted) -> None:
    for i, query in enumerate(queries):
        name = f"row {rows[i]}" if rows else f"vector {i}"
        if not np.isfinite(query).all():
            raise InputError(f"{name} holds NaN or infinity and is near to nothing; name another")
        if wanted.metric == "cosine" and not query.any():
            raise InputError(f"{name} is zero and has no direction; use --metric euclidean")


def _left_out(
    lookup: Lookup, wanted: Wanted, rows: Sequence[int], asked: SitePlace, place: SitePlace
) -> list[NDArray[np.int64]]:
    """Rows that each query is not to find: itself, and those of its sample on request."""
    if asked.extraction_id != place.extraction_id:
        return []
    if wanted.other_samples:
        samples = lookup.places(place, list(rows))
        return [lookup.rows_of_sample(place, samples[row].sample) for row in rows]
    if wanted.keep_self or asked != place:
        return []
    return [np.array([row], np.int64) for row in rows]


@final
class Search:
    """The k nearest rows of some queries, while blocks of rows go by.

    A row is decided in float64 where float32, its rounding allowed for, does not rule it out:
    a dot product of n numbers is off by at most n·2⁻²⁴ of the product of the norms (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), and by what underflows.
    """

    def __init__(
        self,
        queries: NDArray[np.float64],
        k: int,
        metric: str,
        left_out: Sequence[NDArray[np.int64]] = (),
    ):
        self.queries, self.k, self.cosine = queries, k, metric == "cosine"
        self.left_out = left_out
        self.norms = _norms(queries)
        self.directions = (queries / np.maximum(self.norms, 1e-300)[:, None]).astype(np.float32)
        self._scores = [np.empty(0) for _ in queries]  # higher is nearer, best first
        self._rows = [np.empty(0, np.int64) for _ in queries]
        self.nonfinite = self.zero = 0

    def over(self, acts: Activations) -> None:
        """Look at all rows, in blocks of bounded size."""
        across = acts.width + 3 * len(self.queries)
        start = 0
        for block in acts.chunks(max(1, BLOCK_BYTES // (4 * across))):
            self.update(block, start)
            start += len(block)

    def update(self, block: NDArray[np.float32], first_row: int) -> None:
        """Look at some rows (n, width)."""
        norms = _norms(block)
        usable = np.isfinite(norms)
        self.nonfinite += int((~usable).sum())
        if self.cosine:
            self.zero += int((norms == 0).sum())
            usable &= norms > 0
        with np.errstate(over="ignore", invalid="ignore"):
            dots = block @ self.directions.T  # (n, queries)
        width = block.shape[1]
        slack = (width + 8) * ROUND * norms + width * 2 * TINY
        for query in range(len(self.queries)):
            best, worst = self._bounds(query, dots[:, query], norms, slack)
            keep = usable.copy()
            for mine in self.left_out[query : query + 1]:
                inside = mine[(mine >= first_row) & (mine < first_row + len(block))]
                keep[inside - first_row] = False
            self._decide(query, block, first_row, best, worst, keep)

    def _bounds(
        self, query: int, dots: NDArray[Any], norms: NDArray[Any], slack: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The highest and the lowest that each row's score can be."""
        wide = dots.astype(np.float64)
        with np.errstate(all="ignore"):
            if self.cosine:
                middle, off = wide / norms, slack / norms
            else:
                q = self.norms[query]
                middle = 2 * q * wide - norms**2 - q**2
                off = 2 * q * slack + 1e-14 * (norms + q) ** 2
            high, low = middle + off, middle - off
        known = np.isfinite(high) & np.isfinite(low)
        return np.where(known, high, np.inf), np.where(known, low, -np.inf)

    def _decide(
        self,
        query: int,
        block: NDArray[np.float32],
        first_row: int,
        best: NDArray[np.float64],
        worst: NDArray[np.float64],
        keep: NDArray[np.bool_],
    ) -> None:
        sure = np.concatenate([self._scores[query], worst[keep]])
        if len(sure) > self.k:
            keep &= best >= np.partition(sure, -self.k)[-self.k]
        chosen = np.flatnonzero(keep)
        if not len(chosen):
            return
        scores = self._exact(query, block[chosen].astype(np.float64))
        scores = np.concatenate([self._scores[query], scores])
        rows = np.concatenate([self._rows[query], chosen + first_row])
        order = np.lexsort((rows, -scores))[: self.k]
        self._scores[query], self._rows[query] = scores[order], rows[order]

    def _exact(self, query: int, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cosine similarity, or minus the squared distance."""
        vector = self.queries[query]
        if self.cosine:
            scores = (rows * vector).sum(axis=1) / (_norms(rows) * self.norms[query])
            return np.clip(scores, -1.0, 1.0)  # type: ignore[no-any-return]
        return -np.square(rows - vector).sum(axis=1)  # type: ignore[no-any-return]

    def found(self) -> set[int]:
        """Numbers of all rows found."""
        return {int(row) for rows in self._rows for row in rows}

    def ranked(self) -> list[list[tuple[float, int]]]:
        """Per query the similarities or distances with their rows, nearest first."""
        values = [s if self.cosine else np.sqrt(-s) for s in self._scores]
        return [
            list(zip(v.tolist(), r.tolist(), strict=True))
            for v, r in zip(values, self._rows, strict=True)
        ]

    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        found = []
        if self.nonfinite:
            found.append(f"{count(self.nonfinite, 'row')} with NaN or infinity left out")
        if self.zero:
            found.append(f"{count(self.zero, 'zero row')} without a direction left out")
        return tuple(found)


def _norms(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Euclidean norms of the rows in float64; not finite where a number is not."""
    with np.errstate(invalid="ignore"):
        squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64, casting="safe")
        return np.sqrt(squares)  # type: ignore[no-any-return]
