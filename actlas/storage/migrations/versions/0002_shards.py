"""Shards with owners, shared payloads, indexes of the highest and lowest rows, proofs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("models", sa.Column("sites", sa.JSON(), nullable=True))
    op.add_column(
        "datasets", sa.Column("modality", sa.Text(), nullable=False, server_default="text")
    )
    op.add_column("samples", sa.Column("target", sa.Text(), nullable=True))
    op.add_column(
        "extractions", sa.Column("shards", sa.BigInteger(), nullable=False, server_default="1")
    )
    op.add_column("activations", sa.Column("difference", sa.Double(), nullable=True))
    op.add_column("activations", sa.Column("tolerance", sa.Double(), nullable=True))
    op.add_column("activations", sa.Column("against", sa.Text(), nullable=True))
    op.add_column("activations", sa.Column("error", sa.Double(), nullable=True))
    _progress()
    _payloads()
    _chunks()
    _indexes()


def _progress() -> None:
    """One shard an extraction, as far as its foremost site has come."""
    op.create_table(
        "shards",
        sa.Column("extraction_id", BIG_ID, nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("first_sample", sa.BigInteger(), nullable=False),
        sa.Column("stop_sample", sa.BigInteger(), nullable=False),
        sa.Column("samples_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_sum", sa.BigInteger(), nullable=True),
        sa.Column("first_row", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("heartbeat", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["extraction_id"], ["extractions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("extraction_id", "shard"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO shards SELECT e.id, 0, 0, d.samples, "
        "COALESCE((SELECT MAX(samples_done) FROM activations a WHERE a.extraction_id = e.id), 0), "
        "COALESCE((SELECT MAX(rows_done) FROM activations a WHERE a.extraction_id = e.id), 0), "
        "NULL, CASE WHEN e.rows IS NULL THEN NULL ELSE 0 END, NULL, NULL "
        "FROM extractions e JOIN datasets d ON d.id = e.dataset_id"
    )
    op.create_table(
        "parts",
        sa.Column("activation_id", BIG_ID, nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("samples_done", sa.BigInteger(), nullable=False),
        sa.Column("rows_done", sa.BigInteger(), nullable=False),
        sa.Column("squared_error", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["activation_id"], ["activations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("activation_id", "shard"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO parts SELECT id, 0, samples_done, rows_done, 0 FROM activations")


def _payloads() -> None:
    """The bytes of a chunk no longer go with it: another chunk may share them."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("chunk_data_chunk_id_fkey", "chunk_data", type_="foreignkey")
        op.rename_table("chunk_data", "payloads")
        op.alter_column("payloads", "chunk_id", new_column_name="id")
        op.execute("ALTER INDEX chunk_data_pkey RENAME TO payloads_pkey")
        op.execute("CREATE SEQUENCE payloads_id_seq AS bigint OWNED BY payloads.id")
        op.execute("SELECT setval('payloads_id_seq', (SELECT MAX(id) FROM payloads))")
        op.execute("ALTER TABLE payloads ALTER COLUMN id SET DEFAULT nextval('payloads_id_seq')")
        return
    op.create_table(
        "payloads",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO payloads SELECT chunk_id, data FROM chunk_data")
    op.drop_table("chunk_data")


def _chunks() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("chunks", sa.Column("data_id", BIG_ID, nullable=True))
        op.execute("UPDATE chunks SET data_id = id")
        op.alter_column("chunks", "data_id", nullable=False)
        op.create_foreign_key("chunks_data_id_fkey", "chunks", "payloads", ["data_id"], ["id"])
    else:
        op.rename_table("chunks", "old_chunks")
        op.create_table(
            "chunks",
            sa.Column("id", BIG_ID, nullable=False),
            sa.Column("activation_id", BIG_ID, nullable=False),
            sa.Column("first_row", sa.BigInteger(), nullable=False),
            sa.Column("rows", sa.BigInteger(), nullable=False),
            sa.Column("dtype", sa.Text(), nullable=False),
            sa.Column("codec", sa.Text(), nullable=False),
            sa.Column("checksum", sa.String(length=16), nullable=False),
            sa.Column("data_id", BIG_ID, nullable=False),
            sa.ForeignKeyConstraint(["activation_id"], ["activations.id"], ondelete="CASCADE"),
            sa.ForeignKeyConstraint(["data_id"], ["payloads.id"]),
            sa.PrimaryKeyConstraint("id"),
            sa.UniqueConstraint("activation_id", "first_row"),
        )
        op.execute(
            "INSERT INTO chunks SELECT id, activation_id, first_row, rows, dtype, codec, checksum, "
            "id FROM old_chunks"
        )
        op.drop_table("old_chunks")
    op.create_index("ix_chunks_data_id", "chunks", ["data_id"], unique=False)


def _indexes() -> None:
    op.create_table(
        "top_indexes",
        sa.Column("activation_id", BIG_ID, nullable=False),
        sa.Column("first_sample", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("first_row", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("k", sa.BigInteger(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("checksum", sa.String(length=16), nullable=False),
        sa.Column("data_id", BIG_ID, nullable=False),
        sa.ForeignKeyConstraint(["activation_id"], ["activations.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["data_id"], ["payloads.id"]),
        sa.PrimaryKeyConstraint("activation_id", "first_sample"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_top_indexes_data_id", "top_indexes", ["data_id"], unique=False)
