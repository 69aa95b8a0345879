// Node's `ws` as a client of the hub.   node hub.js talk|tell|correct URL [TOKEN] [query|header|subprotocol]
//
// Exit status 0 if the server did as it should; otherwise the last line printed says what was wrong.
"use strict";
const assert = require("node:assert");
const { once, on } = require("node:events");
const WebSocket = require("ws");

// Not what a JSON library would make of it: it must come back as it is.
const PAYLOAD = '{"b":1.0,"a":12345678901234567890,"text":"é😀"}';

/** A connection whose token is in the query, the header or the subprotocol. */
function connect(url, token, by = "query") {
  if (!token) return new WebSocket(url);
  if (by === "header") return new WebSocket(url, { headers: { Authorization: `Bearer ${token}` } });
  if (by === "subprotocol") return new WebSocket(url, ["framecast", `bearer.${token}`]);
  return new WebSocket(`${url}?token=${token}`);
}

/** What comes, in order; made before the connection opens, so that nothing is missed. */
function messagesOf(ws) {
  const messages = on(ws, "message");
  const next = async () => {
    const [data, isBinary] = (await messages.next()).value;
    return isBinary ? data : data.toString();
  };
  /** The next messages, which must be of these types in whatever order. */
  const answers = async (...types) => {
    const found = {};
    while (Object.keys(found).length < types.length) {
      const text = await next();
      const { type } = JSON.parse(text);
      assert.ok(types.includes(type) && !(type in found), `waiting for ${types}, found ${text}`);
      found[type] = text;
    }
    return types.map((type) => found[type]);
  };
  const ask = (message, ...types) => {
    ws.send(typeof message === "string" ? message : JSON.stringify(message));
    return answers(...types);
  };
  return { next, answers, ask };
}

function same(text, wanted) {
  const message = JSON.parse(text);
  const found = Object.fromEntries(Object.keys(wanted).map((name) => [name, message[name]]));
  assert.deepStrictEqual(found, wanted, `expected ${JSON.stringify(wanted)}, found ${text}`);
  return message;
}

const scenarios = {
  /** Everything that a client does on an ordinary day. */
  async talk(url, token, by) {
    const ws = connect(url, token, by);
    const { next, answers, ask } = messagesOf(ws);
    const [welcome] = await answers("connection_established");
    same(welcome, { user_id: "ada", ping_interval: 20, dedupe_window: 120 });
    assert.strictEqual(ws.protocol, by === "subprotocol" ? "framecast" : "", "the selected subprotocol");
    const [subscribed] = await ask({ type: "subscribe", id: 1, room: "news:today" }, "subscribed");
    same(subscribed, { id: 1, room: "news:today", recovered: false });

    const publish = `{"type":"message","id":"m-1","room":"news:today","payload":${PAYLOAD}}`;
    const [message, ack] = await ask(publish, "message", "ack");
    const { offset } = same(ack, { id: "m-1" });
    same(message, { room: "news:today", user_id: "ada", offset });
    assert.ok(message.includes(`"payload":${PAYLOAD},`), `the payload was changed: ${message}`);

    const [pong] = await ask({ type: "ping", id: "p-1" }, "pong");
    assert.strictEqual(typeof same(pong, { id: "p-1" }).ts, "number", `no time in ${pong}`);

    const [direct, directAck] = await ask({ type: "direct", id: "d-1", to: "ada", payload: 1, receipt: true }, "direct", "ack");
    same(directAck, { id: "d-1", recipients: 1 });
    const { id } = same(direct, { payload: 1, user_id: "ada", receipt: true });
    const [receipt] = await ask({ type: "ack", id }, "receipt");
    same(receipt, { id: "d-1", acked: 1, of: 1 });

    const binary = Buffer.concat([Buffer.from([0, 10]), Buffer.from("news:today"), Buffer.from([0, 128, 255])]);
    ws.send(binary);
    assert.ok(binary.equals(await next()), "the binary message came back different");

    const protocolPong = once(ws, "pong");
    ws.ping("are you there");
    assert.strictEqual((await protocolPong)[0].toString(), "are you there", "the pong's payload");
    const closed = once(ws, "close");
    ws.close(1000, "enough");
    assert.strictEqual((await closed)[0], 1000, "the close code");
  },

  /** A bad token is told, and a good one may still be sent. */
  async correct(url, token) {
    const ws = connect(url, "wrong");
    const { answers, ask } = messagesOf(ws);
    const [welcome, error] = await answers("connection_established", "error");
    same(welcome, { user_id: null });
    same(error, { code: "unauthorized", message: "the token is not known" });
    const [authenticated] = await ask({ type: "auth", id: 2, token }, "authenticated");
    same(authenticated, { id: 2, user_id: "ada", expires_at: null });
    await ask({ type: "subscribe", room: "news" }, "subscribed");
    ws.close();
  },

  /** Prints what comes, and how it ends; says nothing. */
  async tell(url, token) {
    const ws = connect(url, token);
    ws.on("message", (data) => console.log(data.toString()));
    const [code, reason] = await once(ws, "close");
    console.log(`closed ${code} ${reason}`);
  },
};

const [what, ...rest] = process.argv.slice(2);
scenarios[what](...rest).catch((error) => {
  console.error(error.message.replaceAll("\n", " "));
  process.exit(1);
});
