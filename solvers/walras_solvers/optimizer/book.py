"""The problem as arrays, scaled so that every amount is its value at reference prices.

A column is an intent; x is the value of the units filled. With prices reference·exp(δ), one x of an
intent whose legs are worth c (+ received, − given) settles for g = −Σ c·exp(δ_leg − δ_settlement);
its limit, measured in the same way, is l, and its surplus g − l. For a sale c is −1 and g the price
relative to the reference price, about 1; for a purchase both change their sign.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from walras.sdk import ATOMS_PER_PRICE, OpenIntent, Problem, Router, least_fill, tradable
from walras_solvers.programs import Floats, Ints, Mask, total

SPAN = 1e5
"""The greatest cap, in the scale of the programs."""

WORTHLESS = 1e-6
"""An intent of at most this cap decides nothing."""

COARSE = 100
"""An intent of at most this many units is filled in whole units, not in fractions to be rounded."""


@dataclass(frozen=True, slots=True)
class Book:
    """The tradable intents of a problem.

    Attributes:
        problem: as it was sealed.
        assets: names; a row of the programs each. index: the other way round.
        scale: score units per value in this book.
        reference: value per atom, by asset.
        intents: by column. units: the most each can fill, by its owner's balances. least: the
            fewest.
        settle: column → asset. worth: column → value of one unit. limit, cap, floor: column → l,
            and the most and the least x.
        margin: column → what rounding to atoms can take from g, relative to it.
        lumpy: column → whether a small fill is not allowed. coarse: column → units are few.
        leg_column, leg_asset, leg_worth: one entry for every leg: c of the text above.
        kind: column → number of its group and settlement asset; g is the same for all of a kind.
        kind_groups: kind → group. group: column → its number among `groups`.
        low, high: kind → the bounds that the collar sets for g.
        give_column, give_account, give_worth: entries of owners' accounts: value given per x; NaN
            where it is the settlement, −g.
        balance: account → value. account_names: (owner, asset).
    """

    problem: Problem
    assets: tuple[str, ...]
    index: dict[str, int]
    scale: float
    reference: Floats
    intents: tuple[OpenIntent, ...]
    units: tuple[int, ...]
    least: tuple[int, ...]
    settle: Ints
    worth: Floats
    limit: Floats
    cap: Floats
    floor: Floats
    margin: Floats
    lumpy: Mask
    coarse: Mask
    leg_column: Ints
    leg_asset: Ints
    leg_worth: Floats
    kind: Ints
    kind_groups: tuple[str, ...]
    group: Ints
    groups: tuple[str, ...]
    low: Floats
    high: Floats
    give_column: Ints
    give_account: Ints
    give_worth: Floats
    balance: Floats

    def leg_rates(self, delta: Floats) -> Floats:
        """Leg entry → −c·exp(δ_leg − δ_settlement), its part of g."""
        return -self.leg_worth * np.exp(delta[self.leg_asset] - delta[self.settle[self.leg_column]])

    def settlements(self, delta: Floats) -> Floats:
        """Column → g."""
        return total(self.leg_column, self.leg_rates(delta), len(self.intents))


def make_book(problem: Problem) -> Book:
    """The book of all intents that trade priced assets and can be filled at all."""
    found, units, least = _columns(problem)
    names = sorted(
        {a for o in found for a in o.intent.assets}
        | {a for v in problem.venues.values() for a in v.assets}
    )
    index = {name: i for i, name in enumerate(names)}
    reference = _reference(problem, names)

    settle = np.array([index[o.intent.settlement_asset] for o in found], dtype=np.int64)
    columns, assets, worths = [], [], []
    worth = np.zeros(len(found))
    for i, o in enumerate(found):
        for leg in o.intent.legs:
            j = index[leg.asset]
            columns.append(i)
            assets.append(j)
            worths.append(float(leg.quantity) * reference[j])
            worth[i] += abs(worths[-1])
    leg_column = np.array(columns, dtype=np.int64)
    leg_asset = np.array(assets, dtype=np.int64)
    leg_worth = np.array(worths) / worth[leg_column] if columns else np.zeros(0)
    limit = (
        np.array([o.intent.limit_at(problem.sealed_ms) / o.intent.units for o in found])
        * reference[settle]
        / worth
        if found
        else np.zeros(0)
    )
    cap = np.array([float(k) for k in units]) * worth
    floor = np.array([float(k) for k in least]) * worth
    cap = _within_supply(problem, cap, reference, leg_column, leg_asset, leg_worth, settle, index)
    scale = max(float(cap.max(initial=0.0)) / SPAN, 1e-100)
    reference, worth, cap, floor = reference / scale, worth / scale, cap / scale, floor / scale
    beyond = cap < floor  # never tradable
    limit, cap, floor = (
        np.where(beyond, v, a) for v, a in ((1e9, limit), (1.0, cap), (1.0, floor))
    )

    atoms = np.maximum(cap / worth, cap / reference[settle]) if found else np.zeros(0)
    margin = 1e-12 + np.minimum(4.0 / np.maximum(atoms, 1.0), 1e-3)

    kinds: dict[tuple[str, int], int] = {}
    kind = np.array(
        [
            kinds.setdefault((o.intent.group, int(s)), len(kinds))
            for o, s in zip(found, settle, strict=True)
        ],
        dtype=np.int64,
    )
    groups = sorted({name for name, _ in kinds})
    place = {name: i for i, name in enumerate(groups)}
    low, high = _collar(problem, kind, leg_column, leg_worth, len(kinds))
    give_column, give_account, give_worth, balance = _accounts(
        problem, found, index, reference, limit, leg_worth
    )
    return Book(
        problem=problem,
        assets=tuple(names),
        index=index,
        scale=scale,
        reference=reference,
        intents=tuple(found),
        units=tuple(units),
        least=tuple(least),
        settle=settle,
        worth=worth,
        limit=limit,
        cap=cap,
        floor=floor,
        margin=margin,
        lumpy=(floor > 1e-6 * cap) & np.array([k > 1 for k in least], dtype=np.bool_),
        coarse=np.array([k <= COARSE for k in units], dtype=np.bool_) & (cap > WORTHLESS),
        leg_column=leg_column,
        leg_asset=leg_asset,
        leg_worth=leg_worth,
        kind=kind,
        kind_groups=tuple(group for group, _ in kinds),
        group=np.array([place[o.intent.group] for o in found], dtype=np.int64),
        groups=tuple(groups),
        low=low,
        high=high,
        give_column=give_column,
        give_account=give_account,
        give_worth=give_worth,
        balance=balance,
    )


def _columns(problem: Problem) -> tuple[list[OpenIntent], list[int], list[int]]:
    found, units, least = [], [], []
    for o in problem.intents.values():
        if not tradable(problem, o):
            continue
        intent = o.intent
        fewest = least_fill(intent, o.remaining)
        most = o.remaining
        for leg in intent.legs:
            if leg.quantity < 0:
                held = problem.balances.get((intent.owner, leg.asset), 0)
                most = min(most, held // -leg.quantity)
        limit = intent.limit_at(problem.sealed_ms)
        if limit < 0 and all(leg.quantity > 0 for leg in intent.legs):
            # Generous: at a better price than its limit the owner can pay for more units.
            held = problem.balances.get((intent.owner, intent.settlement_asset), 0)
            most = min(most, 2 * held * intent.units // -limit)
        if most >= fewest:
            found.append(o)
            units.append(most)
            least.append(fewest)
    return found, units, least


def _within_supply(
    problem: Problem,
    cap: Floats,
    reference: Floats,
    leg_column: Ints,
    leg_asset: Ints,
    leg_worth: Floats,
    settle: Ints,
    index: dict[str, int],
) -> Floats:
    """Caps no greater than what the others and the venues could ever give in return.

    Some owners hold 2^255 atoms; without this the programs would mix 10^50 with 1.
    """
    pools = np.zeros(len(reference))
    for venue in problem.venues.values():
        for asset in venue.assets:
            pools[index[asset]] = np.inf
    bounded = cap
    for _ in range(3):
        value = np.abs(leg_worth) * bounded[leg_column]
        supply = pools.copy()
        given = leg_worth < 0
        np.add.at(supply, leg_asset[given], value[given])
        paid = ~given  # what is bought may be paid for
        np.add.at(supply, settle[leg_column[paid]], value[paid])
        wanted = np.where(given, settle[leg_column], leg_asset)
        reach = np.zeros(len(cap))
        np.maximum.at(reach, leg_column, supply[wanted] / np.maximum(np.abs(leg_worth), 1e-9))
        bounded = np.minimum(cap, 2 * reach)
    return bounded


def _reference(problem: Problem, names: list[str]) -> Floats:
    """Reference prices, and for assets without one what the pools pay for them."""
    known = {a: problem.prices[a].amount / ATOMS_PER_PRICE for a in names if a in problem.prices}
    router = Router(problem.venues)
    while len(known) < len(names):
        better: defaultdict[str, float] = defaultdict(float)
        for venue in problem.venues.values():
            for asset in venue.assets:
                for other in venue.assets:
                    if asset not in known and other in known:
                        value = router.spot(venue.id, asset, other) * known[other]
                        better[asset] = max(better[asset], value)
        fresh = {asset: value for asset, value in better.items() if 0.0 < value < np.inf}
        if not fresh:
            break
        known |= fresh
    return np.array([known.get(name, 1.0) for name in names])


def _collar(
    problem: Problem, kind: Ints, leg_column: Ints, leg_worth: Floats, kinds: int
) -> tuple[Floats, Floats]:
    """Kind → the least and the greatest g for which |R − G| ≤ collar·G."""
    collar = problem.rules.collar_bps / 10_000
    columns = len(kind)
    gets = total(leg_column, np.maximum(leg_worth, 0.0), columns)
    gives = total(leg_column, np.maximum(-leg_worth, 0.0), columns)
    # g ≥ 0 is received: |gets + g − gives| ≤ collar·gives; g < 0 is given too.
    low, high = gives - gets - collar * gives, gives - gets + collar * gives
    under = ((1 - collar) * gives - gets) / max(1 - collar, 1e-9)
    over = ((1 + collar) * gives - gets) / (1 + collar)
    low = np.where(low < 0, np.minimum(under, 0.0), low)
    high = np.where(high < 0, over, high)
    lows, highs = np.zeros(kinds), np.zeros(kinds)
    lows[kind], highs[kind] = low, high
    return lows, highs


def _accounts(
    problem: Problem,
    found: list[OpenIntent],
    index: dict[str, int],
    reference: Floats,
    limit: Floats,
    leg_worth: Floats,
) -> tuple[Ints, Ints, Floats, Floats]:
    """The accounts that could bind beyond the caps: drawn on twice, or paying a settlement."""
    entries: defaultdict[tuple[bytes, str], list[tuple[int, float]]] = defaultdict(list)
    at = 0
    for i, o in enumerate(found):
        owner = o.intent.owner
        for leg in o.intent.legs:
            if leg.quantity < 0:
                entries[owner, leg.asset].append((i, -float(leg_worth[at])))
            at += 1
        if limit[i] < 0:
            entries[owner, o.intent.settlement_asset].append((i, float("nan")))
    columns: list[int] = []
    accounts: list[int] = []
    worths: list[float] = []
    balances: list[float] = []
    for (owner, asset), drawn in entries.items():
        if len(drawn) > 1 or drawn[0][1] != drawn[0][1]:
            for column, value in drawn:
                columns.append(column)
                accounts.append(len(balances))
                worths.append(value)
            held = problem.balances.get((owner, asset), 0)
            balances.append(float(held) * reference[index[asset]])
    return (
        np.array(columns, dtype=np.int64),
        np.array(accounts, dtype=np.int64),
        np.array(worths),
        np.array(balances),
    )
