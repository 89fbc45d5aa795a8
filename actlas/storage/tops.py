"""Small look-ups without the ORM: a site, its index of extremes, where rows come from."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from ..core import CorruptError
from .database import Database
from .entries import entry_bytes, unpack_entries
from .tables import Activation, Extraction, Row, Sample, TopIndex

AT_ONCE = 500  # rows in one IN list
# Written once: a statement that is built anew costs more than the query.
NEWEST = sa.select(
    sa.func.coalesce(
        sa.select(sa.func.max(Activation.extraction_id))
        .where(Activation.complete)
        .scalar_subquery(),
        sa.select(sa.func.max(Extraction.id)).scalar_subquery(),
    )
)
SITE = (
    sa.select(
        Activation.id, Activation.extraction_id, Extraction.dataset_id, Activation.site,
        Activation.width, Activation.rows_done, Activation.complete,
    )
    .join(Extraction, Extraction.id == Activation.extraction_id)
    .where(
        Activation.extraction_id == sa.bindparam("extraction"),
        Activation.site == sa.bindparam("site"),
    )
)  # fmt: skip
INDEXES = (
    sa.select(TopIndex.first_row, TopIndex.rows, TopIndex.k, TopIndex.codec, TopIndex.data_id)
    .where(TopIndex.activation_id == sa.bindparam("activation"))
    .order_by(TopIndex.first_sample)
)
PLACES = (
    sa.select(
        Row.row, Row.sample, Row.position, Row.token, Row.char_start, Row.char_end, Sample.text
    )
    .outerjoin(
        Sample, (Sample.dataset_id == sa.bindparam("dataset")) & (Sample.sample == Row.sample)
    )
    .where(
        Row.extraction_id == sa.bindparam("extraction"),
        Row.row.in_(sa.bindparam("rows", expanding=True)),
    )
)
SAME_SAMPLE = sa.select(Row.row).where(
    Row.extraction_id == sa.bindparam("extraction"), Row.sample == sa.bindparam("sample")
)


@dataclass(frozen=True)
class SitePlace:
    """A site of an extraction, as far as looking something up in it needs."""

    activation_id: int
    extraction_id: int
    dataset_id: int
    site: str
    width: int
    rows: int
    complete: bool


@dataclass(frozen=True)
class RowPlace:
    """Where a row comes from, with the text of its sample."""

    row: int
    sample: int
    position: int | None
    token: str | None
    start: int | None
    end: int | None
    text: str | None


@dataclass(frozen=True)
class Extremes:
    """The outermost rows of a unit, outermost first, equal ones by row number.

    exact: how many of them are certainly the outermost of all rows.
    whole: whether there are no others.
    """

    entries: NDArray[np.void]
    exact: int
    whole: bool


@final
class Lookup:
    """One consistent state of a store, for several small questions."""

    def __init__(self, database: Database, connection: Connection):
        self.database, self.connection = database, connection

    def newest(self) -> int | None:
        """Number of the newest extraction that has a complete site."""
        return self.connection.execute(NEWEST).scalar()

    def site(self, extraction_id: int, name: str) -> SitePlace | None:
        """Find a site by its exact name."""
        found = self.connection.execute(SITE, {"extraction": extraction_id, "site": name}).first()
        return None if found is None else SitePlace(*found)

    def extremes(self, site: SitePlace, units: Sequence[int], low: bool) -> list[Extremes] | None:
        """Read a side of the index for some units; None where the site has no whole index."""
        indexes = self.connection.execute(INDEXES, {"activation": site.activation_id}).all()
        if sum(index.rows for index in indexes) != site.rows:
            return None
        sizes = [index.k * entry_bytes(index.codec) for index in indexes]
        parts = [
            (index.data_id, side * size, (side + 1) * size)
            for side in (unit * 2 + low for unit in units)
            for index, size in zip(indexes, sizes, strict=True)
        ]
        datas = list(self.database.backend.blobs(self.connection.connection, parts))
        for (ident, start, stop), data in zip(parts, datas, strict=True):
            if len(data) != stop - start:
                raise CorruptError(
                    f"the top index {ident} of {site.site} has lost bytes: the store is damaged; "
                    f"restore it or extract again"
                )
        n = len(indexes)
        return [
            _merged(
                [(i.first_row, i.rows, unpack_entries(d, i.codec)) for i, d in zip(
                    indexes, datas[u * n : (u + 1) * n], strict=True)],
                low,
            )
            for u in range(len(units))
        ]  # fmt: skip

    def places(self, site: SitePlace, rows: Sequence[int]) -> dict[int, RowPlace]:
        """Say where rows come from."""
        found = {}
        given = {"extraction": site.extraction_id, "dataset": site.dataset_id}
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            for values in self.connection.execute(PLACES, given | {"rows": some}):
                found[values[0]] = RowPlace(*values)
        return found

    def rows_of_sample(self, site: SitePlace, sample: int) -> NDArray[np.int64]:
        """Numbers of the rows of a sample."""
        given = {"extraction": site.extraction_id, "sample": sample}
        return np.array(self.connection.execute(SAME_SAMPLE, given).scalars().all(), np.int64)


@contextmanager
def looking_up(database: Database) -> Iterator[Lookup]:
    """Open a store for several small questions about one state of it."""
    with database.read() as session:
        yield Lookup(database, session.connection())


def _merged(parts: Sequence[tuple[int, int, NDArray[np.void]]], low: bool) -> Extremes:
    """Merge the sides of several shards: (first row, rows, entries, outermost first)."""
    least = np.float32(np.inf if low else -np.inf)
    values, rows, ends = [], [], []
    for first_row, count, entries in parts:
        kept = entries[entries["value"] != least]  # what is left of it marks no row
        values.append(kept["value"])
        rows.append(kept["row"].astype(np.int64) + first_row)
        if count > len(entries) == len(kept):
            ends.append(rows[-1][-1])  # further rows of this shard come after this one
    merged = outermost(np.concatenate(values), np.concatenate(rows), low)
    if not ends:
        return Extremes(merged, len(merged), True)
    exact = int(np.flatnonzero(np.isin(merged["row"], ends))[0]) + 1
    return Extremes(merged, exact, False)


def outermost(
    values: NDArray[np.floating[Any]], rows: NDArray[np.int64], low: bool
) -> NDArray[np.void]:
    """Order values from the highest (or lowest) on, equal ones by row number."""
    order = np.lexsort((rows, values if low else -values))
    found = np.empty(len(order), [("value", values.dtype), ("row", np.int64)])
    found["value"], found["row"] = values[order], rows[order]
    return found
