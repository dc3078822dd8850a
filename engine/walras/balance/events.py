"""What happens to a node, as its standing counts it, and what follows from it."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    TIMEOUT = "timeout"
    ERROR = "error"
    CANCELLED = "cancelled"
    """By the router, as nobody needs the answer any more: says nothing about the node."""


class Brought(StrEnum):
    """What came of a call that was answered."""

    BID = "bid"
    """A valid bid for the part; also where nobody looks at what it brought."""
    NOTHING = "nothing"
    """No valid bid, and no other node had one for the part."""
    MISSED = "missed"
    """No valid bid, though another node had one for the part."""


@dataclass(frozen=True, slots=True)
class Asked:
    """So many calls came to a node, ≥ 1, however they end."""

    node: bytes
    at_ms: int
    calls: int = 1


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call that the router made has ended.

    Attributes:
        at_ms: when.
        latency_us: from sending to the end.
        ahead: calls of this router in flight at the node when it was sent, itself included, ≥ 1.
        reported: calls in flight as the node said in its answer; 0 where it said nothing.
        brought: what came of it.
    """

    node: bytes
    at_ms: int
    outcome: Outcome
    latency_us: int
    ahead: int = 1
    reported: int = 0
    brought: Brought = Brought.BID


@dataclass(frozen=True, slots=True)
class Probed:
    """A prober's observation of a node; `rtt_us` is None where no valid echo came in time."""

    node: bytes
    prober: bytes
    at_ms: int
    rtt_us: int | None
    reported: int = 0


@dataclass(frozen=True, slots=True)
class Promised:
    """A node's promise was kept (its bid won and settled) or broken (it did not open, or what it
    signed does not hold).
    """

    node: bytes
    at_ms: int
    kept: bool


@dataclass(frozen=True, slots=True)
class CanaryChecked:
    """A canary intent that the node was asked about was filled by one of its bids, or was not."""

    node: bytes
    at_ms: int
    found: bool


Event = Asked | CallEnded | Probed | Promised | CanaryChecked


class Rule(StrEnum):
    """Why the fleet changes; every change names one."""

    CONFIGURED = "configured"
    JOINED = "joined"
    LEFT = "left"
    DRAINED = "drained"
    RESUMED = "resumed"
    CONSECUTIVE_ERRORS = "consecutive_errors"
    EJECTION_OVER = "ejection_over"
    FADE_RATE = "fade_rate"
    BLOCK_OVER = "block_over"
    PANIC = "panic"
    PANIC_OVER = "panic_over"
    SCALED_UP = "scaled_up"
    SCALED_DOWN = "scaled_down"
    STRESS = "stress"
    CALM = "calm"


@dataclass(frozen=True, slots=True)
class Change:
    """The fleet changed by a rule. `node` is empty where the change is of the whole fleet."""

    rule: Rule
    node: bytes = b""
    why: str = ""
