//! Where udevd is at work, a device is ready when udevd says so: then its node has its owner, its links are there, and
//! the database knows what it is.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use lunix_uevent::{Builder, MAX_MESSAGE, monitor};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch};

use super::{BATCH, Daemon, NAME, STALL, Token, control};
use crate::log::{self, Level};
use crate::reactor::{Key, Reactor, Ready};
use crate::sys::uevent::{Group, Received, Refusal, UeventSocket};

/// udevd, as far as it is there.
#[derive(Debug)]
pub(super) struct Udevd {
    pub(super) presence: Presence,
    socket: Option<UeventSocket>,
    pub(super) key: Option<Key>,
    buffer: usize,
}

impl Udevd {
    /// Listens to udevd if it is there; `buffer` is as of [`UeventSocket::open`].
    ///
    /// # Errors
    /// The user watches too much already, or there is no descriptor left.
    pub(super) fn new(control: &Path, buffer: usize) -> io::Result<Self> {
        let presence = Presence::new(control)?;
        let socket = match presence.is_there() {
            true => Some(UeventSocket::open(Group::Libudev, buffer)?),
            false => None,
        };
        Ok(Self { presence, socket, key: None, buffer })
    }

    /// Whether devices are ready when it says so.
    pub(super) fn decides(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn watch(&mut self, reactor: &mut Reactor<Token>) -> io::Result<()> {
        self.key = match &self.socket {
            Some(socket) => Some(reactor.add(socket, Token::Udevd, Ready::READ)?),
            None => None,
        };
        Ok(())
    }
}

impl Daemon {
    /// udevd may have come or gone.
    pub(super) fn udevd_changed(&mut self, reactor: &mut Reactor<Token>) {
        let Some(udevd) = &mut self.udevd else { return };
        let there = udevd.presence.changed();
        if there == udevd.decides() {
            return;
        }
        if let (Some(socket), Some(key)) = (udevd.socket.take(), udevd.key.take()) {
            reactor.remove(key, &socket);
        }
        if there {
            let opened = UeventSocket::open(Group::Libudev, udevd.buffer);
            let watched = opened.and_then(|socket| {
                udevd.socket = Some(socket);
                udevd.watch(reactor)
            });
            if let Err(error) = watched {
                udevd.socket = None;
                log::line(Level::Warn, NAME, format_args!("udevd is not heard: {error}"));
            }
        }
        self.hotplug.known.database = udevd.decides();
        let who = if udevd.decides() { "udevd" } else { "the kernel alone" };
        log::line(Level::Info, NAME, format_args!("from now on {who} says what is ready"));
        self.hotplug.compare(reactor.now());
    }

    /// Takes in what udevd says.
    pub(super) fn hear_udevd(&mut self, reactor: &mut Reactor<Token>, key: Key) {
        let now = reactor.now();
        let mut buffer = vec![0; ROOM];
        let mut lost = false;
        for _ in 0..BATCH {
            let bus = &self.hotplug.voice.bus;
            if bus.is_ready() && bus.pending() > STALL {
                self.stalled = true;
                reactor.want(key, Ready::default());
                break;
            }
            let Some(socket) = self.udevd.as_ref().and_then(|udevd| udevd.socket.as_ref()) else { return };
            match socket.receive(&mut buffer) {
                Ok(Received::Datagram(told)) => {
                    if let Some(message) = kernel_message(told) {
                        self.hotplug.handled(now, &message, told);
                    }
                }
                Ok(Received::Overrun | Received::Refused(Refusal::Truncated)) => lost = true,
                Ok(Received::Refused(why)) => self.refused.count(now, why),
                Ok(Received::Empty) => {
                    reactor.read_blocked(key);
                    break;
                }
                Err(error) => {
                    log::line(Level::Error, NAME, format_args!("receiving from udevd: {error}"));
                    reactor.read_blocked(key);
                    break;
                }
            }
        }
        if lost {
            self.hotplug.compare(now);
        }
    }
}

/// Whether udevd is there, as the socket by which it is spoken to tells.
#[derive(Debug)]
pub(super) struct Presence {
    notify: OwnedFd,
    control: PathBuf,
    watch: Option<i32>,
}

impl Presence {
    /// # Errors
    /// The user watches too much already, or there is no descriptor left.
    fn new(control: &Path) -> io::Result<Self> {
        let notify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut presence = Self { notify, control: control.to_path_buf(), watch: None };
        presence.watch();
        Ok(presence)
    }

    fn is_there(&self) -> bool {
        control::is_answered(&self.control)
    }

    /// To be called when the descriptor is readable: it may have come or gone.
    fn changed(&mut self) -> bool {
        self.watch();
        self.is_there()
    }

    /// Watches the socket, whose links change only when it goes; without one, or one that only root may watch, its folder.
    fn watch(&mut self) {
        loop {
            if let Some(watch) = self.watch.take() {
                // With the file the kernel has forgotten it already.
                let _ = remove_watch(&self.notify, watch);
            }
            let gone = WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
            let come = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            let there = self.control.exists();
            self.watch = add_watch(&self.notify, &self.control, gone).ok();
            if let (None, Some(folder)) = (self.watch, self.control.parent()) {
                let or_gone =
                    if there { WatchFlags::DELETE | WatchFlags::MOVED_FROM } else { WatchFlags::empty() };
                self.watch = add_watch(&self.notify, folder, come | or_gone).ok();
            }
            let mut room = [MaybeUninit::uninit(); 1024];
            let mut reader = Reader::new(&self.notify, &mut room);
            while reader.next().is_ok() {}
            // It may have come or gone in between.
            if self.watch.is_none() || there == self.control.exists() {
                return;
            }
        }
    }
}

impl AsFd for Presence {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }
}

/// Room for what udevd says of a device.
const ROOM: usize = 2 * monitor::MAX_MESSAGE;

/// What udevd says, as the kernel would have said it: without what rules have found. `None` if it is no event.
fn kernel_message(told: &[u8]) -> Option<Vec<u8>> {
    let message = monitor::Message::parse(told).ok()?;
    let mut out = vec![0; MAX_MESSAGE];
    let builder = Builder::new(&mut out, message.get("ACTION")?, message.get("DEVPATH")?);
    let by_rules = |key: &[u8]| {
        matches!(key, b"DEVLINKS" | b"TAGS" | b"CURRENT_TAGS" | b"USEC_INITIALIZED")
            || [&b"ID_"[..], b"SYSTEMD_", b"."].iter().any(|head| key.starts_with(head))
    };
    let vars = message.properties().filter(|(key, _)| !by_rules(key));
    let len = vars.fold(builder, |builder, (key, value)| builder.var(key, value)).finish().ok()?;
    out.truncate(len);
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use control::Control;
    use lunix_uevent::Uevent;
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn what_udevd_says_is_an_event_of_the_kernel_with_more() {
        let mut out = [0; 512];
        let len = monitor::Builder::new(&mut out)
            .property("ACTION", "add")
            .property("DEVPATH", "/devices/x/sda")
            .property("SUBSYSTEM", "block")
            .property("DEVNAME", "/dev/sda")
            .property("SEQNUM", "7")
            .property("ID_FS_LABEL", "A")
            .property("TAGS", ":systemd:")
            .finish()
            .unwrap();
        let message = kernel_message(&out[..len]).unwrap();
        let event = Uevent::parse(&message).unwrap();
        assert_eq!((event.devpath(), event.seqnum()), (&b"/devices/x/sda"[..], Some(7)));
        assert_eq!(event.get("DEVNAME"), Some(&b"/dev/sda"[..]));
        assert_eq!((event.get("ID_FS_LABEL"), event.get("TAGS")), (None, None));
        assert_eq!(kernel_message(&out[..len - 1]), None);
        assert_eq!(kernel_message(b"add@/x\0ACTION=add\0"), None);
    }

    #[test]
    fn what_somebody_has_left_there_is_nobody() {
        let folder = std::env::temp_dir().join(format!("lunix-left-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let control = folder.join("control");
        fs::write(&control, "").unwrap();
        let mut presence = Presence::new(&control).unwrap();
        assert!(!presence.is_there());
        let socket = Control::open(&control).unwrap();
        assert!(presence.changed());
        drop(socket);
        assert!(!presence.changed());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn its_coming_and_going_is_noticed_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("lunix-udevd-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let control = folder.join("control");
        let mut presence = Presence::new(&control).unwrap();
        assert!(!presence.is_there());
        let readable = |presence: &Presence, ms: i64| {
            let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
            poll(&mut [PollFd::new(presence, PollFlags::IN)], Some(&limit)).unwrap() > 0
        };
        for _ in 0..2 {
            let socket = Control::open(&control).unwrap();
            assert!(readable(&presence, 900) && presence.changed());
            fs::write(folder.join("queue"), "").unwrap();
            fs::remove_file(folder.join("queue")).unwrap();
            assert!(!readable(&presence, 20));
            drop(socket);
            assert!(readable(&presence, 900) && !presence.changed());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
