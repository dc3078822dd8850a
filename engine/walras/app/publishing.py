"""Publishing the log: its files first, then a checkpoint that the witnesses cosigned.

This runs beside the sequencer and takes what is durable; no commit and no auction waits for files
or witnesses, and the database is taken for one small transaction a publication. With a policy, what
is published is what its quorum cosigned: whoever demands that quorum finds a checkpoint that has
it, an older one while the witnesses are away.
"""

import asyncio
from pathlib import Path

import sqlalchemy as sa
import structlog

from walras.app.config import LogConfig
from walras.app.sequencer import Sequencer
from walras.app.witnessing import Witnesses
from walras.audit.note import parse_checkpoint, parse_note
from walras.audit.tiles import TILE_WIDTH, blob_path, bundles, encode_bundle, hash_tile, hash_tiles
from walras.ledger.changes import Changes
from walras.store import schema
from walras.store.commit import SignedCheckpoint
from walras.store.database import Store
from walras.store.folder import blobs_of
from walras.store.publish import GrowingFolder
from walras.witness.policy_file import read_policy

log = structlog.get_logger()

REFRESH_SECONDS = 600.0
"""A log that does not grow is cosigned anew this often, so that its readers know it is not kept
from them."""


class Publishing:
    """The log's files and its newest cosigned checkpoint.

    Attributes:
        folder: of the files.
        newest: the checkpoint published last; with a policy, one that its quorum cosigned.

    Raises, when made:
        InvalidInput: CONFIG_INVALID or POLICY_INVALID.
    """

    def __init__(
        self, config: LogConfig, data: Path, sequencer: Sequencer, store: Store, verifier_key: str
    ) -> None:
        self.folder = Path(config.folder) if config.folder else data / "log"
        self.newest: SignedCheckpoint | None = None
        self._files = GrowingFolder(self.folder, verifier_key)
        self._sequencer = sequencer
        self._store = store
        self._pause = config.interval_ms / 1000
        self._witnesses = None
        if config.policy:
            policy = read_policy(Path(config.policy))
            self._witnesses = Witnesses(policy, config.timeout_ms / 1000)
        self._changed = asyncio.Event()
        self._written = 0
        self._published = 0

    async def begin(self) -> None:
        """Look at what an earlier run published.

        Raises:
            InvalidInput: CONFIG_INVALID: the folder holds another log.
        """
        tree = self._sequencer.tree
        keys = self._sequencer.state.in_force.engine_keys
        self._written = self._published = await asyncio.to_thread(self._files.begin, tree, keys)
        note = await self._store.cosigned()
        if note is not None:
            checkpoint = parse_checkpoint(parse_note(note).text)
            if checkpoint.size <= tree.size and tree.root(checkpoint.size) == checkpoint.root:
                self.newest = SignedCheckpoint(checkpoint.size, note)
        self._changed.set()
        self._sequencer.on_commit.append(self._notice)

    async def serve(self) -> None:
        """Publish whatever becomes durable, until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout(REFRESH_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                self._changed.clear()
                checkpoint = self._sequencer.checkpoint
                try:
                    done = checkpoint is None or await self._publish(checkpoint)
                except OSError as error:
                    # Whatever this disk does, the auctions go on; nothing is lost by waiting.
                    log.error("the log cannot be published", why=str(error))  # noqa: TRY400 - a disk
                    done = False
                if not done:
                    self._changed.set()
                await asyncio.sleep(self._pause)
        finally:
            if self._witnesses is not None:
                self._witnesses.close()

    def _notice(self, _changes: Changes) -> None:
        self._changed.set()

    async def _publish(self, checkpoint: SignedCheckpoint) -> bool:
        """Whether the checkpoint is published; files are written in any case."""
        await self._write_files(checkpoint.size)
        note = checkpoint.note
        if self._witnesses is not None:
            tree = self._sequencer.tree
            asked = await self._witnesses.cosign(_plain(note), checkpoint.size, tree)
            if not asked.enough:
                if asked.asked:
                    log.warning("no quorum", size=checkpoint.size, cosigned=sorted(asked.names))
                return False
            note = asked.note
            await self._store.cosign(SignedCheckpoint(checkpoint.size, note))
        await asyncio.to_thread(self._files.publish, note, self._published)
        self._published = checkpoint.size
        self.newest = SignedCheckpoint(checkpoint.size, note)
        return True

    async def _write_files(self, size: int) -> None:
        """Bundles with the blobs that they name, then hash tiles; a bundle at a time."""
        tree = self._sequencer.tree
        for tile in bundles(size, self._written):
            start = TILE_WIDTH * tile.index
            entries = await self._entries(start, start + tile.width)
            fresh = entries[max(0, self._written - start) :]
            for digest in await asyncio.to_thread(_named, fresh):
                await self._write_blob(digest)
            await asyncio.to_thread(self._files.add, [(tile.path, encode_bundle(entries))])
        for tile in hash_tiles(size, self._written):
            await asyncio.to_thread(self._files.add, [(tile.path, hash_tile(tree, tile))])
        self._written = max(self._written, size)

    async def _entries(self, start: int, stop: int) -> list[bytes]:
        table = schema.leaf
        query = (
            sa.select(table.c.envelope)
            .where(table.c.leaf_index >= start, table.c.leaf_index < stop)
            .order_by(table.c.leaf_index)
        )
        async with self._store.read() as db:
            return list((await db.execute(query)).scalars())

    async def _write_blob(self, digest: bytes) -> None:
        path = blob_path(digest)
        if await asyncio.to_thread(self._files.has, path):
            return
        query = sa.select(schema.blob.c.body).where(schema.blob.c.digest == digest)
        async with self._store.read() as db:
            body = (await db.execute(query)).scalar_one()
        await asyncio.to_thread(self._files.add, [(path, body)])


def _named(entries: list[bytes]) -> list[bytes]:
    return list(dict.fromkeys(digest for entry in entries for digest in blobs_of(entry)))


def _plain(note: bytes) -> bytes:
    """A checkpoint with its first signature alone, the log's own: the others are asked for anew."""
    parsed = parse_note(note)
    return f"{parsed.text}\n{parsed.signatures[0].line}".encode()
