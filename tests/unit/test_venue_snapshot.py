"""Venues by id, and one swap on one of them."""

import pickle

import pytest

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.kinds import AnyVenue, ConstantProduct, Offer, OrderBook
from walras.market.snapshot import by_id, execute

X, Y = "eip155:1/slip44:60", "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
PAIR = ConstantProduct("pair", 5, (X, Y), (10**6, 10**6), 0)
BOOK = OrderBook("book", 7, (X, Y), (Offer(10, 30),), ())


def test_ids_are_in_order_and_unique() -> None:
    assert list(by_id([PAIR, BOOK])) == ["book", "pair"]
    with pytest.raises(InvalidInput) as caught:
        by_id([PAIR, BOOK, PAIR])
    assert caught.value.reason is Reason.VENUE_MALFORMED
    assert caught.value.fields["venue"] == "pair"


def test_execute() -> None:
    venues: dict[str, AnyVenue] = by_id([PAIR, BOOK])
    swap = execute(venues, "book", Y, 15, X)
    assert swap.amount_out == 5
    assert swap.after == OrderBook("book", 7, (X, Y), (Offer(5, 15),), ())
    with pytest.raises(SwapError) as caught:
        execute(venues, "nowhere", Y, 15, X)
    assert caught.value.reason is Reason.VENUE_UNKNOWN


def test_the_state_after_a_swap_is_a_value_like_any_other() -> None:
    after = PAIR.swap(X, 100, Y).after
    again = ConstantProduct("pair", 5, (X, Y), after.reserves, 0)
    assert after == again
    assert hash(after) == hash(again)
    assert pickle.loads(pickle.dumps(after)) == again
