"""The routers that others use, each at its best on `routing_instances`.

Those of convex optimisation answer with flows (value into each pool, > 0 of its first token) and
dual prices. They know no cost per venue; `pruned` gives each the same treatment for it.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt

import cvxpy as cp
import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from bench.routing_bound import earnings
from bench.routing_instances import GAMMA, Floats, Instance, Network, NoAnswer
from walras.core.bids import Execution
from walras.sdk import Router

DROPPED = (1 / 16, 1 / 4, 1 / 2, 3 / 4, 1.0)
"""What a pool must earn to stay, in parts of its cost, round by round."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What a convex solver found.

    Attributes:
        flows: value into each pool; > 0 of its first token, < 0 of its second.
        prices: dual prices of the tokens, relative to the reference prices.
        seconds: by the solver's own clock, where it has one.
    """

    flows: Floats
    prices: Floats
    seconds: float = 0.0


Peer = Callable[[Network], Callable[[], Solution]]
"""Makes a network ready, and gives the call that solves it."""


def dual(network: Network) -> Callable[[], Solution]:
    """L-BFGS-B on the dual, the algorithm of CFMMRouter.jl with its memory and its stopping rule.

    Minimise over prices u, with that of the asset bought at least 1,
        u₀·order + Σ (√(u_b·R_b) - √(u_a·R_a/γ))₊² + (√(u_a·R_a) - √(u_b·R_b/γ))₊²,
    what each pool pays an arbitrageur, in closed form; the gradient is the flow that is left over.
    Each evaluation takes one sparse product there and one back, and no loop.

    Source: Diamandis, Resnick, Chitra, Angeris, An Efficient Algorithm for Optimal Routing Through
    Constant Function Market Makers (2023), §3; CFMMRouter.jl src/router.jl.
    """
    count, pools, unit = network.count, len(network.held), sqrt(network.order)
    held = np.sqrt(network.held)
    a, b = network.tokens.T
    # All flows in units of the order.
    spread = csr_array(
        (held.T.ravel() / unit, network.tokens.T.ravel(), np.arange(2 * pools + 1)),
        shape=(2 * pools, count),
    )
    gather = spread.T.tocsr()
    fee = 1.0 / sqrt(GAMMA)
    pulls = np.empty(2 * pools)
    low = np.full(count, 1e-6)
    low[1] = 1.0
    bounds = np.stack([low, np.full(count, np.inf)], axis=1)

    def arbitrage(prices: Floats) -> tuple[Floats, Floats, Floats]:
        roots = np.sqrt(prices)
        first, second = (spread @ roots).reshape(2, pools)
        there = np.maximum(second - fee * first, 0.0)
        back = np.maximum(first - fee * second, 0.0)
        return roots, there, back

    def value_and_gradient(prices: Floats) -> tuple[float, Floats]:
        roots, there, back = arbitrage(prices)
        np.subtract(back, fee * there, out=pulls[:pools])
        np.subtract(there, fee * back, out=pulls[pools:])
        gradient = (gather @ pulls) / roots
        gradient[0] += 1.0
        return float(prices[0] + there @ there + back @ back), gradient

    def solve() -> Solution:
        found = minimize(
            value_and_gradient,
            np.ones(count),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxcor": 5, "ftol": 10 * np.finfo(float).eps, "gtol": 1e-5,
                     "maxfun": 15_000, "maxiter": 15_000},
        )  # fmt: skip
        roots, there, back = arbitrage(found.x)
        into = there * held[:, 0] / roots[a] - back * held[:, 1] / roots[b]
        return Solution(fee * unit * into, found.x / found.x[1])

    return solve


def conic(network: Network) -> Callable[[], Solution]:
    """CVXPY with Clarabel: every pool a second-order cone, all of them in one.

    (R_a + γΔ_a - Λ_a)·(R_b + γΔ_b - Λ_b) ≥ R_a·R_b as ‖(x - y, 2√k)‖ ≤ x + y. CVXPY translates each
    problem anew, on the clock; Clarabel's own time is given, too.
    """
    return lambda: _conic(network)


def _conic(network: Network) -> Solution:
    pools, count = len(network.held), network.count
    held = network.held / network.order
    into, out = cp.Variable((pools, 2), nonneg=True), cp.Variable((pools, 2), nonneg=True)
    after = held + GAMMA * into - out
    x, y = after[:, 0], after[:, 1]
    root = 2.0 * np.sqrt(held.prod(axis=1))
    incidence = csr_array(
        (np.ones(2 * pools), (network.tokens.T.ravel(), np.arange(2 * pools))),
        shape=(count, 2 * pools),
    )
    left = incidence @ cp.vec(out - into, order="F") + np.eye(1, count)[0]
    balanced = left[np.arange(count) != 1] >= 0
    problem = cp.Problem(
        cp.Maximize(left[1]), [balanced, cp.SOC(x + y, cp.vstack([x - y, root]), axis=0)]
    )
    with warnings.catch_warnings():
        # What Clarabel is not sure of, the referee sees.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        try:
            problem.solve(solver=cp.CLARABEL)
        except cp.SolverError as error:
            raise NoAnswer(str(error)) from error
    if into.value is None:
        raise NoAnswer(f"status {problem.status}")
    flows = (into.value - out.value) * network.order
    prices = np.insert(np.abs(balanced.dual_value), 1, 1.0)
    return Solution(
        np.where(flows[:, 0] > 0, np.maximum(flows[:, 0], 0), -np.maximum(flows[:, 1], 0)),
        np.maximum(prices, 1e-9),
        problem.solver_stats.solve_time,
    )


def pruned(peer: Peer, network: Network, cost: float) -> list[Solution]:
    """A peer's answers where each pool used costs so much: solve, drop the pools that earn least at
    its prices, solve again; the best of these answers is the peer's."""
    kept = np.arange(len(network.held))
    answers = [peer(network)()]
    for share in DROPPED:
        kept = kept[earnings(network.part(kept), answers[-1].prices) > share * cost]
        if not len(kept):
            break
        found = peer(network.part(kept))()
        flows = np.zeros(len(network.held))
        flows[kept] = found.flows
        answers.append(replace(found, flows=flows))
    return answers


def best_path(instance: Instance, router: Router, price: int) -> tuple[Execution, ...]:
    """The baseline's: the best single path of at most three hops, net of its venues' costs where an
    atom brought is worth `price`, as `Instance.price`."""
    sell, buy = instance.assets[:2]
    route = router.best(sell, instance.amount, buy, price=price)
    return route.executions if route else ()
