"""A paused replay as bytes, and back: the state that a log adds up to, whole.

JSON with sorted names and no spaces; records and values in their signed or logged encodings, as
base64. One paused replay has one encoding. It is an auditor's own note to itself: read back, it is
believed, so it belongs where nobody else can write.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from walras.audit import envelope
from walras.audit.counts import Counts, Paused, Unproven
from walras.audit.note import decode64, encode64
from walras.audit.probes import SplitView
from walras.core.assets import Asset
from walras.core.errors import InvalidInput, Reason, WalrasError
from walras.ledger import fleet as fleets
from walras.ledger.book import BookEntry
from walras.ledger.market import Market
from walras.ledger.nonces import Nonces
from walras.ledger.pricing import Pricing, feed_to_json
from walras.ledger.state import State
from walras.market.watch import VenueWatch
from walras.protocol.codec import Signed, decode, encode
from walras.protocol.keys import KeyBinding
from walras.protocol.problem import Price
from walras.protocol.records import Genesis, Kind, RulesSet
from walras.protocol.trade import decode_intent, encode_intent
from walras.protocol.values import decode_balances, encode_balances
from walras.protocol.venues import decode_venues, encode_venues

_NUMBERS = tuple(field.name for field in fields(Counts) if field.type is int)

R = TypeVar("R")


def encode_paused(paused: Paused) -> bytes:
    """The bytes of a paused replay, whose log has begun."""
    state, counts = paused.state, paused.counts
    assert state.genesis is not None
    document = {
        "index": paused.index,
        "auction_id": paused.auction_id,
        "ended": dict(paused.ended),
        "counts": {
            "records": dict(counts.records),
            "passed_over": dict(counts.passed_over),
            "split_views": [
                [view.node.hex(), view.size, view.root.hex(), view.index]
                for view in counts.split_views
            ],
            "unproven_awards": [
                [gap.auction_id, gap.index, gap.score, gap.bound] for gap in counts.unproven_awards
            ],
            **{name: getattr(counts, name) for name in _NUMBERS},
        },
        "genesis": _record(state.genesis),
        "bindings": [[index, _record(record)] for index, record in state.in_force.bindings],
        "rules": _record(RulesSet(state.rules)),
        "balances": encode64(encode_balances(state.balances)),
        "nonces": _nonces(state.nonces),
        "book": [
            [
                entry.leaf_index,
                encode64(encode_intent(entry.intent)),
                entry.remaining,
                entry.settled,
            ]
            for entry in state.book.entries.values()
        ],
        "market": _market(state.market),
        "fleet": json.loads(fleets.to_json(state.fleet)),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode_paused(data: bytes) -> Paused:
    """The paused replay that `encode_paused` wrote.

    Raises:
        InvalidInput: CONFIG_INVALID for what it did not write.
    """
    try:
        return _read(json.loads(data))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, WalrasError) as error:
        raise InvalidInput(
            Reason.CONFIG_INVALID, f"not a paused audit: {type(error).__name__}: {error}"
        ) from error


def _read(document: Mapping[str, Any]) -> Paused:
    counts = document["counts"]
    state = State(
        genesis=_decoded(Kind.GENESIS, document["genesis"], Genesis),
        rules=_decoded(Kind.RULES, document["rules"], RulesSet).rules,
        balances=decode_balances(_bytes(document["balances"])),
        nonces=Nonces(
            (bytes.fromhex(signer), nonce)
            for signer, nonces in document["nonces"].items()
            for nonce in nonces
        ),
        market=_read_market(document["market"]),
        fleet=fleets.from_json(json.dumps(document["fleet"])),
    )
    for index, text in document["bindings"]:
        state.keys = state.in_force.bind(index, _decoded(Kind.KEY_BINDING, text, KeyBinding))
    for leaf_index, text, remaining, settled in document["book"]:
        body = _bytes(text)
        name = envelope.record_id(Kind.INTENT.payload_type, body)
        state.book.add(BookEntry(name, decode_intent(body), leaf_index, remaining, settled))
    return Paused(
        document["index"],
        document["auction_id"],
        state,
        Counts(
            records=Counter(counts["records"]),
            passed_over=Counter(counts["passed_over"]),
            split_views=[
                SplitView(bytes.fromhex(node), size, bytes.fromhex(root), index)
                for node, size, root, index in counts["split_views"]
            ],
            unproven_awards=[Unproven(*gap) for gap in counts["unproven_awards"]],
            **{name: counts[name] for name in _NUMBERS},
        ),
        document["ended"],
    )


def _market(market: Market) -> dict[str, object]:
    return {
        "assets": [[a.id, a.symbol, a.decimals] for _, a in sorted(market.assets.items())],
        "venues": encode64(encode_venues(market.venues)),
        "prices": [[name, p.amount, p.source] for name, p in sorted(market.prices.items())],
        "watch": market.watch.to_json(),
        "pricing": market.pricing.to_json(),
        "feeds": {
            key.hex(): feed_to_json(feed) for key, feed in sorted(market.pricing.feeds.items())
        },
    }


def _read_market(document: Mapping[str, Any]) -> Market:
    return Market(
        assets={name: Asset(name, symbol, places) for name, symbol, places in document["assets"]},
        venues=decode_venues(_bytes(document["venues"])),
        prices={name: Price(amount, source) for name, amount, source in document["prices"]},
        watch=VenueWatch.from_json(document["watch"]),
        pricing=Pricing.from_json(document["pricing"], document["feeds"]),
    )


def _nonces(used: Iterable[tuple[bytes, int]]) -> dict[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for signer, nonce in sorted(used):
        found[signer.hex()].append(nonce)
    return found


def _record(record: Signed) -> str:
    return encode64(encode(record)[1])


def _decoded(kind: Kind, text: str, record: type[R]) -> R:
    found = decode(kind, _bytes(text))
    assert isinstance(found, record)
    return found


def _bytes(text: str) -> bytes:
    data = decode64(text)
    if data is None:
        raise ValueError("not base64")
    return data
