"""Prices at which supply meets demand, in markets whose answer is known or can be checked."""

import numpy as np
import pytest

from walras_solvers.equilibrium.curves import Curves, Orders, make_curves
from walras_solvers.equilibrium.kernels import Floats
from walras_solvers.equilibrium.prices import find_prices


def orders(
    assets: int, rows: list[tuple[int, int, bool, float, float]], balance: float = 0.0
) -> Orders:
    """(give, take, buys, size, limit); with a balance, all draw on one account."""
    give, take, buys, size, limit = (np.array(column) for column in zip(*rows, strict=True))
    return Orders(
        assets=assets,
        give=give.astype(np.int64),
        take=take.astype(np.int64),
        buys=buys.astype(np.bool_),
        size=size.astype(float),
        worth=np.exp(np.where(buys, -limit, limit)),
        limit=limit.astype(float),
        account=np.full(len(rows), 0 if balance else -1, np.int64),
        balance=np.array([balance] if balance else []),
        least=np.zeros(len(rows)),
    )


def random_orders(seed: int, count: int, assets: int) -> Orders:
    rng = np.random.default_rng(seed)
    fair = rng.normal(0.0, 0.05, assets)
    rows = []
    for _ in range(count):
        a, b = rng.choice(assets, 2, replace=False)
        limit = fair[a] - fair[b] + rng.normal(-0.004, 0.01)
        rows.append((a, b, bool(rng.random() < 0.4), rng.lognormal(0.0, 1.5), limit))
    return orders(assets, rows)


def excess(curves: Curves, delta: Floats, band: float) -> tuple[Floats, Floats, Floats]:
    net, gross = np.zeros(curves.assets), np.zeros(curves.assets)
    slope = np.zeros((curves.assets, curves.assets))
    curves.agent()(delta, band, net, gross, slope)
    return net, gross, slope


def one_by_one(made: Orders, delta: Floats, band: float) -> Floats:
    """What `Curves.agent` computes from prefix sums, order by order."""
    net = np.zeros(made.assets)
    for a, b, buys, size, limit in zip(
        made.give, made.take, made.buys, made.size, made.limit, strict=True
    ):
        share = np.clip((delta[a] - delta[b] - limit) / band, 0.0, 1.0)
        value = size * share * np.exp(delta[b] if buys else delta[a])
        net[a] -= value
        net[b] += value
    return net


@pytest.mark.parametrize("band", [0.03, 0.001])
def test_prefix_sums_give_what_every_order_gives(band: float) -> None:
    made = random_orders(1, 300, 5)
    delta = np.random.default_rng(2).normal(0.0, 0.05, 5)
    net, _, _ = excess(make_curves(made), delta, band)
    assert net == pytest.approx(one_by_one(made, delta, band), rel=1e-9, abs=1e-9)
    assert abs(net.sum()) < 1e-9  # Walras' law


def test_the_derivative_is_that_of_the_excess() -> None:
    curves = make_curves(random_orders(3, 500, 4))
    delta = np.random.default_rng(4).normal(0.0, 0.05, 4)
    _, _, slope = excess(curves, delta, 0.05)
    step = 1e-7
    for asset in range(4):
        up, down = delta.copy(), delta.copy()
        up[asset] += step
        down[asset] -= step
        moved = (excess(curves, up, 0.05)[0] - excess(curves, down, 0.05)[0]) / (2 * step)
        assert slope[:, asset] == pytest.approx(moved, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_newton_clears_random_markets(seed: int) -> None:
    curves = make_curves(random_orders(seed, 3_000, 12))
    delta, steps = np.zeros(12), 0
    for band in (0.05, 0.02, 0.01, 0.005):
        found = find_prices([curves.agent()], delta, 2.0, band)
        delta, steps = found.delta, steps + found.steps
        net, gross, _ = excess(curves, delta, band)
        assert np.abs(net).sum() <= 1e-9 * gross.sum()
    assert steps < 60


def test_two_sides_meet_where_their_limits_do() -> None:
    made = orders(2, [(0, 1, False, 10.0, 0.02), (1, 0, False, 100.0, -0.05)])
    delta = np.zeros(2)
    for band in (0.05, 0.01, 0.001):
        delta = find_prices([make_curves(made).agent()], delta, 2.0, band).delta
    # The second has ten times as much: it is served in part, at its limit.
    assert delta[1] - delta[0] == pytest.approx(-0.05, abs=1e-3)


def test_prices_stay_within_reach() -> None:
    made = orders(2, [(0, 1, False, 10.0, -1.0), (1, 0, False, 100.0, -1.0)])
    found = find_prices([make_curves(made).agent()], np.zeros(2), 0.04, 1e-3)
    assert np.abs(found.delta).max() <= 0.04


def test_an_account_is_shared_by_its_orders() -> None:
    rows = [(0, 1, False, 30.0, -0.5), (0, 2, False, 10.0, -0.5)]
    curves = make_curves(orders(3, rows, balance=20.0))
    net, _, _ = excess(curves.rationed(np.zeros(3), 1e-3), np.zeros(3), 1e-3)
    assert net == pytest.approx([-20.0, 15.0, 5.0])
