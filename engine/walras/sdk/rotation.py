"""From a log's key that somebody trusts to the keys that the engine has had since."""

from walras.audit.bindings import EngineKeys, follow, open_at_size
from walras.audit.merkle import leaf_hash, verify_inclusion
from walras.audit.note import NoteKey
from walras.sdk.client import Client


async def log_keys(client: Client, trusted: NoteKey) -> EngineKeys:
    """The engine's keys, shown by its log from the trusted one on.

    Each binding is signed by the key before it and is in the log of the newest checkpoint, which
    the newest of the keys signed.

    Args:
        client: of the engine.
        trusted: any key that the engine has had.

    Raises:
        AuditFailure: what does not hold; CHECKPOINT_INVALID where the trusted key leads nowhere.
    """
    answer = await client.key_bindings()
    entries = [(one.inclusion.leaf_index, one.entry) for one in answer.bindings]
    keys = follow(entries, trusted)
    checkpoint = open_at_size(answer.checkpoint, keys)
    for one in answer.bindings:
        index, hashes = one.inclusion.leaf_index, tuple(one.inclusion.hashes)
        leaf = leaf_hash(one.entry)
        verify_inclusion(leaf, index, checkpoint.size, hashes, checkpoint.root)
    return keys
