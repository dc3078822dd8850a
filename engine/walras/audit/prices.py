"""The reference prices of a sealed problem, computed again from the problem alone (protocol §4).

Whether the feeds in it were made, and are all that were in force, only the log tells; the replay
computes them from there and compares whole problems.
"""

from walras.core.errors import AuditFailure, Reason
from walras.ledger.pricing import limits_of, outside, price
from walras.market.reference import OPERATOR, VENUES
from walras.market.routes import hops_of, venue_prices
from walras.protocol.problem import Problem


def check_prices(problem: Problem) -> None:
    """Recompute every price of a problem, not of a part of one.

    Raises:
        AuditFailure: PRICES_MISMATCH: an input is of no source that the rules admit, or too old; is
            not what the problem's venues show; or the prices are not what the inputs make.
    """
    rules = problem.rules
    if rules.operator_prices:
        if problem.references:
            raise _wrong("the prices are the operator's, but there are inputs")
        return
    sources = {OPERATOR, *(feeder.hex() for feeder in rules.feeders)}
    limits = limits_of(rules)
    shown: dict[str, int] = {}
    for asset, reference in problem.references.items():
        for each in reference.inputs:
            if asset != rules.numeraire and each.source == VENUES:
                shown[asset] = each.amount
                if each.at_ms != problem.sealed_ms:
                    raise _wrong(f"the venues' price of {asset} is of another time")
            elif asset == rules.numeraire or each.source not in sources:
                raise _wrong(f"{asset} has a price of {each.source}, which may say none")
            elif not limits.counts(each.at_ms, problem.sealed_ms):
                raise _wrong(f"what {each.source} says of {asset} is too old, or of the future")
        if reference.last and not rules.max_price_move_bps:
            raise _wrong(f"{asset} has a last price, though no rule caps moves")
    if rules.numeraire:
        hops = (hop for venue in problem.venues.values() for hop in hops_of(venue))
        found = venue_prices(
            hops,
            rules.numeraire,
            problem.references,
            outside({a: each.inputs for a, each in problem.references.items()}, rules),
            rules.min_path_depth,
        )
    else:
        found = {}
    if shown != {asset: found[asset] for asset in found if asset in problem.references}:
        raise _wrong("the venues show other prices")
    if dict(problem.prices) != dict(price(problem.references, rules).prices):
        raise _wrong("the inputs make other prices")


def _wrong(message: str) -> AuditFailure:
    return AuditFailure(Reason.PRICES_MISMATCH, message)
