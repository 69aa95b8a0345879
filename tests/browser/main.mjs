// Runs the checks; see run.
import { CLIENT_CHECKS } from "./client.mjs";
import { runChecks } from "./harness.mjs";
import { HUB_CHECKS } from "./hub.mjs";
import { PAGE_CHECKS } from "./page.mjs";

process.exit(await runChecks([CLIENT_CHECKS, HUB_CHECKS, PAGE_CHECKS], process.argv.slice(2)));
