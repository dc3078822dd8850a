"""Pools of CoW Protocol's instances as venues, with every parameter exact or the pool left out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pydantic import Field

from walras.core.amounts import ceil_div
from walras.core.errors import InvalidInput
from walras.datasets.shape import ForeignShape, Natural, check_shape
from walras.market.constant_product import PIPS
from walras.market.fixed_point import ONE
from walras.market.kinds import AnyVenue, ConstantProduct, StableSwap, Weighted
from walras.market.stable_swap import A_PRECISION, FEE_DENOMINATOR
from walras.protocol.problem import ATOMS_PER_PRICE

_Decimal = Field(pattern=r"^\d{1,40}(\.\d{1,40})?$")


@dataclass(frozen=True, slots=True)
class Token:
    """What a pool needs to know of a token.

    Attributes:
        asset: CAIP-19.
        decimals: of one whole unit.
        price: score units per 10^18 atoms; None where there is no reference price.
    """

    asset: str
    decimals: int
    price: int | None


class PoolError(Exception):
    """A pool that cannot be taken exactly; the text is the reason, the same for all such pools."""


class TokenAmount(ForeignShape):
    """Atoms of a token."""

    amount: Natural
    token: str


class _Pool(ForeignShape):
    cost: TokenAmount | None = None
    fee: str = _Decimal


class _ConstantProduct(_Pool):
    reserves: dict[str, Natural]


class _Reserve(ForeignShape):
    balance: Natural
    weight: str = _Decimal


class _Weighted(_Pool):
    reserves: dict[str, _Reserve]


class _Stable(_Pool):
    reserves: dict[str, Natural]
    scaling_rates: dict[str, Natural]
    amplification_parameter: str = _Decimal


def to_venue(name: str, pool: Mapping[str, object], tokens: Mapping[str, Token]) -> AnyVenue:
    """The pool `name` of an instance as the venue `amm-<name>`.

    Args:
        name: its key.
        pool: its object.
        tokens: by lower-case address.

    Raises:
        InvalidInput: MARKET_FILE_INVALID where the pool breaks the format.
        PoolError: it keeps the format and cannot be taken.
    """
    make = _KINDS.get(str(pool.get("kind")))
    if make is None:
        raise PoolError(f"kind {str(pool.get('kind'))[:40]}")
    return make(name, pool, tokens)


def _constant_product(
    name: str, pool: Mapping[str, object], tokens: Mapping[str, Token]
) -> AnyVenue:
    shape = check_shape(_ConstantProduct, pool, at=("amms", name))
    traded = _traded(shape.reserves, tokens)
    _check_filled(shape.reserves.values())
    if len(traded) != 2:
        raise PoolError("constant product of more or fewer than two tokens")
    first, second = shape.reserves.values()
    return _made(
        lambda: ConstantProduct(
            id=f"amm-{name}",
            cost=_cost(shape.cost, tokens),
            assets=(traded[0].asset, traded[1].asset),
            reserves=(first, second),
            fee_pips=_whole(shape.fee, PIPS, "fee finer than 10^-6"),
        )
    )


def _weighted(name: str, pool: Mapping[str, object], tokens: Mapping[str, Token]) -> AnyVenue:
    """Balancer brings amounts to 18 decimals, so a token's scaling is 10^(18 − decimals)."""
    shape = check_shape(_Weighted, pool, at=("amms", name))
    traded = _traded(shape.reserves, tokens)
    reserves = shape.reserves.values()
    _check_filled(reserve.balance for reserve in reserves)
    if any(token.decimals > 18 for token in traded):
        raise PoolError("a token of more than 18 decimals")
    weights = tuple(_whole(r.weight, ONE, "weight finer than 10^-18") for r in reserves)
    if sum(weights) != ONE:
        raise PoolError("weights do not add up to 1")
    return _made(
        lambda: Weighted(
            id=f"amm-{name}",
            cost=_cost(shape.cost, tokens),
            assets=tuple(token.asset for token in traded),
            balances=tuple(reserve.balance for reserve in reserves),
            weights=weights,
            scaling=tuple(10 ** (18 - token.decimals) for token in traded),
            fee=_whole(shape.fee, ONE, "fee finer than 10^-18"),
        )
    )


def _stable(name: str, pool: Mapping[str, object], tokens: Mapping[str, Token]) -> AnyVenue:
    """A Balancer stable pool on Curve's arithmetic.

    A scaling rate r is what one unit has of atoms (10^decimals), so Curve's rate is 10^36 / r. The
    amplification parameter is Balancer's amp without its 10^3, which is Curve's A: both mean
    A·n^(n−1). Balancer takes its fee off the input, Curve off the output: the same to first order.
    """
    shape = check_shape(_Stable, pool, at=("amms", name))
    traded = _traded(shape.reserves, tokens)
    _check_filled(shape.reserves.values())
    rates = []
    for address in shape.reserves:
        rate = shape.scaling_rates.get(address, 0)
        if not rate or 10**36 % rate:
            raise PoolError("scaling rate missing or not a divisor of 10^36")
        rates.append(10**36 // rate)
    return _made(
        lambda: StableSwap(
            id=f"amm-{name}",
            cost=_cost(shape.cost, tokens),
            assets=tuple(token.asset for token in traded),
            balances=tuple(shape.reserves.values()),
            rates=tuple(rates),
            amplification=_whole(
                shape.amplification_parameter, A_PRECISION, "amplification finer than 10^-2"
            ),
            fee=_whole(shape.fee, FEE_DENOMINATOR, "fee finer than 10^-10"),
        )
    )


_KINDS: Mapping[str, Callable[[str, Mapping[str, object], Mapping[str, Token]], AnyVenue]] = {
    "ConstantProduct": _constant_product,
    "WeightedProduct": _weighted,
    "Stable": _stable,
}


def _traded(reserves: Mapping[str, object], tokens: Mapping[str, Token]) -> list[Token]:
    try:
        return [tokens[address.lower()] for address in reserves]
    except KeyError as error:
        raise PoolError("a token that the file does not list") from error


def _check_filled(balances: Iterable[int]) -> None:
    if not all(balances):
        raise PoolError("a reserve is empty")


def _cost(cost: TokenAmount | None, tokens: Mapping[str, Token]) -> int:
    """Score units, rounded up."""
    if cost is None or not cost.amount:
        return 0
    token = tokens.get(cost.token.lower())
    if token is None or token.price is None:
        raise PoolError("its cost is in a token without a reference price")
    return ceil_div(cost.amount * token.price, ATOMS_PER_PRICE)


def _whole(text: str, unit: int, reason: str) -> int:
    """The decimal number `text` in 1/unit, which must come out whole."""
    number = Fraction(text) * unit
    if number.denominator != 1:
        raise PoolError(reason)
    return int(number)


def _made(make: Callable[[], AnyVenue]) -> AnyVenue:
    try:
        return make()
    except InvalidInput as error:
        # The sentence names the pool; the reason must be one that several pools can share.
        raise PoolError("breaks a rule of its kind") from error
