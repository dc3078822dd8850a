"""Orders as sorted supply curves, one for each directed market and side.

Sizes are values at reference prices, prices are reference·exp(δ). An order gives one asset and
takes another; its limit is the least δ_give − δ_take at which it is willing: a rate, the log of how
many times the reference rate it gets. A sale's size is of what it gives, a purchase's of what it
takes.
At a rate r a market supplies what has limits up to r, which a binary search in prefix sums gives.
"""

from dataclasses import dataclass, replace

import numpy as np

from walras_solvers.equilibrium.kernels import (
    Agent,
    Floats,
    Ints,
    Mask,
    add_orders,
    places_reached,
    prefix_sums,
    stakes,
)

WILLING = 2.0
"""Limits below −2 count as −2: prices never move that far from their references."""


@dataclass(frozen=True, slots=True)
class Orders:
    """One column for each order.

    Attributes:
        assets: how many there are.
        give, take: asset numbers.
        buys: whether the size is of what is taken.
        size: value at reference prices.
        worth: what one of size must bring at least or, of a purchase, may cost at most, in value at
            reference prices.
        limit: the least rate, with room for rounding.
        account: a number ≥ 0 for orders that draw on an account together with others; −1 for the
            rest, which have one that is enough.
        balance: account → value at reference prices.
        least: of the size, of orders that may take no less; they are markets by themselves. 0 for
            the rest.
    """

    assets: int
    give: Ints
    take: Ints
    buys: Mask
    size: Floats
    worth: Floats
    limit: Floats
    account: Ints
    balance: Floats
    least: Floats

    @property
    def pairs(self) -> Ints:
        """Order → give·assets + take."""
        pairs: Ints = self.give * self.assets + self.take
        return pairs


@dataclass(frozen=True, slots=True)
class Curves:
    """Orders by market, within each by ascending limit.

    An order that shares an account, or that may take no less than much of itself, is a market by
    itself: whether it is filled is not for limits to say.

    Attributes:
        assets: how many there are.
        order: place → column of the orders.
        start: market → its first place; one more entry ends the last.
        give, take, buys, account: of each market; −1 is no account.
        limit, size, worth: by place.
        volume, moment, stake: within the market, up to and with a place: Σ size, Σ size·limit,
            Σ size·worth.
        balance: account → value at reference prices.
        least: market → what it takes at least, if anything.
    """

    assets: int
    order: Ints
    start: Ints
    give: Ints
    take: Ints
    buys: Mask
    account: Ints
    limit: Floats
    size: Floats
    worth: Floats
    volume: Floats
    moment: Floats
    stake: Floats
    balance: Floats
    least: Floats

    def sized(self, orders: Orders) -> "Curves":
        """The same orders with other sizes."""
        size, least = orders.size[self.order], orders.least[self.order[self.start[:-1]]]
        return _summed(replace(self, size=size, balance=orders.balance, least=least))

    def without(self, markets: Mask) -> "Curves":
        """The curves with nothing in these markets."""
        some = np.repeat(markets, np.diff(self.start))
        return _summed(replace(self, size=np.where(some, 0.0, self.size)))

    def rates(self, delta: Floats) -> Floats:
        """Market → δ_give − δ_take."""
        rates: Floats = delta[self.give] - delta[self.take]
        return rates

    def volume_at(self, rates: Floats) -> Floats:
        """Market → Σ size of all that is willing at its rate."""
        ends = np.empty(len(rates), np.int64)
        places_reached(rates, self.start, self.limit, ends)
        return np.where(ends > self.start[:-1], self.volume[ends - 1], 0.0)

    def surplus(self, delta: Floats) -> float:
        """What all that is willing at the prices gains, in value at reference prices."""
        rates = self.rates(delta)
        return float(self.gains(rates, self.volume_at(rates)).sum())

    def gains(self, rates: Floats, volume: Floats) -> Floats:
        """Market → what its first orders, up to a volume, gain at its rate."""
        staked = np.empty(len(rates))
        stakes(self.start, self.volume, self.stake, volume, staked)
        factors = np.exp(np.where(self.buys, -rates, rates))
        gained: Floats = np.where(self.buys, staked - factors * volume, factors * volume - staked)
        return gained

    @property
    def pairs(self) -> Ints:
        """Market → give·assets + take."""
        pairs: Ints = self.give * self.assets + self.take
        return pairs

    def by_column(self, values: Floats) -> Floats:
        """Values by place as values by column."""
        found = np.empty(len(values))
        found[self.order] = values
        return found

    def rationed(self, delta: Floats, band: float) -> "Curves":
        """The curves with what each account can pay for at these prices, shared in proportion."""
        some = np.flatnonzero(self.account >= 0)
        if not len(some):
            return self
        rates, place = self.rates(delta)[some], self.start[some]
        drawn = self.size[place] * np.clip((rates - self.limit[place]) / band, 0.0, 1.0)
        drawn *= np.where(self.buys[some], np.exp(-rates), 1.0)
        asked = np.bincount(self.account[some], drawn, len(self.balance))
        share = np.minimum(1.0, self.balance / np.maximum(asked, 1e-100))
        size = self.size.copy()
        size[place] *= share[self.account[some]]
        return _summed(replace(self, size=size))

    def agent(self) -> Agent:
        """The orders as an agent."""

        def add(delta: Floats, band: float, net: Floats, gross: Floats, slope: Floats) -> None:
            add_orders(
                delta, band, self.start, self.give, self.take, self.buys, self.limit,
                self.volume, self.moment, net, gross, slope,
            )  # fmt: skip

        return add


def make_curves(orders: Orders) -> Curves:
    """Sorted once: O(n log n). Orders of one limit stand in the order of their columns."""
    market = (orders.give * orders.assets + orders.take) * 2 + orders.buys
    alone = np.flatnonzero((orders.account >= 0) | (orders.least > 0))
    market[alone] += 2 * orders.assets**2 * (1 + np.arange(len(alone)))
    limit = np.maximum(orders.limit, -WILLING)
    order = np.lexsort((limit, market))
    market = market[order]
    first = np.flatnonzero(np.diff(market, prepend=-1))
    head = order[first]
    return _summed(
        Curves(
            assets=orders.assets,
            order=order,
            start=np.append(first, len(market)).astype(np.int64),
            give=orders.give[head],
            take=orders.take[head],
            buys=orders.buys[head],
            account=orders.account[head],
            limit=limit[order],
            size=orders.size[order],
            worth=orders.worth[order],
            volume=np.empty(0),
            moment=np.empty(0),
            stake=np.empty(0),
            balance=orders.balance,
            least=orders.least[head],
        )
    )


def _summed(curves: Curves) -> Curves:
    volume, moment, stake = (np.empty(len(curves.size)) for _ in range(3))
    prefix_sums(curves.start, curves.size, curves.limit, curves.worth, volume, moment, stake)
    return replace(curves, volume=volume, moment=moment, stake=stake)
