"""Solutions of a CoW engine as bids, or refused."""

from typing import Any

import pytest
from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, intent
from support.cow_markets import (
    USDC_ADDRESS,
    answered,
    proposal,
    purchase,
    routed,
    sale,
    shown,
    swap,
    two_orders,
)
from support.solver_markets import market

from walras.market.kinds import (
    Offer,
    OrderBook,
)
from walras.sdk import judged
from walras_solvers.cow_adapter import (
    Refused,
    Shown,
)


@pytest.fixture
def plain() -> tuple[Shown, dict[str, Any]]:
    """A market with a pool and two orders that cross; the routes of seller and buyer, the match."""
    made = shown(two_orders())
    answer = answered(made)

    def place(document: dict[str, Any]) -> int:
        steps = document["interactions"]
        return 2 if not steps else int(steps[0]["inputToken"] == USDC_ADDRESS)

    answer["solutions"].sort(key=place)
    return made, answer


def test_what_an_engine_finds(plain: tuple[Shown, dict[str, Any]]) -> None:
    made, answer = plain
    sold, bought, both = (proposal(made, document) for document in answer["solutions"])
    assert {len(one.fills) for one in (sold, bought)} == {1}
    assert len(both.fills) == 2
    assert not both.executions
    for one in (sold, bought):
        (step,) = one.executions
        swapped = made.problem.venues["pool"].swap(step.asset_in, step.amount_in, step.asset_out)
        assert step.amount_out == swapped.amount_out


def test_what_is_over_stays(plain: tuple[Shown, dict[str, Any]]) -> None:
    """An engine that leaves slack for slippage says less than the venue pays."""
    made, answer = plain
    document = answer["solutions"][0]
    (step,) = document["interactions"]
    step["outputAmount"] = str(int(step["outputAmount"]) - 1_000)
    document["prices"][step["inputToken"]] = step["outputAmount"]
    found = judged(made.problem, proposal(made, document))
    assert sum(found.leftover.values()) == 1_000


def test_a_sellers_fee() -> None:
    """It is sold beside what is executed, and its owner gets nothing for it."""
    made, document = routed(sale())
    (step,), (trade,), fee = document["interactions"], document["trades"], 10**15
    executed = WHOLE_ETH - fee
    out = made.problem.venues["pool"].swap(ETH, executed, USDC).amount_out
    step |= {"inputAmount": str(executed), "outputAmount": str(out)}
    trade |= {"executedAmount": str(executed), "fee": str(fee)}
    document["prices"] = {step["inputToken"]: str(out), step["outputToken"]: str(executed)}
    found = judged(made.problem, proposal(made, document))
    (fill,) = found.fills
    assert (fill.units, fill.settlement) == (WHOLE_ETH, out)
    assert found.leftover == {ETH: fee}


def test_a_buyers_fee() -> None:
    made, document = routed(purchase())
    (trade,), fee = document["trades"], 10**6
    paid = int(document["interactions"][0]["inputAmount"])
    trade["fee"] = str(fee)
    found = judged(made.problem, proposal(made, document))
    (fill,) = found.fills
    assert (fill.units, fill.settlement) == (WHOLE_ETH, -paid - fee)
    assert found.leftover[USDC] == fee


def test_offers_of_a_book_are_one_swap() -> None:
    """An engine takes them one by one; the book is walked, and paid for, once."""
    bids_ = (Offer(3_000 * WHOLE_USDC, WHOLE_ETH), Offer(2_990 * WHOLE_USDC, WHOLE_ETH))
    book = OrderBook("book", 40, (ETH, USDC), (), bids_)
    order = sale(2 * WHOLE_ETH)
    made = shown(market({"seller": order}, venues=[book]))
    ether, (uid,) = made.tokens.address(ETH), made.orders
    parts = [
        swap(place, ether, WHOLE_ETH, USDC_ADDRESS, offer.give) for place, offer in enumerate(bids_)
    ]
    document = {
        "id": 1,
        "prices": {ether: str(5_990 * WHOLE_USDC), USDC_ADDRESS: str(2 * WHOLE_ETH)},
        "trades": [{"kind": "fulfillment", "order": uid, "executedAmount": str(2 * WHOLE_ETH)}],
        "interactions": parts,
    }
    found = proposal(made, document)
    (step,) = found.executions
    assert (step.amount_in, step.amount_out) == (2 * WHOLE_ETH, 5_990 * WHOLE_USDC)


CALL = {"target": "0x" + "00" * 20, "value": "0", "callData": "0x"}
REFUSED: dict[str, tuple[str, Any]] = {
    "a custom interaction": ("CUSTOM_INTERACTION", {"interactions": [{"kind": "custom"}]}),
    "a call before": ("CONTRACT_CALL", {"preInteractions": [CALL]}),
    "a call after": ("CONTRACT_CALL", {"postInteractions": [CALL]}),
    "a flashloan": ("FLASHLOAN", {"flashloans": {"0x00": {}}}),
    "a wrapper": ("WRAPPER", {"wrappers": [{"address": "0x"}]}),
    "an order of its own": ("JIT_ORDER", {"trades": [{"kind": "jit"}]}),
    "nothing": ("BID_EMPTY", {"trades": [], "interactions": []}),
    "no prices": ("PRICE_UNUSABLE", {"prices": {}}),
    "no swap": ("NOT_CONSERVED", {"interactions": []}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_said_is_refused(case: str, plain: tuple[Shown, dict[str, Any]]) -> None:
    reason, changes = REFUSED[case]
    assert refusal(plain[0], plain[1]["solutions"][0] | changes) == reason


def refusal(made: Shown, document: Any) -> str:
    with pytest.raises(Refused) as refused:
        proposal(made, document)
    assert refused.value.why
    return refused.value.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": "7"}, "LIQUIDITY_UNKNOWN"),
        ({"internalize": True}, "INTERNALIZED"),
        ({"inputToken": "0x" + "77" * 20}, "TOKEN_UNKNOWN"),
        ({"outputToken": USDC_ADDRESS, "inputToken": USDC_ADDRESS}, "SWAP_ASSETS"),
        ({"inputAmount": "0"}, "SWAP_AMOUNT"),
        ({"inputAmount": str(2**256 - 1)}, "SWAP_LIQUIDITY"),
        ({"inputAmount": "5"}, "SWAP_AMOUNT"),
    ],
)
def test_swaps(changes: dict[str, Any], reason: str, plain: tuple[Shown, dict[str, Any]]) -> None:
    made, answer = plain
    document = answer["solutions"][0]
    document["interactions"] = [document["interactions"][0] | changes]
    assert refusal(made, document) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"order": "0x" + "77" * 56}, "ORDER_UNKNOWN"),
        ({"executedAmount": "0"}, "EXECUTED_AMOUNT"),
        ({"executedAmount": str(2**256 - 1)}, "FILL_UNITS"),
        ({"executedAmount": str(WHOLE_ETH + 1)}, "FILL_UNITS"),
        ({"fee": "1"}, "FILL_UNITS"),
    ],
)
def test_trades(changes: dict[str, Any], reason: str, plain: tuple[Shown, dict[str, Any]]) -> None:
    made, answer = plain
    document = answer["solutions"][0]
    (trade,) = document["trades"]
    assert refusal(made, document | {"trades": [trade | changes]}) == reason
    assert refusal(made, document | {"trades": [trade, trade]}) == "ORDER_REPEATED"


def test_a_fee_among_several(plain: tuple[Shown, dict[str, Any]]) -> None:
    made, answer = plain
    both = answer["solutions"][2]
    both["trades"][1]["fee"] = "7"
    assert refusal(made, both) == "FEE_NOT_UNIFORM"


def test_units_of_more_than_an_atom() -> None:
    """Lots: an executed amount between two of them is none."""
    lots = intent("seller", {ETH: -WHOLE_ETH}, USDC, 3 * 2_900 * WHOLE_USDC, units=3)
    made, document = routed(lots)
    assert proposal(made, document).fills[0].units == 3
    document["trades"][0]["executedAmount"] = str(3 * WHOLE_ETH - 1)
    assert refusal(made, document) == "EXECUTED_AMOUNT"


def test_prices_beyond_what_a_bid_can_hold(plain: tuple[Shown, dict[str, Any]]) -> None:
    """Only ratios matter: scaled down where they fit, refused where they do not."""
    made, answer = plain
    document = answer["solutions"][2]
    scale = (2**256 - 1) // max(map(int, document["prices"].values()))
    document["prices"] = {name: str(int(p) * scale) for name, p in document["prices"].items()}
    assert max(map(int, document["prices"].values())) > 1 << 255
    assert proposal(made, document)
    names = list(document["prices"])
    document["prices"] = {names[0]: "1", names[1]: str(2**256 - 1)}
    assert refusal(made, document) == "PRICE_UNUSABLE"
