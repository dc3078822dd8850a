"""Running the auditor over a log, level by level, from its beginning or from where one ended."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from walras.audit.counts import Counts, Paused, Unproven
from walras.audit.evidence import Evidence, check_evidence, decode_evidence
from walras.audit.files import LogFiles
from walras.audit.merkle import leaf_hash, verify_inclusion
from walras.audit.note import (
    Checkpoint,
    NoteKey,
    format_vkey,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)
from walras.audit.policy import Policy
from walras.audit.probes import SplitView
from walras.audit.proof import TlogProof
from walras.audit.snapshot import decode_paused, encode_paused
from walras.audit.verifier import VerifiedLog, replayed, verify_entries, verify_growth
from walras.cli.collector import spare_the_collector
from walras.cli.options import parse_log_key
from walras.cli.output import fields, progress, say
from walras.cli.state_file import Known
from walras.core.addresses import is_address
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.ledger.state import State
from walras.store.folder import FolderSource
from walras.web.log_url import UrlSource, is_url

_COUNTS = tuple(Counts.__dataclass_fields__)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit that held.

    Attributes:
        verifier_key: the key that everything was checked against.
        size: entries.
        root: of the Merkle tree over them.
        counts: what was replayed, since the first entry.
        state: that the log adds up to.
        seconds: by level; B and C are one pass.
        since: signatures were verified from this entry on, ...
        replayed_from: ... and records applied from this one.
        evidence: what a node kept, held against the log; None if nothing was.
        receipts: that agree with the log.
    """

    verifier_key: str
    size: int
    root: bytes
    counts: Counts
    state: State
    seconds: dict[str, float]
    since: int = 0
    replayed_from: int = 0
    evidence: Evidence | None = None
    receipts: int = 0

    def document(self) -> dict[str, object]:
        """For JSON."""
        kept = self.evidence
        return {
            "ok": True,
            "verifier_key": self.verifier_key,
            "entries": self.size,
            "root": self.root.hex(),
            **{name: _plain(getattr(self.counts, name)) for name in _COUNTS},
            "unproven": self.counts.unproven,
            "seconds": {level: round(seconds, 3) for level, seconds in self.seconds.items()},
            "since": self.since,
            "replayed_from": self.replayed_from,
            "receipts": self.receipts,
            "evidence": None
            if kept is None
            else {name: getattr(kept, name) for name in Evidence.__dataclass_fields__},
        }

    def show(self) -> None:
        """For people."""
        counts = self.counts
        fates = ", ".join(f"{n} {what}" for what, n in sorted(counts.intents.items())) or "none"
        news = f" ({self.size - self.since} of them new)" if self.since else ""
        again = f" from entry {self.replayed_from}" if self.replayed_from else ""
        fields(
            {
                "A signatures, inclusion": f"{self.size} entries{news}, {self.seconds['A']:.2f} s",
                "B replay": f"{counts.auctions} auctions ({counts.voided} voided),"
                f" {counts.bids} bids ({counts.rejected} rejected), {counts.winners} winners,"
                f" {counts.fills} fills, score {counts.score},"
                f" {self.seconds['B+C']:.2f} s{again} with C",
                "C completeness": f"intents: {fates}",
            }
        )
        views = len(counts.split_views)
        if views:
            say(
                f"note: {views} echoes of nodes name a checkpoint that is not this log's;"
                " walras fleet verify shows them"
            )
        if counts.vrf_keys_replaced:
            say(f"note: the key that draws was replaced {counts.vrf_keys_replaced} times")
        if counts.unproven:
            say(
                f"note: {counts.unproven} awards were not proven optimal within the rules' effort:"
                f" auctions {_some(gap.auction_id for gap in counts.unproven_awards)}"
            )
        if self.receipts:
            say(f"{self.receipts} receipts are of this log")
        if self.evidence is not None:
            kept = self.evidence
            say(
                f"evidence that agrees with the log: {kept.tasks} tasks, {kept.receipts} receipts,"
                f" {kept.closings} closings; {kept.void} of voided batches, {kept.later} of later"
                " ones"
            )
        say(f"every claim of the log holds, under {self.verifier_key}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an audit is to go on from, and to be held against.

    Attributes:
        known: what the audit before left.
        since: a signed checkpoint that was audited before.
        policy: whose witnesses must have cosigned the log's checkpoint.
        receipts: of anybody.
        evidence: envelopes that a node kept.
    """

    known: Known | None = None
    since: bytes = b""
    policy: Policy | None = None
    receipts: Sequence[TlogProof] = ()
    evidence: Sequence[bytes] = ()


def read_evidence(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """The envelopes in files that nodes kept. Raises InvalidInput: ENVELOPE_MALFORMED."""
    return tuple(one for path in paths for one in decode_evidence(path.read_bytes()))


@contextmanager
def opened(log: str, log_key: str = "") -> Iterator[LogFiles]:
    """A log by a folder, an http(s) URL, or the host:port of an engine, whose log is copied.

    Raises:
        InvalidInput: FIELD_INVALID: it is none of these.
    """
    # What names a folder is one; only otherwise can it be anything else.
    if Path(log).is_dir():
        yield FolderSource(Path(log))
    elif is_url(log):
        source = UrlSource(log)
        try:
            yield source
        finally:
            source.close()
    elif is_address(log):
        with tempfile.TemporaryDirectory(prefix="walras-audit-") as name:
            asyncio.run(_copy(log, Path(name), log_key))
            yield FolderSource(Path(name))
    else:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"there is no folder {log}, and it is no URL and no host:port",
            hint="give a log folder, a URL, or an engine as 127.0.0.1:7400",
        )


async def _copy(address: str, folder: Path, log_key: str) -> None:
    # An engine is asked by gRPC, which an auditor of files does not need.
    from walras.cli.fetch import fetch_log  # noqa: PLC0415 - see above
    from walras.sdk.client import Client  # noqa: PLC0415 - see above

    async with Client(address) as client:
        await fetch_log(client, folder, log_key)


def audit_log(log: str, log_key: str = "") -> Audited:
    """Levels A, B and C of a log by any name. Raises as `opened` and `audit_files`."""
    with opened(log, log_key) as source:
        return audit_files(source, key_of(source, log_key))[0]


def audit_folder(folder: Path, log_key: str = "") -> Audited:
    """Levels A, B and C of a log folder; an empty key is the folder's own. Raises as
    `audit_files`.
    """
    source = FolderSource(folder)
    return audit_files(source, key_of(source, log_key))[0]


def key_of(source: LogFiles, log_key: str) -> NoteKey:
    """The verifier key that is given, or else the one that the log names.

    Raises:
        InvalidInput: FIELD_INVALID or PUBLIC_KEY_INVALID.
    """
    text = parse_log_key(log_key) or source.verifier_key()
    if not text:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "the log names no verifier key",
            hint="give the log's key by --key",
        )
    return parse_vkey(text)


@dataclass(slots=True)
class _Kept:
    """What the replay leaves for the next."""

    paused: bytes = field(default=b"")

    def take(self, paused: Paused) -> None:
        self.paused = encode_paused(paused)


def audit_files(
    source: LogFiles, key: NoteKey, wanted: Wanted | None = None, *, quiet: bool = False
) -> tuple[Audited, Known]:
    """Levels A, B and C, and what the next audit goes on from.

    Args:
        source: of the log.
        key: the log's.
        wanted: what to go on from and to hold the log against; None is nothing.
        quiet: without bars on a terminal.

    Raises:
        AuditFailure: the first thing that does not hold; where level A does, with `level`: B.
        InvalidInput: what was wanted cannot be used.
    """
    wanted = wanted or Wanted()
    spare_the_collector()
    verifier_key = format_vkey(key)
    receipts = [_proven(proof, key) for proof in wanted.receipts]
    seconds = {}
    start = time.perf_counter()
    with progress("A signatures", 1, quiet=quiet) as advance:
        paused, log = _level_a(source, key, wanted, receipts, _steps(advance))
    seconds["A"] = time.perf_counter() - start
    kept = _Kept()
    start = time.perf_counter()
    begin = 0 if paused is None else paused.index
    applied = replace(log, entries=log.entries[begin - log.start :], start=begin)
    with progress("B, C replay", len(applied.entries), quiet=quiet) as advance:
        try:
            machine = replayed(
                applied, source, key, paused=paused, keep=kept.take, progress=_steps(advance)
            )
        except AuditFailure as failure:
            # Level A holds: what is wrong is under a checkpoint of a key of the log.
            more = {"level": "B", **failure.fields}
            message, hint = failure.message, failure.hint
            raise AuditFailure(failure.reason, message, hint=hint, **more) from failure
    seconds["B+C"] = time.perf_counter() - start
    evidence = None
    if wanted.evidence:
        start = time.perf_counter()
        evidence = check_evidence(
            log.entries, source.blob, key.public_key, key.name, wanted.evidence
        )
        seconds["evidence"] = time.perf_counter() - start
    size, root = log.checkpoint.size, log.checkpoint.root
    audited = Audited(
        verifier_key,
        size,
        root,
        machine.counts,
        machine.state,
        seconds,
        log.signed_from,
        begin,
        evidence,
        len(receipts),
    )
    seen_s = int(time.time())
    known = wanted.known
    if known is not None and parse_note(known.checkpoint).text == log.checkpoint.text:
        seen_s = known.seen_s
    return audited, Known(verifier_key, log.note, seen_s, kept.paused)


def _level_a(
    source: LogFiles,
    key: NoteKey,
    wanted: Wanted,
    receipts: Sequence[bytes],
    told: Callable[[int, int], None],
) -> tuple[Paused | None, VerifiedLog]:
    """What the replay goes on from, and the log."""
    known = wanted.known
    bases = [known.checkpoint] if known is not None else []
    bases += [wanted.since] if wanted.since else []
    if not bases:
        log = verify_entries(source, key, earlier=receipts, policy=wanted.policy, progress=told)
        return None, log
    paused = None if known is None else decode_paused(known.paused)
    # What a node kept may be of any auction.
    begin = 0 if paused is None or wanted.evidence else paused.index
    log = verify_growth(
        source,
        key,
        max((_stated(note, key) for note in bases), key=lambda each: each.size),
        start=begin,
        known=paused.state.in_force.engine_keys if paused is not None and begin else None,
        earlier=[*bases, *receipts],
        policy=wanted.policy,
        progress=told,
    )
    return paused, log


def _stated(note: bytes, key: NoteKey) -> Checkpoint:
    """The checkpoint in a note of the log; level A verifies by which of the log's keys it is."""
    checkpoint = parse_checkpoint(parse_note(note).text)
    if checkpoint.origin != key.name:
        raise AuditFailure(
            Reason.CHECKPOINT_INVALID,
            f"a checkpoint of {checkpoint.origin!r} is none of {key.name!r}",
        )
    return checkpoint


def _proven(proof: TlogProof, key: NoteKey) -> bytes:
    """The checkpoint of a receipt, which shows the record that it carries under it."""
    if not proof.extra:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "the receipt does not carry its record",
            hint="walras receipt get writes receipts that do",
        )
    checkpoint = _stated(proof.checkpoint, key)
    leaf = leaf_hash(proof.extra)
    verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return proof.checkpoint


def _steps(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """From "so many are done" to "so many more are"."""
    before = 0

    def told(done: int, _total: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return told


def split_views(views: Iterable[SplitView]) -> list[dict[str, object]]:
    """For JSON."""
    return [
        {"node": v.node.hex(), "size": v.size, "root": v.root.hex(), "index": v.index}
        for v in views
    ]


def unproven_awards(gaps: Iterable[Unproven]) -> list[dict[str, object]]:
    """For JSON."""
    return [
        {
            "auction_id": gap.auction_id,
            "index": gap.index,
            "score": str(gap.score),
            "bound": str(gap.bound),
        }
        for gap in gaps
    ]


def _some(numbers: Iterable[int]) -> str:
    """The first of them, for people."""
    first = list(islice(numbers, _SHOWN + 1))
    return ", ".join(map(str, first[:_SHOWN])) + (", …" if len(first) > _SHOWN else "")


def _plain(value: object) -> object:
    if isinstance(value, list):
        gaps = [one for one in value if isinstance(one, Unproven)]
        return unproven_awards(gaps) if gaps else split_views(value)
    if isinstance(value, dict):
        return {str(name): count for name, count in sorted(value.items())}
    return str(value) if isinstance(value, int) and abs(value) >= 1 << 53 else value
