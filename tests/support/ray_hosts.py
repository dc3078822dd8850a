"""A Ray cluster on loopback addresses, in a process of its own, as Ray forks where it starts hosts
and a process that has loaded gRPC must not.

    python -m support.ray_hosts FOLDER

In: a command and its arguments as a JSON list on a line. Out: a JSON line for each: its result.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SMALL = {"num_cpus": 8, "object_store_memory": 80 << 20, "include_dashboard": False}
QUICK = {
    # A host that is lost is missed after a second, not after fifteen.
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
    # Eight idle Python processes on each host would take the time of those that work.
    "prestart_worker_first_driver": False,
}
STOP_SECONDS = 30.0


class Hosts:
    """The cluster, from the test's side.

    Args:
        folder: for Ray's files; its path must be short, as a socket's is at most 107 characters.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.ray_hosts", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves this machine
            },
            text=True,
        )

    def add(self, ip: str, region: str) -> str:
        """One more host, in `region` and in asia; returns the cluster's address."""
        return str(self._ask("add", ip, region))

    def lose(self, region: str) -> None:
        """Kill all of Ray's own processes of a host at once."""
        self._ask("lose", region)

    def kill(self, actor: str, namespace: str, *, for_good: bool) -> None:
        """Kill an actor's process."""
        self._ask("kill", actor, namespace, for_good)

    def close(self) -> None:
        """End the cluster."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def left(self) -> list[int]:
        """Processes whose command line names the folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def _ask(self, *command: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the cluster failed at {command}; its process said why on stderr"
        return json.loads(answer)


def _serve(folder: str) -> None:
    os.environ["RAY_TMPDIR"] = folder
    import ray
    from ray.cluster_utils import Cluster

    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints
    cluster = Cluster()
    hosts: dict[str, Any] = {}

    def add(ip: str, region: str) -> str:
        hosts[region] = cluster.add_node(
            node_ip_address=ip,
            resources={f"region:{region}": 1, "region:asia": 1},
            **SMALL,
            **({} if hosts else {"_system_config": QUICK}),
        )
        if not ray.is_initialized():
            ray.init(cluster.address, log_to_driver=False)
        return str(cluster.address)

    def lose(region: str) -> None:
        cluster.remove_node(hosts.pop(region), allow_graceful=False)

    def kill(actor: str, namespace: str, for_good: bool) -> None:
        ray.kill(ray.get_actor(actor, namespace), no_restart=for_good)

    commands = {"add": add, "lose": lose, "kill": kill}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(commands[name](*arguments)), file=output, flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    _serve(sys.argv[1])
