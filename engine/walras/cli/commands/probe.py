"""walras fleet probe"""

import asyncio
from contextlib import suppress
from ipaddress import ip_address
from statistics import median
from typing import Annotated

import structlog
import typer

from walras.audit.note import open_checkpoint
from walras.audit.probes import open_challenge
from walras.balance.rules import FleetRules
from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.options import DEFAULT_ADDRESS, KeyFile, LogKey
from walras.cli.output import Json, print_json_line, say, stderr
from walras.cli.remote import Log, checked_receipt, log_of
from walras.core.addresses import is_address
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.fleet.prober import Prober
from walras.protocol.fleet import rules_from_wire
from walras.protocol.probes import Observations, decode_observation_list
from walras.sdk.client import Client
from walras.sdk.keys import read_seed

log = structlog.get_logger()

NOTES_KEPT = 64
"""Signed checkpoints that are kept as evidence, the newest."""
CALL_SECONDS = 5.0

Engine = Annotated[
    str,
    typer.Option(
        "--engine", "--address", "-a", envvar="WALRAS_ADDRESS", help="The engine's host:port."
    ),
]


def register(group: typer.Typer, name: str) -> None:
    """Add the command to `walras fleet`."""
    group.command(name)(probe)


def probe(
    key: KeyFile,
    engine: Engine = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    count: Annotated[int, typer.Option(min=0, help="End after so many reports; 0: never.")] = 0,
    as_json: Json = False,
) -> None:
    """Probe an engine's solver nodes from here and report what is seen, until Ctrl-C.

    The engine's configuration must name the key's public key in probers.

    Nodes at loopback addresses are probed only where the engine's address is one.

    Exit code 1 if the engine is caught with two logs; the checkpoint that proves it is shown.
    """
    configure(level="warning")
    asyncio.run(_probe(Watch(engine, count, as_json=as_json), read_seed(key), log_key))


class Watch:
    """What the daemon knows of the engine, and what it tells.

    Args:
        address: the engine's.
        count: reports to make; 0: without end.
        as_json: whether a report is shown as a JSON document.

    Attributes:
        rules, targets, checkpoint: as the engine last said.
        failure: what ended it.
    """

    def __init__(self, address: str, count: int, *, as_json: bool) -> None:
        self.address = address
        self.rules = FleetRules()
        self.targets: dict[bytes, str] = {}
        self.checkpoint = 0, b""
        self.failure: WalrasError | None = None
        self.stop = asyncio.Event()
        self._left = count
        self._as_json = as_json
        self._notes: dict[str, bytes] = {}  # by size

    async def refresh(self, client: Client, engine_log: Log) -> None:
        """Ask the engine for its rules, nodes and newest checkpoint.

        Raises:
            AuditFailure: CHECKPOINT_INVALID.
        """
        self.rules = rules_from_wire((await client.fleet()).rules)
        here = _is_loopback(self.address)
        self.targets = {
            node.node.public_key: node.address
            async for node in client.nodes()
            if is_address(node.address) and (here or not _is_loopback(node.address))
        }
        self.hold((await client.checkpoint()).checkpoint, engine_log)

    def hold(self, note: bytes, engine_log: Log) -> None:
        """Take a checkpoint as the newest and keep it. Raises as `open_checkpoint`."""
        found = open_checkpoint(note, engine_log.key)
        self.checkpoint = found.size, found.root
        self._notes[str(found.size)] = note
        while len(self._notes) > NOTES_KEPT:
            del self._notes[next(iter(self._notes))]

    async def report(
        self, client: Client, engine_log: Log, record: Observations, leaf: bytes, body: bytes
    ) -> None:
        """Hand in the observations of an epoch, and tell."""
        try:
            answer = await client.submit_observations(leaf, body)
            found = checked_receipt(leaf, answer.receipt, engine_log)
        except WalrasError as error:
            if error.reason is Reason.SPLIT_VIEW or isinstance(error, AuditFailure):
                self._catch(error)
            raise
        self._tell(record.epoch, body, found["leaf_index"])
        self._left -= 1
        if self._left == 0:
            self.stop.set()

    def _catch(self, error: WalrasError) -> None:
        note = self._notes.get(error.fields.get("size", ""), b"").decode()
        if not self._as_json:
            stderr.print(note, markup=False)
        self.failure = AuditFailure(
            error.reason, error.message, hint=error.hint, **{**error.fields, "note": note}
        )
        self.stop.set()

    def _tell(self, epoch: int, body: bytes, index: int) -> None:
        seen = [
            (open_challenge(each.challenge).node.hex(), each.rtt_us if each.echo else None)
            for each in decode_observation_list(body)
        ]
        if self._as_json:
            nodes = [{"public_key": key, "rtt_us": rtt_us} for key, rtt_us in seen]
            print_json_line({"epoch": epoch, "leaf_index": index, "nodes": nodes})
            return
        answered = [rtt_us for _, rtt_us in seen if rtt_us is not None]
        middle = f", median {median(answered) / 1_000:.2f} ms" if answered else ""
        say(f"epoch {epoch}: {len(answered)} of {len(seen)} nodes answered{middle}; entry {index}")


async def _probe(watch: Watch, seed: bytes, log_key: str) -> None:
    with until_stopped() as told:
        async with Client(watch.address, timeout=CALL_SECONDS) as client:
            engine_log = await log_of(client, log_key)
            await watch.refresh(client, engine_log)
            prober = Prober(
                seed,
                engine_log.domain,
                rules=lambda: watch.rules,
                targets=lambda: watch.targets,
                checkpoint=lambda: watch.checkpoint,
                report=lambda record, leaf, body: watch.report(
                    client, engine_log, record, leaf, body
                ),
            )
            if prober.public_key not in watch.rules.probers:
                raise InvalidInput(
                    Reason.PROBER_UNKNOWN,
                    f"the engine does not know the prober {prober.public_key.hex()}",
                    hint="in [fleet] of its configuration, this line registers it (beside those"
                    f' there): probers = ["{prober.public_key.hex()}"]',
                )
            work = [
                asyncio.create_task(prober.serve()),
                asyncio.create_task(_keep_fresh(watch, client, engine_log)),
            ]
            ends = [asyncio.create_task(event.wait()) for event in (told, watch.stop)]
            try:
                await asyncio.wait({*work, *ends}, return_when=asyncio.FIRST_COMPLETED)
                for task in work:
                    if task.done():
                        task.result()
            finally:
                for each in (*work, *ends):
                    each.cancel()
                await asyncio.gather(*work, *ends, return_exceptions=True)
    if watch.failure is not None:
        raise watch.failure


async def _keep_fresh(watch: Watch, client: Client, engine_log: Log) -> None:
    """Know the engine's nodes and newest checkpoint, twice an epoch."""
    while True:
        await asyncio.sleep(watch.rules.probe_interval_ms / 2_000)
        try:
            await watch.refresh(client, engine_log)
        except AuditFailure:
            raise
        except WalrasError as error:
            log.warning("the engine does not say", error=str(error))


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
