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
from walras_solvers.equilibrium.packs import Packs, no_packs
from walras_solvers.equilibrium.sheet import BPS, Pack, Sheet
from walras_solvers.programs import total

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

COARSE = 1_000
"""Intents of several legs of no more units are filled by whole ones."""

PACKS = 1_000
"""Intents of several legs that are looked at."""

MUCH, CHOSEN = 0.01, 300
"""So many orders whose least fill is more than this part of them are chosen from; the others are
left out where they would be cut.
"""


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
        lumpy: whether the least fill is much of the order, and it is not one to be chosen.
        packs: intents of several legs. groups: theirs, which come behind the assets² pairs.
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
    packs: Packs
    groups: tuple[str, ...]

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
                least=orders.least * factor,
            ),
            unit=self.unit * factor,
            whole=self.whole * factor,
            floor=self.floor * factor,
            packs=self.packs.zoomed(factor),
        )


def make_book(problem: Problem, members: Sequence[OpenIntent]) -> Book:
    """The book of `members`, intents whose assets all have a reference price."""
    names = sorted({asset for found in members for asset in found.intent.assets})
    others = {asset for venue in problem.venues.values() for asset in venue.assets}
    names += sorted(others.difference(names))
    number = {asset: i for i, asset in enumerate(names)}
    price = [problem.prices[name].amount if name in problem.prices else 0 for name in names]
    worths = np.array([float(amount) for amount in price]) / ATOMS_PER_PRICE
    _derive(worths, number, problem.venues.values())
    several = [found for found in members if len(found.intent.legs) > 1]
    members = [found for found in members if len(found.intent.legs) == 1]
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
    sheet, held = _with_accounts(problem, members, several, number, sheet)
    balance = [float(atoms) * worths[asset] for (_, asset), atoms in held.items()]
    pooled = np.zeros(len(names), np.bool_)
    pooled[[number[asset] for asset in others]] = True
    for pack in sheet.packs:  # what they give is there too
        pooled[[asset for asset, _ in pack.legs] + [pack.settle]] = True
    book = book_of(names, worths, sheet, [found.id for found in members], balance, pooled)
    if several and not np.any(book.orders.size):
        book = book.zoomed(book.scale / _median_value(sheet.packs, worths) * SPAN)
    if not several:
        return book
    groups = sorted({found.intent.group for found in several})
    place = {group: len(names) ** 2 + k for k, group in enumerate(groups)}
    kinds = [place[found.intent.group] for found in several]
    packs = packs_of(sheet.packs, [found.id for found in several], kinds, book.worth)
    return replace(book, packs=packs, groups=tuple(groups))


def _median_value(packs: Sequence[Pack], worths: Floats) -> float:
    values = [
        sum(abs(float(quantity)) * float(worths[asset]) for asset, quantity in pack.legs)
        * float(pack.most)
        for pack in packs
    ]
    return sorted(values)[len(values) // 2]


def packs_of(
    packs: Sequence[Pack], ids: Sequence[bytes], groups: Sequence[int], worth: Floats
) -> Packs:
    """Intents of several legs in floats.

    Args:
        packs: in integers.
        ids: of the intents.
        groups: their groups' numbers.
        worth: values of atoms.
    """
    mix = np.zeros((len(packs), len(worth)))
    for row, pack in enumerate(packs):
        for asset, quantity in pack.legs:
            mix[row, asset] = float(quantity) * worth[asset]
    unit = np.abs(mix).sum(axis=1)
    units = np.array([float(pack.most) for pack in packs])
    settle = np.array([pack.settle for pack in packs], np.int64)
    limits = np.array([float(pack.limit) / float(pack.whole) for pack in packs])
    lowest = limits * worth[settle] / unit
    # Rounding takes up to an atom of what is settled, and the limit another.
    room = np.minimum(4 * worth[settle] / (unit * units), 1e-3) + 1e-13
    draws = [(row, *entry) for row, pack in enumerate(packs) for entry in pack.accounts]
    entries = np.array(draws, np.int64).reshape(-1, 3)
    least = np.array([float(pack.least) for pack in packs])
    coarse = units <= COARSE
    size = np.minimum(unit * units, MOST)
    coarse &= size == unit * units
    return Packs(
        ids=tuple(ids),
        mix=mix / unit[:, None],
        settle=settle,
        size=size,
        least=np.where(coarse | (least > LUMP * units), unit * least, 0.0),
        limit=lowest + room,
        worth=lowest,
        unit=unit,
        coarse=coarse,
        group=np.array(groups, np.int64),
        intent=entries[:, 0],
        asset=entries[:, 1],
        account=entries[:, 2],
    )


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
        pooled: asset → whether others than orders may supply it.
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
    floor = np.array(sheet.least, np.float64) * unit / scale
    lumpy = (floor > LUMP * size / scale) & (size > 0)
    chosen = lumpy & (floor > MUCH * size / scale)
    chosen &= np.count_nonzero(chosen) <= CHOSEN
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
        least=np.where(chosen, floor, 0.0),
    )
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
        lumpy=lumpy & ~chosen,
        packs=no_packs(len(names)),
        groups=(),
    )


def without(book: Book, columns: Mask) -> Book:
    """The book with nothing of these orders."""
    orders = replace(book.orders, size=np.where(columns, 0.0, book.orders.size))
    return replace(book, orders=orders)


def members_of(problem: Problem) -> list[OpenIntent]:
    """The intents that trade priced assets; of those of several legs, the first ones."""
    found = [one for one in problem.intents.values() if tradable(problem, one)]
    several = [one.id for one in found if len(one.intent.legs) > 1]
    out = set(several[PACKS:])
    return [one for one in found if one.id not in out]


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
        supply = total(give, bounded, assets)
        supply[pooled] = np.inf
        bounded = np.minimum(size, 2 * supply[take])
    return bounded


def _with_accounts(
    problem: Problem,
    members: Sequence[OpenIntent],
    several: Sequence[OpenIntent],
    number: Mapping[str, int],
    sheet: Sheet,
) -> tuple[Sheet, dict[tuple[bytes, int], int]]:
    """The sheet with `several` and with the accounts that hold less than all intents could draw;
    and what these hold, in the order of their numbers.
    """
    drawn: defaultdict[tuple[bytes, int], int] = defaultdict(int)
    owners = [found.intent.owner for found in members]
    for column, owner in enumerate(owners):
        drawn[owner, sheet.give[column]] += _needed(sheet, column)
    made = []
    for found in several:
        intent = found.intent
        limit = intent.limit_at(problem.sealed_ms)
        made.append(
            Pack(
                legs=tuple((number[leg.asset], leg.quantity) for leg in intent.legs),
                settle=number[intent.settlement_asset],
                most=found.remaining,
                least=least_fill(intent, found.remaining),
                limit=limit,
                whole=intent.units,
                accounts=(),
            )
        )
        for asset, amount in intent.needs(found.remaining, limit).items():
            drawn[intent.owner, number[asset]] += amount
    names = list(number)
    place: dict[tuple[bytes, int], int] = {}
    held: dict[tuple[bytes, int], int] = {}
    for key, amount in drawn.items():
        balance = problem.balances.get((key[0], names[key[1]]), 0)
        if amount > balance:
            place[key] = len(place)
            held[key] = balance
    account = [place.get((owner, give), -1) for owner, give in zip(owners, sheet.give, strict=True)]
    packs = []
    for found, pack in zip(several, made, strict=True):
        owner = found.intent.owner
        gives = [asset for asset, quantity in pack.legs if quantity < 0] + [pack.settle]
        accounts = [(asset, place[owner, asset]) for asset in gives if (owner, asset) in place]
        packs.append(replace(pack, accounts=tuple(accounts)))
    return replace(sheet, account=account, held=list(held.values()), packs=packs), held


def _needed(sheet: Sheet, column: int) -> int:
    """Atoms that the order gives at most."""
    if sheet.buys[column]:
        return ceil_div(-sheet.limit[column] * sheet.most[column], sheet.whole[column])
    return sheet.quantity[column] * sheet.most[column]
