"""Prices where nothing but the price can move.

Where all trades of an asset are fill-or-kill, its price is what the takers bring divided by what
the givers give, exactly: a ring of fill-or-kill intents clears at one price vector and no other.
"""

from collections.abc import Mapping
from fractions import Fraction

from walras.sdk import price_vector
from walras_solvers.optimizer.drafts import Draft

MOST = 12
"""Assets whose prices are solved for exactly."""


def fix_rigid_prices(made: Draft) -> None:
    """Exact prices for assets whose every trade is fixed: what is given is what is taken."""
    fixed_only: dict[str, bool] = {}
    for column in made.units:
        intent = made.book.intents[column].intent
        if len(intent.legs) != 1:
            for asset in intent.assets:
                fixed_only[asset] = False
            continue
        rigid = made.room[column] <= 0.0
        for asset in intent.assets:
            fixed_only[asset] = fixed_only.get(asset, True) and rigid
    for edge in made.flows:
        fixed_only[edge.asset_in] = fixed_only[edge.asset_out] = False
    rigid_assets = sorted(asset for asset, fixed in fixed_only.items() if fixed)
    if not rigid_assets or len(rigid_assets) > MOST:
        return
    exact = _balance(made, rigid_assets)
    if exact:
        made.prices = price_vector({**{a: Fraction(p) for a, p in made.prices.items()}, **exact})


def _balance(made: Draft, assets: list[str]) -> dict[str, Fraction]:
    """Solve, for each asset, price · (given − received as legs) = value settled in it.

    Each component of the assets that touches no other asset keeps the price of its first one.
    """
    place = {asset: i for i, asset in enumerate(assets)}
    matrix = [[Fraction(0)] * (len(assets) + 1) for _ in assets]
    for column, units in made.units.items():
        intent = made.book.intents[column].intent
        leg, currency = intent.legs[0], intent.settlement_asset
        amount = Fraction(leg.quantity * units)
        for row, sign in ((place.get(leg.asset), -1), (place.get(currency), 1)):
            if row is None:
                continue
            if leg.asset in place:
                matrix[row][place[leg.asset]] += sign * amount
            else:
                matrix[row][-1] -= sign * amount * made.prices[leg.asset]
    return _solve(matrix, assets, made.prices)


def _solve(
    matrix: list[list[Fraction]], assets: list[str], known: Mapping[str, int]
) -> dict[str, Fraction]:
    """Gauss-Jordan; free variables keep their known price. Empty where there is no positive
    solution.
    """
    pivots: dict[int, int] = {}
    row = 0
    # The first asset of a component is eliminated last and so is the one that stays free.
    for column in reversed(range(len(assets))):
        found = next((r for r in range(row, len(matrix)) if matrix[r][column]), None)
        if found is None:
            continue
        matrix[row], matrix[found] = matrix[found], matrix[row]
        lead = matrix[row][column]
        matrix[row] = [value / lead for value in matrix[row]]
        for r, line in enumerate(matrix):
            if r != row and line[column]:
                factor = line[column]
                matrix[r] = [a - factor * b for a, b in zip(line, matrix[row], strict=True)]
        pivots[column] = row
        row += 1
    if any(line[-1] for line in matrix[row:]):
        return {}
    solved = {a: Fraction(known[a]) for i, a in enumerate(assets) if i not in pivots}
    for column, r in pivots.items():
        line = matrix[r]
        value = line[-1] - sum(
            (line[j] * known[assets[j]] for j in range(len(assets)) if j not in pivots),
            Fraction(0),
        )
        solved[assets[column]] = value
    near = all(Fraction(9, 10) < value / known[a] < Fraction(11, 10) for a, value in solved.items())
    return solved if near else {}
