"""A log of reference prices, written by a real engine: an operator, two feeders, four pools.

auction 1   all say the same
auction 2   a feeder lies, and is outvoted; the cap holds what the rest would move
auction 3   a feeder has been silent for too long
auction 4   the sources dispute an asset; its orders wait
auction 5   they agree again
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from support.audit.fleet_scenario import sells
from support.audit.scenario import (
    DOMAIN,
    PRICES,
    WHOLE,
    WHOLE_U,
    D,
    Play,
    Recorded,
    U,
    W,
    fund,
    order,
    owner,
    record,
    signer,
)
from walras.app.engine import Engine
from walras.protocol.prices import PriceFeed
from walras.protocol.problem import Price
from walras.protocol.records import MarketUpdate
from walras.sdk.client import Client
from walras.sdk.signing import sign_record

FEEDERS = ("fay", "fox")
RULES = {
    "feeders": [owner(name).hex() for name in FEEDERS],
    "price_quorum": 3,
    "max_price_age_ms": 60_000,
    "max_price_move_bps": 500,
    "max_price_spread_bps": 1_000,
    "numeraire": W,
}
ONE_U, ONE_D = PRICES[U].amount, PRICES[D].amount

_numbers = count(2_000)


async def feed(play: Play, client: Client, name: str, u: int = ONE_U, d: int = ONE_D) -> None:
    """A feeder's prices of U and D, of now."""
    said = PriceFeed(DOMAIN, owner(name), next(_numbers), play.clock.now, {U: u, D: d})
    await client.put_prices(sign_record(said, signer(name)))


async def restate(engine: Engine, client: Client, u: int = ONE_U) -> None:
    """The operator's prices, as of the time that the log told last."""
    operator = engine.operator
    assert operator is not None
    prices = {U: Price(u, "operator"), D: PRICES[D]}
    update = MarketUpdate(DOMAIN, operator.public_key, next(_numbers), prices=prices)
    await client.put_venues(sign_record(update, operator))


async def batch(
    play: Play, engine: Engine, client: Client, *, before_sealing: Callable[[], Awaitable[None]]
) -> None:
    """An order in U and one in D. What is to be of the batch's time comes once it is open."""
    opened = await engine.auctioneer.open()
    await before_sealing()
    for name, asset, limit in (("alice", U, 29 * WHOLE_U), ("bob", D, 29 * WHOLE)):
        made = order(name, next(_numbers), {W: -1}, WHOLE // 100, asset, limit)
        await play.submit(client, str(made.nonce), made)
    play.clock.now += 1_500
    assert await engine.auctioneer.settle(opened) is not None


async def play_all(play: Play) -> None:
    """Auctions 1 to 5, with a restart before the last."""
    await play.add_nodes("first")
    play.nodes["first"].script = sells
    async with play.running() as (engine, client):
        say = partial(feed, play, client)
        run = partial(batch, play, engine, client)

        async def agreed() -> None:
            await fund(engine, client)
            await say("fay")
            await say("fox")

        async def one_lies() -> None:
            await say("fox", u=3 * ONE_U)
            await say("fay", u=ONE_U * 108 // 100)
            await restate(engine, client, u=ONE_U * 108 // 100)

        async def disputed() -> None:
            await say("fay", u=2 * ONE_U)
            await say("fox", u=ONE_U // 2)

        await run(before_sealing=agreed)
        await run(before_sealing=one_lies)
        play.clock.now += 120_000

        async def silent() -> None:
            await restate(engine, client)
            await say("fay")

        await run(before_sealing=silent)
        await run(before_sealing=disputed)
    async with play.running() as (engine, client):
        say = partial(feed, play, client)

        async def agreed_again() -> None:
            await say("fay")
            await say("fox")

        await batch(play, engine, client, before_sealing=agreed_again)


@cache
def recorded_prices() -> Recorded:
    """The log, written once for all tests of a process."""
    with TemporaryDirectory() as folder:
        play = Play(Path(folder), settings={"rules": RULES})
        made = asyncio.run(record(play, play_all))
    feeders = {owner(name): signer(name) for name in FEEDERS}
    return replace(made, keys={**made.keys, **feeders})
