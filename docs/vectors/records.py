"""Envelopes and sealed bids."""

from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

from common import DOMAIN, ETH, NOW, plain, reason_of, seed_of, signer
from nacl import bindings

from walras.audit import envelope
from walras.audit.merkle import leaf_hash
from walras.audit.openings import commitment_to, open_bid, public_bid_key
from walras.core.bids import Bid, Fill, Proposal
from walras.core.errors import Reason
from walras.protocol.codec import encode
from walras.protocol.records import Cancel, Credit, Deposit, Kind, Withdrawal
from walras.protocol.sealed_bids import (
    BidReceipt,
    Commitment,
    Committed,
    Opening,
    ReceivedCommitment,
    Task,
    encode_commitments,
)
from walras.sdk.signing import sign_record

L = 2**252 + 27742317777372353535851937790883648493


@dataclass(frozen=True)
class _Raw:
    """A body of no kind of record: envelopes do not look inside."""

    payload_type: str
    body: bytes


def envelopes() -> Any:
    """Signed bodies, and bytes that are no envelope or one that does not verify."""
    alice, operator = signer("alice"), signer("operator")
    name = alice.public_key
    made = [
        _Raw("text/plain", b"hello"),
        _Raw("a", bytes(range(256))),
        _Raw("~" * 127, b"\x00"),
        _Raw(*_encoded(Cancel(DOMAIN, name, sha256(b"an intent").digest()))),
        _Raw(*_encoded(Withdrawal(DOMAIN, name, 1, ETH, 10**18, NOW))),
        _Raw(*_encoded(Deposit(DOMAIN, operator.public_key, 1, (Credit(name, ETH, 10**18),)))),
    ]
    valid = []
    for raw in made:
        by = operator if "deposit" in raw.payload_type else alice
        data = envelope.seal(raw.payload_type, raw.body, by)
        valid.append(
            {
                "payload_type": raw.payload_type,
                "body": raw.body,
                "public_key": by.public_key,
                "pae": envelope.pae(raw.payload_type, raw.body),
                "id": envelope.record_id(raw.payload_type, raw.body),
                "signature": envelope.decode(data).signature,
                "envelope": data,
                "digest": sha256(data).digest(),
                "leaf_hash": leaf_hash(data),
            }
        )
    seeds = {"alice": seed_of("alice"), "operator": seed_of("operator")}
    return plain({"seeds": seeds, "valid": valid, "invalid": list(_refused())})


def _encoded(record: Cancel | Withdrawal | Deposit) -> tuple[str, bytes]:
    kind, body = encode(record)
    return kind.payload_type, body


def _refused() -> Any:
    alice, other = signer("alice"), signer("mallory")
    data = envelope.seal("text/plain", b"hello", alice)
    opened = envelope.decode(data)
    keyid, signature = alice.public_key.hex().encode(), opened.signature
    larger = int.from_bytes(signature[32:], "little") + L
    high = signature[:32] + larger.to_bytes(32, "little")
    begin = data.index(signature)
    tail = data[begin - 4 :]
    cases = {
        "empty": b"",
        "cut by a byte": data[:-1],
        "a byte behind it": data + b"\x00",
        "an unknown field behind it": data + b"\x20\x01",
        "the type before the payload": data[7:19] + data[:7] + data[19:],
        "a length in two bytes that has room in one": data[:1] + b"\x85\x00" + data[2:],
        "two signatures": data + tail,
        "no signature": data[: begin - 4],
        "an empty payload": b"\x0a\x00" + data[7:],
        "a space in the payload type": data.replace(b"text/plain", b"text plain"),
        "capitals in the key id": data.replace(keyid, keyid.upper()),
        "a longer key id": data.replace(b"\x40" + keyid, b"\x42" + keyid + b"00"),
        "another payload": data.replace(b"hello", b"hallo"),
        "another payload type": data.replace(b"text/plain", b"text/plane"),
        "another's key": data.replace(keyid, other.public_key.hex().encode()),
        "S above the group order": data.replace(signature, high),
        "R of small order": data.replace(signature, b"\x01" + bytes(31) + signature[32:]),
        "a key of small order": data.replace(keyid, b"01" + b"00" * 31),
        "a key off the curve": data.replace(keyid, b"02" + b"00" * 31),
        "a key that is not canonical": data.replace(keyid, b"ee" + b"ff" * 30 + b"7f"),
    }
    for why, bad in cases.items():
        yield {"why": why, "envelope": bad, "reason": reason_of(_verify, bad)}


def _verify(data: bytes) -> None:
    envelope.verify_envelope(envelope.decode(data))


def _box(plaintext: bytes, public: bytes, ephemeral: bytes) -> bytes:
    """As crypto_box_seal of libsodium, with a secret that is not drawn: vectors stay the same."""
    own = public_bid_key(ephemeral)
    nonce = blake2b(own + public, digest_size=24).digest()
    return own + bindings.crypto_box(plaintext, nonce, public, ephemeral)


def sealed_bids() -> Any:
    """A bid from its task to its opening, and openings that open nothing."""
    engine, solver = signer("engine"), signer("solver")
    part, secret = sha256(b"a part").digest(), seed_of("bid key")
    public = public_bid_key(secret)
    task = sign_record(
        Task(DOMAIN, 7, solver.public_key, (part,), NOW, NOW + 1_000, public), engine
    )
    fill = Fill(sha256(b"an intent").digest(), 5)
    proposal = Proposal((fill,), {ETH: 1})
    bid = sign_record(Bid(7, part, solver.public_key, proposal), solver)
    salt = seed_of("salt")
    commitment = commitment_to(bid, salt)
    made = Commitment(
        DOMAIN, 7, solver.public_key, part, commitment, sha256(task).digest(), NOW + 1
    )
    committed = sign_record(made, solver)
    receipt = BidReceipt(DOMAIN, 7, solver.public_key, (sha256(committed).digest(),), NOW + 2)
    listed = encode_commitments([ReceivedCommitment(committed, solver.public_key, NOW + 2)])
    closing = Committed(7, 1, sha256(listed).digest(), NOW + 1_000, NOW + 3_000)
    ephemeral = seed_of("ephemeral")
    box = _box(bid + salt, public, ephemeral)
    if open_bid(box, commitment, secret) != (bid, salt):
        raise AssertionError("the box does not open")
    opening = sign_record(Opening(DOMAIN, 7, solver.public_key, commitment, box), solver)
    opened = BidReceipt(
        DOMAIN, 7, solver.public_key, (sha256(opening).digest(),), NOW + 1_500, (commitment,)
    )
    wrong = {
        "another bid in the box": (_box(bid[:-1] + b"\x00" + salt, public, ephemeral), secret),
        "another salt in the box": (_box(bid + bytes(32), public, ephemeral), secret),
        "a box for another key": (_box(bid + salt, public_bid_key(salt), ephemeral), secret),
        "a byte of the box changed": (box[:-1] + bytes([box[-1] ^ 1]), secret),
        "a box cut short": (box[:47], secret),
        "no box": (b"", secret),
        "another secret": (box, salt),
    }
    return plain(
        {
            "domain": DOMAIN,
            "auction_id": 7,
            "bid_secret": secret,
            "bid_key": public,
            "task": task,
            "bid": bid,
            "salt": salt,
            "commitment": commitment,
            "commitment_envelope": committed,
            "receipt": sign_record(receipt, engine),
            "commitments_blob": listed,
            "committed": sign_record(closing, engine),
            "set": sha256(commitment).digest(),
            "ephemeral_secret": ephemeral,
            "sealed": box,
            "opening": opening,
            "opening_receipt": sign_record(opened, engine),
            "payload_types": {
                kind.value: kind.payload_type
                for kind in (Kind.TASK, Kind.COMMITMENT, Kind.BID_RECEIPT, Kind.OPENING, Kind.BID)
            },
            "invalid": [
                {
                    "why": why,
                    "sealed": bad,
                    "secret": key,
                    "reason": _refused_as(Reason.OPENING_INVALID, bad, commitment, key),
                }
                for why, (bad, key) in wrong.items()
            ],
        }
    )


def _refused_as(reason: Reason, *given: bytes) -> str:
    found = reason_of(open_bid, *given)
    if found != reason.value:
        raise AssertionError(found)
    return found
