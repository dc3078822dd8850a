"""Whatever the problem, its parts are problems, and together they are the whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.auctions import NOW, intent, key, pool
from support.solver_markets import bids, generated

from walras.auction.parts import split
from walras.market.kinds import AnyVenue
from walras.protocol.problem import OpenIntent, Price, Problem, Rules
from walras.protocol.trade import decode_problem, encode_problem
from walras.sdk import judged
from walras_solvers.baseline import Baseline

ASSETS = [f"eip155:1/slip44:{number}" for number in range(12)]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Intents of one to three legs and venues between few or many assets, some of them hubs."""
    rng = Random(draw(st.integers(0, 1 << 32)))
    assets = ASSETS[: draw(st.integers(2, len(ASSETS)))]
    hubs = assets[: draw(st.integers(1, 2))]
    star = draw(st.sampled_from([0.0, 0.6, 1.0]))

    def pair() -> list[str]:
        first = rng.choice(hubs if rng.random() < star else assets)
        return [first, rng.choice([asset for asset in assets if asset != first])]

    opened: dict[bytes, OpenIntent] = {}
    balances: dict[tuple[bytes, str], int] = {}
    for number in range(draw(st.integers(1, 60))):
        owner = f"owner {rng.randrange(20)}"
        settled, *given = pair()
        others = [asset for asset in assets if asset not in (settled, *given)]
        given += rng.sample(others, min(len(others), rng.choice([0, 0, 0, 1, 2])))
        made = intent(owner, dict.fromkeys(given, -rng.randrange(1, 3)), settled, 1, units=9)
        name = key(f"intent {number}")
        opened[name] = OpenIntent(name, made, 9)
        balances.update({(key(owner), asset): 100 for asset in given})
    venues: list[AnyVenue] = [
        pool(f"v{number:02}", assets=(one, other))
        for number, (one, other) in enumerate(pair() for _ in range(draw(st.integers(0, 30))))
    ]
    prices = {asset: Price(10**9, "test") for asset in assets}
    return Problem(
        "test", 7, NOW, Rules(), dict(sorted(opened.items())), dict(sorted(balances.items())),
        {venue.id: venue for venue in venues}, prices,
    )  # fmt: skip


@given(problems(), st.integers(1, 30))
@settings(deadline=None)
def test_parts_are_the_whole_cut_once(made: Problem, limit: int) -> None:
    parts = split(made, limit)
    for field, whole in (("intents", made.intents), ("venues", made.venues)):
        found: Counter[object] = Counter()
        for part in parts:
            content = getattr(part, field)
            assert list(content) == sorted(content)
            assert all(whole[name] == value for name, value in content.items())
            found.update(list(content))
        assert found == Counter(list(whole))
    assert [min(part.intents) for part in parts] == sorted(min(part.intents) for part in parts)


@given(problems(), st.integers(1, 30))
@settings(deadline=None)
def test_each_part_is_a_problem_with_just_what_it_needs(made: Problem, limit: int) -> None:
    for part in split(made, limit):
        if part is made:
            continue
        assert replace(made, intents={}, balances={}, venues={}, prices={}) == replace(
            part, intents={}, balances={}, venues={}, prices={}
        )
        intents = [entry.intent for entry in part.intents.values()]
        traded = {asset for one in intents for asset in one.assets}
        used = traded.union(*(venue.assets for venue in part.venues.values()))
        owned = {(one.owner, asset) for one in intents for asset in one.assets}
        owners = {one.owner for one in intents}
        assert part.prices == {a: p for a, p in made.prices.items() if a in used}
        # What its intents could give is there, to the atom, and of nobody else and nothing else.
        assert all(made.balances[account] == held for account, held in part.balances.items())
        assert owned & made.balances.keys() <= part.balances.keys()
        assert all(o in owners and a in traded for o, a in part.balances)
        ids = {entry.id: entry.intent for entry in part.intents.values()}
        body = encode_problem(part)
        assert encode_problem(decode_problem(body, ids)) == body


@given(problems(), st.integers(1, 30))
@settings(deadline=None)
def test_groups_and_markets_are_never_cut(made: Problem, limit: int) -> None:
    group_homes: dict[str, int] = {}
    market_homes: dict[frozenset[str], int] = {}
    for number, part in enumerate(split(made, limit)):
        markets = {frozenset(entry.intent.assets) for entry in part.intents.values()}
        assert len(part.intents) <= limit or len(markets) == 1
        for entry in part.intents.values():
            assert group_homes.setdefault(entry.intent.group, number) == number
            assert market_homes.setdefault(frozenset(entry.intent.assets), number) == number


@given(problems(), st.integers(1, 30))
@settings(deadline=None)
def test_what_is_connected_and_small_enough_is_never_cut(made: Problem, limit: int) -> None:
    if len(made.intents) <= limit:
        return
    parts = split(made, limit)
    for assets in components(made):
        intents = {
            name for name, entry in made.intents.items() if entry.intent.settlement_asset in assets
        }
        if 0 < len(intents) <= limit:
            venues = {name for name, venue in made.venues.items() if venue.assets[0] in assets}
            (home,) = (part for part in parts if intents & part.intents.keys())
            assert intents <= home.intents.keys()
            assert venues <= home.venues.keys()


def components(made: Problem) -> list[set[str]]:
    """Sets of assets that hang together, by joining sets until none meet."""
    ties: list[Sequence[str]] = [entry.intent.assets for entry in made.intents.values()]
    ties += [venue.assets for venue in made.venues.values()]
    found: list[set[str]] = []
    for tie in ties:
        meeting = [group for group in found if group.intersection(tie)]
        found = [group for group in found if group not in meeting]
        found.append(set(tie).union(*meeting))
    return found


@given(problems(), st.integers(1, 30), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_input_does_not_matter(made: Problem, limit: int, rng: Random) -> None:
    def shuffled(items: dict[object, object]) -> dict[object, object]:
        order = list(items.items())
        rng.shuffle(order)
        return dict(order)

    mixed = replace(
        made,
        balances=shuffled(dict(made.balances)),
        venues=shuffled(dict(made.venues)),
        prices=shuffled(dict(made.prices)),
    )  # type: ignore[arg-type]  # the helper is for all three
    if len(made.intents) > limit:
        assert list(map(encode_problem, split(mixed, limit))) == list(
            map(encode_problem, split(made, limit))
        )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [5, 25])
def test_bids_for_a_part_score_the_same_on_the_whole(seed: int, limit: int) -> None:
    made = generated(seed, 60)
    parts = split(made, limit)
    assert len(parts) > 1
    sent = [(part, *bid) for part in parts for bid in bids(Baseline(), part)]
    assert sent
    for part, proposal, scored in sent:
        whole = judged(made, proposal)
        assert (whole.score, whole.fills, whole.spends) == (
            scored.score, scored.fills, scored.spends,
        )  # fmt: skip
        assert {fill.intent_id for fill in whole.fills} <= part.intents.keys()
        assert whole.venues == scored.venues


def test_cutting_keeps_most_of_what_the_baseline_finds() -> None:
    """Not a rule, but what the splitting is worth: a market of 60 in parts of 25."""
    made = generated(1, 60)
    whole = sum(scored.score for _, scored in bids(Baseline(), made))
    cut = sum(scored.score for part in split(made, 25) for _, scored in bids(Baseline(), part))
    assert 2 * cut > whole
