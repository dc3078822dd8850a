"""The audit of reference prices: who said what, and what every batch was collared by."""

import pytest
from support.audit.log_copy import read_leaf
from support.audit.price_attacks import PRICE_ATTACKS, sealed_prices
from support.audit.price_scenario import ONE_U, recorded_prices
from support.audit.scenario import D, U, W, owner

from walras.audit.prices import check_prices
from walras.audit.verifier import replay, replayed, verify_entries
from walras.core.errors import AuditFailure
from walras.protocol.prices import PricesWatched


def test_the_honest_log_is_audited() -> None:
    made = recorded_prices()
    machine = replayed(verify_entries(made.log, made.key), made.log, made.key)
    counts = machine.counts
    assert counts.auctions == 5
    assert counts.records["prices"] == 9
    assert counts.records["prices-watched"] == 2
    assert counts.fills == 9  # one of the two orders of auction 5 that trade alike
    assert machine.state.market.pricing.out == {}


def test_each_batch_has_the_price_that_its_sources_make() -> None:
    forgery = recorded_prices().forgery()
    found = [sealed_prices(forgery, number)[1] for number in range(1, 6)]
    for problem in found:
        check_prices(problem)
        assert problem.prices[W].amount == 10**9
    amounts = [problem.prices[U].amount if U in problem.prices else 0 for problem in found]
    assert amounts[0] == ONE_U
    assert amounts[1] == ONE_U + ONE_U * 500 // 10_000  # of the 8 % that three of four ask for
    assert [i.amount for i in found[1].references[U].inputs].count(3 * ONE_U) == 1
    assert owner("fox").hex() not in {i.source for i in found[2].references[U].inputs}
    assert amounts[3] == 0
    assert len(found[3].references[U].inputs) == 4
    assert amounts[4] == pytest.approx(ONE_U, rel=0.05)
    assert [len(problem.intents) for problem in found] == [2, 2, 2, 1, 3]
    assert all(D in problem.prices for problem in found)


def test_why_an_asset_had_no_price_is_in_the_log() -> None:
    leaves = map(read_leaf, recorded_prices().log.leaves)
    out, back = (record for record in leaves if isinstance(record, PricesWatched))
    (why,) = out.quarantined
    assert (why.asset, why.rule) == (U, "disputed")
    assert {"near": "2", "sources": "4", "price_quorum": "3"}.items() <= dict(why.details).items()
    assert (back.quarantined, back.released) == ((), (U,))


@pytest.mark.parametrize("name", PRICE_ATTACKS)
def test_a_forger_with_the_engines_key_is_refused(name: str) -> None:
    attack, reason = PRICE_ATTACKS[name]
    made = recorded_prices()
    forgery = made.forgery()
    index = attack(forgery)
    forged = forgery.log()
    verified = verify_entries(forged, made.key)
    with pytest.raises(AuditFailure) as refusal:
        replay(verified, forged, made.key)
    assert refusal.value.reason is reason, refusal.value
    assert refusal.value.fields["index"] == str(index), refusal.value
