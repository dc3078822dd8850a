"""A program that keeps a deployment as an engine wants it, and says where its nodes are.

    python -m walras.fleet.ray.follow

In: a line with the deployment, then one with a target, region → nodes, whenever that changes.
Out: a line with the nodes and the faults each second; {"error": …} and exit code 1 where there is
no cluster. It ends when its input does, and the nodes stay.

It is a process of its own because Ray ends a process that is connected to a cluster once the
cluster's head is away for a minute (Ray's gcs_rpc_server_reconnect_timeout_s), and the engine must
outlive that.
"""

import asyncio
import contextlib
import json
import os
import sys
from typing import IO

from walras.core.errors import SolverFault, WalrasError
from walras.fleet.ray.cluster import Cluster
from walras.fleet.ray.values import Deployment

LOOK_EVERY_SECONDS = 1.0
KEEP_EVERY_SECONDS = 2.0
"""A node that was killed for good is made again this soon."""

MAX_KEEP_SECONDS = 60.0
"""Nodes that cannot be started are tried ever more rarely, and then this often."""


async def follow(output: IO[str]) -> None:
    """Until the input ends.

    Raises:
        SolverFault: NODE_UNREACHABLE: the cluster is away.
    """
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    deployment = Deployment.from_json(json.loads(await reader.readline()))
    async with Cluster(deployment) as cluster:
        working = {asyncio.create_task(_look(cluster, output))}
        working.add(asyncio.create_task(_keep(cluster, reader)))
        done, rest = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        for task in done:
            task.result()


async def _look(cluster: Cluster, output: IO[str]) -> None:
    while True:
        nodes = [placed.to_json() for placed in await cluster.nodes()]
        _write(output, {"nodes": nodes, "faults": cluster.faults})
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _keep(cluster: Cluster, reader: asyncio.StreamReader) -> None:
    target: dict[str, int] = {}
    pause = KEEP_EVERY_SECONDS
    while True:
        pause = min(2 * pause, MAX_KEEP_SECONDS) if cluster.faults else KEEP_EVERY_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                line = await reader.readline()
                if not line:
                    return
                target = json.loads(line)
        await cluster.scale(target)


def _write(output: IO[str], document: object) -> None:
    output.write(json.dumps(document) + "\n")
    output.flush()


def main() -> None:
    """Run it, and exit."""
    # What Ray and solvers print on stdout would stand between our lines.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    code = 0
    try:
        asyncio.run(follow(output))
    except WalrasError as error:
        reason = "" if isinstance(error, SolverFault) else f"{error.reason}: "
        _write(output, {"error": f"{reason}{error.message}"})
        code = 1
    except OSError as error:  # a key file that cannot be written, most likely
        _write(output, {"error": str(error)})
        code = 1
    output.flush()
    os._exit(code)  # whatever Ray still does in its threads


if __name__ == "__main__":
    main()
