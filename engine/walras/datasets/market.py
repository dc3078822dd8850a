"""A market: assets, reference prices, venues, accounts with balances, and what the accounts want.

Values only. A `Market` that exists is consistent: every name it uses is one it defines, and every
intent would be a well-formed intent of the protocol. How a market is written down is `market_file`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from walras.core.amounts import AMOUNT_LIMIT
from walras.core.assets import Asset, check_asset_id
from walras.core.errors import InvalidInput, Reason
from walras.core.intents import UINT64, Decay, Intent, Leg
from walras.market.kinds import AnyVenue
from walras.protocol.problem import Price, Rules

_CHECK_OWNER = bytes(32)


@dataclass(frozen=True, slots=True)
class About:
    """Where a market comes from, for people.

    Attributes:
        name: one line.
        source: one line; empty where there is nothing to say.
        summary: JSON values without floats: what an importer took and left out, a generator's seed.
    """

    name: str
    source: str = ""
    summary: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """A name, and atoms per asset, each ≥ 1.

    A market file knows accounts by name; whoever loads it decides which key owns an account.
    """

    id: str
    balances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MarketIntent:
    """All of an intent but domain, owner and nonce, which exist only once somebody signs.

    Attributes:
        account: whose it is.
        legs, units, min_units, settlement_asset, limit, decay: as in `Intent`.
        not_before_ms, expiry_ms: None where the signer decides.
    """

    account: str
    legs: tuple[Leg, ...]
    units: int
    min_units: int
    settlement_asset: str
    limit: int
    decay: Decay | None = None
    not_before_ms: int | None = None
    expiry_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Market:
    """All that an engine needs to start with.

    Attributes:
        about: where it comes from.
        rules: the auction's parameters; None where the engine's own configuration decides.
        assets: every asset that anything else in the market names.
        prices: asset → reference price; an intent that trades an asset without one is not eligible.
        venues: in their states at the start.
        accounts: with balances; an account without any is allowed.
        intents: in the order in which they are to be sent.

    Raises:
        InvalidInput: MARKET_FILE_INVALID; `fields["path"]` says where, as in the file.
    """

    about: About
    rules: Rules | None
    assets: tuple[Asset, ...]
    prices: Mapping[str, Price]
    venues: tuple[AnyVenue, ...]
    accounts: tuple[Account, ...]
    intents: tuple[MarketIntent, ...]

    def __post_init__(self) -> None:
        if not self.about.name:
            raise invalid("about.name", "the name is empty", "say in a line what this market is")
        known = _unique((asset.id for asset in self.assets), "assets")
        for i, asset in enumerate(self.assets):
            _check_asset(asset, f"assets[{i}]")
        for i, (asset_id, price) in enumerate(self.prices.items()):
            _check_known(asset_id, known, f"prices[{i}].asset")
            _check_amount(price.amount, f"prices[{i}].amount")
            if not 1 <= len(price.source) <= 64:
                raise invalid(f"prices[{i}].source", "a source has 1 to 64 characters")
        _unique((venue.id for venue in self.venues), "venues")
        for i, venue in enumerate(self.venues):
            for asset_id in venue.assets:
                _check_known(asset_id, known, f"venues[{i}]")
        accounts = _unique((account.id for account in self.accounts), "accounts")
        for i, account in enumerate(self.accounts):
            if not 1 <= len(account.id) <= 128 or not account.id.isascii():
                raise invalid(f"accounts[{i}].id", "an account id has 1 to 128 ASCII characters")
            for asset_id, amount in account.balances.items():
                _check_known(asset_id, known, f"accounts[{i}].balances")
                _check_amount(amount, path_of(["accounts", i, "balances", asset_id]))
        for i, intent in enumerate(self.intents):
            _check_intent(intent, known, accounts, f"intents[{i}]")


def to_intent(
    intent: MarketIntent,
    domain: str,
    owner: bytes,
    nonce: int,
    *,
    not_before_ms: int,
    expiry_ms: int,
) -> Intent:
    """The intent that `owner` would sign.

    Args:
        intent: from a market; where it states a window of its own, that holds.
        domain: of the engine.
        owner: public key of the intent's account, 32 bytes.
        nonce: not used by this owner before.
        not_before_ms: where the market's intent leaves it open.
        expiry_ms: likewise.

    Raises:
        InvalidInput: INTENT_MALFORMED, for instance where the two windows mixed are empty.
    """
    return Intent(
        domain=domain,
        owner=owner,
        nonce=nonce,
        not_before_ms=not_before_ms if intent.not_before_ms is None else intent.not_before_ms,
        expiry_ms=expiry_ms if intent.expiry_ms is None else intent.expiry_ms,
        legs=intent.legs,
        units=intent.units,
        min_units=intent.min_units,
        settlement_asset=intent.settlement_asset,
        limit=intent.limit,
        decay=intent.decay,
    )


def invalid(path: str, message: str, hint: str = "") -> InvalidInput:
    """The error for what stands at `path` in a market file."""
    return InvalidInput(Reason.MARKET_FILE_INVALID, f"{path}: {message}", hint=hint, path=path)


def path_of(place: Sequence[str | int]) -> str:
    """`["accounts", 3, "balances", "a/b"]` as `accounts[3].balances["a/b"]`; `$` for the whole."""
    path = ""
    for step in place:
        if isinstance(step, str) and step.isidentifier():
            path += f".{step}" if path else step
        else:
            path += f"[{json.dumps(step)}]"
    return path or "$"


def _unique(ids: Iterable[str], where: str) -> frozenset[str]:
    seen: dict[str, int] = {}
    for i, id_ in enumerate(ids):
        if id_ in seen:
            raise invalid(
                f"{where}[{i}].id",
                f"{id_!r} is already the id of {where}[{seen[id_]}]",
                "give each its own id",
            )
        seen[id_] = i
    return frozenset(seen)


def _check_asset(asset: Asset, path: str) -> None:
    try:
        check_asset_id(asset.id)
    except InvalidInput as error:
        raise invalid(f"{path}.id", error.message, error.hint) from error
    if not (1 <= len(asset.symbol) <= 32 and asset.symbol.isprintable()):
        raise invalid(f"{path}.symbol", "a symbol has 1 to 32 characters that can be printed")
    if not 0 <= asset.decimals <= 77:
        raise invalid(f"{path}.decimals", f"{asset.decimals} is not between 0 and 77")


def _check_known(asset_id: str, known: frozenset[str], path: str) -> None:
    if asset_id not in known:
        raise invalid(path, f"unknown asset {asset_id!r}", "define it under assets")


def _check_amount(amount: int, path: str) -> None:
    if not 1 <= amount < AMOUNT_LIMIT:
        raise invalid(path, "must be at least 1 and below 2^255")


def _check_intent(
    intent: MarketIntent, known: frozenset[str], accounts: frozenset[str], path: str
) -> None:
    if intent.account not in accounts:
        raise invalid(
            f"{path}.account", f"unknown account {intent.account!r}", "define it under accounts"
        )
    _check_known(intent.settlement_asset, known, f"{path}.settlement_asset")
    for j, leg in enumerate(intent.legs):
        _check_known(leg.asset, known, f"{path}.legs[{j}].asset")
    try:
        # The protocol's own rules judge: owner, domain and nonce stand in for those of the signer.
        to_intent(intent, "check", _CHECK_OWNER, 0, not_before_ms=0, expiry_ms=UINT64 - 1)
    except InvalidInput as error:
        place = error.fields.get("field", "").partition(" ")[0]
        raise invalid(f"{path}.{place}" if place else path, error.message, error.hint) from error
