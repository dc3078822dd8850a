"""Engines that commands start: which solvers they ask, where, at what time, by which rules."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from walras.app.config import SolverConfig
from walras.cli.names import node_name
from walras.core.addresses import is_address
from walras.core.errors import InvalidInput, Reason
from walras.datasets.market import Market
from walras.sdk.plugins import installed

SETTLE_IN_SECONDS = 180.0
"""For solver nodes to start."""


def solver_configs(targets: Sequence[str]) -> list[dict[str, str]]:
    """One node for each of an installed solver's name, a module:Class, or a node's host:port.

    Raises:
        InvalidInput: CONFIG_INVALID for a name that is none of these.
    """
    configs: list[dict[str, str]] = []
    for target in targets or ("baseline", "optimizer"):
        kind = "address" if is_address(target) else "plugin"
        if kind == "plugin" and ":" not in target and target not in installed():
            raise InvalidInput(
                Reason.CONFIG_INVALID,
                f"there is no solver {target!r}",
                hint=f"installed: {', '.join(sorted(installed()))}; or name one as module:Class,"
                " or a node's host:port",
            )
        base = node_name(target)
        taken = {config["name"] for config in configs}
        numbered = (f"{base}-{number}" for number in range(2, len(configs) + 2))
        name = next(name for name in (base, *numbered) if name not in taken)
        configs.append(SolverConfig.model_validate({"name": name, kind: target}).model_dump())
    return configs


@contextmanager
def folder_or_temporary(folder: Path | None, prefix: str) -> Iterator[Path]:
    """`folder`, made if need be; or one that is gone afterwards."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        yield Path(name)


def clock_at(start_ms: int | None) -> Callable[[], int]:
    """Milliseconds since the epoch; or as if it were `start_ms` now."""
    if start_ms is None:
        return lambda: time.time_ns() // 1_000_000
    began = time.monotonic_ns()
    return lambda: start_ms + (time.monotonic_ns() - began) // 1_000_000


def rules_flag(market: Market) -> dict[str, Any] | None:
    """The market's rules as configuration; None where the configuration's own hold."""
    return None if market.rules is None else asdict(market.rules)
