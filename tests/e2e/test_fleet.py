"""The fleet of a running engine: seen and drained by command, rerouted, shed, measured, stored."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import grpc
import pytest
from rich.console import Console
from support.audit import pool_solver
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.nodes import serving
from support.solvers import Crosser
from support.worlds import Refused, World, refusal, running, soon, until

from walras.api.v1 import fleet_service_pb2, fleet_service_pb2_grpc
from walras.app.metrics import serve_metrics
from walras.app.report import AuctionReport
from walras.balance.shedding import Capacity
from walras.balance.status import State
from walras.cli.commands import fleet as fleet_commands
from walras.core.errors import InvalidInput, Reason
from walras.ledger.fleet import to_json
from walras.sdk.node import Node

ANN, BOB = signer("ann"), signer("bob")
NAMES = ("east", "north", "west")


def walras(*args: str, code: int = 0) -> str:
    """Run a command to its end; what it prints. Its exit code must be `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "walras.cli.main", *args],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


async def ask(*args: str) -> Any:
    """What a command prints with --json."""
    return json.loads(await asyncio.to_thread(walras, *args, "--json"))


@asynccontextmanager
async def three(folder: Path, **flags: Any) -> AsyncIterator[World]:
    """An engine with three honest nodes; Ann has ETH and Bob USD."""
    async with AsyncExitStack() as stack:
        solvers = []
        for name in NAMES:
            node = Node(Crosser(), signer(name), name)
            address = await stack.enter_async_context(serving(node))
            solvers.append({"name": name, "address": address, "group": name[0]})
        async with running(folder, solvers=solvers, **flags) as world:
            await furnish(world)
            yield world


async def furnish(world: World, *away: str) -> None:
    await world.open_market([pool()])
    await world.nodes_here(*away)
    await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
    await world.fund(BOB.public_key, USD, 210_000 * WHOLE_USD)


async def auction(world: World) -> AuctionReport:
    """One batch of a pair that crosses."""
    await world.submit(sell(ANN.public_key), ANN)
    await world.submit(buy(BOB.public_key), BOB)
    return await world.auction()


def state_of(world: World, name: str) -> State:
    fleet = world.state.fleet
    return fleet.standing.status(signer(name).public_key, world.clock()).state


def still(shown: Any) -> Any:
    """What does not change as time goes by: a node's weight grows, its load falls."""
    moving = {"why", "until_ms", "warmth_bps", "utilisation_bps", "wait_us"}
    return [
        {name: value for name, value in node.items() if name not in moving}
        for node in shown["nodes"]
    ]


async def test_nodes_are_seen_drained_resumed_and_verified(tmp_path: Path) -> None:
    rules = {"slow_start_ms": 300_000}  # it lasts as long as the test does
    async with three(tmp_path / "engine", fleet=rules) as world:
        at = ("--address", world.address)
        key = ("--key", str(tmp_path / "engine/operator.key"))
        await auction(world)

        listed, shown, looks = await asyncio.gather(
            ask("fleet", "list", *at),
            ask("fleet", "show", "north", *at),
            ask("fleet", "top", "--count", "1", *at),
        )
        assert [node["node"]["name"] for node in listed["nodes"]] == list(NAMES)
        assert {node["state"] for node in listed["nodes"]} == {"warming"}
        assert all(node["connected"] and node["calls"] == "1" for node in listed["nodes"])
        assert listed["fleet"]["rules"]["policy"] == "least_expected_delay"
        assert still(looks) == still(listed)
        assert shown["node"]["public_key"] == signer("north").public_key.hex()
        assert (shown["node"]["group"], shown["errors"], shown["why"] != "") == ("n", "0", True)
        assert 0 < int(shown["until_ms"]) <= 300_000  # of its slow start
        zero = ("call_errors", "probe_errors", "blocks", "canary_miss_bps")
        assert [shown[name] for name in zero] == [0, 0, 0, 0]

        drained = await ask("fleet", "drain", "north", *key, *at)
        assert drained["drained"] == [signer("north").public_key.hex()]
        assert state_of(world, "north") is State.DRAINING
        report = await auction(world)
        asked = {solver.name: solver.asked for solver in report.solvers}
        assert asked == {"east": 1, "west": 1}
        assert report.filled == 2

        await ask("fleet", "resume", signer("north").public_key.hex(), *key, *at)
        report = await auction(world)
        assert {solver.name for solver in report.solvers} == set(NAMES)

        verified, plain = await asyncio.gather(
            ask("fleet", "verify", world.address, "--key", world.engine.verifier_key),
            asyncio.to_thread(
                walras, "fleet", "verify", world.address, "--key", world.engine.verifier_key
            ),
        )
        fleet = world.state.fleet
        assert (verified["ok"], verified["version"]) == (True, fleet.version)
        assert verified["asked"] == 3 + 2 + 3
        assert [row["name"] for row in verified["nodes"]] == list(NAMES)
        for row in verified["nodes"]:
            status = fleet.standing.status(bytes.fromhex(row["public_key"]), fleet.at_ms)
            assert (row["calls"], row["errors"]) == (status.calls, 0)
            assert row["service_us"] == status.service_us
        assert "every draw and every change follows from the log" in " ".join(plain.split())


async def test_what_people_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"slow_start_ms": 300_000}  # it lasts as long as the test does
    async with three(tmp_path / "engine", fleet=rules) as world:
        at = ("--address", world.address)
        key = ("--key", str(tmp_path / "engine/operator.key"))
        new = await asyncio.to_thread(walras, "fleet", "list", *at)
        assert "3 nodes" in new
        assert new.count("joining") == 3
        await auction(world)

        looks = await asyncio.to_thread(
            walras, "fleet", "top", "--count", "2", "--interval", "0.1", *at
        )
        assert looks.endswith("\n")
        assert looks.count("3 nodes, version 2") == looks.count("\neast ") == 2

        # A narrow terminal: nothing of the last line is cut.
        seen = StringIO()
        narrow = Console(file=seen, width=60, force_terminal=True, soft_wrap=True)
        monkeypatch.setattr(fleet_commands, "stdout", narrow)
        await fleet_commands._top(world.address, 0.1, 1, as_json=False)
        said = " ".join(seen.getvalue().split())
        assert re.search(r"3 nodes, .*; order flow: HHI .*, Gini .*, Nakamoto [12]", said)

        shown = await asyncio.to_thread(walras, "fleet", "show", "north", *at)
        assert f"walras fleet drain north --key operator.key --address {world.address}" in shown
        await ask("fleet", "drain", "north", *key, *at)
        shown = await asyncio.to_thread(walras, "fleet", "show", "north", *at)
        assert f"walras fleet resume north --key operator.key --address {world.address}" in shown


async def test_a_node_that_never_came_is_away(tmp_path: Path) -> None:
    """Listed and shown with what keeps it away; pages take it in."""
    node = Node(Crosser(), signer("east"), "east")
    lost = {"name": "lost", "address": "127.0.0.1:9", "group": "firm", "region": "eu", "slots": 3}
    named = {**lost, "name": "named", "public_key": signer("named").public_key.hex()}
    async with serving(node) as address:
        here = {"name": "east", "address": address}
        async with running(tmp_path / "engine", solvers=[lost, named, here]) as world:
            await furnish(world, "lost", "named")
            at = ("--address", world.address)
            listed = await ask("fleet", "list", *at)
            states = {status["node"]["name"]: status["state"] for status in listed["nodes"]}
            assert states == {"lost": "away", "named": "away", "east": "joining"}
            await auction(world)
            listed, shown, text = await asyncio.gather(
                ask("fleet", "list", *at),
                ask("fleet", "show", named["public_key"], *at),
                asyncio.to_thread(walras, "fleet", "show", "lost", *at),
            )
            states = {status["node"]["name"]: status["state"] for status in listed["nodes"]}
            assert states == {"lost": "away", "named": "away", "east": "warming"}
            assert (shown["node"]["name"], shown["state"]) == ("named", "away")
            assert (shown["node"]["slots"], shown["node"]["group"]) == (3, "firm")
            assert "NODE_UNREACHABLE" in shown["why"]
            assert "away: NODE_UNREACHABLE" in text
            assert "not known before it is connected" in text
            table = await asyncio.to_thread(walras, "fleet", "list", *at)
            assert re.search(r"^lost +away +firm +eu", table, re.MULTILINE)

            stub = fleet_service_pb2_grpc.FleetServiceStub(world.channel)
            names, token = [], ""
            for _ in range(3):
                asked = fleet_service_pb2.ListNodesRequest(page_size=1, page_token=token)
                page = await stub.ListNodes(asked)
                names += [status.node.name for status in page.nodes]
                token = page.next_page_token
            assert (names, token) == (["east", "lost", "named"], "")
            refused = await refusal(
                stub.ListNodes(fleet_service_pb2.ListNodesRequest(page_token="!"))
            )
            assert refused.reason == "PAGE_TOKEN_INVALID"
            said = await asyncio.to_thread(
                walras, "fleet", "drain", "lost", "--key",
                str(tmp_path / "engine/operator.key"), *at, "--json", code=2,
            )  # fmt: skip
            reason = json.loads(said.strip().splitlines()[-1])["error"]["reason"]
            assert reason in {Reason.NODE_UNKNOWN, Reason.PUBLIC_KEY_INVALID}


async def test_shards_move_by_an_expected_wait_that_an_auditor_computes(tmp_path: Path) -> None:
    """Every node's load and wait, and every pick by them, follow from the log."""
    rules = {
        "policy": "ring_hash", "max_wait_ms": 1, "explore_bps": 0, "all_up_to": 0, "fan_out": 1,
        "standby": 0, "slow_start_ms": 0,
    }  # fmt: skip
    async with three(tmp_path / "engine", fleet=rules) as world:
        first: set[str] = set()
        for _ in range(12):
            report = await auction(world)
            asked = {solver.name for solver in report.solvers if solver.asked}
            assert len(asked) == 1
            first |= asked
        assert len(first) > 1  # batch upon batch, as no market maker's would come
        at = ("--address", world.address)
        verified, listed = await asyncio.gather(
            ask("fleet", "verify", world.address, "--key", world.engine.verifier_key),
            ask("fleet", "list", *at),
        )
        fleet = world.state.fleet
        for row in verified["nodes"]:
            status = fleet.standing.status(bytes.fromhex(row["public_key"]), fleet.at_ms)
            assert row["utilisation_bps"] == status.utilisation_bps
            assert row["wait_us"] == status.wait_us
        loads = [int(status["utilisation_bps"]) for status in listed["nodes"]]
        assert max(loads) > 0
        busiest = max(listed["nodes"], key=lambda status: int(status["utilisation_bps"]))
        shown = await asyncio.to_thread(walras, "fleet", "show", busiest["node"]["name"], *at)
        assert re.search(r"load +[0-9.]+ % of what its slots can do; ", shown)
        assert "in a row failed 0 calls, 0 probes" in " ".join(shown.split())
        assert verified["split_views"] == []


async def test_only_operators_drain_and_only_nodes_are_drained(tmp_path: Path) -> None:
    async with three(tmp_path / "engine") as world:
        await auction(world)
        version = world.state.fleet.version
        (tmp_path / "stranger.key").write_text(os.urandom(32).hex())
        (tmp_path / "stranger.key").chmod(0o600)
        at = ("--address", world.address, "--json")
        refused = [
            (("east", "--key", str(tmp_path / "stranger.key")), Reason.SIGNER_UNKNOWN),
            (("south", "--key", str(tmp_path / "engine/operator.key")), Reason.NODE_UNKNOWN),
        ]
        for args, reason in refused:
            said = await asyncio.to_thread(walras, "fleet", "drain", *args, *at, code=2)
            assert json.loads(said.strip().splitlines()[-1])["error"]["reason"] == reason
        assert world.state.fleet.version == version
        assert state_of(world, "east") is not State.DRAINING


async def test_a_killed_node_is_rerouted_within_the_batch_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed while it works; the one that stands by is asked, and its bid wins."""
    mark = tmp_path / "mark"
    paths = [str(Path(pool_solver.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv(pool_solver.MARK, str(mark))
    # Nearly every draw is the mortal's, who has nearly all slots.
    rules = {"policy": "random", "weigh": "slots", "all_up_to": 0, "fan_out": 1, "standby": 2}
    mortal = {"name": "mortal", "plugin": "support.audit.pool_solver:Stubborn", "slots": 64}
    async with AsyncExitStack() as stack:
        solvers: list[dict[str, Any]] = [mortal]
        for name in NAMES[:2]:
            honest = Node(Crosser(), signer(name), name)
            address = await stack.enter_async_context(serving(honest))
            solvers.append({"name": name, "address": address})
        flags: dict[str, Any] = {"solvers": solvers, "fleet": rules, "solve_ms": 20_000}
        world = await stack.enter_async_context(running(tmp_path / "engine", **flags))
        await furnish(world)
        ready = world.engine.fleet.ready
        await until(lambda: len(ready()) == 3)
        node = next(n for n in ready() if n.name == "mortal")
        assert node._process is not None
        first = node._process.pid
        for _ in range(10):
            batch = asyncio.create_task(auction(world))
            await until(lambda b=batch: mark.exists() or b.done())  # type: ignore[misc]  # bound now
            if mark.exists():
                break
        os.kill(first, signal.SIGKILL)
        report = await soon(batch)
        told = {solver.name: solver for solver in report.solvers}
        assert (report.filled, report.winners) == (2, 1)
        assert told["mortal"].fault
        assert told["mortal"].bids == 0
        (winner,) = (name for name, solver in told.items() if solver.winners)
        assert winner in NAMES
        status = world.state.fleet.standing.status(node.public_key, world.clock())
        assert status.errors == 1
        assert world.engine.fleet.in_flight.total() == 0
        await until(lambda: node.connected)
        assert node._process is not None
        assert node._process.pid != first
        # With the same key, so its history is its own.
        assert world.engine.fleet.find(node.public_key) is node


async def test_the_metrics_page(tmp_path: Path) -> None:
    async with (
        three(tmp_path / "engine") as world,
        serve_metrics(world.engine, "127.0.0.1:0") as address,
    ):

        async def read() -> dict[str, float]:
            def get() -> str:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                    return str(answer.read().decode())

            lines = (await asyncio.to_thread(get)).splitlines()
            found = (line.rpartition(" ") for line in lines if not line.startswith("#"))
            return {name: float(value) for name, _, value in found}

        before = await read()
        assert before["walras_auctions_total"] == 0
        with pytest.raises(InvalidInput, match="cannot serve metrics on"):
            async with serve_metrics(world.engine, address):
                pass
        report = await auction(world)
        page = await read()
        assert page["walras_auctions_total"] == 1
        assert page["walras_bids_total"] == report.bids == 3
        assert page["walras_score_total"] == report.score
        assert page["walras_fleet_version"] == world.state.fleet.version
        assert page["walras_fleet_panic"] == 0
        assert page["walras_flow_nakamoto"] == 1
        assert page["walras_flow_hhi"] == 1  # one winner, so one group has it all
        assert page["walras_flow_alarm"] == 1
        assert page["walras_log_entries"] == world.engine.sequencer.tree.size
        for name in NAMES:
            labels = f'{{group="{name[0]}",node="{name}",region=""}}'
            assert page[f"walras_node_calls_total{labels}"] == 1
            assert page[f"walras_node_errors_total{labels}"] == 0
            assert page[f"walras_node_in_flight{labels}"] == 0
            assert 0 < page[f"walras_node_service_seconds{labels}"] < 5
            assert page[f"walras_node_utilisation{labels}"] == 0  # of one batch no rate is known
            assert page[f"walras_node_wait_seconds{labels}"] == 0
            assert page[f'walras_node_state{{node="{name}",state="warming"}}'] == 1


async def test_load_is_shed_by_a_rule_and_with_numbers(tmp_path: Path) -> None:
    async with three(tmp_path / "engine") as world:
        planner = world.engine.planner
        planner.limits = Capacity(soft=3, hard=5, interval_ms=10)
        for _ in range(3):
            await world.submit(sell(ANN.public_key), ANN)
        # Above what the fleet can solve, who has most is refused first.
        refused: Refused = await refusal(world.submit(sell(ANN.public_key), ANN))
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry
        numbers = {name: refused.metadata[name] for name in ("open", "total", "capacity", "limit")}
        assert numbers == {"open": "3", "total": "3", "capacity": "3", "limit": "5"}
        await world.submit(buy(BOB.public_key), BOB)
        assert world.state.book.open_by_owner[BOB.public_key] == 1
        assert planner.shed == 1
        # After the batch there is room again.
        assert (await world.auction()).filled >= 2
        await world.submit(buy(BOB.public_key), BOB)


async def test_what_is_refused_anyway_sheds_nobody(tmp_path: Path) -> None:
    """Eve has nothing: her intents are not in the book, and take no room in it."""
    eve = signer("eve")
    async with three(tmp_path / "engine") as world:
        world.engine.planner.limits = Capacity(soft=3, hard=5, interval_ms=10)
        for _ in range(3):
            await world.submit(sell(ANN.public_key), ANN)
        for _ in range(9):
            refused = await refusal(world.submit(sell(eve.public_key), eve))
            assert refused.reason == "BALANCE_INSUFFICIENT"
        await world.submit(buy(BOB.public_key), BOB)
        # What was taken counts: Bob's share of three is one.
        assert (await refusal(world.submit(buy(BOB.public_key), BOB))).reason == "OVERLOADED"
        assert world.engine.planner.shed == 1


async def test_a_restart_keeps_the_standing(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    async with three(folder) as world:
        await auction(world)
        at = ("--address", world.address, "--key", str(folder / "operator.key"))
        await ask("fleet", "drain", "west", *at)
        await auction(world)
        before = to_json(world.state.fleet)
        watch = world.state.market.watch.to_json()
        opened = await world.engine.auctioneer.open()  # tells a time, and is then voided
        assert opened.opened.auction_id == 3
        later = world.state.fleet.at_ms
    async with running(folder) as world:
        fleet = world.state.fleet
        assert (fleet.version, fleet.at_ms) == (json.loads(before)["version"], later)
        stored = json.loads(to_json(fleet))
        assert stored["standing"] == json.loads(before)["standing"]
        assert world.state.market.watch.to_json() == watch
        assert state_of(world, "west") is State.DRAINING
        calls = {
            info.name: fleet.standing.status(key, fleet.at_ms).calls
            for key, info in fleet.nodes.items()
        }
        assert calls == {"east": 2, "north": 2, "west": 1}
