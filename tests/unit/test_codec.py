"""Records on the wire: what is refused, and why."""

from collections.abc import Callable
from typing import Any

import pytest
from support.market import ASSETS, DOMAIN, ETH, PRICES, USD, pool, sell, signer

from walras.api.v1 import record_pb2
from walras.balance.events import Change, Rule
from walras.balance.rules import FleetRules, NodeInfo
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import InvalidInput, Reason
from walras.protocol.codec import Signed, decode, encode
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.probes import Challenge, Echo, Observations
from walras.protocol.problem import Rules
from walras.protocol.records import (
    KIND_OF_TYPE,
    Cancel,
    Closed,
    Credit,
    Deposit,
    Genesis,
    Kind,
    MarketUpdate,
    Observed,
    Opened,
    RulesSet,
    Sealed,
    Withdrawal,
    signer_of,
)

KEY = signer("ann").public_key
DIGEST = bytes(range(32))

BID = Bid(
    7,
    DIGEST,
    KEY,
    Proposal((Fill(DIGEST, 5),), {ETH: 2, USD: 3}, (Execution("pool", ETH, 1, USD, 2),)),
)
DEPOSIT = Deposit(DOMAIN, KEY, 1, (Credit(KEY, ETH, 5),))
LOW, HIGH = sorted((KEY, signer("bob").public_key))
FLEET = FleetChanged(
    3,
    9,
    FleetRules(probers=(LOW, HIGH)),
    (NodeInfo("a", LOW, chains=("x:1", "x:2")), NodeInfo("b", HIGH)),
    (LOW, HIGH),
    (Change(Rule.JOINED, LOW, "why"),),
)
UPDATE = FleetUpdate(DOMAIN, KEY, 1, (LOW,), (HIGH,))
OBSERVED = Observed(1, 5, DIGEST, DIGEST, (LOW, HIGH))
CHALLENGE = Challenge(DOMAIN, 4, KEY, LOW, DIGEST, 8, DIGEST, bytes(80), 5)
ECHO = Echo(DOMAIN, KEY, DIGEST, 8, DIGEST, 1, 2)
OBSERVATIONS = Observations(DOMAIN, KEY, 4, DIGEST)
MARKET = MarketUpdate(DOMAIN, KEY, 1, ASSETS, (pool(),), ("gone",), PRICES)


def reason(kind: Kind, body: bytes) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        decode(kind, body)
    return caught.value.reason


def changed(record: Signed, change: Callable[[Any], object]) -> tuple[Kind, bytes]:
    """The body of `record` after a change to its message."""
    kind, body = encode(record)
    names = {Kind.MARKET: "MarketUpdate", Kind.RULES: "RulesSet", Kind.FLEET: "FleetChanged"}
    name = names.get(kind, "".join(part.title() for part in kind.value.split("-")))
    message: Any = getattr(record_pb2, name).FromString(body)
    change(message)
    return kind, message.SerializeToString(deterministic=True)


def setting(path: str, value: object) -> Callable[[Any], object]:
    *parents, last = path.split(".")

    def change(message: Any) -> None:
        for name in parents:
            message = message[int(name)] if name.isdigit() else getattr(message, name)
        setattr(message, last, value)

    return change


def test_payload_types_are_the_kinds() -> None:
    assert len(KIND_OF_TYPE) == len(Kind)
    assert Kind.INTENT.payload_type == "application/vnd.walras.intent.v1+protobuf"
    for payload_type, kind in KIND_OF_TYPE.items():
        assert kind.payload_type == payload_type


def test_bytes_of_an_intent() -> None:
    """The encoding, written out by hand: other languages must come to the same."""
    body = encode(sell(KEY))[1]
    fields = record_pb2.Intent.FromString(body)
    by_hand = b"".join(
        (
            b"\x0a" + bytes([len(DOMAIN)]) + DOMAIN.encode(),
            b"\x12\x20" + KEY,
            b"\x18" + varint(fields.nonce),
            b"\x28" + varint(fields.expiry_ms),
            b"\x32"
            + varint(len(ETH) + 6)
            + b"\x0a"
            + varint(len(ETH))
            + ETH.encode()
            + b"\x12\x02-1",
            b"\x3a\x13" + str(10**18).encode(),
            b"\x42\x010",
            b"\x4a" + varint(len(USD)) + USD.encode(),
            b"\x52\x0a1990000000",
        )
    )
    assert body == by_hand


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\xff", Reason.MESSAGE_MALFORMED),
        (b"\x0a\x05abc", Reason.MESSAGE_MALFORMED),
        (b"\x0a\x01\xff", Reason.MESSAGE_MALFORMED),
        (b"\x7a\x01x", Reason.UNKNOWN_FIELD),
        (b"\x0a\x00", Reason.NON_CANONICAL),
        (b"\x0a\x01a\x0a\x01b", Reason.NON_CANONICAL),
        (b"\x18\x01\x0a\x01a", Reason.NON_CANONICAL),
        (b"\x18\x81\x00", Reason.NON_CANONICAL),
        (b"\x0a\x81\x00a", Reason.NON_CANONICAL),
    ],
)
def test_not_the_one_encoding(body: bytes, expected: Reason) -> None:
    assert reason(Kind.INTENT, body) is expected
    assert reason(Kind.DEPOSIT, body) is expected


def test_unknown_field_within_a_field() -> None:
    """Nested messages are read as strictly."""
    leg = record_pb2.Leg(asset=ETH, quantity="-1").SerializeToString() + b"\x7a\x01x"
    body = b"\x32" + varint(len(leg)) + leg
    assert reason(Kind.INTENT, body) is Reason.UNKNOWN_FIELD
    assert reason(Kind.INTENT, b"\x32\x04\x12\x00\x0a\x00") is Reason.NON_CANONICAL


CASES: list[tuple[Signed, Callable[[Any], object], Reason]] = [
    (Cancel(DOMAIN, KEY, DIGEST), setting("intent_id", b"short"), Reason.FIELD_INVALID),
    (Cancel(DOMAIN, KEY, DIGEST), setting("owner", b"short"), Reason.PUBLIC_KEY_INVALID),
    (Cancel(DOMAIN, KEY, DIGEST), setting("domain", ""), Reason.FIELD_INVALID),
    (Cancel(DOMAIN, KEY, DIGEST), setting("domain", "é"), Reason.FIELD_INVALID),
    (Cancel(DOMAIN, KEY, DIGEST), setting("domain", "d" * 129), Reason.FIELD_INVALID),
    (Withdrawal(DOMAIN, KEY, 1, ETH, 1, 1), setting("amount", "0"), Reason.AMOUNT_OUT_OF_RANGE),
    (Withdrawal(DOMAIN, KEY, 1, ETH, 1, 1), setting("asset", ""), Reason.ASSET_MALFORMED),
    (DEPOSIT, setting("credits.0.owner", b""), Reason.PUBLIC_KEY_INVALID),
    (DEPOSIT, setting("credits.0.amount", "-5"), Reason.AMOUNT_OUT_OF_RANGE),
    (DEPOSIT, lambda m: m.credits.pop(), Reason.FIELD_INVALID),
    (DEPOSIT, lambda m: m.credits.extend([m.credits[0]] * 256), Reason.FIELD_INVALID),
    (MARKET, setting("prices.0.amount", "0"), Reason.AMOUNT_OUT_OF_RANGE),
    (MARKET, setting("prices.0.source", ""), Reason.FIELD_INVALID),
    (MARKET, setting("prices.0.source", "s" * 65), Reason.FIELD_INVALID),
    (MARKET, lambda m: m.prices.append(m.prices[0]), Reason.FIELD_INVALID),
    (MARKET, lambda m: m.assets.append(m.assets[0]), Reason.FIELD_INVALID),
    (MARKET, lambda m: m.removed_venues.append("gone"), Reason.FIELD_INVALID),
    (MARKET, lambda m: m.venues.append(m.venues[0]), Reason.VENUE_MALFORMED),
    (MARKET, setting("venues.0.cost", "-1"), Reason.VENUE_MALFORMED),
    (MARKET, setting("venues.0.cost", ""), Reason.AMOUNT_MALFORMED),
    (MARKET, setting("venues.0.id", ""), Reason.VENUE_MALFORMED),
    (MARKET, lambda m: m.venues[0].ClearField("constant_product"), Reason.VENUE_MALFORMED),
    (
        MARKET,
        lambda m: m.venues[0].constant_product.assets.append(ETH),
        Reason.VENUE_MALFORMED,
    ),
    (MARKET, setting("assets.0.symbol", "s" * 65), Reason.FIELD_INVALID),
    (MARKET, setting("assets.0.id", "x"), Reason.ASSET_MALFORMED),
    (BID, lambda m: m.prices.append(m.prices[0]), Reason.FIELD_INVALID),
    (BID, setting("prices.0.price", "0"), Reason.AMOUNT_OUT_OF_RANGE),
    (BID, setting("prices.0.asset", "x"), Reason.ASSET_MALFORMED),
    (BID, setting("fills.0.units", "0"), Reason.AMOUNT_OUT_OF_RANGE),
    (BID, setting("executions.0.amount_in", "0"), Reason.AMOUNT_OUT_OF_RANGE),
    (BID, setting("executions.0.amount_out", "-1"), Reason.AMOUNT_OUT_OF_RANGE),
    (BID, setting("solver", b""), Reason.PUBLIC_KEY_INVALID),
    (Opened(1, DIGEST, 1, 1), setting("rules_digest", b""), Reason.FIELD_INVALID),
    (Closed(1, DIGEST, 1, DIGEST), setting("bids_digest", b"x"), Reason.FIELD_INVALID),
    (RulesSet(Rules()), lambda m: m.ClearField("rules"), Reason.FIELD_INVALID),
    (Genesis(DOMAIN, KEY, (KEY,), KEY), setting("engine", b""), Reason.PUBLIC_KEY_INVALID),
    (
        Genesis(DOMAIN, KEY, (KEY,), KEY),
        lambda m: m.operators.append(b""),
        Reason.PUBLIC_KEY_INVALID,
    ),
    (Sealed(1, DIGEST, 1, 1, DIGEST), setting("dispatch_digest", b"x"), Reason.FIELD_INVALID),
    (Sealed(1, DIGEST, 1, 1, DIGEST), setting("canaries_digest", b""), Reason.FIELD_INVALID),
    (Genesis(DOMAIN, KEY, (KEY,), KEY), setting("vrf_key", b""), Reason.PUBLIC_KEY_INVALID),
    (FLEET, setting("rules.policy", "whoever pays"), Reason.FIELD_INVALID),
    (FLEET, setting("rules.weigh", "friends"), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.rules.settings.pop(), Reason.FIELD_INVALID),
    (FLEET, setting("rules.settings.0.name", "all"), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.rules.settings.append(m.rules.settings[0]), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.rules.probers.reverse(), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.joined.reverse(), Reason.FIELD_INVALID),
    (FLEET, setting("joined.0.slots", 0), Reason.FIELD_INVALID),
    (FLEET, setting("joined.0.public_key", b""), Reason.PUBLIC_KEY_INVALID),
    (FLEET, setting("joined.0.region", "r" * 257), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.joined[0].chains.reverse(), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.joined[1].chains.extend(map(str, range(65))), Reason.FIELD_INVALID),
    (FLEET, lambda m: m.left.append(m.left[1]), Reason.FIELD_INVALID),
    (FLEET, setting("changes.0.rule", "a whim"), Reason.FIELD_INVALID),
    (FLEET, setting("changes.0.node", b"x"), Reason.PUBLIC_KEY_INVALID),
    (FLEET, setting("changes.0.why", "w" * 257), Reason.FIELD_INVALID),
    (UPDATE, lambda m: m.drained.append(HIGH), Reason.FIELD_INVALID),
    (UPDATE, lambda m: m.drained.append(LOW), Reason.FIELD_INVALID),
    (UPDATE, setting("operator", b""), Reason.PUBLIC_KEY_INVALID),
    (UPDATE, lambda m: (m.drained.pop(), m.resumed.pop()), Reason.FIELD_INVALID),
    (OBSERVED, setting("canary_salt", b""), Reason.FIELD_INVALID),
    (OBSERVED, setting("calls_digest", b""), Reason.FIELD_INVALID),
    (OBSERVED, lambda m: m.canaries.reverse(), Reason.FIELD_INVALID),
    (OBSERVED, lambda m: m.canaries.append(HIGH), Reason.FIELD_INVALID),
    (CHALLENGE, setting("nonce", b"short"), Reason.FIELD_INVALID),
    (CHALLENGE, setting("checkpoint_root", b""), Reason.FIELD_INVALID),
    (CHALLENGE, setting("node", b""), Reason.PUBLIC_KEY_INVALID),
    (ECHO, setting("challenge_digest", b""), Reason.FIELD_INVALID),
    (ECHO, setting("checkpoint_root", b""), Reason.FIELD_INVALID),
    (ECHO, setting("node", b""), Reason.PUBLIC_KEY_INVALID),
    (OBSERVATIONS, setting("list_digest", b""), Reason.FIELD_INVALID),
    (OBSERVATIONS, setting("prober", b""), Reason.PUBLIC_KEY_INVALID),
]


@pytest.mark.parametrize(("record", "change", "expected"), CASES)
def test_rules_of_records(
    record: Signed, change: Callable[[Any], object], expected: Reason
) -> None:
    kind, body = encode(record)
    assert decode(kind, body) == record
    assert reason(*changed(record, change)) is expected


def test_rules_that_no_fleet_can_run_by() -> None:
    """An auditor must run by whatever a log says, so the log cannot say it."""
    body = encode(FLEET)[1]
    names = [entry.name for entry in record_pb2.FleetChanged.FromString(body).rules.settings]
    for name, value in (("fade_half_life", 0), ("fan_out", 10_001), ("panic_bps", 10_001)):
        at = f"rules.settings.{names.index(name)}.value"
        assert reason(*changed(FLEET, setting(at, value))) is Reason.FIELD_INVALID


def test_two_kinds_of_venue_in_one() -> None:
    """Of a oneof that stands twice, the second would win silently."""
    venue = encode(MARKET)[1]
    message = record_pb2.MarketUpdate.FromString(venue).venues[0]
    pool_bytes = message.SerializeToString()
    book = b"\x32\x00"  # an order book, empty
    twice = pool_bytes + book
    body = encode(MarketUpdate(DOMAIN, KEY, 1))[1] + b"\x2a" + varint(len(twice)) + twice
    assert reason(Kind.MARKET, body) is Reason.NON_CANONICAL


def test_who_must_sign() -> None:
    other = signer("bob").public_key
    assert signer_of(sell(other)) == other
    assert signer_of(Cancel(DOMAIN, other, DIGEST)) == other
    assert signer_of(DEPOSIT) == KEY
    assert signer_of(MARKET) == KEY
    assert signer_of(UPDATE) == KEY
    assert signer_of(CHALLENGE) == KEY
    assert signer_of(ECHO) == KEY
    assert signer_of(OBSERVATIONS) == KEY
    assert signer_of(FLEET) is None
    assert signer_of(OBSERVED) is None
    assert signer_of(BID) is None
    assert signer_of(RulesSet(Rules())) is None


def test_order_of_the_dictionary_is_not_in_the_bytes() -> None:
    turned = Proposal(BID.proposal.fills, {USD: 3, ETH: 2}, BID.proposal.executions)
    assert encode(Bid(7, DIGEST, KEY, turned)) == encode(BID)
    update = MarketUpdate(DOMAIN, KEY, 1, prices=dict(reversed(PRICES.items())))
    assert encode(update) == encode(MarketUpdate(DOMAIN, KEY, 1, prices=PRICES))
