"""Solver nodes on a real Ray cluster, whose hosts have loopback addresses of their own.

Two hosts: 127.0.0.2 is in eu and asia, 127.0.0.3 in us and asia.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.market import ETH, USD, WHOLE_ETH, WHOLE_USD, buy, pool, sell, signer
from support.ray_hosts import Hosts
from support.worlds import World, running, soon

from walras.app.report import AuctionReport
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.nodes import Node, NodeSpec
from walras.fleet.ray.nodes import RayNodes
from walras.fleet.ray.values import Deployment, Placed
from walras.sdk.keys import read_key

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'walras[ray]'"
)

ANN, BOB = signer("ann"), signer("bob")
NAMESPACE = "test"
PATIENCE = 150.0
"""Seconds: a cluster starts processes, each of which imports much, on machines that are busy."""


@dataclass(frozen=True, slots=True)
class Ray:
    """A cluster, and deployments on it."""

    hosts: Hosts
    address: str

    def deployment(self, **more: Any) -> Deployment:
        """Baseline solvers."""
        settings = {
            "solver": "baseline",
            "keys": self.hosts.folder / "keys",
            "address": self.address,
            "namespace": NAMESPACE,
        }
        return Deployment(**{**settings, **more})


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    folder = Path(tempfile.mkdtemp(prefix="wr-", dir="/tmp"))
    hosts = Hosts(folder)
    try:
        hosts.add("127.0.0.2", "eu")
        yield Ray(hosts, hosts.add("127.0.0.3", "us"))
    finally:
        hosts.close()
        end = time.monotonic() + 10
        while left := hosts.left():
            assert time.monotonic() < end, f"Ray left processes behind: {left}"
            time.sleep(0.1)
        shutil.rmtree(folder)


@pytest.fixture
async def nodes(ray: Ray, request: pytest.FixtureRequest) -> AsyncIterator[RayNodes]:
    """Nodes of the test's own, called ray-… and beside other tests' ones."""
    async with RayNodes(ray.deployment(namespace=request.node.name)) as made:
        yield made


async def until(
    nodes: RayNodes, condition: Callable[[dict[str, Placed]], object], seconds: float = PATIENCE
) -> dict[str, Placed]:
    """The nodes by name, once `condition` holds of them; a cluster that is away comes back."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(SolverFault):
                found = {node.name: node for node in await nodes.placed()}
                if condition(found):
                    return found
            await asyncio.sleep(0.1)


async def counted(nodes: RayNodes, **target: int) -> dict[str, Placed]:
    """Scale to `target`, and the nodes once it is so."""
    await nodes.scale(target)

    def reached(found: dict[str, Placed]) -> bool:
        regions = [node.region for node in found.values()]
        return all(regions.count(region) == count for region, count in target.items())

    return await until(nodes, reached)


async def batch(world: World) -> AuctionReport:
    """One more pair of intents that cross, and its auction.

    While no node is there the book grows, and the engine may shed: what rests in it will do then.
    """
    try:
        await world.submit(sell(ANN.public_key), ANN)
        await world.submit(buy(BOB.public_key), BOB)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
    return await soon(world.auction())


def winners(report: AuctionReport) -> set[str]:
    return {solver.name for solver in report.solvers if solver.winners}


async def won_by(world: World, name: str, seconds: float = PATIENCE) -> None:
    """Batches until one is won by `name`."""
    async with asyncio.timeout(seconds):
        while True:
            report = await batch(world)
            if winners(report) == {name}:
                assert report.filled >= 1
                return
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def engine(folder: Path, nodes: RayNodes) -> AsyncIterator[World]:
    """An engine that has no other nodes than those on Ray."""
    async with running(folder) as world:
        await world.open_market([pool()])
        await world.fund(ANN.public_key, ETH, 100 * WHOLE_ETH)
        await world.fund(BOB.public_key, USD, 200_000 * WHOLE_USD)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(nodes.keep(world.engine.fleet))
            yield world
            keeping.cancel()


def address(world: World, name: str) -> str:
    return next((spec.address for spec in world.engine.fleet.specs if spec.name == name), "")


async def test_placed_by_region_spread_over_hosts_scaled_and_drained(
    ray: Ray, nodes: RayNodes
) -> None:
    found = await counted(nodes, eu=1, us=1, asia=2)
    ips = {name: node.address.rpartition(":")[0] for name, node in found.items()}
    assert ips["ray-eu-1"] == "127.0.0.2"
    assert ips["ray-us-1"] == "127.0.0.3"
    assert {ips["ray-asia-1"], ips["ray-asia-2"]} == {"127.0.0.2", "127.0.0.3"}
    for name, node in found.items():
        assert node.public_key == read_key(ray.hosts.folder / "keys" / f"{name}.key").public_key

    more = await counted(nodes, asia=3)
    assert {name: more[name] for name in found} == found, "scaling up moved a node"
    fewer = await counted(nodes, asia=0, us=1)
    assert set(fewer) == {"ray-eu-1", "ray-us-1"}
    # It said that it goes before it went.
    async with dialled(more["ray-asia-3"]) as node:
        assert node.connected
    again = await counted(nodes, asia=1)
    # Names that are still going are not taken twice.
    assert set(again) == {"ray-eu-1", "ray-us-1", "ray-asia-4"}


@contextlib.asynccontextmanager
async def dialled(placed: Placed) -> AsyncIterator[Node]:
    node = Node(NodeSpec(placed.name, address=placed.address, public_key=placed.public_key))
    await node.connect()
    try:
        yield node
    finally:
        await node.close()


async def test_auction_is_won_and_won_again_after_a_process_and_a_host_are_lost(
    ray: Ray, nodes: RayNodes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = await counted(nodes, us=1)
    async with engine(tmp_path, nodes) as world:
        await won_by(world, "ray-us-1")

        ray.hosts.kill("ray-us-1", request.node.name, for_good=False)
        after = await until(nodes, lambda now: address_of(now) not in ("", address_of(before)))
        assert after["ray-us-1"].public_key == before["ray-us-1"].public_key
        await won_by(world, "ray-us-1")
        assert address(world, "ray-us-1") == after["ray-us-1"].address

        ray.hosts.lose("us")
        # A worker ends a moment after it finds its host's other processes gone.
        async with asyncio.timeout(PATIENCE):
            while True:
                if not winners(await batch(world)):
                    break
                await asyncio.sleep(0.1)
        ray.hosts.add("127.0.0.4", "us")
        moved = await until(nodes, lambda now: address_of(now).startswith("127.0.0.4:"))
        assert moved["ray-us-1"].public_key == before["ray-us-1"].public_key
        await won_by(world, "ray-us-1")

        # A second region comes, and the first one goes: the engine follows.
        await nodes.scale({"eu": 1, "us": 0})
        await won_by(world, "ray-eu-1")
        await until(nodes, lambda now: set(now) == {"ray-eu-1"})


def address_of(found: dict[str, Placed], name: str = "ray-us-1") -> str:
    return found[name].address if name in found else ""


async def test_follower_that_dies_is_started_again_and_keeps_the_target(
    ray: Ray, nodes: RayNodes, request: pytest.FixtureRequest
) -> None:
    before = await counted(nodes, eu=1)
    assert nodes._child is not None
    os.kill(nodes._child.pid, signal.SIGKILL)

    async def looked_at() -> None:
        while True:
            await nodes.placed()
            await asyncio.sleep(0.1)

    with pytest.raises(SolverFault, match="NODE_UNREACHABLE"):
        await asyncio.wait_for(looked_at(), PATIENCE)
    assert await until(nodes, lambda now: now == before)
    # What Ray was told never to restart is made again all the same, with its key.
    ray.hosts.kill("ray-eu-1", request.node.name, for_good=True)
    old = address_of(before, "ray-eu-1")
    after = await until(nodes, lambda now: address_of(now, "ray-eu-1") not in ("", old))
    assert after["ray-eu-1"].public_key == before["ray-eu-1"].public_key


async def test_another_key_is_refused(ray: Ray, tmp_path: Path) -> None:
    """Somebody else's actor under a name that a key file vouches for."""
    async with RayNodes(ray.deployment(name="twin", keys=tmp_path / "theirs")) as theirs:
        found = await counted(theirs, eu=1)
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours" / "twin-eu-1.key").write_text("11" * 32)
        async with RayNodes(ray.deployment(name="twin", keys=tmp_path / "ours")) as ours:
            assert await ours.placed() == []
            assert "another key" in ours.faults["twin-eu-1"]
            assert set(found) == {"twin-eu-1"}


def walras_ray(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys, typer; from walras.cli.commands import ray_up; app = typer.Typer();"
        "app.callback()(lambda: None); ray_up.register(app, 'ray'); app(sys.argv[1:])"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "ray", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip


def test_up_and_down_by_themselves(ray: Ray, tmp_path: Path) -> None:
    where = ("--address", ray.address, "--namespace", NAMESPACE)
    done = walras_ray(
        "up", "--solver", "baseline", "--nodes", 2, "--regions", "eu,us", *where,
        "--keys", tmp_path / "keys", "--engine-config", tmp_path / "nodes.toml", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    shown = json.loads(done.stdout)["nodes"]
    assert [node["name"] for node in shown] == ["baseline-eu-1", "baseline-us-1"]

    # The nodes outlive the command, and the file is an engine's configuration of them.
    from walras.app.config import read_config

    specs = read_config(tmp_path / "nodes.toml").nodes()
    assert {spec.name: spec.address for spec in specs} == {n["name"]: n["address"] for n in shown}
    asyncio.run(dial(specs))

    done = walras_ray("down", "--name", "baseline", *where, "--json")
    assert json.loads(done.stdout) == {"ended": [node["name"] for node in shown]}
    with pytest.raises(SolverFault):
        asyncio.run(dial(specs))


async def dial(specs: list[NodeSpec]) -> None:
    for spec in specs:
        node = Node(spec)
        await node.connect()
        await node.close()


async def test_no_cluster_and_no_solver(ray: Ray, tmp_path: Path) -> None:
    async with RayNodes(ray.deployment(solver="nobody:Knows")) as nodes:
        await nodes.scale({"eu": 1})
        async with asyncio.timeout(PATIENCE):
            while not nodes.faults:
                assert await nodes.placed() == []
                await asyncio.sleep(0.1)
        assert "cannot be loaded" in nodes.faults["ray-eu-1"]
    with pytest.raises(InvalidInput):
        await nodes.scale({"eu": -1})
    gone = Deployment("baseline", tmp_path, address="auto:nowhere")
    async with RayNodes(gone) as nodes:
        with pytest.raises(SolverFault) as caught:
            await nodes.placed()
        assert caught.value.reason is Reason.NODE_UNREACHABLE
