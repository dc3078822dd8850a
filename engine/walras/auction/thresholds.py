"""What a bid that lost would have had to score, by the prices of the award's certificate.

Raise the score of one losing bid and keep all else: its fills, spends and venues, and every other
bid. Let Ω be the weight of the winners of its component, and M the most that any choice with this
bid weighs, by the component's tree. A choice with the bid then weighs at most M + (w' − w), so

    w' ≥ w + Ω − M

is necessary for the bid to stand in a best choice. At a leaf with prices y whose bound is Ω this is
w' ≥ Σ y · coefficient: the prices of what the bid uses. M comes of walking the tree once, with the
bid's weight raised above any bound: what is proven then, less the raise, is M.

One more way there is: a bid that touches one group also sets that group's baseline, and with a
higher one fairness shuts out bids over several groups. Short of the least surplus that any of these
leaves in the group, this does not happen; so the lesser of the two scores is necessary.

Sufficient is to score more than all winners together that stand against the bid: put it in their
place, and the choice beats every choice without it. Between the two numbers nothing is said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from walras.auction.awarded import Award
from walras.auction.candidates import ScoredBid
from walras.auction.certificate import Leaf, heaviest_leaf
from walras.auction.components import (
    BUDGET_BITS,
    SCORE_SHIFT,
    TIE_BITS,
    Account,
    Balances,
    Component,
    components,
    score_of,
)
from walras.protocol.certificate import BRANCH, MAX_SHIFT, PRICES, Tree

_RAISE = 1 << (64 + MAX_SHIFT + BUDGET_BITS + 64)
"""More than any bound: prices have 64 bits and a shift, right-hand sides BUDGET_BITS, and there are
fewer than 2^64 lines.
"""


@dataclass(frozen=True, slots=True)
class Price:
    """What a certificate charges a bid for what it uses.

    Attributes:
        kind: "group", "venue", "account", "half", an account of which it spends more than half, or
            "cut", several of these together.
        name: of it; an account's is "owner asset", the owner in hexadecimal.
        amount: score units, rounded down.
    """

    kind: str
    name: str
    amount: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """What would have brought a losing bid into the award, all else being equal.

    Attributes:
        against: the winners that it cannot win beside, by ascending id.
        needed: with a lower score it is in no best choice; score units. None where the award is not
            proven.
        enough: with this score or a higher one it wins; score units. None where the award is not
            proven.
        by_fairness: `needed` is where it would begin to shut out bids over several groups.
        dominated_by: a bid that uses the very same resources, and does it better; None where there
            is none.
        prices: of what it uses, at the leaf that admits it most cheaply; empty where the leaf has
            taken it already.
    """

    against: tuple[ScoredBid, ...]
    needed: int | None
    enough: int | None
    by_fairness: bool
    dominated_by: ScoredBid | None
    prices: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """An award's components with their trees, to look up bids in.

    Attributes:
        award: proven by them.
        kept: bids that fairness kept.
        balances: (owner, asset) → available atoms.
        parts: each component with its tree; None where it has one place.
        place_of: bid id → the component's number.
    """

    award: Award
    kept: tuple[ScoredBid, ...]
    balances: Balances
    parts: tuple[tuple[Component, Tree | None], ...]
    place_of: Mapping[bytes, int]


def proof(award: Award, bids: Iterable[ScoredBid], balances: Balances, seed: bytes) -> Proof:
    """The award's proof, unfolded.

    Args:
        award: with a certificate that was made or checked for these bids.
        bids: all valid ones.
        balances: of the problem.
        seed: of the ties.
    """
    out = {dropped.bid.id for dropped in award.dropped}
    kept = tuple(bid for bid in bids if bid.id not in out)
    trees = iter(award.certificate.trees)
    found = components(kept, balances, seed)
    parts = tuple((one, next(trees) if len(one.places) > 1 else None) for one in found)
    return Proof(
        award,
        kept,
        balances,
        parts,
        {bid.id: number for number, (one, _) in enumerate(parts) for bid in one.bids},
    )


def threshold(made: Proof, bid: ScoredBid) -> Threshold:
    """Of a bid that fairness kept and that did not win.

    Raises as `heaviest_leaf`, for a tree that is none.
    """
    component, tree = made.parts[made.place_of[bid.id]]
    won = {one.id for one in made.award.winners}
    place = _place(component, bid)
    holder = component.places[place]
    against = _against(made.award.winners, bid, made.balances)
    weight = sum(
        weight
        for one, weight in zip(component.places, component.weights, strict=True)
        if one.id in won
    )
    most = weight
    prices: tuple[Price, ...] = ()
    if holder.id not in won and tree is not None:
        most, leaf = _most_with(component, tree, place)
        prices = _prices(component, tree, place, leaf)
    dominated_by = holder if holder.id != bid.id else None
    if not made.award.settled:
        return Threshold(against, None, None, False, dominated_by, prices)
    least = component.weights[place] + weight - most
    # The tie of the raised bid is not known: it is another bid. It is below 2^TIE_BITS.
    needed = max(bid.score, ((least - (1 << TIE_BITS)) >> SCORE_SHIFT) + 1)
    shut_out = _shuts_out(made.kept, bid)
    by_fairness = shut_out is not None and shut_out < needed
    return Threshold(
        against,
        shut_out if by_fairness else needed,
        sum(one.score for one in against) + 1,
        by_fairness,
        dominated_by,
        prices,
    )


def _place(component: Component, bid: ScoredBid) -> int:
    """The place that the bid competes for: its own, or that of the bid that dominates it."""
    for number, one in enumerate(component.places):
        if one.id == bid.id:
            return number
    budgets = [(budget.account, budget.spends) for budget in component.budgets]
    groups, venues = bid.surplus.keys(), bid.venues.keys()
    return next(
        number
        for number, one in enumerate(component.places)
        if one.surplus.keys() == groups
        and one.venues.keys() == venues
        and all(spends.get(number, 0) == bid.spends.get(account, 0) for account, spends in budgets)
    )


def _against(
    winners: Iterable[ScoredBid], bid: ScoredBid, balances: Balances
) -> tuple[ScoredBid, ...]:
    """The winners without which the bid would fit beside the others, by ascending id.

    Of an account that would be overspent, all winners that spend from it are.
    """
    groups, venues = bid.surplus.keys(), bid.venues.keys()
    found: list[ScoredBid] = []
    others: list[ScoredBid] = []
    for one in winners:
        meets = groups & one.surplus.keys() or venues & one.venues.keys()
        (found if meets else others).append(one)
    for account, spent in bid.spends.items():
        spenders = [one for one in others if account in one.spends]
        if spent + sum(one.spends[account] for one in spenders) > balances.get(account, 0):
            found += spenders
            others = [one for one in others if account not in one.spends]
    return tuple(sorted(found, key=lambda one: one.id))


def _most_with(component: Component, tree: Tree, place: int) -> tuple[int, Leaf]:
    """No choice with this place weighs more, by the tree; and the leaf that proves no better."""
    weights = list(component.weights)
    weights[place] += _RAISE
    leaf = heaviest_leaf(component, tree, weights=weights)
    return leaf.bound - _RAISE, leaf


def _shuts_out(kept: Iterable[ScoredBid], bid: ScoredBid) -> int | None:
    """From which score on the bid, as a baseline, shuts out another; None: never."""
    if len(bid.surplus) != 1:
        return None
    (group,) = bid.surplus
    over_several = (
        one.surplus[group] for one in kept if len(one.surplus) > 1 and group in one.surplus
    )
    least = min(over_several, default=None)
    return None if least is None else least + 1


def _prices(component: Component, tree: Tree, place: int, leaf: Leaf) -> tuple[Price, ...]:
    """What the leaf's prices charge the place; none where it is taken there."""
    if place in leaf.taken:
        return ()
    prices = _at_leaf(tree, leaf.taken)
    rows = component.touches[place]
    names = _names(component, place)
    found = []
    for row in rows:
        kind, name = names[tuple(component.rows[row])].pop(0)
        found.append(Price(kind, name, score_of(prices.get(row, 0))))
    first = len(component.rows)
    for number, budget in enumerate(component.budgets, first):
        if spent := budget.spends.get(place, 0):
            price = prices.get(number, 0) * (spent >> budget.unit)
            found.append(Price("account", _text(budget.account), score_of(price)))
    touched = set(rows)
    for number, cut in enumerate(tree.cuts):
        line = first + len(component.budgets) + number
        if share := len(touched.intersection(cut)) // 2:
            price = prices.get(line, 0) * share
            found.append(Price("cut", str(number), score_of(price)))
    return tuple(one for one in found if one.amount)


def _names(component: Component, place: int) -> dict[tuple[int, ...], list[tuple[str, str]]]:
    """What the place's rows are of, by the places that are in them. Rows of the same places are
    alike, so it makes no difference which is which.
    """
    bid = component.places[place]
    found: dict[tuple[int, ...], list[tuple[str, str]]] = {}

    def add(kind: str, name: str, members: Iterable[int]) -> None:
        found.setdefault(tuple(members), []).append((kind, name))

    for name in sorted(bid.surplus):
        add("group", name, (n for n, one in enumerate(component.places) if name in one.surplus))
    for name in sorted(bid.venues):
        add("venue", name, (n for n, one in enumerate(component.places) if name in one.venues))
    for budget in component.budgets:
        halves = (n for n, spent in budget.spends.items() if 2 * spent > budget.balance)
        add("half", _text(budget.account), halves)
    return found


def _text(account: Account) -> str:
    owner, asset = account
    return f"{owner.hex()} {asset}"


def _at_leaf(tree: Tree, taken: Sequence[int]) -> Mapping[int, int]:
    """The prices at the leaf where just these places are taken; no two leaves take the same."""
    prices: dict[int, int] = {}
    path: list[int] = []
    branches: list[tuple[dict[int, int], int]] = []
    changes = iter(tree.prices)
    for kind in tree.nodes:
        if kind == PRICES:
            prices = prices | {line: value << tree.shift for line, value in next(changes)}
        elif kind >= BRANCH:
            branches.append((prices, len(path)))
            path.append(kind - BRANCH)
        elif sorted(path) == list(taken):
            break
        else:
            prices, depth = branches.pop()
            del path[depth:]
    return prices
