"""What a solver's author does about each rule that a bid may break (protocol §5, §11)."""

from walras.core.errors import Reason

_SELF_CHECK = "call walras.sdk.self_check before you yield: it is the auction's own judgement"

ADVICE: dict[Reason, str] = {
    Reason.ENVELOPE_MALFORMED: "every field, in order, one signature: protocol §3, Envelopes",
    Reason.PAYLOAD_TYPE_WRONG: "a bid's type is application/vnd.walras.bid.v1+protobuf",
    Reason.PUBLIC_KEY_INVALID: "an Ed25519 key has 32 bytes and is no point of small order",
    Reason.SIGNATURE_INVALID: "sign the PAE of type and body, not the body: protocol §3",
    Reason.SIGNER_UNKNOWN: "sign with the key that Describe shows",
    Reason.MESSAGE_MALFORMED: "the payload is one protobuf Bid",
    Reason.UNKNOWN_FIELD: "build against the engine's proto/walras/api/v1, of this version",
    Reason.NON_CANONICAL: "ascending fields, no defaults, prices by ascending asset: protocol §3",
    Reason.MESSAGE_TOO_LARGE: "a bid's envelope has at most 8 MiB: split it by groups",
    Reason.AMOUNT_MALFORMED: "an amount is a decimal string without sign, zeros in front or spaces",
    Reason.AMOUNT_OUT_OF_RANGE: "amounts are below 2^255: choose prices on a smaller scale",
    Reason.FIELD_INVALID: "see the field that is named",
    Reason.AUCTION_WRONG: "take auction_id from the problem that you answer",
    Reason.DIGEST_WRONG: "name the problem_digest of the part, and do not serialize it again",
    Reason.PART_WRONG: "answer only the parts of the request",
    Reason.SOLVER_MISMATCH: "the bid names the key that signs it, and Describe shows it",
    Reason.BID_EMPTY: "a bid fills one intent at least: pass over the plan that fills none",
    Reason.BID_DUPLICATE: "keep what was sent, and send nothing twice",
    Reason.COMMITMENT_INVALID: "a Commitment names domain, auction, part and task: protocol §5",
    Reason.COMMITMENT_DUPLICATE: "one commitment a bid, each with a salt of its own",
    Reason.OPENING_MISSING: "go on reading after the last bid, and open when the closing comes; a"
    " node that trusts one engine's log only (--log-key) opens nothing here",
    Reason.OPENING_INVALID: "seal the bid's envelope and the salt that were committed to, in this"
    " order, to the task's bid_key",
    Reason.BID_LIMIT: "send at most rules.max_bids bids for a problem, the best first",
    Reason.FILL_UNKNOWN_INTENT: "fill intents of this problem only, by their ids",
    Reason.FILL_DUPLICATE: "one fill an intent in a bid: add its units up",
    Reason.FILL_UNITS: "between walras.sdk.least_fill(intent, remaining) and remaining units",
    Reason.PRICE_MISSING: "walras.sdk.propose keeps the prices that the fills need; give it all",
    Reason.PRICE_INVALID: "an integer from 1 to 2^255 - 1, and none for what nothing touches; see"
    " walras.sdk.price_vector",
    Reason.LIMIT_BROKEN: "leave the intent out, or move the price: walras.sdk.keeps_limit says"
    " which",
    Reason.COLLAR_BROKEN: "walras.sdk.keeps_collar: what a fill gets is within rules.collar_bps of"
    " what it gives, at reference prices",
    Reason.EXECUTION_LIMIT: "use fewer venues, or split the bid",
    Reason.EXECUTION_INVALID: "run venue.swap on the state that the swap before left; what raises"
    " SwapError is no execution",
    Reason.EXECUTION_OUTPUT_WRONG: "amount_out is exactly venue.swap(...).amount_out, in the order"
    " of the executions",
    Reason.NOT_CONSERVED: "walras.sdk.net_flows must be ≥ 0 for each asset: fill less, swap more,"
    " or round a price in favour of the pool",
    Reason.ACCOUNT_OVERSPENT: "an owner's fills in a bid together are within problem.balances",
    Reason.SCORE_NOT_POSITIVE: "a bid's surplus must be worth more than its executions cost: pass"
    " over it",
    Reason.SCORE_TOO_LARGE: "scores are below 2^62: split the bid",
}  # fmt: skip


def advice_on(reason: Reason) -> str:
    """What to do about a bid that was rejected for `reason`."""
    return ADVICE.get(reason, _SELF_CHECK)
