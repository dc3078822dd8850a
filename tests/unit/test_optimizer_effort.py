"""The optimizer's work is counted: what it finds does not depend on the machine."""

import time

import numpy as np
import pytest
from support.auctions import DAI, ETH, USDC, intent, pool
from support.solver_markets import generated, market, purchase, sale

from walras.sdk import Deadline, Problem, self_check
from walras_solvers.optimizer.search import search
from walras_solvers.optimizer.singles import single_bids
from walras_solvers.programs import PROGRAM, Effort, Program


def program(integer: bool = False) -> Program:
    """Maximise 2a + b with a + b ≤ 1.5 and both in [0, 1]."""
    made = Program()
    columns = made.columns(np.zeros(2), np.ones(2), np.array([2.0, 1.0]), integer=integer)
    rows = made.rows(np.array([-np.inf]), np.array([1.5]))
    made.add(np.repeat(rows, 2), columns, np.ones(2))
    return made


def test_a_part_of_an_effort_is_spent_with_it() -> None:
    whole = Effort(Deadline.after(60), 10 * PROGRAM)
    part = whole.part(3 * PROGRAM)
    part.spend(2 * PROGRAM)
    assert (whole.left, part.left) == (8 * PROGRAM, PROGRAM)
    part.spend(PROGRAM)
    assert part.spent
    assert not whole.spent
    assert whole.part(100 * PROGRAM).left == 7 * PROGRAM


def test_an_effort_ends_with_its_time_less_what_is_kept_for_sending() -> None:
    assert Effort(Deadline.after(0), PROGRAM).spent
    assert Effort(Deadline.after(1), PROGRAM, reserve=2).spent
    deadline = Deadline.after(60)
    effort = Effort(deadline, PROGRAM, reserve=2)
    assert effort.seconds > 0
    deadline.cancel()
    assert effort.spent
    assert effort.seconds == 0


@pytest.mark.parametrize(("integer", "values"), [(False, [1.0, 0.5]), (True, [1.0, 0.0])])
def test_a_program_counts_alike_every_time(integer: bool, values: list[float]) -> None:
    left = set()
    for _ in range(3):
        effort = Effort(Deadline.after(60), 10**9)
        solution = program(integer).solve(effort)
        assert solution is not None
        assert solution.values == pytest.approx(values)
        left.add(effort.left)
    assert len(left) == 1
    assert left.pop() < 10**9 - PROGRAM


def test_nothing_is_solved_without_effort() -> None:
    assert program().solve(Effort(Deadline.after(60), 0)) is None
    assert program().solve(Effort(Deadline.after(0), 10**9)) is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("guess", [0.0, 1.0, 50.0])
def test_sifting_finds_what_the_whole_program_has(seed: int, guess: float) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = 20, 4_000
    made = Program()
    first = made.columns(np.zeros(columns), rng.uniform(0, 2, columns), rng.uniform(0, 1, columns))
    limits = made.rows(np.full(rows, -np.inf), rng.uniform(0, 50, rows))
    for _ in range(3):
        made.add(limits[rng.integers(0, rows, columns)], first, rng.uniform(0, 1, columns))
    whole = made.solve(Effort(Deadline.after(60), 10**9))
    sifted = made.solve(Effort(Deadline.after(60), 10**9), (limits, np.full(rows, guess)))
    assert whole is not None
    assert sifted is not None
    assert sifted.objective == pytest.approx(whole.objective, rel=1e-9)


def test_a_part_of_a_deadline_ends_with_it() -> None:
    whole = Deadline.after(60)
    part = whole.within(30)
    assert 29 < part.remaining() <= 30
    assert whole.within(90).remaining() <= 60
    whole.cancel()
    assert part.passed


def test_a_large_batch_is_sent_soon_and_ends_with_a_hang_up() -> None:
    made = generated(3, 1_000)
    deadline = Deadline.after(60)
    sent = search(made, deadline, 32)
    start = time.monotonic()
    checked = self_check(made, next(sent))
    assert checked is not None
    assert len(checked.surplus) > 1  # no group's own bid, which would take longer to find
    assert time.monotonic() - start < 15
    deadline.cancel()
    start = time.monotonic()
    for proposal in sent:
        assert self_check(made, proposal) is not None
    assert time.monotonic() - start < 3


def split_market() -> Problem:
    """A sale that moves one pool's price by some percent, with three pools as deep."""
    return market(
        {"s": sale("s", 50, 2_700)}, venues=[pool(f"p{i}", depth=1_000) for i in range(3)]
    )


def test_a_group_alone_is_measured_by_what_a_split_brings() -> None:
    made = split_market()
    (bid,) = single_bids(made, Deadline.after(60)).values()
    checked = self_check(made, bid.proposal)
    assert checked is not None
    assert checked.score == bid.score
    assert len({step.venue for step in bid.proposal.executions}) == 3


def test_edges_of_one_size_are_walked_in_their_order() -> None:
    # Pools that are alike carry alike flows; which is reduced first must not need comparing them.
    venues = [pool(f"p{i}", depth=10) for i in range(4)]
    venues += [pool(f"q{i}", depth=10, assets=(ETH, DAI)) for i in range(2)]
    made = market(
        {
            "s": sale("s", 3, 2_500),
            "b": purchase("b", 1, 3_400),
            "d": intent("d", {USDC: -1}, DAI, 900 * 10**18, units=1_000 * 10**6),
        },
        venues=venues,
    )
    for proposal in search(made, Deadline.after(60), 32):
        assert self_check(made, proposal) is not None
