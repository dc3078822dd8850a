"""A long log of large auctions, written by the engine's own code without a network around it.

Everything is real: owners sign their intents, two solvers commit to signed bids, and the batches
are sealed, closed, awarded with their certificates and settled by the functions that
`walras.app.batches` calls, in the same order.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from walras.app.collecting import Collected
from walras.app.sealing import Sending, log_bids, observe, send_out
from walras.app.sequencer import Transaction
from walras.auction.award import award
from walras.auction.batch import AwardedBatch, ClosedBatch, OpenBatch
from walras.auction.commitments import close_commitments
from walras.auction.dispatch import asked_at_once
from walras.audit.keys import Signer
from walras.audit.merkle import Tree
from walras.audit.note import Checkpoint, NoteKey, format_vkey, sign_checkpoint
from walras.audit.openings import commitment_to
from walras.audit.vrf import VrfKey
from walras.balance.events import Change, Outcome, Rule
from walras.balance.rules import NodeInfo
from walras.core.assets import Asset
from walras.core.bids import Bid, Fill, Proposal
from walras.core.intents import Intent, Leg
from walras.ledger.state import State
from walras.protocol.dispatch import Call
from walras.protocol.problem import OpenIntent, Price
from walras.protocol.records import (
    Awarded,
    Credit,
    Deposit,
    Genesis,
    MarketUpdate,
    Opened,
    RulesSet,
    Settled,
)
from walras.protocol.sealed_bids import Commitment, ReceivedCommitment
from walras.protocol.values import encode_balances, encode_rules
from walras.protocol.venues import encode_venues
from walras.sdk.signing import intent_id, sign_record
from walras.store.commit import Commit
from walras.store.folder import write_log_folder

DOMAIN = "bench.example/walras"
BEGAN_MS = 1_700_000_000_000
INTERVAL_MS = 2_000
SOLVE_MS = 500
MARKETS = 20
"""Assets that trade against one currency: as many bids win in each auction."""
CONTESTED = 5
"""In every fifth market a second solver bids for half of the intents, and loses."""
USD = "eip155:1/erc20:0xusd"
UNITS = 10**6
"""Of each intent, of 10^12 atoms: one whole asset."""
CREDITS = 200
"""Of one deposit."""


def _signer(name: str) -> Signer:
    return Signer.from_seed(sha256(name.encode()).digest())


ENGINE, OPERATOR = _signer("engine"), _signer("operator")
SOLVERS = tuple(sorted((_signer("one"), _signer("two")), key=lambda one: one.public_key))
VRF = VrfKey.from_seed(sha256(b"vrf").digest())
KEY = NoteKey(DOMAIN, ENGINE.public_key)


class Writer:
    """An engine without a network.

    Args:
        owners: of whom each hands in one intent a batch.
    """

    def __init__(self, owners: int) -> None:
        self.owners = [_signer(f"owner {number}") for number in range(owners)]
        self.assets = [f"eip155:1/erc20:0x{number:04x}" for number in range(MARKETS)]
        self.tx = Transaction(State(), Tree(), ENGINE, BEGAN_MS, Commit(0))
        self._begin()

    def run(self, auctions: int) -> None:
        """Log this many auctions."""
        for number in range(1, auctions + 1):
            batch = self._open(number)
            for place, owner in enumerate(self.owners):
                self._submit(self._intent(place, owner, number), owner)
            self.tx.now_ms += INTERVAL_MS
            sending = self._seal(batch)
            self.tx.now_ms += SOLVE_MS
            self._settle(*self._bidding(sending))

    def write(self, folder: Path) -> None:
        """Put the log into a folder, as `walras export` does."""
        commit, tree = self.tx.commit, self.tx.tree
        checkpoint = Checkpoint(DOMAIN, tree.size, tree.root())
        note = sign_checkpoint(checkpoint, DOMAIN, ENGINE)
        write_log_folder(folder, commit.leaves, note, format_vkey(KEY), commit.blobs.items())

    def _begin(self) -> None:
        tx, state = self.tx, self.tx.state
        genesis = Genesis(DOMAIN, ENGINE.public_key, (OPERATOR.public_key,), VRF.public_key)
        tx.record(genesis)
        state.begin(genesis)
        rules = RulesSet(state.rules)
        tx.record(rules)
        state.set_rules(rules)
        nodes = [
            NodeInfo(name, solver.public_key, slots=8)
            for name, solver in zip(("one", "two"), SOLVERS, strict=True)
        ]
        claims = [Change(Rule.JOINED, node.public_key, "configured") for node in nodes]
        tx.record(state.fleet.change(tx.now_ms, joined=nodes, claims=claims))
        names = [USD, *self.assets]
        update = MarketUpdate(
            DOMAIN,
            OPERATOR.public_key,
            0,
            tuple(Asset(name, f"A{place}", 18) for place, name in enumerate(names)),
            (),
            (),
            {name: Price(_reference(place), "bench") for place, name in enumerate(names)},
        )
        tx.append(sign_record(update, OPERATOR))
        state.update_market(update)
        held = [
            Credit(owner.public_key, asset, 10**26)
            for place, owner in enumerate(self.owners)
            for asset in (USD, self.assets[place % MARKETS])
        ]
        for start in range(0, len(held), CREDITS):
            credits_ = tuple(held[start : start + CREDITS])
            deposit = Deposit(DOMAIN, OPERATOR.public_key, start + 1, credits_)
            tx.append(sign_record(deposit, OPERATOR))
            state.deposit(deposit)

    def _intent(self, place: int, owner: Signer, number: int) -> Intent:
        """Half of a market's owners sell, the others buy; in the next batch it is the other way."""
        market = place % MARKETS
        sells = (place // MARKETS + number) % 2 == 0
        worth = _reference(market + 1) * 10**9 * UNITS // 10**6
        slack = worth * (50 + place % 97) // 10_000
        return Intent(
            DOMAIN,
            owner.public_key,
            number,
            0,
            1 << 60,
            (Leg(self.assets[market], -(10**12) if sells else 10**12),),
            UNITS,
            0,
            USD,
            worth - slack if sells else -worth - slack,
        )

    def _submit(self, intent: Intent, owner: Signer) -> None:
        index = self.tx.append(sign_record(intent, owner))
        self.tx.state.submit(intent_id(intent), intent, index)

    def _open(self, number: int) -> OpenBatch:
        tx = self.tx
        digest = sha256(encode_rules(tx.state.rules)).digest()
        opened = Opened(number, digest, tx.now_ms, tx.now_ms + INTERVAL_MS)
        tx.record(opened)
        tx.state.tell_time(tx.now_ms)
        return OpenBatch(opened)

    def _seal(self, batch: OpenBatch) -> Sending:
        tx = self.tx
        if tx.state.fleet.tick(tx.now_ms):
            tx.record(tx.state.fleet.change(tx.now_ms))
        for watched in tx.state.prepare(tx.now_ms):
            tx.record(watched)
        problem = tx.state.problem(batch.opened.auction_id, tx.now_ms)
        idle = {solver.public_key: 0 for solver in SOLVERS}
        sending = send_out(tx, batch, problem, tx.now_ms + SOLVE_MS, idle, (), VRF, ())
        tx.record(sending.sealed.record())
        tx.state.expire(tx.now_ms)
        return sending

    def _bidding(self, sending: Sending) -> tuple[Sending, ClosedBatch, Collected]:
        """Commitments, their closing, and the bids that they come to."""
        tx, sealed = self.tx, sending.sealed
        made = []
        for data, solver in self._bids(sending):
            salt = sha256(data).digest()  # a real solver's is random; the log must not change
            promise = Commitment(
                *(DOMAIN, sealed.auction_id, solver.public_key, sealed.digest),
                *(commitment_to(data, salt), sealed.digest, tx.now_ms),
            )
            signed = sign_record(promise, solver)
            made.append((ReceivedCommitment(signed, solver.public_key, tx.now_ms), data, salt))
        committed = close_commitments(sealed, [one for one, _, _ in made], tx.now_ms, tx.now_ms)
        tx.blob(committed.blob())
        tx.record(committed.record())
        collected = Collected()
        for one, data, salt in made:
            bid = sealed.evaluate(data, one.solver, one.received_ms, salt)
            collected.bids.append((bid, data))
        assert sealed.plan is not None
        for part, key in sorted(asked_at_once(sealed.plan)):
            collected.calls.append(Call(part, key, Outcome.OK, 1_000, 0, 0))
        bids = (bid for bid, _ in collected.bids)
        return sending, sealed.close(bids, committed.set_digest(), sending.bid_secret), collected

    def _bids(self, sending: Sending) -> Iterator[tuple[bytes, Signer]]:
        """One for each market, all its buyers and sellers at one price; some of the second's."""
        sealed = sending.sealed
        markets: dict[str, list[OpenIntent]] = {}
        for found in sealed.problem.intents.values():
            markets.setdefault(found.intent.legs[0].asset, []).append(found)
        for place, (asset, crossing) in enumerate(sorted(markets.items())):
            proposal = _crossed(asset, crossing)
            yield self._bid(sending, proposal, SOLVERS[0]), SOLVERS[0]
            if place % CONTESTED == 0:
                proposal = _crossed(asset, crossing, len(crossing) // 4)
                yield self._bid(sending, proposal, SOLVERS[1]), SOLVERS[1]

    def _bid(self, sending: Sending, proposal: Proposal, solver: Signer) -> bytes:
        sealed = sending.sealed
        assert len(sealed.parts) == 1
        bid = Bid(sealed.auction_id, sealed.digest, solver.public_key, proposal)
        return sign_record(bid, solver)

    def _settle(self, sending: Sending, closed: ClosedBatch, collected: Collected) -> None:
        """As the engine's last commit of a batch."""
        tx, sealed = self.tx, closed.sealed
        number = sealed.auction_id
        proof, seed = VRF.prove(closed.tie_input())
        awarded = AwardedBatch(sealed, award(sealed.problem, closed.scored(), seed))
        touched = tx.state.settle(awarded.award.winners)
        log_bids(tx, closed, collected)
        tx.record(closed.record())
        certificate = tx.blob(awarded.certificate())
        bundle = tx.blob(tx.seal(awarded.bundle()))
        tx.record(Awarded(number, bundle, proof, certificate))
        observe(tx, sending, collected.calls, closed, awarded)
        balances = tx.blob(encode_balances(touched.balances))
        venues = tx.blob(encode_venues(touched.venues))
        tx.record(Settled(number, bundle, balances, venues))
        tx.state.release()
        tx.state.take_changes()


def _reference(place: int) -> int:
    """Score units per 10^18 atoms: the currency's is 10^9."""
    return 10**9 * (1 if place == 0 else 10 * place)


def _crossed(asset: str, crossing: Sequence[OpenIntent], most: int = 1 << 30) -> Proposal:
    """As many buyers as sellers, `most` of each at the most, at the reference price."""
    buys = [found for found in crossing if found.intent.legs[0].quantity > 0]
    sells = [found for found in crossing if found.intent.legs[0].quantity < 0]
    count = min(len(buys), len(sells), most)
    price = _reference(int(asset.removeprefix("eip155:1/erc20:0x"), 16) + 1)
    fills = tuple(Fill(found.id, UNITS) for found in (*buys[:count], *sells[:count]))
    return Proposal(fills, {asset: price, USD: _reference(0)})
