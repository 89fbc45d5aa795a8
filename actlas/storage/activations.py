"""Models, data sets and extractions in and out of the store."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ..core import (
    MISSING,
    Activations,
    ExtractOptions,
    InputError,
    LabelError,
    LabelSet,
    Layers,
    LoadedModel,
    Rows,
    Site,
    SiteError,
    Window,
    array_bytes,
    nearest,
    select_sites,
)
from ..core import Dataset as Texts
from ..core import digest as digest_of
from .chunks import ChunkSource, write_chunks
from .database import Database
from .tables import Activation, Dataset, Extraction, Label, Model, Row, Sample
from .tables import LabelSet as StoredLabels

ROW_COLUMNS = (
    "extraction_id", "row", "sample", "position", "token", "token_id", "char_start", "char_end",
    "special",
)  # fmt: skip


def add_model(database: Database, model: LoadedModel) -> Model:
    """Record a model, once per digest."""
    with database.write("models") as session:
        found = session.scalar(sa.select(Model).where(Model.digest == model.digest))
        if found is None:
            found = Model(
                spec=model.spec,
                digest=model.digest,
                architecture=model.architecture,
                parameters=model.parameters,
                max_length=model.max_length,
                config=model.configuration,
            )
            session.add(found)
        return found


def add_dataset(database: Database, texts: Texts) -> Dataset:
    """Record a data set, once per digest; label sets that are new or changed are (re)written."""
    digest = texts.digest()
    with database.write("datasets") as session:
        known = session.scalar(sa.select(Dataset).where(Dataset.digest == digest))
        found = known or _new_dataset(database, session, texts, digest)
        stored = {
            s.name: s
            for s in session.scalars(
                sa.select(StoredLabels).where(StoredLabels.dataset_id == found.id)
            )
        }
        for label_set in texts.label_sets.values():
            old, new = stored.get(label_set.name), label_set.digest()
            if old is not None and old.digest == new:
                continue
            if old is not None:
                session.delete(old)
                session.flush()
            _add_labels(database, session, found.id, label_set, new)
        return found


def _new_dataset(database: Database, session: Session, texts: Texts, digest: str) -> Dataset:
    added = Dataset(name=texts.name, digest=digest, samples=len(texts), skipped=texts.skipped)
    session.add(added)
    session.flush()
    database.backend.insert(
        session.connection(),
        "samples",
        ["dataset_id", "sample", "text"],
        ((added.id, i, text) for i, text in enumerate(texts.texts)),
    )
    return added


def _add_labels(
    database: Database, session: Session, dataset_id: int, labels: LabelSet, digest: str
) -> None:
    added = StoredLabels(dataset_id=dataset_id, name=labels.name, level=labels.level, digest=digest)
    session.add(added)
    session.flush()
    columns = ["label_set_id", "sample", "char_start", "char_end", "value"]
    rows = ((added.id, *item) for item in labels.items)
    database.backend.insert(session.connection(), "labels", columns, rows)


def label_sets(database: Database, dataset_id: int) -> dict[str, str]:
    """Names of a data set's label sets with their levels."""
    with database.read() as session:
        found = sa.select(StoredLabels.name, StoredLabels.level).order_by(StoredLabels.id)
        return dict(session.execute(found.where(StoredLabels.dataset_id == dataset_id)).all())


def read_labels(database: Database, dataset_id: int, name: str) -> LabelSet:
    """Read a label set of a data set; LabelError lists what there is."""
    with database.read() as session:
        found = session.scalar(
            sa.select(StoredLabels).where(
                StoredLabels.dataset_id == dataset_id, StoredLabels.name == name
            )
        )
        if found is None:
            known = label_sets(database, dataset_id)
            raise LabelError(f"no label set {name!r} on this data set; {nearest(name, known)}")
        statement = (
            sa.select(Label.sample, Label.char_start, Label.char_end, Label.value)
            .where(Label.label_set_id == found.id)
            .order_by(Label.id)
        )
        items = [(s, a, b, v) for s, a, b, v in session.execute(statement)]
        return LabelSet(name, "sample" if found.level == "sample" else "word", items)


def read_texts(database: Database, dataset_id: int, samples: Sequence[int]) -> dict[int, str]:
    """Read some samples' texts."""
    with database.read() as session:
        statement = sa.select(Sample.sample, Sample.text).where(
            Sample.dataset_id == dataset_id, Sample.sample.in_(set(samples))
        )
        return dict(session.execute(statement).all())


def extraction_key(
    model: Model, dataset: Dataset, options: ExtractOptions, model_dtype: str, stack: str
) -> str:
    """Identity of an extraction: what its numbers depend on, sites apart."""
    return digest_of(
        "extraction", model.digest, dataset.digest, asdict(options), model_dtype, stack
    )


def begin_extraction(
    database: Database, wanted: Extraction, sites: Sequence[Site], order: Sequence[str]
) -> tuple[Extraction, list[Activation]]:
    """Record an extraction, or find the one with the same key, and the sites asked for.

    order: names of all sites in the order of the forward pass.
    """
    with database.write("extractions") as session:
        found = session.scalar(sa.select(Extraction).where(Extraction.key == wanted.key))
        if found is None:
            session.add(wanted)
            session.flush()
            found = wanted
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
                    extraction_id=found.id, site=site.name, depth=depth, width=site.width,
                    rows_done=0, samples_done=0, complete=False, nonfinite=0, overflow=0,
                )  # fmt: skip
                session.add(known[site.name])
        return found, [known[site.name] for site in sites]


def write_window(
    database: Database, extraction: Extraction, window: Window, seconds: float
) -> None:
    """Commit one window: chunks of every site that lacks it, its rows, and the progress."""
    with database.write(f"extraction {extraction.id}") as session:
        sites = session.scalars(
            sa.select(Activation).where(
                Activation.extraction_id == extraction.id, Activation.site.in_(window.data)
            )
        ).all()
        behind = [a for a in sites if a.samples_done == window.first_sample]
        if not behind:
            return
        first_row = behind[0].rows_done
        matrices = [
            (a.id, first_row, extraction.dtype, array_bytes(window.data[a.site])) for a in behind
        ]
        write_chunks(database.backend, session, matrices)
        stored = session.scalar(
            sa.select(sa.func.max(Row.row)).where(Row.extraction_id == extraction.id)
        )
        current = session.get_one(Extraction, extraction.id)
        if stored is None or stored < first_row:
            _insert_rows(database, session, extraction.id, first_row, window.rows)
            current.truncated = (current.truncated or 0) + window.truncated
        current.seconds += seconds
        for activation in behind:
            activation.rows_done += len(window.rows)
            activation.samples_done = window.stop_sample
            activation.nonfinite += window.nonfinite[activation.site]
            activation.overflow += window.overflow[activation.site]


def finish_extraction(
    database: Database, extraction: Extraction, sites: Sequence[str], samples: int
) -> list[Activation]:
    """Mark the sites that hold every sample complete, and return those that do not.

    A site that had come further than the others, to where no window of this pass began (an
    older actlas cut windows otherwise), is passed over and has to be taken up by itself.
    """
    with database.write(f"extraction {extraction.id}") as session:
        found = session.scalars(
            sa.select(Activation).where(
                Activation.extraction_id == extraction.id, Activation.site.in_(sites)
            )
        ).all()
        for activation in found:
            if activation.samples_done == samples:
                activation.complete = True
                session.get_one(Extraction, extraction.id).rows = activation.rows_done
        return [activation for activation in found if not activation.complete]


def _insert_rows(
    database: Database, session: Session, extraction_id: int, first_row: int, rows: Rows
) -> None:
    def known(column: NDArray[np.int64]) -> Iterator[int | None]:
        return (None if value == MISSING else value for value in column.tolist())

    n = len(rows)
    columns = (
        [extraction_id] * n,
        range(first_row, first_row + n),
        rows.sample.tolist(),
        known(rows.position),
        rows.token,
        known(rows.token_id),
        known(rows.start),
        known(rows.end),
        rows.special.tolist(),
    )
    database.backend.insert(session.connection(), "rows", ROW_COLUMNS, zip(*columns, strict=True))


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
