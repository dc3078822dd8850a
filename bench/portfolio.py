"""The built-in solvers together on published auction batches, each audited, beside what the first
optimizer reached alone.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from walras.sdk.plugins import installed, load

FOLDER = Path(os.environ.get("WALRAS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
"""Holds gpv1/*.json and cow/*.json, as their publishers have them."""

SOURCES = {"gpv1": "gnosis/dex-open-solver", "cow": "cowprotocol/solver-template-py"}

SECONDS = 60
"""For one batch at most; all but the largest are done long before."""

FIRST = {
    "gpv1/orders-11476.json": 228_029_748_009,
    "gpv1/orders-243.json": 879_310_822,
    "gpv1/orders-497.json": 235_089_321_763,
    "gpv1/orders-803.json": 133_426_979,
    "gpv1/orders-813.json": 117_049_076,
    "cow/small_example.json": 33_810_879_200_777,
    "cow/large_example.json": 36_181_978,
}
"""The score of `optimizer` as it was before there were splits, bounds and other solvers."""


def walras(*arguments: object) -> Any:
    """What a command prints with --json."""
    command = [sys.executable, "-m", "walras.cli.main", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def run() -> None:
    """Print the table."""
    names = sorted(name for name, target in installed().items() if "walras_solvers" in target)
    for name in names:
        load(name)  # compiles what a node would have to compile before it starts
    print(f"\nPublished batches, {', '.join(names)}; then the audit of each log\n")
    print(
        f"{'batch':<24}{'first optimizer':>20}{'score now':>20}{'above':>12}"
        f"{'of bound':>11}{'filled':>8}{'solve s':>9}  winners"
    )
    for name, first in FIRST.items():
        path = FOLDER / name
        if not path.exists():
            source = SOURCES[name.partition("/")[0]]
            print(f"{name:<24}  not in {FOLDER}: get it from {source}, or set WALRAS_REAL_DATA")
            continue
        done = auctioned(path, name.partition("/")[0], names)
        winners = ", ".join(solver["name"] for solver in done["solvers"] if solver["winners"])
        above = done["score"] / first - 1
        print(
            f"{name:<24}{first:>20,}{done['score']:>20,}{above:>+12.5%}"
            f"{done['share_of_bound']:>11.4%}{done['filled']:>8,}"
            f"{done['seconds']['solve']:>9.1f}  {winners}",
            flush=True,
        )


def auctioned(path: Path, kind: str, names: list[str]) -> Any:
    """Import, auction and audit one batch; what the auction says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        market, out = Path(folder) / "market.json", Path(folder) / "run"
        walras("import", kind, path, "-o", market)
        solvers = [part for name in names for part in ("--solver", name)]
        done = walras("auction", market, *solvers, "--solve-seconds", SECONDS, "--out", out)
        audited = walras("audit", out, "--key", done["verifier_key"])
    if len(done["solvers"]) < len(names):
        raise SystemExit(f"{path}: not all of {', '.join(names)} started in time; run it again")
    if not audited["ok"] or audited["score"] != done["score"] or done["rejected"]:
        raise SystemExit(f"{path}: the audit or a bid failed: {audited}")
    return done
