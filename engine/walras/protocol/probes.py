"""A prober's records: a challenge, its echo, and what was seen in an epoch (protocol §10)."""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.api.v1 import record_pb2
from walras.protocol.values import check_digest, check_domain, check_owner
from walras.protocol.wire import parse


@dataclass(frozen=True, slots=True)
class Challenge:
    """A prober asks a node for a sign of life; sent, never logged by itself.

    Attributes:
        epoch: floor(time / probe interval).
        nonce: 32 random bytes.
        checkpoint_size, checkpoint_root: the newest that the prober holds.
        vrf_proof: of the prober's key; fixes when in the epoch.
        sent_ms: by the prober's clock.
    """

    domain: str
    epoch: int
    prober: bytes
    node: bytes
    nonce: bytes
    checkpoint_size: int
    checkpoint_root: bytes
    vrf_proof: bytes
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Echo:
    """A node's answer to the challenge whose envelope has this SHA-256, with its own load."""

    domain: str
    node: bytes
    challenge_digest: bytes
    checkpoint_size: int
    checkpoint_root: bytes
    in_flight: int
    slots: int


@dataclass(frozen=True, slots=True)
class Observations:
    """What a prober saw in one epoch; `list_digest` is the SHA-256 of the list, the name of its
    blob.
    """

    domain: str
    prober: bytes
    epoch: int
    list_digest: bytes


ProbeRecord = Challenge | Echo | Observations


@dataclass(frozen=True, slots=True)
class Observation:
    """One probe as its prober saw it: envelopes, `echo` empty where none came in time."""

    challenge: bytes
    echo: bytes
    rtt_us: int


def challenge_to_wire(record: Challenge) -> record_pb2.Challenge:
    """The message of a prober's challenge."""
    return record_pb2.Challenge(
        domain=record.domain,
        epoch=record.epoch,
        prober=record.prober,
        node=record.node,
        nonce=record.nonce,
        checkpoint_size=record.checkpoint_size,
        checkpoint_root=record.checkpoint_root,
        vrf_proof=record.vrf_proof,
        sent_ms=record.sent_ms,
    )


def decode_challenge(body: bytes) -> Challenge:
    """The challenge that `body` encodes."""
    m = parse(record_pb2.Challenge, body)
    return Challenge(
        check_domain(m.domain),
        m.epoch,
        check_owner(m.prober),
        check_owner(m.node),
        check_digest(m.nonce, "nonce"),
        m.checkpoint_size,
        check_digest(m.checkpoint_root, "checkpoint_root"),
        m.vrf_proof,
        m.sent_ms,
    )


def echo_to_wire(record: Echo) -> record_pb2.Echo:
    """The message of a node's echo."""
    return record_pb2.Echo(
        domain=record.domain,
        node=record.node,
        challenge_digest=record.challenge_digest,
        checkpoint_size=record.checkpoint_size,
        checkpoint_root=record.checkpoint_root,
        in_flight=record.in_flight,
        slots=record.slots,
    )


def decode_echo(body: bytes) -> Echo:
    """The echo that `body` encodes."""
    m = parse(record_pb2.Echo, body)
    return Echo(
        check_domain(m.domain),
        check_owner(m.node),
        check_digest(m.challenge_digest, "challenge_digest"),
        m.checkpoint_size,
        check_digest(m.checkpoint_root, "checkpoint_root"),
        m.in_flight,
        m.slots,
    )


def observations_to_wire(record: Observations) -> record_pb2.Observations:
    """The message of a prober's observations of one epoch."""
    return record_pb2.Observations(
        domain=record.domain,
        prober=record.prober,
        epoch=record.epoch,
        list_digest=record.list_digest,
    )


def decode_observations(body: bytes) -> Observations:
    """The observations that `body` encodes."""
    m = parse(record_pb2.Observations, body)
    return Observations(
        check_domain(m.domain), check_owner(m.prober), m.epoch, check_digest(m.list_digest, "list")
    )


def encode_observations(observations: Iterable[Observation]) -> bytes:
    """The bytes of a list of observations."""
    return record_pb2.ObservationList(
        observations=[
            record_pb2.Observation(challenge=o.challenge, echo=o.echo, rtt_us=o.rtt_us)
            for o in observations
        ]
    ).SerializeToString(deterministic=True)


def decode_observation_list(body: bytes) -> tuple[Observation, ...]:
    """The list of observations that `body` encodes; the envelopes in it are not looked at."""
    return tuple(
        Observation(o.challenge, o.echo, o.rtt_us)
        for o in parse(record_pb2.ObservationList, body).observations
    )
