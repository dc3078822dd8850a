"""What strangers and lying probers hand in costs next to nothing and moves no clock."""

from hashlib import sha256
from pathlib import Path

import pytest
from support.audit.log_copy import read_leaf
from support.audit.scenario import copy_log
from support.market import ETH, WHOLE_ETH, sell, signer
from support.nodes import serving
from support.probes import seed
from support.solvers import Crosser
from support.worlds import Clock, World, fresh, refusal, running, until

from walras.api.v1 import fleet_service_pb2 as pb
from walras.api.v1 import fleet_service_pb2_grpc
from walras.app import probing
from walras.audit.merkle import EMPTY_ROOT
from walras.audit.probes import due_ms, vrf_input
from walras.audit.vrf import VrfKey
from walras.protocol.probes import Challenge, Observation, Observations, encode_observations
from walras.sdk.client import Client
from walras.sdk.node import Node
from walras.sdk.signing import sign_record

ANN, PROBER, HONEST = signer("ann"), signer("prober"), signer("honest")


def report(world: World, epoch: int) -> pb.SubmitObservationsRequest:
    """That the honest node did not answer in this epoch."""
    domain = world.state.domain
    proof, output = VrfKey.from_seed(seed("prober")).prove(
        vrf_input(domain, epoch, HONEST.public_key)
    )
    challenge = Challenge(
        domain,
        epoch,
        PROBER.public_key,
        HONEST.public_key,
        sha256(b"%d" % epoch).digest(),
        0,
        EMPTY_ROOT,
        proof,
        due_ms(output, epoch, world.state.fleet.rules),
    )
    body = encode_observations([Observation(sign_record(challenge, PROBER), b"", 0)])
    record = Observations(domain, PROBER.public_key, epoch, sha256(body).digest())
    return pb.SubmitObservationsRequest(
        request_id=fresh(), envelope=sign_record(record, PROBER), list=body
    )


async def test_reports_of_the_past_and_of_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {
        "probers": [PROBER.public_key.hex(), signer("other").public_key.hex()],
        "quorum": 2,
        "probe_interval_ms": 3_600_000,
    }
    async with (
        serving(Node(Crosser(), HONEST)) as address,
        running(tmp_path, solvers=[{"name": "honest", "address": address}], fleet=rules) as world,
    ):
        await world.open_market()
        await world.nodes_here()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        await world.submit(sell(ANN.public_key), ANN)
        await world.auction()
        service = fleet_service_pb2_grpc.FleetServiceStub(world.channel)
        opened = 0

        def counted(record: Observations, body: bytes) -> object:
            nonlocal opened
            opened += 1
            return original(record, body)

        original = probing.open_observations
        monkeypatch.setattr(probing, "open_observations", counted)
        epoch = world.clock() // 3_600_000
        asked = report(world, epoch - 1)
        answer = await service.SubmitObservations(asked)
        assert opened == 1

        # The same request is answered as before; what anybody reads in the log and hands in
        # again is refused; neither is checked again, which takes about 1 ms a node.
        assert await service.SubmitObservations(asked) == answer
        for _ in range(3):
            asked.request_id = fresh()
            assert (await refusal(service.SubmitObservations(asked))).reason == "OBSERVATION_STALE"
        assert opened == 1

        # This epoch's challenge is due later: to say that it was sent moves no clock.
        due = report(world, epoch)
        standing = world.state.fleet.standing
        world.clock.offset_ms += epoch * 3_600_000 - world.clock()  # the epoch begins
        before = standing.to_json()
        assert (await refusal(service.SubmitObservations(due))).reason == "OBSERVATION_STALE"
        assert standing.to_json() == before
        # Once its time has come it is taken.
        world.clock.offset_ms += 3_600_000
        await service.SubmitObservations(due)


async def test_a_clock_that_is_set_back_stops_no_prober_and_lets_no_report_count_twice(
    tmp_path: Path,
) -> None:
    interval_ms, clock = 400, Clock()
    async with (
        serving(Node(Crosser(), HONEST)) as address,
        running(
            tmp_path,
            clock,
            solvers=[{"name": "honest", "address": address}],
            fleet={"probe_interval_ms": interval_ms, "probe_timeout_ms": 100},
        ) as world,
    ):
        await world.open_market()
        await world.nodes_here()
        await world.fund(ANN.public_key, ETH, WHOLE_ETH)
        await world.submit(sell(ANN.public_key), ANN)
        await world.auction()
        (own,) = world.state.fleet.rules.probers
        epochs = world.state.fleet.epochs
        await until(lambda: own in epochs)
        first = epochs[own].epoch
        await until(lambda: epochs[own].epoch >= first + 5)
        async with Client(world.address) as client:
            log = await copy_log(client)
        leaf = next(leaf for leaf in log.leaves if isinstance(read_leaf(leaf), Observations))
        record = read_leaf(leaf)
        assert isinstance(record, Observations)
        again = pb.SubmitObservationsRequest(
            request_id=fresh(), envelope=leaf, list=log.blob(record.list_digest)
        )

        # It is the epoch of the first report once more.
        peak = epochs[own].epoch
        clock.offset_ms += (record.epoch * interval_ms + 1) - clock()
        service = fleet_service_pb2_grpc.FleetServiceStub(world.channel)
        answer = await refusal(service.SubmitObservations(again))
        assert answer.reason == "OBSERVATION_STALE"
        assert "before the clock was set back" in answer.message
        await until(lambda: epochs[own].epoch < peak)
        assert epochs[own].entries > 0
        await until(lambda: epochs[own].epoch > peak)
        async with Client(world.address) as client:
            assert (await copy_log(client)).audit(world.key).auctions == 1
