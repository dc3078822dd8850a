"""Probes as honest probers and nodes make them, and what a liar would make of them."""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from support.market import DOMAIN
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, sign_checkpoint
from walras.audit.probes import due_ms, vrf_input
from walras.audit.vrf import VrfKey
from walras.balance.rules import FleetRules, NodeInfo
from walras.protocol.probes import Challenge, Echo, Observation, Observations, encode_observations
from walras.sdk.echo import answer
from walras.sdk.signing import sign_record

EPOCH = 340_000_000


def seed(name: str) -> bytes:
    """The secret of whoever is called `name`; as `support.market.signer`."""
    return sha256(name.encode()).digest()


PROBER = Signer.from_seed(seed("prober"))
NODES = sorted((Signer.from_seed(seed(f"node {i}")) for i in range(3)), key=lambda s: s.public_key)
RULES = FleetRules(probers=(PROBER.public_key,))
KNOWN = {node.public_key: NodeInfo(f"n{i}", node.public_key) for i, node in enumerate(NODES)}

LOG = Tree()
for number in range(9):
    LOG.append(b"entry %d" % number)


def note(size: int, domain: str = DOMAIN) -> bytes:
    """A signed checkpoint of `LOG`."""
    return sign_checkpoint(
        Checkpoint(domain, size, LOG.root(size)), domain, Signer.from_seed(seed("engine"))
    )


def challenge(node: Signer, prober: str = "prober", **changes: Any) -> Challenge:
    """As the prober sends it on time, holding the checkpoint of 8 entries; then changed."""
    key = VrfKey.from_seed(seed(prober))
    epoch = changes.get("epoch", EPOCH)
    proof, output = key.prove(vrf_input(DOMAIN, epoch, node.public_key))
    honest = Challenge(
        domain=DOMAIN,
        epoch=epoch,
        prober=key.public_key,
        node=node.public_key,
        nonce=sha256(b"nonce" + node.public_key).digest(),
        checkpoint_size=8,
        checkpoint_root=LOG.root(8),
        vrf_proof=proof,
        sent_ms=due_ms(output, epoch, RULES) + 3,
    )
    return replace(honest, **changes)


def observe(
    node: Signer,
    asked: Challenge | None = None,
    *,
    signer: Signer = PROBER,
    answers: bool = True,
    held: bytes | None = None,
    rtt_us: int = 700,
) -> Observation:
    """A probe of `node`, which answers by the SDK, holding the checkpoint of 5 entries."""
    sent = sign_record(asked or challenge(node), signer)
    if not answers:
        return Observation(sent, b"", 0)
    held = note(5) if held is None else held
    return Observation(sent, answer(sent, node, 2, 4, held), rtt_us)


def echo_of(observation: Observation, by: Signer, **changes: Any) -> Echo:
    """An honest echo of an observation's challenge; then changed."""
    honest = Echo(
        domain=DOMAIN,
        node=by.public_key,
        challenge_digest=sha256(observation.challenge).digest(),
        checkpoint_size=5,
        checkpoint_root=LOG.root(5),
        in_flight=2,
        slots=4,
    )
    return replace(honest, **changes)


def report(observations: Iterable[Observation], **changes: Any) -> tuple[Observations, bytes]:
    """The record and the list of an epoch's observations."""
    body = encode_observations(observations)
    honest = Observations(DOMAIN, PROBER.public_key, EPOCH, sha256(body).digest())
    return replace(honest, **changes), body
