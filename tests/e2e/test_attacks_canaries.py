"""No arithmetic on an order tells a canary."""

from collections import Counter
from pathlib import Path

from support.market import pool
from support.worlds import running

from walras.app.canaries import LEAST_BPS, MOST_BPS, Canaries


async def test_an_order_has_no_mark_of_a_canary(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.open_market([pool()])
        engine, state = world.engine, world.state
        canaries = Canaries(
            engine.sequencer,
            engine.auctioneer,
            world.operator,
            bytes(32),
            every=1,
            value=10**13,
            interval_ms=10,
        )
        shares: Counter[int] = Counter()
        for _ in range(300):
            order = canaries._order(state)
            assert order is not None
            give, amount, receive, limit = order
            worth = amount * state.market.prices[give].amount // state.market.prices[receive].amount
            shares[limit * 10_000 // worth] += 1
            assert len(str(amount).rstrip("0")) <= 3
            assert len(str(limit).rstrip("0")) <= 4
        assert min(shares) >= LEAST_BPS - 10
        assert max(shares) <= MOST_BPS
        # 1,800 shares are as likely: seven times one of them in 300 is less likely than 10^-5.
        assert max(shares.values()) < 7
