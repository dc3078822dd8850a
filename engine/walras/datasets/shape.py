"""From a parsed JSON document to typed fields, with errors that name the place."""

from collections.abc import Collection, Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from walras.core.amounts import parse_amount
from walras.core.errors import InvalidInput
from walras.datasets.market import invalid, path_of

M = TypeVar("M", bound=BaseModel)

REFERENCE = "docs/market-file.md lists the keys"

_HINTS = {
    "missing": f"add the key; {REFERENCE}",
    "extra_forbidden": f"remove the key; {REFERENCE}",
    "amount": 'write digits only, as a string: "1000000", "-5"',
}

_MESSAGES = {
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "missing": "is missing",
    "extra_forbidden": "is no key of the format",
}


def _amount(value: object) -> int:
    if not isinstance(value, str):
        raise PydanticCustomError("amount", "an amount is written as a string of decimal digits")
    try:
        return parse_amount(value)
    except InvalidInput as error:
        raise PydanticCustomError("amount", "{why}", {"why": error.message}) from error


Amount = Annotated[int, BeforeValidator(_amount)]
"""A canonical decimal string, below 2^255 in magnitude."""


Natural = Annotated[Amount, Field(ge=0)]
"""The same, at least 0."""


class Shape(BaseModel):
    """An object of a format of our own: exact types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ForeignShape(BaseModel):
    """An object of somebody else's format: exact types, keys we have no use for are passed over."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def check_shape(
    model: type[M],
    document: object,
    *,
    at: Sequence[str | int] = (),
    kinds: Collection[str] = (),
) -> M:
    """`document` as a `model`.

    Args:
        model: what it should be.
        document: a parsed JSON value.
        at: where it stands in the file.
        kinds: the tags by which the model tells its variants apart.

    Raises:
        InvalidInput: MARKET_FILE_INVALID, with the path of the first error and how many more.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    first = errors[0]
    place = [*at, *first["loc"]]
    if len(place) > 2 and place[2] in kinds:
        del place[2]  # pydantic names the variant it chose; in the file that is no level
    message = _MESSAGES.get(first["type"], first["msg"])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first["type"].startswith("union_tag"):
        hint = f"kind is one of {', '.join(kinds)}"
    else:
        hint = _HINTS.get(first["type"], REFERENCE)
    raise invalid(path_of(place), message + more, hint)
