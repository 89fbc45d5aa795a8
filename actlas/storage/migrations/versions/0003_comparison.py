"""Tags of models, and how deep in its network a site lies."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from actlas.core import relative_depth

revision = "0003"
down_revision = "0002"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "tags",
        sa.Column("model_id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model_id", "name"),
        sqlite_with_rowid=False,
    )
    op.add_column("activations", sa.Column("relative_depth", sa.Double(), nullable=True))
    _fill()


def _fill() -> None:
    connection = op.get_bind()
    found = connection.execute(
        sa.text(
            "SELECT a.id, a.site, m.sites FROM activations a "
            "JOIN extractions e ON e.id = a.extraction_id JOIN models m ON m.id = e.model_id"
        )
    ).all()
    update = sa.text("UPDATE activations SET relative_depth = :depth WHERE id = :id")
    for ident, site, sites in found:
        known: list[dict[str, Any]] = json.loads(sites) if isinstance(sites, str) else sites or []
        depth = relative_depth(site, [one["name"] for one in known])
        connection.execute(update, {"depth": depth, "id": ident})
