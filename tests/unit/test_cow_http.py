"""A CoW engine over HTTP: honest, wrong, busy, away and late."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from threading import Timer
from typing import Any

import pytest
from support.auctions import USDC
from support.cow_engine import cow_engine, solve
from support.cow_markets import two_orders
from support.solver_markets import best, bids, generated, market

from walras.core.errors import InvalidInput
from walras.protocol.problem import Rules
from walras.sdk import Deadline
from walras_solvers.cow_adapter import (
    CowAdapter,
    TokenInfo,
)


def adapter(url: str) -> CowAdapter:
    return CowAdapter(url, {USDC: TokenInfo("USDC", 6)})


def test_an_engine_over_http() -> None:
    with cow_engine() as engine:
        solver = adapter(engine.url)
        assert len(bids(solver, two_orders())) == 3  # each is valid, or this raises
        assert best(solver, two_orders()).score > 0
        assert not bids(solver, market({}))  # nobody is asked where there is no order
        assert (solver.counts.asked, solver.counts.failed, solver.counts.proposed) == (2, 0, 6)
        assert len(engine.auctions) == 2
        due = datetime.fromisoformat(engine.auctions[0]["deadline"])
        assert 5 < (due - datetime.now(UTC)).total_seconds() < 20


def test_generated_markets() -> None:
    """Venues and intents of every kind: what is shown makes sense to an engine, bids are valid."""
    with cow_engine() as engine:
        solver = CowAdapter(engine.url)
        for seed in range(3):
            assert bids(solver, generated(seed, 60))
    assert solver.counts.failed == 0
    assert solver.counts.refused.keys() <= {"SCORE_NOT_POSITIVE", "COLLAR_BROKEN"}


def test_no_more_bids_than_the_rules_take() -> None:
    with cow_engine() as engine:
        few = replace(two_orders(), rules=Rules(max_bids=2))
        assert len(bids(adapter(engine.url), few)) == 2


def test_refusals_are_counted() -> None:
    def respond(auction: dict[str, Any]) -> dict[str, Any]:
        first, *rest = solve(auction)["solutions"]
        wrong = {"id": 9, "prices": {}, "trades": [], "interactions": [{"kind": "custom"}]}
        return {"solutions": [{}, "no", first, wrong, *rest]}

    with cow_engine(respond) as engine:
        solver = adapter(engine.url)
        assert len(bids(solver, two_orders())) == 3
        assert solver.counts.refused == {"SOLUTION_MALFORMED": 2, "CUSTOM_INTERACTION": 1}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"solutions": {}}',
        b'{"solutions": [' + b"[" * 100_000,
        b'{"solutions": [' + b"9" * 100_000 + b"]}",
        b'{"error": {"code": "insufficientLiquidity"}}',
        b'{"solutions": []}' + b" " * (16 << 20),
    ],
    ids=range(10),
)
def test_answers_that_are_none(answer: bytes) -> None:
    with cow_engine(lambda _: answer) as engine:
        solver = adapter(engine.url)
        assert not bids(solver, two_orders())
        assert (solver.counts.asked, solver.counts.failed) == (1, 1)


def test_an_engine_that_is_busy_or_away() -> None:
    with cow_engine(status=429) as engine:
        solver = adapter(engine.url)
        assert not bids(solver, two_orders())
        assert solver.counts.failed == 1
    assert not bids(solver, two_orders())
    assert solver.counts.failed == 2


def test_an_engine_that_is_late() -> None:
    """Nobody waits beyond the deadline, nor where it is moved forward meanwhile."""

    def respond(auction: dict[str, Any]) -> dict[str, Any]:
        time.sleep(1.5)
        return solve(auction)

    with cow_engine(respond) as engine:
        begun = time.monotonic()
        assert not bids(adapter(engine.url), two_orders(), 0.3)
        deadline = Deadline.after(20)
        found = adapter(engine.url).solve(two_orders(), deadline)
        Timer(0.2, deadline.cancel).start()
        assert not list(found)
        assert time.monotonic() - begun < 1.3


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://host", "http://user@host"])
def test_urls(url: str) -> None:
    with pytest.raises(InvalidInput):
        CowAdapter(url)
