"""Vectors of the selection of winners: fairness, ties, rewards, certificates."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from auctions import POOL, sealed_problem
from common import plain

from walras.auction.award import award
from walras.auction.awarded import check_award
from walras.auction.candidates import ScoredBid
from walras.auction.components import tie
from walras.auction.fairness import baselines
from walras.core.bids import Bid, Proposal
from walras.core.errors import WalrasError
from walras.protocol.certificate import (
    Certificate,
    Tree,
    decode_certificate,
    encode_certificate,
)
from walras.protocol.problem import Problem

STORED = Path(__file__).with_name("selection.json")


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
    problem, seed = sealed_problem(), sha256(b"walras vectors: seed").digest() * 2
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
