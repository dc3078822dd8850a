"""Amounts, asset ids, intents: ids, groups, limits in time, needs, fills and their rounding."""

from typing import Any

from common import DAI, DOMAIN, ETH, NOW, USDC, WHOLE, WHOLE_USDC, plain, reason_of, seed_of, signer

from walras.api.v1 import record_pb2
from walras.core.amounts import parse_amount
from walras.core.assets import check_asset_id
from walras.core.intents import Decay, Intent, Leg, least_fill, settlement, surplus
from walras.protocol.codec import encode
from walras.protocol.trade import decode_intent
from walras.sdk.signing import intent_id

MOST = 2**255 - 1


def _intent(legs: dict[str, int], units: int, asset: str, limit: int, **more: Any) -> Intent:
    named: dict[str, Any] = {"nonce": 7, "not_before_ms": 0, "expiry_ms": NOW + 3_600_000}
    named |= {"min_units": 1} | more
    return Intent(
        domain=DOMAIN,
        owner=signer("alice").public_key,
        legs=tuple(Leg(name, quantity) for name, quantity in legs.items()),
        units=units,
        settlement_asset=asset,
        limit=limit,
        **named,
    )


def _all() -> dict[str, Intent]:
    decay = Decay(16_000 * WHOLE_USDC, NOW - 10, NOW + 23)
    rising = Decay(-16_000 * WHOLE_USDC, NOW - 10, NOW + 23)
    return {
        "a sale": _intent({ETH: -1}, 5 * WHOLE, USDC, 15_000 * WHOLE_USDC),
        "a sale whose limit falls": _intent({ETH: -1}, 5 * WHOLE, USDC, 0, decay=decay),
        "a purchase": _intent({ETH: 1}, 3, USDC, -10, min_units=3),
        "a purchase whose limit rises": _intent(
            {ETH: 1}, 5 * WHOLE, USDC, -1, nonce=2**64 - 1, decay=rising
        ),
        "a spread": _intent({ETH: -2, DAI: 6_000}, 7, USDC, -5, min_units=0),
        "the same spread in larger units": _intent({DAI: 12_000, ETH: -4}, 3, USDC, 11),
        "the largest amounts": _intent({ETH: -1}, MOST, USDC, MOST, min_units=MOST),
    }


def intents() -> Any:
    """Everything of protocol §1 and §2."""
    made = []
    for name, intent in _all().items():
        kind, body = encode(intent)
        times = sorted({0, NOW - 11, NOW - 10, NOW - 9, NOW, NOW + 1, NOW + 22, NOW + 23})
        made.append(
            {
                "name": name,
                "intent": intent,
                "payload_type": kind.payload_type,
                "body": body,
                "id": intent_id(intent),
                "group": intent.group,
                "limits": [{"at_ms": at, "limit": intent.limit_at(at)} for at in times],
                "least_fills": [
                    {"remaining": left, "least": least_fill(intent, left)}
                    for left in (1, 2, intent.units)
                ],
                "needs": [
                    {"units": k, "limit": intent.limit, "needs": intent.needs(k, intent.limit)}
                    for k in (1, intent.units)
                ],
                "backed": [
                    {
                        "limit": intent.limit,
                        "balance": held,
                        "units": intent.backed(intent.limit, lambda _, held=held: held),  # type: ignore[misc]  # mypy drops the default
                    }
                    for held in (0, 1, 7, 10**18)
                ],
                "fills": list(_fills(intent)),
            }
        )
    return plain(
        {
            "owner_seed": seed_of("alice"),
            "amounts": _amounts(),
            "assets": _assets(),
            "intents": made,
            "invalid": list(_refused()),
        }
    )


def _fills(intent: Intent) -> Any:
    prices = {ETH: 3_000 * 7, USDC: 10**12 * 7 + 3, DAI: 5}
    for units in sorted({1, intent.units // 3 or 1, intent.units}):
        for at in (NOW, NOW + 23):
            limit = intent.limit_at(at)
            brings = settlement(intent, units, prices)
            yield {
                "units": units,
                "prices": {name: prices[name] for name in intent.assets},
                "limit": limit,
                "settlement": brings,
                "surplus": surplus(intent, units, brings, limit),
            }


def _amounts() -> Any:
    good = ["0", "1", "-1", str(MOST), str(-MOST)]
    bad = ["", "+1", "-0", "01", " 1", "1 ", "1.0", "1e3", "0x1", "\u0661", str(2**255), "9" * 78]
    return {
        "valid": good,
        "invalid": [{"text": text, "reason": reason_of(parse_amount, text)} for text in bad],
    }


def _assets() -> Any:
    bad = ["", "eip155:1", "eip155:1/slip44", "EIP155:1/slip44:60", "e:1/slip44:60"]
    bad += ["eip155:1/slip44:60/1", "eip155:1/slip44:" + "0" * 129, "eip155:1/slip44:6 0"]
    good = [ETH, USDC, "cosmos:cosmoshub-4/slip44:118", "solana:5eykt4/nft:%2d-.a"]
    for text in good:
        check_asset_id(text, "asset")
    return {
        "valid": good,
        "invalid": [
            {"text": text, "reason": reason_of(check_asset_id, text, "asset")} for text in bad
        ],
    }


def _refused() -> Any:
    _, body = encode(_all()["a sale"])

    def changed(**fields: Any) -> bytes:
        message = record_pb2.Intent.FromString(body)
        for name, value in fields.items():
            setattr(message, name, value)
        return message.SerializeToString(deterministic=True)

    def legs(*those: tuple[str, str]) -> bytes:
        message = record_pb2.Intent.FromString(body)
        del message.legs[:]
        for asset, quantity in those:
            message.legs.add(asset=asset, quantity=quantity)
        return message.SerializeToString(deterministic=True)

    bodies = {
        "no protobuf": b"\xff",
        "cut by a byte": body[:-1],
        "a field that nobody knows": body + b"\xf8\x01\x01",
        "a default that is written": body + b"\x20\x00",
        "a field twice": body + body[:20],
        "no domain": changed(domain=""),
        "an owner of 31 bytes": changed(owner=bytes(31)),
        "ends before it begins": changed(not_before_ms=NOW * 2),
        "no units": changed(units="0"),
        "units with a leading zero": changed(units="05"),
        "units out of range": changed(units=str(2**255)),
        "more least than units": changed(min_units=str(6 * WHOLE)),
        "settles in what it sells": changed(settlement_asset=ETH),
        "an asset that is none": changed(settlement_asset="dollars"),
        "a seller who pays": changed(limit="-1"),
        "no legs": legs(),
        "an asset twice": legs((ETH, "-1"), (ETH, "-1")),
        "a leg of nothing": legs((ETH, "0")),
        "legs out of range": legs((ETH, str(-(2**254)))),
        "seventeen legs": legs(*((f"eip155:1/erc20:{n}", "-1") for n in range(17))),
        "a buyer who is paid": legs((ETH, "1")),
    }
    for why, bad in bodies.items():
        yield {"why": why, "body": bad, "reason": reason_of(decode_intent, bad)}
