"""Circuit breaker of one node: it wins and then breaks its word, so it is blocked for a time."""

from dataclasses import dataclass, field

from walras.balance.estimates import Share
from walras.balance.rules import FleetRules

LEAST_PROMISES = 5
"""Before a share of promises, or of canaries, has an effect."""


@dataclass(slots=True)
class Breaker:
    """Promises kept and broken, and what followed.

    Attributes:
        fades: the smoothed share of broken ones.
        kept: in a row.
        blocks: that lengthen the next one: it takes twice as long as the one before. One is
            forgiven for a half-life of promises kept in a row.
        until_ms: when the block ends; None: there is none.
    """

    fades: Share = field(default_factory=Share)
    kept: int = 0
    blocks: int = 0
    until_ms: int | None = None

    def promise(self, now_ms: int, rules: FleetRules, *, kept: bool) -> bool:
        """One was kept or broken; returns whether this blocks the node.

        The rate is not reset by a block: the first promise broken after it blocks again. Promises
        that were given before a block do not lengthen it.
        """
        self.fades.add(rules.fade_half_life, wrong=not kept)
        if kept:
            self.kept += 1
            if self.kept >= rules.fade_half_life:
                self.kept, self.blocks = 0, max(0, self.blocks - 1)
            return False
        self.kept = 0
        too_many = self.fades.seen >= LEAST_PROMISES and self.fades.bps > rules.max_fade_bps
        if not too_many or self.until_ms is not None:
            return False
        length = min(rules.block_ms << min(self.blocks, 40), rules.max_block_ms)
        self.until_ms = now_ms + length
        self.blocks += 1
        return True

    def end(self, now_ms: int) -> bool:
        """Whether a block is over now."""
        if self.until_ms is None or now_ms < self.until_ms:
            return False
        self.until_ms = None
        return True
