"""The auctions of a log that holds, one after another."""

from collections.abc import Iterator
from dataclasses import dataclass

from walras.auction.awarded import Award
from walras.auction.batch import ClosedBatch
from walras.audit import envelope, vrf
from walras.audit.phases import Decided
from walras.audit.replay import Replay
from walras.audit.verifier import Source, VerifiedLog
from walras.protocol.codec import decode
from walras.protocol.records import Awarded, Kind


@dataclass(frozen=True, slots=True)
class LoggedAward:
    """An auction with an award.

    Attributes:
        closed: its problem, parts and bids.
        award: as logged, and proven.
        seed: of its ties.
    """

    closed: ClosedBatch
    award: Award
    seed: bytes


def logged_awards(log: VerifiedLog, source: Source) -> Iterator[LoggedAward]:
    """Every award, in the order of the log, which is replayed on the way.

    Args:
        log: whose entries were verified, from the first.
        source: of its blobs.

    Raises:
        AuditFailure: the log does not hold.
    """
    machine = Replay(log.keys.first, source.blob, log.tree.root)
    for leaf in log.entries:
        machine.apply(leaf)
        signed = envelope.decode(leaf)
        if signed.payload_type != Kind.AWARDED.payload_type:
            continue
        record, phase = decode(Kind.AWARDED, signed.body), machine.phase
        assert isinstance(record, Awarded)
        assert isinstance(phase, Decided)
        seed = vrf.proof_to_hash(record.tie_proof)
        yield LoggedAward(phase.closed, phase.batch.award, seed)
    machine.finish()
