"""What a prober's observations prove of the nodes: docs/probes.md says what, and what not.

In each epoch of `probe_interval_ms` a prober sends every node one signed challenge, at a time that
the prober's VRF fixes, and gets a signed echo, or none in time. `open_observations` checks what
stands by itself (signatures, VRF proofs, bindings), which takes about a millisecond for each;
`judge` what needs the log (who may probe, when, and whether the checkpoints are this log's), which
is cheap.

A prober answers for what it signs: one observation that breaks a rule condemns its whole list. A
node answers for the checkpoint in its echo: if that is not this log's, `split_views` shows it; the
echo is a sign of life all the same, as anybody who dials a node can hand it a false checkpoint.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from walras.audit import envelope, vrf
from walras.balance.events import Probed
from walras.balance.rules import FleetRules, NodeInfo
from walras.core.errors import InvalidInput, Reason
from walras.protocol.codec import decode
from walras.protocol.probes import (
    Challenge,
    Echo,
    Observation,
    Observations,
    decode_observation_list,
)
from walras.protocol.records import Kind

MAX_CHALLENGE_BYTES = 1_024
MAX_ECHO_BYTES = 1_024
MAX_OBSERVATIONS = 512
"""In one list: no list is longer than 2^20 bytes, and none takes seconds to check."""
MAX_LATE_MS = 250
"""A challenge may be sent so long after its time: programs wake late."""


@dataclass(frozen=True, slots=True)
class SplitView:
    """A node signed that it holds a checkpoint which is not this log's.

    Attributes:
        node: its key.
        size, root: of the checkpoint.
        index: of the entry that names the prober's list with the echo.
    """

    node: bytes
    size: int
    root: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Opened:
    """An observation that holds by itself.

    Attributes:
        challenge: signed by its prober.
        echo: signed by the node, of this challenge; None where none came in time.
        rtt_us: as the prober says.
        output: of the prober's VRF.
    """

    challenge: Challenge
    echo: Echo | None
    rtt_us: int
    output: bytes


def vrf_input(domain: str, epoch: int, node: bytes) -> bytes:
    """What a prober's VRF is taken over for the time at which it probes a node.

    Nothing that the prober, or the engine, can choose is in it. A checkpoint would be: whoever
    holds several could take the one that gives the time it likes.
    """
    return b"walras probe v1\0" + domain.encode() + b"\0" + epoch.to_bytes(8, "big") + node


def due_ms(output: bytes, epoch: int, rules: FleetRules) -> int:
    """When a challenge is to be sent, in ms since 1970, by its prober's clock.

    Uniform over the epoch less the timeout, so that an epoch's probes are over when it is: one
    that outlasts a timeout of `consecutive_errors` epochs is seen in as many.
    """
    span = max(1, rules.probe_interval_ms - rules.probe_timeout_ms)
    return epoch * rules.probe_interval_ms + int.from_bytes(output, "big") % span


def check_observations(
    record: Observations,
    body: bytes,
    *,
    domain: str,
    rules: FleetRules,
    nodes: Mapping[bytes, NodeInfo],
    root_at: Callable[[int], bytes],
    entries: int = 0,
) -> tuple[list[Probed], list[Echo]]:
    """`admit`, `open_observations` and `judge` in one, and the echoes by which nodes signed that
    they hold a checkpoint which is not this log's (`split_views`). Raises as these.
    """
    admit(record, domain=domain, rules=rules)
    opened = open_observations(record, body)
    events = judge(
        record,
        opened,
        domain=domain,
        rules=rules,
        nodes=nodes,
        root_at=root_at,
        entries=entries,
    )
    return events, split_views(opened, root_at)


def admit(record: Observations, *, domain: str, rules: FleetRules) -> None:
    """Refuse observations for another log or of a stranger, before any work is done on them.

    Raises:
        InvalidInput: DOMAIN_WRONG or PROBER_UNKNOWN.
    """
    if record.domain != domain:
        raise InvalidInput(
            Reason.DOMAIN_WRONG, f"the observations are for {record.domain}", domain=domain
        )
    if record.prober not in rules.probers:
        raise InvalidInput(
            Reason.PROBER_UNKNOWN,
            "this prober is not one of the fleet's",
            hint="add its key to probers in the engine's [fleet]",
            prober=record.prober.hex(),
        )


def open_observations(record: Observations, body: bytes) -> tuple[Opened, ...]:
    """The observations that `record` names, if they hold by themselves; about 1 ms for each.

    Args:
        record: whose signature was verified.
        body: hostile bytes.

    Raises:
        InvalidInput: DIGEST_WRONG (another list), MESSAGE_TOO_LARGE, FIELD_INVALID (nodes not
            ascending), CHALLENGE_REPEATED (a nonce twice), CHALLENGE_MISMATCH (of another prober,
            epoch or domain), VRF_INVALID, ROUND_TRIP_INVALID (of no echo), or as `open_challenge`
            and `open_echo`; `fields["node"]` names the node where it is known.
    """
    if sha256(body).digest() != record.list_digest:
        raise InvalidInput(Reason.DIGEST_WRONG, "the list is not the one that the record names")
    found = decode_observation_list(body)
    if len(found) > MAX_OBSERVATIONS:
        raise InvalidInput(
            Reason.MESSAGE_TOO_LARGE, f"a list has at most {MAX_OBSERVATIONS} observations"
        )
    opened = tuple(_open(record, observation) for observation in found)
    keys = [each.challenge.node for each in opened]
    if keys != sorted(set(keys)):
        raise InvalidInput(
            Reason.FIELD_INVALID, "nodes must be ascending, each once", field="observations"
        )
    if len({each.challenge.nonce for each in opened}) < len(opened):
        raise InvalidInput(Reason.CHALLENGE_REPEATED, "two challenges have one nonce")
    return opened


def judge(
    record: Observations,
    opened: Iterable[Opened],
    *,
    domain: str,
    rules: FleetRules,
    nodes: Mapping[bytes, NodeInfo],
    root_at: Callable[[int], bytes],
    entries: int = 0,
) -> list[Probed]:
    """What opened observations say of nodes; those of nodes that are not known are passed over.

    Args:
        record: that names them. Whether its epoch is over or was reported before is not looked
            at; `walras.ledger.epochs` sees to it that no challenge counts twice.
        opened: by `open_observations` of the same record.
        domain: of the log.
        rules: in force.
        nodes: that are known.
        root_at: the log's root at a size, up to the entries before this record; raises
            InvalidInput for a larger one.
        entries: that the challenges' checkpoints have at least.

    Raises:
        InvalidInput: as `admit`; CHALLENGE_MISTIMED; ROUND_TRIP_INVALID; OBSERVATION_STALE for a
            checkpoint with fewer entries; or SPLIT_VIEW where the prober's own checkpoint is not
            this log's.
    """
    admit(record, domain=domain, rules=rules)
    events = []
    for each in opened:
        challenge, echo = each.challenge, each.echo
        node = challenge.node.hex()
        late = challenge.sent_ms - due_ms(each.output, challenge.epoch, rules)
        if not 0 <= late <= MAX_LATE_MS:
            raise InvalidInput(
                Reason.CHALLENGE_MISTIMED,
                f"the challenge was sent {late} ms after its time",
                hint=f"it may be 0 to {MAX_LATE_MS}",
                node=node,
            )
        if echo is not None and not 1 <= each.rtt_us <= rules.probe_timeout_ms * 1_000:
            raise InvalidInput(
                Reason.ROUND_TRIP_INVALID,
                f"a round trip of {each.rtt_us} µs is not within the timeout",
                node=node,
            )
        if challenge.checkpoint_size < entries:
            raise InvalidInput(
                Reason.OBSERVATION_STALE,
                f"a challenge names {challenge.checkpoint_size} entries, and {entries} hold the"
                " prober's last report before the clock was set back",
                node=node,
            )
        if not _holds(challenge.checkpoint_size, challenge.checkpoint_root, root_at):
            raise InvalidInput(
                Reason.SPLIT_VIEW,
                f"the prober was shown another log of {challenge.checkpoint_size} entries than"
                " this one",
                hint="the signed checkpoint that it holds is the proof; keep it",
                node=node,
                size=challenge.checkpoint_size,
                root=challenge.checkpoint_root.hex(),
            )
        if challenge.node in nodes:
            rtt_us, reported = (None, 0) if echo is None else (each.rtt_us, echo.in_flight)
            events.append(
                Probed(challenge.node, record.prober, challenge.sent_ms, rtt_us, reported)
            )
    return events


def split_views(opened: Iterable[Opened], root_at: Callable[[int], bytes]) -> list[Echo]:
    """Echoes by which nodes signed that they hold a checkpoint which is not this log's.

    Either the node says what is not so, or whoever gave it the checkpoint has two logs; the note
    that the node holds, if it has one, tells which.
    """
    echoes = (each.echo for each in opened)
    return [
        echo
        for echo in echoes
        if echo is not None and not _holds(echo.checkpoint_size, echo.checkpoint_root, root_at)
    ]


def open_challenge(data: bytes) -> Challenge:
    """The challenge in an envelope that its prober signed; its VRF proof is not looked at.

    Args:
        data: hostile bytes; more than `MAX_CHALLENGE_BYTES` are refused unread.

    Raises:
        InvalidInput: as `open_envelope`, as the codec, or CHALLENGE_MISMATCH where another than
            the prober signed.
    """
    kind = Kind.CHALLENGE
    signed = envelope.open_envelope(data, kind.payload_type, max_bytes=MAX_CHALLENGE_BYTES)
    challenge = decode(kind, signed.body)
    assert isinstance(challenge, Challenge)
    if challenge.prober != signed.signer:
        raise InvalidInput(
            Reason.CHALLENGE_MISMATCH, "the challenge is signed by another than its prober"
        )
    return challenge


def open_echo(data: bytes, challenge: bytes, domain: str, node: bytes) -> Echo:
    """The echo in an envelope, if `node` signed it in answer to `challenge`.

    Args:
        data: hostile bytes.
        challenge: the envelope that was sent.
        domain: of the challenge.
        node: that it was sent to.

    Raises:
        InvalidInput: as `open_envelope`, as the codec, or ECHO_MISMATCH.
    """
    kind = Kind.ECHO
    signed = envelope.open_envelope(data, kind.payload_type, node, max_bytes=MAX_ECHO_BYTES)
    echo = decode(kind, signed.body)
    assert isinstance(echo, Echo)
    expected = (domain, node, sha256(challenge).digest())
    if (echo.domain, echo.node, echo.challenge_digest) != expected:
        raise InvalidInput(
            Reason.ECHO_MISMATCH, "the echo is not of this challenge", node=node.hex()
        )
    return echo


def _open(record: Observations, observation: Observation) -> Opened:
    challenge = open_challenge(observation.challenge)
    expected = (record.domain, record.prober, record.epoch)
    node = challenge.node
    if (challenge.domain, challenge.prober, challenge.epoch) != expected:
        raise InvalidInput(
            Reason.CHALLENGE_MISMATCH,
            "the challenge is of another prober, epoch or domain than the list",
            node=node.hex(),
        )
    alpha = vrf_input(challenge.domain, challenge.epoch, node)
    output = vrf.verify(challenge.prober, alpha, challenge.vrf_proof)
    echo = None
    if observation.echo:
        echo = open_echo(observation.echo, observation.challenge, challenge.domain, node)
    elif observation.rtt_us:
        raise InvalidInput(
            Reason.ROUND_TRIP_INVALID, "where no echo came there is no round trip", node=node.hex()
        )
    return Opened(challenge, echo, observation.rtt_us, output)


def _holds(size: int, root: bytes, root_at: Callable[[int], bytes]) -> bool:
    """Whether the log has this root at this size."""
    try:
        return root_at(size) == root
    except InvalidInput:
        return False
