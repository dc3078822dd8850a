"""Logs and witnesses of fixed keys, for tests of cosignatures."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from walras.audit.cosignature import WitnessKey, cosign
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import (
    Checkpoint,
    NoteKey,
    format_vkey,
    parse_note,
    sign_checkpoint,
    with_signatures,
)
from walras.audit.proof import TlogProof

ORIGIN = "log.example/walras"
TIME = 1_700_000_000


def signer_of(name: str) -> Signer:
    return Signer.from_seed(sha256(name.encode()).digest())


LOG = signer_of(ORIGIN)
LOG_NOTE_KEY = NoteKey(ORIGIN, LOG.public_key)
LOG_KEY = format_vkey(LOG_NOTE_KEY)


def witness_key(name: str) -> WitnessKey:
    return WitnessKey(f"witness.example/{name}", signer_of(name).public_key)


def witness_key_text(name: str) -> str:
    return format_vkey(witness_key(name))


def policy_text(names: str, quorum: str, log: str = LOG_KEY) -> bytes:
    """A policy of one log, these witnesses, and a group of all of them called by the quorum."""
    lines = [f"log {log}"]
    lines += [f"witness {name} {witness_key_text(name)}" for name in names.split()]
    if quorum != "none":
        lines.append(f"group all-of-them {quorum} {names}")
    lines.append(f"quorum {'none' if quorum == 'none' else 'all-of-them'}")
    return "".join(f"{line}\n" for line in lines).encode()


def tree_of(size: int, salt: str = "") -> tuple[Tree, list[bytes]]:
    entries = [f"entry {salt}{index}".encode() for index in range(size)]
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    return tree, entries


def checkpoint_of(tree: Tree, size: int | None = None, *, by: str = "") -> bytes:
    """Signed by the log, and cosigned by those witnesses."""
    size = tree.size if size is None else size
    note = sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size)), ORIGIN, LOG)
    text = parse_note(note).text
    lines = [
        cosign(text, witness_key(name).name, signer_of(name), TIME + number)
        for number, name in enumerate(by.split())
    ]
    return with_signatures(note, lines)


def proof_of(size: int, index: int, *, by: str = "") -> TlogProof:
    tree, entries = tree_of(size)
    return TlogProof(index, tree.inclusion_proof(index), checkpoint_of(tree, by=by), entries[index])


@dataclass(slots=True)
class WitnessProcess:
    """`walras witness` in a process of its own, on one folder; started again on the same port."""

    name: str
    folder: Path
    log_key: str
    port: int = 0
    process: asyncio.subprocess.Process | None = None
    url: str = ""
    verifier_key: str = ""

    async def start(self) -> None:
        command = ["witness", "--name", f"witness.example/{self.name}", "--log", self.log_key]
        command += ["--data", str(self.folder), "--listen", f"127.0.0.1:{self.port}", "--json"]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "walras.cli.main", *command, stdout=PIPE, stderr=DEVNULL
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            ready = json.loads(await self.process.stdout.readline())
        self.url, self.verifier_key = ready["url"], ready["verifier_key"]
        self.port = int(self.url.rpartition(":")[2])

    async def kill(self) -> None:
        """As a crash does: at once, in whatever it is doing."""
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
            self.process = None

    @property
    def policy_line(self) -> str:
        return f"witness {self.name} {self.verifier_key} {self.url}\n"


@asynccontextmanager
async def witnesses(folder: Path, names: str, log_key: str) -> AsyncIterator[list[WitnessProcess]]:
    made = [WitnessProcess(name, folder / name, log_key) for name in names.split()]
    try:
        async with asyncio.TaskGroup() as group:
            for each in made:
                group.create_task(each.start())
        yield made
    finally:
        for each in made:
            await each.kill()
