"""Auctions with certified awards, and certificates that are wrong in one way each."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from support.auctions import candidate, key, problem
from walras.auction.award import award
from walras.auction.awarded import Award
from walras.auction.candidates import ScoredBid
from walras.core.errors import Reason
from walras.protocol.certificate import BRANCH, LEAF, MAX_PRICE, PRICES, Certificate, Tree
from walras.protocol.problem import Problem, Rules

SEED = b"seed"
CAP = 1 << 60


@dataclass(frozen=True)
class Auction:
    problem: Problem
    bids: list[ScoredBid]
    award: Award

    @property
    def winners(self) -> list[bytes]:
        return [bid.id for bid in self.award.winners]


def auction(seed: int, count: int = 44, groups: int = 14, reach: int = 12) -> Auction:
    """One whose certificate has branches, cuts and budgets, more often than not."""
    r = Random(seed)
    bids = []
    for n in range(count):
        names = r.sample(range(groups), r.choice([1, 2, 2, 3]))
        score = r.randint(reach // 2, reach) * len(names)
        spends = {(f"owner {r.randrange(4)}", "asset"): r.randint(1, 9) << 100}
        bids.append(
            candidate(
                f"{seed} {n}",
                score,
                {f"group {g}": score for g in names},
                venues=[f"venue {v}" for v in r.sample(range(30), r.choice([0, 1]))],
                spends=spends if r.random() < 0.7 else None,
                solver=f"solver {r.randrange(4)}",
            )
        )
    made = problem({}, balances={}, rules=Rules(reward_cap=CAP))
    balances = {(key(f"owner {o}"), "asset"): 12 << 100 for o in range(4)}
    object.__setattr__(made, "balances", balances)
    return Auction(made, bids, award(made, bids, SEED))


def with_tree(certificate: Certificate, number: int, tree: Tree) -> Certificate:
    trees = list(certificate.trees)
    trees[number] = tree
    return replace(certificate, trees=tuple(trees))


Change = Callable[[Tree, Random], Tree | None]


def _nodes(tree: Tree, nodes: Iterator[int] | list[int]) -> Tree:
    return replace(tree, nodes=tuple(nodes))


def _drop_last(tree: Tree, r: Random) -> Tree | None:
    return _nodes(tree, list(tree.nodes[:-1]))


def _one_more_leaf(tree: Tree, r: Random) -> Tree | None:
    return _nodes(tree, [*tree.nodes, LEAF])


def _drop_a_leaf(tree: Tree, r: Random) -> Tree | None:
    leaves = [i for i, kind in enumerate(tree.nodes) if kind == LEAF]
    at = r.choice(leaves)
    return _nodes(tree, [kind for i, kind in enumerate(tree.nodes) if i != at])


def _leaf_for_a_branch(tree: Tree, r: Random) -> Tree | None:
    branches = [i for i, kind in enumerate(tree.nodes) if kind >= BRANCH]
    if not branches:
        return None
    at = r.choice(branches)
    return _nodes(tree, [LEAF if i == at else kind for i, kind in enumerate(tree.nodes)])


def _no_such_place(tree: Tree, r: Random) -> Tree | None:
    at = next((i for i, kind in enumerate(tree.nodes) if kind == LEAF))
    nodes = list(tree.nodes)
    nodes[at : at + 1] = [BRANCH + 100_000, LEAF, LEAF]
    return _nodes(tree, nodes)


def _same_place_twice(tree: Tree, r: Random) -> Tree | None:
    branches = [i for i, kind in enumerate(tree.nodes) if kind >= BRANCH]
    if not branches:
        return None
    at = r.choice(branches)
    nodes = list(tree.nodes)
    nodes[at + 1 : at + 1] = [nodes[at], LEAF]
    return _nodes(tree, nodes)


def _drop_prices(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, prices=tree.prices[:-1]) if tree.prices else None


def _extra_prices(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, prices=(*tree.prices, ((0, 1),)))


def _prices_twice(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, nodes=(PRICES, PRICES, *tree.nodes), prices=((), (), *tree.prices))


def _with_price(tree: Tree, r: Random, value: int) -> Tree | None:
    if not any(tree.prices):
        return None
    change = r.choice([i for i, those in enumerate(tree.prices) if those])
    at = r.randrange(len(tree.prices[change]))
    prices = [list(those) for those in tree.prices]
    prices[change][at] = (prices[change][at][0], value)
    return replace(tree, prices=tuple(tuple(those) for those in prices))


def _negative_price(tree: Tree, r: Random) -> Tree | None:
    return _with_price(tree, r, -r.randint(1, 1 << 50))


def _overlong_price(tree: Tree, r: Random) -> Tree | None:
    return _with_price(tree, r, MAX_PRICE + r.randint(1, 9))


def _unknown_line(tree: Tree, r: Random) -> Tree | None:
    if not tree.prices:
        return None
    return replace(tree, prices=((*tree.prices[0], (1_000_000, 1)), *tree.prices[1:]))


def _lines_out_of_order(tree: Tree, r: Random) -> Tree | None:
    long = [i for i, those in enumerate(tree.prices) if len(those) > 1]
    if not long:
        return None
    at = r.choice(long)
    prices = list(tree.prices)
    prices[at] = prices[at][::-1]
    return replace(tree, prices=tuple(prices))


def _bound_off(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, bound=tree.bound + r.choice([-1, 1]) * r.randint(1, 9))


def _long_shift(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, shift=1025 + r.randrange(1 << 40))


def _even_cut(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, cuts=(*tree.cuts, (0, 1)))


def _empty_cut(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, cuts=(*tree.cuts, ()))


def _unknown_row(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, cuts=(*tree.cuts, (0, 1, 1_000_000)))


def _row_twice(tree: Tree, r: Random) -> Tree | None:
    return replace(tree, cuts=(*tree.cuts, (0, 0, 1)))


CHANGES: Mapping[Change, set[Reason]] = {
    _drop_last: {Reason.CERTIFICATE_LEAF, Reason.CERTIFICATE_PRICE},
    _one_more_leaf: {Reason.CERTIFICATE_LEAF},
    _drop_a_leaf: {
        Reason.CERTIFICATE_LEAF,
        Reason.CERTIFICATE_BRANCH,
        Reason.CERTIFICATE_PRICE,
        Reason.CERTIFICATE_BOUND,
    },
    _leaf_for_a_branch: {Reason.CERTIFICATE_LEAF},
    _no_such_place: {Reason.CERTIFICATE_BRANCH},
    _same_place_twice: {Reason.CERTIFICATE_BRANCH},
    _drop_prices: {Reason.CERTIFICATE_PRICE},
    _extra_prices: {Reason.CERTIFICATE_PRICE},
    _prices_twice: {Reason.CERTIFICATE_PRICE},
    _negative_price: {Reason.CERTIFICATE_PRICE},
    _overlong_price: {Reason.CERTIFICATE_PRICE},
    _unknown_line: {Reason.CERTIFICATE_PRICE},
    _lines_out_of_order: {Reason.CERTIFICATE_PRICE},
    _bound_off: {Reason.CERTIFICATE_BOUND},
    _long_shift: {Reason.CERTIFICATE_TOO_LARGE},
    _even_cut: {Reason.CERTIFICATE_CUT},
    _empty_cut: {Reason.CERTIFICATE_CUT},
    _unknown_row: {Reason.CERTIFICATE_CUT},
    _row_twice: {Reason.CERTIFICATE_CUT},
}
"""What may be wrong with a tree, and the reasons that it may be refused for."""
