"""Order books: exact ratios, floored once, and what remains."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.inverse import least_input
from walras.market.marginal import spot_price
from walras.market.order_book import MAX_OFFERS, Offer, OrderBook

ETH = "eip155:1/slip44:60"
USD = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"


def book(asks: list[tuple[int, int]], bids: list[tuple[int, int]] | None = None) -> OrderBook:
    return OrderBook(
        "b",
        0,
        (ETH, USD),
        tuple(Offer(*ask) for ask in asks),
        tuple(Offer(*bid) for bid in bids or []),
    )


def test_whole_offers_and_a_part() -> None:
    venue = book([(10, 300), (10, 310), (10, 400)], [(290, 10)])
    swap = venue.swap(USD, 300 + 155, ETH)
    assert swap.amount_out == 15
    assert swap.after == book([(5, 155), (10, 400)], [(290, 10)])
    assert venue.swap(USD, 1010, ETH).after == book([], [(290, 10)])


def test_selling_the_base_takes_the_bids() -> None:
    venue = book([(10, 300)], [(290, 10), (280, 10)])
    swap = venue.swap(ETH, 12, USD)
    assert swap.amount_out == 290 + 56
    assert swap.after == book([(10, 300)], [(224, 8)])


def test_a_rest_too_small_for_an_atom_is_paid_for_nothing() -> None:
    swap = book([(1, 300), (1, 310)]).swap(USD, 300 + 309, ETH)
    assert swap.amount_out == 1
    assert swap.after == book([(1, 310)])


def test_what_remains_is_never_cheaper_and_stays_in_order() -> None:
    # Of 3 for 10, a payment of 4 takes 1 and leaves floor(3·6/10) = 1 for 6, behind 300 for 1001.
    swap = book([(3, 10), (300, 1001)]).swap(USD, 4, ETH)
    assert swap.amount_out == 1
    assert swap.after == book([(300, 1001), (1, 6)])


def test_what_remains_below_an_atom_leaves_the_book() -> None:
    swap = book([(2, 10), (1, 9)]).swap(USD, 9, ETH)
    assert swap.amount_out == 1
    assert swap.after == book([(1, 9)])


@pytest.mark.parametrize(
    ("swap", "reason"),
    [
        ((USD, 0, ETH), Reason.SWAP_AMOUNT),
        ((USD, 29, ETH), Reason.SWAP_AMOUNT),
        ((USD, 301, ETH), Reason.SWAP_LIQUIDITY),
        ((USD, AMOUNT_LIMIT * 8, ETH), Reason.SWAP_LIQUIDITY),
        ((ETH, 1, USD), Reason.SWAP_LIQUIDITY),
        ((ETH, 1, ETH), Reason.SWAP_ASSETS),
        ((ETH, 1, "eip155:1/slip44:0"), Reason.SWAP_ASSETS),
    ],
)
def test_refused_swaps(swap: tuple[str, int, str], reason: Reason) -> None:
    with pytest.raises(SwapError) as caught:
        book([(10, 300)]).swap(*swap)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("asks", "bids"),
    [
        ([(0, 1)], []),
        ([(1, 0)], []),
        ([(1, AMOUNT_LIMIT)], []),
        ([(10, 310), (10, 300)], []),
        ([], [(300, 10), (301, 10)]),
        ([(10, 300)], [(301, 10)]),
        ([(1, 1)] * (MAX_OFFERS + 1), []),
    ],
)
def test_malformed(asks: list[tuple[int, int]], bids: list[tuple[int, int]]) -> None:
    with pytest.raises(InvalidInput) as caught:
        book(asks, bids)
    assert caught.value.reason is Reason.VENUE_MALFORMED


def test_a_bid_may_meet_the_ask() -> None:
    venue = book([(10, 300)], [(300, 10)])
    bought = venue.swap(USD, 300, ETH)
    assert bought.after.swap(ETH, bought.amount_out, USD).amount_out == 300


offers = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=5).map(
    lambda rows: sorted(rows, key=lambda row: Fraction(row[1], row[0]))
)


@given(offers, st.data())
def test_pays_the_floor_of_the_exact_supply_curve(
    asks: list[tuple[int, int]], data: st.DataObject
) -> None:
    amount_in = data.draw(st.integers(1, sum(want for _, want in asks)))
    curve, rest = Fraction(0), amount_in
    for give, want in asks:
        taken = min(rest, want)
        curve += Fraction(give * taken, want)
        rest -= taken
    if curve < 1:
        with pytest.raises(SwapError):
            book(asks).swap(USD, amount_in, ETH)
        return
    swap = book(asks).swap(USD, amount_in, ETH)
    assert swap.amount_out == int(curve)
    assert swap.after == book([(o.give, o.want) for o in swap.after.asks])  # passes its own checks
    least = least_input(book(asks), USD, ETH, swap.amount_out)
    cheaper = [n for n in range(1, least) if pays(book(asks), n) >= swap.amount_out]
    assert pays(book(asks), least) >= swap.amount_out
    assert not cheaper


def pays(venue: OrderBook, amount_in: int) -> int:
    try:
        return venue.swap(USD, amount_in, ETH).amount_out
    except SwapError:
        return 0


def test_spot_price() -> None:
    venue = book([(10, 300)], [(290, 10)])
    assert spot_price(venue, USD, ETH) == pytest.approx(1 / 30)
    assert spot_price(venue, ETH, USD) == pytest.approx(29)
    assert spot_price(book([]), USD, ETH) == 0.0
