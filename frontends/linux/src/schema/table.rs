//! The table: every subject that the programs of this build speak.

use super::{Body, Field, Group, Kind, Shape, Subject, Type, bridge, natsinit};
use Type::{Flag, Map, Number, Objects, Text, Texts, Whole, Word};

pub(super) const fn must(key: &'static str, kind: Type, about: &'static str) -> Field {
    Field { key, kind, required: true, about }
}

pub(super) const fn may(key: &'static str, kind: Type, about: &'static str) -> Field {
    Field { key, kind, required: false, about }
}

pub(super) static NOTHING: Shape =
    Shape { name: "Nothing", about: "Ignored; mostly empty.", body: Body::Nothing };

pub(super) static ERROR: Shape = Shape {
    name: "Error",
    about: "A request that is refused.",
    body: Body::Object(&[must("error", Text, "why, in one line that names the key and what was expected")]),
};

static UEVENT: Shape = Shape {
    name: "Uevent",
    about: "A kernel event as it came. What is not UTF-8 becomes U+FFFD.",
    body: Body::Object(&[
        must(
            "action",
            Text,
            "`add` `remove` `change` `move` `online` `offline` `bind` `unbind`, or what a newer kernel says",
        ),
        must("devpath", Text, "path below /sys"),
        must("subsystem", Text, "may be empty"),
        may("seqnum", Whole, "the kernel's number of the event"),
        must("env", Map, "all KEY=VALUE of the event, ACTION, DEVPATH, SUBSYSTEM and SEQNUM included"),
    ]),
};

static LOST: Shape = Shape {
    name: "Lost",
    about: "The kernel dropped events; every one from `from` to `to` may be among them. A resync follows.",
    body: Body::Object(&[
        must("from", Whole, "first number that may be missing"),
        must("to", Whole, "last number that may be missing"),
    ]),
};

static DEVICE: Shape = Shape {
    name: "Device",
    about: "A device that is ready for use.",
    body: Body::Object(&[
        must("devpath", Text, "path below /sys"),
        must("class", Text, "its subsystem"),
        must("name", Text, "the last part of devpath"),
        may("devtype", Text, "as the kernel names it: `disk`, `partition`, …"),
        may("devnode", Text, "its node, with /dev/"),
        may("major", Whole, "of its node"),
        may("minor", Whole, "of its node"),
        may("links", Texts, "links to its node, with /dev/"),
        may("ifname", Text, "of network interfaces"),
        may("ifindex", Whole, "of network interfaces"),
        may("driver", Text, ""),
        may("modalias", Text, ""),
        may("bus", Text, "`usb`, `pci`, `ata`, … (ID_BUS)"),
        may("vendor", Text, "four hexadecimal digits"),
        may("product", Text, "four hexadecimal digits"),
        may("vendor_name", Text, "what the table of hardware calls the vendor"),
        may("product_name", Text, "what the table of hardware calls the product"),
        may("manufacturer", Text, "as the device says"),
        may("model", Text, "as the device says"),
        may("serial", Text, "as the device says"),
        may("fstype", Text, "of volumes: `vfat`, `exfat`, `ext4`, …"),
        may("label", Text, "of volumes"),
        may("uuid", Text, "of volumes, as blkid prints it"),
        may("kinds", Texts, "of input devices: `keyboard`, `mouse`, `touchpad`, …"),
        may("devpath_old", Text, "after a rename"),
        may("again", Flag, "true where it is announced again, after a reconnect or on hardware.trigger"),
    ]),
};

static VOLUME: Shape = Shape {
    name: "Volume",
    about: "A block device with or without a file system.",
    body: Body::Object(&[
        must("devnode", Text, "with /dev/"),
        may("fstype", Text, "`vfat`, `exfat`, `ext4`, …; null where nothing is known"),
        may("label", Text, "or null"),
        may("uuid", Text, "as blkid prints it, or null"),
        must("size", Whole, "bytes"),
    ]),
};

static USB: Shape = Shape {
    name: "UsbDevice",
    about: "A USB device, once its drivers are bound and its disks are there. Root hubs are none.",
    body: Body::Object(&[
        must("devpath", Text, "path below /sys"),
        may("vendor", Text, "four hexadecimal digits"),
        may("product", Text, "four hexadecimal digits"),
        may("vendor_name", Text, "what the table of hardware calls the vendor"),
        may("product_name", Text, "what the table of hardware calls the product"),
        may("manufacturer", Text, "as the device says"),
        may("model", Text, "as the device says"),
        may("serial", Text, "as the device says"),
        may("class", Text, "`storage`, `hid`, `audio`, …"),
        may("speed", Number, "Mbit/s"),
        may("devnode", Text, "its own node, `/dev/bus/usb/…`"),
        must("port", Text, "where it is plugged in: `1-2.3`"),
        must("nodes", Texts, "device nodes below it"),
        must("volumes", Objects(&VOLUME), "what could be mounted"),
        must("net", Texts, "network interfaces"),
        must("input", Texts, "input devices"),
        may("truncated", Flag, "true where not all of it fitted"),
        may("again", Flag, "true where it is announced again"),
    ]),
};

static SNAPSHOT_BEGIN: Shape = Shape {
    name: "SnapshotBegin",
    about: "From here on every device that is present is announced.",
    body: Body::Object(&[must("again", Flag, "it is not the first time")]),
};

static SNAPSHOT_END: Shape = Shape {
    name: "SnapshotEnd",
    about: "Every device that is present was announced since the beginning.",
    body: Body::Object(&[
        must("again", Flag, "it is not the first time"),
        must("devices", Whole, "how many were announced"),
    ]),
};

static HARDWARE_FULL: Shape = Shape {
    name: "HardwareFull",
    about: "A device that the table of devices has no room for: it is in no list, and nothing more is said of it.",
    body: Body::Object(&[
        must("devpath", Text, "path below /sys"),
        must("class", Text, "its subsystem"),
        must("limit", Whole, "devices that have room"),
    ]),
};

static TRIGGER: Shape = Shape {
    name: "Trigger",
    about: "Which devices; empty for all.",
    body: Body::Object(&[
        may("subsystem", Text, "only of this class"),
        may("devpath", Text, "only this one"),
    ]),
};

static TRIGGERED: Shape = Shape {
    name: "Triggered",
    about: "",
    body: Body::Object(&[must("devices", Whole, "how many are announced again")]),
};

static HOTPLUG_STATS: Shape = Shape {
    name: "HotplugStats",
    about: "What natsdev has counted since its start.",
    body: Body::Object(&[
        must("events", Whole, "kernel events taken"),
        must("coldplug_events", Whole, "of these, made by natsdev itself"),
        must("refused", Map, "messages by why: `sender credentials truncated malformed libudev`"),
        must("overruns", Whole, "times the kernel dropped events"),
        must("resyncs", Whole, ""),
        must("published", Whole, "messages"),
        must("dropped", Map, "`messages` and `bytes` that no server took"),
        must("devices", Whole, "known now"),
        must("max_devices", Whole, "known at most"),
        must("usb", Whole, "USB devices announced"),
        must("max_usb", Whole, "at most"),
        must("refused_devices", Whole, "that had no room"),
        may(
            "known_us",
            Whole,
            "since when all is known that was there at its start, in microseconds after boot",
        ),
        must("rcvbuf", Whole, "bytes of the socket's buffer"),
    ]),
};

static ANY_DEVICE: Shape =
    Shape { name: "AnyDevice", about: "A USB device, or another one.", body: Body::OneOf(&[&DEVICE, &USB]) };

static ALL_DEVICES: Shape =
    Shape { name: "AllDevices", about: "Devices that are present.", body: Body::List(&ANY_DEVICE) };

static DEVICES: Shape =
    Shape { name: "Devices", about: "Devices of one class that are present.", body: Body::List(&DEVICE) };

static USB_DEVICES: Shape =
    Shape { name: "UsbDevices", about: "USB devices that are present.", body: Body::List(&USB) };

static TEXT: Shape = Shape {
    name: "PlainText",
    about: "Whatever is not one JSON object. The first line that shows anything is the summary, the rest the body.",
    body: Body::Text,
};

static OFFER: Shape = Shape {
    name: "Action",
    about: "Something the user can choose.",
    body: Body::Object(&[
        must("id", Text, "what toast.action names: 1 to 32 bytes without control characters"),
        may("label", Text, "what the user reads; the id if it is missing; cut beyond 48 bytes"),
    ]),
};

static TOAST_REQUEST: Shape = Shape {
    name: "ToastRequest",
    about: "A toast as its sender wishes it. `null` counts as absent.",
    body: Body::Object(&[
        must("summary", Text, "one line; cut beyond 256 bytes"),
        may("body", Text, "more lines; cut where the toast's 1536 bytes of text end"),
        may("app", Text, "who speaks; cut beyond 64 bytes"),
        may("icon", Text, "name or path of a picture; at most 128 bytes"),
        may("urgency", Word(&["low", "normal", "critical"]), "`normal` if missing"),
        may(
            "timeout_ms",
            Whole,
            "how long to show it; 0 = until it is closed; if missing by urgency: 5000, 10000, 0",
        ),
        may("replaces", Whole, "the toast whose id and place it takes"),
        may("progress", Whole, "0 to 100"),
        may("resident", Flag, "an action that is chosen does not close it"),
        may("transient", Flag, "it is not in `toast.history`"),
        may("actions", Objects(&OFFER), "at most 6"),
    ]),
};

static TOAST_IN: Shape = Shape { name: "ToastIn", about: "", body: Body::OneOf(&[&TEXT, &TOAST_REQUEST]) };

static TOAST: Shape = Shape {
    name: "Toast",
    about: "A toast. Its texts hold no control characters, except for `\\n` in the body.",
    body: Body::Object(&[
        must("id", Whole, "its number, never 0"),
        must("summary", Text, "one line"),
        may("body", Text, "more lines"),
        may("app", Text, "who speaks"),
        may("icon", Text, "name or path of a picture"),
        must("urgency", Word(&["low", "normal", "critical"]), ""),
        must("timeout_ms", Whole, "how long it is shown; 0 = until it is closed"),
        may("progress", Whole, "0 to 100"),
        may("resident", Flag, "true if an action that is chosen does not close it"),
        may("transient", Flag, "true if it is not in `toast.history`"),
        may("actions", Objects(&OFFER), ""),
        may("again", Flag, "true where it was announced before and nothing has changed: after a reconnect"),
        may("state", Word(&["shown", "waiting", "expired", "dismissed", "closed"]), "in lists only"),
        may("age_ms", Whole, "time in that state; in lists only"),
        may("left_ms", Whole, "time until it expires; in lists only"),
    ]),
};

static TOASTS: Shape = Shape { name: "Toasts", about: "", body: Body::List(&TOAST) };

static TOAST_ID: Shape =
    Shape { name: "ToastId", about: "", body: Body::Object(&[must("id", Whole, "the toast's number")]) };

static TOAST_ID_OR_ERROR: Shape =
    Shape { name: "ToastIdOrError", about: "", body: Body::OneOf(&[&TOAST_ID, &ERROR]) };

static TOAST_CLOSED: Shape = Shape {
    name: "ToastClosed",
    about: "",
    body: Body::Object(&[
        must("id", Whole, "the toast's number"),
        must(
            "reason",
            Word(&["expired", "dismissed", "closed", "replaced"]),
            "its time was up, the user put it away, a program took it back, another one took its place",
        ),
    ]),
};

static TOAST_ACTION: Shape = Shape {
    name: "ToastAction",
    about: "",
    body: Body::Object(&[
        must("id", Whole, "the toast's number"),
        must("action", Text, "the id of the action"),
    ]),
};

static MOUNTED: Shape = Shape {
    name: "MountedVolume",
    about: "A volume that is, or was, mounted.",
    body: Body::Object(&[
        must("devnode", Text, "with /dev/"),
        must("target", Text, "the folder; made by natsmount, and removed once it is unmounted"),
        may("fstype", Text, "as `mount -t` names it"),
        may("label", Text, "as its owner wrote it"),
        may("uuid", Text, "as blkid prints it"),
        may("again", Flag, "true where it was mounted before: after a reconnect or a restart"),
    ]),
};

static VOLUME_FAILED: Shape = Shape {
    name: "VolumeFailed",
    about: "A volume that could not be mounted or unmounted.",
    body: Body::Object(&[
        must("devnode", Text, "with /dev/"),
        may("target", Text, "the folder"),
        may("fstype", Text, "as `mount -t` names it"),
        may("label", Text, "as its owner wrote it"),
        may("uuid", Text, "as blkid prints it"),
        must("action", Word(&["mount", "unmount"]), ""),
        must("errno", Whole, "the kernel's number; 110 where it took too long"),
        must("error", Text, "the same in words"),
    ]),
};

static KNOWN_VOLUME: Shape = Shape {
    name: "KnownVolume",
    about: "A volume, and how it stands.",
    body: Body::Object(&[
        must("devnode", Text, "with /dev/"),
        may("target", Text, "where it is mounted, or is about to be"),
        may("fstype", Text, "as `mount -t` names it"),
        may("label", Text, "as its owner wrote it"),
        may("uuid", Text, "as blkid prints it"),
        must(
            "state",
            Word(&["present", "mounting", "mounted", "unmounting", "theirs"]),
            "`theirs`: somebody else mounted it, and it is left alone",
        ),
    ]),
};

static KNOWN_VOLUMES: Shape = Shape { name: "KnownVolumes", about: "", body: Body::List(&KNOWN_VOLUME) };

static MOUNT: Shape = Shape {
    name: "Mount",
    about: "",
    body: Body::Object(&[must("devnode", Text, "a block device in /dev, announced or not")]),
};

static UNMOUNT: Shape = Shape {
    name: "Unmount",
    about: "One of these.",
    body: Body::Object(&[
        may("devnode", Text, "what to unmount"),
        may("target", Text, "where it is mounted"),
    ]),
};

static MOUNTED_OR_ERROR: Shape =
    Shape { name: "MountedVolumeOrError", about: "", body: Body::OneOf(&[&MOUNTED, &ERROR]) };

pub(super) const fn event(address: &'static str, about: &'static str, payload: &'static Shape) -> Subject {
    Subject { address, kind: Kind::Event, about, payload, reply: None }
}

pub(super) const fn request(
    address: &'static str,
    about: &'static str,
    payload: &'static Shape,
    reply: &'static Shape,
) -> Subject {
    Subject { address, kind: Kind::Request, about, payload, reply: Some(reply) }
}

const fn either(
    address: &'static str,
    about: &'static str,
    payload: &'static Shape,
    reply: &'static Shape,
) -> Subject {
    Subject { address, kind: Kind::Either, about, payload, reply: Some(reply) }
}

/// All subjects, by the program that speaks them.
pub static GROUPS: &[Group] = &[
    Group {
        program: "natsdev",
        about: "Hotplug: kernel events, and devices that are ready for use.",
        notes: &[
            "`<subsystem>`, `<class>` and `<action>` are single tokens: every byte that a token cannot hold is `_`, and \
             a missing one is `_` alone.",
            "When a server is there, after a reconnect and on a `hardware.trigger` of everything, all devices are announced \
             between `hardware.snapshot.begin` and `.end`, but for the first time with `again: true`. What is not among \
             them, and was not added since the beginning, is not there any more.",
            "What a device is called, its links and what it holds is what udev's rules have found: natsdev's own where it \
             handles devices, udevd's where that does. Otherwise only names are known, of the table of hardware.",
            "A request that is refused is answered with an empty payload and the headers `Nats-Service-Error` and \
             `Nats-Service-Error-Code`, as micro-services do.",
        ],
        subjects: &[
            event("uevent.<subsystem>.<action>", "Every kernel event as it came.", &UEVENT),
            event("uevent.lost", "The kernel dropped events; a resync follows.", &LOST),
            event(
                "hardware.<class>.<action>",
                "A device is ready (`add`), gone (`remove`) or different (`change`).",
                &DEVICE,
            ),
            event("hardware.usb.add", "A USB device is ready, once per plugging in.", &USB),
            event(
                "hardware.usb.change",
                "Something about a USB device that was announced is different.",
                &USB,
            ),
            event("hardware.usb.remove", "A USB device that was announced is gone.", &USB),
            event("hardware.snapshot.begin", "All devices that are present follow.", &SNAPSHOT_BEGIN),
            event("hardware.snapshot.end", "All devices that are present were announced.", &SNAPSHOT_END),
            event("hardware.full", "A device has no room in the table.", &HARDWARE_FULL),
            request("hardware.list", "The devices that are present.", &NOTHING, &ALL_DEVICES),
            request("hardware.<class>.list", "Those of one class.", &NOTHING, &DEVICES),
            request("hardware.usb.list", "The USB devices.", &NOTHING, &USB_DEVICES),
            request("hardware.trigger", "Announces devices again.", &TRIGGER, &TRIGGERED),
            request("natsdev.stats", "Counters.", &NOTHING, &HOTPLUG_STATS),
        ],
    },
    Group {
        program: "natstoast",
        about: "Toasts: short messages for whoever sits in front of the machine.",
        notes: &[
            "Each `toast.in` that is accepted ends in exactly one `toast.closed`. One that replaces a toast makes \
             `toast.closed` with the reason `replaced` and then `toast.show`, both of the same id.",
            "`replaces` with an id that was given once, but is gone, gives that id again; with one that never was it \
             counts as absent.",
            "A payload is an object if it is one JSON object, and text otherwise, also where it begins with `{`. An object \
             without `summary` is refused. What is refused and was no request goes to natstoast's log.",
            "At most 32 toasts are shown at a time; 32 more wait, the most urgent first; what comes then is refused. \
             Time spent waiting does not count.",
            "Escape sequences and control characters are removed from all texts, so a presenter may print them.",
            "The presenter that a user touches publishes `toast.action` or `toast.dismiss`; natstoast then closes the toast \
             with the reason `dismissed`; a resident one only if it was put away.",
            "After a reconnect all toasts that are shown are announced again, with `again: true`.",
            "A refused request is answered `{error}`, with the headers `Nats-Service-Error` and `Nats-Service-Error-Code`.",
        ],
        subjects: &[
            either(
                "toast.in",
                "Makes a toast. A request is answered with its id.",
                &TOAST_IN,
                &TOAST_ID_OR_ERROR,
            ),
            event("toast.show", "A toast is shown, or drawn anew.", &TOAST),
            event("toast.closed", "A toast is gone, and why.", &TOAST_CLOSED),
            Subject {
                address: "toast.action",
                kind: Kind::Shared,
                about: "The user chose an action; that dismisses the toast.",
                payload: &TOAST_ACTION,
                reply: None,
            },
            either("toast.close", "Takes a toast back.", &TOAST_ID, &TOAST_ID_OR_ERROR),
            either("toast.dismiss", "The user put a toast away.", &TOAST_ID, &TOAST_ID_OR_ERROR),
            request("toast.list", "The toasts that are shown or wait.", &NOTHING, &TOASTS),
            request("toast.history", "The last 32 that were closed, the last first.", &NOTHING, &TOASTS),
        ],
    },
    Group {
        program: "natsmount",
        about: "Volumes: mounted when their devices come, by rules, and unmounted when they go.",
        notes: &[
            "Nothing is mounted without rules or `--all`, but for what `volume.mount` asks for. docs/natsmount.md says how.",
            "What is mounted already is left alone. What somebody has unmounted stays so until its device comes anew.",
            "A volume whose device is gone is unmounted whoever uses it; `volume.unmount` only unmounts what nobody uses.",
            "A request is answered when it is done. One that is refused is answered `{error}`, with the headers \
             `Nats-Service-Error` and `Nats-Service-Error-Code`.",
            "After a reconnect what is mounted is announced again, with `again: true`.",
        ],
        subjects: &[
            event("volume.mounted", "A volume is mounted.", &MOUNTED),
            event("volume.unmounted", "A volume is not mounted any more, whoever unmounted it.", &MOUNTED),
            event("volume.failed", "A volume could not be mounted or unmounted.", &VOLUME_FAILED),
            request("volume.list", "The volumes that are present.", &NOTHING, &KNOWN_VOLUMES),
            request("volume.mount", "Mounts one, as the rules have it or safely.", &MOUNT, &MOUNTED_OR_ERROR),
            request("volume.unmount", "Unmounts one.", &UNMOUNT, &MOUNTED_OR_ERROR),
        ],
    },
    natsinit::GROUP,
    bridge::GROUP,
];
