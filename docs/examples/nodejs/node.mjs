/**
 * A complete remote solver of a Walras engine: the contract of solver_service.proto.
 *
 *     node node.mjs --listen 127.0.0.1:7500 --key solver.key --log-key VERIFIER_KEY --evidence FILE
 *
 * Prints its address and public key as one line of JSON. The key file holds 64 hexadecimal digits,
 * as `walras keygen` writes them; without one the key lasts as long as the process.
 */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import { openCheckpoint, parseVerifierKey } from "../../verifier/walras-verify.mjs";
import { Bidding } from "./bidding.mjs";
import { BaseUnknown, HELD_PROBLEMS, Held } from "./problem.mjs";
import { Refused, definition, open, plain, seal, sha256, signerOf } from "./records.mjs";
import { proposals, swap } from "./solver.mjs";

const MAX_MESSAGE_BYTES = 512 << 20;
const MAX_CHALLENGE_BYTES = 1_024;
const MAX_PARTS = 64;
const MAX_IN_FLIGHT = 1_024; // what comes then is refused
const SPARE_MS = 20; // kept back: bids travel

const { values: options } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:0" },
    name: { type: "string", default: "nodejs" },
    key: { type: "string" },
    "log-key": { type: "string" },
    evidence: { type: "string" },
  },
});
const seed = options.key
  ? Buffer.from(readFileSync(options.key, "utf8").trim(), "hex")
  : randomBytes(32);
const signer = signerOf(seed);
const logKey = options["log-key"] ? await parseVerifierKey(options["log-key"]) : null;

const held = new Held();
let inFlight = 0;
let partMs = 1; // smoothed: what one problem takes
let checkpoint = { note: Buffer.alloc(0), size: 0n };

const invalid = (error) => ({ code: grpc.status.INVALID_ARGUMENT, details: error.message });

/** Evidence as `walras audit --evidence` reads it: envelopes, each behind its length. */
function keepEvidence(envelope) {
  if (!options.evidence || !envelope.length || envelope.length > 0xffff) return;
  const length = Buffer.alloc(2);
  length.writeUInt16BE(envelope.length);
  appendFileSync(options.evidence, Buffer.concat([length, envelope]));
}

/** Keep the newest checkpoint of the log; one that another key signed is not of this log. */
async function keepCheckpoint(note) {
  if (!note.length || note.equals(checkpoint.note)) return;
  let size = 0n;
  if (logKey) {
    try {
      ({ size } = await openCheckpoint(plain(note), logKey));
    } catch (error) {
      console.error(`another log's checkpoint: ${error.message}`);
      return;
    }
    if (size < checkpoint.size) return;
  }
  checkpoint = { note, size };
}

function describe(_, answer) {
  answer(null, {
    name: options.name,
    version: "1",
    public_key: signer.publicKey,
    slots: 1,
    held_problems: HELD_PROBLEMS,
  });
}

function reportLoad(_, answer) {
  const latency_us = String(Math.ceil((inFlight + 1) * partMs * 1_000));
  answer(null, { in_flight: inFlight, latency_us });
}

/** A sign of life: an echo of the challenge, with the newest checkpoint that is held here. */
async function probe({ request: { challenge } }, answer) {
  try {
    if (challenge.length > MAX_CHALLENGE_BYTES) throw new Refused("the challenge is too long");
    const { value, signer: prober } = await open(challenge, "challenge", "Challenge");
    if (!value.prober.equals(prober)) throw new Refused("the challenge is not its prober's");
    if (!value.node.equals(signer.publicKey)) throw new Refused("it is for another node");
    const [origin, size, root] = checkpoint.note.toString().split("\n");
    const ours = origin === value.domain;
    const echo = {
      domain: value.domain,
      node: signer.publicKey,
      challenge_digest: sha256(challenge),
      checkpoint_size: ours ? size : "0",
      checkpoint_root: ours ? Buffer.from(root, "base64") : sha256(),
      in_flight: inFlight,
      slots: 1,
    };
    answer(null, { echo: seal("echo", "Echo", echo, signer) });
  } catch (error) {
    answer(invalid(error));
  }
}

/** Problems in; bids, or commitments to them, out; then receipts, the closing, and the openings. */
async function solve(call) {
  call.on("error", () => {}); // whoever hangs up ends the loop below
  const requests = call.iterator({ destroyOnReturn: false }); // the answers go on behind the last
  try {
    const { value: request, done } = await requests.next();
    if (done) return call.end();
    const end = performance.now() + request.budget_ms - SPARE_MS;
    if (request.parts.length > MAX_PARTS) throw new Refused(`at most ${MAX_PARTS} problems a call`);
    const bidding = await Bidding.begin(request, signer);
    held.addIntents(request.intents);
    keepEvidence(request.task);
    await keepCheckpoint(request.checkpoint);
    await solveParts(call, bidding, request.parts, end);
    let closed = !bidding.goesOn;
    // The call's own deadline ends this where the engine gives no receipts.
    while (!closed || bidding.awaitsReceipts) {
      const { value: later, done: over } = await requests.next();
      if (over) break;
      if (later.receipt.length) {
        keepEvidence(later.receipt);
        await bidding.acknowledge(later.receipt).catch((error) => console.error(error.message));
      }
      if (later.closing && !closed) {
        keepEvidence(later.closing.committed);
        const openings = bidding.open(later.closing, logKey);
        for await (const opening of openings) await write(call, { openings: [opening] });
        closed = true;
      }
    }
    call.end();
  } catch (error) {
    if (!call.cancelled) call.emit("error", invalid(error));
  }
}

/** The parts one after another: this solver is quick, and Node has one thread for it. */
async function solveParts(call, bidding, parts, end) {
  if (inFlight > MAX_IN_FLIGHT) {
    const status = "PART_STATUS_REFUSED";
    const answers = parts.map((_, part) => ({ part, status }));
    return write(call, { answers, in_flight: inFlight + parts.length });
  }
  let left = parts.length;
  inFlight += left;
  try {
    for (const [place, part] of parts.entries()) {
      const begun = performance.now();
      const ended = solvePart(call, bidding, place, part, end);
      await write(call, { answers: [{ part: place, ...ended }], in_flight: inFlight });
      inFlight -= 1;
      left -= 1;
      partMs += (performance.now() - begun - partMs) / 8;
      await new Promise(setImmediate); // others have their turn
    }
  } finally {
    inFlight -= left;
  }
}

/** Send what is found for a part; returns how it ended. */
function solvePart(call, bidding, place, part, end) {
  try {
    // Kept even where there is no time for it: the next problem may build on this one.
    const problem = held.take(part);
    if (performance.now() > end) return { status: "PART_STATUS_TIMEOUT" };
    let bids = 0;
    for (const proposal of proposals(problem)) {
      if (call.cancelled || performance.now() > end || bids === problem.maxBids) break;
      if (!proposal) continue;
      const bid = seal("bid", "Bid", toBid(problem, part.problem_digest, proposal), signer);
      const answer = { part: place, bid: bidding.answer(part.problem_digest, bid) };
      call.write({ answers: [answer], in_flight: inFlight });
      bids += 1;
    }
    return { status: "PART_STATUS_DONE" };
  } catch (error) {
    const unknown = error instanceof BaseUnknown;
    const status = unknown ? "PART_STATUS_BASE_UNKNOWN" : "PART_STATUS_INVALID";
    return { status, detail: error.message };
  }
}

function toBid(problem, digest, { fills, prices, executions }) {
  const ascending = (a, b) => (a < b ? -1 : 1);
  return {
    auction_id: problem.auctionId,
    problem_digest: digest,
    solver: signer.publicKey,
    fills: fills
      .map(({ order, units }) => ({ intent_id: order.id, units: String(units) }))
      .sort((a, b) => Buffer.compare(a.intent_id, b.intent_id)),
    prices: [...prices]
      .map(([asset, price]) => ({ asset, price: String(price) }))
      .sort((a, b) => ascending(a.asset, b.asset)),
    executions: executions.map(({ pool, assetIn, amountIn, assetOut }) => ({
      venue: pool.id,
      asset_in: assetIn,
      amount_in: String(amountIn),
      asset_out: assetOut,
      amount_out: String(swap(pool, assetIn, amountIn, assetOut)),
    })),
  };
}

/** Send, and wait where the engine reads slower than this writes. */
async function write(call, message) {
  if (call.write(message) || call.cancelled) return;
  const over = new AbortController();
  const events = ["drain", "cancelled", "close"];
  await Promise.race(events.map((event) => once(call, event, { signal: over.signal })));
  over.abort();
}

const server = new grpc.Server({
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
});
const { service } = grpc.loadPackageDefinition(definition).walras.api.v1.SolverService;
server.addService(service, {
  Describe: describe,
  ReportLoad: reportLoad,
  Probe: probe,
  Solve: solve,
});
const credentials = grpc.ServerCredentials.createInsecure();
server.bindAsync(options.listen, credentials, (error, port) => {
  if (error) throw error;
  const address = `${options.listen.slice(0, options.listen.lastIndexOf(":"))}:${port}`;
  const ready = { address, public_key: signer.publicKey.toString("hex"), name: options.name };
  console.log(JSON.stringify(ready));
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    server.forceShutdown();
    process.exit(0);
  });
}
