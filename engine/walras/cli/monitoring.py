"""Watching a log for ever: a round is an audit that goes on from the last, and a look at the time.

What the engine signed and cannot take back (a fork, a wrong award, anything that does not follow)
ends the watch at once. What only its host can be blamed for (no answer, a file that is missing or
damaged, an old checkpoint) is looked at again each round, until nothing sound has come for too
long: then the log is frozen, whoever's fault it is.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from walras.audit.counts import Unproven
from walras.audit.files import LogFiles
from walras.audit.note import NoteKey, format_vkey, is_signed, parse_head, parse_note
from walras.audit.policy import NONE, Policy
from walras.audit.snapshot import decode_paused
from walras.cli.auditing import Audited, Wanted, audit_files
from walras.cli.state_file import Known, read_state, write_state
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.witness.book import replace_synced

_HOSTS = frozenset(
    {
        Reason.LOG_UNREACHABLE,
        Reason.LOG_MALFORMED,
        Reason.LOG_INCOMPLETE,
        Reason.BLOB_MISSING,
        Reason.BLOB_MISMATCH,
        Reason.CHECKPOINT_INVALID,
        Reason.LOG_UNKNOWN,
        Reason.QUORUM_UNMET,
        Reason.COSIGNATURE_INVALID,
    }
)
"""Anybody between here and the engine can cause these."""


CLOCK_SKEW_S = 60
"""By which a witness' clock may be ahead of this one."""


def wall_clock_s() -> int:
    """Seconds since 1970."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class Round:
    """What a round found.

    Attributes:
        size: entries that were audited by now.
        new: of them, in this round.
        age_s: since when the log has shown nothing newer.
        seconds: that the round took.
        audited: in full; None where there was nothing new, or the host failed.
        unproven: awards in this round that were not proven optimal.
        trouble: of the host's making, if there was any.
    """

    size: int
    new: int
    age_s: int
    seconds: float
    audited: Audited | None = None
    unproven: Sequence[Unproven] = ()
    trouble: WalrasError | None = None

    def document(self) -> dict[str, object]:
        """For a line of a program's log."""
        found: dict[str, object] = {
            "ok": self.trouble is None,
            "entries": self.size,
            "new": self.new,
            "age_s": self.age_s,
            "seconds": round(self.seconds, 3),
        }
        if self.audited is not None:
            counts = self.audited.counts
            found |= {
                "auctions": counts.auctions,
                "fills": counts.fills,
                "score": str(counts.score),
            }
            found |= {"voided": counts.voided, "split_views": len(counts.split_views)}
            found |= {
                "unproven": counts.unproven,
                "unproven_auctions": [gap.auction_id for gap in self.unproven],
            }
        if self.trouble is not None:
            found |= {"reason": self.trouble.reason.value, "why": self.trouble.message}
        return found


class Monitor:
    """One log, watched. Its methods block.

    Args:
        source: of the log.
        key: its.
        policy: whose witnesses must have cosigned; None believes the log alone.
        state: file that the watch goes on from after a restart.
        evidence: folder for what ends the watch; made then.
        max_age_s: how long the log may show nothing newer.
        proven: an award that is not proven optimal ends the watch.
        clock: seconds since 1970.

    Raises, when made:
        InvalidInput: CONFIG_INVALID: the state file is of another log, or damaged.
    """

    def __init__(
        self,
        source: LogFiles,
        key: NoteKey,
        *,
        policy: Policy | None,
        state: Path | None,
        evidence: Path,
        max_age_s: int,
        proven: bool = False,
        clock: Callable[[], int] = wall_clock_s,
    ) -> None:
        self._source = source
        self._key = key
        self._policy = policy
        self._state = state
        self._evidence = evidence
        self._max_age_s = max_age_s
        self._needs_proof = proven
        self._clock = clock
        self._known = None if state is None else read_state(state, format_vkey(key))
        # Until the first sound checkpoint, the time runs from here.
        self._fresh_s = clock() if self._known is None else self._known.seen_s

    def round(self) -> Round:
        """Look once.

        Raises:
            AuditFailure: this log is not to be relied on; the evidence is written.
        """
        began = time.perf_counter()
        before = self._size()
        audited, trouble = None, None
        try:
            audited = self._look()
        except WalrasError as error:
            if isinstance(error, AuditFailure) and not _is_hosts(error) and self._is_signed(error):
                raise self._proven(error) from error
            if isinstance(error, InvalidInput) and error.reason is not Reason.FIELD_INVALID:
                raise
            trouble = error
        size = self._size()
        age_s = max(0, self._clock() - self._fresh_s)
        if age_s > self._max_age_s:
            raise self._proven(self._frozen(age_s, trouble))
        gaps = () if audited is None else audited.counts.unproven_awards
        new = [gap for gap in gaps if gap.index >= before]
        if new and self._needs_proof:
            raise self._proven(_unproven(new[0]))
        seconds = time.perf_counter() - began
        return Round(size, size - before, age_s, seconds, audited, new, trouble)

    def _look(self) -> Audited | None:
        note = self._source.checkpoint()
        known = self._known
        # Who signed it need not be looked at again: it says what was audited.
        if known is not None and parse_note(known.checkpoint).text == parse_note(note).text:
            audited = None
            cosigned_s = self._cosigned_s(note)
        else:
            wanted = Wanted(known=known, policy=self._policy)
            audited, self._known = audit_files(self._source, self._key, wanted, quiet=True)
            note = self._known.checkpoint
            cosigned_s = self._cosigned_s(note)
            self._fresh_s = self._clock()
            self._known = Known(self._known.verifier_key, note, self._fresh_s, self._known.paused)
            if self._state is not None:
                write_state(self._state, self._known)
        # A time that is yet to come would hold off the alarm until then.
        if cosigned_s is not None and cosigned_s <= self._clock() + CLOCK_SKEW_S:
            self._fresh_s = cosigned_s
        return audited

    def _cosigned_s(self, note: bytes) -> int | None:
        """Since when a quorum vouches that there is nothing newer; None where nobody is asked."""
        policy = self._policy
        if policy is None:
            return None
        times = policy.approve(parse_note(note)).times
        if policy.quorum == NONE:
            return None
        return max(
            time_s
            for time_s in times.values()
            if policy.is_quorum(frozenset(n for n, at_s in times.items() if at_s >= time_s))
        )

    def _is_signed(self, failure: AuditFailure) -> bool:
        """Whether the checkpoint that is shown is of a key that is known to be the engine's."""
        if "level" in failure.fields:
            return True
        known = self._known
        keys = [self._key]
        if known is not None:
            keys += decode_paused(known.paused).state.in_force.engine_keys.all
        try:
            note = parse_note(self._source.note)
            return any(is_signed(note, key) for key in keys)
        except AuditFailure:
            return False

    def _size(self) -> int:
        known = self._known
        return 0 if known is None else parse_head(parse_note(known.checkpoint).text).size

    def _frozen(self, age_s: int, trouble: WalrasError | None) -> AuditFailure:
        why = f"; of late: {trouble.reason}: {trouble.message}" if trouble is not None else ""
        return AuditFailure(
            Reason.LOG_FROZEN,
            f"the log has shown nothing newer than {self._size()} entries for {age_s} s{why}",
            hint="a running engine logs an auction at least once a minute; see whether it runs",
            since_s=self._fresh_s,
            now_s=self._clock(),
            max_age_s=self._max_age_s,
        )

    def _proven(self, failure: AuditFailure) -> AuditFailure:
        """The failure, once its evidence is on the disk."""
        self._evidence.mkdir(parents=True, exist_ok=True)
        known = self._known
        notes = {
            "checkpoint": self._source.note,
            "checkpoint-audited": b"" if known is None else known.checkpoint,
        }
        for name, note in notes.items():
            if note:
                replace_synced(self._evidence / name, note)
        document = {
            "reason": failure.reason.value,
            "message": failure.message,
            "fields": dict(failure.fields),
            "verifier_key": format_vkey(self._key),
            "at_s": self._clock(),
            "files": sorted(name for name, note in notes.items() if note),
        }
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
        replace_synced(self._evidence / "evidence.json", f"{text}\n".encode())
        return AuditFailure(
            failure.reason,
            failure.message,
            hint=failure.hint or f"the evidence is in {self._evidence}",
            **{**failure.fields, "evidence": str(self._evidence)},
        )


def _unproven(gap: Unproven) -> AuditFailure:
    return AuditFailure(
        Reason.AWARD_UNPROVEN,
        f"auction {gap.auction_id} was awarded a score of {gap.score}, and its certificate proves"
        f" only that none is above {gap.bound}",
        hint="the log holds all bids: solve it again; a restart goes on behind it",
        index=gap.index,
        auction_id=gap.auction_id,
        score=gap.score,
        bound=gap.bound,
    )


def _is_hosts(failure: AuditFailure) -> bool:
    # Entries that do not hash to the root are the host's; two roots are the engine's.
    rewritten = failure.reason is Reason.ROOT_MISMATCH and "proof" not in failure.fields
    return rewritten or failure.reason in _HOSTS
