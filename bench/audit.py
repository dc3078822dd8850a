"""The audit of large auctions from scratch: levels A, B and C on one core.

The log is written by `bench.audit_log`, then audited by another process that knows nothing but its
folder and the log's key. Times are processor time, so that other work on the machine does not
count.
`make bench-audit AUCTIONS=1000` says how many auctions there are.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.audit_log import KEY, MARKETS, Writer
from walras.audit import envelope
from walras.audit.replay import Replay
from walras.audit.verifier import verify_entries
from walras.cli.collector import spare_the_collector
from walras.protocol.records import KIND_OF_TYPE, Kind
from walras.store.folder import FolderSource

AUCTIONS = int(os.environ.get("AUCTIONS", "100"))
INTENTS = 1_000
TARGET = 20_000
"""Fills a second, of the replay of awards."""
PARTS = {
    "intents": {Kind.INTENT, Kind.DEPOSIT},
    "problems": {Kind.OPENED, Kind.SEALED},
    "awards": {Kind.COMMITTED, Kind.BID_RECEIVED, Kind.CLOSED, Kind.AWARDED, Kind.OBSERVED}
    | {Kind.SETTLED},
}
"""What level B's time goes to, by the kinds of the records."""


def run() -> None:
    """Print the rates."""
    print(
        f"\nAudit of {AUCTIONS:,} auctions of {INTENTS:,} intents, {MARKETS} winning bids each,"
        " one process, processor time\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        writer = Writer(INTENTS)
        writer.run(AUCTIONS)
        writer.write(folder)
        del writer
        print(f"the log was made in {time.perf_counter() - began:.0f} s")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        command = [sys.executable, "-m", "bench.audit", str(folder)]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    _print(found, size)


def _print(found: dict[str, Any], size: int) -> None:
    seconds, parts = found["seconds"], found["parts"]
    whole = sum(seconds.values())
    print(f"{'':<42}{'seconds':>9}{'fills/s':>10}")
    lines = {
        "A: signatures, inclusion": seconds["A"],
        "B: replay": seconds["B"],
        "   of intents and deposits": parts["intents"],
        "   of problems (sealing)": parts["problems"],
        "   of awards (bids, proofs, settlement)": parts["awards"],
        "C: accounts": seconds["C"],
        "A, B and C": whole,
    }
    for name, each in lines.items():
        rate = f"{found['fills'] / each:>10,.0f}" if each > 0.01 else ""
        print(f"{name:<42}{each:>9.2f}{rate}")
    print(
        f"\n{found['entries']:,} entries, {found['entries'] / whole:,.0f} a second;"
        f" {found['intents']:,} intents, {found['intents'] / whole:,.0f} a second;"
        f" {found['fills']:,} fills\n{size:,} bytes, {size / whole / 1e6:.1f} MB a second;"
        f" peak memory {found['peak'] / 1e6:,.0f} MB"
    )
    rate = found["fills"] / parts["awards"]
    print(
        f"{'met' if rate >= TARGET else 'NOT MET'}: {rate:,.0f} fills/s in the replay of awards;"
        f" {TARGET:,} wanted"
    )


def audit(folder: Path) -> dict[str, Any]:
    """Levels A, B and C, with the time of each and of B's parts."""
    spare_the_collector()
    source = FolderSource(folder)
    clock = time.process_time
    began = clock()
    log = verify_entries(source, KEY)
    level_a = clock() - began
    machine = Replay(log.keys.first, source.blob, log.tree.root)
    spent: defaultdict[Kind, float] = defaultdict(float)
    for leaf in log.entries:
        start = clock()
        machine.apply(leaf)
        took = clock() - start
        spent[KIND_OF_TYPE[envelope.decode(leaf).payload_type]] += took
    start = clock()
    counts = machine.finish()
    level_c = clock() - start
    return {
        "seconds": {"A": level_a, "B": sum(spent.values()), "C": level_c},
        "parts": {name: sum(spent[kind] for kind in kinds) for name, kinds in PARTS.items()},
        "entries": len(log.entries),
        "intents": counts.records[Kind.INTENT.value],
        "fills": counts.fills,
        "peak": _peak(),
    }


def _peak() -> int:
    """Bytes that this process had at most; `getrusage` takes over what its parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1_024


if __name__ == "__main__":
    print(json.dumps(audit(Path(sys.argv[1]))))
