"""A client of the engine over gRPC.

    async with Client("127.0.0.1:7400") as client:
        answer = await client.submit(sign_record(intent, signer))

Answers are the messages of `walras.api.v1`. Every mutation carries a request id, the same one when
it is tried again, so that it happens once. A call is tried again only where the engine could not be
reached or is stopping. Every call has a deadline, except the streams that watch, which last until
the caller is done.

Every method raises:
    InvalidInput: what the engine refused, with its reason, message, hint and fields.
    WalrasError: ENGINE_UNREACHABLE, DEADLINE_PASSED or INTERNAL.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Self

import grpc

from walras.api.v1 import (
    asset_pb2,
    auction_service_pb2,
    auction_service_pb2_grpc,
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    intent_service_pb2,
    intent_service_pb2_grpc,
    ledger_service_pb2,
    ledger_service_pb2_grpc,
    log_service_pb2,
    log_service_pb2_grpc,
    market_service_pb2,
    market_service_pb2_grpc,
    venue_pb2,
)
from walras.audit.note import parse_head, parse_note
from walras.audit.proof import TlogProof
from walras.core.addresses import check_address
from walras.core.errors import InvalidInput
from walras.sdk.calls import Calls, bounded
from walras.sdk.status import known_reason

MAX_ANSWER_BYTES = 16 << 20
CHUNK = 256
"""Envelopes in one SubmitIntents."""

_ANY_STATE = intent_service_pb2.INTENT_STATE_UNSPECIFIED
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # gRPC's own pause after a failed connection would outlast ours.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one envelope of many: either a receipt or an error."""

    intent_id: bytes
    receipt: log_service_pb2.Receipt | None
    error: InvalidInput | None


class Client(Calls):
    """One engine.

    Args:
        address: host:port.
        timeout: seconds for one call with all its attempts.
        attempts: how often a call is tried at most.
    """

    def __init__(self, address: str, *, timeout: float = 30.0, attempts: int = 5) -> None:
        super().__init__(check_address(address), timeout, attempts)
        self._channel = channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._intents = intent_service_pb2_grpc.IntentServiceStub(channel)
        self._auctions = auction_service_pb2_grpc.AuctionServiceStub(channel)
        self._market = market_service_pb2_grpc.MarketServiceStub(channel)
        self._ledger = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self._fleet = fleet_service_pb2_grpc.FleetServiceStub(channel)
        self._log = log_service_pb2_grpc.LogServiceStub(channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()

    # intents

    async def submit(self, envelope: bytes) -> intent_service_pb2.SubmitIntentResponse:
        """Hand in a signed intent; it is durable when this returns."""
        request = intent_service_pb2.SubmitIntentRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._intents.SubmitIntent, request)

    async def submit_many(
        self,
        envelopes: Sequence[bytes],
        *,
        in_flight: int = 4,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> list[Submitted]:
        """Hand in many, `CHUNK` at a time; each stands or falls by itself.

        Args:
            envelopes: signed intents.
            in_flight: chunks that are on their way at once.
            on_progress: called with the number of envelopes that were just answered.

        Returns:
            One for each envelope, in order.
        """

        async def send(chunk: Sequence[bytes]) -> list[Submitted]:
            request = intent_service_pb2.SubmitIntentsRequest(request_id=_fresh(), envelopes=chunk)
            answer = await self._call(self._intents.SubmitIntents, request)
            on_progress(len(chunk))
            return [_submitted(result, answer.checkpoint) for result in answer.results]

        chunks = [envelopes[at : at + CHUNK] for at in range(0, len(envelopes), CHUNK)]
        return [one for part in await bounded(send, chunks, in_flight) for one in part]

    async def cancel(self, envelope: bytes) -> intent_service_pb2.CancelIntentResponse:
        """Hand in a signed cancellation."""
        request = intent_service_pb2.CancelIntentRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._intents.CancelIntent, request)

    async def intent(self, intent_id: bytes) -> intent_service_pb2.IntentStatus:
        """One intent, whatever became of it."""
        request = intent_service_pb2.GetIntentRequest(intent_id=intent_id)
        return (await self._call(self._intents.GetIntent, request)).intent

    async def intents(
        self,
        *,
        owner: bytes = b"",
        state: "intent_service_pb2.IntentState.ValueType" = _ANY_STATE,
        page_size: int = 0,
    ) -> AsyncIterator[intent_service_pb2.IntentStatus]:
        """Intents in the order of the log; of every owner and in every state unless told."""
        request = intent_service_pb2.ListIntentsRequest(
            owner=owner, state=state, page_size=page_size
        )
        async for page in self._pages(self._intents.ListIntents, request):
            for intent in page.intents:
                yield intent

    async def watch_intents(
        self, intent_ids: Sequence[bytes] = (), *, owner: bytes = b""
    ) -> AsyncIterator[intent_service_pb2.IntentStatus]:
        """The present state of each, then every change until all are closed; or an owner's."""
        request = intent_service_pb2.WatchIntentsRequest(intent_ids=intent_ids, owner=owner)
        async for answer in self._stream(self._intents.WatchIntents(request)):
            yield answer.intent

    # the market and the ledger

    async def put_venues(self, envelope: bytes) -> market_service_pb2.PutVenuesResponse:
        """Hand in an operator's signed market update."""
        request = market_service_pb2.PutVenuesRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._market.PutVenues, request)

    async def put_prices(self, envelope: bytes) -> market_service_pb2.PutPricesResponse:
        """Hand in a feeder's signed prices; they take effect between batches."""
        request = market_service_pb2.PutPricesRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._market.PutPrices, request)

    async def assets(self) -> AsyncIterator[market_service_pb2.ListedAsset]:
        """Assets with their prices, by ascending id."""
        request = market_service_pb2.ListAssetsRequest()
        async for page in self._pages(self._market.ListAssets, request):
            for asset in page.assets:
                yield asset

    async def snapshot(self) -> AsyncIterator[venue_pb2.Venue]:
        """Venues in their present states, by ascending id."""
        request = market_service_pb2.GetSnapshotRequest()
        async for page in self._pages(self._market.GetSnapshot, request):
            for venue in page.venues:
                yield venue

    async def deposit(self, envelope: bytes) -> ledger_service_pb2.DepositResponse:
        """Hand in an operator's signed deposit."""
        request = ledger_service_pb2.DepositRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._ledger.Deposit, request)

    async def bind_key(self, envelope: bytes) -> ledger_service_pb2.BindKeyResponse:
        """Hand in an operator's signed change of the operators."""
        request = ledger_service_pb2.BindKeyRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._ledger.BindKey, request)

    async def withdraw(self, envelope: bytes) -> ledger_service_pb2.WithdrawResponse:
        """Hand in an owner's signed withdrawal; it waits for the running batch to end."""
        request = ledger_service_pb2.WithdrawRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._ledger.Withdraw, request)

    async def balances(self, owner: bytes) -> AsyncIterator[asset_pb2.Balance]:
        """What an owner has, by ascending asset."""
        request = ledger_service_pb2.GetBalancesRequest(owner=owner)
        async for page in self._pages(self._ledger.GetBalances, request):
            for balance in page.balances:
                yield balance

    # auctions

    async def auction(self, auction_id: int) -> auction_service_pb2.Auction:
        """One auction."""
        request = auction_service_pb2.GetAuctionRequest(auction_id=auction_id)
        return (await self._call(self._auctions.GetAuction, request)).auction

    async def auctions(self, *, page_size: int = 0) -> AsyncIterator[auction_service_pb2.Auction]:
        """Auctions, newest first."""
        request = auction_service_pb2.ListAuctionsRequest(page_size=page_size)
        async for page in self._pages(self._auctions.ListAuctions, request):
            for auction in page.auctions:
                yield auction

    async def watch_auctions(
        self, on_ready: Callable[[], None] = lambda: None
    ) -> AsyncIterator[auction_service_pb2.Auction]:
        """Every auction that ends once `on_ready` was called."""
        call = self._auctions.WatchAuctions(auction_service_pb2.WatchAuctionsRequest())
        async for answer in self._stream(call, on_ready):
            yield answer.auction

    async def bundle(self, auction_id: int) -> bytes:
        """The envelope of an auction's signed bundle."""
        request = auction_service_pb2.GetBundleRequest(auction_id=auction_id)
        return (await self._call(self._auctions.GetBundle, request)).envelope

    async def why(self, name: bytes, auction_id: int = 0) -> auction_service_pb2.Explanation:
        """Why an intent was not filled, or a bid did not win; see docs/why.md.

        Args:
            name: id of an intent or a bid, the digest of a bid's envelope, or a commitment.
            auction_id: 0: an intent's newest, and a bid's own.
        """
        request = auction_service_pb2.WhyRequest(id=name, auction_id=auction_id)
        return (await self._call(self._auctions.Why, request)).explanation

    # the fleet

    async def fleet(self) -> fleet_service_pb2.GetFleetResponse:
        """The fleet as a whole: version, rules, concentration."""
        return await self._call(self._fleet.GetFleet, fleet_service_pb2.GetFleetRequest())

    async def nodes(self) -> AsyncIterator[fleet_service_pb2.NodeStatus]:
        """Solver nodes with their standing, by ascending key."""
        request = fleet_service_pb2.ListNodesRequest()
        async for page in self._pages(self._fleet.ListNodes, request):
            for node in page.nodes:
                yield node

    async def node(self, name: str = "", public_key: bytes = b"") -> fleet_service_pb2.NodeStatus:
        """One node, by its name or its key."""
        request = fleet_service_pb2.GetNodeRequest(name=name, public_key=public_key)
        return (await self._call(self._fleet.GetNode, request)).node

    async def update_fleet(self, envelope: bytes) -> fleet_service_pb2.UpdateFleetResponse:
        """Hand in an operator's signed update of the fleet."""
        request = fleet_service_pb2.UpdateFleetRequest(request_id=_fresh(), envelope=envelope)
        return await self._call(self._fleet.UpdateFleet, request)

    async def submit_observations(
        self, envelope: bytes, observations: bytes
    ) -> fleet_service_pb2.SubmitObservationsResponse:
        """Hand in a prober's signed observations with the list that they name."""
        request = fleet_service_pb2.SubmitObservationsRequest(
            request_id=_fresh(), envelope=envelope, list=observations
        )
        return await self._call(self._fleet.SubmitObservations, request)

    # the log

    async def checkpoint(self, tree_size: int = 0) -> log_service_pb2.GetCheckpointResponse:
        """The newest checkpoint, or that of a size; and the verifier key, for convenience."""
        request = log_service_pb2.GetCheckpointRequest(tree_size=tree_size)
        return await self._call(self._log.GetCheckpoint, request)

    async def key_bindings(self) -> log_service_pb2.GetKeyBindingsResponse:
        """How the engine's keys followed on each other; `walras.sdk.rotation` checks it."""
        return await self._call(self._log.GetKeyBindings, log_service_pb2.GetKeyBindingsRequest())

    async def receipt(self, intent_id: bytes) -> TlogProof:
        """An intent's receipt to keep: under the newest published checkpoint, which witnesses may
        have cosigned, or under the newest of all where that one does not yet cover the intent.

        What it proves is for the caller to check, by `open_proof`.

        Raises:
            AuditFailure: CHECKPOINT_INVALID or PROOF_INVALID: the answers have not the form.
        """
        status = await self.intent(intent_id)
        answer = await self.checkpoint()
        note, size = answer.published_checkpoint, 0
        if note:
            size = parse_head(parse_note(note).text).size
        if size <= status.leaf_index:
            note = answer.checkpoint
            size = parse_head(parse_note(note).text).size
        request = log_service_pb2.GetInclusionProofRequest(
            leaf_index=status.leaf_index, tree_size=size
        )
        found = (await self._call(self._log.GetInclusionProof, request)).inclusion
        return TlogProof(status.leaf_index, tuple(found.hashes), note, status.envelope)

    async def entries(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Entries `start` to `stop`, or as far as the log goes."""
        while start < stop:
            request = log_service_pb2.GetEntriesRequest(
                start=start, limit=min(stop - start, (1 << 32) - 1)
            )
            page = (await self._call(self._log.GetEntries, request)).entries
            if not page:
                return
            for entry in page:
                yield entry
            start += len(page)

    async def blob(self, digest: bytes) -> bytes:
        """The blob of a SHA-256. What it hashes to is for the caller to check."""

        async def read() -> bytes:
            request = log_service_pb2.GetBlobRequest(digest=digest)
            call = self._log.GetBlob(request, timeout=self._timeout)
            return b"".join([answer.chunk async for answer in call])

        return await self._attempt(lambda _: read())


def _submitted(result: intent_service_pb2.SubmitResult, checkpoint: bytes) -> Submitted:
    if result.HasField("refusal"):
        refusal = result.refusal
        error = InvalidInput(known_reason(refusal.reason), refusal.message, hint=refusal.hint)
        return Submitted(result.intent_id, None, error)
    receipt = log_service_pb2.Receipt(inclusion=result.inclusion, checkpoint=checkpoint)
    return Submitted(result.intent_id, receipt, None)


def _fresh() -> str:
    return uuid.uuid4().hex
