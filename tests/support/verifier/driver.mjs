// Runs cases through the ES module: one JSON array of cases a line in, one of verdicts a line out.

import * as fs from "node:fs/promises";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const verifier = await import(pathToFileURL(process.argv[2]));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

const run = {
  async log({ folder, key, earlier = [], policy }) {
    const read = verifier.folderReader(fs, folder);
    const options = { earlier: earlier.map(bytes), policy: policy && (await policyOf(policy)) };
    const opened = await verifier.parseVerifierKey(key);
    return verifier.summary(await verifier.verifyLog(read, opened, options));
  },
  async url({ url, key }) {
    const opened = await verifier.parseVerifierKey(key);
    return verifier.summary(await verifier.verifyLog(verifier.urlReader(url), opened));
  },
  async note({ data, key, policy }) {
    const opened = await verifier.parseVerifierKey(key);
    const rules = policy && (await policyOf(policy));
    const found = rules
      ? await verifier.approveCheckpoint(bytes(data), opened, rules)
      : await verifier.openCheckpoint(bytes(data), opened);
    return verifier.summary(found);
  },
  async envelope({ data }) {
    await verifier.verifyEnvelope(bytes(data));
  },
  async signature({ key, message, signature }) {
    await verifier.verifySignature(bytes(key), bytes(message), bytes(signature));
  },
  async vkey({ text, type }) {
    await verifier.parseVerifierKey(text, type);
  },
  async policy({ data }) {
    await policyOf(data);
  },
  async inclusion({ leaf, index, size, proof, root }) {
    const [at, of] = [BigInt(index), BigInt(size)];
    await verifier.verifyInclusion(bytes(leaf), at, of, proof.map(bytes), bytes(root));
  },
  async receipt({ entry, proof, key, policy }) {
    const rules = policy && (await policyOf(policy));
    const opened = await verifier.parseVerifierKey(key);
    const record = entry === null ? null : bytes(entry);
    const found = await verifier.verifyReceipt(record, bytes(proof), opened, rules);
    return verifier.receiptSummary(found);
  },
};

const policyOf = (data) => verifier.parsePolicy(bytes(data));

async function verdict({ kind, ...given }) {
  try {
    return { code: null, ...(await run[kind](given)) };
  } catch (error) {
    // Anything else is a bug of the module, and ends the driver.
    if (!(error instanceof verifier.WalrasError)) throw error;
    return { code: error.code, ...error.fields };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const verdicts = [];
  for (const one of JSON.parse(line)) verdicts.push(await verdict(one));
  process.stdout.write(`${JSON.stringify(verdicts)}\n`);
}
