// Runs the checks; see run.
import { CLIENT_CHECKS } from "./client.mjs";
import { runChecks } from "./harness.mjs";
import { HUB_CHECKS } from "./hub.mjs";
import { PAGE_CHECKS, closeBrowser } from "./page.mjs";

const status = await runChecks([CLIENT_CHECKS, HUB_CHECKS, PAGE_CHECKS], process.argv.slice(2));
await closeBrowser();
process.exit(status);
