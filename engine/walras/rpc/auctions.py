"""AuctionService."""

from collections.abc import AsyncIterator

import sqlalchemy as sa

from walras.api.v1 import auction_service_pb2 as pb
from walras.api.v1 import auction_service_pb2_grpc
from walras.app.engine import Engine
from walras.app.report import AuctionReport
from walras.auction.why import Explanation
from walras.core.errors import InvalidInput, Reason
from walras.rpc.interceptor import Context
from walras.rpc.requests import check_digest, make_token, page_size, read_number_token
from walras.rpc.watchers import Watchers
from walras.rpc.why import Reasons
from walras.store import schema

_STATES = {
    "open": pb.AUCTION_STATE_OPEN,
    "sealed": pb.AUCTION_STATE_SEALED,
    "settled": pb.AUCTION_STATE_SETTLED,
    "voided": pb.AUCTION_STATE_VOIDED,
}
_LAST = (1 << 63) - 1


class AuctionService(auction_service_pb2_grpc.AuctionServiceServicer):
    """What the auctions did."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reasons = Reasons(engine)
        self._watchers: Watchers[AuctionReport] = Watchers()
        engine.auctioneer.on_auction.append(self._watchers.publish)

    async def GetAuction(
        self, request: pb.GetAuctionRequest, context: Context
    ) -> pb.GetAuctionResponse:
        """One auction."""
        return pb.GetAuctionResponse(auction=_to_wire(await self._report(request.auction_id)))

    async def ListAuctions(
        self, request: pb.ListAuctionsRequest, context: Context
    ) -> pb.ListAuctionsResponse:
        """Newest first."""
        size = page_size(request.page_size)
        before = read_number_token(request.page_token, _LAST)
        number = schema.auction.c.auction_id
        query = sa.select(schema.auction).where(number < before).order_by(number.desc())
        async with self._engine.store.read() as db:
            rows = (await db.execute(query.limit(size + 1))).all()
        more = len(rows) > size
        return pb.ListAuctionsResponse(
            auctions=[_to_wire(AuctionReport.from_json(row.summary)) for row in rows[:size]],
            next_page_token=make_token(rows[size - 1].auction_id) if more else "",
        )

    async def WatchAuctions(
        self, request: pb.WatchAuctionsRequest, context: Context
    ) -> AsyncIterator[pb.WatchAuctionsResponse]:
        """Every auction that ends from now on."""
        with self._watchers.watch(lambda _: True) as reports:
            # Headers first, so that a caller knows when it has begun to watch.
            await context.send_initial_metadata(())
            async for report in reports:
                yield pb.WatchAuctionsResponse(auction=_to_wire(report))

    async def GetBundle(
        self, request: pb.GetBundleRequest, context: Context
    ) -> pb.GetBundleResponse:
        """The engine's signed award."""
        report = await self._report(request.auction_id)
        if not report.bundle_digest:
            raise InvalidInput(
                Reason.NOT_FOUND,
                f"auction {request.auction_id} is {report.state} and has no bundle",
            )
        digest = bytes.fromhex(report.bundle_digest)
        async with self._engine.store.read() as db:
            query = sa.select(schema.blob.c.body).where(schema.blob.c.digest == digest)
            body: bytes = (await db.execute(query)).scalar_one()
        return pb.GetBundleResponse(envelope=body)

    async def Why(self, request: pb.WhyRequest, context: Context) -> pb.WhyResponse:
        """Why an intent was not filled, or a bid did not win."""
        found = await self._reasons.explain(check_digest(request.id, "id"), request.auction_id)
        return pb.WhyResponse(explanation=_explanation(found))

    async def _report(self, auction_id: int) -> AuctionReport:
        query = sa.select(schema.auction.c.summary).where(
            schema.auction.c.auction_id == min(auction_id, _LAST)
        )
        async with self._engine.store.read() as db:
            text = (await db.execute(query)).scalar_one_or_none()
        if text is None:
            raise InvalidInput(
                Reason.NOT_FOUND, f"there is no auction {auction_id}", hint="see ListAuctions"
            )
        return AuctionReport.from_json(text)


def _to_wire(report: AuctionReport) -> pb.Auction:
    return pb.Auction(
        auction_id=report.auction_id,
        state=_STATES[report.state],
        opened_ms=report.opened_ms,
        sealed_ms=report.sealed_ms,
        problem_digest=bytes.fromhex(report.problem_digest),
        bundle_digest=bytes.fromhex(report.bundle_digest),
        intents=report.intents,
        filled=report.filled,
        bids=report.bids,
        rejected=report.rejected,
        winners=report.winners,
        score=str(report.score),
        void_reason=report.void_reason,
        solvers=[
            pb.SolverResult(
                name=solver.name,
                public_key=bytes.fromhex(solver.public_key),
                bids=solver.bids,
                rejected=solver.rejected,
                winners=solver.winners,
                score=str(solver.score),
                reward=str(solver.reward),
                fault=solver.fault,
            )
            for solver in report.solvers
        ],
    )


def _explanation(found: Explanation) -> pb.Explanation:
    return pb.Explanation(
        subject=found.subject,
        id=found.id,
        auction_id=found.auction_id,
        verdict=found.verdict.value,
        message=found.message,
        fields=[pb.ExplanationField(name=name, value=text) for name, text in found.fields.items()],
        bids=map(_explanation, found.bids),
    )
