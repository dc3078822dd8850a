"""MarketService and LedgerService: what operators put, what owners hold."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from walras.api.v1 import asset_pb2, ledger_service_pb2_grpc, market_service_pb2_grpc
from walras.api.v1 import ledger_service_pb2 as ledger_pb
from walras.api.v1 import market_service_pb2 as pb
from walras.app.engine import Engine
from walras.app.sequencer import Transaction
from walras.core.errors import InvalidInput, Reason
from walras.intake.admission import OpenedRecord, check_window, open_record
from walras.protocol.keys import KeyBinding, Role
from walras.protocol.prices import PriceFeed
from walras.protocol.records import Deposit, Kind, MarketUpdate, Withdrawal
from walras.protocol.values import asset_to_wire, price_to_wire
from walras.protocol.venues import venue_to_wire
from walras.rpc.interceptor import Context
from walras.rpc.receipts import receipt
from walras.rpc.requests import check_digest, make_token, page_size, read_token, request_key
from walras.store import schema

MAX_AHEAD_MS = 10_000
"""A feeder's clock may be so far ahead; its prices count once their time has come."""


class MarketService(market_service_pb2_grpc.MarketServiceServicer):
    """Assets, venues and reference prices."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads

    async def GetSnapshot(
        self, request: pb.GetSnapshotRequest, context: Context
    ) -> pb.GetSnapshotResponse:
        """Venue states as they are now."""
        state = self._engine.sequencer.state
        names, token = _page(sorted(state.market.venues), request.page_size, request.page_token)
        return pb.GetSnapshotResponse(
            venues=[venue_to_wire(state.market.venues[name]) for name in names],
            next_page_token=token,
            log_size=self._engine.sequencer.tree.size,
        )

    async def PutVenues(
        self, request: pb.PutVenuesRequest, context: Context
    ) -> pb.PutVenuesResponse:
        """Apply an operator's market update between two batches."""
        key = request_key(request)
        opened = await _open(self._threads, request.envelope, Kind.MARKET)

        update = opened.record
        assert isinstance(update, MarketUpdate)
        # Before anything waits: strangers must not fill the queue.
        self._engine.sequencer.state.check_operator(update.domain, update.operator)

        def command(tx: Transaction) -> int:
            tx.state.update_market(update)
            return tx.append(opened.leaf)

        outcome = await self._engine.auctioneer.between_batches(update.operator, command, key)
        leaf: Any = outcome.value
        return pb.PutVenuesResponse(
            receipt=receipt(self._engine.sequencer.tree, leaf, outcome.checkpoint)
        )

    async def PutPrices(
        self, request: pb.PutPricesRequest, context: Context
    ) -> pb.PutPricesResponse:
        """Take what a feeder says of prices."""
        key = request_key(request)
        opened = await _open(self._threads, request.envelope, Kind.PRICES)
        feed = opened.record
        assert isinstance(feed, PriceFeed)
        self._engine.sequencer.state.check_feeder(feed.domain, feed.feeder)

        def command(tx: Transaction) -> int:
            if feed.at_ms > tx.now_ms + MAX_AHEAD_MS:
                raise InvalidInput(
                    Reason.FIELD_INVALID,
                    f"prices of {feed.at_ms} ms are of the future: it is {tx.now_ms} ms now",
                    field="at_ms",
                )
            tx.state.feed_prices(feed)
            return tx.append(opened.leaf)

        outcome = await self._engine.auctioneer.between_batches(feed.feeder, command, key)
        leaf: Any = outcome.value
        return pb.PutPricesResponse(
            receipt=receipt(self._engine.sequencer.tree, leaf, outcome.checkpoint)
        )

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: Context
    ) -> pb.ListAssetsResponse:
        """Assets with their reference prices."""
        state = self._engine.sequencer.state
        names, token = _page(sorted(state.market.assets), request.page_size, request.page_token)
        return pb.ListAssetsResponse(
            assets=[
                pb.ListedAsset(
                    asset=asset_to_wire(state.market.assets[name]),
                    price=price_to_wire(name, state.market.prices[name])
                    if name in state.market.prices
                    else None,
                )
                for name in names
            ],
            next_page_token=token,
        )


class LedgerService(ledger_service_pb2_grpc.LedgerServiceServicer):
    """The embedded ledger."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads

    async def Deposit(
        self, request: ledger_pb.DepositRequest, context: Context
    ) -> ledger_pb.DepositResponse:
        """Credit what an operator vouches for."""
        key = request_key(request)
        opened = await _open(self._threads, request.envelope, Kind.DEPOSIT)

        def command(tx: Transaction) -> int:
            assert isinstance(opened.record, Deposit)
            tx.state.deposit(opened.record)
            return tx.append(opened.leaf)

        outcome = await self._engine.sequencer.run(command, key)
        leaf: Any = outcome.value
        return ledger_pb.DepositResponse(
            receipt=receipt(self._engine.sequencer.tree, leaf, outcome.checkpoint)
        )

    async def BindKey(
        self, request: ledger_pb.BindKeyRequest, context: Context
    ) -> ledger_pb.BindKeyResponse:
        """Change the operators, between two batches."""
        key = request_key(request)
        opened = await _open(self._threads, request.envelope, Kind.KEY_BINDING)
        record = opened.record
        assert isinstance(record, KeyBinding)
        if record.role is not Role.OPERATOR:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"a key of {record.role} is not replaced by a call",
                hint="walras keys rotate, and a restart",
                field="role",
            )
        state = self._engine.sequencer.state
        # Before anything waits; an operator that removed itself may still ask for its answer.
        if record.signer not in state.in_force.used:
            state.check_operator(record.domain, record.signer)

        def command(tx: Transaction) -> int:
            tx.state.bind_key(record, tx.tree.size)
            return tx.append(opened.leaf)

        outcome = await self._engine.auctioneer.between_batches(record.signer, command, key)
        leaf: Any = outcome.value
        return ledger_pb.BindKeyResponse(
            receipt=receipt(self._engine.sequencer.tree, leaf, outcome.checkpoint)
        )

    async def Withdraw(
        self, request: ledger_pb.WithdrawRequest, context: Context
    ) -> ledger_pb.WithdrawResponse:
        """Debit what an owner signed for, between two batches."""
        key = request_key(request)
        opened = await _open(self._threads, request.envelope, Kind.WITHDRAWAL)
        record = opened.record
        assert isinstance(record, Withdrawal)

        def command(tx: Transaction) -> dict[str, object]:
            check_window(record.expiry_ms, tx.now_ms)
            tx.state.withdraw(record)
            left = tx.state.balance(record.owner, record.asset)
            return {"leaf": tx.append(opened.leaf), "left": str(left)}

        # Before anything waits, as above; a repeated request finds its nonce used, its answer kept.
        state = self._engine.sequencer.state
        if (record.owner, record.nonce) not in state.nonces:
            state.check_funded(record)
        outcome = await self._engine.auctioneer.between_batches(record.owner, command, key)
        value: Any = outcome.value
        return ledger_pb.WithdrawResponse(
            balance=asset_pb2.Balance(owner=record.owner, asset=record.asset, amount=value["left"]),
            receipt=receipt(self._engine.sequencer.tree, value["leaf"], outcome.checkpoint),
        )

    async def GetBalances(
        self, request: ledger_pb.GetBalancesRequest, context: Context
    ) -> ledger_pb.GetBalancesResponse:
        """What one owner holds."""
        table = schema.balance
        size = page_size(request.page_size)
        query = (
            sa.select(table)
            .where(table.c.owner == check_digest(request.owner, "owner"))
            .where(table.c.asset > read_token(request.page_token), table.c.amount != "0")
            .order_by(table.c.asset)
            .limit(size + 1)
        )
        async with self._engine.store.read() as db:
            rows = (await db.execute(query)).all()
        return ledger_pb.GetBalancesResponse(
            balances=[
                asset_pb2.Balance(owner=row.owner, asset=row.asset, amount=row.amount)
                for row in rows[:size]
            ],
            next_page_token=make_token(rows[size - 1].asset) if len(rows) > size else "",
        )


async def _open(threads: ThreadPoolExecutor, data: bytes, kind: Kind) -> OpenedRecord:
    return await asyncio.get_running_loop().run_in_executor(threads, open_record, data, kind)


def _page(names: Sequence[str], asked: int, token: str) -> tuple[Sequence[str], str]:
    start = bisect_right(names, read_token(token)) if token else 0
    stop = start + page_size(asked)
    return names[start:stop], make_token(names[stop - 1]) if stop < len(names) else ""
