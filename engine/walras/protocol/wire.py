"""Strict reading of protobuf bodies.

A body is accepted only in its one canonical encoding, so that two readers never see two messages in
the same bytes: no unknown field, no field twice, no default written out, no number in more bytes
than it needs.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from walras.core.errors import InvalidInput, Reason

M = TypeVar("M", bound=Message)


def parse(message_class: type[M], body: bytes) -> M:
    """The message that `body` encodes.

    Raises:
        InvalidInput: MESSAGE_MALFORMED, UNKNOWN_FIELD or NON_CANONICAL.
    """
    message = message_class()
    name = message.DESCRIPTOR.name
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise InvalidInput(
            Reason.MESSAGE_MALFORMED, f"the body is not a {name} message", message_type=name
        ) from error
    # A canonical body is the shortest one, has its fields in order, and none that is unknown.
    # Comparing bytes refuses what is not; the bytes made here are thrown away: what is hashed and
    # stored stays what was received.
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) == body:
        return message
    # Only now, as measuring a message costs as much as serializing it.
    known = message.ByteSize()
    message.ParseFromString(body)
    if message.ByteSize() != known:
        raise InvalidInput(
            Reason.UNKNOWN_FIELD,
            f"the {name} message has a field that this version does not know",
            message_type=name,
        )
    raise InvalidInput(
        Reason.NON_CANONICAL,
        f"the {name} message is not in its canonical encoding",
        hint="write fields once, in order of their numbers, and leave default values out",
        message_type=name,
    )
