"""A log in memory: what an auditor is given, and what a forger works on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from walras.audit import envelope
from walras.audit.counts import Counts
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, sign_checkpoint
from walras.audit.tiles import hash_tile, hash_tiles
from walras.audit.verifier import replay, verify_entries
from walras.audit.vrf import VrfKey
from walras.core.bids import Bundle
from walras.core.errors import AuditFailure, Reason
from walras.protocol.codec import Signed, decode
from walras.protocol.records import KIND_OF_TYPE, Awarded, Kind, Settled, signer_of
from walras.sdk.signing import sign_record


@dataclass(frozen=True)
class LogCopy:
    """A log as somebody copied it; a `Source` for the auditor."""

    note: bytes
    leaves: list[bytes]
    blobs: dict[bytes, bytes]
    tiles: Mapping[str, bytes]

    def checkpoint(self) -> bytes:
        return self.note

    def entries(self) -> list[bytes]:
        return self.leaves

    def hash_tiles(self) -> Mapping[str, bytes]:
        return self.tiles

    def blob(self, digest: bytes) -> bytes:
        try:
            return self.blobs[digest]
        except KeyError:
            raise AuditFailure(Reason.BLOB_MISSING, f"no blob {digest.hex()}") from None

    def audit(self, key: NoteKey, earlier: Iterable[bytes] = ()) -> Counts:
        """Levels A, B and C."""
        return replay(verify_entries(self, key, earlier=earlier), self, key)


def signed_log(
    leaves: list[bytes], blobs: dict[bytes, bytes], origin: str, engine: Signer
) -> LogCopy:
    """A log of these leaves, with the tiles and the checkpoint that the engine's key gives it."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    note = sign_checkpoint(Checkpoint(origin, tree.size, tree.root()), origin, engine)
    tiles = {tile.path: hash_tile(tree, tile) for tile in hash_tiles(tree.size)}
    return LogCopy(note, leaves, blobs, tiles)


def read_leaf(leaf: bytes) -> Signed:
    """The record in a log entry."""
    signed = envelope.decode(leaf)
    return decode(KIND_OF_TYPE[signed.payload_type], signed.body)


@dataclass
class Forgery:
    """A log in the hands of somebody who owns the engine's key, and every other key in `keys`.

    Attributes:
        origin: the log's domain.
        engine: its signer.
        keys: by public key, of users, operators and solvers that are in on it.
        vrf: the engine's.
        leaves, blobs: the log as it is being rewritten.
    """

    origin: str
    engine: Signer
    keys: Mapping[bytes, Signer]
    vrf: VrfKey
    leaves: list[bytes]
    blobs: dict[bytes, bytes]

    def read(self, index: int) -> Any:
        return read_leaf(self.leaves[index])

    def find(self, kind: type, where: Callable[[Any], bool] = lambda _: True) -> int:
        """The index of the first record of this type of which `where` is true."""
        return next(
            index
            for index, leaf in enumerate(self.leaves)
            if isinstance(record := read_leaf(leaf), kind) and where(record)
        )

    def of(self, kind: type, auction_id: int) -> int:
        """The index of the first record of this type of an auction."""
        return self.find(kind, lambda record: getattr(record, "auction_id", 0) == auction_id)

    def seal(self, record: Signed, signer: Signer | None = None) -> bytes:
        """By default signed by whoever the record says."""
        named = signer_of(record)
        return sign_record(record, signer or (self.engine if named is None else self.keys[named]))

    def write(self, index: int, record: Signed, signer: Signer | None = None) -> int:
        self.leaves[index] = self.seal(record, signer)
        return index

    def change(self, index: int, **changes: object) -> int:
        """Rewrite some fields of a record."""
        return self.write(index, replace(self.read(index), **changes))

    def insert(self, index: int, record: Signed, signer: Signer | None = None) -> int:
        self.leaves.insert(index, self.seal(record, signer))
        return index

    def move(self, source: int, target: int) -> int:
        """Take an entry out and put it where it then has index `target`."""
        self.leaves.insert(target, self.leaves.pop(source))
        return target

    def blob(self, body: bytes) -> bytes:
        digest = sha256(body).digest()
        self.blobs[digest] = body
        return digest

    def bundle(self, auction_id: int) -> Bundle:
        awarded = self.read(self.of(Awarded, auction_id))
        assert isinstance(awarded, Awarded)
        found = decode(
            Kind.BUNDLE, envelope.decode(self.blobs[awarded.bundle_digest], 1 << 30).body
        )
        assert isinstance(found, Bundle)
        return found

    def rebundle(self, auction_id: int, bundle: Bundle, signer: Signer | None = None) -> int:
        """Put another bundle in the place of an auction's; returns the award's index."""
        digest = self.blob(self.seal(bundle, signer))
        self.change(self.of(Settled, auction_id), bundle_digest=digest)
        certificate = bundle.certificate_digest
        at = self.of(Awarded, auction_id)
        return self.change(at, bundle_digest=digest, certificate_digest=certificate)

    def log(self) -> LogCopy:
        return signed_log(self.leaves, self.blobs, self.origin, self.engine)
