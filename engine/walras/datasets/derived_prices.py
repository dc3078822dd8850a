"""Reference prices out of limit orders, for files that state none.

A convenience to get a market going, not an oracle: whoever places enough orders moves such a price.
Exact fractions throughout, so the same orders give the same prices.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from walras.protocol.problem import Price

SOURCE = "derived: limit orders"


@dataclass(frozen=True, slots=True)
class Limit:
    """An order to sell `sell` at buy_amount/sell_amount of `buy` per atom, or better; both ≥ 1."""

    sell: str
    buy: str
    sell_amount: int
    buy_amount: int


def prices_from_limits(known: Mapping[str, Price], limits: Iterable[Limit]) -> dict[str, Price]:
    """Prices of assets that `known` has none for, as far as orders connect them to it.

    Prices spread from the known ones, always over the pair that has the most orders on its thinner
    side (then the smallest names), each asset from one other. A pair counts only with orders both
    ways.

    Args:
        known: asset → price, score units per 10^18 atoms.
        limits: of orders that could trade.
    """
    ratios: dict[tuple[str, str], list[Fraction]] = defaultdict(list)
    for limit in limits:
        ratios[limit.sell, limit.buy].append(Fraction(limit.buy_amount, limit.sell_amount))
    depth = {
        (a, b): min(len(asks), len(ratios[b, a]))
        for (a, b), asks in sorted(ratios.items())
        if (b, a) in ratios
    }
    exact = {asset: Fraction(price.amount) for asset, price in known.items()}
    while True:
        edges = [edge for edge in depth if edge[0] not in exact and edge[1] in exact]
        if not edges:
            break
        asset, other = min(edges, key=lambda edge: (-depth[edge], edge))
        asks = sorted(ratios[asset, other])
        bids = sorted(1 / ratio for ratio in ratios[other, asset])
        exact[asset] = exact[other] * crossing(asks, bids)
    return {
        asset: Price(int(price), SOURCE)
        for asset, price in exact.items()
        if asset not in known and price >= 1
    }


def crossing(asks: list[Fraction], bids: list[Fraction]) -> Fraction:
    """The price at which the most orders on both sides would trade.

    Args:
        asks: the least that each seller takes, ascending, not empty.
        bids: the most that each buyer pays, ascending, not empty.

    Returns:
        Of the limits p that maximise min(asks ≤ p, bids ≥ p) the middle one; where nobody would
        trade, the middle between the best ask and the best bid.
    """
    if asks[0] > bids[-1]:
        return (asks[0] + bids[-1]) / 2
    limits = sorted({*asks, *bids})
    volumes = [min(bisect_right(asks, p), len(bids) - bisect_left(bids, p)) for p in limits]
    best = [p for p, volume in zip(limits, volumes, strict=True) if volume == max(volumes)]
    return best[len(best) // 2]
