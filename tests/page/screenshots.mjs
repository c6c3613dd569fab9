// Screenshots of the page for the documentation, of a machine that is made up. Usage: node screenshots.mjs FOLDER

import path from "node:path";
import { launch, visit } from "./browser.mjs";
import { CLIENTS, DEVICES, INFO, LINKS, STICK, machine, services, usages } from "./hardware.mjs";
import { House } from "./house.mjs";

const house = await House.open();
const now = () => performance.now();
house.answer("system.info", () => INFO);
house.answer("system.usage", () => machine(now()));
house.answer("service.list", services);
house.answer("service.usage", () => usages(now()));
house.answer("hardware.list", () => [...DEVICES, STICK]);
house.answer("network.list", () => LINKS);
house.answer("mqtt.clients", () => CLIENTS);
await house.nats.flush();

const browser = await launch();
const DESKTOP = { viewport: { width: 1280, height: 1000 }, deviceScaleFactor: 1.5 };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const shots = {
  "page-dark.png": { ...DESKTOP, colorScheme: "dark" },
  "page-light.png": { ...DESKTOP, colorScheme: "light" },
  "page-phone.png": { ...PHONE, colorScheme: "dark" },
};
const pages = await Promise.all(Object.entries(shots).map(async ([name, options]) => [name, await visit(browser, house.page, { options })]));

for (const [summary, body] of [["Backup finished", "12 GB in 4 minutes"], ["New mail", "3 messages"]]) {
  const { id } = await house.ask("toast.in", { summary, body, app: "backup" });
  await house.ask("toast.close", { id });
}
await house.ask("toast.in", { summary: "Copying photos", app: "files", urgency: "low", progress: 64, timeout_ms: 0 });
await house.ask("toast.in", { summary: "HOLIDAYS was plugged in", body: "Kingston DataTraveler, 31 GB, vfat", app: "natsmount", timeout_ms: 0, actions: [{ id: "open", label: "Open" }, { id: "eject", label: "Eject" }] });
await house.ask("toast.in", { summary: "The kitchen is cold", body: "17.5 degrees, and calibre does not run.", app: "heat", urgency: "critical" });
house.say("hardware.usb.add", STICK);
house.say("volume.mounted", { devnode: "/dev/sdb1", target: "/media/HOLIDAYS", fstype: "vfat", label: "HOLIDAYS" });
house.say("mqtt.client.connected", CLIENTS[0]);
house.say("network.link.down", { ifname: "wlan0", operstate: "down" });
// For graphs to have something to tell, and marks of what is new to fade.
await new Promise((resolve) => setTimeout(resolve, 1000 * (process.env.SECONDS ?? 90)));
for (const [name, page] of pages) {
  await page.screenshot({ path: path.join(process.argv[2], name), animations: "disabled" });
  console.log(`ok ${name}`);
}
await browser.close();
process.exit();
