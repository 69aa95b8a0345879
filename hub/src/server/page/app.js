// The page of a framecast hub. It uses nothing but /framecast.js, and is read as an example of it.

import { Framecast } from "../framecast.js";
import { Log, Transcript, authorOf, element, hueOf, shown, textOf } from "./log.js";
import { Minute, draw, secondAt, short } from "./plot.js";

const $ = (id) => document.getElementById(id);
const any = (list) => list[Math.floor(Math.random() * list.length)];
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

const asked = new URLSearchParams(location.search);
$("token").value = asked.get("token") ?? "";
// A reload keeps the name. Another tab may have been given a copy of what this one remembers: it takes a name of its own.
const isReload = ["reload", "back_forward"].includes(performance.getEntriesByType("navigation")[0]?.type);
$("name").value = asked.get("name") ?? (isReload ? sessionStorage.getItem("name") : null)
  ?? `${any(["brave", "calm", "clever", "kind", "lucky", "merry", "quick", "quiet", "sunny", "wise"])}-${any(["badger", "crane", "falcon", "fox", "hare", "heron", "lynx", "otter", "owl", "wren"])}-${10 + Math.floor(Math.random() * 90)}`;

/** Rooms of a link that are joined; more at once would be more than a hub takes of one connection. */
const LINKED_MAX = 50;

/** Messages that are shown of those from before one came. */
const EARLIER = 50;

/** What is known of each room that was joined, by its name. */
const rooms = new Map();
let current;
let isAdmin = true; // until the hub says otherwise
let hub;

const log = new Log({ scroller: $("log"), list: $("messages"), welcome: $("welcome"), newest: $("newest"), fetch: fetchGap });

// The connection

function connect() {
  hub?.close();
  const clientId = $("name").value.trim() || undefined;
  sessionStorage.setItem("name", clientId ?? "");
  const token = $("token").value;
  const mine = new Framecast(new URL("../ws", import.meta.url), { clientId, resume: secretOf(clientId), token: token || undefined });
  hub = mine;
  let isFirst = true;
  const when = (type, listener) => mine.on(type, (event) => { if (mine === hub) listener(event); });
  when("open", ({ userId }) => {
    $("you-name").textContent = shown(userId ?? mine.clientId);
    sessionStorage.setItem(`resume ${mine.clientId}`, mine.resume ?? "");
    $("note").textContent = "";
    if (isFirst) leavePanel();
    isFirst = false;
    for (const room of rooms.values()) forget(room);
    state("open", "Connected");
    measure();
  });
  when("close", ({ final, code, reason }) => {
    $("latency").textContent = "–";
    if (final) state("closed", reasons[code]?.(reason) ?? "Disconnected");
    if (final && code !== 1000) $("you").open = true;
    if (final && code === 4001) ask($("token"));
    if (final && code === 4003 && reason.startsWith("client_id ")) ask($("name"));
  });
  when("reconnecting", ({ delay }) => state("connecting", "Connecting again", performance.now() + delay));
  when("error", ({ code, message, room }) => {
    if (code === "unauthorized") {
      ask($("token"));
      return state("connecting", "A token is needed");
    }
    if (!rooms.has(room)) {
      if (code !== "connection") $("note").textContent = message;
    } else if (code === "bad_request" || (code === "too_many_rooms" && rooms.size > 1)) {
      drop(room);
      note(rooms.get(current), `Not joined: ${shown(room)} (${message})`);
    } else {
      note(rooms.get(room), message);
    }
  });
  when("message", received);
  when("gap", lost);
  when("broadcast", ({ payload }) => note(rooms.get(current), `To everybody: ${textOf({ payload })}`));
  when("direct", (message) => note(rooms.get(current), `To you, from ${authorOf(message)}: ${textOf(message)}`));
  state("connecting", "Connecting");
  for (const room of rooms.values()) subscribe(room);
}

/** Who comes back by a name of this tab's, after a reload as well, has to show that it is the same. */
const secretOf = (clientId) => sessionStorage.getItem(`resume ${clientId}`) || undefined;

/** Opens the panel at the field that something is missing in. */
function ask(field) {
  $("you").open = true;
  field.focus();
  field.select();
}

/** Closes the panel; who was in it goes on writing, or, where that would raise a keyboard on the screen, could. */
function leavePanel() {
  const isIn = $("you").contains(document.activeElement);
  $("you").open = false;
  if (isIn) (hasKeyboard ? writing() : $("you").querySelector("summary")).focus();
}

const hasKeyboard = matchMedia("(hover: hover)").matches;
const writing = () => $(rooms.get(current)?.isPattern ? "log" : "text");

const reasons = {
  1000: () => "Disconnected",
  1006: (reason) => reason || "Disconnected",
  1008: (reason) => (reason.startsWith("rate") ? "Too much at once: the hub has hung up" : `The hub has hung up: ${reason}`),
  4001: (reason) => `A token is needed: ${reason}`,
  4003: (reason) => (reason === "client_id is somebody else's" ? "This name is somebody else's" : `Not allowed: ${reason}`),
  4009: () => "Connected in another tab by this name",
};

let comesBack;

function state(is, text, at) {
  comesBack = at;
  $("state").dataset.is = is;
  $("state-text").textContent = text;
  countdown();
}

/** For the eyes alone: a status that changes every second is no help to who has it read out. */
function countdown() {
  $("state-when").textContent = comesBack ? `in ${Math.max(0, Math.ceil((comesBack - performance.now()) / 1000))} s` : "";
}

async function measure() {
  const ms = await hub.ping({ timeout: 5_000 }).catch(() => undefined);
  $("latency").textContent = ms === undefined || hub.readyState !== Framecast.OPEN ? "–" : ms < 10 ? ms.toFixed(1) : Math.round(ms);
}

// Rooms

function join(name, terms = {}) {
  if (rooms.has(name)) return false;
  const room = { name, terms, transcript: new Transcript(), unread: 0, isPattern: /(^|:)[*>](:|$)/.test(name) };
  rooms.set(name, room);
  forget(room);
  const item = element("li");
  room.button = element("button");
  room.button.type = "button";
  room.button.addEventListener("click", () => look(name));
  item.append(room.button);
  $("rooms").append(item);
  subscribe(room);
  return true;
}

function subscribe(room) {
  const mine = hub;
  const changed = (what) => ({ client_id: id, user_id: user }) => {
    if (mine !== hub) return;
    // Who has a user id is named by the hub's answer.
    if (user === null) room.names[what === "came" ? "add" : "delete"](id);
    note(room, `${shown(user ?? id)} ${what}`);
    whoIsThere(room);
  };
  room.subscription = mine.subscribe(room.name, {
    subscribed: ({ epoch, offset }) => {
      if (mine !== hub) return;
      forget(room);
      room.isIn = true;
      room.cameAt ??= { epoch, offset };
      if (room.name === current) catchUp(room);
      whoIsThere(room);
    },
    join: changed("came"),
    leave: changed("left"),
  }, { ...room.terms, since: room.subscription?.position ?? undefined }); // by another name one misses nothing either
}

/** Shows what was said before one came: asked for once, when the room is looked at. */
async function catchUp(room) {
  if (room.isPattern || !room.isIn || room.caughtUp) return;
  room.caughtUp = true;
  const { cameAt } = room;
  const since = room.subscription.position.offset - cameAt.offset;
  const { epoch, messages } = await hub.history(room.name, { limit: EARLIER + Math.max(0, since) }).catch(({ code }) => {
    room.caughtUp = code === "forbidden"; // else again with the next connection
    return { messages: [] };
  });
  if (epoch !== cameAt.epoch) return; // of another server's life
  room.transcript.before(messages.filter(({ offset }) => offset <= cameAt.offset));
  if (room.name === current) log.show(room.transcript);
}

/**
 * Forgets who is there: what was known before a cut holds no more. From then on people are named who are told to come, until
 * they leave, and by the hub's answer; `users` is undefined while there is none.
 */
function forget(room) {
  Object.assign(room, { isIn: false, names: new Set(), users: undefined });
}

function leave(name) {
  drop(name);
  rooms.get(current).button.focus();
}

/** Takes a room from the list; there is always one to look at. */
function drop(name) {
  const room = rooms.get(name);
  const isHeld = room.button.contains(document.activeElement);
  room.subscription.unsubscribe();
  room.button.parentElement.remove();
  rooms.delete(name);
  if (rooms.size === 0) join("lobby");
  look([current, room.from].find((other) => rooms.has(other)) ?? [...rooms.keys()].at(-1));
  if (isHeld) rooms.get(current).button.focus();
}

function look(name) {
  current = name;
  const room = rooms.get(name);
  room.unread = 0;
  log.show(room.transcript);
  $("talk-title").textContent = shown(name);
  $("text").disabled = room.isPattern;
  $("text").placeholder = room.isPattern ? "A pattern of rooms: read here, write in one of them" : `Write to ${shown(name)}`;
  catchUp(room);
  whoIsThere(room);
  remember();
}

/** Links keep the rooms, and the name if they had one. Browsers allow some of these calls in a while, so none is made in vain. */
function remember() {
  const link = new URL(location);
  const name = sessionStorage.getItem("name");
  if (link.searchParams.has("name") && link.searchParams.get("name") !== name) link.searchParams.set("name", name);
  link.hash = [...rooms.keys()].map(encodeURIComponent).join(",");
  if (link.href !== location.href) history.replaceState(null, "", link);
}

/** Asks who is there, once for what happens together. */
function whoIsThere(room) {
  show();
  if (room.isPattern || room.asking || room.name !== current) return;
  room.asking = setTimeout(async () => {
    room.asking = undefined;
    const { names } = room;
    const users = await hub.presence(room.name).catch(() => undefined); // too many to tell, or cut off
    if (names === room.names) room.users = users; // else it is of an earlier subscription
    show();
  }, 60);
}

function show() {
  for (const room of rooms.values()) {
    const { button, name, unread, subscription } = room;
    const parts = [element("span", "name", shown(name))];
    if (unread > 0) parts.push(element("span", "new", unread > 99 ? "99+" : unread));
    const size = element("span", "size", room.isPattern ? "" : subscription.members ?? "");
    if (size.textContent) size.title = "members";
    button.replaceChildren(...parts, size);
    const about = [shown(name), unread > 0 && plural(unread, "new message"), size.textContent && plural(subscription.members, "member")];
    button.setAttribute("aria-label", about.filter(Boolean).join(", "));
    button.setAttribute("aria-current", String(name === current));
  }
  const room = rooms.get(current);
  const { members } = room.subscription;
  const admin = isAdmin ? "" : `-H "Authorization: Bearer $ADMIN_TOKEN" `;
  $("curl").textContent = `curl ${admin}-d '"hello"' ${new URL(`../broadcast/${encodeURIComponent(current)}`, import.meta.url)}`;
  const terms = room.terms.maxRate ? `, ${plural(room.terms.maxRate, "message")} a second at most` : room.terms.policy ? ", the newest" : "";
  $("talk-sub").textContent = room.isPattern ? `each room that fits${terms}` : members === null ? "" : `${plural(members, "member")}${terms}`;
  $("count").textContent = room.isPattern || !room.isIn || members === null ? "" : members;
  showMembers(room);
}

const NAMED_MAX = 50;

function showMembers(room) {
  const me = hub.userId ?? hub.clientId;
  const { members } = room.subscription;
  const isThere = room.isIn && !room.isPattern && hub.readyState === Framecast.OPEN;
  const counted = new Map((isThere && room.users || []).filter(({ user_id: id }) => id !== null).map(({ user_id: id, connections }) => [id, connections]));
  // The hub only counts who has no user id. Those who were here before us have no name, nor has anybody who only writes.
  const named = isThere ? [...new Set([...room.names, ...(hub.userId === null ? [hub.clientId] : [])])] : [];
  const anonymous = room.users ? room.users.find(({ user_id: id }) => id === null)?.connections ?? 0 : members ?? 0;
  const all = [...counted.keys(), ...named].sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
  const names = all.slice(0, NAMED_MAX);
  const others = isThere ? Math.max(0, anonymous - named.length) : 0;
  const items = names.map((name) => {
    const item = element("li");
    const face = element("span", "face", name.replaceAll(/[^\p{L}\p{N}]/gu, "").slice(0, 2).toUpperCase() || "?");
    face.style.setProperty("--hue", hueOf(name));
    face.setAttribute("aria-hidden", "true");
    item.append(face, element("span", "name", shown(name)));
    const about = [name === me && "you", counted.get(name) > 1 && `${counted.get(name)} connections`].filter(Boolean).join(", ");
    if (about) item.append(element("small", "", about));
    return item;
  });
  const more = (count, text) => {
    const item = element("li");
    const face = element("span", "face others", `+${count > 99 ? 99 : count}`);
    face.setAttribute("aria-hidden", "true");
    item.append(face, element("small", "", text));
    if (count > 0) items.push(item);
  };
  more(all.length - names.length, `${all.length - names.length} more by name`);
  more(others, plural(others, "other without a name", "others without a name"));
  if (room.isPattern) items.push(element("li", "", "Who reads by a pattern is nobody's member."));
  $("members").replaceChildren(...items);
}

// Messages

// Of this second: messages that came, what gaps told as lost, and the copies that the members of these rooms were sent.
let heard = 0;
let missed = 0;
let copies = 0;
const unheard = { count: 0, last: undefined }; // for those who listen

function received(message) {
  heard += 1;
  copies += rooms.get(message.room)?.subscription.members ?? 1;
  for (const room of rooms.values()) {
    if (!isOf(message, room)) continue;
    const entry = { kind: "message", message, where: room.isPattern };
    room.transcript.add(entry);
    if (room.name === current) log.add(entry);
    else room.unread += 1;
  }
  unheard.count += 1;
  unheard.last = message;
}

/** Whether a message belongs to what is joined here: its own room, or a pattern's that has no room of its own. */
function isOf({ room: name }, room) {
  if (room.name === name) return true;
  if (!room.isPattern || rooms.has(name)) return false;
  const source = room.name.split(":").map((part) => (part === ">" ? ".+" : part === "*" ? "[^:]+" : part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")));
  return new RegExp(`^${source.join(":")}$`).test(name);
}

const why = { rate: "left out, as you asked", slow: "lost: this page read too slowly", broker: "lost between servers", unrecovered: "missed while you were away" };
const lostInAll = { asked: 0, other: 0 };

function lost(gap) {
  const room = rooms.get(gap.room);
  if (gap.presence) {
    room?.names.clear(); // somebody may have left
    return room && whoIsThere(room);
  }
  const count = gap.from === undefined ? undefined : gap.to - gap.from + 1;
  const isAsked = gap.reason === "rate" || (gap.reason === "slow" && room?.terms.policy === "conflate");
  missed += count ?? 1;
  lostInAll[isAsked ? "asked" : "other"] += count ?? 1;
  if (!room) return;
  const what = count === undefined ? "Nobody knows how many messages:" : plural(count, "message");
  add(room, { kind: "gap", gap, isAsked, at: Date.now(), text: `${what} ${why[isAsked ? "rate" : gap.reason] ?? gap.reason}` });
}

async function fetchGap(entry) {
  if (entry.isFetched) return;
  entry.isFetched = true;
  const { room: name, from, to } = entry.gap;
  const room = rooms.get(name);
  const { epoch, offset: newest } = room?.subscription.position ?? {};
  try {
    const { messages } = await hub.history(name, { since: { epoch, offset: from - 1 }, limit: to - from + 1 }).catch((error) => {
      if (error.code !== "history_gone") throw error;
      return hub.history(name, { limit: Math.max(1, newest - from + 1) }); // then those of them that are still kept
    });
    const missing = messages.filter(({ epoch: its, offset }) => (its ?? epoch) === epoch && offset >= from && offset <= to);
    if (missing.length === 0) throw new Error("they are not kept any more");
    const rest = to - from + 1 - missing.length;
    room.transcript.fill(entry, missing);
    lostInAll[entry.isAsked ? "asked" : "other"] -= missing.length;
    if (rest > 0) note(room, `${plural(rest, "message")} of those cannot be fetched`);
  } catch (error) {
    entry.text += `. Cannot be fetched: ${error.message}`;
  }
  if (name === current) log.refill(room.transcript);
}

function note(room, text) {
  if (room) add(room, { kind: "note", text, at: Date.now() });
}

function add(room, entry) {
  room.transcript.add(entry);
  if (room.name === current) log.add(entry);
}

function send(text) {
  const room = current;
  const { status, reason, ack } = hub.publish(room, text);
  if (status === "rejected") $("note").textContent = `Not sent: ${reason.replaceAll("_", " ")}.`;
  ack.then(showWaiting, ({ code, message }) => {
    if (status !== "rejected" && rooms.has(room)) note(rooms.get(room), code === "unknown" ? `It may not have arrived: ${text}` : `Not sent (${message}): ${text}`);
    showWaiting();
  });
  showWaiting();
  return status;
}

function showWaiting() {
  const { count } = hub.queued;
  if (hub.readyState === Framecast.CONNECTING && count > 0) $("note").textContent = `${plural(count, "message waits", "messages wait")} for the connection.`;
  else if (hub.readyState === Framecast.OPEN) $("note").textContent = "";
}

// Once a second

const minute = new Minute();
let pointed;
let before; // the hub's figures a second ago
let scope;

async function figures() {
  if (!isAdmin || hub.readyState !== Framecast.OPEN) return undefined;
  const answer = await fetch(new URL("../stats", import.meta.url), { signal: AbortSignal.timeout(900) }).catch(() => undefined);
  if (answer?.status === 401 || answer?.status === 403) isAdmin = false;
  return answer?.ok ? answer.json().catch(() => undefined) : undefined;
}

async function tick() {
  const second = { messages: heard, copies, gaps: missed, drops: 0 };
  [heard, copies, missed] = [0, 0, 0];
  const after = await figures();
  const rise = (name) => (before && after ? Math.max(0, after[name] - before[name]) : 0); // none over a restart
  second.drops = rise("dropped");
  scope = after && `The whole hub: ${plural(after.total_connections, "connection")}, ${short(rise("messages_out"))} messages out this second`;
  before = after;
  minute.push(second);
  const [messages, all] = ["messages", "copies"].map((name) => minute.mean(name, 5));
  $("rate").textContent = short(second.messages);
  $("fanout").textContent = messages > 0 ? `×${(all / messages).toFixed(all / messages < 10 ? 1 : 0)}` : "–";
  $("lost").textContent = short(lostInAll.asked + lostInAll.other);
  $("lost").parentElement.classList.toggle("bad", lostInAll.other > 0); // what one asked for is no misfortune
  countdown();
  show();
  paint();
}

function paint() {
  draw($("plot"), minute, pointed);
  const second = minute.seconds[pointed];
  $("scope").textContent = second
    ? `${60 - pointed} s ago: ${plural(second.messages, "message")}, ${short(second.copies)} copies, ${short(second.gaps)} in gaps, ${short(second.drops)} dropped` : scope ?? "";
  const last = minute.seconds.slice(-10).reverse();
  if (document.querySelector(".as-table").open) {
    $("table").replaceChildren(...last.map(({ messages, copies: all, gaps, drops }, ago) => {
      const row = element("tr");
      row.append(...[ago + 1, messages, all, gaps, drops].map((value) => element("td", "", value)));
      return row;
    }));
  }
}

/** For who listens: what has come, a sentence every five seconds at most, and only of somebody else. */
function announce() {
  if (unheard.count > 0) {
    const { count, last } = unheard;
    const said = `${authorOf(last)} in ${shown(last.room)}: ${textOf(last).slice(0, 120)}`;
    $("announce").textContent = count === 1 ? said : `${count} new messages, the last by ${said}`;
  }
  const [messages, all, gaps, drops] = ["messages", "copies", "gaps", "drops"].map((name) => Math.round(minute.mean(name, 10) * 10));
  $("plot").setAttribute("aria-label", `The last ten seconds: ${plural(messages, "message")}, ${all} copies to members, ${gaps} lost in gaps, ${drops} dropped by the hub`);
  unheard.count = 0;
}

// What is typed and pressed

$("connection").addEventListener("submit", (event) => { event.preventDefault(); connect(); remember(); });
$("disconnect").addEventListener("click", () => hub.close());
$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const [kind, value] = $("terms").value.split(":");
  const name = $("room").value.trim();
  if (name === "") return $("room").reportValidity();
  const from = current;
  const isNew = join(name, kind === "rate" ? { maxRate: Number(value) } : kind === "policy" ? { policy: value } : {});
  rooms.get(name).from ??= from;
  look(name);
  $("note").textContent = isNew ? "" : `You are in ${shown(name)} already. What reaches you of it changes if you leave it first.`;
  $("room").value = $("terms").value = "";
  writing().focus();
});
$("leave").addEventListener("click", () => leave(current));
$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (text.trim() === "" || rooms.get(current).isPattern) return;
  log.toEnd();
  if (send(text) !== "rejected") $("text").value = "";
});
let automatic;
let sentByItself = 0;
$("auto").addEventListener("change", () => {
  clearInterval(automatic);
  const rate = Number($("auto").value);
  if (rate > 0) automatic = setInterval(() => { if (hub.readyState === Framecast.OPEN && !rooms.get(current).isPattern) send(`tick ${++sentByItself}`); }, 1000 / rate);
});
$("copy").addEventListener("click", async () => {
  const done = await navigator.clipboard?.writeText($("curl").textContent).then(() => true, () => false);
  $("copy").textContent = done ? "Copied" : "Select it by hand";
});
$("plot").addEventListener("pointermove", (event) => { pointed = secondAt($("plot"), event.offsetX); paint(); });
$("plot").addEventListener("pointerleave", () => { pointed = undefined; paint(); });
$("you").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  $("you").open = false;
  $("you").querySelector("summary").focus();
});
addEventListener("pointerdown", ({ target }) => { if ($("you").open && !$("you").contains(target)) $("you").open = false; });
new ResizeObserver(() => paint()).observe($("plot"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);

$("you-name").textContent = shown($("name").value);
connect();
const linked = location.hash.slice(1).split(",").filter(Boolean).map((name) => { try { return decodeURIComponent(name); } catch { return name; } });
const linkedOnce = [...new Set(linked)];
for (const name of linkedOnce.length > 0 ? linkedOnce.slice(0, LINKED_MAX) : ["lobby"]) join(name);
look(rooms.keys().next().value);
if (linkedOnce.length > LINKED_MAX) note(rooms.get(current), `The link names ${linkedOnce.length} rooms. The first ${LINKED_MAX} of them are joined.`);
if (hasKeyboard) writing().focus(); // on a phone it would raise the keyboard
setInterval(tick, 1_000);
setInterval(measure, 3_000);
setInterval(announce, 5_000);
