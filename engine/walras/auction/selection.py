"""Selection (protocol §6, steps 2 to 4): the best compatible set of bids, and a proof that it is.

Weighted set packing with budgets. Over x_b ∈ {0, 1}, x_b = 1 where bid b wins,

    maximise    Σ (score_b · 2^160 + tie_b) · x_b
    subject to  Σ x_b ≤ 1                          over the bids touching r, r a group or a venue
                Σ spends_b[a] · x_b ≤ balance[a]   for each owner's account a

which are the greatest total and, of those, the greatest sum of ties. That an intent stands in at
most one winner needs no constraint: an intent is of one group.

Bids are thinned out and split by `auction.components`. Each component is searched by branch and
bound over linear relaxations; then, with the best known, a certificate is made in the same way, and
checked in exact integers: what it proves is the result, whatever the search believed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from walras.auction.candidates import ScoredBid
from walras.auction.certificate import MAX_STEPS, Leaf, Steps, heaviest_leaf
from walras.auction.components import Balances, Component, components, greedy, score_of
from walras.auction.packing import pack
from walras.auction.search import instance, prove, search
from walras.auction.separation import Instance
from walras.core.errors import AuditFailure, Reason
from walras.protocol.certificate import LEAF, Tree

EFFORT = 1 << 31
"""Of a search, in entries of tables that it goes through: some seconds, and the same choice on
every machine. Components divide it by their places, so nobody can buy more of it.
"""

LEAST_EFFORT = 1 << 25
"""Of a component, however many others there are."""

STEPS = MAX_STEPS // 4
"""That checking the certificate may take, half of what is left for each component: many times what
is needed, and rewards may take as much again.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A component and the best choice from it.

    Attributes:
        component: as it is.
        winners: by ascending id.
        total: the winners' scores, summed.
        bound: no compatible set scores more; equal to `total` where that is proven to be the best.
        settled: score and ties are proven: no other choice has a greater weight.
        tree: proves it; None for a component of one place.
    """

    component: Component
    winners: tuple[ScoredBid, ...]
    total: int
    bound: int
    settled: bool
    tree: Tree | None


@dataclass(frozen=True, slots=True)
class Selection:
    """The winners of an auction.

    Attributes:
        winners: by ascending id.
        total: the winners' scores, summed: an integer of any size.
        bound: no compatible set scores more; equal to `total` unless the effort ran out.
        settled: as in `Part`, for all parts.
        parts: by ascending id of their first bid.
    """

    winners: tuple[ScoredBid, ...]
    total: int
    bound: int
    settled: bool
    parts: tuple[Part, ...]

    @property
    def trees(self) -> tuple[Tree, ...]:
        """The certificates of the parts that need one, in order."""
        return tuple(part.tree for part in self.parts if part.tree is not None)


def select(
    bids: Iterable[ScoredBid],
    balances: Balances,
    seed: bytes | None,
    *,
    effort: int = EFFORT,
    steps: int = STEPS,
) -> Selection:
    """The winning bids.

    Args:
        bids: that fairness kept, in any order, with distinct ids; each keeps the rules by itself.
        balances: (owner, asset) → available atoms; 0 where it is missing.
        seed: makes ties fair; fixed only once all bids are in. Without one, ties are left open.
        effort: see EFFORT. Where it ends first, the best set found stands, and may not be
            `settled`.
        steps: see STEPS. A tree that takes more is left out, and its part not `settled`.
    """
    found = components(bids, balances, seed)
    allowed = Steps(steps)
    parts = tuple(
        _certified(component, share, allowed)
        for component, share in zip(found, _shares(found, effort), strict=True)
    )
    return Selection(
        winners=tuple(sorted((w for part in parts for w in part.winners), key=attrgetter("id"))),
        total=sum(part.total for part in parts),
        bound=sum(part.bound for part in parts),
        settled=all(part.settled for part in parts),
        parts=parts,
    )


def choose(found: Sequence[Component], effort: int = EFFORT) -> list[Sequence[int]]:
    """The places that win in each component, without certificates: by the leading bits of weights,
    so ties below these are not decided.
    """
    return [
        (0,) if len(component.places) == 1 else _chosen(component, instance(component), share)
        for component, share in zip(found, _shares(found, effort), strict=True)
    ]


def _shares(found: Sequence[Component], effort: int) -> list[int]:
    count = sum(len(component.places) for component in found)
    least = min(LEAST_EFFORT, effort)
    return [max(least, effort * len(component.places) // count) for component in found]


def _certified(component: Component, effort: int, steps: Steps) -> Part:
    if len(component.places) == 1:
        score = component.places[0].score
        return Part(component, component.places, score, score, settled=True, tree=None)
    made = instance(component)
    chosen: Sequence[int] = _chosen(component, made, effort)
    tree = prove(component, made, chosen, effort)
    weight = sum(component.weights[b] for b in chosen)
    tree, leaf = _checked(component, tree, steps)
    if leaf.bound > weight and leaf.weight == leaf.bound:
        # The search looks at leading bits only. This choice differs in those below.
        chosen, weight = leaf.taken, leaf.weight
    if leaf.bound > weight:
        easy = greedy(component)
        if (found := sum(component.weights[b] for b in easy)) > weight:
            chosen, weight = easy, found
    winners = tuple(component.places[b] for b in chosen)
    bound = score_of(leaf.bound)
    return Part(
        component,
        winners,
        score_of(weight),
        bound,
        settled=leaf.bound == weight,
        tree=replace(tree, bound=bound),
    )


def _checked(component: Component, tree: Tree, steps: Steps) -> tuple[Tree, Leaf]:
    """The tree, or one that proves next to nothing where checking it would take too many steps."""
    mine = Steps(allowed := steps.left // 2)
    try:
        leaf = heaviest_leaf(component, tree, mine)
    except AuditFailure as failure:
        if failure.reason is not Reason.CERTIFICATE_TOO_LARGE:
            raise
        nothing = Tree(0, (), (LEAF,), (), 0)
        return nothing, heaviest_leaf(component, nothing)
    steps.left -= allowed - mine.left
    return tree, leaf


def _chosen(component: Component, made: Instance, effort: int) -> Sequence[int]:
    chosen, finished = search(made, effort)
    return chosen if finished else pack(component, chosen)
