"""Models, data sets and their labels in and out of the store."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import count, repeat

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import Dataset as Texts
from ..core import LabelError, LabelSet, LoadedModel, nearest
from .database import Database
from .tables import Dataset, Label, Model, Sample
from .tables import LabelSet as StoredLabels


def add_model(database: Database, model: LoadedModel) -> Model:
    """Record a model, once per digest, with the spec by which it was loaded last.

    So one whose folder has been moved is found again as soon as it is read from its new place.
    """
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
        found.spec = model.spec
        if found.sites is None:
            found.sites = [asdict(site) for site in model.sites.values()]
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
    added = Dataset(
        name=texts.name, digest=digest, samples=len(texts), skipped=texts.skipped,
        modality=texts.modality,
    )  # fmt: skip
    session.add(added)
    session.flush()
    database.backend.insert(
        session.connection(),
        "samples",
        ["dataset_id", "sample", "text", "target"],
        zip(repeat(added.id), count(), texts.texts, texts.targets or repeat(None)),
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


def has_targets(database: Database, dataset_id: int) -> bool:
    """Whether a data set has texts of its own for a decoder."""
    with database.read() as session:
        given = sa.select(Sample.sample).where(
            Sample.dataset_id == dataset_id, Sample.sample == 0, Sample.target.is_not(None)
        )
        return session.scalar(given) is not None


def read_samples(database: Database, dataset_id: int) -> tuple[list[str], list[str] | None]:
    """Read all samples' texts (or names of files), and their targets where they have any."""
    with database.read() as session:
        statement = (
            sa.select(Sample.text, Sample.target)
            .where(Sample.dataset_id == dataset_id)
            .order_by(Sample.sample)
        )
        rows = session.execute(statement).all()
    without = all(row.target is None for row in rows)
    return [r.text for r in rows], None if without else [r.target or "" for r in rows]


def read_texts(database: Database, dataset_id: int, samples: Sequence[int]) -> dict[int, str]:
    """Read some samples' texts."""
    with database.read() as session:
        statement = sa.select(Sample.sample, Sample.text).where(
            Sample.dataset_id == dataset_id, Sample.sample.in_(set(samples))
        )
        return dict(session.execute(statement).all())
