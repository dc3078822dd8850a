"""Places solver nodes on a Ray cluster, finds them and lets them go.

Nothing is remembered between runs: nodes are detached actors with names, so that Ray's control
plane holds the list of them and starts them again when their process or host is lost. Whoever
connects to the cluster sees the same nodes.
"""

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from walras.core.errors import InvalidInput, Reason, SolverFault
from walras.fleet.ray.actors import SolverActor
from walras.fleet.ray.values import (
    GRACE_SECONDS,
    MAX_NODES,
    NOTICE_SECONDS,
    Deployment,
    Placed,
    check_target,
    checked,
    said,
)
from walras.sdk.keys import read_key, read_or_write_key

CALL_SECONDS = 20.0
"""For one call of Ray's control plane."""

LOOK_SECONDS = 0.5
"""For nodes to say where they are; who has not said it then is where it last was."""

_UNIT_OF_REGION = 1 / MAX_NODES


class Cluster:
    """One deployment on a Ray cluster, from a process that may use Ray.

    Ray has one connection per process, so there is one of these at a time.

    Attributes:
        faults: why nodes that were started or found do not run, by name.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._actors: dict[str, Any] = {}
        self._asked: dict[str, asyncio.Future[Placed]] = {}
        self._placed: dict[str, Placed] = {}
        self._meant: dict[str, str] = {}
        self._draining: dict[str, asyncio.Task[None]] = {}
        self._scaling = asyncio.Lock()
        self.faults: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            SolverFault: NODE_UNREACHABLE: there is no such cluster.
        """
        try:
            await _call(
                lambda: ray.init(
                    self._deployment.address,
                    namespace=self._deployment.namespace,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
            )
        except (SolverFault, ValueError) as error:
            raise SolverFault(
                Reason.NODE_UNREACHABLE,
                f"no Ray cluster at {self._deployment.address}: {getattr(error, 'message', error)}",
                hint="begin one: ray start --head; join it: ray start --address HOST:6379",
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect; the nodes stay."""
        left: list[asyncio.Future[Any]] = [*self._asked.values(), *self._draining.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        with contextlib.suppress(SolverFault):
            await _call(ray.shutdown)

    async def nodes(self) -> list[Placed]:
        """The nodes that run, by region and number, less those that are about to go.

        A node that does not answer now stands where it was last: its solver may be busy, or it is
        being restarted and will say its new address soon.

        Raises:
            SolverFault: NODE_UNREACHABLE: the cluster does not answer.
        """
        await self._look()
        serving = [placed for name, placed in self._placed.items() if not self._goes(name)]
        return sorted(serving, key=lambda placed: self._deployment.place(placed.name) or ("", 0))

    async def names(self) -> list[str]:
        """Of all nodes, also of those that wait for a host or are about to go.

        Raises:
            SolverFault: NODE_UNREACHABLE: the cluster does not answer.
        """
        await self._look()
        return sorted(self._actors)

    async def scale(self, target: Mapping[str, int]) -> None:
        """Have `target[region]` nodes in each of its regions; other regions stay as they are.

        Region "" is anywhere. Returns before it is so: nodes that were started may wait for hosts,
        and ones that are too many go in their own time.

        Raises:
            InvalidInput: FIELD_INVALID for no such target; CONFIG_INVALID for a broken key file.
            SolverFault: NODE_UNREACHABLE: the cluster does not answer.
        """
        wanted = check_target(target)
        async with self._scaling:
            await self._look()
            for region, count in wanted.items():
                numbers = self._numbers(region)
                going = {n for n, name in numbers.items() if self._goes(name)}
                staying = sorted(numbers.keys() - going)
                for surplus in (numbers[number] for number in staying[count:]):
                    drain = self._drain(surplus, self._actors[surplus])
                    self._draining[surplus] = asyncio.create_task(drain)
                if len(staying) >= count:
                    self._excuse(region)
                free = (n for n in range(1, 2 * MAX_NODES) if n not in numbers)
                for _ in range(count - len(staying)):
                    await self._start(region, next(free))

    async def drained(self) -> None:
        """Wait until the nodes that `scale` found too many are gone.

        They go by themselves, also where nobody waits.
        """
        await asyncio.gather(*self._draining.values())

    def _excuse(self, region: str) -> None:
        """Forget why nodes that the region no longer needs did not run."""
        for name in self.faults.keys() - self._actors.keys():
            place = self._deployment.place(name)
            if place and place[0] == region:
                del self.faults[name]

    def _goes(self, name: str) -> bool:
        placed = self._placed.get(name)
        return name in self._draining or (placed is not None and placed.draining)

    def _numbers(self, region: str) -> dict[int, str]:
        places = {name: self._deployment.place(name) for name in self._actors}
        return {place[1]: name for name, place in places.items() if place and place[0] == region}

    async def _look(self) -> None:
        """Find all nodes and ask them where they are."""
        await self._find()
        for name, actor in self._actors.items():
            # One question at a time: those to an actor that waits for a host would pile up.
            if name not in self._asked:
                self._asked[name] = asyncio.ensure_future(actor.where.remote())
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=LOOK_SECONDS)
        for name in [name for name, asked in self._asked.items() if asked.done()]:
            self._hear(name, self._asked.pop(name))

    async def _find(self) -> None:
        """Bring the handles up to date with Ray's list of names."""
        namespace = self._deployment.namespace
        known = self._actors.keys() | self._placed.keys()  # what is started meanwhile is not gone
        names = await self._listed()
        for name in known - names:
            self._actors.pop(name, None)
            self._placed.pop(name, None)
            self._meant.pop(name, None)
        for name in [name for name, drain in self._draining.items() if drain.done()]:
            del self._draining[name]
        for name in sorted(names - self._actors.keys()):
            with contextlib.suppress(ValueError):  # gone since it was listed
                self._actors[name] = await _call(partial(ray.get_actor, name, namespace))

    async def _listed(self) -> set[str]:
        listed = await _call(partial(ray.util.list_named_actors, all_namespaces=True))
        return {
            entry["name"]
            for entry in listed
            if entry["namespace"] == self._deployment.namespace
            and self._deployment.place(entry["name"])
        }

    def _hear(self, name: str, answer: "asyncio.Future[Placed]") -> None:
        try:
            placed = checked(answer.result())
            self._check_key(placed)
        except ActorUnavailableError:
            pass  # it is being restarted
        except (RayError, InvalidInput) as error:
            if name not in self._draining:
                self.faults[name] = said(str(error))
            if isinstance(error, RayActorError):
                self._actors.pop(name, None)  # the next look finds the handle of what follows it
        else:
            self.faults.pop(name, None)
            self._placed[name] = placed

    def _check_key(self, placed: Placed) -> None:
        path = self._deployment.keys / f"{placed.name}.key"
        if path.exists() and read_key(path).public_key != placed.public_key:
            raise InvalidInput(
                Reason.PUBLIC_KEY_INVALID, f"{placed.name} shows another key than {path} holds"
            )

    async def _start(self, region: str, number: int) -> None:
        made = self._deployment
        name = made.node(region, number)
        signer = read_or_write_key(made.keys / f"{name}.key")
        options: dict[str, Any] = {
            "name": name,
            "namespace": made.namespace,
            "lifetime": "detached",
            "max_restarts": -1,
            "num_cpus": made.slots,
            "scheduling_strategy": "SPREAD",
        }
        host = await self._host(region)
        if host:
            # Soft: when it is lost, the node is restarted on any other of its region.
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(host, soft=True)
        if region:
            options["resources"] = {f"region:{region}": _UNIT_OF_REGION}
        make = ray.remote(SolverActor).options(**options)
        with contextlib.suppress(ValueError):  # somebody else just started it
            actor = await _call(lambda: make.remote(made.solver, signer, name, region, made.slots))
            self._actors[name] = actor
            self._asked[name] = asyncio.ensure_future(actor.where.remote())
            self._meant[name] = host

    async def _host(self, region: str) -> str:
        """The region's host with the fewest of our slots that has CPUs left for one node more;
        empty where none has: then Ray's autoscaler sees what waits.
        """
        hosts = {
            host["NodeID"]: host["Resources"].get("CPU", 0.0)
            for host in await _call(ray.nodes)
            if host["Alive"] and (not region or f"region:{region}" in host["Resources"])
        }
        used = Counter[str]()
        for name in self._actors:
            placed = self._placed.get(name)
            used[placed.host if placed else self._meant.get(name, "")] += self._deployment.slots
        fitting = [id_ for id_ in hosts if used[id_] + self._deployment.slots <= hosts[id_]]
        return min(fitting, key=lambda id_: (used[id_], id_), default="")

    async def _drain(self, name: str, actor: Any) -> None:
        # One that waits for a host never hears of it, and a solver may keep its process alive.
        with contextlib.suppress(TimeoutError, RayError):
            async with asyncio.timeout(NOTICE_SECONDS + GRACE_SECONDS + 2):
                await actor.drain.remote(NOTICE_SECONDS, GRACE_SECONDS)
        with contextlib.suppress(TimeoutError, SolverFault, ValueError):
            await _call(partial(ray.kill, actor, no_restart=True))
            async with asyncio.timeout(CALL_SECONDS):
                while name in await self._listed():  # noqa: ASYNC110 - Ray has no event for it
                    await asyncio.sleep(0.1)


async def _call(blocking: Callable[[], Any]) -> Any:
    """A call of Ray's, which blocks, in a thread that nothing waits for.

    Raises:
        SolverFault: NODE_UNREACHABLE: the cluster is away, or silent for CALL_SECONDS.
        ValueError: there is no such actor, or there is one already.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: Exception | None) -> None:
        if not answer.done():
            answer.set_result(result) if error is None else answer.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = blocking()
        except Exception as error:  # noqa: BLE001 - it is raised where the call is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="ray-call", daemon=True).start()
    try:
        async with asyncio.timeout(CALL_SECONDS):
            return await answer
    except (RayError, RuntimeError, ConnectionError, TimeoutError) as error:
        why = str(error)[:200] or "it does not answer"
        raise SolverFault(Reason.NODE_UNREACHABLE, f"the Ray cluster is away: {why}") from error
