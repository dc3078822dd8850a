"""Published batches, from the file to the audit, through the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.real_data import real_data


def walras(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "walras.cli.main", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("name", "fills"),
    [("gpv1/orders-11476.json", 100), ("gpv1/orders-813.json", 10), ("cow/large_example.json", 2)],
)
def test_import_auction_audit(name: str, fills: int, tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_bytes(real_data(name))
    summary = walras(
        "import", name.partition("/")[0], tmp_path / "raw.json", "-o", tmp_path / "m.json"
    )
    done = walras(
        "auction", tmp_path / "m.json", "--out", tmp_path / "run",
        "--solver", "optimizer", "--solver", "baseline",
    )  # fmt: skip
    assert done["intents"] == done["submitted"] == summary["taken"]
    assert done["filled"] >= fills
    assert done["score"] > 0
    assert done["rejected"] == 0
    assert done["winners"] >= 1
    assert done["solvent"]
    assert {"submit", "seal", "solve", "check", "select", "settle", "log"} <= done["seconds"].keys()
    audited = walras("audit", tmp_path / "run", "--key", done["verifier_key"])
    assert audited["ok"]
    assert audited["fills"] == done["filled"]
    assert audited["score"] == done["score"]


def test_both_orders_of_a_real_auction_are_routed_through_pools(tmp_path: Path) -> None:
    (tmp_path / "raw.json").write_bytes(real_data("cow/large_example.json"))
    walras("import", "cow", tmp_path / "raw.json", "-o", tmp_path / "m.json")
    done = walras("auction", tmp_path / "m.json", "--out", tmp_path / "run", "--solver", "baseline")
    assert done["filled"] == done["winners"] == 2
