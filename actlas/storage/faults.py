"""What `verify` finds, and how a check that cannot even read goes on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..core import UnavailableError
from .shards import PROVISIONAL


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a store, and where.

    rows: the first row and the one after the last, where it is about rows; of a shard that
        is not joined yet they count from its beginning.
    """

    what: str
    extraction: int | None = None
    site: str | None = None
    shard: int | None = None
    chunk: int | None = None
    rows: tuple[int, int] | None = None

    def __str__(self) -> str:
        places = [
            "" if self.extraction is None else f"extraction {self.extraction}",
            self.site or "",
            "" if self.shard is None else f"shard {self.shard}",
            "" if self.chunk is None else f"chunk {self.chunk}",
            "" if self.rows is None else f"rows {self.rows[0]:,} to {self.rows[1] - 1:,}",
        ]
        where = ", ".join(place for place in places if place)
        return f"{where}: {self.what}" if where else self.what


def guarded(place: str, found: Iterable[Fault], **where: Any) -> Iterator[Fault]:
    """Yield faults; where the store cannot be read, that is one, and the next check goes on.

    Damaged bytes raise whatever reads them: the database, the decoding of text or JSON, numpy.
    """
    try:
        yield from found
    except UnavailableError:
        raise
    except Exception as error:
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        yield Fault(f"{place} cannot be read ({said})", **where)


def placed(first_row: int, rows: int) -> dict[str, Any]:
    """Say where rows are: of a shard that is not joined, its number and rows of its own."""
    shard, first = divmod(first_row, PROVISIONAL)
    where: dict[str, Any] = {"rows": (first, first + rows)}
    return where | ({"shard": shard} if shard else {})
