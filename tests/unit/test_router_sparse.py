"""Plans net of costs, against all sets of pools."""

from itertools import product

import numpy as np
import pytest
from support.auctions import DAI, ETH, USDC
from support.routing import random_pairs

from walras.market.kinds import ConstantProduct
from walras_solvers.pools import make_liquidity, subset
from walras_solvers.router import plan, sparsify
from walras_solvers.router.sparse import with_at_most


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("part", [1e-4, 1e-2, 0.1])
def test_as_good_as_the_best_set_of_pools(seed: int, part: float) -> None:
    pools = random_pairs(seed, 7, 4, noise=0.003)
    supply = np.zeros(4)
    supply[0] = 0.05 * pools.pairs.root_left[0] ** 2
    whole = plan(pools, supply, 3)
    cost = np.full(7, part * whole.paid)
    found = sparsify(pools, supply, 3, cost, whole)
    best = -np.inf
    for keep in product((False, True), repeat=7):
        some, _ = subset(pools, np.array(keep))
        made = plan(some, supply, 3)
        best = max(best, made.paid - float(cost @ np.array(keep)))
    assert found.worth <= best + 1e-9 * whole.paid
    assert found.worth >= best - 2e-3 * whole.paid
    assert found.bound >= best * (1 - 1e-12)
    assert found.keep.sum() == np.count_nonzero(found.plan.net[::2])


def test_venues_that_cost_nothing_stay() -> None:
    pools = random_pairs(1, 30, 5)
    supply = np.zeros(5)
    supply[0] = 1e3
    whole = plan(pools, supply, 4)
    found = sparsify(pools, supply, 4, np.zeros(30), whole)
    assert found.worth == pytest.approx(whole.paid, rel=1e-12)


def test_it_ends_when_told_to() -> None:
    pools = random_pairs(1, 30, 5)
    supply = np.zeros(5)
    supply[0] = 1e3
    whole = plan(pools, supply, 4)
    cost = np.full(30, 1e-3 * whole.paid)
    found = sparsify(pools, supply, 4, cost, whole, late=lambda: True)
    assert found.plan.paid == whole.paid


@pytest.mark.parametrize("seed", range(4))
def test_with_at_most_so_many_venues(seed: int) -> None:
    """The one goes without which the others pay most, and so on until none is left."""
    pools = random_pairs(seed, 7, 3, noise=0.003)
    supply = np.zeros(3)
    supply[0] = 0.2 * pools.pairs.root_left[0] ** 2
    cost = np.full(7, 1e-9 * plan(pools, supply, 2).paid)
    found = sparsify(pools, supply, 2, cost)
    used = np.flatnonzero(found.keep)
    assert len(used) > 1
    paid = []
    for out in used:
        others = found.keep.copy()
        others[out] = False
        paid.append(plan(subset(pools, others)[0], supply, 2).paid)
    for most in range(len(used)):
        few = with_at_most(most, found, pools, supply, 2, cost)
        assert few.keep.sum() <= most
        assert not (few.keep & ~found.keep).any()
        assert few.bound == found.bound
        assert few.plan.paid <= max(paid) * (1 + 1e-9)
    assert few.plan.paid == pytest.approx(max(paid), rel=1e-9)
    assert with_at_most(len(used), found, pools, supply, 2, cost) is found


def test_what_is_to_be_bought_must_be_sold_somewhere() -> None:
    """A deep pool gains less than it costs, but the order needs it."""
    sold, paid, bought = names = ETH, DAI, USDC
    venues = [
        ConstantProduct("st", 1, (sold, paid), (10**9, 10**9), 0),
        ConstantProduct("sw", 1, (sold, bought), (10**12, 10**12), 0),
    ]
    pools = make_liquidity(venues, list(names)).pools
    supply = np.array([1_000.0, 0.0, -100.0])
    whole = plan(pools, supply, 1)
    assert 890 < whole.paid < 900
    found = sparsify(pools, supply, 1, np.array([5.0, 5.0]), whole)
    assert found.keep.all()
    assert found.worth == pytest.approx(whole.paid - 10)
    alone, _ = subset(pools, np.array([True, False]))
    assert plan(alone, supply, 1).paid == -np.inf
