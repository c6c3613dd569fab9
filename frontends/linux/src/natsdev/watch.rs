//! Nodes that rules want watched: when somebody has written to one and closed it, what is on it may be something else, and
//! the kernel is asked to say `change` of the device.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init, remove_watch};

/// All of them.
#[derive(Debug)]
pub(super) struct Watches {
    notify: OwnedFd,
    /// By the kernel's number.
    devices: HashMap<i32, Vec<u8>>,
}

/// A node that rules want watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) devpath: Vec<u8>,
    pub(super) node: PathBuf,
}

impl Watches {
    /// None.
    ///
    /// # Errors
    /// The user has too many already, or there is no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let notify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { notify, devices: HashMap::new() })
    }

    /// Watches a node.
    ///
    /// # Errors
    /// There is no such node, or the user watches too many.
    pub(super) fn begin(&mut self, watch: Watch) -> io::Result<()> {
        let number = add_watch(&self.notify, &watch.node, WatchFlags::CLOSE_WRITE)?;
        self.devices.insert(number, watch.devpath);
        Ok(())
    }

    /// Ends the watch over the node of a device, if there is one.
    pub(super) fn end(&mut self, devpath: &[u8]) {
        let mut watches = self.devices.iter();
        if let Some((number, _)) = watches.find(|(_, watched)| watched.as_slice() == devpath) {
            let number = *number;
            // With its node the kernel has forgotten it already.
            let _ = remove_watch(&self.notify, number);
            self.devices.remove(&number);
        }
    }

    /// The devices to whose nodes somebody has written, each once.
    pub(super) fn written(&mut self) -> Vec<Vec<u8>> {
        let mut room = [MaybeUninit::uninit(); 1024];
        let mut reader = Reader::new(&self.notify, &mut room);
        let mut written = Vec::new();
        while let Ok(event) = reader.next() {
            // Of lost events the kernel says only that; whoever wrote will write again.
            let Some(devpath) = self.devices.get(&event.wd()) else { continue };
            if !written.contains(devpath) {
                written.push(devpath.clone());
            }
        }
        written
    }
}

impl AsFd for Watches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_has_written_is_heard_once() {
        let folder = std::env::temp_dir().join(format!("lunix-watch-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (node, other) = (folder.join("sda"), folder.join("sdb"));
        fs::write(&node, "").unwrap();
        fs::write(&other, "").unwrap();
        let mut watches = Watches::new().unwrap();
        let devpath = b"/devices/sda".to_vec();
        let watch = Watch { devpath: devpath.clone(), node: node.clone() };
        watches.begin(watch.clone()).unwrap();
        watches.begin(watch).unwrap();
        fs::read(&node).unwrap();
        fs::write(&other, "x").unwrap();
        assert_eq!(watches.written(), Vec::<Vec<u8>>::new());
        fs::write(&node, "x").unwrap();
        fs::write(&node, "y").unwrap();
        assert_eq!(watches.written(), std::slice::from_ref(&devpath));
        watches.end(&devpath);
        fs::write(&node, "z").unwrap();
        assert_eq!(watches.written(), Vec::<Vec<u8>>::new());
        assert!(watches.begin(Watch { devpath, node: folder.join("none") }).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
