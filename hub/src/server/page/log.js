// The conversation: what is kept of each room, and the rows of the one that is looked at.

const KEPT = 300;
/** Characters of a message that are shown at first. */
const SHOWN_MAX = 2_000;

/** A hue for a name, always the same one. */
export function hueOf(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 360;
  return hash;
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const NOTHING_TO_SEE = /^[\p{C}\p{Z}\p{M}\u115f\u1160\u2800\u3164\uffa0]*$/u;
// All that has no look of its own, or turns the order of what follows, but the joiners of emoji and of scripts that need them.
const UNSEEN = /(?<=^|[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{N}\p{P}\p{Z}])[\u200c\u200d]|(?![\u200c\u200d])[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** A name as it is shown: nobody looks like somebody else, or like nobody, by characters that are not seen. */
export function shown(name) {
  const escaped = (text) => [...text].map((character) => `\\u{${character.codePointAt(0).toString(16)}}`).join("");
  return NOTHING_TO_SEE.test(name) ? escaped(name) : name.replaceAll(UNSEEN, escaped);
}

export const authorOf = (message) => shown(message.user_id ?? message.client_id ?? (message.type === "binary" ? "binary" : "server"));

export function textOf({ type, payload }) {
  if (type === "binary") return `${payload.length} bytes`;
  return typeof payload === "string" ? payload : JSON.stringify(payload);
}

/** What was said in a room, the oldest first, within bounds. */
export class Transcript {
  entries = [];

  add(entry) {
    this.entries.push(entry);
    if (this.entries.length > KEPT) this.entries.shift();
  }

  /** Puts what was said before one came in front. */
  before(messages) {
    if (messages.length === 0) return;
    const mark = { kind: "note", isMark: true, text: "You came in here. Above is what was said earlier.", at: Date.now() };
    this.entries.unshift(...messages.map((message) => ({ kind: "message", isEarlier: true, message })), mark);
    this.entries.splice(0, this.entries.length - KEPT);
  }

  /** Puts what a gap had left out in its place. */
  fill(gap, messages) {
    const at = this.entries.indexOf(gap);
    if (at >= 0) this.entries.splice(at, 1, ...messages.map((message) => ({ kind: "message", message })));
  }
}

/** The rows on the screen. Messages come faster than a screen is drawn, so what is new waits for the next frame. */
export class Log {
  #waiting = [];
  #frame;

  /** `fetch` is called with a gap whose messages are asked for. */
  constructor({ scroller, list, welcome, newest, fetch }) {
    Object.assign(this, { scroller, list, welcome, newest, fetch });
    scroller.addEventListener("scroll", () => { if (this.isAtEnd) newest.hidden = true; });
    newest.addEventListener("click", () => { this.toEnd(); scroller.focus(); });
  }

  get isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.newest.hidden = true;
  }

  /** Shows another room. */
  show(transcript) {
    this.#waiting = [];
    this.list.replaceChildren(...transcript.entries.map((entry) => this.#row(entry)));
    this.welcome.hidden = transcript.entries.some(({ kind }) => kind === "message");
    this.toEnd();
  }

  /** Shows the same room anew, where one was; the button that asked for it is gone, and the focus goes to the log. */
  refill(transcript) {
    const { scrollTop } = this.scroller;
    this.show(transcript);
    this.scroller.scrollTop = scrollTop;
    this.scroller.focus({ preventScroll: true });
  }

  add(entry) {
    this.#waiting.push(entry);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
    this.#frame ??= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = undefined;
    if (this.#waiting.length === 0) return;
    const follows = this.isAtEnd;
    this.list.append(...this.#waiting.map((entry) => this.#row(entry)));
    this.welcome.hidden ||= this.#waiting.some(({ kind }) => kind === "message");
    this.#waiting = [];
    while (this.list.children.length > KEPT) this.list.firstChild.remove();
    if (follows) this.toEnd();
    else this.newest.hidden = false;
  }

  #row(entry) {
    const row = element("li", entry.isAsked ? "gap asked" : entry.kind);
    row.classList.toggle("earlier", entry.isEarlier === true);
    row.classList.toggle("mark", entry.isMark === true);
    const date = new Date(entry.message?.ts ?? entry.at ?? Date.now());
    const time = element("time", "", date.toLocaleTimeString([], { hour12: false }));
    time.title = date.toLocaleString();
    row.append(time, entry.kind === "message" ? this.#said(entry) : this.#noted(entry));
    return row;
  }

  #said({ message, where }) {
    const said = element("div");
    const who = element("span", "who", authorOf(message));
    who.style.setProperty("--hue", hueOf(authorOf(message)));
    if (where) said.append(element("span", "where", shown(message.room)));
    said.append(who, ...this.#text(textOf(message), typeof message.payload === "string" ? "text" : "text json"));
    return said;
  }

  /** What somebody wrote; of very much the beginning, until the rest is asked for. */
  #text(text, className) {
    if (text.length <= SHOWN_MAX) return [element("bdi", className, text)];
    const part = element("bdi", className, `${text.slice(0, SHOWN_MAX).replace(/[\ud800-\udbff]$/, "")}…`);
    const button = element("button", "", `Show all ${text.length.toLocaleString("en")} characters`);
    button.type = "button";
    button.addEventListener("click", () => { part.textContent = text; button.remove(); this.scroller.focus({ preventScroll: true }); });
    return [part, button];
  }

  #noted(entry) {
    const note = element("div", "note");
    note.append(...this.#text(entry.text, "text"));
    if (entry.kind === "gap" && entry.gap.from !== undefined && !entry.isFetched) {
      const button = element("button", "", "Fetch");
      button.type = "button";
      button.addEventListener("click", () => this.fetch(entry));
      note.append(button);
    }
    return note;
  }
}
