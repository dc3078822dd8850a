"""Pools that anybody may list, of tokens worth next to nothing or next to everything."""

import pytest
from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent, pool, problem

from walras.market.kinds import ConstantProduct
from walras.sdk import Deadline, Solver, self_check
from walras.sdk.plugins import load

LINKS = 4


def chain(reserves: tuple[int, int]) -> list[ConstantProduct]:
    """Pools in a row from USDC, each asset worth so many times as much as the last."""
    names = [USDC, *(f"eip155:1/erc20:0x{number:040x}" for number in range(1, LINKS + 1))]
    return [
        ConstantProduct(f"spam-{k}", 0, (names[k], names[k + 1]), reserves, 3_000)
        for k in range(LINKS)
    ]


@pytest.mark.parametrize("name", ["baseline", "equilibrium", "optimizer", "router"])
@pytest.mark.parametrize("reserves", [(1, 1 << 111), (1 << 111, 1)])
def test_they_keep_nobody_from_a_good_pool(name: str, reserves: tuple[int, int]) -> None:
    solver: Solver = load(name)
    sale = intent("ann", {ETH: -1}, USDC, 2_900 * WHOLE_USDC, units=WHOLE_ETH)
    made = problem(
        {"a": sale},
        balances={("ann", ETH): WHOLE_ETH},
        venues=[*chain(reserves), pool("good")],
    )
    scores = []
    for proposal in solver.solve(made, Deadline.after(20)):
        checked = self_check(made, proposal)
        assert checked is not None
        scores.append(checked.score)
    assert max(scores) > 0
