"""Every value survives its encoding, and bytes that are nobody's encoding are refused."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.records import (
    amounts,
    asset_ids,
    calls,
    dispatches,
    intents,
    keys,
    naturals,
    observation_lists,
    positives,
    prices,
    records,
    rules,
    uint64,
    venues,
)

from walras.audit import envelope
from walras.core.errors import InvalidInput
from walras.protocol.codec import Signed, decode, encode
from walras.protocol.dispatch import (
    Call,
    Dispatch,
    decode_calls,
    decode_dispatch,
    encode_calls,
    encode_dispatch,
)
from walras.protocol.probes import Observation, decode_observation_list, encode_observations
from walras.protocol.problem import OpenIntent, Problem
from walras.protocol.records import Kind
from walras.protocol.trade import decode_problem, encode_intent, encode_problem, intent_ids
from walras.protocol.values import decode_balances, encode_balances
from walras.protocol.venues import decode_venue, decode_venues, encode_venue, encode_venues

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@settings(deadline=None, max_examples=1)
@given(data=st.data())
def test_every_kind_is_covered(data: st.DataObject) -> None:
    assert {encode(data.draw(strategy))[0] for strategy in records.values()} == set(Kind)


@pytest.mark.parametrize("name", records)
@SLOW
@given(data=st.data())
def test_round_trip(name: str, data: st.DataObject) -> None:
    record = data.draw(records[name])
    assert type(record).__name__ == name
    kind, body = encode(record)
    found = decode(kind, body)
    assert found == record
    assert encode(found) == (kind, body)


@pytest.mark.parametrize("name", records)
@FEW
@given(data=st.data())
def test_no_two_encodings_by_one_byte(name: str, data: st.DataObject) -> None:
    """Whatever one changes in a byte, it is another value or none."""
    record = data.draw(records[name])
    kind, body = encode(record)
    assume(body)
    places = st.tuples(st.integers(0, len(body) - 1), st.integers(1, 255))
    for at, flip in data.draw(st.lists(places, min_size=20, max_size=40)):
        changed = bytearray(body)
        changed[at] ^= flip
        assert other_or_none(kind, bytes(changed)) != record
    at = data.draw(st.integers(0, len(body)))
    for changed in (
        body[:at] + body[at + 1 :],
        body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at:],
        body[:at],
        body + body[at:],
    ):
        assert changed == body or other_or_none(kind, bytes(changed)) != record


def other_or_none(kind: Kind, body: bytes) -> Signed | None:
    """What `body` decodes to; then it must be its one encoding, as far as order is fixed."""
    try:
        found = decode(kind, body)
    except InvalidInput:
        return None
    assert sorted(encode(found)[1]) == sorted(body)
    return found


@pytest.mark.parametrize("kind", Kind)
@SLOW
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes(kind: Kind, body: bytes) -> None:
    other_or_none(kind, body)


@pytest.mark.parametrize("kind", Kind)
@FEW
@given(data=st.data())
def test_records_of_other_kinds(kind: Kind, data: st.DataObject) -> None:
    """A body read as another kind decodes to something or is refused; nothing else happens."""
    other_or_none(kind, encode(data.draw(st.one_of(*records.values())))[1])


@SLOW
@given(venue=venues())
def test_venues(venue: Any) -> None:
    assert decode_venue(encode_venue(venue)) == venue
    assert decode_venues(encode_venues({venue.id: venue})) == {venue.id: venue}


@SLOW
@given(balances=st.dictionaries(st.tuples(keys, asset_ids), naturals, max_size=5))
def test_balances(balances: dict[tuple[bytes, str], int]) -> None:
    assert decode_balances(encode_balances(balances)) == balances


@SLOW
@given(dispatch=dispatches)
def test_dispatches(dispatch: Dispatch) -> None:
    body = encode_dispatch(dispatch)
    assert decode_dispatch(body) == dispatch
    assert encode_dispatch(decode_dispatch(body)) == body


@SLOW
@given(made=calls)
def test_calls(made: tuple[Call, ...]) -> None:
    assert decode_calls(encode_calls(made)) == made


@SLOW
@given(seen=observation_lists)
def test_observation_lists(seen: tuple[Observation, ...]) -> None:
    assert decode_observation_list(encode_observations(seen)) == seen


@pytest.mark.parametrize(
    "decoder",
    [
        *(decode_venue, decode_venues, decode_balances, intent_ids),
        *(decode_dispatch, decode_calls, decode_observation_list),
    ],
)
@SLOW
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_of_parts(decoder: Callable[[bytes], object], body: bytes) -> None:
    try:
        decoder(body)
    except InvalidInput:
        return


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    found = draw(st.lists(intents(), max_size=3))
    named = {
        envelope.record_id(Kind.INTENT.payload_type, encode_intent(intent)): intent
        for intent in found
    }
    held = draw(st.lists(venues(), max_size=2))
    return Problem(
        domain=draw(st.text(max_size=10)),
        auction_id=draw(uint64),
        sealed_ms=draw(uint64),
        rules=draw(rules),
        intents={name: OpenIntent(name, named[name], draw(positives)) for name in sorted(named)},
        balances=draw(st.dictionaries(st.tuples(keys, asset_ids), naturals, max_size=3)),
        venues={venue.id: venue for venue in held},
        prices=draw(st.dictionaries(asset_ids, prices, max_size=3)),
    )


@FEW
@given(problem=problems())
def test_problems(problem: Problem) -> None:
    bodies = {name: found.intent for name, found in problem.intents.items()}
    body = encode_problem(problem)
    assert decode_problem(body, bodies) == problem
    assert encode_problem(decode_problem(body, bodies)) == body
    assert intent_ids(body) == sorted(problem.intents)
    for name in problem.intents:
        lacking = {other: intent for other, intent in bodies.items() if other != name}
        with pytest.raises(InvalidInput):
            decode_problem(body, lacking)


@SLOW
@given(amount=amounts)
def test_amounts_have_one_form(amount: int) -> None:
    from walras.core.amounts import parse_amount

    text = str(amount)
    assert parse_amount(text) == amount
    for other in (f"+{text}", f"0{text}", f"{text} ", f" {text}", f"{text}.0", f"{text}e0"):
        with pytest.raises(InvalidInput):
            parse_amount(other)
