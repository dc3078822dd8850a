"""Intake: verified, admitted, durable and acknowledged intents per second.

The engine runs in a process of its own, as in service; this process signs beforehand and then only
sends.
"""

import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from walras.api.v1 import intent_service_pb2 as pb
from walras.api.v1 import intent_service_pb2_grpc
from walras.audit.keys import Signer
from walras.core.assets import Asset
from walras.core.intents import Intent, Leg
from walras.protocol.problem import Price
from walras.protocol.records import Credit, MarketUpdate
from walras.protocol.records import Deposit as DepositRecord
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import sign_record

DOMAIN = "bench.localhost/walras"
ETH, USD = "eip155:1/slip44:60", "eip155:1/erc20:0xusd"
INTENTS = 20_000
OWNERS = 64
IN_FLIGHT = 128


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """An engine in its own process; yields its address."""
    command = [sys.executable, "-m", "walras.cli.main", "serve", "--json"]
    command += ["--listen", "127.0.0.1:0", "--data", str(folder / "data")]
    config = folder / "walras.toml"
    settings = ("solvers = []", "interval_ms = 3600000", 'log_level = "error"')
    config.write_text("\n".join([f'domain = "{DOMAIN}"', *settings, ""]))
    process = subprocess.Popen([*command, "--config", str(config)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def signed(owners: list[Signer], count: int) -> list[bytes]:
    """Envelopes of distinct intents, their owners taking turns."""
    return [
        sign_record(
            Intent(
                domain=DOMAIN,
                owner=owners[n % OWNERS].public_key,
                nonce=n,
                not_before_ms=0,
                expiry_ms=1 << 62,
                legs=(Leg(ETH, -1),),
                units=10**18,
                min_units=0,
                settlement_asset=USD,
                limit=3_000 * 10**6 + n,
            ),
            owners[n % OWNERS],
        )
        for n in range(count)
    ]


async def _rate(sends: list[Callable[[], Awaitable[int]]], in_flight: int) -> tuple[int, float]:
    """Run all, at most `in_flight` at once; how many intents were taken, in how many seconds."""
    waiting = iter(sends)
    taken = 0

    async def worker() -> None:
        nonlocal taken
        for send in waiting:
            # Not `taken += await …`, which would add to what it was before the wait.
            count = await send()
            taken += count

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return taken, time.perf_counter() - start


async def _measure(address: str, operator: Signer) -> list[tuple[str, float]]:
    owners = [Signer.from_seed(secrets.token_bytes(32)) for _ in range(OWNERS)]
    async with Client(address) as client:
        prices = {ETH: Price(10**9, "bench"), USD: Price(10**21 // 3_000, "bench")}
        assets = (Asset(ETH, "ETH", 18), Asset(USD, "USD", 6))
        market = MarketUpdate(DOMAIN, operator.public_key, 1, assets, (), (), prices)
        await client.put_venues(sign_record(market, operator))
        funds = tuple(Credit(owner.public_key, ETH, 10**30) for owner in owners)
        deposit = DepositRecord(DOMAIN, operator.public_key, 2, funds)
        await client.deposit(sign_record(deposit, operator))
    envelopes = signed(owners, 2 * INTENTS)
    rates = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = intent_service_pb2_grpc.IntentServiceStub(channel)

        async def single(n: int) -> int:
            request = pb.SubmitIntentRequest(request_id=f"s{n}", envelope=envelopes[n])
            return int(bool((await stub.SubmitIntent(request, timeout=60)).intent_id))

        async def batch(start: int, size: int) -> int:
            request = pb.SubmitIntentsRequest(
                request_id=f"b{start}", envelopes=envelopes[start : start + size]
            )
            answer = await stub.SubmitIntents(request, timeout=60)
            return sum(result.HasField("inclusion") for result in answer.results)

        singles = [lambda n=n: single(n) for n in range(INTENTS // 4)]
        taken, seconds = await _rate(singles, IN_FLIGHT)
        assert taken == len(singles), f"{taken} of {len(singles)} were taken"
        rates.append(("one by one, 128 in flight", taken / seconds))
        start = INTENTS // 4
        for size in (64, 512):
            starts = range(start, start + INTENTS // 2, size)
            batches = [lambda s=s, size=size: batch(s, size) for s in starts]
            taken, seconds = await _rate(batches, 8)
            assert taken == len(batches) * size, f"{taken} of {len(batches) * size} were taken"
            rates.append((f"batches of {size}, 8 in flight", taken / seconds))
            start += len(batches) * size
    return rates


def run() -> None:
    """Print the table."""
    print("\nIntake: verified, admitted and durable\n")
    print(f"{'':28}{'intents/s':>12}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder) as address:
            operator = read_key(folder / "data" / "operator.key")
            for label, rate in asyncio.run(_measure(address, operator)):
                print(f"{label:28}{rate:>12,.0f}")
