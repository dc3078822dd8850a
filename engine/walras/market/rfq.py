"""Quote: what one maker signed to trade at, until it is used up or expires."""

from dataclasses import dataclass
from typing import Self

from walras.core.amounts import AMOUNT_LIMIT
from walras.market.state import (
    check_head,
    check_range,
    malformed,
    moved,
    places,
    too_large,
    too_small,
)
from walras.market.venue import Swap

_UINT64 = 1 << 64


@dataclass(frozen=True, slots=True)
class Rfq:
    """A maker's answer to a request for quote: one direction, one price, an end.

    A swap pays floor(input · amount_out / amount_in). Each rounding is in the maker's favour, so
    that all swaps together never cost the maker more than was signed.

    Here only shapes are checked. Whether the signature is the maker's is for whoever lets a quote
    into a market to say, and expiry for whoever seals a problem.

    Attributes:
        id: see `Venue`.
        cost: see `Venue`.
        assets: (what the maker takes, what the maker pays).
        maker: Ed25519 public key, 32 bytes.
        nonce: below 2^64; of the maker's one set of nonces.
        amount_in: atoms that the maker signed to take at most, ≥ 1.
        amount_out: atoms that the maker pays for all of them, ≥ 1.
        expiry_ms: below 2^64; from then on the quote is in no problem.
        signature: the maker's, 64 bytes.
        left: atoms that the maker still takes; 0 to amount_in.

    Raises:
        InvalidInput: VENUE_MALFORMED.
    """

    id: str
    cost: int
    assets: tuple[str, str]
    maker: bytes
    nonce: int
    amount_in: int
    amount_out: int
    expiry_ms: int
    signature: bytes
    left: int

    def __post_init__(self) -> None:
        check_head(self)
        if len(self.maker) != 32 or len(self.signature) != 64:
            raise malformed(self, "a maker's key has 32 bytes and its signature 64")
        check_range(self, "nonce and expiry_ms", [self.nonce, self.expiry_ms], 0, _UINT64)
        check_range(self, "amounts", [self.amount_in, self.amount_out], 1, AMOUNT_LIMIT)
        check_range(self, "left", [self.left], 0, self.amount_in + 1)

    def swap(self, asset_in: str, amount_in: int, asset_out: str) -> Swap[Self]:
        """See `Venue.swap`. SWAP_LIQUIDITY: more than is left, or the other way round."""
        i, _ = places(self, asset_in, amount_in, asset_out)
        if i or amount_in > self.left:
            raise too_large(self, amount_in)
        amount_out = amount_in * self.amount_out // self.amount_in
        if not amount_out:
            raise too_small(self, amount_in)
        return Swap(amount_out, moved(self, left=self.left - amount_in))
