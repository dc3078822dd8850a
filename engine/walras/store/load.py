"""Reading the state back after a restart."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from walras.audit import envelope
from walras.audit.bindings import read_binding
from walras.audit.merkle import Tree
from walras.core.assets import Asset
from walras.core.errors import Reason, WalrasError
from walras.ledger.book import BookEntry, IntentState
from walras.ledger.fleet import from_json as fleet_from_json
from walras.ledger.keys import Keys
from walras.ledger.pricing import Pricing
from walras.ledger.state import State
from walras.market.watch import VenueWatch
from walras.protocol.codec import decode
from walras.protocol.keys import KeyBinding
from walras.protocol.problem import Price
from walras.protocol.records import Genesis, Kind, RulesSet
from walras.protocol.trade import decode_intent
from walras.protocol.venues import decode_venue
from walras.store import schema
from walras.store.commit import AuctionRow, SignedCheckpoint
from walras.store.database import Store, explained

_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store holds.

    Attributes:
        state: as the last committed record left it.
        tree: over every leaf.
        checkpoint: the newest signed one; None in a new store.
        auction: the newest; None before the first.
    """

    state: State
    tree: Tree
    checkpoint: SignedCheckpoint | None
    auction: AuctionRow | None


async def load(store: Store) -> Loaded:
    """All that the engine needs to go on.

    Raises:
        WalrasError: LOG_INCOMPLETE where the leaves are not as many as the newest checkpoint
            covers; INTERNAL where the database cannot be read.
    """
    with explained():
        return await _load(store)


async def _load(store: Store) -> Loaded:
    async with store.read() as db:
        tree = Tree()
        bindings: list[tuple[int, KeyBinding]] = []
        leaf = schema.leaf
        while True:
            rows = await db.execute(
                sa.select(leaf.c.envelope)
                .where(leaf.c.leaf_index >= tree.size)
                .order_by(leaf.c.leaf_index)
                .limit(_PAGE)
            )
            page = rows.scalars().all()
            for body in page:
                index = tree.append(body)
                if (binding := read_binding(body)) is not None:
                    bindings.append((index, binding))
            if len(page) < _PAGE:
                break
        newest = (
            await db.execute(
                sa.select(schema.checkpoint).order_by(schema.checkpoint.c.size.desc()).limit(1)
            )
        ).first()
        if (newest.size if newest else 0) != tree.size:
            raise WalrasError(
                Reason.LOG_INCOMPLETE,
                f"the store has {tree.size} leaves but its newest checkpoint covers"
                f" {newest.size if newest else 0}",
                hint="the database was changed from outside; restore a copy",
            )
        auction = (
            await db.execute(
                sa.select(schema.auction).order_by(schema.auction.c.auction_id.desc()).limit(1)
            )
        ).first()
        state = await _load_state(db)
        for index, binding in bindings:
            state.bind_key(binding, index)
        return Loaded(
            state,
            tree,
            SignedCheckpoint(newest.size, newest.note) if newest else None,
            AuctionRow(auction.state, auction.summary) if auction else None,
        )


async def _load_state(db: AsyncConnection) -> State:
    state = State()
    pricing: dict[str, Any] | None = None
    feeds: dict[str, Any] = {}
    for row in await db.execute(sa.select(schema.setting)):
        if row.name == schema.FLEET:
            state.fleet = fleet_from_json(row.body.decode())
            continue
        if row.name == schema.WATCH:
            state.market.watch = VenueWatch.from_json(json.loads(row.body))
            continue
        if row.name == schema.PRICING:
            pricing = json.loads(row.body)
            continue
        if row.name.startswith(schema.FEED):
            feeds[row.name.removeprefix(schema.FEED)] = json.loads(row.body)
            continue
        if row.name == schema.COSIGNED:
            continue  # what was published is no part of the state
        record = decode(Kind(row.name), row.body)
        if isinstance(record, Genesis):
            state.genesis, state.keys = record, Keys.of(record)
        elif isinstance(record, RulesSet):
            state.rules = record.rules
    if pricing is not None or feeds:
        state.market.pricing = Pricing.from_json(pricing or Pricing().to_json(), feeds)
    for row in await db.execute(sa.select(schema.asset)):
        state.market.assets[row.id] = Asset(row.id, row.symbol, row.decimals)
    for row in await db.execute(sa.select(schema.venue)):
        state.market.venues[row.id] = decode_venue(row.body)
    for row in await db.execute(sa.select(schema.price)):
        state.market.prices[row.asset] = Price(int(row.amount), row.source)
    for row in await db.execute(sa.select(schema.balance).where(schema.balance.c.amount != "0")):
        state.balances[row.owner, row.asset] = int(row.amount)
    for row in await db.execute(sa.select(schema.nonce)):
        state.nonces.add((row.signer, int(row.nonce)))
    rows = await db.execute(
        sa.select(schema.intent, schema.leaf.c.envelope)
        .join(schema.leaf, schema.leaf.c.leaf_index == schema.intent.c.leaf_index)
        .where(schema.intent.c.state == IntentState.OPEN.value)
        .order_by(schema.intent.c.leaf_index)
    )
    for row in rows:
        state.book.add(
            BookEntry(
                row.id,
                decode_intent(envelope.decode(row.envelope).body),
                row.leaf_index,
                int(row.remaining),
                int(row.settled),
            )
        )
    return state
