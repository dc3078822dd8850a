"""Reference prices: the median of sources, its rules, and what venues show."""

from dataclasses import replace
from itertools import pairwise

import pytest
from support.ledgers import OPERATOR, ledger, submit
from support.market import (
    ASSETS,
    DOMAIN,
    DULL,
    ETH,
    PRICES,
    STRANGE,
    USD,
    WHOLE_ETH,
    WHOLE_USD,
    deposit,
    nonce,
    pool,
    sell,
    signer,
)

from walras.audit.prices import check_prices
from walras.cli.commands.feed import parse_prices
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.ledger.pricing import Pricing, feed_to_json
from walras.ledger.state import State
from walras.market.depth import near_depth
from walras.market.kinds import (
    AnyVenue,
    Bridge,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    Rfq,
    Tick,
)
from walras.market.reference import (
    Input,
    PriceLimits,
    PriceRule,
    Reference,
    Unpriced,
    aggregate,
    capped,
)
from walras.market.routes import MAX_PATHS, hops_of, independent_paths, venue_prices
from walras.protocol.prices import PriceFeed, PricesWatched, QuarantinedAsset
from walras.protocol.problem import Price, Rules
from walras.protocol.records import MarketUpdate, RulesSet
from walras.protocol.trade import decode_problem, encode_problem

ANN = signer("ann").public_key
FEEDERS = tuple(sorted(signer(name).public_key for name in ("fay", "fox", "fin")))
DAY_MS = 86_400_000


def reference(*amounts: int, last: int = 0) -> Reference:
    return Reference(tuple(Input(f"{i:02}", each, 0) for i, each in enumerate(amounts)), last)


# the median and its rules


@pytest.mark.parametrize(
    ("amounts", "price"),
    [((7,), 7), ((3, 9, 5), 5), ((1, 4), 2), ((10, 1, 2, 9), 5), ((1, 1, 10**70), 1)],
)
def test_the_price_is_the_median(amounts: tuple[int, ...], price: int) -> None:
    assert aggregate(reference(*amounts), PriceLimits()) == price


def test_fewer_sources_than_the_quorum_make_no_price() -> None:
    found = aggregate(reference(5, 5), PriceLimits(quorum=3))
    assert found == Unpriced(PriceRule.QUORUM, (("price_quorum", "3"), ("sources", "2")))
    assert isinstance(aggregate(reference(), PriceLimits()), Unpriced)


@pytest.mark.parametrize(
    ("amounts", "quorum", "agreed"),
    [
        ((100, 100, 105), 1, True),
        ((100, 100, 106), 3, False),
        ((100, 100, 106), 2, True),  # one that is far off is outvoted
        ((100, 200), 1, False),  # two that are far apart leave nobody to believe
        ((90, 100, 110), 1, False),  # the one in the middle alone is no majority
        ((50, 100, 100, 100, 10**9), 3, True),
        ((50, 60, 100, 100, 10**9), 1, False),
    ],
)
def test_sources_that_are_far_apart_dispute(
    amounts: tuple[int, ...], quorum: int, agreed: bool
) -> None:
    found = aggregate(reference(*amounts), PriceLimits(quorum, max_spread_bps=500))
    assert isinstance(found, int) is agreed
    if isinstance(found, Unpriced):
        assert found.rule is PriceRule.DISPUTED
        assert dict(found.details)["sources"] == str(len(amounts))


def test_a_dispute_names_its_numbers() -> None:
    found = aggregate(reference(100, 200), PriceLimits(max_spread_bps=500))
    assert found == Unpriced(
        PriceRule.DISPUTED,
        (
            ("max_price_spread_bps", "500"),
            ("median", "150"),
            ("near", "0"),
            ("price_quorum", "1"),
            ("sources", "2"),
        ),
    )


@pytest.mark.parametrize(
    ("price", "last", "bps", "found"),
    [
        (2_000, 1_000, 100, 1_010),
        (1, 1_000, 100, 990),
        (1_005, 1_000, 100, 1_005),
        (9, 1, 100, 2),  # small prices move by one
        (1, 2, 100, 1),
        (1, 1_000, 10_000, 1),
        (7, 0, 100, 7),  # the first
        (7, 1_000, 0, 7),  # no rule
    ],
)
def test_a_price_moves_by_no_more_than_the_cap(price: int, last: int, bps: int, found: int) -> None:
    assert capped(price, last, bps) == found


def test_what_is_of_the_future_or_too_old_does_not_count() -> None:
    limits = PriceLimits(max_age_ms=10)
    assert [limits.counts(at, 100) for at in (89, 90, 100, 101)] == [False, True, True, False]
    assert PriceLimits().counts(0, DAY_MS)
    assert not PriceLimits().counts(2, 1)


# what venues show


WORTH = {ETH: 10**9, USD: 5 * 10**17}


def shown(*venues: AnyVenue, least: int = 0) -> dict[str, int]:
    hops = [hop for venue in venues for hop in hops_of(venue)]
    return venue_prices(hops, ETH, [ETH, USD, DULL], WORTH, least)


def test_a_pool_shows_the_ratio_of_its_reserves_whatever_its_fee() -> None:
    assert shown(pool()) == {USD: 5 * 10**17}
    assert shown(replace(pool(), fee_pips=500_000)) == {USD: 5 * 10**17}


def test_a_path_is_the_product_of_its_hops() -> None:
    other = ConstantProduct("other", 0, (DULL, USD), (300 * WHOLE_ETH, 100 * WHOLE_USD), 3_000)
    assert shown(pool(), other)[DULL] == 5 * 10**17 * WHOLE_USD // (3 * WHOLE_ETH)
    assert shown(other) == {}


def test_a_path_has_at_most_three_hops() -> None:
    names = [ETH, "eip155:1/erc20:0x1", "eip155:1/erc20:0x2", USD, DULL]
    chain = [
        ConstantProduct(f"v{i}", 0, (a, b), (10**20, 10**20), 0)
        for i, (a, b) in enumerate(pairwise(names))
    ]
    worth = dict.fromkeys(names, 10**9)
    hops = [hop for venue in chain for hop in hops_of(venue)]
    assert set(independent_paths(hops, ETH, [USD, DULL], worth)) == {USD}
    assert not shown(*chain[1:])


def test_paths_share_no_venue() -> None:
    """Two ways from DULL to USD, one from USD to ETH: one path, the deeper."""
    thin = ConstantProduct("thin", 0, (DULL, USD), (4 * 10**20, 10**8), 0)
    deep = ConstantProduct("deep", 0, (DULL, USD), (10**21, 10**9), 0)
    hops = [hop for venue in (thin, deep, pool()) for hop in hops_of(venue)]
    (path,) = independent_paths(hops, ETH, [DULL], WORTH)[DULL]
    assert path.venues == ("deep", "pool")
    second = pool("second")
    hops += hops_of(second)
    found = independent_paths(hops, ETH, [DULL], WORTH)[DULL]
    assert {name for path in found for name in path.venues} == {"deep", "thin", "pool", "second"}
    assert all(path.depth for path in found)


def test_the_number_of_paths_is_bounded() -> None:
    hops = [hop for i in range(3 * MAX_PATHS) for hop in hops_of(pool(f"p{i:02}", depth=1 + i))]
    paths = independent_paths(hops, ETH, [USD], WORTH)[USD]
    assert [path.venues for path in paths] == [(f"p{23 - i:02}",) for i in range(MAX_PATHS)]
    assert paths == independent_paths(reversed(hops), ETH, [USD], WORTH)[USD]


def test_depth_decides_and_shallow_paths_may_be_left_out() -> None:
    """Each of two pushed pools is deep by itself; together they are not half of the depth."""
    pushed = [
        ConstantProduct(f"x{i}", 0, (ETH, USD), (30 * WHOLE_ETH, 600_000 * WHOLE_USD), 0)
        for i in range(2)
    ]
    assert shown(pool(depth=100), *pushed) == {USD: 5 * 10**17}
    assert shown(*pushed) == {USD: 5 * 10**16}
    assert shown(*pushed, least=10**9) == {}


def test_a_pool_that_is_pushed_becomes_shallower() -> None:
    """By either side: of two equal pools the one that was left alone decides."""
    honest = pool("honest", depth=100)
    for asset, amount in ((ETH, 900 * WHOLE_ETH), (USD, 1_800_000 * WHOLE_USD)):
        other = USD if asset == ETH else ETH
        pushed = pool("aaa", depth=100).swap(asset, amount, other).after
        assert shown(pushed)[USD] != pytest.approx(5 * 10**17, rel=0.9)
        assert shown(pushed, honest) == {USD: 5 * 10**17}


def test_hops_between_assets_that_nobody_prices_do_not_count() -> None:
    names = ["eip155:1/erc20:0x1", "eip155:1/erc20:0x2", ETH]
    chain = [
        ConstantProduct(f"v{i}", 0, (a, b), (10**20, 10**20), 0)
        for i, (a, b) in enumerate(zip([USD, *names], names, strict=False))
    ]
    assert shown(*chain) == {}
    assert set(shown(*chain[1:])) == set()
    assert hops_of(chain[1])[0].depth(WORTH) == 0


def test_one_sided_venues_show_nothing() -> None:
    offers = (Offer(WHOLE_ETH, 2_000 * WHOLE_USD),)
    assert shown(OrderBook("b", 0, (ETH, USD), offers, ())) == {}
    quote = Rfq("q", 0, (ETH, USD), ANN, 1, 10**18, 10**10, 1 << 60, bytes(64), 10**18)
    assert shown(quote) == {}
    assert shown(replace(pool(), reserves=(0, 10**12))) == {}


def test_a_book_shows_the_middle_of_its_best_offers() -> None:
    asks = (Offer(10 * WHOLE_ETH, 21_000 * WHOLE_USD), Offer(WHOLE_ETH, 10**6 * WHOLE_USD))
    bids = (Offer(19_000 * WHOLE_USD, 10 * WHOLE_ETH),)
    book = OrderBook("b", 0, (ETH, USD), asks, bids)
    assert near_depth(book) == (10 * WHOLE_ETH, 19_000 * WHOLE_USD)
    assert shown(book)[USD] == pytest.approx(5 * 10**17)


def test_near_depth_is_what_a_small_move_pays() -> None:
    """The square root of the price goes from 40 to 41 by what the depth says, in one swap."""
    side = 4_100 * WHOLE_ETH
    made = ConstantProduct("p", 0, (ETH, DULL), (side, side), 0)
    gives, _ = near_depth(made)
    assert gives == 100 * WHOLE_ETH
    paid = made.swap(DULL, side * 41 // 40 - side, ETH)
    assert abs(paid.amount_out - gives) <= 1
    liquidity = 10**21
    wide = (Tick(-60_000, liquidity), Tick(60_000, -liquidity))
    flat = Concentrated("c", 0, (ETH, DULL), 1 << 96, 0, liquidity, 3_000, 60, wide)
    for exact, rough in zip(near_depth(flat), (liquidity // 41, liquidity // 41), strict=True):
        assert abs(exact - rough) <= 2
    narrow = (Tick(-60, liquidity), Tick(60, -liquidity))
    near = near_depth(replace(flat, ticks=narrow))
    assert all(0 < part < liquidity // 300 for part in near)
    assert near_depth(Bridge("x", 0, (ETH, DULL), (5, 7), (1, 1), 0, (0, 0), 0)) == (5, 7)


# in the state


def rules(**changes: object) -> Rules:
    made = Rules(feeders=FEEDERS, price_quorum=3, numeraire=ETH)
    return replace(made, **changes)  # type: ignore[arg-type]  # any fields


def feed(who: int, sequence: int, at_ms: int, **prices: int) -> PriceFeed:
    named = {"usd": USD, "dull": DULL, "eth": ETH, "strange": STRANGE}
    said = {named[name]: amount for name, amount in prices.items()}
    return PriceFeed(DOMAIN, FEEDERS[who], sequence, at_ms, said)


def funded(*venues: AnyVenue, **changes: object) -> State:
    state = ledger(*venues, rules=rules(**changes))
    state.deposit(deposit(OPERATOR, ANN, ETH, 10 * WHOLE_ETH))
    state.tell_time(1)
    return state


def refusal(state: State, record: PriceFeed) -> Reason:
    before = state.market.pricing.feeds.get(record.feeder)
    with pytest.raises(InvalidInput) as error:
        state.feed_prices(record)
    assert state.market.pricing.feeds.get(record.feeder) == before
    return error.value.reason


def test_feeds_are_checked() -> None:
    state = funded()
    state.feed_prices(feed(0, 5, 50, usd=1))
    assert refusal(state, feed(0, 5, 60, usd=2)) is Reason.FEED_STALE
    assert refusal(state, feed(0, 6, 49, usd=2)) is Reason.FEED_STALE
    assert refusal(state, feed(0, 6, 50, strange=2)) is Reason.ASSET_UNKNOWN
    assert refusal(state, replace(feed(0, 6, 50, usd=2), domain="other")) is Reason.DOMAIN_WRONG
    assert refusal(state, replace(feed(0, 6, 50, usd=2), feeder=ANN)) is Reason.SIGNER_UNKNOWN
    state.feed_prices(feed(0, 6, 50, dull=3))
    assert state.market.pricing.feeds[FEEDERS[0]].prices == {USD: (1, 50), DULL: (3, 50)}
    state.set_rules(RulesSet(rules(feeders=FEEDERS[1:])))
    assert refusal(state, feed(0, 7, 60, usd=2)) is Reason.SIGNER_UNKNOWN


def test_the_operator_alone_is_as_ever() -> None:
    state = ledger()
    assert state.prepare(5) == []
    problem = state.problem(1, 5)
    assert problem.prices == PRICES
    assert not problem.references
    assert state.market.pricing.last == {}
    check_prices(problem)
    with pytest.raises(AuditFailure):
        check_prices(replace(problem, references={USD: reference(1)}))


def test_the_problem_shows_all_that_a_price_follows_from() -> None:
    state = funded(max_price_age_ms=1_000)
    state.market.pricing.stated[USD] = 1
    state.feed_prices(feed(0, 1, 900, usd=6 * 10**17))
    state.feed_prices(feed(1, 1, 10, usd=10**30))
    state.feed_prices(feed(2, 1, 1_002, usd=10**30))
    assert state.prepare(1_001) == []
    problem = state.problem(1, 1_001)
    assert problem.references[USD].inputs == tuple(
        sorted(
            [
                Input("operator", PRICES[USD].amount, 1),
                Input(FEEDERS[0].hex(), 6 * 10**17, 900),
                Input(FEEDERS[1].hex(), 10**30, 10),
                Input("venues", 5 * 10**17, 1_001),
            ],
            key=lambda each: each.source,
        )
    )
    assert problem.prices[USD] == Price(55 * 10**16, "median of 4")
    assert problem.prices[ETH] == Price(10**9, "numeraire")
    assert decode_problem(encode_problem(problem), {}) == problem
    check_prices(problem)
    # A while later only the venues and one feeder count.
    (watched,) = state.prepare(1_902)
    assert isinstance(watched, PricesWatched)
    assert [(q.asset, q.rule) for q in watched.quarantined] == [(USD, "quorum")]


def test_intents_of_an_unpriced_asset_wait() -> None:
    state = funded()
    wanted = submit(state, sell(ANN))
    (watched,) = state.prepare(10)
    details = (("price_quorum", "3"), ("sources", "2"))
    assert watched == PricesWatched(10, (QuarantinedAsset(USD, "quorum", details),))
    problem = state.problem(1, 10)
    assert not problem.intents
    assert not problem.balances
    assert USD not in problem.prices
    assert len(problem.references[USD].inputs) == 2
    check_prices(problem)
    assert state.prepare(11) == []  # it stays out; nothing is new
    state.feed_prices(feed(0, 1, 11, usd=5 * 10**17))
    assert state.prepare(12) == [PricesWatched(12, (), (USD,))]
    problem = state.problem(2, 12)
    assert set(problem.intents) == {wanted}
    assert problem.prices[USD].amount == 5 * 10**17


def test_rules_that_leave_all_to_the_operator_let_everything_back() -> None:
    state = funded(max_price_move_bps=100)
    state.prepare(10)
    assert state.market.pricing.out == {USD: "quorum"}
    state.set_rules(RulesSet(Rules()))
    assert state.prepare(11) == [PricesWatched(11, (), (USD,))]
    assert state.problem(2, 11).prices == PRICES
    assert state.market.pricing.last == {}


def test_the_cap_is_measured_from_the_last_sealed_price() -> None:
    state = funded(price_quorum=1, feeders=(), numeraire="", max_price_move_bps=1_000)
    state.prepare(10)
    assert state.problem(1, 10).prices[USD].amount == PRICES[USD].amount
    doubled = {USD: Price(2 * PRICES[USD].amount, "news")}
    state.update_market(MarketUpdate(DOMAIN, OPERATOR, nonce(), prices=doubled))
    seen = []
    for at in range(11, 20):
        state.prepare(at)
        problem = state.problem(1, at)
        assert problem == state.problem(1, at)  # to ask again changes nothing
        check_prices(problem)
        seen.append(problem.prices[USD].amount)
    last = PRICES[USD].amount
    for price in seen[:7]:
        assert price == last + last // 10
        last = price
    assert seen[-1] == seen[-2] == 2 * PRICES[USD].amount


def test_venues_do_not_help_to_clear_themselves() -> None:
    """A pool at 30 times the price is judged by operator and feeders, and shows nothing then."""
    odd = ConstantProduct("odd", 0, (ETH, USD), (10**21, 60_000_000 * WHOLE_USD), 3_000)
    state = funded(odd)
    state.feed_prices(feed(0, 1, 1, usd=5 * 10**17))
    state.feed_prices(feed(1, 1, 1, usd=5 * 10**17))
    out, *rest = state.prepare(10)
    assert [q.venue for q in out.quarantined] == ["odd"]
    assert not rest
    assert [i.source for i in state.problem(1, 10).references[USD].inputs] == sorted(
        ["operator", FEEDERS[0].hex(), FEEDERS[1].hex()]
    )


def test_memory_survives_as_json() -> None:
    state = funded(max_price_move_bps=7)
    state.feed_prices(feed(0, 1, 11, usd=10**40, dull=1))
    state.prepare(12)
    kept = state.market.pricing
    feeds = {key.hex(): feed_to_json(each) for key, each in kept.feeds.items()}
    assert Pricing.from_json(kept.to_json(), feeds) == kept
    assert kept.last
    assert kept.out


# a problem by itself


def test_a_problem_that_is_not_what_its_inputs_make_is_refused() -> None:
    state = funded(max_price_age_ms=1_000, max_price_move_bps=500, max_price_spread_bps=500)
    state.feed_prices(feed(0, 1, 900, usd=5 * 10**17))
    state.prepare(1_000)
    problem = state.problem(1, 1_000)
    check_prices(problem)
    found = problem.references[USD]
    first, *others = found.inputs

    def with_inputs(*inputs: Input, last: int = found.last) -> dict[str, Reference]:
        return {**problem.references, USD: Reference(inputs, last)}

    price = problem.prices[USD]
    for changed in (
        replace(problem, prices={**problem.prices, USD: replace(price, amount=price.amount + 1)}),
        replace(problem, prices={ETH: problem.prices[ETH]}),
        replace(problem, references=with_inputs(*others)),
        replace(problem, references=with_inputs(replace(first, amount=1), *others)),
        replace(problem, references=with_inputs(replace(first, at_ms=1_001), *others)),
        replace(problem, references=with_inputs(first, *others, last=1)),
        replace(problem, venues={"pool": pool(depth=1)}),
        replace(problem, venues={"pool": replace(pool(), reserves=(10**21, 10**12))}),
        replace(problem, venues={}),
        replace(problem, rules=replace(problem.rules, feeders=())),
        replace(problem, rules=replace(problem.rules, max_price_age_ms=50)),
        replace(problem, rules=replace(problem.rules, price_quorum=4)),
        replace(problem, rules=replace(problem.rules, numeraire_decimals=17)),
        replace(problem, sealed_ms=999),
    ):
        if changed.venues == {"pool": pool(depth=1)}:
            check_prices(changed)  # another depth, the same price
            continue
        with pytest.raises(AuditFailure) as error:
            check_prices(changed)
        assert error.value.reason is Reason.PRICES_MISMATCH


# what people type


def test_prices_are_read_exactly() -> None:
    assets = {asset.id: asset for asset in ASSETS}
    assert parse_prices(["USD=0.0005", "ETH=1"], assets) == {
        USD: 5 * 10**17,
        ETH: 10**9,
    }
    assert parse_prices([f"{DULL}=0.0000000019"], assets) == {DULL: 1}


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["USD"], Reason.AMOUNT_MALFORMED),
        (["USD=-1"], Reason.AMOUNT_MALFORMED),
        (["USD=1e5"], Reason.AMOUNT_MALFORMED),
        (["USD=.5"], Reason.AMOUNT_MALFORMED),
        (["ETH=0.0000000001"], Reason.AMOUNT_OUT_OF_RANGE),
        (["USD=0"], Reason.AMOUNT_OUT_OF_RANGE),
        (["NONE=1"], Reason.ASSET_UNKNOWN),
        (["USD=1", "usd=2"], Reason.FIELD_INVALID),
    ],
)
def test_prices_that_cannot_be_read_are_refused(texts: list[str], reason: Reason) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_prices(texts, {asset.id: asset for asset in ASSETS})
    assert error.value.reason is reason
