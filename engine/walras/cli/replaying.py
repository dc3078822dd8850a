"""Re-running the auctions of a log with other solvers, or by other rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from walras.auction.batch import SealedBatch
from walras.auction.counterfactual import (
    Earned,
    Entrant,
    counterfactual,
    earned,
    judged_again,
    with_rules,
)
from walras.auction.dispatch import takes
from walras.audit.auctions import LoggedAward, logged_awards
from walras.audit.keys import Signer
from walras.audit.verifier import Source, VerifiedLog
from walras.balance.rules import NodeInfo
from walras.core.errors import InvalidInput, Reason
from walras.sdk.plugins import load
from walras.sdk.solver import Deadline, Solver


@dataclass(frozen=True, slots=True)
class Run:
    """What one solver was given for an auction, and made of it.

    Attributes:
        name: of the solver.
        earned: by its bids.
        proposals: how many it made.
        invalid: number of the proposal and the rule that it breaks.
        fault: what it raised, if it did.
    """

    name: str
    earned: Earned
    proposals: int = 0
    invalid: tuple[tuple[int, str], ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """An auction as it was, and as it would have been.

    Attributes:
        auction_id: its number.
        intents: in its problem.
        score, bound: of the logged award; no selection of its bids scores more than the bound.
        new_score, new_bound: of the other award.
        logged: what the logged solvers made of it as it was.
        others: what they would have made of it.
        entrants: what the new ones would have made of it.
    """

    auction_id: int
    intents: int
    score: int
    bound: int
    new_score: int
    new_bound: int
    logged: tuple[Run, ...]
    others: tuple[Run, ...]
    entrants: tuple[Run, ...]


@dataclass(slots=True)
class _Entry:
    """An entrant at work on one auction."""

    name: str
    entrant: Entrant
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to re-run.

    Attributes:
        solvers: by name, each of which bids beside the logged ones.
        rules: that differ.
        first, last: auctions; a last of 0 is the log's.
        seconds: that a solver has for one auction; 0: as long as the logged ones had.
    """

    solvers: Mapping[str, Solver]
    rules: Mapping[str, object] = field(default_factory=dict)
    first: int = 1
    last: int = 0
    seconds: float = 0.0


def load_solvers(targets: Sequence[str]) -> dict[str, Solver]:
    """Solvers by the names that they were asked for.

    Raises:
        InvalidInput: CONFIG_INVALID: there is no such solver, or one is named twice.
    """
    if len(set(targets)) < len(targets):
        raise InvalidInput(Reason.CONFIG_INVALID, "a solver is named twice")
    return {target: load(target) for target in targets}


def replay(log: VerifiedLog, source: Source, plan: Plan) -> Iterator[Replayed]:
    """The auctions with an award, one after another.

    Raises:
        AuditFailure: the log does not hold.
        InvalidInput: CONFIG_INVALID: a rule cannot be changed.
    """
    for found in logged_awards(log, source):
        number = found.closed.sealed.auction_id
        if number >= plan.first and (not plan.last or number <= plan.last):
            yield _replayed(found, source, plan)


def entrant_key(name: str) -> bytes:
    """Stands for a solver that was not there; the same for the same name."""
    return Signer.from_seed(sha256(f"walras replay {name}".encode()).digest()).public_key


def _replayed(found: LoggedAward, source: Source, plan: Plan) -> Replayed:
    closed = found.closed
    sealed = closed.sealed
    problem = sealed.problem
    rules = with_rules(problem.rules, dict(plan.rules))
    bids = judged_again(closed, rules, source.blob)
    seconds = plan.seconds or (sealed.deadline_ms - problem.sealed_ms) / 1_000
    entries = []
    for name, solver in plan.solvers.items():
        entry = _Entry(name, Entrant(entrant_key(name), rules))
        _solve(entry, solver, sealed, Deadline.after(seconds))
        entries.append(entry)
    everyone = [*bids, *(bid for entry in entries for bid in entry.entrant.scored)]
    made = counterfactual(problem, rules, found.seed, everyone)
    by_key = {one.solver: one for one in earned(made, everyone)}
    names = sealed.solvers
    return Replayed(
        sealed.auction_id,
        len(problem.intents),
        found.award.score,
        found.award.bound,
        made.score,
        made.bound,
        tuple(Run(names[e.solver], e) for e in earned(found.award, closed.scored())),
        tuple(Run(names[e.solver], e) for key, e in by_key.items() if key in names),
        tuple(
            Run(
                entry.name,
                by_key.get(entry.entrant.key, Earned(entry.entrant.key, 0, 0, 0, 0)),
                entry.entrant.proposals,
                tuple(entry.entrant.invalid),
                entry.fault,
            )
            for entry in entries
        ),
    )


def _solve(entry: _Entry, solver: Solver, sealed: SealedBatch, deadline: Deadline) -> None:
    """Ask for the parts that the solver takes, one after another, as a node with one slot would."""
    digests = {place: digest for digest, place in sealed.places.items()}
    try:
        about = solver.describe()
        node = NodeInfo(
            entry.name,
            entry.entrant.key,
            chains=about.chains,
            venue_kinds=about.venue_kinds,
            max_intents=about.max_intents,
            max_venues=about.max_venues,
        )
        for place, part in enumerate(sealed.parts):
            if not takes(node, part):
                continue
            for proposal in solver.solve(part, deadline):
                if deadline.passed:
                    return  # what comes after it is lost
                entry.entrant.propose(part, digests.get(place, sealed.digest), proposal)
    except Exception as error:  # noqa: BLE001 - a guest's failure costs its own bids
        entry.fault = f"{type(error).__name__}: {error}"
