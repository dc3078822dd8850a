"""Makers' quotes: price and size, who signed, and when they end."""

from dataclasses import replace

import pytest
from support.ledgers import OPERATOR, fund, ledger, scored, submit
from support.market import DOMAIN, ETH, USD, WHOLE_ETH, WHOLE_USD, market_update, pool, sell, signer

from walras.audit.quotes import check_quotes, quote_message
from walras.core.bids import Execution, Fill, Proposal
from walras.core.errors import InvalidInput, Reason, SwapError
from walras.intake.admission import open_record
from walras.ledger.state import State
from walras.market.inverse import least_input
from walras.market.kinds import Rfq
from walras.market.marginal import spot_price
from walras.market.quote import Quote, quote_of
from walras.protocol.records import Kind, MarketUpdate
from walras.sdk.signing import sign_quote, sign_record

MAKER = signer("maker")
BLANK = Rfq(
    *("q", 0, (ETH, USD), bytes(32), 1),
    *(10 * WHOLE_ETH, 20_000 * WHOLE_USD, 5_000, bytes(64), 0),
)
QUOTE = sign_quote(DOMAIN, BLANK, MAKER)


def update(*quotes: Rfq, domain: str = DOMAIN) -> MarketUpdate:
    return market_update(OPERATOR, quotes, domain=domain)


def refused(state: State, record: MarketUpdate) -> Reason:
    with pytest.raises(InvalidInput) as caught:
        state.update_market(record)
    return caught.value.reason


def test_its_price_until_it_is_used_up() -> None:
    first = QUOTE.swap(ETH, 3 * WHOLE_ETH + 1, USD)
    assert first.amount_out == 6_000 * WHOLE_USD
    assert first.after == replace(QUOTE, left=7 * WHOLE_ETH - 1)
    rest = first.after.swap(ETH, 7 * WHOLE_ETH - 1, USD)
    assert rest.amount_out == 14_000 * WHOLE_USD - 1
    assert quote_of(rest.after) == Quote((ETH, USD))
    assert spot_price(rest.after, ETH, USD) == spot_price(QUOTE, USD, ETH) == 0.0
    assert spot_price(QUOTE, ETH, USD) == 2e-9
    assert least_input(QUOTE, ETH, USD, 1) == 5 * 10**8


@pytest.mark.parametrize(
    ("swap", "reason"),
    [
        ((ETH, 10 * WHOLE_ETH + 1, USD), Reason.SWAP_LIQUIDITY),
        ((USD, 1, ETH), Reason.SWAP_LIQUIDITY),
        ((ETH, 10**8, USD), Reason.SWAP_AMOUNT),
        ((ETH, 0, USD), Reason.SWAP_AMOUNT),
        ((ETH, 1, ETH), Reason.SWAP_ASSETS),
    ],
)
def test_refused_swaps(swap: tuple[str, int, str], reason: Reason) -> None:
    with pytest.raises(SwapError) as caught:
        QUOTE.swap(*swap)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "changes",
    [
        {"maker": bytes(31)},
        {"signature": bytes(63)},
        {"nonce": 1 << 64},
        {"expiry_ms": 1 << 64},
        {"amount_in": 0},
        {"amount_out": 1 << 255},
        {"left": 10 * WHOLE_ETH + 1},
        {"left": -1},
    ],
)
def test_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        replace(QUOTE, **changes)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.reason is Reason.VENUE_MALFORMED


def test_the_maker_signs_every_term_and_the_domain() -> None:
    check_quotes(update(QUOTE, pool()))
    other = signer("other").public_key
    for changes in (
        {"assets": (USD, ETH)},
        {"nonce": 2},
        {"amount_in": 10 * WHOLE_ETH + 1},
        {"amount_out": 20_000 * WHOLE_USD + 1},
        {"expiry_ms": 5_001},
        {"maker": other},
    ):
        with pytest.raises(InvalidInput) as caught:
            check_quotes(update(replace(QUOTE, **changes)))  # type: ignore[arg-type]  # the field's own type each
        assert caught.value.reason is Reason.SIGNATURE_INVALID
    with pytest.raises(InvalidInput, match="does not verify"):
        check_quotes(update(QUOTE, domain="other.example/walras"))
    with pytest.raises(InvalidInput) as caught:
        check_quotes(update(replace(QUOTE, maker=bytes(32))))
    assert caught.value.reason is Reason.PUBLIC_KEY_INVALID
    # What is the operator's to say is not signed.
    check_quotes(update(replace(QUOTE, id="elsewhere", cost=9)))
    assert quote_message(DOMAIN, QUOTE).startswith(b"DSSEv1 40 application/vnd.walras.quote.v1")


def test_intake_verifies_quotes() -> None:
    operator = signer("operator")
    assert open_record(sign_record(update(QUOTE), operator), Kind.MARKET).record.venues == (QUOTE,)
    forged = replace(QUOTE, signature=bytes(64))
    with pytest.raises(InvalidInput) as caught:
        open_record(sign_record(update(forged), operator), Kind.MARKET)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_quote_comes_once_and_whole() -> None:
    state = ledger()
    part = replace(QUOTE, left=1)
    assert refused(state, update(part)) is Reason.VENUE_MALFORMED
    assert refused(state, update(QUOTE, replace(QUOTE, id="again"))) is Reason.NONCE_USED
    state.update_market(update(QUOTE))
    assert (MAKER.public_key, 1) in state.nonces
    assert state.take_changes().nonces[-1] == (MAKER.public_key, 1)
    for again in (QUOTE, replace(QUOTE, id="again")):
        assert refused(state, update(again)) is Reason.NONCE_USED
    intent = replace(sell(MAKER.public_key), nonce=1)
    fund(state, MAKER.public_key, ETH, WHOLE_ETH)
    with pytest.raises(InvalidInput, match="nonce 1 was used"):
        submit(state, intent)


def test_an_operators_own_nonce_is_not_used_twice_in_one_record() -> None:
    operator = signer("operator")
    record = update()
    own = sign_quote(DOMAIN, replace(BLANK, nonce=record.nonce), operator)
    assert refused(ledger(), replace(record, venues=(own,))) is Reason.NONCE_USED


def test_it_is_in_no_problem_from_its_expiry_on() -> None:
    state = ledger(pool(), QUOTE)
    state.prepare(4_999)
    assert set(state.problem(1, 4_999).venues) == {"pool", "q"}
    state.take_changes()
    assert state.prepare(5_000) == []  # it leaves; the watch has nothing to say
    assert set(state.problem(2, 5_000).venues) == {"pool"}
    assert state.take_changes().venues == {"q"}
    assert refused(state, update(QUOTE)) is Reason.NONCE_USED


def test_it_leaves_when_it_is_used_up() -> None:
    state = ledger(QUOTE)
    ann = signer("ann").public_key
    fund(state, ann, ETH, 10 * WHOLE_ETH)
    name = submit(state, sell(ann, ethers=10))
    state.prepare(1)
    problem = state.problem(1, 1)
    swap = Execution("q", ETH, 10 * WHOLE_ETH, USD, 20_000 * WHOLE_USD)
    prices = {ETH: 2_000 * WHOLE_USD, USD: WHOLE_ETH}
    bid = scored(problem, Proposal((Fill(name, 10 * WHOLE_ETH),), prices, (swap,)))
    state.settle([bid])
    assert state.balance(ann, USD) == 20_000 * WHOLE_USD
    assert state.market.venues["q"] == replace(QUOTE, left=0)
    state.prepare(2)
    assert not state.problem(2, 2).venues
