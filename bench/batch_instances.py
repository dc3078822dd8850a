"""Batches of any size: as problems with pools, and as columns of sales."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from walras.core.intents import Intent, Leg
from walras.market.kinds import ConstantProduct
from walras.protocol.problem import OpenIntent, Price, Problem, Rules
from walras_solvers.equilibrium.sales import Sales

ASSETS = 50
DOLLAR = 333_333
"""Score units that a dollar is worth, an ETH being 3,000 of them."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _assets(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """What an atom is worth in score units, and the log of how far fair prices are from that."""
    dollars = 10 ** rng.uniform(-1, 3, ASSETS)
    decimals = rng.choice([6, 8], ASSETS)
    return dollars * DOLLAR / 10.0**decimals, rng.normal(0.0, 0.006, ASSETS)


def _pairs(rng: np.random.Generator, count: int) -> tuple[Ints, Ints]:
    """What is given and taken: some assets more often than others."""
    weight = 1.0 / np.arange(1, ASSETS + 1) ** 0.7
    give = rng.choice(ASSETS, count, p=weight / weight.sum())
    return give, (give + rng.integers(1, ASSETS, count)) % ASSETS


def _limits(rng: np.random.Generator, fair: Floats, give: Ints, take: Ints) -> Floats:
    """How many times the reference rate an order asks for: most are willing at fair prices."""
    asked: Floats = np.exp(fair[give] - fair[take] + rng.normal(-0.003, 0.008, len(give)))
    return asked


def sales(count: int, seed: int = 1) -> Sales:
    """Sales of some hundred dollars each."""
    rng = np.random.default_rng(seed)
    worth, fair = _assets(rng)
    give, take = _pairs(rng, count)
    value = rng.lognormal(0.0, 1.5, count) * 300 * DOLLAR
    amount = np.maximum(1, value / worth[give]).astype(np.int64)
    least = amount * worth[give] / worth[take] * _limits(rng, fair, give, take)
    reference = [max(1, int(value * 1e18)) for value in worth]
    return Sales(give, take, amount, least.astype(np.int64), reference, 1_000)


def problem(intents: int, pools: int, seed: int = 1) -> Problem:
    """Sales and, three in ten, purchases; one in ten is all or nothing; constant-product pools at
    fair prices, about.
    """
    rng = np.random.default_rng(seed)
    worth, fair = _assets(rng)
    names = [f"eip155:1/erc20:0x{number:040x}" for number in range(ASSETS)]
    prices = {
        name: Price(max(1, int(w * 1e18)), "bench") for name, w in zip(names, worth, strict=True)
    }
    give, take = _pairs(rng, intents)
    value = rng.lognormal(0.0, 1.5, intents) * 300 * DOLLAR
    asked = _limits(rng, fair, give, take)
    buys, rigid = rng.random(intents) < 0.3, rng.random(intents) < 0.1
    opened, balances = {}, {}
    for i in range(intents):
        owner = hashlib.sha256(f"owner {i}".encode()).digest()
        a, b = int(give[i]), int(take[i])
        leg, other = (b, a) if buys[i] else (a, b)
        units = max(1, int(value[i] / worth[leg]))
        rate = 1.0 / asked[i] if buys[i] else float(asked[i])
        limit = max(1, int(units * worth[leg] / worth[other] * rate))
        made = Intent(
            domain="bench", owner=owner, nonce=0, not_before_ms=0, expiry_ms=1 << 60,
            legs=(Leg(names[leg], 1 if buys[i] else -1),),
            units=units, min_units=units if rigid[i] else 0,
            settlement_asset=names[other], limit=-limit if buys[i] else limit,
        )  # fmt: skip
        opened[owner] = OpenIntent(owner, made, units)
        balances[owner, names[a]] = limit if buys[i] else units
    return Problem(
        domain="bench", auction_id=1, sealed_ms=1, rules=Rules(),
        intents=dict(sorted(opened.items())), balances=balances,
        venues={pool.id: pool for pool in _pools(rng, worth, fair, names, pools)}, prices=prices,
    )  # fmt: skip


def _pools(
    rng: np.random.Generator, worth: Floats, fair: Floats, names: list[str], count: int
) -> list[ConstantProduct]:
    give, take = _pairs(rng, count)
    made = []
    for i in range(count):
        a, b = int(give[i]), int(take[i])
        side = rng.lognormal(0.0, 1.0) * 500_000 * DOLLAR
        off = float(np.exp(fair[b] - fair[a] + rng.normal(0.0, 0.002)))
        made.append(
            ConstantProduct(
                id=f"pool-{i:05}",
                cost=220_000,  # 110,000 gas at 2 gwei
                assets=(names[a], names[b]),
                reserves=(max(1, int(side / worth[a] * off)), max(1, int(side / worth[b]))),
                fee_pips=int(rng.choice([500, 3_000])),
            )
        )
    return made
