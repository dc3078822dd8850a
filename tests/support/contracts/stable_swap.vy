# pragma version ^0.4.0
# A pool of plain coins by the StableSwap invariant, as Curve's whitepaper and the base template of
# its pools have it: A·n^n·S + D = A·n^n·D + D^(n+1) / (n^n · prod x), with A in hundredths.

COINS: constant(uint256) = 8
PRECISION: constant(uint256) = 10**18
A_PRECISION: constant(uint256) = 100
FEE_DENOMINATOR: constant(uint256) = 10**10


@pure
def invariant(xp: DynArray[uint256, COINS], amp: uint256) -> uint256:
    n: uint256 = len(xp)
    total: uint256 = 0
    for x: uint256 in xp:
        total += x
    d: uint256 = total
    ann: uint256 = amp * n
    for _: uint256 in range(255):
        product: uint256 = d
        for x: uint256 in xp:
            product = product * d // (x * n)
        before: uint256 = d
        d = (ann * total // A_PRECISION + product * n) * d // (
            (ann - A_PRECISION) * d // A_PRECISION + (n + 1) * product
        )
        if max(d, before) - min(d, before) <= 1:
            return d
    raise "no convergence"


@pure
def balance_of(j: uint256, xp: DynArray[uint256, COINS], d: uint256, amp: uint256) -> uint256:
    n: uint256 = len(xp)
    ann: uint256 = amp * n
    total: uint256 = 0
    c: uint256 = d
    for k: uint256 in range(n, bound=COINS):
        if k == j:
            continue
        total += xp[k]
        c = c * d // (xp[k] * n)
    c = c * d * A_PRECISION // (ann * n)
    b: uint256 = total + d * A_PRECISION // ann
    y: uint256 = d
    for _: uint256 in range(255):
        before: uint256 = y
        y = (y * y + c) // (2 * y + b - d)
        if max(y, before) - min(y, before) <= 1:
            return y
    raise "no convergence"


@external
@pure
def swap(
    amp: uint256,
    fee: uint256,
    i: uint256,
    j: uint256,
    amount: uint256,
    balances: DynArray[uint256, COINS],
    rates: DynArray[uint256, COINS],
) -> (uint256, uint256, uint256):
    xp: DynArray[uint256, COINS] = []
    for k: uint256 in range(len(balances), bound=COINS):
        xp.append(balances[k] * rates[k] // PRECISION)
    d: uint256 = self.invariant(xp, amp)
    held: uint256 = xp[j]
    xp[i] += amount * rates[i] // PRECISION
    paid: uint256 = held - self.balance_of(j, xp, d, amp) - 1
    paid = (paid - paid * fee // FEE_DENOMINATOR) * PRECISION // rates[j]
    return paid, balances[i] + amount, balances[j] - paid
