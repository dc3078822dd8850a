"""The venues' arithmetic and the test vectors of docs/protocol.md are those of the code."""

import random
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from walras.auction.components import tie
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.audit.merkle import leaf_hash
from walras.audit.note import Checkpoint, NoteKey, format_vkey, sign_checkpoint
from walras.core.errors import SwapError
from walras.core.intents import Intent, Leg
from walras.market.kinds import (
    AnyVenue,
    ConstantProduct,
    Offer,
    OrderBook,
    StableSwap,
    Weighted,
)
from walras.market.quote import quote_of
from walras.protocol.codec import encode
from walras.sdk.signing import intent_id, sign_record

PROTOCOL = (Path(__file__).parents[2] / "docs/protocol.md").read_text()
A, B, C = "eip155:1/slip44:60", "eip155:1/slip44:714", "eip155:1/slip44:966"
USDC = "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"


def blocks(info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The functions of the document."""
    space: dict[str, Any] = {}
    for block in blocks("python protocol"):
        exec(compile(block, "docs/protocol.md", "exec"), space)
    return space


def as_written(function: Callable[..., int], *args: object) -> int | str:
    """What a function of the document pays, or the error it names."""
    try:
        out = function(*args)
    except ValueError as error:
        return str(error)
    return out if out > 0 else "SWAP_AMOUNT"


def as_coded(venue: AnyVenue, asset_in: str, amount: int, asset_out: str) -> int | str:
    try:
        return venue.swap(asset_in, amount, asset_out).amount_out
    except SwapError as error:
        return error.reason.value


def draws(count: int) -> Iterator[random.Random]:
    return (random.Random(seed) for seed in range(count))


def size(chance: random.Random) -> int:
    return chance.randrange(1, 10 ** chance.randrange(1, 27))


def test_constant_product(written: dict[str, Any]) -> None:
    for chance in draws(300):
        reserves = (size(chance), size(chance))
        fee, amount = chance.randrange(10**6), size(chance)
        venue = ConstantProduct("v", 0, (A, B), reserves, fee)
        paid = as_written(written["constant_product"], *reserves, fee, amount)
        assert paid == as_coded(venue, A, amount, B)


def test_weighted(written: dict[str, Any]) -> None:
    served = 0
    for chance in draws(600):
        percent = chance.choice([50, 20, 80, chance.randrange(1, 100)])
        weights = (percent * 10**16, (100 - percent) * 10**16)
        balances, scaling = (size(chance), size(chance)), (chance.choice([1, 10**12]), 1)
        fee = chance.choice([0, 10**15, chance.randrange(10**18)])
        amount = max(1, balances[0] * chance.randrange(1, 400) // 1000)
        venue = Weighted("v", 0, (A, B), balances, weights, scaling, fee)
        sides = [(balances[i], weights[i], scaling[i]) for i in (0, 1)]
        paid = as_written(written["weighted"], *sides[0], *sides[1], fee, amount)
        assert paid == as_coded(venue, A, amount, B)
        served += isinstance(paid, int)
    assert served > 200


def test_stable_swap(written: dict[str, Any]) -> None:
    served = 0
    for chance in draws(400):
        assets = (A, B, C)[: chance.choice([2, 3])]
        middle = size(chance)
        balances = tuple(max(1, middle * chance.randrange(1, 300) // 100) for _ in assets)
        rates = tuple(chance.choice([10**18, 10**30]) for _ in assets)
        amplification, fee = chance.randrange(100, 10**6), chance.randrange(10**9)
        i, j = chance.sample(range(len(assets)), 2)
        amount = size(chance)
        venue = StableSwap("v", 0, assets, balances, rates, amplification, fee)
        paid = as_written(written["stable_swap"], balances, rates, amplification, fee, i, j, amount)
        assert paid == as_coded(venue, assets[i], amount, assets[j])
        served += isinstance(paid, int)
    assert served > 200


def test_order_book(written: dict[str, Any]) -> None:
    served = 0
    for chance in draws(400):
        offers = [
            Offer(chance.randrange(1, 50), chance.randrange(1, 50))
            for _ in range(chance.randrange(4))
        ]
        offers.sort(key=lambda offer: offer.want / offer.give)
        pairs = [(offer.give, offer.want) for offer in offers]
        book = OrderBook("v", 0, (A, B), tuple(offers), ())
        amount = chance.randrange(1, 120)
        paid = as_written(lambda *args: written["order_book"](*args)[0], pairs, amount)
        assert paid == as_coded(book, B, amount, A)
        if isinstance(paid, int):
            served += 1
            after = book.swap(B, amount, A).after.asks
            assert written["order_book"](pairs, amount)[1] == [(o.give, o.want) for o in after]
    assert served > 100


def test_quotes(written: dict[str, Any]) -> None:
    shown: dict[str, int] = {}
    for chance in draws(600):
        balances = (chance.choice([0, size(chance)]), size(chance), size(chance))
        rates = tuple(chance.choice([10**18, 10**30]) for _ in balances)
        amplification, fee = chance.randrange(100, 10**6), chance.randrange(10**6)
        weights = (10**17, 3 * 10**17, 6 * 10**17)
        offers = [(chance.randrange(1, 90), chance.randrange(100, 200)) for _ in range(3)]
        asks = sorted(offers[: chance.randrange(4)], key=lambda offer: offer[1] / offer[0])
        bids = [(50, 100)] if chance.random() < 0.5 else []
        cases = [
            (
                ConstantProduct("v", 0, (A, B), balances[:2], fee),
                written["constant_product_quote"](balances[:2], fee),
            ),
            (
                Weighted("v", 0, (A, B, C), balances, weights, (1, 1, 1), fee),
                written["weighted_quote"](balances, weights, fee),
            ),
            (
                StableSwap("v", 0, (A, B, C), balances, rates, amplification, fee),
                written["stable_swap_quote"](balances, rates, amplification, fee),
            ),
            (
                OrderBook(
                    "v",
                    0,
                    (A, B),
                    tuple(Offer(*offer) for offer in asks),
                    tuple(Offer(*offer) for offer in bids),
                ),
                written["order_book_quote"](asks, bids),
            ),
        ]
        for venue, told in cases:
            coded = quote_of(venue)
            assert tuple(map(tuple, told)) == (coded.bids, coded.asks, coded.depth)
            name = type(venue).__name__
            shown[name] = shown.get(name, 0) + bool(coded.bids)
    assert min(shown.values()) > 100


def test_vectors() -> None:
    (block,) = blocks("text vectors")
    told = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in block.splitlines())
    domain, signer = "example.org/walras", Signer.from_seed(bytes(range(32)))
    made = Intent(
        domain=domain,
        owner=signer.public_key,
        nonce=7,
        not_before_ms=0,
        expiry_ms=1767229200000,
        legs=(Leg(A, -1),),
        units=5 * 10**18,
        min_units=1,
        settlement_asset=USDC,
        limit=15_000 * 10**6,
    )
    kind, body = encode(made)
    leaf = sign_record(made, signer)
    note = sign_checkpoint(Checkpoint(domain, 1, leaf_hash(leaf)), domain, signer).decode()
    assert told == {
        "public key": signer.public_key.hex(),
        "payload type": kind.payload_type,
        "body": body.hex(),
        "group": made.group,
        "intent id": intent_id(made).hex(),
        "signature": envelope.decode(leaf).signature.hex(),
        "envelope digest": sha256(leaf).hexdigest(),
        "leaf hash": leaf_hash(leaf).hex(),
        "tie": str(tie(bytes(32), intent_id(made))),
        "verifier key": format_vkey(NoteKey(domain, signer.public_key)),
        "checkpoint line": note.splitlines()[-1],
    }
