//! The command lines of `udevadm`.

use crate::cli::{Argument, Command, Flag, Hint, Style};

/// `--version` is answered here, for scripts want a number and nothing else.
pub(super) const VERSION_KEY: &str = "V";

const BASIC: &[Flag] = &[
    Flag { names: &["help", "h"], value: None, help: "show this help and exit", hint: Hint::None },
    Flag {
        names: &[VERSION_KEY, "version"],
        value: None,
        help: "show the version and exit",
        hint: Hint::None,
    },
];

const ACTIONS: &[&str] = &["help", "add", "remove", "change", "move", "online", "offline", "bind", "unbind"];

/// The command line of `udevadm`.
pub static COMMAND: Command = Command {
    name: "udevadm",
    about: "ask about devices, and have them handled, in udev's words",
    arguments: &[],
    flags: &[
        &[Flag {
            names: &["debug", "d"],
            value: None,
            help: "nothing: there is no more to say",
            hint: Hint::None,
        }],
        BASIC,
    ],
    of: None,
    style: Style::Getopt,
    commands: &[&INFO, &TRIGGER, &SETTLE, &MONITOR, &CONTROL, &TEST, &TEST_BUILTIN, &VERIFY, &HWDB, &VERSION],
    details: &[
        "It is natsdev's: what scripts read, and the exit codes, are as with udevadm 252. It speaks to whoever answers at \
         /run/udev/control, and needs no NATS.",
    ],
    examples: &[("udevadm info /dev/sda", "all there is to know of a disk")],
};

static INFO: Command = Command {
    name: "info",
    about: "tell what /sys and the database say of devices",
    arguments: &[Argument {
        name: "DEVICE",
        help: "a path in /dev or /sys, or the name of a unit",
        required: false,
        many: true,
        hint: Hint::File,
    }],
    flags: &[
        &[
            Flag {
                names: &["query", "q"],
                value: Some("WHAT"),
                help: "what to tell [all]",
                hint: Hint::OneOf(&["name", "symlink", "path", "property", "env", "all"]),
            },
            Flag {
                names: &["property"],
                value: Some("NAME"),
                help: "only these properties, several with commas",
                hint: Hint::None,
            },
            Flag { names: &["value"], value: None, help: "only the values of properties", hint: Hint::None },
            Flag {
                names: &["path", "p"],
                value: Some("PATH"),
                help: "a device by its path, with or without /sys",
                hint: Hint::Folder,
            },
            Flag {
                names: &["name", "n"],
                value: Some("NAME"),
                help: "a device by its node or a link, with or without /dev",
                hint: Hint::File,
            },
            Flag { names: &["root", "r"], value: None, help: "nodes and links with /dev", hint: Hint::None },
            Flag {
                names: &["attribute-walk", "a"],
                value: None,
                help: "what rules can match: of the device, and of all above it",
                hint: Hint::None,
            },
            Flag {
                names: &["device-id-of-file", "d"],
                value: Some("FILE"),
                help: "the number of the device that a file is on",
                hint: Hint::File,
            },
            Flag {
                names: &["export", "x"],
                value: None,
                help: "properties in quotes, as a shell reads them",
                hint: Hint::None,
            },
            Flag {
                names: &["export-prefix", "P"],
                value: Some("PREFIX"),
                help: "the same, with this before each name",
                hint: Hint::None,
            },
            Flag { names: &["export-db", "e"], value: None, help: "all of all devices", hint: Hint::None },
            Flag {
                names: &["cleanup-db", "c"],
                value: None,
                help: "forget all devices but those that are to be kept",
                hint: Hint::None,
            },
            Flag {
                names: &["wait-for-initialization", "w"],
                value: Some("[SECONDS]"),
                help: "wait until the device has been handled",
                hint: Hint::None,
            },
            Flag {
                names: &["no-pager"],
                value: None,
                help: "nothing: there is never a pager",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[
        ("udevadm info -q property -n sda", "what is known of the disk?"),
        ("udevadm info -a /sys/class/net/eth0", "what could a rule match?"),
    ],
};

static TRIGGER: Command = Command {
    name: "trigger",
    about: "have the kernel speak of devices again",
    arguments: &[Argument {
        name: "DEVICE",
        help: "only this one and what is below it",
        required: false,
        many: true,
        hint: Hint::File,
    }],
    flags: &[
        &[
            Flag { names: &["verbose", "v"], value: None, help: "say which", hint: Hint::None },
            Flag { names: &["dry-run", "n"], value: None, help: "do not do it", hint: Hint::None },
            Flag {
                names: &["quiet", "q"],
                value: None,
                help: "do not say what cannot be asked for",
                hint: Hint::None,
            },
            Flag {
                names: &["type", "t"],
                value: Some("TYPE"),
                help: "what to ask for [devices]",
                hint: Hint::OneOf(&["devices", "subsystems", "all"]),
            },
            Flag {
                names: &["action", "c"],
                value: Some("ACTION"),
                help: "what the kernel is to say; `help` lists it [change]",
                hint: Hint::OneOf(ACTIONS),
            },
            Flag {
                names: &["subsystem-match", "s"],
                value: Some("PATTERN"),
                help: "only of subsystems like this",
                hint: Hint::None,
            },
            Flag {
                names: &["subsystem-nomatch", "S"],
                value: Some("PATTERN"),
                help: "none of subsystems like this",
                hint: Hint::None,
            },
            Flag {
                names: &["attr-match", "a"],
                value: Some("NAME[=PATTERN]"),
                help: "only with this attribute",
                hint: Hint::None,
            },
            Flag {
                names: &["attr-nomatch", "A"],
                value: Some("NAME[=PATTERN]"),
                help: "none with this attribute",
                hint: Hint::None,
            },
            Flag {
                names: &["property-match", "p"],
                value: Some("PATTERN=PATTERN"),
                help: "only with this property, or another one that is named",
                hint: Hint::None,
            },
            Flag {
                names: &["tag-match", "g"],
                value: Some("TAG"),
                help: "only with this tag",
                hint: Hint::None,
            },
            Flag {
                names: &["sysname-match", "y"],
                value: Some("PATTERN"),
                help: "only with names like this in /sys",
                hint: Hint::None,
            },
            Flag {
                names: &["name-match"],
                value: Some("NAME"),
                help: "only this one and what is below it, by its node",
                hint: Hint::File,
            },
            Flag {
                names: &["parent-match", "b"],
                value: Some("PATH"),
                help: "only this one and what is below it",
                hint: Hint::Folder,
            },
            Flag {
                names: &["initialized-match"],
                value: None,
                help: "only what was handled before",
                hint: Hint::None,
            },
            Flag {
                names: &["initialized-nomatch"],
                value: None,
                help: "only what was never handled",
                hint: Hint::None,
            },
            Flag {
                names: &["settle", "w"],
                value: None,
                help: "wait until all of it has been handled",
                hint: Hint::None,
            },
            Flag {
                names: &["wait-daemon"],
                value: Some("[SECONDS]"),
                help: "wait first until who handles devices answers [5]",
                hint: Hint::None,
            },
            Flag {
                names: &["uuid"],
                value: None,
                help: "say by which number each event is known",
                hint: Hint::None,
            },
            Flag {
                names: &["prioritized-subsystem"],
                value: Some("NAME"),
                help: "these subsystems first, several with commas",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[("udevadm trigger -s block -c add --settle", "handle all disks again")],
};

static SETTLE: Command = Command {
    name: "settle",
    about: "wait until all that has happened is handled",
    arguments: &[],
    flags: &[
        &[
            Flag {
                names: &["timeout", "t"],
                value: Some("SECONDS"),
                help: "how long [120]",
                hint: Hint::None,
            },
            Flag {
                names: &["exit-if-exists", "E"],
                value: Some("FILE"),
                help: "or until there is this file",
                hint: Hint::File,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};

static MONITOR: Command = Command {
    name: "monitor",
    about: "show events as they come",
    arguments: &[],
    flags: &[
        &[
            Flag { names: &["kernel", "k"], value: None, help: "what the kernel says", hint: Hint::None },
            Flag {
                names: &["udev", "u"],
                value: None,
                help: "what is said when it has been handled",
                hint: Hint::None,
            },
            Flag {
                names: &["property", "p", "environment", "e"],
                value: None,
                help: "with all properties",
                hint: Hint::None,
            },
            Flag {
                names: &["subsystem-match", "s"],
                value: Some("NAME[/TYPE]"),
                help: "only of this subsystem, or type of its devices",
                hint: Hint::None,
            },
            Flag {
                names: &["tag-match", "t"],
                value: Some("TAG"),
                help: "only with this tag",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};

static CONTROL: Command = Command {
    name: "control",
    about: "tell the daemon what to do",
    arguments: &[],
    flags: &[
        &[
            Flag { names: &["exit", "e"], value: None, help: "end", hint: Hint::None },
            Flag {
                names: &["log-level", "l", "log-priority"],
                value: Some("LEVEL"),
                help: "how much to say: emerg to debug",
                hint: Hint::None,
            },
            Flag {
                names: &["stop-exec-queue", "s"],
                value: None,
                help: "refused: natsdev has nothing of that kind",
                hint: Hint::None,
            },
            Flag {
                names: &["start-exec-queue", "S"],
                value: None,
                help: "refused: natsdev has nothing of that kind",
                hint: Hint::None,
            },
            Flag {
                names: &["reload", "R", "reload-rules"],
                value: None,
                help: "read the rules again",
                hint: Hint::None,
            },
            Flag {
                names: &["property", "p", "env"],
                value: Some("KEY=VALUE"),
                help: "refused: natsdev has nothing of that kind",
                hint: Hint::None,
            },
            Flag {
                names: &["children-max", "m"],
                value: Some("N"),
                help: "refused: natsdev has nothing of that kind",
                hint: Hint::None,
            },
            Flag { names: &["ping"], value: None, help: "wait for an answer", hint: Hint::None },
            Flag {
                names: &["timeout", "t"],
                value: Some("SECONDS"),
                help: "how long to wait [60]",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[("udevadm control --reload && udevadm trigger", "apply changed rules to all devices")],
};

static TEST: Command = Command {
    name: "test",
    about: "say what the rules make of a device, and do nothing",
    arguments: &[Argument {
        name: "DEVICE",
        help: "a path in /sys, with or without that, or in /dev",
        required: false,
        many: false,
        hint: Hint::File,
    }],
    flags: &[
        &[
            Flag {
                names: &["action", "a"],
                value: Some("ACTION"),
                help: "what the kernel is supposed to say; `help` lists it [add]",
                hint: Hint::OneOf(ACTIONS),
            },
            Flag {
                names: &["resolve-names", "N"],
                value: Some("WHEN"),
                help: "nothing: names of users are always looked for when a rule is applied",
                hint: Hint::OneOf(&["early", "late", "never"]),
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &["Properties and programs go to stdout, and which rule has done what to stderr."],
    examples: &[],
};

static TEST_BUILTIN: Command = Command {
    name: "test-builtin",
    about: "say what a built-in finds of a device",
    arguments: &[
        Argument {
            name: "COMMAND",
            help: "the built-in with its arguments",
            required: false,
            many: false,
            hint: Hint::None,
        },
        Argument {
            name: "DEVICE",
            help: "a path in /sys, with or without that, or in /dev",
            required: false,
            many: false,
            hint: Hint::File,
        },
    ],
    flags: &[
        &[Flag {
            names: &["action", "a"],
            value: Some("ACTION"),
            help: "what the kernel is supposed to say; `help` lists it [add]",
            hint: Hint::OneOf(ACTIONS),
        }],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};

static VERIFY: Command = Command {
    name: "verify",
    about: "say all mistakes of rules",
    arguments: &[Argument {
        name: "FILE",
        help: "a file of rules, or a folder of them [all of this machine]",
        required: false,
        many: true,
        hint: Hint::File,
    }],
    flags: &[
        &[
            Flag {
                names: &["resolve-names", "N"],
                value: Some("WHEN"),
                help: "nothing: names of users are no mistakes",
                hint: Hint::OneOf(&["early", "late", "never"]),
            },
            Flag {
                names: &["no-summary"],
                value: None,
                help: "nothing: there is never one",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};

static HWDB: Command = Command {
    name: "hwdb",
    about: "make the table of what is known of hardware, or ask it",
    arguments: &[],
    flags: &[
        &[
            Flag { names: &["update", "u"], value: None, help: "make it", hint: Hint::None },
            Flag {
                names: &["strict", "s"],
                value: None,
                help: "not if there are mistakes in its texts",
                hint: Hint::None,
            },
            Flag {
                names: &["usr"],
                value: None,
                help: "where what is shipped belongs, and not in /etc",
                hint: Hint::None,
            },
            Flag {
                names: &["test", "t"],
                value: Some("MODALIAS"),
                help: "say what it knows",
                hint: Hint::None,
            },
            Flag {
                names: &["root", "r"],
                value: Some("FOLDER"),
                help: "the folder that holds etc and usr [/]",
                hint: Hint::Folder,
            },
        ],
        BASIC,
    ],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};

static VERSION: Command = Command {
    name: "version",
    about: "say which udev's words these are",
    arguments: &[],
    flags: &[&[], BASIC],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};
