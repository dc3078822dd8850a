"""Judging a solver: its proposals, by the auction's own rules, on markets without an engine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from walras.auction.award import award
from walras.auction.candidates import ScoredBid
from walras.auction.validity import score_bid
from walras.core.bids import Bid
from walras.core.errors import BidRejected, InvalidInput
from walras.datasets.market import Market, to_intent
from walras.ledger.state import State
from walras.protocol.problem import Problem, Rules
from walras.protocol.records import Credit, Deposit, Genesis, MarketUpdate, RulesSet
from walras.protocol.trade import encode_problem
from walras.sdk.markets import HOUR_MS, demo_signer
from walras.sdk.plugins import load
from walras.sdk.signing import intent_id
from walras.sdk.solver import Deadline

_DOMAIN = "localhost/check"
_OPERATOR = bytes(range(1, 33))
_SOLVER = bytes(range(2, 34))


@dataclass(frozen=True, slots=True)
class Checked:
    """How a solver did on a market.

    Attributes:
        market, solver: names.
        proposals: how many it made.
        invalid: number of the proposal, the rule it breaks, and the numbers.
        score: of the best selection from its proposals alone; digits, for it may be large.
        seconds: it took.
        fault: what it raised, if it did.
    """

    market: str
    solver: str
    proposals: int
    invalid: tuple[tuple[int, str, str], ...]
    score: str
    seconds: float
    fault: str = ""


def check_solver(
    target: str, markets: Mapping[str, tuple[Market, int]], seconds: float
) -> list[Checked]:
    """Run the solver named `target` over markets, each with its time in ms.

    Raises:
        InvalidInput: CONFIG_INVALID if there is no such solver.
    """
    solver = load(target)
    results = []
    for name, (market, now_ms) in markets.items():
        problem = seal_market(market, now_ms)
        digest = sha256(encode_problem(problem)).digest()
        scored: list[ScoredBid] = []
        invalid: list[tuple[int, str, str]] = []
        number, fault = 0, ""
        start = time.perf_counter()
        spent = 0.0
        try:
            solver.describe()
            for number, proposal in enumerate(solver.solve(problem, Deadline.after(seconds)), 1):
                spent = time.perf_counter() - start
                bid = Bid(problem.auction_id, digest, _SOLVER, proposal)
                bid_id = sha256(str(number).encode()).digest()
                try:
                    scored.append(score_bid(problem, digest, bid, bid_id=bid_id, bid_digest=bid_id))
                except BidRejected as error:
                    invalid.append((number, error.reason.value, _with_fields(error)))
        except Exception as error:  # noqa: BLE001 - a guest's failure is what is looked for
            fault = f"{type(error).__name__}: {error}"
        spent = max(spent, time.perf_counter() - start)
        total = award(problem, scored, bytes(32)).score
        results.append(Checked(name, target, number, tuple(invalid), str(total), spent, fault))
    return results


def seal_market(market: Market, now_ms: int) -> Problem:
    """The problem that an engine which holds just this market would seal at `now_ms`."""
    state = State()
    state.begin(Genesis(_DOMAIN, _OPERATOR, (_OPERATOR,), _OPERATOR))
    state.set_rules(RulesSet(market.rules or Rules()))
    state.update_market(
        MarketUpdate(
            _DOMAIN,
            _OPERATOR,
            0,
            assets=market.assets,
            venues=market.venues,
            prices=market.prices,
        )
    )
    credits_ = tuple(
        Credit(demo_signer(account.id).public_key, asset, amount)
        for account in market.accounts
        for asset, amount in account.balances.items()
    )
    state.deposit(Deposit(_DOMAIN, _OPERATOR, 1, credits_))
    for number, wanted in enumerate(market.intents):
        owner = demo_signer(wanted.account).public_key
        try:
            intent = to_intent(
                wanted, _DOMAIN, owner, number, not_before_ms=0, expiry_ms=now_ms + HOUR_MS
            )
            state.submit(intent_id(intent), intent, number)
        except InvalidInput:
            continue  # an engine would refuse it as well; the rest is the problem
    return state.problem(1, now_ms)


def _with_fields(error: BidRejected) -> str:
    numbers = ", ".join(f"{name}={value}" for name, value in sorted(error.fields.items()))
    return f"{error.message} ({numbers})" if numbers else error.message
