"""walras fleet ray up, down"""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from walras.cli.names import node_name
from walras.cli.output import Json, next_step, print_json, say, show, table, waiting
from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.ray.values import Deployment, Placed

if TYPE_CHECKING:
    from walras.fleet.ray.cluster import Cluster

MAX_SLOTS = 256
"""That an engine's configuration takes."""
START_SECONDS = 60.0
"""For nodes to run: a host loads Python and the solver for each."""

Address = Annotated[
    str,
    typer.Option(
        "--address", envvar="RAY_ADDRESS", help="The cluster: auto, HOST:6379, ray://HOST:10001."
    ),
]
Keys = Annotated[Path, typer.Option("--keys", help="Folder of key files; made if need be.")]
Namespace = Annotated[str, typer.Option("--namespace", help="Ray's namespace of the nodes.")]


def register(group: typer.Typer, name: str) -> None:
    """Add `up` and `down`, under `name`, to `walras fleet`."""
    app = typer.Typer(no_args_is_help=True, help="Solver nodes on a Ray cluster.")
    app.command("up")(up)
    app.command("down")(down)
    group.add_typer(app, name=name)


def up(
    solver: Annotated[str, typer.Option("--solver", help="An installed solver, or module:Class.")],
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="How many, over all regions.")] = 2,
    regions: Annotated[
        str, typer.Option("--regions", help="eu,us: on hosts with the resource region:eu or …:us.")
    ] = "",
    address: Address = "auto",
    slots: Annotated[
        int, typer.Option("--slots", min=1, help="Problems at a time, and CPUs, of each node.")
    ] = 1,
    keys: Keys = Path("ray-keys"),
    name: Annotated[str, typer.Option("--name", help="Nodes are NAME-REGION-1, -2, …")] = "",
    group: Annotated[
        str, typer.Option("--group", help="Who operates them, for the engine's caps and tables.")
    ] = "",
    namespace: Namespace = "walras",
    engine_config: Annotated[
        Path | None, typer.Option("--engine-config", help="Write the engine's tables there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Have solver nodes run on a Ray cluster, which keeps them running after this command ends.

    Again with other numbers, it starts and drains nodes as needed.
    """
    deployment = Deployment(solver, keys, name or node_name(solver)[:32], address, namespace, slots)
    _check_group(group)
    target = spread(nodes, regions.split(",") if regions else [""])
    with waiting("starting nodes"):
        running = asyncio.run(_up(deployment, target))
    snippet = toml(running, group)
    if engine_config is not None:
        engine_config.write_text(snippet)
    if as_json:
        print_json({"nodes": [_shown(node) for node in running], "toml": snippet})
        return
    made = table("name", "region", "address", "public key")
    for node in running:
        made.add_row(node.name, node.region, node.address, node.public_key.hex())
    show(made)
    if engine_config is None:
        say()
        say(snippet)
        next_step("walras serve --config walras.toml", "with these tables in it")
    else:
        next_step(f"cat {engine_config} >> walras.toml", "then: walras serve --config walras.toml")


def down(
    name: Annotated[str, typer.Option("--name", help="The nodes' name, as up had it.")],
    address: Address = "auto",
    namespace: Namespace = "walras",
    as_json: Json = False,
) -> None:
    """Drain and end the nodes of a name, in every region."""
    deployment = Deployment("", Path(), name, address, namespace)
    with waiting("draining nodes"):
        gone = asyncio.run(_down(deployment))
    if as_json:
        print_json({"ended": gone})
    else:
        say(f"ended: {', '.join(gone) or 'there was none'}")


def spread(nodes: int, regions: Sequence[str]) -> dict[str, int]:
    """How many of `nodes` each region gets: as many as any other, the first ones one more.

    Raises:
        InvalidInput: FIELD_INVALID if a region is named twice.
    """
    if len(set(regions)) != len(regions):
        raise InvalidInput(Reason.FIELD_INVALID, "a region is named twice", field="regions")
    share, more = divmod(nodes, len(regions))
    return {region: share + (place < more) for place, region in enumerate(regions)}


def toml(nodes: Sequence[Placed], group: str = "") -> str:
    """The engine's configuration of `nodes`, where they are now, operated by `group`."""
    # A JSON string of such characters is a TOML string.
    operator = f"group = {json.dumps(group)}\n" if group else ""
    tables = (
        f"[[solvers]]\nname = {json.dumps(node.name)}\naddress = {json.dumps(node.address)}\n"
        f'public_key = "{node.public_key.hex()}"\nslots = {min(node.slots, MAX_SLOTS)}\n{operator}'
        for node in nodes
    )
    return "# Addresses as they are now; a node that Ray restarts has another.\n\n" + "\n".join(
        tables
    )


def _check_group(group: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9._-]{0,64}", group):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{group!r} is no group's name",
            hint="up to 64 letters, digits, '.', '_', '-'",
            field="group",
        )


def _shown(node: Placed) -> dict[str, object]:
    return {**asdict(node), "public_key": node.public_key.hex()}


def _cluster(deployment: Deployment) -> "Cluster":
    try:
        from walras.fleet.ray.cluster import Cluster  # noqa: PLC0415 - it is an extra
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InvalidInput(
            Reason.CONFIG_INVALID, "Ray is not installed", hint="pip install 'walras[ray]'"
        ) from error
    return Cluster(deployment)


async def _up(deployment: Deployment, target: dict[str, int]) -> list[Placed]:
    loop = asyncio.get_running_loop()
    end = loop.time() + START_SECONDS
    async with _cluster(deployment) as cluster:
        await cluster.scale(target)
        while True:
            running = [node for node in await cluster.nodes() if node.region in target]
            if len(running) == sum(target.values()):
                await cluster.drained()
                return running
            if cluster.faults:
                name, why = next(iter(cluster.faults.items()))
                raise SolverFault(Reason.NODE_FAILED, f"{name}: {why}", node=name)
            if loop.time() > end:
                missing = sum(target.values()) - len(running)
                raise SolverFault(
                    Reason.NODE_TIMEOUT,
                    f"{missing} of {sum(target.values())} nodes do not run: they wait for hosts",
                    hint=f"a node needs {deployment.slots} CPUs, and in a region a host with its"
                    " resource: ray start --resources '{\"region:eu\": 1}'; see: ray status",
                )
            await asyncio.sleep(0.2)


async def _down(deployment: Deployment) -> list[str]:
    async with _cluster(deployment) as cluster:
        names = await cluster.names()
        places = [deployment.place(name) for name in names]
        await cluster.scale({place[0]: 0 for place in places if place})
        await cluster.drained()
    return names
