"""What can go wrong, in one tree.

    WalrasError                    carries a stable reason, a sentence, fields and a hint
    ├── InvalidInput               what a caller sent breaks a rule
    ├── BidRejected                what a solver proposed breaks a rule of protocol §5
    ├── SwapError                  a venue cannot do this swap
    ├── AuditFailure               a log does not prove what it claims
    └── SolverFault                a solver node failed to answer as a node must

`Reason` is the whole list of stable reasons. Programs match on the reason; the sentence is for
people and may change.
"""

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """Stable reasons. A value never changes its meaning; new ones are added at the end
    of a block.
    """

    # envelopes and signatures
    ENVELOPE_MALFORMED = "ENVELOPE_MALFORMED"
    PAYLOAD_TYPE_WRONG = "PAYLOAD_TYPE_WRONG"
    PUBLIC_KEY_INVALID = "PUBLIC_KEY_INVALID"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SIGNER_UNKNOWN = "SIGNER_UNKNOWN"
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    NON_CANONICAL = "NON_CANONICAL"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    KEY_BINDING_INVALID = "KEY_BINDING_INVALID"

    # values
    AMOUNT_MALFORMED = "AMOUNT_MALFORMED"
    AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"
    ASSET_MALFORMED = "ASSET_MALFORMED"
    ASSET_UNKNOWN = "ASSET_UNKNOWN"
    ASSET_UNPRICED = "ASSET_UNPRICED"
    VENUE_MALFORMED = "VENUE_MALFORMED"
    VENUE_UNKNOWN = "VENUE_UNKNOWN"
    INTENT_MALFORMED = "INTENT_MALFORMED"
    FIELD_INVALID = "FIELD_INVALID"
    MARKET_FILE_INVALID = "MARKET_FILE_INVALID"
    CONFIG_INVALID = "CONFIG_INVALID"

    # admission
    DOMAIN_WRONG = "DOMAIN_WRONG"
    NONCE_USED = "NONCE_USED"
    FEED_STALE = "FEED_STALE"
    INTENT_EXPIRED = "INTENT_EXPIRED"
    INTENT_UNKNOWN = "INTENT_UNKNOWN"
    INTENT_CLOSED = "INTENT_CLOSED"
    OWNER_MISMATCH = "OWNER_MISMATCH"
    BALANCE_INSUFFICIENT = "BALANCE_INSUFFICIENT"
    OPEN_INTENT_LIMIT = "OPEN_INTENT_LIMIT"
    BOOK_FULL = "BOOK_FULL"
    QUEUE_FULL = "QUEUE_FULL"
    REQUEST_ID_INVALID = "REQUEST_ID_INVALID"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105 - a reason, not a secret
    NOT_FOUND = "NOT_FOUND"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    INTERNAL = "INTERNAL"
    ENGINE_UNREACHABLE = "ENGINE_UNREACHABLE"
    OVERLOADED = "OVERLOADED"

    # bids
    AUCTION_WRONG = "AUCTION_WRONG"
    DIGEST_WRONG = "DIGEST_WRONG"
    PART_WRONG = "PART_WRONG"
    SOLVER_MISMATCH = "SOLVER_MISMATCH"
    BID_EMPTY = "BID_EMPTY"
    BID_DUPLICATE = "BID_DUPLICATE"
    COMMITMENT_INVALID = "COMMITMENT_INVALID"
    COMMITMENT_DUPLICATE = "COMMITMENT_DUPLICATE"
    OPENING_MISSING = "OPENING_MISSING"
    OPENING_INVALID = "OPENING_INVALID"
    BID_LIMIT = "BID_LIMIT"
    FILL_UNKNOWN_INTENT = "FILL_UNKNOWN_INTENT"
    FILL_DUPLICATE = "FILL_DUPLICATE"
    FILL_UNITS = "FILL_UNITS"
    PRICE_MISSING = "PRICE_MISSING"
    PRICE_INVALID = "PRICE_INVALID"
    LIMIT_BROKEN = "LIMIT_BROKEN"
    COLLAR_BROKEN = "COLLAR_BROKEN"
    EXECUTION_LIMIT = "EXECUTION_LIMIT"
    EXECUTION_INVALID = "EXECUTION_INVALID"
    EXECUTION_OUTPUT_WRONG = "EXECUTION_OUTPUT_WRONG"
    NOT_CONSERVED = "NOT_CONSERVED"
    ACCOUNT_OVERSPENT = "ACCOUNT_OVERSPENT"
    SCORE_NOT_POSITIVE = "SCORE_NOT_POSITIVE"
    SCORE_TOO_LARGE = "SCORE_TOO_LARGE"

    # venues
    SWAP_ASSETS = "SWAP_ASSETS"
    SWAP_AMOUNT = "SWAP_AMOUNT"
    SWAP_LIQUIDITY = "SWAP_LIQUIDITY"
    SWAP_NO_CONVERGENCE = "SWAP_NO_CONVERGENCE"

    # solver nodes
    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    NODE_TIMEOUT = "NODE_TIMEOUT"
    NODE_CRASHED = "NODE_CRASHED"
    NODE_FAILED = "NODE_FAILED"
    NODE_BUSY = "NODE_BUSY"
    NODE_MALFORMED = "NODE_MALFORMED"
    DELTA_INVALID = "DELTA_INVALID"
    BASE_UNKNOWN = "BASE_UNKNOWN"
    NODE_UNKNOWN = "NODE_UNKNOWN"
    FLEET_INVALID = "FLEET_INVALID"
    OBSERVATION_STALE = "OBSERVATION_STALE"
    NODE_NONE = "NODE_NONE"

    # probes
    PROBER_UNKNOWN = "PROBER_UNKNOWN"
    CHALLENGE_MISMATCH = "CHALLENGE_MISMATCH"
    CHALLENGE_MISTIMED = "CHALLENGE_MISTIMED"
    CHALLENGE_REPEATED = "CHALLENGE_REPEATED"
    ECHO_MISMATCH = "ECHO_MISMATCH"
    ROUND_TRIP_INVALID = "ROUND_TRIP_INVALID"
    SPLIT_VIEW = "SPLIT_VIEW"

    # batches that end without an award
    BATCH_INTERRUPTED = "BATCH_INTERRUPTED"

    # the log
    LOG_MALFORMED = "LOG_MALFORMED"
    LOG_INCOMPLETE = "LOG_INCOMPLETE"
    CHECKPOINT_INVALID = "CHECKPOINT_INVALID"
    ROOT_MISMATCH = "ROOT_MISMATCH"
    PROOF_INVALID = "PROOF_INVALID"
    BLOB_MISSING = "BLOB_MISSING"
    BLOB_MISMATCH = "BLOB_MISMATCH"
    RECORD_OUT_OF_ORDER = "RECORD_OUT_OF_ORDER"
    RECORD_UNAUTHORISED = "RECORD_UNAUTHORISED"
    PROBLEM_MISMATCH = "PROBLEM_MISMATCH"
    BID_UNACCOUNTED = "BID_UNACCOUNTED"
    REJECTION_MISMATCH = "REJECTION_MISMATCH"
    COMMITMENT_MISMATCH = "COMMITMENT_MISMATCH"
    TIE_MISMATCH = "TIE_MISMATCH"
    RECEIPT_BROKEN = "RECEIPT_BROKEN"
    AWARD_MISMATCH = "AWARD_MISMATCH"
    AWARD_UNPROVEN = "AWARD_UNPROVEN"
    AWARD_INCOMPATIBLE = "AWARD_INCOMPATIBLE"
    REWARD_MISMATCH = "REWARD_MISMATCH"
    CERTIFICATE_MALFORMED = "CERTIFICATE_MALFORMED"
    CERTIFICATE_TOO_LARGE = "CERTIFICATE_TOO_LARGE"
    CERTIFICATE_INCOMPLETE = "CERTIFICATE_INCOMPLETE"
    CERTIFICATE_CUT = "CERTIFICATE_CUT"
    CERTIFICATE_PRICE = "CERTIFICATE_PRICE"
    CERTIFICATE_BRANCH = "CERTIFICATE_BRANCH"
    CERTIFICATE_LEAF = "CERTIFICATE_LEAF"
    CERTIFICATE_BOUND = "CERTIFICATE_BOUND"
    SETTLEMENT_MISMATCH = "SETTLEMENT_MISMATCH"
    INTENT_UNACCOUNTED = "INTENT_UNACCOUNTED"
    VRF_INVALID = "VRF_INVALID"
    FLEET_MISMATCH = "FLEET_MISMATCH"
    DISPATCH_MISMATCH = "DISPATCH_MISMATCH"
    VENUES_MISMATCH = "VENUES_MISMATCH"
    PRICES_MISMATCH = "PRICES_MISMATCH"
    LOG_UNREACHABLE = "LOG_UNREACHABLE"
    LOG_FROZEN = "LOG_FROZEN"

    # witnesses
    COSIGNATURE_INVALID = "COSIGNATURE_INVALID"
    POLICY_INVALID = "POLICY_INVALID"
    QUORUM_UNMET = "QUORUM_UNMET"
    LOG_UNKNOWN = "LOG_UNKNOWN"
    CHECKPOINT_STALE = "CHECKPOINT_STALE"
    WITNESS_FAILED = "WITNESS_FAILED"


class WalrasError(Exception):
    """An error a program can match on and a person can act on.

    Attributes:
        reason: stable, machine-readable.
        message: one sentence for a person.
        fields: the names and numbers behind it, as strings.
        hint: what to do about it; empty where there is nothing to do.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        hint: str = "",
        **fields: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.fields: Mapping[str, str] = {name: str(value) for name, value in fields.items()}

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.reason}: {self.message}{hint}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only fields do not survive the default pickling of exceptions.
        return (_rebuild, (type(self), self.reason, self.message, self.hint, dict(self.fields)))


def _rebuild(
    kind: type[WalrasError], reason: Reason, message: str, hint: str, fields: dict[str, str]
) -> WalrasError:
    return kind(reason, message, hint=hint, **fields)


class InvalidInput(WalrasError):
    """What a caller sent breaks a rule; nothing was changed."""


class BidRejected(WalrasError):
    """A bid breaks a rule of protocol §5; `fields` hold the numbers that broke it."""


class SwapError(WalrasError):
    """A venue cannot do this swap; its state is unchanged."""


class AuditFailure(WalrasError):
    """A log does not prove what it claims. `fields["index"]` names the first wrong entry, if one
    is.
    """


class SolverFault(WalrasError):
    """A solver node failed to answer as a node must; it costs that node's bids, never
    the auction.
    """
