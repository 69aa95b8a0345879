// What the checks stand on: a line and a deadline for each, servers that never outlive them, a network that can be cut.
//
// A check is a named function; it fails by throwing. What it starts it hands to `until.end(…)`, which ends it whatever happened.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import net from "node:net";
import readline from "node:readline";

const require = createRequire(`${process.env.NODE_PATH}/`);
export const WebSocket = require("ws");
export const { chromium } = require("playwright-core");

const MS_PER_CHECK = 30_000;
/** Of what happens at all, it happens by then. */
export const SOON = 15_000;

const SERVE = process.env.FRAMECAST_SERVE.split(" ");

/** Ends what a check has started, the newest first. */
class Ends {
  #ends = [];
  add(end) { this.#ends.push(end); }
  async all() { for (const end of this.#ends.reverse()) await within(Promise.resolve(end()), "an end", 5_000).catch(() => {}); }
}

let ends;
export const atEnd = (end) => ends.add(end);

/** Waits for a promise, or fails with these words. */
export async function within(promise, what, ms = SOON) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until a condition holds; its value. */
export async function eventually(condition, what, ms = SOON) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The next event of an emitter that fits. */
export function next(emitter, type, fits = () => true, ms = SOON) {
  let off;
  const found = new Promise((resolve) => { off = emitter.on(type, (event) => fits(event) && resolve(event)); });
  return within(found, `the event ${type}`, ms).finally(() => off());
}

/** Collects the events of an emitter. */
export function collect(emitter, type) {
  const events = [];
  emitter.on(type, (event) => events.push(event));
  return events;
}

/** `framecast serve` on a port, any free one by default. */
export async function serve({ port = 0, args = [] } = {}) {
  const child = spawn(SERVE[0], [...SERVE.slice(1), "--listen", `127.0.0.1:${port}`, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let log = "";
  child.stderr.on("data", (data) => { log += data; });
  const stop = async (signal) => { child.kill(signal); await exited; };
  atEnd(() => stop("SIGKILL"));
  const line = once(readline.createInterface(child.stdout), "line");
  const [first] = await within(Promise.race([line, exited.then(() => [`it ended: ${log}`])]), "the server's first line");
  const found = /^listening on http:\/\/127\.0\.0\.1:(\d+)\/$/.exec(first);
  if (!found) throw new Error(`not a listening line: ${first}`);
  return { port: Number(found[1]), http: first.slice("listening on ".length), ws: `ws://127.0.0.1:${found[1]}/ws`, stop, child };
}

export async function post(url, payload) {
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(payload) });
  if (answer.status !== 200) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** A network between client and server: `cut` drops all connections, `stall` lets no byte through any more, of those there are. */
export async function network(to) {
  const pairs = new Set();
  let refuses = false;
  const server = net.createServer((near) => {
    if (refuses) return near.destroy();
    const far = net.connect(to, "127.0.0.1");
    const pair = { near, far, through: true };
    pairs.add(pair);
    const forget = () => { near.destroy(); far.destroy(); pairs.delete(pair); };
    for (const [from, into] of [[near, far], [far, near]]) {
      from.on("data", (data) => pair.through && into.write(data));
      from.on("end", () => pair.through && into.end());
      from.on("error", forget);
      from.on("close", () => pair.through && forget());
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => { for (const { near, far } of pairs) { near.resetAndDestroy(); far.resetAndDestroy(); } pairs.clear(); };
  atEnd(() => { cut(); server.close(); });
  const { port } = server.address();
  return {
    port,
    http: `http://127.0.0.1:${port}/`,
    ws: `ws://127.0.0.1:${port}/ws`,
    cut,
    stall: () => { for (const pair of pairs) pair.through = false; },
    refuse: (whether) => { refuses = whether; },
  };
}

async function runCheck(name, check) {
  const start = Date.now();
  ends = new Ends();
  let why;
  try {
    await within(check(), "the check's end", MS_PER_CHECK);
  } catch (error) {
    why = String(error?.message ?? error).replaceAll(/\s+/g, " ").slice(0, 500) || "no reason given";
    if (process.env.VERBOSE) console.log(error.stack);
  }
  await ends.all();
  console.log(why === undefined ? `ok ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)` : `FAIL ${name}: ${why}`);
  return why === undefined;
}

/** Runs the checks of these groups whose names start as wanted; the exit status. */
export async function runChecks(groups, wanted) {
  const checks = groups.flatMap((group) => Object.entries(group)).filter(([name]) => wanted.length === 0 || wanted.some((start) => name.startsWith(start)));
  let passed = 0;
  for (const [name, check] of checks) if (await runCheck(name, check)) passed += 1;
  console.log(`${passed} passed, ${checks.length - passed} failed`);
  return passed === checks.length && checks.length > 0 ? 0 : 1;
}
