//! What matters about each kind of event, as one table.

use lunix_proto::nats::subject;

/// How a kind of event is shown.
#[derive(Debug)]
pub(super) struct Look {
    /// The subjects it is for.
    pub(super) pattern: &'static str,
    /// The parameters of SGR for the subject.
    pub(super) colour: &'static str,
    /// What stands first, in this order; what is missing is left out, what is not named follows dimmed.
    pub(super) facts: &'static [Fact],
}

/// A member of the payload, and how it is said. A path of several keys goes down into objects.
#[derive(Debug)]
pub(super) enum Fact {
    /// The value, in bold: the name of the thing.
    Name(&'static str),
    /// The value.
    Plain(&'static str),
    /// The value, dimmed: long, and seldom read.
    Dim(&'static str),
    /// The value and a colon.
    Group(&'static str),
    /// A word, then the value.
    Labelled(&'static str, &'static str),
    /// `#3`.
    Number(&'static str),
    /// A word and a value in red: something went wrong.
    Bad(&'static str, &'static str),
    /// Two values with a colon between them.
    Pair(&'static str, &'static str),
    /// `40 %`.
    Percent(&'static str),
    /// A number of bytes, as `16.0 GB`.
    Size(&'static str),
    /// The same of each object in an array.
    Each(&'static str, &'static [Fact]),
    /// Not shown: the subject or another fact says it.
    Hidden(&'static str),
}

use Fact::{Bad, Dim, Each, Group, Hidden, Labelled, Name, Number, Pair, Percent, Plain, Size};

const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BLUE: &str = "34";
const MAGENTA: &str = "35";
const CYAN: &str = "36";
const BRIGHT_GREEN: &str = "1;32";
const BRIGHT_BLUE: &str = "94";

const KILLED: &[Fact] = &[
    Name("name"),
    Plain("comm"),
    Labelled("pid", "pid"),
    Size("memory"),
    Labelled("killed", "killed"),
    Hidden("at_us"),
];

const PRESSURE: &[Fact] = &[
    Name("name"),
    Percent("some.avg10"),
    Labelled("all", "full.avg10"),
    Hidden("resource"),
    Hidden("some"),
    Hidden("full"),
    Hidden("at_us"),
];

const SERVICE: &[Fact] = &[
    Name("name"),
    Labelled("pid", "pid"),
    Bad("exit code", "exit_code"),
    Bad("signal", "signal"),
    Bad("errno", "errno"),
    Hidden("state"),
    Labelled("restarts", "restarts"),
    Hidden("at_us"),
];

const TOAST: &[Fact] = &[
    Number("id"),
    Group("app"),
    Name("summary"),
    Percent("progress"),
    Plain("body"),
    Each("actions", &[Plain("label"), Hidden("id")]),
    Hidden("urgency"),
    Hidden("timeout_ms"),
];

/// The first that matches counts.
static LOOKS: &[Look] = &[
    Look { pattern: "uevent.lost", colour: RED, facts: &[Labelled("from", "from"), Labelled("to", "to")] },
    Look {
        pattern: "hardware.full",
        colour: RED,
        facts: &[Dim("devpath"), Labelled("limit", "limit"), Hidden("class")],
    },
    Look {
        pattern: "uevent.>",
        colour: BLUE,
        facts: &[
            Name("env.DEVNAME"),
            Name("env.INTERFACE"),
            Plain("env.DEVTYPE"),
            Labelled("driver", "env.DRIVER"),
            Dim("devpath"),
            Hidden("action"),
            Hidden("subsystem"),
            Hidden("seqnum"),
            Hidden("env"),
        ],
    },
    Look { pattern: "hardware.snapshot.*", colour: DIM, facts: &[Labelled("devices", "devices")] },
    Look {
        pattern: "hardware.usb.*",
        colour: BRIGHT_GREEN,
        facts: &[
            Name("manufacturer"),
            Name("model"),
            Pair("vendor", "product"),
            Each(
                "volumes",
                &[Plain("devnode"), Plain("fstype"), Name("label"), Size("size"), Hidden("uuid")],
            ),
            Labelled("class", "class"),
            Labelled("port", "port"),
            Labelled("serial", "serial"),
            Hidden("vendor_name"),
            Hidden("product_name"),
            Hidden("nodes"),
            Hidden("devpath"),
        ],
    },
    Look {
        pattern: "hardware.>",
        colour: GREEN,
        facts: &[
            Name("devnode"),
            Name("ifname"),
            Name("name"),
            Plain("devtype"),
            Name("manufacturer"),
            Name("model"),
            Plain("vendor_name"),
            Plain("product_name"),
            Plain("fstype"),
            Name("label"),
            Labelled("driver", "driver"),
            Labelled("serial", "serial"),
            Dim("devpath"),
            Hidden("class"),
            Hidden("bus"),
            Hidden("vendor"),
            Hidden("product"),
            Hidden("links"),
            Hidden("uuid"),
            Hidden("ifindex"),
            Hidden("major"),
            Hidden("minor"),
            Hidden("modalias"),
        ],
    },
    Look { pattern: "toast.closed", colour: MAGENTA, facts: &[Number("id"), Plain("reason")] },
    Look { pattern: "toast.action", colour: MAGENTA, facts: &[Number("id"), Name("action")] },
    Look { pattern: "toast.>", colour: MAGENTA, facts: TOAST },
    Look { pattern: "service.*.log", colour: DIM, facts: &[Group("name"), Plain("line"), Hidden("at_us")] },
    Look { pattern: "service.*.oom", colour: "1;31", facts: KILLED },
    Look { pattern: "system.oom", colour: "1;31", facts: KILLED },
    Look { pattern: "service.*.pressure", colour: YELLOW, facts: PRESSURE },
    Look { pattern: "system.pressure.*", colour: YELLOW, facts: PRESSURE },
    Look {
        pattern: "system.healthy",
        colour: BRIGHT_GREEN,
        facts: &[Labelled("ready", "ready"), Hidden("at_us")],
    },
    Look { pattern: "service.*.failed", colour: "1;31", facts: SERVICE },
    Look { pattern: "service.*.backoff", colour: RED, facts: SERVICE },
    Look { pattern: "service.*.ready", colour: GREEN, facts: SERVICE },
    Look { pattern: "service.>", colour: YELLOW, facts: SERVICE },
    Look {
        pattern: "network.>",
        colour: CYAN,
        facts: &[
            Name("ifname"),
            Plain("address"),
            Plain("operstate"),
            Plain("family"),
            Plain("scope"),
            Labelled("mac", "mac"),
            Labelled("mtu", "mtu"),
            Labelled("index", "ifindex"),
        ],
    },
    Look {
        pattern: "bluetooth.>",
        colour: BRIGHT_BLUE,
        facts: &[
            Name("name"),
            Plain("address"),
            Plain("type"),
            Plain("reason"),
            Labelled("adapter", "adapter"),
            Labelled("class", "class"),
        ],
    },
    Look {
        pattern: "process.>",
        colour: DIM,
        facts: &[
            Name("comm"),
            Labelled("pid", "pid"),
            Bad("exit code", "exit_code"),
            Bad("signal", "signal"),
            Labelled("parent", "ppid"),
        ],
    },
    Look {
        pattern: "volume.failed",
        colour: RED,
        facts: &[
            Name("label"),
            Plain("devnode"),
            Plain("fstype"),
            Labelled("no", "action"),
            Bad("error", "error"),
            Hidden("errno"),
            Hidden("uuid"),
        ],
    },
    Look {
        pattern: "volume.>",
        colour: GREEN,
        facts: &[Name("label"), Plain("devnode"), Labelled("on", "target"), Plain("fstype"), Hidden("uuid")],
    },
    Look {
        pattern: "login.>",
        colour: YELLOW,
        facts: &[
            Name("user"),
            Plain("service"),
            Labelled("on", "tty"),
            Labelled("from", "rhost"),
            Labelled("pid", "pid"),
        ],
    },
    Look { pattern: "wm.>", colour: BRIGHT_BLUE, facts: &[Name("title"), Plain("class")] },
    Look { pattern: "$SRV.>", colour: DIM, facts: &[Name("name"), Hidden("type")] },
    Look { pattern: "_INBOX.>", colour: DIM, facts: &[] },
];

/// Colours of what the table does not know: the same for the same first token.
const OTHERS: [&str; 6] = ["95", "96", "93", "92", "91", "97"];

static UNKNOWN: [Look; OTHERS.len()] = {
    const fn other(colour: &'static str) -> Look {
        Look { pattern: ">", colour, facts: &[] }
    }
    let [a, b, c, d, e, f] = OTHERS;
    [other(a), other(b), other(c), other(d), other(e), other(f)]
};

/// How messages of `of` are shown.
pub(super) fn look(of: &[u8]) -> &'static Look {
    if let Some(known) = LOOKS.iter().find(|look| subject::matches(look.pattern.as_bytes(), of)) {
        return known;
    }
    let family = of.split(|&byte| byte == b'.').next().unwrap_or_default();
    let sum = family.iter().fold(0_usize, |sum, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let [first, ..] = &UNKNOWN;
    UNKNOWN.get(sum % OTHERS.len()).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_pattern_counts() {
        assert_eq!(look(b"hardware.usb.add").pattern, "hardware.usb.*");
        assert_eq!(look(b"hardware.block.add").pattern, "hardware.>");
        assert_eq!(look(b"service.x.failed").pattern, "service.*.failed");
        assert_eq!(look(b"temperature0").pattern, ">");
        assert_eq!(look(b"sensor.a").colour, look(b"sensor.b").colour);
        for look in LOOKS {
            assert!(subject::is_pattern(look.pattern.as_bytes()), "{}", look.pattern);
        }
    }
}
