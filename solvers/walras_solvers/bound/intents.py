"""What intents can add to a score at given dual prices.

A fill of k units that settles for s, between the owner's limit and the collar, scores at most (s −
k·L/N)·p, p being the reference price of the settlement asset, and takes what it moves at dual
prices. Limit and collar are homogeneous, so s/k lies in an interval that is the same for every k,
and the greatest contribution is at an end of it, or where s = 0 (less is then drawn from an
account), with no unit or with all that remain. Least fills, fill-or-kill and the one price vector
of a bid are left out, which can only add.

An account's spends add up to at most its balance, in a bid as in an award: with a price τ ≥ 0 on
what an account gives, Σ max(0, contribution − τ·spend) + τ·balance is a bound for any τ. It is
convex in τ, and least at one of its kinks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from walras.sdk import Intent, OpenIntent, Problem, ceil_div
from walras_solvers.bound.scale import UNIT, Duals

BPS = 10_000

Line = tuple[int, int]
"""An end's contribution in fine units at τ = 0, and its spend on the account in atoms."""


@dataclass(frozen=True, slots=True)
class Trade:
    """All units of one intent, apart from what they settle for.

    Attributes:
        units: that remain.
        price: of the settlement asset, in score units per 10^18 atoms.
        settlements: to be looked at, for all units: the ends, and 0 if it is between them. Empty
            where no fill keeps both limit and collar.
        limit: k·L/N for all units.
        account: an account that it gives from; None where none can run short.
    """

    intent: Intent
    units: int
    price: int
    settlements: tuple[Fraction, ...]
    limit: Fraction
    account: tuple[bytes, str] | None

    def spend(self, settled: Fraction) -> int:
        """Atoms, rounded down, that it takes from its account."""
        if self.account is None:
            return 0
        asset = self.account[1]
        if asset == self.intent.settlement_asset:
            return int(max(-settled, Fraction(0)))
        return sum(-leg.quantity * self.units for leg in self.intent.legs if leg.asset == asset)

    def line(self, duals: Duals, settled: Fraction) -> Line:
        """Its contribution at dual prices, rounded up, and its spend."""
        asset = self.intent.settlement_asset
        moved = sum(leg.quantity * duals[leg.asset] for leg in self.intent.legs) * self.units
        gain = settled.numerator * (self.price * UNIT - duals[asset])
        floor = self.limit.numerator * self.price * UNIT
        value = ceil_div(gain, settled.denominator) - floor // self.limit.denominator - moved
        return value, self.spend(settled)


def trades(problem: Problem) -> list[Trade]:
    """The intents of a problem that can be filled at all."""
    found = [(one, _settlements(problem, one)) for one in problem.intents.values()]
    kept = [(one, ends) for one, ends in found if ends]
    crowded = _crowded(problem, kept)
    return [
        Trade(
            one.intent,
            one.remaining,
            problem.prices[one.intent.settlement_asset].amount,
            ends,
            Fraction(one.remaining * one.intent.limit_at(problem.sealed_ms), one.intent.units),
            max(
                (account for account, _ in _spends(one, ends) if account in crowded),
                key=lambda account: (crowded[account], account),
                default=None,
            ),
        )
        for one, ends in kept
    ]


def intents_bound(problem: Problem, found: Sequence[Trade], duals: Duals) -> int:
    """What all intents together contribute at most, in fine units."""
    total = 0
    accounts: defaultdict[tuple[bytes, str], list[list[Line]]] = defaultdict(list)
    for trade in found:
        lines = [trade.line(duals, settled) for settled in trade.settlements]
        if trade.account is None:
            total += max(0, *(value for value, _ in lines))
        elif any(value > 0 for value, _ in lines):
            accounts[trade.account].append(lines)
    for account, several in accounts.items():
        total += _account_bound(several, problem.balances.get(account, 0))
    return total


def _settlements(problem: Problem, found: OpenIntent) -> tuple[Fraction, ...]:
    """What all units may settle for, by limit and collar: the ends, and 0 where it is inside."""
    intent, bps = found.intent, problem.rules.collar_bps
    price = problem.prices[intent.settlement_asset].amount
    worths = [leg.quantity * problem.prices[leg.asset].amount for leg in intent.legs]
    given, received = -sum(w for w in worths if w < 0), sum(w for w in worths if w > 0)
    # (R − G)·10⁴ ≤ c·G and (G − R)·10⁴ ≤ c·G; s joins R if it is positive, G if it is negative.
    most = (BPS + bps) * given - BPS * received
    high = Fraction(most, price * (BPS if most >= 0 else BPS + bps))
    low = Fraction(intent.limit_at(problem.sealed_ms), intent.units)
    if bps < BPS:
        least = (BPS - bps) * given - BPS * received
        low = max(low, Fraction(least, price * (BPS if least >= 0 else BPS - bps)))
    if low > high:
        return ()
    ends = {low, high} | ({Fraction(0)} if low < 0 < high else set())
    return tuple(end * found.remaining for end in sorted(ends))


def _spends(
    found: OpenIntent, ends: Sequence[Fraction]
) -> Iterator[tuple[tuple[bytes, str], Fraction]]:
    """The accounts that it may give from, and how much at most."""
    intent = found.intent
    for leg in intent.legs:
        if leg.quantity < 0:
            yield (intent.owner, leg.asset), Fraction(-leg.quantity * found.remaining)
    if ends[0] < 0:
        yield (intent.owner, intent.settlement_asset), -ends[0]


def _crowded(
    problem: Problem, found: Sequence[tuple[OpenIntent, tuple[Fraction, ...]]]
) -> dict[tuple[bytes, str], float]:
    """The accounts that cannot pay for everything, and how many times over they would have to."""
    asked: defaultdict[tuple[bytes, str], Fraction] = defaultdict(Fraction)
    for one, ends in found:
        for account, most in _spends(one, ends):
            asked[account] += most
    return {
        account: float(most / max(1, problem.balances.get(account, 0)))
        for account, most in asked.items()
        if most > problem.balances.get(account, 0)
    }


def _account_bound(several: Sequence[Sequence[Line]], balance: int) -> int:
    """The least over τ, or near it, of τ·balance + Σ max(0, contribution − τ·spend)."""
    kinks = {0}
    for lines in several:
        for place, (value, spend) in enumerate(lines):
            for other_value, other_spend in (*lines[:place], (0, 0)):
                if spend != other_spend:
                    kink = (value - other_value) // (spend - other_spend)
                    kinks |= {kink, kink + 1} if kink >= 0 else set()
    taus = sorted(kinks)

    def at(tau: int) -> int:
        return tau * balance + sum(
            max(0, *(value - tau * spend for value, spend in lines)) for lines in several
        )

    low, high = 0, len(taus) - 1
    while low < high:  # convex: go where it falls
        middle = (low + high) // 2
        if at(taus[middle]) <= at(taus[middle + 1]):
            high = middle
        else:
            low = middle + 1
    return at(taus[low])
