"""Prequal: probing to reduce queuing and latency."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from walras.balance.rest import PerPool, base_of, gone_from
from walras.balance.rules import BPS
from walras.balance.view import Draw, NodeView, Pool, Request

RECENT = 128
"""Probe answers whose requests in flight are remembered, to know what is many."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A node's answer to a probe.

    Attributes:
        key: of the node.
        rif: requests in flight there, ≥ 0.
        latency_us: what a call takes there now, by its own estimate or the router's.
        at_us: when the answer came, by the router's clock.
    """

    key: bytes
    rif: int
    latency_us: int
    at_us: int


@dataclass(slots=True)
class _Entry:
    """A probe in the pool; `rif` grows with each call sent there since. `uses` is how often it may
    still be used: −1 until it is first used, None for without end.
    """

    key: bytes
    rif: int
    latency_us: int
    at_us: int
    uses: int | None = -1


class Prequal:
    """Sends a call where a recent probe says it is answered soon, and keeps the probes for more.

    - A probe is hot if its requests in flight (RIF) are above the quantile Q_RIF of the last 128
      answers', else cold. The cold one with the least latency is used; if all are hot, the one
      with the least RIF. With less than two probes of the pool's nodes, a draw by weight.
    - A node that is picked counts one more RIF in its probe, until it is probed again.
    - A probe leaves when it is too old, used b_reuse times, the oldest of a full pool, or by the
      removal that follows each pick: r_remove probes, in turn the oldest and the worst. Worst is
      the hot one with the most RIF, or if none is hot the one with the most latency. A newer
      probe of a node takes the older one's place.
    - Whoever calls sends the `due` probes after a pick and `add`s what comes back.

    Source: Wydrowski et al., Load is not what you should balance: Introducing Prequal, NSDI 2024,
    §4; default settings are its baseline.

    Args:
        pool_size: m, ≥ 2.
        q_rif_bps: 0: all are hot, so by RIF alone; 10,000: none is, so by latency alone.
        probe_rate_bps: r_probe per pick, 10,000 is 1.
        remove_rate_bps: r_remove per pick.
        max_age_ms: of a probe.
        delta_bps: δ > 0, by which the pool would grow per pick if nothing else were removed.
    """

    def __init__(
        self,
        *,
        pool_size: int = 16,
        q_rif_bps: int = 8_409,
        probe_rate_bps: int = 30_000,
        remove_rate_bps: int = 10_000,
        max_age_ms: int = 1_000,
        delta_bps: int = 10_000,
    ) -> None:
        self._pool_size = pool_size
        self._q_rif_bps = q_rif_bps
        self._probe_rate_bps = probe_rate_bps
        self._remove_rate_bps = remove_rate_bps
        self._max_age_us = max_age_ms * 1_000
        self._delta_bps = delta_bps
        self._entries: dict[bytes, _Entry] = {}  # by age: the oldest first
        self._recent: deque[int] = deque()
        self._ordered: list[int] = []  # the same, ascending
        self._to_send_bps = 0
        self._to_remove_bps = 0
        self._oldest_next = False
        self._by_key = PerPool(_by_key)

    @property
    def probes(self) -> tuple[Probe, ...]:
        """What the pool holds, the oldest first, with the calls sent since counted in."""
        return tuple(Probe(e.key, e.rif, e.latency_us, e.at_us) for e in self._entries.values())

    def add(self, probe: Probe) -> None:
        """Takes an answer into the pool; the oldest leaves where it is full."""
        self._entries.pop(probe.key, None)
        if len(self._entries) >= self._pool_size:
            self._drop(next(iter(self._entries)))
        self._entries[probe.key] = _Entry(probe.key, probe.rif, probe.latency_us, probe.at_us)
        self._recent.append(probe.rif)
        insort(self._ordered, probe.rif)
        if len(self._recent) > RECENT:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        oldest_us = request.now_us - self._max_age_us
        for key in [entry.key for entry in self._entries.values() if entry.at_us < oldest_us]:
            self._drop(key)
        nodes, gone = self._by_key(base_of(pool)), gone_from(pool)
        usable = [e for e in self._entries.values() if e.key in nodes and e.key not in gone]
        if len(usable) < 2:
            node = pool.one(draw)
        else:
            best = self._best(usable)
            node = nodes[best.key]
            self._use(best, len(nodes), draw)
        if (entry := self._entries.get(node.key)) is not None:
            entry.rif += 1
        self._to_send_bps += self._probe_rate_bps
        self._to_remove_bps += self._remove_rate_bps
        while self._to_remove_bps >= BPS:
            self._to_remove_bps -= BPS
            self._remove()
        return node

    def due(self, pool: Pool, draw: Draw) -> list[NodeView]:
        """Whom to probe now: r_probe nodes per pick since the last call, drawn uniformly and
        without replacement; a fraction is carried over.
        """
        nodes = base_of(pool).nodes
        count, self._to_send_bps = divmod(self._to_send_bps, BPS)
        if count >= len(nodes):
            return list(nodes)
        # Floyd's sampling: each set of `count` is as likely, with `count` draws.
        drawn: dict[int, None] = {}
        for last in range(len(nodes) - count, len(nodes)):
            at = draw(last + 1)
            drawn[last if at in drawn else at] = None
        return [nodes[at] for at in drawn]

    @property
    def hot_above(self) -> int | None:
        """The RIF above which a probe is hot; None: however much, none is."""
        if self._q_rif_bps >= BPS or not self._ordered:
            return None
        if self._q_rif_bps == 0:
            return -1
        return self._ordered[-(-self._q_rif_bps * len(self._ordered) // BPS) - 1]

    def _hot(self, entries: Iterable[_Entry]) -> tuple[list[_Entry], list[_Entry]]:
        """The hot ones and the cold ones."""
        bound = self.hot_above
        hot: list[_Entry] = []
        cold: list[_Entry] = []
        for entry in entries:
            (hot if bound is not None and entry.rif > bound else cold).append(entry)
        return hot, cold

    def _best(self, entries: Iterable[_Entry]) -> _Entry:
        hot, cold = self._hot(entries)
        if cold:
            return min(cold, key=lambda entry: (entry.latency_us, entry.rif))
        return min(hot, key=lambda entry: (entry.rif, entry.latency_us))

    def _use(self, entry: _Entry, count: int, draw: Draw) -> None:
        if entry.uses == -1:
            entry.uses = self._uses(count, draw)
        if entry.uses is not None:
            entry.uses -= 1
            if entry.uses == 0:
                self._drop(entry.key)

    def _uses(self, count: int, draw: Draw) -> int | None:
        """b_reuse as a whole number that is right on average: the fraction decides by a draw."""
        ratio = reuse(
            count, self._pool_size, self._probe_rate_bps, self._remove_rate_bps, self._delta_bps
        )
        if ratio is None:
            return None
        top, bottom = ratio
        whole, part = divmod(top, bottom)
        return whole + 1 if part and draw(bottom) < part else whole

    def _remove(self) -> None:
        self._oldest_next = not self._oldest_next
        if not self._entries:
            return
        if self._oldest_next:
            self._drop(next(iter(self._entries)))
            return
        hot, cold = self._hot(self._entries.values())
        if hot:
            self._drop(max(hot, key=lambda entry: entry.rif).key)
        else:
            self._drop(max(cold, key=lambda entry: entry.latency_us).key)

    def _drop(self, key: bytes) -> None:
        del self._entries[key]


def _by_key(pool: Pool) -> dict[bytes, NodeView]:
    return {node.key: node for node in pool.nodes}


def reuse(
    nodes: int, pool_size: int, probe_rate_bps: int, remove_rate_bps: int, delta_bps: int
) -> tuple[int, int] | None:
    """How often a probe may be used, as a fraction (numerator, denominator), both > 0:

        b_reuse = max(1, (1 + δ) / ((1 − m/n)·r_probe − r_remove))

    The denominator is by how much the pool grows per pick, as of r_probe answers m/n only replace
    a probe of the same node. Where it is not positive no number of uses is few enough to drain
    the pool faster than it drains anyway, and probes are used without end: None. They still leave
    by age and by removal. Source: Prequal, NSDI 2024, §4, (1).
    """
    growth = (nodes - pool_size) * probe_rate_bps - nodes * remove_rate_bps
    if growth <= 0:
        return None
    top = (BPS + delta_bps) * nodes
    return (top, growth) if top > growth else (1, 1)
