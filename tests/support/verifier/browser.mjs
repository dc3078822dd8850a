// Drives a page in headless Chromium over its debugging pipe.
//
//     node browser.mjs CHROMIUM PROFILE_FOLDER
//
// One JSON object a line in: {url, values: {id: text}, files: {id: [path]}, form}. One a line out:
// what the page shows in #result once it is done, {verdict, title, details}, with {problems} from
// the console.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [chromium, profile] = process.argv.slice(2);
const flags = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ...[`--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"],
];
const browser = spawn(chromium, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const [input, output] = [browser.stdio[3], browser.stdio[4]];

let last = 0;
const waiting = new Map();
const listeners = [];
let rest = "";
output.setEncoding("utf-8");
output.on("data", (chunk) => {
  const messages = (rest + chunk).split("\0");
  rest = messages.pop();
  for (const text of messages) {
    const message = JSON.parse(text);
    if (message.id) {
      const { resolve, reject } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) reject(new Error(JSON.stringify(message.error)));
      else resolve(message.result);
    } else {
      for (const listener of listeners) listener(message);
    }
  }
});

function send(method, params = {}, sessionId = undefined) {
  last += 1;
  input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
}

const { targetInfos } = await send("Target.getTargets");
const { targetId } = targetInfos.find(({ type }) => type === "page");
const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
const tell = (method, params) => send(method, params, sessionId);

async function evaluate(expression) {
  const given = { expression, awaitPromise: true, returnByValue: true };
  const { result, exceptionDetails } = await tell("Runtime.evaluate", given);
  if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
  return result.value;
}

const problems = [];
listeners.push(({ method, params }) => {
  if (method === "Runtime.exceptionThrown") problems.push(params.exceptionDetails.text);
  if (method === "Log.entryAdded" && params.entry.level === "error") {
    problems.push(`${params.entry.text} ${params.entry.url ?? ""}`);
  }
});
await Promise.all(["Page", "Runtime", "Log", "DOM"].map((domain) => tell(`${domain}.enable`)));

const DONE = `new Promise((done) => {
  const result = document.getElementById("result");
  const look = () => {
    if (!["holds", "fails"].includes(result.dataset.verdict)) return setTimeout(look, 10);
    const texts = (name) => Array.from(result.querySelectorAll(name), (one) => one.textContent);
    const values = texts("dd");
    done({
      verdict: result.dataset.verdict,
      title: texts("h2")[0],
      details: Object.fromEntries(texts("dt").map((name, at) => [name, values[at]])),
    });
  };
  look();
})`;

async function check({ url, values = {}, files = {}, form }) {
  problems.length = 0;
  const loaded = new Promise((resolve) => {
    listeners.push(({ method }) => method === "Page.loadEventFired" && resolve());
  });
  await tell("Page.navigate", { url });
  await loaded;
  await evaluate(`Object.entries(${JSON.stringify(values)}).forEach(([id, value]) => {
    document.getElementById(id).value = value;
  })`);
  const { root } = await tell("DOM.getDocument");
  for (const [id, paths] of Object.entries(files)) {
    const { nodeId } = await tell("DOM.querySelector", { nodeId: root.nodeId, selector: `#${id}` });
    await tell("DOM.setFileInputFiles", { nodeId, files: paths });
    // A folder is listed in its own time.
    await evaluate(`new Promise((done) => {
      const look = () => (document.getElementById("${id}").files.length ? done() : setTimeout(look, 5));
      look();
    })`);
  }
  await evaluate(`document.querySelector("#${form} button").click()`);
  return { ...(await evaluate(DONE)), problems };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await check(JSON.parse(line)))}\n`);
}
await send("Browser.close");
