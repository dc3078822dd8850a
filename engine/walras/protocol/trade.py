"""Intents, bids, bundles and problems: values to bytes and back."""

import hashlib
from collections.abc import Iterable, Mapping
from sys import intern

from walras.api.v1 import record_pb2
from walras.core.amounts import parse_amount, parse_positive
from walras.core.assets import check_asset_id
from walras.core.bids import (
    Bid,
    Bundle,
    Execution,
    Fill,
    Proposal,
    Reward,
    SettledFill,
    Winner,
)
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Decay, Intent, Leg
from walras.protocol.problem import OpenIntent, Problem
from walras.protocol.values import (
    add_balances,
    balances_from_wire,
    check_owner,
    price_to_wire,
    prices_from_wire,
    references_from_wire,
    references_to_wire,
    rules_from_wire,
    rules_to_wire,
)
from walras.protocol.venues import venue_to_wire, venues_from_wire
from walras.protocol.wire import parse


def encode_intent(intent: Intent) -> bytes:
    """The body an owner signs."""
    decay = intent.decay
    return record_pb2.Intent(
        domain=intent.domain,
        owner=intent.owner,
        nonce=intent.nonce,
        not_before_ms=intent.not_before_ms,
        expiry_ms=intent.expiry_ms,
        legs=[record_pb2.Leg(asset=leg.asset, quantity=str(leg.quantity)) for leg in intent.legs],
        units=str(intent.units),
        min_units=str(intent.min_units),
        settlement_asset=intent.settlement_asset,
        limit=str(intent.limit),
        decay=None
        if decay is None
        else record_pb2.Decay(
            start_limit=str(decay.start_limit), start_ms=decay.start_ms, end_ms=decay.end_ms
        ),
    ).SerializeToString(deterministic=True)


def decode_intent(body: bytes) -> Intent:
    """The intent that `body` encodes; InvalidInput where it breaks a rule."""
    message = parse(record_pb2.Intent, body)
    decay = None
    if message.HasField("decay"):
        decay = Decay(
            parse_amount(message.decay.start_limit, "decay.start_limit"),
            message.decay.start_ms,
            message.decay.end_ms,
        )
    # Names are interned: a book of a million intents has but a few, looked up again and again.
    return Intent(
        domain=intern(message.domain),
        owner=message.owner,
        nonce=message.nonce,
        not_before_ms=message.not_before_ms,
        expiry_ms=message.expiry_ms,
        legs=tuple(
            Leg(intern(leg.asset), parse_amount(leg.quantity, "legs.quantity"))
            for leg in message.legs
        ),
        units=parse_positive(message.units, "units"),
        min_units=parse_amount(message.min_units, "min_units"),
        settlement_asset=intern(message.settlement_asset),
        limit=parse_amount(message.limit, "limit"),
        decay=decay,
    )


def encode_bid(bid: Bid) -> bytes:
    """The body a solver node signs."""
    proposal = bid.proposal
    return record_pb2.Bid(
        auction_id=bid.auction_id,
        problem_digest=bid.problem_digest,
        solver=bid.solver,
        fills=[
            record_pb2.Fill(intent_id=fill.intent_id, units=str(fill.units))
            for fill in proposal.fills
        ],
        prices=[
            record_pb2.ClearingPrice(asset=asset, price=str(price))
            for asset, price in sorted(proposal.prices.items())
        ],
        executions=_executions_to_wire(proposal.executions),
    ).SerializeToString(deterministic=True)


def decode_bid(body: bytes) -> Bid:
    """The bid that `body` encodes; InvalidInput where it is malformed."""
    message = parse(record_pb2.Bid, body)
    prices: dict[str, int] = {}
    for entry in message.prices:
        if check_asset_id(entry.asset) in prices:
            raise InvalidInput(Reason.FIELD_INVALID, f"{entry.asset} has two clearing prices")
        prices[entry.asset] = parse_positive(entry.price, "price")
    return Bid(
        auction_id=message.auction_id,
        problem_digest=message.problem_digest,
        solver=check_owner(message.solver),
        proposal=Proposal(
            fills=tuple(
                Fill(fill.intent_id, parse_positive(fill.units, "units")) for fill in message.fills
            ),
            prices=prices,
            executions=_executions_from_wire(message.executions),
        ),
    )


def encode_bundle(bundle: Bundle) -> bytes:
    """The body the engine signs as an award."""
    return record_pb2.Bundle(
        domain=bundle.domain,
        auction_id=bundle.auction_id,
        problem_digest=bundle.problem_digest,
        winners=[
            record_pb2.Winner(
                bid_id=winner.bid_id,
                bid_digest=winner.bid_digest,
                solver=winner.solver,
                score=str(winner.score),
            )
            for winner in bundle.winners
        ],
        fills=[
            record_pb2.SettledFill(
                intent_id=fill.intent_id, units=str(fill.units), settlement=str(fill.settlement)
            )
            for fill in bundle.fills
        ],
        executions=_executions_to_wire(bundle.executions),
        venues_digest=bundle.venues_digest,
        score=str(bundle.score),
        rewards=[
            record_pb2.Reward(
                solver=reward.solver, reference=str(reward.reference), amount=str(reward.amount)
            )
            for reward in bundle.rewards
        ],
        bound=str(bundle.bound),
        certificate_digest=bundle.certificate_digest,
    ).SerializeToString(deterministic=True)


def decode_bundle(body: bytes) -> Bundle:
    """The bundle that `body` encodes."""
    message = parse(record_pb2.Bundle, body)
    return Bundle(
        domain=message.domain,
        auction_id=message.auction_id,
        problem_digest=message.problem_digest,
        winners=tuple(
            Winner(
                winner.bid_id,
                winner.bid_digest,
                winner.solver,
                parse_amount(winner.score, "score"),
            )
            for winner in message.winners
        ),
        fills=tuple(
            SettledFill(
                fill.intent_id,
                parse_positive(fill.units, "units"),
                parse_amount(fill.settlement, "settlement"),
            )
            for fill in message.fills
        ),
        executions=_executions_from_wire(message.executions),
        venues_digest=message.venues_digest,
        score=parse_amount(message.score, "score"),
        rewards=tuple(
            Reward(
                reward.solver,
                parse_amount(reward.reference, "reference"),
                parse_amount(reward.amount, "amount"),
            )
            for reward in message.rewards
        ),
        bound=parse_amount(message.bound, "bound"),
        certificate_digest=message.certificate_digest,
    )


def encode_problem(problem: Problem) -> bytes:
    """The sealed problem's bytes, whose SHA-256 every bid names."""
    message = record_pb2.Problem(
        domain=problem.domain,
        auction_id=problem.auction_id,
        sealed_ms=problem.sealed_ms,
        rules=rules_to_wire(problem.rules),
        venues=[venue_to_wire(problem.venues[name]) for name in sorted(problem.venues)],
        prices=[price_to_wire(asset, problem.prices[asset]) for asset in sorted(problem.prices)],
        references=references_to_wire(problem.references),
    )
    for name in sorted(problem.intents):
        entry = message.intents.add()
        entry.intent_id, entry.remaining = name, str(problem.intents[name].remaining)
    add_balances(message, problem.balances)
    return message.SerializeToString(deterministic=True)


def intent_ids(body: bytes) -> list[bytes]:
    """The ids of a problem's intents, in its order."""
    return [entry.intent_id for entry in parse(record_pb2.Problem, body).intents]


def decode_problem(body: bytes, intents: Mapping[bytes, Intent]) -> Problem:
    """The problem that `body` encodes.

    Args:
        body: a problem's bytes.
        intents: by id, every intent the problem names.

    Raises:
        InvalidInput: malformed, or INTENT_UNKNOWN for an intent that is not among `intents`.
    """
    message = parse(record_pb2.Problem, body)
    missing = next((e.intent_id for e in message.intents if e.intent_id not in intents), None)
    if missing is not None:
        raise InvalidInput(
            Reason.INTENT_UNKNOWN,
            f"the problem names intent {missing.hex()}, whose body is not at hand",
            intent_id=missing.hex(),
        )
    return Problem(
        domain=message.domain,
        auction_id=message.auction_id,
        sealed_ms=message.sealed_ms,
        rules=rules_from_wire(message.rules),
        intents={
            entry.intent_id: OpenIntent(
                entry.intent_id,
                intents[entry.intent_id],
                parse_positive(entry.remaining, "remaining"),
            )
            for entry in message.intents
        },
        balances=balances_from_wire(message.balances),
        venues=venues_from_wire(message.venues),
        prices=prices_from_wire(message.prices),
        references=references_from_wire(message.references),
    )


def problem_digest(body: bytes) -> bytes:
    """SHA-256 of a problem's bytes."""
    return hashlib.sha256(body).digest()


def _executions_to_wire(executions: Iterable[Execution]) -> list[record_pb2.Execution]:
    return [
        record_pb2.Execution(
            venue=execution.venue,
            asset_in=execution.asset_in,
            amount_in=str(execution.amount_in),
            asset_out=execution.asset_out,
            amount_out=str(execution.amount_out),
        )
        for execution in executions
    ]


def _executions_from_wire(messages: Iterable[record_pb2.Execution]) -> tuple[Execution, ...]:
    return tuple(
        Execution(
            message.venue,
            message.asset_in,
            parse_positive(message.amount_in, "amount_in"),
            message.asset_out,
            parse_positive(message.amount_out, "amount_out"),
        )
        for message in messages
    )
