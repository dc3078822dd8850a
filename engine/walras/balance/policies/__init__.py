"""The balancing policies, one file each, by the names that operators configure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from walras.balance.policies.geographic import Geographic
from walras.balance.policies.least_expected_delay import LeastExpectedDelay
from walras.balance.policies.least_request import LeastRequest
from walras.balance.policies.prequal import Prequal
from walras.balance.policies.random_pick import RandomPick
from walras.balance.policies.ring_hash import RingHash
from walras.balance.policies.round_robin import RoundRobin
from walras.balance.policies.stake_weighted import StakeWeighted
from walras.balance.policy import Policy
from walras.balance.rules import FleetRules


def _prequal(rules: FleetRules) -> Policy:
    return Prequal(
        pool_size=rules.probe_pool_size,
        q_rif_bps=rules.q_rif_bps,
        probe_rate_bps=rules.probe_rate_bps,
        remove_rate_bps=rules.probe_remove_rate_bps,
        max_age_ms=rules.probe_max_age_ms,
        delta_bps=rules.probe_delta_bps,
    )


def _least_request(rules: FleetRules) -> Policy:
    return LeastRequest(
        choice_count=rules.choice_count, active_request_bias_bps=rules.active_request_bias_bps
    )


def _ring_hash(rules: FleetRules) -> Policy:
    return RingHash(
        hash_balance_factor_bps=rules.hash_balance_factor_bps, max_wait_ms=rules.max_wait_ms
    )


POLICIES: Mapping[str, Callable[[FleetRules], Policy]] = MappingProxyType(
    {
        "round_robin": lambda _: RoundRobin(),
        "random": lambda _: RandomPick(),
        "stake_weighted": lambda _: StakeWeighted(),
        "least_request": _least_request,
        "prequal": _prequal,
        "least_expected_delay": lambda rules: LeastExpectedDelay(sample=rules.sample),
        "geographic": lambda rules: Geographic(sample=rules.sample),
        "ring_hash": _ring_hash,
    }
)
"""Policy name → its constructor from the rules in force."""
