"""What commands have in common that talk to a server."""

import time
from dataclasses import dataclass

from walras.api.v1 import log_service_pb2
from walras.audit.keys import Signer
from walras.audit.note import NoteKey, is_signed, open_checkpoint, parse_note, parse_vkey
from walras.cli.options import parse_log_key
from walras.cli.output import progress
from walras.core.assets import Asset
from walras.core.errors import AuditFailure
from walras.datasets.market import Market
from walras.sdk.client import Client
from walras.sdk.markets import deposits, load_market, market_updates
from walras.sdk.rotation import log_keys
from walras.sdk.signing import verify_receipt


@dataclass(frozen=True, slots=True)
class Log:
    """Whose signature receipts must carry.

    Attributes:
        key: of the log; its name is the engine's domain.
        remark: where the key comes from, for people.
    """

    key: NoteKey
    remark: str

    @property
    def domain(self) -> str:
        """What records for this engine are signed for."""
        return self.key.name


async def log_of(client: Client, log_key: str) -> Log:
    """The log's key: the one given, or one that the log shows to have followed on it, which must
    have signed the server's checkpoint; where none is given, its own.

    Raises:
        AuditFailure: CHECKPOINT_INVALID if the server's checkpoint is not of the given key.
        InvalidInput: PUBLIC_KEY_INVALID.
    """
    answer = await client.checkpoint()
    given = parse_log_key(log_key)
    log = (
        Log(parse_vkey(given), "as given by --log-key")
        if given
        else Log(parse_vkey(answer.verifier_key), "the server's own word; give yours by --log-key")
    )
    try:
        if given and not is_signed(parse_note(answer.checkpoint), log.key):
            newest = (await log_keys(client, log.key)).newest
            return Log(newest, "which followed on the one given by --log-key")
        open_checkpoint(answer.checkpoint, log.key)
    except AuditFailure as error:
        raise AuditFailure(
            error.reason,
            f"{error.message}; nothing was sent",
            hint=f"{client.address} says that its key is {answer.verifier_key}",
            **error.fields,
        ) from error
    return log


async def assets_of(client: Client) -> dict[str, Asset]:
    """The engine's assets by id."""
    found = {}
    async for listed in client.assets():
        asset = listed.asset
        found[asset.id] = Asset(asset.id, asset.symbol, asset.decimals)
    return found


def checked_receipt(leaf: bytes, receipt: log_service_pb2.Receipt, log: Log) -> dict[str, int]:
    """What a receipt says, once it proved it.

    Raises:
        AuditFailure: as `verify_receipt`.
    """
    checkpoint = verify_receipt(leaf, receipt, log.key)
    return {"leaf_index": receipt.inclusion.leaf_index, "tree_size": checkpoint.size}


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


async def put_market(client: Client, market: Market, operator: Signer, domain: str) -> None:
    """`load_market` with a bar."""
    total = sum(1 for _ in market_updates(market, operator, domain))
    total += sum(1 for _ in deposits(market, operator, domain))
    with progress("market", total) as advance:
        await load_market(client, market, operator, domain, advance)
