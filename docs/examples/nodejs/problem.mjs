/** Problems: how they travel (section 4), and what of them this solver uses, in big integers. */

import { Refused, decode, recordId, sha256 } from "./records.mjs";

export const HELD_PROBLEMS = 16;
const HELD_BYTES = 256 << 20;
const MAX_PROBLEM_BYTES = 256 << 20;

/** The node does not hold what a request builds on; the engine sends the whole. */
export class BaseUnknown extends Error {}

const hex = (bytes) => bytes.toString("hex");

/** Bytes by name; what was used longest ago goes first. */
class Kept extends Map {
  #bytes = 0;

  constructor(most) {
    super();
    this.most = most;
  }

  keep(name, bytes) {
    this.#bytes += bytes.length - (this.get(name)?.length ?? 0);
    this.delete(name);
    this.set(name, bytes);
    for (const [old, { length }] of this) {
      if (this.size <= this.most && this.#bytes <= HELD_BYTES) break;
      this.#bytes -= length;
      this.delete(old);
    }
  }
}

/** The latest problems and the bodies of their intents. */
export class Held {
  #problems = new Kept(HELD_PROBLEMS);
  #intents = new Kept(1 << 18);

  addIntents(bodies) {
    for (const body of bodies) this.#intents.keep(hex(recordId("intent", body)), body);
  }

  /** The problem of a part; what it was made of is kept. */
  take(part) {
    const body = part.delta ? this.#apply(part.delta) : part.problem;
    if (!body.length || !sha256(body).equals(part.problem_digest)) {
      throw new Refused("the problem's bytes do not have the digest that they came with");
    }
    this.#problems.keep(hex(part.problem_digest), body);
    return parse(decode("Problem", body), (id) => {
      const found = this.#intents.get(hex(id));
      if (!found) throw new BaseUnknown("an intent's body is not held here");
      return decode("Intent", found);
    });
  }

  #apply({ base_digest, spans }) {
    const base = this.#problems.get(hex(base_digest));
    if (!base) throw new BaseUnknown("the delta's base is not held here");
    this.#problems.keep(hex(base_digest), base);
    let length = 0;
    const pieces = spans.map((span) => {
      const [from, size] = [Number(span.offset), Number(span.length)];
      const piece = span.insert.length ? span.insert : base.subarray(from, from + size);
      const whole = span.insert.length ? !size : size > 0 && from + size <= base.length;
      length += piece.length;
      if (!whole || length > MAX_PROBLEM_BYTES) throw new Refused("a span is not of the base");
      return piece;
    });
    return Buffer.concat(pieces, length);
  }
}

/** floor(a / b) for b > 0; BigInt's own division cuts toward zero. */
export const floorDiv = (a, b) => (a >= 0n ? a / b : -((-a + b - 1n) / b));
export const ceilDiv = (a, b) => -floorDiv(-a, b);

function limitAt(intent, t) {
  const limit = BigInt(intent.limit);
  if (!intent.decay) return limit;
  const start = BigInt(intent.decay.start_limit);
  const [from, to] = [BigInt(intent.decay.start_ms), BigInt(intent.decay.end_ms)];
  if (t >= to) return limit;
  if (t <= from) return start;
  return start + floorDiv((limit - start) * (t - from), to - from);
}

function parse(message, intentOf) {
  const t = BigInt(message.sealed_ms);
  const orders = [];
  for (const { intent_id, remaining } of message.intents) {
    const intent = intentOf(intent_id);
    if (intent.legs.length !== 1) continue; // this solver's are the plain orders
    const [leg] = intent.legs;
    const units = BigInt(intent.units);
    const least = BigInt(intent.min_units);
    const left = BigInt(remaining);
    orders.push({
      id: intent_id,
      owner: hex(intent.owner),
      asset: leg.asset,
      quantity: BigInt(leg.quantity), // atoms a unit: + receives, − gives
      currency: intent.settlement_asset,
      units,
      remaining: left,
      least: least > left ? left : least || 1n,
      limit: limitAt(intent, t), // for all units
    });
  }
  const pools = new Map();
  for (const { id, cost, constant_product: pool } of message.venues) {
    if (!pool) continue;
    const reserves = pool.assets.map((asset, at) => [asset, BigInt(pool.reserves[at])]);
    pools.set(id, {
      id,
      cost: BigInt(cost),
      fee: BigInt(pool.fee_pips),
      reserves: new Map(reserves),
    });
  }
  return {
    auctionId: message.auction_id,
    collar: BigInt(message.rules.collar_bps),
    maxBids: message.rules.max_bids,
    orders,
    pools,
    balances: new Map(
      message.balances.map(({ owner, asset, amount }) => [
        `${hex(owner)} ${asset}`,
        BigInt(amount),
      ]),
    ),
    prices: new Map(message.prices.map(({ asset, amount }) => [asset, BigInt(amount)])),
  };
}
