// Node's `ws` as a client.   node client.js messages|fragments|ping|close URL [EXTENSIONS]
//
// It offers compression, and compresses from 0 bytes on. EXTENSIONS is what the server must answer, nothing by default.
// Exit status 0 if the server did as it should; otherwise the last line printed says what was wrong.
"use strict";
const assert = require("node:assert");
const { once } = require("node:events");
const WebSocket = require("ws");

// Every length encoding at both of its ends (RFC 6455 §5.2), nothing at all, and more than the 16 bits.
const EDGES = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
const COUNT = 1_000;

const scenarios = {
  async messages(ws) {
    const sent = Array.from({ length: COUNT }, (_, i) => {
      const size = i < 2 * EDGES.length ? EDGES[i >> 1] : (i * 7_919) % 70_001;
      return i % 2 ? ["a", "é", "€", "😀"][(i >> 1) % 4].repeat(size / 4) : Buffer.alloc(size, i);
    });
    const received = collect(ws, COUNT);
    for (const message of sent) ws.send(message);
    const echoes = await received;
    sent.forEach((message, i) => same(echoes[i], message, `message ${i}`));
  },

  async fragments(ws) {
    for (const whole of ["é€".repeat(5_000), Buffer.alloc(30_000, 7)]) {
      const received = collect(ws, 1);
      for (let at = 0; at < whole.length; at += 500) {
        ws.send(whole.slice(at, at + 500), { fin: false });
        if (at === 5_000) ws.ping("between");
      }
      ws.send("", { fin: true });
      same((await received)[0], whole, "the fragmented message");
    }
  },

  async ping(ws) {
    for (const payload of ["", "x".repeat(125)]) {
      const pong = once(ws, "pong");
      ws.ping(payload);
      assert.strictEqual((await pong)[0].toString(), payload, "the pong's payload");
    }
  },

  async close(ws) {
    ws.send("last words"); // its echo may still come; the close that we end with is what counts
  },
};

function collect(ws, count) {
  return new Promise((resolve, reject) => {
    const echoes = [];
    const onMessage = (data, isBinary) => {
      echoes.push(isBinary ? data : data.toString());
      if (echoes.length < count) return;
      ws.off("message", onMessage);
      resolve(echoes);
    };
    ws.on("message", onMessage);
    ws.once("close", (code) => reject(new Error(`closed with ${code} after ${echoes.length} echoes`)));
  });
}

function same(echo, message, what) {
  assert.strictEqual(typeof echo, typeof message, `${what}: the type`);
  assert.ok(Buffer.from(echo).equals(Buffer.from(message)), `${what} came back different`);
}

async function main(what, url, extensions) {
  const ws = new WebSocket(url, { perMessageDeflate: { threshold: 0 } });
  const answer = once(ws, "upgrade");
  const open = once(ws, "open");
  assert.strictEqual((await answer)[0].headers["sec-websocket-extensions"], extensions, "the answer to the offer");
  await open;
  await scenarios[what](ws);
  const closed = once(ws, "close");
  ws.close(1000, "enough");
  assert.strictEqual((await closed)[0], 1000, "the close code");
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message.replaceAll("\n", " "));
  process.exit(1);
});
