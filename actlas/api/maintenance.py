"""Looking after stores: verify, give back what is not needed, copy."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..core import StoreError
from ..storage import Extraction, Fault, chunk_count, clean, verify
from ..storage import copy as copy_between
from .progress import bar
from .store import Store, open


def verify_store(
    store: Store, extraction: int | str | None = None, *, progress: bool = False
) -> Iterator[Fault]:
    """Read all of a store (or one extraction) and yield what is wrong, as it is found.

    Payloads are compared with their checksums, indexes of highest and lowest rows with the
    rows, counts with what they count, data sets with their digests.
    """
    database = store.database
    ident = None if extraction is None else database.find(Extraction, extraction).id
    try:
        total = chunk_count(database, ident)
    except StoreError:  # damaged there too; what follows says where
        total = 0
    with bar("verifying", total, "rows", shown=progress) as advance:
        yield from verify(database, ident, advance)


def fault_record(fault: Fault) -> dict[str, Any]:
    """A fault as a plain dictionary, for JSON."""
    return asdict(fault)


def clean_store(
    store: Store,
    *,
    failed_days: int | None = None,
    unused: bool = False,
    incomplete: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Remove what a store no longer needs and say what that was.

    failed_days: failed runs of so many days ago or more.
    unused: models and data sets that no extraction uses.
    incomplete: sites and extractions that lack samples and that nobody is at work on.
    dry_run: only say what would be removed.
    """
    removed = clean(
        store.database,
        failed_days=failed_days,
        unused=unused,
        incomplete=incomplete,
        dry_run=dry_run,
    )
    return {
        "store": store.url,
        "dry_run": dry_run,
        "bytes": sum(one.bytes for one in removed),
        "removed": [asdict(one) for one in removed],
    }


def copy_store(
    source: str,
    target: str,
    extractions: Sequence[int] | None = None,
    *,
    progress: bool = False,
) -> dict[str, Any]:
    """Copy a store, or some extractions of it, into another, made where it is missing.

    What the other holds already is not written again: a copy that was killed is seen through
    by the same call, and the stores of two machines can be merged.

    Raises CorruptError for bytes that do not match their checksum, InputError where both URLs
    are the same or the other store holds an extraction unfinished, SchemaError.
    """
    with open(source, create=False) as mine:
        for ident in extractions or ():
            mine.database.find(Extraction, ident)
        total = sum(chunk_count(mine.database, i) for i in extractions or (None,))
        with open(target) as other, bar("copying", total, "rows", shown=progress) as advance:
            done = copy_between(mine.database, other.database, extractions, advance)
            return {"source": mine.url, "target": other.url, **asdict(done)}
