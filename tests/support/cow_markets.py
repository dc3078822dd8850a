"""Markets for a CoW engine, and what is made of its answers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent, pool
from support.cow_engine import Json, check, solve
from support.solver_markets import market
from walras.core.intents import Intent
from walras.protocol.problem import Problem
from walras.sdk import Deadline, Proposal
from walras_solvers.cow_adapter import Shown, Solution, TokenInfo, show, to_proposal

WHEN = datetime(2026, 11, 21, 12, 30, 1, 234567, UTC)
USDC_ADDRESS = USDC.rpartition(":")[2]


def erc20(address: str) -> str:
    return f"eip155:1/erc20:{address}"


def sale(units: int = WHOLE_ETH, least: int = 2_900, *, min_units: int = 0) -> Intent:
    limit = least * WHOLE_USDC * units // WHOLE_ETH
    return intent("seller", {ETH: -1}, USDC, limit, units=units, min_units=min_units)


def purchase(units: int = WHOLE_ETH, most: int = 3_100, *, min_units: int = 0) -> Intent:
    limit = -most * WHOLE_USDC * units // WHOLE_ETH
    return intent("buyer", {ETH: 1}, USDC, limit, units=units, min_units=min_units)


def shown(problem: Problem, known: Mapping[str, TokenInfo] | None = None) -> Shown:
    made = show(problem, WHEN, known or {})
    check(json.loads(json.dumps(made.auction)))  # by the description, as an engine does
    return made


def proposal(made: Shown, document: Any) -> Proposal:
    solution = Solution.model_validate(document)
    return to_proposal(made, solution, Deadline.after(10))


def swap(name: object, sold: str, amount: int, bought: str, out: int) -> dict[str, Any]:
    return {
        "kind": "liquidity",
        "internalize": False,
        "id": name,
        "inputToken": sold,
        "outputToken": bought,
        "inputAmount": str(amount),
        "outputAmount": str(out),
    }


def routed(order: Intent) -> tuple[Shown, dict[str, Any]]:
    """The engine's route of the only order."""
    name = "seller" if order.legs[0].quantity < 0 else "buyer"
    made = shown(market({name: order}, venues=[pool("pool")]))
    return made, answered(made)["solutions"][0]


def two_orders() -> Problem:
    """A seller and a buyer that cross, and a pool."""
    return market({"seller": sale(), "buyer": purchase()}, venues=[pool("pool", cost=5)])


def answered(made: Shown) -> Json:
    """What the engine of `support.cow_engine` answers."""
    return solve(json.loads(json.dumps(made.auction)))
