// The page of hub/examples/sports, in Chromium, while a match is played.   node sports.js PAGE_URL
//
// Prints `seen` when it has seen what it should, and the server may be stopped; then waits for the next one, and prints `again`.
// Exit status 0 if all was as it should; otherwise the last line printed says what was wrong.
"use strict";
const assert = require("node:assert");
const { chromium } = require("playwright-core");

const OPTIONS = {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
};
const [url] = process.argv.slice(2);

async function ask(method, path, body) {
  const answer = await fetch(new URL(path, url), { method, body: JSON.stringify(body) });
  assert(answer.ok, `${method} ${path}: ${answer.status}`);
}

async function main(browser) {
  const page = await browser.newPage({ viewport: { width: 1100, height: 700 } });
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  const becomes = (what, wanted) => page.waitForFunction(([what, wanted]) => document.querySelector(what)?.textContent === wanted, [what, wanted]);
  const lines = (count) => page.waitForFunction((count) => document.querySelectorAll("#lines li").length === count, count);

  await page.goto(url);
  await page.waitForSelector("#state.live");
  await page.waitForSelector("#none:not([hidden])");
  await ask("POST", "/matches", { home: "Ajax", away: "Celtic" });
  await ask("POST", "/matches", { home: "Borussia Mönchengladbach", away: "Real Sociedad de Fútbol" });
  // By the keyboard: the newest match is the first link of the page.
  await page.waitForSelector('#matches a[data-id="2"]');
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await becomes("#score", "0 : 0");
  await ask("POST", "/matches/2/commentary", { minute: 23, text: "Goal! <b>In off the post</b>" });
  await ask("PUT", "/matches/2/score", { home: 1, away: 0 });
  await ask("PUT", "/matches/1/score", { home: 2, away: 2 });
  await becomes("#score", "1 : 0");
  await becomes("#lines li", "23’Goal! <b>In off the post</b>");
  await becomes('[data-id="1"] b', "2 : 2");
  console.log("seen");

  await page.waitForFunction(() => !document.querySelector("#state.live"));
  await page.waitForSelector("#state.live");
  await ask("POST", "/matches/2/commentary", { text: "It goes on" });
  await lines(2);
  await becomes("#score", "1 : 0");
  await page.setViewportSize({ width: 360, height: 740 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, "it fits on a phone");
  await page.goto(new URL("/?match=99", url).href);
  await becomes("#gone", "unknown match: 99");
  await page.waitForSelector("#state.live");
  // What cannot be connected to while the server is away is the browser's to say.
  assert.deepEqual(complaints.filter((text) => !text.includes("ERR_CONNECTION_REFUSED")), []);
  console.log("again");
}

(async () => {
  const browser = await chromium.launch(OPTIONS);
  try {
    await main(browser);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.log(String(error.message).split("\n")[0]);
  process.exit(1);
});
