// /framecast.js in node, against a hub that does as it is told (catalogue: RC).
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import net from "node:net";
import { once } from "node:events";
import { Backoff, Framecast, afterClose, frame, matches } from "../../client/js/framecast.js";
import { atEnd, collect, eventually, next, WebSocket, within } from "./harness.mjs";
import { fake } from "./fake.mjs";

const QUICK = { base: 5, cap: 40, minUptime: 0 };

function client(url, options = {}) {
  const hub = new Framecast(url, { WebSocket, ...options, reconnect: options.reconnect ?? QUICK });
  atEnd(() => hub.close());
  return hub;
}

const failure = (promise) => within(promise.then(() => assert.fail("it did not fail"), (error) => error), "a failure");
const code = async (promise) => (await failure(promise)).code;

/** Watches the timers of a minute and more: one that outlives `close()` keeps node from ending. */
function longTimers() {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const seen = { begun: 0, running: new Set() };
  globalThis.setTimeout = (call, ms, ...args) => {
    const timer = set(call, ms, ...args);
    if (ms >= 59_000) { seen.begun += 1; seen.running.add(timer); }
    return timer;
  };
  globalThis.clearTimeout = (timer) => { seen.running.delete(timer); clear(timer); };
  atEnd(() => Object.assign(globalThis, { setTimeout: set, clearTimeout: clear }));
  return seen;
}

const jwt = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;

export const CLIENT_CHECKS = {
  /** RC-01: the largest distance from a uniform distribution, of 1,000 clients, is below what chance makes of it once in a million. */
  async "client-backoff-is-full-jitter"() {
    for (const [attempt, most] of [[0, 1_000], [1, 2_000], [4, 16_000], [5, 30_000], [60, 30_000]]) {
      const delays = Array.from({ length: 1_000 }, () => {
        const backoff = new Backoff({ base: 1_000, cap: 30_000 });
        backoff.attempt = attempt;
        return backoff.next() / most;
      }).sort((a, b) => a - b);
      const distance = Math.max(...delays.map((delay, at) => Math.max(Math.abs(delay - at / 1_000), Math.abs(delay - (at + 1) / 1_000))));
      assert.ok(distance < 2.7 / Math.sqrt(1_000), `attempt ${attempt}: ${distance}`);
    }
  },

  /** RC-03 */
  async "client-knows-the-close-codes"() {
    const then = (...codes) => codes.map((each) => afterClose(each, "").then);
    const all = (what, count) => Array(count).fill(what);
    assert.deepEqual(then(1000, 1002, 1003, 1007, 1008, 1009, 1010, 4003, 4009), all("final", 9));
    assert.deepEqual(then(1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 4008), all("retry", 9));
    assert.deepEqual(then(4001), ["token"]);
    assert.equal(afterClose(1008, "no pong within 20000 ms").then, "retry");
    assert.deepEqual(afterClose(1012, "retry_after_ms=1234"), { then: "retry", retryAfter: 1234 });
    assert.equal(afterClose(1012, "retry_after_ms=99999999999").retryAfter, 300_000);
  },

  async "client-matches-patterns-as-the-hub-does"() {
    const found = ["match:42", "match:42:chat", "match", "news"].map((room) => ["match:*", "match:>", "*", ">"].filter((p) => matches(p, room)));
    assert.deepEqual(found, [["match:*", "match:>", ">"], ["match:>", ">"], ["*", ">"], ["*", ">"]]);
    assert.deepEqual([...frame("é", new Uint8Array([1, 2]))], [0, 2, 0xc3, 0xa9, 1, 2]);
  },

  async "client-tries-a-first-connect-again"() {
    const probe = net.createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address();
    await new Promise((resolve) => probe.close(resolve));
    const hub = client(`http://127.0.0.1:${port}/ws`);
    const error = await next(hub, "error");
    assert.equal(error.code, "connection");
    assert.equal(hub.readyState, Framecast.CONNECTING);
    await fake(undefined, port);
    await next(hub, "open");
    assert.equal(hub.readyState, Framecast.OPEN);
  },

  async "client-gives-up-after-its-attempts"() {
    const server = await fake((visit) => visit.cut());
    const hub = client(server.url, { reconnect: { ...QUICK, attempts: 3 } });
    const end = await next(hub, "close");
    assert.deepEqual([end.code, end.final, hub.readyState], [1006, true, Framecast.CLOSED]);
    assert.equal(server.visits.length, 4);
  },

  /** RC-02, RC-09 */
  async "client-backs-off-from-who-takes-it-in-and-closes"() {
    const server = await fake((visit) => { visit.welcome(); visit.close(1001, ""); });
    const hub = client(server.url, { random: () => 1, reconnect: { base: 2, cap: 12, minUptime: 10_000, attempts: 5 } });
    const delays = collect(hub, "reconnecting");
    await next(hub, "close", (end) => end.final);
    assert.deepEqual(delays.map(({ delay }) => delay), [2, 4, 8, 12, 12]);
  },

  async "client-begins-anew-after-a-stable-connection"() {
    const server = await fake((visit, n) => { if (n < 3) visit.cut(); else { visit.welcome(); if (n < 6) setTimeout(() => visit.cut(), 150); } });
    const hub = client(server.url, { random: () => 1, reconnect: { base: 2, cap: 100, minUptime: 20 } });
    const delays = collect(hub, "reconnecting");
    await server.visit(6);
    assert.deepEqual(delays.map(({ delay }) => delay), [2, 4, 8, 2, 2, 2]);
  },

  async "client-obeys-retry-after"() {
    const server = await fake((visit, n) => { visit.welcome(); if (n === 0) visit.close(1012, "retry_after_ms=120"); });
    const hub = client(server.url);
    const { delay, code: why } = await next(hub, "reconnecting");
    const start = performance.now();
    assert.deepEqual([delay, why], [120, 1012]);
    await next(hub, "open");
    assert.ok(performance.now() - start >= 118, "it came back too early");
  },

  async "client-stays-away-after-a-final-close"() {
    for (const final of [1000, 1002, 1008, 4003, 4009]) {
      const server = await fake((visit) => { visit.welcome(); visit.close(final, "so"); });
      const hub = client(server.url);
      const end = await next(hub, "close");
      assert.deepEqual(end, { code: final, reason: "so", wasClean: end.wasClean, final: true });
      assert.equal(hub.publish("a", 1).status, "rejected");
      assert.equal(server.visits.length, 1);
    }
  },

  async "client-lets-the-application-decide-on-a-close"() {
    const server = await fake((visit, n) => { visit.welcome(); if (n === 0) visit.close(4009, ""); });
    const hub = client(server.url, { afterClose: () => ({ then: "retry" }) });
    await server.visit(1);
    await next(hub, "open");
  },

  /** RC-08 */
  async "client-asks-for-another-token-and-stops-when-there-is-none"() {
    const script = (visit) => { visit.welcome(); visit.close(4001, "the token has expired"); };
    const fixed = client((await fake(script)).url, { token: "one" });
    assert.equal((await next(fixed, "close")).final, true);

    const asked = [];
    const server = await fake(script);
    const hub = client(server.url, { token: ({ reason }) => { asked.push(reason); return asked.length < 3 ? `t${asked.length}` : "t2"; } });
    const end = await next(hub, "close", (each) => each.final);
    assert.deepEqual([end.code, asked], [4001, ["connect", "refused", "refused"]]);
    assert.deepEqual(server.visits.map((visit) => visit.protocols), ["framecast,bearer.t1", "framecast,bearer.t2"]);

    const many = await fake(script);
    let count = 0;
    await next(client(many.url, { reconnect: { ...QUICK, minUptime: 10_000 }, token: () => `t${count++}` }), "close", (each) => each.final);
    assert.equal(many.visits.length, 4);
  },

  async "client-shows-another-token-where-the-hub-waits"() {
    const server = await fake(async (visit) => {
      visit.welcome({ resume: null });
      visit.say({ type: "error", id: null, code: "unauthorized", message: "the token is not known" });
      const { id } = await visit.hears({ type: "auth", token: "new" });
      visit.say({ type: "authenticated", id, user_id: "ada", expires_at: null });
    });
    const hub = client(server.url, { token: async ({ reason }) => (reason === "refused" ? "new" : "old") });
    assert.equal((await next(hub, "open")).userId, "ada");
    assert.equal(server.visits.length, 1);
  },

  async "client-renews-a-token-before-it-expires"() {
    const server = await fake();
    const tokens = [jwt({ exp: Date.now() / 1000 + 0.4 }), "later"];
    const hub = client(server.url, { token: () => tokens.shift() });
    const visit = await server.visit(0);
    const start = performance.now();
    const { id } = await visit.hears({ type: "auth", token: "later" });
    assert.ok(performance.now() - start < 400, "it was too late");
    visit.say({ type: "authenticated", id, user_id: "ada", expires_at: null });
    await eventually(() => hub.userId === "ada", "the user");
  },

  async "client-writes-no-token-into-a-url-unless-it-must"() {
    const server = await fake();
    client(server.url, { token: "a.b-c_d" });
    const first = await server.visit(0);
    assert.deepEqual([first.url, first.protocols], ["/ws", "framecast,bearer.a.b-c_d"]);
    client(server.url, { token: "a b", protocols: ["mine"] });
    const second = await server.visit(1);
    assert.deepEqual([second.url, second.protocols], ["/ws?token=a+b", "mine"]);
  },

  async "client-takes-url-and-protocols-from-functions"() {
    const server = await fake((visit, n) => { visit.welcome(); if (n === 0) visit.cut(); });
    let asked = 0;
    client(async () => `${server.url}?n=${asked++}`, { protocols: async () => ["framecast"] });
    await server.visit(1);
    assert.deepEqual(server.visits.map(({ url, protocols }) => [url, protocols]), [["/ws?n=0", "framecast"], ["/ws/c-1?n=1&resume=secret", "framecast"]]);
  },

  async "client-does-not-wait-for-a-welcome-for-ever"() {
    const server = await fake((visit, n) => { if (n > 0) visit.welcome(); });
    const hub = client(server.url, { connectTimeout: 100 });
    assert.match((await next(hub, "error")).message, /^not connected within 100 ms$/);
    await next(hub, "open");
    await new Promise((resolve) => setTimeout(resolve, 150)); // nothing is to happen: the time to connect is over once it has
    assert.deepEqual([hub.readyState, server.visits.length], [Framecast.OPEN, 2]);
    const never = client(() => new Promise(() => {}), { connectTimeout: 30 });
    await next(never, "reconnecting");
  },

  /** RC-04 */
  async "client-closes-within-a-second-and-never-connects-again"() {
    const mute = net.createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
    await once(mute, "listening");
    atEnd(() => mute.close());
    const server = await fake();
    const url = `ws://127.0.0.1:${mute.address().port}/ws`;
    let answer;
    const asking = client(() => new Promise((resolve) => { answer = () => resolve(server.url); }));
    const handshaking = client(url);
    const waiting = client("ws://127.0.0.1:1/ws", { reconnect: { base: 50, cap: 50, minUptime: 0 } });
    await next(waiting, "reconnecting");
    const open = client(server.url);
    await next(open, "open");
    (await server.visit(0)).socket._socket.pause(); // it will not answer the close
    for (const hub of [asking, handshaking, waiting, open]) {
      const start = performance.now();
      await hub.close();
      assert.ok(performance.now() - start < 1_200, "it took too long");
      assert.equal(hub.readyState, Framecast.CLOSED);
    }
    answer();
    await new Promise((resolve) => setTimeout(resolve, 60)); // nothing is to happen: what was waited for is past
    assert.deepEqual([server.visits.length, asking.readyState, waiting.readyState], [1, Framecast.CLOSED, Framecast.CLOSED]);
  },

  async "client-refuses-a-close-that-cannot-be-said"() {
    const server = await fake();
    const hub = client(server.url);
    for (const isOpen of [false, true]) {
      if (isOpen) await next(hub, "open");
      for (const [args, name] of [[[1001], "InvalidAccessError"], [[NaN], "InvalidAccessError"], [[5000], "InvalidAccessError"], [[1000, "é".repeat(62)], "SyntaxError"]]) {
        assert.throws(() => hub.close(...args), { name });
      }
    }
    assert.equal(hub.readyState, Framecast.OPEN);
    hub.close(4999, "é".repeat(61));
    const visit = await server.visit(0);
    assert.equal(await within(visit.closed, "the close"), 4999);
  },

  /** A hub that welcomes and then says nothing to a token. */
  async "client-does-not-wait-for-ever-to-be-taken-in"() {
    const server = await fake((visit, n) => { visit.welcome(n === 0 ? { resume: null } : {}); });
    const hub = client(server.url, { connectTimeout: 400, token: "t" });
    assert.equal((await next(hub, "error")).message, "welcomed, but not taken in, in time");
    await next(hub, "open");
  },

  /** RC-05 */
  async "client-queues-within-bounds-and-in-order"() {
    const server = await fake();
    const hub = client(server.url, { autoConnect: false, queue: { count: 3, bytes: 300, age: 10_000 } });
    assert.equal(hub.readyState, Framecast.CLOSED);
    const sent = [1, 2, 3, 4].map((n) => hub.publish("a", n, { id: n }));
    assert.deepEqual(sent.map(({ status, reason }) => reason ?? status), ["queued", "queued", "queued", "queue_full"]);
    assert.equal(await code(sent[3].ack), "queue_full");
    assert.deepEqual([hub.publish("a", 2, { id: 2 }).reason, hub.send({ type: "pong" }).reason], ["duplicate_id", "offline"]);
    assert.deepEqual([sent[1].cancel(), await code(sent[1].ack), hub.cancel(2)], [true, "cancelled", false]);
    assert.equal(hub.publish("a", "x".repeat(250)).reason, "queue_full"); // by its bytes
    assert.equal(hub.publish("a", "x".repeat(2 << 20)).reason, "too_large");
    hub.connect();
    const visit = await server.visit(0);
    await visit.hears({ id: 3 });
    assert.deepEqual(visit.received.map(({ id }) => id), [1, 3]);
    visit.say({ type: "ack", id: 1, offset: 5 });
    visit.say({ type: "error", id: 3, code: "forbidden", message: "no" });
    assert.deepEqual(await sent[0].ack, { id: 1, offset: 5 });
    assert.equal(await code(sent[2].ack), "forbidden");
    assert.deepEqual(hub.queued, { count: 0, bytes: 0 });
  },

  async "client-lets-what-waits-too-long-expire"() {
    const hub = client("ws://127.0.0.1:1/ws", { queue: { age: 30 } });
    assert.equal(await code(hub.publish("a", 1).ack), "expired");
    assert.deepEqual(hub.queued, { count: 0, bytes: 0 });
    assert.equal(client("ws://127.0.0.1:1/ws", { queue: false }).publish("a", 1).reason, "offline");

    const server = await fake((visit, n) => { if (n === 0) visit.welcome(); });
    const cut = client(server.url, { queue: { age: 30 } });
    await next(cut, "open");
    const { ack } = cut.publish("a", 1);
    const visit = await server.visit(0);
    await visit.hears({ type: "message" });
    visit.cut();
    assert.equal(await code(ack), "unknown");
  },

  async "client-tells-what-was-never-sent-when-it-is-closed"() {
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const sent = hub.publish("a", 1);
    await (await server.visit(0)).hears({ type: "message" });
    const asked = hub.call("slow");
    await hub.close();
    assert.deepEqual([sent.status, await code(sent.ack), await code(asked)], ["sent", "unknown", "disconnected"]);
  },

  async "client-sends-again-by-the-same-id-where-the-hub-remembers-it"() {
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const sent = [hub.publish("a", 1), hub.publish("a", 2)];
    const first = await server.visit(0);
    await first.hears({ payload: 2 });
    const lost = next(hub, "close");
    first.cut();
    await lost;
    sent.push(hub.publish("a", 3));
    const second = await server.visit(1);
    assert.equal(second.url, "/ws/c-1?resume=secret");
    await second.hears({ payload: 3 });
    assert.deepEqual(second.received.map(({ id, payload }) => [id, payload]), sent.map(({ id }, at) => [id, at + 1]));
    const [{ id: underWay }, ...others] = sent;
    second.say({ type: "error", id: underWay, code: "unavailable", message: "a message of this id is on its way" });
    for (const { id } of others) second.say({ type: "ack", id, offset: 1 });
    await second.hears({ id: underWay }, 1);
    second.say({ type: "ack", id: underWay, offset: 1 });
    await Promise.all(sent.map(({ ack }) => ack));
  },

  async "client-tells-as-unknown-what-the-hub-has-forgotten"() {
    const server = await fake((visit, n) => visit.welcome({ resume: `secret-${n}` }));
    for (const [resend, wanted] of [["remembered", "unknown"], ["always", "acked"]]) {
      const hub = client(server.url, { resend });
      const at = server.visits.length;
      const before = await server.visit(at);
      await next(hub, "open");
      const { ack } = hub.publish("a", resend);
      await before.hears({ payload: resend });
      before.cut();
      const after = await server.visit(at + 1);
      if (wanted === "acked") after.say({ type: "ack", id: (await after.hears({ payload: resend })).id, offset: 1 });
      assert.equal(await ack.then(() => "acked", (error) => error.code), wanted);
      await hub.close();
    }
  },

  async "client-waits-when-it-is-too-fast-and-keeps-the-order"() {
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const sent = [1, 2, 3].map((n) => hub.publish("a", n, { id: n }));
    const visit = await server.visit(0);
    await visit.hears({ id: 3 });
    visit.received.length = 0;
    for (const id of [1, 2, 3]) visit.say({ type: "error", id, code: "rate_limited", message: "too fast", retry_after_ms: 20 });
    for (const id of [1, 2, 3]) { await visit.hears({ id }); visit.say({ type: "ack", id, offset: id }); }
    assert.deepEqual(visit.received.map(({ id }) => id), [1, 2, 3]);
    await Promise.all(sent.map(({ ack }) => ack));
  },

  async "client-has-no-more-on-its-way-than-a-hub-has-room-for"() {
    const server = await fake();
    const sent = async (pace) => {
      const hub = client(server.url, { pace });
      await next(hub, "open");
      const status = Array.from({ length: 100 }, (_, id) => hub.publish("a", 1, { id }).status);
      return [hub, status.filter((each) => each === "sent").length, status.lastIndexOf("sent")];
    };
    assert.deepEqual((await sent({ perSecond: 0.001 })).slice(1), [20, 19]); // by the pace
    const [hub, ...fast] = await sent(false);
    assert.deepEqual(fast, [32, 31]); // by what is not acked
    const visit = await server.visit(1);
    for (let id = 0; id < 100; id += 1) { await visit.hears({ id }); visit.say({ type: "ack", id, offset: id }); }
    await eventually(() => hub.queued.count === 0, "all acks");
  },

  /** Once one was refused, a later one to its room waits for it; those to other rooms do not. */
  async "client-lets-none-overtake-what-was-refused"() {
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const visit = await server.visit(0);
    const refuse = (id) => visit.say({ type: "error", id, code: "rate_limited", message: "too fast", retry_after_ms: 20 });
    hub.publish("a", 1, { id: 1 });
    await visit.hears({ id: 1 });
    refuse(1);
    await visit.hears({ id: 1 }, 1);
    for (const id of [2, 3]) hub.publish("a", id, { id });
    hub.publishBinary("a", new Uint8Array([1]));
    hub.publish("b", 4, { id: 4 });
    await visit.hears({ id: 4 });
    assert.deepEqual(visit.received.map(({ id }) => id), [1, 1, 4]);
    visit.say({ type: "ack", id: 1, offset: 1 });
    await visit.hears({ id: 2 });
    refuse(2);
    await visit.hears({ id: 2 }, 1);
    visit.say({ type: "ack", id: 2, offset: 2 });
    await visit.hears({ id: 3 });
    visit.say({ type: "ack", id: 3, offset: 3 });
    await eventually(() => visit.received.some(Buffer.isBuffer), "the bytes");
    assert.deepEqual(visit.received.map(({ id }) => id), [1, 1, 4, 2, 2, 3, undefined]);

    const strict = client(server.url, { pipeline: false });
    await next(strict, "open");
    assert.deepEqual([1, 2].map((n) => strict.publish("a", n).status), ["sent", "queued"]);
  },

  /** Whatever it is: what comes behind the burst waits, and has its time from when it was sent. */
  async "client-paces-all-that-it-sends"() {
    const server = await fake();
    const hub = client(server.url, { pace: { burst: 4, perSecond: 10 }, requestTimeout: 300 });
    await next(hub, "open");
    const visit = await server.visit(0);
    const start = performance.now();
    hub.subscribe("a", () => {});
    hub.publish("a", 1);
    hub.publishBinary("a", new Uint8Array([1]));
    assert.deepEqual([hub.notify("n"), hub.notify("n")], ["sent", "queued"]);
    assert.equal(hub.publish("a", 1).status, "queued");
    const calls = Array.from({ length: 20 }, () => code(hub.call("m")));
    const batch = hub.batch([{ method: "x" }, { method: "y" }]);
    await eventually(() => visit.received.length === 27, "all of it");
    assert.ok(performance.now() - start >= 2_200, "it was too fast");
    assert.deepEqual([...new Set(await Promise.all(calls))], ["timeout"]);
    assert.deepEqual((await batch).map(({ reason }) => reason.code), ["timeout", "timeout"]);
  },

  async "client-is-slower-whatever-was-refused"() {
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const visit = await server.visit(0);
    const told = { code: "rate_limited", retry_after_ms: 400 };
    for (const refuse of [
      ({ id }) => visit.say({ jsonrpc: "2.0", id, error: { code: -32000, message: "too fast", data: told } }),
      ({ id }) => visit.say({ type: "error", id, message: "too fast", ...told }),
    ]) {
      const refused = code(hub.call("m"));
      refuse(await visit.hears({ method: "m" }, visit.received.length ? 1 : 0));
      assert.equal(await refused, "rate_limited");
      const start = performance.now();
      assert.deepEqual([hub.publish("a", 1).status, hub.notify("n")], ["queued", "queued"]);
      const before = visit.received.length;
      await eventually(() => visit.received.length > before, "what waited");
      assert.ok(performance.now() - start >= 250, "it was too early");
    }
  },

  async "client-tells-what-was-refused-from-what-may-have-arrived"() {
    const long = longTimers();
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const visit = await server.visit(0);
    const sent = ["a", "b"].map((room) => hub.publish(room, 1, { id: room }));
    await visit.hears({ id: "b" });
    visit.say({ type: "error", id: "a", code: "rate_limited", message: "too fast", retry_after_ms: 60_000 });
    await eventually(() => hub.publish("c", 1).status === "queued", "the refusal");
    const never = code(hub.call("m"));
    const bytes = code(hub.publishBinary("a", new Uint8Array(1), { queue: true }).ack);
    const now = code(hub.publishBinary("a", new Uint8Array(1)).ack);
    const closed = hub.close();
    assert.deepEqual(await Promise.all([...sent.map(({ ack }) => code(ack)), never, bytes, now]), ["closed", "unknown", "offline", "closed", "offline"]);
    await closed;
    assert.deepEqual([long.begun > 0, long.running.size], [true, 0]);
  },

  async "client-takes-options-as-not-given-that-are-undefined-and-times-as-they-are"() {
    const server = await fake((visit) => visit.welcome({ ping_interval: 0 }));
    const none = { requestTimeout: undefined, connectTimeout: undefined, messageBytes: undefined, queue: { count: undefined, age: NaN },
      heartbeat: { timeout: undefined }, pace: { burst: undefined }, resend: undefined };
    const long = { requestTimeout: Infinity, connectTimeout: 2 ** 40, heartbeat: { interval: 50, timeout: Infinity } };
    for (const options of [none, long]) {
      const hub = client(server.url, options);
      const ends = collect(hub, "close");
      const errors = collect(hub, "error");
      await next(hub, "open");
      const visit = server.visits.at(-1);
      const answers = [hub.publish("a", 1, { id: 1 }).ack, hub.publish("a", 1, { id: 2, timeout: 2 ** 32 }).ack, hub.request({ type: "ping" }, { timeout: NaN })];
      await new Promise((resolve) => setTimeout(resolve, 120)); // nothing is to happen: a timer that wraps ends after 1 ms
      for (const { id } of visit.received) visit.say({ type: "ack", id, offset: 1 });
      await within(Promise.all(answers), "the answers");
      assert.deepEqual([ends, errors], [[], []]);
      assert.ok(visit.received.filter(({ type, id }) => type === "ping" && id === undefined).length <= 10, "it asks too often");
    }
    const refused = await fake((visit) => visit.cut());
    for (const reconnect of [{ cap: undefined }, { base: 1e300, cap: Infinity }]) {
      const hub = client(refused.url, { reconnect, random: () => 1 });
      const { delay } = await next(hub, "reconnecting");
      assert.equal(delay, reconnect.cap === undefined && !reconnect.base ? 1_000 : 2 ** 31 - 1);
    }
    await new Promise((resolve) => setTimeout(resolve, 50)); // nothing is to happen, likewise
    assert.equal(refused.visits.length, 2);
  },

  async "client-asks-for-nothing-that-is-too-large"() {
    const server = await fake();
    const hub = client(server.url, { messageBytes: 300 });
    await next(hub, "open");
    const large = "x".repeat(300);
    assert.equal(await code(hub.call("m", [large])), "too_large");
    assert.equal(await code(hub.request({ type: "history", room: large })), "too_large");
    assert.deepEqual((await hub.batch([{ method: "m", params: [large] }, { method: "n" }])).map(({ reason }) => reason.code), ["too_large", "too_large"]);
    const visit = await server.visit(0);
    visit.say([null]);
    visit.say(null);
    visit.say({ type: "broadcast", payload: 1, ts: 1 });
    await next(hub, "broadcast");
    assert.deepEqual(visit.received, []);
  },

  async "client-ends-what-is-not-answered-in-time"() {
    const server = await fake();
    const hub = client(server.url, { requestTimeout: 30 });
    await next(hub, "open");
    const waits = [hub.publish("a", 1).ack, hub.call("m"), hub.presence("a"), hub.ping(), hub.history("a", { timeout: 20 })];
    assert.deepEqual(await Promise.all(waits.map(code)), Array(5).fill("timeout"));
    assert.deepEqual(hub.queued, { count: 0, bytes: 0 });
    for (let n = 1; n <= 40; n += 1) hub.publish("b", n);
    await (await server.visit(0)).hears({ payload: 40 }); // who waited has the place of who was given up
  },

  async "client-speaks-json-rpc-and-batches"() {
    const server = await fake();
    const hub = client(server.url);
    await next(hub, "open");
    const visit = await server.visit(0);
    const sum = hub.call("sum", { a: 1 });
    const { id } = await visit.hears({ method: "sum", params: { a: 1 }, jsonrpc: "2.0" });
    visit.say({ jsonrpc: "2.0", id, result: 3 });
    assert.equal(await sum, 3);
    assert.equal(hub.notify("log", [1]), "sent");
    assert.deepEqual(await visit.hears({ method: "log" }), { jsonrpc: "2.0", method: "log", params: [1] });
    const batch = hub.batch([{ method: "one" }, { method: "two", notify: true }, { method: "three" }]);
    const [one, two, three] = await eventually(() => visit.received.find(Array.isArray), "the batch");
    assert.deepEqual([one.method, two, three.method], ["one", { jsonrpc: "2.0", method: "two" }, "three"]);
    const error = { code: -32000, message: "no", data: { code: "forbidden" } };
    visit.say([{ jsonrpc: "2.0", id: three.id, error }, { jsonrpc: "2.0", id: one.id, result: 1 }]);
    const [first, second, third] = await batch;
    assert.deepEqual([first.value, second.status, third.reason.code, third.reason.rpcCode], [1, "fulfilled", "forbidden", -32000]);
    const cut = code(hub.call("slow"));
    visit.cut();
    assert.equal(await cut, "disconnected");
    assert.equal(await code(hub.call("sum")), "offline");
  },

  /** RC-10, RC-11 */
  async "client-finds-a-dead-connection-and-does-not-wait-for-its-goodbye"() {
    const server = await fake((visit) => visit.welcome({ ping_interval: 0.02 }));
    const hub = client(server.url, { heartbeat: { timeout: 100 } });
    const visit = await server.visit(0);
    for (let at = 0; at < 3; at += 1) { await visit.hears({ type: "ping" }, at); visit.say({ type: "pong", ts: 1 }); }
    visit.socket._socket.pause();
    const end = await next(hub, "close");
    assert.deepEqual([end.code, end.reason, end.final], [1006, "no sign of life within 100 ms", false]);
    await server.visit(1);
  },

  /** RC-07 */
  async "client-subscribes-again-to-what-is-wanted-and-says-where-it-was"() {
    const server = await fake();
    const hub = client(server.url);
    const got = [];
    const [kept, dropped] = ["kept", "dropped"].map((room) => hub.subscribe(room, ({ payload }) => got.push(payload)));
    hub.subscribe("kept", { message: ({ payload }) => got.push(`also ${payload}`) });
    const first = await server.visit(0);
    assert.deepEqual((await first.joins("kept", { offset: 3 })).since, undefined);
    await first.joins("dropped");
    await Promise.all([kept.ready, dropped.ready]);
    first.tells("kept", "four", 4);
    first.tells("kept", "four again", 4);
    first.say({ type: "gap", room: "kept", from: 5, to: 6, reason: "slow" });
    await next(hub, "gap");
    const lost = next(hub, "close");
    first.cut();
    await lost;
    dropped.unsubscribe();
    hub.subscribe("new", () => {});
    const second = await server.visit(1);
    const asked = await second.joins("kept", { offset: 8, recovered: true });
    await second.joins("new");
    assert.deepEqual(asked.since, { epoch: 7, offset: 6 });
    second.tells("kept", "six", 6);
    second.tells("kept", "seven", 7);
    await eventually(() => got.includes("also seven"), "the recovered message");
    assert.deepEqual(got, ["four", "also four", "seven", "also seven"]);
    assert.deepEqual(hub.rooms.map(({ name, state, position }) => [name, state, position.offset]), [["kept", "joined", 7], ["new", "joined", 0]]);
    assert.deepEqual(second.received.filter(({ type }) => type === "subscribe").map(({ room }) => room), ["kept", "new"]);
  },

  async "client-tells-a-gap-where-the-hub-cannot-recover"() {
    const server = await fake();
    const hub = client(server.url);
    const told = [];
    hub.subscribe("b:*", { gap: ({ room, reason }) => told.push([room, reason]) });
    hub.subscribe("a", { message() {}, gap: ({ from, to, reason }) => told.push([from, to, reason]) });
    for (const [n, place] of [{ offset: 3 }, { offset: 9 }, { epoch: 8, offset: 1 }, { epoch: 8, offset: 1 }].entries()) {
      const visit = await server.visit(n);
      await visit.joins("a", place);
      await visit.joins("b:*", { epoch: undefined, offset: undefined });
      await eventually(() => told.length >= [0, 2, 4, 5][n], "the gaps");
      visit.cut();
    }
    const pattern = ["b:*", "unrecovered"];
    // Rooms before patterns, so that what is recovered of a room does not come by a pattern as well.
    assert.deepEqual(server.visits[1].received.map(({ room }) => room), ["a", "b:*"]);
    assert.deepEqual(told, [[4, 9, "unrecovered"], pattern, [undefined, undefined, "unrecovered"], pattern, pattern]);
  },

  async "client-counts-binary-messages-for-its-place"() {
    const server = await fake();
    const hub = client(server.url);
    const got = [];
    hub.subscribe("cam", (message) => got.push(message));
    const first = await server.visit(0);
    await first.joins("cam", { offset: 10 });
    first.socket.send(frame("cam", new Uint8Array([1, 2])));
    first.socket.send(frame("cam", new Uint8Array([3])));
    await eventually(() => got.length === 2, "the bytes");
    assert.deepEqual([got[0].type, [...got[0].payload]], ["binary", [1, 2]]);
    first.cut();
    assert.deepEqual((await (await server.visit(1)).joins("cam")).since, { epoch: 7, offset: 12 });
  },

  /** Of its own messages without a copy it learns the places by the acks, before or after the bytes behind them. */
  async "client-counts-its-own-messages-without-a-copy-for-its-place"() {
    const server = await fake();
    const hub = client(server.url);
    const got = collect(hub, "message");
    const sub = hub.subscribe("cam", () => {});
    const first = await server.visit(0);
    await first.joins("cam", { offset: 10 });
    await sub.ready;
    const bytes = () => first.socket.send(frame("cam", new Uint8Array([1])));
    const publish = async (offset, bytesFirst) => {
      const { id, ack } = hub.publish("cam", 1, { echo: false });
      await first.hears({ id });
      if (bytesFirst) bytes();
      first.say({ type: "ack", id, offset });
      await ack;
    };
    await publish(11, false);
    bytes();
    await eventually(() => sub.position.offset === 12, "the bytes");
    await publish(13, true);
    await eventually(() => sub.position.offset === 14, "the bytes, and what is before them");
    await publish(16, false); // what is before it is on its way
    assert.equal(sub.position.offset, 14);
    first.tells("cam", "fifteen", 15);
    await eventually(() => got.at(-1)?.payload === "fifteen", "the message");
    assert.equal(sub.position.offset, 16);
    const { id, ack } = hub.publish("cam", 1); // its copy is on its way as well
    await first.hears({ id });
    first.say({ type: "ack", id, offset: 17 });
    await ack;
    assert.equal(sub.position.offset, 16);
    first.cut();
    assert.deepEqual((await (await server.visit(1)).joins("cam")).since, { epoch: 7, offset: 16 });
  },

  async "client-makes-a-subscription-anew-for-presence"() {
    const server = await fake();
    const hub = client(server.url);
    const got = [];
    const events = collect(hub, "message");
    hub.subscribe("a", ({ payload }) => got.push(payload?.[0] ?? payload));
    const visit = await server.visit(0);
    await visit.joins("a", { offset: 3 });
    await next(hub, "subscribed");
    const joined = [];
    const left = [];
    hub.subscribe("a", { join: ({ user_id }) => joined.push(user_id), leave: ({ user_id }) => left.push(user_id) });
    await visit.hears({ type: "unsubscribe", room: "a" });
    visit.tells("a", ["between"], 4); // by the earlier subscription, so that it comes again
    visit.socket.send(frame("a", new Uint8Array([5])));
    const again = await visit.joins("a", { offset: 6, recovered: true }, 1);
    assert.deepEqual([again.presence, again.since], [true, { epoch: 7, offset: 3 }]);
    visit.tells("a", ["between"], 4);
    visit.socket.send(frame("a", new Uint8Array([5])));
    visit.tells("a", ["after"], 6);
    visit.say({ type: "join", room: "a", user_id: "bob", client_id: "b", members: 2 });
    visit.say({ type: "leave", room: "a", user_id: "bob", client_id: "b", members: 1 });
    await eventually(() => left.length > 0, "the leave");
    assert.deepEqual([got, joined, left, hub.rooms[0].members], [["between", 5, "after"], ["bob"], ["bob"], 1]);
    assert.deepEqual(events.map(({ payload }) => payload[0]), ["between", 5, "after"]);
  },

  async "client-tells-a-refused-room-and-asks-again-for-a-busy-one"() {
    const server = await fake();
    const hub = client(server.url);
    const errors = collect(hub, "error");
    const [no, busy] = ["no", "busy"].map((room) => hub.subscribe(room, () => {}));
    const visit = await server.visit(0);
    const refuse = async (room, why, more) => visit.say({ type: "error", id: (await visit.hears({ type: "subscribe", room })).id, code: why, message: why, ...more });
    await refuse("no", "forbidden");
    await refuse("busy", "rate_limited", { retry_after_ms: 10 });
    await visit.joins("busy", {}, 1);
    assert.equal(await code(no.ready), "forbidden");
    await within(busy.ready, "the room");
    assert.deepEqual(errors.map((error) => [error.code, error.room]), [["forbidden", "no"], ["rate_limited", "busy"]]);
  },

  async "client-asks-again-for-a-room-that-was-not-answered"() {
    const server = await fake();
    const hub = client(server.url, { requestTimeout: 300 });
    const errors = collect(hub, "error");
    const room = hub.subscribe("a", () => {});
    const visit = await server.visit(0);
    await visit.hears({ type: "subscribe", room: "a" });
    await visit.hears({ type: "unsubscribe", room: "a" });
    await visit.joins("a", {}, 1);
    await within(room.ready, "the room");
    assert.deepEqual([errors.map((error) => error.code), hub.rooms[0].state], [["timeout"], "joined"]);
  },

  async "client-ends-each-wait-for-a-room"() {
    const server = await fake((visit) => visit.welcome());
    const hub = client(server.url);
    await next(hub, "open");
    const [one, two, other] = ["a", "a", "b"].map((room) => hub.subscribe(room, () => {}));
    one.unsubscribe();
    assert.equal(await code(one.ready), "cancelled");
    await (await server.visit(0)).joins("a");
    await within(two.ready, "the room that is wanted by another");
    await hub.close();
    assert.equal(await code(other.ready), "closed");
    assert.equal(await code(hub.subscribe("b", () => {}).ready), "closed");
    hub.connect();
    const again = hub.subscribe("b", () => {});
    await (await server.visit(1)).joins("b");
    await within(again.ready, "the room after another connect");

    const final = await fake((visit) => visit.close(4003, ""));
    assert.equal(await code(client(final.url).subscribe("a", () => {}).ready), "closed");
    const idle = client(server.url, { autoConnect: false });
    const waits = [idle.subscribe("a", () => {}).ready, idle.publish("a", 1).ack];
    await idle.close();
    assert.deepEqual(await Promise.all(waits.map(code)), ["closed", "closed"]);
  },

  async "client-acks-each-copy-of-a-direct-message-and-tells-it-once"() {
    const server = await fake();
    const hub = client(server.url);
    const got = collect(hub, "direct");
    await next(hub, "open");
    const visit = await server.visit(0);
    for (let n = 0; n < 2; n += 1) visit.say({ type: "direct", id: "d-1", user_id: "bob", payload: "psst", receipt: true, ts: 1 });
    await visit.hears({ type: "ack", id: "d-1" }, 1);
    assert.equal(got.length, 1);
    const { ack } = hub.direct("bob", "yes", { receipt: true, id: "x" });
    await visit.hears({ type: "direct", id: "x", to: "bob", payload: "yes", receipt: true });
    visit.say({ type: "ack", id: "x", recipients: 2 });
    assert.deepEqual(await ack, { id: "x", recipients: 2 });
  },

  async "client-types-name-what-there-is"() {
    const types = await readFile(new URL("../../client/js/framecast.d.ts", import.meta.url), "utf8");
    const body = /export class Framecast \{\n(.*?)\n\}/s.exec(types)[1];
    const typed = new Set([...body.matchAll(/^  (?:readonly )?(\w+)(?=[:(<])/gm)].map(([, name]) => name));
    assert.deepEqual([...typed].sort(), Object.getOwnPropertyNames(Framecast.prototype).sort());
    const exported = [...types.matchAll(/^export (?:class|const|function) (\w+)/gm)].map(([, name]) => name);
    assert.deepEqual(exported.sort(), Object.keys(await import("../../client/js/framecast.js")).sort());
  },

  async "client-goes-on-when-a-listener-throws"() {
    const thrown = [];
    globalThis.reportError = (error) => thrown.push(error.message);
    atEnd(() => { delete globalThis.reportError; });
    const server = await fake();
    const hub = client(server.url);
    hub.on("broadcast", () => { throw new Error("mine"); });
    const got = collect(hub, "broadcast");
    const once = [];
    hub.once("broadcast", (event) => once.push(event));
    await next(hub, "open");
    const visit = await server.visit(0);
    for (const payload of [1, 2]) visit.say({ type: "broadcast", payload, ts: 1 });
    await eventually(() => got.length === 2, "both");
    assert.deepEqual([thrown, once.length], [["mine", "mine"], 1]);
    visit.socket.send("{");
    assert.equal((await next(hub, "error")).code, "bad_message");
  },
};
