"""Laws that every venue keeps: to the atom where its arithmetic can, else within a stated bound."""

from dataclasses import fields
from decimal import Decimal, localcontext
from fractions import Fraction
from math import prod

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from walras.core.errors import Reason, SwapError
from walras.market.constant_product import RESERVE_LIMIT
from walras.market.fixed_point import ONE
from walras.market.inverse import least_input
from walras.market.kinds import AnyVenue, ConstantProduct, Offer, OrderBook, StableSwap, Weighted
from walras.market.marginal import spot_price
from walras.market.stable_swap import FEE_DENOMINATOR, PRECISION, invariant
from walras.market.venue import Swap
from walras.market.weighted import VAULT_LIMIT

A = [f"eip155:1/erc20:0x{n:040x}" for n in range(8)]

few = settings(max_examples=60, deadline=None)


def magnitudes(bits: int = 255, least: int = 0) -> st.SearchStrategy[int]:
    """Integers of every order of magnitude alike, below 2^bits."""
    lowest = max(least.bit_length(), 1)
    return st.integers(lowest, bits).flatmap(
        lambda b: st.integers(max(least, 2 ** (b - 1)), 2**b - 1)
    )


def any_of(*kinds: st.SearchStrategy[AnyVenue]) -> st.SearchStrategy[AnyVenue]:
    return st.one_of(*kinds)


@st.composite
def constant_products(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> ConstantProduct:
    fee = draw(st.sampled_from([0, 1, 3000, 10_000, 999_999]))
    small = amounts.map(lambda amount: min(amount, RESERVE_LIMIT - 1))
    return ConstantProduct("cp", 0, (A[0], A[1]), (draw(small), draw(small)), fee)


@st.composite
def weighteds(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> Weighted:
    n = draw(st.integers(2, 4))
    small = amounts.map(lambda amount: min(amount, VAULT_LIMIT - 1))
    parts = draw(st.lists(st.integers(1, 24), min_size=n, max_size=n))
    weights = [part * ONE // sum(parts) for part in parts]
    weights[0] += ONE - sum(weights)
    return Weighted(
        "w",
        0,
        tuple(A[:n]),
        tuple(draw(small) for _ in range(n)),
        tuple(weights),
        tuple(draw(st.sampled_from([1, 10**10, 10**12])) for _ in range(n)),
        draw(st.sampled_from([0, 10**12, 3 * 10**15, 10**17])),
    )


@st.composite
def stable_swaps(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> StableSwap:
    n = draw(st.integers(2, 8))
    return StableSwap(
        "s",
        0,
        tuple(A[:n]),
        tuple(draw(amounts) for _ in range(n)),
        tuple(draw(st.sampled_from([1, 10**18, 10**28, 10**30, 2**128 - 1])) for _ in range(n)),
        draw(st.sampled_from([100, 5_000, 200_000, 10**8])),
        draw(st.sampled_from([0, 4_000_000, 10**9, 10**10 - 1])),
    )


@st.composite
def order_books(draw: st.DrawFn, amounts: st.SearchStrategy[int]) -> OrderBook:
    def side() -> list[Offer]:
        rows = draw(st.lists(st.tuples(amounts, amounts), max_size=4))
        offers = [Offer(max(give, 1), max(want, 1)) for give, want in rows]
        return sorted(offers, key=lambda offer: Fraction(offer.want, offer.give))

    asks, bids = side(), side()
    while asks and bids and bids[0].give * asks[0].give > bids[0].want * asks[0].want:
        bids.pop(0)
    return OrderBook("b", 0, (A[0], A[1]), tuple(asks), tuple(bids))


def all_kinds(amounts: st.SearchStrategy[int]) -> st.SearchStrategy[AnyVenue]:
    return any_of(
        constant_products(amounts),
        weighteds(amounts),
        stable_swaps(amounts),
        order_books(amounts),
    )


@st.composite
def usual_stable_swaps(draw: st.DrawFn) -> StableSwap:
    """As people use them: balances within a factor of 20, price not far from 1."""
    n = draw(st.integers(2, 4))
    size = 10 ** draw(st.integers(1, 9))
    decimals = [draw(st.sampled_from([6, 8, 18])) for _ in range(n)]
    shares = [draw(st.integers(50, 1000)) for _ in range(n)]
    return StableSwap(
        "s",
        0,
        tuple(A[:n]),
        tuple(share * size * 10**d // 1000 for share, d in zip(shares, decimals, strict=True)),
        tuple(10 ** (36 - d) for d in decimals),
        draw(st.sampled_from([1_000, 10_000, 200_000])),
        draw(st.sampled_from([0, 1_000_000, 4_000_000])),
    )


def held(venue: AnyVenue, j: int) -> int:
    match venue:
        case ConstantProduct(reserves=balances):
            return balances[j]
        case OrderBook(asks=asks, bids=bids):
            return sum(offer.give for offer in (asks, bids)[j])
        case Weighted(balances=balances) | StableSwap(balances=balances):
            return balances[j]


def reason(venue: AnyVenue, i: int, amount_in: int, j: int) -> Reason | None:
    """Why it refuses a swap."""
    try:
        venue.swap(A[i], amount_in, A[j])
    except SwapError as error:
        return error.reason
    return None


def tried(venue: AnyVenue, i: int, amount_in: int, j: int) -> Swap[AnyVenue] | None:
    try:
        return venue.swap(A[i], amount_in, A[j])
    except SwapError:
        return None


def paid(venue: AnyVenue, i: int, amount_in: int, j: int) -> int:
    swap = tried(venue, i, amount_in, j)
    return swap.amount_out if swap else 0


def checked(venue: AnyVenue) -> AnyVenue:
    """The same value, made as one from outside is: with all its checks."""
    return type(venue)(**{field.name: getattr(venue, field.name) for field in fields(venue)})


@settings(max_examples=400, deadline=None)
@given(all_kinds(st.one_of(st.just(0), st.integers(0, 3), magnitudes())), magnitudes(), st.data())
@example(ConstantProduct("cp", 0, (A[0], A[1]), (1, 1), 0), 1, None)
@example(ConstantProduct("cp", 0, (A[0], A[1]), (1, RESERVE_LIMIT - 1), 0), RESERVE_LIMIT - 2, None)
def test_a_swap_pays_or_says_why_not_and_never_drains(
    venue: AnyVenue, amount_in: int, data: st.DataObject | None
) -> None:
    i, j = (0, 1)
    if data is not None:
        i, j = data.draw(st.permutations(range(len(venue.assets))))[:2]
    assert spot_price(venue, A[i], A[j]) >= 0
    swap = tried(venue, i, amount_in, j)
    if swap is None:
        assert reason(venue, i, amount_in, j) in {
            Reason.SWAP_AMOUNT,
            Reason.SWAP_LIQUIDITY,
            Reason.SWAP_NO_CONVERGENCE,
        }
        return
    assert 1 <= swap.amount_out <= held(venue, j)
    if not isinstance(venue, OrderBook):
        assert swap.amount_out < held(venue, j)
        assert held(swap.after, i) == held(venue, i) + amount_in
        assert held(swap.after, j) == held(venue, j) - swap.amount_out
    assert checked(swap.after) == swap.after


exact_kinds = any_of(
    constant_products(magnitudes(120)), order_books(st.one_of(st.integers(1, 60), magnitudes(120)))
)


@given(exact_kinds, magnitudes(100), magnitudes(100))
def test_exact_kinds_pay_more_for_more_and_no_more_in_parts(
    venue: AnyVenue, first: int, second: int
) -> None:
    whole = tried(venue, 0, first + second, 1)
    assume(whole is not None)
    assert whole is not None
    assert paid(venue, 0, first, 1) <= whole.amount_out
    part = tried(venue, 0, first, 1)
    if part:
        assert part.amount_out + paid(part.after, 0, second, 1) <= whole.amount_out


@given(exact_kinds, magnitudes(100))
def test_exact_kinds_there_and_back_never_profits(venue: AnyVenue, amount_in: int) -> None:
    there = tried(venue, 0, amount_in, 1)
    assume(there is not None)
    assert there is not None
    assert paid(there.after, 1, there.amount_out, 0) <= amount_in


@given(constant_products(magnitudes(112)), magnitudes(112))
def test_constant_product_is_the_floor_of_the_formula(
    pool: ConstantProduct, amount_in: int
) -> None:
    swap = tried(pool, 0, amount_in, 1)
    assume(swap is not None)
    assert swap is not None
    assert isinstance(swap.after, ConstantProduct)
    x, y = pool.reserves
    net = amount_in * (1 - Fraction(pool.fee_pips, 10**6))
    assert swap.amount_out == int(y * net / (x + net))
    after_x, after_y = swap.after.reserves
    assert after_x * after_y >= x * y


usual_weighteds = weighteds(magnitudes(100, least=10**9))


def weighted_out(pool: Weighted, amount_in: int) -> tuple[Decimal, Decimal]:
    """What the formula pays without rounding, and by how much less the pool may pay."""
    with localcontext() as context:
        context.prec = 110
        balance = Decimal(pool.balances[0])
        net = amount_in * (1 - Decimal(pool.fee) / ONE)
        exponent = Decimal(pool.weights[0]) / pool.weights[1]
        ideal = pool.balances[1] * (1 - (balance / (balance + net)) ** exponent)
        # The power is rounded up by at most twice 10^-14 and two units of 10^-18, its base and its
        # exponent by one each; the fee by an atom, which the base feels; the output by an atom.
        fee_atom = exponent * pool.balances[1] / balance
        loss = pool.balances[1] * (Decimal("2e-14") + (exponent + 4) * Decimal("1e-18"))
        return ideal, loss + fee_atom + 1


@few
@given(usual_weighteds, st.data())
def test_weighted_against_decimal(pool: Weighted, data: st.DataObject) -> None:
    amount_in = data.draw(st.integers(1, pool.balances[0] * 3 // 10))
    ideal, loss = weighted_out(pool, amount_in)
    amount_out = paid(pool, 0, amount_in, 1)
    assert amount_out <= ideal
    assert amount_out >= ideal - loss


@few
@given(usual_weighteds, st.data())
def test_weighted_in_parts_and_back(pool: Weighted, data: st.DataObject) -> None:
    amount_in = data.draw(st.integers(2, pool.balances[0] // 4))
    first = data.draw(st.integers(1, amount_in - 1))
    swap = tried(pool, 0, amount_in, 1)
    assume(swap is not None)
    assert swap is not None
    assert paid(swap.after, 1, swap.amount_out, 0) <= amount_in
    _, loss = weighted_out(pool, amount_in)
    assert paid(pool, 0, first, 1) <= swap.amount_out + loss
    part = tried(pool, 0, first, 1)
    if part:
        second = paid(part.after, 0, amount_in - first, 1)
        assert part.amount_out + second <= swap.amount_out + loss


def stable_out(pool: StableSwap, amount_in: int) -> Decimal:
    """What the invariant's real solution pays before the fee, in 18 decimals."""
    xs = [Decimal(b) * rate / PRECISION for b, rate in zip(pool.balances, pool.rates, strict=True)]
    n = len(xs)
    ann = Decimal(pool.amplification * n) / 100
    d = sum(xs, Decimal(0))
    for _ in range(60):
        d_p = d ** (n + 1) / (prod(xs) * n**n)
        d = (ann * sum(xs) + d_p * n) * d / ((ann - 1) * d + (n + 1) * d_p)
    others = [xs[0] + Decimal(amount_in) * pool.rates[0] / PRECISION, *xs[2:]]
    c = d ** (n + 1) / (prod(others) * n**n * ann)
    b = sum(others) + d / ann - d
    y: Decimal = (-b + (b * b + 4 * c).sqrt()) / 2
    return xs[1] - y


def atoms(pool: StableSwap, j: int, units: int) -> int:
    """`units` of 10^-18 in atoms, rounded up."""
    return -(-units * PRECISION // pool.rates[j])


@few
@given(usual_stable_swaps(), st.data())
def test_stable_swap_against_decimal(pool: StableSwap, data: st.DataObject) -> None:
    amount_in = data.draw(st.integers(1, pool.balances[0]))
    with localcontext() as context:
        context.prec = 110
        gross = stable_out(pool, amount_in)
        ideal = gross * (1 - Decimal(pool.fee) / FEE_DENOMINATOR) * PRECISION / pool.rates[1]
        amount_out = paid(pool, 0, amount_in, 1)
        assert ideal - 1 - atoms(pool, 1, 4) <= amount_out <= ideal + atoms(pool, 1, 4)


@few
@given(usual_stable_swaps(), st.data())
def test_stable_swap_laws(pool: StableSwap, data: st.DataObject) -> None:
    amount_in = data.draw(st.integers(2, pool.balances[0]))
    first = data.draw(st.integers(1, amount_in - 1))
    swap = tried(pool, 0, amount_in, 1)
    assume(swap is not None)
    assert swap is not None
    assert isinstance(swap.after, StableSwap)
    # D is found to within an atom either way.
    before = invariant(pool.scaled(), pool.amplification)
    assert invariant(swap.after.scaled(), pool.amplification) >= before - 2
    assert paid(swap.after, 1, swap.amount_out, 0) <= amount_in + atoms(pool, 0, 4)
    part = tried(pool, 0, first, 1)
    if part:
        assert part.amount_out <= swap.amount_out + atoms(pool, 1, 4)
        fee = part.amount_out * pool.fee // (FEE_DENOMINATOR - pool.fee) + 1
        second = paid(part.after, 0, amount_in - first, 1)
        assert part.amount_out + second <= swap.amount_out + fee + atoms(pool, 1, 4)


usable = any_of(
    constant_products(magnitudes(120)),
    order_books(magnitudes(120)),
    usual_weighteds,
    usual_stable_swaps(),
)


@few
@given(usable, magnitudes(110))
def test_least_input_is_a_border(venue: AnyVenue, amount_out: int) -> None:
    try:
        least = least_input(venue, A[0], A[1], amount_out)
    except SwapError:
        assert all(paid(venue, 0, 2**bits, 1) < amount_out for bits in range(255))
        return
    assert paid(venue, 0, least, 1) >= amount_out
    assert paid(venue, 0, least - 1, 1) < amount_out


@few
@given(usable, magnitudes(100))
def test_least_input_finds_what_a_swap_paid(venue: AnyVenue, amount_in: int) -> None:
    amount_out = paid(venue, 0, amount_in, 1)
    assume(amount_out)
    least = least_input(venue, A[0], A[1], amount_out)
    assert paid(venue, 0, least, 1) >= amount_out
    if isinstance(venue, ConstantProduct | OrderBook):
        assert least <= amount_in
