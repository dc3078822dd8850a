"""A standing's values as JSON values, and back, exactly."""

from dataclasses import fields, is_dataclass
from typing import Any

from walras.balance.arrivals import Arrivals, Spread
from walras.balance.breaker import Breaker
from walras.balance.ejection import Ejection
from walras.balance.estimates import RoundTrip, Service, Share
from walras.balance.node import Node
from walras.balance.rules import FleetRules, NodeInfo


def plain(value: Any) -> Any:
    """A value in JSON's terms: bytes in hexadecimal, tuples and dictionaries as lists."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return [[plain(key), plain(item)] for key, item in sorted(value.items())]
    return value


def rules(data: dict[str, Any]) -> FleetRules:
    """As `plain` gave them."""
    return FleetRules(**{**data, "probers": _keys(data["probers"])})


def node(data: dict[str, Any]) -> Node:
    """As `plain` gave it."""
    info, trip, fades = data["info"], data["round_trip"], data["breaker"]["fades"]
    return Node(
        **{
            **data,
            "info": NodeInfo(
                **{
                    **info,
                    "public_key": bytes.fromhex(info["public_key"]),
                    "chains": tuple(info["chains"]),
                    "venue_kinds": tuple(info["venue_kinds"]),
                }
            ),
            "service": Service(**data["service"]),
            "spread": Spread(**data["spread"]),
            "arrivals": Arrivals(**data["arrivals"]),
            "round_trip": RoundTrip(
                {bytes.fromhex(key): (at_ms, tuple(last)) for key, (at_ms, last) in trip["seen"]},
                trip["us"],
            ),
            "ejection": Ejection(
                **{**data["ejection"], "probers": _keys(data["ejection"]["probers"])}
            ),
            "breaker": Breaker(**{**data["breaker"], "fades": Share(**fades)}),
            "canaries": Share(**data["canaries"]),
            "counted": tuple(data["counted"]),
        }
    )


def _keys(data: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(key) for key in data)
