"""Copying what is complete from one store into another, chunk by chunk, to be taken up again.

An extraction goes under a key of its own (`copy-…`) that no `extract` looks for, until all of
it is there; then, in one transaction, it gets its real key, or its sites move to the extraction
that has that key already. What a killed copy has committed is found again by that key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..core import InputError, StoreError
from .copies import NOUN, RecordCopier, values
from .copysites import Advance, Copied, SiteCopier
from .database import Database, drop_orphans, patiently, payloads_of
from .tables import (
    Activation,
    Chunk,
    Dataset,
    Extraction,
    Model,
    Part,
    Row,
    Shard,
)
from .verify import COPYING

BATCH_ROWS = 20_000
ROW_COLUMNS = tuple(c.name for c in Row.__table__.columns)


def copy(
    source: Database,
    target: Database,
    extractions: Sequence[int] | None = None,
    advance: Advance = lambda chunks, rows: None,
) -> Copied:
    """Copy a store, or some extractions with their models, data sets and runs, into another.

    What is there (by digest or key) is not written again, so a copy that was killed is seen
    through by the same call, and stores can be merged. Sites that lack samples stay behind.
    advance: told after every chunk 1, and its number of rows.

    Raises CorruptError for a chunk that does not match its checksum, InputError where the
    target holds the same extraction unfinished.
    """
    if source.backend.url == target.backend.url:
        raise InputError(f"{source.backend.name} is the store itself; name another")
    done, records = Copied(), RecordCopier(source, target)
    chosen = [source.find(Extraction, i) for i in extractions or ()]
    if extractions is None:
        chosen = list(source.records("extractions"))
        for kind in (Model, Dataset):
            for record in source.records(NOUN[kind]):
                records.ensure(kind, record.id)
    for extraction in chosen:
        if extraction.rows is None:
            done.left.append(f"extraction {extraction.id} is not complete")
            continue
        copier = _ExtractionCopier(source, target, extraction, done, advance)
        ident = copier.copy(records)
        done.runs += records.copy_runs(extraction.id, ident)
    return done


@dataclass
class _ExtractionCopier:
    """One extraction on its way."""

    source: Database
    target: Database
    extraction: Extraction
    done: Copied
    advance: Advance

    def copy(self, records: RecordCopier) -> int:
        """Bring over what is missing and return the extraction's number in the target."""
        there, missing = self._missing()
        self._note_incomplete()
        if there is not None and not missing:
            self._drop_draft()
            return there.id
        draft = self._draft(records)
        if there is None:
            self._copy_rows(draft)
        sites = SiteCopier(
            self.source, self.target, self.extraction, self._draft_key, self.done, self.advance
        )
        for activation in missing:
            sites.copy(draft, activation)
            self.done.sites += 1
        self.done.extractions += there is None
        return self._finish(draft, missing)

    def _missing(self) -> tuple[Extraction | None, list[Activation]]:
        """Return the extraction as it is in the target, and the sites that it lacks there."""
        mine = [a for a in self._sites(self.source, self.extraction.id) if a.complete]
        with self.target.read() as session:
            there = session.scalar(
                sa.select(Extraction).where(Extraction.key == self.extraction.key)
            )
        if there is None:
            return None, mine
        known = {a.site: a for a in self._sites(self.target, there.id)}
        begun = [a.site for a in mine if a.site in known and not known[a.site].complete]
        if begun or there.rows is None:
            raise InputError(
                f"extraction {there.id} of {self.target.backend.name} is the same and not "
                f"complete; see it through with `actlas extract`, or remove it with `actlas "
                f"extractions rm {there.id}`"
            )
        if there.rows != self.extraction.rows:
            raise StoreError(
                f"extraction {there.id} of {self.target.backend.name} has {there.rows:,} rows, "
                f"extraction {self.extraction.id} of {self.source.backend.name} has "
                f"{self.extraction.rows:,}; check both with `actlas store verify`"
            )
        return there, [a for a in mine if a.site not in known]

    def _note_incomplete(self) -> None:
        for activation in self._sites(self.source, self.extraction.id):
            if not activation.complete:
                self.done.left.append(
                    f"{activation.site} of extraction {self.extraction.id} is not complete"
                )

    @staticmethod
    def _sites(database: Database, ident: int) -> Sequence[Activation]:
        with database.read() as session:
            return session.scalars(
                sa.select(Activation)
                .where(Activation.extraction_id == ident)
                .order_by(Activation.id)
            ).all()

    @property
    def _draft_key(self) -> str:
        return COPYING + self.extraction.key[len(COPYING) :]

    def _draft(self, records: RecordCopier) -> int:
        """Record the extraction under its provisional key, or find it there."""
        named = {
            "model_id": records.ensure(Model, self.extraction.model_id),
            "dataset_id": records.ensure(Dataset, self.extraction.dataset_id),
            "key": self._draft_key,
            "rows": None,
        }
        with self.target.write("extractions") as session:
            found = session.scalar(
                sa.select(Extraction.id).where(Extraction.key == self._draft_key)
            )
            if found is not None:
                return found
            draft = Extraction(**values(self.extraction, "id") | named)
            session.add(draft)
            session.flush()
            return draft.id

    def _drop_draft(self) -> None:
        """Remove what a killed copy has left of an extraction that came otherwise since."""
        with self.target.read() as session:
            left = session.scalar(sa.select(Extraction.id).where(Extraction.key == self._draft_key))
        if left is not None:
            self.target.remove(Extraction, left)

    def _copy_rows(self, draft: int) -> None:
        """Bring over the provenance; a transaction takes some, from where the last stopped."""
        total = self.extraction.rows or 0
        columns = [c for c in Row.__table__.columns if c.name != "extraction_id"]
        while (start := self._next_row(draft)) < total:
            statement = sa.select(*columns).where(
                Row.extraction_id == self.extraction.id,
                Row.row >= start,
                Row.row < start + BATCH_ROWS,
            )
            with self.source.read() as session:
                rows = session.execute(statement.order_by(Row.row)).all()
            if len(rows) != min(BATCH_ROWS, total - start):
                raise StoreError(self._lacks("rows"))
            patiently(partial(self._put_rows, draft, start, rows))

    def _next_row(self, draft: int) -> int:
        with self.target.read() as session:
            return self._last_row(session, draft) + 1

    @staticmethod
    def _last_row(session: Session, draft: int) -> int:
        last = sa.select(sa.func.max(Row.row)).where(Row.extraction_id == draft)
        found = session.scalar(last)
        return -1 if found is None else found

    def _put_rows(self, draft: int, start: int, rows: Sequence[Any]) -> None:
        with self.target.write(self._draft_key) as session:
            if self._last_row(session, draft) + 1 == start:  # nobody else was faster
                given = ((draft, *row) for row in rows)
                self.target.backend.insert(session.connection(), "rows", ROW_COLUMNS, given)

    def _finish(self, draft: int, missing: Sequence[Activation]) -> int:
        """Count what has come over, and let it be found under the real key."""
        with self.source.read() as session:
            shards = session.scalars(
                sa.select(Shard).where(Shard.extraction_id == self.extraction.id)
            ).all()
        with self.target.write("extractions") as session:
            self._check_counts(session, draft, missing)
            there = session.scalar(
                sa.select(Extraction).where(Extraction.key == self.extraction.key)
            )
            if there is None:
                there = session.get_one(Extraction, draft)
                there.key, there.rows = self.extraction.key, self.extraction.rows
                session.add_all(
                    Shard(**values(shard, "owner", "heartbeat") | {"extraction_id": draft})
                    for shard in shards
                )
                session.flush()
            self._settle(session, draft, there.id)
            if there.id != draft:
                left = payloads_of(session, draft)
                session.delete(session.get_one(Extraction, draft))
                session.flush()
                drop_orphans(session, left)
            return there.id

    def _check_counts(self, session: Session, draft: int, missing: Sequence[Activation]) -> None:
        counted = dict(
            session.execute(
                sa.select(Activation.site, sa.func.sum(Chunk.rows))
                .join(Chunk, Chunk.activation_id == Activation.id)
                .where(Activation.extraction_id == draft)
                .group_by(Activation.site)
            ).all()
        )
        if any(counted.get(a.site, 0) != a.rows_done for a in missing):
            raise StoreError(self._lacks("chunks"))

    def _settle(self, session: Session, draft: int, ident: int) -> None:
        """Mark the sites complete, in the shards of the extraction they now belong to."""
        shards = session.scalars(sa.select(Shard).where(Shard.extraction_id == ident)).all()
        taken = set(
            session.scalars(
                sa.select(Activation.site).where(
                    Activation.extraction_id == ident, Activation.complete
                )
            )
        )
        for activation in session.scalars(
            sa.select(Activation).where(Activation.extraction_id == draft)
        ).all():
            if activation.site in taken:  # somebody else was faster
                continue
            squared = (activation.error or 0.0) ** 2
            session.add_all(
                Part(
                    activation_id=activation.id, shard=s.shard, samples_done=s.stop_sample,
                    rows_done=s.rows_done, squared_error=squared * s.rows_done,
                )
                for s in shards
            )  # fmt: skip
            activation.extraction_id, activation.complete = ident, True
        session.flush()

    def _lacks(self, what: str) -> str:
        return (
            f"extraction {self.extraction.id} has not all its {what}; find out more with `actlas "
            f"store verify --store {self.source.backend.name} --extraction {self.extraction.id}`"
        )
