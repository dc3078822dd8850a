"""What a solver engine answers, as far as it is looked at. Every part of it is hostile.

Fields that are not here are passed over, as the reference driver does: whatever an engine says
beside, a bid is made of these alone. Numbers are decimal strings below 2^256.

Source: cowprotocol/services, crates/solvers/openapi.yml. It has a liquidity's id as a number where
the reference engine sends a string, so both are taken.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

MAX_TRADES = 4_096
MAX_INTERACTIONS = 4_096
MAX_PRICES = 8_192

_UINT256 = 1 << 256
_DECIMAL = re.compile(r"[0-9]{1,78}", re.ASCII)


def _uint256(value: object) -> int:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
        if number < _UINT256:
            return number
    raise ValueError("not a decimal string of an integer below 2^256")


def _liquidity_id(value: object) -> object:
    return str(value) if isinstance(value, int) and 0 <= value < 1 << 64 else value


Uint256 = Annotated[int, BeforeValidator(_uint256)]
Address = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$", to_lower=True)]
Uid = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{112}$", to_lower=True)]
LiquidityId = Annotated[str, BeforeValidator(_liquidity_id), StringConstraints(max_length=64)]
Things = Annotated[list[Any], Field(max_length=MAX_INTERACTIONS)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel, extra="ignore")


class Fulfillment(_Model):
    """A trade of an order of the auction; `fee` is in the sold token, beside what is executed."""

    kind: Literal["fulfillment"]
    order: Uid
    executed_amount: Uint256
    fee: Uint256 | None = None


class Jit(_Model):
    """A trade of an order that the engine brings along."""

    kind: Literal["jit"]


class Liquidity(_Model):
    """A swap on liquidity of the auction."""

    kind: Literal["liquidity"]
    id: LiquidityId
    input_token: Address
    output_token: Address
    input_amount: Uint256
    output_amount: Uint256
    internalize: bool = False


class Custom(_Model):
    """A call of any contract."""

    kind: Literal["custom"]


Trade = Annotated[Fulfillment | Jit, Field(discriminator="kind")]
Interaction = Annotated[Liquidity | Custom, Field(discriminator="kind")]


class Solution(_Model):
    """One proposed settlement."""

    id: Annotated[int, Field(ge=0, lt=1 << 64)]
    prices: Annotated[dict[Address, Uint256], Field(max_length=MAX_PRICES)]
    trades: Annotated[list[Trade], Field(max_length=MAX_TRADES)]
    interactions: Annotated[list[Interaction], Field(max_length=MAX_INTERACTIONS)]
    pre_interactions: Things = []
    post_interactions: Things = []
    flashloans: dict[str, Any] | None = None
    wrappers: Things = []


class Answer(_Model):
    """Of `POST /solve`; each solution is looked at by itself. Where an engine has none it may say
    {error: {code, message}} instead.
    """

    solutions: list[Any]
