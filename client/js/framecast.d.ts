/**
 * Types of framecast.js. All times are milliseconds, but where a hub's own message says otherwise; `Infinity` is without end, and an
 * option that is `undefined` or `NaN` has its default.
 */

export const CONNECTING: 0;
export const OPEN: 1;
export const CLOSING: 2;
export const CLOSED: 3;
export type ReadyState = 0 | 1 | 2 | 3;

export type Id = string | number;
/** A value, or a function that is asked for it at each attempt to connect. */
export type ValueOrFunction<T> = T | (() => T | Promise<T>);
/** A place in a room: its count, and which count it is. */
export interface Position { epoch: number; offset: number; }

/** Why a token is asked for: to connect, to come back, because the last one was refused, or because it is about to expire. */
export type TokenReason = "connect" | "reconnect" | "refused" | "expiring";
export type Token = string | null | undefined;

export interface Options {
  /** Default `/ws`. `http:` and `https:` will do as well. */
  url?: ValueOrFunction<string | URL>;
  protocols?: ValueOrFunction<string | string[] | undefined>;
  token?: Token | ((why: { reason: TokenReason }) => Token | Promise<Token>);
  /** One's own, 1 to 64 characters; by default the hub makes one. It is kept when it comes back. */
  clientId?: string;
  /** The secret of an earlier object's `resume`, to go on as that client. */
  resume?: string;
  /** Default true: connects at once. */
  autoConnect?: boolean;
  /** For the whole way to the hub's welcome; and from there to being known to it, a second more. Default 10,000. */
  connectTimeout?: number;
  /** For answers and acks, from when the request was sent. Default 10,000. */
  requestTimeout?: number;
  /** `false`: never. Defaults: `base` 1,000, `cap` 30,000, `attempts` without end, `minUptime` 10,000 (after which the back-off begins anew). */
  reconnect?: false | { base?: number; cap?: number; attempts?: number; minUptime?: number };
  /** What may wait to be sent; `false`: nothing. Defaults: `count` 1,000, `bytes` 1 MiB, `age` 60,000. */
  queue?: false | { count?: number; bytes?: number; age?: number };
  /** How fast all of it is sent; `false`: at once. Defaults: `burst` 20 and `perSecond` 50 messages, `bytesPerSecond` 512 KiB, twice that at once. */
  pace?: false | { burst?: number; perSecond?: number; bytesPerSecond?: number };
  /** `false`: a room has one message on its way at most, and gets them in order even where the hub refuses one as too fast. Default true. */
  pipeline?: boolean;
  /** `interval` of silence before the hub is asked (default: 1.5 times its `ping_interval`), `timeout` for its answer (10,000). `false`: never. */
  heartbeat?: false | { interval?: number; timeout?: number };
  /** Bytes of a message above which it is rejected here. Default 1 MiB - 2 KiB, as the hub has it. */
  messageBytes?: number;
  /** What was sent and not acked before a cut is sent again by its id: where the hub remembers ids (default), always (may come twice), or never. */
  resend?: "remembered" | "always" | "never";
  /** Decides on a close code instead of the exported `afterClose`. */
  afterClose?: (code: number, reason: string) => AfterClose;
  /** Reads a text message. Default `JSON.parse`. */
  parse?: (text: string) => any;
  /** A random number from 0 to 1, for the back-off. Default `Math.random`. */
  random?: () => number;
  /** The class to use where there is no global one: that of `ws` in node 20. */
  WebSocket?: any;
}

export interface RoomMessage<T = any> {
  type: "message"; room: string; payload: T; user_id: string | null; client_id: string | null; ts: number;
  /** Missing in what a broker's other clients publish. */
  epoch?: number; offset?: number; key?: string;
}
export interface BinaryMessage { type: "binary"; room: string; payload: Uint8Array; }
/** Messages that were lost. Without `from` and `to` it cannot be told how many. */
export interface Gap { type: "gap"; room: string; from?: number; to?: number; reason: "slow" | "rate" | "broker" | "unrecovered"; presence?: true; }
export interface Presence { type: "join" | "leave"; room: string; user_id: string | null; client_id: string; members: number; }
export interface Subscribed { type: "subscribed"; id?: Id; room: string; members: number; epoch: number; offset: number; recovered: boolean; }
export interface Direct<T = any> { type: "direct"; id?: Id; user_id: string | null; payload: T; receipt?: true; ts: number; }
export interface Broadcast<T = any> { type: "broadcast"; payload: T; ts: number; }
export interface Receipt { type: "receipt"; id: Id; acked: number; of: number; }
export interface Authenticated { type: "authenticated"; user_id: string; expires_at: number | null; }
export interface Opened {
  clientId: string; userId: string | null; server: string;
  /** Whether the hub knows this client from before: ids that it has sent are remembered. */
  resumed: boolean;
}
export interface Closed {
  code: number; reason: string; wasClean: boolean;
  /** Whether it stays closed, until `connect()`. */
  final: boolean;
}
export interface Reconnecting { attempt: number; delay: number; code: number; reason: string; }

export interface Events {
  open: Opened;
  close: Closed;
  reconnecting: Reconnecting;
  error: FramecastError;
  /** Of each room, whether it has handlers or not. */
  message: RoomMessage | BinaryMessage;
  gap: Gap;
  join: Presence;
  leave: Presence;
  subscribed: Subscribed;
  direct: Direct;
  broadcast: Broadcast;
  receipt: Receipt;
  authenticated: Authenticated;
}

export type OwnCode = "timeout" | "disconnected" | "unknown" | "offline" | "queue_full" | "expired" | "cancelled" | "too_large" | "closed"
  | "connection" | "bad_message" | "duplicate_id";
export type HubCode = "bad_json" | "bad_request" | "unknown_type" | "unauthorized" | "forbidden" | "not_subscribed" | "rate_limited" | "too_large"
  | "too_many_rooms" | "history_gone" | "unavailable";
export class FramecastError extends Error {
  constructor(code: string | number, message: string, more?: object);
  /** A number only for errors of JSON-RPC that are not the hub's own. */
  code: OwnCode | HubCode | (string & {}) | number;
  id?: Id | null;
  room?: string;
  closeCode?: number;
  retry_after_ms?: number;
  rpcCode?: number;
  data?: any;
}

/** What became of a message, and what the hub says of it. */
export interface Sending<Ack = void> {
  status: "sent" | "queued" | "rejected";
  /** Why it was rejected. */
  reason?: OwnCode;
  id: Id | undefined;
  /** Rejects with a `FramecastError`; nobody has to wait for it. */
  ack: Promise<Ack>;
  /** Takes it back if it was not sent yet; whether it did. */
  cancel(): boolean;
}
/** `queue: false`: it may wait for its turn, but not for a connection. */
export interface SendOptions { id?: Id; queue?: boolean; timeout?: number; }

export interface Handlers<T = any> {
  /** A room that binary messages go to gets a `BinaryMessage` as well: look at `type`. */
  message?: (message: RoomMessage<T>) => void;
  gap?: (gap: Gap) => void;
  join?: (event: Presence) => void;
  leave?: (event: Presence) => void;
  subscribed?: (event: Subscribed) => void;
}
export interface SubscribeOptions {
  presence?: boolean;
  policy?: "disconnect" | "drop_oldest" | "drop_newest" | "conflate";
  /** Messages a second. */
  maxRate?: number;
  /** Where to go on from, if that was kept. */
  since?: Position;
}
export interface Subscription {
  readonly room: string;
  /** The hub's first answer; rejects if the room may not be subscribed to (`forbidden` …), is left (`cancelled`), or the client is closed (`closed`). */
  readonly ready: Promise<Subscribed>;
  readonly members: number | null;
  readonly position: Position | null;
  unsubscribe(): void;
}
export interface History { epoch: number; offset: number; messages: (RoomMessage | { type: "binary"; room: string; bytes: number; epoch: number; offset: number })[]; }
export interface RoomState { name: string; state: "wanted" | "asked" | "joined" | "refused"; members: number | null; position: Position | null; }
export interface Call { method: string; params?: object | unknown[]; notify?: boolean; }

export class Framecast {
  static readonly CONNECTING: 0;
  static readonly OPEN: 1;
  static readonly CLOSING: 2;
  static readonly CLOSED: 3;

  constructor(url?: ValueOrFunction<string | URL>, options?: Options);
  constructor(options: Options);

  readonly readyState: ReadyState;
  readonly clientId: string | undefined;
  readonly resume: string | undefined;
  readonly userId: string | null;
  readonly latency: number | null;
  readonly queued: { count: number; bytes: number };
  readonly rooms: RoomState[];

  on<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): () => void;
  on(type: string, listener: (event: any) => void): () => void;
  off<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): void;
  off(type: string, listener: (event: any) => void): void;
  once<K extends keyof Events>(type: K, listener: (event: Events[K]) => void): () => void;
  once(type: string, listener: (event: any) => void): () => void;

  connect(): void;
  /** Throws what a WebSocket throws, and closes nothing, if `code` is not 1000 or 3000 to 4999, or `reason` has more than 123 bytes. */
  close(code?: number, reason?: string): Promise<void>;
  ping(options?: { timeout?: number }): Promise<number>;
  auth(token: string, options?: { timeout?: number }): Promise<Authenticated>;

  subscribe<T = any>(room: string, handler: ((message: RoomMessage<T>) => void) | Handlers<T>, options?: SubscribeOptions): Subscription;
  publish(room: string, payload: unknown, options?: SendOptions & { key?: string; echo?: boolean }): Sending<{ id: Id; offset?: number }>;
  publishBinary(room: string, bytes: ArrayBuffer | ArrayBufferView, options?: { queue?: boolean }): Sending;
  direct(userId: string, payload: unknown, options?: SendOptions & { receipt?: boolean }): Sending<{ id: Id; recipients: number }>;
  send(message: object | string | ArrayBuffer | ArrayBufferView, options?: { queue?: boolean; timeout?: number }): Sending<any>;
  cancel(id: Id): boolean;

  request(message: object, options?: { timeout?: number }): Promise<any>;
  presence(room: string, options?: { timeout?: number }): Promise<{ user_id: string | null; connections: number }[]>;
  history(room: string, options?: { since?: Position; limit?: number; timeout?: number }): Promise<History>;

  call<T = any>(method: string, params?: object | unknown[], options?: { timeout?: number }): Promise<T>;
  notify(method: string, params?: object | unknown[]): "sent" | "queued" | "rejected";
  batch(calls: Call[], options?: { timeout?: number }): Promise<PromiseSettledResult<any>[]>;
}

export type AfterClose = { then: "final" | "token" } | { then: "retry"; retryAfter?: number };
export function afterClose(code: number, reason?: string): AfterClose;
export class Backoff {
  constructor(terms: { base: number; cap: number; random?: () => number });
  attempt: number;
  next(): number;
  reset(): void;
}
/** Whether a room's name is one of a pattern's. */
export function matches(pattern: string, room: string): boolean;
/** A room's binary message, as the hub takes it. */
export function frame(room: string, bytes: ArrayBuffer | ArrayBufferView): Uint8Array;
