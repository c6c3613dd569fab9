//! `lunix schema`: all subjects from one table, as AsyncAPI 3 for programs and as Markdown for people.

mod asyncapi;
mod bridge;
mod markdown;
mod natsinit;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::{BASIC, Command, Flag, Hint, Matches, Style};

pub use asyncapi::asyncapi;
pub use markdown::markdown;
pub use table::GROUPS;

/// The command line.
pub static COMMAND: Command = Command {
    name: "schema",
    about: "print all subjects and payloads, as AsyncAPI 3",
    arguments: &[],
    flags: &[
        &[Flag {
            names: &["markdown", "m"],
            value: None,
            help: "print them for people instead: this is docs/subjects.md",
            hint: Hint::None,
        }],
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &["It needs no server: it tells what the programs of this build speak."],
    commands: &[],
    examples: &[
        ("lunix schema > lunix.asyncapi.json", "for generators and editors"),
        ("lunix schema --markdown | less", "for reading"),
    ],
};

/// A program and its subjects.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub program: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// Rules that hold for several of its subjects.
    pub notes: &'static [&'static str],
    /// What it speaks.
    pub subjects: &'static [Subject],
}

/// A subject, or all those that differ only in the tokens written as `<name>`.
#[derive(Debug)]
pub struct Subject {
    /// `service.<name>.start`.
    pub address: &'static str,
    /// Who speaks to whom.
    pub kind: Kind,
    /// One line.
    pub about: &'static str,
    /// What is published or asked.
    pub payload: &'static Shape,
    /// What is answered.
    pub reply: Option<&'static Shape>,
}

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program publishes.
    Event,
    /// The program answers.
    Request,
    /// The program listens, and answers where an answer is wanted.
    Either,
    /// Others publish, and the program listens like everybody.
    Shared,
}

impl Kind {
    /// As the tables of the reference have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Request => "request",
            Self::Either => "publish or request",
            Self::Shared => "event, by presenters",
        }
    }
}

/// A payload.
#[derive(Debug)]
pub struct Shape {
    /// Its name in the schema; unique.
    pub name: &'static str,
    /// One line, or empty.
    pub about: &'static str,
    /// What it is made of.
    pub body: Body,
}

/// What a payload is made of.
#[derive(Debug)]
pub enum Body {
    /// Nothing that matters.
    Nothing,
    /// Plain text.
    Text,
    /// One JSON object.
    Object(&'static [Field]),
    /// One JSON array.
    List(&'static Shape),
    /// One of these.
    OneOf(&'static [&'static Shape]),
}

/// A member of an object.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub key: &'static str,
    /// Its type.
    pub kind: Type,
    /// It is always there.
    pub required: bool,
    /// One line, or empty.
    pub about: &'static str,
}

/// The type of a member.
#[derive(Debug)]
pub enum Type {
    /// A string.
    Text,
    /// An integer.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// An array of strings.
    Texts,
    /// An object.
    Object(&'static Shape),
    /// An array of objects.
    Objects(&'static Shape),
    /// An object with keys of its own.
    Map,
}

/// All shapes that subjects need, each once, in the order of their first use; parts come before wholes.
fn shapes() -> Vec<&'static Shape> {
    fn visit(shape: &'static Shape, found: &mut Vec<&'static Shape>) {
        if found.iter().any(|known| known.name == shape.name) {
            return;
        }
        match &shape.body {
            Body::Object(fields) => {
                for field in *fields {
                    if let Type::Objects(part) | Type::Object(part) = field.kind {
                        visit(part, found);
                    }
                }
            }
            Body::List(part) => visit(part, found),
            Body::OneOf(parts) => parts.iter().for_each(|part| visit(part, found)),
            Body::Nothing | Body::Text => {}
        }
        found.push(shape);
    }
    let mut found = Vec::new();
    for subject in GROUPS.iter().flat_map(|group| group.subjects) {
        visit(subject.payload, &mut found);
        if let Some(reply) = subject.reply {
            visit(reply, &mut found);
        }
    }
    found
}

/// Runs the command.
pub fn run(matches: &Matches) -> ExitCode {
    let text = if matches.has("markdown") { markdown() } else { asyncapi() };
    // A reader that went away has had enough.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use lunix_core::toast::subject;

    use super::*;

    fn addresses() -> Vec<&'static str> {
        GROUPS.iter().flat_map(|group| group.subjects).map(|subject| subject.address).collect()
    }

    #[test]
    fn subjects_are_valid_and_unique() {
        let addresses = addresses();
        for (index, address) in addresses.iter().enumerate() {
            assert!(!addresses[..index].contains(address), "{address}");
            let pattern: Vec<_> =
                address.split('.').map(|token| if token.starts_with('<') { "*" } else { token }).collect();
            assert!(lunix_proto::nats::subject::is_pattern(pattern.join(".").as_bytes()), "{address}");
        }
    }

    #[test]
    fn what_natstoast_speaks_is_in_the_table() {
        use subject::{ACTION, CLOSE, CLOSED, DISMISS, HISTORY, IN, LIST, SHOW};
        for spoken in [ACTION, CLOSE, CLOSED, DISMISS, HISTORY, IN, LIST, SHOW] {
            assert!(addresses().contains(&spoken), "{spoken}");
        }
    }

    #[test]
    fn shapes_have_unique_names() {
        let shapes = shapes();
        for (index, shape) in shapes.iter().enumerate() {
            assert!(shapes[..index].iter().all(|other| other.name != shape.name), "{}", shape.name);
        }
    }

    #[test]
    fn docs_say_what_the_program_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/subjects.md");
        let docs = std::fs::read_to_string(path).unwrap_or_default();
        assert!(docs == markdown(), "docs/subjects.md is old: lunix schema --markdown > docs/subjects.md");
    }
}
