//! `natsdev trigger` and `natsdev settle`: others ask for events, and wait until they are handled.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use lunix_core::time::{Duration, Instant};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};

use super::NAME;
use super::control::{self, Wish};
use super::device::{Device, Root};
use super::sysfs::Sysfs;
use crate::cli::{Matches, UsageError};
use crate::log::{self, Level};
use crate::reactor::monotonic;

/// Runs `natsdev trigger [DEVPATH]`: the kernel is asked to say `add`, or another action, of one device or of all.
pub(super) fn trigger(matches: &Matches) -> ExitCode {
    let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
    let sysfs = Sysfs::new(&root.sys());
    let action = match matches.text("action") {
        Ok(action) => action.unwrap_or("add").to_owned(),
        Err(error) => return error.report(),
    };
    let said = |devpath: &[u8]| sysfs.say(devpath, &action, "");
    let Some(devpath) = matches.argument(1) else {
        // Not every device likes to be asked, and some go meanwhile.
        let all = sysfs.devices();
        let asked = all.iter().filter(|(devpath, _)| said(devpath).is_ok()).count();
        return if asked > 0 { ExitCode::SUCCESS } else { failed("no device could be asked") };
    };
    let devpath = devpath.as_bytes();
    let devpath = devpath.strip_prefix(b"/sys").filter(|rest| rest.starts_with(b"/")).unwrap_or(devpath);
    match Device::read(&root, devpath, action.as_bytes()).and_then(|device| said(&device.devpath)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format_args!("{}: {error}", devpath.escape_ascii())),
    }
}

/// Runs `natsdev settle`: waits until all that has happened is handled, by whoever does that here.
pub(super) fn settle(matches: &Matches) -> ExitCode {
    let root = Root::new(matches.path("root").unwrap_or(Path::new("/")));
    let deadline = match timeout(matches) {
        Ok(timeout) => monotonic() + timeout,
        Err(error) => return error.report(),
    };
    match wait(&root, deadline) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => failed("events are still being handled"),
        Err(error) => failed(format_args!("nobody handles devices here: {error}")),
    }
}

fn timeout(matches: &Matches) -> Result<Duration, UsageError> {
    let seconds: Option<u64> = matches.parsed("timeout", "a number of seconds")?;
    Ok(Duration::from_secs(seconds.unwrap_or(120).min(86_400)))
}

fn failed(why: impl std::fmt::Display) -> ExitCode {
    log::line(Level::Error, NAME, why);
    ExitCode::FAILURE
}

fn wait(root: &Root, deadline: Instant) -> io::Result<()> {
    let notify = deletions(root)?;
    // Who answers knows by then of all that has happened.
    Conversation::begin(root)?.end(&[Wish::Ping], deadline)?;
    drained(root, &notify, deadline, || false)
}

/// Hears what is deleted in /run/udev.
pub(super) fn deletions(root: &Root) -> io::Result<OwnedFd> {
    let notify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_watch(&notify, root.path("/run/udev"), WatchFlags::DELETE)?;
    Ok(notify)
}

/// Waits until nothing is to be handled, or `enough` says so when something is deleted.
pub(super) fn drained(
    root: &Root,
    deletions: &OwnedFd,
    deadline: Instant,
    enough: impl Fn() -> bool,
) -> io::Result<()> {
    while !enough() && fs::exists(root.path("/run/udev/queue"))? {
        readable(PollFd::new(deletions, PollFlags::IN), deadline)?;
        // What was deleted does not matter: the file is there or not.
        while rustix::io::read(deletions, &mut [0; 4096]).is_ok() {}
    }
    Ok(())
}

/// Speaks to who handles devices.
#[derive(Debug)]
pub(super) struct Conversation(OwnedFd);

impl Conversation {
    pub(super) fn begin(root: &Root) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(root.path("/run/udev/control"))?)?;
        Ok(Self(socket))
    }

    /// Says all wishes, and waits until they are done.
    pub(super) fn end(self, wishes: &[Wish], deadline: Instant) -> io::Result<()> {
        for wish in wishes.iter().chain(&[Wish::End]) {
            send(&self.0, &control::packet(*wish), SendFlags::NOSIGNAL)?;
        }
        readable(PollFd::new(&self.0, PollFlags::IN), deadline)
    }
}

/// Waits until there is something to read.
///
/// # Errors
/// `TimedOut` at `deadline`.
pub(super) fn readable(fd: PollFd<'_>, deadline: Instant) -> io::Result<()> {
    let mut fds = [fd];
    loop {
        let left = deadline.since(monotonic()).as_micros();
        let timeout = Timespec {
            tv_sec: i64::try_from(left / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: (left % 1_000_000 * 1000).try_into().unwrap_or(0),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::INTR) => {}
            result => return result.map(|_| ()).map_err(Into::into),
        }
    }
}
