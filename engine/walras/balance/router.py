"""A router of single calls: standing, calls in flight and a policy, without a clock or a network.

Whoever makes the calls says when one starts and how it ended. A call in flight is counted once
and given back once, however it ends.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from walras.balance.chooser import weigh
from walras.balance.events import Asked, CallEnded, Change, Event, Outcome, Probed
from walras.balance.policy import Policy
from walras.balance.rules import BPS, FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.balance.view import Draw, NodeView, Pool, Request
from walras.core.errors import Reason, SolverFault

Weigh = Callable[[Sequence[NodeView], FleetRules, Mapping[bytes, int]], None]
"""Sets the weight of every view, by the rules and each key's warmth."""

REFRESH_US = 100_000
"""Time, and the warmth of nodes with it, is looked at no more often."""
MAX_CHANGES = 4_096


def _heard(view: NodeView) -> None:
    """The node has just said how many calls it has; one that says 0 says nothing."""
    view.others = max(0, view.reported - view.in_flight) if view.reported else None


class Call:
    """A call in flight. End it once; to end it again does nothing.

    As a context manager it ends, where nobody ended it, with what left the block: a TimeoutError is
    a timeout, another Exception an error; a cancellation (`asyncio.CancelledError`, `GeneratorExit`
    and what else is no Exception) or nothing at all says nothing about the node.
    """

    __slots__ = ("_router", "ahead", "node", "started_us")

    def __init__(self, router: "Router", node: NodeView, started_us: int) -> None:
        self._router: Router | None = router
        self.node = node
        self.ahead = node.in_flight
        self.started_us = started_us

    def end(self, now_us: int, outcome: Outcome, reported: int = 0) -> None:
        """It ended; `reported` is what the node says it has in flight, 0 for nothing."""
        router, self._router = self._router, None
        if router is not None:
            router.ended(self, now_us, outcome, reported)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        router = self._router
        if router is None:
            return
        outcome = Outcome.CANCELLED
        if isinstance(error, TimeoutError):
            outcome = Outcome.TIMEOUT
        elif isinstance(error, Exception):
            outcome = Outcome.ERROR
        # The latest time that the router heard of: no answer, so too short a time does no harm.
        self.end(max(router.now_us, self.started_us), outcome)


class Router:
    """Picks nodes for calls and learns from how they end.

    Views are kept and updated in place, so a call costs O(1) and what the policy costs. The pool is
    made anew only where membership, standing or weights changed.

    Args:
        rules: of the fleet.
        draw: chance.
        picker: the policy, or a composition of several.
        weigh: sets weights whenever the pool is made.

    Attributes:
        standing: of all nodes, as this router knows it.
        now_us: the latest time that it heard of.
        in_flight: calls of all nodes.
    """

    def __init__(self, rules: FleetRules, draw: Draw, picker: Policy, weigh: Weigh = weigh) -> None:
        self.standing = Standing(rules)
        self.now_us = 0
        self.in_flight = 0
        self._draw = draw
        self._picker = picker
        self._weigh = weigh
        self._views: dict[bytes, NodeView] = {}
        self._pool = Pool(())
        self._shape: list[tuple[object, ...]] = []
        self._warming: Mapping[bytes, int] = {}
        self._version = -1
        self._due_us = 0
        self._changes: deque[Change] = deque(maxlen=MAX_CHANGES)

    def join(self, info: NodeInfo, now_us: int) -> None:
        """A node is there, or says other things of itself."""
        self.standing.join(info, now_us // 1_000)

    def leave(self, key: bytes) -> None:
        """A node is not there any more; its calls still end."""
        self.standing.leave(key)

    def drain(self, key: bytes, now_us: int) -> None:
        """Give it no more calls. Raises InvalidInput: NODE_UNKNOWN."""
        self.standing.drain(key, now_us // 1_000)

    def resume(self, key: bytes, now_us: int) -> None:
        """Give it calls again. Raises InvalidInput: NODE_UNKNOWN."""
        self.standing.resume(key, now_us // 1_000)

    def start(self, request: Request) -> Call:
        """Pick a node and count a call to it.

        Raises:
            SolverFault: NODE_NONE where no node may be asked.
        """
        now_us = request.now_us
        self._refresh(now_us)
        if not self._pool.nodes:
            raise SolverFault(
                Reason.NODE_NONE,
                "no solver node may be asked",
                hint="walras fleet list says why",
            )
        node = self._picker.pick(self._pool, request, self._draw)
        node.in_flight += 1
        self.in_flight += 1
        if self.standing.rules.max_wait_ms:
            self.standing.apply(Asked(node.key, now_us // 1_000))
            self.standing.refresh(node)
        return Call(self, node, now_us)

    def observe(self, event: Event) -> None:
        """Something happened to a node outside the router's calls: a probe, a promise, a canary."""
        self._changes += self.standing.apply(event)
        view = self._views.get(event.node)
        if view is not None:
            self.standing.refresh(view)
            if isinstance(event, Probed) and event.rtt_us is not None:
                _heard(view)

    def tick(self, now_us: int) -> list[Change]:
        """Let time pass; what changed since the last tick, the latest 4,096 changes at most."""
        self.now_us = max(self.now_us, now_us)
        self._changes += self.standing.tick(now_us // 1_000)
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def ended(self, call: Call, now_us: int, outcome: Outcome, reported: int) -> None:
        """For `Call.end`: give the call back and count how it ended."""
        self.now_us = max(self.now_us, now_us)
        self.in_flight -= 1
        node = call.node
        node.in_flight -= 1
        latency_us = max(0, now_us - call.started_us)
        event = CallEnded(node.key, now_us // 1_000, outcome, latency_us, call.ahead, reported)
        changes = self.standing.apply(event)
        if changes:
            self._changes += changes
        self.standing.refresh(node)
        if outcome is Outcome.OK:
            _heard(node)

    def _refresh(self, now_us: int) -> None:
        due = not 0 < self._due_us - now_us <= REFRESH_US
        if due:
            self._due_us = now_us + REFRESH_US
            self.now_us = max(self.now_us, now_us)
            self._changes += self.standing.tick(now_us // 1_000)
        standing, now_ms = self.standing, now_us // 1_000
        if standing.version == self._version and (
            not due
            or all(standing.warmth(key, now_ms) == old for key, old in self._warming.items())
        ):
            return
        self._version = standing.version
        self._rebuild(now_ms)

    def _rebuild(self, now_ms: int) -> None:
        standing = self.standing
        views = []
        for key in standing.eligible(now_ms):
            view = self._views.get(key)
            if view is None:
                view = self._views[key] = NodeView(key)
            standing.refresh(view)
            if not view.reported:
                view.others = None
            views.append(view)
        warmth = {view.key: standing.warmth(view.key, now_ms) for view in views}
        self._warming = {key: bps for key, bps in warmth.items() if bps < BPS}
        self._weigh(views, standing.rules, warmth)
        # A node that left is forgotten with its last call.
        self._views = {
            key: view
            for key, view in self._views.items()
            if view.in_flight or key in standing.nodes
        }
        shape: list[tuple[object, ...]] = [
            (id(v), v.weight, v.group, v.region, v.slots, v.stake) for v in views
        ]
        if shape != self._shape:
            self._shape = shape
            self._pool = Pool(views)
