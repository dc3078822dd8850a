"""No record that the engine may log is longer than a log entry may be.

What users, operators and probers sign is logged as it came, and is refused where it is longer than
an envelope may be. What the engine signs is bounded field by field: here with every list and every
text as long as it may be.
"""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.market import signer
from support.records import bids, keys, records, uint32, uint64

from walras.auction.batch import ReceivedBid
from walras.audit import envelope
from walras.balance.events import Change, Rule
from walras.balance.rules import MAX_PROBERS, MAX_TEXT_BYTES, FleetRules, NodeInfo
from walras.core.amounts import AMOUNT_LIMIT
from walras.core.errors import BidRejected, InvalidInput, Reason
from walras.protocol import batch, codec, fleet, prices
from walras.protocol.codec import Signed, decode, encode
from walras.protocol.fleet import FleetChanged, node_from_wire, node_to_wire
from walras.protocol.prices import PricesWatched, QuarantinedAsset
from walras.protocol.problem import MAX_FEEDERS, Rules
from walras.protocol.records import (
    BidRejectedRecord,
    Genesis,
    Kind,
    Observed,
    QuarantinedVenue,
    VenuesWatched,
    Voided,
)
from walras.protocol.sealed_bids import BidUnopened

ENGINE = signer("engine")
SIGNS = "xé→\U0001f4b0"  # of one to four bytes
reasons = st.sampled_from(Reason).map(str)
domains = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=128, max_size=128)


assets = st.sampled_from("a%.").map(lambda sign: f"{'-' * 8}:{'a' * 32}/{'-' * 8}:{sign * 128}")


def distinct(count: int) -> st.SearchStrategy[tuple[bytes, ...]]:
    """So many keys, ascending."""
    return st.integers(0, 1 << 200).map(
        lambda start: tuple(sorted((start + n).to_bytes(32, "big") for n in range(count)))
    )


def filled(size: int) -> st.SearchStrategy[str]:
    """Text of just so many bytes of UTF-8, of one, two, three or four each."""
    return st.sampled_from(SIGNS).map(
        lambda sign: sign * (size // len(sign.encode())) + "x" * (size % len(sign.encode()))
    )


@st.composite
def fleet_rules(draw: st.DrawFn) -> FleetRules:
    """Every text and number as long as it may be."""
    longest = {
        f.name: 10_000 if f.name.endswith("_bps") or f.name == "fan_out" else 1 << 40
        for f in fields(FleetRules)
        if type(f.default) is int
    }
    settled = longest | {
        "hash_balance_factor_bps": 1_000_000,
        "min_bond": AMOUNT_LIMIT - 1,
        "forfeit": AMOUNT_LIMIT - 1,
        "probe_timeout_ms": (1 << 40) - 1,
        "quorum": MAX_PROBERS,
    }
    return FleetRules(
        policy="least_expected_delay",
        weigh="uniform",
        bond_asset=draw(filled(MAX_TEXT_BYTES)),
        region=draw(filled(MAX_TEXT_BYTES)),
        probers=draw(distinct(MAX_PROBERS)),
        **settled,  # type: ignore[arg-type]  # numbers, by name
    )


@st.composite
def nodes(draw: st.DrawFn, key: bytes) -> NodeInfo:
    """A description that has no room for one more byte."""
    name = draw(filled(fleet.MAX_NAME_BYTES))
    most = (1 << 32) - 1
    info = NodeInfo(name, key, slots=most, max_intents=most, max_venues=most)
    room = fleet.MAX_NODE_BYTES - node_to_wire(info).ByteSize()
    kinds: list[str] = []
    while room > 2:
        size = min(room - 2, 100)
        size -= room - 2 - size == 1 or room - 2 - size == 2
        kinds.append(f"{len(kinds):03d}".ljust(size, "x")[:size])
        room -= size + 2
    info = NodeInfo(
        name, key, slots=most, venue_kinds=tuple(kinds), max_intents=most, max_venues=most
    )
    message = node_to_wire(info)
    assert message.ByteSize() > fleet.MAX_NODE_BYTES - 3
    return node_from_wire(message)


@st.composite
def versions(draw: st.DrawFn) -> FleetChanged:
    """A version of the fleet with all that it has room for."""
    left = draw(st.integers(0, fleet.MAX_NODES))
    joined = [draw(nodes(key)) for key in draw(distinct(fleet.MAX_NODES - left))]
    change = Change(Rule.CONSECUTIVE_ERRORS, draw(keys), draw(filled(fleet.MAX_WHY_BYTES)))
    return FleetChanged(
        draw(uint64),
        draw(uint64),
        draw(fleet_rules()),
        tuple(joined),
        draw(distinct(left)),
        (change,) * fleet.MAX_CHANGES,
    )


@st.composite
def watched(draw: st.DrawFn) -> VenuesWatched:
    """Venues with the longest ids, taken out with the longest numbers.

    A quote's numbers are products of at most eight balances below 2^256 and two factors as large,
    so a ratio of two has fewer than 1,000 digits.
    """
    asset = draw(assets)
    details = {
        "asset_in": asset,
        "asset_out": asset,
        "max_price_ratio": "9" * 20,
        "ratio_bps": "9" * 1_000,
    }
    room = batch.MAX_WATCHED
    venue = draw(filled(128))
    return VenuesWatched(
        draw(uint64),
        (QuarantinedVenue(venue, "implausible", tuple(details.items())),) * room["quarantined"],
        (venue,) * room["released"],
    )


@st.composite
def unpriced(draw: st.DrawFn) -> PricesWatched:
    """Assets with the longest ids, disputed with the longest numbers."""
    asset = draw(assets)
    details = {
        "max_price_spread_bps": "9" * 10,
        "median": "9" * 77,
        "near": "9" * 20,
        "price_quorum": "9" * 10,
        "sources": "9" * 20,
    }
    return PricesWatched(
        draw(uint64),
        (QuarantinedAsset(asset, "disputed", tuple(details.items())),) * prices.MAX_UNPRICED,
        (asset,) * prices.MAX_PRICED_AGAIN,
    )


@st.composite
def rejections(draw: st.DrawFn) -> BidRejectedRecord:
    """Of a bid whose every word is a megabyte."""
    names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)
    found = draw(st.dictionaries(names, st.sampled_from(SIGNS), min_size=8, max_size=8))
    error = BidRejected(draw(st.sampled_from(Reason)), "no")
    error.fields = {name: sign * 1_000_000 for name, sign in found.items()}
    record = ReceivedBid(draw(keys), draw(keys), draw(uint64), error).rejected(draw(uint64))
    assert record is not None
    return record


BY_THE_ENGINE: dict[Kind, st.SearchStrategy[Signed]] = {
    Kind.GENESIS: st.builds(Genesis, domains, keys, distinct(codec.MAX_OPERATORS), keys),
    Kind.BID_REJECTED: rejections(),
    Kind.OBSERVED: st.builds(Observed, uint64, uint64, keys, keys, distinct(batch.MAX_CANARIES)),
    Kind.FLEET: versions(),
    Kind.VENUES_WATCHED: watched(),
    Kind.PRICES_WATCHED: unpriced(),
    # No text and no list of these grows.
    Kind.RULES: st.builds(
        replace,
        records["RulesSet"],
        rules=st.builds(Rules, feeders=distinct(MAX_FEEDERS), numeraire=assets),
    ),
    Kind.OPENED: records["Opened"],
    Kind.SEALED: records["Sealed"],
    Kind.BID_RECEIVED: records["BidReceived"],
    Kind.COMMITTED: records["Committed"],
    Kind.BID_UNOPENED: st.builds(BidUnopened, uint64, uint32, keys, reasons, keys),
    Kind.CLOSED: records["Closed"],
    Kind.AWARDED: records["Awarded"],
    Kind.SETTLED: records["Settled"],
    Kind.VOIDED: st.builds(Voided, uint64, reasons),
}
BY_OTHERS = {
    Kind.INTENT,
    Kind.CANCEL,
    Kind.WITHDRAWAL,
    Kind.DEPOSIT,
    Kind.MARKET,
    Kind.PRICES,
    Kind.FLEET_UPDATE,
    Kind.OBSERVATIONS,
    Kind.KEY_BINDING,
}
BLOBS = {
    Kind.BID,
    Kind.BUNDLE,
    Kind.CHALLENGE,
    Kind.ECHO,
    Kind.TASK,
    Kind.COMMITMENT,
    Kind.BID_RECEIPT,
    Kind.OPENING,
}


def test_every_kind_of_record_is_looked_at() -> None:
    assert BY_THE_ENGINE.keys() | BY_OTHERS | BLOBS == set(Kind)


@pytest.mark.parametrize("kind", BY_THE_ENGINE)
@settings(max_examples=10)
@given(data=st.data())
def test_the_longest_record_of_a_kind_is_an_entry(kind: Kind, data: st.DataObject) -> None:
    record = data.draw(BY_THE_ENGINE[kind])
    found, body = encode(record)
    assert found is kind
    assert decode(kind, body) == record, "not a record that an auditor admits"
    leaf = envelope.seal(kind.payload_type, body, ENGINE)
    assert len(leaf) <= envelope.MAX_ENVELOPE_BYTES
    assert envelope.decode(leaf).body == body


@given(bids)
def test_what_others_sign_is_refused_where_it_is_too_long(record: Signed) -> None:
    kind, body = encode(record)
    leaf = envelope.seal(kind.payload_type, body.ljust(envelope.MAX_ENVELOPE_BYTES), ENGINE)
    with pytest.raises(InvalidInput) as error:
        envelope.decode(leaf)
    assert error.value.reason is Reason.ENVELOPE_MALFORMED


@given(versions(), st.sampled_from(["nodes", "changes", "why", "name", "kinds", "canaries", "out"]))
@settings(max_examples=20)
def test_one_more_is_refused(record: FleetChanged, what: str) -> None:
    kind, message = Kind.FLEET, fleet.changed_to_wire(record)
    match what:
        case "nodes":
            message.left.append(b"\xff" * 32)
        case "changes":
            message.changes.append(message.changes[0])
        case "why":
            message.changes[0].why += "x"
        case "name":
            message.joined.add(name="x" * (fleet.MAX_NAME_BYTES + 1), public_key=bytes(32), slots=1)
            del message.left[:], message.joined[:-1]
        case "kinds":
            node = message.joined.add(name="x", public_key=bytes(32), slots=1)
            node.venue_kinds.extend(f"{n:02d}".ljust(250) for n in range(5))
            del message.left[:], message.joined[:-1]
        case "canaries":
            kind = Kind.OBSERVED
            canaries = tuple(n.to_bytes(32, "big") for n in range(batch.MAX_CANARIES + 1))
            message = batch.observed_to_wire(Observed(1, 1, bytes(32), bytes(32), canaries))  # type: ignore[assignment]  # another message
        case "out":
            kind = Kind.VENUES_WATCHED
            gone = ("venue",) * (batch.MAX_WATCHED["released"] + 1)
            message = batch.watched_to_wire(VenuesWatched(1, (), gone))  # type: ignore[assignment]  # as above
    with pytest.raises(InvalidInput) as error:
        decode(kind, message.SerializeToString(deterministic=True))
    assert error.value.reason is Reason.FIELD_INVALID
