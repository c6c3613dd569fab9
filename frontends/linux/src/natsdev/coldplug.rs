//! What is there at the start is made known.

use std::io;

use super::settings::{Coldplug, MAX_DEVICES};
use super::{Daemon, Drain, NAME, Token, sweep};
use crate::log::{self, Level};
use crate::reactor::{Reactor, Ready, monotonic};

impl Daemon {
    /// Begins the first pass, and listens to the kernel from here on: what it has said meanwhile is in the socket.
    ///
    /// # Errors
    /// The socket cannot be watched.
    pub(super) fn begin(&mut self, reactor: &mut Reactor<Token>) -> io::Result<()> {
        self.first_pass.begin();
        self.coldplug();
        self.socket_key = Some(reactor.add(&self.socket, Token::Kernel, Ready::READ)?);
        Ok(())
    }

    /// Both ways end in the same table.
    fn coldplug(&mut self) {
        let devices = self.hotplug.sysfs.devices();
        let present = devices.len();
        let limit = self.max_devices.unwrap_or(present + present / 2 + 256);
        self.hotplug.reserve(limit.min(MAX_DEVICES));
        if let Some(handling) = &mut self.handling {
            self.hotplug.handles = true;
            sweep::sweep(handling.workers().ground().root());
            handling.workers().ground().prepare();
            handling.ask(devices.iter().map(|(devpath, _)| devpath.to_vec()));
            return;
        }
        let mut how = "read from /sys".to_owned();
        if self.coldplug == Coldplug::Trigger {
            match self.trigger(devices.iter().map(|(devpath, _)| devpath)) {
                Ok(()) => how = format!("said again by the kernel ({} events)", self.hotplug.counters.own),
                // A container has a /sys that cannot be written.
                Err(_) => self.coldplug = Coldplug::Scan,
            }
        }
        // Not every device says something when it is asked to.
        self.hotplug.scan(monotonic());
        let took = self.first_pass.end(monotonic()).unwrap_or_default();
        log::line(
            Level::Info,
            NAME,
            format_args!(
                "{} devices, {how} in {} ms; receive buffer {} bytes",
                self.hotplug.table.len(),
                took.as_millis(),
                self.socket.buffer_size(),
            ),
        );
    }

    /// Has the kernel say `add` of these devices, and listens in between, so that nothing is lost. When this ends,
    /// all of it has been handled: the kernel queues an event before the write that asks for it returns.
    pub(super) fn trigger<'p>(&mut self, paths: impl Iterator<Item = &'p [u8]>) -> io::Result<()> {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        const AT_ONCE: usize = 32;
        let mut asked = 0;
        for path in paths {
            match self.hotplug.sysfs.trigger(path, &self.hotplug.uuid) {
                Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
                    return Err(error);
                }
                // Or it went meanwhile, or its driver does not like to be asked.
                _ => asked += 1,
            }
            if asked % AT_ONCE == 0 {
                self.listen()?;
            }
        }
        self.listen()
    }

    fn listen(&mut self) -> io::Result<()> {
        match self.receive_some(u32::MAX) {
            Drain::Stalled => Err(io::Error::other("the server is too slow")),
            _ => Ok(()),
        }
    }
}
