//! The command line of `lunix upgrade`.

use crate::cli::{Argument, BASIC, Command, Flag, Hint, NATS, Style};

const fn switch(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: None, help, hint: Hint::None }
}

const fn value(names: &'static [&'static str], value: &'static str, help: &'static str) -> Flag {
    Flag { names, value: Some(value), help, hint: Hint::None }
}

const fn file(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: Some("FILE"), help, hint: Hint::File }
}

const VERBS: &[Flag] = &[
    switch(&["plan"], "say what would change, and change nothing; the default"),
    switch(&["apply"], "write the slot that does not run, and put it on trial"),
    switch(&["status"], "say what is in both slots, and which is started next"),
    switch(&["confirm"], "keep the system that runs on trial"),
    switch(&["rollback"], "go back to the system before, at the next start"),
    switch(&["watch-trial"], "confirm this system when it is healthy, or restart into the one before"),
];

const WHAT: &[Flag] = &[
    file(&["keys"], "whose images are taken [/etc/lunix/upgrade.keys]"),
    value(&["tries"], "N", "how often the new system is started before it is given up, 1 to 8 [1]"),
    value(&["within"], "TIME", "how long a system on trial may take to be healthy [60s]"),
    value(&["instead"], "PROGRAM", "run this where --watch-trial would restart the machine"),
    switch(&["force-unsigned"], "take an image that nobody signed, or somebody unknown"),
    switch(&["force-board"], "take an image for another board"),
    switch(&["force-downgrade"], "take an image that is older than what runs"),
];

const MAKER: &[Flag] = &[
    file(&["new-key"], "make a key: the secret one into a new FILE, the public one on stdout"),
    file(&["sign"], "sign an image with the secret key in FILE"),
    switch(&["pack"], "make an image of --kernel and --root"),
    file(&["kernel"], "the kernel of the image"),
    file(&["root"], "its root file system"),
    Flag {
        names: &["root-folder"],
        value: Some("FOLDER"),
        help: "what the root file system was made of, for the list of its files",
        hint: Hint::Folder,
    },
    value(&["release"], "VERSION", "its version, as 1.2.3"),
    value(&["options"], "TEXT", "what comes first on the kernel's command line"),
    file(&["output", "o"], "where the image goes"),
    switch(&["install"], "write slot A of a new device, without a trial"),
    file(&["flash"], "work on the content of a flash in FILE, not on this machine's"),
    value(&["board"], "NAME", "the board of the image, or of --flash: x86_64 or arm-virt"),
    Flag {
        names: &["slot"],
        value: Some("SLOT"),
        help: "which slot runs, with --flash [the good one]",
        hint: Hint::OneOf(&["a", "b"]),
    },
];

/// The command line.
pub const COMMAND: Command = Command {
    name: "upgrade",
    about: "replace the system in the flash, and go back if it does not work",
    arguments: &[Argument {
        name: "IMAGE",
        help: "a file, or http://HOST/PATH",
        required: false,
        many: false,
        hint: Hint::File,
    }],
    flags: &[VERBS, WHAT, MAKER, NATS, BASIC],
    of: Some("lunix"),
    style: Style::Gnu,
    commands: &[],
    details: &[
        "Nothing is written before the whole image was read, its hashes and its signature were checked. The system that \
         runs is never written. The power may go at any moment: what is started is always whole.",
        "After --apply the new system is started once. If it does not become healthy in time (system.healthy on the bus), \
         or does not start at all, the next start is the old one again.",
    ],
    examples: &[
        ("lunix upgrade http://10.0.0.1/lunix.img", "what would change"),
        ("lunix upgrade http://10.0.0.1/lunix.img --apply", "write it, and put it on trial"),
        ("lunix upgrade --status", "what is in the slots"),
        ("lunix upgrade --rollback", "the system before, from the next start on"),
    ],
};
