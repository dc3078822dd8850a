"""Balancer's pools, by the maths that Balancer published, compiled here."""

from dataclasses import replace
from typing import TypeVar

from support.contracts.chain import Chain, call_data, numbers, words
from support.contracts.packages import compiled
from walras.market.fixed_point import ONE
from walras.market.kinds import StablePool, Weighted

P = TypeVar("P", Weighted, StablePool)


class WeightedPools:
    """Balancer v2 weighted pools."""

    def __init__(self) -> None:
        self._chain = Chain()
        self._contract = self._chain.deploy(compiled("Balancer.sol")["Weighted"])

    def swap(
        self, pool: Weighted, asset_in: str, amount_in: int, asset_out: str
    ) -> tuple[int, Weighted] | None:
        """What the contract pays, and the venue then; None where it reverts or pays nothing."""
        i, j = pool.assets.index(asset_in), pool.assets.index(asset_out)
        sides = [
            number
            for k in (i, j)
            for number in (pool.balances[k], pool.weights[k], pool.scaling[k] * ONE)
        ]
        data = call_data("swap(uint256[6],uint256,uint256)", *sides, pool.fee, amount_in)
        return _swapped(pool, i, j, self._chain.call(self._contract, data))


class StablePools:
    """Balancer v2 stable pools."""

    def __init__(self) -> None:
        self._chain = Chain()
        self._contract = self._chain.deploy(compiled("Balancer.sol")["Stable"])

    def swap(
        self, pool: StablePool, asset_in: str, amount_in: int, asset_out: str
    ) -> tuple[int, StablePool] | None:
        """What the contract pays, and the venue then; None where it reverts or pays nothing."""
        i, j = pool.assets.index(asset_in), pool.assets.index(asset_out)
        count = len(pool.assets)
        data = call_data(
            "swap(uint256[5],uint256[],uint256[])",
            *(pool.amplification, pool.fee, i, j, amount_in),
            *(7 * 32, (8 + count) * 32),
        )
        data += words([count, *pool.balances, count, *pool.rates])
        return _swapped(pool, i, j, self._chain.call(self._contract, data))


def _swapped(pool: P, i: int, j: int, returned: bytes | None) -> tuple[int, P] | None:
    if returned is None:
        return None
    paid, balance_in, balance_out = numbers(returned)
    balances = list(pool.balances)
    balances[i], balances[j] = balance_in, balance_out
    return (paid, replace(pool, balances=tuple(balances))) if paid else None
