// A hub that does as it is told: each connection is a script of the check's.
import { once } from "node:events";
import { atEnd, within, WebSocket } from "./harness.mjs";

const { WebSocketServer } = WebSocket;

/** One connection, as the fake hub sees it. */
class Visit {
  received = [];
  #waiting = [];

  constructor(socket, request) {
    Object.assign(this, { socket, url: request.url, protocols: request.headers["sec-websocket-protocol"] });
    this.closed = once(socket, "close").then(([code]) => { this.isClosed = true; return code; });
    socket.on("error", () => {});
    socket.on("message", (data, isBinary) => {
      this.received.push(isBinary ? data : JSON.parse(data));
      for (const look of [...this.#waiting]) look();
    });
  }

  say(message) { this.socket.send(JSON.stringify(message)); }

  welcome(more = {}) {
    const clientId = /^\/ws\/([^?]+)/.exec(this.url)?.[1] ?? "c-1";
    this.say({ type: "connection_established", client_id: clientId, user_id: null, ping_interval: 20, dedupe_window: 120, resume: "secret",
      server: "fake", ts: Date.now(), ...more });
  }

  close(code, reason) { this.socket.close(code, reason); }
  cut() { this.socket.terminate(); }

  /** The first message received that fits these fields, or the next one that will. */
  hears(wanted, at = 0) {
    const fits = (message) => Object.entries(wanted).every(([name, value]) => JSON.stringify(message[name]) === JSON.stringify(value));
    const found = new Promise((resolve) => {
      const look = () => { const message = this.received.filter(fits)[at]; if (message) resolve(message); };
      this.#waiting.push(look);
      look();
    });
    return within(found, `the client to say ${JSON.stringify(wanted)}`);
  }

  /** Answers a `subscribe` of this room. */
  async joins(room, place = {}, at = 0) {
    const asked = await this.hears({ type: "subscribe", room }, at);
    this.say({ type: "subscribed", id: asked.id, room, members: 1, epoch: 7, offset: 0, recovered: false, ...place });
    return asked;
  }

  tells(room, payload, offset, epoch = 7) {
    this.say({ type: "message", room, payload, user_id: null, client_id: "x", epoch, offset, ts: 1 });
  }
}

/** A fake hub. `script(visit, n)` is called for the connections; without one they are welcomed. */
export async function fake(script = (visit) => visit.welcome(), port = 0) {
  const visits = [];
  const waiting = [];
  const handleProtocols = (protocols) => (protocols.has("framecast") ? "framecast" : false);
  const server = new WebSocketServer({ port, host: "127.0.0.1", handleProtocols });
  server.on("connection", (socket, request) => {
    const visit = new Visit(socket, request);
    visits.push(visit);
    script(visit, visits.length - 1);
    for (const look of waiting) look();
  });
  await once(server, "listening");
  atEnd(() => { for (const client of server.clients) client.terminate(); server.close(); });
  return {
    url: `ws://127.0.0.1:${server.address().port}/ws`,
    visits,
    /** The nth connection, from 0. */
    visit: (n) => within(new Promise((resolve) => {
      const look = () => { if (visits.length > n) resolve(visits[n]); };
      waiting.push(look);
      look();
    }), `connection ${n}`),
  };
}
