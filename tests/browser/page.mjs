// The page of `framecast serve`, and /framecast.js, in Chromium.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { WebSocket, atEnd, chromium, eventually, network, post, serve, within } from "./harness.mjs";

const LAUNCH = {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  // No sandbox, because tests run as root in containers; the rest keeps the browser from calling its maker.
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
};
let browser;

/** One for all checks; each tab is of a context of its own, as if it were another person's. */
async function tab(url, options = {}) {
  browser ??= await chromium.launch(LAUNCH);
  const context = await browser.newContext(options);
  atEnd(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.complaints = [];
  page.requested = [];
  page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => page.requested.push(request.url()));
  await page.goto(url);
  return page;
}

export async function closeBrowser() {
  await browser?.close();
}

const connected = (page) => page.locator('#state[data-is="open"]').waitFor();
const away = (page) => page.locator('#state[data-is="connecting"]').waitFor();
const nameOf = (page) => page.locator("#you-name").innerText();
const said = (page, text) => page.locator("#messages li.message", { hasText: text }).first().waitFor();
const rows = (page) => page.locator("#messages li.message").allInnerTexts();

/** Somebody without a page, who says what is given to what is returned. */
async function visitor(url, name) {
  const socket = new WebSocket(`${url}/${encodeURIComponent(name)}`);
  atEnd(() => socket.terminate());
  socket.on("error", () => {});
  await within(once(socket, "open"), "the connection");
  return (message) => socket.send(JSON.stringify(message));
}

async function write(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Payloads of a room that the page shows, those of `POST /broadcast`. */
const payloads = async (page) => (await page.locator("#messages li.message .json").allInnerTexts()).map(Number);

export const PAGE_CHECKS = {
  async "page-lets-two-tabs-talk-and-see-each-other"() {
    const { http } = await serve();
    const [ada, bob] = [await tab(http), await tab(http)];
    await Promise.all([ada, bob].map(connected));
    const names = await Promise.all([ada, bob].map(nameOf));
    await ada.locator("#members li", { hasText: names[1] }).waitFor();
    await write(bob, "hello from bob");
    await Promise.all([ada, bob].map((page) => said(page, "hello from bob")));
    await write(ada, "and from ada");
    await said(bob, "and from ada");
    for (const page of [ada, bob]) assert.deepEqual((await rows(page)).map((row) => row.replace(/^\S+\s+/, "")), [`${names[1]}hello from bob`, `${names[0]}and from ada`]);
    await bob.close();
    await ada.locator("#messages li.note", { hasText: `${names[1]} left` }).waitFor();
    await eventually(async () => (await ada.locator("#members li").count()) === 1, "one member");
    assert.deepEqual(ada.complaints, []);
  },

  /** Names are of those who were seen to come and did not leave; who writes need not be there; the rest is a count. */
  async "page-names-who-is-there-and-counts-the-rest"() {
    const server = await serve();
    const members = (page) => page.locator("#members li").evaluateAll((items) => items.map((item) => item.lastChild.textContent.trim() === "you" ? "you" : item.lastChild.textContent));
    const are = (page, wanted) => eventually(async () => JSON.stringify(await members(page)) === JSON.stringify(wanted), `${wanted}`);
    const ann = await tab(`${server.http}?name=ann`);
    await connected(ann);
    const bob = await visitor(server.ws, "bob");
    const cleo = await visitor(server.ws, "cleo");
    for (const other of [bob, cleo]) other({ type: "subscribe", id: 1, room: "lobby" });
    await are(ann, ["you", "bob", "cleo"]);
    (await visitor(server.ws, "ghost"))({ type: "message", id: 1, room: "lobby", payload: "boo" });
    await said(ann, "boo");
    cleo({ type: "unsubscribe", id: 2, room: "lobby" });
    await are(ann, ["you", "bob"]);
    const dora = await tab(`${server.http}?name=dora`);
    await connected(dora);
    bob({ type: "message", id: 2, room: "lobby", payload: "late?" });
    await said(dora, "late?");
    await are(dora, ["you", "2 others without a name"]);
    await are(ann, ["you", "bob", "dora"]);
    await server.stop("SIGKILL");
    await away(ann);
    await serve({ port: server.port });
    await eventually(async () => {
      const seen = [(await members(ann)).join(), (await members(dora)).join()].sort().join(" and ");
      return ["you,1 other without a name and you,ann", "you,1 other without a name and you,dora"].includes(seen);
    }, "two members");
  },

  async "page-survives-a-server-that-is-killed"() {
    const server = await serve();
    const [ada, bob] = [await tab(server.http), await tab(server.http)];
    await Promise.all([ada, bob].map(connected));
    await write(ada, "before");
    await Promise.all([ada, bob].map((page) => said(page, "before")));
    await server.stop("SIGKILL");
    await Promise.all([ada, bob].map(away));
    await write(ada, "meanwhile");
    await ada.locator("#note", { hasText: "1 message waits for the connection." }).waitFor();
    await serve({ port: server.port });
    await Promise.all([ada, bob].map(connected));
    await ada.locator("#messages li.gap").waitFor();
    await write(bob, "after");
    await said(ada, "after");
    await said(ada, "meanwhile");
    const texts = (await rows(ada)).map((row) => row.replace(/^\S+\s+\S+-\d\d/, ""));
    assert.deepEqual(texts.sort(), ["after", "before", "meanwhile"]);
    await eventually(async () => (await ada.locator("#count").innerText()) === "2" && (await ada.locator("#members li").count()) === 2, "both members");
  },

  async "page-comes-back-to-a-server-that-drains"() {
    const server = await serve({ args: ["--drain", "1"] });
    const page = await tab(server.http);
    await connected(page);
    await server.stop("SIGTERM");
    await away(page);
    await serve({ port: server.port });
    await connected(page);
    await write(page, "still here");
    await said(page, "still here");
  },

  /** What is published while a tab is cut off is there once it is back: each once, in order. */
  async "page-behind-a-network-that-cuts-loses-and-doubles-nothing"() {
    const server = await serve();
    const net = await network(server.port);
    const page = await tab(`${net.http}#ticks`);
    await connected(page);
    await eventually(async () => (await page.locator("#rooms .size").innerText()) === "1", "the room");
    let n = 0;
    for (let cut = 0; cut < 3; cut += 1) {
      for (let more = 0; more < 10; more += 1) {
        n += 1;
        await post(`${server.http}broadcast/ticks`, n);
        if (more === 4) net.cut();
      }
      await connected(page);
      await eventually(async () => (await payloads(page)).at(-1) === n, "the newest");
    }
    assert.deepEqual(await payloads(page), Array.from({ length: n }, (_, at) => at + 1));
    assert.equal(await page.locator("#messages li.gap").count(), 0);
  },

  /** The client in the browser, whose WebSocket would wait for a goodbye: a silent network is found, what was sent is sent again. */
  async "page-client-finds-a-silent-network-and-loses-nothing"() {
    const server = await serve();
    const net = await network(server.port);
    const page = await tab(`${net.http}health`);
    await page.evaluate(async () => {
      const { Framecast } = await import("/framecast.js");
      const options = { heartbeat: { interval: 100, timeout: 300 }, reconnect: { base: 20, cap: 200, minUptime: 0 } };
      const [sender, reader] = [new Framecast("/ws", options), new Framecast("/ws", options)];
      const told = { got: [], acked: [], failed: [], closes: [], sent: 0 };
      reader.on("close", ({ code, reason }) => told.closes.push([code, reason]));
      await reader.subscribe("news", ({ payload }) => told.got.push(payload)).ready;
      const timer = setInterval(() => {
        const n = ++told.sent;
        sender.publish("news", n).ack.then(() => told.acked.push(n), ({ code }) => told.failed.push(code));
      }, 15);
      Object.assign(window, { told, stop: () => clearInterval(timer) });
    });
    const told = () => page.evaluate(() => window.told);
    await eventually(async () => (await told()).got.length > 10, "messages");
    net.stall();
    await eventually(async () => (await told()).closes.length > 0, "the heartbeat");
    await page.evaluate(() => window.stop());
    const end = await eventually(async () => { const now = await told(); return now.got.length >= now.sent && now.acked.length + now.failed.length === now.sent && now; }, "all messages");
    assert.deepEqual(end.got, Array.from({ length: end.sent }, (_, at) => at + 1));
    assert.deepEqual([end.failed, end.closes[0]], [[], [1006, "no sign of life within 300 ms"]]);
  },

  async "page-asks-for-a-token"() {
    const folder = await mkdtemp(path.join(tmpdir(), "framecast-"));
    atEnd(() => rm(folder, { recursive: true }));
    await writeFile(path.join(folder, "tokens"), "ada-token ada\n");
    const { http } = await serve({ args: ["--tokens", path.join(folder, "tokens")] });
    const page = await tab(http);
    await page.locator("#token").waitFor();
    const focus = () => page.evaluate(() => document.activeElement.id);
    await eventually(async () => (await focus()) === "token", "the focus");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await page.locator('#state[data-is="closed"]', { hasText: "A token is needed" }).waitFor();
    await page.keyboard.type("ada-token");
    await page.keyboard.press("Enter");
    await connected(page);
    assert.deepEqual([await focus(), await page.locator("#note").innerText()], ["text", ""]);
    assert.equal(await nameOf(page), "ada");
    assert.ok(page.requested.every((url) => !url.includes("token")), "a token in a URL");
  },

  async "page-keeps-its-name-and-lets-nobody-else-have-it"() {
    const { http } = await serve();
    const page = await tab(`${http}?name=ada`);
    await connected(page);
    await page.reload();
    await connected(page);
    await page.click("#you summary");
    await page.click("#connection .primary");
    await page.locator("#you:not([open])").waitFor();
    await connected(page);
    assert.equal(await nameOf(page), "ada");
    const stranger = await tab(`${http}?name=ada`);
    await stranger.locator('#state[data-is="closed"]', { hasText: "This name is somebody else's" }).waitFor();
    await stranger.keyboard.type("bob");
    await stranger.keyboard.press("Enter");
    await connected(stranger);
    assert.equal(new URL(stranger.url()).search, "?name=bob");
    await page.locator("#members li", { hasText: "bob" }).waitFor();
    const wrong = await tab(`${http}?name=${"n".repeat(300)}`);
    await wrong.locator('#state[data-is="closed"]', { hasText: "Not allowed: client_id is not valid" }).waitFor();
    assert.equal(await wrong.evaluate(() => document.activeElement.id), "name");
    const unnamed = await tab(http);
    await connected(unnamed);
    const name = await nameOf(unnamed);
    await unnamed.reload();
    await connected(unnamed);
    assert.equal(await nameOf(unnamed), name);
  },

  async "page-tells-gaps-and-fetches-what-they-left-out"() {
    const { http } = await serve();
    const page = await tab(http);
    await connected(page);
    await page.fill("#room", "ticks");
    await page.selectOption("#terms", "rate:1");
    await page.press("#room", "Enter");
    await eventually(async () => (await page.locator("#rooms .size").allInnerTexts()).join() === "1,1", "the room");
    for (let n = 1; n <= 10; n += 1) await post(`${http}broadcast/ticks`, n);
    await eventually(async () => (await payloads(page)).at(-1) === 10, "the newest");
    const lost = page.locator("#lost");
    await eventually(async () => Number(await lost.innerText()) > 0, "the figure");
    assert.equal(await page.locator(".tiles .bad").count(), 0);
    const gap = page.locator("#messages li.gap", { hasText: "left out, as you asked" });
    await eventually(async () => { if (await gap.count() > 0) await gap.first().getByRole("button").click(); return (await payloads(page)).length === 10; }, "what was left out");
    assert.deepEqual(await payloads(page), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert.equal(await page.evaluate(() => document.activeElement.id), "log");
    await eventually(async () => (await lost.innerText()) === "0", "the figure");
  },

  async "page-shows-what-was-said-before"() {
    const { http } = await serve();
    for (let n = 1; n <= 60; n += 1) await post(`${http}broadcast/ticks`, n);
    const page = await tab(`${http}?name=ada#ticks`);
    await page.locator("#messages .mark", { hasText: "You came in here." }).waitFor();
    const last = Array.from({ length: 50 }, (_, at) => at + 11);
    assert.deepEqual(await payloads(page), last);
    assert.equal(await page.locator("#messages .earlier").count(), 50);
    assert.ok(await page.locator("#welcome").isHidden());
    await post(`${http}broadcast/ticks`, 61);
    await eventually(async () => (await payloads(page)).at(-1) === 61, "the newest");
    assert.deepEqual(await payloads(page), [...last, 61]);
    await page.reload();
    await page.locator("#messages .mark").waitFor();
    assert.deepEqual(await payloads(page), [...last.slice(1), 61]);
    await page.click("#you summary"); // by another name: nothing twice, nothing missed
    await page.fill("#name", "ada2");
    await page.press("#name", "Enter");
    await eventually(async () => (await nameOf(page)) === "ada2", "the name");
    await post(`${http}broadcast/ticks`, 62);
    await eventually(async () => (await payloads(page)).at(-1) === 62, "the newest");
    assert.deepEqual(await payloads(page), [...last.slice(1), 61, 62]);
  },

  async "page-shows-names-as-they-are-and-long-messages-in-part"() {
    const { http, ws } = await serve();
    const page = await tab(`${http}?name=ada`);
    await connected(page);
    for (const [name, look] of [["\u202eada", "\\u{202e}ada"], ["\u200b\u00ad", "\\u{200b}\\u{ad}"], ["a\u200dda", "a\\u{200d}da"],
      ["نامه\u200cای", "نامه\u200cای"], ["👩\u200d🚀", "👩\u200d🚀"], ["<b>", "<b>"]]) {
      const says = await visitor(ws, name);
      says({ type: "subscribe", id: 1, room: "lobby" });
      says({ type: "message", id: 2, room: "lobby", payload: `by ${look}` });
      await said(page, `by ${look}`);
      assert.equal(await page.locator("#messages .who").last().textContent(), look);
      await eventually(async () => (await page.locator("#members .name").allTextContents()).includes(look), `the member ${look}`);
      assert.ok((await page.locator("#messages li.note").allTextContents()).some((text) => text.endsWith(`${look} came`)), look);
    }
    for (const payload of ["x".repeat(50_000), "\u202egnp.exe"]) await post(`${http}broadcast/lobby`, payload);
    const all = page.getByRole("button", { name: "Show all 50,000 characters" });
    await all.waitFor();
    assert.equal((await page.locator("#messages .text", { hasText: "xxx" }).textContent()).length, 2_001);
    await all.click();
    assert.equal((await page.locator("#messages .text", { hasText: "xxx" }).textContent()).length, 50_000);
    assert.equal(await page.locator("#messages .text").last().evaluate((text) => getComputedStyle(text).unicodeBidi), "isolate");
  },

  async "page-joins-some-rooms-of-a-long-link-and-keeps-no-room-that-is-none"() {
    const { http } = await serve();
    const page = await tab(`${http}#${Array.from({ length: 500 }, (_, at) => `r${at}`).join(",")}`);
    await connected(page);
    await page.locator("#messages li.note", { hasText: "The link names 500 rooms. The first 50 of them are joined." }).waitFor();
    await eventually(async () => (await page.locator("#rooms .size").allInnerTexts()).join("") === "1".repeat(50), "the rooms");
    await page.fill("#room", "a:>:b");
    await page.press("#room", "Enter");
    await page.locator("#messages li.note", { hasText: "Not joined: a:>:b" }).waitFor();
    assert.equal(await page.locator("#rooms button").count(), 50);
    assert.ok(!page.url().includes("%3E"), page.url());
    await page.fill("#room", "r7");
    await page.press("#room", "Enter");
    await page.locator("#note", { hasText: "You are in r7 already." }).waitFor();
    await write(page, "  ");
    await write(page, "to r7");
    await said(page, "to r7");
    assert.equal((await rows(page)).length, 1);
    assert.equal(await page.locator('#state[data-is="open"]').count(), 1);
  },

  async "page-fetches-what-is-still-kept-of-a-gap"() {
    const server = await serve();
    const net = await network(server.port);
    const page = await tab(`${net.http}#ticks`);
    await connected(page);
    await post(`${server.http}broadcast/ticks`, 0);
    await eventually(async () => (await payloads(page)).length === 1, "the first");
    net.refuse(true);
    net.cut();
    await away(page);
    for (let n = 1; n <= 120; n += 1) await post(`${server.http}broadcast/ticks`, n);
    net.refuse(false);
    const gap = page.locator("#messages li.gap", { hasText: "120 messages missed while you were away" });
    await gap.getByRole("button").click();
    await page.locator("#messages li.note", { hasText: "20 messages of those cannot be fetched" }).waitFor();
    assert.deepEqual(await payloads(page), [0, ...Array.from({ length: 100 }, (_, at) => at + 21)]);
    await eventually(async () => (await page.locator("#lost").innerText()) === "20", "the figure");
    assert.equal(await page.locator(".tiles .bad").count(), 1);
  },

  async "page-works-by-keyboard-and-names-what-it-has"() {
    const { http } = await serve();
    const page = await tab(http);
    await connected(page);
    const session = await page.context().newCDPSession(page);
    await page.evaluate(() => document.querySelector(".skip").focus()); // the first of them, above what has the focus at first
    assert.ok((await page.locator(".skip").boundingBox()).y >= 0, "the skip link is not seen");
    const seen = [];
    for (let n = 0; n < 12; n += 1) {
      await page.keyboard.press("Tab");
      const { id, isVisible, outline } = await page.evaluate(() => {
        const at = document.activeElement;
        return { id: at.id || at.textContent.trim(), isVisible: at.checkVisibility(), outline: getComputedStyle(at).outlineStyle };
      });
      seen.push(id);
      assert.ok(isVisible && outline !== "none", `the focus on ${id} is not seen`);
    }
    for (const wanted of ["room", "terms", "Join", "leave", "log", "text", "auto"]) assert.ok(seen.includes(wanted), `${wanted} is not reached: ${seen}`);
    await page.focus("#room");
    await page.keyboard.type("match:42");
    await page.keyboard.press("Enter");
    await page.keyboard.type("by keyboard");
    await page.keyboard.press("Enter");
    await said(page, "by keyboard");
    assert.equal(await page.locator("#talk-title").innerText(), "match:42");
    await page.locator("#announce", { hasText: "in match:42: by keyboard" }).waitFor({ state: "attached" });

    const { nodes } = await session.send("Accessibility.getFullAXTree");
    const controls = nodes.filter(({ ignored, role }) => !ignored && ["button", "textbox", "combobox", "link", "image", "log", "DisclosureTriangle", "navigation", "region"].includes(role?.value));
    assert.ok(controls.length >= 12, `${controls.length} controls`);
    assert.deepEqual(controls.filter(({ name }) => !name?.value).map(({ role }) => role.value), []);
  },

  async "page-fits-each-width-and-is-read-in-light-and-dark"() {
    const { http } = await serve();
    for (const colorScheme of ["light", "dark"]) {
      const page = await tab(`${http}#lobby,a-room-with-quite-a-long-name:of-many:parts`, { colorScheme });
      await connected(page);
      await write(page, "x".repeat(300));
      await said(page, "xxx");
      for (const width of [320, 390, 768, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `wider than ${width}`);
        const [live, text] = [await page.locator(".live").boundingBox(), await page.locator("#text").boundingBox()];
        assert.ok(width === 1280 ? live.y < text.y : text.y < live.y && text.y + text.height < 800, `at ${width}: writing at ${text.y}, figures at ${live.y}`);
      }
      const contrasts = await page.evaluate(() => {
        const pen = document.createElement("canvas").getContext("2d");
        const light = (name) => {
          pen.fillStyle = name.startsWith("--") ? getComputedStyle(document.documentElement).getPropertyValue(name) : name;
          pen.fillRect(0, 0, 1, 1);
          const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
        const pairs = [["--ink", "--card"], ["--ink", "--ground"], ["--soft", "--card"], ["--soft", "--ground"], ["--accent", "--card"], ["--accent", "--tint"],
          ["--on-accent", "--accent"], ["--bad", "--bad-tint"], ["--warn", "--card"]];
        // Names and faces have the hue of their name, which may be any.
        const [who, face] = [document.querySelector("#messages .who"), document.querySelector("#members .face")];
        for (let hue = 0; hue < 360; hue += 5) {
          for (const part of [who, face]) part.style.setProperty("--hue", hue);
          pairs.push([getComputedStyle(who).color, "--card"], [getComputedStyle(face).color, getComputedStyle(face).backgroundColor]);
        }
        return pairs.map(([a, b]) => [a, b, contrast(a, b)]);
      });
      assert.deepEqual(contrasts.filter(([, , contrast]) => contrast < 4.5), [], colorScheme);
    }
    const many = await tab(`${http}#${Array.from({ length: 50 }, (_, at) => `r${at}`).join(",")}`, { viewport: { width: 1280, height: 800 } });
    await eventually(async () => (await many.locator("#rooms button").count()) === 50, "the rooms");
    const button = await many.locator("#join button").boundingBox();
    assert.ok(button.y + button.height < 800, `the form at ${button.y}`);
  },

  async "page-needs-nobody-else-and-breaks-no-policy"() {
    const { http } = await serve();
    const page = await tab(http);
    await connected(page);
    await write(page, "hello");
    await said(page, "hello");
    await page.selectOption("#auto", "50");
    await eventually(async () => Number(await page.locator("#rate").innerText()) >= 20, "traffic");
    assert.deepEqual(page.requested.filter((url) => !url.startsWith(http)), []);
    assert.deepEqual(page.complaints, []);
    const client = await fetch(`${http}framecast.js`);
    assert.deepEqual([client.status, client.headers.get("content-type"), client.headers.get("cache-control")], [200, "text/javascript; charset=utf-8", "no-cache"]);
    const again = await within(fetch(`${http}framecast.js`, { headers: { "If-None-Match": client.headers.get("etag") } }), "the answer");
    assert.equal(again.status, 304);
  },
};
