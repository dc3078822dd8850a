"""Small real solvers: one that does its work, and the guests that an engine must bear."""

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from threading import Event

from walras.sdk import Deadline, Description, Fill, OpenIntent, Problem, Proposal


class Crosser:
    """Crosses a seller with a buyer of as many units of the same asset, half-way between."""

    def describe(self) -> Description:
        return Description(type(self).__name__.lower(), "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        yield from crossings(problem)


def crossings(problem: Problem) -> Iterator[Proposal]:
    """One proposal per pair that crosses; an intent stands in one pair at most."""
    open_intents = list(problem.intents.values())
    sellers = [found for found in open_intents if found.intent.legs[0].quantity == -1]
    buyers = [found for found in open_intents if found.intent.legs[0].quantity == 1]
    for seller in sellers:
        buyer = next((b for b in buyers if _crosses(problem, seller, b)), None)
        if buyer is not None:
            buyers.remove(buyer)
            yield cross(problem, seller, buyer)


def cross(problem: Problem, seller: OpenIntent, buyer: OpenIntent) -> Proposal:
    """All that remains of both, at the middle of their limits."""
    least, most = _limit(problem, seller), -_limit(problem, buyer)
    asset, currency = seller.intent.legs[0].asset, seller.intent.settlement_asset
    return Proposal(
        fills=(Fill(seller.id, seller.remaining), Fill(buyer.id, buyer.remaining)),
        prices={asset: (least + most) // 2, currency: seller.intent.units},
    )


def _crosses(problem: Problem, seller: OpenIntent, buyer: OpenIntent) -> bool:
    return (
        seller.intent.legs[0].asset == buyer.intent.legs[0].asset
        and seller.intent.settlement_asset == buyer.intent.settlement_asset
        and seller.intent.units == buyer.intent.units
        and seller.remaining == buyer.remaining
        and _limit(problem, seller) < -_limit(problem, buyer)
    )


def _limit(problem: Problem, found: OpenIntent) -> int:
    return found.intent.limit_at(problem.sealed_ms)


class Hanging(Crosser):
    """Looks at no deadline; goes on once `release` is set."""

    def __init__(self) -> None:
        self.started = Event()
        self.release = Event()

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        self.started.set()
        self.release.wait(20)
        return ()


class Patient(Crosser):
    """Sends what it has, then goes on thinking until the engine hangs up."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        yield from crossings(problem)
        while not deadline.passed:
            time.sleep(0.005)


class Raising(Crosser):
    """Raises where a proposal is due."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        raise ZeroDivisionError("a guest's mistake")


class RaisingLater(Crosser):
    """Raises after its first proposals."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        yield from crossings(problem)
        raise ZeroDivisionError("a guest's mistake")


class Flooding(Crosser):
    """Sends the same prices on ever larger scales: each is another bid."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        for scale in range(1, 100):
            for found in crossings(problem):
                prices = {asset: price * scale for asset, price in found.prices.items()}
                yield Proposal(found.fills, prices)


class Greedy(Crosser):
    """Fills each intent with more than remains."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        for found in crossings(problem):
            fills = tuple(Fill(fill.intent_id, fill.units + 1) for fill in found.fills)
            yield Proposal(fills, found.prices)


class Dying(Crosser):
    """Kills its own process after its first proposals."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        yield from crossings(problem)
        time.sleep(0.1)  # the bid leaves before the process does
        os.kill(os.getpid(), signal.SIGKILL)


class Chatty(Crosser):
    """Prints more than a pipe holds."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterable[Proposal]:
        for _ in range(64):
            sys.stdout.write("x" * 8_192 + "\n")
        sys.stdout.flush()
        yield from crossings(problem)
