"""`router` on routing instances: its plans from ready arrays, all of it, and with few venues."""

from collections.abc import Callable
from math import log2

import numpy as np

from bench.routing_instances import ATOMS, Floats, Instance, Outcome, execute, replay
from bench.routing_peers import best_path
from walras.core.bids import Execution
from walras.sdk import Router
from walras_solvers.pools import make_liquidity
from walras_solvers.router import Plan, make_space, route, sparsify
from walras_solvers.router.sparse import Net, with_at_most
from walras_solvers.router.split import Splitter, Terms

Call = Callable[[], Plan]

BISECTIONS = 5
"""Between two costs an octave apart, in the search for one that leaves so many venues."""


class Ours:
    """One instance, as arrays that are ready."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.liquidity = make_liquidity(instance.venues.values(), instance.assets)
        self.pools = self.liquidity.pools
        self.space = make_space(self.pools, len(instance.assets))
        self.supply = np.zeros(len(instance.assets))
        self.supply[0] = float(instance.amount)
        self.paths = Router(instance.venues)
        places = self.liquidity.slot_venue[::2].tolist()
        self._tried: dict[float, tuple[Net, Outcome, Outcome]] = {}
        self.units = {self.liquidity.venues[place]: u for u, place in enumerate(places)}

    def relaxed(self) -> Plan:
        """The best plan where venues cost nothing."""
        amount = float(self.instance.amount)
        return route(self.pools, 0, 1, amount, assets=len(self.supply), space=self.space)

    def sparse(self) -> Plan:
        """The best plan where each venue costs what it costs."""
        return self._sparse(1.0)[0].plan

    def call(self) -> Call:
        """What `router` does for this instance."""
        return self.sparse if self.instance.cost else self.relaxed

    def executions(self, plan: Plan) -> tuple[Execution, ...]:
        """A plan's, by the referee that makes everybody's."""
        return execute(self.instance, self._flows(plan))

    def prices(self, plan: Plan) -> Floats:
        """Its dual prices, relative to the reference prices."""
        prices = plan.root**2 / self.instance.prices
        return prices / prices[1]

    def with_at_most(self, venues: int) -> Outcome:
        """The best outcome found that uses so many venues at most, at the instance's cost, > 0."""
        low, high = 0.0, 0.0
        dearest = log2(self.instance.value / self.instance.cost_value)
        while self._dearer(high) > venues and high < dearest:
            low, high = high, high + 1.0
        for _ in range(BISECTIONS if high else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if self._dearer(middle) > venues else (low, middle)
        fitting = [outcome for _, *tried in self._tried.values() for outcome in tried]
        above = [octaves for octaves, tried in self._tried.items() if tried[1].venues > venues]
        if above:
            net = self._tried[max(above)][0]
            net = with_at_most(
                venues, net, self.pools, self.supply, 1, self._cost(self.instance.price)
            )
            fitting.append(replay(self.instance, self.executions(net.plan)))
        fitting = [Outcome(0, 0, 0.0), *(one for one in fitting if one.venues <= venues)]
        return max(fitting, key=lambda outcome: outcome.net)

    def _dearer(self, octaves: float) -> int:
        """Tries the plan and the path at a raised cost; how many venues the plan uses."""
        if octaves not in self._tried:
            net, path = self._sparse(2.0**octaves)
            self._tried[octaves] = (
                net,
                replay(self.instance, self.executions(net.plan)),
                replay(self.instance, path),
            )
        return self._tried[octaves][1].venues

    def _cost(self, price: int) -> Floats:
        return np.full(len(self.units), self.instance.cost * ATOMS / price)

    def _sparse(self, times: float) -> tuple[Net, tuple[Execution, ...]]:
        """The best plan where each venue costs so many times as much; the path it starts from."""
        price = max(1, round(self.instance.price / times))
        path = best_path(self.instance, self.paths, price)
        starts = [np.array([self.units[execution.venue] for execution in path])] if path else []
        cost = self._cost(price)
        net = sparsify(self.pools, self.supply, 1, cost, self.relaxed(), starts=starts)
        return net, path

    def _flows(self, plan: Plan) -> Floats:
        """The value that each pool takes in; < 0: of its second token."""
        instance, liquidity = self.instance, self.liquidity
        names = np.array([int(name) for name in liquidity.venues])
        taking = np.flatnonzero(plan.net < 0.0)
        tokens = self.pools.slot[taking]
        pools = names[liquidity.slot_venue[taking]]
        values = -plan.net[taking] / ATOMS * instance.prices[tokens]
        flows = np.zeros(len(names))
        flows[pools] = np.where(instance.tokens[pools, 0] == tokens, values, -values)
        return flows


def whole(instance: Instance) -> Callable[[], tuple[Execution, ...]]:
    """All of `router` from a ready splitter on, exact quotes and integers among it."""
    splitter = Splitter(instance.venues)
    terms = Terms(*instance.assets[:2], price=instance.price)

    def sell() -> tuple[Execution, ...]:
        split = splitter.sell(terms, instance.amount)
        return split.executions if split else ()

    return sell
