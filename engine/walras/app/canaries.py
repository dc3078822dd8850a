"""Canaries: real orders of the operator's, planted to see which nodes find what can be filled.

An owner that was never seen before is credited, hands in an order that any solver can fill, and
takes out what it has afterwards. Nothing in the batch tells it from a newcomer's. The sealing
commits to which orders are canaries, the settlement reveals it (protocol §10), so the engine can
neither plant them afterwards nor deny them.

Owners' keys follow from one seed, so that what a crash leaves behind is taken out by the next run.
"""

import asyncio
import secrets
from hashlib import sha256

import structlog

from walras.app.auctioneer import Auctioneer
from walras.app.sequencer import Sequencer, Transaction
from walras.audit.keys import Signer
from walras.core.errors import WalrasError
from walras.core.intents import Intent, Leg
from walras.ledger.state import State
from walras.protocol.problem import ATOMS_PER_PRICE
from walras.protocol.records import Credit, Deposit, Withdrawal
from walras.sdk.signing import fresh_nonce, intent_id, sign_record

log = structlog.get_logger()

LEAST_BPS, MOST_BPS = 8_000, 9_800
"""The limit is a share of the reference value between these, drawn anew: any route beats it that is
worth its name, and a fixed share would tell every canary to whoever computes it.
"""

AMOUNT_DIGITS, LIMIT_DIGITS = 3, 4
"""People write round numbers."""

MAX_OPEN = 64
"""Canaries at a time."""

_LEAST_LIVES, _MOST_LIVES = 4, 16
"""Batches that a canary is open for."""


class Canaries:
    """Plants a canary now and then and takes it back.

    Args:
        sequencer: the single writer.
        auctioneer: told which open orders are canaries.
        operator: signs the credits.
        seed: of the owners' keys.
        every: batches between two canaries, on average; ≥ 1.
        value: score units that one is worth, more or less.
        interval_ms: of a batch.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        auctioneer: Auctioneer,
        operator: Signer,
        seed: bytes,
        *,
        every: int,
        value: int,
        interval_ms: int,
    ) -> None:
        self._sequencer = sequencer
        self._auctioneer = auctioneer
        self._operator = operator
        self._seed = seed
        self._every = every
        self._value = value
        self._interval_ms = interval_ms
        self._planted = 0
        self._open: dict[bytes, Signer] = {}

    async def serve(self) -> None:
        """Plant and take back until cancelled."""
        await self._recover()
        while True:
            # The pause says nothing: it is as long as any other between two newcomers.
            await asyncio.sleep(
                self._interval_ms / 1_000 * (0.5 + secrets.randbelow(1_000) / 1_000)
            )
            try:
                await self._take_back()
                if secrets.randbelow(self._every) == 0 and len(self._open) < MAX_OPEN:
                    await self._plant()
            except WalrasError as error:
                log.warning("a canary failed", reason=error.reason, why=str(error))

    def owner(self, number: int) -> Signer:
        """The key of the canary of this number."""
        return Signer.from_seed(sha256(self._seed + number.to_bytes(8, "big")).digest())

    async def _recover(self) -> None:
        # A credit is the first that is heard of an owner, so the first unknown one ends the search.
        state = self._sequencer.state
        held: dict[bytes, list[str]] = {}
        for owner, asset in state.balances:
            held.setdefault(owner, []).append(asset)
        signers = {signer for signer, _ in state.nonces}
        while (key := self.owner(self._planted)).public_key in held or key.public_key in signers:
            self._planted += 1
            for asset in held.get(key.public_key, ()):
                await self._withdraw(key, asset)

    async def _plant(self) -> None:
        order = self._order(self._sequencer.state)
        if order is None:
            return
        give, amount, receive, limit = order
        key = self.owner(self._planted)
        self._planted += 1
        domain = self._sequencer.state.domain
        # Who deposits just what it sells is no usual newcomer; the rest is taken back later.
        held = _round(amount + secrets.randbelow(amount + 1), AMOUNT_DIGITS)
        credit = Credit(key.public_key, give, held)
        deposit = Deposit(domain, self._operator.public_key, fresh_nonce(), (credit,))
        leaf = sign_record(deposit, self._operator)

        def put(tx: Transaction) -> None:
            tx.state.deposit(deposit)
            tx.append(leaf)

        await self._sequencer.run(put)
        await asyncio.sleep(self._interval_ms / 1_000 * secrets.randbelow(1_000) / 1_000)
        now = self._sequencer.clock()
        lives = 1_000 * _LEAST_LIVES + secrets.randbelow(1_000 * (_MOST_LIVES - _LEAST_LIVES))
        intent = Intent(
            domain=domain,
            owner=key.public_key,
            nonce=fresh_nonce(),
            not_before_ms=0,
            expiry_ms=now + lives * max(self._interval_ms, 1_000) // 1_000,
            legs=(Leg(give, -1),),
            units=amount,
            min_units=0,
            settlement_asset=receive,
            limit=limit,
        )
        name, signed = intent_id(intent), sign_record(intent, key)

        def submit(tx: Transaction) -> None:
            tx.state.submit(name, intent, tx.tree.size)
            tx.append(signed)
            # At once: the next command may seal a batch that holds it.
            self._auctioneer.canaries.add(name)

        await self._sequencer.run(submit)
        self._open[name] = key

    def _order(self, state: State) -> tuple[str, int, str, int] | None:
        """What to give, how much, for what, for at least how much; None where nothing trades."""
        venues = [
            v
            for v in state.market.open_venues().values()
            if set(v.assets) <= state.market.prices.keys()
        ]
        if not venues:
            return None
        venue = venues[secrets.randbelow(len(venues))]
        give = venue.assets[secrets.randbelow(len(venue.assets))]
        others = [asset for asset in venue.assets if asset != give]
        receive = others[secrets.randbelow(len(others))]
        value = self._value // 2 + secrets.randbelow(self._value) + 1
        amount = value * ATOMS_PER_PRICE // state.market.prices[give].amount
        amount = _round(amount, AMOUNT_DIGITS)
        worth = amount * state.market.prices[give].amount // state.market.prices[receive].amount
        share = LEAST_BPS + secrets.randbelow(MOST_BPS - LEAST_BPS)
        limit = _round(worth * share // 10_000, LIMIT_DIGITS)
        return (give, amount, receive, limit) if amount and limit else None

    async def _take_back(self) -> None:
        state = self._sequencer.state
        for name, key in list(self._open.items()):
            if name in state.book.entries:
                continue
            del self._open[name]
            self._auctioneer.canaries.discard(name)
            for owner, asset in [*state.balances]:
                if owner == key.public_key:
                    await self._withdraw(key, asset)

    async def _withdraw(self, key: Signer, asset: str) -> None:
        state = self._sequencer.state

        def command(tx: Transaction) -> None:
            record = Withdrawal(
                state.domain,
                key.public_key,
                fresh_nonce(),
                asset,
                tx.state.balance(key.public_key, asset),
                tx.now_ms + 60_000,
            )
            if record.amount:
                tx.state.withdraw(record)
                tx.append(sign_record(record, key))

        await self._auctioneer.between_batches(key.public_key, command, None)


def _round(number: int, digits: int) -> int:
    """Down, to so many significant digits; number ≥ 0."""
    unit: int = 10 ** max(0, len(str(number)) - digits)
    return number // unit * unit
