"""What policies are compared with: an ideal and a common baseline."""

from heapq import heapify, heapreplace

from walras.balance.events import Change, Event, Outcome
from walras.balance.view import Draw, Request
from walras.simulator.node import Node


class JoinShortestQueue:
    """Ideal: knows how many calls every living node has, those of all routers, at every moment,
    and takes one of those with the fewest. One for all routers.

    The nodes of each count are an unordered list, so a call costs O(1).
    """

    def __init__(self, nodes: list[Node], draw: Draw) -> None:
        self._nodes = nodes
        self._draw = draw
        self._counts = [0] * len(nodes)
        self._with: list[list[int]] = [list(range(len(nodes)))]
        self._place = list(range(len(nodes)))
        self._least = 0
        self._dead: set[int] = set()

    def start(self, request: Request) -> tuple[int, int]:
        """One of those with the fewest, by lot."""
        del request
        while self._least < len(self._with):
            best = self._with[self._least]
            if not best:
                self._least += 1
                continue
            node = best[self._draw(len(best))]
            self._take_out(node)
            if self._nodes[node].alive:
                self._counts[node] += 1
                self._put_in(node)
                return node, node
            self._dead.add(node)
        node = self._draw(len(self._nodes))  # all are dead
        self._counts[node] += 1
        return node, node

    def end(self, token: int, now_us: int, outcome: Outcome, reported: int) -> None:
        """The node has one call less."""
        del now_us, outcome, reported
        if token in self._dead:
            self._counts[token] -= 1
            return
        self._take_out(token)
        self._counts[token] -= 1
        self._put_in(token)

    def observe(self, event: Event) -> None:
        """It knows."""

    def tick(self, now_us: int) -> list[Change]:
        """Nodes that came back."""
        del now_us
        for node in sorted(self._dead):
            if self._nodes[node].alive:
                self._dead.discard(node)
                self._put_in(node)
        return []

    def _take_out(self, node: int) -> None:
        group, place = self._with[self._counts[node]], self._place[node]
        last = group.pop()
        if last != node:
            group[place] = last
            self._place[last] = place

    def _put_in(self, node: int) -> None:
        count = self._counts[node]
        while count >= len(self._with):
            self._with.append([])
        self._place[node] = len(self._with[count])
        self._with[count].append(node)
        self._least = min(self._least, count)


class WeightedRoundRobin:
    """Turns in proportion to goodput / utilisation, as every node reports them: the balancer of
    processor load that Prequal is compared with. One schedule per router.

    A node's next turn is 1/weight after its last one (earliest deadline first), O(log n).

    Source: Wydrowski et al., NSDI 2024, §2; Envoy's `EdfScheduler`.
    """

    _EVERY_US = 1_000_000
    _SMOOTH = 0.3

    def __init__(self, nodes: list[Node], draw: Draw) -> None:
        self._nodes = nodes
        self._weights = [1.0] * len(nodes)
        self._seen = [(0, 0.0)] * len(nodes)
        self._next = 0
        self._turns = [(draw(1_000_000) / 1e6, index) for index in range(len(nodes))]
        heapify(self._turns)

    def start(self, request: Request) -> tuple[int, None]:
        """The node whose turn it is."""
        del request
        at, node = self._turns[0]
        heapreplace(self._turns, (at + 1 / self._weights[node], node))
        return node, None

    def end(self, token: None, now_us: int, outcome: Outcome, reported: int) -> None:
        """Of no interest: nodes report what they do."""

    def observe(self, event: Event) -> None:
        """Of no interest."""

    def tick(self, now_us: int) -> list[Change]:
        """Once a second the weights follow what the nodes did."""
        if now_us < self._next:
            return []
        self._next = now_us + self._EVERY_US
        new = [(node.good, node.used_us) for node in self._nodes]
        deltas = [(g - a, u - b) for (g, u), (a, b) in zip(new, self._seen, strict=True)]
        self._seen = new
        good, used = sum(g for g, _ in deltas), sum(u for _, u in deltas)
        if not good:
            return []
        for index, (done, took) in enumerate(deltas):
            if took > 0:
                # Calls answered per slot time used, against those of all.
                ratio = (done / took) / (good / used)
                old = self._weights[index]
                self._weights[index] = max(0.01, old + self._SMOOTH * (ratio - old))
        return []
