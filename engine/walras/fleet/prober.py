"""A prober: asks every node for a sign of life once an epoch, when its VRF says so.

docs/probes.md says what that proves.

    prober = Prober(seed, domain, rules=…, targets=…, checkpoint=…, report=…)
    await prober.serve()

The engine runs one; whoever holds a key that the fleet's rules name may run another, elsewhere.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import grpc
import structlog

from walras.api.v1 import solver_service_pb2, solver_service_pb2_grpc
from walras.audit.keys import Signer
from walras.audit.probes import (
    MAX_ECHO_BYTES,
    MAX_LATE_MS,
    MAX_OBSERVATIONS,
    due_ms,
    open_echo,
    vrf_input,
)
from walras.audit.vrf import VrfKey
from walras.balance.rules import FleetRules
from walras.core.errors import InvalidInput, WalrasError
from walras.protocol.probes import Challenge, Observation, Observations, encode_observations
from walras.sdk.signing import sign_record

log = structlog.get_logger()

REPORT_SECONDS = 10.0
LONGEST_SLEEP = 1.0
"""The wall clock may be set while the prober sleeps."""

_OPTIONS = [
    ("grpc.max_receive_message_length", 2 * MAX_ECHO_BYTES),
    # A connection of its own: an echo must not wait behind a problem's megabytes.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

Report = Callable[[Observations, bytes, bytes], Awaitable[object]]
"""Takes the record, its signed envelope and the list that it names."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An epoch to come.

    Attributes:
        epoch: its number.
        start_ms: of the epoch.
        rules: by which it is probed.
        calls: node, when to challenge it, and the VRF's proof of that; by ascending key.
    """

    epoch: int
    start_ms: int
    rules: FleetRules
    calls: tuple[tuple[bytes, int, bytes], ...]


class Prober:
    """Probes nodes and reports what it saw.

    Args:
        seed: of its Ed25519 key, which signs and proves.
        domain: of the log.
        rules: of the fleet, as of now.
        targets: nodes' addresses by key, as of now. Of more than `MAX_OBSERVATIONS`, each epoch
            takes the next ones in turn.
        checkpoint: size and root of the newest checkpoint that it holds.
        report: called once an epoch that it saw something in, as soon as that is complete. A
            WalrasError that it raises, or more than `REPORT_SECONDS`, loses the epoch's report.
        clock: ms since 1970.

    Attributes:
        public_key: by which the fleet's rules name it.
        missed: challenges that were not sent as it woke too late, the clock was set back or the
            node had gone.
    """

    def __init__(
        self,
        seed: bytes,
        domain: str,
        *,
        rules: Callable[[], FleetRules],
        targets: Callable[[], Mapping[bytes, str]],
        checkpoint: Callable[[], tuple[int, bytes]],
        report: Report,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._signer = Signer.from_seed(seed)
        self._vrf = VrfKey.from_seed(seed)
        self._domain = domain
        self._rules = rules
        self._targets = targets
        self._checkpoint = checkpoint
        self._report = report
        self._clock = clock
        self._channels: dict[bytes, tuple[str, grpc.aio.Channel]] = {}
        self.public_key = self._signer.public_key
        self.missed = 0

    async def serve(self) -> None:
        """Probe from the next epoch on, until cancelled; then hang up."""
        epoch = -1
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    plan = await self._plan(epoch)
                    epoch = plan.epoch
                    if await self._sleep_until(plan.start_ms, plan.rules):
                        group.create_task(self._run(plan))
        finally:
            channels = [channel for _, channel in self._channels.values()]
            self._channels.clear()
            await asyncio.gather(*(channel.close() for channel in channels))

    async def _plan(self, last: int) -> Plan:
        """The epoch after this one, made while this one is under way: a proof takes half a
        millisecond.
        """
        rules = self._rules()
        now = self._clock() // rules.probe_interval_ms
        # The clock may have been set back by less than an epoch; an epoch is probed once.
        epoch = now + 1 if now + 1 != last else last + 1
        targets = self._targets()
        keys = sorted(targets)
        if len(keys) > MAX_OBSERVATIONS:
            start = epoch * MAX_OBSERVATIONS % len(keys)
            keys = sorted((keys + keys)[start : start + MAX_OBSERVATIONS])
        calls = []
        for key in keys:
            proof, output = self._vrf.prove(vrf_input(self._domain, epoch, key))
            calls.append((key, due_ms(output, epoch, rules), proof))
            self._connect(key, targets[key])
            await asyncio.sleep(0)  # let the probes of this epoch go on
        return Plan(epoch, epoch * rules.probe_interval_ms, rules, tuple(calls))

    async def _run(self, plan: Plan) -> None:
        """Probe the nodes of an epoch and report."""
        targets = self._targets()
        for key in self._channels.keys() - targets.keys():
            await self._hang_up(key)
        for key, _, _ in plan.calls:
            if key in targets:
                self._connect(key, targets[key])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._probe(plan, *call)) for call in plan.calls]
        seen = [task.result() for task in tasks]
        await self._hand_in(plan.epoch, [each for each in seen if each is not None])

    async def _hand_in(self, epoch: int, seen: list[Observation]) -> None:
        if not seen:
            return
        body = encode_observations(seen)
        record = Observations(self._domain, self.public_key, epoch, sha256(body).digest())
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await self._report(record, sign_record(record, self._signer), body)
        except (WalrasError, TimeoutError) as error:
            log.warning("the observations are lost", epoch=epoch, error=str(error))

    async def _probe(self, plan: Plan, node: bytes, at_ms: int, proof: bytes) -> Observation | None:
        """One challenge; None if it was not sent."""
        in_time = await self._sleep_until(at_ms, plan.rules)
        address = self._targets().get(node)
        size, root = self._checkpoint()
        sent_ms = self._clock()
        if address is None or not in_time or sent_ms - at_ms > MAX_LATE_MS:
            self.missed += 1
            return None
        challenge = Challenge(
            domain=self._domain,
            epoch=plan.epoch,
            prober=self.public_key,
            node=node,
            nonce=secrets.token_bytes(32),
            checkpoint_size=size,
            checkpoint_root=root,
            vrf_proof=proof,
            sent_ms=sent_ms,
        )
        envelope = sign_record(challenge, self._signer)
        echo, rtt_us = await self._ask(node, address, envelope, plan.rules.probe_timeout_ms)
        if echo:
            try:
                open_echo(echo, envelope, self._domain, node)
            except InvalidInput as error:
                log.warning("the echo is none", node=node.hex(), error=str(error))
                echo, rtt_us = b"", 0
        return Observation(envelope, echo, rtt_us)

    async def _ask(
        self, node: bytes, address: str, challenge: bytes, timeout_ms: int
    ) -> tuple[bytes, int]:
        """What came back within the timeout, and the round trip; empty and 0 for nothing."""
        stub = solver_service_pb2_grpc.SolverServiceStub(self._dial(node, address))
        request = solver_service_pb2.ProbeRequest(challenge=challenge)
        start = time.monotonic_ns()
        try:
            answer = await stub.Probe(request, timeout=timeout_ms / 1_000)
        except asyncio.CancelledError:
            # Also raised where the channel was closed under the call.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return b"", 0
        except grpc.aio.AioRpcError as error:
            log.debug("no echo", node=node.hex(), code=error.code().name)
            # A connection that is half dead may stay so for minutes; a new one is not.
            await self._hang_up(node)
            self._connect(node, address)
            return b"", 0
        rtt_us = max(1, (time.monotonic_ns() - start) // 1_000)
        # gRPC hands over None in place of bytes that are no message.
        echo = bytes(getattr(answer, "echo", b""))
        return (echo, rtt_us) if echo and rtt_us <= timeout_ms * 1_000 else (b"", 0)

    def _connect(self, node: bytes, address: str) -> None:
        """Dial before a probe is due: a round trip is not the time of a handshake."""
        self._dial(node, address).get_state(try_to_connect=True)

    def _dial(self, node: bytes, address: str) -> grpc.aio.Channel:
        held = self._channels.get(node)
        if held is not None and held[0] == address:
            return held[1]
        channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._channels[node] = address, channel
        return channel

    async def _hang_up(self, node: bytes) -> None:
        held = self._channels.pop(node, None)
        if held is not None:
            await held[1].close()

    async def _sleep_until(self, at_ms: int, rules: FleetRules) -> bool:
        """Whether the time has come; not where the clock was set back, as it may be hours then."""
        while (left_ms := at_ms - self._clock()) > 0:
            if left_ms > 2 * rules.probe_interval_ms:
                return False
            await asyncio.sleep(min(left_ms / 1_000, LONGEST_SLEEP))
        return True
