"""The kinds of venue there are. A new kind is one more file and one more name here."""

from walras.market.constant_product import ConstantProduct
from walras.market.order_book import Offer, OrderBook
from walras.market.stable_swap import StableSwap
from walras.market.weighted import Weighted

AnyVenue = ConstantProduct | Weighted | StableSwap | OrderBook

_NAMES: dict[type, str] = {
    ConstantProduct: "constant_product",
    Weighted: "weighted",
    StableSwap: "stable_swap",
    OrderBook: "order_book",
}


def kind_of(venue: AnyVenue) -> str:
    """The name of a venue's kind, as the wire and market files have it."""
    return _NAMES[type(venue)]


__all__ = [
    "AnyVenue",
    "ConstantProduct",
    "Offer",
    "OrderBook",
    "StableSwap",
    "Weighted",
    "kind_of",
]
