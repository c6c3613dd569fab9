//! What the lines want of a device, done.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use lunix_core::time::Duration;

use super::plan::{Step, steps};
use super::{Conf, Line};
use crate::natsdev::device::{Device, Root};
use crate::natsdev::effects::Node;
use crate::natsdev::links::Links;
use crate::natsdev::rules::evaluate::{NoTime, Time};
use crate::natsdev::rules::programs;

/// How long a command may run: as long as udevd waits for what belongs to an event.
const COMMAND: Duration = Duration::from_secs(180);

/// What commands have in the daemon: as from the kernel, which calls programs by these.
pub(super) const ENVIRONMENT: &[(&[u8], &[u8])] =
    &[(b"HOME", b"/"), (b"PATH", b"/sbin:/bin:/usr/sbin:/usr/bin")];

/// A machine to which it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine<'r> {
    pub(super) root: &'r Root,
    /// The kernel makes and removes the nodes (devtmpfs).
    pub(super) kernel_makes_nodes: bool,
    /// What commands have besides what is said of the device.
    pub(super) environment: &'r [(&'r [u8], &'r [u8])],
}

impl Conf {
    /// Does in the daemon what the lines want of a device. What went wrong is told, and the rest is done.
    ///
    /// # Errors
    /// There is no time for what is to be run; nothing was done.
    pub(in crate::natsdev) fn handle(
        &self,
        root: &Root,
        kernel_makes_nodes: bool,
        device: &Device,
        time: Time,
        wrong: &mut dyn FnMut(&str, io::Error),
    ) -> Result<(), NoTime> {
        let machine = Machine { root, kernel_makes_nodes, environment: ENVIRONMENT };
        self.apply(&machine, device, time, wrong)
    }

    /// As [`Conf::handle`], for a machine of any kind.
    pub(super) fn apply(
        &self,
        machine: &Machine<'_>,
        device: &Device,
        time: Time,
        wrong: &mut dyn FnMut(&str, io::Error),
    ) -> Result<(), NoTime> {
        let mut refused = Vec::new();
        let steps = steps(self, device, |line, name| refused.push((line, name.to_vec())));
        if time == Time::None && steps.iter().any(|step| step.command.is_some()) {
            return Err(NoTime);
        }
        for (line, name) in refused {
            let error = format!("the name '{}' leads out of /dev", name.escape_ascii());
            wrong(&self.place(line), io::Error::other(error));
        }
        for step in steps {
            let place = self.place(step.line);
            machine.take(&step, device, &mut |what, error| wrong(&format!("{place}: {what}"), error));
        }
        Ok(())
    }
}

impl Machine<'_> {
    pub(super) fn take(&self, step: &Step<'_>, device: &Device, wrong: &mut dyn FnMut(&str, io::Error)) {
        let goes = device.action == b"remove";
        if !goes && let Err(error) = self.make(step) {
            wrong(&format!("/dev/{}", step.name.escape_ascii()), error);
        }
        if let Some(command) = step.command
            && let Err(error) = self.run(command, &step.name, device)
        {
            wrong(&format!("'{}'", command.escape_ascii()), error);
        }
        if goes && let Err(error) = self.unmake(step) {
            wrong(&format!("/dev/{}", step.name.escape_ascii()), error);
        }
    }

    fn make(&self, step: &Step<'_>) -> io::Result<()> {
        let Some(number) = step.node else { return Ok(()) };
        // A line before this one may have moved it.
        let moved = self.target(&step.name);
        let name = moved.as_deref().unwrap_or(&step.name);
        let Some(node) = Node::new(self.root, name, number) else { return Ok(()) };
        let Line { owner, group, mode, .. } = *step.line;
        node.make()?;
        node.permit(Some(owner), Some(group), Some(mode))?;
        if step.name == step.kernels {
            return Ok(());
        }
        if self.kernel_makes_nodes
            && let Some(kernels) = Node::new(self.root, &step.kernels, number)
            && kernels.check().is_ok()
        {
            kernels.remove(self.root)?;
        }
        if step.is_linked { Links::new(self.root).point(&step.kernels, &step.name) } else { Ok(()) }
    }

    /// Only what is the device's is removed: a network interface may be called as somebody else's node.
    fn unmake(&self, step: &Step<'_>) -> io::Result<()> {
        let Some(number) = step.node else { return Ok(()) };
        if step.is_linked && fs::read_link(self.path(&step.kernels)).is_ok() {
            Links::new(self.root).remove(&step.kernels)?;
        }
        let Some(node) = Node::new(self.root, &step.name, number) else { return Ok(()) };
        match node.check() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => node.remove(self.root),
        }
    }

    fn run(&self, command: &[u8], name: &[u8], device: &Device) -> io::Result<()> {
        let Device { action, devpath, subsystem, properties } = device;
        let mut all = self.environment.to_vec();
        let head: [(&[u8], &[u8]); 3] =
            [(b"ACTION", action), (b"DEVPATH", devpath), (b"SUBSYSTEM", subsystem)];
        all.extend(head.iter().filter(|(_, value)| !value.is_empty()));
        all.extend(properties.iter().map(|(key, value)| (key.as_slice(), value.as_slice())));
        all.push((b"MDEV", name));
        // Of variables that are there twice, the later one counts.
        programs::shell(command, &self.root.path("/dev"), all.into_iter(), COMMAND)
    }

    /// The number of the device that the root is on, as it is written.
    pub(super) fn root_device(&self) -> Option<(u32, u32)> {
        let device = fs::metadata(self.root.path("/")).ok()?.dev();
        Some((rustix::fs::major(device), rustix::fs::minor(device)))
    }

    /// Where a link in /dev leads to, if that is in /dev.
    fn target(&self, name: &[u8]) -> Option<Vec<u8>> {
        let path = self.path(name);
        fs::read_link(&path).ok()?;
        let target = fs::canonicalize(path).ok()?;
        let dev = fs::canonicalize(self.root.path("/dev")).ok()?;
        Some(target.strip_prefix(dev).ok()?.as_os_str().as_bytes().to_vec())
    }

    /// Where a name in /dev is.
    pub(super) fn path(&self, name: &[u8]) -> PathBuf {
        self.root.path("/dev").join(OsStr::from_bytes(name))
    }
}
