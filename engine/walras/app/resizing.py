"""Making the fleet larger and smaller: plugins on this machine, or nodes on a Ray cluster."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from walras.app.auctioneer import Auctioneer
from walras.balance.events import Change
from walras.fleet.nodes import NodeSpec
from walras.fleet.ray.nodes import RayNodes
from walras.fleet.registry import Fleet


class Sized(Protocol):
    """Nodes whose number can be chosen.

    Attributes:
        nodes: how many are wanted now.
        slots: of each.
    """

    nodes: int
    slots: int

    async def resize(self, nodes: int, reason: Change) -> None:
        """Have so many from now on."""
        ...


class LocalNodes:
    """A configured plugin and clones of it, each a process with a key of its own.

    Args:
        fleet: where they are added and removed.
        auctioneer: clones go between batches, when nothing is asked of them.
        spec: of the plugin.
        keys: folder of the clones' key files.
    """

    def __init__(self, fleet: Fleet, auctioneer: Auctioneer, spec: NodeSpec, keys: Path) -> None:
        self._fleet = fleet
        self._auctioneer = auctioneer
        self._spec = spec
        self._keys = keys
        self.nodes = 1
        self.slots = spec.slots

    async def resize(self, nodes: int, reason: Change) -> None:
        """The configured one stays; clones are numbered from 2."""
        for number in range(self.nodes + 1, nodes + 1):
            name = f"{self._spec.name}-{number}"
            self._fleet.add(
                replace(self._spec, name=name, key_file=self._keys / f"{name}.key"), reason
            )
        for number in range(max(nodes, 1) + 1, self.nodes + 1):
            async with self._auctioneer.idle:
                await self._fleet.remove(f"{self._spec.name}-{number}", reason)
        self.nodes = max(nodes, 1)


class ClusterNodes:
    """Nodes on a Ray cluster, the same number in every region as near as can be.

    Args:
        ray: the deployment.
        regions: their names; one empty name where there are none.
        nodes: to begin with.
        slots: of each.
    """

    def __init__(self, ray: RayNodes, regions: tuple[str, ...], nodes: int, slots: int) -> None:
        self._ray = ray
        self._regions = regions
        self.nodes = nodes
        self.slots = slots

    async def resize(self, nodes: int, reason: Change) -> None:
        """The first regions get one more where the number does not divide."""
        self._ray.reason = reason
        each, more = divmod(nodes, len(self._regions))
        self.nodes = nodes
        await self._ray.scale(
            {region: each + (place < more) for place, region in enumerate(self._regions)}
        )
