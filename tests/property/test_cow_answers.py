"""Whatever an engine answers: no crash, and no bid that the auction would reject."""

import json
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.auctions import ETH, USDC, WHOLE_ETH, WHOLE_USDC, pool
from support.cow_markets import answered, purchase, sale, shown
from support.solver_markets import market

from walras.market.kinds import Offer, OrderBook
from walras.sdk import Deadline, http, judged
from walras_solvers.cow_adapter import Refused, Shown, to_proposal
from walras_solvers.cow_adapter.adapter import _solution, _solutions

BOOK = OrderBook(
    "book", 0, (ETH, USDC), (), (Offer(6_100 * WHOLE_USDC, 2 * WHOLE_ETH), Offer(1, 10**12))
)
SHOWN = shown(
    market(
        {"seller": sale(), "buyer": purchase(2 * WHOLE_ETH)},
        venues=[pool("pool", cost=5), pool("other", depth=7), BOOK],
    )
)
ANSWER = answered(SHOWN)
KEYS = [
    *("id", "prices", "trades", "interactions", "preInteractions", "postInteractions"),
    *("flashloans", "wrappers", "kind", "order", "executedAmount", "fee", "inputToken"),
    *("outputToken", "inputAmount", "outputAmount", "internalize"),
    *("fulfillment", "jit", "liquidity", "custom"),
    *SHOWN.orders,
    *SHOWN.auction["tokens"],
    *SHOWN.venues,
]

numbers = st.one_of(
    st.integers(0, 5),
    st.integers(0, 2**256 - 1),
    st.integers(-10, 2**300),
    st.sampled_from([WHOLE_ETH, 2 * WHOLE_ETH, WHOLE_ETH - 1, 3_000 * WHOLE_USDC]),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    numbers.map(str),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(KEYS),
)
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=12,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in it."""
    children: Any = ()
    if isinstance(document, dict):
        children = document.items()
    elif isinstance(document, list):
        children = enumerate(document)
    inner = [one for key, child in children for one in places(child, (*path, key))]
    return [path, *inner] if path else inner


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


@st.composite
def nearly(draw: st.DrawFn) -> Any:
    """An honest solution with a few parts replaced: by anything, or by others of the answer."""
    made = deepcopy(draw(st.sampled_from(ANSWER["solutions"])))
    whole = ANSWER["solutions"]
    for _ in range(draw(st.integers(0, 3))):
        spots = places(made)
        if not spots:
            break
        at = draw(st.sampled_from(spots))
        taken = draw(st.sampled_from(places(whole)))
        other: Any = whole
        for key in taken:
            other = other[key]
        put(made, at, draw(st.just(deepcopy(other)) | numbers.map(str) | documents))
    return made


def judge(made: Shown, answer: Any) -> int:
    """How many bids come of a solution; each is valid."""
    try:
        proposal = to_proposal(made, _solution(answer), Deadline.after(20))
    except Refused as error:
        reason, why = error.reason, error.why
    else:
        assert judged(made.problem, proposal).score > 0
        return 1
    assert reason.isupper()
    assert why
    return 0


def test_the_honest_answer_is_all_bids() -> None:
    assert [judge(SHOWN, one) for one in ANSWER["solutions"]] == [1] * len(ANSWER["solutions"])
    assert len(ANSWER["solutions"]) >= 2


@given(documents)
@settings(max_examples=200)
def test_any_document(answer: Any) -> None:
    judge(SHOWN, answer)


@given(nearly())
@settings(max_examples=400)
def test_nearly_honest_solutions(answer: Any) -> None:
    judge(SHOWN, answer)


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=200)
def test_any_bytes(noise: bytes, start: int, end: int) -> None:
    """An honest answer with bytes cut out and others put in."""
    honest = json.dumps(ANSWER).encode()
    data = honest[: start % len(honest)] + noise + honest[end % len(honest) :]
    try:
        found = _solutions(http.Answer(200, "application/json", data))
    except ValueError:
        return
    for one in found:
        judge(SHOWN, one)
