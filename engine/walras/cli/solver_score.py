"""What solvers made of the same problems: validity, score, time."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from walras.auction.award import award
from walras.cli.solver_advice import advice_on
from walras.cli.solver_problems import Case
from walras.cli.solver_subject import Finding, Verdict
from walras.cli.solver_trial import Trial
from walras.core.errors import WalrasError

_SEED = bytes(32)  # of ties: they move no score


@dataclass(frozen=True, slots=True)
class Result:
    """How one solver did on one problem.

    Attributes:
        score: of the best selection from its bids alone, in score units.
        earned: what the auction would award it beside all the others: its reward, in score units.
        trial: what it answered.
    """

    score: int
    earned: int
    trial: Trial


@dataclass(frozen=True, slots=True)
class Compared:
    """One problem, and what every solver made of it.

    Attributes:
        case: the problem.
        bound: no bids score more, and no award.
        results: by solver.
    """

    case: Case
    bound: int
    results: Mapping[str, Result]

    def best_of(self, names: Sequence[str]) -> tuple[int, str]:
        """The best score of these solvers, and whose it is; 0 and nobody where none has any."""
        found = [(self.results[name].score, name) for name in names]
        score, name = max(found, key=lambda one: one[0], default=(0, ""))
        return (score, name) if score else (0, "")


@dataclass(slots=True)
class Summary:
    """One solver on all problems.

    Attributes:
        bids, rejected: how many.
        score: over all problems.
        bound, best: of what `score` is a share: the bounds, and the best of the built-in solvers on
            each problem.
        earned: over all problems.
        seconds: that each problem took.
        late: problems that it had not ended by the deadline.
        faults: other ways in which it failed, each once.
    """

    bids: int = 0
    rejected: int = 0
    score: int = 0
    bound: int = 0
    best: int = 0
    earned: int = 0
    seconds: list[float] = field(default_factory=list)
    late: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def median_seconds(self) -> float:
        """0 without problems."""
        return median(self.seconds) if self.seconds else 0.0

    @property
    def p95_seconds(self) -> float:
        """The least time that 95 % of the problems kept; 0 without any."""
        place = math.ceil(0.95 * len(self.seconds)) - 1
        return sorted(self.seconds)[place] if self.seconds else 0.0


def compare(case: Case, bound: int, trials: Mapping[str, Trial]) -> Compared:
    """Score what each solver answered, alone and beside the others."""
    problem = case.problem
    everyone = award(problem, [bid for trial in trials.values() for bid in trial.valid], _SEED)
    rewards = {reward.solver: reward.amount for reward in everyone.rewards}
    results = {}
    for name, trial in trials.items():
        alone = award(problem, trial.valid, _SEED).score
        earned = sum(rewards.get(key, 0) for key in {bid.bid.solver for bid in trial.valid})
        results[name] = Result(alone, earned, trial)
    return Compared(case, bound, results)


def summary(name: str, builtin: Sequence[str], every: Sequence[Compared]) -> Summary:
    """How the solver `name` did on every problem, beside the `builtin` ones."""
    made = Summary()
    for one in every:
        result = one.results[name]
        trial = result.trial
        made.bids += len(trial.bids)
        made.rejected += len(trial.rejected)
        made.score += result.score
        made.earned += result.earned
        made.best += one.best_of(builtin)[0]
        made.bound += one.bound
        made.seconds.append(trial.seconds)
        made.late += trial.late
        if trial.fault is not None and not trial.late and str(trial.fault) not in made.faults:
            made.faults.append(str(trial.fault))
    return made


def rejections(name: str, every: Sequence[Compared]) -> list[tuple[str, WalrasError]]:
    """Each bid of the solver that breaks a rule: the problem's name, and which rule."""
    return [(one.case.name, error) for one in every for error in one.results[name].trial.rejected]


def findings(name: str, every: Sequence[Compared]) -> list[Finding]:
    """What the scored problems show of conformance: valid bids, kept commitments, time."""
    trials = [one.results[name].trial for one in every]
    broken = [error for trial in trials for error in trial.rejected]
    hidden = [error for trial in trials for error in trial.unopened]
    bids = sum(len(trial.bids) for trial in trials)
    found = []
    if broken:
        counts = Counter(error.reason for error in broken)
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
        said, advice = f"{len(broken)} of {bids} are rejected: {reasons}", "see below, one by one"
        found.append(Finding("bids", Verdict.FAILED, said, advice))
    elif not bids:
        advice = "walras solver new NAME writes one that bids"
        found.append(Finding("bids", Verdict.NOTE, "none, on any market", advice))
    else:
        found.append(Finding("bids", Verdict.OK, f"{bids}, all of them valid"))
    commitments = sum(trial.commitments for trial in trials)
    if hidden:
        said = f"{len(hidden)} of {commitments} commitments came to no bid: {hidden[0]}"
        found.append(Finding("sealed", Verdict.FAILED, said, advice_on(hidden[0].reason)))
    elif commitments:
        said = f"{commitments} commitments, each opened to the bid that it hid"
        found.append(Finding("sealed", Verdict.OK, said))
    faults = {str(trial.fault) for trial in trials if trial.fault and not trial.late}
    late = sum(trial.late for trial in trials)
    if faults:
        said = f"it failed: {'; '.join(sorted(faults))}"
        advice = "what it raised is on stderr; run it by itself: walras solver serve"
        found.append(Finding("answers", Verdict.FAILED, said, advice))
    elif late:
        said = f"{late} of {len(trials)} problems were not ended by the deadline"
        advice = "an engine counts each as a timeout, and asks a node with many of them less"
        found.append(Finding("answers", Verdict.NOTE, said, advice))
    else:
        found.append(Finding("answers", Verdict.OK, f"{len(trials)} problems, all ended in time"))
    return found


def percent(part: int, whole: int) -> str:
    """A share, to a hundredth of a percent, rounded down; "—" of nothing."""
    if not whole:
        return "—"
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02} %"
