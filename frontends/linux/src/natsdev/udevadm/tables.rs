//! The command lines of `udevadm`.

use crate::cli::{Argument, Command, Flag, Hint, Style};

/// `--version` is answered here, for scripts want a number and nothing else.
pub(super) const VERSION_KEY: &str = "V";

const BASIC: &[Flag] = &[
    flag(&["help", "h"], "show this help and exit"),
    flag(&[VERSION_KEY, "version"], "show the version and exit"),
];

/// A flag that is there or not.
const fn flag(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: None, help, hint: Hint::None }
}

/// A flag with a value.
const fn with(names: &'static [&'static str], value: &'static str, help: &'static str, hint: Hint) -> Flag {
    Flag { names, value: Some(value), help, hint }
}

/// What all verbs have in common.
const VERB: Command = Command {
    name: "",
    about: "",
    arguments: &[],
    flags: &[BASIC],
    of: Some("udevadm"),
    style: Style::Getopt,
    commands: &[],
    details: &[],
    examples: &[],
};

const ACTIONS: &[&str] = &["help", "add", "remove", "change", "move", "online", "offline", "bind", "unbind"];

/// The command line of `udevadm`.
pub static COMMAND: Command = Command {
    name: "udevadm",
    about: "ask about devices, and have them handled, in udev's words",
    arguments: &[],
    flags: &[&[flag(&["debug", "d"], "nothing: there is no more to say")], BASIC],
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
            with(
                &["query", "q"],
                "WHAT",
                "what to tell [all]",
                Hint::OneOf(&["name", "symlink", "path", "property", "env", "all"]),
            ),
            with(&["property"], "NAME", "only these properties, several with commas", Hint::None),
            flag(&["value"], "only the values of properties"),
            with(&["path", "p"], "PATH", "a device by its path, with or without /sys", Hint::Folder),
            with(&["name", "n"], "NAME", "a device by its node or a link, with or without /dev", Hint::File),
            flag(&["root", "r"], "nodes and links with /dev"),
            flag(&["attribute-walk", "a"], "what rules can match: of the device, and of all above it"),
            with(
                &["device-id-of-file", "d"],
                "FILE",
                "the number of the device that a file is on",
                Hint::File,
            ),
            flag(&["export", "x"], "properties in quotes, as a shell reads them"),
            with(&["export-prefix", "P"], "PREFIX", "the same, with this before each name", Hint::None),
            flag(&["export-db", "e"], "all of all devices"),
            flag(&["cleanup-db", "c"], "forget all devices but those that are to be kept"),
            with(
                &["wait-for-initialization", "w"],
                "[SECONDS]",
                "wait until the device has been handled",
                Hint::None,
            ),
            flag(&["no-pager"], "nothing: there is never a pager"),
        ],
        BASIC,
    ],
    examples: &[
        ("udevadm info -q property -n sda", "what is known of the disk?"),
        ("udevadm info -a /sys/class/net/eth0", "what could a rule match?"),
    ],
    ..VERB
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
            flag(&["verbose", "v"], "say which"),
            flag(&["dry-run", "n"], "do not do it"),
            flag(&["quiet", "q"], "do not say what cannot be asked for"),
            with(
                &["type", "t"],
                "TYPE",
                "what to ask for [devices]",
                Hint::OneOf(&["devices", "subsystems", "all"]),
            ),
            with(
                &["action", "c"],
                "ACTION",
                "what the kernel is to say; `help` lists it [change]",
                Hint::OneOf(ACTIONS),
            ),
            with(&["subsystem-match", "s"], "PATTERN", "only of subsystems like this", Hint::None),
            with(&["subsystem-nomatch", "S"], "PATTERN", "none of subsystems like this", Hint::None),
            with(&["attr-match", "a"], "NAME[=PATTERN]", "only with this attribute", Hint::None),
            with(&["attr-nomatch", "A"], "NAME[=PATTERN]", "none with this attribute", Hint::None),
            with(
                &["property-match", "p"],
                "PATTERN=PATTERN",
                "only with this property, or another one that is named",
                Hint::None,
            ),
            with(&["tag-match", "g"], "TAG", "only with this tag", Hint::None),
            with(&["sysname-match", "y"], "PATTERN", "only with names like this in /sys", Hint::None),
            with(&["name-match"], "NAME", "only this one and what is below it, by its node", Hint::File),
            with(&["parent-match", "b"], "PATH", "only this one and what is below it", Hint::Folder),
            flag(&["initialized-match"], "only what was handled before"),
            flag(&["initialized-nomatch"], "only what was never handled"),
            flag(&["settle", "w"], "wait until all of it has been handled"),
            with(
                &["wait-daemon"],
                "[SECONDS]",
                "wait first until who handles devices answers [5]",
                Hint::None,
            ),
            flag(&["uuid"], "say by which number each event is known"),
            with(
                &["prioritized-subsystem"],
                "NAME",
                "these subsystems first, several with commas",
                Hint::None,
            ),
        ],
        BASIC,
    ],
    examples: &[("udevadm trigger -s block -c add --settle", "handle all disks again")],
    ..VERB
};

static SETTLE: Command = Command {
    name: "settle",
    about: "wait until all that has happened is handled",
    flags: &[
        &[
            with(&["timeout", "t"], "SECONDS", "how long [120]", Hint::None),
            with(&["exit-if-exists", "E"], "FILE", "or until there is this file", Hint::File),
        ],
        BASIC,
    ],
    ..VERB
};

static MONITOR: Command = Command {
    name: "monitor",
    about: "show events as they come",
    flags: &[
        &[
            flag(&["kernel", "k"], "what the kernel says"),
            flag(&["udev", "u"], "what is said when it has been handled"),
            flag(&["property", "p", "environment", "e"], "with all properties"),
            with(
                &["subsystem-match", "s"],
                "NAME[/TYPE]",
                "only of this subsystem, or type of its devices",
                Hint::None,
            ),
            with(&["tag-match", "t"], "TAG", "only with this tag", Hint::None),
        ],
        BASIC,
    ],
    ..VERB
};

static CONTROL: Command = Command {
    name: "control",
    about: "tell the daemon what to do",
    flags: &[
        &[
            flag(&["exit", "e"], "end"),
            with(&["log-level", "l", "log-priority"], "LEVEL", "how much to say: emerg to debug", Hint::None),
            flag(&["stop-exec-queue", "s"], "refused: natsdev has nothing of that kind"),
            flag(&["start-exec-queue", "S"], "refused: natsdev has nothing of that kind"),
            flag(&["reload", "R", "reload-rules"], "read the rules again"),
            with(
                &["property", "p", "env"],
                "KEY=VALUE",
                "refused: natsdev has nothing of that kind",
                Hint::None,
            ),
            with(&["children-max", "m"], "N", "refused: natsdev has nothing of that kind", Hint::None),
            flag(&["ping"], "wait for an answer"),
            with(&["timeout", "t"], "SECONDS", "how long to wait [60]", Hint::None),
        ],
        BASIC,
    ],
    examples: &[("udevadm control --reload && udevadm trigger", "apply changed rules to all devices")],
    ..VERB
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
            with(
                &["action", "a"],
                "ACTION",
                "what the kernel is supposed to say; `help` lists it [add]",
                Hint::OneOf(ACTIONS),
            ),
            with(
                &["resolve-names", "N"],
                "WHEN",
                "nothing: names of users are always looked for when a rule is applied",
                Hint::OneOf(&["early", "late", "never"]),
            ),
        ],
        BASIC,
    ],
    details: &["Properties and programs go to stdout, and which rule has done what to stderr."],
    ..VERB
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
        &[with(
            &["action", "a"],
            "ACTION",
            "what the kernel is supposed to say; `help` lists it [add]",
            Hint::OneOf(ACTIONS),
        )],
        BASIC,
    ],
    ..VERB
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
            with(
                &["resolve-names", "N"],
                "WHEN",
                "nothing: names of users are no mistakes",
                Hint::OneOf(&["early", "late", "never"]),
            ),
            flag(&["no-summary"], "nothing: there is never one"),
        ],
        BASIC,
    ],
    ..VERB
};

static HWDB: Command = Command {
    name: "hwdb",
    about: "make the table of what is known of hardware, or ask it",
    flags: &[
        &[
            flag(&["update", "u"], "make it"),
            flag(&["strict", "s"], "not if there are mistakes in its texts"),
            flag(&["usr"], "where what is shipped belongs, and not in /etc"),
            with(&["test", "t"], "MODALIAS", "say what it knows", Hint::None),
            with(&["root", "r"], "FOLDER", "the folder that holds etc and usr [/]", Hint::Folder),
        ],
        BASIC,
    ],
    ..VERB
};

static VERSION: Command = Command { name: "version", about: "say which udev's words these are", ..VERB };
