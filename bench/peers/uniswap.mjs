// Uniswap v2-sdk: the best single path of at most three hops. It knows no costs.
import { createRequire } from "node:module";
import { answer, fastest, instance } from "./timing.mjs";

// Their ES modules leave file extensions out, which node refuses.
const require = createRequire(import.meta.url);
const { CurrencyAmount, Token } = require("@uniswap/sdk-core");
const { Pair, Trade } = require("@uniswap/v2-sdk");

const tokens = instance.tokens.map((address) => new Token(1, address, 18));
const places = new Map(tokens.map((token, place) => [token.address, place]));
const pairs = instance.pools.map(
  ([a, b, x, y]) =>
    new Pair(CurrencyAmount.fromRawAmount(tokens[a], x), CurrencyAmount.fromRawAmount(tokens[b], y)),
);
const numbers = new Map(pairs.map((pair, number) => [pair, number]));
const amount = CurrencyAmount.fromRawAmount(tokens[0], instance.amount);

const [ms, [trade]] = await fastest(() =>
  Trade.bestTradeExactIn(pairs, amount, tokens[1], { maxNumResults: 1, maxHops: 3 }),
);
const path = trade ? trade.route.path.map((token) => places.get(token.address)) : [];
const swaps = (trade ? trade.route.pairs : []).map((pair, hop) => [
  numbers.get(pair), path[hop], path[hop + 1], hop ? null : instance.amount,
]);
answer(ms, swaps);
