"""Planning ahead: how much the fleet can take, how large it should be, at what pace to go.

After every auction the load is measured and forecast. From that follow the capacity that admission
keeps to, the number of local nodes, and, where it is configured, batch interval, collar and
fan-out. Each move is logged with its cause by the auctioneer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from walras.app.auctioneer import Auctioneer
from walras.app.config import Config
from walras.app.report import AuctionReport
from walras.app.resizing import Sized
from walras.balance.arrivals import Moments, Volatility
from walras.balance.pace import Signals, Stress, react
from walras.balance.rules import BPS
from walras.balance.scaling import Load, Scale, scale
from walras.balance.shedding import Capacity, Census, admit, capacity
from walras.balance.work import bounded_work
from walras.core.errors import InvalidInput, WalrasError
from walras.fleet.forecast import AdaptiveForecaster, ForecastRules
from walras.ledger.state import State

log = structlog.get_logger()

HALF_LIFE_SECONDS = 300.0
AHEAD = 3
"""Batches that are forecast: a node started now is there by then."""
QUANTILE = 0.9
MAX_REPORTS = 64
SMALL_BATCH = 64
"""Open intents that any fleet is asked to solve: the time of a smaller batch is mostly what every
batch costs, a first call and a round trip, and says little of what one more intent would.
"""
CENSUS_SECONDS = 1.0


class Planner:
    """Follows auctions, and acts between them; `add` is a listener of the auctioneer's.

    Args:
        state: of the engine, looked at only.
        auctioneer: told of a new pace.
        config: of the engine.
        clock: milliseconds since the epoch.
        sized: nodes to start and stop; None where none are.

    Attributes:
        shed: intents refused for load since the start.
        limits: what admission keeps to; None until the cost of an intent is known.
    """

    def __init__(
        self,
        state: State,
        auctioneer: Auctioneer,
        config: Config,
        clock: Callable[[], int],
        sized: Sized | None,
    ) -> None:
        self._state = state
        self._auctioneer = auctioneer
        self._config = config
        self._clock = clock
        self._sized = sized
        self._reports: asyncio.Queue[AuctionReport] = asyncio.Queue(MAX_REPORTS)
        self._last_work = 0.0  # of one intent, as the last batch moved it
        self._work = Moments(HALF_LIFE_SECONDS)
        self._prices: dict[str, tuple[int, Volatility]] = {}
        self._forecaster: AdaptiveForecaster | None = None
        self._scale = Scale(1)
        rules = config.pace_rules()
        self._stress = None if rules is None else Stress(rules.calm)
        self._census: tuple[int, Census] | None = None
        self.shed = 0
        self.limits: Capacity | None = None

    def add(self, report: AuctionReport) -> None:
        """One more auction; where planning lags far behind, it is left out."""
        if not self._reports.full():
            self._reports.put_nowait(report)

    def admit(self, owner: bytes) -> None:
        """Whether an intent of `owner` is taken now.

        Raises:
            InvalidInput: OVERLOADED, by the rule of `walras.balance.shedding`.
        """
        limits, state = self.limits, self._state
        if limits is None or len(state.book.entries) < limits.soft:
            return
        now = self._clock()
        if self._census is None or not 0 <= now - self._census[0] < CENSUS_SECONDS * 1_000:
            self._census = (now, Census(state.book.open_by_owner))
        try:
            admit(self._census[1], state.book.open_by_owner[owner], limits)
        except InvalidInput:
            self.shed += 1
            raise

    def admitted(self, owner: bytes) -> None:
        """An intent of `owner` is in the book: one that was refused after all crowds out nobody."""
        if self._census is not None:
            held = self._state.book.open_by_owner[owner]
            self._census[1].move(held - 1, held)

    async def serve(self) -> None:
        """Plan after every auction, until cancelled."""
        while True:
            report = await self._reports.get()
            now = self._clock() / 1_000
            if report.intents and report.work_us:
                self._last_work = bounded_work(report.work_us / report.intents, self._last_work)
                self._work.add(now, self._last_work)
            if not self._work.mean:
                continue
            copies = max(report.copies, 1)
            interval_ms = max(self._auctioneer.interval_ms, 1)
            load = report.intents * self._work.mean * copies / (interval_ms * 1_000)
            self._plan_capacity(copies, interval_ms)
            if self._stress is None and self._sized is None:
                continue
            # A fit takes a while, and the loop has better things to do.
            volatility_bps = self._volatility(now)
            ahead = await asyncio.to_thread(self._forecast, load, volatility_bps)
            self._plan_pace(ahead, volatility_bps, now)
            await self._plan_size(Load(load, ahead))

    def _forecast(self, load: float, volatility_bps: int) -> float:
        if self._forecaster is None:  # here, as it may have much to load
            rules = ForecastRules(horizons=(AHEAD,), quantiles=(QUANTILE,))
            self._forecaster = AdaptiveForecaster(rules)
        self._forecaster.observe(load, (float(volatility_bps),))
        return self._forecaster.predict(AHEAD, QUANTILE)

    def _slots(self) -> int:
        nodes = self._state.fleet.nodes
        eligible = self._state.fleet.standing.eligible(self._clock())
        return sum(nodes[key].slots for key in eligible)

    def _plan_capacity(self, copies: int, interval_ms: int) -> None:
        self.limits = capacity(
            slots=self._slots(),
            work_us=max(1, int(self._work.mean)),
            fan_out=copies,
            budget_ms=self._config.solve_ms,
            interval_ms=interval_ms,
            least=SMALL_BATCH,
        )

    def _plan_pace(self, ahead: float, volatility_bps: int, now: float) -> None:
        rules = self._config.pace_rules()
        if rules is None or self._stress is None:
            return
        share = self._config.solve_ms / max(self._auctioneer.interval_ms, 1)
        able = max(self._slots(), 1) * min(share, 1.0)
        signals = Signals(min(10**9, int(ahead / able * BPS)), volatility_bps)
        self._stress, moves = react(rules, self._stress, signals, int(now * 1_000))
        if moves:
            for move in moves:
                log.warning("the pace changes", why=move.change.why)
            self._auctioneer.set_pace(self._stress.pace, [move.change for move in moves])

    def _volatility(self, now: float) -> int:
        for asset, price in self._state.market.prices.items():
            known = self._prices.get(asset)
            if known is None or known[0] != price.amount:
                measure = Volatility(HALF_LIFE_SECONDS) if known is None else known[1]
                measure.add(now, float(price.amount))
                self._prices[asset] = (price.amount, measure)
        return max((measure.hourly_bps for _, measure in self._prices.values()), default=0)

    async def _plan_size(self, load: Load) -> None:
        wanted, sized = self._config.scale, self._sized
        if wanted is None or sized is None:
            return
        state = replace(self._scale, nodes=sized.nodes)
        self._scale, change = scale(wanted.rules(sized.slots), state, load, self._clock())
        if change is None:
            return
        log.warning("the fleet's size changes", why=change.why)
        try:
            await sized.resize(self._scale.nodes, change)
        except WalrasError as error:
            log.warning("the fleet's size stays", why=str(error))
