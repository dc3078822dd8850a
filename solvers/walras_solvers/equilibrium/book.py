"""A problem's single-leg intents as orders: in floats for the search, in integers for the bid."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from walras.sdk import (
    ATOMS_PER_PRICE,
    AnyVenue,
    OpenIntent,
    Problem,
    ceil_div,
    least_fill,
    spot_price,
    tradable,
)
from walras_solvers.equilibrium.curves import Orders
from walras_solvers.equilibrium.kernels import Floats, Ints, Mask
from walras_solvers.equilibrium.sheet import BPS, Sheet

SPAN = 1e5
"""The greatest size."""

MOST = 1e8
"""Sizes above it, once the traded ones are near `SPAN`, are as good as boundless."""

SUPPLIES = 12
"""Rounds in which sizes are bounded by each other."""

HOPS = 3
"""Pools, at most, that lead from an asset without a reference price to one that has one."""

LUMP = 1e-6
"""An order whose least fill is more than this part of it is all or nothing, or nearly."""


@dataclass(frozen=True, slots=True)
class Book:
    """The orders of a batch.

    Attributes:
        names: assets by number; those of the orders first.
        worth: value of an atom, by asset: score units divided by `scale`.
        scale: score units per value.
        orders: see there. sheet: the same orders in integers.
        ids: of the intents, by column.
        unit: value of a unit, by column. whole, floor: value of all units, and of the least fill.
        lumpy: whether the least fill is much of the order.
    """

    names: tuple[str, ...]
    worth: Floats
    scale: float
    orders: Orders
    sheet: Sheet
    ids: Sequence[bytes]
    unit: Floats
    whole: Floats
    floor: Floats
    lumpy: Mask

    def zoomed(self, factor: float) -> "Book":
        """The same book with all values so many times greater; sizes stay below a bound."""
        orders = self.orders
        return replace(
            self,
            worth=self.worth * factor,
            scale=self.scale / factor,
            orders=replace(
                orders,
                size=np.minimum(orders.size * factor, MOST),
                balance=np.minimum(orders.balance * factor, MOST),
            ),
            unit=self.unit * factor,
            whole=self.whole * factor,
            floor=self.floor * factor,
        )


def make_book(problem: Problem, members: Sequence[OpenIntent]) -> Book:
    """The book of `members`, intents of one leg whose assets all have a reference price."""
    names = sorted({asset for found in members for asset in found.intent.assets})
    others = {asset for venue in problem.venues.values() for asset in venue.assets}
    names += sorted(others.difference(names))
    number = {asset: i for i, asset in enumerate(names)}
    price = [problem.prices[name].amount if name in problem.prices else 0 for name in names]
    worths = np.array([float(amount) for amount in price]) / ATOMS_PER_PRICE
    _derive(worths, number, problem.venues.values())
    legs = [found.intent.legs[0] for found in members]
    buys = [leg.quantity > 0 for leg in legs]
    leg_asset = [number[leg.asset] for leg in legs]
    other = [number[found.intent.settlement_asset] for found in members]
    sheet = Sheet(
        account=[],
        held=[],
        give=[o if b else a for a, o, b in zip(leg_asset, other, buys, strict=True)],
        take=[a if b else o for a, o, b in zip(leg_asset, other, buys, strict=True)],
        buys=buys,
        quantity=[abs(leg.quantity) for leg in legs],
        most=[found.remaining for found in members],
        least=[least_fill(found.intent, found.remaining) for found in members],
        limit=[found.intent.limit_at(problem.sealed_ms) for found in members],
        whole=[found.intent.units for found in members],
        reference=price,
        collar_bps=problem.rules.collar_bps,
    )
    owners = [found.intent.owner for found in members]
    account, held = _accounts(problem.balances, owners, names, sheet)
    sheet = replace(sheet, account=account, held=list(held.values()))
    pooled = np.zeros(len(names), np.bool_)
    pooled[[number[asset] for asset in others]] = True
    balance = [float(atoms) * worths[asset] for (_, asset), atoms in held.items()]
    return book_of(names, worths, sheet, [f.id for f in members], balance, pooled)


def book_of(
    names: Sequence[str],
    worths: Floats,
    sheet: Sheet,
    ids: Sequence[bytes],
    balance: Sequence[float],
    pooled: Mask,
) -> Book:
    """The book of the orders on a sheet.

    Args:
        names: of the assets.
        worths: score units per atom of each.
        sheet: the orders.
        ids: of the orders.
        balance: of each account, in score units.
        pooled: asset → whether pools may supply it.
    """
    give, take = np.array(sheet.give, np.int64), np.array(sheet.take, np.int64)
    buys = np.array(sheet.buys, np.bool_)
    leg, other = worths[np.where(buys, take, give)], worths[np.where(buys, give, take)]
    unit = np.array(sheet.quantity, np.float64) * leg
    units = np.array(sheet.most, np.float64)
    limits = np.abs(np.array(sheet.limit, np.float64)) / np.array(sheet.whole, np.float64)
    worth = limits * other / unit
    # Rounding takes up to an atom of what is settled, and as much of what is given for it.
    atoms = np.minimum(units, units * unit / other)
    room = np.minimum(4.0 / np.maximum(atoms, 1.0), 1e-3) + 1e-13
    log = np.log(np.maximum(worth, 1e-300))
    limit = np.where(buys, -log, log) + room
    willing = limit <= np.log1p(sheet.collar_bps / BPS)
    size = _within_supply(np.where(willing, units * unit, 0.0), give, take, pooled, len(names))
    scale = max(float(size.max(initial=0.0)) / SPAN, 1e-100)
    orders = Orders(
        assets=len(names),
        give=give,
        take=take,
        buys=buys,
        size=size / scale,
        worth=worth,
        limit=limit,
        account=np.array(sheet.account, np.int64),
        balance=np.array(balance, np.float64) / scale,
    )
    floor = np.array(sheet.least, np.float64) * unit / scale
    return Book(
        names=tuple(names),
        worth=worths / scale,
        scale=scale,
        orders=orders,
        sheet=sheet,
        ids=ids,
        unit=unit / scale,
        whole=units * unit / scale,
        floor=floor,
        lumpy=(floor > LUMP * orders.size) & (orders.size > 0),
    )


def without(book: Book, columns: Mask) -> Book:
    """The book with nothing of these orders."""
    orders = replace(book.orders, size=np.where(columns, 0.0, book.orders.size))
    return replace(book, orders=orders)


def plain(problem: Problem) -> list[OpenIntent]:
    """The intents of one leg that trade priced assets."""
    return [
        found
        for found in problem.intents.values()
        if len(found.intent.legs) == 1 and tradable(problem, found)
    ]


def _derive(worths: Floats, number: Mapping[str, int], venues: Collection[AnyVenue]) -> None:
    """Worths of assets without a reference price: what the pools pay for them; 0 without pools."""
    for _ in range(HOPS):
        better: dict[int, float] = {}
        for venue in venues:
            for asset, other in permutations(venue.assets, 2):
                i, j = number[asset], number[other]
                if worths[i] == 0.0 and worths[j] > 0.0:
                    value = spot_price(venue, asset, other) * float(worths[j])
                    if 0.0 < value < np.inf:
                        better[i] = max(better.get(i, 0.0), value)
        if not better:
            return
        for i, value in better.items():
            worths[i] = value


def _within_supply(size: Floats, give: Ints, take: Ints, pooled: Mask, assets: int) -> Floats:
    """Sizes no greater than twice what the others could ever give in return.

    Some owners hold 2^255 atoms; beside these nothing else would be seen in floats.
    """
    bounded = size
    for _ in range(SUPPLIES):
        supply = np.bincount(give, bounded, assets)
        supply[pooled] = np.inf
        bounded = np.minimum(size, 2 * supply[take])
    return bounded


def _accounts(
    balances: Mapping[tuple[bytes, str], int],
    owners: Sequence[bytes],
    names: Sequence[str],
    sheet: Sheet,
) -> tuple[list[int], dict[tuple[bytes, int], int]]:
    """Accounts that hold less than all their orders could draw: by column, −1 for those that hold
    enough; and by account what it holds, in the order of their numbers.
    """
    drawn: defaultdict[tuple[bytes, int], int] = defaultdict(int)
    for column, owner in enumerate(owners):
        drawn[owner, sheet.give[column]] += _needed(sheet, column)
    number: dict[tuple[bytes, int], int] = {}
    held: dict[tuple[bytes, int], int] = {}
    account = []
    for column, owner in enumerate(owners):
        key = owner, sheet.give[column]
        balance = balances.get((owner, names[key[1]]), 0)
        if drawn[key] > balance:
            number.setdefault(key, len(number))
            held[key] = balance
        account.append(number.get(key, -1))
    return account, held


def _needed(sheet: Sheet, column: int) -> int:
    """Atoms that the order gives at most."""
    if sheet.buys[column]:
        return ceil_div(-sheet.limit[column] * sheet.most[column], sheet.whole[column])
    return sheet.quantity[column] * sheet.most[column]
