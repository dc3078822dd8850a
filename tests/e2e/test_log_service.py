"""LogService over a real channel, and what else the server answers: health, reflection."""

from hashlib import sha256
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from support.market import ETH, WHOLE_ETH, sell, signer
from support.worlds import World, first, refusal

from walras.api.v1 import log_service_pb2 as pb
from walras.audit import envelope
from walras.audit.merkle import leaf_hash, verify_consistency, verify_inclusion
from walras.audit.note import open_checkpoint
from walras.core.errors import InvalidInput, Reason
from walras.protocol.codec import decode
from walras.protocol.records import KIND_OF_TYPE, Genesis, Kind, Sealed
from walras.rpc import log as log_service
from walras.rpc.server import start

ANN = signer("ann")
GRPC = grpc.StatusCode
BAD, GONE = GRPC.INVALID_ARGUMENT, GRPC.NOT_FOUND
HUGE = (1 << 64) - 1


@pytest.fixture
async def world(world: World) -> World:
    """A log of a dozen entries, with a settled batch."""
    await world.fund(ANN.public_key, ETH, 10 * WHOLE_ETH)
    for _ in range(3):
        await world.submit(sell(ANN.public_key), ANN)
    await world.auction()
    return world


async def entries(world: World, **asked: Any) -> list[bytes]:
    return list((await world.log.GetEntries(pb.GetEntriesRequest(**asked))).entries)


async def blob(world: World, digest: bytes) -> list[bytes]:
    stream = world.log.GetBlob(pb.GetBlobRequest(digest=digest))
    return [answer.chunk async for answer in stream]


async def test_checkpoints(world: World) -> None:
    answer = await world.log.GetCheckpoint(pb.GetCheckpointRequest())
    assert answer.verifier_key == world.engine.verifier_key
    newest = open_checkpoint(answer.checkpoint, world.key)
    tree = world.engine.sequencer.tree
    assert (newest.origin, newest.size, newest.root) == (world.state.domain, tree.size, tree.root())
    same = await world.log.GetCheckpoint(pb.GetCheckpointRequest(tree_size=newest.size))
    assert same == answer
    # Genesis and rules were one commit: at size 1 nothing was signed, at size 2 there was.
    early = await world.log.GetCheckpoint(pb.GetCheckpointRequest(tree_size=2))
    found = open_checkpoint(early.checkpoint, world.key)
    assert (found.size, found.root) == (2, tree.root(2))
    for size in (1, newest.size + 1, 1 << 63, HUGE):
        refused = await refusal(world.log.GetCheckpoint(pb.GetCheckpointRequest(tree_size=size)))
        assert (refused.code, refused.reason) == (GONE, "NOT_FOUND")


async def test_entries(world: World) -> None:
    everything = await entries(world)
    assert len(everything) == world.engine.sequencer.tree.size
    for limit in (1, 2, 5, len(everything), 4_000_000_000):
        walked: list[bytes] = []
        while page := await entries(world, start=len(walked), limit=limit):
            assert len(page) <= limit
            walked += page
        assert walked == everything
    for start_at in (len(everything), 1 << 63, HUGE):
        assert await entries(world, start=start_at) == []
    kinds = [KIND_OF_TYPE[envelope.decode(entry).payload_type] for entry in everything]
    assert kinds[:4] == [Kind.GENESIS, Kind.RULES, Kind.MARKET, Kind.DEPOSIT]
    assert kinds[-5:] == [Kind.OPENED, Kind.SEALED, Kind.CLOSED, Kind.AWARDED, Kind.SETTLED]
    genesis = decode(Kind.GENESIS, envelope.decode(everything[0]).body)
    assert isinstance(genesis, Genesis)
    assert genesis.engine == world.key.public_key
    for entry in everything:
        envelope.verify_envelope(envelope.decode(entry))


async def test_an_answer_holds_so_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = await entries(world)
    monkeypatch.setattr(log_service, "MAX_ENTRIES", 3)
    assert await entries(world) == everything[:3]
    assert await entries(world, limit=100) == everything[:3]
    # By bytes, too, though never fewer than one.
    monkeypatch.setattr(log_service, "MAX_ANSWER_BYTES", len(everything[0]) + len(everything[1]))
    assert await entries(world) == everything[:2]
    monkeypatch.setattr(log_service, "MAX_ANSWER_BYTES", 1)
    assert await entries(world, start=2) == everything[2:3]


async def test_inclusion(world: World) -> None:
    everything = await entries(world)
    tree = world.engine.sequencer.tree
    for size in range(1, tree.size + 1):
        for index in range(size):
            request = pb.GetInclusionProofRequest(leaf_index=index, tree_size=size)
            proof = (await world.log.GetInclusionProof(request)).inclusion
            assert (proof.leaf_index, proof.tree_size) == (index, size)
            leaf = leaf_hash(everything[index])
            verify_inclusion(leaf, index, size, list(proof.hashes), tree.root(size))
    newest = await world.log.GetInclusionProof(pb.GetInclusionProofRequest(leaf_index=1))
    assert newest.inclusion.tree_size == tree.size
    for asked in (
        {"leaf_index": tree.size},
        {"leaf_index": 3, "tree_size": 3},
        {"leaf_index": 0, "tree_size": tree.size + 1},
        {"leaf_index": HUGE, "tree_size": HUGE},
    ):
        refused = await refusal(world.log.GetInclusionProof(pb.GetInclusionProofRequest(**asked)))
        assert (refused.code, refused.reason) == (GONE, "NOT_FOUND")


async def test_consistency(world: World) -> None:
    tree = world.engine.sequencer.tree
    for old in range(1, tree.size + 1):
        for new in range(old, tree.size + 1):
            request = pb.GetConsistencyProofRequest(old_size=old, new_size=new)
            proof = await world.log.GetConsistencyProof(request)
            assert (proof.old_size, proof.new_size) == (old, new)
            verify_consistency(old, tree.root(old), new, tree.root(new), list(proof.hashes))
    newest = await world.log.GetConsistencyProof(pb.GetConsistencyProofRequest(old_size=2))
    assert newest.new_size == tree.size
    for asked, code, reason in (
        ({"old_size": 0}, BAD, "FIELD_INVALID"),
        ({"old_size": 3, "new_size": 2}, BAD, "FIELD_INVALID"),
        ({"old_size": HUGE}, BAD, "FIELD_INVALID"),
        ({"old_size": 1, "new_size": tree.size + 1}, GONE, "NOT_FOUND"),
    ):
        refused = await refusal(
            world.log.GetConsistencyProof(pb.GetConsistencyProofRequest(**asked))
        )
        assert (refused.code, refused.reason) == (code, reason)


async def test_blobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = next(
        decode(Kind.SEALED, envelope.decode(entry).body)
        for entry in await entries(world)
        if envelope.decode(entry).payload_type == Kind.SEALED.payload_type
    )
    assert isinstance(sealed, Sealed)
    whole = await blob(world, sealed.problem_digest)
    assert len(whole) == 1
    assert sha256(whole[0]).digest() == sealed.problem_digest
    monkeypatch.setattr(log_service, "CHUNK_BYTES", 100)
    chunks = await blob(world, sealed.problem_digest)
    assert b"".join(chunks) == whole[0]
    assert {len(chunk) for chunk in chunks[:-1]} == {100}
    monkeypatch.setattr(log_service, "READ_BYTES", 250)
    chunks = await blob(world, sealed.problem_digest)
    assert b"".join(chunks) == whole[0]
    assert [len(chunk) for chunk in chunks[:4]] == [100, 100, 50, 100]
    # Nothing was touched, so what the settlement names is the empty blob: one empty chunk.
    assert await blob(world, sha256().digest()) == [b""]
    for digest, code, reason in (
        (bytes(32), GONE, "NOT_FOUND"),
        (b"", BAD, "FIELD_INVALID"),
        (bytes(33), BAD, "FIELD_INVALID"),
    ):
        refused = await refusal(first(world.log.GetBlob(pb.GetBlobRequest(digest=digest))))
        assert (refused.code, refused.reason) == (code, reason)


async def test_health_and_reflection(world: World) -> None:
    health: Any = health_pb2_grpc.HealthStub(world.channel)
    mirror: Any = reflection_pb2_grpc.ServerReflectionStub(world.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = await first(mirror.ServerReflectionInfo(iter([asked])))
    names = {service.name for service in answer.list_services_response.service}
    ours = {name for name in names if name.startswith("walras.api.v1.")}
    assert {name.rpartition(".")[2] for name in ours} == {
        "AuctionService",
        "FleetService",
        "IntentService",
        "LedgerService",
        "LogService",
        "MarketService",
    }
    for name in ("", *ours):
        found = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert found.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="none"))
    assert caught.value.code() is GONE


async def test_unknown_method(world: World) -> None:
    call: Any = world.channel.unary_unary("/walras.api.v1.LogService/Rewrite")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is GRPC.UNIMPLEMENTED


async def test_address_in_use(world: World) -> None:
    with pytest.raises(InvalidInput) as caught:
        await start(world.engine, world.address)
    assert caught.value.reason is Reason.CONFIG_INVALID
    health: Any = health_pb2_grpc.HealthStub(world.channel)
    await health.Check(health_pb2.HealthCheckRequest())


async def test_the_unexpected_is_internal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a servicer is answered as INTERNAL, without its details."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(log_service, "inclusion", broken)
    refused = await refusal(world.log.GetInclusionProof(pb.GetInclusionProofRequest()))
    assert (refused.code, refused.reason) == (GRPC.INTERNAL, "INTERNAL")
    assert "secret" not in refused.message
    await world.log.GetCheckpoint(pb.GetCheckpointRequest())
