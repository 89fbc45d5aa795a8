"""Models that were never loaded here: what another tool's activations are said to come from."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from ..core import Site
from .database import Database
from .tables import Dataset, Model


def add_imported_model(
    database: Database, spec: str, digest: str, sites: list[Site], config: dict[str, Any]
) -> Model:
    """Record where imported activations come from, once per digest of their content."""
    with database.write("models") as session:
        found = session.scalar(sa.select(Model).where(Model.digest == digest))
        if found is None:
            found = Model(
                spec=spec, digest=digest, architecture="imported", parameters=0, max_length=0,
                config=config, sites=[asdict(site) for site in sites],
            )  # fmt: skip
            session.add(found)
        return found


def known_dataset(database: Database, digest: str) -> Dataset | None:
    """Find a data set by the digest of its content."""
    with database.read() as session:
        return session.scalar(sa.select(Dataset).where(Dataset.digest == digest))
