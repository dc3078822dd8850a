"""Every byte of a small log, changed once: what the audit says of each.

The log is a real engine's: one batch, two solvers, sealed bids. Every file that an auditor reads is
gone through (checkpoint, entries, hash tiles, blobs), and a receipt: of each byte one bit is
flipped, the audit run, and the byte put back.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from walras.audit.files import LogFiles
from walras.audit.note import NoteKey, parse_vkey
from walras.audit.proof import TlogProof, encode_proof, log_only, open_proof, parse_proof
from walras.audit.tiles import CHECKPOINT, VERIFIER_KEY
from walras.audit.verifier import replay, verify_entries
from walras.core.errors import WalrasError

INTENTS = 6
ACCOUNTS = 4


class Copy(LogFiles):
    """A log's files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str, most: int) -> bytes | None:
        """The file at a path; one byte too many where it is longer than `most`."""
        found = self.files.get(path)
        return None if found is None else found[: most + 1]


def run() -> None:
    """Print, by kind of file, how many flips there were, how many were caught, and for what."""
    files, key = small_log()
    leaves = audit(files, key)
    receipt = receipt_of(files, key, len(leaves) // 2)
    total = sum(map(len, files.values()))
    print(f"\nEvery byte of a log of {len(leaves)} entries ({total:,} bytes) and of a receipt\n")
    began = time.perf_counter()
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path, content in files.items():
        for at in range(len(content)):
            files[path] = flipped(content, at)
            reasons[kind_of(path)][verdict(partial(audit, files, key))] += 1
        files[path] = content
    for at in range(len(receipt)):
        found = verdict(partial(prove, flipped(receipt, at), key))
        reasons["receipt"][found] += 1
    print(f"{'file':<12}{'bytes':>8}{'caught':>8}  reasons")
    for kind, found in sorted(reasons.items()):
        caught = found.total() - found[UNSEEN]
        shown = ", ".join(f"{reason} {count}" for reason, count in found.most_common())
        print(f"{kind:<12}{found.total():>8,}{caught:>8,}  {shown}")
    unseen = sum(found[UNSEEN] for found in reasons.values())
    flips = sum(found.total() for found in reasons.values())
    seconds = time.perf_counter() - began
    met = "NOT MET" if unseen else "met"
    print(f"\n{met}: {flips:,} flips, {unseen} not caught; {seconds:.0f} s")


UNSEEN = "not caught"


def verdict(check: Callable[[], object]) -> str:
    """Why it was refused."""
    try:
        check()
    except WalrasError as error:
        return error.reason.value
    return UNSEEN


def flipped(content: bytes, at: int) -> bytes:
    """With one bit of the byte changed, another one at each place."""
    return content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]


def audit(files: dict[str, bytes], key: NoteKey) -> Sequence[bytes]:
    """Levels A, B and C; the entries."""
    source = Copy(files)
    log = verify_entries(source, key)
    replay(log, source, key)
    return log.entries


def prove(receipt: bytes, key: NoteKey) -> None:
    """What a receipt proves by itself."""
    open_proof(parse_proof(receipt), log_only(key))


def receipt_of(files: dict[str, bytes], key: NoteKey, index: int) -> bytes:
    """Of one entry, as a file."""
    log = verify_entries(Copy(files), key)
    proof = log.tree.inclusion_proof(index, log.checkpoint.size)
    return encode_proof(TlogProof(index, proof, files[CHECKPOINT], log.entries[index]))


def kind_of(path: str) -> str:
    """What a file of a log is."""
    if path.startswith("tile/entries"):
        return "entries"
    return path.partition("/")[0]


def small_log() -> tuple[dict[str, bytes], NoteKey]:
    """The files of a real engine's log, by path, and its key."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        market, log = folder / "market.json", folder / "run"
        counts = ("--intents", str(INTENTS), "--accounts", str(ACCOUNTS), "--venues", "6")
        walras("generate", "--out", str(market), *counts, "--assets", "8")
        walras(
            "auction",
            str(market),
            "--solver",
            "baseline",
            "--solver",
            "optimizer",
            "--out",
            str(log),
        )
        files = {
            str(path.relative_to(log)): path.read_bytes()
            for path in sorted(log.rglob("*"))
            if path.is_file() and "engine" not in path.relative_to(log).parts
        }
    key = parse_vkey(files.pop(VERIFIER_KEY).decode().strip())
    return files, key


def walras(*arguments: str) -> None:
    """Run a command of the engine's."""
    command = [sys.executable, "-m", "walras.cli.main", *arguments, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
