"""What somebody who owns the engine's key may try with reference prices, and what the auditor says.

As `support.audit.attacks`, on the log of `price_scenario`.
"""

from collections.abc import Callable
from dataclasses import replace

from support.audit.attacks import Attack, replayed
from support.audit.log_copy import Forgery
from support.audit.price_scenario import ONE_U
from support.audit.scenario import U, owner, signer
from walras.core.errors import Reason
from walras.ledger.pricing import price
from walras.market.reference import VENUES, Input, Reference
from walras.protocol.prices import PriceFeed, PricesWatched, QuarantinedAsset
from walras.protocol.problem import OpenIntent, Price, Problem
from walras.protocol.records import Opened, RulesSet, Sealed, Settled
from walras.protocol.trade import encode_problem

PRICE_ATTACKS: dict[str, tuple[Attack, Reason]] = {}
"""Name → the attack, and the reason for which it must be refused."""


def refused_for(reason: Reason) -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        PRICE_ATTACKS[attack.__name__] = (attack, reason)
        return attack

    return register


def sealed_prices(forgery: Forgery, auction_id: int) -> tuple[int, Problem]:
    """Where a batch is sealed, and the problem that the log gives it."""
    at = forgery.of(Sealed, auction_id)
    state = replayed(forgery, at).state
    sealed_ms = forgery.read(at).sealed_ms
    state.prepare(sealed_ms)
    return at, state.problem(auction_id, sealed_ms)


def reseal(forgery: Forgery, auction_id: int, **changes: object) -> int:
    at, problem = sealed_prices(forgery, auction_id)
    changed = replace(problem, **changes)  # type: ignore[arg-type]  # any fields
    return forgery.change(at, problem_digest=forgery.blob(encode_problem(changed)))


def reseal_inputs(forgery: Forgery, auction_id: int, reference: Reference) -> int:
    """With other inputs for U, and all that the rules make of them: the problem alone proves it."""
    _, problem = sealed_prices(forgery, auction_id)
    references = {**problem.references, U: reference}
    prices = price(references, problem.rules).prices
    return reseal(forgery, auction_id, references=references, prices=prices)


def inputs(forgery: Forgery, auction_id: int) -> Reference:
    return sealed_prices(forgery, auction_id)[1].references[U]


def feeds_of(forgery: Forgery, name: str) -> list[int]:
    """Where a feeder's records stand."""
    found = []
    for index in range(len(forgery.leaves)):
        record = forgery.read(index)
        if isinstance(record, PriceFeed) and record.feeder == owner(name):
            found.append(index)
    return found


# feeds


@refused_for(Reason.RECORD_UNAUTHORISED)
def feed_changed_without_its_key(forgery: Forgery) -> int:
    at = feeds_of(forgery, "fay")[0]
    changed = replace(forgery.read(at), prices={U: 2 * ONE_U})
    return forgery.write(at, changed, forgery.engine)


@refused_for(Reason.PROBLEM_MISMATCH)
def feed_changed_with_its_key(forgery: Forgery) -> int:
    at = feeds_of(forgery, "fay")[0]
    forgery.change(at, prices={**forgery.read(at).prices, U: ONE_U + 1})
    return forgery.of(Sealed, 1)


@refused_for(Reason.PROBLEM_MISMATCH)
def feed_left_out(forgery: Forgery) -> int:
    del forgery.leaves[feeds_of(forgery, "fox")[0]]
    return forgery.of(Sealed, 1)


@refused_for(Reason.PROBLEM_MISMATCH)
def feed_dated_later(forgery: Forgery) -> int:
    at = feeds_of(forgery, "fox")[0]
    forgery.change(at, at_ms=forgery.read(at).at_ms + 1)
    return forgery.of(Sealed, 1)


@refused_for(Reason.FEED_STALE)
def feed_counted_again(forgery: Forgery) -> int:
    first, second, *_ = feeds_of(forgery, "fay")
    return forgery.insert(second + 1, forgery.read(first))


@refused_for(Reason.SIGNER_UNKNOWN)
def feed_of_a_stranger(forgery: Forgery) -> int:
    at = feeds_of(forgery, "fay")[0]
    return forgery.insert(at, replace(forgery.read(at), feeder=signer("mallory").public_key))


@refused_for(Reason.DOMAIN_WRONG)
def feed_for_another_engine(forgery: Forgery) -> int:
    at = feeds_of(forgery, "fay")[0]
    return forgery.insert(at, replace(forgery.read(at), domain="elsewhere"))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def feed_while_a_batch_is_out(forgery: Forgery) -> int:
    """One for the next batch comes early."""
    source = feeds_of(forgery, "fay")[1]
    return forgery.move(source, forgery.of(Sealed, 1) + 1)


@refused_for(Reason.PROBLEM_MISMATCH)
def quorum_lowered_unseen(forgery: Forgery) -> int:
    """The rules of an auction are those of its opening."""
    rules = forgery.read(forgery.find(RulesSet)).rules
    forgery.insert(forgery.of(Opened, 2), RulesSet(replace(rules, price_quorum=1)))
    return forgery.of(Opened, 2)


# the sealed problem


@refused_for(Reason.PROBLEM_MISMATCH)
def wrong_median(forgery: Forgery) -> int:
    _, problem = sealed_prices(forgery, 1)
    found = problem.prices[U]
    prices = {**problem.prices, U: Price(found.amount + 1, found.source)}
    return reseal(forgery, 1, prices=prices)


@refused_for(Reason.PROBLEM_MISMATCH)
def price_beyond_the_cap(forgery: Forgery) -> int:
    return reseal_inputs(forgery, 2, replace(inputs(forgery, 2), last=0))


@refused_for(Reason.PROBLEM_MISMATCH)
def last_price_changed(forgery: Forgery) -> int:
    found = inputs(forgery, 2)
    return reseal_inputs(forgery, 2, replace(found, last=found.last + 1))


@refused_for(Reason.PROBLEM_MISMATCH)
def stale_feed_used(forgery: Forgery) -> int:
    """What `fox` said of U three times its price, two minutes ago."""
    said = forgery.read(feeds_of(forgery, "fox")[1])
    stale = Input(owner("fox").hex(), said.prices[U], said.at_ms)
    found = inputs(forgery, 3)
    assert stale.source not in {each.source for each in found.inputs}
    both = sorted((*found.inputs, stale), key=lambda each: each.source)
    return reseal_inputs(forgery, 3, replace(found, inputs=tuple(both)))


@refused_for(Reason.PROBLEM_MISMATCH)
def stale_feed_freshened(forgery: Forgery) -> int:
    """As above, with a time at which it said nothing."""
    said = forgery.read(feeds_of(forgery, "fox")[1])
    at, _ = sealed_prices(forgery, 3)
    fresh = Input(owner("fox").hex(), said.prices[U], forgery.read(at).sealed_ms)
    found = inputs(forgery, 3)
    both = sorted((*found.inputs, fresh), key=lambda each: each.source)
    return reseal_inputs(forgery, 3, replace(found, inputs=tuple(both)))


@refused_for(Reason.PROBLEM_MISMATCH)
def source_left_out(forgery: Forgery) -> int:
    found = inputs(forgery, 1)
    return reseal_inputs(forgery, 1, replace(found, inputs=found.inputs[:-1]))


@refused_for(Reason.PROBLEM_MISMATCH)
def another_price_of_the_venues(forgery: Forgery) -> int:
    found = inputs(forgery, 1)
    changed = tuple(
        replace(each, amount=each.amount * 2) if each.source == VENUES else each
        for each in found.inputs
    )
    return reseal_inputs(forgery, 1, replace(found, inputs=changed))


@refused_for(Reason.PROBLEM_MISMATCH)
def inputs_not_shown(forgery: Forgery) -> int:
    return reseal(forgery, 1, references={})


# who has no price


@refused_for(Reason.PRICES_MISMATCH)
def quarantine_omitted(forgery: Forgery) -> int:
    del forgery.leaves[forgery.find(PricesWatched)]
    return forgery.of(Sealed, 4)


@refused_for(Reason.PROBLEM_MISMATCH)
def disputed_asset_priced_all_the_same(forgery: Forgery) -> int:
    """With the orders that trade it."""
    at = forgery.of(Sealed, 4)
    state = replayed(forgery, at).state
    sealed_ms = forgery.read(at).sealed_ms
    state.prepare(sealed_ms)
    problem = state.problem(4, sealed_ms)
    left_out: dict[bytes, OpenIntent]
    left_out, balances = state.book.eligible(sealed_ms, state.balance)
    assert len(left_out) > len(problem.intents)
    prices = dict(sorted({**problem.prices, U: Price(ONE_U, "median of 4")}.items()))
    return reseal(forgery, 4, intents=left_out, balances=balances, prices=prices)


@refused_for(Reason.PRICES_MISMATCH)
def quarantine_with_other_numbers(forgery: Forgery) -> int:
    at = forgery.find(PricesWatched)
    (out,) = forgery.read(at).quarantined
    forgery.change(at, quarantined=(replace(out, details=out.details[:-1]),))
    return forgery.of(Sealed, 4)


@refused_for(Reason.PRICES_MISMATCH)
def quarantine_for_another_reason(forgery: Forgery) -> int:
    at = forgery.find(PricesWatched)
    (out,) = forgery.read(at).quarantined
    forgery.change(at, quarantined=(replace(out, rule="quorum"),))
    return forgery.of(Sealed, 4)


@refused_for(Reason.PRICES_MISMATCH)
def quarantine_invented(forgery: Forgery) -> int:
    at = forgery.of(Sealed, 1)
    record = PricesWatched(forgery.read(at).sealed_ms, (QuarantinedAsset(U, "disputed"),))
    return forgery.insert(at, record) + 1


@refused_for(Reason.PRICES_MISMATCH)
def release_left_out(forgery: Forgery) -> int:
    del forgery.leaves[forgery.find(PricesWatched, lambda r: bool(r.released))]
    return forgery.of(Sealed, 5)


@refused_for(Reason.PRICES_MISMATCH)
def prices_watched_twice(forgery: Forgery) -> int:
    at = forgery.find(PricesWatched)
    return forgery.insert(at + 1, forgery.read(at))


@refused_for(Reason.RECORD_OUT_OF_ORDER)
def prices_watched_between_batches(forgery: Forgery) -> int:
    at = forgery.of(Settled, 1) + 1
    return forgery.insert(at, forgery.read(forgery.find(PricesWatched)))
