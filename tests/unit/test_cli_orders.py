"""What `walras submit` makes of an order, and what it reads from a file."""

import json
from pathlib import Path

import pytest

from walras.cli.commands.submit import Order, to_shape
from walras.cli.engines import clock_at, solver_configs
from walras.cli.intent_file import read_intent
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import Decay, Leg
from walras.datasets.market import to_intent

ETH = Asset("eip155:1/slip44:60", "ETH", 18)
USDC = Asset("eip155:1/erc20:0xa0", "USDC", 6)
KNOWN = {asset.id: asset for asset in (ETH, USDC)}


def test_a_sell_order_is_the_protocols_example() -> None:
    shape = to_shape(Order("5 ETH", "", "15000 USDC", "", fill_or_kill=False), KNOWN)
    assert shape.legs == (Leg(ETH.id, -1),)
    assert (shape.units, shape.min_units) == (5 * 10**18, 0)
    assert (shape.settlement_asset, shape.limit) == (USDC.id, 15_000 * 10**6)


def test_a_buy_order_is_the_protocols_example() -> None:
    shape = to_shape(Order("", "5 ETH", "", "15000 USDC", fill_or_kill=True), KNOWN)
    assert shape.legs == (Leg(ETH.id, 1),)
    assert (shape.units, shape.min_units) == (5 * 10**18, 5 * 10**18)
    assert (shape.settlement_asset, shape.limit) == (USDC.id, -15_000 * 10**6)
    to_intent(shape, "d", bytes(32), 0, not_before_ms=0, expiry_ms=1)  # well-formed


@pytest.mark.parametrize(
    "order",
    [
        Order("5 ETH", "", "", "", fill_or_kill=False),
        Order("5 ETH", "", "", "1 USDC", fill_or_kill=False),
        Order("5 ETH", "", "1 USDC", "1 USDC", fill_or_kill=False),
        Order("", "5 ETH", "1 USDC", "", fill_or_kill=False),
    ],
)
def test_the_wrong_other_side_is_refused(order: Order) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_shape(order, KNOWN)
    assert caught.value.reason is Reason.FIELD_INVALID


SPREAD = {
    "legs": [
        {"asset": "eip155:1/option:ETH-4000-C", "quantity": "1"},
        {"asset": "eip155:1/option:ETH-5000-C", "quantity": "-1"},
    ],
    "units": "10",
    "min_units": "1",
    "settlement_asset": ETH.id,
    "limit": "-2000000000000000000",
    "decay": {"start_limit": "-1000000000000000000", "start_ms": 5, "end_ms": 9},
}


def test_any_shape_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "intent.json"
    file.write_text(json.dumps(SPREAD))
    shape = read_intent(file)
    assert [leg.quantity for leg in shape.legs] == [1, -1]
    assert shape.decay == Decay(-(10**18), 5, 9)
    assert shape.expiry_ms is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"account": "me"}, "account"),
        ({"units": 10}, "units"),
        ({"units": "1.5"}, "units"),
        ({"price": "1"}, "price"),
    ],
)
def test_a_bad_file_names_the_place(tmp_path: Path, change: dict[str, object], path: str) -> None:
    file = tmp_path / "intent.json"
    file.write_text(json.dumps(SPREAD | change))
    with pytest.raises(InvalidInput) as caught:
        read_intent(file)
    assert caught.value.fields["path"] == path


def test_solvers_are_told_apart() -> None:
    configs = solver_configs(["baseline", "127.0.0.1:7500", "my.module:Solver", "baseline"])
    assert [(c["plugin"], c["address"]) for c in configs] == [
        ("baseline", ""),
        ("", "127.0.0.1:7500"),
        ("my.module:Solver", ""),
        ("baseline", ""),
    ]
    assert len({c["name"] for c in configs}) == 4
    assert [c["plugin"] for c in solver_configs([])] == ["baseline", "optimizer"]


def test_a_clock_can_start_at_another_time() -> None:
    clock = clock_at(1_000_000)
    assert 1_000_000 <= clock() < 1_060_000
    assert clock_at(None)() > 1_700_000_000_000
