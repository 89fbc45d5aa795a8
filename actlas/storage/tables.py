"""The tables of the store. What is stored as bytes is a chunk of rows, never a single value."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

BigId = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's row id


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Base(DeclarativeBase):
    """Base of the stored tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        dict[str, Any]: JSON,
        list[Any]: JSON,
        str: Text,
        float: Double,
        int: BigInteger,
        bool: Boolean,
        bytes: LargeBinary,
    }


class Model(Base):
    """A loaded network, known by the digest of its weights, configuration and preprocessor.

    sites: its named sites, so that what is stored can be looked up without loading it; null
    where an older actlas recorded it.
    """

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    spec: Mapped[str]
    digest: Mapped[str] = mapped_column(String(32), unique=True)
    architecture: Mapped[str]
    parameters: Mapped[int]
    max_length: Mapped[int]
    config: Mapped[dict[str, Any]]
    sites: Mapped[list[Any] | None]
    created: Mapped[str] = mapped_column(default=now)


class Dataset(Base):
    """Ordered samples of text, images or audio, known by the digest of their content."""

    __tablename__ = "datasets"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str]
    modality: Mapped[str] = mapped_column(default="text", server_default="text")
    digest: Mapped[str] = mapped_column(String(32), unique=True)
    samples: Mapped[int]
    skipped: Mapped[int] = mapped_column(default=0)
    created: Mapped[str] = mapped_column(default=now)


class Tag(Base):
    """What is known of a model: family, size, step, quality. number: the value, where it is one."""

    __tablename__ = "tags"
    model_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
    number: Mapped[float | None]
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class Sample(Base):
    """One sample of a data set: its text, or the name of its file.

    target: the text that the decoder of an encoder–decoder reads, where one is given.
    """

    __tablename__ = "samples"
    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True
    )
    sample: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    target: Mapped[str | None]
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class LabelSet(Base):
    """Labels of one kind over a data set; level is sample or word."""

    __tablename__ = "label_sets"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"))
    name: Mapped[str]
    level: Mapped[str]
    digest: Mapped[str] = mapped_column(String(32))
    __table_args__ = (UniqueConstraint("dataset_id", "name"),)


class Label(Base):
    """One label of a sample, or of the word at a character span of it."""

    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    label_set_id: Mapped[int] = mapped_column(ForeignKey("label_sets.id", ondelete="CASCADE"))
    sample: Mapped[int]
    char_start: Mapped[int | None]
    char_end: Mapped[int | None]
    value: Mapped[str]
    __table_args__ = (Index("ix_labels_place", "label_set_id", "sample"),)


class Extraction(Base):
    """One model over one data set with one pooling and storage dtype.

    shards: how many parts its samples are cut in.
    rows and truncated are null until one pass over the data set is complete.
    """

    __tablename__ = "extractions"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), index=True)
    pooling: Mapped[str]
    dtype: Mapped[str]
    options: Mapped[dict[str, Any]]
    shards: Mapped[int] = mapped_column(default=1, server_default="1")
    rows: Mapped[int | None]
    truncated: Mapped[int | None]
    versions: Mapped[dict[str, Any]]
    device: Mapped[str]
    created: Mapped[str] = mapped_column(default=now)
    seconds: Mapped[float] = mapped_column(default=0.0)


class Shard(Base):
    """Consecutive samples of an extraction, which one process extracts at a time.

    samples_done: the sample after the last whose rows are stored; rows_done: how many rows.
    first_row: number of its first row, null until every shard has its rows and they are
    joined; until then they are numbered from shard × 2^40.
    rows_sum: checksum of the provenance of its rows, null where an older actlas wrote them.
    owner, heartbeat: the process at work on it, and when it was last heard of (Unix time).
    """

    __tablename__ = "shards"
    extraction_id: Mapped[int] = mapped_column(
        ForeignKey("extractions.id", ondelete="CASCADE"), primary_key=True
    )
    shard: Mapped[int] = mapped_column(primary_key=True)
    first_sample: Mapped[int]
    stop_sample: Mapped[int]
    samples_done: Mapped[int]
    rows_done: Mapped[int] = mapped_column(default=0)
    rows_sum: Mapped[int | None]
    first_row: Mapped[int | None]
    owner: Mapped[str | None]
    heartbeat: Mapped[float | None]
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class Activation(Base):
    """The matrix of an extraction at a site; complete when samples_done is all of them.

    nonfinite: rows with NaN or infinity as stored; overflow: those that were finite before
    the cast to the storage dtype.
    difference, tolerance, against: the greatest difference from what it was compared with
    at the first batch, and what was allowed.
    error: root mean square of the rows' relative reconstruction errors, where stored as int8.
    depth: its place among the model's sites. relative_depth: 0 at the embedding, (i + 1) / n at
    block i of n, 1 after the last; null where its name says nothing of it.
    """

    __tablename__ = "activations"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    extraction_id: Mapped[int] = mapped_column(ForeignKey("extractions.id", ondelete="CASCADE"))
    site: Mapped[str]
    depth: Mapped[int]
    relative_depth: Mapped[float | None]
    width: Mapped[int]
    rows_done: Mapped[int] = mapped_column(default=0)
    samples_done: Mapped[int] = mapped_column(default=0)
    complete: Mapped[bool] = mapped_column(default=False)
    nonfinite: Mapped[int] = mapped_column(default=0)
    overflow: Mapped[int] = mapped_column(default=0)
    difference: Mapped[float | None]
    tolerance: Mapped[float | None]
    against: Mapped[str | None]
    error: Mapped[float | None]
    __table_args__ = (UniqueConstraint("extraction_id", "site"),)


class Part(Base):
    """How far one site has come in one shard; squared_error is summed over its rows."""

    __tablename__ = "parts"
    activation_id: Mapped[int] = mapped_column(
        ForeignKey("activations.id", ondelete="CASCADE"), primary_key=True
    )
    shard: Mapped[int] = mapped_column(primary_key=True)
    samples_done: Mapped[int]
    rows_done: Mapped[int] = mapped_column(default=0)
    squared_error: Mapped[float] = mapped_column(default=0.0)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class Chunk(Base):
    """Consecutive rows of one site; checksum is the xxh3-64 of the bytes.

    codec: raw, or int8 (each row its scale and its numbers), or int8+COLUMNS (these columns
    of each row apart, as float16).
    data_id: its bytes; a data set that has grown shares them with the smaller one.
    """

    __tablename__ = "chunks"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    activation_id: Mapped[int] = mapped_column(ForeignKey("activations.id", ondelete="CASCADE"))
    first_row: Mapped[int]
    rows: Mapped[int]
    dtype: Mapped[str]
    codec: Mapped[str]
    checksum: Mapped[str] = mapped_column(String(16))
    data_id: Mapped[int] = mapped_column(ForeignKey("payloads.id"), index=True)
    __table_args__ = (UniqueConstraint("activation_id", "first_row"),)


class TopIndex(Base):
    """The k highest and lowest rows of every unit of a site, over one shard.

    codec: NUMBER+BYTES, the dtype of the number of an entry and the bytes of its row number.
    first_row: what to add to the row numbers in it; null until the site is complete.
    """

    __tablename__ = "top_indexes"
    activation_id: Mapped[int] = mapped_column(
        ForeignKey("activations.id", ondelete="CASCADE"), primary_key=True
    )
    first_sample: Mapped[int] = mapped_column(primary_key=True)
    shard: Mapped[int]
    first_row: Mapped[int | None]
    rows: Mapped[int]
    k: Mapped[int]
    codec: Mapped[str]
    checksum: Mapped[str] = mapped_column(String(16))
    data_id: Mapped[int] = mapped_column(ForeignKey("payloads.id"), index=True)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class Payload(Base):
    """Bytes of a chunk or an index, apart from their description so that metadata stays close."""

    __tablename__ = "payloads"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    data: Mapped[bytes]


class Row(Base):
    """Where one row of an extraction comes from; spans are characters of the sample's text."""

    __tablename__ = "rows"
    extraction_id: Mapped[int] = mapped_column(
        ForeignKey("extractions.id", ondelete="CASCADE"), primary_key=True
    )
    row: Mapped[int] = mapped_column(primary_key=True)
    sample: Mapped[int]
    position: Mapped[int | None]
    token: Mapped[str | None]
    token_id: Mapped[int | None]
    char_start: Mapped[int | None]
    char_end: Mapped[int | None]
    special: Mapped[bool]
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class Run(Base):
    """One analysis with one set of parameters on stated inputs; status is done or failed."""

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(32))
    analysis: Mapped[str]
    version: Mapped[int]
    parameters: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]]
    extraction_id: Mapped[int] = mapped_column(
        ForeignKey("extractions.id", ondelete="CASCADE"), index=True
    )
    site: Mapped[str | None]
    labels: Mapped[str | None]
    status: Mapped[str]
    error: Mapped[str | None]
    warnings: Mapped[list[Any]]
    seed: Mapped[int]
    versions: Mapped[dict[str, Any]]
    host: Mapped[str]
    device: Mapped[str]
    started: Mapped[str]
    seconds: Mapped[float]
    __table_args__ = (
        Index(
            "ix_runs_done",
            "key",
            unique=True,
            sqlite_where=text("status = 'done'"),
            postgresql_where=text("status = 'done'"),
        ),
    )


class Audit(Base):
    """An audit as its file was when it was run last.

    folder: where relative paths in the file start. owner, heartbeat: the process that runs it.
    """

    __tablename__ = "audits"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    text: Mapped[str]
    folder: Mapped[str]
    started: Mapped[str]
    finished: Mapped[str | None]
    seconds: Mapped[float | None]
    workers: Mapped[int | None]
    owner: Mapped[str | None]
    heartbeat: Mapped[float | None]


class AuditJob(Base):
    """One job of an audit: a cell of its grid.

    place: its order in the file. kind: extract, analyse or compare. status: waiting, running,
    done, failed or skipped. error: why it failed or was skipped. cause: error (the same again
    would fail again), memory, timeout, died (its worker) or passing. key: equal for equal work.
    fingerprint: of the files it depends on. seconds: wall-clock time of its last attempt.
    memory: peak bytes of the process that did it. runs: numbers of the runs it made or found.
    """

    __tablename__ = "audit_jobs"
    audit_id: Mapped[int] = mapped_column(
        ForeignKey("audits.id", ondelete="CASCADE"), primary_key=True
    )
    job: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    kind: Mapped[str]
    model: Mapped[str]
    dataset: Mapped[str]
    pooling: Mapped[str]
    analysis: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    needs: Mapped[list[Any]]
    work: Mapped[dict[str, Any]]
    key: Mapped[str] = mapped_column(String(32), index=True)
    fingerprint: Mapped[str] = mapped_column(String(32))
    status: Mapped[str]
    error: Mapped[str | None]
    cause: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None]
    heartbeat: Mapped[float | None]
    started: Mapped[str | None]
    seconds: Mapped[float | None]
    memory: Mapped[int | None]
    extraction_id: Mapped[int | None]
    runs: Mapped[list[Any]]
    warnings: Mapped[list[Any]]
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012


class Array(Base):
    """A named array of a run, in C order; checksum is the xxh3-64 of the bytes."""

    __tablename__ = "arrays"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    shape: Mapped[list[Any]]
    dtype: Mapped[str]
    checksum: Mapped[str] = mapped_column(String(16))
    data: Mapped[bytes]


class ResultTable(Base):
    """Which SQL table holds which table of which analysis."""

    __tablename__ = "result_tables"
    sql_name: Mapped[str] = mapped_column(primary_key=True)
    analysis: Mapped[str]
    name: Mapped[str]
    columns: Mapped[list[Any]]
