//! `lunix import-unit`: a service of systemd becomes one of ours, as far as it can.

mod reasons;
mod translate;
mod unit;
mod words;
mod write;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{Argument, BASIC, Command, Flag, Hint, Matches, Style};
use crate::escaped::Escaped;
use crate::natsinit::files;
use translate::{Units, translate};
use unit::{BYTES, Unit};
use words::Names;
use write::File;

const NAME: &str = "lunix import-unit";

/// The command line.
pub const COMMAND: Command = Command {
    name: "import-unit",
    about: "turn a service of systemd into a file of natsinit's",
    arguments: &[Argument {
        name: "UNIT",
        help: "a .service file; its .socket and .timer are read if they are beside it",
        required: true,
        many: true,
        hint: Hint::File,
    }],
    flags: &[
        &[
            Flag {
                names: &["output", "o"],
                value: Some("DIR"),
                help: "write NAME.toml into this folder [to stdout]",
                hint: Hint::Folder,
            },
            Flag {
                names: &["force", "f"],
                value: None,
                help: "replace files that are there",
                hint: Hint::None,
            },
        ],
        BASIC,
    ],
    of: Some("lunix"),
    style: Style::Gnu,
    details: &[
        "What could not be carried over is said on stderr, a line each: FILE:LINE: KEY: why; and at the head of the file.",
        "Needs of services that are neither given nor in DIR become wants. Of a template (getty@.service) name an instance: \
         getty@tty1.service. If natsinit would refuse the result here, as a program or user is missing, that is said, \
         and the exit code is 1.",
    ],
    commands: &[],
    examples: &[
        ("lunix import-unit /lib/systemd/system/ssh.service", "see what comes of it"),
        (
            "lunix import-unit -o /etc/lunix/services /lib/systemd/system/{chrony,ssh}.service",
            "two services that may need one another",
        ),
    ],
};

/// A service that was converted.
#[derive(Debug)]
pub struct Imported {
    /// Its name.
    pub name: String,
    /// Its file.
    pub toml: String,
    /// What could not be carried over, a line each: `FILE:LINE: KEY: why`.
    pub left: Vec<String>,
}

/// A unit with what is beside it: their names for messages, and their texts.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'t> {
    /// `foo.service`, or `foo@instance.service`.
    pub name: &'t str,
    /// The file and text of the service.
    pub service: (&'t str, &'t str),
    /// Those of its socket.
    pub socket: Option<(&'t str, &'t str)>,
    /// Those of its timer.
    pub timer: Option<(&'t str, &'t str)>,
}

/// Converts a unit; its needs are kept where `there` has them.
///
/// # Errors
/// One of the files is no unit; a line `FILE:LINE: why`.
///
/// ```
/// use lunix::ctl::import_unit::{Texts, convert};
/// let text = "[Service]\nExecStart=/bin/cat\nProtectClock=yes\n";
/// let unit = Texts { name: "a.service", service: ("a.service", text), socket: None, timer: None };
/// let imported = convert(&unit, &Default::default()).unwrap();
/// assert!(imported.toml.contains("command = [\"/bin/cat\"]"));
/// assert_eq!(imported.left, ["a.service:3: ProtectClock: write sandbox.writable or sandbox.landlock"]);
/// ```
pub fn convert(unit: &Texts<'_>, there: &BTreeSet<String>) -> Result<Imported, String> {
    let parse = |(file, text): (&str, &str)| {
        Unit::parse(file, text).map_err(|wrong| format!("{}:{}: {}", Escaped(file), wrong.line, wrong.why))
    };
    let name = service_name(unit.name).ok_or_else(|| {
        format!("{}: expected a name of at most 32 letters, digits, '-' and '_'", Escaped(unit.name))
    })?;
    let units = Units {
        service: parse(unit.service)?,
        socket: unit.socket.map(parse).transpose()?,
        timer: unit.timer.map(parse).transpose()?,
        names: Names::of(unit.name),
    };
    if !units.service.has_section("Service") {
        return Err(format!("{}: expected a section [Service], found none", Escaped(unit.service.0)));
    }
    let mut translation = translate(&units, there);
    let refused = without_refused(&name, &mut translation.file, there);
    if let Some(line) = refused.iter().find(|line| line.starts_with("command: ")) {
        return Err(format!("{}: {line}", Escaped(unit.service.0)));
    }
    // The words are those of the file: what a terminal obeys must not get there.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let left = translation.left.iter().map(|(file, line, why)| format!("{file}:{line}: {why}"));
    let left = left.chain(refused.iter().map(|line| format!("{}: {line}", unit.service.0)));
    let left: Vec<String> = left.map(|line| plain(&line)).collect();
    let mut comments = vec![format!("From {} by {NAME}.", Escaped(unit.name))];
    if !left.is_empty() {
        comments.push("Not carried over:".to_owned());
        let short = |line: &String| {
            line.split_once(':')
                .map(|(file, rest)| format!("  {}:{rest}", file.rsplit('/').next().unwrap_or(file)))
        };
        comments.extend(left.iter().filter_map(short));
    }
    comments.push(String::new());
    Ok(Imported { name, toml: translation.file.text(&comments), left })
}

/// Takes from `file` what natsinit would refuse on any machine; a line for each key.
fn without_refused(name: &str, file: &mut File, there: &BTreeSet<String>) -> Vec<String> {
    let own = format!("{name}.toml");
    let others: Vec<String> =
        there.iter().filter(|other| *other != name).map(|other| format!("{other}.toml")).collect();
    let mut refused = Vec::new();
    loop {
        let text = file.text(&[]);
        let mut all: Vec<(&str, &str)> = vec![(&own, &text)];
        all.extend(others.iter().map(|other| (other.as_str(), "command = [\"natsinit\"]")));
        let mistakes = files::mistakes_of(&all, "");
        let Some(mistake) = mistakes.first() else { return refused };
        let mut parts = mistake.splitn(4, ':').skip(1);
        let line = parts.next().and_then(|line| line.parse().ok()).unwrap_or(0);
        let Some(key) = file.remove(line) else { return refused };
        let why = parts.nth(1).unwrap_or_default().trim();
        refused.push(format!("{key}: {why}"));
        if key == "command" {
            return refused;
        }
    }
}

/// The name of the service that `unit` becomes: what a name may not have is a dash.
fn service_name(unit: &str) -> Option<String> {
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(plain).collect();
    files::is_name(&name).then_some(name)
}

/// A unit whose files were read.
struct Source {
    name: String,
    /// The service, the socket, the timer.
    files: [Option<(String, String)>; 3],
}

/// Runs it.
pub fn run(matches: &Matches) -> ExitCode {
    let mut sources = Vec::new();
    let mut wrong = Vec::new();
    for at in 0..matches.arguments().len() {
        match matches.argument_text(at) {
            Ok(Some(path)) => match source(Path::new(path)) {
                Ok(source) => sources.push(source),
                Err(line) => wrong.push(line),
            },
            Ok(None) => {}
            Err(error) => return error.report(),
        }
    }
    let folder = match matches.text("output") {
        Ok(folder) => folder.map(Path::new),
        Err(error) => return error.report(),
    };
    let present: BTreeSet<String> = folder.map(services_in).unwrap_or_default();
    let given = sources.iter().filter_map(|source| service_name(&source.name));
    let there: BTreeSet<String> = present.iter().cloned().chain(given).collect();
    let mut imported: Vec<Imported> = Vec::new();
    for source in &sources {
        let [Some(service), socket, timer] = &source.files else { continue };
        fn borrowed((file, text): &(String, String)) -> (&str, &str) {
            (file, text)
        }
        let texts = Texts {
            name: &source.name,
            service: borrowed(service),
            socket: socket.as_ref().map(borrowed),
            timer: timer.as_ref().map(borrowed),
        };
        match convert(&texts, &there) {
            Ok(one) if imported.iter().any(|other| other.name == one.name) => {
                wrong.push(format!("{}: the service {} is given twice", Escaped(&source.name), one.name));
            }
            Ok(one) => imported.push(one),
            Err(line) => wrong.push(line),
        }
    }
    if let Some(folder) = folder.filter(|_| !matches.has("force")) {
        for one in &imported {
            let path = folder.join(&one.name).with_extension("toml");
            if path.symlink_metadata().is_ok() {
                wrong.push(format!("{}: is there already; --force replaces it", path.display()));
            }
        }
    }
    // Nothing is written if anything is wrong.
    if !wrong.is_empty() {
        wrong.iter().for_each(|line| eprintln!("{line}"));
        return ExitCode::from(2);
    }
    imported.iter().flat_map(|one| &one.left).for_each(|line| eprintln!("{line}"));
    if let Err(line) = imported.iter().try_for_each(|one| put(one, folder)) {
        eprintln!("{NAME}: {line}");
        return ExitCode::FAILURE;
    }
    let refused = refused(&imported, &present);
    refused.iter().for_each(|line| eprintln!("{line}"));
    if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What natsinit would say of the results on this machine.
fn refused(imported: &[Imported], present: &BTreeSet<String>) -> Vec<String> {
    let named: Vec<(String, &str)> =
        imported.iter().map(|one| (format!("{}.toml", one.name), one.toml.as_str())).collect();
    let ours: BTreeSet<&str> = named.iter().map(|(file, _)| file.as_str()).collect();
    let others: Vec<String> = present
        .iter()
        .map(|name| format!("{name}.toml"))
        .filter(|file| !ours.contains(file.as_str()))
        .collect();
    let mut all: Vec<(&str, &str)> = named.iter().map(|(file, text)| (file.as_str(), *text)).collect();
    all.extend(others.iter().map(|file| (file.as_str(), "command = [\"natsinit\"]")));
    files::check_texts(&all)
}

/// The services whose files are in `folder`.
fn services_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .filter(|it| files::is_name(it))
        .collect()
}

/// Writes a file whole or not at all, or to stdout.
fn put(one: &Imported, folder: Option<&Path>) -> Result<(), String> {
    let Some(folder) = folder else {
        return io::stdout()
            .lock()
            .write_all(one.toml.as_bytes())
            .map_err(|error| format!("stdout: {error}"));
    };
    let path = folder.join(&one.name).with_extension("toml");
    let beside = folder.join(format!(".{}.toml.new", one.name));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)
        .and_then(|mut file| file.write_all(one.toml.as_bytes()))
        .and_then(|()| fs::rename(&beside, &path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        format!("{}: {error}", path.display())
    })
}

/// The files of a unit: itself or its template, and a socket and a timer beside it.
fn source(path: &Path) -> Result<Source, String> {
    let shown = path.display();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.strip_suffix(".service").ok_or_else(|| format!("{shown}: expected a .service"))?;
    if stem.ends_with('@') {
        return Err(format!("{shown}: a template: name an instance, such as {stem}NAME.service"));
    }
    let read = |kind: &str| -> Result<Option<(String, String)>, String> {
        let own = path.with_file_name(format!("{stem}{kind}"));
        let template =
            stem.split_once('@').map(|(prefix, _)| path.with_file_name(format!("{prefix}@{kind}")));
        let candidates: Vec<PathBuf> = std::iter::once(own).chain(template).collect();
        for file in &candidates {
            match text(file) {
                Ok(text) => return Ok(Some((file.display().to_string(), text))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", file.display())),
            }
        }
        Ok(None)
    };
    let service = read(".service")?;
    if service.is_none() {
        return Err(format!("{shown}: there is no such file"));
    }
    Ok(Source { name: name.to_owned(), files: [service, read(".socket")?, read(".timer")?] })
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "expected UTF-8 text"))
}
