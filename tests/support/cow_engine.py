"""A small CoW solver engine, written from the published OpenAPI description of `POST /solve`.

It knows nothing of Walras. It refuses a request that lacks what the description requires, routes
each order through the constant-product pool or limit order that pays best, and matches a sell
order with a buy order of the same pair.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from typing import Any

Json = dict[str, Any]

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_NUMBER = re.compile(r"-?[0-9]{1,78}")
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")

AUCTION = "tokens orders liquidity effectiveGasPrice deadline surplusCapturingJitOrderOwners"
ORDER = (
    "uid sellToken buyToken sellAmount buyAmount fullBuyAmount validTo kind owner"
    " partiallyFillable preInteractions postInteractions sellTokenSource buyTokenDestination"
    " class appData signingScheme signature"
)
LIQUIDITY = {
    "constantProduct": "tokens fee router",
    "weightedProduct": "tokens fee balancer_pool_id",
    "stable": "tokens amplificationParameter fee balancer_pool_id",
    "concentratedLiquidity": "tokens sqrtPrice liquidity tick liquidityNet fee router",
    "limitOrder": "makerToken takerToken makerAmount takerAmount takerTokenFeeAmount",
}


class BadRequest(Exception):
    """The request is not as described."""


def require(document: Json, names: str) -> None:
    missing = [name for name in names.split() if name not in document]
    if missing:
        raise BadRequest(f"{missing} missing in {sorted(document)}")


def number(text: Any) -> int:
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise BadRequest(f"no integer in decimal notation: {text!r}")
    return int(text)


def rational(text: Any) -> Fraction:
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise BadRequest(f"no decimal: {text!r}")
    return Fraction(text)


def check(auction: Json) -> None:
    """Raises BadRequest for what the description does not admit."""
    require(auction, AUCTION)
    number(auction["effectiveGasPrice"])
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", auction["deadline"]):
        raise BadRequest(f"no date-time: {auction['deadline']}")
    for address, token in auction["tokens"].items():
        require(token, "trusted availableBalance")
        if not _ADDRESS.fullmatch(address):
            raise BadRequest(f"no address: {address}")
    for order in auction["orders"]:
        require(order, ORDER)
        if not re.fullmatch(r"0x[0-9a-f]{112}", order["uid"]):
            raise BadRequest(f"no uid: {order['uid']}")
        require(auction["tokens"], f"{order['sellToken']} {order['buyToken']}")
        for name in ("sellAmount", "buyAmount", "fullBuyAmount", "fullSellAmount"):
            number(order[name])
        assert order["kind"] in {"sell", "buy"}
    for item in auction["liquidity"]:
        require(item, f"id address gasEstimate {LIQUIDITY[item['kind']]}")
        number(item["gasEstimate"])
        tokens = item.get("tokens", ())
        require(auction["tokens"], " ".join(tokens))
        if isinstance(tokens, dict):
            for reserve in tokens.values():
                number(reserve["balance"])


def pays(item: Json, sold: str, amount: int, bought: str) -> int:
    """What liquidity pays for `amount`; 0 where it does not."""
    if item["kind"] == "constantProduct":
        reserves = {token: number(r["balance"]) for token, r in item["tokens"].items()}
        if sold not in reserves or bought not in reserves:
            return 0
        net = amount * (1 - rational(item["fee"]))
        return int(net * reserves[bought] / (reserves[sold] + net))
    if item["kind"] == "limitOrder" and (sold, bought) == (item["takerToken"], item["makerToken"]):
        taken, made = number(item["takerAmount"]), number(item["makerAmount"])
        return amount * made // taken if amount <= taken else 0
    return 0


def least(item: Json, sold: str, amount: int, bought: str, most: int) -> int:
    """The least input up to `most` that pays `amount`, by halving; 0 where none does."""
    low, high = 1, most
    if pays(item, sold, high, bought) < amount:
        return 0
    while low < high:
        middle = (low + high) // 2
        if pays(item, sold, middle, bought) >= amount:
            high = middle
        else:
            low = middle + 1
    return low


def route(order: Json, item: Json) -> Json | None:
    """The whole of an order through one liquidity."""
    sold, bought = order["sellToken"], order["buyToken"]
    sell, buy = number(order["sellAmount"]), number(order["buyAmount"])
    if order["kind"] == "sell":
        amount_in, executed = sell, sell
    else:
        amount_in, executed = least(item, sold, buy, bought, sell), buy
    amount_out = pays(item, sold, amount_in, bought)
    if not amount_in or amount_out < buy:
        return None
    got = amount_out if order["kind"] == "sell" else buy
    return {
        "prices": {sold: str(got), bought: str(amount_in)},
        "trades": [trade(order, executed)],
        "interactions": [
            {
                "kind": "liquidity",
                "internalize": False,
                "id": int(item["id"]),
                "inputToken": sold,
                "outputToken": bought,
                "inputAmount": str(amount_in),
                "outputAmount": str(amount_out),
            }
        ],
        "gas": 100_000 + number(item["gasEstimate"]),
    }


def match(seller: Json, buyer: Json) -> Json | None:
    """A sell order against a buy order of the same pair, at the middle of their limits."""
    sold, bought = seller["sellToken"], seller["buyToken"]
    if (seller["kind"], buyer["kind"]) != ("sell", "buy"):
        return None
    if (buyer["sellToken"], buyer["buyToken"]) != (bought, sold):
        return None
    low = Fraction(number(seller["buyAmount"]), number(seller["sellAmount"]))
    high = Fraction(number(buyer["sellAmount"]), number(buyer["buyAmount"]))
    offered, wanted = number(seller["sellAmount"]), number(buyer["buyAmount"])
    amount = min(offered, wanted)
    whole = (seller["partiallyFillable"] or amount == offered) and (
        buyer["partiallyFillable"] or amount == wanted
    )
    if low >= high or not whole:
        return None
    price = (low + high) / 2
    return {
        "prices": {sold: str(price.numerator), bought: str(price.denominator)},
        "trades": [trade(seller, amount), trade(buyer, amount)],
        "interactions": [],
    }


def trade(order: Json, executed: int) -> Json:
    return {"kind": "fulfillment", "order": order["uid"], "executedAmount": str(executed)}


def solve(auction: Json) -> Json:
    """All solutions, with ids."""
    check(auction)
    orders, found = auction["orders"], []
    for order in orders:
        routes = [made for item in auction["liquidity"] if (made := route(order, item))]
        # The best is that which asks least of the sold, or gives most of the bought.
        best = max(routes, key=lambda made: rate(order, made), default=None)
        found += [best] if best else []
    found += [made for a, b in product(orders, orders) if (made := match(a, b))]
    return {"solutions": [{"id": place, **made} for place, made in enumerate(found)]}


def rate(order: Json, made: Json) -> Fraction:
    prices = made["prices"]
    return Fraction(int(prices[order["sellToken"]]), int(prices[order["buyToken"]]))


@dataclass(slots=True)
class CowEngine:
    """A running engine.

    Attributes:
        url: of it.
        respond: from the request's document to that of the answer, or to its bytes.
        auctions: that came.
    """

    url: str = ""
    respond: Callable[[Json], Json | bytes] = solve
    status: int = 200
    auctions: list[Json] = field(default_factory=list)


@contextmanager
def cow_engine(
    respond: Callable[[Json], Json | bytes] = solve, *, status: int = 200
) -> Iterator[CowEngine]:
    """An engine on loopback."""
    engine = CowEngine(respond=respond, status=status)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/solve" or self.headers["Content-Type"] != "application/json":
                self.answer(404, b"")
                return
            auction = json.loads(body)
            engine.auctions.append(auction)
            try:
                answer = engine.respond(auction)
            except BadRequest as error:
                self.answer(400, json.dumps({"error": str(error)}).encode())
                return
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.answer(engine.status, data)

        def answer(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(ConnectionError):  # whoever asked may have hung up
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        engine.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
