"""All chance of a simulation: streams fixed by a seed and what they are for.

Whatever is not a policy's own (arrivals, work, antagonists) comes from a stream of its own, so it
is the same whichever policy runs: common random numbers.
"""

from enum import IntEnum
from random import Random

import numpy as np
from numpy.random import Generator

from walras.balance.view import Draw


class Stream(IntEnum):
    """What a stream of numbers is for."""

    ARRIVALS = 1
    WORK = 2
    ROUTERS = 3
    ANTAGONIST = 4
    KEYS = 5
    FAULTS = 6
    POLICY = 7


def numbers(seed: int, stream: Stream, index: int = 0) -> Generator:
    """The stream of this seed, use and index (of a node, say)."""
    return np.random.default_rng([seed, int(stream), index])


def draws(seed: int, index: int) -> Draw:
    """Uniform draws of a router's policy; faster than the engine's, which have to be proven."""
    source = Random(f"{seed}/{Stream.POLICY}/{index}")  # noqa: S311 - a simulation keeps no secret
    uniform, exact = source.random, source.randrange

    def draw(n: int) -> int:
        # 2^-53 · n is the bias; weights in atoms of stake are drawn exactly.
        return int(uniform() * n) if n < 1 << 32 else exact(n)

    return draw
