"""A reason for every no, on auctions made by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.auctions import (
    DAI,
    ETH,
    NOW,
    PRICES,
    USDC,
    WHOLE_ETH,
    WHOLE_USDC,
    bid,
    candidate,
    intent,
    key,
    pool,
    problem,
    scored,
)

from walras.auction.award import award
from walras.auction.candidates import ScoredBid
from walras.auction.logged import LoggedAuction, LoggedBid, LoggedUnopened
from walras.auction.validity import exchanged_values, in_collar
from walras.auction.why import MAX_BIDS, Explanation, Standing, Verdict, why_bid, why_intent
from walras.core.errors import AuditFailure, BidRejected, Reason
from walras.core.intents import Intent
from walras.protocol.problem import Problem

SEED = b"seed"
GROUP = f"{ETH}>{USDC}"
SELL = intent("ann", {ETH: -1}, USDC, 2_900 * WHOLE_USDC, units=WHOLE_ETH)


def world(*names: str, **changes: object) -> Problem:
    made = problem(
        dict.fromkeys(names, SELL), balances={("ann", ETH): WHOLE_ETH}, venues=[pool("pool")]
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def valid(one: ScoredBid) -> LoggedBid:
    return LoggedBid(one.digest, one.id, one.bid.solver, bid=one.bid, scored=one)


def refused(name: str, intents: Sequence[str], error: BidRejected) -> LoggedBid:
    sent = bid([(one, 1) for one in intents], {})
    details = tuple(sorted(error.fields.items()))
    return LoggedBid(
        key(f"{name} digest"), key(name), sent.solver, b"", sent, None, error.reason.value, details
    )


def settled(
    made: Problem,
    bids: Sequence[LoggedBid],
    unopened: Sequence[LoggedUnopened] = (),
    commitments: Sequence[tuple[bytes, bytes]] = (),
) -> LoggedAuction:
    done = award(made, [one.scored for one in bids if one.scored is not None], SEED)
    return LoggedAuction(
        made.auction_id,
        made,
        {key("solver"): "honest"},
        NOW + 5,
        tuple(commitments),
        tuple(bids),
        tuple(unopened),
        tuple(one.id for one in done.winners),
        SEED,
        done.certificate,
    )


def sealed(made: Problem, **fields: object) -> LoggedAuction:
    return replace(
        LoggedAuction(made.auction_id, made, {}, NOW + 5),
        **fields,  # type: ignore[arg-type]
    )


def asked(auction: LoggedAuction, standing: Standing | None = None) -> Explanation:
    found = why_intent(key("sell"), standing or Standing(SELL, WHOLE_ETH), auction)
    assert (found.subject, found.id, found.auction_id) == ("intent", key("sell"), 7)
    assert found.message
    return found


def of_bid(name: str, auction: LoggedAuction) -> Explanation:
    found = why_bid(key(name), auction)
    assert found is not None
    return found


# not in the problem


def excluded(changed: Intent = SELL, state: str = "open", **standing: object) -> Explanation:
    known = {"available": {ETH: WHOLE_ETH}} | standing
    made = Standing(changed, changed.units, state, **known)  # type: ignore[arg-type]
    return asked(settled(world(), []), made)


@pytest.mark.parametrize("state", ["filled", "cancelled"])
def test_what_was_closed_before(state: str) -> None:
    found = excluded(state=state)
    assert (found.verdict, found.fields["state"]) == (Verdict.CLOSED_BEFORE, state)


def test_outside_its_window() -> None:
    early = excluded(replace(SELL, not_before_ms=NOW + 1))
    assert early.verdict is Verdict.TOO_EARLY
    assert early.fields == {"sealed_ms": str(NOW), "not_before_ms": str(NOW + 1)}
    late = excluded(replace(SELL, expiry_ms=NOW), state="expired")
    assert late.verdict is Verdict.EXPIRED
    assert late.fields == {"sealed_ms": str(NOW), "expiry_ms": str(NOW)}


def test_an_asset_without_a_price() -> None:
    prices = {asset: price for asset, price in PRICES.items() if asset != USDC}
    auction = settled(world(prices=prices), [])
    found = asked(auction)
    assert (found.verdict, found.fields["asset"]) == (Verdict.PRICE_MISSING, USDC)
    named = asked(auction, Standing(SELL, 1, unpriced={USDC: "disputed"}))
    assert named.fields["rule"] == "disputed"


def test_not_backed_says_what_was_missing() -> None:
    whole = replace(SELL, min_units=WHOLE_ETH)
    found = excluded(whole, available={ETH: WHOLE_ETH - 1})
    assert found.verdict is Verdict.NOT_BACKED
    needed, available = int(found.fields["needed"]), int(found.fields["available"])
    assert (needed, available, found.fields["asset"]) == (WHOLE_ETH, WHOLE_ETH - 1, ETH)
    assert whole.backed(whole.limit, lambda _: available) < whole.min_units
    assert whole.backed(whole.limit, lambda _: needed) >= whole.min_units


def test_a_buyer_lacks_the_settlement_asset() -> None:
    buy = intent("ann", {ETH: 1}, USDC, -3_100 * WHOLE_USDC, units=WHOLE_ETH, min_units=WHOLE_ETH)
    found = excluded(buy, available={USDC: 5})
    assert (found.fields["asset"], found.fields["needed"]) == (USDC, str(3_100 * WHOLE_USDC))


def test_where_balances_are_not_known_it_says_what_was_needed() -> None:
    found = excluded(available=None)
    assert found.verdict is Verdict.NOT_BACKED
    assert found.fields[f"needed.{ETH}"] == "1"


def test_an_eligible_intent_that_was_left_out_is_evidence() -> None:
    with pytest.raises(AuditFailure) as caught:
        excluded()
    assert caught.value.reason is Reason.PROBLEM_MISMATCH


# in the problem


def test_a_batch_that_is_not_settled_or_was_voided() -> None:
    assert asked(sealed(world("sell"))).verdict is Verdict.PENDING
    voided = asked(sealed(world("sell"), void_reason="BATCH_INTERRUPTED"))
    assert (voided.verdict, voided.fields) == (
        Verdict.VOIDED,
        {"void_reason": "BATCH_INTERRUPTED"},
    )


def test_a_fill_is_named_with_its_bid() -> None:
    won = candidate("won", 10, [GROUP], intents=["sell"])
    found = asked(settled(world("sell"), [valid(won)]))
    assert found.verdict is Verdict.FILLED
    assert found.fields["bid"] == won.id.hex()
    assert (found.fields["units"], found.fields["remaining"]) == ("1", str(WHOLE_ETH))


def test_no_bid_touched_it() -> None:
    other = candidate("other", 10, ["another"], intents=["else"])
    stale = pool("stale")
    far = pool("far", assets=(ETH, DAI))
    standing = Standing(
        SELL,
        WHOLE_ETH,
        quarantined={"stale": "stale", "far": "volatile"},
        venues={"pool": pool("pool"), "stale": stale, "far": far},
    )
    unopened = LoggedUnopened(key("c"), key("d"), 0, key("solver"), "OPENING_MISSING")
    found = asked(settled(world("sell"), [valid(other)], [unopened]), standing)
    assert found.verdict is Verdict.UNTOUCHED
    assert found.fields == {
        "bids": "1",
        "venues": "1",
        "unopened": "1",
        "quarantined.stale": "stale",
    }


def collar_broken(made: Problem) -> BidRejected:
    with pytest.raises(BidRejected) as caught:
        scored(made, bid([("sell", WHOLE_ETH)], {ETH: 4_000 * WHOLE_USDC, USDC: WHOLE_ETH}))
    return caught.value


def test_touched_only_by_rejected_bids_says_each_rule() -> None:
    made = world("sell")
    error = collar_broken(made)
    missing = BidRejected(Reason.PRICE_MISSING, "no price", asset=USDC)
    bids = [refused("far", ["sell"], error), refused("bare", ["sell"], missing)]
    found = asked(settled(made, [*bids, refused("else", ["other"], missing)]))
    assert found.verdict is Verdict.REJECTED
    assert found.fields["bids"] == "2"
    assert found.fields["bids.rejected.COLLAR_BROKEN"] == "1"
    assert found.fields["bids.rejected.PRICE_MISSING"] == "1"
    by_reason = {one.fields["reason"]: one for one in found.bids}
    collar = by_reason["COLLAR_BROKEN"]
    assert "collar" in collar.message
    given, received = int(collar.fields["detail.given"]), int(collar.fields["detail.received"])
    assert not in_collar(made, given, received)
    changes = [(ETH, -WHOLE_ETH), (USDC, 4_000 * WHOLE_USDC)]
    assert (given, received) == exchanged_values(made, changes)
    assert by_reason["PRICE_MISSING"].fields["detail.asset"] == USDC


def test_outbid_names_the_winners_and_both_numbers() -> None:
    lost = candidate("lost", 4, [GROUP, "side"], intents=["sell"])
    won = candidate("won", 7, [GROUP])
    beside = candidate("beside", 5, ["side"])
    bids = [
        valid(replace(one, surplus=dict.fromkeys(one.surplus, 20))) for one in (lost, won, beside)
    ]
    auction = settled(world("sell"), bids)
    found = asked(auction)
    assert found.verdict is Verdict.OUTBID
    (one,) = found.bids
    assert one.fields["needed_by"] == "prices"
    assert {one.fields["against.0"], one.fields["against.1"]} == {won.id.hex(), beside.id.hex()}
    assert (one.fields["score"], one.fields["against_score"]) == ("4", "12")
    assert (one.fields["needed"], one.fields["enough"]) == ("12", "13")
    assert one.fields["solver_name"] == "honest"
    assert "at least 12 (necessary, not sufficient)" in one.message
    assert of_bid("won", auction).verdict is Verdict.WON
    assert of_bid("lost", auction) == one


def test_the_best_of_the_same_resources_took_its_place() -> None:
    better = candidate("better", 9, [GROUP])
    auction = settled(
        world("sell"), [valid(candidate("lost", 4, [GROUP], intents=["sell"])), valid(better)]
    )
    (one,) = asked(auction).bids
    assert one.fields["dominated_by"] == better.id.hex()
    assert (one.fields["needed"], one.fields["enough"]) == ("9", "10")


def test_a_bid_for_one_market_may_win_by_fairness_below_the_prices() -> None:
    over = candidate("over", 20, {GROUP: 10, "side": 10})
    lost = candidate("lost", 5, [GROUP], intents=["sell"])
    found = of_bid("lost", settled(world("sell"), [valid(over), valid(lost)]))
    assert (found.fields["needed"], found.fields["needed_by"]) == ("11", "fairness")
    assert found.fields["enough"] == "21"
    for score, wins in ((10, False), (11, True)):
        raised = candidate("lost", score, [GROUP])
        again = award(world("sell"), [over, raised], SEED)
        assert (raised in again.winners) is wins


def test_unfair_names_every_market_and_the_bid_behind_its_baseline() -> None:
    over = candidate("over", 30, {GROUP: 4, "side": 1, "third": 25}, intents=["sell"])
    alone, beside = candidate("alone", 6, [GROUP]), candidate("beside", 3, ["side"])
    auction = settled(world("sell"), [valid(one) for one in (over, alone, beside)])
    found = asked(auction)
    assert found.verdict is Verdict.UNFAIR
    (one,) = found.bids
    assert one.fields["groups_short"] == "2"
    assert (one.fields["group"], one.fields["surplus"], one.fields["baseline"]) == (GROUP, "4", "6")
    assert one.fields["baseline_bid"] == alone.id.hex()
    assert (one.fields["group.1"], one.fields["baseline.1"]) == ("side", "3")
    assert one.fields["baseline_bid.1"] == beside.id.hex()


def test_the_best_bids_are_shown_and_the_others_counted() -> None:
    made = world("sell")
    many = [valid(candidate(f"bid {n}", n, [GROUP], intents=["sell"])) for n in range(1, 40)]
    bids = [*many, valid(candidate("won", 99, [GROUP]))]
    found = asked(settled(made, bids))
    assert found.fields["bids"] == "39"
    assert [one.fields["score"] for one in found.bids] == [str(39 - n) for n in range(MAX_BIDS)]


# bids and commitments


def test_a_bid_is_found_by_any_of_its_names() -> None:
    one = replace(valid(candidate("won", 5, [GROUP])), commitment=key("hash"))
    auction = settled(world("sell"), [one], commitments=[(key("hash"), key("envelope"))])
    names = (one.id, one.digest, key("hash"), key("envelope"))
    found = [why_bid(name, auction) for name in names]
    assert found[0] is not None
    assert found[0].verdict is Verdict.WON
    assert all(each == found[0] for each in found)
    assert why_bid(key("nobody's"), auction) is None


def test_a_copy_with_a_broken_signature_does_not_speak_for_the_bid() -> None:
    good = valid(candidate("won", 5, [GROUP]))
    broken = refused("won", [], BidRejected(Reason.SIGNATURE_INVALID, "broken"))
    found = of_bid("won", settled(world("sell"), [broken, good]))
    assert found.verdict is Verdict.WON
    copy = why_bid(broken.digest, settled(world("sell"), [broken, good]))
    assert copy is not None
    assert (copy.verdict, copy.fields["reason"]) == (Verdict.REJECTED, "SIGNATURE_INVALID")


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        ("OPENING_MISSING", "did not open it in time"),
        ("OPENING_INVALID", "is not what it had committed to"),
        ("COMMITMENT_DUPLICATE", "does not count"),
    ],
)
def test_a_commitment_that_came_to_nothing(reason: str, part: str) -> None:
    one = LoggedUnopened(key("hash"), key("envelope"), 3, key("solver"), reason)
    auction = settled(world("sell"), [], [one], [(key("hash"), key("envelope"))])
    for name in ("hash", "envelope"):
        found = of_bid(name, auction)
        assert (found.subject, found.verdict) == ("commitment", Verdict.UNOPENED)
        assert part in found.message
        assert (found.fields["reason"], found.fields["place"]) == (reason, "3")


def test_a_commitment_whose_batch_has_no_award() -> None:
    listed = ((key("hash"), key("envelope")),)
    pending = of_bid("hash", sealed(world("sell"), commitments=listed))
    assert pending.verdict is Verdict.PENDING
    voided = of_bid("hash", sealed(world("sell"), commitments=listed, void_reason="X"))
    assert voided.verdict is Verdict.VOIDED


def test_as_a_document() -> None:
    found = asked(settled(world("sell"), [valid(candidate("a", 3, [GROUP], intents=["sell"]))]))
    document = found.document()
    assert document["verdict"] == "FILLED"
    assert document["fields"] == dict(found.fields)
    assert "bids" not in document
