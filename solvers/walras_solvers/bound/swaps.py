"""The best swaps at given dual prices, in floating point: what the search for prices learns from.

Each is about where the bound of its venue has its tangent. Nothing here has to be exact.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from walras.sdk import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Weighted,
    price_ranges,
)
from walras_solvers.bound.ladders import Q96
from walras_solvers.bound.products import Product, clearing_level, product_bound, product_of
from walras_solvers.bound.scale import PIPS, Duals
from walras_solvers.bound.stable import RATE, Stable, stable_of, touching


@dataclass(frozen=True, slots=True)
class Column:
    """One way to use a venue.

    Attributes:
        block: of what is used together: a venue, or a side of it.
        flows: asset → atoms paid out less atoms paid in.
        cost: in score units.
    """

    block: tuple[str, int]
    flows: Mapping[str, float]
    cost: int


def best_swaps(venue: AnyVenue, duals: Duals) -> Iterator[Column]:
    """The swaps on the venue that are worth something."""
    for side, (flows, swaps) in enumerate(_flows(venue, duals)):
        block = (venue.id, side if isinstance(venue, OrderBook | Bridge) else 0)
        if any(flow > 0.0 for flow in flows.values()):
            yield Column(block, flows, venue.cost * swaps)


_Flows = tuple[dict[str, float], int]
"""Flows, and the least number of swaps that the bound counts for them."""


def _flows(venue: AnyVenue, duals: Duals) -> Iterator[_Flows]:
    prices = [float(duals[asset]) for asset in venue.assets]
    sides: Sequence[Sequence[float]]
    match venue:
        case ConstantProduct() | Weighted():
            yield from _products(venue, duals)
            return
        case StableSwap() | StablePool():
            yield from _stable(venue, duals)
            return
        case OrderBook(asks=asks, bids=bids):
            ask = [o for o in asks if o.give * prices[0] > o.want * prices[1]]
            bid = [o for o in bids if o.give * prices[1] > o.want * prices[0]]
            sides = (
                (float(sum(o.give for o in ask)), -float(sum(o.want for o in ask))),
                (-float(sum(o.want for o in bid)), float(sum(o.give for o in bid))),
            )
        case Rfq(amount_in=want, amount_out=give, left=left):
            worth = give * prices[1] > want * prices[0]
            sides = ((-float(left), left * give / want) if worth else (0.0, 0.0),)
        case Bridge():
            sides = (_carried(venue, 0, 1), _carried(venue, 1, 0)[::-1])
        case Concentrated():
            sides = (_falling(venue, prices), _rising(venue, prices))
    for side in sides:
        yield dict(zip(venue.assets, side, strict=True)), 1


def _products(pool: ConstantProduct | Weighted, duals: Duals) -> Iterator[_Flows]:
    found = product_of(pool)
    if len(found.assets) == 2:
        yield _product(found, duals), 1
    elif len(found.assets) > 2:
        yield _product(found, duals), 2
        pair = max(found.pairs(), key=lambda pair: product_bound(pair, duals))
        yield _product(pair, duals), 1


def _product(pool: Product, duals: Duals) -> dict[str, float]:
    flows: dict[str, float] = {}
    low = [duals[asset] for asset in pool.assets]
    kept = pool.kept / pool.of
    level = clearing_level(low, pool)
    for asset, atoms, w, price in zip(pool.assets, pool.held, pool.weights, low, strict=True):
        end = price / w * atoms
        if level and level < end:
            flows[asset] = atoms * (1.0 - level / end)
        elif level * kept > end:
            flows[asset] = atoms * (1.0 / kept - level / end) if end else 0.0
    return flows


def _stable(pool: StableSwap | StablePool, duals: Duals) -> Iterator[_Flows]:
    found = stable_of(pool, duals)
    if found is None:
        return
    low, high = found.ends
    paid = [end / float(v) for end, v in zip(low, found.worths, strict=True)]
    taken = [end / float(v) for end, v in zip(high, found.worths, strict=True)]
    point = touching(found.x, found.level, found.curve, low, high)
    if point != found.x:
        yield _moved(pool, found, point, paid, taken), 2
    n = len(found.x)
    paid, taken = [float(found.kept_out)] * n, [1.0 / float(found.kept_in)] * n
    for i, j in permutations(range(n), 2):
        point = found.touched_by(i, j)
        if point != found.x:
            yield _moved(pool, found, point, paid, taken), 1


def _moved(
    pool: StableSwap | StablePool,
    found: Stable,
    point: Sequence[int],
    paid: Sequence[float],
    taken: Sequence[float],
) -> dict[str, float]:
    """What it takes to get to a point: parts of what leaves are paid, what enters costs more."""
    size = found.level / found.curve.level(point)
    flows = {}
    for k, asset in enumerate(pool.assets):
        gap = (found.x[k] - point[k] * size) * RATE / pool.rates[k]
        flows[asset] = gap * (paid[k] if gap > 0.0 else taken[k])
    return flows


def _carried(bridge: Bridge, i: int, j: int) -> tuple[float, float]:
    """All that it can pay, and what that takes."""
    paid = bridge.capacity[j]
    net = paid * bridge.scaling[j] / bridge.scaling[i] + bridge.flat_fee[i]
    return (-net * PIPS / (PIPS - bridge.fee_pips), float(paid)) if paid else (0.0, 0.0)


def _falling(pool: Concentrated, prices: Sequence[float]) -> tuple[float, float]:
    kept = 1.0 - pool.fee_pips / PIPS
    if not prices[1]:
        return 0.0, 0.0
    target = Q96 * (prices[0] / kept / prices[1]) ** 0.5
    taken = paid = 0.0
    for begin, end, liquidity in price_ranges(pool, falls=True):
        stop = max(float(end), target)
        if stop >= begin:
            break
        paid += liquidity * ((begin - stop) / Q96)
        taken += liquidity * ((begin - stop) / begin * (Q96 / stop))
    return -taken / kept, paid


def _rising(pool: Concentrated, prices: Sequence[float]) -> tuple[float, float]:
    kept = 1.0 - pool.fee_pips / PIPS
    taken = paid = 0.0
    target = Q96 * (prices[0] * kept / prices[1]) ** 0.5 if prices[1] else float("inf")
    for begin, end, liquidity in price_ranges(pool, falls=False):
        stop = min(float(end), target)
        if stop <= begin:
            break
        taken += liquidity * ((stop - begin) / Q96)
        paid += liquidity * ((stop - begin) / begin * (Q96 / stop))
    return paid, -taken / kept
