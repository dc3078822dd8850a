"""Auction phases against the number of intents, and the audit of what they logged."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SIZES = (100, 1_000, 10_000)
PHASES = ("submit", "seal", "solve", "check", "select", "settle")


def walras(*arguments: str) -> Any:
    """What a command prints with --json."""
    command = [sys.executable, "-m", "walras.cli.main", *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def run() -> None:
    """Print the tables."""
    print("\nOne auction of a generated market, baseline and optimizer, seconds by phase\n")
    columns = ("intents", "filled", "bids", *PHASES)
    print("".join(f"{name:>10}" for name in columns))
    audits = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIZES:
            market, out = folder / f"{size}.json", folder / f"run-{size}"
            walras("generate", "--seed", "1", "--intents", str(size), "-o", str(market))
            result = walras(
                "auction", str(market), "--solver", "baseline", "--solver", "optimizer",
                "--out", str(out),
            )  # fmt: skip
            counts = [result["intents"], result["filled"], result["bids"]]
            seconds = [result["seconds"].get(phase, 0.0) for phase in PHASES]
            print("".join(f"{c:>10,}" for c in counts) + "".join(f"{s:>10.2f}" for s in seconds))
            audits.append((size, walras("audit", str(out))))
    print("\nAudit of the same logs\n")
    print(f"{'intents':>10}{'entries':>10}{'seconds':>10}{'entries/s':>12}")
    for size, audit in audits:
        entries, seconds = audit["entries"], sum(audit["seconds"].values())
        print(f"{size:>10,}{entries:>10,}{seconds:>10.2f}{entries / seconds:>12,.0f}")
