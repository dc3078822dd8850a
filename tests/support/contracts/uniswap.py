"""Uniswap's pools, by the bytecode that Uniswap published."""

from dataclasses import replace

from support.contracts.chain import Chain, call_data, entry, numbers, signed
from support.contracts.packages import compiled, creation_code
from walras.market.kinds import Concentrated, ConstantProduct

_RESERVES, _PAIR_UNLOCKED = 8, 12  # where UniswapV2Pair keeps them


class V2Pairs:
    """A Uniswap v2 pair made by its factory; its fee is 0.3 %.

    The pair itself has no formula for what it pays: it accepts any output that leaves enough behind
    (its K). So the answer is the greatest output that it accepts.
    """

    def __init__(self) -> None:
        self._chain = Chain()
        self._tokens = sorted(
            int(self._chain.deploy(compiled("Payers.sol")["Token"]), 16) for _ in range(2)
        )
        code = creation_code("@uniswap/v2-core/build/UniswapV2Factory.json")
        factory = self._chain.deploy(code, 0)
        made = self._chain.call(factory, call_data("createPair(address,address)", *self._tokens))
        assert made is not None
        self._pair = "0x" + made[-20:].hex()

    def swap(
        self, pool: ConstantProduct, asset_in: str, amount_in: int, asset_out: str
    ) -> tuple[int, ConstantProduct] | None:
        """The most that the pair pays, and the venue then; None where it pays nothing."""
        i = pool.assets.index(asset_in)
        reserve_in, reserve_out = pool.reserves[i], pool.reserves[1 - i]
        net_in = 997 * amount_in
        guess = net_in * reserve_out // (1_000 * reserve_in + net_in)
        after = self._pay(pool, i, amount_in, guess)
        if after is None:
            assert self._pay(pool, i, amount_in, 1) is None
            return None
        assert self._pay(pool, i, amount_in, guess + 1) is None
        return guess, after

    def _pay(
        self, pool: ConstantProduct, i: int, amount_in: int, amount_out: int
    ) -> ConstantProduct | None:
        """The venue after that exchange; None where the pair reverts."""
        chain = self._chain
        held = list(pool.reserves)
        held[i] += amount_in
        for token, amount in zip(self._tokens, held, strict=True):
            chain.write(f"0x{token:040x}", 0, amount)
        chain.write(self._pair, _RESERVES, pool.reserves[0] | pool.reserves[1] << 112)
        chain.write(self._pair, _PAIR_UNLOCKED, 1)
        outs = (amount_out, 0) if i else (0, amount_out)
        data = call_data("swap(uint256,uint256,address,bytes)", *outs, 0xBEEF, 4 * 32, 0)
        if chain.call(self._pair, data) is None:
            return None
        stored = chain.read(self._pair, _RESERVES)
        mask = (1 << 112) - 1
        return replace(pool, reserves=(stored & mask, stored >> 112 & mask))


_UNLOCKED = 1 << 240
_LIQUIDITY, _TICKS, _BITMAP = 4, 5, 6  # where UniswapV3Pool keeps them; slot0 is at 0


class V3Pools:
    """Uniswap v3 pools, made by its factory, one for each fee and tick spacing asked for.

    The state of a pool is written where its contract keeps it, with the liquidity that a venue's
    ticks state; then the contract swaps.
    """

    def __init__(self) -> None:
        self._chain = Chain()
        codes = compiled("Payers.sol")
        self._swapper = self._chain.deploy(codes["Swapper"])
        tokens = sorted(int(self._chain.deploy(codes["Token"]), 16) for _ in range(2))
        self._tokens = tokens
        self._factory = self._chain.deploy(
            creation_code(
                "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"
            )
        )
        self._pools: dict[tuple[int, int], str] = {}
        self._entries: dict[tuple[int, int], int] = {}
        self._written: dict[str, set[int]] = {}

    def swap(
        self, pool: Concentrated, asset_in: str, amount_in: int, asset_out: str
    ) -> tuple[int, Concentrated] | None:
        """What the contract pays, and the venue as it is then; None where it reverts, takes less
        than the whole input or pays nothing.
        """
        address = self._pool(pool.fee_pips, pool.tick_spacing)
        self._write(address, pool)
        falls = asset_in == pool.assets[0]
        arguments = (int(address, 16), falls, amount_in)
        data = call_data("swap(address,bool,int256)", *arguments)
        returned = self._chain.call(self._swapper, data)
        if returned is None:
            return None
        amounts = [signed(number) for number in numbers(returned)]
        taken, paid = amounts if falls else reversed(amounts)
        if taken != amount_in or not paid:
            return None
        slot0 = self._chain.read(address, 0)
        after = replace(
            pool,
            sqrt_price=slot0 % (1 << 160),
            tick=signed(slot0 >> 160, 24),
            liquidity=self._chain.read(address, _LIQUIDITY) % (1 << 128),
        )
        return -paid, after

    def _pool(self, fee: int, spacing: int) -> str:
        key = (fee, spacing)
        if key not in self._pools:
            enable = call_data("enableFeeAmount(uint24,int24)", fee, spacing)
            create = call_data("createPool(address,address,uint24)", *self._tokens, fee)
            if self._chain.read(self._factory, entry(4, fee)) == 0:
                assert self._chain.call(self._factory, enable) is not None
            made = self._chain.call(self._factory, create)
            assert made is not None
            self._pools[key] = "0x" + made[-20:].hex()
            self._written[self._pools[key]] = set()
        return self._pools[key]

    def _write(self, address: str, pool: Concentrated) -> None:
        chain = self._chain
        for token in self._tokens:
            chain.write(f"0x{token:040x}", 0, 0)
        tick = pool.tick % (1 << 24)
        one_observation = 1 << 200 | 1 << 216
        chain.write(address, 0, pool.sqrt_price | tick << 160 | one_observation | _UNLOCKED)
        chain.write(address, _LIQUIDITY, pool.liquidity)
        state: dict[int, int] = {}
        for known in pool.ticks:
            # Some liquidityGross; a swap does not read it.
            state[self._entry(_TICKS, known.index)] = 1 | known.net % (1 << 128) << 128
            word, bit = divmod(known.index // pool.tick_spacing, 256)
            place = self._entry(_BITMAP, word)
            state[place] = state.get(place, 0) | 1 << bit
        for place in self._written[address] - state.keys():
            chain.write(address, place, 0)
        for place, value in state.items():
            chain.write(address, place, value)
        self._written[address] = set(state)

    def _entry(self, slot: int, key: int) -> int:
        found = self._entries.get((slot, key))
        if found is None:
            found = self._entries[slot, key] = entry(slot, key)
        return found
