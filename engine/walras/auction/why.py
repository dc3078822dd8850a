"""Why an intent was not filled, and why a bid did not win: a reason for every no, with its numbers.

Values in, a value out. What is asked for is found in one auction as its log tells it
(`auction.logged`), with the award's proof (`auction.thresholds`). Numbers are whole atoms and score
units; what they claim is said where they stand, and a program that has the log can check each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from walras.auction.candidates import ScoredBid
from walras.auction.fairness import baselines
from walras.auction.logged import LoggedAuction, LoggedBid, LoggedUnopened
from walras.auction.thresholds import Proof, Threshold, proof, threshold
from walras.core.errors import AuditFailure, Reason
from walras.core.intents import Intent, least_fill
from walras.market.kinds import AnyVenue

MAX_BIDS = 16
"""Of an explanation: the best of those that touched an intent."""


class Verdict(StrEnum):
    """What became of an intent or a bid in an auction."""

    FILLED = "FILLED"
    PENDING = "PENDING"
    VOIDED = "VOIDED"
    CLOSED_BEFORE = "CLOSED_BEFORE"
    TOO_EARLY = "TOO_EARLY"
    EXPIRED = "EXPIRED"
    NOT_BACKED = "NOT_BACKED"
    PRICE_MISSING = "PRICE_MISSING"
    UNTOUCHED = "UNTOUCHED"
    WON = "WON"
    REJECTED = "REJECTED"
    UNFAIR = "UNFAIR"
    OUTBID = "OUTBID"
    UNOPENED = "UNOPENED"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to a "why".

    Attributes:
        subject: "intent", "bid" or "commitment".
        id: that was asked for, or of a bid that stands within; of a bid that cannot be read, its
            envelope's digest.
        auction_id: that it is the answer for; 0 where there is none.
        verdict: the reason, for programs.
        message: the same for people.
        fields: names and numbers behind it, as text.
        bids: that touched the intent, the best first, at most MAX_BIDS.
    """

    subject: str
    id: bytes
    auction_id: int
    verdict: Verdict
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    bids: tuple["Explanation", ...] = ()

    def document(self) -> dict[str, object]:
        """For JSON."""
        made: dict[str, object] = {
            "subject": self.subject,
            "id": self.id.hex(),
            "auction_id": self.auction_id,
            "verdict": self.verdict.value,
            "message": self.message,
            "fields": dict(self.fields),
        }
        if self.bids:
            made["bids"] = [bid.document() for bid in self.bids]
        return made


@dataclass(frozen=True, slots=True)
class Standing:
    """An intent when a batch was sealed.

    Attributes:
        intent: as signed.
        remaining: units that could still be filled.
        state: "open", or how it ended before.
        available: atoms that its owner had, by asset; None where that is not known any more.
        quarantined: venue → the rule by which it was left out of the problem.
        venues: all that the engine knew, with those in quarantine; None where that is not known.
        unpriced: asset → the rule by which it had no reference price.
    """

    intent: Intent
    remaining: int
    state: str = "open"
    available: Mapping[str, int] | None = None
    quarantined: Mapping[str, str] = field(default_factory=dict)
    venues: Mapping[str, AnyVenue] | None = None
    unpriced: Mapping[str, str] = field(default_factory=dict)


def why_intent(intent_id: bytes, standing: Standing, auction: LoggedAuction) -> Explanation:
    """What became of an intent in an auction.

    Args:
        intent_id: its id.
        standing: of the intent when the auction was sealed.
        auction: that was sealed after the intent was logged.

    Raises:
        AuditFailure: PROBLEM_MISMATCH: the problem should have held it; or as `check_award`.
    """
    opened = auction.problem.intents.get(intent_id)
    if opened is None:
        return _ineligible(intent_id, standing, auction)
    made = _proof(auction)
    if made is None:
        return _unended("intent", intent_id, auction)
    for winner in made.award.winners:
        for fill in winner.fills:
            if fill.intent_id == intent_id:
                return Explanation(
                    "intent",
                    intent_id,
                    auction.auction_id,
                    Verdict.FILLED,
                    f"{fill.units} of {opened.remaining} units were filled, for a settlement of"
                    f" {fill.settlement} atoms",
                    _texts(
                        units=fill.units,
                        remaining=opened.remaining,
                        settlement=fill.settlement,
                        settlement_asset=opened.intent.settlement_asset,
                        bid=winner.id.hex(),
                    ),
                )
    touching = [bid for bid in auction.bids if intent_id in bid.intents]
    if not touching:
        return _untouched(intent_id, standing, auction)
    touching.sort(key=_rank, reverse=True)
    asked = tuple(_why_logged(bid, auction, made) for bid in touching[:MAX_BIDS])
    kinds = Counter(
        "valid" if bid.scored is not None else f"rejected.{bid.reason}" for bid in touching
    )
    first = asked[0]
    lead = {
        Verdict.OUTBID: "the best bid for it lost",
        Verdict.UNFAIR: "the best bid for it was unfair to another market",
        Verdict.REJECTED: "every bid for it was rejected",
    }[first.verdict]
    numbers = {f"bids.{name}": str(count) for name, count in sorted(kinds.items())}
    return Explanation(
        "intent",
        intent_id,
        auction.auction_id,
        first.verdict,
        f"{lead}: {first.message}",
        {"bids": str(len(touching)), **numbers, **_unopened_count(auction)},
        asked,
    )


def why_bid(asked: bytes, auction: LoggedAuction) -> Explanation | None:
    """What became of a bid, by its id, its envelope's digest or the commitment to it; None where
    the auction has no such bid. Raises as `check_award`.
    """
    made = _proof(auction)
    hashes = {digest: commitment for commitment, digest in auction.commitments if commitment}
    ids = {asked, hashes.get(asked, asked)}
    # Bytes of a broken signature have the id of the bid that they were copied from.
    for bid in sorted(auction.bids, key=lambda bid: bid.scored is None):
        if not ids.isdisjoint({bid.id, bid.digest, bid.commitment}):
            assert made is not None, "bids are logged with their award"
            return _why_logged(bid, auction, made)
    for one in auction.unopened:
        if asked in {one.digest, one.commitment}:
            return _unopened(one, auction)
    if any(asked in each for each in auction.commitments):
        return _unended("commitment", asked, auction)
    return None


def _ineligible(intent_id: bytes, standing: Standing, auction: LoggedAuction) -> Explanation:
    """Why an intent is not in a problem: the first of the rules of protocol §4 that it breaks."""
    intent, sealed_ms = standing.intent, auction.problem.sealed_ms

    def answer(verdict: Verdict, message: str, **fields: object) -> Explanation:
        numbers = _texts(sealed_ms=sealed_ms, **fields)
        return Explanation("intent", intent_id, auction.auction_id, verdict, message, numbers)

    if standing.state not in {"open", "expired"}:
        message = f"it was {standing.state} before the batch was sealed"
        return answer(Verdict.CLOSED_BEFORE, message, state=standing.state)
    if sealed_ms >= intent.expiry_ms:
        message = "it had expired when the batch was sealed"
        return answer(Verdict.EXPIRED, message, expiry_ms=intent.expiry_ms)
    if sealed_ms < intent.not_before_ms:
        message = "the batch was sealed before the intent's window began"
        return answer(Verdict.TOO_EARLY, message, not_before_ms=intent.not_before_ms)
    missing = next((a for a in intent.assets if a not in auction.problem.prices), None)
    if missing is not None:
        message = f"{missing} had no reference price in the batch"
        if rule := standing.unpriced.get(missing):
            message += f", by the rule {rule}"
            return answer(Verdict.PRICE_MISSING, message, asset=missing, rule=rule)
        return answer(Verdict.PRICE_MISSING, message, asset=missing)
    limit = intent.limit_at(sealed_ms)
    least = least_fill(intent, standing.remaining)
    needs = intent.needs(least, limit)
    if standing.available is None:
        numbers = {f"needed.{asset}": need for asset, need in needs.items()}
        message = (
            f"its owner did not have what the least fill of {least} units takes at the limit then"
        )
        return answer(Verdict.NOT_BACKED, message, units=least, limit=limit, **numbers)
    short = (asset for asset, need in needs.items() if standing.available.get(asset, 0) < need)
    asset = next(short, None)
    if asset is None:
        raise AuditFailure(
            Reason.PROBLEM_MISMATCH,
            f"auction {auction.auction_id} leaves out an intent that is open, in time and backed",
            intent=intent_id.hex(),
        )
    need, available = needs[asset], standing.available.get(asset, 0)
    return answer(
        Verdict.NOT_BACKED,
        f"its owner had {available} atoms of {asset}; the least fill of {least} units takes"
        f" {need} at the limit then",
        units=least,
        limit=limit,
        asset=asset,
        needed=need,
        available=available,
    )


def _untouched(intent_id: bytes, standing: Standing, auction: LoggedAuction) -> Explanation:
    """No bid names the intent; what there was to trade it through."""
    traded = set(standing.intent.assets)

    def trading(venues: Iterable[AnyVenue]) -> set[str]:
        return {venue.id for venue in venues if len(traded.intersection(venue.assets)) > 1}

    open_ = trading(auction.problem.venues.values())
    message = (
        f"no bid touched it: {len(auction.bids)} came; {len(open_)} venues swap two of its assets"
    )
    numbers = _texts(bids=len(auction.bids), venues=len(open_)) | _unopened_count(auction)
    out = trading((standing.venues or {}).values()) & standing.quarantined.keys()
    if out:
        message += f", {len(out)} more were in quarantine"
        numbers |= {f"quarantined.{name}": standing.quarantined[name] for name in sorted(out)}
    if auction.unopened:
        message += f"; {len(auction.unopened)} commitments were never opened"
    return Explanation("intent", intent_id, auction.auction_id, Verdict.UNTOUCHED, message, numbers)


def _proof(auction: LoggedAuction) -> Proof | None:
    award = auction.award()
    if award is None:
        return None
    return proof(award, auction.valid, auction.problem.balances, auction.seed)


def _unended(subject: str, asked: bytes, auction: LoggedAuction) -> Explanation:
    """Of an auction without an award."""
    if auction.void_reason:
        message = f"the batch ended without an award: {auction.void_reason}"
        numbers = {"void_reason": auction.void_reason}
        return Explanation(subject, asked, auction.auction_id, Verdict.VOIDED, message, numbers)
    message = f"auction {auction.auction_id} has it and is not settled yet"
    numbers = _texts(deadline_ms=auction.deadline_ms)
    return Explanation(subject, asked, auction.auction_id, Verdict.PENDING, message, numbers)


def _why_logged(bid: LoggedBid, auction: LoggedAuction, made: Proof) -> Explanation:
    name = auction.names.get(bid.solver, "")
    about = {"solver": bid.solver.hex(), "digest": bid.digest.hex()}
    if name:
        about["solver_name"] = name
    if bid.commitment:
        about["commitment"] = bid.commitment.hex()
    scored = bid.scored
    plain = Explanation(
        "bid", bid.id or bid.digest, auction.auction_id, Verdict.REJECTED, "", about
    )
    if scored is None:
        return replace(
            plain,
            message=_rejected(bid),
            fields=about
            | {"reason": bid.reason}
            | {f"detail.{name}": value for name, value in bid.details},
        )
    about["score"] = str(scored.score)
    if any(winner.id == scored.id for winner in made.award.winners):
        message = f"it won, with a score of {scored.score}"
        return replace(plain, verdict=Verdict.WON, message=message)
    for dropped in made.award.dropped:
        if dropped.bid.id == scored.id:
            return _unfair(plain, scored, auction.valid)
    return _outbid(plain, scored, threshold(made, scored), made)


def _rejected(bid: LoggedBid) -> str:
    details = dict(bid.details)
    numbers = ", ".join(f"{name}={value}" for name, value in details.items())
    if bid.reason == Reason.COLLAR_BROKEN:
        return (
            f"it was rejected: intent {details['intent']} would receive {details['received']} for"
            f" {details['given']}, which is not within {details['collar_bps']} bps (the collar)"
        )
    return f"it was rejected as {bid.reason}" + (f": {numbers}" if numbers else "")


def _unfair(plain: Explanation, bid: ScoredBid, valid: Iterable[ScoredBid]) -> Explanation:
    """Every group that the bid serves worse than a bid for that group alone."""
    alone = [one for one in sorted(valid, key=lambda one: one.id) if len(one.surplus) == 1]
    best = baselines(alone)
    short = {
        group: surplus
        for group, surplus in sorted(bid.surplus.items())
        if surplus < best.get(group, 0)
    }
    numbers: dict[str, object] = {"groups_short": len(short)}
    for number, (group, surplus) in enumerate(short.items()):
        by = next(one for one in alone if group in one.surplus and one.score == best[group])
        part = _texts(group=group, surplus=surplus, baseline=best[group], baseline_bid=by.id.hex())
        numbers |= part if number == 0 else {f"{name}.{number}": v for name, v in part.items()}
    first = next(iter(short))
    message = (
        f"it was unfair to the market {first}: a surplus of {short[first]} there, where a bid for"
        f" that market alone scores {best[first]}; in each market of several a bid must bring at"
        " least what that market gets alone"
    )
    fields = {**plain.fields, **_texts(**numbers)}
    return replace(plain, verdict=Verdict.UNFAIR, message=message, fields=fields)


def _outbid(plain: Explanation, bid: ScoredBid, found: Threshold, made: Proof) -> Explanation:
    total = sum(one.score for one in found.against)
    fields = dict(plain.fields)
    fields |= _texts(against_score=total, settled=str(made.award.settled).lower())
    fields |= {f"against.{n}": one.id.hex() for n, one in enumerate(found.against)}
    message = (
        f"it was outbid: with a score of {bid.score} it cannot stand beside"
        f" {len(found.against)} winning bids, which together score {total}"
    )
    if found.dominated_by is not None:
        fields["dominated_by"] = found.dominated_by.id.hex()
        message += f"; a bid with the very same resources scores {found.dominated_by.score}"
    if found.needed is None or found.enough is None:
        message += "; the award is not proven optimal, so nothing is said of what it needed"
    else:
        fields |= _texts(needed=found.needed, enough=found.enough)
        fields["needed_by"] = "fairness" if found.by_fairness else "prices"
        message += (
            f"; all else equal, it would have needed a score of at least {found.needed}"
            f" (necessary, not sufficient), and {found.enough} would have won"
        )
    fields |= {f"price.{price.kind}.{price.name}": str(price.amount) for price in found.prices}
    return replace(plain, verdict=Verdict.OUTBID, message=message, fields=fields)


def _unopened(one: LoggedUnopened, auction: LoggedAuction) -> Explanation:
    what = {
        Reason.OPENING_MISSING: "its solver did not open it in time",
        Reason.OPENING_INVALID: "what its solver opened is not what it had committed to",
    }.get(Reason(one.reason), "it does not count as a commitment")
    return Explanation(
        "commitment",
        one.commitment or one.digest,
        auction.auction_id,
        Verdict.UNOPENED,
        f"it came to no bid, by {one.reason}: {what}",
        _texts(reason=one.reason, place=one.place, solver=one.solver.hex(), digest=one.digest.hex())
        | ({"solver_name": auction.names[one.solver]} if one.solver in auction.names else {}),
    )


def _unopened_count(auction: LoggedAuction) -> dict[str, str]:
    """Nobody can tell what they would have touched."""
    return {"unopened": str(len(auction.unopened))} if auction.unopened else {}


def _rank(bid: LoggedBid) -> tuple[bool, int, bytes]:
    score = bid.scored.score if bid.scored is not None else 0
    return bid.scored is not None, score, bid.digest


def _texts(**numbers: object) -> dict[str, str]:
    return {name: str(value) for name, value in numbers.items()}
