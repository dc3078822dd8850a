"""Whatever the market, no built-in solver sends a bid that the engine rejects.

`make test` draws a few markets for each solver, `make parity` 10,000. WALRAS_FUZZED_MARKETS sets
the number.
"""

import os
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from support.fuzzed_markets import markets

from walras.auction.validity import score_bid
from walras.audit import envelope
from walras.audit.keys import Signer
from walras.core.bids import Bid
from walras.market.kinds import KINDS, kind_of
from walras.protocol.problem import Problem
from walras.protocol.records import Kind
from walras.protocol.trade import decode_bid
from walras.sdk import Deadline, Proposal, Solver
from walras.sdk.plugins import installed, load
from walras.sdk.signing import sign_record

COUNT = int(os.environ.get("WALRAS_FUZZED_MARKETS", "25"))
SECONDS = 1.0
"""For one market, at most; all but a few are done long before."""

BUILT_IN = sorted(name for name, target in installed().items() if "walras_solvers" in target)
SIGNER = Signer.from_seed(bytes(32))
DIGEST = sha256(b"problem").digest()
MAX_BID_BYTES = 8 << 20

fuzzed = settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    derandomize=COUNT < 1_000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", BUILT_IN)
def test_no_bid_is_rejected(name: str) -> None:
    solver = load(name)
    sent = Counter[str]()

    @fuzzed
    @given(markets())
    def check(problem: Problem) -> None:
        sent["markets"] += 1
        sent["bids"] += judge(problem, solver)

    check()
    # Markets in which nothing can be bid for would show nothing.
    assert sent["bids"] > sent["markets"] // 16, sent


def judge(problem: Problem, solver: Solver) -> int:
    """Have the engine's rules judge what a node would send; the number of bids."""
    ids: set[bytes] = set()
    for proposal in solver.solve(problem, Deadline.after(SECONDS)):
        bid_id = accepted(problem, proposal)
        assert bid_id not in ids, "sent twice"
        ids.add(bid_id)
    assert len(ids) <= problem.rules.max_bids
    return len(ids)


def accepted(problem: Problem, proposal: Proposal) -> bytes:
    """The id of the signed bid. Raises BidRejected, or whatever the bid's bytes break."""
    bid = Bid(problem.auction_id, DIGEST, SIGNER.public_key, proposal)
    signed = envelope.decode(sign_record(bid, SIGNER), MAX_BID_BYTES)
    envelope.verify_envelope(signed)
    read = decode_bid(signed.body)
    assert read == bid
    bid_id = envelope.record_id(Kind.BID.payload_type, signed.body)
    score_bid(problem, DIGEST, read, bid_id=bid_id, bid_digest=bid_id)
    return bid_id


def test_markets_are_of_every_kind() -> None:
    seen = Counter[str]()

    @settings(
        max_examples=60, database=None, derandomize=True, deadline=None, phases=[Phase.generate]
    )
    @given(markets())
    def look(problem: Problem) -> None:
        seen.update(kind_of(venue) for venue in problem.venues.values())
        for found in problem.intents.values():
            intent = found.intent
            seen["legs"] += len(intent.legs) > 1
            seen["sell"] += len(intent.legs) == 1 and intent.legs[0].quantity < 0
            seen["buy"] += len(intent.legs) == 1 and intent.legs[0].quantity > 0
            seen["all or nothing"] += intent.min_units == intent.units > 1
            seen["decay"] += intent.decay is not None
            seen.update(asset.partition(":")[0] for asset in intent.assets)

    look()
    expected = {*KINDS, "legs", "sell", "buy", "all or nothing", "decay", "eip155", "solana"}
    assert expected <= {name for name, count in seen.items() if count > 3}, seen
