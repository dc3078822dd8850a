"""Who is asked for what, and how the calls ended: values to blobs and back (protocol §10)."""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.api.v1 import record_pb2
from walras.balance.events import Outcome
from walras.core.errors import InvalidInput, Reason
from walras.protocol.values import check_ascending, check_digest, check_owner
from walras.protocol.wire import parse


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A connected node, the calls that the engine had in flight there, and its name for people."""

    public_key: bytes
    in_flight: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class LoadProbe:
    """An answer in Prequal's probe pool; `at_us` since the epoch, by the engine's clock."""

    public_key: bytes
    in_flight: int
    latency_us: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who is asked for a part.

    Attributes:
        part_digest: SHA-256 of the part's bytes.
        nodes: indices of the dispatch's nodes: the first `asked` are asked at once, the others one
            by one where one fails.
    """

    part_digest: bytes
    nodes: tuple[int, ...]
    asked: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Who was asked for what, and on which view of the nodes.

    Attributes:
        vrf_proof: of the engine's VRF key over the auction; its output seeds every draw.
        nodes: connected, by ascending key.
        probes: of Prequal's pool, oldest first.
        parts: in the order in which the problem splits.
    """

    vrf_proof: bytes
    nodes: tuple[NodeLoad, ...]
    probes: tuple[LoadProbe, ...]
    parts: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """How one call ended: see `walras.balance.events.CallEnded`; `part` indexes the dispatch's."""

    part: int
    solver: bytes
    outcome: Outcome
    latency_us: int
    ahead: int
    reported: int


def encode_dispatch(dispatch: Dispatch) -> bytes:
    """The dispatch's bytes, whose SHA-256 the sealing names."""
    return record_pb2.Dispatch(
        vrf_proof=dispatch.vrf_proof,
        nodes=[
            record_pb2.NodeLoad(public_key=n.public_key, in_flight=n.in_flight, name=n.name)
            for n in dispatch.nodes
        ],
        probes=[
            record_pb2.LoadProbe(
                public_key=p.public_key,
                in_flight=p.in_flight,
                latency_us=p.latency_us,
                at_us=p.at_us,
            )
            for p in dispatch.probes
        ],
        parts=[
            record_pb2.Assignment(part_digest=a.part_digest, nodes=a.nodes, asked=a.asked)
            for a in dispatch.parts
        ],
    ).SerializeToString(deterministic=True)


def decode_dispatch(body: bytes) -> Dispatch:
    """The dispatch that `body` encodes."""
    m = parse(record_pb2.Dispatch, body)
    nodes = tuple(NodeLoad(check_owner(n.public_key), n.in_flight, n.name) for n in m.nodes)
    check_ascending((node.public_key for node in nodes), "nodes")
    return Dispatch(
        m.vrf_proof,
        nodes,
        tuple(
            LoadProbe(check_owner(p.public_key), p.in_flight, p.latency_us, p.at_us)
            for p in m.probes
        ),
        tuple(
            Assignment(check_digest(a.part_digest, "part_digest"), tuple(a.nodes), a.asked)
            for a in m.parts
        ),
    )


def encode_calls(calls: Iterable[Call]) -> bytes:
    """The bytes of how an auction's calls ended."""
    return record_pb2.Calls(
        calls=[
            record_pb2.Call(
                part=c.part,
                solver=c.solver,
                outcome=c.outcome,
                latency_us=c.latency_us,
                ahead=c.ahead,
                reported=c.reported,
            )
            for c in calls
        ]
    ).SerializeToString(deterministic=True)


def decode_calls(body: bytes) -> tuple[Call, ...]:
    """How an auction's calls ended."""
    try:
        return tuple(
            Call(
                c.part, check_owner(c.solver), Outcome(c.outcome), c.latency_us, c.ahead, c.reported
            )
            for c in parse(record_pb2.Calls, body).calls
        )
    except ValueError as error:
        raise InvalidInput(Reason.FIELD_INVALID, str(error), field="outcome") from error
