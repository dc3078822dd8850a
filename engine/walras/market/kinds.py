"""The kinds of venue there are. A new kind is one more file and one more name here."""

from walras.market.constant_product import ConstantProduct
from walras.market.order_book import Offer, OrderBook
from walras.market.stable_swap import StableSwap
from walras.market.weighted import Weighted

AnyVenue = ConstantProduct | Weighted | StableSwap | OrderBook

__all__ = ["AnyVenue", "ConstantProduct", "Offer", "OrderBook", "StableSwap", "Weighted"]
