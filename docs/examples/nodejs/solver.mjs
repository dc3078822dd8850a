/**
 * What this solver proposes, in exact integers: every plain order by itself through the best
 * constant-product pool, and the crossing orders of each pair against each other at one price.
 */

import { ceilDiv, floorDiv } from "./problem.mjs";

const PIPS = 1_000_000n;
const RESERVE_LIMIT = 1n << 112n;
const SCORE_LIMIT = 1n << 62n;
const ATOMS_PER_PRICE = 10n ** 18n;
const HALVINGS = 8;

const min = (...values) => values.reduce((a, b) => (b < a ? b : a));

/**
 * @typedef {object} Proposal
 * @property {{order: object, units: bigint}[]} fills
 * @property {Map<string, bigint>} prices one for each asset; only ratios matter
 * @property {{pool: object, assetIn: string, amountIn: bigint, assetOut: string}[]} executions
 *
 * @returns {Generator<Proposal | null>} those that keep every rule, as they are found; null where
 *   an order or a pair has none, so that whoever asks can look at the clock
 */
export function* proposals(problem) {
  const pairs = new Map();
  for (const order of problem.orders) {
    yield bestRoute(problem, order);
    const pair = `${order.asset} ${order.currency}`;
    if (!pairs.has(pair)) pairs.set(pair, []);
    pairs.get(pair).push(order);
  }
  for (const orders of pairs.values()) {
    const crossed = cross(orders);
    yield crossed && score(problem, crossed) !== null ? crossed : null;
  }
}

/** What a pool pays for `amountIn`; null where it cannot (section 12). */
export function swap({ fee, reserves }, assetIn, amountIn, assetOut) {
  const [held, paying] = [reserves.get(assetIn), reserves.get(assetOut)];
  if (!held || !paying || amountIn < 1n || held + amountIn >= RESERVE_LIMIT) return null;
  const net = amountIn * (PIPS - fee);
  return (net * paying) / (held * PIPS + net) || null;
}

/** The least input that pays `amountOut`; null where none does. */
export function leastInput(pool, assetIn, amountOut, assetOut) {
  const [held, paying] = [pool.reserves.get(assetIn), pool.reserves.get(assetOut)];
  if (!held || !paying || amountOut >= paying) return null;
  // From out = floor(net · paying / (held · PIPS + net)): the least net, then the least input.
  const net = ceilDiv(amountOut * held * PIPS, paying - amountOut);
  const amountIn = ceilDiv(net, PIPS - pool.fee);
  return swap(pool, assetIn, amountIn, assetOut) === null ? null : amountIn;
}

/** One order through the pool that scores best; a smaller fill where the whole does not pay. */
function bestRoute(problem, order) {
  let [best, most] = [null, 0n];
  let units = order.remaining;
  for (let i = 0; i < HALVINGS && units >= order.least; i += 1, units /= 2n) {
    for (const pool of problem.pools.values()) {
      const found = route(pool, order, units);
      const scored = found && score(problem, found);
      if (scored > most) [best, most] = [found, scored];
    }
  }
  return best;
}

function route(pool, order, units) {
  const { asset, quantity, currency } = order;
  const amount = units * quantity;
  let amountIn, prices, assetIn, assetOut;
  if (amount < 0n) {
    [amountIn, assetIn, assetOut] = [-amount, asset, currency];
    const out = swap(pool, asset, amountIn, currency);
    // What is given is worth what the pool pays: the fill settles for exactly that.
    prices =
      out &&
      new Map([
        [asset, out],
        [currency, amountIn],
      ]);
  } else {
    [assetIn, assetOut] = [currency, asset];
    amountIn = leastInput(pool, currency, amount, asset);
    prices =
      amountIn &&
      new Map([
        [asset, amountIn],
        [currency, amount],
      ]);
  }
  if (!prices) return null;
  return { fills: [{ order, units }], prices, executions: [{ pool, assetIn, amountIn, assetOut }] };
}

/** Whether a's limit, per unit, is below b's. */
const cheaper = (a, b) => a.limit * b.units < b.limit * a.units;

/**
 * Sellers and buyers of one atom a unit, the most eager first, at the middle of the last two that
 * still cross: what sellers give is what buyers receive.
 */
export function cross(orders) {
  const byLimit = (a, b) => (cheaper(a, b) ? -1 : cheaper(b, a) ? 1 : 0);
  const sellers = orders.filter(({ quantity }) => quantity === -1n).sort(byLimit);
  const buyers = orders.filter(({ quantity }) => quantity === 1n).sort(byLimit);
  const filled = new Map();
  let [s, b, last] = [0, 0, null];
  while (s < sellers.length && b < buyers.length) {
    const [seller, buyer] = [sellers[s], buyers[b]];
    if (!cheaper(seller, { limit: -buyer.limit, units: buyer.units })) break;
    const left = (order) => order.remaining - (filled.get(order) ?? 0n);
    const units = min(left(seller), left(buyer));
    for (const order of [seller, buyer]) filled.set(order, (filled.get(order) ?? 0n) + units);
    last = [seller, buyer];
    if (!left(seller)) s += 1;
    if (!left(buyer)) b += 1;
  }
  if (!last) return null;
  const short = [...filled.keys()].find((order) => filled.get(order) < order.least);
  if (short) return cross(orders.filter((order) => order !== short));
  const [seller, buyer] = last;
  // (least / N + most / M) / 2, as one fraction.
  const price = seller.limit * buyer.units - buyer.limit * seller.units;
  return {
    fills: [...filled].map(([order, units]) => ({ order, units })),
    prices: new Map([
      [seller.asset, price],
      [seller.currency, 2n * seller.units * buyer.units],
    ]),
    executions: [],
  };
}

/**
 * The score of a proposal; null where a rule of section 5 is broken.
 *
 * Fills are of orders of the problem, each once; executions are on its pools, each once.
 */
export function score(problem, { fills, prices, executions }) {
  const value = (asset, amount) => amount * problem.prices.get(asset);
  const [kept, spent] = [new Map(), new Map()];
  const add = (map, name, amount) => map.set(name, (map.get(name) ?? 0n) + amount);
  let total = 0n;
  for (const { order, units } of fills) {
    const { asset, currency, owner } = order;
    if (units < order.least || units > order.remaining) return null;
    const moved = order.quantity * units;
    const settled = floorDiv(-moved * prices.get(asset), prices.get(currency));
    const gain = settled - ceilDiv(units * order.limit, order.units);
    if (gain < 0n) return null;
    const [given, received] =
      moved < 0n
        ? [value(asset, -moved), value(currency, settled)]
        : [value(currency, -settled), value(asset, moved)];
    const apart = received > given ? received - given : given - received;
    if (given <= 0n || received < 0n || apart * 10_000n > problem.collar * given) return null;
    add(kept, asset, -moved);
    add(kept, currency, -settled);
    if (moved < 0n) add(spent, `${owner} ${asset}`, -moved);
    else add(spent, `${owner} ${currency}`, -settled);
    total += floorDiv(value(currency, gain), ATOMS_PER_PRICE);
  }
  for (const [account, amount] of spent) {
    if (amount > (problem.balances.get(account) ?? 0n)) return null;
  }
  for (const { pool, assetIn, amountIn, assetOut } of executions) {
    const out = swap(pool, assetIn, amountIn, assetOut);
    if (out === null) return null;
    add(kept, assetIn, -amountIn);
    add(kept, assetOut, out);
    total -= pool.cost;
  }
  if ([...kept.values()].some((amount) => amount < 0n)) return null;
  return total > 0n && total < SCORE_LIMIT ? total : null;
}
