"""A solution as a proposal, where Walras can say the same; or the reason why it cannot.

What is executed is what the engine said; what a venue pays for it is the venue's own exact output,
whatever the engine said of that, and what is over goes to the buffer. Nothing is made of a solution
but a proposal that the auction's own rules accept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from fractions import Fraction

from walras.sdk import (
    AnyVenue,
    BidRejected,
    Deadline,
    Execution,
    OpenIntent,
    OrderBook,
    Proposal,
    SwapError,
    judged,
    price_vector,
    propose,
)
from walras_solvers.cow_adapter.auction import Shown
from walras_solvers.cow_adapter.schema import Custom, Fulfillment, Interaction, Jit, Solution, Trade


class Refusal(StrEnum):
    """Why no bid is made of a solution. Beside these: the reasons of protocol §11 for a rejected
    bid, and of its venues for a swap.
    """

    SOLUTION_MALFORMED = "SOLUTION_MALFORMED"
    CUSTOM_INTERACTION = "CUSTOM_INTERACTION"
    CONTRACT_CALL = "CONTRACT_CALL"
    JIT_ORDER = "JIT_ORDER"
    FLASHLOAN = "FLASHLOAN"
    WRAPPER = "WRAPPER"
    INTERNALIZED = "INTERNALIZED"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    ORDER_REPEATED = "ORDER_REPEATED"
    EXECUTED_AMOUNT = "EXECUTED_AMOUNT"
    FEE_NOT_UNIFORM = "FEE_NOT_UNIFORM"
    PRICE_UNUSABLE = "PRICE_UNUSABLE"
    LIQUIDITY_UNKNOWN = "LIQUIDITY_UNKNOWN"
    TOKEN_UNKNOWN = "TOKEN_UNKNOWN"  # noqa: S105 - of an asset, not of a session
    LATE = "LATE"


class Refused(Exception):
    """No bid is made of a solution.

    Attributes:
        reason: stable.
        why: for people.
    """

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(f"{reason}: {why}")
        self.reason = reason
        self.why = why


def to_proposal(shown: Shown, solution: Solution, deadline: Deadline) -> Proposal:
    """The proposal that `solution` is; valid.

    Raises:
        Refused: with the first reason against it.
    """
    for reason, found in (
        (Refusal.CONTRACT_CALL, solution.pre_interactions or solution.post_interactions),
        (Refusal.FLASHLOAN, solution.flashloans),
        (Refusal.WRAPPER, solution.wrappers),
    ):
        if found:
            raise Refused(reason, "nothing outside of the venues is called")
    trades = _trades(shown, solution.trades)
    fills = {order.id: _units(order, trade) for order, trade in trades}
    prices = _prices(shown, solution, trades)
    executions = _executions(shown, solution.interactions, deadline)
    proposal = propose(shown.problem, fills, prices, executions)
    try:
        judged(shown.problem, proposal)
    except BidRejected as error:
        raise Refused(error.reason.value, error.message) from None
    return proposal


def _trades(shown: Shown, trades: Iterable[Trade]) -> list[tuple[OpenIntent, Fulfillment]]:
    found: dict[str, tuple[OpenIntent, Fulfillment]] = {}
    for trade in trades:
        if isinstance(trade, Jit):
            raise Refused(Refusal.JIT_ORDER, "orders come from their owners alone")
        order = shown.orders.get(trade.order)
        if order is None:
            raise Refused(Refusal.ORDER_UNKNOWN, f"there is no order {trade.order}")
        if trade.order in found:
            raise Refused(Refusal.ORDER_REPEATED, f"{trade.order} is traded twice")
        found[trade.order] = order, trade
    return list(found.values())


def _units(order: OpenIntent, trade: Fulfillment) -> int:
    quantity = order.intent.legs[0].quantity
    # The fee is sold beside what is executed, so it counts where the executed is what is sold.
    moved = trade.executed_amount + (trade.fee or 0 if quantity < 0 else 0)
    units, rest = divmod(moved, abs(quantity))
    if rest or not units or not trade.executed_amount:
        raise Refused(
            Refusal.EXECUTED_AMOUNT,
            f"{moved} atoms of {trade.order} are not a number of its units",
        )
    return units


def _prices(
    shown: Shown, solution: Solution, trades: Sequence[tuple[OpenIntent, Fulfillment]]
) -> dict[str, int]:
    """The clearing prices of the filled intents' assets.

    A fee makes its owner's price another than everybody's. Where there is but one owner, that is
    the price of the bid.
    """
    prices: dict[str, Fraction] = {}
    for asset in {asset for order, _ in trades for asset in order.intent.assets}:
        price = solution.prices.get(shown.tokens.address(asset), 0)
        if not price:
            raise Refused(Refusal.PRICE_UNUSABLE, f"{asset} has no price")
        prices[asset] = Fraction(price)
    if any(trade.fee for _, trade in trades):
        if len(trades) > 1:
            raise Refused(Refusal.FEE_NOT_UNIFORM, "with a fee, prices are not the same for all")
        order, trade = trades[0]
        leg, currency = order.intent.legs[0], order.intent.settlement_asset
        executed, fee = trade.executed_amount, trade.fee or 0
        if leg.quantity < 0:
            prices[leg.asset] *= Fraction(executed, executed + fee)
        else:
            prices[leg.asset] += prices[currency] * Fraction(fee, executed)
    try:
        return price_vector(prices)
    except ValueError as error:
        raise Refused(Refusal.PRICE_UNUSABLE, str(error)) from None


def _executions(
    shown: Shown, interactions: Iterable[Interaction], deadline: Deadline
) -> list[Execution]:
    """The swaps, with what the venues pay for them."""
    after: dict[str, AnyVenue] = {}
    planned: list[Execution] = []
    for step in _swaps(shown, interactions):
        # An engine can name more work than there is time for.
        if deadline.passed:
            raise Refused(Refusal.LATE, "the time is over")
        venue = after.get(step.venue) or shown.problem.venues[step.venue]
        try:
            swap = venue.swap(step.asset_in, step.amount_in, step.asset_out)
        except SwapError as error:
            raise Refused(error.reason.value, error.message) from None
        after[step.venue] = swap.after
        planned.append(replace(step, amount_out=swap.amount_out))
    return planned


def _swaps(shown: Shown, interactions: Iterable[Interaction]) -> list[Execution]:
    swaps: list[Execution] = []
    for step in interactions:
        if isinstance(step, Custom):
            raise Refused(Refusal.CUSTOM_INTERACTION, "only venues that it was shown are called")
        if step.internalize:
            raise Refused(Refusal.INTERNALIZED, "there is no contract's balance to swap with")
        venue = shown.venues.get(step.id)
        if venue is None:
            raise Refused(Refusal.LIQUIDITY_UNKNOWN, f"there is no liquidity {step.id!r}")
        given, paid = map(shown.tokens.asset, (step.input_token, step.output_token))
        if given is None or paid is None:
            raise Refused(Refusal.TOKEN_UNKNOWN, "a token is none of the auction's")
        swap = Execution(venue, given, step.input_amount, paid, step.output_amount)
        last = swaps[-1] if swaps else None
        if last is not None and _one_walk(shown, last, swap):
            # Offers of one book, one after the other: one swap takes them all.
            swaps[-1] = replace(last, amount_in=last.amount_in + swap.amount_in)
        else:
            swaps.append(swap)
    return swaps


def _one_walk(shown: Shown, last: Execution, swap: Execution) -> bool:
    same = (last.venue, last.asset_in, last.asset_out) == (
        swap.venue,
        swap.asset_in,
        swap.asset_out,
    )
    return same and isinstance(shown.problem.venues[swap.venue], OrderBook)
