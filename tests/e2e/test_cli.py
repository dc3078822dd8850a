"""The `walras` command as people run it: real processes, a real engine, a real log."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from walras.audit.keys import Signer
from walras.audit.note import NoteKey, format_vkey

COMMAND = [sys.executable, "-m", "walras.cli.main"]


def walras(*args: str | Path, code: int = 0, address: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its exit code must be `code`."""
    env = {**os.environ, "NO_COLOR": "1"} | ({"WALRAS_ADDRESS": address} if address else {})
    done = subprocess.run(
        [*COMMAND, *map(str, args)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        env=env,
    )
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def document(*args: str | Path, address: str = "") -> Any:
    """What a command prints with --json: one document and nothing else."""
    return json.loads(walras(*args, "--json", address=address).stdout)


def failure(*args: str | Path, code: int, address: str = "") -> Any:
    """The error that a command reports with --json: nothing on stdout, one object on stderr."""
    done = walras(*args, "--json", code=code, address=address)
    assert done.stdout == ""
    return json.loads(done.stderr.strip().splitlines()[-1])["error"]


# --- a market file, one auction, its log -------------------------------------------------------


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("market") / "market.json"
    made = document("generate", "--seed", "3", "--intents", "40", "--out", file)
    assert (made["intents"], made["venues"]) == (40, 24)
    return file


@pytest.fixture(scope="module")
def run(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("run")
    args = ("--solver", "baseline", "--solve-seconds", "20", "--out", out)
    return out, document("auction", market, *args)


def test_generate_is_deterministic(market: Path, tmp_path: Path) -> None:
    walras("generate", "--seed", "3", "--intents", "40", "--out", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == market.read_bytes()


def test_an_auction_fills_and_tells(run: tuple[Path, Any]) -> None:
    out, made = run
    assert made["submitted"] == 40
    assert made["intents"] + sum(made["refused"].values()) <= 40
    assert 0 < made["filled"] <= made["intents"]
    assert made["score"] > 0
    assert made["rejected"] == 0
    assert made["winners"] <= made["bids"]
    assert made["bound"] >= made["score"]
    assert made["share_of_bound"] == made["score"] * 10**6 // made["bound"] / 10**6
    assert made["solvent"] is True
    [solver] = made["solvers"]
    assert (solver["name"], solver["fault"]) == ("baseline", "")
    assert solver["score"] == made["score"]
    phases = {"load", "submit", "nodes", "seal", "solve", "check", "close", "open", "select"}
    phases |= {"settle", "bound", "log"}
    assert set(made["seconds"]) == phases
    # The deadline is an upper bound: the batch ends when everybody has answered.
    assert made["seconds"]["solve"] < 15
    assert Path(made["out"]) == out


def test_the_bound_is_computed_again_from_the_log(run: tuple[Path, Any], tmp_path: Path) -> None:
    out, made = run
    prices = tmp_path / "auction.json"
    prices.write_text(json.dumps(made))
    [again] = document("bound", out, "--prices", prices)
    for name in ("auction_id", "intents", "score", "bound", "share_of_bound", "bound_prices"):
        assert again[name] == made[name]
    [searched] = document("bound", out, "--seconds", "2")
    assert searched["bound"] >= made["score"]


def test_the_audit_of_it_holds_and_agrees(run: tuple[Path, Any], tmp_path: Path) -> None:
    out, made = run
    # The key may also be named by a file.
    (tmp_path / "trusted").write_text(made["verifier_key"])
    audited = document("audit", out, "--key", tmp_path / "trusted")
    assert audited["ok"] is True
    assert audited["auctions"] == 1
    assert (audited["fills"], audited["score"]) == (made["filled"], made["score"])
    assert (audited["bids"], audited["winners"]) == (made["bids"], made["winners"])


def test_one_flipped_byte_fails_the_audit(run: tuple[Path, Any], tmp_path: Path) -> None:
    out, made = run
    log = tmp_path / "log"
    subprocess.run(["cp", "-r", str(out), str(log)], check=True)
    [bundle] = (log / "tile/entries/000.p").iterdir()
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    error = failure("audit", log, "--key", made["verifier_key"], code=1)
    assert error["reason"] in {"ROOT_MISMATCH", "LOG_MALFORMED"}
    assert 0 <= int(error["fields"]["index"]) < int(bundle.name)
    assert f"entry {error['fields']['index']}" in error["message"] or "bundle" in error["message"]


def test_one_flipped_byte_in_a_blob_fails_the_audit(run: tuple[Path, Any], tmp_path: Path) -> None:
    out, made = run
    log = tmp_path / "log"
    subprocess.run(["cp", "-r", str(out), str(log)], check=True)
    blob = max((log / "blob").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    error = failure("audit", log, "--key", made["verifier_key"], code=1)
    assert error["reason"] == "BLOB_MISMATCH"


def test_another_key_fails_the_audit(run: tuple[Path, Any]) -> None:
    out, _ = run
    stranger = NoteKey("localhost/walras", Signer.from_seed(b"\x09" * 32).public_key)
    shown = walras("audit", out, "--key", format_vkey(stranger), code=1)
    assert shown.stdout == ""
    assert shown.stderr.startswith("audit failed: CHECKPOINT_INVALID: ")
    assert "Traceback" not in shown.stderr


def test_a_run_is_not_overwritten(run: tuple[Path, Any], market: Path) -> None:
    out, _ = run
    error = failure("auction", market, "--out", out, code=2)
    assert "earlier run" in error["message"]


def test_a_bad_market_file_names_the_place(market: Path, tmp_path: Path) -> None:
    broken = json.loads(market.read_text())
    broken["intents"][5]["legs"][0]["asset"] = "eip155:1/slip44:999999"
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(broken))
    error = failure("auction", file, code=2)
    assert error["reason"] == "MARKET_FILE_INVALID"
    assert error["fields"]["path"] == "intents[5].legs[0].asset"


def test_an_unknown_solver_is_a_fault_with_a_name(market: Path, tmp_path: Path) -> None:
    arguments = ("auction", market, "--solver", "no.such:Solver", "--out", tmp_path / "out")
    failed = walras(*arguments, "--json", code=1)
    error = json.loads(failed.stderr.splitlines()[-1])["error"]
    assert error["reason"] == "NODE_FAILED"
    assert "NODE_CRASHED" in error["message"]


# --- solvers --------------------------------------------------------------------------------------


def test_solvers_are_listed_and_checked(market: Path) -> None:
    assert {"baseline", "optimizer"} <= set(document("solver", "list"))
    few = ("--markets", "1", "--seconds", "0.5", "--against", "optimizer")
    checked = document("solver", "check", "baseline", "--market", market, "--market", market, *few)
    assert checked["ok"]
    assert checked["rejected"] == []
    names = [one["market"] for one in checked["markets"]]
    assert names == ["seed 1", "market.json", "market.json"]
    for one in checked["markets"]:
        assert [result["solver"] for result in one["results"]] == ["baseline", "optimizer"]
        assert int(one["results"][0]["score"]) > 0


def test_a_solver_that_breaks_a_rule_is_told_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greedy_solver.py").write_text(GREEDY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ("--markets", "2", "--seconds", "0.3", "--against", "baseline")
    done = walras("solver", "check", "greedy_solver:Greedy", *words, code=1)
    assert re.search(r"seed [12]: intent [0-9a-f]{64} settles for .* below its limit", done.stdout)
    assert "→ leave the intent out, or move the price" in done.stdout
    assert "NODE_FAILED: greedy_solver:Greedy does not pass: bids" in done.stderr


GREEDY = '''
from walras.sdk import Description, Fill, Proposal

class Greedy:
    """Fills everything at a price of one for one."""

    def describe(self):
        return Description("greedy", "1")

    def solve(self, problem, deadline):
        for name, found in problem.intents.items():
            prices = {asset: 1 for asset in found.intent.assets}
            yield Proposal((Fill(name, found.remaining),), prices)
'''


def test_a_solver_node_serves_until_its_parent_is_gone(tmp_path: Path) -> None:
    command = [*COMMAND, "solver", "serve", "baseline", "--json", "--with-parent"]
    command += ["--key", str(tmp_path / "s.key"), "--name", "mine"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as node:
        assert node.stdout is not None
        assert node.stdin is not None
        ready = json.loads(node.stdout.readline())
        assert ready["name"] == "mine"
        assert document("health", ready["address"])["status"] == "SERVING"
        node.send_signal(signal.SIGINT)  # the parent's to act on
        assert document("health", ready["address"])["status"] == "SERVING"
        node.stdin.close()
        assert node.wait(timeout=180) == 0


# --- a served engine ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Served:
    address: str
    verifier_key: str
    operator_key: Path
    metrics: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def served(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    config = folder / "walras.toml"
    config.write_text(
        f'domain = "localhost/e2e"\nlisten = "127.0.0.1:0"\ndata = "{folder / "data"}"\n'
        'interval_ms = 300\nsolve_ms = 2000\nmetrics = "127.0.0.1:0"\n'
        '[[solvers]]\nname = "baseline"\nplugin = "baseline"\n'
    )
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(config), "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        operator = folder / "data" / "operator.key"
        made = document("load", market, "--key", operator, address=ready["address"])
        assert made["venues"] == 24
        try:
            address, metrics = ready["address"], ready["metrics"]
            yield Served(address, ready["verifier_key"], operator, metrics, process)
        finally:
            process.terminate()
            assert process.wait(timeout=180) == 0
            process.stdout.close()
    said = (folder / "serve.log").read_text()
    assert "stopped" in said
    assert "Traceback" not in said


@pytest.fixture
def me(served: Served, tmp_path: Path) -> tuple[Path, str]:
    """A key with 10 ETH."""
    key = tmp_path / "me.key"
    owner = document("keygen", key)["public_key"]
    args = (owner, "10 ETH", "--key", served.operator_key)
    credited = document("deposit", *args, address=served.address)
    assert credited["amount"] == str(10 * 10**18)
    return key, owner


def test_health(served: Served) -> None:
    assert document("health", served.address)["status"] == "SERVING"
    error = failure("health", "127.0.0.1:1", code=1)
    assert error["reason"] == "ENGINE_UNREACHABLE"
    assert "walras serve" in error["hint"]


def test_the_configured_metrics_are_served(served: Served) -> None:
    with urllib.request.urlopen(f"http://{served.metrics}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    assert "\nwalras_log_entries " in page


def test_an_order_is_submitted_filled_and_withdrawn(served: Served, me: tuple[Path, str]) -> None:
    key, owner = me
    order = ("submit", "--key", key, "--sell", "1.5 ETH", "--min", "1500 USDC")
    made = document(*order, "--log-key", served.verifier_key, address=served.address)
    assert made["leaf_index"] < made["tree_size"]
    watched = walras("watch", made["intent_id"], "--json", address=served.address).stdout
    last = json.loads(watched.strip().splitlines()[-1])
    assert (last["state"], last["remaining"]) == ("filled", "0")
    assert int(last["settled"]) >= 1_500_000_000
    held = document("balances", owner, address=served.address)["balances"]
    assert held["eip155:1/slip44:60"] == str(85 * 10**17)
    assert last["settled"] in held.values()
    left = document("withdraw", "8.5 ETH", "--key", key, address=served.address)
    assert left["balance"] == "0"
    error = failure("withdraw", "1 ETH", "--key", key, code=2, address=served.address)
    assert error["reason"] == "BALANCE_INSUFFICIENT"


def test_an_order_is_cancelled_by_its_owner_only(served: Served, me: tuple[Path, str]) -> None:
    key, owner = me
    order = ("submit", "--key", key, "--sell", "1 ETH", "--min", "9000000 USDC", "--fill-or-kill")
    intent_id = document(*order, address=served.address)["intent_id"]
    other = key.with_name("other.key")
    walras("keygen", other)
    error = failure("cancel", intent_id, "--key", other, code=2, address=served.address)
    assert error["reason"] == "OWNER_MISMATCH"
    document("cancel", intent_id, "--key", key, address=served.address)
    state = json.loads(walras("watch", intent_id, "--json", address=served.address).stdout)
    assert state["state"] == "cancelled"
    shown = walras("balances", owner, address=served.address).stdout
    assert "10 ETH" in shown


def test_refusals_reach_the_command_line(served: Served, me: tuple[Path, str]) -> None:
    key, owner = me
    submit = ("submit", "--key", key)
    refused = {
        ("--sell", "1 NOSUCH", "--min", "1 ETH"): "ASSET_UNKNOWN",
        ("--sell", "1 ETH", "--min", "0.0000001 USDC"): "AMOUNT_MALFORMED",
        ("--sell", "11 ETH", "--min", "1 USDC", "--fill-or-kill"): "BALANCE_INSUFFICIENT",
    }
    for args, reason in refused.items():
        error = failure(*submit, *args, code=2, address=served.address)
        assert error["reason"] == reason
    error = failure("deposit", owner, "1 ETH", "--key", key, code=2, address=served.address)
    assert error["reason"] == "SIGNER_UNKNOWN"
    wrong = "localhost/e2e+00000000+AAAA"
    args = ("--sell", "1 ETH", "--min", "1 USDC", "--log-key", wrong)
    error = failure(*submit, *args, code=2, address=served.address)
    assert error["reason"] == "PUBLIC_KEY_INVALID"


def test_the_log_of_a_running_engine_is_audited_and_exported(
    served: Served, me: tuple[Path, str], tmp_path: Path
) -> None:
    key, _ = me
    watch = ("watch", "--auctions", "--count", "1", "--json")
    with ThreadPoolExecutor(1) as thread:
        watched = thread.submit(walras, *watch, address=served.address)
        # A book that nothing changes rests, so something new must come for there to be auctions.
        while not watched.done():
            sale = ("--sell", "1 ETH", "--min", "9000000 USDC")
            walras("submit", "-k", key, *sale, address=served.address)
    number = json.loads(watched.result().stdout)["auction_id"]
    audited = document("audit", served.address, "--key", served.verifier_key)
    assert audited["auctions"] >= number
    made = document("export", served.address, tmp_path, "--log-key", served.verifier_key)
    assert made["entries"] >= audited["entries"]
    assert document("audit", tmp_path)["entries"] == made["entries"]
