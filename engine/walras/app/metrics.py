"""Metrics for Prometheus: read from the running engine when somebody asks, never kept beside it.

The page is served by a thread; the figures are read in the engine's own loop, so that nothing is
seen half changed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from walras.app.engine import Engine
from walras.app.report import AuctionReport
from walras.core.addresses import check_address
from walras.core.errors import InvalidInput, Reason

log = structlog.get_logger()

READ_SECONDS = 5.0


class EngineCollector(Collector):
    """What an engine shows of itself.

    Args:
        engine: running in the loop that made this.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._auctions = self._bids = self._rejected = self._filled = 0
        self._score = 0
        self._seconds: dict[str, float] = {}
        engine.auctioneer.on_auction.append(self._add)

    def collect(self) -> Iterable[Metric]:
        """All families; called from the serving thread."""

        async def read() -> list[Metric]:
            return list(self._families())

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result(READ_SECONDS)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not wait for the loop that registers."""
        return ()

    def _add(self, report: AuctionReport) -> None:
        self._auctions += 1
        self._bids += report.bids
        self._rejected += report.rejected
        self._filled += report.filled
        self._score += report.score
        for phase, seconds in report.seconds.items():
            self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds

    def _families(self) -> Iterator[Metric]:
        engine = self._engine
        state = engine.sequencer.state
        yield CounterMetricFamily("walras_auctions", "Auctions settled.", self._auctions)
        yield CounterMetricFamily("walras_bids", "Bids received.", self._bids)
        yield CounterMetricFamily("walras_bids_rejected", "Bids rejected.", self._rejected)
        yield CounterMetricFamily("walras_fills", "Fills settled.", self._filled)
        yield CounterMetricFamily("walras_score", "Score units of all awards.", self._score)
        yield CounterMetricFamily("walras_shed", "Intents refused for load.", engine.planner.shed)
        phases = CounterMetricFamily(
            "walras_auction_seconds", "Seconds in auctions, by phase.", labels=["phase"]
        )
        for phase, seconds in sorted(self._seconds.items()):
            phases.add_metric([phase], seconds)
        yield phases
        size = engine.sequencer.tree.size
        yield GaugeMetricFamily("walras_log_entries", "Entries of the log.", size)
        opened = state.book.open_by_owner.total()
        yield GaugeMetricFamily("walras_open_intents", "Open intents.", opened)
        yield from self._fleet()

    def _fleet(self) -> Iterator[Metric]:
        engine = self._engine
        fleet, now = engine.sequencer.state.fleet, engine.sequencer.clock()
        flow = engine.flow.concentration()
        yield GaugeMetricFamily("walras_fleet_version", "Of the logged fleet.", fleet.version)
        panic = int(fleet.standing.panic)
        yield GaugeMetricFamily("walras_fleet_panic", "1 in panic: all are asked.", panic)
        yield GaugeMetricFamily(
            "walras_flow_hhi", "Concentration of won score by group, 0 to 1.", flow.hhi_bps / 10_000
        )
        yield GaugeMetricFamily(
            "walras_flow_gini", "Inequality of won score by group, 0 to 1.", flow.gini_bps / 10_000
        )
        yield GaugeMetricFamily(
            "walras_flow_nakamoto", "Fewest groups with over half of the flow.", flow.nakamoto
        )
        yield GaugeMetricFamily(
            "walras_flow_alarm",
            "1 while the HHI of three or more groups is above its bound.",
            int(flow.alarm),
        )
        labels = ["node", "group", "region"]
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
            "service_us": GaugeMetricFamily(
                "walras_node_service_seconds", "Estimated time of a call.", labels=labels
            ),
            "utilisation_bps": GaugeMetricFamily(
                "walras_node_utilisation", "Calls of late over what its slots do.", labels=labels
            ),
            "wait_us": GaugeMetricFamily(
                "walras_node_wait_seconds", "Expected wait for a slot.", labels=labels
            ),
            "rtt_us": GaugeMetricFamily(
                "walras_node_rtt_seconds", "Quorum's median round trip.", labels=labels
            ),
            "calls": CounterMetricFamily("walras_node_calls", "Calls ended.", labels=labels),
            "errors": CounterMetricFamily("walras_node_errors", "Calls failed.", labels=labels),
            "warmth_bps": GaugeMetricFamily(
                "walras_node_warmth", "Share of its full weight, 0 to 1.", labels=labels
            ),
        }
        scales = dict.fromkeys(("service_us", "rtt_us", "wait_us"), 1e-6)
        scales |= dict.fromkeys(("utilisation_bps", "warmth_bps"), 1e-4)
        states = GaugeMetricFamily(
            "walras_node_state", "1 for its state.", labels=["node", "state"]
        )
        flights = GaugeMetricFamily("walras_node_in_flight", "Calls in flight.", labels=labels)
        for key, info in fleet.nodes.items():
            status = fleet.standing.status(key, now)
            where = [info.name, info.group, info.region]
            for name, family in families.items():
                family.add_metric(where, getattr(status, name) * scales.get(name, 1))
            states.add_metric([info.name, str(status.state)], 1)
            flights.add_metric(where, engine.fleet.in_flight[key])
        yield from families.values()
        yield states
        yield flights


@asynccontextmanager
async def serve_metrics(engine: Engine, listen: str) -> AsyncIterator[str]:
    """Serve `engine`'s metrics over HTTP on `listen` (host:port), at any path, while inside.

    Yields:
        The address served.

    Raises:
        InvalidInput: as `check_address`; CONFIG_INVALID where the port cannot be had.
    """
    host, _, port = check_address(listen).rpartition(":")
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"cannot serve metrics on {listen}: {error.strerror or error}",
            hint="choose another port for `metrics`, or 0 for any",
        ) from error
    address = f"{host}:{server.server_port}"
    log.info("metrics", address=address)
    try:
        yield address
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join, READ_SECONDS)
