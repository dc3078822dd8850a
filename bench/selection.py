"""Winner selection: time to a proven optimum, and to its certificate, against CP-SAT and SCIP.

Each figure is the best of some repetitions, as other processes can only slow one down; of several
instances of a kind, the median. All solvers run in one thread, and everything from the bids on
counts: building models, as much as building arrays. A selection without a certificate looks at the
leading bits of weights, and calculates the ties only where they reach into these, or where bids for
one place score the same; with its certificate, and in verifying it, all ties count.
"""

import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from ortools.linear_solver import pywraplp
from ortools.sat.python import cp_model

from bench.selection_markets import CATS, Balances, Bids, small_auction, solver_auction
from walras.auction.candidates import ScoredBid
from walras.auction.certificate import check_tree
from walras.auction.components import components, tie
from walras.auction.search import warm
from walras.auction.selection import choose, select
from walras.protocol.certificate import Certificate, decode_certificate, encode_certificate

TARGETS = {200: 0.85, 1_000: 4.5, 5_000: 75.0}
"""Bids of a solver auction → ms for the selection; three times that with its certificate."""

SEEDS = range(3)
SEED = bytes(32)
PATIENCE = 30.0
"""Seconds after which CP-SAT and SCIP give up."""

SMALL = 10_000
"""Small auctions that are compared with an exhaustive search."""


@dataclass(frozen=True)
class Measured:
    """Of one instance: milliseconds, and bytes of the certificate."""

    selection: float
    certified: float
    verified: float
    size: int
    settled: bool
    cp_sat: float
    scip: float


def best_ms(call: Callable[[], object], times: int) -> float:
    """Milliseconds of the fastest of some calls."""
    return min(timeit.repeat(call, number=1, repeat=times)) * 1_000


def measure(made: Bids, times: int) -> Measured:
    bids, balances = made
    selection = select(bids, balances, SEED)
    body = encode_certificate(Certificate(selection.trees))

    def verify() -> None:
        trees = iter(decode_certificate(body).trees)
        for component in components(bids, balances, SEED):
            if len(component.places) > 1:
                check_tree(component, next(trees))

    results: list[int] = []
    found = Measured(
        selection=best_ms(lambda: choose(components(bids, balances, SEED)), times),
        certified=best_ms(
            lambda: encode_certificate(Certificate(select(bids, balances, SEED).trees)), times
        ),
        verified=best_ms(verify, times),
        size=len(body),
        settled=selection.settled,
        cp_sat=best_ms(lambda: results.append(cp_sat(bids, balances)), max(1, times // 3)),
        scip=best_ms(lambda: results.append(scip(bids, balances)), max(1, times // 3)),
    )
    if selection.settled:
        # Both calculate in floating point, to a relative 10^-9 here.
        assert all(abs(total - selection.total) <= selection.total * 1e-6 for total in results)
    return found


def _constraints(
    bids: Sequence[ScoredBid], balances: Balances
) -> tuple[list[list[int]], list[tuple[list[tuple[int, int]], int]]]:
    """Sets of which one bid may win; spends from accounts that all bids together overspend."""
    rows: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    accounts: defaultdict[tuple[bytes, str], list[tuple[int, int]]] = defaultdict(list)
    for i, bid in enumerate(bids):
        for group in bid.surplus:
            rows["group", group].append(i)
        for venue in bid.venues:
            rows["venue", venue].append(i)
        for account, spent in bid.spends.items():
            accounts[account].append((i, spent))
    budgets = [
        (those, balances[account])
        for account, those in accounts.items()
        if sum(spent for _, spent in those) > balances[account]
    ]
    return [row for row in rows.values() if len(row) > 1], budgets


def cp_sat(bids: Sequence[ScoredBid], balances: Balances) -> int:
    """The greatest total by plain CP-SAT, one worker."""
    rows, budgets = _constraints(bids, balances)
    model = cp_model.CpModel()
    x = [model.new_bool_var("") for _ in bids]
    for row in rows:
        model.add_at_most_one([x[i] for i in row])
    for those, balance in budgets:
        d = max(0, sum(spent for _, spent in those).bit_length() - 60)
        spends = [spent >> d for _, spent in those]
        total = cp_model.LinearExpr.weighted_sum([x[i] for i, _ in those], spends)
        model.add(total <= balance >> d)
    model.maximize(cp_model.LinearExpr.weighted_sum(x, [bid.score for bid in bids]))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.relative_gap_limit = 0
    solver.parameters.max_time_in_seconds = PATIENCE
    solver.solve(model)
    return round(solver.objective_value)


def scip(bids: Sequence[ScoredBid], balances: Balances) -> int:
    """The greatest total by plain SCIP."""
    rows, budgets = _constraints(bids, balances)
    solver = pywraplp.Solver.CreateSolver("SCIP")
    solver.SetTimeLimit(int(PATIENCE * 1_000))
    x = [solver.BoolVar("") for _ in bids]
    for row in rows:
        constraint = solver.Constraint(-solver.infinity(), 1)
        for i in row:
            constraint.SetCoefficient(x[i], 1)
    for those, balance in budgets:
        constraint = solver.Constraint(-solver.infinity(), 1)
        for i, spent in those:
            constraint.SetCoefficient(x[i], spent / balance)
    objective = solver.Objective()
    for i, bid in enumerate(bids):
        objective.SetCoefficient(x[i], bid.score)
    objective.SetMaximization()
    parameters = pywraplp.MPSolverParameters()
    parameters.SetDoubleParam(pywraplp.MPSolverParameters.RELATIVE_MIP_GAP, 1e-9)
    solver.Solve(parameters)
    return round(objective.Value())


def compare(auctions: int) -> int:
    """Small auctions, with many ties and great amounts, against all sets of bids; how many."""
    for seed in range(auctions):
        bids, balances = small_auction(seed)
        selection = select(bids, balances, SEED)
        weight, ids = _exhaustive(bids, balances, 0, frozenset(), balances)
        assert [bid.id for bid in selection.winners] == sorted(ids), seed
        assert selection.settled, seed
        assert selection.total == selection.bound == weight[0], seed
    return auctions


def _exhaustive(
    bids: Sequence[ScoredBid],
    balances: Balances,
    at: int,
    used: frozenset[tuple[str, str]],
    left: Balances,
) -> tuple[tuple[int, int], list[bytes]]:
    """Score and tie of the best set of the bids from `at` on, and its ids."""
    if at == len(bids):
        return (0, 0), []
    bid = bids[at]
    best = _exhaustive(bids, balances, at + 1, used, left)
    uses = {("group", name) for name in bid.surplus} | {("venue", name) for name in bid.venues}
    after = {account: left[account] - spent for account, spent in bid.spends.items()}
    if used.isdisjoint(uses) and min(after.values(), default=0) >= 0:
        (score, ties), ids = _exhaustive(bids, balances, at + 1, used | uses, left | after)
        best = max(best, ((score + bid.score, ties + tie(SEED, bid.id)), [*ids, bid.id]))
    return best


def run() -> None:
    """Print the tables."""
    start = time.perf_counter()
    warm()
    print(f"\nSelection; the kernels were ready after {time.perf_counter() - start:.1f} s\n")
    columns = ("bids", "select", "certified", "verify", "bytes", "proven", "CP-SAT", "SCIP")
    print(f"{'ms':<16}" + "".join(f"{name:>11}" for name in columns))
    verdicts = []
    for size, target in TARGETS.items():
        times = 9 if size < 5_000 else 5
        rows = [measure(solver_auction(size, seed), times) for seed in SEEDS]
        row = _print("solver auction", size, rows)
        for name, ms, aim in (
            ("selection", row.selection, target),
            ("with certificate", row.certified, 3 * target),
        ):
            verdict = "met" if ms <= aim else "NOT MET"
            verdicts.append(f"{size:,} bids, {name}: {ms:.2f} ms of {aim:.2f}: {verdict}")
    for name, make in CATS.items():
        _print(name, 200, [measure(make(200, seed), 1) for seed in SEEDS])
        _print(name, 1_000, [measure(make(1_000, 0), 1)])
    print("\n" + "\n".join(verdicts))
    print(f"{compare(SMALL):,} small random auctions: the same winners as by trying every set")


def _print(name: str, size: int, rows: Sequence[Measured]) -> Measured:
    row = Measured(
        median(row.selection for row in rows),
        median(row.certified for row in rows),
        median(row.verified for row in rows),
        int(median(row.size for row in rows)),
        all(row.settled for row in rows),
        median(row.cp_sat for row in rows),
        median(row.scip for row in rows),
    )
    proven = f"{sum(row.settled for row in rows)}/{len(rows)}"
    print(
        f"{name:<16}{size:>11,}{row.selection:>11.2f}{row.certified:>11.2f}{row.verified:>11.2f}"
        f"{row.size:>11,}{proven:>11}{row.cp_sat:>11.1f}{row.scip:>11.1f}",
        flush=True,
    )
    return row
