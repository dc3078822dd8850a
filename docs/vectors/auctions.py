"""Vectors of bids: what they settle and score, or why they are rejected."""

from dataclasses import replace
from typing import Any

from common import DAI, DOMAIN, ETH, NOW, USDC, WHOLE, WHOLE_USDC, plain, signer

from walras.auction.batch import SealedBatch
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import WalrasError
from walras.core.intents import Decay, Intent, Leg
from walras.market.kinds import ConstantProduct
from walras.protocol.codec import encode
from walras.protocol.dispatch import Assignment, Dispatch, NodeLoad
from walras.protocol.problem import OpenIntent, Price, Problem, Rules
from walras.protocol.trade import encode_problem, problem_digest
from walras.sdk.signing import intent_id, sign_record

PRICES = {
    ETH: Price(10**9, "vectors"),
    USDC: Price(333_333 * 10**12, "vectors"),
    DAI: Price(333_333, "vectors"),
}
POOL = ConstantProduct("pool", 100, (ETH, USDC), (1_000 * WHOLE, 3_000_000 * WHOLE_USDC), 3_000)
SOLVER = signer("solver")

CLEARING = {ETH: 3_000 * WHOLE_USDC, USDC: WHOLE}
"""3,000 USDC for an ETH, in atoms for atoms."""


def _intent(owner: str, legs: dict[str, int], units: int, limit: int, **more: Any) -> Intent:
    named: dict[str, Any] = {"min_units": 1, "settlement_asset": USDC} | more
    return Intent(
        domain=DOMAIN,
        owner=signer(owner).public_key,
        nonce=1,
        not_before_ms=0,
        expiry_ms=NOW + 60_000,
        legs=tuple(Leg(asset, quantity) for asset, quantity in legs.items()),
        units=units,
        limit=limit,
        **named,
    )


INTENTS = {
    "sale": _intent("alice", {ETH: -1}, 5 * WHOLE, 14_500 * WHOLE_USDC),
    "another sale": _intent("alice", {ETH: -1}, 3 * WHOLE, 8_000 * WHOLE_USDC),
    "purchase": _intent("bob", {ETH: 1}, 2 * WHOLE, -6_100 * WHOLE_USDC, min_units=10**17),
    "dear": _intent("carol", {ETH: -1}, WHOLE, 3_400 * WHOLE_USDC),
    "falling": _intent(
        "dave",
        {ETH: -1},
        3 * WHOLE + 1,
        8_000 * WHOLE_USDC,
        decay=Decay(9_001 * WHOLE_USDC, NOW - 7, NOW + 6),
    ),
    "large": _intent("erin", {ETH: -1}, 2_000 * WHOLE, 0, min_units=2_000 * WHOLE),
}
IDS = {name: intent_id(made) for name, made in INTENTS.items()}


def sealed_problem() -> Problem:
    owners = {name: made.owner for name, made in INTENTS.items()}
    balances = {
        (owners["sale"], ETH): 4 * WHOLE,
        (owners["purchase"], USDC): 6_150 * WHOLE_USDC,
        (owners["dear"], ETH): WHOLE,
        (owners["falling"], ETH): 4 * WHOLE,
        (owners["large"], ETH): 2_000 * WHOLE,
    }
    opened = {}
    for name, made in sorted(INTENTS.items(), key=lambda item: IDS[item[0]]):

        def held(asset: str, owner: bytes = made.owner) -> int:
            return balances.get((owner, asset), 0)

        backed = made.backed(made.limit_at(NOW), held)
        opened[IDS[name]] = OpenIntent(IDS[name], made, min(made.units, backed))
    return Problem(
        DOMAIN,
        7,
        NOW,
        Rules(),
        opened,
        dict(sorted(balances.items())),
        {POOL.id: POOL},
        dict(sorted(PRICES.items())),
    )


def _proposals() -> dict[str, Proposal]:
    sold = 4 * WHOLE - 2 * WHOLE
    out = POOL.swap(ETH, sold, USDC).amount_out
    through = Execution("pool", ETH, sold, USDC, out)
    few = POOL.swap(ETH, 10**12, USDC).amount_out
    little = Execution("pool", ETH, 10**12, USDC, few)
    both = (Fill(IDS["sale"], 2 * WHOLE), Fill(IDS["purchase"], 2 * WHOLE))
    odd = {ETH: 2_999 * WHOLE_USDC + 7, USDC: WHOLE + 1}
    alone = (Fill(IDS["sale"], sold),)
    pays = {ETH: out, USDC: sold}
    large = (Fill(IDS["large"], 2_000 * WHOLE),)
    return {
        "two meet": Proposal(both, CLEARING),
        "two meet at an odd price": Proposal(both, odd),
        "one through the pool": Proposal(alone, pays, (through,)),
        "a limit that has fallen": Proposal(
            (Fill(IDS["falling"], WHOLE + 1), Fill(IDS["purchase"], WHOLE)), CLEARING
        ),
        "nothing": Proposal((), {}),
        "an intent that is not there": Proposal((Fill(bytes(32), 1),), CLEARING),
        "an intent twice": Proposal((both[0], both[0]), CLEARING),
        "more than remains": Proposal((Fill(IDS["sale"], 4 * WHOLE + 1),), CLEARING),
        "less than the least fill": Proposal((Fill(IDS["purchase"], 10**17 - 1),), CLEARING),
        "a price is missing": Proposal(both, {ETH: 1}),
        "a price that nobody needs": Proposal(both, CLEARING | {DAI: 1}),
        "below the limit": Proposal((Fill(IDS["dear"], WHOLE),), CLEARING),
        "outside the collar": Proposal(
            (Fill(IDS["sale"], WHOLE),), {ETH: 3_301 * WHOLE_USDC, USDC: WHOLE}
        ),
        "more than the balance": Proposal(
            (Fill(IDS["sale"], 2 * WHOLE), Fill(IDS["another sale"], 2 * WHOLE + 1)), CLEARING
        ),
        "no such venue": Proposal(alone, pays, (replace(through, venue="pond"),)),
        "more than the pool holds": Proposal(alone, pays, (replace(through, amount_in=2**120),)),
        "one atom more than the pool pays": Proposal(
            alone, pays, (replace(through, amount_out=out + 1),)
        ),
        "out of nothing": Proposal(alone, CLEARING),
        "worth less than it costs": Proposal(
            (Fill(IDS["sale"], 10**12),),
            {ETH: little.amount_out, USDC: little.amount_in},
            (little,),
        ),
        "a whale": Proposal(large, CLEARING),
    }


def bids() -> Any:
    """Bids for one problem. They are judged one by one; none was sent before."""
    problem = sealed_problem()
    body = encode_problem(problem)
    digest = problem_digest(body)
    plan = Dispatch(b"", (NodeLoad(SOLVER.public_key),), (), (Assignment(digest, (0,), 1),))
    names = {SOLVER.public_key: "solver"}
    args = (NOW + 1_000, bytes(32), b"")
    batch = SealedBatch(7, problem, digest, (problem,), plan, {digest: 0}, names, *args)
    sent = {
        name: sign_record(Bid(7, digest, SOLVER.public_key, proposal), SOLVER)
        for name, proposal in _proposals().items()
    }
    meet = _proposals()["two meet"]
    sent |= {
        "no envelope": b"bid",
        "another kind of record": sign_record(INTENTS["sale"], SOLVER),
        "signed by another": sign_record(
            Bid(7, digest, signer("mallory").public_key, meet), signer("mallory")
        ),
        "a byte of the signature changed": _flipped(sent["two meet"]),
        "names another solver": sign_record(
            Bid(7, digest, signer("mallory").public_key, meet), SOLVER
        ),
        "another auction": sign_record(Bid(8, digest, SOLVER.public_key, meet), SOLVER),
        "another problem": sign_record(Bid(7, bytes(32), SOLVER.public_key, meet), SOLVER),
    }
    return plain(
        {
            "problem": body,
            "digest": digest,
            "intents": {name: encode(made)[1] for name, made in INTENTS.items()},
            "intent_ids": IDS,
            "remaining": {name: problem.intents[key].remaining for name, key in IDS.items()},
            "solver": SOLVER.public_key,
            "bids": [_judged(batch, name, data) for name, data in sent.items()],
        }
    )


def _flipped(data: bytes) -> bytes:
    at = data.rindex(b"\x12\x40") - 1
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _judged(batch: SealedBatch, name: str, data: bytes) -> dict[str, Any]:
    received = batch.evaluate(data, SOLVER.public_key, NOW)
    found = received.outcome
    told: dict[str, Any] = {"name": name, "envelope": data}
    if isinstance(found, WalrasError):
        record = received.rejected(batch.auction_id)
        assert record is not None
        return told | {"reason": record.reason, "details": dict(record.details)}
    return told | {
        "bid_id": found.id,
        "score": found.score,
        "fills": found.fills,
        "surplus": found.surplus,
        "spends": [
            {"owner": owner, "asset": asset, "amount": amount}
            for (owner, asset), amount in sorted(found.spends.items())
        ],
        "leftover": found.leftover,
        "reserves_after": {name: venue.reserves for name, venue in found.venues.items()},  # type: ignore[union-attr]  # a pool
    }
