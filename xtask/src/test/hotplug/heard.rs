//! What users of libudev hear: Debian's `udevadm monitor`, and libinput with a keyboard that comes and goes.

use anyhow::{Context, Result, ensure};

use super::facts::{Facts, number, plain};
use crate::vm::rooted::Rooted;

/// Starts both in the guest.
pub(super) const LISTEN: &str = "\
    udevadm monitor --udev --property > /run/monitor 2>&1 & monitor=$!; \
    libinput debug-events > /run/libinput 2>&1 & libinput=$!; \
    until busybox grep -q DEVICE_ADDED /run/libinput && [ -s /run/monitor ]; do usleep 20000; done";

/// Ends both; they have heard all that was to be heard.
const END: &str = "kill -INT $monitor $libinput; wait $monitor $libinput; true";

/// What was heard since [`LISTEN`].
pub(super) struct Heard {
    pub(super) libinput: Vec<String>,
    pub(super) monitor: Vec<String>,
}

pub(super) fn end(guest: &mut Rooted) -> Result<Heard> {
    guest.run(END)?;
    Ok(Heard { libinput: guest.run("cat /run/libinput")?, monitor: guest.run("cat /run/monitor")? })
}

impl Heard {
    /// The keyboard was there, went, and came again; a second one came, and went with its controller.
    pub(super) fn keyboards(&self) -> Result<()> {
        let of = |what: &str| {
            let about = |line: &&String| line.contains(what) && line.contains("QEMU USB Keyboard");
            self.libinput.iter().filter(about).count()
        };
        let (added, removed) = (of("DEVICE_ADDED"), of("DEVICE_REMOVED"));
        ensure!(
            (added, removed) == (3, 2),
            "libinput saw keyboards come {added} times and go {removed} times:\n{}",
            self.libinput.join("\n")
        );
        Ok(())
    }

    /// Each event by its action and device, with its properties.
    pub(super) fn events(&self) -> Result<Facts> {
        let mut facts = Facts::new();
        let mut event = String::new();
        for line in &self.monitor {
            if let Some(head) = line.strip_prefix("UDEV") {
                // [12.345678] add      /devices/… (input)
                let mut words = head.split_whitespace().filter(|word| !word.starts_with('['));
                let words = words.by_ref().skip_while(|word| word.ends_with(']')).collect::<Vec<_>>();
                let [action, devpath, ..] = words[..] else { continue };
                event = format!("said {action} {}", plain(devpath));
                // A disk may go while its last event is handled, and what is found of it then is chance.
                if action == "change" || action == "remove" && devpath.contains("/block/") {
                    event.clear();
                }
            } else if let Some((key, value)) = line.split_once('=')
                && !event.is_empty()
            {
                let value = match key {
                    // Numbers that count, and times.
                    "SEQNUM" | "DEVNUM" | "DISKSEQ" | "USEC_INITIALIZED" | "MINOR" => "…".to_owned(),
                    "MAJOR" => value.parse().map_or_else(|_| value.to_owned(), number),
                    "DEVNAME" if value.starts_with("/dev/bus/usb/") => "…".to_owned(),
                    "DEVLINKS" => sorted(value.split(' ')),
                    "TAGS" | "CURRENT_TAGS" => sorted(value.split(':')),
                    _ => plain(value),
                };
                facts.insert(format!("{event} {key}"), value);
            }
        }
        ensure!(facts.len() > 100, "udevadm monitor heard {} properties only", facts.len());
        Ok(facts)
    }
}

fn sorted<'t>(words: impl Iterator<Item = &'t str>) -> String {
    let mut words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(|word| match word.strip_prefix("/dev/disk/by-diskseq/") {
            Some(number) => {
                format!("/dev/disk/by-diskseq/#{}", number.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None => word.to_owned(),
        })
        .collect();
    words.sort();
    words.join(" ")
}

/// Why nothing was heard, where nothing was.
pub(super) fn listen(guest: &mut Rooted) -> Result<()> {
    guest.run(LISTEN).map(drop).context("neither udevadm nor libinput listens")
}
