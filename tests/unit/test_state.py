"""The ledger's rules, each with its reason; what is refused changes nothing."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.ledgers import (
    OPERATOR,
    VRF,
    copied,
    crossed,
    fund,
    ledger,
    name_of,
    scored,
    sold_to,
    submit,
    totals,
)
from support.market import (
    DOMAIN,
    DULL,
    ETH,
    NEVER,
    STRANGE,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    buy,
    deposit,
    intent,
    market_update,
    nonce,
    pool,
    sell,
    signer,
)

from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Decay, Leg
from walras.ledger.book import IntentState
from walras.ledger.changes import Changes
from walras.ledger.settlement import BUFFER
from walras.ledger.state import State
from walras.protocol.problem import Price, Rules
from walras.protocol.records import Cancel, Credit, Genesis, MarketUpdate, Withdrawal

ANN, BOB = signer("ann").public_key, signer("bob").public_key


def refused(state: State, act: Callable[[State], object]) -> Reason:
    """Why `act` is refused; the state, with the changes it notes, is as before."""
    before = copied(state)
    with pytest.raises(InvalidInput) as caught:
        act(state)
    assert state == before
    return caught.value.reason


def withdraw(owner: bytes, amount: int, asset: str = ETH) -> Withdrawal:
    return Withdrawal(DOMAIN, owner, nonce(), asset, amount, NEVER)


@pytest.fixture
def state() -> State:
    """Ann has 10 ETH, Bob 20,000 USD."""
    made = ledger()
    fund(made, ANN, ETH, 10 * WHOLE_ETH)
    fund(made, BOB, USD, 20_000 * WHOLE_USD)
    made.take_changes()
    return made


def test_genesis_comes_first_and_once(state: State) -> None:
    assert state.genesis is not None
    assert refused(state, lambda s: s.begin(state.genesis)) is Reason.RECORD_OUT_OF_ORDER  # type: ignore[arg-type]  # asserted above
    empty = State()
    for act in (
        lambda s: s.domain,
        lambda s: s.deposit(deposit(OPERATOR, ANN, ETH, 1)),
        lambda s: s.submit(bytes(32), sell(ANN), 0),
    ):
        assert refused(empty, act) is Reason.RECORD_OUT_OF_ORDER
    empty.begin(Genesis(DOMAIN, ANN, (), VRF.public_key))
    assert empty.take_changes() == Changes(genesis=True)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (replace(sell(ANN), domain="other"), Reason.DOMAIN_WRONG),
        (intent(ANN, -1, 1, asset=STRANGE), Reason.ASSET_UNKNOWN),
        (intent(ANN, -1, 1, settlement_asset=STRANGE), Reason.ASSET_UNKNOWN),
        (intent(ANN, -1, 1, settlement_asset=DULL), Reason.ASSET_UNPRICED),
        (sell(BOB), Reason.BALANCE_INSUFFICIENT),
        (sell(ANN, ethers=11, min_units=11 * WHOLE_ETH), Reason.BALANCE_INSUFFICIENT),
        (buy(BOB, 2_010, ethers=10, min_units=10 * WHOLE_ETH), Reason.BALANCE_INSUFFICIENT),
        (
            # The worst limit counts: it starts where Bob could not pay.
            replace(
                buy(BOB, 1, ethers=10, min_units=10 * WHOLE_ETH),
                decay=Decay(-20_001 * WHOLE_USD, 1, 2),
            ),
            Reason.BALANCE_INSUFFICIENT,
        ),
    ],
)
def test_submit_refused(state: State, made: object, expected: Reason) -> None:
    assert refused(state, lambda s: submit(s, made)) is expected  # type: ignore[arg-type]  # an intent


def test_submit(state: State) -> None:
    made = sell(ANN)
    name = submit(state, made)
    changes = state.take_changes()
    assert changes == Changes(intents={name: state.book.entries[name]}, nonces=[(ANN, made.nonce)])
    assert state.book.open_by_owner == {ANN: 1}
    assert refused(state, lambda s: submit(s, made)) is Reason.NONCE_USED
    # The least fill is what must be there, not the whole.
    submit(state, sell(ANN, ethers=1_000))
    submit(state, replace(made, owner=BOB, legs=(Leg(ETH, 1),), limit=-1))


def test_limits_of_the_book() -> None:
    state = ledger(rules=Rules(max_open_per_owner=2, max_open=3))
    fund(state, ANN, ETH, WHOLE_ETH)
    fund(state, BOB, USD, WHOLE_USD)
    names = [submit(state, sell(ANN)) for _ in range(2)]
    assert refused(state, lambda s: submit(s, sell(ANN))) is Reason.OPEN_INTENT_LIMIT
    submit(state, buy(BOB))
    assert refused(state, lambda s: submit(s, buy(BOB))) is Reason.BOOK_FULL
    state.cancel(Cancel(DOMAIN, ANN, names[0]), held=False)
    submit(state, sell(ANN))


def test_cancel(state: State) -> None:
    name = submit(state, sell(ANN))
    cancel = Cancel(DOMAIN, ANN, name)
    for wrong, reason in (
        (replace(cancel, domain="other"), Reason.DOMAIN_WRONG),
        (replace(cancel, owner=BOB), Reason.OWNER_MISMATCH),
        (replace(cancel, intent_id=bytes(32)), Reason.INTENT_UNKNOWN),
    ):
        assert refused(state, lambda s, c=wrong: s.cancel(c, held=False)) is reason  # type: ignore[misc]  # binds the loop's
    held = state.cancel(cancel, held=True)
    assert held.state is IntentState.CANCELLED
    assert not state.book.open_by_owner
    assert refused(state, lambda s: s.cancel(cancel, held=True)) is Reason.INTENT_CLOSED
    assert not state.problem(1, 1).intents
    state.release()
    assert not state.book.entries
    assert refused(state, lambda s: s.cancel(cancel, held=False)) is Reason.INTENT_UNKNOWN


def test_deposit(state: State) -> None:
    made = deposit(OPERATOR, ANN, ETH, 1)
    most = Credit(BOB, ETH, 2**255 - 1)
    for wrong, reason in (
        (replace(made, domain="other"), Reason.DOMAIN_WRONG),
        (replace(made, operator=ANN), Reason.SIGNER_UNKNOWN),
        (replace(made, credits=(*made.credits, Credit(ANN, STRANGE, 1))), Reason.ASSET_UNKNOWN),
        (replace(made, credits=(Credit(BOB, ETH, 1), most)), Reason.AMOUNT_OUT_OF_RANGE),
    ):
        assert refused(state, lambda s, d=wrong: s.deposit(d)) is reason  # type: ignore[misc]  # binds the loop's
    state.deposit(replace(made, credits=(most, *made.credits, *made.credits)))
    assert state.balance(BOB, ETH) == 2**255 - 1
    assert state.balance(ANN, ETH) == 10 * WHOLE_ETH + 2
    assert state.take_changes().balances == {(ANN, ETH), (BOB, ETH)}
    assert refused(state, lambda s: s.deposit(made)) is Reason.NONCE_USED


def test_withdraw(state: State) -> None:
    made = withdraw(ANN, 4 * WHOLE_ETH)
    for wrong, reason in (
        (replace(made, domain="other"), Reason.DOMAIN_WRONG),
        (replace(made, amount=10 * WHOLE_ETH + 1), Reason.BALANCE_INSUFFICIENT),
        (replace(made, asset=STRANGE), Reason.BALANCE_INSUFFICIENT),
    ):
        assert refused(state, lambda s, w=wrong: s.withdraw(w)) is reason  # type: ignore[misc]  # binds the loop's
    state.withdraw(made)
    assert refused(state, lambda s: s.withdraw(made)) is Reason.NONCE_USED
    state.withdraw(withdraw(ANN, 6 * WHOLE_ETH))
    assert (ANN, ETH) not in state.balances
    assert state.take_changes().balances == {(ANN, ETH)}


def test_market_updates(state: State) -> None:
    made = MarketUpdate(DOMAIN, OPERATOR, nonce(), venues=(pool("new"),))
    for wrong, reason in (
        (replace(made, domain="other"), Reason.DOMAIN_WRONG),
        (replace(made, operator=ANN), Reason.SIGNER_UNKNOWN),
        (replace(made, venues=(replace(pool(), assets=(ETH, STRANGE)),)), Reason.ASSET_UNKNOWN),
        (replace(made, prices={STRANGE: Price(1, "x")}), Reason.ASSET_UNKNOWN),
        (replace(made, removed_venues=("pool", "none")), Reason.VENUE_UNKNOWN),
    ):
        assert refused(state, lambda s, u=wrong: s.update_market(u)) is reason  # type: ignore[misc]  # binds the loop's
    state.update_market(replace(made, removed_venues=("pool",)))
    assert set(state.market.venues) == {"new"}
    assert state.take_changes().venues == {"new", "pool"}
    assert refused(state, lambda s: s.update_market(made)) is Reason.NONCE_USED
    state.update_market(MarketUpdate(DOMAIN, OPERATOR, nonce(), prices={DULL: Price(7, "x")}))
    assert state.market.prices[DULL] == Price(7, "x")


def test_who_is_in_a_problem(state: State) -> None:
    """Open, inside the window, and backed, at the limit of that moment."""
    open_ = submit(state, sell(ANN))
    later = submit(state, replace(sell(ANN), not_before_ms=2_000, expiry_ms=3_000))
    submit(state, sell(ANN, ethers=11))
    gone = submit(state, sell(ANN))
    state.cancel(Cancel(DOMAIN, ANN, gone), held=True)
    problem = state.problem(5, 1_000)
    assert open_ in problem.intents
    assert later not in problem.intents
    assert gone not in problem.intents
    assert list(problem.intents) == sorted(problem.intents)
    assert problem.balances == {(ANN, ETH): 10 * WHOLE_ETH}
    # As many units as are backed.
    assert max(found.remaining for found in problem.intents.values()) == 10 * WHOLE_ETH
    for now, expected in ((1_999, False), (2_000, True), (2_999, True), (3_000, False)):
        assert (later in state.problem(5, now).intents) is expected
    assert not state.book.has_expired(2_999)
    assert state.book.has_expired(3_000)
    state.expire(3_000)
    assert later not in state.book.entries
    assert state.changes.intents[later].state is IntentState.EXPIRED
    state.withdraw(withdraw(ANN, 10 * WHOLE_ETH))
    assert not state.problem(6, 1_000).intents


def test_settle(state: State) -> None:
    sold, bought = submit(state, sell(ANN)), submit(state, buy(BOB))
    before = totals(state)
    problem = state.problem(1, 1)
    state.take_changes()
    touched = state.settle(crossed(problem))
    changes = state.take_changes()
    assert {name: entry.state for name, entry in changes.intents.items()} == {
        sold: IntentState.FILLED,
        bought: IntentState.FILLED,
    }
    assert changes.balances == touched.balances.keys()
    assert touched.balances[ANN, USD] == 2_000 * WHOLE_USD
    assert touched.venues == {}
    assert totals(state) == before
    state.release()
    assert not state.book.entries
    assert not state.book.open_by_owner


def test_settle_in_parts_and_on_a_venue(state: State) -> None:
    name = submit(state, sell(ANN, 1_900, ethers=3))
    before = totals(state)
    settled = 0
    for part in (WHOLE_ETH // 3, WHOLE_ETH, 3 * WHOLE_ETH - WHOLE_ETH - WHOLE_ETH // 3):
        problem = state.problem(1, 1)
        found = problem.intents[name]
        bid = scored(problem, sold_to(problem, found, part, "pool"))
        touched = state.settle([bid])
        settled += bid.fills[0].settlement
        assert touched.venues == {"pool": state.market.venues["pool"]}
        assert totals(state) == before
        entry = state.book.entries[name]
        assert entry.settled == settled
        state.release()
    assert name not in state.book.entries
    assert state.balance(ANN, USD) == settled


def test_cancelled_but_held_is_filled(state: State) -> None:
    sold, bought = submit(state, sell(ANN)), submit(state, buy(BOB))
    problem = state.problem(1, 1)
    state.cancel(Cancel(DOMAIN, ANN, sold), held=True)
    state.settle(crossed(problem))
    assert {state.book.entries[name].state for name in (sold, bought)} == {IntentState.FILLED}
    assert not state.book.open_by_owner
    state.release()
    assert not state.book.entries


def test_settle_is_whole_or_not_at_all(state: State) -> None:
    """Bids that no auction over this state awards are refused before anything moved."""
    submit(state, sell(ANN))
    submit(state, buy(BOB))
    other = submit(state, sell(ANN))
    problem = state.problem(1, 1)
    good = crossed(problem)
    extra = scored(problem, sold_to(problem, problem.intents[other], WHOLE_ETH, "pool"))
    without = copied(state)
    del without.book.entries[other]
    assert refused(without, lambda s: s.settle([*good, extra])) is Reason.INTENT_UNKNOWN
    poor = copied(state)
    poor.withdraw(withdraw(ANN, 9 * WHOLE_ETH))
    assert refused(poor, lambda s: s.settle([*good, extra])) is Reason.ACCOUNT_OVERSPENT
    state.settle([*good, extra])


def test_a_settlement_never_fails_for_what_is_received(state: State) -> None:
    """An account that cannot hold more would stop the engine at every batch that pays it."""
    submit(state, sell(ANN))
    submit(state, buy(BOB))
    fund(state, ANN, USD, 2**255 - 1 - state.balance(ANN, USD))
    state.settle(crossed(state.problem(1, 1)))
    assert state.balance(ANN, USD) > 2**255
    submit(state, buy(ANN))
    assert state.problem(2, 1).balances[ANN, USD] == 2**255 - 1


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_made_or_lost(seed: int) -> None:
    """Random batches of crossings and venue swaps conserve every asset, the buffer included."""
    rng = random.Random(seed)
    state = ledger(pool("a", depth=50), pool("b", depth=500))
    owners = [signer(f"owner {number}").public_key for number in range(6)]
    for owner in owners:
        fund(state, owner, ETH, rng.randrange(1, 20 * WHOLE_ETH))
        fund(state, owner, USD, rng.randrange(1, 40_000 * WHOLE_USD))
    before = totals(state)
    filled = leftovers = 0
    for number in range(1, 15):
        for _ in range(4):
            units = rng.randrange(1, 3 * WHOLE_ETH)
            price = rng.randrange(1_900, 2_100) * WHOLE_USD
            owner = rng.choice(owners)
            if rng.random() < 0.5:
                made = intent(owner, -1, units * price // WHOLE_ETH, units=units)
            else:
                made = intent(owner, 1, -max(1, units * price // WHOLE_ETH), units=units)
            submit(state, made)
        problem = state.problem(number, number)
        winners = []
        for found in problem.intents.values():
            free = {name for name in problem.venues if not any(name in w.venues for w in winners)}
            spent = any((found.intent.owner, ETH) in w.spends for w in winners)
            if found.intent.legs[0].quantity < 0 and free and not spent:
                proposal = sold_to(problem, found, rng.randint(1, found.remaining), free.pop())
                if proposal.executions[0].amount_out * found.intent.units < (
                    found.intent.limit * proposal.fills[0].units + found.intent.units * 10**6
                ):
                    continue
                # A third of an atom's worth below the pool's price: what is over is the buffer's.
                prices = {ETH: proposal.prices[ETH] - 1, USD: proposal.prices[USD]}
                winners.append(scored(problem, replace(proposal, prices=prices)))
        state.settle(winners)
        filled += len(winners)
        leftovers += sum(len(w.leftover) for w in winners)
        state.release()
        assert totals(state) == before
        assert all(amount > 0 for amount in state.balances.values())
    assert filled
    assert leftovers
    assert state.balance(BUFFER, USD) > 0


def test_ids_of_intents_do_not_depend_on_who_signs() -> None:
    assert name_of(sell(ANN)) != name_of(sell(ANN))
    assert market_update(OPERATOR).nonce != market_update(OPERATOR).nonce
