"""Running the auditor over a log folder, level by level."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from walras.audit.note import parse_vkey
from walras.audit.probes import SplitView
from walras.audit.replay import Counts
from walras.audit.verifier import replayed, verify_entries
from walras.cli.fetch import fetch_log
from walras.cli.options import parse_log_key
from walras.cli.output import fields, progress, say
from walras.core.addresses import is_address
from walras.core.errors import InvalidInput, Reason
from walras.ledger.state import State
from walras.sdk.client import Client
from walras.store.folder import FolderSource

_COUNTS = tuple(Counts.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit that held.

    Attributes:
        verifier_key: the key that everything was checked against.
        size: entries.
        root: of the Merkle tree over them.
        counts: what was replayed.
        state: that the log adds up to.
        seconds: by level; B and C are one pass.
    """

    verifier_key: str
    size: int
    root: bytes
    counts: Counts
    state: State
    seconds: dict[str, float]

    def document(self) -> dict[str, object]:
        """For JSON."""
        return {
            "ok": True,
            "verifier_key": self.verifier_key,
            "entries": self.size,
            "root": self.root.hex(),
            **{name: _plain(getattr(self.counts, name)) for name in _COUNTS},
            "seconds": {level: round(seconds, 3) for level, seconds in self.seconds.items()},
        }

    def show(self) -> None:
        """For people."""
        counts = self.counts
        fates = ", ".join(f"{n} {what}" for what, n in sorted(counts.intents.items())) or "none"
        fields(
            {
                "A signatures, inclusion": f"{self.size} entries, {self.seconds['A']:.2f} s",
                "B replay": f"{counts.auctions} auctions ({counts.voided} voided),"
                f" {counts.bids} bids ({counts.rejected} rejected), {counts.winners} winners,"
                f" {counts.fills} fills, score {counts.score}, {self.seconds['B+C']:.2f} s with C",
                "C completeness": f"intents: {fates}",
            }
        )
        views = len(counts.split_views)
        if views:
            say(
                f"note: {views} echoes of nodes name a checkpoint that is not this log's;"
                " walras fleet verify shows them"
            )
        if counts.unproven:
            say(f"note: {counts.unproven} awards were not proven optimal within the rules' effort")
        say(f"every claim of the log holds, under {self.verifier_key}")


def audit_log(log: str, log_key: str = "") -> Audited:
    """Levels A, B and C of a log folder, or of the log of the engine at host:port.

    Raises as `audit_folder`.
    """
    # What names a folder is one; only otherwise can it be host:port.
    folder = Path(log)
    if folder.is_dir():
        return audit_folder(folder, log_key)
    if is_address(log):
        return asyncio.run(_fetched(log, log_key))
    raise InvalidInput(
        Reason.FIELD_INVALID,
        f"there is no folder {log}, and it is no host:port",
        hint="give a log folder, or an engine as 127.0.0.1:7400",
    )


async def _fetched(address: str, key: str) -> Audited:
    with tempfile.TemporaryDirectory(prefix="walras-audit-") as name:
        async with Client(address) as client:
            await fetch_log(client, Path(name), key)
        return await asyncio.to_thread(audit_folder, Path(name), key)


def audit_folder(folder: Path, log_key: str = "") -> Audited:
    """Levels A, B and C.

    Args:
        folder: a log folder.
        log_key: verifier key; empty takes the one that the folder names.

    Raises:
        AuditFailure: the first thing that does not hold.
        InvalidInput: FIELD_INVALID or PUBLIC_KEY_INVALID: there is no log or no key.
    """
    source = FolderSource(folder)
    verifier_key = parse_log_key(log_key) or source.verifier_key()
    if not verifier_key:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{folder} names no verifier key",
            hint="give the log's key by --key",
        )
    key = parse_vkey(verifier_key)
    seconds = {}
    start = time.perf_counter()
    with progress("A signatures", 1) as advance:
        log = verify_entries(source, key, progress=_steps(advance))
    seconds["A"] = time.perf_counter() - start
    start = time.perf_counter()
    with progress("B, C replay", log.checkpoint.size) as advance:
        machine = replayed(log, source, key, progress=_steps(advance))
    seconds["B+C"] = time.perf_counter() - start
    size, root = log.checkpoint.size, log.checkpoint.root
    return Audited(verifier_key, size, root, machine.counts, machine.state, seconds)


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


def _plain(value: object) -> object:
    if isinstance(value, list):
        return split_views(value)
    if isinstance(value, dict):
        return {str(name): count for name, count in sorted(value.items())}
    return str(value) if isinstance(value, int) and abs(value) >= 1 << 53 else value
