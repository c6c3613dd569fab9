// Chromium, which tells of all that a page must not do.

import { createRequire } from "node:module";
import fs from "node:fs";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync",
];

// Faults of all pages, in words.
export const faults = [];

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ARGS });

// A page in a browser context of its own, once it is connected.
export async function visit(browser, address, { options = {}, isConnected = true } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const own = new URL(address);
  page.on("request", (request) => {
    if (new URL(request.url()).host !== own.host) faults.push(`it asked for ${request.url()}`);
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== own.host) faults.push(`it connected to ${socket.url()}`);
  });
  page.on("pageerror", (error) => faults.push(`an error: ${error.stack}`));
  page.on("dialog", (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.exposeFunction("tellFault", (fault) => faults.push(fault));
  await page.addInitScript(() => {
    window.pwned = () => window.tellFault("a script ran that came as data");
    document.addEventListener("securitypolicyviolation", (event) => window.tellFault(`against the policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(address);
  if (isConnected) await page.locator("body[data-connection=connected]").waitFor();
  return page;
}

// What axe finds that is serious or critical.
export async function axe(page) {
  await page.evaluate(fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  const bad = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return {
    passes: passes.length,
    faults: bad.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 120)} ${failureSummary}`).join(" | ")}`),
  };
}
