// What people rely on of the page, in Chromium: `ok page NAME` or `FAILED page NAME: why`.

import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import zlib from "node:zlib";
import mqtt from "mqtt";
import { axe, faults, launch, visit } from "./browser.mjs";
import { DEVICES, LINKS, STICK } from "./hardware.mjs";
import { House, script, until } from "./house.mjs";
import { STRINGS } from "./strings.mjs";

const tests = {};
const SIZE = 60_000;

const text = (locator) => locator.evaluateAll((nodes) => nodes.map((node) => node.textContent));
const toast = (page, summary) => page.locator("#toasts .toast", { has: page.getByText(summary, { exact: true }) });
const panel = (page, id) => page.locator(`#${id}`);

tests["a toast is shown when it comes"] = async ({ house, page }) => {
  await page.evaluate(() => {
    window.seen = new Map();
    const look = () => document.querySelectorAll("#toasts .summary").forEach(({ textContent }) => {
      if (!window.seen.has(textContent)) window.seen.set(textContent, performance.timeOrigin + performance.now());
    });
    new MutationObserver(look).observe(document.querySelector("#toasts .shown"), { childList: true, subtree: true });
  });
  const times = [];
  for (let i = 0; i < 20; i++) {
    const said = performance.timeOrigin + performance.now();
    const { id } = await house.ask("toast.in", { summary: `Toast ${i}`, timeout_ms: 0 });
    const seen = await until(() => page.evaluate((name) => window.seen.get(name), `Toast ${i}`), `toast ${i}`);
    times.push(seen - said);
    house.say("toast.close", { id });
  }
  times.sort((a, b) => a - b);
  console.log(`a toast is on the page ${times[10].toFixed(1)} ms after toast.in (median of 20; longest ${times[19].toFixed(1)} ms)`);
  assert.ok(times[10] < 5_000);
  await until(async () => (await page.locator(".toast").count()) === 0, "no toast");
  assert.ok((await text(page.locator(".gone .summary"))).includes("Toast 19"));
};

tests["what a toast says and offers"] = async ({ house, page }) => {
  const actions = [{ id: "yes", label: "Do it" }, { id: "no" }];
  const { id } = await house.ask("toast.in", { summary: "Full", body: "two\nlines", app: "tester", urgency: "critical", progress: 40, actions });
  const shown = toast(page, "Full");
  await shown.waitFor();
  assert.equal(await shown.locator(".body").textContent(), "two\nlines");
  assert.match(await shown.locator(".from").textContent(), /tester/);
  assert.equal(await shown.locator("progress").getAttribute("value"), "40");
  await until(async () => (await page.locator("#alarm").textContent()) === "tester. Full. two\nlines", "what is critical, said at once");
  await house.ask("toast.in", { summary: "Full", replaces: id, progress: 90, actions, timeout_ms: 0 });
  await until(async () => (await shown.locator("progress").getAttribute("value")) === "90", "progress");
  assert.equal(await page.locator(".toast").count(), 1);
  const chosen = new Promise((resolve) => house.nats.subscribe("toast.action", { max: 1, callback: (_, message) => resolve(message.json()) }));
  await house.nats.flush();
  await shown.getByRole("button", { name: "Do it" }).click();
  assert.deepEqual(await chosen, { id, action: "yes" });
  await shown.waitFor({ state: "detached" });
};

tests["dismissed in one browser, it disappears in another"] = async ({ house, page, other }) => {
  await house.ask("toast.in", { summary: "Two browsers", timeout_ms: 0 });
  await Promise.all([toast(page, "Two browsers").waitFor(), toast(other, "Two browsers").waitFor()]);
  await toast(page, "Two browsers").getByRole("button", { name: "Dismiss: Two browsers" }).click();
  await Promise.all([page, other].map((at) => toast(at, "Two browsers").waitFor({ state: "detached" })));
};

tests["without daemons panels say so"] = async ({ page }) => {
  for (const [id, words] of [["devices", /natsdev is not running/], ["network", /natsnet is not running/], ["mqtt", /natsmqtt is not running/]]) {
    await panel(page, id).locator(".note").getByText(words).waitFor();
  }
};

tests["survives the server"] = async ({ house, page }) => {
  await house.ask("toast.in", { summary: "Before", timeout_ms: 0 });
  await toast(page, "Before").waitFor();
  await house.killServer();
  await page.locator("#connection", { hasText: /Connection lost.*Trying again/ }).waitFor();
  house.answer("hardware.list", () => house.devices);
  house.answer("network.list", () => LINKS);
  await house.startServer();
  await page.locator("#connection", { hasText: /^Connected$/ }).waitFor();
  await house.reach("toast.list");
  await house.ask("toast.in", { summary: "After", timeout_ms: 0 });
  await toast(page, "After").waitFor();
  assert.equal(await toast(page, "Before").count(), 1);
  for (const name of ["Before", "After"]) await toast(page, name).getByRole("button", { name: /Dismiss/ }).click();
};

tests["devices come and go as a tree"] = async ({ house, page }) => {
  // Those that answer came after the page had asked.
  await house.nats.flush();
  await page.reload();
  const tree = page.getByRole("tree", { name: "Devices" });
  await tree.getByText("Samsung SSD 860").waitFor();
  const disk = tree.getByRole("treeitem", { name: /Samsung SSD 860/ }).last();
  assert.deepEqual(await text(disk.locator("[role=group] > [role=treeitem] b")), ["sda1", "sda2"]);
  house.say("hardware.usb.add", STICK);
  const stick = tree.getByText("Kingston DataTraveler 3.0");
  await stick.waitFor();
  assert.match(await stick.evaluate((at) => at.closest("[role=group]").parentElement.querySelector("b").textContent), /xHCI/);
  await stick.click();
  await panel(page, "devices").locator(".detail").getByText(/HOLIDAYS/).waitFor();
  house.say("hardware.usb.remove", STICK);
  await stick.waitFor({ state: "detached" });
  assert.ok(!(await panel(page, "devices").locator(".detail").isVisible()));
};

tests["network"] = async ({ page }) => {
  await panel(page, "network").getByText("192.168.1.20/24").waitFor();
};

// Where natsmqtt listens, which lets pages of `site` connect.
const devicesAt = async (house, site) => (house.mqtt ??= await house.startMqtt("--origin", site));

tests["MQTT clients come and go"] = async ({ house, page, other, site }) => {
  const at = await devicesAt(house, site);
  const row = (page, name) => panel(page, "mqtt").locator("li", { has: page.getByText(name, { exact: true }) });
  const state = (page, name, text) => row(page, name).locator(".state", { hasText: text }).waitFor();
  const connect = (clientId, options) => mqtt.connectAsync(at.mqtt, { clientId, reconnectPeriod: 0, ...options });
  const lamp = await connect("lamp", { protocolVersion: 4 });
  const kept = { protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 600 } };
  const valve = await connect("valve", kept);
  await Promise.all([state(page, "lamp", "connected"), state(page, "valve", "connected")]);
  assert.match(await row(page, "lamp").locator(".about").textContent(), /^127\.0\.0\.1:\d+ · MQTT 3\.1\.1$/);
  await valve.endAsync(true);
  await Promise.all([page, other].map((at) => state(at, "valve", "away")));
  // Who comes later asks.
  await other.reload();
  await Promise.all([state(other, "lamp", "connected"), state(other, "valve", "away")]);
  await lamp.endAsync();
  await Promise.all([page, other].map((at) => row(at, "lamp").waitFor({ state: "detached" })));
  const again = await connect("valve", kept);
  await Promise.all([page, other].map((at) => state(at, "valve", "connected")));
  await again.endAsync();
};

tests["MQTT.js in a page, through natsmqtt"] = async ({ house, browser, site }) => {
  const { ws } = await devicesAt(house, site);
  const says = new Promise((resolve) => house.nats.subscribe("page.says", { max: 1, callback: (_, message) => resolve(message.string()) }));
  await house.nats.flush();
  const context = await browser.newContext();
  const page = await context.newPage();
  const connect = () => page.evaluate(async (url) => {
    window.client = await window.mqtt.connectAsync(url, { protocolVersion: 5, reconnectPeriod: 0 }, false);
    window.hears = new Promise((resolve) => window.client.once("message", (topic, payload) => resolve(`${topic} ${payload}`)));
    await window.client.subscribeAsync("page/hears", { qos: 1 });
    await window.client.publishAsync("page/says", "words of a page", { qos: 1 });
  }, `${ws}/mqtt`);
  await page.goto(site);
  await connect();
  assert.equal(await says, "words of a page");
  house.say("page.hears", "words of NATS");
  assert.equal(await page.evaluate(() => window.hears), "page/hears words of NATS");
  // The same page of another origin.
  await page.goto(site.replace("127.0.0.1", "localhost"));
  await assert.rejects(connect(), /Couldn.t connect to server/);
  await context.close();
};

tests["services: states, usage, stop and start"] = async ({ house, page }) => {
  const row = page.locator("#services li[data-name=sleeper]");
  await row.getByText("ready").waitFor();
  await row.locator(".memory .value", { hasText: /B/ }).waitFor();
  await page.locator("#services li[data-name=loser][data-state=failed]").waitFor();
  await house.ask("service.sleeper.stop");
  await row.getByText("stopped").waitFor();
  await row.getByRole("button", { name: "sleeper", exact: true }).click();
  await row.getByRole("button", { name: "Start sleeper" }).click();
  await page.locator("#services li[data-name=sleeper][data-state=ready]").waitFor();
  await row.getByRole("button", { name: "Stop sleeper" }).click();
  await page.locator("#services li[data-name=sleeper][data-state=stopped]").waitFor();
  const talker = page.locator("#services li[data-name=talker]");
  await talker.getByRole("button", { name: "talker", exact: true }).click();
  await talker.getByText("a line of its own").waitFor();
};

tests["usage is asked for only while it is seen"] = async ({ house, page, other }) => {
  let asked = 0;
  let last = performance.now();
  const listen = house.nats.subscribe("service.usage", { callback: () => {
    asked++;
    last = performance.now();
  } });
  await house.nats.flush();
  await until(() => asked >= 2, "two requests for usage");
  const show = (isShown) => Promise.all([page, other].map((at) => at.evaluate((hidden) => (document.querySelector("#services").hidden = hidden), !isShown)));
  await show(false);
  await until(() => performance.now() - last > 5_000, "five seconds without a request while nobody looks");
  const before = asked;
  await show(true);
  await until(() => asked > before + 1, "requests once somebody looks again");
  listen.unsubscribe();
};

tests["events: filter and pause"] = async ({ house, page }) => {
  const rows = page.locator("#events ol li");
  await page.locator("#filter").fill("volume.*");
  house.say("volume.mounted", { devnode: "/dev/sdz1", target: "/media/z" });
  house.say("login.opened", { user: "somebody" });
  await rows.getByText("/media/z").waitFor();
  assert.deepEqual([...new Set(await text(rows.locator("b")))], ["volume.mounted"]);
  await page.locator("#filter").fill("SOMEBODY");
  await rows.getByText("login.opened").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("#filter").fill("later");
  house.say("login.opened", { user: "later" });
  await page.locator("#events .count", { hasText: "paused" }).waitFor();
  await house.nats.flush();
  assert.equal(await rows.count(), 0);
  await page.getByRole("button", { name: "Pause" }).click();
  await rows.getByText("later").waitFor();
  await page.locator("#filter").fill("");
};

tests["a storm of events does not freeze it"] = async ({ house, page }) => {
  for (let i = 0; i < 50; i++) {
    for (let j = 0; j < 500; j++) house.say("process.exec", { pid: 500 * i + j, ppid: 1, comm: "storm" });
    await house.nats.flush();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await house.ask("toast.in", { summary: "In the storm", timeout_ms: 0 });
  await toast(page, "In the storm").waitFor();
  assert.ok((await page.locator("#events ol li").count()) <= 200);
  await until(async () => Number((await page.locator("#events .count").textContent()).replaceAll(",", "").match(/^\d+/)[0]) >= 25_000, "all events counted");
  await toast(page, "In the storm").getByRole("button", { name: /Dismiss/ }).click();
};

tests["publish and request"] = async ({ house, page }) => {
  const subject = page.getByRole("textbox", { name: "Subject", exact: true });
  const result = page.locator("#result");
  const heard = new Promise((resolve) => house.nats.subscribe("page.test", { max: 1, callback: (_, message) => resolve(message) }));
  house.nats.subscribe("page.echo", { callback: (_, message) => {
    const headers = message.headers;
    message.respond(JSON.stringify({ heard: message.string() }), { headers });
  } });
  house.nats.subscribe("page.silent", { callback: () => {} });
  await house.nats.flush();
  await subject.fill("page.test");
  await page.getByLabel("Payload").fill("grüße");
  await page.locator("#send summary").click();
  await page.getByLabel("Headers, a line each").fill("Colour: green");
  await page.getByRole("button", { name: "Publish" }).click();
  const message = await heard;
  assert.deepEqual([message.string(), message.headers.get("Colour")], ["grüße", "green"]);
  await subject.fill("page.echo");
  await page.getByRole("button", { name: "Request" }).click();
  await page.locator("#answer").getByText("Colour: green").waitFor();
  assert.match(await page.locator("#answer").textContent(), /"heard": "grüße"/);
  await subject.fill("page.nobody");
  await page.getByRole("button", { name: "Request" }).click();
  await result.getByText("Nobody answers page.nobody.").waitFor();
  await page.getByLabel("Wait").fill("0.2");
  await subject.fill("page.silent");
  await page.getByRole("button", { name: "Request" }).click();
  await result.getByText("No answer on page.silent within 0.2 s.").waitFor();
  for (const [wrong, words] of [["", "missing"], ["a b", "blanks"], ["a..b", "empty token"], ["a.*", "*"]]) {
    await subject.fill(wrong);
    await page.getByRole("button", { name: "Publish" }).click();
    await result.getByText(words).waitFor();
  }
};

tests["with the keyboard alone"] = async ({ house, page }) => {
  await house.ask("toast.in", { summary: "For the keyboard", timeout_ms: 0, actions: [{ id: "go", label: "Go" }] });
  await toast(page, "For the keyboard").waitFor();
  await page.evaluate(() => document.activeElement.blur());
  // What has the focus, and whether one sees that it has.
  const focused = () => page.evaluate(() => {
    const { activeElement: at } = document;
    const drawn = at.getAttribute("role") === "treeitem" ? at.firstElementChild : at;
    if (at === document.body) return { name: "", seen: true };
    return { name: at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent, id: at.id, role: at.getAttribute("role"), seen: getComputedStyle(drawn).outlineStyle !== "none" };
  });
  const walked = [];
  const reach = async (wanted, key = "Tab") => {
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press(key);
      const at = await focused();
      walked.push(at);
      if (wanted(at)) return at;
    }
    throw new Error(`not reached: ${wanted}`);
  };
  await reach(({ name }) => name === "Skip to the panels");
  await page.keyboard.press("Enter");
  await reach(({ name }) => name === "Go");
  await reach(({ name }) => name === "sleeper");
  await page.keyboard.press("Enter");
  await reach(({ id }) => id === "filter");
  await page.keyboard.type("nothing at all");
  await page.locator("#events .note", { hasText: "Nothing that is kept matches." }).waitFor();
  await page.locator("#filter").evaluate((input) => input.select());
  await page.keyboard.press("Delete");
  await reach(({ id }) => id === "pause");
  await reach(({ role }) => role === "treeitem");
  await reach(({ name }) => name.startsWith("sda1"), "ArrowDown");
  await page.keyboard.press("Enter");
  await panel(page, "devices").locator(".detail").getByText("/dev/sda1").waitFor();
  const above = await (await page.keyboard.press("ArrowLeft"), focused());
  assert.match(above.name, /Samsung/);
  await page.keyboard.press("ArrowLeft");
  await until(async () => (await page.getByRole("tree").getByText("sda1", { exact: true }).count()) === 0, "a closed node");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+Tab");
  await reach(({ name }) => name === "Dismiss: For the keyboard", "Shift+Tab");
  await page.keyboard.press("Enter");
  await toast(page, "For the keyboard").waitFor({ state: "detached" });
  await until(async () => (await focused()).id === "toasts-title", "the focus near what is gone");
  const unseen = walked.filter(({ seen }) => !seen);
  assert.deepEqual(unseen, [], "focus that one does not see");
};

tests["what comes is text"] = async ({ house, page, other }) => {
  for (const [i, string] of STRINGS.entries()) {
    house.say("toast.show", { id: 900_000 + i, summary: string, body: string, app: string, urgency: string, actions: [{ id: string, label: string }] });
    house.say("hardware.usb.add", { ...STICK, devpath: `/devices/${i}/${string}`, model: string, manufacturer: "", serial: string, devnode: string, port: string, class: string });
    house.say("mqtt.client.connected", { client: string, user: string, address: string, protocol: string });
    house.say("service.strings.ready", { name: string, state: "ready" });
    house.say(`hardware.${string.replace(/[\s.]/g, "_")}.add`, string);
  }
  await house.nats.flush();
  const last = STRINGS.at(-1);
  for (const at of [page, other]) {
    await toast(at, last).waitFor();
    const summaries = await text(at.locator("#toasts .summary"));
    for (const string of STRINGS) assert.ok(summaries.includes(string), `not as it was written: ${string}`);
    const names = await text(at.locator("#services .name"));
    for (const string of STRINGS) assert.ok(names.includes(string), `not as it was written: ${string}`);
    await until(async () => (await text(at.locator("#mqtt b"))).includes(last), "the last device of MQTT");
    await until(async () => (await text(at.locator("[role=tree] b"))).includes(last), "the last device");
    await at.getByRole("tree").getByText(last, { exact: true }).first().click();
    const made = await at.evaluate(() => [...document.querySelectorAll("main *, main script")].map(({ localName }) => localName));
    assert.deepEqual(made.filter((name) => /^(img|script|iframe|object|embed|a|style|link|math|video|base|meta|marquee|select-x)$/.test(name)), []);
    assert.equal(await at.locator("main svg:not(.graph)").count(), 0);
  }
  for (const i of STRINGS.keys()) {
    house.say("toast.closed", { id: 900_000 + i, reason: "closed" });
    house.say("hardware.usb.remove", { devpath: `/devices/${i}/${STRINGS[i]}` });
  }
  await until(async () => (await page.locator(".toast").count()) === 0, "no toast");
};

for (const colorScheme of ["dark", "light"]) {
  tests[`no serious fault of accessibility, ${colorScheme}`] = async ({ house, page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const { id } = await house.ask("toast.in", { summary: "For axe", body: "text", app: "axe", urgency: "critical", progress: 10, actions: [{ id: "a" }] });
    await toast(page, "For axe").waitFor();
    await page.locator("#toasts details").evaluate((details) => (details.open = true));
    const found = await axe(page);
    assert.deepEqual(found.faults, []);
    assert.ok(found.passes > 20, `axe looked at ${found.passes} rules only`);
    await house.ask("toast.close", { id });
  };
}

tests["a phone: nothing is wider than it"] = async ({ house, browser }) => {
  const page = await visit(browser, house.page, { options: { viewport: { width: 390, height: 844 } } });
  await page.locator("#services li").first().waitFor();
  for (const width of [390, 320, 768]) {
    await page.setViewportSize({ width, height: 844 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
  }
  await page.context().close();
};

tests["who may not listen is told, and who signs in may"] = async ({ browser }) => {
  const config = `authorization { users [
    { user: guest, password: secret, permissions { publish: ["$SYS.none"], subscribe: ["_INBOX.>", "toast.closed"] } }
    { user: owner, password: secret }
  ] }`;
  const house = await House.open({ config });
  const page = await visit(browser, house.page, { isConnected: false });
  const signIn = async (user) => {
    await page.getByLabel("User").fill(user);
    await page.getByLabel("Password").fill("secret");
    await page.getByRole("button", { name: "Sign in" }).click();
  };
  await page.getByText("The server asks who you are").waitFor();
  await signIn("nobody");
  await page.locator("#connection", { hasText: "Refused" }).waitFor();
  await signIn("guest");
  await page.locator("#connection", { hasText: /^Connected$/ }).waitFor();
  await panel(page, "events").locator(".note", { hasText: "You may not listen to" }).waitFor();
  await panel(page, "services").locator(".note", { hasText: "does not let you publish to service.list" }).waitFor();
  await page.context().close();
};

tests["examples/web displays toasts"] = async ({ house, browser }) => {
  const folder = fs.mkdtempSync("example-");
  try {
    fs.cpSync(process.env.EXAMPLE, folder, { recursive: true, filter: (file) => !file.endsWith("node_modules") });
    fs.symlinkSync(path.resolve("node_modules"), path.join(folder, "node_modules"));
    const page = await visit(browser, await house.serve("--page", folder), { isConnected: false });
    const shown = page.getByText("<b>a toast</b>").first();
    await until(async () => {
      house.say("toast.in", "<b>a toast</b>");
      return shown.isVisible();
    }, "the toast");
    await page.context().close();
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
};

tests["its size"] = async ({ house }) => {
  const names = new Set(["/"]);
  let size = 0;
  for (const name of names) {
    const answer = await fetch(new URL(name, house.page));
    assert.equal(answer.status, 200, name);
    assert.equal(answer.headers.get("content-encoding"), "gzip", name);
    const body = await answer.text();
    size += zlib.gzipSync(body, { level: 9 }).length;
    for (const [, found] of body.matchAll(/(?:href|src)="([\w.-]+)"|from "\.\/([\w.-]+)"/g)) names.add(found);
    for (const [, found] of body.matchAll(/from "\.\/([\w.-]+)"/g)) names.add(found);
    names.delete(undefined);
  }
  console.log(`the page is ${names.size} files, ${size} bytes compressed`);
  assert.ok(names.size > 10 && size <= SIZE);
};

tests["nothing from elsewhere, nothing against its policy, no error"] = async () => assert.deepEqual(faults, []);

const house = await House.open({
  services: ["sleeper=sleep 1000", "loser=false", `talker=${script("talker.sh", "echo a line of its own\nexec sleep 1000\n")}`],
});
house.devices = DEVICES;
// A page with the bundle that MQTT.js has for browsers.
const bundle = fs.readFileSync(createRequire(import.meta.url).resolve("mqtt/dist/mqtt.min"));
const server = http.createServer(({ url }, response) => {
  const [type, body] = url === "/mqtt.js" ? ["text/javascript", bundle] : ["text/html", '<!doctype html><script src="mqtt.js"></script>'];
  response.setHeader("content-type", type).end(body);
});
await once(server.listen(0, "127.0.0.1"), "listening");
const site = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
const page = await visit(browser, house.page);
const other = await visit(browser, house.page);
page.setDefaultTimeout(60_000);
other.setDefaultTimeout(60_000);

let failed = 0;
const only = process.env.ONLY;
for (const [name, test] of Object.entries(tests)) {
  if (only && !name.includes(only)) continue;
  const start = performance.now();
  try {
    await test({ house, browser, page, other, site });
    console.log(`ok page ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED page ${name}: ${error.stack?.replace(/\s*\n\s*/g, " | ").slice(0, 1200)}`);
  }
  if (process.env.TIMES) console.log(`  ${(performance.now() - start).toFixed(0)} ms`);
}
await browser.close();
process.exit(failed > 0 ? 1 : 0);
