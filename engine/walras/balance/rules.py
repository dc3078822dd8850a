"""The fleet's configuration as values: the rules in force and the nodes they apply to.

Both are logged (protocol §10), so an auditor knows by which rules a node was asked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from walras.core.amounts import AMOUNT_LIMIT

BPS = 10_000
"""Shares are in 1/10,000."""


@dataclass(frozen=True, slots=True)
class FleetRules:
    """How work is spread and who may take part. Names as Envoy, gRPC and the Prequal paper have
    them, where they have one; durations in ms, shares in 1/10,000.

    Attributes:
        policy: a name of `walras.balance.policies.POLICIES`.
        weigh: `uniform`, `slots` or `stake`: a node's weight before load is looked at.
        bond_asset: a node's bond is what its key holds of this asset in the ledger; empty: none.
        region: where the engine is; `geographic` keeps work near it.
        min_bond: atoms of it without which a node is not asked.
        forfeit: atoms of it that each commitment which a node does not open costs it, as far as it
            has them.
        group_cap_bps: the most of the picks that one operator group gets, where another can take
            them; 10,000: no cap.
        explore_bps: picks that are drawn by weight alone, so that no node is forgotten.
        part_intents: a problem with more intents may be split, into parts of about this many or
            more: no more parts than the nodes can work on side by side.
        all_up_to: while no more nodes than this are eligible, each part goes to all of them.
        fan_out: else to this many.
        standby: and to this many more, one by one, where a node fails.
        choice_count: `least_request`'s.
        active_request_bias_bps: `least_request`'s; 10,000 is 1.
        sample: `least_expected_delay`'s and `geographic`'s.
        hash_balance_factor_bps: `ring_hash`'s: a node's load over the mean, 10,000 is 1.
        max_wait_ms: a node whose expected wait is above this gives its shards away; 0: no limit.
        probe_pool_size, q_rif_bps, probe_rate_bps, probe_remove_rate_bps, probe_max_age_ms,
        probe_delta_bps: Prequal's, rates per pick with 10,000 as 1.
        consecutive_errors: calls or probes that fail in a row eject a node.
        interval_ms: how often ejections are looked at.
        base_ejection_ms: a node is out this long times the number of its ejections.
        max_ejection_ms: but no longer.
        max_ejection_bps: the most of the nodes that may be out by ejection.
        panic_bps: with less than this share of nodes healthy, all are asked.
        slow_start_ms: a node that joins or comes back is brought to its full weight over this.
        min_weight_bps: where it begins.
        fade_half_life: promises (wins and fades) after which an old one counts half.
        max_fade_bps: a smoothed share of broken promises above this blocks a node.
        block_ms: the first time for this long, then twice as long, and so on.
        max_block_ms: but no longer.
        probe_interval_ms: of the signed probes; an epoch.
        probe_timeout_ms: an answer after it is none.
        quorum: probers whose median counts; with fewer there is no claim.
        probers: public keys whose observations count, ascending.
        hhi_alarm_bps: order flow more concentrated than this raises an alarm, from three groups on.
    """

    policy: str = "least_expected_delay"
    weigh: str = "slots"
    bond_asset: str = ""
    region: str = ""
    probers: tuple[bytes, ...] = ()
    min_bond: int = 0
    forfeit: int = 0
    group_cap_bps: int = 10_000
    explore_bps: int = 100
    part_intents: int = 2_000
    all_up_to: int = 8
    fan_out: int = 3
    standby: int = 2
    choice_count: int = 2
    active_request_bias_bps: int = 10_000
    sample: int = 3
    hash_balance_factor_bps: int = 12_500
    max_wait_ms: int = 0
    probe_pool_size: int = 16
    q_rif_bps: int = 8_409  # 2^-0.25, the paper's
    probe_rate_bps: int = 30_000
    probe_remove_rate_bps: int = 10_000
    probe_max_age_ms: int = 1_000
    probe_delta_bps: int = 10_000
    consecutive_errors: int = 2
    interval_ms: int = 1_000
    base_ejection_ms: int = 5_000
    max_ejection_ms: int = 300_000
    max_ejection_bps: int = 5_000
    panic_bps: int = 5_000
    slow_start_ms: int = 10_000
    min_weight_bps: int = 1_000
    fade_half_life: int = 20
    max_fade_bps: int = 3_000
    block_ms: int = 60_000
    max_block_ms: int = 86_400_000
    probe_interval_ms: int = 10_000
    probe_timeout_ms: int = 1_000
    quorum: int = 1
    hhi_alarm_bps: int = 5_000


MAX_PROBERS = 64
MAX_TEXT_BYTES = 256
"""The rules fit a log entry."""

POLICY_NAMES = (
    "least_expected_delay",
    "least_request",
    "prequal",
    "stake_weighted",
    "geographic",
    "ring_hash",
    "round_robin",
    "random",
)
WEIGHS = ("uniform", "slots", "stake")

_SHARES = frozenset(
    {
        "group_cap_bps",
        "explore_bps",
        "q_rif_bps",
        "max_ejection_bps",
        "panic_bps",
        "min_weight_bps",
        "max_fade_bps",
        "hhi_alarm_bps",
    }
)
_AT_LEAST_ONE = frozenset(
    {
        "group_cap_bps",
        "part_intents",
        "fan_out",
        "choice_count",
        "sample",
        "probe_pool_size",
        "probe_rate_bps",
        "consecutive_errors",
        "interval_ms",
        "base_ejection_ms",
        "fade_half_life",
        "block_ms",
        "probe_interval_ms",
        "probe_timeout_ms",
        "quorum",
        "min_weight_bps",
    }
)
_MOST = {
    "min_bond": AMOUNT_LIMIT - 1,
    "forfeit": AMOUNT_LIMIT - 1,
    "hash_balance_factor_bps": 1_000_000,
    "fan_out": 10_000,
}
_MOST_OTHERS = 1 << 40
_NUMBER = re.compile(r"[0-9]{1,77}")


def read_rules(table: object) -> FleetRules:
    """The rules of a configuration's table; settings that it does not give have their defaults.

    A number may be text, as the environment gives it, and as a TOML reader needs it that has no
    integers beyond 64 bits. `probers` are those beside the engine's own, which joins them later.

    Raises:
        ValueError: naming what is unknown or out of its range.
    """
    if not isinstance(table, Mapping):
        raise ValueError("must be a table")  # noqa: TRY004 - pydantic shows ValueErrors
    known = {field.name: field for field in fields(FleetRules)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ValueError(f"{name}: there is no such key")
        if name == "probers":
            values[name] = _keys(value)
            continue
        kind = type(known[name].default)
        if kind is int and isinstance(value, str) and _NUMBER.fullmatch(value):
            value = int(value)  # noqa: PLW2901 - the same number
        if type(value) is not kind:
            raise ValueError(f"{name}: must be {'a number' if kind is int else 'text'}")
        values[name] = value
    rules = FleetRules(**values)
    check_rules(rules, further_probers=1)
    return rules


def check_rules(rules: FleetRules, further_probers: int = 0) -> None:
    """Refuse what no fleet can run by; so many probers are still to join. Raises ValueError."""
    if rules.policy not in POLICY_NAMES:
        raise ValueError(f"policy: must be one of {', '.join(POLICY_NAMES)}")
    if rules.weigh not in WEIGHS:
        raise ValueError(f"weigh: must be one of {', '.join(WEIGHS)}")
    if rules.weigh == "stake" and not rules.bond_asset:
        raise ValueError("weigh: stake needs bond_asset, whose balance is a node's stake")
    for field in fields(FleetRules):
        value = getattr(rules, field.name)
        if type(field.default) is not int:
            continue
        least = int(field.name in _AT_LEAST_ONE)
        most = BPS if field.name in _SHARES else _MOST.get(field.name, _MOST_OTHERS)
        if not least <= value <= most:
            raise ValueError(f"{field.name}: must be from {least} to {most}")
    if rules.probe_timeout_ms >= rules.probe_interval_ms:
        raise ValueError("probe_timeout_ms: must be below probe_interval_ms")
    if rules.max_ejection_ms < rules.base_ejection_ms:
        raise ValueError("max_ejection_ms: must not be below base_ejection_ms")
    if rules.max_block_ms < rules.block_ms:
        raise ValueError("max_block_ms: must not be below block_ms")
    if rules.policy == "prequal" and rules.probe_pool_size < 2:
        raise ValueError("probe_pool_size: prequal chooses between at least 2")
    for name in ("bond_asset", "region"):
        if len(getattr(rules, name).encode()) > MAX_TEXT_BYTES:
            raise ValueError(f"{name}: must be at most {MAX_TEXT_BYTES} bytes")
    probers = len(rules.probers) + further_probers
    if probers > MAX_PROBERS:
        raise ValueError(f"probers: must be at most {MAX_PROBERS}, the engine's own included")
    if 0 < probers < rules.quorum:
        raise ValueError(f"quorum: must not be above the number of probers, {probers}")


def _keys(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("probers: must be a list of public keys")  # noqa: TRY004 - as above
    try:
        keys = sorted({bytes.fromhex(key) for key in value})
    except (TypeError, ValueError):
        keys = [b""]
    if any(len(key) != 32 for key in keys):
        raise ValueError("probers: each must be 64 hexadecimal digits")
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node of the fleet: what the engine's operator says of it and what it says of itself.

    Attributes:
        name: unique among the engine's nodes.
        public_key: Ed25519; the node's identity.
        group: who operates it; empty: nobody else does.
        region: where it is; empty: not said.
        slots: problems it works on at the same time, ≥ 1.
        chains: CAIP-2 ids it takes, ascending; none: any.
        venue_kinds: kinds it can use, ascending; none: any. Venues of others are left out of
            nothing: a node that is asked gets the whole part.
        max_intents, max_venues: the largest part it takes; 0: any.
    """

    name: str
    public_key: bytes
    group: str = ""
    region: str = ""
    slots: int = 1
    chains: tuple[str, ...] = ()
    venue_kinds: tuple[str, ...] = ()
    max_intents: int = 0
    max_venues: int = 0
