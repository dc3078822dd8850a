"""x^y, e^x and ln x in 18-decimal fixed point, bit for bit as Balancer computes them.

Solidity's signed division truncates toward zero, Python's rounds down. The two agree on
non-negative numbers, and every series here is odd in its argument, term by term, truncation
included. So each function works on a magnitude and puts the sign on at the end.

Source: Balancer v2 pkg/solidity-utils/contracts/math/LogExpMath.sol.
"""

ONE_18 = 10**18
ONE_20 = 10**20
ONE_36 = 10**36

MAX_NATURAL_EXPONENT = 130 * ONE_18
MIN_NATURAL_EXPONENT = -41 * ONE_18

LN_36_LOWER_BOUND = 9 * 10**17
LN_36_UPPER_BOUND = 11 * 10**17

MILD_EXPONENT_BOUND = 2**254 // ONE_20

# (x, e^x): x with 18 decimals, e^x with none.
_LARGE = (
    (128 * ONE_18, 38877084059945950922200000000000000000000000000000000000),
    (64 * ONE_18, 6235149080811616882910000000),
)
# (x, e^x) for x = 2^5 … 2^-4, both with 20 decimals; the last two serve the logarithm only.
_SMALL = (
    (32 * ONE_20, 7896296018268069516100000000000000),
    (16 * ONE_20, 888611052050787263676000000),
    (8 * ONE_20, 298095798704172827474000),
    (4 * ONE_20, 5459815003314423907810),
    (2 * ONE_20, 738905609893065022723),
    (ONE_20, 271828182845904523536),
    (ONE_20 // 2, 164872127070012814685),
    (ONE_20 // 4, 128402541668774148407),
    (ONE_20 // 8, 113314845306682631683),
    (ONE_20 // 16, 106449445891785942956),
)
_SMALL_EXP = _SMALL[:8]


def power(x: int, y: int) -> int:
    """x^y, each with 18 decimals.

    The result can be off by about one part in 10^14 either way: see `fixed_point.pow_up`.

    Raises:
        ValueError: x ≥ 2^255, y ≥ 2^254/10^20, or y·ln x outside [-41, 130].
    """
    if y == 0:
        return ONE_18
    if x == 0:
        return 0
    if x >> 255 or y >= MILD_EXPONENT_BOUND:
        raise ValueError("base or exponent is out of bounds")
    if LN_36_LOWER_BOUND < x < LN_36_UPPER_BOUND:
        high, low = divmod(abs(ln_36(x)), ONE_18)
        exponent = (high * y + low * y // ONE_18) // ONE_18
    else:
        exponent = abs(ln(x)) * y // ONE_18
    return exp(-exponent if x < ONE_18 else exponent)


def exp(x: int) -> int:
    """e^x, both with 18 decimals.

    Raises:
        ValueError: x outside [-41, 130].
    """
    if not MIN_NATURAL_EXPONENT <= x <= MAX_NATURAL_EXPONENT:
        raise ValueError("exponent is out of bounds")
    if x < 0:
        return ONE_36 // exp(-x)
    # e^x = e^(a sum of powers of two, from tables) · e^remainder, by its Taylor series.
    factor = 1
    for x_n, a_n in _LARGE:
        if x >= x_n:
            x -= x_n
            factor = a_n
            break
    x *= 100
    product = ONE_20
    for x_n, a_n in _SMALL_EXP:
        if x >= x_n:
            x -= x_n
            product = product * a_n // ONE_20
    term = x
    total = ONE_20 + x
    for n in range(2, 13):
        term = term * x // ONE_20 // n
        total += term
    return product * total // ONE_20 * factor // 100


def ln(a: int) -> int:
    """The natural logarithm of a ≥ 1, both with 18 decimals."""
    if a < ONE_18:
        return -ln(ONE_36 // a)
    total = 0
    for x_n, a_n in _LARGE:
        if a >= a_n * ONE_18:
            a //= a_n
            total += x_n
    total *= 100
    a *= 100
    for x_n, a_n in _SMALL:
        if a >= a_n:
            a = a * ONE_20 // a_n
            total += x_n
    return (total + 2 * _atanh((a - ONE_20) * ONE_20 // (a + ONE_20), ONE_20, 11)) // 100


def ln_36(x: int) -> int:
    """The natural logarithm, with 36 decimals, of x with 18, for x between 0.9 and 1.1."""
    x *= ONE_18
    magnitude = 2 * _atanh(abs(x - ONE_36) * ONE_36 // (x + ONE_36), ONE_36, 15)
    return -magnitude if x < ONE_36 else magnitude


def _atanh(z: int, one: int, last: int) -> int:
    # z + z^3/3 + … + z^last/last = atanh z; with z = (a - 1)/(a + 1) that is half of ln a.
    square = z * z // one
    total = term = z
    for n in range(3, last + 1, 2):
        term = term * square // one
        total += term // n
    return total
