"""The arithmetic of docs/protocol.md for stable and concentrated pools, bridges and quotes."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.contracts.cases import ASSETS, concentrated_pools, stable_pools, stable_swaps

from walras.core.errors import SwapError
from walras.market.concentrated import ranges
from walras.market.kinds import AnyVenue, Bridge, Concentrated, Rfq, StablePool, StableSwap
from walras.market.quote import quote_of

PROTOCOL = (Path(__file__).parents[2] / "docs/protocol.md").read_text()


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The functions of the document."""
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python protocol\n(.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/protocol.md", "exec"), space)
    return space


def as_written(function: Callable[..., Any], *args: object) -> Any:
    """What a function of the document pays, or the error it names."""
    try:
        out = function(*args)
    except ValueError as error:
        return str(error)
    return "SWAP_AMOUNT" if out == 0 else out


def as_coded(venue: AnyVenue, i: int, amount: int, j: int) -> Any:
    try:
        swap = venue.swap(ASSETS[i], amount, ASSETS[j])
    except SwapError as error:
        return error.reason.value
    if isinstance(swap.after, Concentrated):
        after = swap.after
        return swap.amount_out, (after.sqrt_price, after.tick, after.liquidity)
    return swap.amount_out


def told(written: dict[str, Any], venue: Any) -> Any:
    """The quote that the document has for a venue."""
    match venue:
        case StableSwap():
            terms = (venue.balances, venue.rates, venue.amplification, venue.fee)
            return written["stable_swap_quote"](*terms)
        case StablePool():
            terms = (venue.balances, venue.rates, venue.amplification, venue.fee)
            return written["stable_pool_quote"](*terms)
        case Concentrated():
            below, above = list(ranges(venue, falls=True)), list(ranges(venue, falls=False))
            return written["concentrated_quote"](venue.fee_pips, below, above)
        case Bridge():
            return written["bridge_quote"](venue.capacity, venue.scaling, venue.fee_pips)
        case Rfq():
            return written["rfq_quote"](venue.amount_in, venue.amount_out, venue.left)


def check_quote(written: dict[str, Any], venue: Any) -> None:
    coded = quote_of(venue)
    assert tuple(map(tuple, told(written, venue))) == (coded.bids, coded.asks, coded.depth)


@pytest.mark.parametrize(
    ("name", "draw"), [("stable_swap", stable_swaps), ("stable_pool", stable_pools)]
)
def test_stable(
    written: dict[str, Any], name: str, draw: Callable[[Random], Iterator[Any]]
) -> None:
    served = 0
    for venue, i, amount, j in islice(draw(Random(3)), 400):
        terms = (venue.balances, venue.rates, venue.amplification, venue.fee)
        paid = as_written(written[name], *terms, i, j, amount)
        coded = as_coded(venue, i, amount, j)
        if "SWAP_LIQUIDITY" in (paid, coded):
            # A balance beyond its bound is the rule of all kinds, not of this function.
            assert coded == "SWAP_LIQUIDITY"
        else:
            assert paid == coded
        served += isinstance(paid, int)
        check_quote(written, venue)
    assert 100 < served < 400


def test_concentrated(written: dict[str, Any]) -> None:
    served = 0
    for venue, i, amount, j in islice(concentrated_pools(Random(5)), 200):
        if venue.tick_spacing < 60:
            continue  # the document looks at every word
        state = (venue.sqrt_price, venue.tick, venue.liquidity, venue.fee_pips)
        ticks = [(tick.index, tick.net) for tick in venue.ticks]
        terms = (*state, venue.tick_spacing, ticks, i == 0, amount)
        paid = as_written(written["concentrated"], *terms)
        assert paid == as_coded(venue, i, amount, j)
        served += not isinstance(paid, str)
        check_quote(written, venue)
    assert served > 30


def test_bridges_and_quotes(written: dict[str, Any]) -> None:
    rng = Random(7)
    for _ in range(300):
        capacity = (rng.randrange(10**20), rng.choice((0, rng.randrange(10**12))))
        scaling, flat = (1, 10**12), (rng.randrange(10**18), rng.randrange(10**3))
        fee, amount = rng.choice((0, 500, 999_999)), rng.randrange(1, 10 ** rng.randint(1, 21))
        venue = Bridge("v", 0, ASSETS[:2], capacity, scaling, fee, flat, 0)
        i = rng.randrange(2)
        terms = (capacity[1 - i], scaling[i], scaling[1 - i], fee, flat[i], amount)
        assert as_written(written["bridge"], *terms) == as_coded(venue, i, amount, 1 - i)
        check_quote(written, venue)
        most, pays = rng.randrange(1, 10**9), rng.randrange(1, 10**9)
        quote = Rfq(
            *("v", 0, ASSETS[:2], bytes(32), 0, most, pays, 0, bytes(64), rng.randint(0, most))
        )
        check_quote(written, quote)
