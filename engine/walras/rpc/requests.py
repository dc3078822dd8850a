"""What requests share: ids that make them repeatable, page sizes and page tokens."""

import base64
import re
from hashlib import sha256

from google.protobuf.message import Message

from walras.core.errors import InvalidInput, Reason
from walras.store.commit import RequestKey

DEFAULT_PAGE = 100
MAX_PAGE = 1_000

_REQUEST_ID = re.compile(r"[!-~]{1,64}")


def request_key(request: Message) -> RequestKey:
    """What makes a repetition of this mutation the same.

    Raises:
        InvalidInput: REQUEST_ID_INVALID.
    """
    request_id: str = request.request_id  # type: ignore[attr-defined]  # every mutation has one
    if not _REQUEST_ID.fullmatch(request_id):
        raise InvalidInput(
            Reason.REQUEST_ID_INVALID,
            "request_id must be 1 to 64 printable ASCII characters",
            hint="use a UUID, and the same one when you try again",
        )
    body = request.SerializeToString(deterministic=True)
    return RequestKey(request.DESCRIPTOR.name, request_id, sha256(body).digest())


def page_size(asked: int) -> int:
    """How many rows a page has."""
    return min(asked or DEFAULT_PAGE, MAX_PAGE)


def read_token(token: str) -> str:
    """The key after which a page begins; empty for the first page.

    Raises:
        InvalidInput: PAGE_TOKEN_INVALID.
    """
    try:
        key = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise _bad_token() from None
    # The decoder skips what is not base64, so "!" would pass for the first page's empty token.
    if make_token(key) != token:
        raise _bad_token()
    return key


def read_number_token(token: str, first: int) -> int:
    """The number after which a page begins; `first` for the first page."""
    text = read_token(token)
    if not text:
        return first
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _bad_token()
    return int(text)


def make_token(key: str | int) -> str:
    """The token of the page that begins after `key`."""
    return base64.urlsafe_b64encode(str(key).encode()).decode()


def check_digest(value: bytes, name: str) -> bytes:
    """`value`, if it has a SHA-256's 32 bytes.

    Raises:
        InvalidInput: FIELD_INVALID.
    """
    if len(value) != 32:
        raise InvalidInput(Reason.FIELD_INVALID, f"{name} must have 32 bytes", field=name)
    return value


def _bad_token() -> InvalidInput:
    return InvalidInput(
        Reason.PAGE_TOKEN_INVALID,
        "the page token is not one this server gave",
        hint="start again without one",
    )
