"""Weighted pools against values that Balancer's contracts gave to others."""

from decimal import Decimal, localcontext

import pytest

from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market import log_exp_math
from walras.market.fixed_point import ONE, complement, mul_down, mul_up, pow_up
from walras.market.inverse import least_input
from walras.market.marginal import spot_price
from walras.market.weighted import VAULT_LIMIT, Weighted, out_given_in

A = [f"eip155:1/erc20:0x{n:040x}" for n in range(9)]

# cowprotocol/services crates/liquidity-sources/src/balancer_v2/swap/fixed_point/logexpmath.rs:
# outputs of LogExpMath.sol on a Hardhat node.
LN = [
    (1, -41446531673892822312),
    (100, -36841361487904730944),
    (10**6, -27631021115928548208),
    (10**11, -16118095650958319788),
    (10**18, 0),
    (10**23, 11512925464970228420),
    (10**29, 25328436022934502524),
    (10**35, 39143946580898776628),
    (10**41, 52959457138863050732),
    (10**65, 108221499370720147148),
    (10**76, 133549935393654649672),
]
LN_36 = [
    (900000000000000000, -105360515657826301227479460574005190),
    (950000000000000000, -51293294387550533426196144149312054),
    (999999999999999999, -1000000000000000000),
    (1000000000000000000, 0),
    (1000000000000000001, 999999999999999998),
    (1050000000000000000, 48790164169432003065374404178136230),
    (1100000000000000000, 95310179804324860043948199225536944),
    # kyberswap-dex-lib pkg/liquidity-source/balancer/v2/math/log_exp_math_test.go
    (999955774281269788, -44226696716145462061506341909418),
]
EXP = [
    (-41000000000000000000, 1),
    (-10000000000000000000, 45399929762484),
    (-1000000000000000000, 367879441171442321),
    (-100000000, 999999999900000000),
    (-1, 999999999999999999),
    (0, 1000000000000000000),
    (1, 1000000000000000001),
    (100000000, 1000000000100000000),
    (999999999999999999, 2718281828459045227),
    (1000000000000000000, 2718281828459045235),
    (1000000000000000001, 2718281828459045238),
    (10000000000000000000, 22026465794806716516930),
    (100000000000000000000, 26881171418161354484131967259153438289195652545281114830700000),
    (
        130000000000000000000,
        287264955081783193326519143742863858051506000000000000000000000000000000000,
    ),
    (-176906786864581, 999823108860218333),  # kyberswap-dex-lib, as above
]
POWER = [
    (2**255 - 1, 1, 1000000000000000135),
    (10**18, 289480223093290488558927462521719769633174961664101410097, 10**18),
    (2872 * 10**71, 10**18, 287199999999999999375313920267432160096964 * 10**33),
    (1250152867, 2 * 10**18, 1),
    (0, 10**21, 0),
    (0, 0, 10**18),
    (10**18, 0, 10**18),
    (2 * 10**18, 2 * 10**18, 3999999999999999996),
    # kyberswap-dex-lib, as above
    (999955774281269788, 4 * 10**18, 999823108860218333),
    (877904152923774542, 25 * 10**16, 967969728761424232),
]


def test_logarithms_and_powers_of_the_contract() -> None:
    assert [log_exp_math.ln(a) for a, _ in LN] == [out for _, out in LN]
    assert [log_exp_math.ln_36(x) for x, _ in LN_36] == [out for _, out in LN_36]
    assert [log_exp_math.exp(x) for x, _ in EXP] == [out for _, out in EXP]
    assert [log_exp_math.power(x, y) for x, y, _ in POWER] == [out for *_, out in POWER]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (2**255, 1),
        (10**18, log_exp_math.MILD_EXPONENT_BOUND),
        (2873 * 10**71, 10**18),
        (1250152866, 2 * 10**18),
        (1, 2**256 - 1),
        (130 * 10**18 + 1, 130 * 10**18 + 1),
        (1, 130 * 10**18 + 1),
    ],
)
def test_power_out_of_bounds(x: int, y: int) -> None:
    # cowprotocol/services, as above: the same inputs revert in the contract.
    with pytest.raises(ValueError, match="out of bounds"):
        log_exp_math.power(x, y)


def test_fixed_point_of_the_contract() -> None:
    # cowprotocol/services, swap/fixed_point.rs
    assert pow_up(2 * ONE, 3 * ONE) == 8_000_000_000_000_079_990
    assert pow_up(2 * ONE, 0) == 1_000_000_000_000_010_001
    assert (mul_down(1, ONE // 2), mul_up(1, ONE // 2)) == (0, 1)
    assert complement(424242424242424242) == 575757575757575758
    assert complement(ONE + 1) == 0
    # kyberswap-dex-lib, fixed_point_test.go
    assert mul_down(25925243203807071591361, 176891139771667) == 4585945819179096677


# balance in, weight in, balance out, weight out, amount in, amount out.
OUT_GIVEN_IN = [
    # cowprotocol/services crates/liquidity-sources/src/balancer_v2/swap/weighted_math.rs
    (10**23, 3 * 10**14, 10**19, 7 * 10**14, 10**16, 428571297950),
    # kyberswap-dex-lib pkg/liquidity-source/balancer/v2/math/weighted_math_test.go
    (
        2133741937219414819371293,
        10,
        548471973423647283412313,
        20,
        21481937129313123729,
        2760912942840907991,
    ),
    (92174932794319461529478329, 15, 2914754379179427149231562, 5, 14957430248210, 1389798609308),
    (
        28430120665864259131432,
        10**17,
        10098902157921113397,
        3 * 10**16,
        6125185803357185587126,
        4828780052665314529,
    ),
]


@pytest.mark.parametrize("row", OUT_GIVEN_IN)
def test_out_given_in_of_the_contract(row: tuple[int, ...]) -> None:
    assert out_given_in(*row[:5]) == row[5]


def test_the_short_cut_for_equal_weights() -> None:
    # cowprotocol/services weighted_math.rs gives 2307692307692230750000 for this swap in a pool of
    # the first version, which has no short cut; ours pays 10^-14 of the balance more.
    balance_in, balance_out, amount_in = 20_000 * ONE, 10_000 * ONE, 6_000 * ONE
    base = -(-balance_in * ONE // (balance_in + amount_in))
    raw = log_exp_math.power(base, ONE)
    first_version = complement(raw + mul_up(raw, 10_000) + 1)
    assert mul_down(balance_out, first_version) == 2_307_692_307_692_230_750_000
    assert out_given_in(balance_in, ONE // 2, balance_out, ONE // 2, amount_in) == (
        2_307_692_307_692_307_690_000
    )


def pool(
    balances: tuple[int, ...], weights: tuple[int, ...], fee: int, scaling: tuple[int, ...] = ()
) -> Weighted:
    n = len(balances)
    return Weighted("w", 0, tuple(A[:n]), balances, weights, scaling or (1,) * n, fee)


# venue, place in, amount in, place out, amount out
POOLS = [
    # cowprotocol/services swap/mod.rs, weighted_get_amount_out: mainnet transaction 0xa9f571c9…
    (
        pool(
            (1850304144768426873445489, 95671347892391047965654),
            (9 * 10**17, 10**17),
            2 * 10**15,
        ),
        (1, 227937106828652254870, 0, 488192591864344551330),
    ),
    # kyberswap-dex-lib pkg/liquidity-source/balancer/v2/weighted/pool_simulator_test.go, 1, 2, 3
    (
        pool(
            (331125, 320633, 348846),
            (333300000000000000, 333300000000000000, 333400000000000000),
            3 * 10**15,
        ),
        (0, 3311, 2, 3442),
    ),
    (
        pool((3360160080014532471350474, 1112301324508754708737), (8 * 10**17, 2 * 10**17), 10**15),
        (0, 60160080014532471350474, 1, 76143667376405160244),
    ),
    (
        pool((3360160080014532471350474, 1112301324508754708737), (8 * 10**17, 2 * 10**17), 10**15),
        (1, 6016008001453247, 0, 4538893010907736440),
    ),
    # … and 4, mainnet block 18783187: 80/20, the exponent 1/4
    (
        pool(
            (31686717298564222587034828, 14236767788701850247952),
            (8 * 10**17, 2 * 10**17),
            10**16,
        ),
        (1, 2 * 10**21, 0, 1014934149732776116160723),
    ),
]


@pytest.mark.parametrize(("venue", "row"), POOLS)
def test_recorded_swaps(venue: Weighted, row: tuple[int, int, int, int]) -> None:
    i, amount_in, j, amount_out = row
    swap = venue.swap(A[i], amount_in, A[j])
    assert swap.amount_out == amount_out
    assert swap.after.balances[i] == venue.balances[i] + amount_in
    assert swap.after.balances[j] == venue.balances[j] - amount_out
    assert (swap.after.weights, swap.after.fee) == (venue.weights, venue.fee)
    least = least_input(venue, A[i], A[j], amount_out)
    assert least <= amount_in
    assert venue.swap(A[i], least, A[j]).amount_out >= amount_out
    assert venue.swap(A[i], least - 1, A[j]).amount_out < amount_out


def test_scaling_and_the_formula() -> None:
    # 8 decimals against 18; 40 digits of decimal against the integers.
    venue = pool((250 * 10**8, 4_000 * ONE), (6 * 10**17, 4 * 10**17), 0, (10**10, 1))
    amount_out = venue.swap(A[0], 3 * 10**8, A[1]).amount_out
    with localcontext() as context:
        context.prec = 60
        exact = 4_000 * ONE * (1 - (Decimal(250) / Decimal(253)) ** Decimal("1.5"))
    assert 0 <= exact - amount_out < 4_000 * ONE * Decimal("2.1e-14")


@pytest.mark.parametrize(
    ("venue", "swap", "reason"),
    [
        (pool((10**20, 10**20), (ONE // 2, ONE // 2), 0), (A[0], 1, A[1]), Reason.SWAP_AMOUNT),
        (pool((10**20, 10**20), (ONE // 2, ONE // 2), 0), (A[0], 0, A[1]), Reason.SWAP_AMOUNT),
        (pool((1, 1), (ONE // 2, ONE // 2), 0), (A[0], 1, A[1]), Reason.SWAP_LIQUIDITY),
        (
            pool((10**20, 10**20), (ONE // 2, ONE // 2), 0),
            (A[0], 3 * 10**19 + 1, A[1]),
            Reason.SWAP_LIQUIDITY,
        ),
        (pool((0, 10**20), (ONE // 2, ONE // 2), 0), (A[0], 1, A[1]), Reason.SWAP_LIQUIDITY),
        (pool((10**20, 0), (ONE // 2, ONE // 2), 0), (A[0], 1, A[1]), Reason.SWAP_LIQUIDITY),
        (
            pool((VAULT_LIMIT - 1, 10**20), (ONE // 2, ONE // 2), 0),
            (A[0], VAULT_LIMIT // 100, A[1]),
            Reason.SWAP_LIQUIDITY,
        ),
        (pool((10**20, 10**20), (ONE // 2, ONE // 2), 0), (A[0], 1, A[5]), Reason.SWAP_ASSETS),
    ],
)
def test_refused_swaps(venue: Weighted, swap: tuple[str, int, str], reason: Reason) -> None:
    with pytest.raises(SwapError) as caught:
        venue.swap(*swap)
    assert caught.value.reason is reason


def test_thirty_percent_is_the_most() -> None:
    venue = pool((20_000 * ONE, 10_000 * ONE), (ONE // 2, ONE // 2), 0)
    assert venue.swap(A[0], 6_000 * ONE, A[1]).amount_out == 2_307_692_307_692_307_690_000
    with pytest.raises(SwapError, match="more than"):
        venue.swap(A[0], 6_000 * ONE + 1, A[1])
    with pytest.raises(SwapError) as caught:
        least_input(venue, A[0], A[1], 2_400 * ONE)
    assert caught.value.reason is Reason.SWAP_LIQUIDITY


@pytest.mark.parametrize(
    ("weights", "scaling", "fee"),
    [
        ((ONE // 2, ONE // 2 + 1), (1, 1), 0),
        ((ONE // 2, ONE // 2 - 1), (1, 1), 0),
        ((ONE // 100 - 1, ONE - ONE // 100 + 1), (1, 1), 0),
        ((ONE,), (1, 1), 0),
        ((ONE // 2, ONE // 2), (1, 0), 0),
        ((ONE // 2, ONE // 2), (1, ONE + 1), 0),
        ((ONE // 2, ONE // 2), (1, 1), ONE),
        ((ONE // 2, ONE // 2), (1, 1), -1),
    ],
)
def test_malformed(weights: tuple[int, ...], scaling: tuple[int, ...], fee: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        Weighted("w", 0, (A[0], A[1]), (1, 1), weights, scaling, fee)
    assert caught.value.reason is Reason.VENUE_MALFORMED


def test_nine_assets_are_too_many() -> None:
    with pytest.raises(InvalidInput, match="2 to 8 assets"):
        Weighted("w", 0, tuple(A), (1,) * 9, (ONE // 9,) * 9, (1,) * 9, 0)


def test_spot_price() -> None:
    venue = pool((10**24, 10**22), (8 * 10**17, 2 * 10**17), 10**16)
    assert spot_price(venue, A[0], A[1]) == pytest.approx(0.04 * 0.99, rel=1e-15)
    exact = venue.swap(A[0], 10**18, A[1]).amount_out / 10**18
    assert spot_price(venue, A[0], A[1]) == pytest.approx(exact, rel=1e-5)
