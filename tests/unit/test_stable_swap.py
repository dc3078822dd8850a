"""StableSwap against amounts that Curve's deployed pools quoted to others."""

import pytest

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.errors import InvalidInput, Reason, SwapError
from walras.market.inverse import least_input
from walras.market.marginal import spot_price
from walras.market.stable_swap import StableSwap, invariant

E = 10**18
A = [f"eip155:1/erc20:0x{n:040x}" for n in range(9)]


def pool(
    balances: tuple[int, ...], rates: tuple[int, ...], amplification: int, fee: int
) -> StableSwap:
    return StableSwap("s", 0, tuple(A[: len(balances)]), balances, rates, amplification, fee)


# kyberswap-dex-lib pkg/liquidity-source/curve/plain/pool_simulator_compare_test.go (four mainnet
# pools, the last one with a rate of its own; every fifteenth of its 480 rows).
COMPARED = [
    pool((45876383648521078859958, 46055697017045102630848), (E, E), 3000, 1000000),
    pool((2956280030379509188162, 2964245912942265997953), (E, E), 25600, 2000000),
    pool((52493015922626349265297, 30090967530014043411406), (E, E), 10000, 4000000),
    pool((530780315973481861739, 521149693248370981028), (E, 1067563726201636047), 1000, 4000000),
]
ROWS = [
    (0, 0, 11_336_308_305_023_034_337, 11_336_510_980_538_684_877),
    (0, 0, 783_857_094_929_460_187_879, 783_446_275_456_040_025_736),
    (0, 0, 19_462_185_783_410_775_743_353, 19_150_774_804_735_579_590_489),
    (0, 0, 735_323_020_097_585_521_711_864, 46_045_093_138_720_616_633_299),
    (0, 1, 13_893_796_293_761_668_873, 13_890_523_377_749_626_205),
    (0, 1, 566_318_561_391_219_687_366, 565_965_700_564_096_711_936),
    (0, 1, 20_687_704_528_600_204_267_291, 20_319_804_030_661_820_057_079),
    (0, 1, 694_920_960_742_383_846_735_477, 45_865_081_119_520_717_117_919),
    (1, 0, 1_803_610_011_378_397_777, 1_803_263_895_518_024_787),
    (1, 0, 39_804_264_591_155_744_511, 39_794_638_126_620_832_390),
    (1, 0, 4_164_178_293_296_351_870_206, 2_952_020_294_599_982_926_557),
    (1, 0, 57_794_668_284_270_454_724_569, 2_963_622_655_079_871_285_377),
    (1, 1, 1_280_783_167_920_545_319, 1_280_511_447_702_566_261),
    (1, 1, 45_361_647_782_575_953_439, 45_349_395_780_754_703_825),
    (1, 1, 990_458_355_788_598_870_917, 988_799_333_907_795_849_372),
    (1, 1, 41_597_170_408_011_460_912_694, 2_955_629_954_061_537_131_156),
    (2, 0, 13_606_490_522_876_831_328, 13_516_357_239_569_829_591),
    (2, 0, 922_573_105_879_286_484_916, 916_151_478_742_509_629_520),
    (2, 0, 31_644_227_978_584_376_062_940, 28_020_165_067_017_621_358_324),
    (2, 0, 639_310_797_105_162_417_686_001, 30_077_264_523_287_361_935_139),
    (2, 1, 11_123_633_544_995_247_919, 11_188_753_592_648_461_015),
    (2, 1, 531_970_649_967_689_991_672, 534_984_194_490_596_935_640),
    (2, 1, 9_986_816_828_616_953_812_605, 10_014_899_550_298_536_329_749),
    (2, 1, 645_179_691_961_459_885_570_545, 52_470_263_698_525_961_608_665),
    (3, 0, 108_742_249_385_064_686, 102_254_524_785_330_071),
    (3, 0, 1_076_583_437_005_965_069, 1_012_188_250_248_493_209),
    (3, 0, 72_926_536_379_286_522_807, 67_742_924_110_537_426_428),
    (3, 0, 5_484_426_601_469_599_159_252, 520_439_553_222_426_467_504),
    (3, 1, 295_774_389_804_201_015, 314_266_401_858_525_487),
    (3, 1, 6_971_670_994_458_902_283, 7_398_709_415_143_801_683),
    (3, 1, 364_034_574_613_312_978_415, 349_206_207_371_801_969_302),
    (3, 1, 6_385_255_970_783_142_650_370, 530_224_616_990_599_973_850),
]


@pytest.mark.parametrize(("place", "i", "amount_in", "amount_out"), ROWS)
def test_compared_swaps(place: int, i: int, amount_in: int, amount_out: int) -> None:
    venue = COMPARED[place]
    swap = venue.swap(A[i], amount_in, A[1 - i])
    assert swap.amount_out == amount_out
    # exchange() with an admin fee of zero: the whole input comes, only the output goes.
    assert swap.after.balances[i] == venue.balances[i] + amount_in
    assert swap.after.balances[1 - i] == venue.balances[1 - i] - amount_out


# kyberswap-dex-lib pkg/source/curve/base/pool_simulator_test.go: get_dy of the pool
# 0x1005f7406f32a61bd760cfa14accd2737913d546 (USDC, USDT; 6 decimals) in two states.
USDC_USDT = pool((101940884, 107546110), (10**30, 10**30), 150000, 3000000)
SKEWED = pool((69265278, 140296574), (10**30, 10**30), 150000, 3000000)
# The same project, curve/plain/pool_simulator_test.go: 0xe7a3b38c39f97e977723bd1239c3470702568e7b
# (18, 18 and 6 decimals) and 0xb9446c4Ef5EBE66268dA6700D26f96273DE3d571 (18, 6 and 2 decimals).
EURC = pool(
    (103902458912250371998101, 96026429950922739854657, 90684626303), (E, E, 10**30), 1000, 4000000
)
EURS = pool(
    (549022857960890312641141, 1075362632212, 46720010), (E, 10**30, 10**34), 20000, 4000000
)
QUOTED = [
    (USDC_USDT, 0, 5000, 1, 4998),
    (USDC_USDT, 0, 50000, 1, 49986),
    (USDC_USDT, 1, 50000, 0, 49983),
    (USDC_USDT, 1, 51000, 0, 50982),
    (SKEWED, 0, 100000000000000, 1, 140254485),
    (SKEWED, 0, 100000000, 1, 99936588),
    (SKEWED, 0, 100002233, 1, 99938816),
    (SKEWED, 1, 20000, 0, 19982),
    (SKEWED, 1, 3000200, 0, 2997456),
    (SKEWED, 1, 88001800, 0, 69067695),
    (SKEWED, 1, 100000000000000, 0, 69244498),
    (EURC, 0, 500000000000000, 1, 496315310333753),
    (EURC, 0, 50000000000000000, 1, 49631528847328147),
    (EURC, 0, 5000000000000000000, 1, 4963131024216305126),
    (EURC, 0, 50000000000000000, 2, 49364),
    (EURC, 0, 5000000000000000000, 2, 4936384),
    (EURC, 2, 5000, 1, 5025079238286081),
    (EURC, 2, 500045, 1, 502552896527853049),
    (EURS, 0, 500000000000000, 1, 501),
    (EURS, 0, 50000000000000000, 1, 50169),
    (EURS, 0, 5000000000000000000, 2, 499),
    (EURS, 2, 1020, 1, 10248489),
]


@pytest.mark.parametrize(("venue", "i", "amount_in", "j", "amount_out"), QUOTED)
def test_quoted_swaps(venue: StableSwap, i: int, amount_in: int, j: int, amount_out: int) -> None:
    assert venue.swap(A[i], amount_in, A[j]).amount_out == amount_out
    least = least_input(venue, A[i], A[j], amount_out)
    assert least <= amount_in
    assert venue.swap(A[i], least, A[j]).amount_out >= amount_out


def test_virtual_price() -> None:
    # The same test: get_virtual_price() = D·10^18 / LP supply.
    d = invariant(SKEWED.scaled(), SKEWED.amplification)
    assert d * E // 208111994100559113335 == 1006923185919753102


def test_plain_a_is_a_hundredfold() -> None:
    # 3pool has no A_PRECISION: its get_D, as written there, with A = 2000.
    scaled = [165_000_000 * E + 7, 171_000_000 * E + 1, 90_000_000 * E + 3]
    total = d = sum(scaled)
    for _ in range(255):
        d_p = d
        for x in scaled:
            d_p = d_p * d // (x * 3)
        previous, d = d, (6000 * total + d_p * 3) * d // (5999 * d + 4 * d_p)
        if abs(d - previous) <= 1:
            break
    assert invariant(scaled, 200_000) == d


SMALL = pool((10**6, 10**6), (10**30, 10**30), 10000, 4000000)


@pytest.mark.parametrize(
    ("venue", "swap", "reason"),
    [
        (SMALL, (A[0], 0, A[1]), Reason.SWAP_AMOUNT),
        (SMALL, (A[0], 1, A[1]), Reason.SWAP_AMOUNT),
        (SMALL, (A[0], 1, A[0]), Reason.SWAP_ASSETS),
        (SMALL, (A[0], 1, A[2]), Reason.SWAP_ASSETS),
        (SMALL, (A[0], AMOUNT_LIMIT, A[1]), Reason.SWAP_LIQUIDITY),
        (pool((0, 10**6), (E, E), 10000, 0), (A[0], 5, A[1]), Reason.SWAP_LIQUIDITY),
        (pool((1, 10**6), (1, E), 10000, 0), (A[0], 5, A[1]), Reason.SWAP_LIQUIDITY),
        (pool((10 * E, 1), (E, E), 1000, 0), (A[0], 5, A[1]), Reason.SWAP_NO_CONVERGENCE),
    ],
)
def test_refused_swaps(venue: StableSwap, swap: tuple[str, int, str], reason: Reason) -> None:
    with pytest.raises(SwapError) as caught:
        venue.swap(*swap)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("rates", "amplification", "fee"),
    [
        ((E,), 100, 0),
        ((E, 0), 100, 0),
        ((E, 1 << 128), 100, 0),
        ((E, E), 99, 0),
        ((E, E), 10**8 + 1, 0),
        ((E, E), 100, 10**10),
        ((E, E), 100, -1),
    ],
)
def test_malformed(rates: tuple[int, ...], amplification: int, fee: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        pool((1, 1), rates, amplification, fee)
    assert caught.value.reason is Reason.VENUE_MALFORMED


def test_more_than_there_is() -> None:
    with pytest.raises(SwapError) as caught:
        least_input(EURC, A[0], A[2], 90684626303)
    assert caught.value.reason in {Reason.SWAP_LIQUIDITY, Reason.SWAP_NO_CONVERGENCE}


@pytest.mark.parametrize(("i", "j"), [(0, 1), (1, 0), (0, 2), (2, 1)])
def test_spot_price(i: int, j: int) -> None:
    amount_in = EURC.balances[i] // 10**5
    exact = EURC.swap(A[i], amount_in, A[j]).amount_out / amount_in
    assert spot_price(EURC, A[i], A[j]) == pytest.approx(exact, rel=1e-5)
