"""FleetService: solver nodes, how they stand, and who may take them out of service."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from walras.api.v1 import fleet_service_pb2 as pb
from walras.api.v1 import fleet_service_pb2_grpc
from walras.app.engine import Engine
from walras.app.sealing import log_following
from walras.app.sequencer import Transaction
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import Node
from walras.intake.admission import open_record
from walras.protocol.fleet import FleetUpdate, node_to_wire, rules_to_wire
from walras.protocol.probes import Observations
from walras.protocol.records import Kind
from walras.rpc.interceptor import Context
from walras.rpc.receipts import receipt
from walras.rpc.requests import make_token, page_size, read_token, request_key

# Before a key or a name in a page token: the ones come before the others.
_LOGGED, _NEW = "0", "1"
_NEXT_BATCH = "it is part of the fleet from the next batch on"


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
        """Nodes of the log by ascending key, then those that it does not know yet, by name."""
        new, by_key, faults = self._new(), self._engine.fleet.by_key(), self._engine.fleet.faults()
        places = [_LOGGED + key.hex() for key in sorted(self._engine.sequencer.state.fleet.nodes)]
        places += [_NEW + name for name in sorted(new)]
        start = bisect_right(places, read_token(request.page_token))
        stop = start + page_size(request.page_size)
        return pb.ListNodesResponse(
            nodes=[
                self._status(key := bytes.fromhex(place[1:]), by_key.get(key))
                if place[0] == _LOGGED
                else self._new_status(new[place[1:]], faults)
                for place in places[start:stop]
            ],
            next_page_token=make_token(places[stop - 1]) if stop < len(places) else "",
        )

    async def GetNode(self, request: pb.GetNodeRequest, context: Context) -> pb.GetNodeResponse:
        """One node."""
        nodes = self._engine.sequencer.state.fleet.nodes
        for key, node in nodes.items():
            if key == request.public_key or (request.name and node.name == request.name):
                return pb.GetNodeResponse(node=self._status(key, self._engine.fleet.find(key)))
        for new in self._new().values():
            if request.name == new.name or request.public_key == new.public_key != b"":
                faults = self._engine.fleet.faults()
                return pb.GetNodeResponse(node=self._new_status(new, faults))
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
            log_following(tx)
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

    def _new(self) -> dict[str, Node]:
        """Configured nodes that the log does not know yet, by name."""
        engine = self._engine
        logged = {node.name for node in engine.sequencer.state.fleet.nodes.values()}
        return {node.name: node for node in engine.fleet.nodes if node.name not in logged}

    def _new_status(self, node: Node, faults: Mapping[str, SolverFault]) -> pb.NodeStatus:
        if node.connected:
            twin = self._engine.sequencer.state.fleet.nodes.get(node.public_key)
            state, why = "joining", f"it shows the key of {twin.name}" if twin else _NEXT_BATCH
        else:
            state, why = "away", str(faults.get(node.name) or "it was not connected yet")
        return pb.NodeStatus(
            node=node_to_wire(replace(node.info, slots=node.spec.slots)),
            state=state,
            why=why,
            connected=node.connected,
            address=node.address,
            bond="0",
        )

    def _status(self, key: bytes, node: Node | None) -> pb.NodeStatus:
        engine = self._engine
        standing = engine.sequencer.state.fleet.standing
        status = standing.status(key, engine.sequencer.clock())
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
            until_ms=status.until_ms,
            call_errors=status.call_errors,
            probe_errors=status.probe_errors,
            blocks=status.blocks,
            canary_miss_bps=status.canary_miss_bps,
            utilisation_bps=status.utilisation_bps,
            wait_us=status.wait_us,
        )
