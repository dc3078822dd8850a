"""Near nodes first."""

from walras.balance.policies.least_expected_delay import LeastExpectedDelay
from walras.balance.rest import PerPool, Rest
from walras.balance.view import Draw, NodeView, Pool, Request


class Geographic:
    """The least expected delay of the request's own region; another region's only where

        local wait + service  >  remote wait + service + the longer round trip.

    `NodeView.expected_us` holds a node's own round trip already, so the rule is to compare the
    two as they stand: nothing is added. Strictly greater: equals stay local. Round trips are from
    the router, which should stand where its requests come from. One that no quorum has measured
    counts as 0; the service estimate of such a node, which its router measured from sending to the
    end, then holds what the way takes.

    With no region in the request, or no node there, this is least expected delay over all. As
    Envoy's zone aware routing, decided per request. Source: Envoy, Zone aware routing.

    Args:
        sample: candidates from each side, ≥ 1.
    """

    def __init__(self, *, sample: int = 3) -> None:
        self._sample = sample
        self._far: PerPool[dict[str, Pool]] = PerPool(lambda _: {})
        self._within: dict[str, LeastExpectedDelay] = {}

    def pick(self, pool: Pool, request: Request, draw: Draw) -> NodeView:
        near = pool.regions.get(request.region) if request.region else None
        if near is None or len(near) == len(pool):
            return self._least("", pool, request, draw)
        local = self._least(f"in {request.region}", near, request, draw)
        far = self._others(pool, near, request.region)
        remote = self._least(f"outside {request.region}", far, request, draw)
        return remote if local.expected_us > remote.expected_us else local

    def _least(self, where: str, pool: Pool, request: Request, draw: Draw) -> NodeView:
        if where not in self._within:
            self._within[where] = LeastExpectedDelay(sample=self._sample)
        return self._within[where].pick(pool, request, draw)

    def _others(self, pool: Pool, near: Pool, region: str) -> Pool:
        if isinstance(pool, Rest):
            return Rest(pool, near.nodes)
        far = self._far(pool)
        if region not in far:
            far[region] = pool.without(node.key for node in near.nodes)
        return far[region]
