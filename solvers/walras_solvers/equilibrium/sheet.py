"""Orders in exact integers, and what they settle for at integer prices (protocol §5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Sheet:
    """One entry for each order: it gives or takes `quantity` atoms of its leg for each unit.

    Attributes:
        give, take: asset numbers.
        buys: whether the leg is what it takes; else what it gives.
        quantity: atoms of the leg for each unit, ≥ 1.
        most, least: units.
        limit: atoms of the other asset that `whole` units bring at least; of a purchase, negative:
            cost at most.
        whole: units that the limit is for.
        account: a number for orders that draw on what is not enough for all of them; −1 for the
            rest. held: account → atoms.
        reference: score units per 10^18 atoms, by asset.
        collar_bps: see protocol §5.
    """

    give: list[int]
    take: list[int]
    buys: list[bool]
    quantity: list[int]
    most: list[int]
    least: list[int]
    limit: list[int]
    whole: list[int]
    account: list[int]
    held: list[int]
    reference: list[int]
    collar_bps: int

    def moved(self, column: int, units: int, prices: list[int]) -> tuple[int, int]:
        """Atoms that so many units give and take."""
        leg = self.quantity[column] * units
        give, take = prices[self.give[column]], prices[self.take[column]]
        return (-(-leg * take // give), leg) if self.buys[column] else (leg, leg * give // take)

    def allowed(self, column: int, units: int, prices: list[int]) -> bool:
        """Whether so many units keep their limit and the collar."""
        given, taken = self.moved(column, units, prices)
        settled = -given if self.buys[column] else taken
        if settled * self.whole[column] < units * self.limit[column]:
            return False
        paid = given * self.reference[self.give[column]]
        got = taken * self.reference[self.take[column]]
        return paid > 0 and abs(got - paid) * BPS <= self.collar_bps * paid

    def overspent(self, units: Mapping[int, int], prices: list[int]) -> dict[int, int]:
        """Column → atoms that it gives beyond what its account has left, columns in order."""
        left = dict(enumerate(self.held))
        beyond = {}
        for column in sorted(units) if left else []:
            account = self.account[column]
            if account >= 0:
                given = self.moved(column, units[column], prices)[0]
                if given > left[account]:
                    beyond[column] = given - left[account]
                left[account] = max(left[account] - given, 0)
        return beyond

    def left_over(self, units: Iterable[tuple[int, int]], prices: list[int]) -> list[int]:
        """Asset → atoms given less atoms taken, by the columns with their units."""
        left = [0] * len(self.reference)
        for column, filled in units:
            given, taken = self.moved(column, filled, prices)
            left[self.give[column]] += given
            left[self.take[column]] -= taken
        return left
