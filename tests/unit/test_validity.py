"""Every rule of protocol §5, broken one at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from support.auctions import (
    DAI,
    DIGEST,
    ETH,
    NOW,
    PRICES,
    UNPRICED,
    USDC,
    WHOLE_ETH,
    WHOLE_USDC,
    bid,
    intent,
    key,
    pool,
    problem,
    scored,
)

from walras.auction.validity import MAX_STEPS, score_bid
from walras.core.bids import Bid, Execution, Fill, SettledFill
from walras.core.errors import BidRejected, Reason
from walras.core.intents import Decay
from walras.market.kinds import Concentrated, Tick
from walras.market.tick_math import MAX_TICK, MIN_TICK
from walras.protocol.problem import OpenIntent, Problem, Rules

# Alice sells 4 ETH for at least 2,900 USDC each, Bob buys 3 ETH for at most 3,100 each.
SELL = intent("alice", {ETH: -1}, USDC, 4 * 2_900 * WHOLE_USDC, units=4 * WHOLE_ETH)
BUY = intent("bob", {ETH: 1}, USDC, -3 * 3_100 * WHOLE_USDC, units=3 * WHOLE_ETH, min_units=1000)
PROBLEM = problem(
    {"sell": SELL, "buy": BUY},
    balances={("alice", ETH): 4 * WHOLE_ETH, ("bob", USDC): 9_300 * WHOLE_USDC},
    venues=[pool("pool", cost=5_000), pool("dai", assets=(DAI, USDC))],
    remaining={"sell": 3 * WHOLE_ETH},
)
# Prices are per atom in a common unit: an atom of USDC is worth 10^12/3000 atoms of ETH.
AT_3000 = {ETH: 3_000, USDC: 10**12}
MATCH = bid([("sell", 2 * WHOLE_ETH), ("buy", 2 * WHOLE_ETH)], AT_3000)

# Alice sells an ETH to the pool, which pays 2,988.020943 USDC: at a price of 2,985 some is left.
PAID = 2_988_020_943
PAID_FOR_TWO = PROBLEM.venues["pool"].swap(ETH, 2 * WHOLE_ETH, USDC).amount_out
ROUTED = bid(
    [("sell", WHOLE_ETH)],
    {ETH: 2_985, USDC: 10**12},
    [Execution("pool", ETH, WHOLE_ETH, USDC, PAID)],
)


def rejection(made: Problem, sent: Bid) -> BidRejected:
    with pytest.raises(BidRejected) as caught:
        scored(made, sent)
    return caught.value


def fields(made: Problem, sent: Bid, reason: Reason) -> Mapping[str, str]:
    error = rejection(made, sent)
    assert error.reason == reason
    assert error.message
    return error.fields


def with_prices(sent: Bid, **changes: int) -> Bid:
    named = {"eth": ETH, "usdc": USDC, "dai": DAI}
    prices = {**sent.proposal.prices, **{named[name]: price for name, price in changes.items()}}
    return replace(sent, proposal=replace(sent.proposal, prices=prices))


def with_fills(*fills: tuple[str, int]) -> Bid:
    return bid(fills, AT_3000)


def with_executions(*executions: Execution) -> Bid:
    return replace(ROUTED, proposal=replace(ROUTED.proposal, executions=executions))


def test_a_match_without_venues() -> None:
    won = scored(PROBLEM, MATCH)
    assert won.fills == (
        SettledFill(key("sell"), 2 * WHOLE_ETH, 6_000 * WHOLE_USDC),
        SettledFill(key("buy"), 2 * WHOLE_ETH, -6_000 * WHOLE_USDC),
    )
    # Each side is 100 USDC per ETH better off; one USDC is worth 333,333 score units.
    assert won.surplus == {f"{ETH}>{USDC}": 66_666_600, f"{USDC}>{ETH}": 66_666_600}
    assert won.score == 133_333_200
    assert won.spends == {
        (key("alice"), ETH): 2 * WHOLE_ETH,
        (key("bob"), USDC): 6_000 * WHOLE_USDC,
    }
    assert won.venues == {}
    assert won.leftover == {}
    assert (won.id, won.digest, won.bid) == (key("bid"), key("bid envelope"), MATCH)


def test_an_execution_moves_the_venue_costs_and_leaves_something_over() -> None:
    won = scored(PROBLEM, ROUTED)
    assert won.fills == (SettledFill(key("sell"), WHOLE_ETH, 2_985 * WHOLE_USDC),)
    assert won.leftover == {USDC: PAID - 2_985 * WHOLE_USDC}
    after = won.venues["pool"]
    assert after == PROBLEM.venues["pool"].swap(ETH, WHOLE_ETH, USDC).after
    assert won.score == 85 * 333_333 - 5_000
    assert won.venues.keys() == {"pool"}


def test_conservation_is_exact_to_the_atom() -> None:
    won = scored(PROBLEM, with_prices(ROUTED, eth=PAID, usdc=WHOLE_ETH))
    assert won.leftover == {}
    found = fields(PROBLEM, with_prices(ROUTED, eth=PAID + 1, usdc=WHOLE_ETH), Reason.NOT_CONSERVED)
    assert (found["asset"], found["missing"]) == (USDC, "1")


def test_executions_on_one_venue_follow_each_other() -> None:
    half = WHOLE_ETH // 2
    first = PROBLEM.venues["pool"].swap(ETH, half, USDC)
    second = first.after.swap(ETH, half, USDC)
    steps = [
        Execution("pool", ETH, half, USDC, first.amount_out),
        Execution("pool", ETH, half, USDC, second.amount_out),
    ]
    won = scored(PROBLEM, with_executions(*steps))
    assert won.venues == {"pool": second.after}
    assert won.score == 85 * 333_333 - 10_000
    found = fields(PROBLEM, with_executions(*reversed(steps)), Reason.EXECUTION_OUTPUT_WRONG)
    assert found["execution"] == "0"


def test_an_asset_that_is_only_routed_through_may_have_a_price() -> None:
    assert scored(PROBLEM, ROUTED).score > 0
    out = PROBLEM.venues["dai"].swap(USDC, 10, DAI).amount_out
    steps = (*ROUTED.proposal.executions, Execution("dai", USDC, 10, DAI, out))
    with_dai = with_executions(*steps)
    assert scored(PROBLEM, with_dai).leftover[DAI] == out
    assert scored(PROBLEM, with_prices(with_dai, dai=7)).leftover[DAI] == out


def test_rounding_never_favours_an_owner() -> None:
    # 1/3 of an atom: the seller gets floor(+1/3) = 0, the buyer pays -floor(-1/3) = 1.
    made = problem(
        {
            "sell": intent("alice", {ETH: -1}, USDC, 0, units=10**13),
            "buy": intent("bob", {ETH: 1}, USDC, -(10**9), units=10**13),
        },
        balances={("alice", ETH): 10**13, ("bob", USDC): 10**9},
    )
    won = scored(made, bid([("sell", 10**12 + 1), ("buy", 10**12 + 1)], AT_3000))
    assert [fill.settlement for fill in won.fills] == [3_000, -3_001]
    assert won.leftover == {USDC: 1}


def test_what_an_owner_receives_does_not_pay_for_what_it_gives() -> None:
    both = problem(
        {"sell": replace(SELL, owner=key("bob")), "buy": BUY},
        balances={("bob", ETH): 2 * WHOLE_ETH, ("bob", USDC): 6_000 * WHOLE_USDC},
    )
    assert scored(both, MATCH).score == 133_333_200
    poorer = replace(both, balances={**both.balances, (key("bob"), USDC): 6_000 * WHOLE_USDC - 1})
    found = fields(poorer, MATCH, Reason.ACCOUNT_OVERSPENT)
    assert found["spent"] == str(6_000 * WHOLE_USDC)
    assert found["available"] == str(6_000 * WHOLE_USDC - 1)


def test_the_limit_is_read_at_the_time_of_sealing() -> None:
    falling = Decay(start_limit=4 * 3_100 * WHOLE_USDC, start_ms=NOW - 10, end_ms=NOW + 10)
    sell = OpenIntent(key("sell"), replace(SELL, decay=falling), 3 * WHOLE_ETH)
    made = replace(PROBLEM, intents={**PROBLEM.intents, sell.id: sell})
    at_3000 = bid([("sell", 2 * WHOLE_ETH), ("buy", 2 * WHOLE_ETH)], AT_3000)
    assert scored(made, at_3000).surplus == {f"{ETH}>{USDC}": 0, f"{USDC}>{ETH}": 66_666_600}
    found = fields(replace(made, sealed_ms=NOW - 1), at_3000, Reason.LIMIT_BROKEN)
    assert found["least"] == str(2 * 3_010 * WHOLE_USDC)


@pytest.mark.parametrize("remaining", [2, 7, 999])
def test_less_than_the_least_fill_may_only_be_filled_whole(remaining: int) -> None:
    made = problem(
        {
            "sell": intent("alice", {USDC: -1}, ETH, 0, units=10_000, min_units=1_000),
            "buy": intent("bob", {USDC: 1}, ETH, -WHOLE_ETH, units=10_000),
        },
        balances={("alice", USDC): 10_000, ("bob", ETH): WHOLE_ETH},
        remaining={"sell": remaining},
    )
    assert scored(made, bid([("sell", remaining), ("buy", remaining)], AT_3000)).score > 0
    for units in (remaining - 1, remaining + 1):
        found = fields(made, bid([("sell", units)], AT_3000), Reason.FILL_UNITS)
        assert found["least"] == found["remaining"] == str(remaining)


def test_what_a_bid_may_cost_on_concentrated_pools_has_a_bound() -> None:
    """A full range with a spacing of 1 is some 6,900 words from end to end; a bid may pass four."""
    whole = 10**18
    ticks = (Tick(MIN_TICK, whole), Tick(MAX_TICK, -whole))
    wide = Concentrated("wide", 0, (ETH, USDC), 1 << 96, 0, whole, 100, 1, ticks)
    executions: list[Execution] = []
    venue, steps = wide, []
    for number in range(6):
        given, paid = (ETH, USDC) if number % 2 == 0 else (USDC, ETH)
        # All that the range takes in this direction is near 2^64 times the liquidity.
        amount = whole * ((1 << 64) - (1 << 54))
        swap = venue.swap(given, amount, paid)
        executions.append(Execution("wide", given, amount, paid, swap.amount_out))
        steps.append(venue.steps_to(swap.after))
        venue = swap.after
    assert all(3_400 < one < 7_000 for one in steps)
    made = replace(PROBLEM, venues={"wide": wide})
    few = replace(MATCH.proposal, executions=tuple(executions[:5]))
    rejected = rejection(made, replace(MATCH, proposal=few))
    assert rejected.reason is Reason.NOT_CONSERVED
    many = replace(MATCH.proposal, executions=tuple(executions))
    found = fields(made, replace(MATCH, proposal=many), Reason.EXECUTION_LIMIT)
    assert sum(steps[:5]) <= MAX_STEPS < sum(steps)
    assert found["execution"] == "5"
    assert found["steps"] == str(sum(steps))
    assert found["limit"] == str(MAX_STEPS)


BIG = 1 << 255

BROKEN: Sequence[tuple[Reason, Callable[[], Bid], Mapping[str, object]]] = [
    (Reason.AUCTION_WRONG, lambda: replace(MATCH, auction_id=8), {"auction_id": 8, "expected": 7}),
    (
        Reason.DIGEST_WRONG,
        lambda: replace(MATCH, problem_digest=b"\1" * 32),
        {"problem_digest": "01" * 32, "expected": DIGEST.hex()},
    ),
    (
        Reason.EXECUTION_LIMIT,
        lambda: with_executions(*[Execution("pool", ETH, 1, USDC, 1)] * 4_097),
        {"executions": 4_097, "limit": 4_096},
    ),
    (Reason.BID_EMPTY, with_fills, {}),
    (
        Reason.FILL_UNKNOWN_INTENT,
        lambda: with_fills(("sell", 1), ("nobody", 1)),
        {"intent": key("nobody").hex()},
    ),
    (
        Reason.FILL_DUPLICATE,
        lambda: with_fills(("sell", 1), ("sell", 2)),
        {"intent": key("sell").hex()},
    ),
    (Reason.FILL_UNITS, lambda: with_fills(("sell", 0)), {"units": 0, "least": 1}),
    (Reason.FILL_UNITS, lambda: with_fills(("sell", -5)), {"units": -5}),
    (Reason.FILL_UNITS, lambda: with_fills(("buy", 999)), {"units": 999, "least": 1000}),
    (
        Reason.FILL_UNITS,
        lambda: with_fills(("sell", 3 * WHOLE_ETH + 1)),
        {"units": 3 * WHOLE_ETH + 1, "remaining": 3 * WHOLE_ETH},
    ),
    (
        Reason.PRICE_MISSING,
        lambda: bid([("sell", WHOLE_ETH)], {USDC: 10**12}),
        {"asset": ETH},
    ),
    (Reason.PRICE_INVALID, lambda: with_prices(MATCH, eth=0), {"asset": ETH, "price": 0}),
    (Reason.PRICE_INVALID, lambda: with_prices(MATCH, usdc=-3), {"asset": USDC, "price": -3}),
    (Reason.PRICE_INVALID, lambda: with_prices(MATCH, eth=BIG), {"asset": ETH, "price": BIG}),
    (Reason.PRICE_INVALID, lambda: with_prices(MATCH, dai=1), {"asset": DAI, "price": 1}),
    (
        Reason.AMOUNT_OUT_OF_RANGE,
        lambda: with_prices(MATCH, eth=BIG - 1, usdc=1),
        {"settlement": (BIG - 1) * 2 * WHOLE_ETH},
    ),
    (
        Reason.LIMIT_BROKEN,
        lambda: with_prices(MATCH, eth=2_899),
        {
            "intent": key("sell").hex(),
            "units": 2 * WHOLE_ETH,
            "settlement": 5_798 * WHOLE_USDC,
            "least": 5_800 * WHOLE_USDC,
        },
    ),
    (
        Reason.LIMIT_BROKEN,
        lambda: with_prices(MATCH, eth=3_101),
        {"settlement": -6_202 * WHOLE_USDC, "least": -6_200 * WHOLE_USDC},
    ),
    (
        Reason.COLLAR_BROKEN,
        lambda: bid([("sell", WHOLE_ETH)], {ETH: 3_301, USDC: 10**12}),
        {
            "given": WHOLE_ETH * PRICES[ETH].amount,
            "received": 3_301 * WHOLE_USDC * PRICES[USDC].amount,
            "collar_bps": 1_000,
        },
    ),
    (
        Reason.ACCOUNT_OVERSPENT,
        lambda: with_fills(("buy", 3 * WHOLE_ETH), ("sell", 3 * WHOLE_ETH)),
        {
            "owner": key("bob").hex(),
            "asset": USDC,
            "spent": 9_000 * WHOLE_USDC,
            "available": 8_999 * WHOLE_USDC,
        },
    ),
    (
        Reason.EXECUTION_INVALID,
        lambda: with_executions(Execution("nowhere", ETH, 1, USDC, 1)),
        {"execution": 0, "venue": "nowhere", "cause": "VENUE_UNKNOWN"},
    ),
    (
        Reason.EXECUTION_INVALID,
        lambda: with_executions(
            *ROUTED.proposal.executions, Execution("pool", UNPRICED, 1, USDC, 1)
        ),
        {"execution": 1, "venue": "pool", "cause": "SWAP_ASSETS"},
    ),
    (
        Reason.EXECUTION_INVALID,
        lambda: with_executions(Execution("pool", ETH, 0, USDC, 0)),
        {"cause": "SWAP_AMOUNT"},
    ),
    (
        Reason.EXECUTION_INVALID,
        lambda: with_executions(Execution("pool", ETH, -WHOLE_ETH, USDC, -1)),
        {"cause": "SWAP_AMOUNT"},
    ),
    (
        Reason.EXECUTION_INVALID,
        lambda: with_executions(Execution("pool", ETH, BIG - 1, USDC, 1)),
        {"cause": "SWAP_LIQUIDITY"},
    ),
    (
        Reason.EXECUTION_OUTPUT_WRONG,
        lambda: with_executions(Execution("pool", ETH, WHOLE_ETH, USDC, PAID + 1)),
        {"execution": 0, "venue": "pool", "amount_out": PAID + 1, "expected": PAID},
    ),
    (
        Reason.NOT_CONSERVED,
        lambda: bid([("sell", WHOLE_ETH)], AT_3000),
        {"asset": USDC, "missing": 3_000 * WHOLE_USDC},
    ),
    (
        Reason.NOT_CONSERVED,
        lambda: with_executions(Execution("pool", ETH, 2 * WHOLE_ETH, USDC, PAID_FOR_TWO)),
        {"asset": ETH, "missing": WHOLE_ETH},
    ),
    (
        Reason.SCORE_NOT_POSITIVE,
        lambda: bid([("sell", WHOLE_ETH)], {ETH: 2_900, USDC: 10**12}, ROUTED.proposal.executions),
        {"surplus": 0, "cost": 5_000},
    ),
]
"""Reason, a bid that breaks it, and the numbers that must be told."""


@pytest.mark.parametrize(
    ("reason", "broken", "numbers"),
    BROKEN,
    ids=[f"{reason}-{n}" for n, (reason, _, _) in enumerate(BROKEN)],
)
def test_a_broken_rule(
    reason: Reason, broken: Callable[[], Bid], numbers: Mapping[str, object]
) -> None:
    poorer = replace(PROBLEM, balances={**PROBLEM.balances, (key("bob"), USDC): 8_999 * WHOLE_USDC})
    found = fields(poorer, broken(), reason)
    assert {name: found.get(name) for name in numbers} == {
        name: str(value) for name, value in numbers.items()
    }


def test_a_score_of_two_to_the_62_is_refused() -> None:
    # One score unit an atom of each: the surplus is what the seller receives.
    worth = {asset: replace(price, amount=10**18) for asset, price in PRICES.items()}
    prices = {ETH: 1, USDC: 1}

    def market(units: int) -> tuple[Problem, Bid]:
        made = problem(
            {
                "sell": intent("alice", {ETH: -1}, USDC, 0, units=units),
                "buy": intent("bob", {ETH: 1}, USDC, -units, units=units),
            },
            balances={("alice", ETH): units, ("bob", USDC): units},
        )
        return replace(made, prices=worth), bid([("sell", units), ("buy", units)], prices)

    assert scored(*market((1 << 62) - 1)).score == (1 << 62) - 1
    found = fields(*market(1 << 62), Reason.SCORE_TOO_LARGE)
    assert found["score"] == str(1 << 62)


def test_the_collar_is_exact_on_both_sides() -> None:
    def receives(usdc: int) -> tuple[Problem, Bid]:
        made = problem(
            {
                "sell": intent("alice", {DAI: -1}, USDC, 0, units=10**12),
                "buy": intent("bob", {DAI: 1}, USDC, -(10**13), units=10**12),
            },
            balances={("alice", DAI): 10**12, ("bob", USDC): 10**13},
        )
        worth = {
            DAI: replace(PRICES[DAI], amount=10**18),
            USDC: replace(PRICES[USDC], amount=10**18),
        }
        fills = [("sell", 10**12), ("buy", 10**12)]
        return replace(made, prices=worth), bid(fills, {DAI: usdc, USDC: 10**12})

    # The buyer's bound is tighter above par (it gives more than it receives), the seller's below.
    assert scored(*receives(10**12 * 11 // 10)).score > 0
    fields(*receives(10**12 * 11 // 10 + 1), Reason.COLLAR_BROKEN)
    assert scored(*receives(10**12 * 10 // 11 + 1)).score > 0
    fields(*receives(10**12 * 10 // 11), Reason.COLLAR_BROKEN)


def test_the_collar_weighs_all_legs() -> None:
    swap = intent("alice", {ETH: -1, DAI: 1}, USDC, 0)
    made = problem({"swap": swap}, balances={("alice", ETH): 1}, rules=Rules(collar_bps=10_000))
    worth = {**PRICES, ETH: replace(PRICES[ETH], amount=1), DAI: replace(PRICES[DAI], amount=2)}
    at_par = bid([("swap", 1)], {ETH: 1, DAI: 1, USDC: 1})
    fields(replace(made, prices=worth), at_par, Reason.NOT_CONSERVED)  # 2 for 1: just inside
    worth[DAI] = replace(PRICES[DAI], amount=3)
    found = fields(replace(made, prices=worth), at_par, Reason.COLLAR_BROKEN)
    assert (found["given"], found["received"]) == ("1", "3")


def test_the_first_broken_rule_is_told() -> None:
    sent = bid([("sell", 0), ("nobody", 1)], {ETH: 0})
    assert rejection(PROBLEM, sent).reason == Reason.FILL_UNITS
    assert rejection(PROBLEM, replace(sent, auction_id=1)).reason == Reason.AUCTION_WRONG
    sent = bid([("sell", WHOLE_ETH)], {ETH: 0, DAI: 1})
    assert rejection(PROBLEM, sent).fields["asset"] == USDC
    worse = with_executions(Execution("nowhere", ETH, 1, USDC, 1))
    assert rejection(PROBLEM, with_prices(worse, eth=2_000)).reason == Reason.LIMIT_BROKEN


def test_every_rule_is_tested() -> None:
    block = list(Reason)
    bids = block[block.index(Reason.AUCTION_WRONG) : block.index(Reason.SCORE_TOO_LARGE)]
    # Checked where bids come in.
    elsewhere = {Reason.SOLVER_MISMATCH, Reason.PART_WRONG, Reason.BID_DUPLICATE, Reason.BID_LIMIT}
    # Of bids that are not open yet.
    elsewhere |= {Reason.COMMITMENT_INVALID, Reason.COMMITMENT_DUPLICATE}
    elsewhere |= {Reason.OPENING_MISSING, Reason.OPENING_INVALID}
    assert {reason for reason, _, _ in BROKEN} >= set(bids) - elsewhere


def test_nothing_is_changed_by_a_bid() -> None:
    before = (dict(PROBLEM.balances), dict(PROBLEM.venues), dict(PROBLEM.intents))
    scored(PROBLEM, ROUTED)
    score_bid(PROBLEM, DIGEST, ROUTED, bid_id=b"", bid_digest=b"")
    assert before == (dict(PROBLEM.balances), dict(PROBLEM.venues), dict(PROBLEM.intents))
    assert ROUTED.proposal.fills == (Fill(key("sell"), WHOLE_ETH),)
