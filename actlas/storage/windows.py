"""Beginning an extraction, committing it window by window, finishing it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ..core import MISSING, InputError, Proof, Rows, Site, Window, count, relative_depth
from .chunks import write_chunks
from .codecs import Packed, checksum, pack
from .database import Database
from .entries import pack_entries
from .growth import grow
from .rowsums import added, rows_sum
from .shards import PROVISIONAL, add_shards, check_shards, cut, join, owned
from .tables import Activation, Extraction, Part, Shard, TopIndex

ROW_COLUMNS = (
    "extraction_id", "row", "sample", "position", "token", "token_id", "char_start", "char_end",
    "special",
)  # fmt: skip
TOP_COLUMNS = (
    "activation_id",
    "first_sample",
    "shard",
    "rows",
    "k",
    "codec",
    "checksum",
    "data_id",
)


@dataclass(frozen=True)
class Place:
    """Where a process writes: an extraction, its shard, and the claim on it."""

    extraction: Extraction
    shard: int
    owner: str


def begin_extraction(
    database: Database,
    wanted: Extraction,
    sites: Sequence[Site],
    order: Sequence[str],
    *,
    samples: int,
    shards: int | None = None,
    smaller: Callable[[Session], Extraction | None] = lambda session: None,
) -> tuple[Extraction, list[Activation]]:
    """Record an extraction, or find the one with the same key, and the sites asked for.

    order: names of all sites in the order of the forward pass.
    shards: how many parts to cut a new one in (default 1); InputError where it is cut
        otherwise already, or there are fewer samples.
    smaller: finds an extraction of the first samples of this data set, whose rows are taken
        over where the extraction is new.
    """
    if shards is not None and not 1 <= shards <= samples:
        raise InputError(
            f"{count(samples, 'sample')} cannot be cut into {shards} shards; use 1 to {samples}"
        )
    with database.write("extractions") as session:
        found = session.scalar(sa.select(Extraction).where(Extraction.key == wanted.key))
        if found is None:
            found = _new(session, wanted, samples, shards, smaller(session))
        else:
            database.backend.lock(session.connection(), f"extraction {found.id}")
            check_shards(session, found, shards)
        known = {
            a.site: a
            for a in session.scalars(
                sa.select(Activation).where(Activation.extraction_id == found.id)
            )
        }
        for site in sites:
            if site.name not in known:
                depth = order.index(site.name) if site.name in order else len(order)
                known[site.name] = Activation(
                    extraction_id=found.id, site=site.name, depth=depth,
                    relative_depth=relative_depth(site.name, order), width=site.width,
                    rows_done=0, samples_done=0, complete=False, nonfinite=0, overflow=0,
                )  # fmt: skip
                session.add(known[site.name])
        return found, [known[site.name] for site in sites]


def _new(
    session: Session,
    wanted: Extraction,
    samples: int,
    shards: int | None,
    smaller: Extraction | None,
) -> Extraction:
    wanted.shards = shards or 1
    session.add(wanted)
    session.flush()
    if smaller is None or shards is not None:
        add_shards(session, wanted, cut(samples, wanted.shards))
    else:
        grow(session, smaller, wanted, samples)
    return wanted


def forget_empty(database: Database, extraction: Extraction) -> None:
    """Delete the record of an extraction that nothing was stored of and nobody is at work on."""
    with database.write("extractions") as session:
        shards = session.scalars(sa.select(Shard).where(Shard.extraction_id == extraction.id)).all()
        if shards and not any(shard.samples_done or shard.owner for shard in shards):
            session.delete(session.get_one(Extraction, extraction.id))


def record_proofs(database: Database, extraction: Extraction, proofs: Sequence[Proof]) -> None:
    """Record what the first rows of sites were compared with, and their differences.

    Of several passes (shards, a run taken up again) the greatest difference stays.
    """
    with database.write(f"extraction {extraction.id}") as session:
        for proof in proofs:
            session.execute(
                sa.update(Activation)
                .where(Activation.extraction_id == extraction.id, Activation.site == proof.site)
                .where(sa.func.coalesce(Activation.difference, -1.0) <= proof.difference)
                .values(
                    difference=proof.difference, tolerance=proof.tolerance, against=proof.against
                )
            )


def pack_window(window: Window, dtype: str) -> dict[str, list[Packed]]:
    """Make the chunks of a window's sites."""
    return {name: list(pack(matrix, dtype)) for name, matrix in window.data.items()}


def write_window(
    database: Database,
    place: Place,
    window: Window,
    packed: Mapping[str, Sequence[Packed]],
    seconds: float,
) -> None:
    """Commit one window: chunks of every site that lacks it, its rows, and the progress.

    A window that is there already is passed over, so that a write whose outcome was not
    heard of can be tried again.
    """
    with database.write(large=True) as session:
        shard = owned(session, place.extraction.id, place.shard, place.owner)
        behind = _behind(session, place, window)
        connection = session.connection()
        base = place.shard * PROVISIONAL
        chunks = [
            (activation.id, base + first, one)
            for activation, part in behind
            for first, one in _numbered(part.rows_done, packed[activation.site])
        ]
        if chunks:
            write_chunks(database.backend, connection, chunks)
        truncated = 0
        if shard.samples_done == window.first_sample:
            rows = _row_columns(place.extraction.id, base + shard.rows_done, window.rows)
            database.backend.insert(connection, "rows", ROW_COLUMNS, rows)
            shard.samples_done, shard.rows_done = (
                window.stop_sample, shard.rows_done + len(window.rows)
            )  # fmt: skip
            shard.rows_sum = added(shard.rows_sum, rows_sum(window.rows))
            truncated = window.truncated
        shard.heartbeat = database.backend.clock(connection)
        for activation, part in behind:
            _advance(session, activation, part, window, packed[activation.site])
        # Last, and activations by id: whoever writes another shard takes the same turns.
        _add(session, Extraction, place.extraction.id, seconds=seconds, truncated=truncated)


def _behind(session: Session, place: Place, window: Window) -> list[tuple[Activation, Part]]:
    """The sites that come to this window next."""
    statement = (
        sa.select(Activation, Part)
        .join(Part, Part.activation_id == Activation.id)
        .where(
            Activation.extraction_id == place.extraction.id,
            Activation.site.in_(window.data),
            Part.shard == place.shard,
            Part.samples_done == window.first_sample,
        )
        .order_by(Activation.id)
    )
    return [(activation, part) for activation, part in session.execute(statement)]


def _numbered(first_row: int, packed: Sequence[Packed]) -> Iterator[tuple[int, Packed]]:
    for one in packed:
        yield first_row, one
        first_row += one.rows


def _advance(
    session: Session, activation: Activation, part: Part, window: Window, packed: Sequence[Packed]
) -> None:
    rows, samples = len(window.rows), window.stop_sample - window.first_sample
    part.samples_done, part.rows_done = window.stop_sample, part.rows_done + rows
    part.squared_error += sum(p.squared_error for p in packed)
    _add(
        session, Activation, activation.id, rows_done=rows, samples_done=samples,
        nonfinite=window.nonfinite[activation.site], overflow=window.overflow[activation.site],
    )  # fmt: skip


def _add(session: Session, kind: Any, ident: int, **amounts: float) -> None:
    """Add to columns in the database itself: other shards add to the same row."""
    values = {n: sa.func.coalesce(getattr(kind, n), 0) + v for n, v in amounts.items()}
    session.execute(
        sa.update(kind)
        .where(kind.id == ident)
        .values(values)
        .execution_options(synchronize_session=False)
    )


def _row_columns(extraction_id: int, first_row: int, rows: Rows) -> Iterator[tuple[Any, ...]]:
    def known(column: NDArray[np.int64]) -> Iterator[int | None]:
        return (None if value == MISSING else value for value in column.tolist())

    n = len(rows)
    return zip(
        [extraction_id] * n,
        range(first_row, first_row + n),
        rows.sample.tolist(),
        known(rows.position),
        rows.token,
        known(rows.token_id),
        known(rows.start),
        known(rows.end),
        rows.special.tolist(),
        strict=True,
    )


def finish_shard(
    database: Database, place: Place, tops: Mapping[int, tuple[int, int, NDArray[Any]]]
) -> None:
    """Write the indexes of a shard (activation id → rows, k, entries) and join what is complete."""
    with database.write(f"extraction {place.extraction.id}") as session:
        shard = owned(session, place.extraction.id, place.shard, place.owner)
        there = set(
            session.scalars(
                sa.select(TopIndex.activation_id).where(
                    TopIndex.activation_id.in_(tops), TopIndex.shard == place.shard
                )
            )
        )  # where it is tried again
        _write_tops(database, session, shard, {a: t for a, t in tops.items() if a not in there})
        join(session, session.get_one(Extraction, place.extraction.id))


def _write_tops(
    database: Database,
    session: Session,
    shard: Shard,
    tops: Mapping[int, tuple[int, int, NDArray[Any]]],
) -> None:
    connection = session.connection()
    ids = database.backend.reserve(connection, "payloads", len(tops))
    packed = [pack_entries(entries, rows) for rows, _, entries in tops.values()]
    payloads = ((ident, data) for ident, (_, data) in zip(ids, packed, strict=True))
    database.backend.insert(connection, "payloads", ("id", "data"), payloads)
    described = (
        (activation, shard.first_sample, shard.shard, rows, k, codec, checksum(data), ident)
        for ident, (codec, data), (activation, (rows, k, _)) in zip(
            ids, packed, tops.items(), strict=True
        )
    )
    database.backend.insert(connection, "top_indexes", TOP_COLUMNS, described)
