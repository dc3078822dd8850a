"""What an engine would seal of a market, without an engine."""

from walras.core.errors import InvalidInput
from walras.datasets.market import Market, to_intent
from walras.ledger.state import State
from walras.protocol.problem import Problem, Rules
from walras.protocol.records import Credit, Deposit, Genesis, MarketUpdate, RulesSet
from walras.sdk.markets import HOUR_MS, demo_signer
from walras.sdk.signing import intent_id

DOMAIN = "localhost/check"
_OPERATOR = bytes(range(1, 33))


def seal_market(
    market: Market, now_ms: int, *, auction_id: int = 1, domain: str = DOMAIN
) -> Problem:
    """The problem that an engine which holds just this market would seal at `now_ms`.

    Intents that an engine would refuse are left out, as it would leave them out.

    Raises:
        InvalidInput: of the market's venues, prices or balances.
    """
    state = State()
    state.begin(Genesis(domain, _OPERATOR, (_OPERATOR,), _OPERATOR))
    state.set_rules(RulesSet(market.rules or Rules()))
    state.update_market(
        MarketUpdate(
            domain,
            _OPERATOR,
            0,
            assets=market.assets,
            venues=market.venues,
            prices=market.prices,
        )
    )
    credits_ = tuple(
        Credit(demo_signer(account.id).public_key, asset, amount)
        for account in market.accounts
        for asset, amount in account.balances.items()
    )
    state.deposit(Deposit(domain, _OPERATOR, 1, credits_))
    for number, wanted in enumerate(market.intents):
        owner = demo_signer(wanted.account).public_key
        try:
            intent = to_intent(
                wanted, domain, owner, number, not_before_ms=0, expiry_ms=now_ms + HOUR_MS
            )
            state.submit(intent_id(intent), intent, number)
        except InvalidInput:
            continue
    for _ in state.prepare(now_ms):
        pass  # what an engine logs of it; it is done as it is made
    return state.problem(auction_id, now_ms)
