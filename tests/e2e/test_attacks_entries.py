"""Nothing that strangers, many nodes or many venues do makes an entry that no auditor reads."""

from dataclasses import replace
from pathlib import Path

from support.audit.scenario import copy_log
from support.market import ETH, WHOLE_ETH, market_update, pool, sell, signer
from support.nodes import raw_server, serving
from support.solvers import Crosser
from support.worlds import World, fresh, running

from walras.api.v1 import market_service_pb2 as market_pb
from walras.api.v1 import solver_service_pb2 as pb
from walras.app.sealing import log_following, log_news
from walras.app.sequencer import Transaction
from walras.audit import envelope
from walras.audit.merkle import Tree
from walras.balance.events import Probed
from walras.balance.rules import NodeInfo
from walras.fleet.nodes import Node, NodeSpec
from walras.fleet.registry import Fleet as Registry
from walras.ledger.fleet import Fleet
from walras.ledger.state import State
from walras.protocol.codec import decode
from walras.protocol.fleet import MAX_CHANGES, FleetChanged
from walras.protocol.records import Kind
from walras.sdk import node as sdk
from walras.sdk.client import Client
from walras.sdk.signing import sign_record
from walras.store.commit import Commit

ANN, ENGINE = signer("ann"), signer("engine")
NOW = 1_700_000_000_000


async def audit(world: World) -> int:
    """Levels A, B and C; how many auctions settled."""
    async with Client(world.address) as client:
        return (await copy_log(client)).audit(world.key).auctions


async def auction(world: World) -> None:
    await world.submit(sell(ANN.public_key), ANN)
    await world.auction()


async def test_strangers_who_say_much_of_themselves(tmp_path: Path) -> None:
    names = [f"{number:02d}" + "x" * 254 for number in range(64)]

    def said(name: str) -> bytes:
        key = signer(name).public_key
        return pb.DescribeResponse(
            name="x", version="1", public_key=key, chains=names, venue_kinds=names
        ).SerializeToString()

    async with (
        raw_server(said("a"), ()) as a,
        raw_server(said("b"), ()) as b,
        serving(sdk.Node(Crosser(), signer("honest"))) as honest,
    ):
        addresses = {"a": a, "b": b, "honest": honest}
        solvers = [{"name": name, "address": address} for name, address in addresses.items()]
        async with running(tmp_path, solvers=solvers) as world:
            await world.open_market([pool()])
            await world.nodes_here("a", "b")
            await world.fund(ANN.public_key, ETH, WHOLE_ETH)
            await auction(world)
            assert await audit(world) == 1
            assert [node.name for node in world.engine.fleet.ready()] == ["honest"]
            assert set(world.engine.fleet.faults()) == {"a", "b"}


async def test_a_wrong_price_that_takes_out_many_venues(tmp_path: Path) -> None:
    count = 400
    async with running(tmp_path) as world:
        for start in range(0, count, 200):
            await world.open_market(pool(f"{number:0100d}") for number in range(start, start + 200))
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        await auction(world)
        assert len(world.state.market.open_venues()) == count
        right = market_update(world.operator.public_key)
        dear = {ETH: replace(right.prices[ETH], amount=100 * right.prices[ETH].amount)}
        await put(world, replace(right, prices={**right.prices, **dear}))
        await auction(world)
        assert not world.state.market.open_venues()
        await put(world, market_update(world.operator.public_key))
        for _ in range(3):
            await auction(world)
        assert len(world.state.market.open_venues()) == count
        assert await audit(world) == 5


async def put(world: World, record: object) -> None:
    await world.market.PutVenues(
        market_pb.PutVenuesRequest(
            request_id=fresh(),
            envelope=sign_record(record, world.operator),  # type: ignore[arg-type]  # an update
        )
    )


def test_many_nodes_that_come_fail_change_names_and_go() -> None:
    state, auditor, tree = State(), Fleet(), Tree()
    now = NOW

    def transaction() -> Transaction:
        return Transaction(state, tree, ENGINE, now, Commit(first_leaf=tree.size))

    def follow(tx: Transaction) -> int:
        for leaf in tx.commit.leaves:
            signed = envelope.open_envelope(leaf, Kind.FLEET.payload_type)
            record = decode(Kind.FLEET, signed.body)
            assert isinstance(record, FleetChanged)
            auditor.apply(record)
        assert not state.fleet.pending
        assert auditor == state.fleet
        return len(tx.commit.leaves)

    def news(infos: dict[str, bytes]) -> int:
        registry = Registry(NodeSpec(name) for name in infos)
        nodes = []
        for name, key in infos.items():
            node = Node(NodeSpec(name))
            node.public_key = key
            node.info = NodeInfo(name, key, chains=("x" * 200,) * (len(nodes) % 2))
            nodes.append(node)
        tx = transaction()
        log_news(tx, nodes, registry)
        return follow(tx)

    keys = [signer(f"node {number}").public_key for number in range(700)]
    names = [f"{number:064d}" for number in range(700)]
    assert news(dict(zip(names, keys, strict=True))) > 1

    for _ in range(2):
        now += 1_000
        events = [Probed(key, b"p" * 32, now, None) for key in keys]
        state.fleet.observe(events)
        auditor.observe(events)
    assert len(state.fleet.pending) > 2 * MAX_CHANGES
    tx = transaction()
    log_following(tx)
    assert follow(tx) > 1

    # Every name goes to another key, then all but one go.
    now += 1_000
    assert news(dict(zip(names[1:] + names[:1], keys, strict=True))) > 1
    assert news({names[1]: keys[0]}) > 1
    assert list(state.fleet.nodes) == keys[:1]
