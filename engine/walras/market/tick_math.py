"""Square roots of 1.0001^tick as Q64.96 numbers, bit for bit as Uniswap v3 computes them.

Source: Uniswap v3-core contracts/libraries/TickMath.sol.
"""

from functools import lru_cache

MAX_TICK = 887_272
MIN_TICK = -MAX_TICK

MIN_SQRT_PRICE = 4_295_128_739
"""`sqrt_price_at(MIN_TICK)`."""

MAX_SQRT_PRICE = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342
"""`sqrt_price_at(MAX_TICK)`; no pool ever reaches it."""

_ONE = 1 << 128
_MAX_UINT256 = (1 << 256) - 1

# Place n: 1.0001^(-2^n / 2), as Q128.128.
_POWERS = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)


@lru_cache(maxsize=1 << 15)
def sqrt_price_at(tick: int) -> int:
    """√(1.0001^tick)·2^96, rounded up from 128 bits; `tick` from MIN_TICK to MAX_TICK."""
    left = abs(tick)
    ratio = _ONE
    for power in _POWERS:
        if left & 1:
            ratio = ratio * power >> 128
        left >>= 1
    if tick > 0:
        ratio = _MAX_UINT256 // ratio
    return -(-ratio >> 32)


def tick_at(sqrt_price: int) -> int:
    """The greatest tick whose `sqrt_price_at` is not above `sqrt_price`.

    The contract works out a logarithm that leaves two ticks to compare. So does this one, in
    another way; their answer is the same, because there is only one. Here ticks are compared only
    where the logarithm is too near to the border between two to tell.

    Args:
        sqrt_price: at least MIN_SQRT_PRICE, below MAX_SQRT_PRICE.
    """
    exponent = sqrt_price.bit_length() - 1
    mantissa = sqrt_price << 64 >> exponent  # in [1, 2), with 64 bits
    place = mantissa >> 64 - _TABLE_BITS  # of the greatest 1 + n/128 that is not above it
    rest = (mantissa << _TABLE_BITS) // place - _ONE_64  # below 1/128
    square = rest * rest >> 64
    log = rest - (square >> 1) + square * rest // (3 << 64)  # of 1 + rest; less than 2^-30 off
    ticks = (exponent - 96) * _TICKS_PER_OCTAVE + _TABLE[place] + (log * _TICKS_PER_E >> 64)
    tick, fraction = ticks >> 32, ticks & _MASK_32
    if _MARGIN < fraction < _MASK_32 - _MARGIN:
        return tick
    tick += fraction > _MASK_32 >> 1
    return tick if sqrt_price_at(tick) <= sqrt_price else tick - 1


_ONE_64 = 1 << 64
_MASK_32 = (1 << 32) - 1
_TABLE_BITS = 7

# Ticks, with 32 bits behind the point, that double a square-root price and that multiply it by e:
# 2 ln 2 / ln 1.0001 and 2 / ln 1.0001.
_TICKS_PER_OCTAVE = 59_543_866_431_248
_TICKS_PER_E = 85_903_640_815_716

# A thousandth of a tick. The logarithm is off by less than 2^-30, which is 1/50,000 of a tick, and
# `sqrt_price_at` by less than one part in 2^32.
_MARGIN = 1 << 22


def _ticks_of(place: int) -> int:
    # The binary logarithm bit by bit: squaring doubles it, and an overflow is its next bit.
    mantissa = place << 63 - _TABLE_BITS
    log = 0
    for _ in range(48):
        mantissa = mantissa * mantissa >> 63
        carry = mantissa >> 64
        mantissa >>= carry
        log = log << 1 | carry
    return log * _TICKS_PER_OCTAVE >> 48


# 128 + n → ticks of the square-root price 1 + n/128, with 32 bits behind the point.
_TABLE = {place: _ticks_of(place) for place in range(1 << _TABLE_BITS, 2 << _TABLE_BITS)}
