"""The tables. The log is `leaf`, `blob` and `checkpoint`; the rest is what it adds up to, kept so
that a restart need not apply the log from its beginning.

Amounts exceed what SQL integers hold and are decimal text.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

metadata = MetaData()

leaf = Table(
    "leaf",
    metadata,
    Column("leaf_index", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
)

blob = Table(
    "blob",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("note", LargeBinary, nullable=False),
)

intent = Table(
    "intent",
    metadata,
    Column("leaf_index", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", LargeBinary, nullable=False, unique=True),
    Column("owner", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("remaining", Text, nullable=False),
    Column("settled", Text, nullable=False),
    Index("intent_by_owner", "owner", "leaf_index"),
    Index("intent_by_state", "state", "leaf_index"),
)

nonce = Table(
    "nonce",
    metadata,
    Column("signer", LargeBinary, primary_key=True),
    # uint64 does not fit SQL's signed integers.
    Column("nonce", Text, primary_key=True),
)

balance = Table(
    "balance",
    metadata,
    Column("owner", LargeBinary, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("amount", Text, nullable=False),
)

asset = Table(
    "asset",
    metadata,
    Column("id", Text, primary_key=True),
    Column("symbol", Text, nullable=False),
    Column("decimals", Integer, nullable=False),
)

venue = Table(
    "venue",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

price = Table(
    "price",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("amount", Text, nullable=False),
    Column("source", Text, nullable=False),
)

auction = Table(
    "auction",
    metadata,
    Column("auction_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("state", Text, nullable=False),
    # JSON of what people are told; nothing but answers is made of it.
    Column("summary", Text, nullable=False),
)

request = Table(
    "request",
    metadata,
    Column("method", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("value", Text, nullable=False),
    Column("checkpoint_size", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("created_ms", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Index("request_by_age", "created_ms"),
)

setting = Table(
    "setting",
    metadata,
    Column("name", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

FLEET = "fleet-state"
"""The setting that holds the standing of the solver nodes, as JSON."""

COSIGNED = "cosigned-checkpoint"
"""The setting that holds the newest checkpoint that a quorum of witnesses cosigned."""

PRICING = "reference-pricing"
"""The setting that holds what is known of reference prices beside the operator's, as JSON."""

FEED = "price-feed-"
"""With a feeder's key in hexadecimal digits: the setting that holds what it said, as JSON."""

WATCH = "venue-watch"
"""The setting that holds what is known of the venues' health, as JSON."""
