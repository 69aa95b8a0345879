// /framecast.js in node, against `framecast serve`: killed, drained, cut off.
import assert from "node:assert/strict";
import { Framecast } from "../../client/js/framecast.js";
import { atEnd, collect, eventually, network, next, post, serve, WebSocket, within } from "./harness.mjs";

const QUICK = { base: 20, cap: 200, minUptime: 0 };

function client(url, options = {}) {
  const hub = new Framecast(url, { WebSocket, reconnect: QUICK, ...options });
  atEnd(() => hub.close());
  return hub;
}

/** Publishes numbers one after the other; tells which were acked, which failed, and how. */
function publisher(hub, room) {
  const acked = [];
  const failed = [];
  let n = 0;
  const timer = setInterval(() => {
    const payload = ++n;
    hub.publish(room, payload).ack.then(() => acked.push(payload), ({ code }) => failed.push(code));
  }, 15);
  const stop = async () => {
    clearInterval(timer);
    await eventually(() => acked.length + failed.length === n, "an end of each message");
  };
  atEnd(() => clearInterval(timer));
  return { acked, failed, stop, get count() { return n; } };
}

const twice = (list) => list.filter((each, at) => list.indexOf(each) !== at);

export const HUB_CHECKS = {
  async "hub-serves-rooms-presence-history-calls-and-bytes"() {
    const { ws } = await serve();
    const ada = client(ws, { clientId: "ada phone" });
    const bob = client(ws);
    const got = [];
    const events = [];
    const room = ada.subscribe("tea:1", { message: (message) => got.push(message.payload), join: ({ client_id }) => events.push(client_id) });
    ada.subscribe("tea:*", ({ payload }) => got.push(payload));
    await within(room.ready, "the room");
    await within(bob.subscribe("tea:1", () => {}).ready, "the room");
    assert.deepEqual(ada.clientId, "ada phone");
    const { offset } = await bob.publish("tea:1", { a: 1 }).ack;
    bob.publishBinary("tea:1", new Uint8Array([255, 0]));
    await eventually(() => got.length === 4, "messages and bytes, by the room and by the pattern");
    assert.deepEqual(got.slice(0, 2), [{ a: 1 }, { a: 1 }]);
    assert.deepEqual([events, room.members, offset, room.position.offset], [[bob.clientId], 2, 1, 2]);
    assert.deepEqual(await bob.presence("tea:1"), [{ user_id: null, connections: 2 }]);
    const { messages } = await bob.history("tea:1", { limit: 1 });
    assert.deepEqual([messages.length, messages[0].type, messages[0].bytes], [1, "binary", 9]);
    assert.deepEqual((await bob.call("publish", { room: "tea:1", payload: 1 })).offset, 3);
    assert.ok(await bob.ping() >= 0);
  },

  /** Nothing comes twice; what was acked has come, or was before a gap that was told. */
  async "hub-killed-and-started-again-doubles-nothing-and-hides-nothing"() {
    const server = await serve();
    const [sender, reader] = [client(server.ws), client(server.ws)];
    const got = [];
    const gaps = collect(reader, "gap");
    await within(reader.subscribe("news", ({ payload }) => got.push(payload)).ready, "the room");
    const published = publisher(sender, "news");
    await eventually(() => got.length > 10, "messages");
    const cut = Promise.all([sender, reader].map((hub) => next(hub, "close")));
    await server.stop("SIGKILL");
    await cut;
    const before = published.count;
    await serve({ port: server.port });
    await eventually(() => got.at(-1) > before + 10, "messages again");
    await published.stop();
    await eventually(() => got.at(-1) === published.acked.at(-1), "the last message");
    assert.deepEqual(twice(got), []);
    assert.deepEqual(published.failed.filter((code) => code !== "unknown"), []);
    const missing = published.acked.filter((n) => !got.includes(n));
    assert.ok(missing.length === 0 || gaps.length > 0, `${missing} are missing, and no gap was told`);
    assert.deepEqual(gaps.map(({ room, reason }) => [room, reason]), [["news", "unrecovered"]]);
    assert.deepEqual(got, [...got].sort((a, b) => a - b));
  },

  async "hub-that-drains-names-the-time-to-come-back"() {
    const server = await serve({ args: ["--drain", "1"] });
    const hub = client(server.ws, { reconnect: { ...QUICK, base: 1, cap: 1 } });
    const got = [];
    await within(hub.subscribe("news", ({ payload }) => got.push(payload)).ready, "the room");
    const again = next(hub, "reconnecting");
    const stopped = server.stop("SIGTERM");
    const { code, reason, delay } = await again;
    assert.equal(code, 1012);
    assert.equal(delay, Number(/^retry_after_ms=(\d+)$/.exec(reason)[1]));
    await stopped;
    const open = next(hub, "open");
    await serve({ port: server.port });
    await open;
    await hub.publish("news", "back").ack;
    await eventually(() => got.includes("back"), "the message");
  },

  /** A network that drops all connections again and again, on both sides: everything arrives, in order, once. */
  async "hub-behind-a-network-that-cuts-loses-and-doubles-nothing"() {
    const server = await serve();
    const net = await network(server.port);
    const [sender, reader] = [client(net.ws), client(net.ws)];
    const got = [];
    const gaps = collect(reader, "gap");
    await within(reader.subscribe("news", ({ payload }) => got.push(payload)).ready, "the room");
    const published = publisher(sender, "news");
    for (let n = 0; n < 5; n += 1) {
      const more = got.length + 8;
      await eventually(() => got.length >= more, "messages");
      net.cut();
    }
    await published.stop();
    await eventually(() => got.length >= published.count, "all messages");
    assert.deepEqual([got, published.failed, gaps], [Array.from({ length: published.count }, (_, at) => at + 1), [], []]);
  },

  /** A network that goes silent: nobody is told, and the heartbeat finds it. What was sent into it is sent again. */
  async "hub-behind-a-network-that-stalls-is-found-and-loses-nothing"() {
    const server = await serve();
    const net = await network(server.port);
    const options = { heartbeat: { interval: 100, timeout: 200 } };
    const [sender, reader] = [client(net.ws, options), client(net.ws, options)];
    const got = [];
    await within(reader.subscribe("news", ({ payload }) => got.push(payload)).ready, "the room");
    const published = publisher(sender, "news");
    await eventually(() => got.length > 5, "messages");
    const ends = Promise.all([sender, reader].map((hub) => next(hub, "close")));
    net.stall();
    assert.deepEqual((await ends).map(({ code, final }) => [code, final]), [[1006, false], [1006, false]]);
    await published.stop();
    await eventually(() => got.length >= published.count, "all messages");
    assert.deepEqual([got, published.failed], [Array.from({ length: published.count }, (_, at) => at + 1), []]);
  },

  async "hub-with-a-full-queue-gets-all-of-it-within-its-rate"() {
    const server = await serve({ args: ["--message-rate", "100"] });
    const net = await network(server.port);
    net.refuse(true);
    const hub = client(net.ws, { queue: { count: 350 } });
    await next(hub, "error");
    const sent = Array.from({ length: 350 }, (_, n) => hub.publish("news", n));
    assert.deepEqual([...new Set(sent.map(({ status }) => status))], ["queued"]);
    const got = [];
    await within(client(server.ws).subscribe("news", ({ payload }) => got.push(payload)).ready, "the room");
    net.refuse(false);
    await Promise.all(sent.map(({ ack }) => ack));
    await eventually(() => got.length === 350, "all messages");
    assert.deepEqual(got, Array.from({ length: 350 }, (_, n) => n));
  },

  /** A page with many rooms, and one that calls in a loop, at a hub that is slower than the client: nobody is closed for it. */
  async "hub-that-is-slower-than-its-client-closes-nobody"() {
    const server = await serve({ args: ["--message-rate", "20"] });
    const hub = client(server.ws);
    const ends = collect(hub, "close");
    const rooms = Array.from({ length: 60 }, (_, n) => hub.subscribe(`room:${n}`, () => {}));
    await Promise.all(rooms.map(({ ready }) => ready));
    const calls = await Promise.allSettled(Array.from({ length: 60 }, () => hub.call("stats")));
    const codes = new Set(calls.map(({ reason }) => reason?.code));
    codes.delete("rate_limited");
    assert.equal(codes.size, 1);
    assert.deepEqual([ends, hub.readyState], [[], Framecast.OPEN]);
  },

  async "hub-gets-what-is-published-in-a-loop-in-order"() {
    const server = await serve();
    const [hub, reader] = [client(server.ws), client(server.ws)];
    const got = [];
    await Promise.all([next(hub, "open"), within(reader.subscribe("news", ({ payload }) => got.push(payload)).ready, "the room")]);
    const sent = Array.from({ length: 300 }, (_, n) => hub.publish("news", n));
    await Promise.all(sent.map(({ ack }) => ack));
    await eventually(() => got.length === 300, "all messages");
    assert.deepEqual(got, Array.from({ length: 300 }, (_, n) => n));
  },

  async "hub-tells-what-max-rate-leaves-out"() {
    const { ws, http } = await serve();
    const hub = client(ws);
    const got = [];
    await within(hub.subscribe("ticks", { message: () => got.push(1), gap: ({ from, to }) => got.push(to - from + 1) }, { maxRate: 20 }).ready, "the room");
    for (let n = 0; n < 40; n += 1) await post(`${http}broadcast/ticks`, n);
    await eventually(() => got.reduce((a, b) => a + b, 0) === 40, "40, received and lost together");
  },

  async "hub-knows-a-second-connection-and-a-stranger"() {
    const { ws } = await serve();
    const first = client(ws, { clientId: "phone" });
    await next(first, "open");
    const stranger = client(ws, { clientId: "phone" });
    assert.deepEqual([(await next(stranger, "close")).code, stranger.readyState], [4003, Framecast.CLOSED]);
    const taken = next(first, "close");
    const second = client(ws, { clientId: "phone", resume: first.resume });
    await next(second, "open", ({ resumed }) => resumed);
    assert.deepEqual([(await taken).code, first.readyState], [4009, Framecast.CLOSED]);
  },
};
