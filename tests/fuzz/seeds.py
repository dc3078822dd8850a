"""The corpus: one honest input of each shape that a target takes, and some that are nearly so.

python -m fuzz.seeds      writes them anew; what is sealed with fresh keys differs each time
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from hypothesis import Phase, find, settings
from support.records import calls, dispatches, observation_lists, records, venues
from support.witnesses import LOG_KEY, checkpoint_of, policy_text, proof_of, signer_of

from bench.audit_log import DOMAIN, ENGINE, SOLVERS
from fuzz.targets import AUCTIONS, BLOBS, KINDS, SECRET, TREE, Target, bidding, log
from walras.audit import envelope
from walras.audit.cosignature import cosign
from walras.audit.note import parse_note
from walras.audit.openings import commitment_to, public_bid_key, seal_bid
from walras.audit.proof import encode_proof
from walras.audit.tiles import encode_bundle
from walras.audit.witness import encode_request
from walras.core.errors import InvalidInput, Reason
from walras.market.kinds import KINDS as KINDS_OF_VENUE
from walras.market.kinds import kind_of
from walras.protocol.certificate import encode_certificate
from walras.protocol.codec import Signed, decode, encode
from walras.protocol.dispatch import encode_calls, encode_dispatch
from walras.protocol.probes import encode_observations
from walras.protocol.records import KIND_OF_TYPE, Kind, Sealed
from walras.protocol.sealed_bids import BidReceipt, Commitment, Opening, Task
from walras.protocol.venues import encode_venues

CORPUS = Path(__file__).parent / "corpus"
MOST = 1 << 12
"""Bytes of a committed input."""


def piece(kind: Kind, body: bytes) -> bytes:
    """As `targets.pieces` reads it."""
    return bytes([KINDS.index(kind)]) + len(body).to_bytes(2, "big") + body


def signed_piece(record: Signed) -> bytes:
    return piece(*encode(record))


def seeds() -> Iterator[tuple[str, bytes]]:
    """Target and input."""
    for number, made in enumerate(AUCTIONS):
        yield "certificate", bytes([number]) + encode_certificate(made.award.certificate)
    for size in (0, 1, 7, 300):
        yield "note", checkpoint_of(TREE, size)
    yield "note", LOG_KEY.encode()
    text = parse_note(checkpoint_of(TREE, 7)).text
    yield "cosignature", cosign(text, "witness.example/a", signer_of("a"), 7).line.encode()
    yield "cosignature", b"300\n"
    yield "policy", policy_text("a b c", "2")
    yield "policy", policy_text("a", "none")
    for size, index in ((1, 0), (7, 4), (300, 299)):
        yield "proof", encode_proof(proof_of(size, index, by="a b"))
    yield "proof", bytes(4) + bytes(32)  # size 0
    yield "proof", b"\0\x09\0\x07" + bytes(64)  # beyond the tree
    yield "tiles", b"\x01" + encode_bundle([b"one", b"two"])
    yield "tiles", b"tile/entries/x001/234.p/7"
    for old, size in ((0, 1), (1, 7), (7, 64), (64, 300), (300, 300)):
        hashes = TREE.consistency_proof(old, size)
        yield "add-checkpoint", encode_request(old, hashes, checkpoint_of(TREE, size))
    yield from smallest()
    yield from of_the_log()
    yield from of_nodes()


def smallest() -> Iterator[tuple[str, bytes]]:
    """The least record of each kind, and the least venue."""
    calm = settings(derandomize=True, database=None, phases=[Phase.generate])
    for strategy in records.values():
        kind, body = encode(find(strategy, lambda _: True, settings=calm))
        yield "record", bytes([KINDS.index(kind)]) + body
    for wanted in KINDS_OF_VENUE:
        venue = find(venues(), lambda one, name=wanted: kind_of(one) == name, settings=calm)
        yield "blob", b"\0" + encode_venues({venue.id: venue})
    dispatch = find(dispatches, lambda one: bool(one.nodes and one.parts), settings=calm)
    yield "blob", b"\2" + encode_dispatch(dispatch)
    yield "blob", b"\3" + encode_calls(find(calls, bool, settings=calm))
    seen = find(observation_lists, bool, settings=calm)
    yield "blob", b"\4" + encode_observations(seen)


def of_the_log() -> Iterator[tuple[str, bytes]]:
    """One entry and one body of each kind that the small log has."""
    leaves, blobs = log()
    seen: set[str] = set()
    for leaf in leaves:
        found = envelope.decode(leaf)
        if found.payload_type in seen or len(leaf) > MOST:
            continue
        seen.add(found.payload_type)
        kind = KIND_OF_TYPE[found.payload_type]
        yield "envelope", leaf
        yield "record", bytes([KINDS.index(kind)]) + found.body
        for phase in range(4):
            yield "replay", bytes([phase]) + piece(kind, found.body)
    bodies = sorted((body for body in blobs.values() if len(body) <= MOST), key=len)
    for number, read in enumerate(BLOBS):
        fit = [body for body in bodies if body and reads(read, body)]
        for body in fit[:1] + fit[-1:]:
            yield "blob", bytes([number]) + body
    yield "delta", bodies[-1] + bodies[-2]
    yield "delta", bodies[-1] + bodies[-1]


def reads(read: Target, body: bytes) -> bool:
    """Whether it is such a blob."""
    try:
        read(body)
    except InvalidInput as error:
        return error.reason is Reason.INTENT_UNKNOWN  # of a problem, whose intents are elsewhere
    return True


def of_nodes() -> Iterator[tuple[str, bytes]]:
    """Commitments once, twice and for another auction; openings; what nodes keep."""
    batch, solver = bidding().batch, SOLVERS[0].public_key
    bid = envelope.seal(Kind.BID.payload_type, b"x", SOLVERS[0])
    digest = commitment_to(bid, bytes(32))
    named = (DOMAIN, batch.auction_id, solver)
    commitment = Commitment(*named, batch.digest, digest, bytes(32), 1)
    sealed = seal_bid(bid, bytes(32), public_bid_key(SECRET))
    opening = signed_piece(Opening(*named, digest, sealed))
    elsewhere = signed_piece(Opening(DOMAIN, 2, solver, digest, sealed))
    made = signed_piece(commitment)
    yield "sealed-bids", made
    yield "sealed-bids", made + opening
    yield "sealed-bids", made + opening + opening
    yield "sealed-bids", made + elsewhere
    yield "sealed-bids", sealed
    record = decode(Kind.SEALED, _body(Kind.SEALED))
    assert isinstance(record, Sealed)
    task = Task(*named, (batch.digest,), record.sealed_ms, record.deadline_ms, record.bid_key)
    receipt = BidReceipt(*named, (sha256(bid).digest(),), record.sealed_ms)
    opened = BidReceipt(*named, (sha256(sealed).digest(),), record.sealed_ms, (digest,))
    closing = piece(Kind.COMMITTED, _body(Kind.COMMITTED))
    for kept in (signed_piece(task), signed_piece(receipt), signed_piece(opened), closing):
        yield "evidence", kept
        yield "record", kept[:1] + kept[3:]
    yield "evidence", signed_piece(task) + signed_piece(receipt) + closing
    envelopes = envelope.seal(Kind.TASK.payload_type, encode(task)[1], ENGINE)
    yield "evidence", len(envelopes).to_bytes(2, "big") + envelopes


def _body(kind: Kind) -> bytes:
    found = map(envelope.decode, log()[0])
    return next(one.body for one in found if one.payload_type == kind.payload_type)


def main() -> None:
    """Write them."""
    for target, data in seeds():
        if len(data) <= MOST:
            folder = CORPUS / target
            folder.mkdir(parents=True, exist_ok=True)
            (folder / sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
