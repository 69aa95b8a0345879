// Chromium on a page.   node browser.js echo|refused PAGE_URL WS_URL [EXTENSIONS]
//                       node browser.js own|foreign PAGE_URL WS_URL POST_URL [STATUS]
//
// It offers compression; EXTENSIONS is what the page must be told of it, nothing by default. The second two are for the hub: STATUS is
// what it must answer to a POST of the kind that any page can make to any server; 403 to that of a foreign page. The name example.com
// is this machine, whose certificates are taken as they are.
// Exit status 0 if the page saw what it should; otherwise the last line printed says what was wrong.
"use strict";
const assert = require("node:assert");
const { chromium } = require("playwright-core");

const OPTIONS = {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  // No sandbox, because tests run as root in containers; the rest keeps the browser from calling its maker.
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP example.com 127.0.0.1"],
};
const COUNT = 500; // of each type

/** Runs in the page: sends text and binary in turn, tells which echoes were wrong and how the connection ended. */
function echoInPage([url, count]) {
  return new Promise((resolve) => {
    const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
    const sent = Array.from({ length: 2 * count }, (_, i) => {
      const size = i < 2 * sizes.length ? sizes[i >> 1] : (i * 7_919) % 70_001;
      return i % 2 ? ["a", "é", "€", "😀"][(i >> 1) % 4].repeat(size / 4) : new Uint8Array(size).fill(i);
    });
    const wrong = [];
    let extensions;
    let received = 0;
    const ws = new WebSocket(url);
    ws.binaryType = "arraybuffer";
    ws.onopen = () => {
      extensions = ws.extensions;
      sent.forEach((message) => ws.send(message));
    };
    ws.onmessage = ({ data }) => {
      const message = sent[received];
      const echo = typeof data === "string" ? data : new Uint8Array(data);
      const equal = typeof echo === typeof message && echo.length === message.length
        && (typeof echo === "string" ? echo === message : echo.every((byte, at) => byte === message[at]));
      if (!equal) wrong.push(received);
      received += 1;
      if (received === sent.length) ws.close(1000, "enough");
    };
    ws.onclose = ({ code, wasClean }) => resolve({ received, wrong, code, wasClean, extensions });
  });
}

/** Runs in the page: tells whether the connection opened, and the code that the page was told. */
function openInPage(url) {
  return new Promise((resolve) => {
    let opened = false;
    const ws = new WebSocket(url);
    ws.onopen = () => { opened = true; ws.close(); };
    ws.onclose = ({ code, wasClean }) => resolve({ opened, code, wasClean });
  });
}

/** Runs in the page: the first message, and how the connection ends that the page then closes. */
function firstMessageInPage(url) {
  return new Promise((resolve) => {
    let first;
    const ws = new WebSocket(url);
    ws.onmessage = ({ data }) => { first = data; ws.close(1000); };
    ws.onclose = ({ code, wasClean }) => resolve({ first, code, wasClean });
  });
}

const scenarios = {
  async echo(page, url, extensions = "") {
    const found = await page.evaluate(echoInPage, [url, COUNT]);
    const wanted = { received: 2 * COUNT, wrong: [], code: 1000, wasClean: true, extensions };
    assert.deepStrictEqual(found, wanted, JSON.stringify(found));
  },

  async refused(page, url) {
    // The page learns nothing but 1006; the status is in the browser's own complaint on the console.
    const complaint = page.waitForEvent("console", { predicate: (m) => m.text().includes("WebSocket") });
    const found = await page.evaluate(openInPage, url);
    assert.deepStrictEqual(found, { opened: false, code: 1006, wasClean: false }, JSON.stringify(found));
    assert.match((await complaint).text(), /Unexpected response code: 403/);
  },

  /** A page of the hub's own, whose first message is a welcome. */
  async own(page, url, postUrl, status) {
    const { first, code, wasClean } = await page.evaluate(firstMessageInPage, url);
    assert.deepStrictEqual({ code, wasClean }, { code: 1000, wasClean: true }, `${code}, after ${first}`);
    assert.strictEqual(JSON.parse(first).type, "connection_established", first);
    await posts(page, postUrl, Number(status));
  },

  async foreign(page, url, postUrl) {
    await scenarios.refused(page, url);
    await posts(page, postUrl, 403);
  },
};

async function posts(page, url, status) {
  const answer = page.waitForResponse(url);
  const body = JSON.stringify("from a page");
  await page.evaluate(([to, what]) => fetch(to, { method: "POST", mode: "no-cors", body: what }), [url, body]);
  assert.strictEqual((await answer).status(), status, "the status");
}

async function main(what, pageUrl, ...rest) {
  const browser = await chromium.launch(OPTIONS); // with a profile of its own, removed at the end
  try {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    await page.goto(pageUrl);
    await scenarios[what](page, ...rest);
  } finally {
    await browser.close();
  }
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message.replaceAll("\n", " "));
  process.exit(1);
});
