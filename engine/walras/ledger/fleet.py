"""The fleet as a function of the log: which nodes there are, how each stands, which version it is.

Events that the log holds (calls, probes, promises, canaries, an operator's updates) move the
standing of nodes; what follows by rule (an ejection, its end) waits as `pending` until the engine
logs the fleet's next version, which it must do before it seals a batch. An auditor runs the same
code and compares.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass, field, replace

from walras.balance.events import (
    Asked,
    Brought,
    CallEnded,
    CanaryChecked,
    Change,
    Event,
    Promised,
    Rule,
)
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.core.errors import InvalidInput, Reason
from walras.ledger.epochs import Reported, advanced, entries_needed
from walras.protocol.dispatch import Call
from walras.protocol.fleet import MAX_CHANGES, MAX_WHY_BYTES, FleetChanged, FleetUpdate

CLAIMED = frozenset(
    {
        Rule.CONFIGURED,
        Rule.JOINED,
        Rule.LEFT,
        Rule.SCALED_UP,
        Rule.SCALED_DOWN,
        Rule.STRESS,
        Rule.CALM,
    }
)
"""Rules whose causes are outside the log: the engine states them; all others follow from it."""


@dataclass(slots=True)
class Fleet:
    """Nodes and their standing.

    Attributes:
        standing: of every node, under the rules in force.
        version: of the newest `FleetChanged`.
        at_ms: the latest time that the log told.
        epochs: prober → what it reported.
        pending: what followed from the log since the newest version.
    """

    standing: Standing = field(default_factory=lambda: Standing(FleetRules()))
    version: int = 0
    at_ms: int = 0
    epochs: dict[bytes, Reported] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    @property
    def rules(self) -> FleetRules:
        """In force."""
        return self.standing.rules

    @property
    def nodes(self) -> Mapping[bytes, NodeInfo]:
        """Known nodes by key."""
        return self.standing.nodes

    def tick(self, now_ms: int) -> bool:
        """Let time pass; returns whether the fleet's next version has to be logged.

        Only for times that the log tells: a version's and a sealing's.
        """
        self.at_ms = max(self.at_ms, now_ms)
        self.pending += self.standing.tick(now_ms)
        return bool(self.pending)

    def change(
        self,
        at_ms: int,
        *,
        rules: FleetRules | None = None,
        joined: Iterable[NodeInfo] = (),
        left: Iterable[bytes] = (),
        claims: Iterable[Change] = (),
    ) -> FleetChanged:
        """Move to the next version and return its record; `pending` keeps what it has no room for.

        Args:
            at_ms: as of when.
            rules: new ones.
            joined: new nodes, or new descriptions of known ones.
            left: keys that are no longer part of it.
            claims: changes whose causes are outside the log, with the rule and a reason for
                people, which is cut to what a record holds; at most `MAX_CHANGES`.

        Raises:
            InvalidInput: FLEET_INVALID for a node that leaves and is not known, one name twice, or
                a change without a rule behind it.
        """
        claims = tuple(replace(claim, why=_cut(claim.why)) for claim in claims)
        news = tuple(sorted(joined, key=lambda node: node.public_key))
        gone = tuple(sorted(left))
        after = {key: node for key, node in self.nodes.items() if key not in gone}
        after |= {node.public_key: node for node in news}
        names = [node.name for node in after.values()]
        if not set(gone) <= self.nodes.keys() or len(set(names)) != len(names):
            raise InvalidInput(
                Reason.FLEET_INVALID, "a node leaves that is not known, or two have one name"
            )
        touched = set(gone) | {node.public_key for node in news}
        claimed = {claim.node for claim in claims}
        if not touched <= claimed or (rules is not None and b"" not in claimed):
            raise InvalidInput(Reason.FLEET_INVALID, "a change of the fleet names no rule")
        if rules is not None:
            if rules.probe_interval_ms != self.rules.probe_interval_ms:
                self.epochs.clear()  # epochs are counted anew
            self.standing.set_rules(rules)
        for key in gone:
            self.standing.leave(key)
        for node in news:
            self.standing.join(node, at_ms)
        self.tick(at_ms)
        self.version += 1
        room = max(0, MAX_CHANGES - len(claims))
        changes = (*claims, *self.pending[:room])
        self.pending = self.pending[room:]  # for the versions right behind
        return FleetChanged(self.version, at_ms, rules, news, gone, changes)

    def apply(self, record: FleetChanged) -> None:
        """Apply a logged version.

        Raises:
            InvalidInput: FLEET_MISMATCH where it is not the one that follows from the log.
        """
        claims = tuple(change for change in record.changes if change.rule in CLAIMED)
        expected = self.change(
            record.at_ms,
            rules=record.rules,
            joined=record.joined,
            left=record.left,
            claims=claims,
        )
        if record != expected:
            raise InvalidInput(
                Reason.FLEET_MISMATCH,
                f"version {record.version} of the fleet is not what follows from the log:"
                f" {_shown(record.changes)} stands for {_shown(expected.changes)}",
            )

    def update(self, record: FleetUpdate) -> None:
        """Drain and resume nodes. Raises InvalidInput: NODE_UNKNOWN; nothing has changed then."""
        for key in (*record.drained, *record.resumed):
            if key not in self.nodes:
                raise InvalidInput(
                    Reason.NODE_UNKNOWN,
                    f"there is no node {key.hex()}",
                    hint="walras fleet list names them",
                    node=key.hex(),
                )
        for key in record.drained:
            self.standing.drain(key, self.at_ms)
            self.pending.append(Change(Rule.DRAINED, key, "by an operator"))
        for key in record.resumed:
            self.standing.resume(key, self.at_ms)
            self.pending.append(Change(Rule.RESUMED, key, "by an operator"))

    def entries_needed(self, prober: bytes, epoch: int) -> int:
        """As `walras.ledger.epochs.entries_needed`. Raises InvalidInput: OBSERVATION_STALE."""
        return entries_needed(self.epochs.get(prober), epoch)

    def advance_epoch(self, prober: bytes, epoch: int, index: int) -> None:
        """The entry of this index is a prober's report of an epoch. Raises InvalidInput:
        OBSERVATION_STALE.
        """
        self.epochs[prober] = advanced(self.epochs.get(prober), epoch, index)

    def observe(self, events: Iterable[Event]) -> None:
        """Apply what happened to nodes; events of nodes that have left are passed over."""
        for event in events:
            if event.node in self.nodes:
                self.pending += self.standing.apply(event)

    def set_stakes(self, balances: Mapping[tuple[bytes, str], int]) -> None:
        """Read every node's bond: what its key holds of the bond's asset."""
        asset = self.rules.bond_asset
        for key in self.nodes:
            self.standing.set_stake(key, balances.get((key, asset), 0) if asset else 0)


def to_json(fleet: Fleet) -> str:
    """As it is stored."""
    return json.dumps(
        {
            "standing": fleet.standing.to_json(),
            "version": fleet.version,
            "at_ms": fleet.at_ms,
            "epochs": {key.hex(): astuple(last) for key, last in sorted(fleet.epochs.items())},
            "pending": [[c.rule, c.node.hex(), c.why] for c in fleet.pending],
        }
    )


def from_json(text: str) -> Fleet:
    """As it was stored."""
    data = json.loads(text)
    return Fleet(
        Standing.from_json(data["standing"]),
        data["version"],
        data["at_ms"],
        {bytes.fromhex(key): Reported(*last) for key, last in data["epochs"].items()},
        [Change(Rule(rule), bytes.fromhex(node), why) for rule, node, why in data["pending"]],
    )


def brought(call: Call, bidders: Mapping[int, Collection[bytes]]) -> Brought:
    """What came of a call; `bidders` says who has a valid bid for which part."""
    found = bidders.get(call.part, ())
    if call.solver in found:
        return Brought.BID
    return Brought.MISSED if found else Brought.NOTHING


def batch_events(
    calls: Collection[Call],
    bidders: Mapping[int, Collection[bytes]],
    promises: Mapping[bytes, bool],
    canaries: Mapping[bytes, bool],
    at_ms: int,
) -> list[Event]:
    """What an auction tells about its nodes.

    Args:
        calls: in the order in which they ended.
        bidders: place of a part → who has a valid bid for it.
        promises: solver → whether it kept its word, of those who gave it.
        canaries: solver → whether it found the canaries that it was asked about.
        at_ms: when the bidding ended.
    """
    came = Counter(call.solver for call in calls)
    events: list[Event] = [Asked(key, at_ms, came[key]) for key in sorted(came)]
    events += [
        CallEnded(
            c.solver, at_ms, c.outcome, c.latency_us, c.ahead, c.reported, brought(c, bidders)
        )
        for c in calls
    ]
    events += [Promised(key, at_ms, promises[key]) for key in sorted(promises)]
    events += [CanaryChecked(key, at_ms, canaries[key]) for key in sorted(canaries)]
    return events


def _cut(why: str) -> str:
    return why.encode()[:MAX_WHY_BYTES].decode(errors="ignore")


def _shown(changes: Iterable[Change]) -> str:
    return ", ".join(f"{c.rule} {c.node.hex()[:8]}" for c in changes) or "nothing"
