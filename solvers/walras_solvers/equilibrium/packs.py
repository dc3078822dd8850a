"""Intents of several legs: each trades a fixed mix of assets for the settlement asset, at one
activity level, from nothing to all of its units.

With e = exp(δ) and m the mix, values at reference prices of what one of size receives of each
asset (negative: gives), the owner settles for q = −m·e / e_s in value at reference prices of the
settlement asset s. One that is willing at q ≥ its limit, and in the collar, gains q − limit. With
n = m∘e, and n_s = −m·e, what it takes in value at the prices is n, and ∂q/∂δ = −n/e_s: the same for
a sale, whose mix is one asset.
"""

from dataclasses import dataclass, replace

import numpy as np

from walras_solvers.equilibrium.kernels import Agent, Floats, Ints, Mask


@dataclass(frozen=True, slots=True)
class Packs:
    """One row for each intent.

    Attributes:
        ids: of the intents.
        mix: (intent, asset) → value received for one of size; negative where it is given. The
            absolute values of a row sum to 1; the settlement asset is not among them.
        settle: the settlement asset's number.
        size: value of all units. least: of the size that a fill takes at least.
        limit: what one of size settles for at least, with room for rounding. worth: without.
        unit: size of a unit. coarse: whether units are so few that only whole ones count.
        group: the number of its group: assets² on.
        intent, asset, account: of each shared account that an intent may draw on.
    """

    ids: tuple[bytes, ...]
    mix: Floats
    settle: Ints
    size: Floats
    least: Floats
    limit: Floats
    worth: Floats
    unit: Floats
    coarse: Mask
    group: Ints
    intent: Ints
    asset: Ints
    account: Ints

    def __len__(self) -> int:
        """How many there are."""
        return len(self.size)

    def zoomed(self, factor: float) -> "Packs":
        """With all values so many times greater."""
        return replace(
            self, size=self.size * factor, least=self.least * factor, unit=self.unit * factor
        )

    def without(self, some: Mask) -> "Packs":
        """With nothing of some."""
        return replace(self, size=np.where(some, 0.0, self.size))

    def taken(self, delta: Floats) -> Floats:
        """(intent, asset) → n."""
        taken: Floats = self.mix * np.exp(delta)
        taken[np.arange(len(self)), self.settle] = -taken.sum(axis=1)
        return taken

    def settled(self, delta: Floats) -> Floats:
        """Intent → q."""
        value: Floats = -(self.mix @ np.exp(delta)) * np.exp(-delta[self.settle])
        return value

    def drawn(self, delta: Floats) -> Floats:
        """Entry → what one of size takes from the account."""
        q = self.settled(delta)[self.intent]
        own = self.asset == self.settle[self.intent]
        drawn: Floats = np.maximum(np.where(own, -q, -self.mix[self.intent, self.asset]), 0.0)
        return drawn

    def corridor(self, settled: Floats, collar: float) -> tuple[Floats, Floats]:
        """What q has to be at least and at most to keep the limit and the collar."""
        net, given = self.mix.sum(axis=1), np.maximum(-self.mix, 0.0).sum(axis=1)
        room = collar * (1 - 1e-9) * given
        up, down = room - net, -room - net
        paying = settled < 0  # then it gives the settlement too
        up = np.where(paying, np.minimum(up, 0.0) / (1 + collar) + np.maximum(up, 0.0), up)
        down = np.where(paying, down / (1 - min(collar, 0.999)), down)
        return np.maximum(self.limit, down), up

    def willing(self, delta: Floats, collar: float, margin: Floats | float = 0.0) -> Mask:
        """Intent → whether q is inside by more than `margin`."""
        q = self.settled(delta)
        low, high = self.corridor(q, collar)
        inside: Mask = (q - margin >= low) & (q + margin <= high) & (self.size > 0)
        return inside

    def gains(self, delta: Floats) -> Floats:
        """Intent → what one of size gains."""
        gains: Floats = self.settled(delta) - self.worth
        return gains

    def agent(self, collar: float) -> Agent:
        """The intents as an agent."""
        rows = np.arange(len(self))

        def add(delta: Floats, band: float, net: Floats, gross: Floats, slope: Floats) -> None:
            q = self.settled(delta)
            low, high = self.corridor(q, collar)
            share = np.where(q <= high, np.clip((q - low) / band, 0.0, 1.0), 0.0)
            some = np.flatnonzero((share > 0.0) & (self.size > 0.0))
            if not len(some):
                return
            taken = self.taken(delta)[some]
            level = (self.size[some] * share[some])[:, None]
            flow = level * taken
            net += flow.sum(axis=0)
            gross += np.abs(flow).sum(axis=0)
            settle = self.settle[some]
            partly = share[some] < 1.0
            steep = np.where(partly, self.size[some] / band, 0.0) * np.exp(-delta[settle])
            slope -= taken.T @ (steep[:, None] * taken)
            flow[rows[: len(some)], settle] = 0.0
            np.einsum("ii->i", slope)[:] += flow.sum(axis=0)
            np.subtract.at(slope, settle, flow)

        return add


def no_packs(assets: int) -> Packs:
    """None at all."""
    none, empty = np.zeros(0), np.zeros(0, np.int64)
    return Packs(
        ids=(),
        mix=np.zeros((0, assets)),
        settle=empty,
        size=none,
        least=none,
        limit=none,
        worth=none,
        unit=none,
        coarse=np.zeros(0, np.bool_),
        group=empty,
        intent=empty,
        asset=empty,
        account=empty,
    )
