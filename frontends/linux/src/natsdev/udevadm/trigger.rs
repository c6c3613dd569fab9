//! `udevadm trigger`: has the kernel speak of devices again, and waits, if that is wanted, until that is handled.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use lunix_core::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::enumerate::{Condition, Filter, Kind};
use super::heard::Heard;
use super::record::Record;
use super::{ACTIONS, Failure, complain, print, seconds};
use crate::cli::Matches;
use crate::natsdev::ask::{Conversation, readable};
use crate::natsdev::control::Wish;
use crate::natsdev::device::Root;
use crate::natsdev::sysfs::random_uuid;
use crate::reactor::monotonic;
use crate::sys::uevent::{Group, Received, UeventSocket};

/// Room for what is heard of devices before it is read: `--settle` asks for all of them first.
const RCVBUF: usize = 128 << 20;

/// Runs `udevadm trigger`.
pub(super) fn run(matches: &Matches) -> Result<(), Failure> {
    if super::in_chroot() {
        return Ok(());
    }
    let action = match matches.text("action")? {
        Some("help") => return print(format!("{}\n", ACTIONS.join("\n")).as_bytes()),
        action => action.unwrap_or("change"),
    };
    let kind = match matches.text("type")? {
        Some("subsystems") => Kind::Subsystems,
        Some("all") => Kind::All,
        _ => Kind::Devices,
    };
    let filter = filter(matches)?;
    if let Some((_, span)) = matches.flags().find(|(flag, _)| *flag == "wait-daemon") {
        let span = span.map_or(Ok(Duration::from_secs(5)), |span| seconds(matches, "wait-daemon", span))?;
        let conversation = Conversation::begin(&Root::new("/".as_ref()));
        let answered = conversation.and_then(|asked| asked.end(&[Wish::Ping], monotonic() + span));
        answered.map_err(|error| Failure::of("nobody handles devices here", error))?;
    }
    let settle = matches.has("settle");
    // Before the first event: what is handled meanwhile is heard.
    let socket = settle.then(|| UeventSocket::open(Group::Libudev, RCVBUF)).transpose()?;
    let (asked, result) =
        Asking { matches, action, marked: settle || matches.has("uuid") }.all(&filter, kind);
    result?;
    match socket {
        Some(socket) => wait(matches, &socket, asked),
        None => Ok(()),
    }
}

fn filter(matches: &Matches) -> Result<Filter, Failure> {
    let mut filter = Filter::default();
    let parent = |id: &OsStr, prefix| {
        let device = Record::find(id, prefix).map_err(|error| Failure::of(id.display(), error))?;
        Ok::<_, Failure>(device.folder().to_path_buf())
    };
    for (flag, value) in matches.flags() {
        let value = value.unwrap_or_default();
        let bytes = value.as_bytes();
        match flag {
            "subsystem-match" => filter.subsystems.wanted.push(bytes.to_vec()),
            "subsystem-nomatch" => filter.subsystems.unwanted.push(bytes.to_vec()),
            "attr-match" => Condition::add(&mut filter.attributes, value, true),
            "attr-nomatch" => Condition::add(&mut filter.no_attributes, value, true),
            "property-match" => Condition::add(&mut filter.properties, value, false),
            "tag-match" => filter.tags.push(value.to_owned()),
            "sysname-match" => filter.names.wanted.push(bytes.to_vec()),
            "name-match" => filter.parents.push(parent(value, Some("/dev"))?),
            "parent-match" => filter.parents.push(parent(value, Some("/sys"))?),
            "initialized-match" => filter.initialized = Some(true),
            "initialized-nomatch" => filter.initialized = Some(false),
            "prioritized-subsystem" => {
                let names = bytes.split(|byte| *byte == b',').filter(|name| !name.is_empty());
                filter.first.extend(names.map(<[u8]>::to_vec));
            }
            _ => {}
        }
    }
    for id in matches.arguments() {
        filter.parents.push(parent(id, None)?);
    }
    Ok(filter)
}

/// How devices are asked for.
struct Asking<'m> {
    matches: &'m Matches,
    action: &'m str,
    /// With a number, by which its event is known again.
    marked: bool,
}

impl Asking<'_> {
    /// Asks for all; the marks of those that will come, and the first error.
    fn all(&self, filter: &Filter, kind: Kind) -> (Vec<String>, Result<(), Failure>) {
        let (mut marks, mut result) = (Vec::new(), Ok(()));
        for device in filter.devices(kind) {
            if let Err(failure) = self.one(&device, &mut marks) {
                let hopeless = matches!(&failure, Failure::Silent);
                if result.is_ok() {
                    result = Err(failure);
                }
                if hopeless {
                    break;
                }
            }
        }
        (marks, result)
    }

    fn one(&self, device: &Record, marks: &mut Vec<String>) -> Result<(), Failure> {
        if self.matches.has("verbose") {
            print(&[device.folder().as_os_str().as_bytes(), b"\n"].concat())?;
        }
        if self.matches.has("dry-run") {
            return Ok(());
        }
        let mark = if self.marked { random_uuid()? } else { String::new() };
        let said = (|| {
            let mut file = OpenOptions::new().write(true).open(device.folder().join("uevent"))?;
            file.write_all(format!("{} {mark}", self.action).trim_end().as_bytes())
        })();
        let Err(error) = said else {
            if self.matches.has("uuid") {
                print(format!("{mark}\n").as_bytes())?;
            }
            if self.marked {
                marks.push(mark);
            }
            return Ok(());
        };
        let errno = Errno::from_io_error(&error);
        // It has gone meanwhile, or has nothing to say.
        if errno == Some(Errno::NOENT) {
            return Ok(());
        }
        if !self.matches.has("quiet") {
            complain("trigger", format_args!("{}: {error}", device.folder().display()));
        }
        match errno {
            Some(Errno::NODEV) => Ok(()),
            _ => Err(Failure::Said),
        }
    }
}

/// Waits until every event with one of the marks has been handled.
fn wait(matches: &Matches, socket: &UeventSocket, mut marks: Vec<String>) -> Result<(), Failure> {
    let for_ever = Instant::from_micros(u64::MAX);
    let mut buffer = vec![0; Heard::BYTES];
    while !marks.is_empty() {
        readable(PollFd::new(socket, PollFlags::IN), for_ever)?;
        loop {
            match socket.receive(&mut buffer)? {
                Received::Empty => break,
                Received::Datagram(message) => {
                    let Some(heard) = Heard::parse(message) else { continue };
                    let mark = heard.get(b"SYNTH_UUID").unwrap_or_default();
                    let Some(index) = marks.iter().position(|known| known.as_bytes() == mark) else {
                        continue;
                    };
                    let mark = marks.swap_remove(index);
                    if matches.has("verbose") {
                        print(&[b"settle /sys", heard.devpath(), b"\n"].concat())?;
                    }
                    if matches.has("uuid") {
                        print(format!("settle {mark}\n").as_bytes())?;
                    }
                }
                Received::Refused(_) => {}
                Received::Overrun => {
                    return Err(io::Error::other(
                        "the kernel dropped events: nobody knows which are handled",
                    )
                    .into());
                }
            }
        }
    }
    Ok(())
}
