"""A node's answer to a probe: an echo, signed, and nothing else (docs/probes.md).

Whoever can dial a node may challenge it, so the answer is cheap: the size is bounded before
anything is read, one signature is verified and one is made. What is signed is always an `Echo`, of
its own payload type, in which the challenger chose the domain and the digest of its challenge.
"""

import base64
import re
from hashlib import sha256

from walras.audit.keys import Signer
from walras.audit.merkle import EMPTY_ROOT
from walras.audit.probes import open_challenge
from walras.core.errors import InvalidInput, Reason
from walras.protocol.probes import Echo
from walras.sdk.signing import sign_record

_MOST = (1 << 32) - 1
_NOTE_BYTES = 512
"""What is looked at of a note: its three lines."""
_CHECKPOINT = re.compile(rb"([^\n]{1,128})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n\n")


def answer(
    challenge: bytes, signer: Signer, in_flight: int, slots: int, checkpoint: bytes
) -> bytes:
    """The envelope of the echo.

    Args:
        challenge: hostile bytes: a Challenge in its envelope.
        signer: the node's.
        in_flight: calls that the node works on or has waiting.
        slots: problems that it works on at the same time.
        checkpoint: the newest note of the log that the node holds; empty: none. Its signature is
            for whoever took it to check. One of another log than the challenge's counts as none.

    Raises:
        InvalidInput: as `open_challenge`, or CHALLENGE_MISMATCH where it is for another node.
    """
    asked = open_challenge(challenge)
    if asked.node != signer.public_key:
        raise InvalidInput(
            Reason.CHALLENGE_MISMATCH, "the challenge is for another node", node=asked.node.hex()
        )
    size, root = _held(checkpoint, asked.domain)
    echo = Echo(
        domain=asked.domain,
        node=signer.public_key,
        challenge_digest=sha256(challenge).digest(),
        checkpoint_size=size,
        checkpoint_root=root,
        in_flight=min(max(in_flight, 0), _MOST),
        slots=min(max(slots, 0), _MOST),
    )
    return sign_record(echo, signer)


def _held(note: bytes, domain: str) -> tuple[int, bytes]:
    found = _CHECKPOINT.match(note[:_NOTE_BYTES])
    if found is None or found[1] != domain.encode():
        return 0, EMPTY_ROOT
    return int(found[2]), base64.b64decode(found[3])
