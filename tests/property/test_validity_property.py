"""Validity and score against protocol §5 read literally, in fractions, with no code in common."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.auctions import DIGEST, NOW, bid, intent, key, problem, scored

from walras.core.bids import Bid, Execution
from walras.core.errors import BidRejected, Reason
from walras.core.intents import Decay, Intent
from walras.market.kinds import ConstantProduct
from walras.protocol.problem import Price, Problem, Rules

ASSETS = [f"eip155:1/erc20:0x{n}" for n in range(4)]


@dataclass
class Reading:
    """What the protocol says of a bid: every rule it breaks and, if none, what it settles."""

    broken: set[Reason] = field(default_factory=set)
    settlements: list[int] = field(default_factory=list)
    surplus: Counter[str] = field(default_factory=Counter)
    spends: Counter[tuple[bytes, str]] = field(default_factory=Counter)
    pool: Counter[str] = field(default_factory=Counter)
    reserves: dict[str, dict[str, int]] = field(default_factory=dict)
    score: int = 0


def group_of(made: Intent) -> str:
    if len(made.legs) > 1:
        return made.group  # the hash has a test of its own
    (leg,) = made.legs
    pair = (leg.asset, made.settlement_asset)
    return ">".join(pair if leg.quantity < 0 else pair[::-1])


def limit_of(made: Intent) -> int:
    if made.decay is None:
        return made.limit
    span = made.decay.end_ms - made.decay.start_ms
    share = min(max(Fraction(NOW - made.decay.start_ms, span), Fraction(0)), Fraction(1))
    return made.decay.start_limit + floor((made.limit - made.decay.start_limit) * share)


def read(made: Problem, sent: Bid) -> Reading:
    found = Reading()
    prices = sent.proposal.prices
    broken = found.broken
    if sent.auction_id != made.auction_id:
        broken.add(Reason.AUCTION_WRONG)
    if sent.problem_digest != DIGEST:
        broken.add(Reason.DIGEST_WRONG)
    fills = sent.proposal.fills
    if not fills:
        broken.add(Reason.BID_EMPTY)
    if len({fill.intent_id for fill in fills}) < len(fills):
        broken.add(Reason.FILL_DUPLICATE)
    if any(fill.intent_id not in made.intents for fill in fills):
        broken.add(Reason.FILL_UNKNOWN_INTENT)
        fills = tuple(fill for fill in fills if fill.intent_id in made.intents)
    touched = {ex.asset_in for ex in sent.proposal.executions}
    touched |= {ex.asset_out for ex in sent.proposal.executions}
    needed: set[str] = set()
    for fill in fills:
        opened = made.intents[fill.intent_id]
        needed |= {opened.intent.settlement_asset, *(leg.asset for leg in opened.intent.legs)}
        whole = fill.units == opened.remaining
        if fill.units < 1 or not (
            opened.intent.min_units <= fill.units <= opened.remaining or whole
        ):
            broken.add(Reason.FILL_UNITS)
    if needed - prices.keys():
        broken.add(Reason.PRICE_MISSING)
    if prices.keys() - needed - touched or any(not 0 < p < 2**255 for p in prices.values()):
        broken.add(Reason.PRICE_INVALID)
    if broken & {Reason.FILL_UNKNOWN_INTENT, Reason.PRICE_MISSING, Reason.PRICE_INVALID}:
        return found
    for fill in fills:
        read_fill(made, sent, made.intents[fill.intent_id].intent, fill.units, found)
    for account, spent in found.spends.items():
        if spent > made.balances.get(account, 0):
            broken.add(Reason.ACCOUNT_OVERSPENT)
    cost = read_executions(made, sent, found)
    if any(amount < 0 for amount in found.pool.values()):
        broken.add(Reason.NOT_CONSERVED)
    found.score = sum(found.surplus.values()) - cost
    if found.score <= 0:
        broken.add(Reason.SCORE_NOT_POSITIVE)
    if found.score >= 2**62:
        broken.add(Reason.SCORE_TOO_LARGE)
    return found


def read_fill(made: Problem, sent: Bid, filled: Intent, units: int, found: Reading) -> None:
    prices, money = sent.proposal.prices, filled.settlement_asset
    worth_of_legs = sum(leg.quantity * units * prices[leg.asset] for leg in filled.legs)
    settlement = floor(Fraction(-worth_of_legs, prices[money]))
    least = Fraction(units * limit_of(filled), filled.units)
    if abs(settlement) >= 2**255:
        found.broken.add(Reason.AMOUNT_OUT_OF_RANGE)
    if settlement < least:
        found.broken.add(Reason.LIMIT_BROKEN)
    changes = {leg.asset: leg.quantity * units for leg in filled.legs} | {money: settlement}
    worth = {asset: Fraction(n * made.prices[asset].amount, 10**18) for asset, n in changes.items()}
    received = sum(w for w in worth.values() if w > 0)
    paid = -sum(w for w in worth.values() if w < 0)
    if paid == 0 or not abs(received / paid - 1) <= Fraction(made.rules.collar_bps, 10_000):
        found.broken.add(Reason.COLLAR_BROKEN)
    for asset, change in changes.items():
        found.pool[asset] -= change
        if change < 0:
            found.spends[filled.owner, asset] += -change
    found.settlements.append(settlement)
    gain = settlement - ceil(least)
    found.surplus[group_of(filled)] += floor(Fraction(gain * made.prices[money].amount, 10**18))


def read_executions(made: Problem, sent: Bid, found: Reading) -> int:
    cost = 0
    for ex in sent.proposal.executions:
        venue = made.venues.get(ex.venue)
        if not isinstance(venue, ConstantProduct):
            found.broken.add(Reason.EXECUTION_INVALID)
            return cost
        reserves = found.reserves.setdefault(
            ex.venue, dict(zip(venue.assets, venue.reserves, strict=True))
        )
        net = Fraction(ex.amount_in * (10**6 - venue.fee_pips), 10**6)
        paid = floor(reserves[ex.asset_out] * net / (reserves[ex.asset_in] + net)) if net > 0 else 0
        if paid < 1:
            found.broken.add(Reason.EXECUTION_INVALID)
            return cost
        if paid != ex.amount_out:
            found.broken.add(Reason.EXECUTION_OUTPUT_WRONG)
        reserves[ex.asset_in] += ex.amount_in
        reserves[ex.asset_out] -= paid
        found.pool[ex.asset_in] -= ex.amount_in
        found.pool[ex.asset_out] += paid
        cost += venue.cost
    return cost


def instance(r: Random) -> tuple[Problem, Bid]:
    """A bid that keeps most rules: mirrored pairs of intents, and a sale to a pool."""
    worth = {asset: r.randint(1, 10 ** r.randint(14, 20)) for asset in ASSETS}
    asset_in, asset_out = r.sample(ASSETS, 2)
    depth = 10 ** r.randint(36, 42)
    venue = ConstantProduct(
        "pool", r.choice([0, 10**6]), (asset_in, asset_out),
        (depth // worth[asset_in] + 1, depth // worth[asset_out] + 1), r.choice([0, 3_000])
    )  # fmt: skip
    off = r.choice([0, 0, 0, 5, 50])
    prices = {
        asset: max(1, p * (1_000 + r.randint(-off, off)) // 1_000) for asset, p in worth.items()
    }
    prices[asset_in] = max(1, prices[asset_in] * r.choice([980, 990, 1_000]) // 1_000)
    intents: dict[str, Intent] = {}
    remaining: dict[str, int] = {}
    fills: list[tuple[str, int]] = []
    executions: list[Execution] = []
    for n in range(r.choice([0, 1, 1, 2, 4])):
        pair = mirrored(r, prices)
        fewest = max(side.min_units for side in pair)
        units = r.randint(max(1, fewest), pair[0].units)
        for side, made in zip(("a", "b"), pair, strict=True):
            intents[f"{n}{side}"] = made
            remaining[f"{n}{side}"] = r.choice([made.units, r.randint(units, made.units)])
            fills.append((f"{n}{side}", units))
    if r.random() < 0.6:
        amount = r.randint(1, max(2, venue.reserves[0] // 1_000))
        after = venue
        for part in r.choice([[amount], [amount - amount // 3, amount // 3]]):
            if part and part * venue.reserves[1] > 2 * venue.reserves[0]:
                swap = after.swap(asset_in, part, asset_out)
                executions.append(Execution("pool", asset_in, part, asset_out, swap.amount_out))
                after = swap.after
        sold = sum(ex.amount_in for ex in executions) or amount
        fair = sold * prices[asset_in] // prices[asset_out]
        made = intent(
            "pool seller", {asset_in: -1}, asset_out, fair * r.randint(70, 101) // 100, units=sold
        )
        intents["pool sale"], remaining["pool sale"] = made, sold
        fills.append(("pool sale", sold))
    used = {asset for made in intents.values() for asset in made.assets}
    sent = bid(fills, {asset: prices[asset] for asset in ASSETS if asset in used}, executions)
    balances = {
        (owner, asset): r.choice([10**70, 10**70, 10**70, 10**r.randint(12, 40)])
        for owner in ("ann", "bob", "pool seller") for asset in ASSETS
    }  # fmt: skip
    made_problem = problem(
        intents, balances=balances, venues=[venue], remaining=remaining,
        rules=Rules(collar_bps=r.choice([100, 1_000, 1_000, 10_000])),
    )  # fmt: skip
    amounts = {asset: Price(p, "test") for asset, p in worth.items()}
    return replace(made_problem, prices=amounts), sent


def mirrored(r: Random, prices: dict[str, int]) -> tuple[Intent, Intent]:
    """Two intents for the same legs, one from each side, with limits around the price."""
    money, *others = r.sample(ASSETS, r.choice([2, 2, 3, 4]))
    legs = {asset: r.choice([-1, 1]) * r.randint(1, 10 ** r.randint(0, 3)) for asset in others}
    units = r.randint(1, 10 ** r.randint(6, 18))
    fair = (
        sum(-quantity * units * prices[asset] for asset, quantity in legs.items()) // prices[money]
    )
    sides = []
    for owner, sign in (("ann", 1), ("bob", -1)):
        own = {asset: sign * quantity for asset, quantity in legs.items()}
        slack = abs(fair) * r.choice([0, 50, 100, 200, 400]) // 1_000 + r.randint(0, 2)
        limit = sign * fair - slack
        if all(quantity < 0 for quantity in own.values()):
            limit = max(0, limit)
        if all(quantity > 0 for quantity in own.values()):
            limit = min(-1, limit)
        made = intent(owner, own, money, limit, units=units, min_units=r.choice([0, 0, units // 2]))
        if r.random() < 0.3:
            start = NOW - r.randint(0, 100)
            moved = Decay(limit - limit // 50, start, start + r.randint(1, 100))
            made = replace(made, decay=moved) if moved.start_limit * limit > 0 else made
        sides.append(made)
    return sides[0], sides[1]


def spoiled(r: Random, sent: Bid) -> Bid:
    """The bid with one thing changed."""
    fills, prices = list(sent.proposal.fills), dict(sent.proposal.prices)
    executions = list(sent.proposal.executions)
    if not fills:
        return sent
    at = r.randrange(len(fills))
    asset = r.choice(ASSETS)

    def units() -> None:
        fills[at] = replace(
            fills[at], units=r.choice([0, 1, fills[at].units + 1, fills[at].units // 2])
        )

    def less() -> None:
        del fills[at]

    def twice() -> None:
        fills.append(fills[at])

    def unknown() -> None:
        fills[at] = replace(fills[at], intent_id=key("nobody"))

    def price() -> None:
        prices[asset] = r.choice([0, -1, 2**255, prices.get(asset, 1) * 101 // 100 + 1])

    def unpriced() -> None:
        prices.pop(asset, None)

    def execution() -> None:
        if executions:
            i = r.randrange(len(executions))
            change = r.choice(
                [
                    {"amount_out": executions[i].amount_out + 1},
                    {"amount_in": 0},
                    {"venue": "nowhere"},
                ]
            )
            executions[i] = replace(executions[i], **change)

    def unexecuted() -> None:
        if executions:
            executions.pop()

    changes: list[Callable[[], None]] = [
        units, less, twice, unknown, price, unpriced, execution, unexecuted
    ]  # fmt: skip
    r.choice(changes)()
    changed = replace(
        sent.proposal, fills=tuple(fills), prices=prices, executions=tuple(executions)
    )
    other = r.random()
    return replace(
        sent,
        proposal=changed,
        auction_id=8 if other < 0.03 else sent.auction_id,
        problem_digest=b"" if other > 0.97 else sent.problem_digest,
    )


def check(seed: int) -> Reason | None:
    """Compare both readings; returns the reason of a rejection."""
    r = Random(seed)
    made, sent = instance(r)
    if r.random() < 0.4:
        sent = spoiled(r, sent)
    expected = read(made, sent)
    if expected.broken:
        with pytest.raises(BidRejected) as caught:
            scored(made, sent)
        assert caught.value.reason in expected.broken
        return caught.value.reason
    won = scored(made, sent)
    assert won.score == expected.score
    assert [fill.settlement for fill in won.fills] == expected.settlements
    assert [(fill.intent_id, fill.units) for fill in won.fills] == [
        (fill.intent_id, fill.units) for fill in sent.proposal.fills
    ]
    assert won.surplus == expected.surplus
    assert won.spends == expected.spends
    assert won.leftover == {asset: n for asset, n in expected.pool.items() if n}
    assert {name: venue.reserves for name, venue in won.venues.items()} == {
        name: tuple(reserves.values()) for name, reserves in expected.reserves.items()
    }
    return None


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1 << 64))
def test_both_readings_agree(seed: int) -> None:
    check(seed)


def test_the_instances_reach_nearly_every_rule() -> None:
    outcomes = Counter(check(seed) for seed in range(1_500))
    assert outcomes[None] > 200
    assert {
        Reason.AUCTION_WRONG,
        Reason.DIGEST_WRONG,
        Reason.BID_EMPTY,
        Reason.FILL_UNKNOWN_INTENT,
        Reason.FILL_DUPLICATE,
        Reason.FILL_UNITS,
        Reason.PRICE_MISSING,
        Reason.PRICE_INVALID,
        Reason.LIMIT_BROKEN,
        Reason.COLLAR_BROKEN,
        Reason.EXECUTION_INVALID,
        Reason.EXECUTION_OUTPUT_WRONG,
        Reason.NOT_CONSERVED,
        Reason.ACCOUNT_OVERSPENT,
        Reason.SCORE_NOT_POSITIVE,
        Reason.SCORE_TOO_LARGE,
    } <= outcomes.keys()


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_fills_changes_nothing_but_their_order(seed: int) -> None:
    r = Random(seed)
    found = 0
    while found < 20:
        made, sent = instance(r)
        if read(made, sent).broken:
            continue
        found += 1
        turned = replace(sent.proposal, fills=sent.proposal.fills[::-1])
        one, other = scored(made, sent), scored(made, replace(sent, proposal=turned))
        assert one.fills == other.fills[::-1]
        assert (one.score, one.surplus, one.spends, one.leftover) == (
            other.score, other.surplus, other.spends, other.leftover
        )  # fmt: skip
