/** Records: messages to canonical bytes and back, envelopes, keys (docs/protocol.md, section 3). */

import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { fileURLToPath } from "node:url";
import { loadSync } from "@grpc/proto-loader";
import { decodeEnvelope, verifyEnvelope } from "../../verifier/walras-verify.mjs";

const PACKAGE = "walras.api.v1";

/** The contract, as `grpc.loadPackageDefinition` and the functions below take it. */
export const definition = loadSync(
  ["walras/api/v1/solver_service.proto", "walras/api/v1/record.proto"],
  {
    includeDirs: [fileURLToPath(new URL("../../../proto", import.meta.url))],
    keepCase: true,
    longs: String,
    enums: String,
    bytes: Buffer,
    defaults: true,
    arrays: true,
  },
);

/** Something came that cannot be; the caller is told so. */
export class Refused extends Error {}

export const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** A copy for the verifier, which takes no Buffer: what `slice` of one gives is no copy. */
export const plain = (bytes) => new Uint8Array(bytes);

/** The message in `bytes`. Numbers of 64 bits are strings. */
export const decode = (message, bytes) => definition[`${PACKAGE}.${message}`].deserialize(bytes);

/** The one canonical encoding: what holds its default is left out, fields ascend. */
export function encode(message, value) {
  return definition[`${PACKAGE}.${message}`].serialize(withoutDefaults(value));
}

function withoutDefaults(value) {
  const kept = Object.entries(value).filter(([, field]) => {
    if (Array.isArray(field) || Buffer.isBuffer(field)) return field.length > 0;
    return ![0, "0", "", false, null, undefined].includes(field);
  });
  return Object.fromEntries(
    kept.map(([name, field]) => {
      if (!Array.isArray(field)) return [name, field];
      return [name, field.map((one) => (isMessage(one) ? withoutDefaults(one) : one))];
    }),
  );
}

const isMessage = (value) => typeof value === "object" && !Buffer.isBuffer(value);

const payloadType = (kind) => `application/vnd.walras.${kind}.v1+protobuf`;

/** DSSE's pre-authentication encoding. */
function pae(kind, body) {
  const type = payloadType(kind);
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);
}

/** A record's id, whoever signed it. */
export const recordId = (kind, body) => sha256(pae(kind, body));

/** What signs: an Ed25519 key from its seed of 32 bytes. */
export function signerOf(seed) {
  const head = Buffer.from("302e020100300506032b657004220420", "hex"); // PKCS #8, RFC 8410
  const key = createPrivateKey({
    key: Buffer.concat([head, seed]),
    format: "der",
    type: "pkcs8",
  });
  const publicKey = Buffer.from(createPublicKey(key).export({ format: "jwk" }).x, "base64url");
  return { publicKey, sign: (bytes) => sign(null, bytes, key) };
}

/** The envelope of a message, signed. */
export function seal(kind, message, value, signer) {
  const body = encode(message, value);
  return encode("Envelope", {
    payload: body,
    payload_type: payloadType(kind),
    signatures: [{ sig: signer.sign(pae(kind, body)), keyid: signer.publicKey.toString("hex") }],
  });
}

/**
 * The message in an envelope, and who signed it.
 *
 * @throws {Refused} for another kind of record, another signer than `by`, or a wrong encoding
 * @throws an error of the verifier for what is no envelope or whose signature does not verify
 */
export async function open(data, kind, message, by) {
  const envelope = plain(data);
  const { payloadType: found, body, signer } = decodeEnvelope(envelope);
  if (found !== payloadType(kind)) throw new Refused(`a ${kind} was expected, not ${found}`);
  if (by && !by.equals(signer)) throw new Refused(`the ${kind} is not signed by who must`);
  await verifyEnvelope(envelope);
  const bytes = Buffer.from(body);
  let value;
  try {
    value = decode(message, bytes);
  } catch {
    throw new Refused(`the ${kind} is malformed`);
  }
  if (!encode(message, value).equals(bytes)) throw new Refused(`the ${kind} is not canonical`);
  return { value, signer: Buffer.from(signer) };
}
