"""Each kind of pool pays what the contract it follows pays, to the atom, and refuses what it
reverts on.

`make test` compares a few hundred swaps a kind, `make parity` 100,000. WALRAS_PARITY_CASES sets the
number and WALRAS_PARITY_SEED the draws.
"""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import Any

import pytest
from support.contracts import cases
from support.contracts.balancer import StablePools, WeightedPools
from support.contracts.curve import StableSwapPools
from support.contracts.uniswap import V2Pairs, V3Pools

from walras.core.errors import SwapError
from walras.market.kinds import AnyVenue

COUNT = int(os.environ.get("WALRAS_PARITY_CASES", "300"))
SEED = int(os.environ.get("WALRAS_PARITY_SEED", "0"))

KINDS: dict[str, tuple[Callable[[], Any], Callable[[Random], Iterator[cases.Case]]]] = {
    "constant_product": (V2Pairs, cases.pairs),
    "weighted": (WeightedPools, cases.weighted_pools),
    "stable_swap": (StableSwapPools, cases.stable_swaps),
    "stable_pool": (StablePools, cases.stable_pools),
    "concentrated": (V3Pools, cases.concentrated_pools),
}


def ours(venue: AnyVenue, i: int, amount: int, j: int) -> tuple[int, AnyVenue] | None:
    try:
        swap = venue.swap(venue.assets[i], amount, venue.assets[j])
    except SwapError:
        return None
    return swap.amount_out, swap.after


@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_a_swap_is_the_contracts(kind: str) -> None:
    make, draw = KINDS[kind]
    contract = make()
    served = 0
    for venue, i, amount, j in islice(draw(Random(SEED)), COUNT):
        theirs = contract.swap(venue, venue.assets[i], amount, venue.assets[j])
        assert ours(venue, i, amount, j) == theirs, (venue, i, amount, j)
        served += theirs is not None
    # Neither side is trivially right.
    assert COUNT // 3 < served < COUNT
