"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "leaf",
        sa.Column("leaf_index", _BIG, primary_key=True),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "blob",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "checkpoint",
        sa.Column("size", _BIG, primary_key=True),
        sa.Column("note", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "intent",
        sa.Column("leaf_index", _BIG, primary_key=True),
        sa.Column("id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("owner", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("remaining", sa.Text, nullable=False),
        sa.Column("settled", sa.Text, nullable=False),
    )
    op.create_index("intent_by_owner", "intent", ["owner", "leaf_index"])
    op.create_index("intent_by_state", "intent", ["state", "leaf_index"])
    op.create_table(
        "nonce",
        sa.Column("signer", sa.LargeBinary, primary_key=True),
        sa.Column("nonce", sa.Text, primary_key=True),
    )
    op.create_table(
        "balance",
        sa.Column("owner", sa.LargeBinary, primary_key=True),
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("amount", sa.Text, nullable=False),
    )
    op.create_table(
        "asset",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("symbol", sa.Text, nullable=False),
        sa.Column("decimals", sa.Integer, nullable=False),
    )
    op.create_table(
        "venue",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "price",
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
    )
    op.create_table(
        "auction",
        sa.Column("auction_id", _BIG, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
    )
    op.create_table(
        "request",
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("checkpoint_size", _BIG, nullable=False),
        sa.Column("created_ms", _BIG, nullable=False),
    )
    op.create_index("request_by_age", "request", ["created_ms"])
    op.create_table(
        "setting",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
