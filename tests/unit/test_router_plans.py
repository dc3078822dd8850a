"""Plans for one order: closed forms, brute force, and the proof of their gap."""

import numpy as np
import pytest
from support.routing import growth, random_pairs, shortest

from walras_solvers.pools import Pools, ladder_arrays, make_pools, pair_arrays, trades
from walras_solvers.router import make_space, plan, route
from walras_solvers.router.linear import System, solve

FEE = 0.003


def pairs(*pools: tuple[int, int, float, float]) -> Pools:
    left, right, x, y = (np.array(column) for column in zip(*pools, strict=True))
    return make_pools(
        pair_arrays(left, right, x.astype(float), y.astype(float), np.full(len(x), FEE))
    )


def paid(x: float, y: float, amount: float) -> float:
    kept = amount * (1 - FEE)
    return y * kept / (x + kept)


def test_one_pool_pays_what_its_formula_says() -> None:
    made = route(pairs((0, 1, 1e6, 2e6)), 0, 1, 1e4)
    assert made.paid == pytest.approx(paid(1e6, 2e6, 1e4), rel=1e-12)
    assert made.gap == pytest.approx(0, abs=1e-12)
    assert list(made.net) == pytest.approx([-1e4, made.paid])


def test_equal_pools_share_an_order() -> None:
    made = route(pairs((0, 1, 1e6, 2e6), (1, 0, 2e6, 1e6)), 0, 1, 1e4)
    assert made.paid == pytest.approx(2 * paid(1e6, 2e6, 5e3), rel=1e-12)


def test_two_pools_share_as_brute_force_does() -> None:
    made = route(pairs((0, 1, 1e6, 2e6), (0, 1, 3e6, 5.9e6)), 0, 1, 2e5)
    best = max(
        paid(1e6, 2e6, 2e5 * part) + paid(3e6, 5.9e6, 2e5 * (1 - part))
        for part in np.linspace(0, 1, 100_001)
    )
    assert made.paid == pytest.approx(best, rel=1e-9)
    assert made.paid >= best * (1 - 1e-12)


def test_a_way_round_is_used_where_it_pays() -> None:
    pools = pairs((0, 1, 1e6, 1e6), (0, 2, 5e6, 5e6), (2, 1, 5e6, 5e6))
    made = route(pools, 0, 1, 1e5)

    def both(part: float) -> float:
        through = paid(5e6, 5e6, 1e5 * (1 - part))
        return paid(1e6, 1e6, 1e5 * part) + paid(5e6, 5e6, through)

    assert made.paid == pytest.approx(max(map(both, np.linspace(0, 1, 10_001))), rel=1e-7)
    assert made.net[0] < 0
    assert made.net[2] < 0


def test_pools_that_disagree_pay_for_nothing() -> None:
    pools = pairs((0, 1, 1e6, 1e6), (0, 1, 1e6, 1.2e6))
    assert route(pools, 0, 1, 1.0).paid > 1_000


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01, 0.2])
@pytest.mark.parametrize(("pools", "assets"), [(3, 3), (40, 8), (600, 30), (3_000, 100)])
def test_plans_are_feasible_and_proven(pools: int, assets: int, noise: float) -> None:
    arrays = random_pairs(7, pools, assets, noise=noise)
    supply = np.zeros(assets)
    supply[0] = 1e5 * arrays.pairs.root_left[0] ** 2 / 1e9
    made = plan(arrays, supply, assets - 1)
    assert made.paid > 0
    assert abs(made.gap) <= 1e-9
    assert shortest(arrays, made, supply, assets - 1) <= 1e-10
    assert growth(arrays, made).min() >= -1e-12


@pytest.mark.parametrize("part", [1e-6, 1e-3, 0.3])
def test_what_is_left_out_of_the_passes_trades_nothing(part: float) -> None:
    arrays = random_pairs(11, 3_000, 60, noise=0.001)
    made = route(arrays, 0, 59, part * arrays.pairs.root_left[0] ** 2)
    every = np.empty(len(arrays.slot))
    trades(arrays, made.root, every)
    idle = made.net == 0.0
    assert 0 < idle.sum() < len(idle)
    assert not every[idle].any()


def test_any_prices_bound_what_a_plan_pays() -> None:
    arrays = random_pairs(3, 60, 9)
    made = route(arrays, 0, 8, 1e3)
    rough = route(arrays, 0, 8, 1e3, tolerance=1e-2)
    assert rough.bound >= made.paid * (1 - 1e-12)
    assert rough.paid <= made.bound * (1 + 1e-12)


def test_a_long_chain_is_solved_as_well() -> None:
    length = 250
    pools = pairs(*((i, i + 1, 1e12, 1e12) for i in range(length)))
    made = route(pools, 0, length, 1e9)
    amount = 1e9
    for _ in range(length):
        amount = paid(1e12, 1e12, amount)
    assert made.paid == pytest.approx(amount, rel=1e-9)


def test_what_no_pool_takes_is_left() -> None:
    # A ladder that takes 1,000 at 2 and 1,000 at 1.
    ladders = ladder_arrays([(0, 1, [(2**0.5, 1.999**0.5, 1e3), (1.0, 0.999, 1e3)])])
    made = route(make_pools(ladders=ladders), 0, 1, 1e9)
    assert made.paid == pytest.approx(float(np.sum(made.net[1:])), rel=1e-12)
    assert -made.net[0] < 1e9
    assert made.paid == pytest.approx(made.bound, rel=1e-6)


def test_assets_that_nothing_connects_bring_nothing() -> None:
    made = route(pairs((0, 1, 1e6, 1e6), (2, 3, 1e6, 1e6)), 0, 3, 1e3)
    assert made.paid == 0.0
    assert not made.net.any()
    assert route(make_pools(), 0, 1, 5.0).paid == 0.0


def test_space_can_be_used_again() -> None:
    arrays = random_pairs(5, 50, 7)
    space = make_space(arrays, 7)
    first = [route(arrays, 0, 6, amount, space=space).paid for amount in (1e2, 1e6, 1e2)]
    assert first[0] == first[2] == route(arrays, 0, 6, 1e2).paid


def test_linear_systems_by_both_methods() -> None:
    rng = np.random.default_rng(1)
    for n, edges in ((12, 60), (200, 199), (40, 39)):
        first, second = np.empty((2, edges), dtype=np.int64)
        diagonal, right, *rest = np.empty((6, n))
        system = System(first, second, np.empty(edges), diagonal, right, *rest)
        system.first[:] = np.arange(edges) if edges == n - 1 else rng.integers(0, n // 2, edges)
        system.second[:] = system.first + 1 if edges == n - 1 else rng.integers(n // 2, n, edges)
        system.weight[:] = np.exp(rng.normal(0, 3, edges))
        matrix = np.zeros((n, n))
        np.add.at(matrix, (system.first, system.second), -system.weight)
        matrix += matrix.T
        system.diagonal[:] = -matrix.sum(axis=1) + 1e-3
        matrix += np.diag(system.diagonal)
        system.right[:] = rng.normal(0, 1, n)
        solve(system, edges, 1e-12)
        assert matrix @ system.x == pytest.approx(system.right, abs=1e-7)
