/**
 * Level A of the audit of a Walras log, without a line of the engine's code (protocol §3, §8, §9).
 *
 * From a log's files and the engine's verifier key it checks that
 *
 *   - the checkpoint is signed by that key and, with a policy, cosigned by a quorum of witnesses;
 *   - the entries are as many as it says, and hash to its root;
 *   - the hash tiles, if any, hold what the entries give;
 *   - checkpoints that anybody was given before are of prefixes;
 *   - every entry is an envelope of the one admitted form, with a valid signature.
 *
 * It checks receipts too: that a record is in the log that a checkpoint commits to.
 *
 * One module without imports, for browsers and Node 20 or later; cryptography is WebCrypto's.
 * Nothing that is read is believed. What fails is an `AuditFailure` or an `InvalidInput`, whose
 * `code` is the reason that `walras audit` gives for the same log.
 *
 *     node walras-verify.mjs FOLDER_OR_URL --key VERIFIER_KEY
 *
 * Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-policy, tlog-proof and
 * tlog-tiles; RFC 6962 and RFC 9162 (trees); RFC 8032 (Ed25519); DSSE v1.
 */

/** What can go wrong: `code` is stable, for programs; the message is for people. */
export class WalrasError extends Error {
  /**
   * @param {string} code a reason of protocol §11
   * @param {string} message one sentence
   * @param {Record<string, string | number>} [fields] `index` is the first wrong entry's, if known
   */
  constructor(code, message, fields = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.fields = fields;
  }
}

/** What the caller gave cannot be used. */
export class InvalidInput extends WalrasError {}

/** The log or the receipt does not prove what it claims. */
export class AuditFailure extends WalrasError {}

// --- bytes

const MAX_CACHED_KEYS = 1 << 14;
const encoder = new TextEncoder();
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const equal = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

function concat(...parts) {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

const encode64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

/** The bytes that `text` is the one standard base64 form of; null if there are none. */
function decode64(text) {
  if (text.length % 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  // The decoder lets the unused bits of the last character vary.
  return encode64(bytes) === text ? bytes : null;
}

/** The text of strict UTF-8; null for anything else. */
function decodeUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

const sha256 = async (...parts) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", concat(...parts)));

// --- Ed25519: the rule of protocol §3

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (a) => ((a % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  for (let square = base; exponent; exponent >>= 1n, square = (square * square) % P) {
    if (exponent & 1n) result = (result * square) % P;
  }
  return result;
}

const D = mod(-121665n * power(121666n, P - 2n));
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);

const ORDER_8_Y = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd83d3d706a17c7n;
/** The y of the eight points of small order. */
const SMALL_ORDER_Y = new Set([0n, 1n, P - 1n, ORDER_8_Y, P - ORDER_8_Y]);

const littleEndian = (bytes) => BigInt(`0x${hex(bytes.slice().reverse())}`);

/** The sum of two points in extended coordinates (RFC 8032 §5.1.4). */
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = ((y1 - x1) * (y2 - x2)) % P;
  const b = ((y1 + x1) * (y2 + x2)) % P;
  const c = (2n * D * t1 * t2) % P;
  const d = (2n * z1 * z2) % P;
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P];
}

/** Whether 32 bytes are the canonical encoding of a point of the prime-order subgroup, not 0. */
function isKeyPoint(bytes) {
  const y = littleEndian(bytes) & ((1n << 255n) - 1n);
  if (y >= P || SMALL_ORDER_Y.has(y)) return false;
  // x² = u / v; the candidate root (u / v)^((p + 3) / 8) is right up to a root of −1.
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  const quotient = (u * power(v, P - 2n)) % P;
  let x = power(quotient, (P + 3n) / 8n);
  if ((x * x) % P !== quotient) x = (x * ROOT_OF_MINUS_ONE) % P;
  if ((x * x) % P !== quotient) return false;
  // The other root is the negated point, which is in the subgroup if this one is.
  const point = [x, y, 1n, (x * y) % P];
  let multiple = [0n, 1n, 1n, 0n];
  for (const bit of L.toString(2)) {
    multiple = add(multiple, multiple);
    if (bit === "1") multiple = add(multiple, point);
  }
  return mod(multiple[0]) === 0n && mod(multiple[1] - multiple[2]) === 0n;
}

const importedKeys = new Map();

/** The key for WebCrypto; checked, and remembered: owners come back. */
function importKey(publicKey) {
  if (publicKey.length !== 32) {
    throw new InvalidInput(
      "PUBLIC_KEY_INVALID",
      `an Ed25519 public key has 32 bytes, not ${publicKey.length}`,
    );
  }
  const name = hex(publicKey);
  let key = importedKeys.get(name);
  if (!key) {
    if (!isKeyPoint(publicKey)) {
      throw new InvalidInput(
        "PUBLIC_KEY_INVALID",
        "the public key is not a canonical point of Ed25519's prime-order subgroup",
        { public_key: name },
      );
    }
    if (importedKeys.size >= MAX_CACHED_KEYS) importedKeys.clear();
    key = crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
    importedKeys.set(name, key);
  }
  return key;
}

/**
 * Return if `signature` is `publicKey`'s on `message`.
 *
 * WebCrypto checks the equation, without cofactor; what it leaves to implementations (low order,
 * range of S, canonical points) is checked here.
 *
 * @param {Uint8Array} publicKey
 * @param {Uint8Array} message
 * @param {Uint8Array} signature
 * @throws {InvalidInput} PUBLIC_KEY_INVALID, SIGNATURE_INVALID
 */
export async function verifySignature(publicKey, message, signature) {
  if (signature.length !== 64) {
    throw new InvalidInput(
      "SIGNATURE_INVALID",
      `an Ed25519 signature has 64 bytes, not ${signature.length}`,
    );
  }
  const key = await importKey(publicKey);
  const r = littleEndian(signature.subarray(0, 32)) & ((1n << 255n) - 1n);
  const inRange = r < P && !SMALL_ORDER_Y.has(r) && littleEndian(signature.subarray(32)) < L;
  if (!inRange || !(await crypto.subtle.verify({ name: "Ed25519" }, key, signature, message))) {
    throw new InvalidInput("SIGNATURE_INVALID", "the signature does not verify", {
      public_key: hex(publicKey),
    });
  }
}

// --- envelopes (protocol §3)

const MAX_ENTRY_BYTES = 65_535;
const SIGNATURE_AND_SIG = Uint8Array.of(0x1a, 0x84, 0x01, 0x0a, 0x40);
const KEY_TAG = Uint8Array.of(0x12, 0x40);

/**
 * The envelope that `data` is the one form of; nothing is verified yet.
 *
 * @param {Uint8Array} data
 * @returns {{payloadType: string, body: Uint8Array, signer: Uint8Array, signature: Uint8Array}}
 * @throws {InvalidInput} ENVELOPE_MALFORMED
 */
export function decodeEnvelope(data) {
  if (data.length > MAX_ENTRY_BYTES) {
    throw malformed(`it has ${data.length} bytes, more than the ${MAX_ENTRY_BYTES} allowed`);
  }
  const [body, afterBody] = field(data, 0, 0x0a, "payload");
  const [kind, afterKind] = field(data, afterBody, 0x12, "payloadType");
  const payloadType = String.fromCharCode(...kind.subarray(0, 128));
  if (!/^[!-~]{1,127}$/.test(payloadType)) {
    throw malformed("payloadType is not 1 to 127 printable ASCII characters");
  }
  const block = data.subarray(afterKind);
  if (
    block.length !== 135 ||
    !equal(block.subarray(0, 5), SIGNATURE_AND_SIG) ||
    !equal(block.subarray(69, 71), KEY_TAG)
  ) {
    throw malformed("after payloadType it must end in one signature with sig and keyid");
  }
  const keyid = String.fromCharCode(...block.subarray(71));
  if (!/^[0-9a-f]{64}$/.test(keyid)) {
    throw malformed("keyid is not the signer's public key in 64 lowercase hex digits");
  }
  const signer = Uint8Array.from(keyid.match(/../g), (digits) => parseInt(digits, 16));
  return { payloadType, body, signer, signature: block.subarray(5, 69) };
}

/**
 * Return if `data` is an envelope whose signature is that of the key it names.
 *
 * @param {Uint8Array} data
 * @throws {InvalidInput} ENVELOPE_MALFORMED, PUBLIC_KEY_INVALID, SIGNATURE_INVALID
 */
export async function verifyEnvelope(data) {
  const { payloadType, body, signer, signature } = decodeEnvelope(data);
  await verifySignature(signer, pae(payloadType, body), signature);
}

/** DSSE's pre-authentication encoding: the bytes that are signed. */
function pae(payloadType, body) {
  const head = `DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `;
  return concat(encoder.encode(head), body);
}

/** The content of the length-delimited field `tag` at `at`, and the position after it. */
function field(data, at, tag, name) {
  if (data[at] !== tag) throw malformed(`${name} is missing or out of order`);
  let length = 0;
  let byte = 0x80;
  let start = at + 1;
  for (let scale = 1; byte >= 0x80; scale *= 128) {
    if (scale > 128 ** 4) throw malformed(`the length of ${name} has more than 5 bytes`);
    if (start >= data.length) throw malformed(`it ends within the length of ${name}`);
    byte = data[start++];
    length += (byte & 0x7f) * scale;
  }
  // A last byte of zero says nothing, so the varint was not minimal; or the field is empty.
  if (byte === 0) throw malformed(`the length of ${name} is zero or not a minimal varint`);
  if (start + length > data.length) throw malformed(`it ends within ${name}`);
  return [data.subarray(start, start + length), start + length];
}

const malformed = (why) =>
  new InvalidInput("ENVELOPE_MALFORMED", `not an envelope of version 1: ${why}`);

// --- signed notes and checkpoints (protocol §8)

const MAX_NOTE_BYTES = 1 << 18;
const MAX_SIGNATURES = 64;
const SIZE_LIMIT = 1n << 63n;
const TYPE_NOTE = 1;
const TYPE_COSIGNATURE = 4;

const DECIMAL = /^(0|[1-9][0-9]{0,18})$/;
const CONTROL = /[\x00-\x09\x0b-\x1f]/;
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
/** What Unicode counts as space, by category or by direction; `\s` has some fewer and one more. */
const SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

const isKeyName = (name) => name !== "" && !name.includes("+") && !SPACE.test(name);

/**
 * @typedef {object} NoteKey who may sign
 * @property {string} name
 * @property {number} type 1: signs notes, the log's; 4: cosigns checkpoints, a witness's
 * @property {Uint8Array} publicKey
 * @property {string} id eight hex digits
 *
 * @typedef {object} Checkpoint a log at one size
 * @property {string} origin
 * @property {bigint} size
 * @property {Uint8Array} root
 * @property {string[]} cosigners key names of the policy's witnesses that cosigned it
 */

/**
 * The key of a verifier key, `name+hex(id)+base64(type ‖ public key)`.
 *
 * @param {string} text
 * @param {number} [type] the signature type it must have
 * @returns {Promise<NoteKey>}
 * @throws {InvalidInput} PUBLIC_KEY_INVALID
 */
export async function parseVerifierKey(text, type = TYPE_NOTE) {
  const [name, id, ...rest] = text.split("+");
  const tagged = decode64(rest.join("+"));
  if (tagged?.[0] === type && isKeyName(name) && !UNPRINTABLE.test(name)) {
    await importKey(tagged.subarray(1));
    const key = await noteKey(name, type, tagged.slice(1));
    if (key.id === id) return key;
  }
  throw new InvalidInput(
    "PUBLIC_KEY_INVALID",
    `not an Ed25519 verifier key of type ${type}: ${text.slice(0, 200)}`,
  );
}

async function noteKey(name, type, publicKey) {
  const digest = await sha256(encoder.encode(`${name}\n`), Uint8Array.of(type), publicKey);
  return { name, type, publicKey, id: hex(digest.subarray(0, 4)) };
}

/** Text and signature lines of a note. */
function parseNote(data) {
  if (data.length > MAX_NOTE_BYTES) {
    throw unreliable(`it has ${data.length} bytes, more than ${MAX_NOTE_BYTES}`);
  }
  const note = decodeUtf8(data);
  if (note === null) throw unreliable("it is not UTF-8");
  if (CONTROL.test(note)) throw unreliable("it has control characters");
  // The last blank line divides, so the text may have blank lines of its own.
  const blank = note.lastIndexOf("\n\n");
  const lines = note.slice(blank + 2).split("\n");
  if (blank < 0 || lines.pop() !== "" || !lines.length || lines.length > MAX_SIGNATURES) {
    throw unreliable("it is not text, a blank line and complete signature lines");
  }
  return { text: note.slice(0, blank + 1), signatures: lines.map(signatureLine) };
}

function signatureLine(line) {
  const [mark, name, ...rest] = line.split(" ");
  const bytes = decode64(rest.join(" "));
  if (mark !== "\u2014" || !name || !isKeyName(name) || !bytes || bytes.length < 5) {
    throw unreliable("a signature line is not an em dash, a key name and a base64 signature");
  }
  return { name, id: hex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

/** Whether `key` signed the note; a line of it that does not verify condemns the note. */
async function isSignedBy({ text, signatures }, key) {
  const ours = signatures.filter(({ name, id }) => name === key.name && id === key.id);
  for (const { signature } of ours) {
    try {
      await verifySignature(key.publicKey, ...signedBytes(text, key, signature));
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      const why = `a signature of ${key.name} with the key id ${key.id} does not verify`;
      throw key.type === TYPE_NOTE ? unreliable(why) : new AuditFailure("COSIGNATURE_INVALID", why);
    }
  }
  return ours.length > 0;
}

/** The message that a line's Ed25519 signature is on, and that signature. */
function signedBytes(text, key, signature) {
  if (key.type === TYPE_NOTE) return [encoder.encode(text), signature];
  const time = signature.length === 72 ? BigInt(`0x${hex(signature.subarray(0, 8))}`) : SIZE_LIMIT;
  if (time >= SIZE_LIMIT) {
    throw new AuditFailure("COSIGNATURE_INVALID", `a cosignature of ${key.name} is malformed`);
  }
  return [encoder.encode(`cosignature/v1\ntime ${time}\n${text}`), signature.subarray(8)];
}

/** What a note's text says, if it is any log's checkpoint. */
function parseHead(text) {
  const [origin, size, root, ...extensions] = text.slice(0, -1).split("\n");
  if (!origin || root === undefined || !extensions.every(Boolean)) {
    throw unreliable("its text is not three lines: origin, size, root; none is empty");
  }
  const head = { origin, size: SIZE_LIMIT, root: decode64(root), extensions };
  if (DECIMAL.test(size)) head.size = BigInt(size);
  if (head.size >= SIZE_LIMIT) {
    throw unreliable("its size is not a canonical decimal number below 2^63");
  }
  if (head.root?.length !== 32) throw unreliable("its root is not 32 bytes in base64");
  return head;
}

/** The checkpoint of this log's kind that a note's text is: three lines. */
async function parseCheckpoint(text) {
  const { origin, size, root, extensions } = parseHead(text);
  if (extensions.length) throw unreliable("its text is not three lines: origin, size, root");
  if (UNPRINTABLE.test(origin)) throw unreliable("the origin is not one printable line");
  if (size === 0n && !equal(root, await sha256())) {
    throw unreliable("the root of the empty log is wrong");
  }
  return { origin, size, root, cosigners: [] };
}

/**
 * The checkpoint in a note that `key` signed.
 *
 * @param {Uint8Array} data
 * @param {NoteKey} key the log's; its name is the origin
 * @returns {Promise<Checkpoint>}
 * @throws {AuditFailure} CHECKPOINT_INVALID
 */
export async function openCheckpoint(data, key) {
  const note = parseNote(data);
  if (!(await isSignedBy(note, key))) {
    throw unreliable(`it has no signature of ${key.name} with the key id ${key.id}`);
  }
  const checkpoint = await parseCheckpoint(note.text);
  if (checkpoint.origin !== key.name) {
    throw unreliable(`its origin is ${checkpoint.origin}, and ${key.name} is expected`);
  }
  return checkpoint;
}

/**
 * The checkpoint in a note that `key` signed and a policy approves of.
 *
 * @param {Uint8Array} data
 * @param {NoteKey} key the log's; one of the policy's, where it names logs
 * @param {Policy} [policy] without one, no witness need have cosigned
 * @returns {Promise<Checkpoint>}
 * @throws {AuditFailure} CHECKPOINT_INVALID, LOG_UNKNOWN, COSIGNATURE_INVALID, QUORUM_UNMET
 */
export async function approveCheckpoint(data, key, policy) {
  const note = parseNote(data);
  const checkpoint = await parseCheckpoint(note.text);
  let known = false;
  // All are looked at: a false line of any known key condemns the note.
  for (const log of policy?.logs.length ? policy.logs : [key]) {
    const signed = log.name === checkpoint.origin && (await isSignedBy(note, log));
    known ||= signed && log.name === key.name && log.id === key.id;
  }
  if (!known) {
    throw new AuditFailure("LOG_UNKNOWN", `this is no checkpoint of a known log ${key.name}`);
  }
  const found = new Set();
  for (const [name, witness] of policy?.witnesses ?? []) {
    if (await isSignedBy(note, witness)) {
      found.add(name);
      checkpoint.cosigners.push(witness.name);
    }
  }
  if (policy && !policy.isMet(found)) {
    throw new AuditFailure(
      "QUORUM_UNMET",
      `the witnesses that cosigned it are no quorum: ${checkpoint.cosigners.join(", ") || "none"}`,
    );
  }
  return checkpoint;
}

const unreliable = (why) =>
  new AuditFailure("CHECKPOINT_INVALID", `not a checkpoint to rely on: ${why}`);

// --- policies (C2SP tlog-policy)

const MAX_POLICY_BYTES = 1 << 18;
const MAX_POLICY_LINES = 4_097; // the last of them empty

/**
 * @typedef {object} Policy whose cosignatures make a checkpoint count
 * @property {NoteKey[]} logs
 * @property {Map<string, NoteKey>} witnesses by their names in the policy
 * @property {(cosigners: Set<string>) => boolean} isMet
 */

/**
 * @param {Uint8Array} data the policy file
 * @returns {Promise<Policy>}
 * @throws {InvalidInput} POLICY_INVALID
 */
export async function parsePolicy(data) {
  // One character for each byte: names are opaque bytes, and only a verifier key's name is UTF-8.
  const text = Array.from(data, (byte) => String.fromCharCode(byte)).join("");
  const policy = { logs: [], witnesses: new Map(), isMet: null };
  const rules = new Map([["none", () => true]]);
  const members = new Set(["none"]);
  const rule = (name) => rules.get(name) ?? refuse(`${name} is not defined before it is used`);
  const define = (name, test) => {
    if (!name || rules.has(name)) refuse(`${name} is defined twice or has no name`);
    rules.set(name, test);
  };
  const fresh = async (vkey, type, others) => {
    const bytes = Uint8Array.from(vkey ?? "", (char) => char.charCodeAt(0));
    const key = await parseVerifierKey(decodeUtf8(bytes) ?? "", type).catch(() => null);
    if (!key) refuse(`this is no verifier key of type ${type}: ${vkey?.slice(0, 200)}`);
    if (others.some((other) => equal(other.publicKey, key.publicKey))) refuse("a key stands twice");
    return key;
  };
  const lines = text.split("\n");
  if (data.length > MAX_POLICY_BYTES || lines.length > MAX_POLICY_LINES) refuse("it is too long");
  if (/[\x00-\x08\x0b-\x1f\x7f]/.test(text)) refuse("it has control characters");
  if (lines.pop() !== "") refuse("its last line does not end in a newline");
  for (const line of lines) {
    const [kind, ...words] = line.split(/[ \t]+/).filter(Boolean);
    if (!kind || kind.startsWith("#")) continue;
    if (kind === "log" && words.length <= 2) {
      policy.logs.push(await fresh(words[0], TYPE_NOTE, policy.logs));
    } else if (kind === "witness" && words.length <= 3) {
      const [name, vkey] = words;
      const key = await fresh(vkey, TYPE_COSIGNATURE, [...policy.witnesses.values()]);
      define(name, (cosigners) => cosigners.has(name));
      policy.witnesses.set(name, key);
    } else if (kind === "group" && words.length >= 3) {
      const [name, threshold, ...names] = words;
      const least = { any: 1, all: names.length }[threshold] ?? Number(threshold);
      if (!/^(any|all|[1-9][0-9]{0,3})$/.test(threshold) || least > names.length) {
        refuse(`the threshold of the group ${name} is not between 1 and its members`);
      }
      for (const member of names) {
        if (members.has(member)) refuse(`${member} cannot be a member, or is one already`);
        members.add(member);
      }
      const tests = names.map(rule);
      define(name, (cosigners) => tests.filter((test) => test(cosigners)).length >= least);
    } else if (kind === "quorum" && words.length === 1 && !policy.isMet) {
      policy.isMet = rule(words[0]);
    } else {
      refuse(`this line is not understood, or stands twice: ${line.slice(0, 200)}`);
    }
  }
  if (!policy.isMet) refuse("it has no quorum line");
  return policy;
}

function refuse(why) {
  throw new InvalidInput("POLICY_INVALID", `not a tlog-policy: ${why}`);
}

// --- the Merkle tree (RFC 6962)

const leafHash = (entry) => sha256(Uint8Array.of(0), entry);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

/** An append-only tree; row k packs the hashes of the complete subtrees over 2^k leaves. */
class Tree {
  #rows = [{ bytes: new Uint8Array(1 << 13), count: 0 }];

  get size() {
    return this.#rows[0].count;
  }

  /** Append leaf hashes. */
  async extend(hashes) {
    for (let level = 0; hashes.length; level += 1) {
      const row = (this.#rows[level] ??= { bytes: new Uint8Array(64), count: 0 });
      const first = Math.floor(row.count / 2);
      for (const each of hashes) {
        if (32 * row.count === row.bytes.length) {
          const wider = new Uint8Array(2 * row.bytes.length);
          wider.set(row.bytes);
          row.bytes = wider;
        }
        row.bytes.set(each, 32 * row.count);
        row.count += 1;
      }
      const pairs = Math.floor(row.count / 2) - first;
      hashes = await Promise.all(
        Array.from({ length: pairs }, (_, at) =>
          sha256(Uint8Array.of(1), this.hashes(level, 2 * (first + at), 2 * (first + at + 1))),
        ),
      );
    }
  }

  /** The packed hashes of the complete subtrees [start, stop) over 2^level leaves. */
  hashes(level, start, stop) {
    return this.#rows[level].bytes.subarray(32 * start, 32 * stop);
  }

  /** The root over the first `size` leaves. */
  async root(size = this.size) {
    if (size === 0) return sha256();
    const peaks = [];
    for (let start = 0; start < size; ) {
      const level = Math.floor(Math.log2(size - start));
      peaks.push(this.hashes(level, start / 2 ** level, start / 2 ** level + 1));
      start += 2 ** level;
    }
    let result = peaks.pop();
    while (peaks.length) result = await nodeHash(peaks.pop(), result);
    return result;
  }
}

/**
 * Return if `proof` shows the leaf hash at `index` under the root of `size` leaves.
 *
 * @param {Uint8Array} leaf
 * @param {bigint} index
 * @param {bigint} size
 * @param {Uint8Array[]} proof from the leaf's sibling upward
 * @param {Uint8Array} root
 * @throws {AuditFailure} PROOF_INVALID
 */
export async function verifyInclusion(leaf, index, size, proof, root) {
  if ([leaf, root, ...proof].some((hash) => hash.length !== 32)) {
    throw unproven("a hash does not have 32 bytes");
  }
  if (index >= size) throw unproven(`there is no leaf ${index} in a tree of ${size}`);
  let [position, last, result] = [index, size - 1n, leaf];
  for (const sibling of proof) {
    if (last === 0n) throw unproven("the proof has more hashes than the tree is high");
    if (position & 1n || position === last) {
      result = await nodeHash(sibling, result);
      // A last node without a right sibling moved up unhashed: skip those levels.
      while (!(position & 1n) && position) [position, last] = [position >> 1n, last >> 1n];
    } else {
      result = await nodeHash(result, sibling);
    }
    [position, last] = [position >> 1n, last >> 1n];
  }
  if (last !== 0n) throw unproven("the proof has fewer hashes than the tree is high");
  if (!equal(result, root)) throw unproven("the inclusion proof leads to another root");
}

const unproven = (why) => new AuditFailure("PROOF_INVALID", why);

// --- receipts (C2SP tlog-proof)

const PROOF_HEADER = "c2sp.org/tlog-proof@v1";
const MAX_PROOF_HASHES = 63;
const MAX_PROOF_BYTES =
  MAX_NOTE_BYTES + Math.floor((4 * MAX_ENTRY_BYTES) / 3) + 45 * MAX_PROOF_HASHES + 256;

/**
 * The parts of a proof; nothing is verified yet.
 *
 * @param {Uint8Array} data
 * @returns {{extra: Uint8Array, index: bigint, hashes: Uint8Array[], checkpoint: Uint8Array}}
 * @throws {AuditFailure} PROOF_INVALID, or CHECKPOINT_INVALID for what is no signed note
 */
export function parseProof(data) {
  if (data.length > MAX_PROOF_BYTES) throw unproven(`it has more than ${MAX_PROOF_BYTES} bytes`);
  const blank = data.findIndex((byte, at) => byte === 10 && data[at + 1] === 10);
  const head = blank < 0 ? "" : decodeUtf8(data.subarray(0, blank));
  const [header, ...lines] = head?.split("\n") ?? [];
  if (header !== PROOF_HEADER) throw unproven(`it does not begin with ${PROOF_HEADER}`);
  let extra = new Uint8Array();
  if (lines[0]?.startsWith("extra ")) {
    extra = decode64(lines.shift().slice(6));
    if (!extra?.length) throw unproven("its extra data is not base64, or empty");
  }
  const [key, number, ...rest] = (lines.shift() ?? "").split(" ");
  const index = key === "index" && !rest.length && DECIMAL.test(number) && BigInt(number);
  if (index === false || index >= SIZE_LIMIT) {
    throw unproven("its index is not a canonical decimal number below 2^63");
  }
  const hashes = lines.map(decode64);
  if (hashes.includes(null)) throw unproven("a line under the index is not a hash in base64");
  const checkpoint = data.subarray(blank + 2);
  const { size } = parseHead(parseNote(checkpoint).text);
  if (index >= size) throw unproven(`there is no entry ${index} in a log of ${size}`);
  if (hashes.length > MAX_PROOF_HASHES || hashes.some((each) => each.length !== 32)) {
    throw unproven(`its hashes are not at most ${MAX_PROOF_HASHES} of 32 bytes`);
  }
  if (extra.length > MAX_ENTRY_BYTES) throw unproven("its extra data is longer than an entry");
  return { extra, index, hashes, checkpoint };
}

/**
 * What a receipt proves: that an entry, byte for byte, is in the log of `key`.
 *
 * @param {Uint8Array | null} entry the record's envelope as it was sent; null takes the one in the
 *     proof's extra line, which is thereby proven
 * @param {Uint8Array} proof the receipt as a C2SP tlog-proof
 * @param {NoteKey} key
 * @param {Policy} [policy]
 * @returns {Promise<{index: bigint, entry: Uint8Array, checkpoint: Checkpoint}>}
 * @throws {AuditFailure} PROOF_INVALID, and as `approveCheckpoint`
 */
export async function verifyReceipt(entry, proof, key, policy) {
  const { extra, index, hashes, checkpoint: note } = parseProof(proof);
  const checkpoint = await approveCheckpoint(note, key, policy);
  const shown = entry ?? extra;
  await verifyInclusion(await leafHash(shown), index, checkpoint.size, hashes, checkpoint.root);
  return { index, entry: shown, checkpoint };
}

// --- the log's files (C2SP tlog-tiles)

const TILE_WIDTH = 256;
const MAX_TILE_BYTES = 32 * TILE_WIDTH;
const MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES);
const READ_AHEAD = 8;

/** The tiles of one row of `size` elements; level null is the row of entry bundles. */
function* row(level, size) {
  for (let index = 0; BigInt(index) * 256n < size; index += 1) {
    const left = size - BigInt(index) * 256n;
    const width = left < 256n ? Number(left) : TILE_WIDTH;
    let path = String(index % 1000).padStart(3, "0");
    for (let rest = Math.floor(index / 1000); rest; rest = Math.floor(rest / 1000)) {
      path = `x${String(rest % 1000).padStart(3, "0")}/${path}`;
    }
    const partial = width === TILE_WIDTH ? "" : `.p/${width}`;
    yield { level, index, width, path: `tile/${level ?? "entries"}/${path}${partial}` };
  }
}

function* hashTiles(size) {
  for (let level = 0; size; level += 1, size >>= 8n) yield* row(level, size);
}

/** The entries of a bundle; null if it ends within one. */
function decodeBundle(data) {
  const entries = [];
  for (let at = 0; at < data.length; ) {
    const end = at + 2 + (data[at] << 8) + data[at + 1];
    if (!(end <= data.length)) return null;
    entries.push(data.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

/**
 * @callback Read
 * @param {string} path of a file of the log, relative to it
 * @param {number} most bytes that it may have; a longer answer is refused
 * @returns {Promise<Uint8Array | null>} null if there is no such file
 */

/** What `read` gives for each tile, in order; a few are asked for at a time. */
async function* readTiles(read, tiles, most) {
  const waiting = [];
  const ask = () => {
    const { value: tile, done } = tiles.next();
    if (done) return;
    const content = readBounded(read, tile.path, most);
    content.catch(() => {}); // whoever awaits it is told; nobody may come so far
    waiting.push({ tile, content });
  };
  for (let n = 0; n < READ_AHEAD; n += 1) ask();
  while (waiting.length) {
    const { tile, content } = waiting.shift();
    yield [tile, await content];
    ask();
  }
}

async function readBounded(read, path, most) {
  const content = await read(path, most);
  if (content && content.length > most) throw tooLong(path, most);
  return content;
}

const tooLong = (path, most) =>
  new AuditFailure("LOG_MALFORMED", `${path} has more than the ${most} bytes that it may have`);

/**
 * Level A of the audit.
 *
 * @param {Read} read gives the log's files
 * @param {NoteKey} key the log's, from somewhere its host has no say in
 * @param {object} [options]
 * @param {Policy} [options.policy] whose cosignatures the newest checkpoint must have
 * @param {Uint8Array[]} [options.earlier] signed checkpoints that anybody was given before
 * @param {(done: bigint, total: bigint) => void} [options.progress]
 * @returns {Promise<Checkpoint>} the newest
 * @throws {WalrasError} what is wrong; `fields.index` is the first wrong entry, if known
 */
export async function verifyLog(read, key, { policy, earlier = [], progress = () => {} } = {}) {
  const note = await readBounded(read, "checkpoint", MAX_NOTE_BYTES);
  if (!note) throw new InvalidInput("FIELD_INVALID", "there is no log: it has no file checkpoint");
  const [opened, signer] = await firstOpened(read, note, key);
  const checkpoint = policy ? await approveCheckpoint(note, signer, policy) : opened;
  const size = checkpoint.size;
  const tree = new Tree();
  const bindings = [];
  // Signatures count only once the entries are known to be the checkpoint's.
  let unsigned = null;
  for await (const [tile, data] of readTiles(read, row(null, size), MAX_BUNDLE_BYTES)) {
    const entries = bundleEntries(tile, data);
    const first = tree.size;
    bindings.push(...bindingsAmong(entries, first));
    await tree.extend(await Promise.all(entries.map(leafHash)));
    unsigned ??= await firstUnsigned(entries, first);
    progress(BigInt(tree.size), size);
  }
  const tiles = new Map();
  for await (const [tile, data] of readTiles(read, hashTiles(size), MAX_TILE_BYTES)) {
    if (!data) break;
    tiles.set(tile.path, data);
  }
  if (!equal(await tree.root(), checkpoint.root)) throw await rootMismatch(tree, tiles, checkpoint);
  if (tiles.size) checkTiles(tree, tiles, size);
  const terms = await followKeys(bindings, key);
  await openAtSize(note, terms);
  for (const before of earlier) await checkEarlier(tree, await openAtSize(before, terms));
  if (unsigned) throw unsigned;
  return checkpoint;
}

/**
 * The checkpoint, by the key or one that bindings lead to: so that another log's is refused before
 * its entries are read. Whether that key was in force is seen once they hold.
 */
async function firstOpened(read, note, key) {
  if (await isSignedBy(parseNote(note), key)) return [await openCheckpoint(note, key), key];
  const { size, root } = parseHead(parseNote(note).text);
  const bindings = [];
  const tree = new Tree();
  for await (const [tile, data] of readTiles(read, row(null, size), MAX_BUNDLE_BYTES)) {
    const entries = bundleEntries(tile, data);
    bindings.push(...bindingsAmong(entries, tree.size));
    await tree.extend(await Promise.all(entries.map(leafHash)));
  }
  let terms;
  try {
    terms = await followKeys(bindings, key);
  } catch (error) {
    // A false binding is the log's only if the checkpoint commits to it; else the host slipped it in.
    if (error.code !== "KEY_BINDING_INVALID" || equal(await tree.root(), root)) throw error;
    throw await rootMismatch(tree, new Map(), { size, root });
  }
  return [await openAtSize(note, terms), keyAt(terms, size)];
}

function bundleEntries(tile, data) {
  const index = TILE_WIDTH * tile.index;
  if (!data) {
    throw new AuditFailure("LOG_INCOMPLETE", `the bundle ${tile.path} is not there`, { index });
  }
  const entries = decodeBundle(data);
  if (entries?.length !== tile.width) {
    throw new AuditFailure("LOG_MALFORMED", `${tile.path} is not ${tile.width} entries`, { index });
  }
  return entries;
}

// --- the engine's keys, one after the other (protocol §8)

const BINDING_TYPE = "application/vnd.walras.key-binding.v1+protobuf";
const KEY_PROOF_TYPE = "application/vnd.walras.key-proof.v1+protobuf";
const KEY_PROOF_BYTES = { engine: 64, operator: 64, vrf: 80 };

/** The envelopes of key bindings among the entries from `first` on, with their indexes. */
function bindingsAmong(entries, first) {
  const found = [];
  entries.forEach((entry, at) => {
    try {
      const envelope = decodeEnvelope(entry);
      if (envelope.payloadType === BINDING_TYPE) found.push({ index: first + at, envelope });
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error; // it is no envelope: said elsewhere
    }
  });
  return found;
}

/**
 * The engine's keys, each with the entry from which it is in force, that the bindings lead to.
 *
 * @param {{index: number, envelope: object}[]} bindings of a log, in order
 * @param {NoteKey} trusted the one key that is believed; any that the engine has had
 * @throws {AuditFailure} KEY_BINDING_INVALID with the index; CHECKPOINT_INVALID: `trusted` is none
 */
async function followKeys(bindings, trusted) {
  const terms = [];
  for (const { index, envelope } of bindings) {
    const refuse = (why) => {
      const message = `entry ${index}: not a key binding to follow: ${why}`;
      throw new AuditFailure("KEY_BINDING_INVALID", message, { index });
    };
    try {
      const { domain, role, signer, oldKey, newKey, proof, claim } = parseBinding(envelope.body);
      if (role !== "engine") continue;
      if (!equal(envelope.signer, signer)) refuse("it is signed by another key than it names");
      await verifySignature(signer, pae(BINDING_TYPE, envelope.body), envelope.signature);
      await verifySignature(newKey, pae(KEY_PROOF_TYPE, claim), proof);
      if (!terms.length) terms.push({ start: 0, key: await noteKey(trusted.name, TYPE_NOTE, oldKey) });
      if (domain !== trusted.name || !equal(oldKey, terms.at(-1).key.publicKey)) {
        refuse("the engine's key that it replaces is not the one in force");
      }
      if (terms.some(({ key }) => equal(key.publicKey, newKey))) refuse("no key comes back");
      terms.push({ start: index + 1, key: await noteKey(trusted.name, TYPE_NOTE, newKey) });
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      refuse(error.message);
    }
  }
  if (!terms.length) return [{ start: 0, key: trusted }];
  if (!terms.some(({ key }) => equal(key.publicKey, trusted.publicKey))) {
    throw unreliable("the given key is none of the keys that the log has had");
  }
  return terms;
}

/** The fields of a KeyBinding in its canonical encoding, and the body without its proof. */
function parseBinding(body) {
  const fields = Array.from({ length: 7 }, () => new Uint8Array());
  const invalid = (why) => new InvalidInput("KEY_BINDING_INVALID", why);
  let claim = body.length;
  for (let at = 0, last = 0; at < body.length; ) {
    const number = body[at] >> 3;
    if (number <= last || number > 6) throw invalid("a field is unknown or out of order");
    if (number === 6) claim = at;
    [fields[number], at] = field(body, at, (number << 3) | 2, "a field");
    last = number;
  }
  const [, name, kind, signer, oldKey, newKey, proof] = fields;
  const domain = decodeUtf8(name);
  const role = decodeUtf8(kind);
  if (!domain || domain.length > 128 || name.some((byte) => byte > 127)) throw invalid("domain");
  if (!Object.hasOwn(KEY_PROOF_BYTES, role ?? "")) throw invalid("role");
  const keys = [signer, ...[oldKey, newKey].filter(({ length }) => length)];
  const both = oldKey.length && newKey.length;
  if (keys.some(({ length }) => length !== 32) || !(both || role === "operator")) {
    throw invalid("it does not name its keys");
  }
  if (equal(oldKey, newKey) || (role === "engine" && !equal(signer, oldKey))) {
    throw invalid("its keys do not fit together");
  }
  if (proof.length !== (newKey.length ? KEY_PROOF_BYTES[role] : 0)) throw invalid("proof");
  return { domain, role, signer, oldKey, newKey, proof, claim: body.subarray(0, claim) };
}

/** The key that signs the checkpoint of this size. */
const keyAt = (terms, size) => terms.findLast(({ start }) => BigInt(start) <= size).key;

/** The checkpoint in a note that the key in force at its size signed. */
const openAtSize = (note, terms) =>
  openCheckpoint(note, keyAt(terms, parseHead(parseNote(note).text).size));

/** What is wrong with the first of `entries` that is not a signed envelope; null if none. */
async function firstUnsigned(entries, start) {
  const failures = await Promise.all(
    entries.map((entry) => verifyEnvelope(entry).then(() => null, (error) => error)),
  );
  const at = failures.findIndex(Boolean);
  if (at < 0) return null;
  if (!(failures[at] instanceof WalrasError)) throw failures[at];
  const { code, message } = failures[at];
  return new AuditFailure(code, `entry ${start + at}: ${message}`, { index: start + at });
}

/** The failure; it names the first wrong entry where the stored leaf hashes prove which it is. */
async function rootMismatch(tree, tiles, { size, root }) {
  const message = `the ${size} entries of the log do not hash to the checkpoint's root`;
  const committed = new Tree();
  for (const tile of row(0, size)) {
    const content = tiles.get(tile.path);
    if (content?.length !== 32 * tile.width) return new AuditFailure("ROOT_MISMATCH", message);
    await committed.extend(
      Array.from({ length: tile.width }, (_, at) => content.subarray(32 * at, 32 * (at + 1))),
    );
  }
  if (!equal(await committed.root(), root)) return new AuditFailure("ROOT_MISMATCH", message);
  // Prefixes agree up to the first wrong entry and never after it.
  let [low, high] = [0, tree.size - 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const same = equal(await tree.root(middle + 1), await committed.root(middle + 1));
    [low, high] = same ? [middle + 1, high] : [low, middle];
  }
  return new AuditFailure("ROOT_MISMATCH", `${message}; entry ${low} is the first wrong one`, {
    index: low,
  });
}

function checkTiles(tree, tiles, size) {
  for (const { level, index, width, path } of hashTiles(size)) {
    const start = TILE_WIDTH * index;
    const found = tiles.get(path);
    if (!found || !equal(found, tree.hashes(8 * level, start, start + width))) {
      throw new AuditFailure(
        "LOG_MALFORMED",
        `${path} does not hold the hashes of the log's entries`,
        { tile: path },
      );
    }
  }
}

async function checkEarlier(tree, { size, root }) {
  if (size > BigInt(tree.size)) {
    throw new AuditFailure(
      "LOG_INCOMPLETE",
      `a checkpoint of ${size} entries was signed; the log has ${tree.size}`,
    );
  }
  if (!equal(await tree.root(Number(size)), root)) {
    throw new AuditFailure(
      "ROOT_MISMATCH",
      `the log was rewritten: its first ${size} entries are not those of a checkpoint signed` +
        " before",
    );
  }
}

// --- where files come from

const FETCH_MS = 30_000;

/**
 * Reads a log served over HTTP.
 *
 * @param {string} base the log's address; `checkpoint` and `tile/…` stand under it
 * @returns {Read}
 * @throws {InvalidInput} FIELD_INVALID for what is no http(s) URL
 */
export function urlReader(base) {
  if (!/^https?:\/\/[^?#]+$/.test(base) || !URL.canParse(base)) {
    throw new InvalidInput("FIELD_INVALID", `not the http or https URL of a log: ${base}`);
  }
  const root = base.endsWith("/") ? base : `${base}/`;
  const read = async (path, most) => {
    const found = await get(new URL(path, root), most);
    const [, whole, width] = /^(.*)\.p\/([0-9]+)$/.exec(path) ?? [];
    // A server may drop a partial tile once the full one is there.
    return found || !whole ? found : cut(whole, await read(whole, most), Number(width));
  };
  return read;
}

function cut(path, content, width) {
  if (!content) return null;
  if (!path.startsWith("tile/entries/")) return content.subarray(0, 32 * width);
  const last = decodeBundle(content)?.[width - 1];
  return last ? content.subarray(0, last.byteOffset - content.byteOffset + last.length) : content;
}

async function get(url, most) {
  try {
    const response = await fetch(url, {
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(FETCH_MS),
    });
    if (response.status === 404 || response.status === 410) return null;
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    const parts = [];
    let length = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) return concat(...parts);
      length += value.length;
      if (length > most) {
        await reader.cancel();
        throw tooLong(url.href, most);
      }
      parts.push(value);
    }
  } catch (error) {
    if (error instanceof WalrasError) throw error;
    throw new InvalidInput("ENGINE_UNREACHABLE", `${url.href} cannot be read: ${error.message}`);
  }
}

/**
 * Reads a log folder.
 *
 * @param {typeof import("node:fs/promises")} fs
 * @param {string} folder
 * @returns {Read}
 */
export function folderReader(fs, folder) {
  return async (path, most) => {
    let file;
    try {
      // Without waiting: nobody may ever write to a pipe that stands there.
      const flags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);
      file = await fs.open(`${folder}/${path}`, flags);
      const status = await file.stat();
      if (!status.isFile()) {
        throw new AuditFailure("LOG_MALFORMED", `${path} is not a regular file`);
      }
      if (status.size > most) throw tooLong(path, most);
      return new Uint8Array(await file.readFile());
    } catch (error) {
      if (error.code === "ENOENT") return null;
      throw error;
    } finally {
      await file?.close();
    }
  };
}

// --- the command

const USAGE = `usage: node walras-verify.mjs FOLDER_OR_URL --key VERIFIER_KEY [options]
       node walras-verify.mjs --receipt PROOF --key VERIFIER_KEY [options]

  --key VERIFIER_KEY   the log's key, or a file with it, from somewhere its host has no say in
  --policy FILE        require a quorum of witnesses (C2SP tlog-policy)
  --earlier FILE       a checkpoint seen before; may stand several times
  --receipt PROOF      check a receipt (C2SP tlog-proof) instead of a log …
  --record ENVELOPE    … for this record as it was sent, not for the one in the receipt
  --json               print one JSON object

exit codes: 0 all holds, 1 something does not, 2 wrong input`;

/**
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
async function main(args) {
  const fs = await import("node:fs/promises");
  const { parseArgs } = await import("node:util");
  const text = { type: "string" };
  const flag = { type: "boolean", default: false };
  const options = {
    ...{ key: text, policy: text, receipt: text, record: text, json: flag, help: flag },
    earlier: { ...text, multiple: true, default: [] },
  };
  const json = args.includes("--json");
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    if (values.help) return print(USAGE);
    const found = await checked(fs, values, positionals);
    return print(json ? JSON.stringify({ ok: true, ...found }) : report(found));
  } catch (error) {
    // What has no code is a mistake in this file, and is shown whole.
    if (!error.code) throw error;
    const reason = error instanceof WalrasError ? error.code : "FIELD_INVALID";
    const { message, fields = {} } = error;
    if (json) print(JSON.stringify({ ok: false, reason, message, fields }));
    else console.error(`${reason}: ${message}`);
    return error instanceof AuditFailure ? 1 : 2;
  }
}

/** What the command line asks for, as a report. */
async function checked(fs, { key: vkey, policy: rules, earlier, receipt, record }, [log, ...more]) {
  const complete = receipt ? !log : log && !record;
  if (!vkey || !complete || more.length) {
    throw new InvalidInput("FIELD_INVALID", `say what to check, and with which key\n${USAGE}`);
  }
  const load = async (path) => new Uint8Array(await fs.readFile(path));
  const key = await parseVerifierKey(await keyText(fs, vkey));
  const policy = rules && (await parsePolicy(await load(rules)));
  if (receipt) {
    const entry = record ? await load(record) : null;
    return receiptSummary(await verifyReceipt(entry, await load(receipt), key, policy));
  }
  const read = /^https?:/.test(log) ? urlReader(log) : folderReader(fs, log);
  const notes = await Promise.all(earlier.map(load));
  return summary(await verifyLog(read, key, { policy, earlier: notes }));
}

/** A verifier key that is given, or that the file of this name holds. */
async function keyText(fs, vkey) {
  try {
    return (await fs.readFile(vkey, "utf8")).trim();
  } catch {
    return vkey;
  }
}

/**
 * A checkpoint for people and JSON.
 *
 * @param {Checkpoint} checkpoint
 */
export function summary({ origin, size, root, cosigners }) {
  return { origin, entries: Number(size), root: hex(root), cosigners };
}

/**
 * What a receipt proves, for people and JSON: the digest is the proven envelope's SHA-256.
 *
 * @param {{index: bigint, entry: Uint8Array, checkpoint: Checkpoint}} found
 */
export async function receiptSummary({ index, entry, checkpoint }) {
  return { index: Number(index), digest: hex(await sha256(entry)), ...summary(checkpoint) };
}

const report = (found) =>
  Object.entries(found)
    .map(([name, value]) => `${name.padEnd(10)} ${value}`)
    .join("\n");

function print(line) {
  console.log(line);
  return 0;
}

if (globalThis.process?.versions?.node && process.argv[1]) {
  const { existsSync, realpathSync } = await import("node:fs");
  const { pathToFileURL } = await import("node:url");
  const script = process.argv[1];
  if (existsSync(script) && import.meta.url === pathToFileURL(realpathSync(script)).href) {
    process.exitCode = await main(process.argv.slice(2));
  }
}
