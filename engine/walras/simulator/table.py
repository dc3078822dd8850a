"""A result as rows and as a document."""

from collections import Counter
from dataclasses import asdict
from math import inf
from typing import Any

from walras.simulator.result import Result
from walras.simulator.scenario import Scenario

COLUMNS = (
    "policy", "calls", "mean ms", "p50", "p90", "p99", "p99.9", "timeouts", "errors", "queue",
    "top %", "HHI", "Gini",
)  # fmt: skip
"""Queue: the most calls that waited at one node. Top: the flow of the node that got the most."""


def cells(result: Result) -> tuple[str, ...]:
    """A row under `COLUMNS`."""
    latencies = (result.mean_ms, result.p50_ms, result.p90_ms, result.p99_ms, result.p999_ms)
    return (
        result.policy,
        f"{result.calls:,}",
        *(f"{ms:,.1f}" for ms in latencies),
        f"{result.timeouts:,}",
        f"{result.errors:,}",
        f"{result.max_queue:,}",
        f"{100 * result.top_share:.1f}",
        f"{result.hhi:.4f}",
        f"{result.gini:.3f}",
    )


def load_text(scenario: Scenario) -> str:
    """Load 0.7, or 0.75 → 1.14 where it grows."""
    if not scenario.ramp:
        return f"{scenario.load:g}"
    return f"{scenario.ramp[0]:g} → {scenario.ramp[-1]:g} of what is allocated"


def document(result: Result) -> dict[str, Any]:
    """For programs."""
    return {
        "policy": result.policy,
        "calls": result.calls,
        "mean_ms": result.mean_ms,
        "p50_ms": result.p50_ms,
        "p90_ms": result.p90_ms,
        "p99_ms": result.p99_ms,
        "p999_ms": result.p999_ms,
        "timeouts": result.timeouts,
        "errors": result.errors,
        "max_queue": result.max_queue,
        "top_share": result.top_share,
        "hhi": result.hhi,
        "gini": result.gini,
        "groups": list(result.groups),
        "changes": dict(sorted(Counter(move.rule for move in result.moves).items())),
    }


def scenario_document(scenario: Scenario) -> dict[str, Any]:
    """Every parameter, for programs; what never ends is null."""
    return {name: _plain(value) for name, value in asdict(scenario).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    return None if value == inf else value
