"""LogService: the log, for auditors."""

from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa

from walras.api.v1 import log_service_pb2 as pb
from walras.api.v1 import log_service_pb2_grpc
from walras.app.engine import Engine
from walras.core.errors import InvalidInput, Reason
from walras.rpc.interceptor import Context
from walras.rpc.receipts import inclusion
from walras.rpc.requests import check_digest
from walras.store import schema
from walras.store.commit import SignedCheckpoint

MAX_ENTRIES = 4_096
MAX_ANSWER_BYTES = 3 << 20
"""Of entries in one answer; below gRPC's default limit of 4 MiB."""
CHUNK_BYTES = 1 << 20
READ_BYTES = 4 << 20
"""Of a blob at once; each reading passes over the whole blob."""


class LogService(log_service_pb2_grpc.LogServiceServicer):
    """Checkpoints, entries, proofs and blobs, as they are in the store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetCheckpoint(
        self, request: pb.GetCheckpointRequest, context: Context
    ) -> pb.GetCheckpointResponse:
        """The newest signed checkpoint, or an earlier one."""
        newest = self._newest()
        publishing = self._engine.publishing
        cosigned = publishing.newest if publishing is not None else None
        note = newest.note
        if cosigned is not None and cosigned.size == newest.size:
            note = cosigned.note
        if request.tree_size not in {0, newest.size}:
            table = schema.checkpoint
            query = sa.select(table.c.note).where(
                table.c.size == min(request.tree_size, newest.size + 1)
            )
            async with self._engine.store.read() as db:
                earlier = (await db.execute(query)).scalar_one_or_none()
            if earlier is None:
                raise InvalidInput(
                    Reason.NOT_FOUND, f"no checkpoint was signed at size {request.tree_size}"
                )
            note = earlier
        return pb.GetCheckpointResponse(
            checkpoint=note,
            verifier_key=self._engine.verifier_key,
            published_checkpoint=cosigned.note if cosigned is not None else b"",
        )

    async def GetEntries(
        self, request: pb.GetEntriesRequest, context: Context
    ) -> pb.GetEntriesResponse:
        """Entries from `start`, as many as one answer holds."""
        newest = self._newest()
        if request.start >= newest.size:
            return pb.GetEntriesResponse()
        limit = min(request.limit or MAX_ENTRIES, MAX_ENTRIES)
        table = schema.leaf
        query = (
            sa.select(table.c.envelope)
            .where(table.c.leaf_index >= request.start, table.c.leaf_index < newest.size)
            .order_by(table.c.leaf_index)
            .limit(limit)
        )
        entries: list[bytes] = []
        total = 0
        async with self._engine.store.read() as db:
            for entry in (await db.execute(query)).scalars():
                total += len(entry)
                if entries and total > MAX_ANSWER_BYTES:
                    break
                entries.append(entry)
        return pb.GetEntriesResponse(entries=entries)

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        """That an entry stands in a checkpoint's tree."""
        size = request.tree_size or self._newest().size
        self._check_size(size)
        if request.leaf_index >= size:
            raise InvalidInput(
                Reason.NOT_FOUND, f"a tree of {size} entries has no entry {request.leaf_index}"
            )
        tree = self._engine.sequencer.tree
        return pb.GetInclusionProofResponse(inclusion=inclusion(tree, request.leaf_index, size))

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        """That the log at one size is a prefix of the log at another."""
        new = request.new_size or self._newest().size
        self._check_size(new)
        if not 0 < request.old_size <= new:
            raise InvalidInput(Reason.FIELD_INVALID, "old_size must be from 1 to new_size")
        tree = self._engine.sequencer.tree
        return pb.GetConsistencyProofResponse(
            old_size=request.old_size,
            new_size=new,
            hashes=tree.consistency_proof(request.old_size, new),
        )

    async def GetKeyBindings(
        self, request: pb.GetKeyBindingsRequest, context: Context
    ) -> pb.GetKeyBindingsResponse:
        """How the engine's keys followed on each other, up to the newest checkpoint."""
        newest = self._newest()
        tree, keys = self._engine.sequencer.tree, self._engine.sequencer.state.in_force
        indexes = [start - 1 for start, _ in keys.engine_keys.terms[1:] if start <= newest.size]
        query = (
            sa.select(schema.leaf.c.envelope)
            .where(schema.leaf.c.leaf_index.in_(indexes))
            .order_by(schema.leaf.c.leaf_index)
        )
        async with self._engine.store.read() as db:
            entries = (await db.execute(query)).scalars().all()
        return pb.GetKeyBindingsResponse(
            checkpoint=newest.note,
            bindings=[
                pb.LoggedBinding(entry=entry, inclusion=inclusion(tree, index, newest.size))
                for index, entry in zip(indexes, entries, strict=True)
            ],
        )

    async def GetBlob(
        self, request: pb.GetBlobRequest, context: Context
    ) -> AsyncIterator[pb.GetBlobResponse]:
        """A blob by its digest, in chunks."""
        found = schema.blob.c.digest == check_digest(request.digest, "digest")
        body = schema.blob.c.body
        size = await self._scalar(sa.select(sa.func.length(body)).where(found))
        if size is None:
            raise InvalidInput(Reason.NOT_FOUND, f"there is no blob {request.digest.hex()}")
        # Read in parts, so that callers who stop reading hold a part each and not a blob.
        for start in range(0, size or 1, READ_BYTES):
            query = sa.select(sa.func.substr(body, start + 1, READ_BYTES)).where(found)
            # SQLite's part of an empty blob is NULL; it is sent as one empty chunk.
            part = await self._scalar(query) or b""
            for at in range(0, len(part) or 1, CHUNK_BYTES):
                yield pb.GetBlobResponse(chunk=part[at : at + CHUNK_BYTES])

    async def _scalar(self, query: sa.Select[Any]) -> Any:
        async with self._engine.store.read() as db:
            return (await db.execute(query)).scalar_one_or_none()

    def _newest(self) -> SignedCheckpoint:
        checkpoint = self._engine.sequencer.checkpoint
        assert checkpoint is not None, "an engine serves after its genesis"
        return checkpoint

    def _check_size(self, size: int) -> None:
        # What is not yet durable is not shown: memory may be ahead of the newest checkpoint.
        if size > self._newest().size:
            raise InvalidInput(
                Reason.NOT_FOUND, f"the log has {self._newest().size} entries, not {size}"
            )
