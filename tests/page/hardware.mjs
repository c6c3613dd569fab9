// A machine that is made up: what natsdev, natsnet, natsmqtt and natsinit would tell.

const PCI = "/devices/pci0000:00";

export const DEVICES = [
  { devpath: `${PCI}/0000:00:14.0`, class: "pci", name: "0000:00:14.0", vendor: "8086", product: "a36d", vendor_name: "Intel", product_name: "Cannon Lake USB 3.1 xHCI", driver: "xhci_hcd" },
  { devpath: `${PCI}/0000:00:14.0/usb1/1-2`, vendor: "046d", product: "c52b", manufacturer: "Logitech", model: "USB Receiver", class: "hid", speed: 12, port: "1-2", devnode: "/dev/bus/usb/001/003", nodes: [], volumes: [], net: [], input: ["input5"] },
  { devpath: `${PCI}/0000:00:14.0/usb1/1-2/1-2:1.0/input/input5`, class: "input", name: "input5", kinds: ["keyboard"] },
  { devpath: `${PCI}/0000:00:17.0`, class: "pci", name: "0000:00:17.0", vendor: "8086", product: "a352", vendor_name: "Intel", product_name: "Cannon Lake SATA AHCI", driver: "ahci" },
  { devpath: `${PCI}/0000:00:17.0/ata1/block/sda`, class: "block", name: "sda", devtype: "disk", devnode: "/dev/sda", bus: "ata", model: "Samsung SSD 860" },
  { devpath: `${PCI}/0000:00:17.0/ata1/block/sda/sda1`, class: "block", name: "sda1", devtype: "partition", devnode: "/dev/sda1", fstype: "ext4", label: "root" },
  { devpath: `${PCI}/0000:00:17.0/ata1/block/sda/sda2`, class: "block", name: "sda2", devtype: "partition", devnode: "/dev/sda2", fstype: "swap" },
  { devpath: `${PCI}/0000:00:1f.6`, class: "pci", name: "0000:00:1f.6", vendor: "8086", product: "15bc", vendor_name: "Intel", product_name: "Ethernet I219-V", driver: "e1000e" },
  { devpath: `${PCI}/0000:00:1f.6/net/eno1`, class: "net", name: "eno1", ifname: "eno1", ifindex: 2 },
  { devpath: "/devices/virtual/net/lo", class: "net", name: "lo", ifname: "lo", ifindex: 1 },
  ...Array.from({ length: 8 }, (_, i) => ({ devpath: `/devices/virtual/tty/tty${i}`, class: "tty", name: `tty${i}`, devnode: `/dev/tty${i}` })),
];

export const STICK = {
  devpath: `${PCI}/0000:00:14.0/usb1/1-4`, vendor: "0951", product: "1666", manufacturer: "Kingston", model: "DataTraveler 3.0", serial: "60A44C3F", class: "storage",
  speed: 5000, port: "1-4", devnode: "/dev/bus/usb/001/004", nodes: ["/dev/sdb", "/dev/sdb1"],
  volumes: [{ devnode: "/dev/sdb1", fstype: "vfat", label: "HOLIDAYS", uuid: "1234-ABCD", size: 31_000_000_000 }], net: [], input: [],
};

export const LINKS = [
  { ifname: "eno1", ifindex: 2, mac: "3c:7c:3f:1b:22:a1", mtu: 1500, operstate: "up", addresses: [{ address: "192.168.1.20", prefix: 24, family: "inet", scope: "global" }, { address: "fe80::3e7c:3fff:fe1b:22a1", prefix: 64, family: "inet6", scope: "link" }] },
  { ifname: "lo", ifindex: 1, mtu: 65536, operstate: "unknown", addresses: [{ address: "127.0.0.1", prefix: 8, family: "inet", scope: "host" }] },
  { ifname: "wlan0", ifindex: 3, mac: "8c:1d:96:0a:77:10", mtu: 1500, operstate: "down", addresses: [] },
];

export const CLIENTS = [
  { client: "kitchen-sensor", user: "sensor", address: "192.168.1.31:50312", protocol: "5", keep_alive: 60, clean: false, connected: true },
  { client: "garden-valve", user: "sensor", address: "192.168.1.32:41200", protocol: "3.1.1", keep_alive: 30, clean: true, connected: true },
];

const MB = 1_000_000;
const SERVICES = { natsd: [2.1, 0.012], natsdev: [1.9, 0], natsmount: [1.6, 0], natsmqtt: [3.2, 0.004], natstoast: [1.5, 0], natsws: [2.8, 0.006], sensors: [6.4, 0.05] };

export const services = () => [
  ...Object.keys(SERVICES).map((name, i) => ({ name, state: "ready", pid: 212 + i, restarts: 0, at_us: 1 })), { name: "backup", state: "failed", exit_code: 1, restarts: 5, at_us: 1 },
];

export const INFO = { hostname: "kitchen", kernel: "6.12.57", architecture: "x86_64", os: "lunix 0.1", version: "0.1.0", board: "Thin client", init: true, cpus: 1, memory: 64 * MB, uptime_us: 1 };

// What they have used, `now` ms after the start.
const wave = (now, period) => (1 + Math.sin(now / period)) / 2;
export const usages = (now) => Object.entries(SERVICES).map(([name, [rss, share]], i) => ({
  name, rss: Math.round(MB * (rss + 0.25 * wave(now, 9_000 + 1_000 * i))), peak_rss: MB * (rss + 1), pids: 1,
  cpu_us: Math.round(1000 * share * (now + 6_000 * wave(now, 6_000 + 1_500 * i))),
}));

export function machine(now) {
  const busy = 0.14 * now + 1_100 * wave(now, 7_000) + 300 * wave(now, 2_300);
  return {
    at_us: 1, uptime_us: 1000 * (8_400_000 + now), processes: 41, load: { 1: 0.12, 5: 0.09, 15: 0.05, running: 1, threads: 48 },
    cpu: { cpus: 1, user_us: Math.round(600 * busy), system_us: Math.round(400 * busy), idle_us: Math.round(1000 * (now - busy) + 10 * MB) },
    memory: { total: 58 * MB, free: 20 * MB, available: Math.round(MB * (31 - 3 * wave(now, 15_000))) },
    storage: [{ target: "/data", fstype: "jffs2", size: 2 * MB, available: 1.3 * MB, read_only: false }, { target: "/media/HOLIDAYS", fstype: "vfat", size: 31_000 * MB, available: 18_400 * MB, read_only: false }],
  };
}
