"""The fleet's records: its versions and its operators' updates (protocol §10)."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from walras.api.v1 import record_pb2
from walras.balance.events import Change, Rule
from walras.balance.rules import FleetRules, NodeInfo, check_rules
from walras.core.amounts import parse_amount
from walras.core.errors import InvalidInput, Reason
from walras.protocol.values import check_ascending, check_domain, check_owner
from walras.protocol.wire import parse

MAX_TEXT = 256
MAX_NAME_BYTES = 64
MAX_LISTED = 64
"""Chains and kinds that a node may name."""

# A version fits a log entry, which has at most 65,535 bytes.
MAX_NODE_BYTES = 1_024
"""Of a node's description, its name and key included."""
MAX_NODES = 16
"""That come and go in one version."""
MAX_CHANGES = 128
"""In one version."""
MAX_WHY_BYTES = 256
"""Of the sentence behind a change."""

_TEXTS = ("policy", "weigh", "bond_asset", "region")
_APART = {*_TEXTS, "probers", "min_bond", "forfeit"}
_NUMBERS = sorted(f.name for f in fields(FleetRules) if f.name not in _APART)


@dataclass(frozen=True, slots=True)
class FleetChanged:
    """The fleet's next version.

    Attributes:
        version: counts up from 1.
        at_ms: as of when.
        rules: where they change.
        joined: new nodes and new descriptions of known ones, by ascending key.
        left: keys.
        changes: every change with the rule behind it: first what is configured here, then what
            follows from the log, as far as there is room.
    """

    version: int
    at_ms: int
    rules: FleetRules | None = None
    joined: tuple[NodeInfo, ...] = ()
    left: tuple[bytes, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetUpdate:
    """An operator takes nodes (public keys) out of service, or back."""

    domain: str
    operator: bytes
    nonce: int
    drained: tuple[bytes, ...] = ()
    resumed: tuple[bytes, ...] = ()


FleetRecord = FleetChanged | FleetUpdate


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
        min_bond=str(rules.min_bond),
        forfeit=str(rules.forfeit),
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
        probers=check_ascending(map(check_owner, message.probers), "probers"),
        min_bond=parse_amount(message.min_bond, "min_bond"),
        forfeit=parse_amount(message.forfeit, "forfeit"),
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
    if message.ByteSize() > MAX_NODE_BYTES:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"a node is described in more than {MAX_NODE_BYTES} bytes"
        )
    if message.slots < 1:
        raise InvalidInput(Reason.FIELD_INVALID, f"{message.name} has no slots", field="slots")
    return NodeInfo(
        name=_short(message.name, "name", MAX_NAME_BYTES),
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
    if len(m.joined) + len(m.left) > MAX_NODES or len(m.changes) > MAX_CHANGES:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"a version has at most {MAX_NODES} nodes that come and go, and {MAX_CHANGES} changes",
        )
    joined = tuple(map(node_from_wire, m.joined))
    check_ascending((node.public_key for node in joined), "joined")
    return FleetChanged(
        m.version,
        m.at_ms,
        rules_from_wire(m.rules) if m.HasField("rules") else None,
        joined,
        check_ascending(map(check_owner, m.left), "left"),
        tuple(
            Change(
                _rule(c.rule),
                check_owner(c.node) if c.node else b"",
                _short(c.why, "why", MAX_WHY_BYTES),
            )
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
    drained = check_ascending(map(check_owner, m.drained), "drained")
    resumed = check_ascending(map(check_owner, m.resumed), "resumed")
    if not drained and not resumed:
        raise InvalidInput(Reason.FIELD_INVALID, "the update names no node")
    if set(drained) & set(resumed):
        raise InvalidInput(Reason.FIELD_INVALID, "a node is both drained and resumed")
    return FleetUpdate(check_domain(m.domain), check_owner(m.operator), m.nonce, drained, resumed)


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


def _short(value: str, name: str, most: int) -> str:
    if len(value.encode()) > most:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{name} is longer than {most} bytes of UTF-8", field=name
        )
    return value


def _names(values: Iterable[str], name: str) -> tuple[str, ...]:
    found = tuple(_text(value, name) for value in values)
    if len(found) > MAX_LISTED or list(found) != sorted(set(found)):
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{name} must be ascending, at most {MAX_LISTED}", field=name
        )
    return found
