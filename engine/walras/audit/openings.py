"""Sealed bids: what a commitment commits to, and what opens it (protocol §5).

    plaintext  = the bid's envelope ‖ 32 bytes of salt
    commitment = SHA-256(plaintext)
    opening    = SealedBox(plaintext), for the X25519 key of the auction, signed by the solver

The box keeps a bid from the network until the set is closed. It neither says who made it nor binds
to one key: the signature around it says the one, the commitment to the plaintext does the other.
The salt keeps whoever can guess a bid from finding it in its commitment.
"""

from hashlib import sha256

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from walras.core.errors import BidRejected, Reason
from walras.protocol.sealed_bids import SALT_BYTES

BOX_BYTES = 48
"""What sealing adds."""


def commitment_to(bid: bytes, salt: bytes) -> bytes:
    """SHA-256(the bid's envelope ‖ salt)."""
    return sha256(bid + salt).digest()


def public_bid_key(secret: bytes) -> bytes:
    """The X25519 public key of a 32-byte secret."""
    public: bytes = bindings.crypto_scalarmult_base(secret)
    return public


def is_bid_key(public: bytes) -> bool:
    """Whether anything can be sealed to this: 32 bytes and no point of small order."""
    if len(public) != bindings.crypto_scalarmult_BYTES:
        return False
    try:
        bindings.crypto_scalarmult(bytes(31) + b"\x40", public)
    except (CryptoError, ValueError, TypeError):
        return False
    return True


def seal_bid(bid: bytes, salt: bytes, bid_key: bytes) -> bytes:
    """A bid and its salt for whoever holds the auction's secret."""
    return SealedBox(PublicKey(bid_key)).encrypt(bid + salt)


def open_bid(sealed: bytes, commitment: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """The bid's envelope and its salt.

    Raises:
        BidRejected: OPENING_INVALID where the box does not open, or to what was not committed to.
    """
    try:
        plaintext = SealedBox(PrivateKey(secret)).decrypt(sealed)
    except (CryptoError, ValueError, TypeError) as error:
        raise BidRejected(Reason.OPENING_INVALID, "the opening's box does not open") from error
    if sha256(plaintext).digest() != commitment:
        raise BidRejected(
            Reason.OPENING_INVALID,
            "the opening is not what was committed to",
            commitment=commitment.hex(),
        )
    if len(plaintext) <= SALT_BYTES:
        raise BidRejected(Reason.OPENING_INVALID, "what was committed to is no bid and salt")
    return plaintext[:-SALT_BYTES], plaintext[-SALT_BYTES:]
