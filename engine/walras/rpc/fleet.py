"""FleetService: solver nodes, how they stand, and who may take them out of service."""

import asyncio
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from walras.api.v1 import fleet_service_pb2 as pb
from walras.api.v1 import fleet_service_pb2_grpc
from walras.app.engine import Engine
from walras.app.sequencer import Transaction
from walras.core.errors import InvalidInput, Reason
from walras.intake.admission import open_record
from walras.protocol.fleet import node_to_wire, rules_to_wire
from walras.protocol.records import FleetUpdate, Kind, Observations
from walras.rpc.interceptor import Context
from walras.rpc.receipts import receipt
from walras.rpc.requests import make_token, page_size, read_token, request_key


class FleetService(fleet_service_pb2_grpc.FleetServiceServicer):
    """The fleet."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
        self._threads = threads

    async def GetFleet(self, request: pb.GetFleetRequest, context: Context) -> pb.GetFleetResponse:
        """The fleet as a whole."""
        fleet = self._engine.sequencer.state.fleet
        flow = self._engine.flow.concentration()
        return pb.GetFleetResponse(
            version=fleet.version,
            rules=rules_to_wire(fleet.rules),
            panic=fleet.standing.panic,
            concentration=pb.Concentration(
                groups=[
                    pb.GroupFlow(group=g, asked=flow.asked[g], score=str(flow.score[g]))
                    for g in sorted(flow.asked)
                ],
                hhi_bps=flow.hhi_bps,
                gini_bps=flow.gini_bps,
                nakamoto=flow.nakamoto,
                alarm=flow.alarm,
            ),
        )

    async def ListNodes(
        self, request: pb.ListNodesRequest, context: Context
    ) -> pb.ListNodesResponse:
        """Nodes by ascending key."""
        keys = sorted(self._engine.sequencer.state.fleet.nodes)
        start = bisect_right(keys, _key(request.page_token)) if request.page_token else 0
        stop = start + page_size(request.page_size)
        return pb.ListNodesResponse(
            nodes=[self._status(key) for key in keys[start:stop]],
            next_page_token=make_token(keys[stop - 1].hex()) if stop < len(keys) else "",
        )

    async def GetNode(self, request: pb.GetNodeRequest, context: Context) -> pb.GetNodeResponse:
        """One node."""
        nodes = self._engine.sequencer.state.fleet.nodes
        for key, node in nodes.items():
            if key == request.public_key or (request.name and node.name == request.name):
                return pb.GetNodeResponse(node=self._status(key))
        raise InvalidInput(
            Reason.NODE_UNKNOWN,
            f"there is no node {request.name or request.public_key.hex()}",
            hint="walras fleet list names them",
        )

    async def UpdateFleet(
        self, request: pb.UpdateFleetRequest, context: Context
    ) -> pb.UpdateFleetResponse:
        """Drain or resume nodes; it holds from the next sealing on."""
        key = request_key(request)
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(
            self._threads, open_record, request.envelope, Kind.FLEET_UPDATE
        )
        update = opened.record
        assert isinstance(update, FleetUpdate)

        def command(tx: Transaction) -> int:
            tx.state.update_fleet(update)
            leaf = tx.append(opened.leaf)
            tx.record(tx.state.fleet.change(tx.now_ms))
            return leaf

        outcome = await self._engine.sequencer.run(command, key)
        leaf: Any = outcome.value
        return pb.UpdateFleetResponse(
            receipt=receipt(self._engine.sequencer.tree, leaf, outcome.checkpoint)
        )

    async def SubmitObservations(
        self, request: pb.SubmitObservationsRequest, context: Context
    ) -> pb.SubmitObservationsResponse:
        """Log what a registered prober saw."""
        key = request_key(request)
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(
            self._threads, open_record, request.envelope, Kind.OBSERVATIONS
        )
        record = opened.record
        assert isinstance(record, Observations)
        outcome = await self._engine.probing.log(record, opened.leaf, request.list, key)
        leaf: Any = outcome.value
        return pb.SubmitObservationsResponse(
            receipt=receipt(self._engine.sequencer.tree, leaf, outcome.checkpoint)
        )

    def _status(self, key: bytes) -> pb.NodeStatus:
        engine = self._engine
        standing = engine.sequencer.state.fleet.standing
        status = standing.status(key, engine.sequencer.clock())
        node = engine.fleet.find(key)
        return pb.NodeStatus(
            node=node_to_wire(standing.nodes[key]),
            state=status.state,
            why=status.why,
            connected=node is not None and node.connected,
            address=node.address if node is not None else "",
            in_flight=engine.fleet.in_flight[key],
            service_us=status.service_us,
            rtt_us=status.rtt_us,
            probers=status.probers,
            calls=status.calls,
            errors=status.errors,
            ejections=status.ejections,
            fade_bps=status.fade_bps,
            warmth_bps=status.warmth_bps,
            bond=str(status.stake),
            canaries_found=status.canaries_found,
            canaries_missed=status.canaries_missed,
        )


def _key(token: str) -> bytes:
    try:
        return bytes.fromhex(read_token(token))
    except ValueError:
        raise InvalidInput(
            Reason.PAGE_TOKEN_INVALID,
            "the page token is not one this server gave",
            hint="start again without one",
        ) from None
