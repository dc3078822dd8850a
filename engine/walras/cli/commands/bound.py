"""walras bound"""

import json
from pathlib import Path
from typing import Annotated

import typer

from walras.audit.auctions import logged_awards
from walras.cli.bounds import Bounded, duals_of
from walras.cli.log_folder import read_log
from walras.cli.output import Json, next_step, print_json, show, table, waiting
from walras.core.errors import InvalidInput, Reason
from walras.protocol.problem import Problem
from walras.sdk.solver import Deadline
from walras_solvers.bound import Bound, bound_at, score_bound

_MAX_PRICES_BYTES = 64 << 20


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(bound)


def bound(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="A log folder; see walras export.")],
    prices: Annotated[
        Path | None,
        typer.Option(help="What `walras auction --json` printed: computes at those prices alone."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, max=600, help="To look for prices, for each auction.")
    ] = 5.0,
    key: Annotated[
        str, typer.Option("--key", "-k", help="The log's verifier key, or a file with it.")
    ] = "",
    as_json: Json = False,
) -> None:
    """How near logged auctions came to the best that any bids could have made of them."""
    duals = _duals(prices) if prices else None
    source, verified = read_log(log, key)
    done: list[tuple[int, int, Bounded]] = []
    with waiting("replaying the auctions"):
        for found in logged_awards(verified, source):
            sealed = found.closed.sealed
            made = _bound(sealed.problem, duals, seconds)
            bounded = Bounded(found.award.score, made)
            done.append((sealed.auction_id, len(sealed.problem.intents), bounded))
    if not done:
        raise InvalidInput(Reason.NOT_FOUND, "the log has no auction with an award")
    if as_json:
        print_json(
            [
                {"auction_id": number, "intents": intents, "score": one.score, **one.fields()}
                for number, intents, one in done
            ]
        )
        return
    shown = table(
        *("auction", "intents", "score", "bound", "share"),
        right="auction intents score bound share",
    )
    for number, intents, one in done:
        share = "" if one.share is None else f"{one.share:.6f}"
        shown.add_row(str(number), str(intents), str(one.score), str(one.bound.score), share)
    show(shown)
    next_step(f"walras replay {log} --solver NAME", "what another solver would have earned")


def _bound(problem: Problem, duals: dict[str, int] | None, seconds: float) -> Bound:
    if duals is None:
        return score_bound(problem, Deadline.after(seconds))
    try:
        return Bound(bound_at(problem, duals), duals)
    except KeyError as missing:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"the prices have none for {missing.args[0]}",
            hint="give those of the same auction",
        ) from missing


def _duals(path: Path) -> dict[str, int]:
    """Raises InvalidInput: FIELD_INVALID where the file holds none."""
    if path.stat().st_size > _MAX_PRICES_BYTES:
        raise InvalidInput(Reason.FIELD_INVALID, f"{path} is too large to be an auction's JSON")
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        document = None
    duals = duals_of(document) if isinstance(document, dict) else None
    if duals is None:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{path} has no bound_prices",
            hint=f"walras auction MARKET --out DIR --json > {path}",
        )
    return duals
