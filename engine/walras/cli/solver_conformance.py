"""What a node must do whatever its solver is worth, and whether this one does it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from secrets import token_bytes

import grpc

from walras.api.v1 import record_pb2, solver_service_pb2, solver_service_pb2_grpc, venue_pb2
from walras.auction.parts import split
from walras.audit.keys import SEED_BYTES, Signer
from walras.audit.probes import open_echo
from walras.cli.sealed_market import DOMAIN
from walras.cli.solver_subject import (
    GONE_ADVICE,
    PROMPT_SECONDS,
    RECOVER_SECONDS,
    RELEASE_SECONDS,
    Finding,
    Subject,
    Verdict,
    ended,
)
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import DESCRIBE_SECONDS
from walras.market.kinds import KINDS
from walras.protocol.probes import Challenge
from walras.protocol.trade import encode_problem
from walras.sdk.signing import sign_record

SHORT_SECONDS = 0.3
"""What the check of the deadline leaves; an engine may ask in less."""

HUGE_SECONDS = 3.0
CANCEL_AFTER_SECONDS = 0.15
MAX_LABEL = 64
"""Characters of a solver's name or version that are shown."""

_LATER_KIND = bytes.fromhex("c23e020a00")  # field 1000, a message of two bytes
_UNKNOWN_KIND = venue_pb2.Venue(id="~later", cost="0").SerializeToString() + _LATER_KIND

Examine = Callable[[Subject], Awaitable[Finding]]


async def examine(subject: Subject) -> AsyncIterator[Finding]:
    """All checks, one after another; what goes wrong in one is its finding."""
    for title, check in CHECKS.items():
        try:
            await subject.released(RECOVER_SECONDS)
            found = await check(subject)
        except SolverFault as fault:
            found = Finding(title, Verdict.FAILED, str(fault), GONE_ADVICE)
        if found.verdict is not Verdict.FAILED and not subject.node.connected:
            said = f"{found.said}; then it went away"
            found = replace(found, verdict=Verdict.FAILED, said=said, advice=GONE_ADVICE)
        yield found


async def _describe(subject: Subject) -> Finding:
    name = "describe"
    node = subject.node
    start = time.monotonic()
    async with grpc.aio.insecure_channel(node.address) as channel:
        stub = solver_service_pb2_grpc.SolverServiceStub(channel)
        try:
            request = solver_service_pb2.DescribeRequest()
            told: object = await stub.Describe(request, timeout=DESCRIBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            return Finding(name, Verdict.FAILED, f"Describe ended with {error.code().name}")
    spent = time.monotonic() - start
    if not isinstance(told, solver_service_pb2.DescribeResponse):
        return Finding(name, Verdict.FAILED, "the second answer is no message")
    if any(len(one) > MAX_LABEL or not one.isprintable() for one in (told.name, told.version)):
        advice = f"at most {MAX_LABEL} printable characters each"
        return Finding(name, Verdict.FAILED, "the name or version is not for people", advice)
    said = f"{told.name} {told.version}, slots {max(1, told.slots)}, in {1_000 * spent:.0f} ms"
    if told.public_key != node.public_key:
        return Finding(
            name,
            Verdict.FAILED,
            f"{said}; it showed another key before",
            "a node has one key for as long as it runs: bids are signed by it",
        )
    if not told.name or not told.version:
        return Finding(
            name, Verdict.FAILED, f"{said}; no name or version", "say both in describe()"
        )
    if strange := sorted(set(told.venue_kinds) - set(KINDS)):
        return Finding(
            name,
            Verdict.NOTE,
            f"{said}; no engine of this version has venues of kind {', '.join(strange)}",
            f"kinds are {', '.join(KINDS)}",
        )
    return Finding(name, Verdict.OK, said)


async def _load(subject: Subject) -> Finding:
    start = time.monotonic()
    load = await subject.node.load(PROMPT_SECONDS)
    spent = time.monotonic() - start
    if load is None:
        return Finding(
            "load",
            Verdict.NOTE,
            "ReportLoad is not answered",
            "some policies ask it before every call and pass over who does not answer",
        )
    said = f"{load[0]} in flight, {load[1]} µs expected, in {1_000 * spent:.0f} ms"
    if load[0]:
        return Finding("load", Verdict.FAILED, said, "nothing was in flight: count what ends")
    return Finding("load", Verdict.OK, said)


async def _probe(subject: Subject) -> Finding:
    node = subject.node
    prober = Signer.from_seed(token_bytes(SEED_BYTES))
    now_ms = time.time_ns() // 1_000_000
    challenge = sign_record(
        Challenge(
            DOMAIN,
            now_ms // 10_000,
            prober.public_key,
            node.public_key,
            token_bytes(32),
            0,
            bytes(32),
            bytes(80),
            now_ms,
        ),
        prober,
    )
    async with grpc.aio.insecure_channel(node.address) as channel:
        stub = solver_service_pb2_grpc.SolverServiceStub(channel)
        request = solver_service_pb2.ProbeRequest(challenge=challenge)
        try:
            answer = await stub.Probe(request, timeout=PROMPT_SECONDS)
            # gRPC hands over None in place of bytes that are no message.
            echo = getattr(answer, "echo", b"")
            open_echo(echo, challenge, DOMAIN, node.public_key)
        except grpc.aio.AioRpcError as error:
            return Finding(
                "probe",
                Verdict.NOTE,
                f"Probe ended with {error.code().name}",
                "an engine that probes its nodes takes this one for dead",
            )
        except InvalidInput as error:
            return Finding("probe", Verdict.FAILED, str(error), "see docs/probes.md, the echo")
    return Finding("probe", Verdict.OK, "a signed echo")


async def _empty(subject: Subject) -> Finding:
    problem = replace(subject.problems.small, intents={}, balances={}, venues={})
    trial = await subject.ask([problem], subject.problems.seconds)
    advice = "nothing to fill is an answer: end without a bid"
    return await ended(subject, "empty", "no intent and no venue", trial, advice)


async def _same(subject: Subject) -> Finding:
    first = await subject.ask([subject.problems.small], subject.problems.seconds)
    second = await subject.ask([subject.problems.small], subject.problems.seconds)
    for trial in (first, second):
        if trial.fault is not None and not trial.late:
            return await ended(subject, "same", "the same problem twice", trial, "")
    one, two = ({bid.digest for bid in trial.bids} for trial in (first, second))
    said = f"{len(one)} bids, then {len(two)}, {len(one & two)} of them the same"
    if one == two:
        return Finding("same", Verdict.OK, said)
    return Finding(
        "same",
        Verdict.NOTE,
        said,
        "nobody requires it, but a bid that cannot be made again is hard to debug: fix seeds, do"
        " not iterate over sets, do as much as can be done well before the deadline",
    )


async def _parts(subject: Subject) -> Finding:
    parts = split(subject.problems.large, max(1, len(subject.problems.large.intents) // 4))
    trial = await subject.ask(parts, 2 * subject.problems.seconds)
    advice = "a call brings up to 64 parts: end each of them, in any order"
    return await ended(subject, "parts", f"{len(parts)} parts in one call", trial, advice)


async def _deadline(subject: Subject) -> Finding:
    problem = subject.problems.large
    trial = await subject.ask([problem], SHORT_SECONDS)
    what = f"{len(problem.intents)} intents, {1_000 * SHORT_SECONDS:.0f} ms for them"
    advice = "look at deadline.remaining() in every loop; what comes after it is lost"
    return await ended(subject, "deadline", what, trial, advice)


async def _cancel(subject: Subject) -> Finding:
    at_work = await subject.asker.hang_up(
        subject.node, subject.problems.huge, 10 * PROMPT_SECONDS, CANCEL_AFTER_SECONDS
    )
    spent = await subject.released()
    if spent >= RELEASE_SECONDS:
        return Finding(
            "cancel",
            Verdict.FAILED,
            f"still at work {RELEASE_SECONDS:g} s after the engine hung up",
            "deadline.remaining() is 0 from then on; in another language, watch for the call's end",
        )
    said = f"free {1_000 * spent:.0f} ms after the engine hung up"
    return Finding("cancel", Verdict.OK, said if at_work else "it had ended before")


async def _unknown_kind(subject: Subject) -> Finding:
    message = record_pb2.Problem.FromString(encode_problem(subject.problems.small))
    message.venues.append(venue_pb2.Venue.FromString(_UNKNOWN_KIND))
    body = message.SerializeToString(deterministic=True)
    trial = await subject.ask([subject.problems.small], subject.problems.seconds, bodies=[body])
    advice = "end the part with PART_STATUS_INVALID, or pass over the venue"
    what = "a venue of a kind that it cannot know"
    return await ended(subject, "unknown kind", what, trial, advice, {Reason.NODE_FAILED})


async def _huge(subject: Subject) -> Finding:
    problem = subject.problems.huge
    what = f"{len(problem.intents)} intents, {len(problem.venues)} venues"
    trial = await subject.ask([problem], HUGE_SECONDS)
    advice = "say max_intents and max_venues in describe(), and such problems stay away"
    return await ended(subject, "huge", what, trial, advice, {Reason.NODE_BUSY})


async def _alive(subject: Subject) -> Finding:
    trial = await subject.ask([subject.problems.small], subject.problems.seconds)
    return await ended(subject, "alive", "another small problem, after all this", trial, "")


CHECKS: dict[str, Examine] = {
    "describe": _describe,
    "load": _load,
    "probe": _probe,
    "empty": _empty,
    "same": _same,
    "parts": _parts,
    "deadline": _deadline,
    "cancel": _cancel,
    "unknown kind": _unknown_kind,
    "huge": _huge,
    "alive": _alive,
}
"""By name, in the order in which they are made."""
