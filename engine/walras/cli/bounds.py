"""How near an auction came to the best that any bids could have made of it."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from walras.audit import envelope
from walras.protocol.problem import Problem
from walras.protocol.records import Kind
from walras.protocol.trade import decode_intent, decode_problem
from walras.sdk.client import Client
from walras.sdk.solver import Deadline
from walras_solvers.bound import Bound, score_bound

_PRICE = re.compile("[0-9]{1,300}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bounded:
    """A score beside its bound.

    Attributes:
        score: of an award.
        bound: no award of the same problem scores more; the dual prices that prove it.
    """

    score: int
    bound: Bound

    @property
    def share(self) -> float | None:
        """The score's share of the bound, rounded down to six digits; None of nothing."""
        if not self.bound.score:
            return None
        return self.score * 10**6 // self.bound.score / 10**6

    def fields(self) -> dict[str, object]:
        """For a JSON document; `walras bound` computes the bound again from the prices."""
        return {
            "bound": self.bound.score,
            "share_of_bound": self.share,
            "bound_prices": {asset: str(price) for asset, price in self.bound.duals.items()},
        }


async def bound_of(
    client: Client, problem_digest: str, intents: Iterable[bytes], score: int, seconds: float
) -> Bounded:
    """The bound of an engine's problem.

    Args:
        client: of the engine.
        problem_digest: in hexadecimal.
        intents: envelopes of all that the problem names; further ones do no harm.
        score: of the award.
        seconds: that the search takes at most.
    """
    body = await client.blob(bytes.fromhex(problem_digest))
    problem = await asyncio.to_thread(_problem, body, intents)
    bound = await asyncio.to_thread(score_bound, problem, Deadline.after(seconds))
    return Bounded(score, bound)


def duals_of(document: Mapping[str, object]) -> dict[str, int] | None:
    """The dual prices in what `walras auction --json` printed; None where they are malformed."""
    prices = document.get("bound_prices")
    if not isinstance(prices, dict):
        return None
    if not all(isinstance(p, str) and _PRICE.fullmatch(p) for p in prices.values()):
        return None
    return {asset: int(price) for asset, price in prices.items()}


def _problem(body: bytes, envelopes: Iterable[bytes]) -> Problem:
    signed = [envelope.decode(one).body for one in envelopes]
    kind = Kind.INTENT.payload_type
    return decode_problem(
        body, {envelope.record_id(kind, one): decode_intent(one) for one in signed}
    )
