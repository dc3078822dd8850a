"""walras demo"""

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from walras.api.v1 import auction_service_pb2
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.cli.auditing import Audited, audit_folder
from walras.cli.child import Served, serve_in_child
from walras.cli.commands.watch import auction_document
from walras.cli.engines import clock_at, folder_or_temporary
from walras.cli.fetch import fetch_log
from walras.cli.output import Json, fields, next_step, print_json, say, show, table, title, waiting
from walras.cli.remote import put_market
from walras.cli.tamper import copy_with_flipped_byte
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError
from walras.datasets.generate import generate, generate_intents
from walras.datasets.market import Market
from walras.protocol.records import Cancel, Kind
from walras.protocol.trade import decode_intent
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.markets import demo_signer, sign_market_intents
from walras.sdk.signing import sign_record

SEED = 7
BATCHES = 5
MOST_BATCHES = 15
INTENTS_PER_BATCH = 30
BATCH_SECONDS = 60.0
"""No batch takes longer unless something is wrong."""


@dataclass(slots=True)
class Story:
    """What happened so far, for the summary.

    Attributes:
        batches: as `walras watch --auctions --json` would show them.
        wins: solver → winning bids.
        shapes: what was submitted, by kind.
        refusals: what was tried that must not work → the reason it was refused for.
    """

    batches: list[dict[str, object]] = field(default_factory=list)
    wins: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, str] = field(default_factory=dict)


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(demo)


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the engine's data and the log here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch it all: an engine in its own process, two solvers, signed intents of every shape,
    auctions until both solvers have won, and an audit that holds for the log and fails for a
    copy with one changed byte. Exit code 0 only if all of this happened.
    """
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise InvalidInput(Reason.FIELD_INVALID, f"{keep} is not empty", hint="choose another")
    began = time.monotonic()
    with folder_or_temporary(keep, "walras-demo-") as folder:
        story = Story()
        served = asyncio.run(_auctions(folder, story, quiet=as_json))
        audited, failure = _audits(folder, served, quiet=as_json)
    seconds = time.monotonic() - began
    if as_json:
        print_json(
            {
                "batches": story.batches,
                "wins": dict(story.wins),
                "shapes": dict(story.shapes),
                "refusals": story.refusals,
                "audit": audited.document(),
                "audit_of_changed_copy": {
                    "ok": False,
                    "reason": failure.reason.value,
                    "message": failure.message,
                    "fields": dict(failure.fields),
                },
                "seconds": round(seconds, 1),
                "kept": str(keep) if keep else None,
            }
        )
        return
    title(f"\nall of this held, in {seconds:.0f} s")
    if keep is None:
        next_step("walras dev", "an engine with traffic to try the other commands on")
    else:
        next_step(f"walras audit {keep / 'log'}", "check the log again, as anybody can")


async def _auctions(folder: Path, story: Story, *, quiet: bool) -> Served:
    config = folder / "walras.toml"
    # JSON's strings are TOML's, too.
    config.write_text(
        'domain = "localhost/demo"\nlisten = "127.0.0.1:0"\ninterval_ms = 1200\nsolve_ms = 1500\n'
        f"data = {json.dumps(str(folder / 'engine'))}\n"
    )
    async with AsyncExitStack() as stack:
        with waiting("starting an engine; the first time on a machine it compiles for a while"):
            served = await stack.enter_async_context(serve_in_child(config, folder / "engine.log"))
        async with Client(served.address) as client:
            if not quiet:
                title("an engine, in a process of its own")
                fields(
                    {
                        "address": served.address,
                        "process": served.pid,
                        "log key": served.verifier_key,
                        "folder": folder,
                    }
                )
            market = replace(generate(SEED, intents=0), intents=())
            operator = read_key(folder / "engine" / "operator.key")
            await put_market(client, market, operator, served.domain)
            await _run_batches(client, served, market, story, quiet=quiet)
            await fetch_log(client, folder / "log", served.verifier_key)
    return served


async def _run_batches(
    client: Client, served: Served, market: Market, story: Story, *, quiet: bool
) -> None:
    watching = asyncio.Event()
    ended: asyncio.Queue[auction_service_pb2.Auction] = asyncio.Queue()

    async def watch() -> None:
        async for auction in client.watch_auctions(watching.set):
            ended.put_nowait(auction)

    watcher = asyncio.create_task(watch())
    try:
        await watching.wait()
        rng = Random(SEED)  # noqa: S311 - a reproducible story, not a secret
        nonces: Counter[str] = Counter()
        if not quiet:
            title("\nwhat must not work is refused")
        await _refusals(client, served, market, story, quiet=quiet)
        while len(story.batches) < MOST_BATCHES:
            await _submit(client, served, market, story, rng, nonces)
            with waiting(f"batch {len(story.batches) + 1}"):
                async with asyncio.timeout(BATCH_SECONDS):
                    auction = await ended.get()
            story.batches.append(auction_document(auction))
            story.wins.update({s.name: s.winners for s in auction.solvers})
            if not quiet:
                _show_batch(auction)
            if len(story.batches) >= BATCHES and _both_won(story):
                break
    finally:
        watcher.cancel()
    if not quiet:
        title("\nin all")
        fields(
            {
                "intents": ", ".join(f"{n} {shape}" for shape, n in sorted(story.shapes.items())),
                "winning bids": ", ".join(f"{name} {n}" for name, n in story.wins.items()),
            }
        )
    if not _both_won(story):
        raise WalrasError(
            Reason.INTERNAL,
            f"after {MOST_BATCHES} batches not both solvers have won: {dict(story.wins)}",
            hint="look for solver faults above; the machine may be too busy for the solvers",
        )


async def _submit(
    client: Client,
    served: Served,
    market: Market,
    story: Story,
    rng: Random,
    nonces: Counter[str],
) -> None:
    now_ms = clock_at(None)()
    intents = generate_intents(market, rng, INTENTS_PER_BATCH, now_ms)
    signed = sign_market_intents(market, served.domain, now_ms, intents=intents, nonces=nonces)
    for intent, answer in zip(
        intents, await client.submit_many([data for _, data in signed]), strict=True
    ):
        if answer.error:
            continue  # an account that a batch emptied
        alone = len(intent.legs) == 1
        story.shapes["sell" if intent.limit > 0 else "buy"] += alone
        story.shapes["two-leg"] += not alone
        whole = intent.min_units == intent.units
        story.shapes["fill-or-kill" if whole else "partial"] += 1
        story.shapes["decaying"] += intent.decay is not None


async def _refusals(
    client: Client, served: Served, market: Market, story: Story, *, quiet: bool
) -> None:
    """A cancellation, and things that an engine must refuse."""
    now_ms = clock_at(None)()
    # Nonces of their own, far from those that count up from 1.
    nonces = Counter({account.id: 1 << 32 for account in market.accounts})
    intents = generate_intents(market, Random(SEED + 1), 1, now_ms)  # noqa: S311 - as above
    [(account, good)] = sign_market_intents(
        market, served.domain, now_ms, intents=intents, nonces=nonces
    )
    signer = demo_signer(account)
    answer = await client.submit(good)
    cancel = sign_record(Cancel(served.domain, signer.public_key, answer.intent_id), signer)
    await client.cancel(cancel)
    story.shapes["cancelled"] += 1
    signed = envelope.decode(good)
    flipped = bytes([signed.signature[0] ^ 1]) + signed.signature[1:]
    forged = replace(signed, signature=flipped)
    intent = decode_intent(signed.body)
    reused = replace(intent, expiry_ms=intent.expiry_ms + 1)
    stranger = Signer.from_seed(bytes(32))
    tries = {
        "a forged signature": envelope.encode(forged),
        "a nonce used before": sign_record(reused, signer),
        "a stranger's signature": envelope.seal(Kind.INTENT.payload_type, signed.body, stranger),
        "an intent for another engine": sign_record(
            replace(reused, domain="elsewhere", nonce=1 << 33), signer
        ),
    }
    for what, data in tries.items():
        try:
            await client.submit(data)
        except InvalidInput as error:
            story.refusals[what] = error.reason.value
            if not quiet:
                say(f"{what}: {error.reason}: {error.message}")
        else:
            raise WalrasError(Reason.INTERNAL, f"the engine took {what}")


def _both_won(story: Story) -> bool:
    return sum(count > 0 for count in story.wins.values()) >= 2


def _show_batch(auction: auction_service_pb2.Auction) -> None:
    title(
        f"\nbatch {auction.auction_id}: {auction.filled} of {auction.intents} intents filled,"
        f" score {auction.score}"
    )
    made = table(
        *("solver", "bids", "rejected", "won", "score", "reward", "fault"),
        right="bids rejected won score reward",
    )
    for s in auction.solvers:
        numbers = (str(s.bids), str(s.rejected), str(s.winners))
        made.add_row(s.name, *numbers, s.score, s.reward, s.fault)
    show(made)


def _audits(folder: Path, served: Served, *, quiet: bool) -> tuple[Audited, AuditFailure]:
    """The audit of the log, which holds, and that of a changed copy, which must not."""
    audited = audit_folder(folder / "log", served.verifier_key)
    copy = folder / "changed-log"
    index = copy_with_flipped_byte(folder / "log", copy)
    if not quiet:
        title("\nan audit of the log, over its files alone")
        audited.show()
        title(f"\nthe same of a copy in which one byte of entry {index} was changed")
    try:
        audit_folder(copy, served.verifier_key)
    except AuditFailure as failure:
        if not quiet:
            say(f"audit failed: {failure.reason}: {failure.message}")
        return audited, failure
    raise WalrasError(Reason.INTERNAL, "the audit did not see the changed byte")
