"""Whoever lies alone moves no price beyond what the others say, however the market looks."""

import random
from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import OPERATOR, ledger
from support.market import DOMAIN, ETH, PRICES, USD, WHOLE_ETH, WHOLE_USD, pool, signer

from walras.audit.prices import check_prices
from walras.ledger.state import State
from walras.market.kinds import ConstantProduct
from walras.market.reference import Input, PriceLimits, Reference, Unpriced, aggregate
from walras.market.routes import MAX_HOPS, MAX_PATHS, hops_of, independent_paths, venue_prices
from walras.protocol.prices import PriceFeed
from walras.protocol.problem import Price, Rules
from walras.protocol.records import MarketUpdate
from walras.protocol.trade import decode_problem, encode_problem

FEEDERS = tuple(sorted(signer(f"feeder {n}").public_key for n in range(3)))
amounts = st.one_of(st.integers(1, 200), st.integers(1, (1 << 255) - 1))
said = st.lists(amounts, min_size=3, max_size=9)


def reference(values: list[int], last: int = 0) -> Reference:
    return Reference(tuple(Input(f"{i:02}", each, 0) for i, each in enumerate(values)), last)


@given(values=said, liar=st.integers(0, 8), lie=amounts)
def test_no_single_source_moves_the_price_outside_the_others(
    values: list[int], liar: int, lie: int
) -> None:
    liar %= len(values)
    others = values[:liar] + values[liar + 1 :]
    found = aggregate(reference([*others, lie]), PriceLimits(quorum=3))
    assert isinstance(found, int)
    assert min(others) <= found <= max(others)


@given(values=said, last=amounts, cap=st.integers(1, 10_000), quorum=st.integers(1, 4))
def test_the_cap_holds(values: list[int], last: int, cap: int, quorum: int) -> None:
    found = aggregate(reference(values, last), PriceLimits(quorum, max_move_bps=cap))
    free = aggregate(reference(values), PriceLimits(quorum))
    if isinstance(found, Unpriced):
        assert found == free
        return
    assert isinstance(free, int)
    assert found >= 1
    assert abs(found - last) <= max(1, last * cap // 10_000)
    # Towards the median, and never past it.
    assert min(last, free) <= found <= max(last, free)
    assert found == free or abs(found - last) == max(1, last * cap // 10_000)


@given(
    values=st.lists(amounts, max_size=5),
    last=st.one_of(st.just(0), amounts),
    limits=st.builds(
        PriceLimits, st.integers(0, 6), st.just(0), st.integers(0, 500), st.integers(0, 500)
    ),
)
def test_the_order_of_sources_does_not_matter(
    values: list[int], last: int, limits: PriceLimits
) -> None:
    found = aggregate(reference(values, last), limits)
    assert {repr(aggregate(reference(list(p), last), limits)) for p in permutations(values)} == {
        repr(found)
    }


@given(truth=amounts, honest=st.integers(3, 9), lie=amounts, spread=st.integers(1, 10_000))
def test_one_liar_beyond_the_quorum_disputes_nothing(
    truth: int, honest: int, lie: int, spread: int
) -> None:
    limits = PriceLimits(honest, max_spread_bps=spread)
    assert aggregate(reference([*[truth] * honest, lie]), limits) == truth


# venues

WORTH = {ETH: 10**9, USD: 5 * 10**17}


def market(seed: int) -> list[ConstantProduct]:
    rng = random.Random(seed)
    names = [ETH, USD, *(f"eip155:1/erc20:0x{n}" for n in range(rng.randint(1, 5)))]
    return [
        ConstantProduct(
            f"v{n:02}",
            0,
            tuple(rng.sample(names, 2)),  # type: ignore[arg-type]  # two of them
            (rng.randint(1, 10**24), rng.randint(1, 10**24)),
            rng.choice([0, 3_000]),
        )
        for n in range(rng.randint(1, 14))
    ]


def priced(venues: list[ConstantProduct]) -> dict[str, int]:
    hops = [hop for venue in venues for hop in hops_of(venue)]
    wanted = {asset for venue in venues for asset in venue.assets}
    return venue_prices(hops, ETH, wanted, WORTH, 0)


@given(seed=st.integers(0, 1 << 32))
def test_paths_are_independent_short_and_exact(seed: int) -> None:
    venues = market(seed)
    by_id = {venue.id: venue for venue in venues}
    hops = [hop for venue in venues for hop in hops_of(venue)]
    wanted = {asset for venue in venues for asset in venue.assets}
    worth = dict.fromkeys(wanted, 10**9) | WORTH
    found = independent_paths(hops, ETH, wanted, worth)
    for asset, paths in found.items():
        assert 1 <= len(paths) <= MAX_PATHS
        used = [name for path in paths for name in path.venues]
        assert len(used) == len(set(used))
        assert [p.depth for p in paths] == sorted((p.depth for p in paths), reverse=True)
        for path in paths:
            assert path.assets[0] == asset
            assert path.assets[-1] == ETH
            assert len(set(path.assets)) == len(path.assets) == len(path.venues) + 1
            assert len(path.venues) <= MAX_HOPS
            gain = cost = 1
            for name, given_, taken in zip(path.venues, path.assets, path.assets[1:], strict=False):
                held = dict(zip(by_id[name].assets, by_id[name].reserves, strict=True))
                gain, cost = gain * held[taken], cost * held[given_]
            # Quotes have 64 significant bits.
            assert abs(path.gain * cost - gain * path.cost) << 58 <= gain * path.cost
    random.Random(seed).shuffle(hops)
    assert independent_paths(hops, ETH, wanted, worth) == found


@given(seed=st.integers(0, 1 << 32), worth=st.integers(1, 5_000), push=st.sampled_from([1, 10**6]))
def test_one_venue_moves_the_venues_price_only_with_half_of_the_depth(
    seed: int, worth: int, push: int
) -> None:
    """Three pools at honest prices; another, shallower than they are together, says anything."""
    rng = random.Random(seed)
    sizes = [rng.randint(100, 1_000) for _ in range(3)]
    honest = [pool(f"honest{n}", depth=size) for n, size in enumerate(sizes)]
    size = rng.randint(1, sum(sizes) - 1)
    liar = ConstantProduct(
        "liar", 0, (ETH, USD), (size * WHOLE_ETH, max(1, worth * size * WHOLE_USD // push)), 0
    )
    assert priced([*honest, liar]) == {USD: 5 * 10**17}


# through the ledger


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """(what, who, amount, milliseconds later)"""
    what = st.sampled_from(["feed", "operator", "pool", "seal"])
    amount = st.one_of(st.integers(1, 10**19), st.just(PRICES[USD].amount))
    return draw(
        st.lists(st.tuples(what, st.integers(0, 2), amount, st.integers(0, 50)), max_size=25)
    )


rules = st.builds(
    Rules,
    feeders=st.sampled_from([(), FEEDERS[:1], FEEDERS]),
    price_quorum=st.integers(1, 4),
    max_price_age_ms=st.sampled_from([0, 60]),
    max_price_move_bps=st.sampled_from([0, 300]),
    max_price_spread_bps=st.sampled_from([0, 1_000]),
    numeraire=st.sampled_from(["", ETH]),
    min_path_depth=st.sampled_from([0, 10**10]),
    max_price_ratio=st.sampled_from([0, 3]),
)


@given(rules=rules, history=histories())
def test_every_sealed_problem_can_be_computed_again(
    rules: Rules, history: list[tuple[str, int, int, int]]
) -> None:
    """From itself, from its bytes, and by another state that is told the same."""
    states = [ledger(rules=rules), ledger(rules=rules)]
    now, last = 0, PRICES[USD].amount
    for step, (what, who, amount, later) in enumerate(history):
        now += later
        sealed = [apply(state, step, what, who, amount, now) for state in states]
        assert sealed[0] == sealed[1]
        if sealed[0] is None:
            continue
        first, _ = problems = [state.problem(1, now) for state in states]
        assert encode_problem(problems[0]) == encode_problem(problems[1])
        check_prices(first)
        assert decode_problem(encode_problem(first), {}) == first
        assert first.references.keys() == (set() if rules.operator_prices else PRICES.keys())
        price = first.prices.get(USD)
        if price and rules.max_price_move_bps:
            before = first.references[USD].last
            assert not before or abs(price.amount - before) <= max(1, before * 300 // 10_000)
            assert before in (0, last)
            last = price.amount


def apply(
    state: State, step: int, what: str, who: int, amount: int, now: int
) -> list[object] | None:
    match what:
        case "feed" if who < len(state.rules.feeders):
            state.feed_prices(PriceFeed(DOMAIN, state.rules.feeders[who], step, now, {USD: amount}))
        case "operator":
            state.tell_time(now)
            said = {USD: Price(amount, "operator")}
            number = 10**6 + step
            state.update_market(MarketUpdate(DOMAIN, OPERATOR, number, prices=said))
        case "pool":
            reserves = (10**9 * WHOLE_ETH // amount + 1, 2 * 10**6 * WHOLE_USD)
            moved = replace(pool(f"pool{who}"), reserves=reserves)
            update = MarketUpdate(DOMAIN, OPERATOR, 10**6 + step, venues=(moved,))
            state.update_market(update)
        case "seal":
            return list(state.prepare(now))
    return None
