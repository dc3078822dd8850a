"""The kinds of venue there are. A new kind is one more file and one more name here."""

from walras.market.bridge import Bridge
from walras.market.concentrated import Concentrated, Tick
from walras.market.constant_product import ConstantProduct
from walras.market.order_book import Offer, OrderBook
from walras.market.rfq import Rfq
from walras.market.stable_pool import StablePool
from walras.market.stable_swap import StableSwap
from walras.market.weighted import Weighted

AnyVenue = (
    ConstantProduct | Weighted | StableSwap | OrderBook | Concentrated | StablePool | Bridge | Rfq
)

_NAMES: dict[type, str] = {
    ConstantProduct: "constant_product",
    Weighted: "weighted",
    StableSwap: "stable_swap",
    OrderBook: "order_book",
    Concentrated: "concentrated",
    StablePool: "stable_pool",
    Bridge: "bridge",
    Rfq: "rfq",
}

KINDS = tuple(_NAMES.values())
"""Their names, as the wire and market files have them."""


def kind_of(venue: AnyVenue) -> str:
    """The name of a venue's kind."""
    return _NAMES[type(venue)]


__all__ = [
    "KINDS",
    "AnyVenue",
    "Bridge",
    "Concentrated",
    "ConstantProduct",
    "Offer",
    "OrderBook",
    "Rfq",
    "StablePool",
    "StableSwap",
    "Tick",
    "Weighted",
    "kind_of",
]
