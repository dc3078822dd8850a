"""The verifiable random function, draws from its output, and who is asked."""

from hashlib import sha256
from typing import Any

from auctions import INTENTS, POOL, PRICES
from common import DOMAIN, ETH, NOW, USDC, WHOLE, plain, reason_of, seed_of, signer

from walras.auction.dispatch import dispatch as assign
from walras.auction.dispatch import shard_key, vrf_input
from walras.auction.parts import split
from walras.audit.probes import due_ms
from walras.audit.probes import vrf_input as probe_input
from walras.audit.vrf import VrfKey, verify
from walras.balance.draws import Draws
from walras.balance.policies import POLICIES
from walras.balance.rules import FleetRules, NodeInfo
from walras.balance.standing import Standing
from walras.protocol.dispatch import LoadProbe, NodeLoad, encode_dispatch
from walras.protocol.problem import OpenIntent, Problem, Rules
from walras.protocol.trade import encode_problem, problem_digest
from walras.sdk.signing import intent_id

# RFC 9381, Appendix B.3, examples 16 to 18: secret key, input, proof, output.
RFC9381 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        (
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
            "26f8a57ccaed74ee1b190bed1f479d97"
            "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
        ),
        (
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
            "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        (
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
            "3bf0864a62558b3ed7f2fea45c92a465"
            "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02"
        ),
        (
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
            "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        (
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
            "96bb474e53895c362d8628ee9f9ea3c0"
            "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        (
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
            "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"
        ),
    ),
]


def vrf() -> Any:
    """The RFC's examples, our inputs, and proofs that prove nothing."""
    key = VrfKey.from_seed(seed_of("vrf"))
    closed = sha256(b"the set").digest()
    probed = signer("node").public_key
    rules, epoch = FleetRules(), NOW // FleetRules().probe_interval_ms
    inputs = {
        "dispatch": vrf_input(DOMAIN, 7),
        "tie": b"walras tie v1\0" + DOMAIN.encode() + b"\0" + bytes(7) + b"\x07" + closed,
        "probe": probe_input(DOMAIN, epoch, probed),
    }
    made = [_proof(name, key, seed_of("vrf"), alpha) for name, alpha in inputs.items()]
    for secret, alpha, proof, output in RFC9381:
        seed = bytes.fromhex(secret)
        one = _proof("RFC 9381", VrfKey.from_seed(seed), seed, bytes.fromhex(alpha))
        if (one["proof"].hex(), one["output"].hex()) != (proof, output):
            raise AssertionError("not the RFC's example")
        made.append(one)
    output = made[2]["output"]
    return plain(
        {
            "domain": DOMAIN,
            "auction_id": 7,
            "set": closed,
            "probe": {
                "epoch": epoch,
                "node": probed,
                "interval_ms": rules.probe_interval_ms,
                "timeout_ms": rules.probe_timeout_ms,
                "due_ms": due_ms(output, epoch, rules),
            },
            "valid": made,
            "invalid": list(_bad_proofs(key, inputs["dispatch"])),
        }
    )


def _proof(name: str, key: VrfKey, seed: bytes, alpha: bytes) -> dict[str, Any]:
    proof, output = key.prove(alpha)
    return {
        "name": name,
        "seed": seed,
        "public_key": key.public_key,
        "input": alpha,
        "proof": proof,
        "output": output,
    }


def _bad_proofs(key: VrfKey, alpha: bytes) -> Any:
    proof, _ = key.prove(alpha)
    small = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    cases = {
        "another input": (key.public_key, alpha + b"\x00", proof),
        "another key": (signer("mallory").public_key, alpha, proof),
        "a byte of gamma changed": (key.public_key, alpha, bytes([proof[0] ^ 1]) + proof[1:]),
        "a byte of c changed": (
            key.public_key,
            alpha,
            proof[:32] + bytes([proof[32] ^ 1]) + proof[33:],
        ),
        "s that is not reduced": (key.public_key, alpha, proof[:48] + b"\xff" * 32),
        "a byte short": (key.public_key, alpha, proof[:-1]),
        "a byte long": (key.public_key, alpha, proof + b"\x00"),
        "a key of small order": (small, alpha, proof),
        "gamma of small order": (key.public_key, alpha, small + proof[32:]),
    }
    for why, given in cases.items():
        yield {
            "why": why,
            **dict(zip(("public_key", "input", "proof"), given, strict=True)),
            "reason": reason_of(verify, *given),
        }


def _problem() -> Problem:
    named = sorted((intent_id(made), made) for made in INTENTS.values())
    opened = {key: OpenIntent(key, made, made.units) for key, made in named}
    balances = {(made.owner, asset): 3_000 * WHOLE for _, made in named for asset in (ETH, USDC)}
    prices = dict(sorted(PRICES.items()))
    venues = {POOL.id: POOL}
    return Problem(DOMAIN, 7, NOW, Rules(), opened, dict(sorted(balances.items())), venues, prices)


def dispatch() -> Any:
    """Draws, and who is asked for one part under each policy."""
    seed = sha256(b"walras vectors: draws").digest()
    draws = Draws(seed)
    bounds = [1, 2, 3, 10, 2**32, 2**63 + 1, 2**64, 7, 7, 7]
    problem = _problem()
    parts = split(problem, 2_000)
    digests = [problem_digest(encode_problem(part)) for part in parts]
    key = VrfKey.from_seed(seed_of("vrf"))
    proof, output = key.prove(vrf_input(DOMAIN, 7))
    nodes = sorted(
        (
            NodeInfo(
                f"node {n}",
                signer(f"node {n}").public_key,
                group=f"group {n % 4}",
                region=("eu", "us", "")[n % 3],
                slots=1 + n % 3,
            )
            for n in range(12)
        ),
        key=lambda node: node.public_key,
    )
    loads = [NodeLoad(node.public_key, n % 3, node.name) for n, node in enumerate(nodes)]
    probes = [
        LoadProbe(node.public_key, n, 1_000 * (9 - n), NOW * 1_000 - 500)
        for n, node in enumerate(nodes[:5])
    ]
    plans = []
    for policy in sorted(POLICIES):
        rules = FleetRules(policy=policy, region="eu", all_up_to=4)
        if policy == "stake_weighted":
            rules = FleetRules(policy=policy, bond_asset=ETH, all_up_to=4)
        standing = Standing(rules)
        for node in nodes:
            standing.join(node, NOW - 3_600_000)
        asked = probes if policy == "prequal" else []
        plan = assign(parts, digests, standing, loads, asked, proof, output, NOW)
        plans.append(
            {
                "policy": policy,
                "region": rules.region,
                "bond_asset": rules.bond_asset,
                "probes": asked,
                "parts": plan.parts,
                "dispatch": encode_dispatch(plan),
            }
        )
    return plain(
        {
            "draws": {
                "seed": seed,
                "draws": [{"below": n, "value": draws(n)} for n in bounds],
            },
            "vrf_key": key.public_key,
            "vrf_proof": proof,
            "seed": output,
            "at_ms": NOW,
            "joined_ms": NOW - 3_600_000,
            "all_up_to": 4,
            "part": encode_problem(parts[0]),
            "shard_key": shard_key(parts[0]),
            "nodes": nodes,
            "loads": loads,
            "plans": plans,
        }
    )
