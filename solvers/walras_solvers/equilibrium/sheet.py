"""Orders in exact integers, and what they settle for at integer prices (protocol §5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Pack:
    """An intent of several legs.

    Attributes:
        legs: (asset number, atoms for each unit), + receives, − gives. settle: asset number.
        most, least: units.
        limit: atoms of the settlement asset that `whole` units bring at least.
        whole: units that the limit is for.
        accounts: (asset number, account) for what it may draw on together with others.
    """

    legs: tuple[tuple[int, int], ...]
    settle: int
    most: int
    least: int
    limit: int
    whole: int
    accounts: tuple[tuple[int, int], ...]

    def changes(self, units: int, prices: list[int]) -> dict[int, int]:
        """Asset → atoms that so many units bring their owner."""
        worth = sum(quantity * prices[asset] for asset, quantity in self.legs)
        changes = {asset: quantity * units for asset, quantity in self.legs}
        changes[self.settle] = -worth * units // prices[self.settle]
        return changes


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
        packs: intents of several legs, which have columns of their own.
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
    packs: list[Pack] = field(default_factory=list)

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

    def pack_allowed(self, pack: Pack, units: int, prices: list[int]) -> bool:
        """Whether so many units keep their limit and the collar."""
        changes = pack.changes(units, prices)
        if changes[pack.settle] * pack.whole < units * pack.limit:
            return False
        values = [amount * self.reference[asset] for asset, amount in changes.items()]
        given = -sum(value for value in values if value < 0)
        return given > 0 and abs(sum(values)) * BPS <= self.collar_bps * given

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
