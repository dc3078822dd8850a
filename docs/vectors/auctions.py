"""Bids: what they settle and score, or why they are rejected. Selection: who wins, with proof."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from common import DAI, DOMAIN, ETH, NOW, USDC, WHOLE, WHOLE_USDC, plain, signer

from walras.auction.award import award
from walras.auction.awarded import check_award
from walras.auction.batch import SealedBatch
from walras.auction.candidates import ScoredBid
from walras.auction.components import tie
from walras.auction.fairness import baselines
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import WalrasError
from walras.core.intents import Decay, Intent, Leg
from walras.market.kinds import ConstantProduct
from walras.protocol.certificate import (
    Certificate,
    Tree,
    decode_certificate,
    encode_certificate,
)
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
STORED = Path(__file__).with_name("selection.json")

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


def _problem() -> Problem:
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
    problem = _problem()
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


def _candidate(
    name: str,
    score: int,
    surplus: Mapping[str, int],
    solver: str,
    venues: Sequence[str] = (),
    spends: Mapping[str, int] | None = None,
) -> ScoredBid:
    key = sha256(name.encode()).digest()
    named = {(sha256(o.encode()).digest(), "asset"): n for o, n in (spends or {}).items()}
    by = sha256(solver.encode()).digest()
    touched = {venue: replace(POOL, id=venue) for venue in venues}
    bid = Bid(7, bytes(32), by, Proposal((), {}))
    return ScoredBid(key, key, bid, score, (), dict(surplus), named, touched, {})


def _balances(**held: int) -> dict[tuple[bytes, str], int]:
    return {(sha256(o.encode()).digest(), "asset"): n for o, n in held.items()}


def _drawn(number: int) -> tuple[list[ScoredBid], dict[tuple[bytes, str], int]]:
    """Some twenty bids that share groups, venues and accounts."""
    chance = Random(number)  # noqa: S311 - the same every time, not secret
    made = []
    for n in range(22):
        names = [f"g{g}" for g in chance.sample(range(8), chance.choice([1, 2, 2, 3]))]
        score = chance.randint(5, 12) * len(names)
        venues = [f"v{v}" for v in chance.sample(range(9), chance.choice([0, 1]))]
        spends = {f"o{chance.randrange(3)}": chance.randint(1, 9) << 70}
        solver = f"solver {chance.randrange(3)}"
        surplus = dict.fromkeys(names, score)
        made.append(_candidate(f"{number} {n}", score, surplus, solver, venues, spends))
    return made, _balances(o0=14 << 70, o1=14 << 70, o2=14 << 70)


def _auctions() -> dict[str, tuple[list[ScoredBid], dict[tuple[bytes, str], int], int]]:
    one = [_candidate("only", 5, {"a": 5}, "s")]
    better = [_candidate("worse", 5, {"a": 5}, "s"), _candidate("better", 6, {"a": 6}, "t")]
    tied = [_candidate(f"tied {n}", 7, {"a": 7}, f"s{n}") for n in range(4)]
    unfair = [
        _candidate("both", 100, {"a": 95, "b": 5}, "s"),
        _candidate("alone", 6, {"b": 6}, "t"),
        _candidate("just fair", 99, {"a": 94, "b": 6}, "u"),
    ]
    triangle = [_candidate(f"{a}{b}", 10, {a: 10, b: 10}, f"s{a}") for a, b in ("ab", "bc", "ca")]
    shared = [
        _candidate("x", 10, {"a": 10}, "s", spends={"o": 6}),
        _candidate("y", 9, {"b": 9}, "t", spends={"o": 5}),
        _candidate("z", 8, {"c": 8}, "u", spends={"o": 5}),
    ]
    capped = [_candidate("rich", 10**12, {"a": 10**12}, "s")]
    return {
        "no bids": ([], {}, 10**9),
        "one bid": (one, {}, 10**9),
        "two for one group": (better, {}, 10**9),
        "a tie of four": (tied, {}, 10**9),
        "unfair to a group": (unfair, {}, 10**9),
        "three that meet in a ring": (triangle, {}, 10**9),
        "an account that pays for two of three": (shared, _balances(o=10), 10**9),
        "a reward above the cap": (capped, {}, 10**9),
        "drawn 1": (*_drawn(1), 2**60),
        "drawn 2": (*_drawn(2), 2**60),
    }


def _certificates() -> dict[str, Certificate]:
    """Those that are in the file. Whatever finds others, these must go on to prove their awards."""
    if not STORED.exists():
        return {}
    auctions = json.loads(STORED.read_text("ascii"))["auctions"]
    return {one["name"]: decode_certificate(bytes.fromhex(one["certificate"])) for one in auctions}


def selection() -> Any:
    """Auctions over bids that were scored, and certificates that prove nothing."""
    problem, seed = _problem(), sha256(b"walras vectors: seed").digest() * 2
    made, refused = [], []
    kept = _certificates()
    for name, (offered, balances, cap) in _auctions().items():
        terms = replace(problem, balances=balances, rules=replace(problem.rules, reward_cap=cap))
        found = award(terms, offered, seed)
        winners = [bid.id for bid in found.winners]
        found = replace(found, certificate=kept.get(name, found.certificate))
        again = check_award(terms, offered, seed, winners, found.certificate)
        if not again.settled or (again.score, again.rewards) != (found.score, found.rewards):
            raise AssertionError(name)
        made.append(
            {
                "name": name,
                "reward_cap": cap,
                "balances": [
                    {"owner": owner, "asset": asset, "amount": amount}
                    for (owner, asset), amount in sorted(balances.items())
                ],
                "bids": [_offer(bid, seed) for bid in offered],
                "baselines": baselines(offered),
                "dropped": [
                    {"bid_id": one.bid.id, "group": one.group, "baseline": one.baseline}
                    for one in found.dropped
                ],
                "winners": winners,
                "score": found.score,
                "bound": found.bound,
                "rewards": found.rewards,
                "certificate": encode_certificate(found.certificate),
            }
        )
        wrong = (terms, offered, seed, winners, found.certificate)
        if any(tree.nodes for tree in found.certificate.trees) and name == "drawn 1":
            refused += [{"auction": name} | one for one in _wrong(*wrong)]
    return plain({"seed": seed, "auctions": made, "invalid": refused})


def _offer(bid: ScoredBid, seed: bytes) -> dict[str, Any]:
    return {
        "id": bid.id,
        "solver": bid.bid.solver,
        "score": bid.score,
        "surplus": bid.surplus,
        "venues": list(bid.venues),
        "spends": [
            {"owner": owner, "asset": asset, "amount": amount}
            for (owner, asset), amount in sorted(bid.spends.items())
        ],
        "tie": tie(seed, bid.id),
    }


def _wrong(
    terms: Problem,
    offered: list[ScoredBid],
    seed: bytes,
    winners: list[bytes],
    certificate: Certificate,
) -> Any:
    """Each case: why, the winners that are claimed, the certificate's bytes, the reason."""
    first, *others = certificate.trees
    honest = encode_certificate(certificate)

    def with_first(**changes: Any) -> bytes:
        trees: tuple[Tree, ...] = (replace(first, **changes), *others)
        return encode_certificate(replace(certificate, trees=trees))

    best = max((bid for bid in offered if bid.id in winners), key=lambda bid: bid.score)
    loser = min(bid.id for bid in offered if bid.id not in winners)
    cases = {
        "no certificate": (winners, b""),
        "no references": (winners, encode_certificate(replace(certificate, references=()))),
        "a tree too many": (
            winners,
            encode_certificate(replace(certificate, trees=(*certificate.trees, first))),
        ),
        "a bound that is one less": (winners, with_first(bound=first.bound - 1)),
        "a bound that is one more": (winners, with_first(bound=first.bound + 1)),
        "a tree that goes on behind its end": (winners, with_first(nodes=(*first.nodes, 0))),
        "a tree without its end": (winners, with_first(nodes=first.nodes[:-1])),
        "a split at a place that is not there": (winners, with_first(nodes=(99_999, 0, 0))),
        "a cut of two rows": (winners, with_first(cuts=((0, 1),))),
        "prices that are not used": (winners, with_first(prices=(*first.prices, ((0, 1),)))),
        "prices of a line that is not there": (
            winners,
            with_first(nodes=(1, 0), prices=(((10**6, 1),),)),
        ),
        "a shift above 1024": (winners, with_first(shift=1_025)),
        "bytes that are none": (winners, b"\xff"),
        "a field that nobody knows": (winners, honest + b"\xf8\x01\x01"),
        "a loser among the winners": (sorted([*winners, loser]), honest),
        "the best bid left out": ([won for won in winners if won != best.id], honest),
        "winners out of order": (winners[::-1], honest),
    }
    for why, (claimed, body) in cases.items():
        yield {
            "why": why,
            "winners": claimed,
            "certificate": body,
            "reason": _verdict(terms, offered, seed, claimed, body),
        }


def _verdict(
    terms: Problem, offered: list[ScoredBid], seed: bytes, winners: list[bytes], body: bytes
) -> str:
    """The reason; a certificate that proves less than the award claims leaves it open."""
    try:
        found = check_award(terms, offered, seed, winners, decode_certificate(body))
    except WalrasError as error:
        return error.reason.value
    if found.settled:
        raise AssertionError("a wrong certificate proves an award")
    return "NOT_SETTLED"
