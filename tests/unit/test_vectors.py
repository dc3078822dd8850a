"""The vectors of docs/vectors are what this release makes, and what another reading makes.

The second half reads them by hashlib, libsodium, fractions, exhaustive search and the functions of
docs/protocol.md and docs/policies.md; nothing that made them takes part.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from hashlib import sha256, sha512
from itertools import pairwise
from math import ceil, floor, gcd
from pathlib import Path
from typing import Any

import pytest
from nacl import bindings
from nacl.public import PrivateKey, SealedBox
from nacl.signing import VerifyKey

from walras.balance.rules import FleetRules
from walras.balance.view import NodeView

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/vectors"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
MOST_BYTES = 300_000


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def functions(page: str, info: str) -> dict[str, Any]:
    """What a page of the protocol says in code."""
    space: dict[str, Any] = {}
    text = (ROOT / page).read_text()
    for block in re.findall(rf"^```python {info}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, page, "exec"), space)
    return space


def test_the_command_writes_the_files_that_are_there(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "make.py"), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in FOLDER.glob("*.json")}
    assert len(made) == 10
    assert sum(map(len, made.values())) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_integers_are_strings_and_refusals_have_reasons(name: str) -> None:
    def walk(value: Any) -> None:
        assert not isinstance(value, float)
        assert isinstance(value, bool) or not isinstance(value, int)
        if isinstance(value, dict):
            assert value.get("reason") != ""
            list(map(walk, value.values()))
        elif isinstance(value, list):
            list(map(walk, value))

    walk(read(name))


# envelopes, intents


def test_envelopes() -> None:
    found = read("envelopes")
    for one in found["valid"]:
        kind, body = one["payload_type"], unhex(one["body"])
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)
        assert pae.hex() == one["pae"]
        assert sha256(pae).hexdigest() == one["id"]
        VerifyKey(unhex(one["public_key"])).verify(pae, unhex(one["signature"]))
        data = unhex(one["envelope"])
        assert data.endswith(one["public_key"].encode())
        assert sha256(data).hexdigest() == one["digest"]
        assert sha256(b"\0" + data).hexdigest() == one["leaf_hash"]
    assert len(found["invalid"]) >= 20
    assert {one["reason"] for one in found["invalid"]} == {
        *("ENVELOPE_MALFORMED", "SIGNATURE_INVALID", "PUBLIC_KEY_INVALID")
    }


def limit_at(intent: dict[str, Any], at_ms: int) -> int:
    decay, last = intent["decay"], int(intent["limit"])
    if decay is None:
        return last
    first, begin, end = (int(decay[name]) for name in ("start_limit", "start_ms", "end_ms"))
    share = min(max(Fraction(at_ms - begin, end - begin), Fraction(0)), Fraction(1))
    return floor(first + (last - first) * share)


def group(intent: dict[str, Any]) -> str:
    money, legs = intent["settlement_asset"], intent["legs"]
    if len(legs) == 1:
        sold = legs[0]["quantity"].startswith("-")
        pair = (legs[0]["asset"], money) if sold else (money, legs[0]["asset"])
        return ">".join(pair)
    common = gcd(*(int(leg["quantity"]) for leg in legs))
    lines = sorted(f"{leg['asset']} {int(leg['quantity']) // common}" for leg in legs)
    return sha256("\n".join([money, *lines]).encode()).hexdigest()


def test_intents() -> None:
    for one in read("intents")["intents"]:
        intent, body = one["intent"], unhex(one["body"])
        kind = one["payload_type"]
        pae = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)
        assert sha256(pae).hexdigest() == one["id"]
        assert group(intent) == one["group"]
        for each in one["limits"]:
            assert str(limit_at(intent, int(each["at_ms"]))) == each["limit"]
        units, least = int(intent["units"]), int(intent["min_units"])
        for each in one["least_fills"]:
            assert int(each["least"]) == max(1, min(least, int(each["remaining"])))
        legs = {leg["asset"]: int(leg["quantity"]) for leg in intent["legs"]}
        money = intent["settlement_asset"]
        for each in one["needs"]:
            k, limit = int(each["units"]), int(each["limit"])
            needs = {asset: -n * k for asset, n in legs.items() if n < 0}
            if limit < 0:
                needs[money] = -floor(Fraction(k * limit, units))
            assert {asset: int(n) for asset, n in each["needs"].items()} == needs
        for each in one["backed"]:
            held, limit = int(each["balance"]), int(each["limit"])
            most = [held // -n for n in legs.values() if n < 0]
            most += [floor(Fraction(held * units, -limit))] if limit < 0 else []
            assert int(each["units"]) == min(most, default=units)
        for each in one["fills"]:
            k, prices = int(each["units"]), {a: int(p) for a, p in each["prices"].items()}
            worth = sum(n * prices[asset] for asset, n in legs.items())
            brings = floor(Fraction(-k * worth, prices[money]))
            assert str(brings) == each["settlement"]
            owed = ceil(Fraction(k * int(each["limit"]), units))
            assert str(brings - owed) == each["surplus"]


def test_sealed_bids() -> None:
    found = read("sealed-bids")
    bid, salt, secret = (unhex(found[name]) for name in ("bid", "salt", "bid_secret"))
    assert sha256(bid + salt).hexdigest() == found["commitment"]
    assert sha256(unhex(found["commitment"])).hexdigest() == found["set"]
    key = PrivateKey(secret)
    assert bytes(key.public_key).hex() == found["bid_key"]
    assert SealedBox(key).decrypt(unhex(found["sealed"])) == bid + salt
    for outer, inner in (
        ("opening", "sealed"),
        ("commitment_envelope", "commitment"),
        ("task", "bid_key"),
        ("commitments_blob", "commitment_envelope"),
    ):
        assert unhex(found[inner]) in unhex(found[outer])
    assert sha256(unhex(found["task"])).digest() in unhex(found["commitment_envelope"])
    assert sha256(unhex(found["commitments_blob"])).digest() in unhex(found["committed"])
    assert {one["reason"] for one in found["invalid"]} == {"OPENING_INVALID"}


# auctions


def test_scores() -> None:
    found = read("bids")
    reasons = Counter(one.get("reason", "valid") for one in found["bids"])
    assert reasons["valid"] == 4
    assert len(reasons) >= 20
    value = {"ETH": 10**9, "USDC": 333_333 * 10**12}
    for one in found["bids"]:
        if "reason" in one:
            assert all(isinstance(each, str) for each in one["details"].values())
            continue
        assert sum(int(gain) for gain in one["surplus"].values()) >= int(one["score"]) > 0
        cost = 100 * len(one["reserves_after"])
        assert sum(map(int, one["surplus"].values())) - cost == int(one["score"])
        assert all(int(left) >= 0 for left in one["leftover"].values())
    through = next(one for one in found["bids"] if one["name"] == "one through the pool")
    (fill,) = through["fills"]
    owed = ceil(Fraction(int(fill["units"]) * 14_500 * 10**6, 5 * 10**18))
    gain = (int(fill["settlement"]) - owed) * value["USDC"] // 10**18
    assert [str(gain)] == list(through["surplus"].values())
    eth, usdc = map(int, through["reserves_after"]["pool"])
    assert eth * usdc >= 1_000 * 10**18 * 3_000_000 * 10**6


def best(
    bids: list[dict[str, Any]], held: dict[tuple[str, str], int]
) -> tuple[int, int, list[str]]:
    """The greatest (score, tie) of a set that may win, and its bids; by trying all."""

    def extend(rest: list[dict[str, Any]], used: set[str], left: dict[Any, int]) -> Any:
        if not rest:
            return 0, 0, []
        first, *others = rest
        found = extend(others, used, left)
        touched = {f"g {name}" for name in first["surplus"]} | set(first["venues"])
        spends = {(s["owner"], s["asset"]): int(s["amount"]) for s in first["spends"]}
        after = {**left, **{a: left.get(a, 0) - n for a, n in spends.items()}}
        if touched & used or any(after[a] < 0 for a in spends):
            return found
        score, tie, those = extend(others, used | touched, after)
        taken = (score + int(first["score"]), tie + int(first["tie"]), [first["id"], *those])
        return max(found, taken, key=lambda one: one[:2])

    score, tie, those = extend(bids, set(), held)
    return score, tie, sorted(those)


def test_selection() -> None:
    found = read("selection")
    seed = unhex(found["seed"])
    for one in found["auctions"]:
        held = {(b["owner"], b["asset"]): int(b["amount"]) for b in one["balances"]}
        floors: dict[str, int] = {}
        for bid in one["bids"]:
            tie = int.from_bytes(sha256(seed + unhex(bid["id"])).digest()[:16], "big")
            assert str(tie) == bid["tie"]
            if len(bid["surplus"]) == 1:
                (only,) = bid["surplus"]
                floors[only] = max(floors.get(only, 0), int(bid["score"]))
        assert {name: int(n) for name, n in one["baselines"].items()} == floors
        unfair = {
            bid["id"]
            for bid in one["bids"]
            if len(bid["surplus"]) > 1
            and any(int(gain) < floors.get(name, 0) for name, gain in bid["surplus"].items())
        }
        assert {each["bid_id"] for each in one["dropped"]} == unfair
        kept = [bid for bid in one["bids"] if bid["id"] not in unfair]
        score, _, winners = best(kept, held)
        assert (str(score), winners) == (one["score"], one["winners"])
        assert one["bound"] == one["score"]
        solvers = sorted({bid["solver"] for bid in kept if bid["id"] in winners})
        assert [each["solver"] for each in one["rewards"]] == solvers
        for each in one["rewards"]:
            without, _, _ = best([b for b in kept if b["solver"] != each["solver"]], held)
            due = max(0, min(int(one["reward_cap"]), score - without))
            assert (each["reference"], each["amount"]) == (str(without), str(due))
    assert len({one["reason"] for one in found["invalid"]}) >= 11


# chance


def test_draws() -> None:
    found = read("dispatch")["draws"]
    seed, counter = unhex(found["seed"]), 0
    for one in found["draws"]:
        below = int(one["below"])
        while True:
            digest = sha256(seed + counter.to_bytes(8, "big")).digest()
            counter += 1
            value = int.from_bytes(digest[:8], "big")
            if value < 2**64 // below * below:
                break
        assert str(value % below) == one["value"]


def test_outputs_of_the_vrf() -> None:
    """RFC 9381 §5.2: the hash of the suite, 03, eight times gamma, 00."""
    found = read("vrf")
    for one in found["valid"]:
        gamma = unhex(one["proof"])[:32]
        for _ in range(3):
            gamma = bindings.crypto_core_ed25519_add(gamma, gamma)
        assert sha512(b"\x03\x03" + gamma + b"\0").hexdigest() == one["output"]
    domain, auction = found["domain"].encode(), int(found["auction_id"]).to_bytes(8, "big")
    inputs = {one["name"]: unhex(one["input"]) for one in found["valid"]}
    assert inputs["dispatch"] == b"walras dispatch v1\0" + domain + b"\0" + auction
    assert inputs["tie"] == b"walras tie v1\0" + domain + b"\0" + auction + unhex(found["set"])
    probe = {name: text for name, text in found["probe"].items() if name != "node"}
    epoch, interval, timeout, due = map(int, probe.values())
    place = epoch.to_bytes(8, "big") + unhex(found["probe"]["node"])
    assert inputs["probe"] == b"walras probe v1\0" + domain + b"\0" + place
    output = next(one["output"] for one in found["valid"] if one["name"] == "probe")
    assert due == epoch * interval + int(output, 16) % (interval - timeout)
    assert sum(one["name"] == "RFC 9381" for one in found["valid"]) == 3
    assert {one["reason"] for one in found["invalid"]} == {"VRF_INVALID"}


def test_dispatch() -> None:
    """The picks of docs/policies.md, for nodes of which nothing is known yet."""
    found, written = read("dispatch"), functions("docs/policies.md", "policies")
    for plan in found["plans"]:
        rules = FleetRules(
            policy=plan["policy"], region=plan["region"], bond_asset=plan["bond_asset"], all_up_to=4
        )
        nodes = [
            NodeView(
                unhex(node["public_key"]),
                group=node["group"],
                region=node["region"],
                slots=int(node["slots"]),
                in_flight=int(load["in_flight"]),
                service_us=100_000,
                variation_bps=20_000,
            )
            for node, load in zip(found["nodes"], found["loads"], strict=True)
        ]
        written["weigh"](nodes, rules, dict.fromkeys([node.key for node in nodes], 10_000))
        chooser = written["Chooser"](rules)
        for probe in plan["probes"]:
            numbers = (int(probe[name]) for name in ("in_flight", "latency_us", "at_us"))
            chooser.policy.add(unhex(probe["public_key"]), *numbers)
        draws = written["draws"](unhex(found["seed"]))
        shard, now_us = unhex(found["shard_key"]), int(found["at_ms"]) * 1_000
        picked = chooser.pick_many(written["Pool"](nodes), shard, now_us, draws, 3, 2)
        (part,) = plan["parts"]
        keys = [found["nodes"][int(at)]["public_key"] for at in part["nodes"]]
        assert [node.key.hex() for node in picked] == keys, plan["policy"]
        assert part["asked"] == "3"
        assert sha256(unhex(found["part"])).hexdigest() == part["part_digest"]


# the log


def root_of(hashes: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there, over leaf hashes."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(hashes[:half]) + root_of(hashes[half:])).digest()


def path(index: int, hashes: list[bytes]) -> list[bytes]:
    if len(hashes) == 1:
        return []
    half = 1 << (len(hashes) - 1).bit_length() - 1
    if index < half:
        return [*path(index, hashes[:half]), root_of(hashes[half:])]
    return [*path(index - half, hashes[half:]), root_of(hashes[:half])]


def between(old: int, hashes: list[bytes], whole: bool) -> list[bytes]:
    if old == len(hashes):
        return [] if whole else [root_of(hashes)]
    half = 1 << (len(hashes) - 1).bit_length() - 1
    if old <= half:
        return [*between(old, hashes[:half], whole), root_of(hashes[half:])]
    return [*between(old - half, hashes[half:], False), root_of(hashes[:half])]


def test_trees_and_proofs() -> None:
    found = read("proofs")
    leaves = [sha256(b"\0" + unhex(entry)).digest() for entry in found["entries"]]
    assert [leaf.hex() for leaf in leaves] == found["leaf_hashes"]
    assert [root_of(leaves[:n]).hex() for n in range(9)] == found["roots"]
    assert len(found["inclusion"]) == 36
    for one in found["inclusion"]:
        proof = path(int(one["index"]), leaves[: int(one["size"])])
        assert [each.hex() for each in proof] == one["proof"]
    assert len(found["consistency"]) == 45
    for one in found["consistency"]:
        old, new = int(one["old"]), int(one["new"])
        proof = between(old, leaves[:new], True) if 0 < old < new else []
        assert [each.hex() for each in proof] == one["proof"]


# venues


def test_swaps() -> None:
    written, served = functions("docs/protocol.md", "protocol"), Counter[str]()
    for one in read("venues")["venues"]:
        v, kind = one["venue"], one["kind"]
        for swap in one["swaps"]:
            if swap.get("reason") == "SWAP_ASSETS" or swap["amount_in"] == "0":
                assert "reason" in swap
                continue
            i, j = v["assets"].index(swap["asset_in"]), v["assets"].index(swap["asset_out"])
            told = paid(written, kind, v, i, j, int(swap["amount_in"]))
            expected = swap.get("reason") or int(swap["amount_out"])
            assert told == expected, (kind, swap)
            served[kind] += isinstance(told, int)
    assert set(served) == {
        *("constant_product", "weighted", "stable_swap", "stable_pool"),
        *("concentrated", "bridge", "rfq", "order_book"),
    }
    assert min(served.values()) >= 3


def paid(written: dict[str, Any], kind: str, v: dict[str, Any], i: int, j: int, n: int) -> Any:
    """What the page's function of this kind pays, or the reason that it gives."""

    def numbers(name: str) -> list[int]:
        return [int(each) for each in v[name]]

    terms: tuple[Any, ...]
    match kind:
        case "constant_product":
            held = numbers("reserves")
            terms = (held[i], held[j], int(v["fee_pips"]), n)
        case "weighted":
            columns = (numbers("balances"), numbers("weights"), numbers("scaling"))
            terms = (*(c[i] for c in columns), *(c[j] for c in columns), int(v["fee"]), n)
        case "stable_swap" | "stable_pool":
            pool = (numbers("balances"), numbers("rates"))
            terms = (*pool, int(v["amplification"]), int(v["fee"]), i, j, n)
        case "concentrated":
            ticks = [(int(t["index"]), int(t["net"])) for t in v["ticks"]]
            names = ("sqrt_price", "tick", "liquidity", "fee_pips", "tick_spacing")
            terms = (*(int(v[name]) for name in names), ticks, i == 0, n)
        case "bridge":
            capacity, scaling, flat = (numbers(x) for x in ("capacity", "scaling", "flat_fee"))
            terms = (capacity[j], scaling[i], scaling[j], int(v["fee_pips"]), flat[i], n)
        case "order_book":
            side = [(int(o["give"]), int(o["want"])) for o in v["asks" if i == 1 else "bids"]]
            assert all(a[1] * b[0] <= b[1] * a[0] for a, b in pairwise(side))
            terms = (side, n)
        case "rfq":
            if i == 1 or n > int(v["left"]):
                return "SWAP_LIQUIDITY"
            return n * int(v["amount_out"]) // int(v["amount_in"]) or "SWAP_AMOUNT"
    try:
        found = written[kind](*terms)
    except ValueError as error:
        return str(error)
    return (found[0] if isinstance(found, tuple) else found) or "SWAP_AMOUNT"
