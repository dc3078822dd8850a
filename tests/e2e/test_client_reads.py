"""What the SDK's client reads back from an engine after an auction."""

from pathlib import Path

from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.nodes import serving
from support.solvers import Crosser
from support.worlds import running

from walras.api.v1 import auction_service_pb2, intent_service_pb2
from walras.protocol.venues import venue_from_wire
from walras.sdk.client import Client
from walras.sdk.node import Node

ANN, BOB = signer("ann"), signer("bob")


async def test_intents_auctions_balances_and_venues(tmp_path: Path) -> None:
    async with serving(Node(Crosser(), signer("solver"), "crosser")) as address:
        solvers = [{"name": "crosser", "address": address}]
        async with running(tmp_path / "engine", solvers=solvers) as world:
            await world.open_market([pool()])
            await world.nodes_here()
            await world.fund(ANN.public_key, ETH, WHOLE_ETH)
            await world.fund(BOB.public_key, USD, 2_010 * WHOLE_USD)
            sold = await world.submit(sell(ANN.public_key), ANN)
            bought = await world.submit(buy(BOB.public_key), BOB)
            await world.auction()
            async with Client(world.address) as client:
                [ann] = [one async for one in client.intents(owner=ANN.public_key)]
                assert ann == await client.intent(sold)
                assert ann.state == intent_service_pb2.INTENT_STATE_FILLED
                assert [one.intent_id async for one in client.intents()] == [sold, bought]
                [last] = [auction async for auction in client.auctions()]
                assert last == await client.auction(1)
                assert last.state == auction_service_pb2.AUCTION_STATE_SETTLED
                assert [venue_from_wire(one) async for one in client.snapshot()] == [pool()]
                held = {one.asset: one.amount async for one in client.balances(ANN.public_key)}
                assert held == {USD: str(2_000 * WHOLE_USD)}
