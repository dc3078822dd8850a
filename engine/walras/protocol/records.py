"""Records: all that is signed and logged besides intents, bids and bundles (protocol §3, §8).

A record is the body of one DSSE envelope. Users, operators and solvers sign theirs; the engine
signs what it does with them. Each kind has its own payload type, so that no signature can serve for
another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from walras.core.assets import Asset
from walras.core.intents import Intent
from walras.market.kinds import AnyVenue
from walras.protocol.fleet import FleetRecord, FleetUpdate
from walras.protocol.keys import KeyBinding
from walras.protocol.prices import PriceFeed, PriceRecord
from walras.protocol.probes import Challenge, Echo, Observations, ProbeRecord
from walras.protocol.problem import Price, Rules
from walras.protocol.sealed_bids import BidRecord, Commitment, Opening


class Kind(StrEnum):
    """The kinds of record; the payload type is application/vnd.walras.<kind>.v1+protobuf."""

    INTENT = "intent"
    CANCEL = "cancel"
    WITHDRAWAL = "withdrawal"
    DEPOSIT = "deposit"
    MARKET = "market"
    PRICES = "prices"
    PRICES_WATCHED = "prices-watched"
    BID = "bid"
    BUNDLE = "bundle"
    GENESIS = "genesis"
    RULES = "rules"
    OPENED = "opened"
    SEALED = "sealed"
    BID_RECEIVED = "bid-received"
    BID_REJECTED = "bid-rejected"
    COMMITTED = "committed"
    BID_UNOPENED = "bid-unopened"
    CLOSED = "closed"
    AWARDED = "awarded"
    SETTLED = "settled"
    VOIDED = "voided"
    OBSERVED = "observed"
    FLEET = "fleet"
    FLEET_UPDATE = "fleet-update"
    VENUES_WATCHED = "venues-watched"
    CHALLENGE = "challenge"
    ECHO = "echo"
    OBSERVATIONS = "observations"
    TASK = "task"
    COMMITMENT = "commitment"
    BID_RECEIPT = "bid-receipt"
    OPENING = "opening"
    KEY_BINDING = "key-binding"

    @property
    def payload_type(self) -> str:
        """The DSSE payload type of this kind."""
        return f"application/vnd.walras.{self.value}.v1+protobuf"


KIND_OF_TYPE: Mapping[str, Kind] = {kind.payload_type: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Cancel:
    """The owner takes an intent back; a batch that already holds it may still fill it."""

    domain: str
    owner: bytes
    intent_id: bytes


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The owner takes `amount` atoms out. Its nonce is of the owner's one set of nonces."""

    domain: str
    owner: bytes
    nonce: int
    asset: str
    amount: int
    expiry_ms: int


@dataclass(frozen=True, slots=True)
class Credit:
    """`amount` atoms of `asset` for `owner`."""

    owner: bytes
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class Deposit:
    """An operator vouches that these owners handed in these amounts (1 to 256 credits)."""

    domain: str
    operator: bytes
    nonce: int
    credits: tuple[Credit, ...]


@dataclass(frozen=True, slots=True)
class MarketUpdate:
    """An operator adds or replaces assets, venues and reference prices, and removes venues.

    Attributes:
        assets: to add or relabel.
        venues: to add or replace, whole, by id.
        removed_venues: ids.
        prices: asset → price, to add or replace.
    """

    domain: str
    operator: bytes
    nonce: int
    assets: tuple[Asset, ...] = ()
    venues: tuple[AnyVenue, ...] = ()
    removed_venues: tuple[str, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Genesis:
    """The log's first record: who the engine is and who may operate it; `vrf_key` seeds who is
    asked (RFC 9381, ECVRF-EDWARDS25519-SHA512-TAI).
    """

    domain: str
    engine: bytes
    operators: tuple[bytes, ...]
    vrf_key: bytes


@dataclass(frozen=True, slots=True)
class RulesSet:
    """The rules in force from the next opened auction on."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class Opened:
    """A batch begins to gather.

    Attributes:
        rules_digest: SHA-256 of the bytes of the rules in force.
        opened_ms: when.
        seal_after_ms: it is sealed no earlier than this.
    """

    auction_id: int
    rules_digest: bytes
    opened_ms: int
    seal_after_ms: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """The batch is frozen.

    Attributes:
        problem_digest: SHA-256 of the problem's bytes, the name of its blob.
        sealed_ms: as in the problem.
        deadline_ms: bids count until then.
        dispatch_digest: SHA-256 of the dispatch, the name of its blob: who was asked or stood by,
            and only their bids count; empty where nobody was asked.
        canaries_digest: SHA-256(salt ‖ ids of the canary intents, ascending).
        bid_key: X25519, that bids are opened to; empty where they come in the open.
    """

    auction_id: int
    problem_digest: bytes
    sealed_ms: int
    deadline_ms: int
    dispatch_digest: bytes = b""
    canaries_digest: bytes = bytes(32)
    bid_key: bytes = b""


@dataclass(frozen=True, slots=True)
class BidReceived:
    """A bid came in; `bid_digest` is the SHA-256 of its envelope, the name of its blob.

    Where bids are sealed, `received_ms` is the commitment's, and SHA-256(envelope ‖ `salt`) is what
    it committed to.
    """

    auction_id: int
    bid_digest: bytes
    solver: bytes
    received_ms: int
    salt: bytes = b""


@dataclass(frozen=True, slots=True)
class BidRejectedRecord:
    """A received bid breaks a rule: which, and the numbers."""

    auction_id: int
    bid_digest: bytes
    reason: str
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """No more bids.

    Attributes:
        bids: how many were received.
        bids_digest: SHA-256 over the received bids' digests, sorted and concatenated.
        bid_secret: of the batch's bid key, for anybody to open what came; empty where it had none.
    """

    auction_id: int
    problem_digest: bytes
    bids: int
    bids_digest: bytes
    bid_secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Awarded:
    """The award is made; `bundle_digest` is the SHA-256 of the bundle's envelope, the name of its
    blob, and the output of `tie_proof` the tie seed. `certificate_digest` is the bundle's.
    """

    auction_id: int
    bundle_digest: bytes
    tie_proof: bytes
    certificate_digest: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """The award took effect.

    Attributes:
        balances_digest: SHA-256 of the touched balances as they are now, the name of their blob.
        venues_digest: of the touched venues as they are now, likewise; the bundle's.
    """

    auction_id: int
    bundle_digest: bytes
    balances_digest: bytes
    venues_digest: bytes


@dataclass(frozen=True, slots=True)
class Voided:
    """The batch ends without an award; nothing moved."""

    auction_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Observed:
    """How the calls of an auction ended, and which of its intents were canaries.

    Attributes:
        at_ms: when the bidding ended.
        calls_digest: SHA-256 of the calls, the name of their blob.
        canary_salt: 32 bytes.
        canaries: ids, ascending.
    """

    auction_id: int
    at_ms: int
    calls_digest: bytes
    canary_salt: bytes
    canaries: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class QuarantinedVenue:
    """A venue that is left out of problems, the rule that it breaks, and the numbers."""

    venue: str
    rule: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VenuesWatched:
    """Venues that the watch takes out of the next problem, and those it lets back."""

    at_ms: int
    quarantined: tuple[QuarantinedVenue, ...] = ()
    released: tuple[str, ...] = ()


Record = (
    Cancel
    | Withdrawal
    | Deposit
    | MarketUpdate
    | PriceRecord
    | Genesis
    | RulesSet
    | Opened
    | Sealed
    | BidReceived
    | BidRejectedRecord
    | Closed
    | Awarded
    | Settled
    | Voided
    | Observed
    | VenuesWatched
    | KeyBinding
    | BidRecord
    | FleetRecord
    | ProbeRecord
)


def signer_of(record: object) -> bytes | None:
    """The key that a record must be signed by (a user's, an operator's, a feeder's, a prober's, a
    node's, or the one that a binding names); None where the engine signs.
    """
    match record:
        case Intent() | Cancel() | Withdrawal():
            return record.owner
        case Deposit() | MarketUpdate() | FleetUpdate():
            return record.operator
        case PriceFeed():
            return record.feeder
        case KeyBinding():
            return record.signer
        case Challenge() | Observations():
            return record.prober
        case Echo():
            return record.node
        case Commitment() | Opening():
            return record.solver
        case _:
            return None
