"""Whole batches: `equilibrium` and `optimizer` on 100 to 10,000 intents with 1,000 pools, and
`equilibrium` on up to 1,000,000 sales without pools, from columns to exact prices and fills.

Every run has a process of its own, started for it, whose peak memory is its own. Seconds are its
CPU time, as other processes may share the machine; what a solver may take is by the wall. Kernels
are compiled or loaded before.
"""

import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from bench.batch_instances import Floats, problem, sales
from walras.sdk import Deadline, Problem, Solver, judged
from walras_solvers.bound import bound_at, score_bound
from walras_solvers.bound.scale import dual
from walras_solvers.equilibrium import Equilibrium
from walras_solvers.equilibrium.bids import marginal_prices
from walras_solvers.equilibrium.sales import Cleared, Sales, clear_sales
from walras_solvers.optimizer import Optimizer

INTENTS, POOLS = (100, 1_000, 10_000), 1_000
SALES = (100, 1_000, 10_000, 100_000, 1_000_000)
SECONDS = 30.0
"""That a solver has for a problem."""

BOUND_SECONDS = 10.0
FIRST, ALL = 1.0, 10.0
"""Aimed at: seconds to the first bid for 10,000 intents, and for 1,000,000 sales."""

Row = tuple[float, ...]


def run() -> None:
    """Print the tables; with `--quick`, without the largest sizes."""
    quick = "--quick" in sys.argv
    print(f"\nBatches of {POOLS:,} pools and 50 assets; at most {SECONDS:.0f} s\n")
    print("| intents | | first bid, s | share of bound | best bid, s | share | filled | MiB |")
    print("|---|---|---|---|---|---|---|---|")
    first = 0.0
    for count in INTENTS[:-1] if quick else INTENTS:
        (bound,) = _alone("bound", count)
        for name in ("equilibrium", "optimizer"):
            early, score, late, best, filled, peak = _alone(name, count)
            print(
                f"| {count:,} | {name} | {early:.2f} | {score / bound:.4f} | {late:.2f} "
                f"| {best / bound:.4f} | {filled:.0f} | {peak:.0f} |",
                flush=True,
            )
            if name == "equilibrium":
                first = early
    _verdict(f"first bid for {count:,} intents", first, FIRST)
    print("\nSales as columns, 50 assets, no pools: exact prices and fills\n")
    print("| sales | s | filled | share of bound | MiB |")
    print("|---|---|---|---|---|")
    for count in SALES[:-1] if quick else SALES:
        seconds, filled, share, peak = _alone("sales", count)
        print(
            f"| {count:,} | {seconds:.2f} | {filled:,.0f} | {share:.6f} | {peak:.0f} |", flush=True
        )
    _verdict(f"prices and fills for {count:,} sales", seconds, ALL)


def _verdict(what: str, seconds: float, aim: float) -> None:
    met = "met" if seconds <= aim else "NOT MET"
    print(f"\n{what}: {seconds:.2f} s, aimed at {aim:.0f} s: {met}")


def _alone(what: str, count: int) -> Row:
    """The figures of one run in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, what, count))
    process.start()
    there.close()
    try:
        row: Row = here.recv()
    finally:
        process.join()
    return row


def _child(pipe: Connection, what: str, count: int) -> None:
    if what == "bound":
        pipe.send((float(_bound_of(problem(count, POOLS))),))
        return
    row = _sales(count) if what == "sales" else _solver(what, count)
    pipe.send((*row, _peak()))


def _bound_of(made: Problem) -> int:
    """The lower of the best bound found in some seconds and those at the equilibrium's prices."""
    prices = marginal_prices(made)
    bounds = [score_bound(made, Deadline.after(BOUND_SECONDS)).score]
    for factor in (0.99, 1.0, 1.01):
        duals = {asset: dual(price * factor * 1e18) for asset, price in prices.items()}
        bounds.append(bound_at(made, duals))
    return min(bounds)


def _peak() -> float:
    """MiB of memory at most. Linux's ru_maxrss of a new process starts with what its parent had."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _solver(name: str, count: int) -> Row:
    """Seconds to the first bid for several groups and its score; the same of the best bid; what it
    fills.
    """
    solver: Solver = Equilibrium() if name == "equilibrium" else Optimizer()
    _drain(solver, problem(20, 5), 2.0)  # compiles what is left
    made = problem(count, POOLS)
    start = time.process_time()
    bids = solver.solve(made, Deadline.after(SECONDS))
    sent = [(time.process_time() - start, proposal) for proposal in bids]
    first = best = (SECONDS, 0.0, 0)
    for seconds, proposal in sent:
        scored = judged(made, proposal)
        row = (seconds, float(scored.score), len(scored.fills))
        if len(scored.surplus) > 1 and not first[1]:
            first = row
        if scored.score > best[1]:
            best = row
    return (*first[:2], *best)


def _drain(solver: Solver, made: Problem, seconds: float) -> None:
    for _ in solver.solve(made, Deadline.after(seconds)):
        pass


def _sales(count: int) -> Row:
    """Seconds, orders filled, share of the bound."""
    clear_sales(sales(200), Deadline.after(10.0))
    made = sales(count)
    start = time.process_time()
    done = clear_sales(made, Deadline.after(120.0))
    seconds = time.process_time() - start
    if done is None:
        raise RuntimeError(f"{count} sales were not cleared")
    share = _score(made, done) / max(_bound(made, done), 1.0)
    return seconds, float((done.filled > 0).sum()), share


def _score(made: Sales, done: Cleared) -> int:
    """What the fills score, as the auction would score them; and that they conserve all assets."""
    score = 0
    left = [0] * len(made.reference)
    for a, b, sold, most, least in zip(
        made.give.tolist(), made.take.tolist(), done.filled.tolist(), made.amount.tolist(),
        made.least.tolist(), strict=True,
    ):  # fmt: skip
        if sold:
            paid = sold * done.prices[a] // done.prices[b]
            surplus = paid + -sold * least // most
            assert surplus >= 0
            score += surplus * made.reference[b] // 10**18
            left[a] += sold
            left[b] -= paid
    assert min(left) >= 0
    return score


def _bound(made: Sales, done: Cleared) -> float:
    """No fills score more, but for rounding in floats.

    With dual prices λ ≥ 0 on conservation, in value at reference prices, a unit of value sold for s
    adds s − w + λ_give − λ_take·s, where w is what its limit asks for. This is linear in s, which
    the collar keeps within 1 ± c, and no order can be bound to add less than nothing. The prices
    that were found give λ, up to a factor.
    """
    reference = np.array(made.reference, float) / 1e18
    size = made.amount * reference[made.give]
    asked = made.least * reference[made.take] / size
    collar = made.collar_bps / 10_000
    low, high = np.maximum(asked, 1 - collar), np.full(len(asked), 1 + collar)

    def at(duals: Floats) -> float:
        give, take = duals[made.give], duals[made.take]
        ends = np.maximum(low - asked - take * low, high - asked - take * high)
        gain = np.where(low <= high, ends + give, 0.0)
        return float((size * np.maximum(gain, 0.0)).sum())

    duals = np.exp(np.array(done.duals))
    return min(at(duals * factor) for factor in np.exp(np.linspace(-0.05, 0.05, 101)))
