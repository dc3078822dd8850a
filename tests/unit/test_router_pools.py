"""Pools as arrays: each kind's best trade, against exact swaps and against finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.auctions import DAI, ETH, USDC, pool

from walras.market.kinds import Rfq
from walras.market.tick_math import sqrt_price_at
from walras.sdk import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    StablePool,
    StableSwap,
    Tick,
    Weighted,
    spot_price,
)
from walras_solvers.pools import (
    Liquidity,
    laplacian,
    make_liquidity,
    make_pools,
    subset,
    sweep,
    trades,
    units,
)

ONE = 10**18
E = 10**24
Floats = NDArray[np.float64]

VENUES: dict[str, AnyVenue] = {
    "constant product": ConstantProduct("v", 0, (ETH, USDC), (5 * E, 3 * E), 3_000),
    "two weights": Weighted(
        "v", 0, (ETH, USDC), (8 * E, E), (8 * 10**17, 2 * 10**17), (1, 1), 10**15
    ),
    "three weights": Weighted(
        "v",
        0,
        (ETH, USDC, DAI),
        (8 * E, E, 3 * E),
        (5 * 10**17, 2 * 10**17, 3 * 10**17),
        (1, 1, 1),
        10**15,
    ),
    "stable swap": StableSwap("v", 0, (ETH, USDC), (5 * E, 4 * E), (ONE, ONE), 20_000, 4_000_000),
    "three coins": StableSwap(
        "v", 0, (ETH, USDC, DAI), (5 * E, 4 * E, 9 * E), (ONE, ONE, ONE), 200_000, 4_000_000
    ),
    "stable pool": StablePool("v", 0, (ETH, USDC), (5 * E, 4 * E), (ONE, ONE), 50_000, 10**14),
    "concentrated": Concentrated(
        "v",
        0,
        (ETH, USDC),
        sqrt_price_at(3),
        3,
        3 * E,
        500,
        10,
        (Tick(-2_000, E), Tick(-50, 2 * E), Tick(50, -2 * E), Tick(2_000, -E)),
    ),
    "order book": OrderBook(
        "v",
        0,
        (ETH, USDC),
        asks=(Offer(E, 2 * E), Offer(E, 3 * E)),
        bids=(Offer(3 * E, 2 * E), Offer(E, E)),
    ),
    "bridge": Bridge("v", 0, (ETH, USDC), (3 * E, 2 * E), (1, 1), 500, (0, 0), 0),
    "quote": Rfq("v", 0, (ETH, USDC), bytes(32), 1, 4 * E, 5 * E, 1 << 60, bytes(64), 3 * E),
}
CURVED = ["constant product", "two weights", "stable swap", "stable pool"]


TWO = sorted(name for name, venue in VENUES.items() if len(venue.assets) == 2)


def of(name: str, band: float = 1e-5) -> Liquidity:
    return make_liquidity([VENUES[name]], (ETH, USDC, DAI), band)


def swept(liquidity: Liquidity, nu: Floats) -> tuple[float, Floats, Floats]:
    flow, weight = np.zeros(len(nu)), np.zeros(len(liquidity.pools.left))
    gain = sweep(liquidity.pools, np.sqrt(nu), flow, weight)
    return gain, flow, weight


def at_rate(name: str, factor: float) -> tuple[Liquidity, Floats]:
    """Prices at which selling ETH for USDC pays by `factor`."""
    rate = spot_price(VENUES[name], ETH, USDC)
    return of(name), np.array([rate / factor, 1.0, 1e-30])


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("factor", [1.001, 1.05, 1.5])
def test_a_trade_is_what_the_venue_does_for_it(name: str, factor: float) -> None:
    liquidity, nu = at_rate(name, factor)
    gain, flow, _ = swept(liquidity, nu)
    assert gain > 0
    paid = VENUES[name].swap(ETH, int(-flow[0] * (1 - 1e-12)), USDC).amount_out
    # A kink is passed on the way: half of its band may be gained there.
    assert flow[1] == pytest.approx(paid, rel=1e-5 if "o" in name and name not in CURVED else 1e-9)
    assert gain == pytest.approx(float(nu @ flow), rel=1e-9)


@pytest.mark.parametrize("name", CURVED)
@pytest.mark.parametrize("factor", [1.01, 1.1])
def test_no_other_amount_gains_more(name: str, factor: float) -> None:
    liquidity, nu = at_rate(name, factor)
    _, flow, _ = swept(liquidity, nu)

    def gain(amount: float) -> float:
        return VENUES[name].swap(ETH, int(amount), USDC).amount_out - float(nu[0]) * amount

    best = gain(-flow[0])
    assert best > 0
    for part in (0.5, 0.9, 0.99, 1.01, 1.1):
        assert gain(-flow[0] * part) < best


@pytest.mark.parametrize("name", TWO)
def test_nothing_is_traded_within_the_fee(name: str) -> None:
    gain, flow, weight = swept(*at_rate(name, 0.9999))
    assert gain == 0.0
    assert not flow.any()
    assert not weight.any()


@pytest.mark.parametrize("name", sorted(VENUES))
@pytest.mark.parametrize("seed", range(4))
def test_flows_are_the_gradient_and_weights_the_curvature(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    liquidity = of(name, band=0.2)  # wide, to be seen by differences
    fair = np.array([spot_price(VENUES[name], ETH, USDC) or 1.0, 1.0, 1.0])
    if len(VENUES[name].assets) > 2:
        fair[2] = spot_price(VENUES[name], DAI, USDC)
    nu = fair * np.exp(rng.normal(0, 0.05, 3))
    gain, flow, weight = swept(liquidity, nu)
    scale = float(np.abs(flow * nu).max()) or 1.0
    curvature = np.zeros((3, 3))
    laplacian(liquidity.pools, weight, curvature)
    step = 1e-6
    for i in range(3):
        up, down = nu.copy(), nu.copy()
        up[i] *= 1 + step
        down[i] *= 1 - step
        (more, flow_up, _), (less, flow_down, _) = swept(liquidity, up), swept(liquidity, down)
        assert (more - less) / (2 * step) == pytest.approx(flow[i] * nu[i], abs=1e-5 * scale)
        slopes = nu * (flow_up - flow_down) / (2 * step)
        assert slopes == pytest.approx(curvature[i], abs=1e-3 * scale)
    assert gain == pytest.approx(float(nu @ flow), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["three weights", "three coins"])
def test_a_pool_of_three_assets_trades_all_of_them_at_once(name: str) -> None:
    venue = VENUES[name]
    fair = np.array([spot_price(venue, ETH, USDC), 1.0, spot_price(venue, DAI, USDC)])
    nu = fair * np.array([0.9, 1.0, 1.0])
    gain, flow, _ = swept(of(name), nu)
    assert flow[0] < 0 < min(flow[1], flow[2])
    # As two swaps, one after the other, it gains a little less: the second one meets the fee of the
    # first.
    part = flow[1] / (flow[1] + flow[2] * nu[2])
    first = venue.swap(ETH, int(-flow[0] * part), USDC)
    second = first.after.swap(ETH, int(-flow[0] * (1 - part)), DAI)
    swaps = first.amount_out + nu[2] * second.amount_out + nu[0] * flow[0]
    assert swaps == pytest.approx(gain, rel=2e-2)
    for asset, other in ((ETH, USDC), (ETH, DAI)):
        alone = swept(of(name), np.where([asset == ETH, other == USDC, other == DAI], nu, fair))[0]
        assert gain >= alone * 0.99


def test_weighted_pools_take_no_more_than_they_may() -> None:
    liquidity, nu = at_rate("two weights", 1e6)
    _, flow, weight = swept(liquidity, nu)
    kept = 1 - 10**-3
    assert -flow[0] * kept == pytest.approx(0.3 * 8 * E, rel=1e-9)
    assert not weight.any()


def test_venues_that_can_do_nothing_have_no_slots() -> None:
    empty = ConstantProduct("v", 0, (ETH, USDC), (0, E), 3_000)
    used = Rfq("u", 0, (ETH, USDC), bytes(32), 1, 4 * E, 5 * E, 1 << 60, bytes(64), 0)
    bare = OrderBook("w", 0, (ETH, USDC), (), ())
    assert len(make_liquidity([empty, used, bare]).pools.slot) == 0


def test_offers_at_one_price_are_one() -> None:
    book = OrderBook("v", 0, (ETH, USDC), (), (Offer(E, E), Offer(2 * E, 2 * E), Offer(E, 2 * E)))
    ladders = make_liquidity([book]).pools.ladders
    assert list(ladders.start) == [0, 2]
    assert math.isclose(ladders.paid[1], 3 * E, rel_tol=1e-8)


def test_the_order_of_venues_does_not_matter() -> None:
    venues = [pool("a"), pool("b", depth=7), pool("c", assets=(DAI, USDC))]
    first, second = make_liquidity(venues), make_liquidity(reversed(venues))
    assert first.venues == second.venues
    assert all(
        np.array_equal(a, b) for a, b in zip(first.pools.pairs, second.pools.pairs, strict=True)
    )


def test_a_subset_trades_as_its_pools_did() -> None:
    venues = [replace(venue, id=name) for name, venue in VENUES.items()]
    liquidity = make_liquidity(venues, (ETH, USDC, DAI))
    pools = liquidity.pools
    root = np.sqrt(np.array([1.1, 1.0, 0.8]))
    whole = np.empty(len(pools.slot))
    trades(pools, root, whole)
    unit = units(pools)
    for dropped in range(int(unit[-1]) + 1):
        keep = np.arange(unit[-1] + 1) != dropped
        some, slots = subset(pools, keep)
        net = np.empty(len(some.slot))
        trades(some, root, net)
        assert np.array_equal(net, whole[slots])
        assert np.array_equal(some.slot, pools.slot[unit != dropped])
    nothing, _ = subset(pools, np.zeros(unit[-1] + 1, dtype=np.bool_))
    assert len(nothing.slot) == len(make_pools().slot) == 0
