"""Routes: the best path by exact quotes, forwards and backwards."""

import itertools

import pytest
from support.auctions import DAI, ETH, USDC, WHOLE_ETH, WHOLE_USDC, pool

from walras.core.errors import Reason, SwapError
from walras.market.kinds import AnyVenue, ConstantProduct
from walras.sdk import Hop, Router, follow, least_path_input

GNO = "eip155:1/erc20:0x6810e776880c02933d47db1b9fc05908e5386b96"


def venues(*several: AnyVenue) -> dict[str, AnyVenue]:
    return {venue.id: venue for venue in several}


def dai_pool(name: str, depth: int = 3_000_000, cost: int = 0) -> ConstantProduct:
    return ConstantProduct(
        name, cost, (USDC, DAI), (depth * WHOLE_USDC, depth * 10**18), fee_pips=100
    )


def paths(found: dict[str, AnyVenue], start: str, end: str, hops: int) -> list[list[Hop]]:
    edges = [
        Hop(venue.id, a, b)
        for venue in found.values()
        for a, b in itertools.permutations(venue.assets, 2)
    ]
    return [
        list(path)
        for length in range(1, hops + 1)
        for path in itertools.product(edges, repeat=length)
        if path[0].asset_in == start
        and path[-1].asset_out == end
        and all(a.asset_out == b.asset_in for a, b in itertools.pairwise(path))
        and len({hop.venue for hop in path}) == length
    ]


def test_the_best_path_is_the_best_of_all_paths() -> None:
    several = venues(
        pool("a", depth=10), pool("b", depth=500), dai_pool("c"), dai_pool("d", 10_000),
        ConstantProduct("e", 0, (ETH, DAI), (90 * 10**18, 270_500 * 10**18), 3_000),
        ConstantProduct("f", 0, (ETH, GNO), (50 * 10**18, 1_000 * 10**18), 3_000),
        ConstantProduct("g", 0, (GNO, USDC), (900 * 10**18, 140_000 * 10**6), 3_000),
    )  # fmt: skip
    router = Router(several)
    for start, end in itertools.permutations((ETH, USDC, DAI, GNO), 2):
        for amount in (10**7, 10**12, 10**18, 10**20):
            outs = []
            for path in paths(several, start, end, 3):
                try:
                    outs.append(follow(several, path, amount).amount_out)
                except SwapError:
                    continue
            found = router.best(start, amount, end)
            assert (found.amount_out if found else None) == max(outs, default=None)


def test_costs_count_when_outputs_have_a_price() -> None:
    near = dai_pool("near", cost=0)
    far = dai_pool("far", depth=4_000_000, cost=10**9)
    router = Router(venues(near, far))
    price = 333_333  # gwei per 10^18 atoms of DAI, at 3,000 DAI an ETH
    free = router.best(USDC, 1_000 * WHOLE_USDC, DAI)
    paid = router.best(USDC, 1_000 * WHOLE_USDC, DAI, price=price)
    assert free is not None
    assert paid is not None
    assert free.path[0].venue == "far"
    assert paid.path[0].venue == "near"


def test_no_route_through_a_venue_twice_nor_through_an_avoided_one() -> None:
    router = Router(venues(pool("a"), dai_pool("c")))
    found = router.best(ETH, WHOLE_ETH, DAI)
    assert found is not None
    assert [hop.venue for hop in found.path] == ["a", "c"]
    assert router.best(ETH, WHOLE_ETH, DAI, avoid=("c",)) is None
    assert router.best(ETH, WHOLE_ETH, DAI, max_hops=1) is None


def test_the_least_input_pays_and_one_atom_less_does_not() -> None:
    several = venues(pool("a"), dai_pool("c"))
    path = [Hop("a", ETH, USDC), Hop("c", USDC, DAI)]
    for wanted in (10**15, 10**18 + 7, 123_456 * 10**18):
        amount = least_path_input(several, path, wanted)
        assert follow(several, path, amount).amount_out >= wanted
        assert follow(several, path, amount - 1).amount_out < wanted
    with pytest.raises(SwapError) as caught:
        least_path_input(several, path, 10**30)
    assert caught.value.reason is Reason.SWAP_LIQUIDITY


def test_a_route_for_an_output_brings_it_for_the_least_input() -> None:
    several = venues(pool("a", depth=10), pool("b", depth=500))
    found = Router(several).best_for_output(ETH, USDC, 3_000 * WHOLE_USDC, guess=WHOLE_ETH)
    assert found is not None
    assert found.path == (Hop("b", ETH, USDC),)
    assert found.amount_in == least_path_input(several, found.path, 3_000 * WHOLE_USDC)


def test_states_after_a_route_are_used_and_the_old_ones_kept() -> None:
    router = Router(venues(pool("a")))
    first = router.best(ETH, WHOLE_ETH, USDC)
    assert first is not None
    second = router.after(first.venues).best(ETH, WHOLE_ETH, USDC)
    assert second is not None
    assert second.amount_out < first.amount_out
    both = follow(router.venues, first.path, 2 * WHOLE_ETH)
    assert first.amount_out + second.amount_out <= both.amount_out + 1
    assert router.best(ETH, WHOLE_ETH, USDC) == first
