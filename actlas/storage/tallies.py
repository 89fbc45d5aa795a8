"""The check of `verify` on how far an extraction has come: its shards and its rows."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import count
from .faults import Fault
from .rowsums import stored_rows_sum
from .shards import PROVISIONAL
from .tables import Dataset, Extraction, Row, Shard


def progress_faults(session: Session, extraction: Extraction) -> Iterator[Fault]:
    """Compare shards with each other, and with the samples and the rows there are."""
    ident = extraction.id
    shards = session.scalars(
        sa.select(Shard).where(Shard.extraction_id == ident).order_by(Shard.shard)
    ).all()
    samples = session.scalar(sa.select(Dataset.samples).where(Dataset.id == extraction.dataset_id))
    if [s.shard for s in shards] != list(range(extraction.shards)):
        yield Fault(f"it has {count(len(shards), 'shard')}, not {extraction.shards}", ident)
    edges = [0, *(s.stop_sample for s in shards)]
    if [s.first_sample for s in shards] != edges[:-1] or edges[-1] != samples:
        yield Fault(f"its shards do not cover the {samples} samples one after another", ident)
    offset = 0
    for shard in shards:
        yield from _shard_faults(session, shard, offset)
        offset += shard.rows_done
    if extraction.rows is not None and extraction.rows != offset:
        yield Fault(f"its shards have {offset:,} rows, not {extraction.rows:,}", ident)
    if extraction.rows is None and any(s.first_row is not None for s in shards):
        yield Fault("its shards are joined, but it has no number of rows", ident)
    total = session.scalar(
        sa.select(sa.func.count()).select_from(Row).where(Row.extraction_id == ident)
    )
    if total != offset:
        yield Fault(f"it has provenance of {total:,} rows, not {offset:,}", ident)


def _shard_faults(session: Session, shard: Shard, offset: int) -> Iterator[Fault]:
    where: dict[str, Any] = {"extraction": shard.extraction_id, "shard": shard.shard}
    joined = shard.first_row is not None
    base = offset if joined else shard.shard * PROVISIONAL
    if joined and shard.first_row != offset:
        yield Fault(f"it begins at row {shard.first_row:,}, not {offset:,}", **where)
    if not shard.first_sample <= shard.samples_done <= shard.stop_sample:
        yield Fault(f"{shard.samples_done} is none of its samples", **where)
    if joined and shard.samples_done < shard.stop_sample:
        yield Fault("it is joined, but lacks samples", **where)
    rows, low, high = session.execute(
        sa.select(sa.func.count(), sa.func.min(Row.sample), sa.func.max(Row.sample)).where(
            Row.extraction_id == shard.extraction_id,
            Row.row >= base,
            Row.row < base + (shard.rows_done if joined else PROVISIONAL),
        )
    ).one()
    if rows != shard.rows_done:
        yield Fault(f"it has provenance of {rows:,} rows, not {shard.rows_done:,}", **where)
    if rows and not shard.first_sample <= low <= high < shard.samples_done:
        yield Fault(f"its rows are of samples {low} to {high}", **where)
    if rows == shard.rows_done and shard.rows_sum is not None:
        found = stored_rows_sum(session, shard.extraction_id, base, rows)
        if found != shard.rows_sum:
            yield Fault("the provenance of its rows does not match its checksum", **where)
