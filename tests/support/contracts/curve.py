"""Curve's StableSwap: a pool written from the published invariant, compiled by Vyper."""

from dataclasses import replace
from pathlib import Path

from vyper.compiler import compile_code

from support.contracts.chain import Chain, call_data, numbers, words
from walras.core.amounts import AMOUNT_LIMIT
from walras.market.kinds import StableSwap

SOURCE = Path(__file__).with_name("stable_swap.vy")


class StableSwapPools:
    """Pools of two to eight coins."""

    def __init__(self) -> None:
        self._chain = Chain()
        made = compile_code(SOURCE.read_text(), output_formats=["bytecode"])
        code = bytes.fromhex(made["bytecode"].removeprefix("0x"))
        self._contract = self._chain.deploy(code)

    def swap(
        self, pool: StableSwap, asset_in: str, amount_in: int, asset_out: str
    ) -> tuple[int, StableSwap] | None:
        """What the contract pays, and the venue then; None where it reverts, pays nothing or comes
        to hold what is no amount.
        """
        i, j = pool.assets.index(asset_in), pool.assets.index(asset_out)
        count = len(pool.assets)
        data = call_data(
            "swap(uint256,uint256,uint256,uint256,uint256,uint256[],uint256[])",
            *(pool.amplification, pool.fee, i, j, amount_in),
            *(7 * 32, (8 + count) * 32),
        )
        data += words([count, *pool.balances, count, *pool.rates])
        returned = self._chain.call(self._contract, data)
        if returned is None:
            return None
        paid, balance_in, balance_out = numbers(returned)
        if not paid or balance_in >= AMOUNT_LIMIT:
            return None
        balances = list(pool.balances)
        balances[i], balances[j] = balance_in, balance_out
        return paid, replace(pool, balances=tuple(balances))
