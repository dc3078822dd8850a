"""Makers' quotes: what was signed, and whether it was (protocol §12, RFQ).

A quote is no record of its own. It comes in an operator's market update, as a venue that holds the
maker's signature; it is verified before the update may change anything, and by whoever audits.
"""

from walras.audit import keys
from walras.audit.envelope import pae
from walras.market.kinds import Rfq
from walras.protocol.records import MarketUpdate
from walras.protocol.venues import QUOTE_TYPE, encode_quote


def quote_message(domain: str, quote: Rfq) -> bytes:
    """The bytes that the maker signs: the PAE of the quote's body for the engine `domain`."""
    return pae(QUOTE_TYPE, encode_quote(domain, quote))


def check_quotes(update: MarketUpdate) -> None:
    """Return if every quote in the update is signed by its maker, for the update's domain.

    Raises:
        InvalidInput: PUBLIC_KEY_INVALID or SIGNATURE_INVALID.
    """
    for venue in update.venues:
        if isinstance(venue, Rfq):
            keys.verify(venue.maker, quote_message(update.domain, venue), venue.signature)
