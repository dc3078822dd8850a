"""Hypothesis strategies for every value that is encoded."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from support.contracts.cases import concentrated
from walras.balance.events import Change, Outcome, Rule
from walras.balance.rules import POLICY_NAMES, WEIGHS, FleetRules, NodeInfo
from walras.core.amounts import AMOUNT_LIMIT
from walras.core.assets import Asset
from walras.core.bids import (
    Bid,
    Bundle,
    Execution,
    Fill,
    Proposal,
    Reward,
    SettledFill,
    Winner,
)
from walras.core.intents import Decay, Intent, Leg
from walras.market.constant_product import RESERVE_LIMIT
from walras.market.kinds import (
    AnyVenue,
    Bridge,
    ConstantProduct,
    Offer,
    OrderBook,
    Rfq,
    StablePool,
    StableSwap,
    Weighted,
)
from walras.protocol.codec import Signed
from walras.protocol.dispatch import Assignment, Call, Dispatch, LoadProbe, NodeLoad
from walras.protocol.fleet import FleetChanged, FleetUpdate
from walras.protocol.keys import KeyBinding, Role
from walras.protocol.prices import PriceFeed, PricesWatched, QuarantinedAsset
from walras.protocol.probes import Challenge, Echo, Observation, Observations
from walras.protocol.problem import Price, Rules
from walras.protocol.records import (
    Awarded,
    BidReceived,
    BidRejectedRecord,
    Cancel,
    Closed,
    Credit,
    Deposit,
    Genesis,
    MarketUpdate,
    Observed,
    Opened,
    QuarantinedVenue,
    RulesSet,
    Sealed,
    Settled,
    VenuesWatched,
    Voided,
    Withdrawal,
)
from walras.protocol.sealed_bids import (
    BidReceipt,
    BidUnopened,
    Commitment,
    Committed,
    Opening,
    Task,
)

ONE = 10**18

keys = st.binary(min_size=32, max_size=32)
uint32 = st.integers(0, (1 << 32) - 1)
uint64 = st.integers(0, (1 << 64) - 1)
texts = st.text(max_size=20)
ascii_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
amounts = st.integers(1 - AMOUNT_LIMIT, AMOUNT_LIMIT - 1)
naturals = st.integers(0, AMOUNT_LIMIT - 1)
positives = st.integers(1, AMOUNT_LIMIT - 1)
asset_ids = st.from_regex(
    r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,8}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,12}", fullmatch=True
)


@st.composite
def intents(draw: st.DrawFn) -> Intent:
    """Any intent that keeps the rules."""
    count = draw(st.integers(1, 4))
    settlement, *names = draw(
        st.lists(asset_ids, min_size=count + 1, max_size=count + 1, unique=True)
    )
    signs = draw(st.lists(st.sampled_from([-1, 1]), min_size=count, max_size=count))
    size = st.integers(1, 1 << 100)
    legs = tuple(Leg(name, sign * draw(size)) for name, sign in zip(names, signs, strict=True))
    limits = amounts
    if max(signs) < 0:
        limits = naturals
    elif min(signs) > 0:
        limits = st.integers(1 - AMOUNT_LIMIT, -1)
    units = draw(st.integers(1, 1 << 100))
    begin, end = sorted(draw(st.lists(uint64, min_size=2, max_size=2, unique=True)))
    decay = None
    if draw(st.booleans()):
        start_ms, end_ms = sorted(draw(st.lists(uint64, min_size=2, max_size=2, unique=True)))
        decay = Decay(draw(limits), start_ms, end_ms)
    return Intent(
        domain=draw(ascii_texts),
        owner=draw(keys),
        nonce=draw(uint64),
        not_before_ms=begin,
        expiry_ms=end,
        legs=legs,
        units=units,
        min_units=draw(st.integers(0, units)),
        settlement_asset=settlement,
        limit=draw(limits),
        decay=decay,
    )


@st.composite
def venues(draw: st.DrawFn) -> AnyVenue:
    """A venue of any kind."""
    name, cost = draw(ascii_texts), draw(st.integers(0, (1 << 62) - 1))
    a, b, c = draw(st.lists(asset_ids, min_size=3, max_size=3, unique=True))
    held = [draw(naturals) for _ in range(3)]
    small = [draw(st.integers(0, RESERVE_LIMIT - 1)) for _ in range(3)]
    match draw(st.integers(0, 7)):
        case 0:
            fee = draw(st.integers(0, 999_999))
            return ConstantProduct(name, cost, (a, b), (small[0], small[1]), fee)
        case 1:
            first = draw(st.integers(ONE // 100, ONE // 2))
            second = draw(st.integers(ONE // 100, ONE // 4))
            weights = (first, second, ONE - first - second)
            fee = draw(st.integers(0, ONE - 1))
            return Weighted(name, cost, (a, b, c), tuple(small), weights, (1, ONE, 10**12), fee)
        case 2:
            rates = tuple(draw(st.integers(1, (1 << 128) - 1)) for _ in range(3))
            amplification, fee = draw(st.integers(100, 10**8)), draw(st.integers(0, 10**10 - 1))
            return StableSwap(name, cost, (a, b, c), tuple(held), rates, amplification, fee)
        case 3:
            pool = concentrated(Random(draw(st.integers(0, 1 << 32))))
            return replace(pool, id=name, cost=cost, assets=(a, b))
        case 4:
            rates = tuple(draw(st.integers(1, (1 << 128) - 1)) for _ in range(3))
            amplification, fee = draw(st.integers(1_000, 5 * 10**6)), draw(st.integers(0, ONE - 1))
            return StablePool(name, cost, (a, b, c), tuple(small), rates, amplification, fee)
        case 5:
            capacity, flat = (held[0], held[1]), (held[1], held[2])
            fee, latency = draw(st.integers(0, 999_999)), draw(uint32)
            return Bridge(name, cost, (a, b), capacity, (1, 10**12), fee, flat, latency)
        case 6:
            most, pays = draw(positives), draw(positives)
            nonce, expiry, left = draw(uint64), draw(uint64), draw(st.integers(0, most))
            signed = draw(st.binary(min_size=64, max_size=64))
            return Rfq(name, cost, (a, b), draw(keys), nonce, most, pays, expiry, signed, left)
        case _:
            asks = (Offer(10, 100), Offer(10, draw(st.integers(101, 1_000))))
            bids = (Offer(90, 10), Offer(draw(st.integers(1, 89)), 10))
            kept = draw(st.integers(0, 2))
            return OrderBook(name, cost, (a, b), asks[:kept], bids[: draw(st.integers(0, 2))])


assets = st.builds(
    Asset, asset_ids, st.text(min_size=1, max_size=64), st.integers(min_value=0, max_value=255)
)
prices = st.builds(Price, positives, st.text(min_size=1, max_size=64))
rules = st.builds(
    Rules,
    uint32,
    uint64,
    *[uint32] * 3,
    uint64,
    uint32,
    uint64,
    uint32,
    feeders=st.lists(keys, max_size=3, unique=True).map(lambda many: tuple(sorted(many))),
    price_quorum=uint32,
    max_price_age_ms=uint64,
    max_price_move_bps=uint32,
    max_price_spread_bps=uint32,
    numeraire=st.one_of(st.just(""), asset_ids),
    numeraire_decimals=st.integers(0, 27),
    min_path_depth=uint64,
)
executions = st.builds(Execution, texts, texts, positives, texts, positives)
proposals = st.builds(
    Proposal,
    st.lists(st.builds(Fill, st.binary(max_size=40), positives), max_size=3).map(tuple),
    st.dictionaries(asset_ids, positives, max_size=3),
    st.lists(executions, max_size=3).map(tuple),
)
bids = st.builds(Bid, uint64, st.binary(max_size=40), keys, proposals)
bundles = st.builds(
    Bundle,
    texts,
    uint64,
    st.binary(max_size=40),
    st.lists(st.builds(Winner, keys, keys, keys, amounts), max_size=2).map(tuple),
    st.lists(st.builds(SettledFill, keys, positives, amounts), max_size=3).map(tuple),
    st.lists(executions, max_size=2).map(tuple),
    keys,
    amounts,
    st.lists(st.builds(Reward, keys, amounts, amounts), max_size=2).map(tuple),
    amounts,
    keys,
)
market_updates = st.builds(
    MarketUpdate,
    ascii_texts,
    keys,
    uint64,
    st.lists(assets, max_size=2, unique_by=lambda asset: asset.id).map(tuple),
    st.lists(venues(), max_size=2, unique_by=lambda venue: venue.id).map(tuple),
    st.lists(texts, max_size=2, unique=True).map(tuple),
    st.dictionaries(asset_ids, prices, max_size=3),
)
credits_ = st.builds(Credit, keys, asset_ids, positives)


def ascending(values: st.SearchStrategy[bytes], least: int = 0) -> st.SearchStrategy[Any]:
    """Up to three, each once."""
    found = st.lists(values, min_size=least, max_size=3, unique=True)
    return found.map(lambda many: tuple(sorted(many)))


names = st.lists(texts, max_size=3, unique=True).map(lambda many: tuple(sorted(many)))
fleet_rules = st.builds(
    FleetRules,
    policy=st.sampled_from(POLICY_NAMES),
    weigh=st.sampled_from(WEIGHS),
    bond_asset=asset_ids,
    region=texts,
    probers=ascending(keys),
    min_bond=st.integers(0, (1 << 255) - 1),
    forfeit=st.integers(0, (1 << 255) - 1),
    group_cap_bps=st.integers(1, 10_000),
    part_intents=st.integers(1, 1 << 40),
    all_up_to=st.integers(0, 1 << 40),
    fan_out=st.integers(1, 10_000),
    quorum=st.integers(1, 9),
).map(lambda rules: replace(rules, quorum=min(rules.quorum, len(rules.probers) or 9)))
node_infos = st.builds(
    NodeInfo, texts, keys, texts, texts, st.integers(1, 1_024), names, names, uint32, uint32
)
changes = st.builds(Change, st.sampled_from(Rule), st.one_of(st.just(b""), keys), texts)
details = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
dispatches = st.builds(
    Dispatch,
    st.binary(max_size=80),
    st.lists(
        st.builds(NodeLoad, keys, uint32, texts), max_size=3, unique_by=lambda n: n.public_key
    ).map(lambda nodes: tuple(sorted(nodes, key=lambda n: n.public_key))),
    st.lists(st.builds(LoadProbe, keys, uint32, uint64, uint64), max_size=2).map(tuple),
    st.lists(
        st.builds(Assignment, keys, st.lists(uint32, max_size=3).map(tuple), uint32), max_size=3
    ).map(tuple),
)
calls = st.lists(
    st.builds(Call, uint32, keys, st.sampled_from(Outcome), uint64, uint32, uint32), max_size=3
).map(tuple)
observation_lists = st.lists(
    st.builds(Observation, st.binary(max_size=40), st.binary(max_size=40), uint64), max_size=3
).map(tuple)


@st.composite
def key_bindings(draw: st.DrawFn) -> KeyBinding:
    """Any binding that its body's rules admit."""
    role = draw(st.sampled_from(Role))
    old, new = draw(st.lists(keys, min_size=2, max_size=2, unique=True))
    signer = old if role is Role.ENGINE else draw(keys)
    if role is Role.OPERATOR:
        old, new = draw(st.sampled_from([(old, new), (b"", new), (old, b"")]))
    size = 80 if role is Role.VRF else 64 if new else 0
    proof = draw(st.binary(min_size=size, max_size=size))
    return KeyBinding(draw(ascii_texts), role, signer, old, new, proof)


records: dict[str, st.SearchStrategy[Signed]] = {
    "Intent": intents(),
    "Bid": bids,
    "Bundle": bundles,
    "MarketUpdate": market_updates,
    "PriceFeed": st.builds(
        PriceFeed,
        ascii_texts,
        keys,
        uint64,
        uint64,
        st.dictionaries(asset_ids, positives, min_size=1, max_size=3),
    ),
    "PricesWatched": st.builds(
        PricesWatched,
        uint64,
        st.lists(st.builds(QuarantinedAsset, asset_ids, texts, details), max_size=2).map(tuple),
        st.lists(asset_ids, max_size=2).map(tuple),
    ),
    "Cancel": st.builds(Cancel, ascii_texts, keys, keys),
    "Withdrawal": st.builds(Withdrawal, ascii_texts, keys, uint64, asset_ids, positives, uint64),
    "Deposit": st.builds(
        Deposit,
        ascii_texts,
        keys,
        uint64,
        st.lists(credits_, min_size=1, max_size=3).map(tuple),
    ),
    "Genesis": st.builds(Genesis, ascii_texts, keys, st.lists(keys, max_size=3).map(tuple), keys),
    "RulesSet": st.builds(RulesSet, rules),
    "Opened": st.builds(Opened, uint64, keys, uint64, uint64),
    "Sealed": st.builds(
        Sealed,
        uint64,
        keys,
        uint64,
        uint64,
        st.one_of(st.just(b""), keys),
        keys,
        st.one_of(st.just(b""), keys),
    ),
    "BidReceived": st.builds(
        BidReceived, uint64, keys, keys, uint64, st.one_of(st.just(b""), keys)
    ),
    "Task": st.builds(
        Task,
        ascii_texts,
        uint64,
        keys,
        st.lists(keys, max_size=3).map(tuple),
        uint64,
        uint64,
        st.one_of(st.just(b""), keys),
    ),
    "Commitment": st.builds(Commitment, ascii_texts, uint64, keys, keys, keys, keys, uint64),
    "BidReceipt": st.one_of(
        st.builds(
            BidReceipt, ascii_texts, uint64, keys, st.lists(keys, max_size=3).map(tuple), uint64
        ),
        st.lists(keys, min_size=1, max_size=3).flatmap(
            lambda digests: st.builds(
                BidReceipt,
                ascii_texts,
                uint64,
                keys,
                st.just(tuple(digests)),
                uint64,
                st.tuples(*(keys for _ in digests)),
            )
        ),
    ),
    "KeyBinding": key_bindings(),
    "Committed": st.builds(Committed, uint64, uint32, keys, uint64, uint64),
    "Opening": st.builds(Opening, ascii_texts, uint64, keys, keys, st.binary(max_size=80)),
    "BidUnopened": st.builds(
        BidUnopened, uint64, uint32, keys, texts, st.one_of(st.just(b""), keys)
    ),
    "BidRejectedRecord": st.builds(
        BidRejectedRecord,
        uint64,
        keys,
        texts,
        st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    ),
    "Closed": st.builds(Closed, uint64, keys, uint32, keys, st.one_of(st.just(b""), keys)),
    "Awarded": st.builds(Awarded, uint64, keys, st.binary(max_size=80), keys),
    "Settled": st.builds(Settled, uint64, keys, keys, keys),
    "Voided": st.builds(Voided, uint64, texts),
    "Observed": st.builds(Observed, uint64, uint64, keys, keys, ascending(keys)),
    "FleetChanged": st.builds(
        FleetChanged,
        uint64,
        uint64,
        st.one_of(st.none(), fleet_rules),
        st.lists(node_infos, max_size=2, unique_by=lambda node: node.public_key).map(
            lambda nodes: tuple(sorted(nodes, key=lambda node: node.public_key))
        ),
        ascending(keys),
        st.lists(changes, max_size=3).map(tuple),
    ),
    "FleetUpdate": st.one_of(
        st.builds(FleetUpdate, ascii_texts, keys, uint64, ascending(keys, 1)),
        st.builds(FleetUpdate, ascii_texts, keys, uint64, resumed=ascending(keys, 1)),
    ),
    "VenuesWatched": st.builds(
        VenuesWatched,
        uint64,
        st.lists(st.builds(QuarantinedVenue, texts, texts, details), max_size=2).map(tuple),
        st.lists(texts, max_size=2).map(tuple),
    ),
    "Challenge": st.builds(
        Challenge,
        *(ascii_texts, uint64, keys, keys, keys, uint64, keys, st.binary(max_size=80), uint64),
    ),
    "Echo": st.builds(Echo, ascii_texts, keys, keys, uint64, keys, uint32, uint32),
    "Observations": st.builds(Observations, ascii_texts, keys, uint64, keys),
}
"""By the name of the class: every record there is."""
