"""What `walras solver check` found, as a document and for people."""

from collections import defaultdict
from collections.abc import Sequence

from walras.cli.output import say, show, table, title
from walras.cli.solver_advice import advice_on
from walras.cli.solver_checking import Checked
from walras.cli.solver_score import Compared, Summary, percent, rejections, summary
from walras.core.errors import WalrasError

_SHOWN = 3
"""Rejected bids for each rule; --json has them all."""


def document(checked: Checked) -> dict[str, object]:
    """All of it, for --json. Scores and amounts are digits: they may be large."""
    return {
        "solver": checked.target,
        "public_key": checked.public_key.hex(),
        "ok": checked.ok,
        "builtin": list(checked.builtin),
        "checks": [
            {"check": f.check, "verdict": f.verdict, "said": f.said, "advice": f.advice}
            for f in checked.findings
        ],
        "summary": {
            name: _summary(summary(name, checked.builtin, checked.compared))
            for name in (checked.target, *checked.builtin)
        },
        "markets": [_market(one, checked.builtin) for one in checked.compared],
        "rejected": [
            {"market": market, **_error(error)}
            for market, error in rejections(checked.target, checked.compared)
        ],
    }


def print_report(checked: Checked) -> None:
    """All of it, for people; of many rejected bids the first few for each rule."""
    made = table("check", "", "what was seen")
    for found in checked.findings:
        made.add_row(found.check, found.verdict, found.said)
        if found.advice:
            made.add_row("", "", f"→ {found.advice}")
    show(made)
    if checked.compared:
        say()
        _print_markets(checked)
        say()
        _print_solvers(checked)
    _print_rejected(rejections(checked.target, checked.compared))


def _print_markets(checked: Checked) -> None:
    made = table(
        *("market", "intents", "venues", "kinds", "bids", "rejected", "seconds"),
        *("score", "of bound", "of best", "best"),
        right="intents venues kinds bids rejected seconds score of_bound of_best",
    )
    for one in checked.compared:
        result, problem = one.results[checked.target], one.case.problem
        best, whose = one.best_of(checked.builtin)
        trial = result.trial
        made.add_row(
            *(one.case.name, str(len(problem.intents)), str(len(problem.venues))),
            *(str(len(one.case.kinds)), str(len(trial.bids)), str(len(trial.rejected))),
            f"{trial.seconds:.2f}{' late' if trial.late else ''}",
            *(str(result.score), percent(result.score, one.bound), percent(result.score, best)),
            whose or "—",
        )
    show(made)


def _print_solvers(checked: Checked) -> None:
    made = table(
        *("solver", "bids", "rejected", "of bound", "of best", "earned"),
        *("median s", "p95 s", "late"),
        right="bids rejected earned late",
    )
    for name in (checked.target, *checked.builtin):
        one = summary(name, checked.builtin, checked.compared)
        made.add_row(
            *(name, str(one.bids), str(one.rejected), percent(one.score, one.bound)),
            *(percent(one.score, one.best), str(one.earned)),
            *(f"{one.median_seconds:.2f}", f"{one.p95_seconds:.2f}", str(one.late)),
        )
    show(made)
    say("score: what the auction would award if this solver alone had bid, in score units")
    say("of bound: no bids can score more than the bound, and few can score as much")
    say("of best: of the best of the built-in solvers")
    say("earned: its rewards where it bids beside all of them")


def _print_rejected(rejected: Sequence[tuple[str, WalrasError]]) -> None:
    by_rule: defaultdict[str, list[tuple[str, WalrasError]]] = defaultdict(list)
    for market, error in rejected:
        by_rule[error.reason].append((market, error))
    for reason, broken in sorted(by_rule.items()):
        say()
        title(f"{reason}: {len(broken)} rejected")
        for market, error in broken[:_SHOWN]:
            numbers = ", ".join(f"{name}={value}" for name, value in sorted(error.fields.items()))
            say(f"  {market}: {error.message}{f' ({numbers})' if numbers else ''}")
        if len(broken) > _SHOWN:
            say(f"  and {len(broken) - _SHOWN} more: see --json")
        say(f"  → {advice_on(broken[0][1].reason)}")


def _summary(one: Summary) -> dict[str, object]:
    return {
        "bids": one.bids,
        "rejected": one.rejected,
        "score": str(one.score),
        "share_of_bound": _share(one.score, one.bound),
        "share_of_best": _share(one.score, one.best),
        "earned": str(one.earned),
        "median_seconds": round(one.median_seconds, 4),
        "p95_seconds": round(one.p95_seconds, 4),
        "late": one.late,
        "faults": one.faults,
    }


def _market(one: Compared, builtin: Sequence[str]) -> dict[str, object]:
    best, whose = one.best_of(builtin)
    return {
        "market": one.case.name,
        "intents": len(one.case.problem.intents),
        "venues": len(one.case.problem.venues),
        "kinds": list(one.case.kinds),
        "bound": str(one.bound),
        "best": str(best),
        "best_of": whose,
        "results": [
            {
                "solver": name,
                "bids": len(result.trial.bids),
                "rejected": len(result.trial.rejected),
                "score": str(result.score),
                "share_of_bound": _share(result.score, one.bound),
                "share_of_best": _share(result.score, best),
                "earned": str(result.earned),
                "seconds": round(result.trial.seconds, 4),
                "late": result.trial.late,
                "fault": str(result.trial.fault or ""),
            }
            for name, result in one.results.items()
        ],
    }


def _error(error: WalrasError) -> dict[str, object]:
    return {
        "reason": error.reason,
        "message": error.message,
        "fields": dict(error.fields),
        "advice": advice_on(error.reason),
    }


def _share(part: int, whole: int) -> float | None:
    """Rounded to six digits; None of nothing."""
    return round(part / whole, 6) if whole else None
