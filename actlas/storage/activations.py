"""Extractions out of the store: their identity, rows and matrices."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..core import (
    MISSING,
    Activations,
    ExtractOptions,
    InputError,
    Layers,
    Rows,
    Site,
    SiteError,
    select_sites,
)
from ..core import digest as digest_of
from .chunks import ChunkSource
from .database import Database
from .tables import Activation, Dataset, Extraction, Model, Row


def extraction_key(
    model: Model, dataset: Dataset, options: ExtractOptions, model_dtype: str, stack: str
) -> str:
    """Identity of an extraction: what its numbers depend on, sites apart."""
    return digest_of(
        "extraction", model.digest, dataset.digest, asdict(options), model_dtype, stack
    )


def read_rows(database: Database, extraction_id: int) -> Rows:
    """Read the provenance of all rows of an extraction."""
    with database.read() as session:
        statement = (
            sa.select(
                Row.sample, Row.position, Row.token, Row.token_id, Row.char_start, Row.char_end,
                Row.special,
            )
            .where(Row.extraction_id == extraction_id)
            .order_by(Row.row)
        )  # fmt: skip
        columns = list(zip(*session.execute(statement), strict=True)) or [()] * 7

    def integers(column: Sequence[int | None]) -> NDArray[np.int64]:
        return np.array([MISSING if value is None else value for value in column], np.int64)

    sample, position, token, token_id, start, end, special = columns
    return Rows(
        np.array(sample, np.int64),
        integers(position),
        list(token),
        integers(token_id),
        integers(start),
        integers(end),
        np.array(special, bool),
    )


def newest_extraction(database: Database) -> int | None:
    """Number of the newest extraction, one that has a complete site before any that has none."""
    with database.read() as session:
        complete = sa.select(sa.func.max(Activation.extraction_id)).where(Activation.complete)
        return session.scalar(complete) or session.scalar(sa.select(sa.func.max(Extraction.id)))


def activation_records(database: Database, extraction_id: int) -> Sequence[Activation]:
    """The sites of an extraction, in the order of the forward pass."""
    with database.read() as session:
        statement = sa.select(Activation).where(Activation.extraction_id == extraction_id)
        return session.scalars(statement.order_by(Activation.depth, Activation.id)).all()


def read_activations(
    database: Database, extraction: Extraction, sites: str | Sequence[str]
) -> Layers:
    """Open the complete matrices of an extraction at sites (names, globs, negative indices).

    Raises SiteError for a site that is not stored, InputError for one that is not complete.
    """
    records = {a.site: a for a in activation_records(database, extraction.id)}
    ready = {name: Site(name, "", a.width, residual=True) for name, a in records.items()}
    if not ready:
        raise InputError(f"extraction {extraction.id} holds no activations; extract again")
    try:
        names = select_sites(sites, ready)
    except SiteError as error:
        raise SiteError(f"extraction {extraction.id} has {error}") from error
    unfinished = [name for name in names if not records[name].complete]
    if unfinished:
        raise InputError(
            f"{unfinished[0]} of extraction {extraction.id} is not complete; run the same "
            f"`actlas extract` again: it goes on where it stopped"
        )
    cache: dict[str, Rows] = {}

    def rows() -> Rows:
        if "rows" not in cache:
            cache["rows"] = read_rows(database, extraction.id)
        return cache["rows"]

    def opened(record: Activation) -> Activations:
        source = ChunkSource(
            database, record.id, (record.rows_done, record.width), record.nonfinite
        )
        return Activations(source, record.site, load_rows=rows)

    return Layers(tuple(opened(records[name]) for name in names))


def options_json(options: ExtractOptions, extra: dict[str, Any]) -> dict[str, Any]:
    """The options of an extraction as stored."""
    return asdict(options) | extra
