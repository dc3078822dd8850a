"""What sequences of swaps on one venue are worth, to hold bounds against."""

import random
from collections.abc import Iterator, Mapping

from walras.core.errors import SwapError
from walras.market.kinds import AnyVenue
from walras_solvers.bound.scale import FINE

Worth = int


def pairs(venue: AnyVenue) -> list[tuple[str, str]]:
    return [(a, b) for a in venue.assets for b in venue.assets if a != b]


def all_swaps(venue: AnyVenue, most: int) -> Iterator[tuple[AnyVenue, str, int, str, int]]:
    """Every swap of up to `most` atoms: (after, in, amount in, out, amount out)."""
    for asset_in, asset_out in pairs(venue):
        for amount in range(1, most + 1):
            try:
                swap = venue.swap(asset_in, amount, asset_out)
            except SwapError:
                continue
            yield swap.after, asset_in, amount, asset_out, swap.amount_out


def best_worth(venue: AnyVenue, duals: Mapping[str, int], most: int, swaps: int) -> Worth:
    """The most that up to `swaps` swaps of up to `most` atoms each are worth, in fine units."""
    best = 0
    if swaps:
        for after, asset_in, given, asset_out, paid in all_swaps(venue, most):
            gain = duals[asset_out] * paid - duals[asset_in] * given - venue.cost * FINE
            best = max(best, gain + best_worth(after, duals, most, swaps - 1))
    return best


def random_worth(
    venue: AnyVenue, duals: Mapping[str, int], rng: random.Random, swaps: int, most: int
) -> Worth:
    """The most that a random sequence is worth on its way."""
    worth = best = 0
    for _ in range(swaps):
        asset_in, asset_out = rng.choice(pairs(venue))
        amount = int(most * 10 ** rng.uniform(-6, 0)) + 1
        try:
            swap = venue.swap(asset_in, amount, asset_out)
        except SwapError:
            continue
        worth += duals[asset_out] * swap.amount_out - duals[asset_in] * amount
        worth -= venue.cost * FINE
        venue = swap.after
        best = max(best, worth)
    return best
