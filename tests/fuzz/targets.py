"""What is fuzzed: each target takes any bytes and returns, or something is wrong.

A target catches the errors that the docstrings of what it calls name, and nothing else. Where bytes
have one form only, what was read must be written as it came. None of this needs atheris, so that
the ordinary tests run the same targets over the corpus.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256

from support.certified import SEED, auction
from support.witnesses import LOG_NOTE_KEY, ORIGIN, checkpoint_of, policy_text, tree_of, witness_key

from bench.audit_log import DOMAIN, ENGINE, SOLVERS, Writer
from walras.auction.awarded import check_award
from walras.auction.commitments import close_commitments
from walras.audit import envelope, merkle, note
from walras.audit.cosignature import cosigned_at, parse_witness_key
from walras.audit.evidence import check_evidence, decode_evidence
from walras.audit.keys import Signer
from walras.audit.note import Head
from walras.audit.openings import open_bid
from walras.audit.phases import Bidding
from walras.audit.policy import parse_policy
from walras.audit.proof import encode_proof, log_only, open_proof, parse_proof
from walras.audit.replay import Replay
from walras.audit.tiles import decode_bundle, encode_bundle, parse_tile_path
from walras.audit.witness import (
    check_successor,
    parse_cosignatures,
    parse_request,
    parse_size,
    recognise,
)
from walras.core.errors import AuditFailure, BidRejected, InvalidInput, Reason
from walras.protocol.certificate import decode_certificate, encode_certificate
from walras.protocol.codec import decode, encode
from walras.protocol.delta import Base, Delta, Span, apply_delta
from walras.protocol.dispatch import decode_calls, decode_dispatch
from walras.protocol.probes import decode_observation_list
from walras.protocol.records import KIND_OF_TYPE, Kind
from walras.protocol.sealed_bids import ReceivedCommitment, decode_commitments
from walras.protocol.trade import decode_problem
from walras.protocol.values import decode_balances
from walras.protocol.venues import decode_venues

Target = Callable[[bytes], object]

KINDS = tuple(Kind)
AUCTIONS = [auction(seed, count=24, groups=8) for seed in range(3)]
TREE, ENTRIES = tree_of(300)
HEADS = [Head(ORIGIN, size, TREE.root(size)) for size in (1, 7, 64, 300)]
POLICY = parse_policy(policy_text("a b c", "2"))
WITNESS = witness_key("a")
CHECKPOINT_TEXT = note.parse_note(checkpoint_of(TREE, 7)).text
SECRET = bytes(range(32))


def certificate(data: bytes) -> None:
    """Bytes of a certificate; the first says of which auction."""
    made = AUCTIONS[data[0] % len(AUCTIONS)] if data else AUCTIONS[0]
    try:
        read = decode_certificate(data[1:])
    except InvalidInput:
        return
    assert encode_certificate(read) == data[1:]
    try:
        found = check_award(made.problem, made.bids, SEED, made.winners, read)
    except AuditFailure:
        return
    assert found.bound >= found.score == made.award.score, "it proves less than was reached"


def signed_note(data: bytes) -> None:
    """Notes, checkpoints in them, and the text of keys."""
    with suppress(AuditFailure):
        note.parse_note(data)
    with suppress(AuditFailure):
        note.open_checkpoint(data, LOG_NOTE_KEY)
    text = data.decode("utf-8", errors="replace")
    with suppress(AuditFailure):
        note.parse_checkpoint(text)
    for parse in (note.parse_vkey, parse_witness_key):
        with suppress(InvalidInput):
            parse(text)


def cosignature(data: bytes) -> None:
    """A witness' answer: its lines, or a size."""
    with suppress(InvalidInput):
        parse_size(data)
    with suppress(AuditFailure):
        cosigned_at(parse_cosignatures(CHECKPOINT_TEXT, data), WITNESS)


def policy(data: bytes) -> None:
    with suppress(InvalidInput):
        parse_policy(data)


def proof(data: bytes) -> None:
    """A receipt as a file; then the hashes of proofs for places and sizes of any kind."""
    with suppress(AuditFailure):
        read = parse_proof(data)
        assert encode_proof(read) == data
        for rule in (log_only(LOG_NOTE_KEY), POLICY):
            with suppress(AuditFailure):
                open_proof(read, rule)
    numbers = [int.from_bytes(data[at : at + 2], "big") for at in (0, 2)]
    hashes = [data[at : at + 32] for at in range(4, min(len(data), 4 + 32 * 70), 32)]
    root, leaf = TREE.root(), merkle.leaf_hash(ENTRIES[0])
    with suppress(AuditFailure):
        merkle.verify_inclusion(leaf, numbers[0], numbers[1], hashes, root)
    with suppress(AuditFailure):
        merkle.verify_consistency(numbers[0], root, numbers[1], root, hashes)


def tiles(data: bytes) -> None:
    """A bundle of entries, of the width that the first byte says; and paths."""
    parse_tile_path(data[:100].decode("latin-1"))
    with suppress(AuditFailure):
        assert encode_bundle(decode_bundle(data[1:], data[0] + 1 if data else 1)) == data[1:]


def signed(data: bytes) -> None:
    """An envelope, and the record in it."""
    try:
        read = envelope.decode(data)
        assert envelope.encode(read) == data
        envelope.verify_envelope(read)
        decode(KIND_OF_TYPE[read.payload_type], read.body)
    except (InvalidInput, KeyError):
        return


def record(data: bytes) -> None:
    """A body of the kind that the first byte says."""
    kind = KINDS[data[0] % len(KINDS)] if data else Kind.INTENT
    try:
        read = decode(kind, data[1:])
    except InvalidInput:
        return
    # The order of the entries of a map is not fixed, nor is a list of what has no order.
    assert sorted(encode(read)[1]) == sorted(data[1:])


BLOBS: tuple[Target, ...] = (
    decode_venues,
    decode_balances,
    decode_dispatch,
    decode_calls,
    decode_observation_list,
    decode_commitments,
    lambda body: decode_problem(body, {}),
)


def blob(data: bytes) -> None:
    """A blob of the kind that the first byte says."""
    with suppress(InvalidInput):
        BLOBS[data[0] % len(BLOBS) if data else 0](data[1:])


def delta(data: bytes) -> None:
    """Two bodies, each way; and spans of any kind."""
    half = len(data) // 2
    base, target = data[:half], data[half:]
    made = Base(base).delta(target)
    assert apply_delta(base, made, len(target)) == target
    spans = [
        Span(int.from_bytes(one[:2], "big"), int.from_bytes(one[2:4], "big"), one[4:])
        for one in (data[at : at + 5] for at in range(0, len(data), 5))
    ]
    with suppress(InvalidInput):
        assert len(apply_delta(base, Delta(sha256(base).digest(), tuple(spans)), 1_000)) <= 1_000


def add_checkpoint(data: bytes) -> None:
    """What a witness is sent."""
    try:
        request = parse_request(data)
        recognise(request, {ORIGIN: [LOG_NOTE_KEY]})
    except (InvalidInput, AuditFailure):
        return
    for latest in (None, *HEADS):
        with suppress(InvalidInput, AuditFailure):
            check_successor(request, latest)


# a small log, and what somebody may sign for it


@cache
def log() -> tuple[list[bytes], dict[bytes, bytes]]:
    """Entries and blobs of two auctions."""
    writer = Writer(40)
    writer.run(2)
    return writer.tx.commit.leaves, writer.tx.commit.blobs


def read_blob(digest: bytes) -> bytes:
    """As an auditor's source."""
    found = log()[1].get(digest)
    if found is None:
        raise AuditFailure(Reason.BLOB_MISSING, "no such blob")
    return found


def pieces(data: bytes) -> Iterator[tuple[Kind, bytes]]:
    """Kinds and bodies: a byte, a length in two, and so many bytes."""
    while len(data) >= 3:
        end = 3 + int.from_bytes(data[1:3], "big")
        yield KINDS[data[0] % len(KINDS)], data[3:end]
        data = data[end:]


def _sealed(kind: Kind, body: bytes, signer: Signer) -> bytes:
    return envelope.seal(kind.payload_type, body or b"\0", signer)


def evidence(data: bytes) -> None:
    """What a node kept: any file, and any bodies that the engine signed."""
    leaves = log()[0]
    with suppress(InvalidInput, AuditFailure):
        check_evidence(leaves, read_blob, ENGINE.public_key, DOMAIN, decode_evidence(data))
    kept = [_sealed(kind, body, ENGINE) for kind, body in pieces(data)]
    with suppress(InvalidInput, AuditFailure):
        check_evidence(leaves, read_blob, ENGINE.public_key, DOMAIN, kept)


@cache
def bidding() -> Bidding:
    """The first auction, sealed."""
    machine = _replayed(Kind.COMMITTED)
    assert isinstance(machine.phase, Bidding)
    return machine.phase


def sealed_bids(data: bytes) -> None:
    """Commitments and openings: any bytes in their place, any bodies that a solver signed."""
    batch = bidding().batch
    with suppress(BidRejected):
        open_bid(data, sha256(data).digest(), SECRET)
    solver = SOLVERS[0]
    made = [_sealed(kind, body, solver) for kind, body in pieces(data)]
    received = [ReceivedCommitment(one, solver.public_key, 1) for one in (data, *made, *made)]
    closed = close_commitments(batch, received, 2, 3)
    assert len(closed.outcomes) == len(received)
    for place in closed.places().values():
        for opening in (data, *made):
            with suppress(BidRejected):
                closed.open(place, opening, SECRET)
            closed.evaluate(place, opening, SECRET)
    for one in (data, *made):
        batch.evaluate(one, solver.public_key, 1)


def replay(data: bytes) -> None:
    """Records that the engine signs for any place of its log."""
    if len(data) < 1:
        return
    machine = _replayed((Kind.OPENED, Kind.SEALED, Kind.COMMITTED, Kind.AWARDED)[data[0] % 4])
    with suppress(AuditFailure):
        for kind, body in pieces(data[1:]):
            machine.apply(_sealed(kind, body, ENGINE))
    with suppress(AuditFailure):
        machine.finish()


def _replayed(before: Kind) -> Replay:
    """The log up to its first record of this kind."""
    machine = Replay(ENGINE.public_key, read_blob, lambda size: bytes(32))
    for leaf in log()[0]:
        if envelope.decode(leaf).payload_type == before.payload_type:
            break
        machine.apply(leaf)
    return machine


TARGETS: dict[str, Target] = {
    "certificate": certificate,
    "note": signed_note,
    "cosignature": cosignature,
    "policy": policy,
    "proof": proof,
    "tiles": tiles,
    "envelope": signed,
    "record": record,
    "blob": blob,
    "delta": delta,
    "add-checkpoint": add_checkpoint,
    "sealed-bids": sealed_bids,
    "evidence": evidence,
    "replay": replay,
}
