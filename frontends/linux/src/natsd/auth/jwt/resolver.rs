//! Where the tokens of accounts are: in memory, or each in a file of a folder.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lunix_proto::nkey::PublicKey;
use lunix_proto::nkey::jwt::{MAX_TOKEN, undecorated};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::os::fd::OwnedFd;

use super::signed::Signed;
use crate::natsd::settings::Resolver;

/// Tokens of accounts, as they were last seen.
#[derive(Debug)]
pub(super) struct Accounts {
    known: HashMap<PublicKey, Known>,
    folder: Option<Folder>,
    /// It changes with every token that comes or goes.
    version: u64,
}

#[derive(Debug)]
struct Known {
    signed: Signed,
    /// When its file was changed.
    changed: Option<SystemTime>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    watch: Option<OwnedFd>,
}

impl Accounts {
    pub(super) fn new(resolver: &Resolver, preload: &[(PublicKey, String)]) -> io::Result<Self> {
        let folder = match resolver {
            Resolver::Memory => None,
            Resolver::Folder { path, .. } => {
                fs::create_dir_all(path)?;
                Some(Folder { watch: watch(path).ok(), path: path.clone() })
            }
        };
        let known = preload
            .iter()
            .filter_map(|(account, text)| {
                let known = Known { signed: Signed::read(text).ok()?, changed: None };
                Some((*account, known))
            })
            .collect();
        Ok(Self { known, folder, version: 1 })
    }

    /// What becomes readable when a file of the folder changes.
    pub(super) fn watch(&self) -> Option<&OwnedFd> {
        self.folder.as_ref()?.watch.as_ref()
    }

    /// Drains what the kernel has said of changes.
    pub(super) fn heard(&self) {
        let mut room = [0; 4096];
        while let Some(watch) = self.watch()
            && rustix::io::read(watch, &mut room).is_ok_and(|read| read > 0)
        {}
    }

    /// The token of an account, as it is now.
    pub(super) fn find(&mut self, account: &PublicKey) -> Option<&Signed> {
        self.refresh(account);
        self.known.get(account).map(|known| &known.signed)
    }

    /// Whether tokens that are sent can be kept.
    pub(super) fn keeps(&self) -> bool {
        self.folder.is_some()
    }

    /// Keeps a token in its file, which is never seen half written. What watches the folder hears of it.
    pub(super) fn keep(&self, account: &PublicKey, text: &str) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Err(io::ErrorKind::Unsupported.into()) };
        let hidden = folder.path.join(format!(".{account}"));
        fs::write(&hidden, text)?;
        fs::rename(hidden, folder.file(account))
    }

    /// The accounts whose tokens have been seen.
    pub(super) fn known(&self) -> Vec<PublicKey> {
        self.known.keys().copied().collect()
    }

    /// It is another one after every change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Reads an account's file, if it has changed.
    fn refresh(&mut self, account: &PublicKey) {
        let Some(folder) = &self.folder else { return };
        let path = folder.file(account);
        let changed = fs::metadata(&path).and_then(|data| data.modified()).ok();
        if let Some(known) = self.known.get(account)
            && (known.changed == changed || (known.changed.is_none() && changed.is_none()))
        {
            return;
        }
        let read = changed.and_then(|_| read(&path, account));
        match (read, self.known.get(account)) {
            (Some(signed), _) => {
                self.version += 1;
                self.known.insert(*account, Known { signed, changed });
            }
            // What was preloaded needs no file.
            (None, Some(Known { changed: None, .. }) | None) => {}
            // Without its file an account is none.
            (None, Some(_)) => {
                self.version += 1;
                self.known.remove(account);
            }
        }
    }
}

impl Folder {
    fn file(&self, account: &PublicKey) -> PathBuf {
        self.path.join(format!("{account}.jwt"))
    }
}

fn read(path: &Path, account: &PublicKey) -> Option<Signed> {
    let data = fs::metadata(path).ok()?;
    if data.len() > MAX_TOKEN as u64 {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let signed = Signed::read(undecorated(&text)).ok()?;
    let good = signed.claims().is_some_and(|claims| claims.subject == *account);
    good.then_some(signed)
}

fn watch(path: &Path) -> io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let events = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    inotify::add_watch(&watch, path, events)?;
    Ok(watch)
}
