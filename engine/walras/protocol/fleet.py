"""The fleet's records and blobs: values to bytes and back (protocol §10)."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from walras.api.v1 import record_pb2
from walras.balance.events import Change, Outcome, Rule
from walras.balance.rules import FleetRules, NodeInfo, check_rules
from walras.core.errors import InvalidInput, Reason
from walras.protocol.records import (
    Challenge,
    Echo,
    FleetChanged,
    FleetUpdate,
    Observations,
    Observed,
    QuarantinedVenue,
    VenuesWatched,
)
from walras.protocol.values import check_domain, check_owner
from walras.protocol.wire import parse

MAX_TEXT = 256
MAX_LISTED = 64
"""Chains and kinds that a node may name."""

_TEXTS = ("policy", "weigh", "bond_asset", "region")
_NUMBERS = sorted(f.name for f in fields(FleetRules) if f.name not in {*_TEXTS, "probers"})


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """A connected node and the calls that the engine had in flight there."""

    public_key: bytes
    in_flight: int = 0


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


@dataclass(frozen=True, slots=True)
class Observation:
    """One probe as its prober saw it: envelopes, `echo` empty where none came in time."""

    challenge: bytes
    echo: bytes
    rtt_us: int


def rules_to_wire(rules: FleetRules) -> record_pb2.FleetRules:
    """The message of the fleet's rules."""
    return record_pb2.FleetRules(
        policy=rules.policy,
        weigh=rules.weigh,
        bond_asset=rules.bond_asset,
        probers=rules.probers,
        settings=[
            record_pb2.FleetSetting(name=name, value=getattr(rules, name)) for name in _NUMBERS
        ],
        region=rules.region,
    )


def rules_from_wire(message: record_pb2.FleetRules) -> FleetRules:
    """The rules of a message; InvalidInput where a setting is missing, unknown, out of order or
    out of its range: nobody could run by them, and an auditor has to.
    """
    if [setting.name for setting in message.settings] != _NUMBERS:
        raise InvalidInput(
            Reason.FIELD_INVALID, "the fleet's settings are not those of this version"
        )
    rules = FleetRules(
        policy=message.policy,
        weigh=message.weigh,
        bond_asset=message.bond_asset,
        region=message.region,
        probers=_ascending(map(check_owner, message.probers), "probers"),
        **{setting.name: setting.value for setting in message.settings},
    )
    try:
        check_rules(rules)
    except ValueError as error:
        raise InvalidInput(Reason.FIELD_INVALID, str(error), field="rules") from error
    return rules


def node_to_wire(node: NodeInfo) -> record_pb2.FleetNode:
    """The message of a node."""
    return record_pb2.FleetNode(
        name=node.name,
        public_key=node.public_key,
        group=node.group,
        region=node.region,
        slots=node.slots,
        chains=node.chains,
        venue_kinds=node.venue_kinds,
        max_intents=node.max_intents,
        max_venues=node.max_venues,
    )


def node_from_wire(message: record_pb2.FleetNode) -> NodeInfo:
    """The node of a message."""
    if message.slots < 1:
        raise InvalidInput(Reason.FIELD_INVALID, f"{message.name} has no slots", field="slots")
    return NodeInfo(
        name=_text(message.name, "name"),
        public_key=check_owner(message.public_key),
        group=_text(message.group, "group"),
        region=_text(message.region, "region"),
        slots=message.slots,
        chains=_names(message.chains, "chains"),
        venue_kinds=_names(message.venue_kinds, "venue_kinds"),
        max_intents=message.max_intents,
        max_venues=message.max_venues,
    )


def changed_to_wire(record: FleetChanged) -> record_pb2.FleetChanged:
    """The message of a change of the fleet."""
    return record_pb2.FleetChanged(
        version=record.version,
        at_ms=record.at_ms,
        rules=None if record.rules is None else rules_to_wire(record.rules),
        joined=map(node_to_wire, record.joined),
        left=record.left,
        changes=[
            record_pb2.FleetChange(rule=c.rule, node=c.node, why=c.why) for c in record.changes
        ],
    )


def decode_changed(body: bytes) -> FleetChanged:
    """The change of the fleet that `body` encodes."""
    m = parse(record_pb2.FleetChanged, body)
    joined = tuple(map(node_from_wire, m.joined))
    _ascending((node.public_key for node in joined), "joined")
    return FleetChanged(
        m.version,
        m.at_ms,
        rules_from_wire(m.rules) if m.HasField("rules") else None,
        joined,
        _ascending(map(check_owner, m.left), "left"),
        tuple(
            Change(_rule(c.rule), check_owner(c.node) if c.node else b"", _text(c.why, "why"))
            for c in m.changes
        ),
    )


def update_to_wire(record: FleetUpdate) -> record_pb2.FleetUpdate:
    """The message of an operator's update of the fleet."""
    return record_pb2.FleetUpdate(
        domain=record.domain,
        operator=record.operator,
        nonce=record.nonce,
        drained=record.drained,
        resumed=record.resumed,
    )


def decode_update(body: bytes) -> FleetUpdate:
    """The operator's update that `body` encodes."""
    m = parse(record_pb2.FleetUpdate, body)
    drained = _ascending(map(check_owner, m.drained), "drained")
    resumed = _ascending(map(check_owner, m.resumed), "resumed")
    if not drained and not resumed:
        raise InvalidInput(Reason.FIELD_INVALID, "the update names no node")
    if set(drained) & set(resumed):
        raise InvalidInput(Reason.FIELD_INVALID, "a node is both drained and resumed")
    return FleetUpdate(check_domain(m.domain), check_owner(m.operator), m.nonce, drained, resumed)


def observed_to_wire(record: Observed) -> record_pb2.Observed:
    """The message of an auction's observations."""
    return record_pb2.Observed(
        auction_id=record.auction_id,
        at_ms=record.at_ms,
        calls_digest=record.calls_digest,
        canary_salt=record.canary_salt,
        canaries=record.canaries,
    )


def decode_observed(body: bytes) -> Observed:
    """The observations that `body` encodes."""
    m = parse(record_pb2.Observed, body)
    return Observed(
        m.auction_id,
        m.at_ms,
        _bytes32(m.calls_digest, "calls_digest"),
        _bytes32(m.canary_salt, "canary_salt"),
        _ascending((_bytes32(c, "canaries") for c in m.canaries), "canaries"),
    )


def watched_to_wire(record: VenuesWatched) -> record_pb2.VenuesWatched:
    """The message of what the watch over venues changed."""
    return record_pb2.VenuesWatched(
        at_ms=record.at_ms,
        quarantined=[
            record_pb2.QuarantinedVenue(
                venue=q.venue,
                rule=q.rule,
                details=[record_pb2.Detail(name=n, value=v) for n, v in q.details],
            )
            for q in record.quarantined
        ],
        released=record.released,
    )


def decode_watched(body: bytes) -> VenuesWatched:
    """What the watch over venues changed, as `body` encodes it."""
    m = parse(record_pb2.VenuesWatched, body)
    return VenuesWatched(
        m.at_ms,
        tuple(
            QuarantinedVenue(q.venue, q.rule, tuple((d.name, d.value) for d in q.details))
            for q in m.quarantined
        ),
        tuple(m.released),
    )


def challenge_to_wire(record: Challenge) -> record_pb2.Challenge:
    """The message of a prober's challenge."""
    return record_pb2.Challenge(
        domain=record.domain,
        epoch=record.epoch,
        prober=record.prober,
        node=record.node,
        nonce=record.nonce,
        checkpoint_size=record.checkpoint_size,
        checkpoint_root=record.checkpoint_root,
        vrf_proof=record.vrf_proof,
        sent_ms=record.sent_ms,
    )


def decode_challenge(body: bytes) -> Challenge:
    """The challenge that `body` encodes."""
    m = parse(record_pb2.Challenge, body)
    return Challenge(
        check_domain(m.domain),
        m.epoch,
        check_owner(m.prober),
        check_owner(m.node),
        _bytes32(m.nonce, "nonce"),
        m.checkpoint_size,
        _bytes32(m.checkpoint_root, "checkpoint_root"),
        m.vrf_proof,
        m.sent_ms,
    )


def echo_to_wire(record: Echo) -> record_pb2.Echo:
    """The message of a node's echo."""
    return record_pb2.Echo(
        domain=record.domain,
        node=record.node,
        challenge_digest=record.challenge_digest,
        checkpoint_size=record.checkpoint_size,
        checkpoint_root=record.checkpoint_root,
        in_flight=record.in_flight,
        slots=record.slots,
    )


def decode_echo(body: bytes) -> Echo:
    """The echo that `body` encodes."""
    m = parse(record_pb2.Echo, body)
    return Echo(
        check_domain(m.domain),
        check_owner(m.node),
        _bytes32(m.challenge_digest, "challenge_digest"),
        m.checkpoint_size,
        _bytes32(m.checkpoint_root, "checkpoint_root"),
        m.in_flight,
        m.slots,
    )


def observations_to_wire(record: Observations) -> record_pb2.Observations:
    """The message of a prober's observations of one epoch."""
    return record_pb2.Observations(
        domain=record.domain,
        prober=record.prober,
        epoch=record.epoch,
        list_digest=record.list_digest,
    )


def decode_observations(body: bytes) -> Observations:
    """The observations that `body` encodes."""
    m = parse(record_pb2.Observations, body)
    return Observations(
        check_domain(m.domain), check_owner(m.prober), m.epoch, _bytes32(m.list_digest, "list")
    )


def encode_dispatch(dispatch: Dispatch) -> bytes:
    """The dispatch's bytes, whose SHA-256 the sealing names."""
    return record_pb2.Dispatch(
        vrf_proof=dispatch.vrf_proof,
        nodes=[
            record_pb2.NodeLoad(public_key=n.public_key, in_flight=n.in_flight)
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
    nodes = tuple(NodeLoad(check_owner(n.public_key), n.in_flight) for n in m.nodes)
    _ascending((node.public_key for node in nodes), "nodes")
    return Dispatch(
        m.vrf_proof,
        nodes,
        tuple(
            LoadProbe(check_owner(p.public_key), p.in_flight, p.latency_us, p.at_us)
            for p in m.probes
        ),
        tuple(
            Assignment(_bytes32(a.part_digest, "part_digest"), tuple(a.nodes), a.asked)
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


def encode_observations(observations: Iterable[Observation]) -> bytes:
    """The bytes of a list of observations."""
    return record_pb2.ObservationList(
        observations=[
            record_pb2.Observation(challenge=o.challenge, echo=o.echo, rtt_us=o.rtt_us)
            for o in observations
        ]
    ).SerializeToString(deterministic=True)


def decode_observation_list(body: bytes) -> tuple[Observation, ...]:
    """The list of observations that `body` encodes; the envelopes in it are not looked at."""
    return tuple(
        Observation(o.challenge, o.echo, o.rtt_us)
        for o in parse(record_pb2.ObservationList, body).observations
    )


def _rule(name: str) -> Rule:
    try:
        return Rule(name)
    except ValueError as error:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"there is no rule {name[:64]!r}", field="rule"
        ) from error


def _text(value: str, name: str) -> str:
    if len(value) > MAX_TEXT:
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} is longer than {MAX_TEXT}", field=name)
    return value


def _names(values: Iterable[str], name: str) -> tuple[str, ...]:
    found = tuple(_text(value, name) for value in values)
    if len(found) > MAX_LISTED or list(found) != sorted(set(found)):
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{name} must be ascending, at most {MAX_LISTED}", field=name
        )
    return found


def _ascending(values: Iterable[bytes], name: str) -> tuple[bytes, ...]:
    found = tuple(values)
    if list(found) != sorted(set(found)):
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} must be ascending, each once", field=name)
    return found


def _bytes32(value: bytes, name: str) -> bytes:
    if len(value) != 32:
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} must have 32 bytes", field=name)
    return value
