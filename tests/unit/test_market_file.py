"""The market file: what is written reads back, and what is wrong is named by its place."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Decay, Leg
from walras.datasets.demo_keys import demo_signer_seed
from walras.datasets.generate import generate
from walras.datasets.market_file import (
    About,
    Market,
    parse_market,
    read_market,
    render_market,
    to_intent,
    write_market,
)
from walras.market.kinds import (
    Bridge,
    Concentrated,
    ConstantProduct,
    Offer,
    OrderBook,
    StablePool,
    StableSwap,
    Tick,
    Weighted,
)
from walras.protocol.problem import Price, Rules

DOCS = Path(__file__).parents[2] / "docs" / "market-file.md"
ETH = "eip155:1/slip44:60"
Steps = tuple[Any, ...]
USDA = "eip155:1/erc20:0x00000000000000000000000000000000000000a1"


@pytest.fixture(scope="module")
def example_bytes() -> bytes:
    block = re.search(r"```json\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert block is not None
    return block[1].encode()


@pytest.fixture
def example(example_bytes: bytes) -> Any:
    return json.loads(example_bytes)


def refused(document: Any) -> InvalidInput:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(InvalidInput) as caught:
        parse_market(data)
    assert caught.value.reason is Reason.MARKET_FILE_INVALID
    return caught.value


def at(document: Any, path: Steps) -> tuple[Any, Any]:
    """The container and the last step of a path such as ("venues", 0, "cost")."""
    for step in path[:-1]:
        document = document[step]
    return document, path[-1]


def test_documented_example_is_read_to_the_letter(example_bytes: bytes) -> None:
    market = parse_market(example_bytes)
    assert market.about == About("two traders and a pool", "docs/market-file.md", {})
    assert market.rules == Rules(collar_bps=1000, reward_cap=10**9)
    assert [asset.symbol for asset in market.assets] == [
        "ETH",
        "USDA",
        "USDB",
        "CALL4000",
        "CALL5000",
    ]
    assert market.prices[ETH] == Price(10**9, "numeraire")
    pair, weighted, stable, book, ranges, balancer, bridge = market.venues
    assert pair == ConstantProduct("pair", 300_000, (ETH, USDA), (10**21, 3 * 10**12), 3_000)
    assert isinstance(weighted, Weighted)
    assert weighted.weights == (8 * 10**17, 2 * 10**17)
    assert isinstance(stable, StableSwap)
    assert (stable.amplification, stable.fee) == (20_000, 4_000_000)
    assert isinstance(book, OrderBook)
    assert book.bids == (Offer(1_170_000_000_000_000_000, 10**9),)
    assert isinstance(ranges, Concentrated)
    assert ranges.ticks == (Tick(-198_000, 2 * 10**16), Tick(-194_000, -2 * 10**16))
    assert isinstance(balancer, StablePool)
    assert (balancer.amplification, balancer.fee) == (200_000, 4 * 10**14)
    assert isinstance(bridge, Bridge)
    assert (bridge.flat_fee, bridge.latency_ms) == ((10**6, 10**18), 60_000)
    assert market.accounts[1].balances == {USDA: 20_000_000_000}
    sale, purchase, spread = market.intents
    assert sale.legs == (Leg(ETH, -1),)
    assert sale.decay == Decay(15_100_000_000, 1767225600000, 1767225630000)
    assert (sale.not_before_ms, sale.expiry_ms) == (1767225600000, 1767229200000)
    assert purchase.limit == -15_100_000_000
    assert purchase.decay is None
    assert purchase.expiry_ms is None
    assert [leg.quantity for leg in spread.legs] == [1, -1]


def test_every_key_is_documented(example: Any) -> None:
    text = DOCS.read_text("utf-8").split("## Keys")[1]

    def keys(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from keys(inner)

    for key in set(keys(example)) - {ETH, USDA}:
        assert key in text, key


def test_what_is_written_reads_back_equal_and_is_written_the_same(
    example_bytes: bytes, tmp_path: Path
) -> None:
    market = parse_market(example_bytes)
    path = tmp_path / "market.json"
    write_market(market, path)
    assert read_market(path) == market
    assert path.read_bytes() == render_market(read_market(path))
    assert [file.name for file in tmp_path.iterdir()] == ["market.json"]


def test_bytes_do_not_depend_on_the_order_of_mappings(example_bytes: bytes) -> None:
    market = parse_market(example_bytes)
    other = replace(
        market,
        about=replace(market.about, summary={"b": [{"y": 1, "x": 2}], "a": 0}),
        prices=dict(reversed(list(market.prices.items()))),
    )
    same = replace(market, about=replace(market.about, summary={"a": 0, "b": [{"x": 2, "y": 1}]}))
    assert other == same
    assert render_market(other) == render_market(same)


def test_rules_are_optional_and_partly_so(example: Any) -> None:
    del example["rules"]
    assert parse_market(json.dumps(example).encode()).rules is None
    example["rules"] = {"max_open": 7}
    assert parse_market(json.dumps(example).encode()).rules == Rules(max_open=7)


def test_failed_write_leaves_the_old_file(
    example_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "market.json"
    path.write_bytes(b"old")

    def fail(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_market(parse_market(example_bytes), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["market.json"]


REMOVED = [
    ("format",),
    ("about",),
    ("about", "name"),
    ("assets",),
    ("assets", 0, "decimals"),
    ("prices", 1, "source"),
    ("venues", 0, "fee_pips"),
    ("venues", 1, "weights"),
    ("venues", 3, "asks", 0, "want"),
    ("accounts", 0, "balances"),
    ("intents", 0, "decay", "end_ms"),
    ("intents", 2, "legs", 1, "quantity"),
]


def dotted(path: Steps) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


@pytest.mark.parametrize("path", REMOVED, ids=dotted)
def test_missing_key(example: Any, path: Steps) -> None:
    inside, key = at(example, path)
    del inside[key]
    error = refused(example)
    assert error.fields["path"] == dotted(path)
    assert "add the key" in error.hint


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("about",),
        ("rules",),
        ("assets", 0),
        ("prices", 0),
        ("venues", 2),
        ("venues", 3, "bids", 0),
        ("accounts", 0),
        ("intents", 0),
        ("intents", 0, "decay"),
        ("intents", 0, "legs", 0),
    ],
    ids=dotted,
)
def test_extra_key(example: Any, path: Steps) -> None:
    inside, key = at(example, (*path, "surprise"))
    inside[key] = 1
    error = refused(example)
    assert error.fields["path"] == dotted((*path, "surprise"))
    assert "remove the key" in error.hint


CHANGED = [
    (("format",), "walras-market/2", "format"),
    (("about", "name"), "", "about.name"),
    (("about", "name"), 5, "about.name"),
    (("rules", "collar_bps"), 10_001, "rules.collar_bps"),
    (("rules", "collar_bps"), True, "rules.collar_bps"),
    (("rules", "reward_cap"), 5, "rules.reward_cap"),
    (("rules", "max_open"), 0, "rules.max_open"),
    (("assets", 0, "id"), "ETH", "assets[0].id"),
    (("assets", 0, "decimals"), 78, "assets[0].decimals"),
    (("assets", 0, "decimals"), "18", "assets[0].decimals"),
    (("assets", 0, "symbol"), "", "assets[0].symbol"),
    (("assets", 1, "id"), ETH, "assets[1].id"),
    (("prices", 0, "amount"), "0", "prices[0].amount"),
    (("prices", 0, "source"), "", "prices[0].source"),
    (("prices", 1, "asset"), ETH, "prices[1].asset"),
    (("prices", 1, "asset"), "eip155:1/erc20:0x01", "prices[1].asset"),
    (("venues", 0, "kind"), "magic", "venues[0]"),
    (("venues", 0, "cost"), 300_000, "venues[0].cost"),
    (("venues", 0, "cost"), "-1", "venues[0]"),
    (("venues", 0, "fee_pips"), 1_000_000, "venues[0]"),
    (("venues", 0, "reserves", 1), "1e12", "venues[0].reserves[1]"),
    (("venues", 0, "reserves"), ["1"], "venues[0].reserves"),
    (("venues", 0, "assets", 1), "eip155:1/erc20:0x01", "venues[0]"),
    (("venues", 1, "id"), "pair", "venues[1].id"),
    (("venues", 1, "weights", 0), "1", "venues[1]"),
    (("venues", 3, "asks", 0, "give"), "+1", "venues[3].asks[0].give"),
    (("accounts", 0, "id"), "bob", "accounts[1].id"),
    (("accounts", 0, "balances", ETH), "-1", f'accounts[0].balances["{ETH}"]'),
    (("accounts", 0, "balances", ETH), 7, f'accounts[0].balances["{ETH}"]'),
    (("accounts", 0, "balances", "eip155:1/erc20:0x01"), "1", "accounts[0].balances"),
    (("intents", 0, "account"), "carol", "intents[0].account"),
    (("intents", 0, "units"), "0", "intents[0].units"),
    (("intents", 0, "min_units"), "5000000000000000001", "intents[0].min_units"),
    (("intents", 0, "units"), str(1 << 255), "intents[0].units"),
    (("intents", 0, "units"), "007", "intents[0].units"),
    (("intents", 0, "limit"), "-1", "intents[0].limit"),
    (("intents", 1, "limit"), "1", "intents[1].limit"),
    (("intents", 0, "settlement_asset"), ETH, "intents[0].legs"),
    (("intents", 0, "settlement_asset"), "x", "intents[0].settlement_asset"),
    (("intents", 0, "legs"), [], "intents[0].legs"),
    (("intents", 2, "legs", 0, "quantity"), "0", "intents[2].legs.quantity"),
    (("intents", 2, "legs", 0, "asset"), "eip155:1/erc20:0x01", "intents[2].legs[0].asset"),
    (("intents", 0, "decay", "end_ms"), 0, "intents[0].decay"),
    (("intents", 0, "not_before_ms"), -1, "intents[0].not_before_ms"),
    (("intents", 0, "expiry_ms"), 1 << 64, "intents[0].expiry_ms"),
    (("intents", 0, "expiry_ms"), 5, "intents[0].expiry_ms"),
]


@pytest.mark.parametrize(("path", "value", "place"), CHANGED)
def test_wrong_value_is_named_by_its_place(
    example: Any, path: Steps, value: Any, place: str
) -> None:
    inside, key = at(example, path)
    assert inside is not None
    inside[key] = value
    error = refused(example)
    assert error.fields["path"] == place
    assert place in error.message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"[1, 2", "not JSON"),
        (b"{} x", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        ("\ufeff{}".encode(), "not JSON"),
        (b'{"format": "walras-market/1", "format": "walras-market/1"}', "stands twice"),
        (b'{"about": {"name": "a", "summary": {"x": {"y": 1, "y": 2}}}}', "stands twice"),
        (b'{"format": 1.5}', "not a whole number"),
        (b'{"format": 1e3}', "not a whole number"),
        (b'{"format": NaN}', "NaN"),
        (b'{"format": -Infinity}', "Infinity"),
        (b'{"format": ' + b"9" * 5_000 + b"}", "digits"),
        (b"[" * 100_000, "nested"),
        (b'{"format": "\\ud83d"}', "half a character"),
        (b"null", "object"),
        (b"[]", "object"),
    ],
)
def test_not_even_json_of_ours(data: bytes, says: str) -> None:
    error = refused(data)
    assert says in error.message


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**80), 10**80)
    | st.text(max_size=5)
    | st.integers(-(10**80), 10**80).map(str),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["asset", "quantity", "id", "kind", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def places(value: Any, here: Steps = ()) -> Iterator[Steps]:
    steps = value.keys() if isinstance(value, dict) else range(len(value))
    for step in steps:
        yield (*here, step)
        if isinstance(value[step], dict | list):
            yield from places(value[step], (*here, step))


def read_or_refused(data: bytes) -> Market | InvalidInput:
    try:
        return parse_market(data)
    except InvalidInput as error:
        return error


@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(example_bytes: bytes, data: st.DataObject) -> None:
    document = json.loads(example_bytes)
    path = data.draw(st.sampled_from(list(places(document))))
    inside, key = at(document, path)
    inside[key] = data.draw(JSON_VALUES)
    outcome = read_or_refused(json.dumps(document).encode())
    if isinstance(outcome, InvalidInput):
        assert outcome.reason is Reason.MARKET_FILE_INVALID
        assert outcome.fields["path"]
    else:
        assert parse_market(render_market(outcome)) == outcome


@pytest.mark.parametrize("depth", [50, 200, 400, 900, 5_000])
def test_deep_summaries_are_read_or_refused(example_bytes: bytes, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    data = example_bytes.replace(b'"summary": {}', b'"summary": {"x": ' + nested + b"}")
    outcome = read_or_refused(data)
    if isinstance(outcome, InvalidInput):
        assert outcome.reason is Reason.MARKET_FILE_INVALID
        assert depth > 50
    else:
        assert parse_market(render_market(outcome)) == outcome


def test_escaped_characters_outside_the_basic_plane_are_read(example: Any) -> None:
    example["about"]["name"] = "dollars 😀"
    data = json.dumps(example).encode()
    assert b"\\ud83d\\ude00" in data
    market = parse_market(data)
    assert market.about.name == "dollars 😀"
    assert "😀".encode() in render_market(market)


def test_unreadable_and_oversized_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_market(tmp_path / "absent.json")
    with pytest.raises(InvalidInput, match="directory"):
        read_market(tmp_path)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * 11)
    monkeypatch.setattr("walras.datasets.strict_json.MAX_BYTES", 10)
    monkeypatch.setattr("walras.datasets.market_file.MAX_BYTES", 10)
    with pytest.raises(InvalidInput, match="larger than"):
        read_market(large)


def test_market_of_11476_intents_is_read_in_two_seconds() -> None:
    small = generate(3, assets=30, accounts=2_000, intents=500)
    data = render_market(replace(small, intents=(small.intents * 23)[:11_476]))
    start = time.process_time()
    market = parse_market(data)
    assert time.process_time() - start < 2
    assert len(market.intents) == 11_476


def test_to_intent_prefers_the_window_of_the_market(example_bytes: bytes) -> None:
    market = parse_market(example_bytes)
    sale, purchase, _ = market.intents
    owner = bytes(range(32))
    intent = to_intent(sale, "walras.test/log", owner, 7, not_before_ms=1, expiry_ms=2)
    assert (intent.domain, intent.owner, intent.nonce) == ("walras.test/log", owner, 7)
    assert (intent.not_before_ms, intent.expiry_ms) == (1767225600000, 1767229200000)
    assert intent.decay == sale.decay
    intent = to_intent(purchase, "walras.test/log", owner, 8, not_before_ms=1, expiry_ms=2)
    assert (intent.not_before_ms, intent.expiry_ms) == (1, 2)
    assert (intent.legs, intent.units, intent.min_units, intent.settlement_asset, intent.limit) == (
        purchase.legs,
        purchase.units,
        purchase.min_units,
        purchase.settlement_asset,
        purchase.limit,
    )


def test_demo_seeds_are_the_documented_ones() -> None:
    assert demo_signer_seed("alice").hex() == (
        # printf 'walras demo key, worthless: alice' | sha256sum
        "8e8257840ec70d5b76f9df328e7d9e5f5747a82928527b6e021857bbefec84b1"
    )
    assert demo_signer_seed("alice") != demo_signer_seed("bob")
