"""Pools from subgraph lists: exact or left out, and why."""

import json
from pathlib import Path
from typing import Any

import pytest

from walras.cli.main import run
from walras.core.errors import InvalidInput
from walras.datasets.balancer import import_balancer
from walras.datasets.market_file import parse_market, read_market, render_market
from walras.datasets.uniswap_v3 import import_uniswap_v3
from walras.market.kinds import Concentrated, StablePool, Tick, Weighted
from walras.market.tick_math import sqrt_price_at

WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
DAI = "0x6B175474E89094C44Da98b954EedeAC495271d0F"
ID = "0x" + "5c6ee304399dbdb9c8ef030ab642b10820db8f56000200000000000000000014"


def token(address: str, balance: str, decimals: int, **more: object) -> dict[str, Any]:
    return {"address": address, "balance": balance, "decimals": decimals, **more}


def weighted(**changes: object) -> dict[str, Any]:
    tokens = [
        token(WETH, "800.000000000000000001", 18, weight="0.8", symbol="WETH", priceRate="1"),
        token(USDC, "600000.5", 6, weight="0.2", symbol="USDC", priceRate="1"),
    ]
    base = {
        "id": ID,
        "address": ID[:42],
        "poolType": "Weighted",
        "swapFee": "0.003",
        "swapEnabled": True,
        "totalShares": "12.5",
        "tokensList": [WETH, USDC],
        "amp": None,
        "tokens": tokens,
    }
    return base | changes


def stable(**changes: object) -> dict[str, Any]:
    tokens = [
        token(DAI, "1000000.5", 18, weight=None, priceRate="1.000000000000000001"),
        token(USDC, "999999.25", 6, weight=None, priceRate="1"),
    ]
    return weighted(id="0x" + "ab" * 32, poolType="MetaStable", amp="50", tokens=tokens) | changes


def as_file(*pools: object) -> bytes:
    return json.dumps(pools).encode()


def test_balancer_pools_are_exact() -> None:
    market, summary = import_balancer(as_file(weighted(), stable()))
    first, second = market.venues
    weth, usdc = f"eip155:1/erc20:{WETH.lower()}", f"eip155:1/erc20:{USDC.lower()}"
    assert first == Weighted(
        *(f"balancer-{ID}", 0, (weth, usdc), (800 * 10**18 + 1, 600_000_500_000)),
        *((8 * 10**17, 2 * 10**17), (1, 10**12), 3 * 10**15),
    )
    assert isinstance(second, StablePool)
    assert second.balances == (1_000_000_500_000_000_000_000_000, 999_999_250_000)
    assert second.rates == (10**18 + 1, 10**30)
    assert (second.amplification, second.fee) == (50_000, 3 * 10**15)
    assert (summary.pools, summary.pools_taken, summary.unpriced) == (2, 2, 3)
    assert parse_market(render_market(market)) == market


def test_a_token_writes_nothing_to_a_terminal_but_its_name() -> None:
    tokens = weighted()["tokens"]
    tokens[0]["symbol"], tokens[1]["symbol"] = "\x1b[2JWE\u202eTH", "\r\n"
    market, _ = import_balancer(as_file(weighted(tokens=tokens)))
    assert [asset.symbol for asset in market.assets] == ["[2JWETH", USDC[:32]]
    assert parse_market(render_market(market)) == market
    with pytest.raises(InvalidInput, match="can be printed"):
        parse_market(render_market(market).replace(b"[2JWETH", b"\\u001b"))


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (weighted(poolType="ComposableStable"), "ComposableStable: rounds its invariant"),
        (weighted(poolType="LiquidityBootstrapping"), "LiquidityBootstrapping: its weights move"),
        (weighted(poolType="Gyro2"), "kind Gyro2"),
        (weighted(poolType="\x1b[2JGyro2"), "kind [2JGyro2"),
        (weighted(swapEnabled=False), "its swaps are switched off"),
        (weighted(swapFee="0.0000000000000000001"), "the fee finer"),
        (weighted(swapFee="1"), "breaks a rule of its kind"),
        (weighted(tokens=[token(WETH, "1", 18, weight="0.8")]), "weights do not add up"),
        (
            weighted(tokens=[token(WETH, "1", 18, weight="0.5"), token(USDC, "1", 6)]),
            "a weight is missing",
        ),
        (
            weighted(tokens=[token(WETH, "1", 18, weight="1"), token(USDC, "0.0000001", 6)]),
            "a balance finer",
        ),
        (weighted(tokens=[token(WETH, "0", 18, weight="1")]), "a balance is empty"),
        (weighted(tokens=[token(WETH, "1", 19, weight="1")]), "a token of more than 18"),
        (stable(amp=None), "the amplification is missing"),
        (stable(amp="50.0001"), "the amplification finer"),
        (stable(amp="6000"), "breaks a rule of its kind"),
    ],
)
def test_balancer_pools_left_out(pool: dict[str, Any], reason: str) -> None:
    market, summary = import_balancer(as_file(pool))
    assert market.venues == ()
    [(why, count)] = summary.pools_left_out.items()
    assert why.startswith(reason)
    assert count == 1


def uniswap(**changes: object) -> dict[str, Any]:
    base = {
        "id": "0x8ad599c3a0ff1de082011efddc58f1908eb6e6d8",
        "token0": {"id": USDC, "symbol": "USDC", "decimals": "6"},
        "token1": {"id": WETH, "symbol": "WETH", "decimals": "18"},
        "feeTier": "3000",
        "liquidity": "30",
        "sqrtPrice": str(sqrt_price_at(197_000) + 7),
        "tick": "197000",
        "ticks": [
            {"tickIdx": "196980", "liquidityNet": "20", "liquidityGross": "20"},
            {"tickIdx": "-60", "liquidityNet": "10", "liquidityGross": "10"},
            {"tickIdx": "60", "liquidityNet": "0", "liquidityGross": "0"},
            {"tickIdx": "120", "liquidityNet": "0", "liquidityGross": "8"},
            {"tickIdx": "197040", "liquidityNet": "-30", "liquidityGross": "30"},
        ],
    }
    return base | changes


def test_uniswap_pools_are_exact() -> None:
    data = json.dumps({"data": {"pools": [uniswap()]}}).encode()
    market, summary = import_uniswap_v3(data, "eip155:42161")
    [venue] = market.venues
    usdc, weth = f"eip155:42161/erc20:{USDC.lower()}", f"eip155:42161/erc20:{WETH.lower()}"
    ticks = (Tick(-60, 10), Tick(120, 0), Tick(196_980, 20), Tick(197_040, -30))
    price = sqrt_price_at(197_000) + 7
    name = f"uniswap-v3-{uniswap()['id']}"
    assert venue == Concentrated(name, 0, (usdc, weth), price, 197_000, 30, 3_000, 60, ticks)
    assert summary.pools_taken == 1
    assert parse_market(render_market(market)) == market


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (uniswap(ticks=uniswap()["ticks"][:-1]), "its ticks are not all there"),
        (uniswap(liquidity="31"), "its ticks are not all there"),
        (uniswap(feeTier="2500"), "its tickSpacing is not told"),
        (uniswap(tick=None, sqrtPrice="0"), "it has no price yet"),
        (uniswap(tick="196999"), "breaks a rule of its kind"),
        (uniswap(tickSpacing="50"), "breaks a rule of its kind"),
        (uniswap(token0={"id": USDC, "decimals": "78"}), "a token of more than 77"),
    ],
)
def test_uniswap_pools_left_out(pool: dict[str, Any], reason: str) -> None:
    market, summary = import_uniswap_v3(as_file(pool, uniswap(), uniswap()))
    assert len(market.venues) == 1
    assert summary.pools_left_out.pop("listed before") == 1  # type: ignore[attr-defined]  # a dict
    [why] = summary.pools_left_out
    assert why.startswith(reason)


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b'{"pool": []}', "(file)"),
        (b'{"data": {"pools": {}}}', "data.pools"),
        (as_file(weighted(), weighted(swapFee=0.003)), "pools[1].swapFee"),
        (as_file(weighted(tokens=[token("0x12", "1", 18)])), "pools[0].tokens[0].address"),
    ],
)
def test_what_breaks_the_format_is_refused(data: bytes, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        import_balancer(data)
    assert caught.value.fields["path"] == path


def test_a_chain_is_one() -> None:
    with pytest.raises(InvalidInput, match="no CAIP-2 chain"):
        import_uniswap_v3(as_file(), "ethereum")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "pools.json", tmp_path / "market.json"
    source.write_bytes(as_file(weighted(), weighted(poolType="Gyro2")))
    assert run(["import", "balancer", str(source), "-o", str(out), "--chain", "eip155:10"]) == 0
    told = capsys.readouterr().out
    assert "pools: 1 of 2 taken" in told
    assert "left out, kind Gyro2: 1" in told
    assert read_market(out).venues[0].assets[0].startswith("eip155:10/erc20:0xc02a")


def test_a_token_has_the_decimals_of_the_first_pool() -> None:
    """Its atoms are counted in one unit, or amounts of two pools would not be of one asset."""
    other = weighted(id="0x" + "cd" * 32)
    other["tokens"][1]["decimals"] = 8
    market, summary = import_balancer(as_file(weighted(), other, stable()))
    assert len(market.venues) == 2
    assert summary.pools_left_out == {
        "a token's decimals are not those of an earlier pool": 1,
    }
