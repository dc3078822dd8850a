"""Validity and score of one bid (protocol §5).

A bid comes from a stranger. The rules are checked in a fixed order, cheap ones first, and the first
one that is broken is the reason, so that whoever replays a rejection finds the same numbers:

1. the auction and the problem it is for, and how many executions it has;
2. its fills, in their order: known, not repeated, a permitted number of units;
3. its prices, by asset: one for all that a fill touches; then, none for what neither a fill nor an
   execution touches, and each in range;
4. the settlement of each fill, in their order: its range, the owner's limit, the collar;
5. the owners' balances, by owner and asset;
6. its executions, in their order, on the sealed venue states;
7. conservation, by asset;
8. the score.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from walras.auction.candidates import ScoredBid
from walras.core.amounts import AMOUNT_LIMIT
from walras.core.bids import Bid, Execution, Fill, Proposal, SettledFill
from walras.core.errors import BidRejected, Reason, SwapError
from walras.core.intents import Intent, least_fill, settlement, surplus
from walras.market.kinds import AnyVenue, Concentrated
from walras.protocol.problem import ATOMS_PER_PRICE, SCORE_LIMIT, OpenIntent, Problem

BPS = 10_000

MAX_EXECUTIONS = 4_096
"""Of one bid. What a stranger can make the engine, and every auditor, compute has a bound."""

MAX_STEPS = 1 << 15
"""That the executions of one bid take on concentrated pools; one swap may take a third of them."""


@dataclass(slots=True)
class _Tally:
    """What a bid moves, as it is added up.

    Attributes:
        fills: with their settlements.
        surplus: group → score units.
        spends: (owner, asset) → atoms given, gross.
        pool: asset → atoms that owners and venues gave less what they received.
    """

    fills: list[SettledFill] = field(default_factory=list)
    surplus: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    spends: defaultdict[tuple[bytes, str], int] = field(default_factory=lambda: defaultdict(int))
    pool: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


def score_bid(
    problem: Problem, digest: bytes, bid: Bid, *, bid_id: bytes, bid_digest: bytes
) -> ScoredBid:
    """What the bid settles and scores, if it keeps every rule.

    Args:
        problem: sealed; every asset of its intents has a reference price.
        digest: SHA-256 of the problem's bytes.
        bid: with amounts below 2^255 in magnitude.
        bid_id: SHA-256 over the bid's PAE.
        bid_digest: SHA-256 of the bid's envelope.

    Raises:
        BidRejected: the first broken rule, in the order above, with the numbers that broke it.
    """
    _check_address(problem, digest, bid)
    proposal = bid.proposal
    opened = _filled_intents(problem, proposal.fills)
    _check_prices(proposal, opened)
    tally = _settle(problem, proposal, opened)
    _check_balances(problem, tally.spends)
    venues, cost = _execute(problem, proposal.executions, tally.pool)
    _check_conservation(tally.pool)
    score = _score(tally.surplus.values(), cost)
    return ScoredBid(
        id=bid_id,
        digest=bid_digest,
        bid=bid,
        score=score,
        fills=tuple(tally.fills),
        surplus=dict(tally.surplus),
        spends=dict(tally.spends),
        venues=venues,
        leftover={asset: amount for asset, amount in tally.pool.items() if amount},
    )


def exchanged_values(problem: Problem, changes: Iterable[tuple[str, int]]) -> tuple[int, int]:
    """What is given and what is received, both ≥ 0, at reference prices.

    In score units times 10^18: nothing is rounded.

    Args:
        problem: whose prices count.
        changes: (asset, atoms), + received, − given; every asset has a price.
    """
    given = received = 0
    for asset, change in changes:
        worth = change * problem.prices[asset].amount
        if worth > 0:
            received += worth
        else:
            given -= worth
    return given, received


def in_collar(problem: Problem, given: int, received: int) -> bool:
    """G > 0 and |R − G| · 10,000 ≤ collar_bps · G, for values given and received."""
    return given > 0 and abs(received - given) * BPS <= problem.rules.collar_bps * given


def _check_address(problem: Problem, digest: bytes, bid: Bid) -> None:
    if bid.auction_id != problem.auction_id:
        raise BidRejected(
            Reason.AUCTION_WRONG,
            f"the bid is for auction {bid.auction_id}, not {problem.auction_id}",
            auction_id=bid.auction_id,
            expected=problem.auction_id,
        )
    if bid.problem_digest != digest:
        raise BidRejected(
            Reason.DIGEST_WRONG,
            "the bid is for another problem than the sealed one",
            problem_digest=bid.problem_digest.hex(),
            expected=digest.hex(),
        )
    executions = len(bid.proposal.executions)
    if executions > MAX_EXECUTIONS:
        raise BidRejected(
            Reason.EXECUTION_LIMIT,
            f"a bid has at most {MAX_EXECUTIONS} executions, not {executions}",
            executions=executions,
            limit=MAX_EXECUTIONS,
        )


def _filled_intents(problem: Problem, fills: Sequence[Fill]) -> list[OpenIntent]:
    """The intents that `fills` fill, in the same order."""
    if not fills:
        raise BidRejected(Reason.BID_EMPTY, "the bid fills nothing")
    opened: dict[bytes, OpenIntent] = {}
    for fill in fills:
        name = fill.intent_id
        found = problem.intents.get(name)
        if found is None:
            raise BidRejected(
                Reason.FILL_UNKNOWN_INTENT,
                f"intent {name.hex()} is not in the problem",
                intent=name.hex(),
            )
        if name in opened:
            raise BidRejected(
                Reason.FILL_DUPLICATE, f"intent {name.hex()} is filled twice", intent=name.hex()
            )
        units, remaining = fill.units, found.remaining
        # All that remain may always be filled, and mostly are.
        if units != remaining and not least_fill(found.intent, remaining) <= units <= remaining:
            least = least_fill(found.intent, remaining)
            raise BidRejected(
                Reason.FILL_UNITS,
                f"{units} units are not between {least} and {remaining}",
                intent=name.hex(),
                units=units,
                least=least,
                remaining=remaining,
            )
        opened[name] = found
    return list(opened.values())


def _check_prices(proposal: Proposal, opened: Sequence[OpenIntent]) -> None:
    """Every asset of a fill is priced, and nothing that the bid does not touch.

    A stray price would change no outcome but the bid's id, and with it the bid's luck in a tie.
    """
    filled = {found.intent.settlement_asset for found in opened}
    filled.update([leg.asset for found in opened for leg in found.intent.legs])
    swapped = {asset for ex in proposal.executions for asset in (ex.asset_in, ex.asset_out)}
    for asset in sorted(filled - proposal.prices.keys()):
        raise BidRejected(Reason.PRICE_MISSING, f"there is no price for {asset}", asset=asset)
    for asset, price in sorted(proposal.prices.items()):
        if asset not in filled and asset not in swapped:
            raise BidRejected(
                Reason.PRICE_INVALID,
                f"{asset} is priced, but no fill and no execution touches it",
                asset=asset,
                price=price,
            )
        if not 0 < price < AMOUNT_LIMIT:
            raise BidRejected(
                Reason.PRICE_INVALID,
                f"the price of {asset} must be at least 1 and below 2^255",
                asset=asset,
                price=price,
            )


def _settle(problem: Problem, proposal: Proposal, opened: Sequence[OpenIntent]) -> _Tally:
    """Derive the settlement of each fill, check it for its owner, and add all up."""
    tally = _Tally()
    gains, spends, pool = tally.surplus, tally.spends, tally.pool
    prices, references = proposal.prices, problem.prices
    # Looked up once for each asset, not for each fill.
    worth = {asset: references[asset].amount for asset in prices if asset in references}
    for fill, found in zip(proposal.fills, opened, strict=True):
        intent, units = found.intent, fill.units
        owner, currency = intent.owner, intent.settlement_asset
        settled = settlement(intent, units, prices)
        gain = _checked_gain(problem, fill, intent, settled)
        changes = [(leg.asset, leg.quantity * units) for leg in intent.legs]
        changes.append((currency, settled))
        given = received = 0
        for asset, change in changes:
            pool[asset] -= change
            if change < 0:
                spends[owner, asset] -= change
                given -= change * worth[asset]
            else:
                received += change * worth[asset]
        if not in_collar(problem, given, received):
            raise _outside_collar(problem, fill, given, received)
        gains[intent.group] += gain * worth[currency] // ATOMS_PER_PRICE
        tally.fills.append(SettledFill(fill.intent_id, units, settled))
    return tally


def _checked_gain(problem: Problem, fill: Fill, intent: Intent, settled: int) -> int:
    """Atoms above the owner's limit, of a settlement that is in range and not below it."""
    if not -AMOUNT_LIMIT < settled < AMOUNT_LIMIT:
        raise BidRejected(
            Reason.AMOUNT_OUT_OF_RANGE,
            f"the settlement of intent {fill.intent_id.hex()} is not below 2^255 in magnitude",
            intent=fill.intent_id.hex(),
            settlement=settled,
        )
    gain = surplus(intent, fill.units, settled, intent.limit_at(problem.sealed_ms))
    if gain < 0:  # exactly where settled · N < units · limit
        raise BidRejected(
            Reason.LIMIT_BROKEN,
            f"intent {fill.intent_id.hex()} settles for {settled}, {-gain} below its limit",
            intent=fill.intent_id.hex(),
            units=fill.units,
            settlement=settled,
            least=settled - gain,
        )
    return gain


def _outside_collar(problem: Problem, fill: Fill, given: int, received: int) -> BidRejected:
    bps = problem.rules.collar_bps
    return BidRejected(
        Reason.COLLAR_BROKEN,
        f"what intent {fill.intent_id.hex()} receives is not within {bps} bps of what it gives",
        intent=fill.intent_id.hex(),
        given=given,
        received=received,
        collar_bps=bps,
    )


def _check_balances(problem: Problem, spends: Mapping[tuple[bytes, str], int]) -> None:
    held = problem.balances
    over = [account for account, spent in spends.items() if spent > held.get(account, 0)]
    if over:
        owner, asset = account = min(over)
        spent, available = spends[account], held.get(account, 0)
        raise BidRejected(
            Reason.ACCOUNT_OVERSPENT,
            f"owner {owner.hex()} would give {spent} of {available} {asset}",
            owner=owner.hex(),
            asset=asset,
            spent=spent,
            available=available,
        )


def _execute(
    problem: Problem, executions: Sequence[Execution], pool: defaultdict[str, int]
) -> tuple[dict[str, AnyVenue], int]:
    """The touched venues after the executions, and what the executions cost in score units."""
    venues: dict[str, AnyVenue] = {}
    cost = steps = 0
    for index, step in enumerate(executions):
        venue = venues.get(step.venue) or problem.venues.get(step.venue)
        if venue is None:
            raise BidRejected(
                Reason.EXECUTION_INVALID,
                f"execution {index}: venue {step.venue!r} is not in the problem",
                execution=index,
                venue=step.venue,
                cause=Reason.VENUE_UNKNOWN,
            )
        try:
            swap = venue.swap(step.asset_in, step.amount_in, step.asset_out)
        except SwapError as error:
            raise BidRejected(
                Reason.EXECUTION_INVALID,
                f"execution {index}: {error.message}",
                execution=index,
                venue=step.venue,
                cause=error.reason,
            ) from error
        if isinstance(venue, Concentrated) and isinstance(swap.after, Concentrated):
            steps += venue.steps_to(swap.after)
        if steps > MAX_STEPS:
            raise BidRejected(
                Reason.EXECUTION_LIMIT,
                f"execution {index}: all up to it pass {steps} ticks and words, of {MAX_STEPS}",
                execution=index,
                steps=steps,
                limit=MAX_STEPS,
            )
        if swap.amount_out != step.amount_out:
            raise BidRejected(
                Reason.EXECUTION_OUTPUT_WRONG,
                f"execution {index}: {step.venue} pays {swap.amount_out}, not {step.amount_out}",
                execution=index,
                venue=step.venue,
                amount_out=step.amount_out,
                expected=swap.amount_out,
            )
        pool[step.asset_in] -= step.amount_in
        pool[step.asset_out] += step.amount_out
        venues[step.venue] = swap.after
        cost += venue.cost
    return venues, cost


def _check_conservation(pool: Mapping[str, int]) -> None:
    for asset, amount in sorted(pool.items()):
        if amount < 0:
            raise BidRejected(
                Reason.NOT_CONSERVED,
                f"{-amount} more {asset} is paid out than comes in",
                asset=asset,
                missing=-amount,
            )


def _score(values: Iterable[int], cost: int) -> int:
    value = sum(values)
    score = value - cost
    if score <= 0:
        raise BidRejected(
            Reason.SCORE_NOT_POSITIVE,
            f"surplus worth {value} does not exceed costs of {cost}",
            surplus=value,
            cost=cost,
        )
    if score >= SCORE_LIMIT:
        raise BidRejected(
            Reason.SCORE_TOO_LARGE, f"a score must be below 2^62, not {score}", score=score
        )
    return score
