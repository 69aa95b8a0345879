/**
 * The JavaScript client of a framecast hub, for browsers and node: no dependency, no build step. The hub serves this very
 * file at `/framecast.js`; what it speaks is docs/protocol.md, how it is used README.md beside this file.
 *
 *     import { Framecast } from "/framecast.js";
 *     const hub = new Framecast("/ws");
 *     hub.subscribe("match:42", ({ payload }) => console.log(payload));
 *     const { offset } = await hub.publish("match:42", { score: "2-1" }).ack;
 *
 * All times are milliseconds. In this order: defaults, what is decided without a connection (back-off, close codes, names),
 * what waits to be sent (`Outbox`), what is subscribed to (`Room`), and `Framecast`, which has the connection.
 */

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;

const DEFAULTS = {
  url: "/ws",
  /** From the first byte, and the functions for URL and token, to the hub's welcome. */
  connectTimeout: 10_000,
  /** For the answer to a request, and the ack of a message, once it was sent. */
  requestTimeout: 10_000,
  reconnect: { base: 1_000, cap: 30_000, attempts: Infinity, minUptime: 10_000 },
  /** `age` is how long a message may wait to be sent, or, after a cut, to be sent again. */
  queue: { count: 1_000, bytes: 1 << 20, age: 60_000 },
  /** `interval` of silence before the hub is asked for a sign of life; by default 1.5 times its `ping_interval`. */
  heartbeat: { interval: undefined, timeout: 10_000 },
  /** What a hub takes as one message: 1 MiB, less what it writes around a payload. */
  messageBytes: (1 << 20) - 2_048,
  resend: "remembered",
  /** Half of what a hub allows by default: bytes may be two seconds' at once. */
  pace: { burst: 20, perSecond: 50, bytesPerSecond: 1 << 19 },
  pipeline: true,
  autoConnect: true,
};

/** Whom the hub says to come back later than this is told to by mistake. */
const RETRY_AFTER_MAX = 300_000;
/** Tokens in a row that may be refused before it is no use to ask for another. */
const REFUSED_TOKENS_MAX = 3;
/** Messages on their way without an ack; more wait. */
const WINDOW = 32;
/** Requests that wait for the pace; above that they are refused. */
const PENDING_MAX = 1_000;
/** The pace is halved once for what was refused within this time: it was sent before we knew. */
const SLOWED_FOR = 1_000;
/** How long `close()` waits for the hub to say goodbye as well. */
const CLOSE_WITHIN = 1_000;
/** Direct messages whose id is remembered: a hub sends one again until it has our receipt. */
const RECEIPTS_KEPT = 256;
/** What a timer can wait for at most; a longer wait is split. */
const TIMER_MAX = 2 ** 31 - 1;

/**
 * What went wrong. `code` is the hub's (`forbidden`, `rate_limited`, …), or one of ours: `timeout`, `disconnected`, `unknown` (sent
 * before a cut, and nobody can tell whether it arrived), `offline`, `queue_full`, `expired`, `cancelled`, `too_large`, `closed`,
 * `connection`, `bad_message`, `duplicate_id`.
 */
export class FramecastError extends Error {
  constructor(code, message, more) {
    super(message);
    this.name = "FramecastError";
    Object.assign(this, more);
    this.code = code;
  }
}

/** Full jitter: a random part of 1 s, 2 s, 4 s, … up to the cap, so that clients which were cut together do not come together. */
export class Backoff {
  attempt = 0;

  constructor({ base, cap, random = Math.random }) {
    Object.assign(this, { base, cap, random });
  }

  next() {
    const most = Math.min(this.cap, this.base * 2 ** Math.min(this.attempt++, 50));
    return Math.min(this.random() * most, TIMER_MAX);
  }

  reset() {
    this.attempt = 0;
  }
}

/** What a close means: `final`, `token` (come back with another one), or `retry`, with `retryAfter` if the hub has named a time. */
export function afterClose(code, reason = "") {
  // Who misses a pong has slept, or the network was away; every other 1008 is for what we do wrong.
  const wrong = [1002, 1003, 1007, 1008, 1009, 1010].includes(code) && !reason.startsWith("no pong within ");
  if (wrong || [1000, 4003, 4009].includes(code)) return { then: "final" };
  if (code === 4001) return { then: "token" };
  const told = /(?:^|[ ;,])retry_after_ms=(\d+)/.exec(reason);
  return { then: "retry", retryAfter: told ? Math.min(Number(told[1]), RETRY_AFTER_MAX) : undefined };
}

/** Whether a room's name is one of a pattern's: `*` is one part, `>` at the end the rest. */
export function matches(pattern, room) {
  const wanted = pattern.split(":");
  const parts = room.split(":");
  const rest = wanted.at(-1) === ">";
  if (rest ? parts.length < wanted.length : parts.length !== wanted.length) return false;
  return wanted.every((part, at) => part === "*" || (rest && at === wanted.length - 1) || part === parts[at]);
}

const isPattern = (room) => room.split(":").some((part) => part === "*" || part === ">");

/** A binary message: the length of the room's name, the name, the bytes. */
export function frame(room, bytes) {
  const name = new TextEncoder().encode(room);
  const data = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const framed = new Uint8Array(2 + name.length + data.length);
  new DataView(framed.buffer).setUint16(0, name.length);
  framed.set(name, 2);
  framed.set(data, 2 + name.length);
  return framed;
}

function unframe(buffer) {
  const length = new DataView(buffer).getUint16(0);
  const room = new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(buffer, 2, length));
  return { type: "binary", room, payload: new Uint8Array(buffer, 2 + length) };
}

/** When a JWT expires, by the hub's clock; `null` for other tokens. Nothing is verified: that is the hub's to do. */
function expiryOf(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims.exp === "number" ? claims.exp * 1000 : null;
  } catch {
    return null;
  }
}

const now = () => performance.now();
/** A timer that no number confuses: none for `Infinity`, and no wait above what timers can do, which they would take for 1 ms. */
const after = (ms, call) => (ms === Infinity ? undefined : setTimeout(call, ms > 0 ? Math.min(ms, TIMER_MAX) : 0));
/** Options over their defaults. One that is `undefined`, or no number, was not given. */
const over = (defaults, given) =>
  ({ ...defaults, ...Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined && !Number.isNaN(value))) });
const keyOf = (id) => JSON.stringify(id);
const valueOf = (value, ...args) => (typeof value === "function" ? value(...args) : value);
const sizeOf = (data) => (typeof data === "string" ? new TextEncoder().encode(data).length : data.byteLength);

/** A promise and its ends. That nobody waits for it is no error. */
function deferred() {
  const ends = {};
  ends.promise = new Promise((resolve, reject) => Object.assign(ends, { resolve, reject }));
  ends.promise.catch(() => {});
  return ends;
}

/** An exception of the application's goes where it would go had the browser called it, and stops nobody else. */
function safely(call, ...args) {
  try {
    call(...args);
  } catch (error) {
    if (typeof reportError === "function") reportError(error);
    else queueMicrotask(() => { throw error; });
  }
}

/**
 * How fast we speak: so many messages at once, so many a second, and bytes likewise. A hub closes who does not heed its limits, so
 * that whatever is sent is counted here, and all of it is slower for a while once the hub has refused any of it.
 */
class Pace {
  /** The part of our own pace that the hub bears. */
  share = 1;
  /** Nothing goes before. */
  until = 0;
  #slowedAt = -Infinity;

  constructor({ burst, perSecond, bytesPerSecond }) {
    Object.assign(this, { burst, perSecond, bytesPerSecond, messages: burst, bytes: 2 * bytesPerSecond, at: now() });
  }

  /** Milliseconds until the next may go; 0: now. */
  wait() {
    this.#refill();
    const messages = this.messages >= 1 ? 0 : (1 - this.messages) / (this.perSecond * this.share);
    const bytes = this.bytes >= 0 ? 0 : -this.bytes / (this.bytesPerSecond * this.share);
    return Math.max(this.until - now(), 1_000 * messages, 1_000 * bytes, 0);
  }

  take(messages, bytes) {
    this.#refill();
    this.messages -= messages;
    this.bytes -= bytes;
    this.share = Math.min(1, this.share + 0.1 / this.perSecond);
  }

  /** The hub has refused something, and bears the next one after so long. */
  slower(ms) {
    if (now() - this.#slowedAt > SLOWED_FOR) {
      this.#slowedAt = now();
      this.share = Math.max(this.share / 2, Math.min(1, 1 / this.perSecond));
    }
    this.hold(ms);
    this.messages = Math.min(this.messages, 1);
    this.at = this.until;
  }

  hold(ms) {
    this.until = Math.max(this.until, now() + Math.min(ms, RETRY_AFTER_MAX));
  }

  /** Another connection is not told of by what an earlier one was told to wait. */
  release() {
    this.until = 0;
    this.at = Math.min(this.at, now());
  }

  #refill() {
    const seconds = (now() - this.at) / 1_000;
    if (seconds <= 0) return;
    this.at += 1_000 * seconds;
    this.messages = Math.min(Math.max(1, this.burst * this.share), this.messages + seconds * this.perSecond * this.share);
    this.bytes = Math.min(2 * this.bytesPerSecond * this.share, this.bytes + seconds * this.bytesPerSecond * this.share);
  }
}

/**
 * What waits to be sent, and what was sent and waits for its ack: in the order of the calls, within bounds of count, bytes and age.
 * It knows no connection; `Framecast` says when to `flush`.
 */
class Outbox {
  waiting = [];
  flying = new Map();
  bytes = 0;
  #next = 0;

  /** `freed` is called when the time of an item is up, and there may be room for the next. */
  constructor(bounds, freed) {
    Object.assign(this, { bounds, freed });
  }

  get count() {
    return this.waiting.length + this.flying.size;
  }

  item(data, id, options) {
    const ends = deferred();
    return { ...options, data, id, bytes: sizeOf(data), order: this.#next++, sends: 0, firstSent: undefined, timer: undefined, ends };
  }

  has(id) {
    return this.flying.has(keyOf(id)) || this.waiting.some((item) => item.id !== undefined && keyOf(item.id) === keyOf(id));
  }

  fits(item) {
    return this.waiting.length < this.bounds.count && this.bytes + item.bytes <= this.bounds.bytes;
  }

  /** Whether an item may be sent. `isOneByOne`: none while another one to the same room is on its way. */
  may(item, isOneByOne) {
    if (item.id !== undefined && this.flying.size >= WINDOW) return false;
    return !isOneByOne || ![...this.flying.values()].some(({ to }) => to === item.to);
  }

  /** The next that may be sent. None overtakes another one to the same room. */
  next(isOneByOne) {
    const busy = new Set(isOneByOne ? [...this.flying.values()].map(({ to }) => to) : []);
    return this.waiting.find((item) => {
      const may = !busy.has(item.to) && (item.id === undefined || this.flying.size < WINDOW);
      busy.add(item.to);
      return may;
    });
  }

  /** Puts an item where its order says. */
  wait(item) {
    this.remove(item);
    const at = this.waiting.findLastIndex((other) => other.order < item.order);
    this.waiting.splice(at + 1, 0, item);
    this.bytes += item.bytes;
    this.within(item, this.bounds.age, overdue(item));
  }

  /** The hub has not taken an item: as far as that goes it was never sent. */
  unsent(item) {
    item.sends -= 1;
    if (item.sends === 0) item.firstSent = undefined;
  }

  /** Notes that an item was sent; one without an id is done with. */
  sent(item, timeout) {
    this.remove(item);
    item.sends += 1;
    item.firstSent ??= now();
    if (item.id === undefined) return item.ends.resolve(undefined);
    this.flying.set(keyOf(item.id), item);
    this.bytes += item.bytes;
    this.within(item, timeout, () => new FramecastError("timeout", "no ack in time; it may have arrived", { id: item.id }));
  }

  fail(item, error) {
    this.remove(item);
    item.ends.reject(error);
  }

  remove(item) {
    clearTimeout(item.timer);
    const at = this.waiting.indexOf(item);
    if (at >= 0) this.waiting.splice(at, 1);
    else if (item.id === undefined || this.flying.get(keyOf(item.id)) !== item) return false;
    else this.flying.delete(keyOf(item.id));
    this.bytes -= item.bytes;
    return true;
  }

  /** From now on an item has so much time. */
  within(item, ms, failure) {
    clearTimeout(item.timer);
    const end = () => { this.fail(item, failure()); this.freed(); };
    item.timer = after(ms, end);
  }
}

const unknown = (item) => () =>
  new FramecastError("unknown", "sent before the connection was lost; whether it arrived cannot be told", { id: item.id });
const unless = (code, message) => (item) => () => (item.sends > 0 ? unknown(item)() : new FramecastError(code, message, { id: item.id }));
const overdue = unless("expired", "it waited for too long, and was not sent");
const closed = unless("closed", "closed before it was sent");
const offline = unless("offline", "the connection was lost before it was sent");

/** A room, or a pattern of rooms, that somebody wants: who handles it, on which terms, and where we are in it. */
class Room {
  handlers = new Set();
  /** `wanted`: not asked for on this connection; `asked`, `joined`, `refused`: as the hub has answered. */
  state = "wanted";
  members = null;
  /** Of what was received last; `null` before the first answer, and for a pattern always. */
  position = null;
  /** Up to where the hub has told our position; binary messages are counted from there. */
  told = 0;
  /** Offsets of our own messages that we get no copy of, and are not there yet. */
  own = new Set();
  /** What has come while we wait for an answer that brings it again: the offsets, and the last of them. */
  early = new Set();
  earlyAt = 0;
  ready = deferred();

  constructor(name, terms) {
    this.name = name;
    this.isPattern = isPattern(name);
    this.terms = terms;
  }

  /** Where we are, as the hub has told it. */
  at(epoch, offset) {
    if (this.position?.epoch !== epoch) this.own.clear();
    this.position = { epoch, offset };
    this.told = offset;
    this.#skipOwn();
  }

  /** Takes a message's place; whether it is a new one. Binary messages do not show theirs, and take one each. */
  takes(message) {
    if (message.type === "binary") {
      if (!this.position) return true;
      this.position.offset += 1;
      this.#skipOwn();
    } else if (message.offset !== undefined) {
      const { epoch, offset } = message;
      if (this.position?.epoch === epoch && offset <= this.position.offset) return false;
      this.at(epoch, offset);
    }
    return true;
  }

  /** A message of ours that we get no copy of has this place, which a binary one may have been counted for already. */
  ownAt(offset) {
    if (!this.position || offset <= this.told) return;
    this.own.add(offset);
    if (offset <= this.position.offset) this.position.offset += 1;
    this.#skipOwn();
  }

  #skipOwn() {
    for (const offset of this.own) if (offset <= this.told) this.own.delete(offset);
    while (this.own.has(this.position.offset + 1)) this.position.offset += 1;
  }

  /** Notes what has come before the hub's answer to our `subscribe`. Bytes can be counted if the room's messages came before it as well. */
  isEarly(message) {
    if (this.state !== "asked" || !this.asked.since) return;
    if (message.type === "binary") this.earlyAt += 1;
    else if (message.epoch === this.asked.since.epoch) this.earlyAt = message.offset;
    if (message.type !== "binary" || this.asked.isLive) this.early.add(this.earlyAt);
  }
}

export class Framecast {
  static CONNECTING = CONNECTING;
  static OPEN = OPEN;
  static CLOSING = CLOSING;
  static CLOSED = CLOSED;

  #options;
  #listeners = new Map();
  #rooms = new Map();
  #requests = new Map();
  #outbox;
  #backoff;
  /** The connection, or the attempt at one; whatever comes of an older one is nobody's. */
  #link = null;
  #phase = "idle";
  #retry; // the timer of the next attempt
  #closing; // the promise of `close`
  #ids = 0;
  #idPrefix = Math.random().toString(36).slice(2, 10);
  #clientId;
  #resume;
  #userId = null;
  #latency = null;
  #refusedTokens = 0;
  #refusedToken; // the last one
  #pace;
  #pending = []; // requests that wait for the pace
  #isRequestsTurn = false;
  #isOneByOne; // to a room, so that what is refused is not overtaken
  #flushTimer;
  #acked = new Set();
  #onWake = () => this.#wake();

  /** `url` may also be an option; see README.md for all of them. */
  constructor(url, options = {}) {
    if (url !== null && typeof url === "object" && !(url instanceof URL)) [url, options] = [undefined, url];
    this.#options = over(DEFAULTS, options);
    if (url !== undefined) this.#options.url = url;
    const off = {
      reconnect: { attempts: 0 }, queue: { count: 0 }, heartbeat: { interval: Infinity },
      pace: { burst: Infinity, perSecond: Infinity, bytesPerSecond: Infinity },
    };
    for (const group of Object.keys(off)) {
      this.#options[group] = over(DEFAULTS[group], options[group] === false ? off[group] : options[group]);
    }
    this.#pace = new Pace(this.#options.pace);
    this.#isOneByOne = !this.#options.pipeline;
    this.#outbox = new Outbox(this.#options.queue, () => this.#flush());
    this.#backoff = new Backoff(over(this.#options.reconnect, { random: this.#options.random }));
    this.#clientId = options.clientId;
    this.#resume = options.resume;
    if (this.#options.autoConnect) this.connect();
  }

  // What is so

  get readyState() {
    return { idle: CLOSED, connecting: CONNECTING, waiting: CONNECTING, open: OPEN, closing: CLOSING, closed: CLOSED }[this.#phase];
  }

  /** One's own or the hub's; kept when it comes back. `undefined` before the first welcome. */
  get clientId() { return this.#clientId; }

  /** The secret that the client id comes back with; for the `resume` option of another object, in the same tab. */
  get resume() { return this.#resume; }

  get userId() { return this.#userId; }

  /** Of the last `ping()`. */
  get latency() { return this.#latency; }

  /** What waits to be sent or acked. */
  get queued() { return { count: this.#outbox.count, bytes: this.#outbox.bytes }; }

  /** The rooms and patterns that are wanted: name, state, members, position. */
  get rooms() {
    return [...this.#rooms.values()].map(({ name, state, members, position }) => ({ name, state, members, position: position && { ...position } }));
  }

  // Events

  /** Calls `listener` for each event of this type; returns what ends that. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.off(type, listener);
  }

  off(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }

  once(type, listener) {
    const off = this.on(type, (event) => { off(); listener(event); });
    return off;
  }

  #emit(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) safely(listener, event);
  }

  // The connection

  /** Begins, or begins again after `close()`; does nothing while it is connected or on its way. */
  connect() {
    if (this.#phase !== "idle" && this.#phase !== "closed") return;
    this.#backoff.reset();
    this.#refusedTokens = 0;
    this.#refusedToken = undefined;
    for (const [target, type] of this.#wakers()) target.addEventListener(type, this.#onWake);
    this.#attempt("connect");
  }

  /**
   * Ends it for good: what waits is told so, and nothing connects any more. Resolves within a second. A code or a reason that WebSocket
   * does not take throws, as it does there: before anything is done.
   */
  close(code = 1000, reason = "") {
    if (code !== 1000 && !(Number.isInteger(code) && code >= 3000 && code <= 4999)) {
      throw new DOMException(`${code} is not 1000, nor between 3000 and 4999`, "InvalidAccessError");
    }
    if (sizeOf(`${reason}`) > 123) throw new DOMException("the reason has more than 123 bytes", "SyntaxError");
    if (this.#phase === "closing") return this.#closing.promise;
    if (this.#phase === "closed") return Promise.resolve();
    this.#closing = deferred();
    const { promise } = this.#closing;
    const link = this.#link;
    if (!link?.socket || link.socket.readyState === CONNECTING) {
      this.#drop(link);
      this.#finish({ code, reason, wasClean: false });
    } else {
      this.#phase = "closing";
      link.socket.close(code, reason);
      link.closeTimer = setTimeout(() => this.#lost(link, 1006, "no close in time"), CLOSE_WITHIN);
    }
    return promise;
  }

  async #attempt(why) {
    const link = { why, socket: null, welcome: null, open: false, heard: now() };
    this.#link = link;
    this.#phase = "connecting";
    const { connectTimeout } = this.#options;
    link.connectTimer = after(connectTimeout, () => this.#lost(link, 1006, `not connected within ${connectTimeout} ms`));
    let url, protocols;
    try {
      link.token = await this.#token(why);
      url = await valueOf(this.#options.url);
      protocols = await valueOf(this.#options.protocols);
    } catch (error) {
      return this.#lost(link, 1006, String(error?.message ?? error));
    }
    if (this.#link !== link) return;
    if (link.token !== undefined && link.token === this.#refusedToken) {
      return this.#lost(link, 4001, "the same token again");
    }
    try {
      const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
      if (!Socket) throw new TypeError("there is no WebSocket here: give one as the option `WebSocket`");
      link.socket = new Socket(...this.#address(url, protocols, link.token));
    } catch (error) {
      // No URL, or none that may be connected to: trying again makes it no better.
      return this.#lost(link, 1006, error.message, { final: true });
    }
    link.socket.binaryType = "arraybuffer";
    link.socket.onmessage = ({ data }) => this.#receive(link, data);
    link.socket.onerror = () => {};
    link.socket.onclose = ({ code, reason, wasClean }) => this.#lost(link, code, String(reason), { wasClean });
  }

  async #token(why) {
    const token = await valueOf(this.#options.token, { reason: why });
    return token === null ? undefined : token;
  }

  /** The arguments of a WebSocket. A token goes with the subprotocols, which no log shows, if it can be written as one. */
  #address(url, protocols, token) {
    const address = new URL(url, globalThis.location?.href);
    address.protocol = address.protocol.replace(/^http/, "ws");
    // Other paths are the hub's routes, where a client id has no place.
    if (this.#clientId !== undefined && /\/ws\/?$/.test(address.pathname)) {
      address.pathname = `${address.pathname.replace(/\/$/, "")}/${encodeURIComponent(this.#clientId)}`;
      if (this.#resume) address.searchParams.set("resume", this.#resume);
    }
    const offered = protocols === undefined || protocols === null ? [] : [protocols].flat();
    if (token === undefined) return [address.href, offered];
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(token)) {
      address.searchParams.set("token", token);
      return [address.href, offered];
    }
    return [address.href, [...new Set(["framecast", ...offered]), `bearer.${token}`]];
  }

  /** The hub's welcome. Without a secret in it the hub still waits for a token. */
  #welcomed(link, welcome) {
    link.welcome = welcome;
    link.skew = welcome.ts - Date.now();
    if (welcome.resume !== null) return this.#opened(link, welcome.user_id, link.token && expiryOf(link.token));
    // The hub has a deadline of its own for the token, and says more when it closes: it comes first if it is there at all.
    const { connectTimeout } = this.#options;
    clearTimeout(link.connectTimer);
    link.connectTimer = after(connectTimeout + CLOSE_WITHIN, () => this.#lost(link, 1006, "welcomed, but not taken in, in time"));
    if (link.token === undefined) {
      this.#emit("error", new FramecastError("unauthorized", "the hub asks for a token"));
    }
  }

  /** The token that was shown does not hold: another one may still be sent, if there is one. */
  async #unauthorized(link, error) {
    this.#refusedToken = link.token;
    this.#refusedTokens += 1;
    let token;
    if (typeof this.#options.token === "function" && this.#refusedTokens < REFUSED_TOKENS_MAX) {
      token = await this.#token("refused").catch(() => undefined);
    }
    if (this.#link !== link) return;
    if (token === undefined || token === this.#refusedToken) return this.#lost(link, 4001, error.message, { final: true });
    link.token = token;
    this.auth(token).catch((again) => {
      if (this.#link === link && again.code === "unauthorized") this.#unauthorized(link, again);
    });
  }

  #opened(link, userId, expiresAt) {
    const { welcome } = link;
    const resumed = Boolean(welcome.resume) && welcome.resume === this.#resume && welcome.client_id === this.#clientId;
    clearTimeout(link.connectTimer);
    link.open = true;
    link.openedAt = now();
    this.#phase = "open";
    this.#clientId = welcome.client_id;
    this.#resume = welcome.resume ?? undefined;
    this.#userId = userId;
    this.#refusedToken = undefined;
    this.#pace.release();
    this.#expires(link, expiresAt);
    this.#beat(link);
    this.#unsettled(resumed ? welcome.dedupe_window * 900 : 0); // a tenth of it for the way
    // Rooms before patterns: what is recovered of a room has then not come by a pattern as well.
    const rooms = [...this.#rooms.values()].sort((a, b) => a.isPattern - b.isPattern);
    for (const room of rooms) this.#join(room);
    this.#emit("open", { clientId: this.#clientId, userId, resumed, server: welcome.server });
    this.#flush();
  }

  /** After a cut: what was on its way is sent again by the same id if the hub still knows that id, and is told as unknown if not. */
  #unsettled(within) {
    const { resend } = this.#options;
    for (const item of [...this.#outbox.flying.values()]) {
      const remembered = now() - item.firstSent < within;
      if (resend === "always" || (resend === "remembered" && remembered)) this.#outbox.wait(item);
      else this.#outbox.fail(item, unknown(item)());
    }
  }

  /** Lets go of a socket: whatever it still says, nobody listens, and its closing handshake is not waited for. */
  #drop(link) {
    if (!link) return;
    this.#link = null;
    clearTimeout(this.#flushTimer);
    for (const timer of ["connectTimer", "closeTimer", "beatTimer", "checkTimer", "tokenTimer"]) clearTimeout(link[timer]);
    const { socket } = link;
    if (!socket) return;
    // Not null: node's `ws` throws errors that nobody listens to.
    socket.onmessage = socket.onerror = socket.onclose = () => {};
    if (socket.readyState < CLOSING || socket.terminate) (socket.terminate ?? socket.close).call(socket);
  }

  #lost(link, code, reason, { wasClean = false, final = false } = {}) {
    if (this.#link !== link) return;
    this.#drop(link);
    const lost = () => new FramecastError("disconnected", "the connection was lost before the answer", { closeCode: code });
    const unsent = (id) => new FramecastError("offline", "the connection was lost before it was sent", { id });
    for (const request of [...this.#requests.values()]) request.fail(request.isSent ? lost() : unsent(request.id));
    this.#pending.length = 0;
    for (const item of [...this.#outbox.waiting]) if (item.isOnlyNow) this.#outbox.fail(item, offline(item)());
    for (const room of this.#rooms.values()) {
      clearTimeout(room.retry);
      room.state = "wanted";
    }
    // From here their age counts again, not the time for an ack.
    for (const item of this.#outbox.flying.values()) {
      this.#outbox.within(item, this.#options.queue.age, unknown(item));
    }
    const end = { code, reason, wasClean };
    if (this.#phase === "closing") return this.#finish(end);
    if (!link.open) this.#emit("error", new FramecastError("connection", reason || "cannot connect", { closeCode: code }));
    if (this.#link || this.#phase === "closed") return; // a listener has closed us
    if (final) return this.#finish(end);
    const { then, retryAfter } = (this.#options.afterClose ?? afterClose)(code, reason);
    if (then === "final") return this.#finish(end);
    if (then === "token") {
      if (this.#refusedToken !== undefined && this.#refusedToken === link.token) return this.#finish(end);
      this.#refusedToken = link.token;
      this.#refusedTokens += 1;
      if (typeof this.#options.token !== "function" || this.#refusedTokens > REFUSED_TOKENS_MAX) return this.#finish(end);
    }
    const { minUptime, attempts } = this.#options.reconnect;
    const stable = link.open && now() - link.openedAt >= minUptime;
    if (stable) {
      this.#backoff.reset();
      this.#refusedTokens = 0;
    }
    if (this.#backoff.attempt >= attempts) return this.#finish(end);
    // A hub that names a time has spread its clients already; but one that closes us again and again gets our back-off on top.
    const delay = retryAfter !== undefined && stable ? retryAfter : (retryAfter ?? 0) + this.#backoff.next();
    this.#phase = "waiting";
    this.#schedule(delay, then === "token" ? "refused" : "reconnect");
    if (link.open) this.#emit("close", { ...end, final: false });
    if (this.#phase === "waiting") this.#emit("reconnecting", { attempt: this.#backoff.attempt, delay, code, reason });
  }

  #schedule(delay, why) {
    clearTimeout(this.#retry);
    this.#retry = after(delay, () => this.#attempt(why));
  }

  #finish({ code, reason, wasClean }) {
    this.#phase = "closed";
    clearTimeout(this.#retry);
    for (const [target, type] of this.#wakers()) target.removeEventListener(type, this.#onWake);
    for (const request of [...this.#requests.values()]) request.fail(new FramecastError("closed", "the client was closed"));
    this.#pending.length = 0;
    for (const room of this.#rooms.values()) {
      clearTimeout(room.retry);
      room.state = "wanted";
      if (room.wasIn) continue;
      room.ready.reject(new FramecastError("closed", "the client was closed", { room: room.name }));
      room.ready = deferred(); // of who subscribes from now on, and of `connect()`
    }
    for (const item of [...this.#outbox.waiting, ...this.#outbox.flying.values()]) {
      this.#outbox.fail(item, closed(item)());
    }
    this.#closing?.resolve();
    this.#closing = undefined;
    this.#emit("close", { code, reason, wasClean, final: true });
  }

  // Signs of life

  /** Any message is one; after too long a silence we ask. */
  #beat(link) {
    const own = 1_500 * link.welcome.ping_interval;
    const interval = this.#options.heartbeat.interval ?? (own > 0 ? own : 30_000); // 0 is said by a hub that sends no pings
    if (interval === Infinity) return;
    clearTimeout(link.beatTimer);
    const left = link.heard + interval - now();
    if (left <= 0) this.#check(link);
    link.beatTimer = after(left > 0 ? left : interval, () => this.#beat(link));
  }

  #check(link, timeout = this.#options.heartbeat.timeout) {
    if (!link?.open || link.checkTimer !== undefined || this.#phase !== "open") return;
    this.#say(link, '{"type":"ping"}');
    const due = now() + timeout;
    const dead = () => {
      // Who is late itself was asleep: what has come meanwhile has not been handed to us yet.
      if (now() - due > timeout && !link.lateOnce) {
        link.lateOnce = true;
        link.checkTimer = after(timeout, dead);
      } else {
        this.#lost(link, 1006, `no sign of life within ${timeout} ms`);
      }
    };
    link.checkTimer = after(timeout, dead);
  }

  /** The network is back, or somebody looks at the page again: no reason to wait, and one to ask whether the hub is there. */
  #wake() {
    if (this.#phase === "waiting" && globalThis.navigator?.onLine !== false) {
      this.#schedule((this.#options.random ?? Math.random)() * this.#options.reconnect.base, "reconnect");
    } else if (this.#phase === "open" && globalThis.document?.visibilityState !== "hidden") {
      this.#check(this.#link, Math.min(5_000, this.#options.heartbeat.timeout));
    }
  }

  #wakers() {
    const { window, document } = globalThis;
    return window?.addEventListener && document ? [[window, "online"], [window, "pageshow"], [document, "visibilitychange"]] : [];
  }

  /** Asks the hub, and tells the time there and back. */
  async ping(options) {
    const start = now();
    await this.request({ type: "ping" }, options);
    this.#latency = now() - start;
    return this.#latency;
  }

  // Tokens

  /** Shows another token: the first one, where the hub waits for it, or a newer one of the same user. */
  async auth(token, options) {
    if (this.#link) this.#link.token = token;
    return this.#request({ type: "auth", token }, { ...options, early: true });
  }

  /** Has a function of tokens asked again before the token expires. */
  #expires(link, expiresAt) {
    clearTimeout(link.tokenTimer);
    if (!expiresAt || typeof this.#options.token !== "function") return;
    const left = expiresAt - Date.now() - link.skew;
    const delay = left - Math.min(30_000, left / 4);
    const renew = async () => {
      try {
        const token = await this.#token("expiring");
        if (this.#link !== link) return;
        link.token = token;
        await this.auth(token);
      } catch (error) {
        if (this.#link !== link) return;
        this.#emit("error", error);
        link.tokenTimer = setTimeout(renew, 5_000);
      }
    };
    if (delay > TIMER_MAX) link.tokenTimer = setTimeout(() => this.#expires(link, expiresAt), TIMER_MAX);
    else link.tokenTimer = setTimeout(renew, Math.max(delay, 0));
  }

  // What comes

  #receive(link, data) {
    if (this.#link !== link) return;
    link.heard = now();
    link.lateOnce = false;
    clearTimeout(link.checkTimer);
    link.checkTimer = undefined;
    let message;
    try {
      message = typeof data === "string" ? (this.#options.parse ?? JSON.parse)(data) : unframe(data);
    } catch (error) {
      return this.#emit("error", new FramecastError("bad_message", `cannot be read: ${error.message}`, { data }));
    }
    if (Array.isArray(message)) return message.forEach((answer) => this.#answered(answer));
    if (message?.jsonrpc) return this.#answered(message);
    switch (message?.type) {
      case "connection_established": return this.#welcomed(link, message);
      case "message": case "binary": return this.#message(message);
      case "ack": return this.#ack(message);
      case "error": return this.#error(link, message);
      case "gap": return this.#gap(message);
      case "join": case "leave": return this.#presence(message);
      case "direct": return this.#direct(link, message);
      case "authenticated": return this.#authenticated(link, message);
      case "subscribed": return this.#subscribed(message);
      case "unsubscribed": return this.#unsubscribed(message);
      case "pong": case "presence": case "history": return this.#answered(message);
      default: return this.#emit(message?.type ?? "unknown", message); // `broadcast`, `receipt`, and what a later hub says
    }
  }

  #answered(message) {
    const request = this.#requests.get(keyOf(message?.id));
    const { code, retry_after_ms } = message?.error?.data ?? {};
    if (code === "rate_limited") this.#slower(retry_after_ms);
    if (request) request.done(message);
    else if (message?.error) this.#emit("error", rpcError(message.error));
  }

  #message(message) {
    const room = this.#rooms.get(message.room);
    if (room && !room.isPattern) {
      if (room.state === "joined" && !room.takes(message)) return; // it was here before
      room.isEarly(message);
      // All others have got it while we waited for the answer.
      if (room.state === "joined" && room.early.delete(room.position?.offset)) return this.#tell(message, "message", true);
    }
    this.#emit("message", message);
    this.#tell(message, "message");
  }

  /** Calls the handlers of the message's room: its own, and those of patterns that it is in. */
  #tell(event, what, isAgain = false) {
    const tell = (room) => {
      for (const handler of [...room.handlers]) if (handler[what]) safely(handler[what], event);
    };
    const own = this.#rooms.get(event.room);
    // What comes before the hub's answer is of an earlier subscription, and comes again if it is recovered.
    if (own && (own.state === "joined" || what !== "message")) tell(own);
    if (isAgain) return;
    for (const room of this.#rooms.values()) {
      if (room !== own && room.isPattern && room.state === "joined" && matches(room.name, event.room)) tell(room);
    }
  }

  #gap(gap) {
    const room = this.#rooms.get(gap.room);
    if (room?.position && gap.to > room.position.offset) room.at(room.position.epoch, gap.to);
    this.#emit("gap", gap);
    this.#tell(gap, "gap");
  }

  #presence(message) {
    const room = this.#rooms.get(message.room);
    if (room) room.members = message.members;
    this.#emit(message.type, message);
    this.#tell(message, message.type);
  }

  #direct(link, message) {
    // Without room for it the hub sends the message again.
    if (message.receipt && this.#pending.length < PENDING_MAX) {
      this.#pending.push({ data: JSON.stringify({ type: "ack", id: message.id }), count: 1, requests: [] });
      this.#flush();
    }
    if (message.receipt && this.#acked.has(message.id)) return; // our receipt was late
    if (message.receipt) this.#acked.add(message.id);
    if (this.#acked.size > RECEIPTS_KEPT) this.#acked.delete(this.#acked.values().next().value);
    this.#emit("direct", message);
  }

  #authenticated(link, message) {
    if (link.open) {
      this.#userId = message.user_id;
      this.#refusedTokens = 0;
      this.#expires(link, message.expires_at);
    } else {
      this.#opened(link, message.user_id, message.expires_at);
    }
    this.#emit("authenticated", message);
    this.#answered(message);
  }

  #error(link, message) {
    const { code, id, message: text, type, ...more } = message;
    const error = new FramecastError(code, text, { ...more, id });
    if (code === "unauthorized" && !link.open && id === null) return void this.#unauthorized(link, error);
    const item = this.#outbox.flying.get(keyOf(id));
    const request = this.#requests.get(keyOf(id));
    if (code === "rate_limited") this.#slower(error.retry_after_ms);
    if (item) this.#refused(item, error);
    else if (request) request.fail(error);
    else this.#emit("error", error);
  }

  // What goes

  /** Asks for something that the hub answers by `id`; the promise is the answer. Nothing is queued. */
  request(message, options) {
    return this.#request(message, options);
  }

  #request(message, { id = this.#id(), ...options } = {}) {
    return this.#expect([id], JSON.stringify({ ...message, id }), options)[0];
  }

  /**
   * The promises of the answers to `data`, one for each id. Their time counts from when it was sent, which is at once if it is `early`:
   * allowed before we are known to the hub.
   */
  #expect(ids, data, { timeout, early = false, isBounded = true, count = ids.length } = {}) {
    const requests = ids.map((id) => ({ id, isSent: false, timer: undefined, ...deferred() }));
    const answers = requests.map(({ promise }) => promise);
    const refused = (code, text) => {
      for (const { id, reject } of requests) reject(new FramecastError(code, text, { id }));
      return answers;
    };
    if (this.#phase !== "open" && !(early && this.#link?.welcome)) return refused("offline", "not connected");
    const bytes = sizeOf(data);
    if (bytes > this.#options.messageBytes) return refused("too_large", `${bytes} bytes are more than a hub takes`);
    if (isBounded && this.#pending.length >= PENDING_MAX) return refused("queue_full", "too many requests wait to be sent");
    for (const request of requests) {
      const end = (settle) => (value) => {
        clearTimeout(request.timer);
        this.#requests.delete(keyOf(request.id));
        settle(value);
      };
      Object.assign(request, { done: end(request.resolve), fail: end(request.reject) });
      this.#requests.set(keyOf(request.id), request);
    }
    const { requestTimeout } = this.#options;
    // Who is in which room goes first: what is said in a room then comes back to who has joined it.
    const errand = { data, count, requests, isFirst: !isBounded, timeout: timeout === undefined || Number.isNaN(timeout) ? requestTimeout : timeout };
    if (early) {
      this.#ask(errand);
    } else {
      this.#pending.push(errand);
      this.#flush();
    }
    return answers;
  }

  /** Sends what is to be answered, and begins to wait for it. */
  #ask({ data, count, requests, timeout }) {
    this.#say(this.#link, data, count);
    for (const request of requests) {
      request.isSent = true;
      request.timer = after(timeout, () => request.fail(new FramecastError("timeout", `no answer within ${timeout} ms`, { id: request.id })));
    }
  }

  #say(link, data, count = 1) {
    link.socket.send(data);
    this.#pace.take(count, sizeOf(data));
  }

  #id() {
    this.#ids += 1;
    return `${this.#idPrefix}-${this.#ids}`;
  }

  /** Sends to a room; what becomes of it is in `status`, what the hub says of it in the promise `ack`. */
  publish(room, payload, { id = this.#id(), key, echo, ...options } = {}) {
    const envelope = { type: "message", id, room, payload: payload === undefined ? null : payload };
    if (key !== undefined) envelope.key = key;
    if (echo === false) envelope.echo = false;
    return this.#submit(JSON.stringify(envelope), id, { ...options, to: room, isSilent: echo === false });
  }

  /** Sends bytes to a room. They have no id, so there is no ack, and they do not wait for a connection unless `queue` is true. */
  publishBinary(room, bytes, { queue = false } = {}) {
    return this.#submit(frame(room, bytes), undefined, { queue, to: room });
  }

  /** Sends to all connections of a user; `receipt` has the hub tell (event `receipt`) how many have got it. */
  direct(to, payload, { id = this.#id(), receipt, ...options } = {}) {
    const envelope = { type: "direct", id, to, payload: payload === undefined ? null : payload };
    if (receipt) envelope.receipt = true;
    return this.#submit(JSON.stringify(envelope), id, { ...options, to: `user ${to}` });
  }

  /** Sends a message of any kind, as it is. Only `message` and `direct` with an id wait where there is no connection, unless `queue` says so. */
  send(message, options = {}) {
    if (message instanceof ArrayBuffer || ArrayBuffer.isView(message)) return this.#submit(message, undefined, { queue: false, ...options });
    const isObject = typeof message === "object" && message !== null;
    const acked = isObject && ["message", "direct"].includes(message.type) && message.id !== undefined && message.id !== null;
    return this.#submit(isObject ? JSON.stringify(message) : String(message), acked ? message.id : undefined, { queue: acked, ...options, to: message?.room, isSilent: message?.echo === false });
  }

  /** Takes back what waits and was never sent; whether it did. */
  cancel(id) {
    const item = this.#outbox.waiting.find((other) => other.id !== undefined && keyOf(other.id) === keyOf(id));
    if (!item || item.sends > 0) return false;
    this.#outbox.fail(item, new FramecastError("cancelled", "taken back", { id }));
    return true;
  }

  #submit(data, id, { queue = true, timeout, to, isSilent = false } = {}) {
    const outbox = this.#outbox;
    const { requestTimeout, queue: bounds, messageBytes } = this.#options;
    const within = timeout === undefined || Number.isNaN(timeout) ? requestTimeout : timeout;
    const item = outbox.item(data, id, { timeout: within, to, isSilent, isOnlyNow: !queue });
    const told = (status, reason) => ({ status, reason, id, ack: item.ends.promise, cancel: () => this.cancel(id) });
    const rejected = (code, message) => {
      item.ends.reject(new FramecastError(code, message, { id }));
      return told("rejected", code);
    };
    if (this.#phase === "closed" || this.#phase === "closing") return rejected("closed", "the client is closed");
    if (item.bytes > messageBytes) return rejected("too_large", `${item.bytes} bytes are more than a hub takes`);
    if (id !== undefined && outbox.has(id)) return rejected("duplicate_id", "a message of this id is on its way");
    if (this.#phase !== "open" && (!queue || bounds.count === 0)) return rejected("offline", "not connected");
    const isNext = outbox.waiting.length + this.#pending.length === 0 && outbox.may(item, this.#isOneByOne);
    if (isNext && this.#phase === "open" && this.#delay() === 0) {
      this.#transmit(item);
      return told("sent");
    }
    if (!outbox.fits(item)) return rejected("queue_full", "the queue is full");
    outbox.wait(item);
    this.#flush();
    return told(item.sends > 0 ? "sent" : "queued");
  }

  #transmit(item) {
    this.#say(this.#link, item.data);
    this.#outbox.sent(item, item.timeout);
  }

  /** Milliseconds until something may be sent: what a socket holds back is memory of ours as well. */
  #delay() {
    return this.#link.socket.bufferedAmount > this.#options.queue.bytes ? 50 : this.#pace.wait();
  }

  /** Sends what waits, as fast as we may: rooms first, then requests and messages by turns, those to a room in the order of the calls. */
  #flush() {
    clearTimeout(this.#flushTimer);
    while (this.#phase === "open") {
      const item = this.#outbox.next(this.#isOneByOne);
      const errand = this.#pending[0];
      if (!item && !errand) return;
      const delay = this.#delay();
      if (delay > 0) {
        this.#flushTimer = after(delay, () => this.#flush());
        return;
      }
      this.#isRequestsTurn = !this.#isRequestsTurn;
      if (errand && (!item || errand.isFirst || this.#isRequestsTurn)) this.#ask(this.#pending.shift());
      else this.#transmit(item);
    }
  }

  #ack(message) {
    const item = this.#outbox.flying.get(keyOf(message.id));
    if (!item) return this.#answered(message);
    this.#outbox.remove(item);
    const { type, ...ack } = message;
    if (item.isSilent) this.#rooms.get(item.to)?.ownAt(ack.offset);
    item.ends.resolve(ack);
    this.#flush();
  }

  /** Too fast, or still on its way from before a cut: again later by the same id. Anything else is final. */
  #refused(item, error) {
    if (error.code === "rate_limited") {
      this.#outbox.unsent(item);
      this.#outbox.wait(item);
    } else if (error.code === "unavailable" && item.sends > 1) {
      this.#pace.hold(1_000);
      this.#outbox.wait(item);
    } else {
      this.#outbox.fail(item, error);
    }
    this.#flush();
  }

  /** The hub has refused something as too fast. From now on a room has one message on its way, so that a later one is not taken before it. */
  #slower(ms = 100) {
    this.#isOneByOne = true;
    this.#pace.slower(ms);
  }

  // Rooms

  /**
   * Has `handler` called for each message of a room, or of a pattern of rooms, over all reconnects, until `unsubscribe()` of what is
   * returned. A handler is a function, or an object of functions: `message`, `gap`, `join`, `leave`, `subscribed`.
   */
  subscribe(name, handler, { presence, policy, maxRate, since } = {}) {
    const own = typeof handler === "function" ? { message: handler } : { ...handler };
    const terms = {};
    if (presence || own.join || own.leave) terms.presence = true;
    if (policy !== undefined) terms.policy = policy;
    if (maxRate !== undefined) terms.max_rate = maxRate;
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(name, terms);
      room.position = since ? { ...since } : null;
      this.#rooms.set(name, room);
      if (this.#phase === "open") this.#join(room);
    } else if (terms.presence && !room.terms.presence) {
      // A subscription's terms stand: for others it is made anew, and what comes between the two is recovered.
      room.terms.presence = true;
      if (this.#phase === "open" && room.state !== "wanted") {
        this.#again(room);
      }
    }
    room.handlers.add(own);
    const ready = deferred();
    if (this.#phase === "closed" || this.#phase === "closing") ready.reject(new FramecastError("closed", "the client is closed", { room: name }));
    else room.ready.promise.then(ready.resolve, ready.reject);
    const members = () => room.members;
    const position = () => room.position && { ...room.position };
    return {
      room: name,
      ready: ready.promise,
      get members() { return members(); },
      get position() { return position(); },
      unsubscribe: () => {
        ready.reject(new FramecastError("cancelled", "unsubscribed", { room: name }));
        if (!room.handlers.delete(own) || room.handlers.size > 0 || this.#rooms.get(name) !== room) return;
        this.#rooms.delete(name);
        clearTimeout(room.retry);
        if (this.#phase === "open" && (room.state === "asked" || room.state === "joined")) this.#leave(name);
      },
    };
  }

  #leave(name) {
    this.#request({ type: "unsubscribe", room: name }, { isBounded: false }).catch(() => {}); // that we are not in it is what we want
  }

  /** Leaves and joins, so that the terms are ours and what we are told is the room from our place on. */
  #again(room) {
    this.#leave(room.name);
    this.#join(room, true);
  }

  #join(room, isLive = false) {
    const since = room.position ? { ...room.position } : undefined;
    const wasIn = room.wasIn;
    room.state = "asked";
    const id = this.#id();
    room.asked = { id, since, wasIn, isLive };
    room.early.clear();
    room.earlyAt = since?.offset ?? 0;
    if (since) room.told = since.offset; // bytes are sent again from there, and counted from there
    const current = () => this.#rooms.get(room.name) === room && room.asked?.id === id;
    this.#request({ type: "subscribe", room: room.name, ...(since && { since }), ...room.terms }, { id, isBounded: false }).catch((error) => {
      if (!current() || ["disconnected", "offline", "closed"].includes(error.code)) return;
      room.state = "refused";
      const join = () => this.#phase === "open" && (error.code === "timeout" ? this.#again(room) : this.#join(room));
      if (["rate_limited", "unavailable", "timeout"].includes(error.code)) room.retry = after(error.retry_after_ms ?? 1_000, join);
      else room.ready.reject(error);
      this.#emit("error", Object.assign(error, { room: room.name }));
    });
  }

  #subscribed(message) {
    const room = this.#rooms.get(message.room);
    this.#answered(message);
    if (!room) return this.#emit("subscribed", message); // by a route
    const isOurs = room.asked !== undefined && message.id === room.asked.id;
    if (!isOurs && message.id !== undefined) return; // of an earlier subscription
    if (isOurs && room.state === "joined") return room.ready.resolve(message); // by a route, which has told all
    const before = isOurs ? room.asked.since : room.position;
    const wasIn = isOurs ? room.asked.wasIn : false;
    Object.assign(room, { state: "joined", members: message.members, wasIn: true });
    const missed = before && !message.recovered && !(before.epoch === message.epoch && before.offset === message.offset);
    if (!message.recovered) {
      room.early.clear();
      if (!room.isPattern) room.at(message.epoch, message.offset);
    }
    room.ready.resolve(message);
    this.#emit("subscribed", message);
    for (const handler of [...room.handlers]) if (handler.subscribed) safely(handler.subscribed, message);
    if (missed) this.#missed(room, before, message);
    else if (room.isPattern && wasIn) this.#missed(room, null, message);
  }

  /** What the hub cannot send again. Counted, if the room's count goes on; if not, nobody knows. */
  #missed(room, before, { epoch, offset }) {
    const gap = { type: "gap", room: room.name, reason: "unrecovered" };
    if (before && before.epoch === epoch && offset > before.offset) Object.assign(gap, { from: before.offset + 1, to: offset });
    this.#emit("gap", gap);
    for (const handler of [...room.handlers]) if (handler.gap) safely(handler.gap, gap);
  }

  #unsubscribed(message) {
    this.#answered(message);
    const room = this.#rooms.get(message.room);
    if (message.id !== undefined || !room) return;
    room.state = "refused";
    this.#emit("error", new FramecastError("forbidden", "the room may not be subscribed to any more", { room: message.room }));
  }

  /** Who is in a room: `[{ user_id, connections }]`. */
  async presence(room, options) {
    return (await this.request({ type: "presence", room }, options)).users;
  }

  /** What was said in a room: `{ epoch, offset, messages }`, the newest, or the oldest after `since`. */
  async history(room, { since, limit, ...options } = {}) {
    const { epoch, offset, messages } = await this.request({ type: "history", room, ...(since && { since }), ...(limit && { limit }) }, options);
    return { epoch, offset, messages };
  }

  // JSON-RPC 2.0

  /** Calls a method of the hub's; the promise is its result. A call is never sent twice: after a cut it is `disconnected`. */
  async call(method, params, options) {
    const id = this.#id();
    return resultOf(await this.#expect([id], rpc(method, params, id), options)[0]);
  }

  /** Calls a method without an answer; tells `sent`, `queued` or `rejected`. */
  notify(method, params) {
    return this.#submit(rpc(method, params), undefined, { queue: false }).status;
  }

  /** Several calls `{ method, params, notify? }` in one message; their results as `Promise.allSettled` has them. */
  batch(calls, options) {
    const named = calls.map((call) => ({ ...call, id: call.notify ? undefined : this.#id() }));
    const texts = named.map(({ method, params, id }) => rpc(method, params, id));
    const ids = named.flatMap(({ id }) => (id === undefined ? [] : [id]));
    const answers = texts.length > 0 ? this.#expect(ids, `[${texts.join(",")}]`, { ...options, count: texts.length }) : [];
    return Promise.allSettled(named.map(({ id }) => (id === undefined ? undefined : answers.shift().then(resultOf))));
  }
}

function resultOf({ error, result }) {
  if (error) throw rpcError(error);
  return result;
}

function rpc(method, params, id) {
  return JSON.stringify({ jsonrpc: "2.0", method, ...(params !== undefined && { params }), ...(id !== undefined && { id }) });
}

function rpcError({ code, message, data }) {
  return new FramecastError(data?.code ?? code, message, { rpcCode: code, data, retry_after_ms: data?.retry_after_ms });
}
