"""Seeded routing problems: one order and constant-product pools; what any answer is worth.

As in the published benchmark of CFMMRouter.jl, N pools stand between random pairs of 2√N tokens.
Prices at the pools differ by less than their fees, so nothing is to be earned without the order,
and the best flow has no cycles. Depths are lognormal, as real ones are unequal.

Floats are in units of value (an amount times its token's reference price), so that no peer suffers
from the scales of tokens. What counts in the end is an exact replay in atoms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from walras.core.bids import Execution
from walras.market.constant_product import PIPS, ConstantProduct

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

ATOMS = 10**18
FEE_PIPS = 3_000
GAMMA = 1.0 - FEE_PIPS / PIPS
SHARE = 0.002
"""The order is this part of what all pools hold of either asset, whichever is less in value."""

COST = 10 * 10**9
"""Of one venue, in score units (10⁻⁹ of a unit of value): 120,000 gas at 20 gwei and 4,000 an
ether come to 9.6 units of value."""

DEPTH = 10**6
"""Of the median pool, each side, in units of value."""

DUST = 1e-13
"""A flow below this part of the order is a solver's noise."""


class NoAnswer(Exception):
    """A peer gave none; says why."""


@dataclass(frozen=True, slots=True)
class Network:
    """An instance as floats, in units of value.

    Attributes:
        tokens: the two of each pool, N × 2.
        held: of each by the pool, N × 2.
        order: what is sold of token 0.
        count: of tokens.
    """

    tokens: Places
    held: Floats
    order: float
    count: int

    def part(self, kept: Places | NDArray[np.bool_]) -> "Network":
        """The same with some of the pools."""
        return Network(self.tokens[kept], self.held[kept], self.order, self.count)


@dataclass(frozen=True)
class Instance:
    """Sell `amount` atoms of token 0 for as much as possible of token 1.

    Attributes:
        prices: units of value per 10^18 atoms, by token.
        tokens: the two of each pool, N × 2.
        reserves: atoms of them, N pairs.
        amount: atoms of token 0, ≥ 1.
        cost: of each venue used, in score units.
    """

    prices: Floats
    tokens: Places
    reserves: tuple[tuple[int, int], ...]
    amount: int
    cost: int = 0

    @cached_property
    def assets(self) -> tuple[str, ...]:
        """The tokens' asset ids."""
        return tuple(f"eip155:1/erc20:0x{token + 1:040x}" for token in range(len(self.prices)))

    @cached_property
    def venues(self) -> dict[str, ConstantProduct]:
        """The pools by id; a pool's id is its number."""
        assets = self.assets
        return {
            str(i): ConstantProduct(str(i), self.cost, (assets[a], assets[b]), held, FEE_PIPS)
            for i, ((a, b), held) in enumerate(
                zip(self.tokens.tolist(), self.reserves, strict=True)
            )
        }

    @cached_property
    def network(self) -> Network:
        """Its floats."""
        held = np.array(self.reserves, float) / ATOMS * self.prices[self.tokens]
        return Network(self.tokens, held, self.value, len(self.prices))

    @property
    def value(self) -> float:
        """Of the order."""
        return float(self.amount / ATOMS * self.prices[0])

    @property
    def price(self) -> int:
        """Of token 1, in score units per 10^18 atoms."""
        return round(float(self.prices[1]) * 10**9)

    @property
    def cost_value(self) -> float:
        """The cost of one venue in units of value."""
        return self.cost / 10**9

    def at_cost(self, cost: int) -> "Instance":
        """The same pools and order with another cost per venue."""
        return replace(self, cost=cost)


def generate(pools: int, seed: int) -> Instance:
    """`pools` ≥ 1 pools between 2√pools tokens; connected, with a pool of tokens 0 and 1."""
    random = np.random.default_rng([seed, pools])
    count = min(max(2, isqrt(4 * pools)), pools + 1)
    prices = np.exp(random.normal(0.0, 1.0, count))
    first = [int(random.integers(token)) for token in range(1, count)]
    pairs = [(known, token) for token, known in enumerate(first, 1)]
    pairs += [
        tuple(random.choice(count, 2, replace=False).tolist()) for _ in range(pools - len(pairs))
    ]
    tokens = np.array(pairs, np.int64)
    depths = DEPTH * np.exp(random.normal(0.0, 1.0, pools))
    # The price of a pool is off by up to 0.2 %, less than its fee.
    off = np.exp(random.uniform(-1e-3, 1e-3, (pools, 2)))
    held = depths[:, None] * off / prices[tokens] * ATOMS
    reserves = tuple((int(a), int(b)) for a, b in held)
    both = min(float((depths[:, None] * off)[tokens == token].sum()) for token in (0, 1))
    return Instance(prices, tokens, reserves, int(SHARE * both / prices[0] * ATOMS))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer is worth.

    Attributes:
        output: atoms of token 1.
        venues: how many were used, each time counted.
        net: the output's value less the venues' costs, in units of value.
    """

    output: int
    venues: int
    net: float


def replay(instance: Instance, executions: Sequence[Execution]) -> Outcome:
    """Run the executions in order on the pools; nothing but the order's input may go in.

    Raises:
        ValueError: more of a token goes in than comes out altogether, as all is settled at once, or
            a swap pays another amount than claimed.
    """
    balances = dict.fromkeys(instance.assets, 0)
    balances[instance.assets[0]] = instance.amount
    after: dict[str, ConstantProduct] = {}
    for ex in executions:
        venue = after.get(ex.venue, instance.venues[ex.venue])
        swap = venue.swap(ex.asset_in, ex.amount_in, ex.asset_out)
        balances[ex.asset_in] -= ex.amount_in
        balances[ex.asset_out] += swap.amount_out
        if swap.amount_out != ex.amount_out:
            raise ValueError(f"{ex} pays {swap.amount_out}")
        after[ex.venue] = swap.after
    if min(balances.values()) < 0:
        raise ValueError(f"the executions lack {-min(balances.values())} atoms")
    output = balances[instance.assets[1]]
    value = output / ATOMS * float(instance.prices[1])
    return Outcome(output, len(executions), value - len(executions) * instance.cost_value)


def execute(instance: Instance, flows: Floats) -> tuple[Execution, ...]:
    """Exact executions after a float solver's flows.

    A token's atoms are shared out in the flows' proportions, the last pool takes the rest; so an
    answer that balances only nearly loses what it lacks, no more.

    Args:
        flows: value that goes into each pool: > 0 of its first token, < 0 of its second.
    """
    order = _downstream(instance, flows)
    used = np.flatnonzero(np.abs(flows) > DUST * instance.value)
    heads = instance.tokens[used, (flows[used] < 0).astype(int)]
    tails = instance.tokens[used, (flows[used] > 0).astype(int)]
    forward = order[heads] < order[tails]
    used, heads = used[forward], heads[forward]
    balances = [0] * len(order)
    balances[0] = instance.amount
    executions = []
    for token in np.argsort(order).tolist():
        those = used[heads == token]
        if token == 1 or not balances[token] or not len(those):
            continue
        weights = np.abs(flows[those])
        ends = np.cumsum(weights) / weights.sum()
        ends[-1] = 1.0
        done, held = 0, balances[token]
        for pool, end in zip(those.tolist(), ends.tolist(), strict=True):
            upto = held if end >= 1.0 else int(held * end)
            amount, done = upto - done, max(done, upto)
            into = int(instance.tokens[pool, int(flows[pool] > 0)])
            venue = instance.venues[str(pool)]
            if amount <= 0 or into == 0:
                continue
            out = venue.swap(instance.assets[token], amount, instance.assets[into]).amount_out
            balances[into] += out
            executions.append(
                Execution(venue.id, instance.assets[token], amount, instance.assets[into], out)
            )
    return tuple(executions)


def _downstream(instance: Instance, flows: Floats) -> Places:
    """The tokens' ranks such that value flows from lower to higher ones; where it runs in circles,
    the least flow gives way."""
    count = len(instance.prices)
    between = np.zeros((count, count))
    a, b = instance.tokens.T
    np.add.at(between, (a, b), np.maximum(flows, 0.0))
    np.add.at(between, (b, a), np.maximum(-flows, 0.0))
    net = between - between.T
    between = np.where(net > DUST * instance.value, net, 0.0)
    between[:, 0] = between[1, :] = 0.0  # from the asset sold, to the asset bought
    ranks = np.full(count, -1, np.int64)
    left = np.ones(count, bool)
    for rank in range(count):
        while True:
            incoming = between[left].sum(axis=0)
            ready = np.flatnonzero(left & (incoming == 0.0))
            if len(ready):
                break
            positive = np.where(between > 0.0, between, np.inf)
            positive[~left] = np.inf
            between[np.unravel_index(positive.argmin(), between.shape)] = 0.0
        ranks[ready[0]] = rank
        left[ready[0]] = False
    return ranks


def as_json(instance: Instance) -> Mapping[str, object]:
    """What a peer in another language is given: addresses, decimal strings, value of the cost."""
    return {
        "tokens": [asset.rpartition(":")[2] for asset in instance.assets],
        "pools": [
            [a, b, str(x), str(y)]
            for (a, b), (x, y) in zip(instance.tokens.tolist(), instance.reserves, strict=True)
        ],
        "amount": str(instance.amount),
        # In whole tokens of what is bought.
        "cost": f"{instance.cost_value / float(instance.prices[1]):.18f}",
    }
