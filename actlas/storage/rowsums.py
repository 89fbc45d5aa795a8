"""A checksum of the provenance of rows that does not depend on how they came in windows."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa
import xxhash
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ..core import MISSING, Rows
from .tables import Row

AT_ONCE = 20_000
PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, as in splitmix64
SHIFT = np.uint64(32)


def rows_sum(rows: Rows) -> int:
    """Sum of a 64-bit hash of every row, as a signed number; row numbers are not part of it."""
    mixed = np.full(len(rows), len(rows.__dataclass_fields__), np.uint64)
    tokens = np.fromiter(map(_token_hash, rows.token), np.uint64, len(rows))
    numbers = (rows.sample, rows.position, rows.token_id, rows.start, rows.end, rows.special)
    for column in (tokens, *(number.astype(np.int64).view(np.uint64) for number in numbers)):
        mixed = (mixed ^ column) * PRIME
        mixed ^= mixed >> SHIFT
    return int(mixed.sum(dtype=np.uint64).view(np.int64))


@lru_cache(1 << 17)
def _token_hash(token: str | None) -> int:
    return 0 if token is None else xxhash.xxh3_64_intdigest(token.encode())


def added(*sums: int | None) -> int | None:
    """The sum of several stretches of rows together; None where one is not known."""
    known = [one for one in sums if one is not None]
    if len(known) < len(sums):
        return None
    return (sum(known) + (1 << 63)) % (1 << 64) - (1 << 63)


def stored_rows_sum(session: Session, extraction_id: int, first_row: int, rows: int) -> int | None:
    """The sum of consecutive rows as they are stored."""
    total: int | None = 0
    columns = (Row.sample, Row.position, Row.token, Row.token_id, Row.char_start, Row.char_end)
    for start in range(first_row, first_row + rows, AT_ONCE):
        stop = min(start + AT_ONCE, first_row + rows)
        found = session.execute(
            sa.select(*columns, Row.special).where(
                Row.extraction_id == extraction_id, Row.row >= start, Row.row < stop
            )
        ).all()
        total = added(total, rows_sum(_rows(list(zip(*found, strict=True)))))
    return total


def _rows(columns: Sequence[Sequence[Any]]) -> Rows:
    def integers(column: Sequence[int | None]) -> NDArray[np.int64]:
        return np.array([MISSING if v is None else v for v in column], np.int64)

    sample, position, token, token_id, start, end, special = columns
    places = (integers(sample), integers(position), token, integers(token_id))
    return Rows(*places, integers(start), integers(end), np.array(special, bool))
