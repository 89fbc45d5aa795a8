"""A data set that has grown: what was extracted from its first samples is taken over."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .rowsums import added
from .shards import add_shards
from .tables import Activation, Chunk, Dataset, Extraction, Part, Row, Shard, TopIndex


def smaller_extraction(
    session: Session,
    dataset: Dataset,
    prefix_digests: Callable[[Sequence[int]], dict[int, str]],
    key_of: Callable[[Dataset], str],
) -> Extraction | None:
    """Return the complete extraction of the most first samples of a data set, if there is one.

    prefix_digests: the digests that the data set would have with its first n samples only.
    key_of: the key of the same extraction over another data set.
    """
    others = session.scalars(
        sa.select(Dataset)
        .where(Dataset.samples < dataset.samples, Dataset.modality == dataset.modality)
        .order_by(Dataset.samples.desc())
    ).all()
    keys = {other.id: key_of(other) for other in others}
    known = {
        e.key: e
        for e in session.scalars(
            sa.select(Extraction).where(
                Extraction.key.in_(keys.values()), Extraction.rows.is_not(None)
            )
        )
    }
    candidates = [other for other in others if keys[other.id] in known]
    if not candidates:
        return None
    digests = prefix_digests([other.samples for other in candidates])
    same = (other for other in candidates if digests[other.samples] == other.digest)
    first = next(same, None)
    return None if first is None else known[keys[first.id]]


def grow(session: Session, old: Extraction, new: Extraction, samples: int) -> None:
    """Give a new extraction the rows of a smaller one; their bytes are shared, not copied."""
    assert old.rows is not None
    done = session.scalar(
        sa.select(sa.func.max(Shard.stop_sample)).where(Shard.extraction_id == old.id)
    )
    assert done is not None
    new.shards = 2
    add_shards(session, new, [(0, done), (done, samples)])
    first = session.get_one(Shard, (new.id, 0))
    first.samples_done, first.rows_done = done, old.rows
    sums = session.scalars(sa.select(Shard.rows_sum).where(Shard.extraction_id == old.id))
    first.rows_sum = added(*sums)
    columns = [c for c in Row.__table__.columns if c.name != "extraction_id"]
    rows = sa.select(sa.literal(new.id), *columns).where(Row.extraction_id == old.id)
    names = ["extraction_id", *(c.name for c in columns)]
    session.execute(sa.insert(Row).from_select(names, rows))
    new.truncated = old.truncated
    complete = sa.select(Activation).where(Activation.extraction_id == old.id, Activation.complete)
    for activation in session.scalars(complete).all():
        _take_over(session, activation, new, done)


def _take_over(session: Session, old: Activation, new: Extraction, samples: int) -> None:
    rows = old.rows_done
    added = Activation(
        extraction_id=new.id, site=old.site, depth=old.depth,
        relative_depth=old.relative_depth, width=old.width, rows_done=rows,
        samples_done=samples, complete=False, nonfinite=old.nonfinite, overflow=old.overflow,
        difference=old.difference, tolerance=old.tolerance, against=old.against,
    )  # fmt: skip
    session.add(added)
    session.flush()
    squared = (old.error or 0.0) ** 2 * rows
    session.add(
        Part(
            activation_id=added.id, shard=0, samples_done=samples, rows_done=rows,
            squared_error=squared,
        )
    )  # fmt: skip
    for kind, own in ((Chunk, ("id", "activation_id")), (TopIndex, ("activation_id", "shard"))):
        columns = [c for c in kind.__table__.columns if c.name not in own]
        given = {"activation_id": added.id} | ({"shard": 0} if "shard" in own else {})
        chosen = sa.select(*map(sa.literal, given.values()), *columns).where(
            kind.__table__.c.activation_id == old.id
        )
        names = [*given, *(c.name for c in columns)]
        session.execute(sa.insert(kind).from_select(names, chosen))
