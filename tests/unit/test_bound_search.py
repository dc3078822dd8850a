"""The bound of whole markets whose best bids are known, and what it makes of intents."""

import random
from dataclasses import replace

import pytest
from support.auctions import DAI, ETH, NOW, PRICES, USDC, WHOLE_ETH, WHOLE_USDC, intent, pool
from support.solver_markets import best, market, purchase, sale, spread_against_books

from walras.core.intents import Decay
from walras.market.kinds import AnyVenue, ConstantProduct
from walras.protocol.problem import Problem, Rules
from walras.sdk import Deadline, Hop, follow, judged, propose, self_check, spot_price
from walras_solvers.baseline import Baseline
from walras_solvers.bound import bound_at, score_bound
from walras_solvers.bound.intents import trades
from walras_solvers.bound.scale import FINE, UNIT, dual, whole
from walras_solvers.optimizer import Optimizer


def near(bound: int, score: int, bps: int = 1) -> bool:
    return score <= bound <= score + score * bps // 10_000 + 1


def at_references(made: Problem) -> dict[str, int]:
    return {asset: price.amount * UNIT for asset, price in made.prices.items()}


def test_units() -> None:
    assert dual(1.5) == 3 * UNIT // 2
    assert [whole(f) for f in (0, 1, FINE, FINE + 1, -1)] == [0, 0, 1, 1, -1]


def test_two_orders_that_cross_score_what_they_leave() -> None:
    made = market({"a": sale("a", 5, 2_950), "b": purchase("b", 5, 3_050)})
    bound = score_bound(made)
    score = 5 * 100 * WHOLE_USDC * PRICES[USDC].amount // 10**18
    assert near(bound.score, score)
    assert bound.score == bound_at(made, bound.duals)
    assert near(bound.score, best(Optimizer(), made).score)


def best_sale(made: Problem, path: list[Hop]) -> int:
    """The best score of one sale that goes along the path, by its size."""
    [(name, one)] = made.intents.items()
    best = 0
    for step in range(1, 401):
        units = one.remaining * step // 400
        route = follow(made.venues, path, units)
        rates = {path[0].asset_in: route.amount_out, path[-1].asset_out: units}
        scored = self_check(made, propose(made, {name: units}, rates, route.executions))
        best = max(best, scored.score if scored else 0)
    return best


def test_one_order_against_one_pool_scores_what_the_pool_pays() -> None:
    made = market({"a": sale("a", 5, 2_900)}, venues=[pool("p", depth=100)])
    assert near(score_bound(made).score, best_sale(made, [Hop("p", ETH, USDC)]))


def test_the_cost_of_a_venue_counts() -> None:
    cheap, dear = (
        score_bound(market({"a": sale("a", 5, 2_900)}, venues=[pool("p", cost=cost, depth=100)]))
        for cost in (0, 10**6)
    )
    assert abs(cheap.score - dear.score - 10**6) <= 2


def test_an_order_alone_scores_nothing() -> None:
    assert score_bound(market({"a": sale("a", 5, 2_900)})).score == 0


def test_no_intents_and_no_venues_are_bounded_too() -> None:
    assert score_bound(market({})).score == 0
    assert score_bound(market({}, venues=[pool("p")])).score == 0


def test_a_strategy_of_two_legs_is_bounded() -> None:
    made = spread_against_books()
    scored = best(Baseline(), made)
    assert near(score_bound(made).score, scored.score, 3_000)


def test_a_limit_beyond_the_collar_counts_to_the_collar() -> None:
    made = market({"a": sale("a", 1, 1)}, venues=[pool("p", depth=10**6)])
    [trade] = trades(made)
    low, high = (float(end) / WHOLE_USDC for end in trade.settlements)
    assert (low, high) == pytest.approx((2_700, 3_300), rel=1e-5)
    never = market({"a": sale("a", 1, 3_400)})
    assert not trades(never)


def test_both_ends_of_a_purchase_are_looked_at() -> None:
    [trade] = trades(market({"b": purchase("b", 1, 3_050)}))
    low, high = (float(end) / WHOLE_USDC for end in trade.settlements)
    assert low == pytest.approx(-3_050)
    assert high == pytest.approx(-3_000 / 1.1, rel=1e-5)


def test_a_settlement_of_either_sign_is_looked_at_where_it_is_nothing() -> None:
    both = intent("a", {ETH: WHOLE_ETH, DAI: -3_000 * 10**18}, USDC, -50 * WHOLE_USDC)
    [trade] = trades(market({"a": both}))
    assert len(trade.settlements) == 3
    assert trade.settlements[1] == 0


def test_the_limit_is_that_of_the_sealing() -> None:
    one = replace(sale("a", 1, 2_000), decay=Decay(3_000 * WHOLE_USDC, NOW - 10, NOW + 10))
    [trade] = trades(market({"a": one}))
    assert trade.limit == 2_500 * WHOLE_USDC


def test_what_one_balance_cannot_pay_for_twice_counts_once() -> None:
    orders = {
        name: replace(sale(name, 5, price), owner=sale("a", 5, 1).owner, nonce=nonce)
        for nonce, (name, price) in enumerate([("a", 2_900), ("c", 2_950), ("d", 2_990)])
    }
    buyer = {"b": purchase("b", 15, 3_050)}
    balances = {("a", ETH): 6 * WHOLE_ETH, ("b", USDC): 15 * 3_050 * WHOLE_USDC}
    made = market({**orders, **buyer}, balances=balances)
    # Five at the best limit, one at the second.
    score = (5 * 150 + 100) * WHOLE_USDC * PRICES[USDC].amount // 10**18
    assert near(score_bound(made).score, score)


def test_what_has_no_price_is_traded_through() -> None:
    unpriced = "eip155:1/erc20:0x9f8f72aa9304c8b593d555f12ef6589cc3a579a2"
    hops: list[AnyVenue] = [
        pool("p", depth=100, assets=(ETH, unpriced)),
        pool("q", depth=100, assets=(unpriced, USDC)),
    ]
    hops[1] = replace(hops[1], reserves=(3_000 * 100 * WHOLE_USDC, 3_000 * 100 * WHOLE_USDC))
    made = market({"a": sale("a", 5, 2_700)}, venues=hops)
    score = best_sale(made, [Hop("p", ETH, unpriced), Hop("q", unpriced, USDC)])
    assert near(score_bound(made).score, score)


def test_without_a_collar_to_speak_of_it_is_still_finite() -> None:
    made = market({"a": sale("a", 5, 1), "b": purchase("b", 5, 9_000)})
    loose = replace(made, rules=Rules(collar_bps=20_000))
    score = 5 * 8_999 * WHOLE_USDC * PRICES[USDC].amount // 10**18
    assert near(score_bound(loose).score, score)


@pytest.mark.parametrize("seed", range(20))
def test_any_prices_make_a_bound(seed: int) -> None:
    rng = random.Random(seed)
    made = market(
        {"a": sale("a", 5, 2_950), "b": purchase("b", 3, 3_050), "c": sale("c", 1, 2_500)},
        venues=[pool("p", depth=50)],
    )
    scored = best(Baseline(), made)
    duals = {a: int(d * 10 ** rng.uniform(-2, 2)) for a, d in at_references(made).items()}
    assert bound_at(made, duals) >= scored.score
    assert bound_at(made, dict.fromkeys(duals, 0)) >= scored.score


def test_a_deadline_that_has_passed_leaves_a_bound() -> None:
    made = market({"a": sale("a", 5, 2_950), "b": purchase("b", 5, 3_050)})
    bound = score_bound(made, Deadline.after(0))
    assert bound.score == bound_at(made, at_references(made))


def test_a_bid_that_takes_all_of_it() -> None:
    made = market({"a": sale("a", 5, 2_950), "b": purchase("b", 5, 3_050)})
    fills = {name: found.remaining for name, found in made.intents.items()}
    prices = {ETH: 3_000 * 10**6, USDC: 10**18}
    assert judged(made, propose(made, fills, prices)).score == score_bound(made).score


def chain_of_pools(length: int, reserves: tuple[int, int], *, backwards: bool = False) -> Problem:
    """Pools from USDC on through assets without reference prices, each worth more than the last."""
    assets = [USDC, *(f"eip155:1/erc20:0x{n:040x}" for n in range(length))]
    names = [f"v{length - n if backwards else n:05}" for n in range(length)]
    pools = [
        ConstantProduct(name, 0, (assets[n], assets[n + 1]), reserves, 3_000)
        for n, name in enumerate(names)
    ]
    return market({"a": sale("a", 5, 2_900)}, venues=sorted(pools, key=lambda one: one.id))


@pytest.mark.parametrize("reserves", [((1 << 112) - 1, 1), (1, (1 << 112) - 1)])
def test_prices_that_no_float_holds_are_not_followed(reserves: tuple[int, int]) -> None:
    made = chain_of_pools(12, reserves)
    found = score_bound(made, Deadline.after(0.2))
    assert bound_at(made, found.duals) == found.score
    assert all(dual < 10**300 for dual in found.duals.values())  # `walras bound` reads as many


def test_each_venue_is_asked_for_first_prices_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each step away from a reference price, where names stand in another order."""
    asked = 0

    def counted(venue: AnyVenue, asset_in: str, asset_out: str) -> float:
        nonlocal asked
        asked += 1
        return spot_price(venue, asset_in, asset_out)

    monkeypatch.setattr("walras_solvers.bound.search.spot_price", counted)
    made = chain_of_pools(100, (10**20, 10**20), backwards=True)
    score_bound(made, Deadline.after(0.0))
    assert asked == len(made.venues)
