/** One call of an engine: what was committed to, what came in time, what is opened (section 5). */

import { createPublicKey, diffieHellman, generateKeyPairSync, randomBytes } from "node:crypto";
import { blake2b } from "blakejs";
import nacl from "tweetnacl";
import { openCheckpoint, verifyInclusion } from "../../verifier/walras-verify.mjs";
import { Refused, decode, open, plain, seal, sha256 } from "./records.mjs";

/** Before the 32 bytes of an X25519 public key in its SubjectPublicKeyInfo (RFC 8410). */
const X25519 = Buffer.from("302a300506032b656e032100", "hex");
const SIGMA = Buffer.from("expand 32-byte k");

/**
 * libsodium's sealed box: X25519 by a passing key, XSalsa20-Poly1305.
 *
 * The curve is Node's, a hundred times as fast as a library's: openings are made while others wait.
 *
 * @throws for a public key of small order, which would hide nothing
 */
function sealedBox(plaintext, publicKey) {
  const der = Buffer.concat([X25519, publicKey]);
  const passing = generateKeyPairSync("x25519");
  const shared = diffieHellman({
    privateKey: passing.privateKey,
    publicKey: createPublicKey({ key: der, format: "der", type: "spki" }),
  });
  const key = new Uint8Array(32);
  nacl.lowlevel.crypto_core_hsalsa20(key, new Uint8Array(16), shared, SIGMA);
  const shown = passing.publicKey.export({ format: "der", type: "spki" }).subarray(X25519.length);
  const nonce = blake2b(Buffer.concat([shown, publicKey]), undefined, 24);
  return Buffer.concat([shown, nacl.secretbox(plaintext, nonce, key)]);
}

function isBidKey(key) {
  try {
    return sealedBox(Buffer.alloc(1), key).length > 0;
  } catch {
    return false;
  }
}

export class Bidding {
  #signer;
  #task = null;
  #engine;
  #taskDigest;
  #receivedMs;
  #sent = new Map(); // SHA-256 of a commitment's envelope → {bid, salt, commitment}
  #acknowledged = new Set();
  #opened = new Set(); // SHA-256 of the envelopes of openings without a receipt

  /** The bidding that a call's first request asks for. */
  static async begin(request, signer) {
    const bidding = new Bidding();
    bidding.#signer = signer;
    bidding.#receivedMs = Date.now();
    if (!request.task.length) return bidding;
    const { value: task, signer: engine } = await open(request.task, "task", "Task");
    if (!task.solver.equals(signer.publicKey)) throw new Refused("the task is for another node");
    const parts = new Set(task.parts.map((digest) => digest.toString("hex")));
    if (!request.parts.every((part) => parts.has(part.problem_digest.toString("hex")))) {
      throw new Refused("the task does not name the request's parts");
    }
    if (task.bid_key.length && !isBidKey(task.bid_key)) throw new Refused("the bid key is none");
    bidding.#task = task;
    bidding.#engine = engine;
    bidding.#taskDigest = sha256(request.task);
    return bidding;
  }

  /** Whether more requests come: who sent a task sends receipts, then the closing or the end. */
  get goesOn() {
    return this.#task !== null;
  }

  /** Whether openings have no receipt yet. */
  get awaitsReceipts() {
    return this.#opened.size > 0;
  }

  #mine(fields) {
    const { domain, auction_id } = this.#task;
    return { domain, auction_id, solver: this.#signer.publicKey, ...fields };
  }

  /** What is sent for a bid's envelope: itself or, where bids are sealed, a commitment to it. */
  answer(partDigest, bid) {
    if (!this.#task?.bid_key.length) return bid;
    const salt = randomBytes(32);
    const commitment = sha256(bid, salt);
    const fields = {
      part_digest: partDigest,
      commitment,
      task_digest: this.#taskDigest,
      received_ms: String(this.#receivedMs),
    };
    const made = seal("commitment", "Commitment", this.#mine(fields), this.#signer);
    this.#sent.set(sha256(made).toString("hex"), { bid, salt, commitment });
    return made;
  }

  /** The engine says when answers came. */
  async acknowledge(data) {
    if (!this.#task) throw new Refused("a receipt came without a task");
    const { value } = await open(data, "bid-receipt", "BidReceipt", this.#engine);
    const { domain, auction_id, deadline_ms } = this.#task;
    const ours = value.solver.equals(this.#signer.publicKey);
    if (!ours || value.domain !== domain || value.auction_id !== auction_id) {
      throw new Refused("the receipt is for another task");
    }
    const digests = value.digests.map((digest) => digest.toString("hex"));
    if (value.opened?.length) for (const digest of digests) this.#opened.delete(digest);
    else if (BigInt(value.received_ms) <= BigInt(deadline_ms)) {
      for (const digest of digests) this.#acknowledged.add(digest);
    }
  }

  /**
   * The openings of the bids whose commitments are in the closed set; of a call with a task.
   *
   * @param closing as the engine sent it
   * @param logKey of the engine's log, to see that the closing is in it; null: not looked at
   * @throws where the closing is not the engine's, not in its log, or leaves out what came in time
   */
  async *open(closing, logKey) {
    const { value } = await open(closing.committed, "committed", "Committed", this.#engine);
    if (
      value.auction_id !== this.#task.auction_id ||
      !sha256(closing.commitments).equals(value.commitments_digest)
    ) {
      throw new Refused("the closing is of another auction or list");
    }
    if (logKey) await isInLog(closing, logKey);
    const list = decode("Commitments", closing.commitments).commitments;
    const came = new Set(list.map((one) => sha256(one.envelope).toString("hex")));
    for (const digest of this.#acknowledged) {
      if (this.#sent.has(digest) && !came.has(digest)) {
        throw new Refused("a commitment is left out that came in time by its receipt");
      }
    }
    for (const [digest, { bid, salt, commitment }] of this.#sent) {
      if (!came.has(digest)) continue;
      const sealed = sealedBox(Buffer.concat([bid, salt]), this.#task.bid_key);
      const made = seal("opening", "Opening", this.#mine({ commitment, sealed }), this.#signer);
      this.#opened.add(sha256(made).toString("hex"));
      yield made;
    }
  }
}

async function isInLog({ committed, checkpoint, inclusion }, logKey) {
  const { size, root } = await openCheckpoint(plain(checkpoint), logKey);
  const leaf = plain(sha256(Buffer.of(0), committed));
  const proof = inclusion.hashes.map(plain);
  await verifyInclusion(leaf, BigInt(inclusion.leaf_index), size, proof, root);
}
