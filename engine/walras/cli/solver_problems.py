"""The problems that solvers are checked with: generated ones, and those of market files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from walras.auction.dispatch import takes
from walras.balance.rules import NodeInfo
from walras.cli.sealed_market import DOMAIN, seal_market
from walras.cli.solver_subject import Problems
from walras.datasets.generate import START_MS
from walras.datasets.market_file import read_market
from walras.datasets.varied import varied
from walras.market.kinds import KINDS, kind_of
from walras.protocol.problem import OpenIntent, Problem

SMALL_INTENTS = 12
LARGE_INTENTS = 300
HUGE_INTENTS = 10_000
HUGE_VENUES = 400


@dataclass(frozen=True, slots=True)
class Case:
    """A problem to be scored on.

    Attributes:
        name: of its market: a seed, or a file.
        problem: as much of it as the solver takes.
    """

    name: str
    problem: Problem

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of venue that it has."""
        return tuple(sorted({kind_of(venue) for venue in self.problem.venues.values()}))


def cases(seeds: Sequence[int], files: Sequence[Path]) -> Iterator[Case]:
    """One for each seed, then one for each file.

    Raises:
        InvalidInput: MARKET_FILE_INVALID; FileNotFoundError.
    """
    number = 0
    for number, seed in enumerate(seeds, 1):
        market = varied(seed, domain=DOMAIN)
        yield Case(f"seed {seed}", seal_market(market, START_MS, auction_id=number))
    for place, file in enumerate(files, number + 1):
        market = read_market(file)
        own = market.about.summary.get("now_ms")
        now_ms = own if isinstance(own, int) else START_MS
        yield Case(file.name, seal_market(market, now_ms, auction_id=place))


def problems(seed: int, seconds: float, info: NodeInfo) -> Problems:
    """What the checks ask a node for, cut to what it takes."""

    def made(number: int, intents: int, **size: int) -> Problem:
        market = varied(seed, domain=DOMAIN, intents=intents, kinds=KINDS, **size)
        return fitted(seal_market(market, START_MS, auction_id=1 << 20 | number), info)

    return Problems(
        small=made(1, SMALL_INTENTS),
        large=made(2, LARGE_INTENTS),
        huge=made(3, HUGE_INTENTS, assets=40, venues=HUGE_VENUES),
        seconds=seconds,
    )


def fitted(problem: Problem, info: NodeInfo) -> Problem:
    """As much of a problem as a node takes, by what it says of itself."""
    if takes(info, problem):
        return problem

    def on_its_chains(asset: str) -> bool:
        return not info.chains or asset.split("/", 1)[0] in info.chains

    intents: dict[bytes, OpenIntent] = {}
    for name, found in problem.intents.items():
        room = not info.max_intents or len(intents) < info.max_intents
        if room and all(map(on_its_chains, found.intent.assets)):
            intents[name] = found
    usable = [venue for venue in problem.venues.values() if all(map(on_its_chains, venue.assets))]
    # What it can use comes first, and what room is left is filled with what an engine would send.
    usable.sort(key=lambda venue: bool(info.venue_kinds) and kind_of(venue) not in info.venue_kinds)
    kept = {venue.id: venue for venue in usable[: info.max_venues or None]}
    if (
        kept
        and info.venue_kinds
        and {kind_of(v) for v in kept.values()}.isdisjoint(info.venue_kinds)
    ):
        kept = {}
    owners = {found.intent.owner for found in intents.values()}
    return replace(
        problem,
        intents=intents,
        balances={
            account: amount
            for account, amount in problem.balances.items()
            if account[0] in owners and on_its_chains(account[1])
        },
        venues=dict(sorted(kept.items())),
        prices={name: price for name, price in problem.prices.items() if on_its_chains(name)},
        references={},
    )
