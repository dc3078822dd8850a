"""walras replay"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from walras.cli.log_folder import read_log
from walras.cli.output import Json, next_step, print_json, say, show, table, waiting
from walras.cli.replaying import Plan, Replayed, Run, load_solvers
from walras.cli.replaying import replay as replay_log
from walras.core.errors import InvalidInput, Reason

_MAX_RULES_BYTES = 1 << 20


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(replay)


def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="A log folder; see walras export.")],
    solver: Annotated[
        list[str] | None,
        typer.Option(help="Bids beside the logged ones: an installed name, or module:Class."),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="TOML with collar_bps, max_bids or reward_cap, or with [rules]."),
    ] = None,
    auctions: Annotated[str, typer.Option(help="N, or N..M. Unset: all.")] = "",
    solve_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="For one auction; 0: as the logged ones had.")
    ] = 0.0,
    key: Annotated[
        str, typer.Option("--key", "-k", help="The log's verifier key, or a file with it.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Re-run logged auctions with other solvers or rules: what would each have earned?

    The logged bids compete with the new ones. Each auction is taken as it was sealed.
    """
    if not solver and rules is None:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "say what is to be different",
            hint="walras replay LOG --solver optimizer, or --rules FILE",
        )
    first, last = _range(auctions)
    changes = _rules(rules) if rules else {}
    plan = Plan(load_solvers(solver or ()), changes, first, last, solve_seconds)
    source, verified = read_log(log, key)
    with waiting("replaying the auctions"):
        done = list(replay_log(verified, source, plan))
    if not done:
        raise InvalidInput(Reason.NOT_FOUND, "the log has no such auction with an award")
    if as_json:
        print_json({"auctions": [_document(one) for one in done], "total": _total(done)})
        return
    _show(done)
    next_step("walras solver check NAME", "which rules its proposals break")


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9][0-9]{0,17})(?:\.\.([1-9][0-9]{0,17}))?", text)
    if not text:
        return 1, 0
    if not found:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"{text!r} is not a range of auctions", hint="write 7, or 7..12"
        )
    return int(found[1]), int(found[2] or found[1])


def _rules(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            found = tomllib.loads(file.read(_MAX_RULES_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Reason.CONFIG_INVALID, f"{path} is not TOML: {error}") from error
    table_ = found.get("rules", found)
    if not isinstance(table_, dict):
        raise InvalidInput(Reason.CONFIG_INVALID, f"[rules] of {path} is not a table")
    return table_


def _run(run: Run) -> dict[str, object]:
    made: dict[str, object] = {
        "name": run.name,
        "public_key": run.earned.solver.hex(),
        "bids": run.earned.bids,
        "winners": run.earned.winners,
        "score": str(run.earned.score),
        "reward": str(run.earned.reward),
    }
    return made


def _entrant(run: Run) -> dict[str, object]:
    invalid = [{"proposal": number, "reason": reason} for number, reason in run.invalid]
    return {**_run(run), "proposals": run.proposals, "invalid": invalid, "fault": run.fault}


def _document(one: Replayed) -> dict[str, object]:
    return {
        "auction_id": one.auction_id,
        "intents": one.intents,
        "logged": {
            "score": str(one.score),
            "bound": str(one.bound),
            "solvers": [_run(run) for run in one.logged],
        },
        "replayed": {
            "score": str(one.new_score),
            "bound": str(one.new_bound),
            "solvers": [_run(run) for run in one.others],
            "entrants": [_entrant(run) for run in one.entrants],
        },
    }


def _total(done: Sequence[Replayed]) -> dict[str, object]:
    logged = _sums(run for one in done for run in one.logged)
    others = _sums(run for one in done for run in one.others)
    entrants = _sums(run for one in done for run in one.entrants)
    return {
        "auctions": len(done),
        "logged": {"score": str(sum(one.score for one in done)), "solvers": logged},
        "replayed": {
            "score": str(sum(one.new_score for one in done)),
            "solvers": others,
            "entrants": entrants,
        },
    }


def _sums(runs: Iterable[Run]) -> list[dict[str, object]]:
    found: dict[str, list[int]] = {}
    for run in runs:
        sums = found.setdefault(run.name, [0, 0, 0, 0])
        numbers = (run.earned.bids, run.earned.winners, run.earned.score, run.earned.reward)
        found[run.name] = [before + more for before, more in zip(sums, numbers, strict=True)]
    return [
        {"name": name, "bids": bids, "winners": won, "score": str(score), "reward": str(reward)}
        for name, (bids, won, score, reward) in sorted(found.items())
    ]


def _show(done: Sequence[Replayed]) -> None:
    made = table(
        *("auction", "solver", "", "bids", "won", "score", "reward"),
        right="auction bids won score reward",
    )
    for one in done:
        rows = [
            *(("logged", run) for run in one.logged),
            *(("replayed", run) for run in one.others),
            *(("new", run) for run in one.entrants),
        ]
        for what, run in rows:
            numbers = (run.earned.bids, run.earned.winners, run.earned.score, run.earned.reward)
            made.add_row(str(one.auction_id), run.name, what, *map(str, numbers))
    show(made)
    before, after = sum(one.score for one in done), sum(one.new_score for one in done)
    say(f"{len(done)} auctions: score {before} as logged, {after} replayed ({after - before:+d})")
    for one in done:
        for run in one.entrants:
            if run.fault:
                say(f"auction {one.auction_id}: {run.name} failed: {run.fault}")
            if run.invalid:
                reasons = ", ".join(sorted({reason for _, reason in run.invalid}))
                say(f"auction {one.auction_id}: {run.name}: {len(run.invalid)} invalid: {reasons}")
