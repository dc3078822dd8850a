"""Intents: the outcome an owner signs for (protocol §2).

Exchange k of `units` units, each of which gives and receives exactly `legs`, for a net amount of
one settlement asset that is no worse than `limit` allows.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd

from walras.core.amounts import AMOUNT_LIMIT, ceil_div, check_amount
from walras.core.assets import check_asset_id
from walras.core.errors import InvalidInput, Reason

MAX_LEGS = 16
UINT64 = 1 << 64


@dataclass(frozen=True, slots=True)
class Leg:
    """What one unit moves: `quantity` atoms of `asset`, + received by the owner, −
    given, never 0.
    """

    asset: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Decay:
    """A limit that moves linearly from `start_limit` at `start_ms` to the intent's limit at
    `end_ms`.
    """

    start_limit: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Intent:
    """One signed trade intent.

    Attributes:
        domain: the engine it is for (its log's origin).
        owner: Ed25519 public key, 32 bytes.
        nonce: unique per owner, below 2^64.
        not_before_ms, expiry_ms: eligible when not_before_ms ≤ seal time < expiry_ms.
        legs: 1 to 16, distinct assets.
        units: how many units at most, ≥ 1.
        min_units: the least fill; `units` makes it fill-or-kill.
        settlement_asset: not among the legs.
        limit: signed atoms of the settlement asset for all units: the owner's change is at least
            this.
        decay: how the limit moves before it comes to rest; None where it never moves.

    Raises:
        InvalidInput: INTENT_MALFORMED, ASSET_MALFORMED or AMOUNT_OUT_OF_RANGE.
    """

    domain: str
    owner: bytes
    nonce: int
    not_before_ms: int
    expiry_ms: int
    legs: tuple[Leg, ...]
    units: int
    min_units: int
    settlement_asset: str
    limit: int
    decay: Decay | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.domain) <= 128 or not self.domain.isascii():
            raise _malformed("domain must be 1 to 128 ASCII characters", "domain")
        if len(self.owner) != 32:
            raise _malformed("owner must be a 32-byte public key", "owner")
        for name in ("nonce", "not_before_ms", "expiry_ms"):
            if not 0 <= getattr(self, name) < UINT64:
                raise _malformed(f"{name} must be below 2^64", name)
        if self.not_before_ms >= self.expiry_ms:
            raise _malformed("not_before_ms must be before expiry_ms", "expiry_ms")
        if not 1 <= len(self.legs) <= MAX_LEGS:
            raise _malformed(f"an intent has 1 to {MAX_LEGS} legs, not {len(self.legs)}", "legs")
        if not 1 <= self.units < AMOUNT_LIMIT:
            raise _malformed("units must be at least 1 and below 2^255", "units")
        if not 0 <= self.min_units <= self.units:
            raise _malformed("min_units must be between 0 and units", "min_units")
        check_asset_id(self.settlement_asset, "settlement_asset")
        seen = {self.settlement_asset}
        for leg in self.legs:
            check_asset_id(leg.asset, "legs.asset")
            if leg.asset in seen:
                raise _malformed(f"{leg.asset} stands twice among legs and settlement", "legs")
            seen.add(leg.asset)
            if leg.quantity == 0:
                raise _malformed(f"the quantity of {leg.asset} is zero", "legs.quantity")
            check_amount(leg.quantity * self.units, "legs.quantity · units")
        check_amount(self.limit, "limit")
        if self.decay is not None:
            self._check_decay(self.decay)
        self._check_signs()

    def _check_decay(self, decay: Decay) -> None:
        check_amount(decay.start_limit, "decay.start_limit")
        if not 0 <= decay.start_ms < decay.end_ms < UINT64:
            raise _malformed("decay must start before it ends, both below 2^64", "decay")

    def _check_signs(self) -> None:
        # A limit on the wrong side of zero would be a surplus that no trade backs: "sell for at
        # least −10^30" would outscore every honest bid.
        limits = [self.limit] if self.decay is None else [self.limit, self.decay.start_limit]
        if all(leg.quantity < 0 for leg in self.legs) and min(limits) < 0:
            raise _malformed("an owner who only gives cannot also pay: limit must be ≥ 0", "limit")
        if all(leg.quantity > 0 for leg in self.legs) and max(limits) >= 0:
            raise _malformed("an owner who only receives must pay: limit must be < 0", "limit")

    def limit_at(self, t_ms: int) -> int:
        """L_t: atoms of the settlement asset that all units must bring at time `t_ms`."""
        decay = self.decay
        if decay is None or t_ms >= decay.end_ms:
            return self.limit
        if t_ms <= decay.start_ms:
            return decay.start_limit
        moved = (self.limit - decay.start_limit) * (t_ms - decay.start_ms)
        return decay.start_limit + moved // (decay.end_ms - decay.start_ms)

    @cached_property
    def group(self) -> str:
        """The directed market it trades in (protocol §6).

        A single leg: "given>received", whichever of the two is the leg. Several legs: the
        hexadecimal SHA-256 over the settlement asset and the legs, sorted by asset and divided by
        their gcd, one "asset quantity" a line.
        """
        if len(self.legs) == 1:
            leg = self.legs[0]
            if leg.quantity < 0:
                return f"{leg.asset}>{self.settlement_asset}"
            return f"{self.settlement_asset}>{leg.asset}"
        divisor = gcd(*(leg.quantity for leg in self.legs))
        lines = [self.settlement_asset]
        lines += sorted(f"{leg.asset} {leg.quantity // divisor}" for leg in self.legs)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def assets(self) -> tuple[str, ...]:
        """The settlement asset, then the legs' assets."""
        return (self.settlement_asset, *(leg.asset for leg in self.legs))

    def needs(self, units: int, limit: int) -> dict[str, int]:
        """Atoms per asset that an owner must hold for `units` units at the worst price `limit`
        allows.
        """
        gives = {leg.asset: -leg.quantity * units for leg in self.legs if leg.quantity < 0}
        if limit < 0:
            gives[self.settlement_asset] = -((units * limit) // self.units)
        return gives

    def backed(self, limit: int, available: Callable[[str], int]) -> int:
        """How many units an owner with `available` atoms of each asset can pay for at `limit`.

        At least `units` where nothing is given.
        """
        most = [available(leg.asset) // -leg.quantity for leg in self.legs if leg.quantity < 0]
        if limit < 0:
            most.append(available(self.settlement_asset) * self.units // -limit)
        return min(most, default=self.units)


def least_fill(intent: Intent, remaining: int) -> int:
    """The fewest units a fill may have: `min_units`, or all that remain if that is less; at least
    1.
    """
    return max(1, min(intent.min_units, remaining))


def settlement(intent: Intent, units: int, prices: Mapping[str, int]) -> int:
    """Atoms of the settlement asset that `units` units bring their owner at clearing `prices`.

    s = floor(−Σ quantity·k·price / price of the settlement asset), protocol §5.
    """
    worth = 0
    for leg in intent.legs:
        worth += leg.quantity * prices[leg.asset]
    return -worth * units // prices[intent.settlement_asset]


def surplus(intent: Intent, units: int, settlement: int, limit: int) -> int:
    """Atoms of the settlement asset above what `units` units must bring: s − ceil(k·L_t / N)."""
    return settlement - ceil_div(units * limit, intent.units)


def _malformed(message: str, field: str) -> InvalidInput:
    return InvalidInput(Reason.INTENT_MALFORMED, message, field=field)
